/* DEBUG: what tests and clients ask of a server under test, where the settings allow it. */
#include <stdio.h>
#include <stdlib.h>

#include "cmd/call.h"
#include "plat/clock.h"
#include "server/admin.h"
#include "server/debug_data.h"
#include "server/debug_digest.h"
#include "server/server.h"
#include "server/value.h"
#include "shard/shard.h"

enum { DEBUG_SLEEP_SECONDS_MAX = 3600 };

/* Redis keeps a mebibyte clear of 4 GiB. */
#define PACKED_THRESHOLD_MAX ((1ll << 32) - (1 << 20))

/* Keeps every place, as a command that takes that long would. */
static void debug_sleep(struct call *call) {
    char text[32] = "";
    struct bytes seconds = call->argv[2];
    memcpy(text, seconds.at, seconds.len < sizeof text ? seconds.len : sizeof text - 1);
    double wanted = strtod(text, NULL);
    if (wanted > 0 && wanted <= DEBUG_SLEEP_SECONDS_MAX) clock_sleep_ns((uint64_t)(wanted * 1e9));
    call->now_ms = 0; /* what comes behind it in the turn reads the time anew */
    reply_ok(call->reply);
}

static void debug_error(struct call *call) {
    char text[512];
    struct bytes wanted = call->argv[2];
    (void)snprintf(text, sizeof text, "%.*s", (int)wanted.len, wanted.at);
    for (char *at = text; *at; at++)
        if (*at == '\r' || *at == '\n') *at = ' ';
    call_error(call, text);
}

static void debug_log(struct call *call) {
    struct bytes text = call->argv[2];
    log_line(LOG_WARNING, "DEBUG LOG: %.*s", (int)text.len, text.at);
    reply_ok(call->reply);
}

/* What is not 0 is 1, as in Redis. */
static void debug_set_active_expire(struct call *call) {
    int64_t on;
    bool is_off = !bytes_to_int64(call->argv[2], &on) || on == 0;
    struct kevyrt_server *server = call_server(call);
    server->fabric.expiry_is_lazy = is_off;
    reply_ok(call->reply);
}

static void debug_kevyrt_shard(struct call *call) {
    struct key_place place = keyspace_for(call, 2);
    reply_integer(call->reply, place.keyspace->index);
}

/* ---- PROTOCOL: a reply of each type --------------------------------------------------------- */

static void reply_three(struct reply *reply) {
    for (int64_t i = 0; i < 3; i++) reply_integer(reply, i);
}

static void show_string(struct reply *reply) {
    reply_bulk_text(reply, "Hello World");
}

static void show_integer(struct reply *reply) {
    reply_integer(reply, 12345);
}

static void show_double(struct reply *reply) {
    reply_double(reply, 3.141);
}

static void show_big_number(struct reply *reply) {
    static const char digits[] = "1234567999999999999999999999999999999";
    reply_big_number(reply, bytes_of(digits, sizeof digits - 1));
}

static void show_array(struct reply *reply) {
    reply_array(reply, 3);
    reply_three(reply);
}

static void show_set(struct reply *reply) {
    reply_set(reply, 3);
    reply_three(reply);
}

static void show_map(struct reply *reply) {
    reply_map(reply, 3);
    for (int64_t i = 0; i < 3; i++) {
        reply_integer(reply, i);
        reply_bool(reply, i == 1);
    }
}

static void show_attribute(struct reply *reply) {
    if (reply->proto == 3) {
        reply_attribute(reply, 1);
        reply_bulk_text(reply, "key-popularity");
        reply_array(reply, 2);
        reply_bulk_text(reply, "key:123");
        reply_integer(reply, 90);
    }
    reply_bulk_text(reply, "Some real reply following the attribute");
}

static void show_push(struct reply *reply) {
    if (reply->proto != 3) {
        reply_error(reply, "ERR RESP2 is not supported by this command");
        return;
    }
    reply_push(reply, 2);
    reply_bulk_text(reply, "server-cpu-usage");
    reply_integer(reply, 42);
    reply_bulk_text(reply, "Some real reply following the push reply");
}

static void show_verbatim(struct reply *reply) {
    static const char text[] = "This is a verbatim\nstring";
    reply_verbatim(reply, "txt", bytes_of(text, sizeof text - 1));
}

static void show_true(struct reply *reply) {
    reply_bool(reply, true);
}

