/* What a client asks to hear an answer, and needs no connection of its own for: PING and ECHO. */
#include "cmd/families.h"

static void ping_command(struct call *call) {
    if (call->argc > 2)
        call_error_arity(call);
    else if (call->argc == 2)
        reply_bulk(call->reply, call->argv[1]);
    else
        reply_simple(call->reply, "PONG");
}

static void echo_command(struct call *call) {
    reply_bulk(call->reply, call->argv[1]);
}

void echo_bind(void) {
    command_bind("ping", ping_command);
    command_bind("echo", echo_command);
}
