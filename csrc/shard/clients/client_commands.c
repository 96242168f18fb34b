/* Commands about the connection itself: HELLO, AUTH, SELECT, QUIT, RESET, and what CLIENT says and sets of the
 * one that asks. Those about all clients are in client_list.c and client_kill.c.
 *
 * They need the client behind the call. A plain in-process call has none, and its commands say so.
 */
#include "base/version.h"
#include "cmd/call.h"
#include "shard/board/monitor.h"
#include "shard/board/pubsub.h"
#include "shard/board/tracking.h"
#include "shard/fabric.h"

struct client *client_of(struct call *call) {
    if (!call->client)
        call_error_format(call, "ERR '%s' needs a connection: use a session",
                          call->command->full_name);
    return call->client;
}

static bool secrets_equal(const char *secret, struct bytes given) {
    /* Every byte is looked at, so that the time taken tells nothing about where they differ. */
    size_t len = strlen(secret);
    unsigned difference = (unsigned)(len ^ given.len);
    for (size_t i = 0; i < given.len; i++)
        difference |= (unsigned char)given.at[i] ^ (unsigned char)secret[len ? i % len : 0];
    return difference == 0;
}

/* CONFIG SET may change it while a thread without its place serves AUTH. */
static bool password_is(struct fabric *fabric, struct bytes given) {
    pthread_mutex_lock(&fabric->registry.lock);
    bool right = secrets_equal(fabric->settings.password, given);
    pthread_mutex_unlock(&fabric->registry.lock);
    return right;
}

/* The only user is `default`. Replies the error and returns false if it may not. */
static bool authenticate(struct call *call, struct bytes user, struct bytes password) {
    struct client *client = call->client;
    bool right = bytes_equal(user, BYTES_LITERAL("default")) &&
                 (!fabric_has_password(client->fabric) || password_is(client->fabric, password));
    if (!right) {
        call_error(call, "WRONGPASS invalid username-password pair or user is disabled.");
        return false;
    }
    client->authenticated = true;
    return true;
}

static void auth_command(struct call *call) {
    struct client *client = client_of(call);
    if (!client) return;
    if (call->argc > 3) {
        call_error_syntax(call);
        return;
    }
    if (call->argc == 2 && !fabric_has_password(client->fabric)) {
        call_error(call, "ERR AUTH <password> called without any password configured for the "
                         "default user. Are you sure your configuration is correct?");
        return;
    }
    struct bytes user = call->argc == 3 ? call->argv[1] : BYTES_LITERAL("default");
    if (authenticate(call, user, call->argv[call->argc - 1])) reply_ok(call->reply);
}

/* ---- Names -------------------------------------------------------------------------------------- */

static bool is_plain_text(struct bytes text) {
    for (uint32_t i = 0; i < text.len; i++)
        if (text.at[i] < '!' || text.at[i] > '~') return false;
    return true;
}

/* `what` is how the error calls it. */
static bool set_text(struct call *call, enum client_text which, struct bytes what,
                     struct bytes text) {
    if (!is_plain_text(text)) {
        call_error_format(call, "ERR %.*s cannot contain spaces, newlines or special characters.",
                          (int)what.len, what.at);
        return false;
    }
    if (client_set_text(call->client, which, text)) return true;
    call_error_memory(call);
    return false;
}

static bool set_name(struct call *call, struct bytes name) {
    return set_text(call, CLIENT_NAME, BYTES_LITERAL("Client names"), name);
}

static void client_setname_command(struct call *call) {
    if (client_of(call) && set_name(call, call->argv[2])) reply_ok(call->reply);
}

static void client_getname_command(struct call *call) {
    struct client *client = client_of(call);
    if (!client) return;
    if (client->card->name) reply_bulk_text(call->reply, client->card->name);
    else reply_null(call->reply);
}

static void client_setinfo_command(struct call *call) {
    if (!client_of(call)) return;
    struct bytes attribute = call->argv[2];
    enum client_text which = bytes_is(attribute, "lib-name") ? CLIENT_LIB_NAME : CLIENT_LIB_VERSION;
    if (which == CLIENT_LIB_VERSION && !bytes_is(attribute, "lib-ver")) {
        call_error_format(call, "ERR Unrecognized option '%.*s'", (int)attribute.len, attribute.at);
        return;
    }
    if (set_text(call, which, attribute, call->argv[3])) reply_ok(call->reply);
}

/* ---- Switches ----------------------------------------------------------------------------------- */

/* ON or OFF in argv[2]; false after the error reply. */
static bool parse_switch(struct call *call, bool *on) {
    *on = bytes_is(call->argv[2], "on");
    if (*on || bytes_is(call->argv[2], "off")) return true;
    call_error_syntax(call);
    return false;
}

