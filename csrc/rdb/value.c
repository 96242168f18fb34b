/* Reading values. What decides over FORM_LARGE and its kin is what Redis 7.4 does when it reads the same form. */
#include "rdb/value.h"

#include <math.h>

#include "base/assert.h"
#include "base/decimal.h"
#include "rdb/packed.h"
#include "store/hash_fields.h"
#include "store/listpack.h"
#include "store/zset.h"

/* 2^48 - 1, in milliseconds. */
static const uint64_t FIELD_DEADLINE_MAX = (UINT64_C(1) << 48) - 1;

bool value_check_build(struct value_maker *maker, enum build_result result) {
    if (KRT_LIKELY(result == BUILD_DONE)) {
        return true;
    }
    return result == BUILD_TWICE ? source_damaged(maker->source, "an element is in a value twice")
                                 : source_fail(maker->source, RDB_NO_MEMORY, "out of memory");
}

static void mark_large(struct value_maker *maker) {
    maker->build.type |= FORM_LARGE;
}

/* ---- Strings --------------------------------------------------------------------------------- */

/* What may lie in an entry is read to where it is copied from; more goes to its blob at once. */
static bool read_string(struct value_maker *maker, uint8_t type, struct built *built) {
    enum { INLINE_MAX = SLAB_MAX_BYTES };
    struct blob *blob;
    (void)type;
    *built = (struct built){.type = VALUE_STRING};
    return source_blob(maker->source, maker->heap->account, INLINE_MAX, SOURCE_FIRST, &built->bytes,
                       &blob);
}

/* ---- Lists ----------------------------------------------------------------------------------- */

/* What Redis's quicklist would be like: a list is small while it is one listpack that is short enough. */
struct list_nodes {
    uint64_t nodes, bytes, count; /* bytes: of the only node */
    bool plain;
};

enum { LIST_SAFE_BYTES = 8192, LIST_ESTIMATE_BYTES = 8 };

static uint64_t list_byte_limit(int64_t size) {
    if (size >= 0) {
        return LIST_SAFE_BYTES;
    }
    return UINT64_C(4096) << (size < -5 ? 4 : -size - 1);
}

static uint64_t list_count_limit(int64_t size) {
    return size < 0 ? UINT64_MAX : size == 0 ? 1 : (uint64_t)size;
}

/* An element at the end, as Redis pushes it. */
static void list_node_push(struct list_nodes *nodes, int64_t size, struct bytes element) {
    uint64_t limit = list_byte_limit(size);
    if (nodes->nodes > 1) {
        return;
    }
    nodes->plain |= element.len > limit;
    if (nodes->nodes == 0) {
        nodes->nodes = 1;
        nodes->bytes = LISTPACK_FRAME_BYTES;
    } else if (nodes->bytes + element.len + LIST_ESTIMATE_BYTES > limit ||
               nodes->count + 1 > list_count_limit(size)) {
        nodes->nodes++;
    }
    nodes->bytes += listpack_element_bytes(element);
    nodes->count++;
}

static bool list_is_small(const struct list_nodes *nodes, int64_t size) {
    return nodes->nodes == 1 && !nodes->plain && nodes->count <= list_count_limit(size) &&
           (size >= 0 || nodes->bytes <= list_byte_limit(size));
}

static bool read_list(struct value_maker *maker, uint8_t type) {
    uint64_t left;
    struct bytes element;
    struct list_nodes nodes = {0};
    int64_t size = maker->small->list_size;
    (void)type;
    if (!source_length(maker->source, &left)) {
        return false;
    }
    for (; left > 0; left--) {
        if (!source_string(maker->source, SOURCE_FIRST, &element) ||
            !value_check_build(maker, build_element(&maker->build, element))) {
            return false;
        }
        list_node_push(&nodes, size, element);
    }
    if (!list_is_small(&nodes, size)) {
        mark_large(maker);
    }
    return true;
}

