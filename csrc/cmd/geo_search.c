/* GEOSEARCH, GEOSEARCHSTORE and the older GEORADIUS forms: members of a sorted set near a place. */
#include <stdlib.h>

#include "base/decimal.h"
#include "cmd/families.h"
#include "cmd/geo.h"
#include "cmd/zset_members.h"

enum search_kind {
    SEARCH_COORDS = 1, /* GEORADIUS: place and radius come first */
    SEARCH_MEMBER = 2, /* GEORADIUSBYMEMBER: member and radius come first */
    SEARCH_WORDS = 4,  /* GEOSEARCH: all is said by words */
    SEARCH_STORES = 8, /* GEOSEARCHSTORE: the target is the first key */
    SEARCH_READS = 16, /* the _RO forms: STORE is unknown */
};

enum search_order { ORDER_NONE, ORDER_ASC, ORDER_DESC };

struct search {
    struct call *call;
    unsigned kind;
    struct collection_view view;
    bool exists; /* the key is there */
    struct geohash_area area;
    double unit_m;
    bool from_member, from_place, by_radius, by_box;
    bool distances, hashes, points, any;
    enum search_order order;
    int64_t count;  /* 0: all */
    uint32_t store; /* argument: the target's key; 0: none */
    bool store_distance;
};

struct found {
    struct bytes member; /* borrowed from the value */
    double score, distance_m;
    struct geohash_point point;
};

struct results {
    struct found *at;
    uint64_t count, room;
    bool failed; /* no memory */
};

/* ---- Arguments ---------------------------------------------------------------------------------- */

static bool refuse(struct call *call, const char *text) {
    call_error(call, text);
    return false;
}

static bool read_size(struct call *call, uint32_t index, const char *text, double *size) {
    return decimal_to_double(call->argv[index], size) || refuse(call, text);
}

/* Radius and unit from argv[index] on. */
static bool read_radius(struct search *search, uint32_t index) {
    double radius;
    if (!read_size(search->call, index, "ERR need numeric radius", &radius)) return false;
    if (radius < 0) return refuse(search->call, "ERR radius cannot be negative");
    if (!geo_read_unit(search->call, index + 1, &search->unit_m)) return false;
    search->area.is_box = false;
    search->area.radius_m = radius * search->unit_m;
    return true;
}

static bool read_box(struct search *search, uint32_t index) {
    double width, height;
    if (!read_size(search->call, index, "ERR need numeric width", &width) ||
        !read_size(search->call, index + 1, "ERR need numeric height", &height))
        return false;
    if (width < 0 || height < 0)
        return refuse(search->call, "ERR height or width cannot be negative");
    if (!geo_read_unit(search->call, index + 2, &search->unit_m)) return false;
    search->area.is_box = true;
    search->area.width_m = width * search->unit_m;
    search->area.height_m = height * search->unit_m;
    return true;
}

/* Without the key nothing is found, whatever the member is. */
static bool read_member(struct search *search, uint32_t index) {
    double score;
    if (!search->exists) return true;
    if (!zset_score_of(search->call, &search->view, search->call->argv[index], &score))
        return refuse(search->call, "ERR could not decode requested zset member");
    search->area.center = geohash_point_of_score(score);
    return true;
}

/* What comes before the options. Returns where these begin; 0 after the error reply. */
static uint32_t parse_place(struct search *search) {
    if (search->kind & SEARCH_WORDS) return search->kind & SEARCH_STORES ? 3 : 2;
    if (search->kind & SEARCH_COORDS)
        return geo_read_point(search->call, 2, &search->area.center) && read_radius(search, 4) ? 6
                                                                                               : 0;
    if (!search->exists) return 5;
    return read_member(search, 2) && read_radius(search, 3) ? 5 : 0;
}

static bool parse_flag(struct search *search, struct bytes word) {
    if (bytes_is(word, "withdist")) return search->distances = true;
    if (bytes_is(word, "withhash")) return search->hashes = true;
    if (bytes_is(word, "withcoord")) return search->points = true;
    if (bytes_is(word, "any")) return search->any = true;
    if (bytes_is(word, "asc")) return (search->order = ORDER_ASC);
    if (bytes_is(word, "desc")) return (search->order = ORDER_DESC);
    return search->kind & SEARCH_STORES && bytes_is(word, "storedist") &&
           (search->store_distance = true);
}

/* Options take so many words, themselves included; 0 after the error reply. */
static uint32_t taken(bool good, uint32_t words) {
    return good ? words : 0;
}

