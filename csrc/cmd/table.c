/* The command table: see table.h for the contract, commands.def for the rows.
 *
 * Look-up folds a name of at most 24 bytes to lower case in three machine words and probes an open
 * hash of such words: no string comparison, no branch per letter. Subcommands share the hash; their
 * container is part of the key. The hash and the derived fields are filled by a constructor when
 * the library is loaded, so the hot path asks nothing about initialization.
 */
#include "cmd/table.h"

#include "base/assert.h"
#include "base/mem.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "name folding reads words in little-endian order"
#endif

/* --- The rows --------------------------------------------------------------------------------- */

#define KEYS(first, last, step) .first_key = (first), .last_key = (last), .key_step = (step)
#define NO_KEYS KEYS(0, 0, 0)
#define TIPS(...)           \
    (const char *const[]) { \
        __VA_ARGS__, NULL   \
    }
#define NO_TIPS NULL
#define NO_SPECS
#define INDEX(at) \
    { .type = KEY_BEGIN_INDEX, .position = (at) }
#define KEYWORD(text, from) \
    { .type = KEY_BEGIN_KEYWORD, .word = (text), .position = (from) }
#define UNKNOWN_BEGIN \
    { .type = KEY_BEGIN_UNKNOWN }
#define RANGE(end, stride, part) \
    { .type = KEY_FIND_RANGE, .last = (end), .step = (stride), .limit = (part) }
#define KEYNUM(number, key, stride) \
    { .type = KEY_FIND_KEYNUM, .count = (number), .first = (key), .step = (stride) }
#define UNKNOWN_FIND \
    { .type = KEY_FIND_UNKNOWN }
#define SPEC(begin_, find_, flags_) \
    { .flags = (flags_), .begin = begin_, .find = find_ }
#define SPEC_NOTED(begin_, find_, flags_, note_) \
    { .flags = (flags_), .begin = begin_, .find = find_, .note = (note_) }
#define KEY(at, flags_) SPEC(INDEX(at), RANGE(0, 1, 0), flags_)
#define KEY_NOTED(at, flags_, note_) SPEC_NOTED(INDEX(at), RANGE(0, 1, 0), flags_, note_)

#define SPEC_LIST(...)          \
    (const struct key_spec[]) { \
        __VA_ARGS__             \
    }

/* Keys and tips expand to lists with commas, so the outer macros place them instead of passing them
 * on. */
#define FACTS(arity_, since_, owner_, group_, flags_, acl_)                                 \
    .arity = (arity_), .since = (since_), .owner = OWNER_##owner_, .group = GROUP_##group_, \
    .flags = (flags_), .acl = (acl_)
#define SPECS(...)                   \
    .specs = SPEC_LIST(__VA_ARGS__), \
    .spec_count = sizeof(SPEC_LIST(__VA_ARGS__)) / sizeof(struct key_spec)
#define COMMAND(name_, arity, since, owner, group, flags, acl, keys, tips_, ...) \
    {.name = (name_),                                                            \
     .full_name = (name_),                                                       \
     FACTS(arity, since, owner, group, flags, acl),                              \
     keys,                                                                       \
     .tips = tips_,                                                              \
     SPECS(__VA_ARGS__)},
#define SUBCOMMAND(parent, name_, arity, since, owner, group, flags, acl, keys, tips_, ...) \
    {.name = (name_),                                                                       \
     .full_name = parent "|" name_,                                                         \
     FACTS(arity, since, owner, group, flags, acl),                                         \
     keys,                                                                                  \
     .tips = tips_,                                                                         \
     SPECS(__VA_ARGS__)},

static struct command rows[] = {
#include "cmd/commands.def"
};

#define ROW_COUNT (sizeof(rows) / sizeof(rows[0]))

/* --- Names as words --------------------------------------------------------------------------- */

#define NAME_WORDS (COMMAND_NAME_MAX / 8)
#define ONES 0x0101010101010101ull

struct folded_name {
    uint64_t words[NAME_WORDS];
    uint32_t len;
};

_Static_assert(NAME_WORDS == 3, "name_fold and slot_is spell the words out");

/* Sets bit 5 of every byte in 'A'..'Z'. The additions carry into a byte's top bit exactly when its
 * low seven bits reach the bound, and never into the next byte. */