static void show_false(struct reply *reply) {
    reply_bool(reply, false);
}

static void debug_protocol(struct call *call) {
    static const struct {
        const char *name;
        void (*show)(struct reply *);
    } types[] = {
        {"string", show_string},     {"integer", show_integer},   {"double", show_double},
        {"bignum", show_big_number}, {"null", reply_null},        {"array", show_array},
        {"set", show_set},           {"map", show_map},           {"attrib", show_attribute},
        {"push", show_push},         {"verbatim", show_verbatim}, {"true", show_true},
        {"false", show_false},
    };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (bytes_is(call->argv[2], types[i].name)) {
            types[i].show(call->reply);
            return;
        }
    }
    call_error(call, "ERR Wrong protocol type name. Please use one of the following: "
                     "string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|"
                     "false");
}

/* ---- Accepted, refused ------------------------------------------------------------------------ */

/* Switches of what this server does not have, or always does: test suites set them before they begin. */
static void debug_accept(struct call *call) {
    reply_ok(call->reply);
}

static void debug_packed_threshold(struct call *call) {
    int64_t size;
    if (value_parse_memory(call->argv[2], &size) && size <= PACKED_THRESHOLD_MAX)
        reply_ok(call->reply);
    else call_error(call, "ERR argument must be a memory value bigger than 1 and smaller than 4gb");
}

static void debug_reply_buffer(struct call *call) {
    struct bytes what = call->argv[2], value = call->argv[3];
    int64_t time_ms;
    if (bytes_is(what, "resizing") ||
        (bytes_is(what, "peak-reset-time") &&
         (bytes_is(value, "never") || bytes_is(value, "reset") || call_integer(call, 3, &time_ms))))
        reply_ok(call->reply);
    else if (!call->failed) call_error_subcommand(call);
}

/* The process is somebody else's as a rule: it is not ended, and no memory of it is lost, on request. */
static void debug_refuse(struct call *call) {
    call_error(call, "ERR DEBUG does not harm the process that the server is in");
}

static void debug_kevyrt_snapshot(struct call *call) {
    int64_t entries, pause_us;
    struct fabric *fabric = fabric_of(call);
    if (call->argc == 3) {
        if (bytes_is(call->argv[2], "abort")) snapshot_abort(fabric);
        else call_error_syntax(call);
    } else if (call_integer(call, 2, &entries) && call_integer(call, 3, &pause_us)) {
        snapshot_set_pace(fabric, (uint32_t)entries, (uint32_t)pause_us);
    }
    if (!call->failed) reply_ok(call->reply);
}

static void debug_change_replication_id(struct call *call) {
    if (server_make_id(call_server(call)->replication_id) < 0)
        call_error(call, "ERR no random bytes to be had");
    else reply_ok(call->reply);
}

/* ---- DEBUG ------------------------------------------------------------------------------------ */

static void debug_help(struct call *call) {
    static const char *const lines[] = {
        "CHANGE-REPL-ID",
        "    Give the server another replication ID.",
        "DICT-RESIZING, QUICKLIST-PACKED-THRESHOLD, REPLYBUFFER, SET-DISABLE-DENY-SCRIPTS,",
        "SET-SKIP-CHECKSUM-VALIDATION",
        "    Accepted, and without an effect: there is nothing to be switched.",
        "DIGEST",
        "    A hash of all data, the same as of other servers with the same data.",
        "DIGEST-VALUE <key> [<key> ...]",
        "    Hashes of the values of these keys.",
        "ERROR <string>",
        "    Reply with an error of this text.",
        "KEVYRT-REACH <key> [<key> ...] [SET <value>]",
        "    The values of strings, or sets them, as a command would that comes to its keys one by "
        "one.",
        "KEVYRT-SNAPSHOT <entries> <microseconds>",
        "    A snapshot goes over so many entries in a slice (0: as it likes), and pauses so long "
        "between two.",
        "KEVYRT-SNAPSHOT ABORT",
        "    Give up the snapshot that is being made.",
        "KEVYRT-SHARD <key>",
        "    The number of the shard at which a key is.",
        "LISTPACK <key>, QUICKLIST <key>",
        "    Tell that the value at <key> is not kept so.",
        "LOADAOF",
        "    Empty the databases and load the append-only log, which must be on.",
        "LOG <message>",
        "    Write <message> to the log of the server.",
        "OBJECT <key>",
        "    Show how the value at <key> is kept.",
        "POPULATE <count> [<prefix>] [<size>]",
        "    Create <count> string keys named key:<num>, or <prefix>:<num>, with values of",
        "    <size> bytes. Keys that exist stay as they are.",
        "PROTOCOL <type>",
        "    Reply with a value of this type: string, integer, double, bignum, null, array,",
        "    set, map, attrib, push, verbatim, true, false.",
        "RELOAD [MERGE] [NOFLUSH] [NOSAVE]",
        "    Save, empty the databases and load what was saved; or load what a save before has "
        "left "
        "(NOSAVE),",
        "    beside what is there (NOFLUSH), of which keys in both are an error, or give way "
        "(MERGE).",
        "SET-ACTIVE-EXPIRE <0|1>",
        "    With 0 keys expire when they are asked for, and not before.",
        "SLEEP <seconds>",
        "    Stop the server for <seconds>. Decimals are allowed.",
        NULL,
    };
    call_reply_help(call, lines);
}