static void client_no_evict_command(struct call *call) {
    bool on;
    struct client *client = client_of(call);
    if (!client || !parse_switch(call, &on)) return;
    client_flag(client, CARD_NO_EVICT, on);
    reply_ok(call->reply);
}

static void client_no_touch_command(struct call *call) {
    bool on;
    struct client *client = client_of(call);
    if (!client || !parse_switch(call, &on)) return;
    client_flag(client, CARD_NO_TOUCH, on);
    client->call_flags &= ~(uint32_t)CALL_NO_TOUCH;
    if (on) client->call_flags |= CALL_NO_TOUCH;
    reply_ok(call->reply);
}

/* OFF and SKIP are silent themselves; SKIP is of the next command, and nothing to who is silent anyway. */
static void client_reply_command(struct call *call) {
    struct client *client = client_of(call);
    if (!client) return;
    if (bytes_is(call->argv[2], "on")) {
        client->call_flags &= ~(uint32_t)(CALL_SILENT | CALL_SKIPPED);
        client->call_flags |= CALL_ALOUD;
        reply_ok(call->reply);
    } else if (bytes_is(call->argv[2], "off")) {
        client->call_flags |= CALL_SILENT;
    } else if (bytes_is(call->argv[2], "skip")) {
        client->call_flags |= CALL_SKIPPED;
    } else {
        call_error_syntax(call);
    }
}

/* It ends the silence and is heard itself, but not where its own answer was to be skipped. */
static void reset_command(struct call *call) {
    struct client *client = client_of(call);
    if (!client) return;
    pubsub_end(call);
    monitor_leave(call);
    tracking_off(client, call);
    client_reset(client);
    if ((call->flags & (CALL_SILENT | CALL_SKIPPED)) != CALL_SKIPPED)
        client->call_flags |= CALL_ALOUD;
    call->reply->proto = client->proto;
    reply_simple(call->reply, "RESET");
}

static void client_id_command(struct call *call) {
    struct client *client = client_of(call);
    if (client) reply_integer(call->reply, (int64_t)client->card->id);
}

/* ---- HELLO -------------------------------------------------------------------------------------- */

struct hello {
    int64_t proto;
    struct bytes user, password, name;
    bool has_auth, has_name;
};

static bool hello_parse_options(struct call *call, struct hello *hello) {
    for (uint32_t i = 2; i < call->argc; i++) {
        uint32_t left = call->argc - 1 - i;
        if (bytes_is(call->argv[i], "auth") && left >= 2) {
            hello->has_auth = true;
            hello->user = call->argv[++i];
            hello->password = call->argv[++i];
        } else if (bytes_is(call->argv[i], "setname") && left >= 1) {
            hello->has_name = true;
            hello->name = call->argv[++i];
        } else {
            call_error_format(call, "ERR Syntax error in HELLO option '%.*s'",
                              (int)call->argv[i].len, call->argv[i].at);
            return false;
        }
    }
    return true;
}

static bool hello_parse(struct call *call, struct hello *hello) {
    *hello = (struct hello){.proto = call->client->proto};
    if (call->argc < 2) return true;
    if (!bytes_to_int64(call->argv[1], &hello->proto)) {
        call_error(call, "ERR Protocol version is not an integer or out of range");
        return false;
    }
    if (hello->proto < 2 || hello->proto > 3) {
        call_error(call, "NOPROTO unsupported protocol version");
        return false;
    }
    return hello_parse_options(call, hello);
}

/* Checks everything before it changes anything. */
static bool hello_apply(struct call *call, const struct hello *hello) {
    struct client *client = call->client;
    if (hello->has_name && !is_plain_text(hello->name)) return set_name(call, hello->name);
    if (hello->has_auth && !authenticate(call, hello->user, hello->password)) return false;
    if (!client->authenticated) {
        call_error(call, "NOAUTH HELLO must be called with the client already authenticated, "
                         "otherwise the HELLO <proto> AUTH <user> <pass> option can be used to "
                         "authenticate the client and select the RESP protocol version at the "
                         "same time");
        return false;
    }
    if (hello->has_name && !set_name(call, hello->name)) return false;
    client->proto = call->reply->proto = (uint8_t)hello->proto;
    atomic_store_relaxed(&client->card->proto, client->proto);
    return true;
}

