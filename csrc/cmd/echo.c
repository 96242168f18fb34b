/* What a client asks to hear an answer, and needs no connection of its own for: PING, ECHO, TIME. */
#include "cmd/families.h"

/* Among the messages of a subscriber in RESP2 it looks like one. */
static void ping_subscribed(struct call *call) {
    reply_array(call->reply, 2);
    reply_bulk_text(call->reply, "pong");
    reply_bulk(call->reply, call->argc == 2 ? call->argv[1] : bytes_of("", 0));
}

static void ping_command(struct call *call) {
    if (call->argc > 2) call_error_arity(call);
    else if (call->flags & CALL_SUBSCRIBED && call->reply->proto == 2) ping_subscribed(call);
    else if (call->argc == 2) reply_bulk(call->reply, call->argv[1]);
    else reply_simple(call->reply, "PONG");
}

static void echo_command(struct call *call) {
    reply_bulk(call->reply, call->argv[1]);
}

static void reply_decimal(struct reply *reply, int64_t value) {
    char text[24];
    reply_bulk(reply, bytes_of(text, bytes_from_int64(text, value)));
}

static void time_command(struct call *call) {
    int64_t now_us = domain_now_us(call->domain);
    reply_array(call->reply, 2);
    reply_decimal(call->reply, now_us / 1000000);
    reply_decimal(call->reply, now_us % 1000000);
}

void echo_bind(void) {
    command_bind("ping", ping_command);
    command_bind("echo", echo_command);
    command_bind("time", time_command);
}