static bool parse_count(struct search *search, uint32_t index) {
    if (!call_integer(search->call, index, &search->count)) return false;
    return search->count > 0 || refuse(search->call, "ERR COUNT must be > 0");
}

/* Where the search is, of GEOSEARCH; -1: argv[i] is nothing of the kind. */
static int parse_where(struct search *search, uint32_t i, uint32_t left) {
    struct bytes word = search->call->argv[i];
    if (bytes_is(word, "frommember") && left >= 1 && !search->from_place) {
        search->from_member = true;
        return (int)taken(read_member(search, i + 1), 2);
    }
    if (bytes_is(word, "fromlonlat") && left >= 2 && !search->from_member) {
        search->from_place = true;
        return (int)taken(geo_read_point(search->call, i + 1, &search->area.center), 3);
    }
    if (bytes_is(word, "byradius") && left >= 2 && !search->by_box) {
        search->by_radius = true;
        return (int)taken(read_radius(search, i + 1), 3);
    }
    if (bytes_is(word, "bybox") && left >= 3 && !search->by_radius) {
        search->by_box = true;
        return (int)taken(read_box(search, i + 1), 4);
    }
    return -1;
}

static uint32_t parse_option(struct search *search, uint32_t i) {
    struct bytes word = search->call->argv[i];
    uint32_t left = search->call->argc - i - 1;
    bool may_store = !(search->kind & (SEARCH_WORDS | SEARCH_READS));
    int where = search->kind & SEARCH_WORDS ? parse_where(search, i, left) : -1;
    if (where >= 0) return (uint32_t)where;
    if (parse_flag(search, word)) return 1;
    if (bytes_is(word, "count") && left >= 1) return taken(parse_count(search, i + 1), 2);
    if (may_store && left >= 1 && (bytes_is(word, "store") || bytes_is(word, "storedist"))) {
        search->store = i + 1;
        search->store_distance = bytes_is(word, "storedist");
        return 2;
    }
    call_error_syntax(search->call);
    return 0;
}

static bool refuse_without(struct search *search, const char *format) {
    call_error_format(search->call, format, (int)search->call->argv[0].len,
                      search->call->argv[0].at);
    return false;
}

static bool check_options(struct search *search) {
    bool words = search->kind & SEARCH_WORDS;
    if (search->store && (search->distances || search->hashes || search->points)) {
        call_error_format(search->call,
                          "ERR %s is not compatible with WITHDIST, WITHHASH and WITHCOORD options",
                          words ? "GEOSEARCHSTORE" : "STORE option in GEORADIUS");
        return false;
    }
    if (words && !search->from_member && !search->from_place)
        return refuse_without(
            search, "ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for %.*s");
    if (words && !search->by_radius && !search->by_box)
        return refuse_without(search,
                              "ERR exactly one of BYRADIUS and BYBOX can be specified for %.*s");
    if (search->any && search->count == 0)
        return refuse(search->call, "ERR the ANY argument requires COUNT argument");
    return true;
}

static bool parse(struct search *search) {
    uint32_t i = parse_place(search);
    if (i == 0) return false;
    if (search->kind & SEARCH_STORES) search->store = 1;
    for (uint32_t words; i < search->call->argc; i += words)
        if ((words = parse_option(search, i)) == 0) return false;
    if (search->count > 0 && search->order == ORDER_NONE && !search->any) search->order = ORDER_ASC;
    return check_options(search);
}

/* ---- Looking ------------------------------------------------------------------------------------ */

static void add(struct results *results, const struct found *found) {
    if (results->count == results->room) {
        uint64_t room = results->room ? 2 * results->room : 16;
        struct found *at = results->at ? mem_realloc(NULL, results->at, room * sizeof *results->at)
                                       : mem_alloc(NULL, room * sizeof *results->at);
        results->failed = at == NULL;
        if (!at) return;
        results->at = at;
        results->room = room;
    }
    results->at[results->count++] = *found;
}

static bool is_enough(const struct search *search, const struct results *results) {
    return results->failed || (search->any && results->count >= (uint64_t)search->count);
}

static void look_in_range(const struct search *search, const struct geohash_range *range,
                          struct results *results) {
    struct walk walk;
    struct tree_probe probe = {.key = {tree_score_order(range->min), 0}, .member = {.at = ""}};
    bool more = walk_find_score(&walk, &search->view, &probe);
    for (; more && !is_enough(search, results); more = walk_next(&walk)) {
        struct found found = {.member = walk.record, .score = tree_score(walk.key.order)};
        if (found.score >= range->max) return;
        found.point = geohash_point_of_score(found.score);
        if (geohash_area_contains(&search->area, found.point, &found.distance_m))
            add(results, &found);
    }
}

