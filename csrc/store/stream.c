/* The life of streams, and reading them. */
#include "store/stream.h"

#include <malloc.h>

#include "base/assert.h"

/* ---- Life ------------------------------------------------------------------------------------ */

static struct stream *from_more(const struct collection_more *more) {
    return (struct stream *)(uintptr_t)more;
}

static void free_more(struct collection_more *more, struct mem_account *account) {
    struct stream *stream = from_more(more);
    for (uint32_t i = 0; i < stream->shape_count; i++) {
        blob_put(stream->shapes[i]);
    }
    mem_free(account, stream->shapes);
    stream_groups_free(&stream->groups, account);
    mem_free(account, stream);
}

static uint64_t bytes_of_more(const struct collection_more *more) {
    const struct stream *stream = from_more(more);
    return stream->held_bytes + stream_groups_bytes(&stream->groups);
}

static void recharge_more(struct collection_more *more, struct mem_account *from,
                          struct mem_account *to) {
    struct stream *stream = from_more(more);
    mem_recharge(from, to, stream);
    if (stream->shapes != NULL) {
        mem_recharge(from, to, stream->shapes);
    }
    for (uint32_t i = 0; i < stream->shape_count; i++) {
        blob_recharge(stream->shapes[i], to);
    }
    stream_groups_recharge(&stream->groups, from, to);
}

/* Without its groups. Shapes are shared: nobody changes them. */
static struct stream *copy_to(struct mem_account *account, const struct stream *stream) {
    struct stream *copy = mem_alloc(account, sizeof *copy);
    if (copy == NULL) {
        return NULL;
    }
    *copy = *stream;
    copy->held_bytes -= malloc_usable_size((void *)(uintptr_t)stream);
    copy->held_bytes += malloc_usable_size(copy);
    stream_groups_init(&copy->groups);
    if (stream->shapes == NULL) {
        return copy;
    }
    copy->shapes = mem_alloc(account, stream->shape_room * sizeof *copy->shapes);
    if (copy->shapes == NULL) {
        mem_free(account, copy);
        return NULL;
    }
    copy->held_bytes -= malloc_usable_size(stream->shapes);
    copy->held_bytes += malloc_usable_size(copy->shapes);
    for (uint32_t i = 0; i < stream->shape_count; i++) {
        copy->shapes[i] = blob_get(stream->shapes[i]);
    }
    return copy;
}

static struct collection_more *copy_more(const struct collection_more *more,
                                         struct node_heap *heap) {
    const struct stream *stream = from_more(more);
    struct stream *copy = copy_to(heap->account, stream);
    if (copy == NULL) {
        return NULL;
    }
    if (!stream_groups_copy(&stream->groups, heap, &copy->groups)) {
        free_more(&copy->more, heap->account);
        return NULL;
    }
    return &copy->more;
}

static struct collection_more *freeze_more(const struct collection_more *more) {
    const struct stream *stream = from_more(more);
    struct stream *frozen = copy_to(NULL, stream);
    if (frozen == NULL) {
        return NULL;
    }
    if (!stream_groups_freeze(&stream->groups, &frozen->groups)) {
        free_more(&frozen->more, NULL);
        return NULL;
    }
    return &frozen->more;
}

static void unfreeze_more(struct collection_more *frozen) {
    stream_groups_unfreeze(&from_more(frozen)->groups);
    free_more(frozen, NULL);
}

/* ---- Reading --------------------------------------------------------------------------------- */

static void skip_names(const char **at, uint32_t count) {
    while (count-- > 0) {
        uint64_t len = varint_read(at);
        *at += len;
    }
}

/* Takes apart the record that the path leads to. */
static void load(struct stream_walk *walk) {
    struct bytes record = tree_record(&walk->path);
    const char *at = record.at;
    walk->end = record.at + record.len;
    walk->id.ms = walk->view->base_ms + varint_read(&at);
    walk->id.seq = varint_read(&at);
    walk->shape = (uint32_t)varint_read(&at);
    walk->names = walk->shape == 0 ? at : walk->view->shapes[walk->shape - 1]->data;
    walk->field_count = walk->fields_left = (uint32_t)varint_read(&walk->names);
    if (KRT_UNLIKELY(walk->shape == 0)) {
        at = walk->names;
        skip_names(&at, walk->field_count);
    }
    walk->values = at;
}

/* Before the base there is nothing. */
static struct tree_probe probe_of(const struct stream_view *view, struct stream_id id) {
    if (id.ms < view->base_ms) return (struct tree_probe){.key = {0, 0}};
    id.ms -= view->base_ms;
    return (struct tree_probe){.key = {id.ms, id.seq}};
}

bool stream_seek_from(struct stream_walk *walk, const struct stream_view *view,
                      struct stream_id id) {
    struct tree_probe probe = probe_of(view, id);
    walk->view = view;
    if (!tree_find(view->entries, &probe, &walk->path)) {
        return false;
    }
    load(walk);
    return true;
}