/* Elements of one string, of which each goes to the list. Adds up what they take in a listpack. */
static bool read_packed_elements(struct value_maker *maker, enum packed_form form,
                                 struct bytes string, struct list_nodes *nodes) {
    struct packed packed;
    struct bytes element;
    uint64_t bytes = LISTPACK_FRAME_BYTES;
    packed_open(&packed, form, string);
    while (packed_next(&packed, &element)) {
        if (!value_check_build(maker, build_element(&maker->build, element))) {
            return false;
        }
        bytes += listpack_element_bytes(element);
    }
    if (packed.count > 0) {
        nodes->nodes++;
        nodes->count += packed.count;
        nodes->bytes = bytes;
    }
    return !packed.damaged || source_damaged(maker->source, "a packed list is damaged");
}

static bool read_list_ziplist(struct value_maker *maker, uint8_t type) {
    struct bytes string;
    struct list_nodes nodes = {0};
    (void)type;
    mark_large(maker);
    return source_string(maker->source, SOURCE_FIRST, &string) &&
           read_packed_elements(maker, PACKED_ZIPLIST, string, &nodes);
}

enum { QUICKLIST_PLAIN = 1, QUICKLIST_PACKED = 2 };

static bool read_plain_node(struct value_maker *maker, struct bytes string,
                            struct list_nodes *nodes) {
    nodes->plain = true;
    nodes->nodes++;
    nodes->count++;
    return value_check_build(maker, build_element(&maker->build, string));
}

static bool read_node(struct value_maker *maker, uint8_t type, struct list_nodes *nodes) {
    uint64_t container = QUICKLIST_PACKED;
    struct bytes string;
    struct source *source = maker->source;
    if (type == RDB_LIST_QUICKLIST_2 && !source_length(source, &container)) {
        return false;
    }
    if (container != QUICKLIST_PLAIN && container != QUICKLIST_PACKED) {
        return source_damaged(source, "a list's node of an unknown form");
    }
    if (!source_string(source, SOURCE_FIRST, &string)) {
        return false;
    }
    if (string.len == 0) {
        return source_damaged(source, "a list's node that is empty");
    }
    if (container == QUICKLIST_PLAIN) {
        return read_plain_node(maker, string, nodes);
    }
    bool old = type == RDB_LIST_QUICKLIST;
    return read_packed_elements(maker, old ? PACKED_ZIPLIST : PACKED_LISTPACK, string, nodes);
}

static bool read_quicklist(struct value_maker *maker, uint8_t type) {
    uint64_t left;
    struct list_nodes nodes = {0};
    if (!source_length(maker->source, &left)) {
        return false;
    }
    for (; left > 0; left--) {
        if (!read_node(maker, type, &nodes)) {
            return false;
        }
    }
    if (!list_is_small(&nodes, maker->small->list_size)) {
        mark_large(maker);
    }
    return true;
}

/* ---- Sets ------------------------------------------------------------------------------------ */

static bool is_integer(struct bytes member) {
    int64_t value;
    return bytes_to_int64(member, &value);
}

/* As Redis's set goes from integers to a listpack to a table, while its members come. */
static void name_set(struct value_maker *maker, struct bytes member) {
    struct build *build = &maker->build;
    const struct small_limits *small = maker->small;
    if ((build->type & FORM_LARGE) || (build->type & FORM_INTEGERS && is_integer(member))) {
        return;
    }
    build->type &= (uint8_t)~FORM_INTEGERS;
    if ((int64_t)build_count(build) >= small->set_entries || member.len > small->set_value) {
        build->type |= FORM_LARGE;
    }
}

static bool read_set(struct value_maker *maker, uint8_t type) {
    uint64_t left;
    struct bytes member;
    (void)type;
    if (!source_length(maker->source, &left)) {
        return false;
    }
    maker->build.type |= left > (uint64_t)maker->small->set_integers ? FORM_LARGE : FORM_INTEGERS;
    for (; left > 0; left--) {
        if (!source_string(maker->source, SOURCE_FIRST, &member)) {
            return false;
        }
        name_set(maker, member);
        if (!value_check_build(maker, build_member(&maker->build, member))) {
            return false;
        }
    }
    return true;
}