static int compare_distances(const void *a, const void *b) {
    double first = ((const struct found *)a)->distance_m;
    double second = ((const struct found *)b)->distance_m;
    return (first > second) - (first < second);
}

static int compare_back(const void *a, const void *b) {
    return compare_distances(b, a);
}

static void look(const struct search *search, struct results *results) {
    struct geohash_range ranges[GEOHASH_RANGES_MAX];
    size_t count = geohash_ranges_of_area(&search->area, ranges);
    for (size_t i = 0; i < count && !is_enough(search, results); i++)
        look_in_range(search, &ranges[i], results);
    if (search->order != ORDER_NONE && results->count > 0)
        qsort(results->at, results->count, sizeof *results->at,
              search->order == ORDER_ASC ? compare_distances : compare_back);
    if (search->count > 0 && results->count > (uint64_t)search->count)
        results->count = (uint64_t)search->count;
}

/* ---- Replying, storing -------------------------------------------------------------------------- */

static void reply_one(const struct search *search, const struct found *found) {
    struct call *call = search->call;
    unsigned more = search->distances + search->hashes + search->points;
    if (more > 0) reply_array(call->reply, more + 1);
    reply_bulk(call->reply, found->member);
    if (search->distances) geo_reply_distance(call, found->distance_m / search->unit_m);
    if (search->hashes) reply_integer(call->reply, (int64_t)found->score);
    if (search->points) geo_reply_point(call, found->point);
}

static void reply_results(const struct search *search, const struct results *results) {
    reply_array(search->call->reply, results->count);
    for (uint64_t i = 0; i < results->count; i++) reply_one(search, &results->at[i]);
}

static void store_results(const struct search *search, const struct results *results) {
    struct edit edit;
    struct call *call = search->call;
    struct key_place place = keyspace_for(call, search->store);
    elements_open_anew(&place, call_find(call, &place), VALUE_ZSET, &edit);
    edit.view.type |= FORM_LARGE;
    for (uint64_t i = 0; i < results->count; i++) {
        const struct found *found = &results->at[i];
        double score = search->store_distance ? found->distance_m / search->unit_m : found->score;
        if (!zset_put_unseen(call, &edit, score, found->member)) {
            edit_close(&edit);
            call_error_memory(call);
            return;
        }
    }
    if (zset_name_result(call, &edit))
        elements_store_result(call, &place, &edit, NOTIFY_ZSET,
                              search->kind & SEARCH_STORES ? "geosearchstore" : "georadiusstore");
}

static void search_generic(struct call *call, unsigned kind) {
    struct results results = {0};
    struct search search = {.call = call, .kind = kind, .unit_m = 1};
    struct key_place place = keyspace_for(call, kind & SEARCH_STORES ? 2 : 1);
    struct entry *entry = call_read(call, &place);
    if (!elements_check(call, entry, VALUE_ZSET)) return;
    search.view = view_of(entry);
    search.exists = entry;
    if (!parse(&search)) return;
    if (entry) look(&search, &results);
    if (results.failed) call_error_memory(call);
    else if (search.store) store_results(&search, &results);
    else reply_results(&search, &results);
    mem_free(NULL, results.at);
}

static void geosearch_command(struct call *call) {
    search_generic(call, SEARCH_WORDS);
}

static void geosearchstore_command(struct call *call) {
    search_generic(call, SEARCH_WORDS | SEARCH_STORES);
}

static void georadius_command(struct call *call) {
    search_generic(call, SEARCH_COORDS);
}

static void georadius_ro_command(struct call *call) {
    search_generic(call, SEARCH_COORDS | SEARCH_READS);
}

static void georadiusbymember_command(struct call *call) {
    search_generic(call, SEARCH_MEMBER);
}

static void georadiusbymember_ro_command(struct call *call) {
    search_generic(call, SEARCH_MEMBER | SEARCH_READS);
}

void geo_search_bind(void) {
    command_bind("geosearch", geosearch_command);
    command_bind("geosearchstore", geosearchstore_command);
    command_bind("georadius", georadius_command);
    command_bind("georadius_ro", georadius_ro_command);
    command_bind("georadiusbymember", georadiusbymember_command);
    command_bind("georadiusbymember_ro", georadiusbymember_ro_command);
}
