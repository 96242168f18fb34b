#include "shard/observation/slowlog.h"

#include <stdio.h>

#include "base/mem.h"
#include "plat/clock.h"
#include "shard/clients/secrets.h"
#include "shard/shard.h"

enum { NOTE_BYTES_MAX = 48, COUNT_DEFAULT = 10 };

struct slow_entry {
    struct slow_entry *older, *newer;
    uint64_t id, us;
    int64_t at_s;
    uint32_t argc;
    struct socket_address_text peer;
    char text[]; /* argc arguments and the client's name, each its length and its bytes */
};

void slowlog_init(struct slowlog *log) {
    *log = (struct slowlog){0};
    pthread_mutex_init(&log->lock, NULL);
}

static void free_entries(struct slow_entry *entry) {
    for (struct slow_entry *older; entry; entry = older) {
        older = entry->older;
        mem_free(NULL, entry);
    }
}

void slowlog_deinit(struct slowlog *log) {
    free_entries(log->newest);
    pthread_mutex_destroy(&log->lock);
}

/* ---- What an entry says ------------------------------------------------------------------------- */

/* An argument as the log shows it: the beginning, and a note of what is not shown. */
struct shown {
    struct bytes head;
    char note[NOTE_BYTES_MAX];
    uint32_t note_len;
};

static struct shown show(const struct command *command, const struct request *request, uint32_t i) {
    struct shown shown = {.head = bytes_of("", 0)};
    bool is_rest = request->argc > SLOWLOG_ARGUMENTS && i == SLOWLOG_ARGUMENTS - 1;
    if (is_rest) {
        shown.note_len = (uint32_t)snprintf(shown.note, NOTE_BYTES_MAX, "... (%u more arguments)",
                                            request->argc - SLOWLOG_ARGUMENTS + 1);
        return shown;
    }
    shown.head = secret_shown(command, request->argv, request->argc, i);
    if (shown.head.len <= SLOWLOG_BYTES) return shown;
    shown.note_len = (uint32_t)snprintf(shown.note, NOTE_BYTES_MAX, "... (%u more bytes)",
                                        shown.head.len - SLOWLOG_BYTES);
    shown.head.len = SLOWLOG_BYTES;
    return shown;
}

static char *put(char *at, struct bytes head, const char *note, uint32_t note_len) {
    uint32_t len = head.len + note_len;
    memcpy(at, &len, sizeof len);
    memcpy(at + sizeof len, head.at, head.len);
    memcpy(at + sizeof len + head.len, note, note_len);
    return at + sizeof len + len;
}

static const char *take(const char *at, struct bytes *text) {
    uint32_t len;
    memcpy(&len, at, sizeof len);
    *text = bytes_of(at + sizeof len, len);
    return at + sizeof len + len;
}

static uint32_t shown_count(const struct request *request) {
    return request->argc < SLOWLOG_ARGUMENTS ? request->argc : SLOWLOG_ARGUMENTS;
}

static size_t shown_bytes(const struct command *command, const struct request *request) {
    size_t bytes = 0;
    for (uint32_t i = 0; i < shown_count(request); i++) {
        struct shown shown = show(command, request, i);
        bytes += sizeof(uint32_t) + shown.head.len + shown.note_len;
    }
    return bytes;
}

/* The name is read under the registry's lock, since the client may be elsewhere. NULL: no memory. */
static struct slow_entry *entry_new(struct fabric *fabric, const struct card *card,
                                    const struct command *command, const struct request *request,
                                    uint64_t us) {
    size_t bytes = shown_bytes(command, request) + sizeof(uint32_t) + CLIENT_NAME_MAX;
    struct slow_entry *entry = mem_alloc(NULL, sizeof *entry + bytes);
    if (!entry) return NULL;
    *entry =
        (struct slow_entry){.us = us, .at_s = clock_wall_ms() / 1000, .argc = shown_count(request)};
    char *at = entry->text;
    for (uint32_t i = 0; i < entry->argc; i++) {
        struct shown shown = show(command, request, i);
        at = put(at, shown.head, shown.note, shown.note_len);
    }
    pthread_mutex_lock(&fabric->registry.lock);
    const char *name = card && card->name ? card->name : "";
    size_t len = strlen(name);
    put(at, bytes_of(name, len < CLIENT_NAME_MAX ? len : CLIENT_NAME_MAX), "", 0);
    pthread_mutex_unlock(&fabric->registry.lock);
    if (card) entry->peer = card->peer;
    return entry;
}

/* ---- The list ----------------------------------------------------------------------------------- */

static struct slow_entry *remove_oldest(struct slowlog *log) {
    struct slow_entry *entry = log->oldest;
    log->oldest = entry->newer;
    if (log->oldest) log->oldest->older = NULL;
    else log->newest = NULL;
    log->count--;
    return entry;
}

