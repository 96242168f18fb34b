/* SINTER, SUNION, SDIFF and what stores or counts their results. */
#include "cmd/families.h"
#include "cmd/set.h"

enum { VIEWS_FEW = 16 };

struct operands {
    struct call *call;
    uint32_t count;
    struct collection_view *views; /* of a key that is not there: an empty one */
    struct collection_view few[VIEWS_FEW];
};

/* The values of argv[first] and `count` - 1 more. False after the error reply. */
static bool operands_open(struct operands *operands, struct call *call, uint32_t first,
                          uint32_t count) {
    operands->call = call;
    operands->count = count;
    operands->views = operands->few;
    if (count > VIEWS_FEW) {
        operands->views = mem_alloc(NULL, count * sizeof *operands->views);
        if (!operands->views) {
            call_error_memory(call);
            return false;
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        struct key_place place = keyspace_for(call, first + i);
        if (!elements_read(call, &place, VALUE_SET, &operands->views[i])) {
            if (operands->views != operands->few) mem_free(NULL, operands->views);
            return false;
        }
    }
    return true;
}

static void operands_close(struct operands *operands) {
    if (operands->views != operands->few) mem_free(NULL, operands->views);
}

/* What becomes of each member of the result; false ends it. */
typedef bool visit_member(void *context, struct bytes member);

/* ---- The three operations ----------------------------------------------------------------------- */

static uint32_t smallest(const struct operands *operands) {
    uint32_t at = 0;
    for (uint32_t i = 1; i < operands->count; i++)
        if (view_count(&operands->views[i]) < view_count(&operands->views[at])) at = i;
    return at;
}

static bool others_have(const struct operands *operands, uint32_t one, struct bytes member) {
    for (uint32_t i = 0; i < operands->count; i++)
        if (i != one && !set_has(operands->call, &operands->views[i], member)) return false;
    return true;
}

static void intersect(const struct operands *operands, visit_member *visit, void *context) {
    struct walk walk;
    uint32_t one = smallest(operands);
    for (bool found = walk_seek(&walk, &operands->views[one], 0); found; found = walk_next(&walk))
        if (others_have(operands, one, walk.record) && !visit(context, walk.record)) return;
}

static bool any_has(const struct operands *operands, struct bytes member) {
    for (uint32_t i = 1; i < operands->count; i++)
        if (set_has(operands->call, &operands->views[i], member)) return true;
    return false;
}

static void subtract(const struct operands *operands, visit_member *visit, void *context) {
    struct walk walk;
    for (bool found = walk_seek(&walk, &operands->views[0], 0); found; found = walk_next(&walk))
        if (!any_has(operands, walk.record) && !visit(context, walk.record)) return;
}

static bool one_before_has(const struct operands *operands, uint32_t at, struct bytes member) {
    for (uint32_t i = 0; i < at; i++)
        if (set_has(operands->call, &operands->views[i], member)) return true;
    return false;
}

static void unite(const struct operands *operands, visit_member *visit, void *context) {
    struct walk walk;
    for (uint32_t at = 0; at < operands->count; at++)
        for (bool found = walk_seek(&walk, &operands->views[at], 0); found;
             found = walk_next(&walk))
            if (!one_before_has(operands, at, walk.record) && !visit(context, walk.record)) return;
}

typedef void set_operation(const struct operands *operands, visit_member *visit, void *context);

/* ---- Replying ----------------------------------------------------------------------------------- */

struct counted {
    struct call *call;
    uint64_t count, limit; /* 0: none */
};

static bool reply_member(void *context, struct bytes member) {
    struct counted *counted = context;
    reply_bulk(counted->call->reply, member);
    counted->count++;
    return true;
}

static void reply_result(struct call *call, set_operation *operation) {
    struct operands operands;
    struct counted counted = {.call = call};
    if (!operands_open(&operands, call, 1, call->argc - 1)) return;
    struct reply_mark mark = reply_defer_begin(call->reply);
    operation(&operands, reply_member, &counted);
    reply_defer_set(call->reply, mark, counted.count);
    operands_close(&operands);
}

static void sinter_command(struct call *call) {
    reply_result(call, intersect);
}

static void sunion_command(struct call *call) {
    reply_result(call, unite);
}

static void sdiff_command(struct call *call) {
    reply_result(call, subtract);
}

/* ---- SINTERCARD --------------------------------------------------------------------------------- */

static bool count_member(void *context, struct bytes member) {
    struct counted *counted = context;
    (void)member;
    return ++counted->count != counted->limit;
}

static bool parse_limit(struct call *call, uint32_t first, uint64_t *limit) {
    int64_t number = 0;
    for (uint32_t i = first; i < call->argc; i += 2) {
        if (!bytes_is(call->argv[i], "limit") || i + 1 == call->argc) {
            call_error_syntax(call);
            return false;
        }
        if (!bytes_to_int64(call->argv[i + 1], &number) || number < 0) {
            call_error(call, "ERR LIMIT can't be negative");
            return false;
        }
    }
    *limit = (uint64_t)number;
    return true;
}

static void sintercard_command(struct call *call) {
    int64_t keys;
    struct operands operands;
    struct counted counted = {.call = call};
    if (!call_key_count(call, 1, "ERR numkeys should be greater than 0", &keys)) return;
    if (!parse_limit(call, 2 + (uint32_t)keys, &counted.limit)) return;
    if (!operands_open(&operands, call, 2, (uint32_t)keys)) return;
    intersect(&operands, count_member, &counted);
    operands_close(&operands);
    reply_integer(call->reply, (int64_t)counted.count);
}

/* ---- Storing ------------------------------------------------------------------------------------ */

struct stored {
    struct call *call;
    struct edit *edit;
    bool failed;
};

/* Into a value that nobody sees yet, so memory is asked for as it goes. */
static bool store_member(void *context, struct bytes member) {
    struct stored *stored = context;
    struct edit *edit = stored->edit;
    if (view_count(&edit->view) == 0) set_begin(stored->call, edit, member, 1);
    stored->failed = !edit_keep_copy(edit, member) || !edit_reserve(edit, 1, member.len);
    if (!stored->failed) (void)set_add(stored->call, edit, member);
    return !stored->failed;
}

static void store_result(struct call *call, set_operation *operation, const char *event) {
    struct edit edit;
    struct operands operands;
    struct key_place place = keyspace_for(call, 1);
    struct stored stored = {.call = call, .edit = &edit};
    if (!operands_open(&operands, call, 2, call->argc - 2)) return;
    elements_open_anew(&place, call_find(call, &place), VALUE_SET, &edit);
    operation(&operands, store_member, &stored);
    operands_close(&operands);
    if (stored.failed) {
        edit_close(&edit);
        call_error_memory(call);
    } else {
        elements_store_result(call, &place, &edit, NOTIFY_SET, event);
    }
}

static void sinterstore_command(struct call *call) {
    store_result(call, intersect, "sinterstore");
}

static void sunionstore_command(struct call *call) {
    store_result(call, unite, "sunionstore");
}

static void sdiffstore_command(struct call *call) {
    store_result(call, subtract, "sdiffstore");
}

/* ---- SMEMBERS ----------------------------------------------------------------------------------- */

static void smembers_command(struct call *call) {
    struct walk walk;
    struct collection_view view;
    struct key_place place = keyspace_for(call, 1);
    if (!elements_read(call, &place, VALUE_SET, &view)) return;
    reply_set(call->reply, view_count(&view));
    for (bool found = walk_seek(&walk, &view, 0); found; found = walk_next(&walk))
        reply_bulk(call->reply, walk.record);
}

void set_algebra_bind(void) {
    command_bind("smembers", smembers_command);
    command_bind("sinter", sinter_command);
    command_bind("sunion", sunion_command);
    command_bind("sdiff", sdiff_command);
    command_bind("sintercard", sintercard_command);
    command_bind("sinterstore", sinterstore_command);
    command_bind("sunionstore", sunionstore_command);
    command_bind("sdiffstore", sdiffstore_command);
}