static inline uint64_t word_to_lower(uint64_t word) {
    uint64_t low = word & (0x7f * ONES);
    uint64_t from_a = low + (0x80 - 'A') * ONES;
    uint64_t above_z = low + (0x7f - 'Z') * ONES;
    uint64_t upper = (from_a ^ above_z) & ~word & (0x80 * ONES);
    return word | (upper >> 2);
}

static inline uint64_t load_32(const char *at) {
    uint32_t word;
    memcpy(&word, at, sizeof(word));
    return word;
}

/* The 1 to 8 bytes at `at`, zero-padded, without reading past them: overlapping loads agree where
 * they overlap. */
static inline uint64_t word_load(const char *at, size_t len) {
    if (len >= 4) return load_32(at) | load_32(at + len - 4) << (8 * (len - 4));
    const unsigned char *byte = (const unsigned char *)at;
    size_t middle = len / 2, last = len - 1;
    return byte[0] | (uint64_t)byte[middle] << (8 * middle) | (uint64_t)byte[last] << (8 * last);
}

static inline uint64_t word_fold(struct bytes name, size_t from) {
    if (name.len <= from) return 0;
    size_t left = name.len - from;
    return word_to_lower(word_load(name.at + from, left < 8 ? left : 8));
}

/* Each word by itself, not in a loop: so they stay in registers. */
static inline bool name_fold(struct folded_name *out, struct bytes name) {
    if (name.len == 0 || name.len > COMMAND_NAME_MAX) return false;
    out->words[0] = word_fold(name, 0);
    out->words[1] = word_fold(name, 8);
    out->words[2] = word_fold(name, 16);
    out->len = name.len;
    return true;
}

/* --- The hash --------------------------------------------------------------------------------- */

#define SLOT_BITS 10
#define SLOT_COUNT (1u << SLOT_BITS)
#define TOP_LEVEL UINT16_MAX /* the container of what has none */

_Static_assert(ROW_COUNT * 2 < SLOT_COUNT, "probes stay short only in a hash that is half empty");

/* What a name needs beside its letters: who contains it, and its length, which tells "get" from
 * "get" followed by a zero byte. No name has the tag 0, which marks a free slot. */
static inline uint32_t tag_of(uint32_t len, uint32_t container) {
    return container << 16 | len;
}

struct slot {
    uint64_t words[NAME_WORDS];
    uint32_t tag;
    uint32_t row;
} __attribute__((aligned(32))); /* never on two cache lines */

static struct slot slots[SLOT_COUNT]; /* written by the constructor only */

static inline uint32_t slot_first(const struct folded_name *name, uint32_t tag) {
    uint64_t hash = name->words[0] * 0x9e3779b97f4a7c15ull;
    hash ^= (name->words[1] + tag) * 0xc2b2ae3d27d4eb4full;
    hash ^= name->words[2] * 0x165667b19e3779f9ull;
    return (uint32_t)(hash >> (64 - SLOT_BITS));
}

static inline bool slot_is(const struct slot *slot, const struct folded_name *name, uint32_t tag) {
    uint64_t difference = (slot->words[0] ^ name->words[0]) | (slot->words[1] ^ name->words[1]) |
                          (slot->words[2] ^ name->words[2]) | (slot->tag ^ tag);
    return difference == 0;
}

static inline const struct command *row_find(const struct folded_name *name, uint32_t container) {
    uint32_t tag = tag_of(name->len, container);
    uint32_t at = slot_first(name, tag);
    while (slots[at].tag != 0) {
        if (KRT_LIKELY(slot_is(&slots[at], name, tag))) {
            return &rows[slots[at].row];
        }
        at = (at + 1) % SLOT_COUNT;
    }
    return NULL;
}

static void row_insert(const struct command *row) {
    struct folded_name name;
    uint32_t container = row->container ? row->container->id : TOP_LEVEL;
    bool fits = name_fold(&name, bytes_of(row->name, strlen(row->name)));
    KRT_ASSERT(fits);
    KRT_ASSERT(row_find(&name, container) == NULL);
    uint32_t tag = tag_of(name.len, container);
    uint32_t at = slot_first(&name, tag);
    while (slots[at].tag != 0) {
        at = (at + 1) % SLOT_COUNT;
    }
    memcpy(slots[at].words, name.words, sizeof(name.words));
    slots[at].tag = tag;
    slots[at].row = row->id;
}

/* --- Look-up and binding ---------------------------------------------------------------------- */