static void add(struct slowlog *log, struct slow_entry *entry, uint64_t most) {
    struct slow_entry *surplus = NULL;
    pthread_mutex_lock(&log->lock);
    entry->id = log->next_id++;
    entry->older = log->newest;
    if (log->newest) log->newest->newer = entry;
    else log->oldest = entry;
    log->newest = entry;
    log->count++;
    while (log->count > most) {
        struct slow_entry *oldest = remove_oldest(log);
        oldest->older = surplus;
        surplus = oldest;
    }
    pthread_mutex_unlock(&log->lock);
    free_entries(surplus);
}

static uint64_t ticks_of(uint64_t us) {
    unsigned __int128 ticks = ((unsigned __int128)us * 1000 << 32) / clock_scale.ns_per_tick;
    return ticks < UINT64_MAX ? (uint64_t)ticks : UINT64_MAX;
}

void slowlog_apply(struct fabric *fabric) {
    const struct fabric_settings *settings = &fabric->settings;
    uint64_t least_us = UINT64_MAX;
    if (settings->slow_us >= 0 && settings->slow_entries) least_us = (uint64_t)settings->slow_us;
    if (settings->latency_ms && settings->latency_ms <= least_us / 1000)
        least_us = settings->latency_ms * 1000;
    fabric->slow_ticks = least_us == UINT64_MAX ? UINT64_MAX : ticks_of(least_us);
    fabric->times_all = least_us < SLOW_US_OF_FAST_CALLS;
}

void slowlog_note(struct shard *home, const struct origin *origin, const struct request *request,
                  const struct plan *plan, uint64_t ticks) {
    struct fabric *fabric = home->fabric;
    const struct fabric_settings *settings = &fabric->settings;
    const struct command *command = plan->command;
    uint64_t us = clock_ticks_to_ns(ticks) / 1000;
    latency_note_event(fabric, command->flags & CMD_FAST ? LATENCY_FAST_COMMAND : LATENCY_COMMAND,
                       us * 1000);
    if (settings->slow_us < 0 || us < (uint64_t)settings->slow_us || !settings->slow_entries ||
        (command->flags & CMD_SKIP_SLOWLOG))
        return;
    struct slow_entry *entry = entry_new(fabric, origin_card(origin), command, request, us);
    if (entry) add(&fabric->slowlog, entry, settings->slow_entries);
}

/* ---- SLOWLOG ------------------------------------------------------------------------------------ */

static void reply_entry(struct reply *reply, const struct slow_entry *entry) {
    struct bytes text;
    const char *at = entry->text;
    reply_array(reply, 6);
    reply_integer(reply, (int64_t)entry->id);
    reply_integer(reply, entry->at_s);
    reply_integer(reply, (int64_t)entry->us);
    reply_array(reply, entry->argc);
    for (uint32_t i = 0; i < entry->argc; i++) {
        at = take(at, &text);
        reply_bulk(reply, text);
    }
    take(at, &text);
    reply_bulk_text(reply, entry->peer.text);
    reply_bulk(reply, text);
}

static struct slowlog *log_of(struct call *call) {
    return &fabric_of(call)->slowlog;
}

static void slowlog_get_command(struct call *call) {
    int64_t count = COUNT_DEFAULT;
    struct slowlog *log = log_of(call);
    if (call->argc > 3) {
        call_error_subcommand(call);
        return;
    }
    if (call->argc == 3 && (!bytes_to_int64(call->argv[2], &count) || count < -1)) {
        call_error(call, "ERR count should be greater than or equal to -1");
        return;
    }
    pthread_mutex_lock(&log->lock);
    uint64_t left = count < 0 || (uint64_t)count > log->count ? log->count : (uint64_t)count;
    reply_array(call->reply, left);
    for (struct slow_entry *entry = log->newest; left; entry = entry->older, left--)
        reply_entry(call->reply, entry);
    pthread_mutex_unlock(&log->lock);
}

static void slowlog_len_command(struct call *call) {
    struct slowlog *log = log_of(call);
    pthread_mutex_lock(&log->lock);
    uint64_t count = log->count;
    pthread_mutex_unlock(&log->lock);
    reply_integer(call->reply, (int64_t)count);
}

static void slowlog_reset_command(struct call *call) {
    struct slowlog *log = log_of(call);
    pthread_mutex_lock(&log->lock);
    struct slow_entry *entries = log->newest;
    log->newest = log->oldest = NULL;
    log->count = 0;
    pthread_mutex_unlock(&log->lock);
    free_entries(entries);
    reply_ok(call->reply);
}

static void slowlog_help_command(struct call *call) {
    static const char *const lines[] = {
        "GET [<count>]",
        "    Return top <count> entries from the slowlog (default: 10, -1 mean all).",
        "    Entries are made of:",
        "    id, timestamp, time in microseconds, arguments array, client IP and port,",
        "    client name",
        "LEN",
        "    Return the length of the slowlog.",
        "RESET",
        "    Reset the slowlog.",
        NULL,
    };
    call_reply_help(call, lines);
}

void slowlog_bind(void) {
    command_bind("slowlog|get", slowlog_get_command);
    command_bind("slowlog|len", slowlog_len_command);
    command_bind("slowlog|reset", slowlog_reset_command);
    command_bind("slowlog|help", slowlog_help_command);
}