static void hello_command(struct call *call) {
    struct hello hello;
    struct client *client = client_of(call);
    if (!client || !hello_parse(call, &hello) || !hello_apply(call, &hello)) return;
    struct reply *reply = call->reply;
    reply_map(reply, 7);
    reply_bulk_text(reply, "server");
    reply_bulk_text(reply, "redis");
    reply_bulk_text(reply, "version");
    reply_bulk_text(reply, KEVYRT_REDIS_VERSION);
    reply_bulk_text(reply, "proto");
    reply_integer(reply, client->proto);
    reply_bulk_text(reply, "id");
    reply_integer(reply, (int64_t)client->card->id);
    reply_bulk_text(reply, "mode");
    reply_bulk_text(reply, "standalone");
    reply_bulk_text(reply, "role");
    reply_bulk_text(reply, "master");
    reply_bulk_text(reply, "modules");
    reply_array(reply, 0);
}

/* ---- SELECT, QUIT ------------------------------------------------------------------------------- */

static void select_command(struct call *call) {
    int64_t db;
    struct client *client = client_of(call);
    if (!client) return;
    if (!call_integer(call, 1, &db)) return;
    if (db < INT32_MIN || db > INT32_MAX) {
        call_error(call, "ERR value is out of range, value must between -2147483648 and "
                         "2147483647");
    } else if (db < 0 || (uint64_t)db >= call->domain->database_count) {
        call_error(call, "ERR DB index is out of range");
    } else {
        client->db = (uint32_t)db;
        atomic_store_relaxed(&client->card->db, client->db);
        reply_ok(call->reply);
    }
}

static void quit_command(struct call *call) {
    if (call->client) call->client->close_after_reply = true;
    reply_ok(call->reply);
}

static void client_help_command(struct call *call) {
    static const char *const lines[] = {
        "CACHING (YES|NO)",
        "    Enable/disable tracking of the keys for next command in OPTIN/OPTOUT modes.",
        "GETREDIR",
        "    Return the client ID we are redirecting to when tracking is enabled.",
        "GETNAME",
        "    Return the name of the current connection.",
        "ID",
        "    Return the ID of the current connection.",
        "INFO",
        "    Return information about the current client connection.",
        "KILL <ip:port>",
        "    Kill connection made from <ip:port>.",
        "KILL <option> <value> [<option> <value> [...]]",
        "    Kill connections. Options are:",
        "    * ADDR (<ip:port>|<unixsocket>:0)",
        "      Kill connections made from the specified address",
        "    * LADDR (<ip:port>|<unixsocket>:0)",
        "      Kill connections made to specified local address",
        "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
        "      Kill connections by type.",
        "    * USER <username>",
        "      Kill connections authenticated by <username>.",
        "    * SKIPME (YES|NO)",
        "      Skip killing current connection (default: yes).",
        "    * ID <client-id>",
        "      Kill connections by client id.",
        "    * MAXAGE <maxage>",
        "      Kill connections older than the specified age.",
        "LIST [options ...]",
        "    Return information about client connections. Options:",
        "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
        "      Return clients of specified type.",
        "UNPAUSE",
        "    Stop the current client pause, resuming traffic.",
        "PAUSE <timeout> [WRITE|ALL]",
        "    Suspend all, or just write, clients for <timeout> milliseconds.",
        "REPLY (ON|OFF|SKIP)",
        "    Control the replies sent to the current connection.",
        "SETNAME <name>",
        "    Assign the name <name> to the current connection.",
        "SETINFO <option> <value>",
        "    Set client meta attr. Options are:",
        "    * LIB-NAME: the client lib name.",
        "    * LIB-VER: the client lib version.",
        "UNBLOCK <clientid> [TIMEOUT|ERROR]",
        "    Unblock the specified blocked client.",
        "TRACKING (ON|OFF) [REDIRECT <id>] [BCAST] [PREFIX <prefix> [...]]",
        "         [OPTIN] [OPTOUT] [NOLOOP]",
        "    Control server assisted client side caching.",
        "TRACKINGINFO",
        "    Report tracking status for the current connection.",
        "NO-EVICT (ON|OFF)",
        "    Protect current client connection from eviction.",
        "NO-TOUCH (ON|OFF)",
        "    Will not touch LRU/LFU stats when this mode is on.",
        NULL,
    };
    call_reply_help(call, lines);
}

void client_commands_bind(void) {
    command_bind("auth", auth_command);
    command_bind("hello", hello_command);
    command_bind("select", select_command);
    command_bind("quit", quit_command);
    command_bind("reset", reset_command);
    command_bind("client|help", client_help_command);
    command_bind("client|no-evict", client_no_evict_command);
    command_bind("client|no-touch", client_no_touch_command);
    command_bind("client|reply", client_reply_command);
    command_bind("client|id", client_id_command);
    command_bind("client|getname", client_getname_command);
    command_bind("client|setname", client_setname_command);
    command_bind("client|setinfo", client_setinfo_command);
}
