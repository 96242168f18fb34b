/* ACL: categories, passwords and names. There is one user, so there are no users and no rules to be set.
 */
#include "cmd/call.h"
#include "plat/random.h"
#include "server/admin.h"

enum { PASSWORD_BITS = 256, PASSWORD_BITS_MAX = 4096, BITS_PER_DIGIT = 4 };

/* ---- CAT -------------------------------------------------------------------------------------- */

static void reply_categories(struct reply *reply) {
    reply_array(reply, ACL_BIT_COUNT);
    for (unsigned bit = 0; bit < ACL_BIT_COUNT; bit++)
        reply_bulk_text(reply, command_acl_name((enum command_acl_bit)bit));
}

/* 0 if there is no such category. */
static uint32_t category_named(struct bytes name) {
    for (unsigned bit = 0; bit < ACL_BIT_COUNT; bit++)
        if (bytes_is(name, command_acl_name((enum command_acl_bit)bit))) return 1u << bit;
    return 0;
}

static void reply_commands_of(struct reply *reply, uint32_t category) {
    uint64_t count = 0;
    for (size_t id = 0; id < command_count(); id++) count += (command_at(id)->acl & category) != 0;
    reply_array(reply, count);
    for (size_t id = 0; id < command_count(); id++)
        if (command_at(id)->acl & category) reply_bulk_text(reply, command_at(id)->full_name);
}

static void cat_command(struct call *call) {
    uint32_t category = call->argc == 3 ? category_named(call->argv[2]) : 0;
    if (call->argc > 3) call_error_subcommand(call);
    else if (call->argc == 2) reply_categories(call->reply);
    else if (category) reply_commands_of(call->reply, category);
    else
        call_error_format(call, "ERR Unknown category '%.*s'",
                          call->argv[2].len < 128 ? (int)call->argv[2].len : 128, call->argv[2].at);
}

/* ---- GENPASS ---------------------------------------------------------------------------------- */

static void reply_password(struct call *call, int64_t bits) {
    unsigned char random[PASSWORD_BITS_MAX / 8];
    char text[PASSWORD_BITS_MAX / BITS_PER_DIGIT];
    size_t digits = (size_t)(bits + BITS_PER_DIGIT - 1) / BITS_PER_DIGIT;
    if (random_from_kernel(random, (digits + 1) / 2) < 0) {
        call_error(call, "ERR no random bytes to be had");
        return;
    }
    for (size_t i = 0; i < digits; i++)
        text[i] = "0123456789abcdef"[i % 2 ? random[i / 2] & 15 : random[i / 2] >> 4];
    reply_bulk(call->reply, bytes_of(text, digits));
}

static void genpass_command(struct call *call) {
    int64_t bits = PASSWORD_BITS;
    if (call->argc > 3) call_error_subcommand(call);
    else if (call->argc == 3 && !call_integer(call, 2, &bits)) return;
    else if (bits <= 0 || bits > PASSWORD_BITS_MAX)
        call_error(call, "ERR ACL GENPASS argument must be the number of bits for the output "
                         "password, a positive number up to 4096");
    else reply_password(call, bits);
}

/* ---- The rest --------------------------------------------------------------------------------- */

static void whoami_command(struct call *call) {
    reply_bulk_text(call->reply, "default");
}

static void help_command(struct call *call) {
    static const char *const lines[] = {
        "CAT [<category>]",
        "    List all commands that belong to <category>, or all command categories",
        "    when no category is specified.",
        "GENPASS [<bits>]",
        "    Generate a secure 256-bit user password. The optional `bits` argument can",
        "    be used to specify a different size.",
        "WHOAMI",
        "    Return the current connection username.",
        NULL,
    };
    call_reply_help(call, lines);
}

void acl_commands_bind(void) {
    command_bind("acl|cat", cat_command);
    command_bind("acl|genpass", genpass_command);
    command_bind("acl|whoami", whoami_command);
    command_bind("acl|help", help_command);
}
