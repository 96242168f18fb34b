/* Deadlines of keys: the EXPIRE family, the TTL family, PERSIST. */
#include "cmd/families.h"

/* ---- EXPIRE, PEXPIRE, EXPIREAT, PEXPIREAT ------------------------------------------------------- */

enum expire_flags { EXPIRE_NX = 1, EXPIRE_XX = 2, EXPIRE_GT = 4, EXPIRE_LT = 8 };

static bool expire_parse_flag(struct bytes word, unsigned *flags) {
    static const struct {
        const char *name;
        unsigned flag;
    } known[] = {{"nx", EXPIRE_NX}, {"xx", EXPIRE_XX}, {"gt", EXPIRE_GT}, {"lt", EXPIRE_LT}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (!bytes_is(word, known[i].name)) continue;
        *flags |= known[i].flag;
        return true;
    }
    return false;
}

static bool expire_parse(struct call *call, unsigned *flags) {
    for (uint32_t i = 3; i < call->argc; i++) {
        if (expire_parse_flag(call->argv[i], flags)) continue;
        call_error_format(call, "ERR Unsupported option %.*s", (int)call->argv[i].len,
                          call->argv[i].at);
        return false;
    }
    if (*flags & EXPIRE_NX && *flags & (EXPIRE_XX | EXPIRE_GT | EXPIRE_LT)) {
        call_error(call, "ERR NX and XX, GT or LT options at the same time are not compatible");
        return false;
    }
    if (*flags & EXPIRE_GT && *flags & EXPIRE_LT) {
        call_error(call, "ERR GT and LT options at the same time are not compatible");
        return false;
    }
    return true;
}

/* `unit_ms` is 1 or 1000; what is given counts from `base_ms`. */
static bool expire_deadline(struct call *call, int64_t unit_ms, int64_t base_ms,
                            int64_t *deadline) {
    int64_t value;
    if (!call_integer(call, 2, &value)) return false;
    bool overflow = value < INT64_MIN / unit_ms || value > INT64_MAX / unit_ms ||
                    __builtin_add_overflow(value * unit_ms, base_ms, deadline);
    if (overflow)
        call_error_format(call, "ERR invalid expire time in '%s' command",
                          call->command->full_name);
    /* Of a log it is kept, however long it has passed; 0 would be none. */
    if (KRT_UNLIKELY(call->flags & CALL_LOADING) && !overflow && *deadline < 1) *deadline = 1;
    return !overflow;
}

/* No deadline counts as an infinite one. */
static bool expire_allowed(unsigned flags, int64_t current, int64_t wanted) {
    if (flags & EXPIRE_NX && current) return false;
    if (flags & EXPIRE_XX && !current) return false;
    if (flags & EXPIRE_GT && (!current || wanted <= current)) return false;
    if (flags & EXPIRE_LT && current && wanted >= current) return false;
    return true;
}

static bool expire_set(struct call *call, const struct key_place *place, struct entry *entry,
                       int64_t deadline) {
    char number[24];
    if (!keyspace_set_deadline(place->keyspace, place->db, place->hash, entry, deadline)) {
        call_error_memory(call);
        return false;
    }
    struct bytes log[] = {BYTES_LITERAL("PEXPIREAT"), place->key,
                          bytes_of(number, bytes_from_int64(number, deadline))};
    effect_log(call, place->db, log, 3);
    effect_change(call, place, NOTIFY_GENERIC, "expire");
    return true;
}

static void expire_generic(struct call *call, int64_t unit_ms, int64_t base_ms) {
    unsigned flags = 0;
    int64_t deadline;
    if (!expire_parse(call, &flags) || !expire_deadline(call, unit_ms, base_ms, &deadline)) return;
    struct key_place place = keyspace_for(call, 1);
    struct entry *entry = call_find(call, &place);
    if (!entry || !expire_allowed(flags, entry_deadline(entry), deadline)) {
        reply_integer(call->reply, 0);
        return;
    }
    if (deadline <= call_due(call)) call_delete(call, &place, entry, NOTIFY_GENERIC, "del");
    else if (!expire_set(call, &place, entry, deadline)) return;
    reply_integer(call->reply, 1);
}

static void expire_command(struct call *call) {
    expire_generic(call, 1000, call_now(call));
}

static void pexpire_command(struct call *call) {
    expire_generic(call, 1, call_now(call));
}

static void expireat_command(struct call *call) {
    expire_generic(call, 1000, 0);
}

static void pexpireat_command(struct call *call) {
    expire_generic(call, 1, 0);
}

/* ---- TTL, PTTL, EXPIRETIME, PEXPIRETIME --------------------------------------------------------- */

/* Milliseconds from `base_ms` to the deadline; -1 without one, -2 without the key. */
static int64_t deadline_from(struct call *call, int64_t base_ms) {
    struct key_place place = keyspace_for(call, 1);
    struct entry *entry = call_look(call, &place);
    if (!entry) return -2;
    int64_t deadline = entry_deadline(entry);
    return deadline ? deadline - base_ms : -1;
}

static int64_t rounded_seconds(int64_t ms) {
    return ms < 0 ? ms : ms / 1000 + (ms % 1000 >= 500);
}

static void ttl_command(struct call *call) {
    reply_integer(call->reply, rounded_seconds(deadline_from(call, call_now(call))));
}

static void pttl_command(struct call *call) {
    reply_integer(call->reply, deadline_from(call, call_now(call)));
}

static void expiretime_command(struct call *call) {
    reply_integer(call->reply, rounded_seconds(deadline_from(call, 0)));
}

static void pexpiretime_command(struct call *call) {
    reply_integer(call->reply, deadline_from(call, 0));
}

/* ---- PERSIST ------------------------------------------------------------------------------------ */

static void persist_command(struct call *call) {
    struct key_place place = keyspace_for(call, 1);
    struct entry *entry = call_find(call, &place);
    if (!entry || entry_deadline(entry) == 0) {
        reply_integer(call->reply, 0);
        return;
    }
    if (!keyspace_set_deadline(place.keyspace, place.db, place.hash, entry, 0)) {
        call_error_memory(call);
        return;
    }
    effect_log_verbatim(call);
    effect_change(call, &place, NOTIFY_GENERIC, "persist");
    reply_integer(call->reply, 1);
}

void deadlines_bind(void) {
    command_bind("expire", expire_command);
    command_bind("pexpire", pexpire_command);
    command_bind("expireat", expireat_command);
    command_bind("pexpireat", pexpireat_command);
    command_bind("ttl", ttl_command);
    command_bind("pttl", pttl_command);
    command_bind("expiretime", expiretime_command);
    command_bind("pexpiretime", pexpiretime_command);
    command_bind("persist", persist_command);
}
