#include "server/admin.h"

#include "cmd/call.h"
#include "server/server.h"

static struct kevyrt_server *server_of(struct call *call) {
    return call->domain->server_context;
}

static bool shutdown_parse(struct call *call, bool *abort) {
    bool save = false, nosave = false, other = false;
    for (uint32_t i = 1; i < call->argc; i++) {
        struct bytes word = call->argv[i];
        if (bytes_is(word, "nosave"))
            nosave = true;
        else if (bytes_is(word, "save"))
            save = true;
        else if (bytes_is(word, "now") || bytes_is(word, "force"))
            other = true;
        else if (bytes_is(word, "abort"))
            *abort = true;
        else
            return false;
    }
    return !(save && nosave) && !(*abort && (save || nosave || other));
}

static void shutdown_command(struct call *call) {
    bool abort = false;
    if (!shutdown_parse(call, &abort)) {
        call_error_syntax(call);
    } else if (abort) {
        call_error(call, "ERR No shutdown in progress.");
    } else {
        if (call->client)
            call->client->close_after_reply = true;
        server_request_shutdown(server_of(call));
    }
}

void server_commands_bind(void) {
    command_bind("shutdown", shutdown_command);
    config_commands_bind();
    debug_commands_bind();
    info_bind();
}
