/* Entries of streams: XADD, XTRIM, XDEL, XLEN. */
#include "cmd/families.h"
#include "cmd/stream.h"

/* ---- Opening ------------------------------------------------------------------------------------ */

static bool open_stream(struct call *call, const struct key_place *place, struct entry *entry,
                        struct stream_edit *edit) {
    struct edit_place where = {place->keyspace, place->db, place->hash, place->key};
    if (KRT_LIKELY(stream_edit_open(edit, &where, entry))) return true;
    call_error_memory(call);
    return false;
}

static void refuse_memory(struct call *call, struct stream_edit *edit) {
    stream_edit_close(edit);
    call_error_memory(call);
}

/* ---- What the log gets -------------------------------------------------------------------------- */

/* XADD and XTRIM with the id that an entry got, and with a trim that takes what was taken: words that are
 * put together beforehand, but for the texts of id and threshold. */
struct stream_log {
    struct bytes few[STREAM_IDS_FEW];
    struct bytes *words; /* NULL: as it came */
    uint32_t count;
    struct bytes *id, *threshold; /* among the words */
    char id_text[STREAM_ID_TEXT_MAX], threshold_text[STREAM_ID_TEXT_MAX];
};

static struct bytes *add_word(struct stream_log *log, struct bytes word) {
    log->words[log->count] = word;
    return &log->words[log->count++];
}

static void add_trim(struct stream_log *log, const struct stream_trim *trim) {
    bool by_length = trim->by == STREAM_TRIM_BY_LENGTH;
    (void)add_word(log, by_length ? BYTES_LITERAL("MAXLEN") : BYTES_LITERAL("MINID"));
    (void)add_word(log, BYTES_LITERAL("="));
    log->threshold = add_word(log, (struct bytes){0});
}

/* False: no memory. */
static bool open_log(struct call *call, const struct stream_options *options,
                     struct stream_log *log) {
    const struct stream_trim *trim = &options->trim;
    uint32_t fields = call->argc - options->id_index;
    bool as_it_came = !options->any_id && !options->any_seq && !trim->approximate;
    log->words = NULL;
    log->count = 0;
    log->id = log->threshold = NULL;
    if (KRT_LIKELY(!effects_want(call->effects, EFFECT_LOG)) || as_it_came) return true;
    uint32_t room = 2 + 3 + fields;
    log->words = room <= STREAM_IDS_FEW ? log->few : mem_alloc(NULL, room * sizeof *log->words);
    if (!log->words) return false;
    (void)add_word(log, call->argv[0]);
    (void)add_word(log, call->argv[1]);
    if (trim->by != STREAM_TRIM_NONE) add_trim(log, trim);
    for (uint32_t i = 0; i < fields; i++) {
        struct bytes *word = add_word(log, call->argv[options->id_index + i]);
        if (i == 0) log->id = word;
    }
    return true;
}

/* The threshold that takes from the stream as it was what is gone from it now. */
static struct bytes threshold_of(const struct collection *collection,
                                 const struct stream_trim *trim, char text[STREAM_ID_TEXT_MAX]) {
    uint64_t count = stream_count(collection);
    if (!trim->approximate) {
        return trim->by == STREAM_TRIM_BY_ID
                   ? stream_id_text(trim->min_id, text)
                   : bytes_of(text, bytes_from_uint64(text, trim->length));
    }
    if (trim->by == STREAM_TRIM_BY_ID)
        return stream_id_text(count > 0 ? stream_first_id(collection) : trim->min_id, text);
    return bytes_of(text, bytes_from_uint64(text, count));
}

static void write_log(struct call *call, struct stream_log *log,
                      const struct collection *collection, const struct stream_trim *trim) {
    if (!log->words) {
        effect_log_verbatim(call);
        return;
    }
    if (log->id) *log->id = stream_id_text(stream_of(collection)->last_id, log->id_text);
    if (log->threshold) *log->threshold = threshold_of(collection, trim, log->threshold_text);
    effect_log(call, call->db, log->words, log->count);
}

static void close_log(struct stream_log *log) {
    if (log->words != log->few) mem_free(NULL, log->words);
}

/* ---- XADD --------------------------------------------------------------------------------------- */

/* The id of the next entry, by the clock if none is given. */
static bool next_id(struct call *call, struct stream_id last, const struct stream_options *options,
                    struct stream_id *id) {
    *id = options->id;
    if (options->any_id) {
        *id = (struct stream_id){(uint64_t)call_now(call), 0};
        if (id->ms <= last.ms) {
            *id = last;
            (void)stream_id_increase(id);
        }
    } else if (options->any_seq && id->ms == last.ms) {
        id->seq = last.seq + 1; /* 0 behind the last one, which is too small */
    }
    if (stream_id_compare(*id, last) > 0) return true;
    call_error(call, "ERR The ID specified in XADD is equal or smaller than the target stream top "
                     "item");
    return false;
}

/* Does the stream take an entry with this id? False after the error reply. */
static bool check_entry(struct call *call, const struct entry *entry,
                        const struct stream_options *options, struct stream_id *id) {
    struct stream_id last = {0, 0};
    uint64_t bytes = 0;
    if (entry) last = stream_of(entry_collection(entry))->last_id;
    if (stream_id_compare(last, STREAM_ID_MAX) == 0) {
        call_error(call, "ERR The stream has exhausted the last possible ID, unable to add more "
                         "items");
        return false;
    }
    if (!next_id(call, last, options, id)) return false;
    for (uint32_t i = options->id_index + 1; i < call->argc; i++) bytes += call->argv[i].len;
    if (bytes <= STREAM_ENTRY_BYTES_MAX) return true;
    call_error(call, "ERR Elements are too large to be stored");
    return false;
}