static bool read_packed_set(struct value_maker *maker, uint8_t type) {
    struct packed packed;
    struct bytes string, member;
    bool integers = type == RDB_SET_INTSET;
    const struct small_limits *small = maker->small;
    if (!source_string(maker->source, SOURCE_FIRST, &string)) {
        return false;
    }
    packed_open(&packed, integers ? PACKED_INTSET : PACKED_LISTPACK, string);
    while (packed_next(&packed, &member)) {
        if (!value_check_build(maker, build_member(&maker->build, member))) {
            return false;
        }
    }
    if (packed.damaged) {
        return source_damaged(maker->source, "a packed set is damaged");
    }
    int64_t limit = integers ? small->set_integers : small->set_entries;
    bool large = (int64_t)packed.count > limit;
    maker->build.type |= large ? FORM_LARGE : integers ? FORM_INTEGERS : 0;
    return true;
}

/* ---- Sorted sets ----------------------------------------------------------------------------- */

static bool read_text_score(struct source *source, double *score) {
    enum { SCORE_NAN = 253, SCORE_INFINITE = 254, SCORE_MINUS_INFINITE = 255 };
    uint8_t len;
    char text[SCORE_NAN];
    if (!source_u8(source, &len)) {
        return false;
    }
    switch (len) {
    case SCORE_NAN:
        *score = NAN;
        return true;
    case SCORE_INFINITE:
    case SCORE_MINUS_INFINITE:
        *score = len == SCORE_INFINITE ? INFINITY : -INFINITY;
        return true;
    default:
        return source_bytes(source, text, len) &&
               (decimal_to_double(bytes_of(text, len), score) ||
                source_damaged(source, "a score that is no number"));
    }
}

static bool read_score(struct source *source, uint8_t type, double *score) {
    bool read = type == RDB_ZSET_2 ? source_bytes(source, score, sizeof *score)
                                   : read_text_score(source, score);
    return read && (!isnan(*score) || source_damaged(source, "a score that is no number"));
}

static bool name_zset(struct value_maker *maker, bool large) {
    if (!value_check_build(maker, build_settle(&maker->build))) {
        return false;
    }
    if (large) {
        mark_large(maker);
        return true;
    }
    return build_unsign_zeros(&maker->build) || value_check_build(maker, BUILD_NO_MEMORY);
}

static bool read_zset(struct value_maker *maker, uint8_t type) {
    uint64_t left;
    double score;
    struct bytes member;
    const struct small_limits *small = maker->small;
    if (!source_length(maker->source, &left)) {
        return false;
    }
    bool large = left > (uint64_t)small->zset_entries;
    for (; left > 0; left--) {
        if (!source_string(maker->source, SOURCE_FIRST, &member) ||
            !read_score(maker->source, type, &score) ||
            !value_check_build(maker,
                               build_scored(&maker->build, tree_score_order(score), member))) {
            return false;
        }
        large |= member.len > small->zset_value;
    }
    return name_zset(maker, large);
}

static bool read_packed_zset(struct value_maker *maker, uint8_t type) {
    double score;
    struct packed packed;
    struct bytes string, member, text;
    bool old = type == RDB_ZSET_ZIPLIST;
    if (!source_string(maker->source, SOURCE_FIRST, &string)) {
        return false;
    }
    packed_open(&packed, old ? PACKED_ZIPLIST : PACKED_LISTPACK, string);
    while (packed_next(&packed, &member)) {
        if (!packed_next(&packed, &text) || !decimal_to_double(text, &score)) {
            packed.damaged = true;
            break;
        }
        if (!value_check_build(maker,
                               build_scored(&maker->build, tree_score_order(score), member))) {
            return false;
        }
    }
    if (packed.damaged) {
        return source_damaged(maker->source, "a packed sorted set is damaged");
    }
    return name_zset(maker, (int64_t)build_count(&maker->build) > maker->small->zset_entries);
}