const struct command *command_find(const struct bytes *argv, size_t argc) {
    struct folded_name name;
    if (argc == 0 || !name_fold(&name, argv[0])) return NULL;
    const struct command *command = row_find(&name, TOP_LEVEL);
    if (command == NULL || command->subcommand_count == 0 || argc == 1) return command;
    return name_fold(&name, argv[1]) ? row_find(&name, command->id) : NULL;
}

const struct command *command_find_name(struct bytes full_name) {
    const char *bar = full_name.len ? memchr(full_name.at, '|', full_name.len) : NULL;
    if (bar == NULL) return command_find(&full_name, 1);
    size_t prefix = (size_t)(bar - full_name.at);
    struct bytes parts[2] = {bytes_of(full_name.at, prefix),
                             bytes_of(bar + 1, full_name.len - prefix - 1)};
    const struct command *command = command_find(parts, 2);
    return command && command->container ? command : NULL;
}

/* Of a name that exists. */
static struct command *row_of(const char *full_name) {
    const struct command *found = command_find_name(bytes_of(full_name, strlen(full_name)));
    KRT_ASSERT(found != NULL);
    return &rows[found->id];
}

/* Servers may start at the same time on several threads: the first to come binds, the others find
 * the same handler there and write nothing that a running shard could be reading. */