static bool parse_entry(struct call *call, struct stream_options *options) {
    if (!stream_parse_options(call, true, options)) return false;
    uint32_t behind = options->id_index < call->argc ? call->argc - options->id_index - 1 : 0;
    if (behind < 2 || behind % 2) {
        call_error_arity(call);
        return false;
    }
    if (options->any_id || options->any_seq || !stream_id_is_zero(options->id)) return true;
    call_error(call, "ERR The ID specified in XADD must be greater than 0-0");
    return false;
}

static void declare_entry(struct call *call, const struct key_place *place, bool created,
                          uint64_t trimmed) {
    if (created) effect_notify(call, place, NOTIFY_NEW, "new");
    effect_ready(call, place, VALUE_STREAM);
    effect_change(call, place, NOTIFY_STREAM, "xadd");
    if (trimmed > 0) effect_notify(call, place, NOTIFY_STREAM, "xtrim");
}

static void add_entry(struct call *call, const struct key_place *place, struct entry *entry,
                      struct stream_options *options) {
    struct stream_edit edit;
    struct stream_log log;
    uint64_t trimmed = 0;
    const struct stream_trim *trim = &options->trim;
    const struct bytes *fields = call->argv + options->id_index + 1;
    struct stream_limits limits = stream_limits_of(call);
    if (!open_stream(call, place, entry, &edit)) return;
    if (!open_log(call, options, &log)) {
        refuse_memory(call, &edit);
        return;
    }
    if (stream_edit_prepare(&edit, options->id, fields, (call->argc - options->id_index - 1) / 2,
                            &limits, trim)) {
        stream_edit_append(&edit);
        if (trim->by != STREAM_TRIM_NONE) trimmed = stream_edit_trim(&edit, trim);
        stream_edit_close(&edit);
        write_log(call, &log, edit.collection, trim);
        declare_entry(call, place, edit.created, trimmed);
        stream_reply_id(call->reply, options->id);
    } else {
        refuse_memory(call, &edit);
    }
    close_log(&log);
}

static void xadd_command(struct call *call) {
    struct entry *entry;
    struct stream_options options;
    struct key_place place = keyspace_for(call, 1);
    if (!parse_entry(call, &options) || !elements_find(call, &place, VALUE_STREAM, &entry)) return;
    if (!entry && options.no_make) {
        reply_null(call->reply);
        return;
    }
    if (check_entry(call, entry, &options, &options.id)) add_entry(call, &place, entry, &options);
}

/* ---- XTRIM -------------------------------------------------------------------------------------- */

/* The stream of a key that is there; NULL after the reply for one that is not, or of another type. */
static struct entry *find_stream(struct call *call, const struct key_place *place) {
    struct entry *entry;
    if (!elements_find(call, place, VALUE_STREAM, &entry)) return NULL;
    if (!entry) reply_integer(call->reply, 0);
    return entry;
}

static void declare_removed(struct call *call, const struct key_place *place, uint64_t count,
                            const char *event) {
    elements_count_dirty(call, count);
    effect_change(call, place, NOTIFY_STREAM, event);
}

static void xtrim_command(struct call *call) {
    struct stream_edit edit;
    struct stream_log log;
    struct stream_options options;
    struct key_place place = keyspace_for(call, 1);
    struct entry *entry;
    if (!stream_parse_options(call, false, &options) || !(entry = find_stream(call, &place)) ||
        !open_stream(call, &place, entry, &edit))
        return;
    /* A log of few words needs no memory. */
    if (!open_log(call, &options, &log) || !stream_edit_reserve_trim(&edit, &options.trim)) {
        refuse_memory(call, &edit);
        return;
    }
    uint64_t trimmed = stream_edit_trim(&edit, &options.trim);
    stream_edit_close(&edit);
    if (trimmed > 0) {
        write_log(call, &log, edit.collection, &options.trim);
        declare_removed(call, &place, trimmed, "xtrim");
    }
    reply_integer(call->reply, (int64_t)trimmed);
}

/* ---- XDEL --------------------------------------------------------------------------------------- */

static void erase_entries(struct call *call, const struct key_place *place, struct entry *entry,
                          const struct stream_id *ids, uint32_t count) {
    struct stream_edit edit;
    uint64_t erased = 0;
    if (!open_stream(call, place, entry, &edit)) return;
    if (!stream_edit_reserve_erasures(&edit, count)) {
        refuse_memory(call, &edit);
        return;
    }
    for (uint32_t i = 0; i < count; i++) erased += stream_edit_erase(&edit, ids[i]);
    stream_edit_close(&edit);
    if (erased > 0) {
        effect_log_verbatim(call);
        declare_removed(call, place, erased, "xdel");
    }
    reply_integer(call->reply, (int64_t)erased);
}

static void xdel_command(struct call *call) {
    struct stream_id few[STREAM_IDS_FEW];
    struct key_place place = keyspace_for(call, 1);
    struct entry *entry = find_stream(call, &place);
    struct stream_id *ids = entry ? stream_parse_ids(call, 2, few) : NULL;
    if (!ids) return;
    erase_entries(call, &place, entry, ids, call->argc - 2);
    stream_ids_free(ids, few);
}

/* ---- XLEN --------------------------------------------------------------------------------------- */

static void xlen_command(struct call *call) {
    const struct collection *collection;
    struct key_place place = keyspace_for(call, 1);
    if (stream_read(call, &place, &collection))
        reply_integer(call->reply, collection ? (int64_t)stream_count(collection) : 0);
}

void streams_bind(void) {
    command_bind("xadd", xadd_command);
    command_bind("xlen", xlen_command);
    command_bind("xdel", xdel_command);
    command_bind("xtrim", xtrim_command);
}