/* ---- Hashes ---------------------------------------------------------------------------------- */

static void name_hash(struct value_maker *maker, const struct hash_field *field) {
    int64_t limit = maker->small->hash_value;
    if (field->name.len > limit || field->value.len > limit) {
        mark_large(maker);
    }
}

static bool read_field(struct value_maker *maker, struct hash_field *field) {
    return source_string(maker->source, SOURCE_FIRST, &field->name) &&
           source_string(maker->source, SOURCE_SECOND, &field->value);
}

/* How far behind the first deadline it is, and one more; or, before that form, the deadline. 0: none. */
static bool read_field_deadline(struct value_maker *maker, uint8_t type, uint64_t first_ms,
                                int64_t *deadline_ms) {
    uint64_t value;
    if (!source_length(maker->source, &value)) {
        return false;
    }
    if (value != 0 && type == RDB_HASH_FIELDS) {
        value = value - 1 <= FIELD_DEADLINE_MAX ? value - 1 + first_ms : UINT64_MAX;
    }
    if (value > FIELD_DEADLINE_MAX) {
        return source_damaged(maker->source, "a field's deadline that cannot be");
    }
    *deadline_ms = (int64_t)value;
    return true;
}

static bool read_first_deadline(struct value_maker *maker, uint64_t *first_ms) {
    *first_ms = 0;
    if (!source_u64(maker->source, first_ms)) {
        return false;
    }
    return *first_ms <= FIELD_DEADLINE_MAX + 1 ||
           source_damaged(maker->source, "a field's deadline that cannot be");
}

static bool read_hash(struct value_maker *maker, uint8_t type) {
    uint64_t left, first_ms = 0;
    bool timed = type != RDB_HASH;
    maker->build.type |= timed ? FORM_TIMED : 0;
    if ((type == RDB_HASH_FIELDS && !read_first_deadline(maker, &first_ms)) ||
        !source_length(maker->source, &left)) {
        return false;
    }
    if (left > (uint64_t)maker->small->hash_entries) {
        mark_large(maker);
    }
    for (; left > 0; left--) {
        struct hash_field field = {0};
        if ((timed && !read_field_deadline(maker, type, first_ms, &field.deadline_ms)) ||
            !read_field(maker, &field) ||
            !value_check_build(maker, build_field(&maker->build, &field))) {
            return false;
        }
        name_hash(maker, &field);
    }
    return true;
}

static bool read_packed_deadline(struct packed *packed, int64_t *deadline_ms) {
    struct bytes text;
    return packed_next(packed, &text) && bytes_to_int64(text, deadline_ms) && *deadline_ms >= 0 &&
           (uint64_t)*deadline_ms <= FIELD_DEADLINE_MAX;
}

static bool read_packed_fields(struct value_maker *maker, struct packed *packed, bool timed,
                               bool measured) {
    struct hash_field field = {0};
    while (packed_next(packed, &field.name)) {
        if (!packed_next(packed, &field.value) ||
            (timed && !read_packed_deadline(packed, &field.deadline_ms))) {
            packed->damaged = true;
            break;
        }
        if (!value_check_build(maker, build_field(&maker->build, &field))) {
            return false;
        }
        if (measured) {
            name_hash(maker, &field);
        }
    }
    return !packed->damaged || source_damaged(maker->source, "a packed hash is damaged");
}