bool stream_seek_back(struct stream_walk *walk, const struct stream_view *view,
                      struct stream_id id) {
    struct tree_probe probe = probe_of(view, id);
    probe.after = id.ms >= view->base_ms;
    walk->view = view;
    if (view->entries->root == NULL) {
        return false;
    }
    (void)tree_find(view->entries, &probe, &walk->path);
    return stream_prev(walk);
}

bool stream_find(struct stream_walk *walk, const struct stream_view *view, struct stream_id id) {
    return stream_seek_from(walk, view, id) && stream_id_compare(walk->id, id) == 0;
}

bool stream_next(struct stream_walk *walk) {
    if (!tree_next(&walk->path)) {
        return false;
    }
    load(walk);
    return true;
}

bool stream_prev(struct stream_walk *walk) {
    if (!tree_prev(&walk->path)) {
        return false;
    }
    load(walk);
    return true;
}

uint64_t stream_rank(const struct stream_walk *walk) {
    return tree_rank(&walk->path);
}

struct stream_id stream_first_id(const struct collection *collection) {
    struct stream_walk walk;
    struct stream_view view = stream_view_of(collection);
    return stream_seek_first(&walk, &view) ? walk.id : (struct stream_id){0, 0};
}

struct stream_id stream_last_entry_id(const struct collection *collection) {
    struct stream_walk walk;
    struct stream_view view = stream_view_of(collection);
    return stream_seek_last(&walk, &view) ? walk.id : (struct stream_id){0, 0};
}

/* ---- Checking -------------------------------------------------------------------------------- */

static void check_shapes(const struct stream *stream) {
    uint64_t names = 0, held = malloc_usable_size((void *)(uintptr_t)stream);
    held += stream->shapes != NULL ? malloc_usable_size(stream->shapes) : 0;
    for (uint32_t i = 0; i < stream->shape_count; i++) {
        names += stream->shapes[i]->len;
        held += malloc_usable_size(stream->shapes[i]);
    }
    KRT_ASSERT(stream->shape_count <= stream->shape_room);
    KRT_ASSERT(stream->shape_room <= STREAM_SHAPES_MAX);
    KRT_ASSERT(names == stream->shape_bytes && names <= STREAM_SHAPES_BYTES_MAX);
    KRT_ASSERT(held == stream->held_bytes);
}

static void check_entry(struct stream_walk *walk, const struct stream *stream) {
    struct stream_field field;
    KRT_ASSERT(walk->shape <= stream->shape_count);
    KRT_ASSERT(walk->field_count > 0);
    while (stream_next_field(walk, &field)) {
        KRT_ASSERT(walk->values <= walk->end);
    }
    KRT_ASSERT(walk->values == walk->end);
}

/* Goes over the entries of a node, which the walk is at the first of. Returns whether there is one behind it. */
static bool check_node(const struct stream_node *node, struct stream_walk *walk, bool found,
                       const struct stream *stream) {
    KRT_ASSERT(stream_id_compare(node->first, node->last) <= 0 &&
               node->shape <= stream->shape_count);
    for (uint64_t i = 0; i < node->valid; i++, found = stream_next(walk)) {
        KRT_ASSERT(found && stream_id_compare(walk->id, node->first) >= 0);
        KRT_ASSERT(stream_id_compare(walk->id, node->last) <= 0);
        check_entry(walk, stream);
    }
    KRT_ASSERT(!found || stream_id_compare(walk->id, node->last) > 0);
    return found;
}

static void check_all(const struct collection *collection) {
    const struct stream *stream = stream_of(collection);
    struct stream_view view = stream_view_of(collection);
    struct stream_walk walk;
    struct tree_path path;
    check_shapes(stream);
    stream_groups_check(&stream->groups);
    bool found = stream_seek_first(&walk, &view);
    for (bool more = tree_seek(&collection->trees[1], 0, &path); more; more = tree_next(&path)) {
        struct stream_node node = stream_node_read(tree_record(&path));
        KRT_ASSERT(stream_id_compare(node.last, stream->tail.first) < 0);
        found = check_node(&node, &walk, found, stream);
    }
    if (!stream_id_is_zero(stream->tail.first)) {
        found = check_node(&stream->tail, &walk, found, stream);
    }
    KRT_ASSERT(!found);
    KRT_ASSERT(stream_id_compare(stream_last_entry_id(collection), stream->last_id) <= 0);
}

/* ---- Making ---------------------------------------------------------------------------------- */

static const struct collection_more functions = {
    .free = free_more,
    .copy = copy_more,
    .recharge = recharge_more,
    .bytes = bytes_of_more,
    .freeze = freeze_more,
    .unfreeze = unfreeze_more,
    .check = check_all,
};

struct collection *stream_new(struct node_heap *heap) {
    struct collection *collection = collection_new(heap, VALUE_STREAM);
    if (collection == NULL) {
        return NULL;
    }
    struct stream *stream = mem_alloc(heap->account, sizeof *stream);
    if (stream == NULL) {
        collection_free(collection);
        return NULL;
    }
    *stream = (struct stream){.more = functions, .held_bytes = malloc_usable_size(stream)};
    stream_groups_init(&stream->groups);
    collection->more = &stream->more;
    return collection;
}
