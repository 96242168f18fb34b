/* DEBUG: what tests and clients ask of a server under test, where the settings allow it. */
#include <stdlib.h>

#include "cmd/call.h"
#include "plat/clock.h"
#include "server/admin.h"
#include "shard/shard.h"

enum { DEBUG_SLEEP_SECONDS_MAX = 3600 };

/* Keeps every place, as a command that takes that long would. */
static void debug_sleep(struct call *call) {
    char text[32] = "";
    struct bytes seconds = call->argv[2];
    memcpy(text, seconds.at, seconds.len < sizeof text ? seconds.len : sizeof text - 1);
    double wanted = strtod(text, NULL);
    if (wanted > 0 && wanted <= DEBUG_SLEEP_SECONDS_MAX) clock_sleep_ns((uint64_t)(wanted * 1e9));
    reply_ok(call->reply);
}

static void debug_command(struct call *call) {
    if (!admin_allows(call, SETTING_ENABLE_DEBUG_COMMAND)) {
        call_error(call, "ERR DEBUG command not allowed. If the enable-debug-command option is set "
                         "to \"local\", you can run it from a local connection, otherwise you need "
                         "to set this option in the configuration file, and then restart the "
                         "server.");
        return;
    }
    if (call->argc != 3) {
        call_error_syntax(call);
    } else if (bytes_is(call->argv[1], "kevyrt-shard")) {
        struct key_place place = keyspace_for(call, 2);
        reply_integer(call->reply, place.keyspace->index);
    } else if (bytes_is(call->argv[1], "sleep")) {
        debug_sleep(call);
    } else {
        call_error_syntax(call);
    }
}

void debug_commands_bind(void) {
    command_bind_all_shards("debug", debug_command);
}
