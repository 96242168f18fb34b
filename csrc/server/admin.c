#include "server/admin.h"

#include "plat/socket.h"
#include "server/server.h"
#include "shard/blocking/await.h"
#include "shard/clients/client.h"

static bool shutdown_parse(struct call *call, uint32_t *flags, bool *abort) {
    for (uint32_t i = 1; i < call->argc; i++) {
        struct bytes word = call->argv[i];
        if (bytes_is(word, "nosave")) *flags |= SHUTDOWN_NOSAVE;
        else if (bytes_is(word, "save")) *flags |= SHUTDOWN_SAVE;
        else if (bytes_is(word, "now")) *flags |= SHUTDOWN_NOW;
        else if (bytes_is(word, "force")) *flags |= SHUTDOWN_FORCE;
        else if (bytes_is(word, "abort")) *abort = true;
        else return false;
    }
    const uint32_t both = SHUTDOWN_SAVE | SHUTDOWN_NOSAVE;
    return (*flags & both) != both && !(*abort && *flags);
}

/* Who asks waits until it is saved, and hears of it only if that fails. */
static void save_and_shut_down(struct call *call, uint32_t flags) {
    static const struct await_kind kind = {0};
    struct waiter *waiter = NULL;
    if (!persistence_may_end(call_server(call))) {
        call_error(call, "ERR Errors trying to SHUTDOWN. Check logs.");
        return;
    }
    if (await_is_possible(call)) waiter = await_begin(call, &kind, 0, 0);
    if (call->failed) persistence_end_no_more(call_server(call));
    else persistence_shutdown(call_server(call), waiter, flags);
}

static void shutdown_command(struct call *call) {
    bool abort = false;
    uint32_t flags = 0;
    if (!shutdown_parse(call, &flags, &abort)) {
        call_error_syntax(call);
    } else if (abort) {
        call_error(call, "ERR No shutdown in progress.");
    } else if (persistence_must_save(call_server(call), flags)) {
        save_and_shut_down(call, flags);
    } else {
        if (call->client) call->client->close_after_reply = true;
        server_request_shutdown(call_server(call));
    }
}

/* ---- Who may ---------------------------------------------------------------------------------- */

/* In process, over a Unix socket, or from the two addresses that Redis takes for local. */
static bool is_local(const struct client *client) {
    if (!client || client->session || socket_is_unix(client->card->fd)) return true;
    const char *peer = client->card->peer.text;
    return strncmp(peer, "127.0.0.1:", 10) == 0 || strncmp(peer, "[::1]:", 6) == 0;
}

bool admin_allows(struct call *call, enum setting_id id) {
    switch ((enum config_allowed)config_number(&call_server(call)->config, id)) {
    case CONFIG_ALLOWED_YES:
        return true;
    case CONFIG_ALLOWED_LOCAL:
        return is_local(call->client);
    case CONFIG_ALLOWED_NO:
        return false;
    }
    return false;
}

void server_commands_bind(void) {
    command_bind("shutdown", shutdown_command);
    acl_commands_bind();
    save_commands_bind();
    rewrite_commands_bind();
    config_commands_bind();
    config_rewrite_bind();
    debug_commands_bind();
    info_bind();
    memory_commands_bind();
    standalone_bind();
}
