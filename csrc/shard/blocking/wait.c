/* WAIT: there are no replicas, so whoever wants any waits until his time is over, or for ever. */
#include "shard/shard.h"

static bool parse_timeout(struct call *call, int64_t *ms) {
    const char *error = NULL;
    if (!bytes_to_int64(call->argv[2], ms)) error = "ERR timeout is not an integer or out of range";
    else if (*ms < 0) error = "ERR timeout is negative";
    else if (*ms > INT64_MAX - call_now(call)) error = "ERR timeout is out of range";
    if (error) call_error(call, error);
    return !error;
}

static void wait_command(struct call *call) {
    int64_t replicas, timeout_ms;
    if (!call_integer(call, 1, &replicas) || !parse_timeout(call, &timeout_ms)) return;
    struct call_wait wait = {.timeout_ms = timeout_ms};
    if (replicas <= 0 || !call_wait(call, &wait)) reply_integer(call->reply, 0);
}

void wait_bind(void) {
    command_bind("wait", wait_command);
}