static bool read_packed_hash(struct value_maker *maker, uint8_t type) {
    struct packed packed;
    struct bytes string;
    uint64_t first_ms;
    bool timed = type == RDB_HASH_LISTPACK_FIELDS || type == RDB_HASH_LISTPACK_FIELDS_PRE_GA;
    enum packed_form form = type == RDB_HASH_ZIPMAP    ? PACKED_ZIPMAP
                            : type == RDB_HASH_ZIPLIST ? PACKED_ZIPLIST
                                                       : PACKED_LISTPACK;
    maker->build.type |= timed ? FORM_TIMED : 0;
    if ((type == RDB_HASH_LISTPACK_FIELDS && !source_u64(maker->source, &first_ms)) ||
        !source_string(maker->source, SOURCE_FIRST, &string)) {
        return false;
    }
    packed_open(&packed, form, string);
    if (!read_packed_fields(maker, &packed, timed, type == RDB_HASH_ZIPMAP)) {
        return false;
    }
    if ((int64_t)build_count(&maker->build) > maker->small->hash_entries) {
        mark_large(maker);
    }
    return true;
}

/* ---- Any ------------------------------------------------------------------------------------- */

typedef bool value_reader(struct value_maker *maker, uint8_t type);

static const struct {
    enum value_type type;
    value_reader *read; /* NULL: no elements */
} readers[] = {
    [RDB_LIST] = {VALUE_LIST, read_list},
    [RDB_SET] = {VALUE_SET, read_set},
    [RDB_ZSET] = {VALUE_ZSET, read_zset},
    [RDB_HASH] = {VALUE_HASH, read_hash},
    [RDB_ZSET_2] = {VALUE_ZSET, read_zset},
    [RDB_HASH_ZIPMAP] = {VALUE_HASH, read_packed_hash},
    [RDB_LIST_ZIPLIST] = {VALUE_LIST, read_list_ziplist},
    [RDB_SET_INTSET] = {VALUE_SET, read_packed_set},
    [RDB_ZSET_ZIPLIST] = {VALUE_ZSET, read_packed_zset},
    [RDB_HASH_ZIPLIST] = {VALUE_HASH, read_packed_hash},
    [RDB_LIST_QUICKLIST] = {VALUE_LIST, read_quicklist},
    [RDB_HASH_LISTPACK] = {VALUE_HASH, read_packed_hash},
    [RDB_ZSET_LISTPACK] = {VALUE_ZSET, read_packed_zset},
    [RDB_LIST_QUICKLIST_2] = {VALUE_LIST, read_quicklist},
    [RDB_SET_LISTPACK] = {VALUE_SET, read_packed_set},
    [RDB_HASH_FIELDS_PRE_GA] = {VALUE_HASH, read_hash},
    [RDB_HASH_LISTPACK_FIELDS_PRE_GA] = {VALUE_HASH, read_packed_hash},
    [RDB_HASH_FIELDS] = {VALUE_HASH, read_hash},
    [RDB_HASH_LISTPACK_FIELDS] = {VALUE_HASH, read_packed_hash},
};

enum { READERS = sizeof readers / sizeof *readers };

static bool is_stream(uint8_t type) {
    return type == RDB_STREAM_LISTPACKS || type == RDB_STREAM_LISTPACKS_2 ||
           type == RDB_STREAM_LISTPACKS_3;
}

bool value_is_type(uint8_t type) {
    return type == RDB_STRING || is_stream(type) || (type < READERS && readers[type].read != NULL);
}

static bool refuse(struct value_maker *maker, uint8_t type) {
    bool is_module = type == RDB_MODULE_2 || type == RDB_MODULE_PRE_GA;
    return source_fail(maker->source, RDB_UNKNOWN,
                       is_module ? "a module's value" : "a value of an unknown type");
}

bool value_read(struct value_maker *maker, uint8_t type, struct built *built, bool *is_empty) {
    *is_empty = false;
    if (type == RDB_STRING) {
        return read_string(maker, type, built);
    }
    if (is_stream(type)) {
        return value_read_stream(maker, type, built);
    }
    if (!value_is_type(type)) {
        return refuse(maker, type);
    }
    build_begin(&maker->build, maker->heap, maker->seed, readers[type].type);
    if (!readers[type].read(maker, type) ||
        !value_check_build(maker, build_settle(&maker->build))) {
        build_drop(&maker->build);
        return false;
    }
    *is_empty = build_count(&maker->build) == 0;
    *built = build_end(&maker->build);
    return true;
}