void command_bind(const char *full_name, void (*handler)(struct call *)) {
    struct command *row = row_of(full_name);
    KRT_ASSERT(handler != NULL);
    void (*bound)(struct call *) = NULL;
    bool first = __atomic_compare_exchange_n(&row->handler, &bound, handler, false,
                                             __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
    KRT_ASSERT(first || bound == handler);
}

void command_bind_local(const char *full_name, void (*handler)(struct call *)) {
    struct command *row = row_of(full_name);
    if (!row->local) row->local = true;
    command_bind(full_name, handler);
}

void command_bind_local_if(const char *full_name, void (*handler)(struct call *),
                           bool (*stays)(const struct bytes *argv, uint32_t argc)) {
    struct command *row = row_of(full_name);
    if (row->stays != stays) row->stays = stays;
    command_bind_local(full_name, handler);
}

void command_bind_all_shards(const char *full_name, void (*handler)(struct call *)) {
    struct command *row = row_of(full_name);
    if (!row->all_shards) row->all_shards = true;
    command_bind(full_name, handler);
}

void command_bind_placed(const char *full_name, void (*handler)(struct call *),
                         uint64_t (*places)(const struct domain *, const struct bytes *argv,
                                            uint32_t argc)) {
    struct command *row = row_of(full_name);
    if (row->places != places) row->places = places;
    command_bind(full_name, handler);
}

void command_bind_open(const char *full_name, void (*handler)(struct call *),
                       uint64_t (*places)(const struct domain *, const struct bytes *argv,
                                          uint32_t argc)) {
    struct command *row = row_of(full_name);
    if (!row->open) row->open = true;
    if (row->places != places) row->places = places;
    command_bind(full_name, handler);
}

void command_set_at_once(const char *full_name) {
    struct command *row = row_of(full_name);
    if (!row->at_once) row->at_once = true;
}

static size_t top_level_count;

size_t command_count_top_level(void) {
    return top_level_count;
}

size_t command_count(void) {
    return ROW_COUNT;
}

const struct command *command_at(size_t id) {
    KRT_ASSERT(id < ROW_COUNT);
    return &rows[id];
}

/* --- Key positions ---------------------------------------------------------------------------- */

struct key_list {
    struct key_ref *out;
    size_t capacity;
    size_t count; /* may exceed capacity */
};

static inline void key_add(struct key_list *list, size_t index, uint32_t flags) {
    if (list->count < list->capacity) {
        list->out[list->count] = (struct key_ref){.index = (uint32_t)index, .flags = flags};
    }
    list->count++;
}

/* `upper` as keywords are written in commands.def. */
static bool keyword_is(struct bytes argument, const char *upper) {
    struct folded_name given, wanted;
    return name_fold(&given, argument) && name_fold(&wanted, bytes_of(upper, strlen(upper))) &&
           given.len == wanted.len && memcmp(given.words, wanted.words, sizeof(given.words)) == 0;
}

/* Behind the first keyword from argv[from] on, or 0. The last argument is not looked at: nothing
 * could follow it. */
static size_t keyword_find(const char *word, size_t from, const struct bytes *argv, size_t argc) {
    for (size_t i = from; i + 1 < argc; i++) {
        if (keyword_is(argv[i], word)) return i + 1;
    }
    return 0;
}

static bool keys_of_range(const struct key_spec *spec, size_t begin, size_t argc,
                          struct key_list *list) {
    ptrdiff_t last = spec->find.last;
    if (last >= 0) {
        last += (ptrdiff_t)begin;
    } else if (spec->find.limit > 1) {
        last += (ptrdiff_t)(begin + (argc - begin) / (size_t)spec->find.limit);
    } else {
        last += (ptrdiff_t)argc;
    }
    if (last < (ptrdiff_t)begin || last >= (ptrdiff_t)argc) return false;
    for (size_t i = begin; i <= (size_t)last; i += (size_t)spec->find.step) {
        key_add(list, i, spec->flags);
    }
    return true;
}

static bool keys_of_count(const struct key_spec *spec, size_t begin, const struct bytes *argv,
                          size_t argc, struct key_list *list) {
    size_t count_at = begin + (size_t)spec->find.count;
    size_t first = begin + (size_t)spec->find.first;
    size_t step = (size_t)spec->find.step;
    int64_t count;
    if (count_at >= argc || !bytes_to_int64(argv[count_at], &count) || count < 0) return false;
    size_t room = first < argc ? (argc - first + step - 1) / step : 0;
    if ((uint64_t)count > room) return false;
    for (size_t i = 0; i < (size_t)count; i++) key_add(list, first + i * step, spec->flags);
    return true;
}

/* Adds what one spec finds; false if the arguments contradict it. A keyword that is not there and a
 * spec that says only "unknown" add nothing. */
static bool keys_of_spec(const struct key_spec *spec, const struct bytes *argv, size_t argc,
                         struct key_list *list) {
    if (spec->begin.type == KEY_BEGIN_UNKNOWN || spec->flags & KEY_NOT_KEY) return true;
    size_t begin = (size_t)spec->begin.position;
    if (spec->begin.type == KEY_BEGIN_KEYWORD) {
        begin = keyword_find(spec->begin.word, begin, argv, argc);
        if (begin == 0) return true;
    }
    if (begin >= argc) return false;
    if (spec->find.type == KEY_FIND_KEYNUM) return keys_of_count(spec, begin, argv, argc, list);
    return keys_of_range(spec, begin, argc, list);
}

/* SORT key [BY p] [LIMIT o n] [GET p ...] [STORE dest]: the specs cannot say where STORE is,
 * because its word may also be the argument of another option. The last STORE wins. */
static bool keys_of_sort(const struct command *command, const struct bytes *argv, size_t argc,
                         struct key_list *list) {
    size_t store = 0;
    for (size_t i = 2; i < argc; i++) {
        if (keyword_is(argv[i], "LIMIT")) {
            i += 2;
        } else if (keyword_is(argv[i], "BY") || keyword_is(argv[i], "GET")) {
            i++;
        } else if (keyword_is(argv[i], "STORE") && i + 1 < argc) {
            store = ++i;
        }
    }
    key_add(list, 1, command->specs[0].flags);
    if (store) key_add(list, store, KEY_OW | KEY_UPDATE);
    return true;
}

/* MIGRATE host port key|"" db timeout [COPY] [REPLACE] [AUTH p] [AUTH2 u p] [KEYS key ...]: KEYS
 * may be a password, and asks for an empty argv[3]. */
static bool keys_of_migrate(const struct command *command, const struct bytes *argv, size_t argc,
                            struct key_list *list) {
    size_t first = 3, end = 4;
    for (size_t i = 6; i < argc; i++) {
        if (keyword_is(argv[i], "AUTH")) {
            i++;
        } else if (keyword_is(argv[i], "AUTH2")) {
            i += 2;
        } else if (keyword_is(argv[i], "KEYS")) {
            if (argv[3].len > 0 || i + 1 == argc) return false;
            first = i + 1;
            end = argc;
            break;
        }
    }
    for (size_t i = first; i < end; i++) key_add(list, i, command->specs[0].flags);
    return true;
}

static bool keys_of_specs(const struct command *command, const struct bytes *argv, size_t argc,
                          struct key_list *list) {
    for (size_t i = 0; i < command->spec_count; i++) {
        if (!keys_of_spec(&command->specs[i], argv, argc, list)) return false;
    }
    return true;
}

int command_keys(const struct command *command, const struct bytes *argv, size_t argc,
                 struct key_ref *out, size_t capacity) {
    KRT_DCHECK(command_arity_ok(command, argc));
    struct key_list list = {.out = out, .capacity = capacity};
    if (command->find_keys == NULL) return 0;
    return command->find_keys(command, argv, argc, &list) ? (int)list.count : -1;
}

bool key_refs_init(struct key_refs *refs, const struct command *command, const struct bytes *argv,
                   size_t argc) {
    refs->at = refs->few;
    refs->count = command_keys(command, argv, argc, refs->few, KEY_REFS_FEW);
    if (KRT_LIKELY(refs->count <= KEY_REFS_FEW)) return true;
    refs->at = mem_alloc(NULL, (size_t)refs->count * sizeof *refs->at);
    if (!refs->at) return false;
    refs->count = command_keys(command, argv, argc, refs->at, (size_t)refs->count);
    return true;
}

void key_refs_deinit(struct key_refs *refs) {
    if (refs->at != refs->few) mem_free(NULL, refs->at);
}

/* --- Loading ---------------------------------------------------------------------------------- */

static uint32_t acl_implied(const struct command *row) {
    uint32_t acl = row->flags & CMD_FAST ? ACL_FAST : ACL_SLOW;
    if (row->flags & CMD_WRITE) acl |= ACL_WRITE;
    if (row->flags & CMD_READONLY && !(row->acl & ACL_SCRIPTING)) acl |= ACL_READ;
    if (row->flags & CMD_ADMIN) acl |= ACL_ADMIN | ACL_DANGEROUS;
    if (row->flags & CMD_PUBSUB) acl |= ACL_PUBSUB;
    if (row->flags & CMD_BLOCKING) acl |= ACL_BLOCKING;
    return acl;
}

/* Hangs a subcommand under the container whose rows it stands in (T2). */
static void row_join(struct command *row, struct command *container) {
    size_t prefix = strlen(container->name);
    KRT_ASSERT(strncmp(row->full_name, container->name, prefix) == 0);
    KRT_ASSERT(row->full_name[prefix] == '|');
    row->container = container;
    if (container->subcommand_count++ == 0) container->subcommands = row;
}

static void row_choose_finder(struct command *row) {
    static const struct {
        const char *name;
        bool (*find)(const struct command *, const struct bytes *, size_t, struct key_list *);
    } irregular[] = {{"migrate", keys_of_migrate}, {"sort", keys_of_sort}};

    if (row->spec_count == 0) return;
    row->find_keys = keys_of_specs;
    for (size_t i = 0; i < sizeof(irregular) / sizeof(irregular[0]); i++) {
        if (strcmp(row->full_name, irregular[i].name) == 0) row->find_keys = irregular[i].find;
    }
}

__attribute__((constructor)) static void table_build(void) {
    struct command *top = NULL;
    for (size_t id = 0; id < ROW_COUNT; id++) {
        struct command *row = &rows[id];
        row->id = (uint16_t)id;
        row->acl |= acl_implied(row);
        if (strchr(row->full_name, '|') == NULL) {
            top = row;
            top_level_count++;
        } else {
            KRT_ASSERT(top != NULL);
            row_join(row, top);
        }
        row_choose_finder(row);
        row_insert(row);
    }
}

/* --- Names for clients ------------------------------------------------------------------------ */

#define X(name, text) text,

const char *command_flag_name(enum command_flag_bit bit) {
    static const char *const names[] = {COMMAND_FLAGS(X)};
    KRT_ASSERT((size_t)bit < CMD_BIT_COUNT);
    return names[bit];
}

const char *command_acl_name(enum command_acl_bit bit) {
    static const char *const names[] = {COMMAND_ACL(X)};
    KRT_ASSERT((size_t)bit < ACL_BIT_COUNT);
    return names[bit];
}

const char *command_key_flag_name(enum key_flag_bit bit) {
    static const char *const names[] = {COMMAND_KEY_FLAGS(X)};
    KRT_ASSERT((size_t)bit < KEY_BIT_COUNT);
    return names[bit];
}

const char *command_group_name(enum command_group group) {
    static const char *const names[] = {COMMAND_GROUPS(X)};
    KRT_ASSERT((size_t)group < GROUP_COUNT);
    return names[group];
}

#undef X