static const struct {
    const char *name;
    uint32_t least, most; /* words of the command, DEBUG included */
    void (*run)(struct call *);
} subcommands[] = {
    {"assert", 2, 2, debug_refuse},
    {"change-repl-id", 2, 2, debug_change_replication_id},
    {"crash-and-recover", 2, 3, debug_refuse},
    {"dict-resizing", 3, 3, debug_accept},
    {"digest", 2, 2, debug_digest},
    {"digest-value", 2, UINT32_MAX, debug_digest_value},
    {"error", 3, 3, debug_error},
    {"help", 2, 2, debug_help},
    {"kevyrt-reach", 3, UINT32_MAX, debug_kevyrt_reach},
    {"kevyrt-shard", 3, 3, debug_kevyrt_shard},
    {"kevyrt-snapshot", 3, 4, debug_kevyrt_snapshot},
    {"leak", 3, 3, debug_refuse},
    {"listpack", 3, 3, debug_listpack},
    {"loadaof", 2, 2, debug_loadaof},
    {"log", 3, 3, debug_log},
    {"object", 3, 3, debug_object},
    {"oom", 2, 2, debug_refuse},
    {"panic", 2, 2, debug_refuse},
    {"populate", 3, 5, debug_populate},
    {"protocol", 3, 3, debug_protocol},
    {"quicklist", 3, 4, debug_quicklist},
    {"quicklist-packed-threshold", 3, 3, debug_packed_threshold},
    {"reload", 2, 5, debug_reload},
    {"replybuffer", 4, 4, debug_reply_buffer},
    {"restart", 2, 3, debug_refuse},
    {"segfault", 2, 2, debug_refuse},
    {"set-active-expire", 3, 3, debug_set_active_expire},
    {"set-disable-deny-scripts", 3, 3, debug_accept},
    {"set-skip-checksum-validation", 3, 3, debug_accept},
    {"sleep", 3, 3, debug_sleep},
};

static void run_subcommand(struct call *call) {
    for (size_t i = 0; i < sizeof subcommands / sizeof *subcommands; i++) {
        if (call->argc >= subcommands[i].least && call->argc <= subcommands[i].most &&
            bytes_is(call->argv[1], subcommands[i].name)) {
            subcommands[i].run(call);
            return;
        }
    }
    call_error_subcommand(call);
}

static void debug_command(struct call *call) {
    if (admin_allows(call, SETTING_ENABLE_DEBUG_COMMAND)) run_subcommand(call);
    else
        call_error(call, "ERR DEBUG command not allowed. If the enable-debug-command option is set "
                         "to \"local\", you can run it from a local connection, otherwise you need "
                         "to set this option in the configuration file, and then restart the "
                         "server.");
}

static bool may_reach(const struct bytes *argv, uint32_t argc) {
    return argc > 1 && bytes_is(argv[1], "kevyrt-reach");
}

static uint64_t debug_places(const struct domain *domain, const struct bytes *argv, uint32_t argc) {
    if (may_reach(argv, argc)) return 0;
    return domain->shard_count == 64 ? UINT64_MAX : (UINT64_C(1) << domain->shard_count) - 1;
}

void debug_commands_bind(void) {
    command_bind_open("debug", debug_command, debug_places);
}
