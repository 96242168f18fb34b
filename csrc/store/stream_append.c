/* Appending to streams: the shape of the names, the record, Redis's node. */
#include <malloc.h>

#include "base/assert.h"
#include "store/listpack.h"
#include "store/stream_change.h"

/* ---- Names ----------------------------------------------------------------------------------- */

static struct stream_sizes measure(const struct bytes *fields, uint64_t count) {
    struct stream_sizes sizes = {.count = count};
    for (uint64_t i = 0; i < 2 * count; i += 2) {
        sizes.raw_bytes += (uint64_t)fields[i].len + fields[i + 1].len;
        sizes.name_bytes += listpack_element_bytes(fields[i]);
        sizes.value_bytes += listpack_element_bytes(fields[i + 1]);
    }
    return sizes;
}

/* Are these the names that are written there? */
static bool names_match(const char *names, const struct bytes *fields, uint64_t count) {
    if (varint_read(&names) != count) {
        return false;
    }
    for (uint64_t i = 0; i < count; i++) {
        uint64_t len = varint_read(&names);
        if (len != fields[2 * i].len || !bytes_same(names, fields[2 * i].at, len)) {
            return false;
        }
        names += len;
    }
    return true;
}

static uint32_t find_shape(const struct stream *stream, const struct bytes *fields,
                           uint64_t count) {
    uint32_t last = stream->last_shape;
    if (last < stream->shape_count && names_match(stream->shapes[last]->data, fields, count)) {
        return last + 1;
    }
    for (uint32_t i = 0; i < stream->shape_count; i++) {
        if (i != last && names_match(stream->shapes[i]->data, fields, count)) {
            return i + 1;
        }
    }
    return 0;
}

static size_t varint_bytes(uint64_t value) {
    char at[VARINT_BYTES_MAX];
    return varint_write(at, value);
}

static uint64_t bytes_of_names(const struct bytes *fields, uint64_t count) {
    uint64_t bytes = varint_bytes(count);
    for (uint64_t i = 0; i < count; i++) {
        bytes += varint_bytes(fields[2 * i].len) + fields[2 * i].len;
    }
    return bytes;
}

static char *write_bytes(char *to, struct bytes bytes) {
    to += varint_write(to, bytes.len);
    bytes_copy(to, bytes.at, bytes.len);
    return to + bytes.len;
}

static char *write_names(char *to, const struct bytes *fields, uint64_t count) {
    to += varint_write(to, count);
    for (uint64_t i = 0; i < count; i++) {
        to = write_bytes(to, fields[2 * i]);
    }
    return to;
}

/* Room for one shape more. */
static bool grow_table(struct stream *stream, struct mem_account *account) {
    uint32_t room = stream->shape_room == 0 ? 1 : 2u * stream->shape_room;
    if (stream->shape_count < stream->shape_room) {
        return true;
    }
    uint64_t before = stream->shapes != NULL ? malloc_usable_size(stream->shapes) : 0;
    struct blob **shapes = stream->shapes == NULL
                               ? mem_alloc(account, room * sizeof *shapes)
                               : mem_realloc(account, stream->shapes, room * sizeof *shapes);
    if (shapes == NULL) {
        return false;
    }
    stream->shapes = shapes;
    stream->shape_room = (uint16_t)room;
    stream->held_bytes += malloc_usable_size(shapes) - before;
    return true;
}

/* Finds the names' shape, or makes one if there is room for it. */
static bool prepare_shape(struct stream_edit *edit, const struct bytes *fields, uint64_t count) {
    struct stream *stream = edit->stream;
    edit->shape = find_shape(stream, fields, count);
    if (KRT_LIKELY(edit->shape != 0) || stream->shape_count == STREAM_SHAPES_MAX) {
        return true;
    }
    uint64_t bytes = bytes_of_names(fields, count);
    if (bytes > STREAM_SHAPES_BYTES_MAX - stream->shape_bytes) {
        return true;
    }
    edit->names = blob_new(stream_edit_heap(edit)->account, (uint32_t)bytes);
    if (edit->names == NULL || !grow_table(stream, stream_edit_heap(edit)->account)) {
        return false;
    }
    write_names(edit->names->data, fields, count);
    edit->shape = stream->shape_count + 1u;
    return true;
}

static void add_shape(struct stream_edit *edit) {
    struct stream *stream = edit->stream;
    if (edit->names != NULL) {
        stream->held_bytes += malloc_usable_size(edit->names);
        stream->shape_bytes += edit->names->len;
        stream->shapes[stream->shape_count++] = edit->names;
        edit->names = NULL;
    }
    if (edit->shape != 0) {
        stream->last_shape = (uint16_t)(edit->shape - 1);
    }
}

/* ---- Appending ------------------------------------------------------------------------------- */

static uint64_t record_bytes(const struct stream_edit *edit, const struct bytes *fields) {
    uint64_t count = edit->sizes.count;
    uint64_t bytes = varint_bytes(edit->id.ms - edit->stream->base_ms) +
                     varint_bytes(edit->id.seq) + varint_bytes(edit->shape) +
                     (edit->shape == 0 ? bytes_of_names(fields, count) : 0);
    for (uint64_t i = 0; i < count; i++) {
        uint32_t len = fields[2 * i + 1].len;
        bytes += len + (i + 1 < count ? varint_bytes(len) : 0);
    }
    return bytes;
}

static void write_record(const struct stream_edit *edit, char *to, const struct bytes *fields) {
    uint64_t count = edit->sizes.count;
    to += varint_write(to, edit->id.ms - edit->stream->base_ms);
    to += varint_write(to, edit->id.seq);
    to += varint_write(to, edit->shape);
    if (edit->shape == 0) {
        to = write_names(to, fields, count);
    }
    for (uint64_t i = 0; i + 1 < count; i++) {
        to = write_bytes(to, fields[2 * i + 1]);
    }
    struct bytes last = fields[2 * count - 1];
    bytes_copy(to, last.at, last.len);
}

static bool prepare_record(struct stream_edit *edit, const struct bytes *fields) {
    uint64_t bytes = record_bytes(edit, fields);
    if (bytes <= LEAF_RECORD_MAX) {
        edit->record_len = (uint32_t)bytes;
        write_record(edit, edit->record, fields);
        return true;
    }
    edit->blob =
        bytes <= UINT32_MAX ? blob_new(stream_edit_heap(edit)->account, (uint32_t)bytes) : NULL;
    if (edit->blob == NULL) {
        return false;
    }
    write_record(edit, edit->blob->data, fields);
    return true;
}

/* Names that are no shape are compared with those of the node's first entry that is still there. */
static bool begins_with(const struct stream_edit *edit, const struct bytes *fields) {
    struct stream_walk walk;
    struct stream_view view = stream_view_of(edit->collection);
    const struct stream_node *tail = &edit->stream->tail;
    if (tail->shape != 0 || edit->shape != 0) {
        return tail->shape == edit->shape;
    }
    if (!stream_seek_from(&walk, &view, tail->first) || walk.shape != 0) {
        return false;
    }
    const char *names = tree_record(&walk.path).at;
    for (int i = 0; i < 3; i++) {
        (void)varint_read(&names);
    }
    return names_match(names, fields, edit->sizes.count);
}

static void prepare_node(struct stream_edit *edit, const struct bytes *fields,
                         const struct stream_limits *limits) {
    const struct stream *stream = edit->stream;
    edit->begins =
        !stream_has_tail(stream) || !stream_node_takes(&stream->tail, &edit->sizes, limits);
    edit->same = edit->begins || begins_with(edit, fields);
}

/* An entry, and what a trim behind it may take. */
static bool reserve(const struct stream_edit *edit, const struct stream_trim *trim) {
    struct stream_change change = {.appended = 1};
    change.bytes = edit->blob != NULL ? sizeof edit->blob : edit->record_len;
    change.nodes_added = edit->begins && stream_has_tail(edit->stream);
    if (trim != NULL && trim->by != STREAM_TRIM_NONE) {
        struct stream_cut cut = stream_change_plan_trim(edit, trim, true);
        change.erased = cut.entries;
        change.nodes_changed = cut.nodes + 1;
    }
    return stream_change_reserve(edit, &change);
}

bool stream_edit_prepare(struct stream_edit *edit, struct stream_id id, const struct bytes *fields,
                         uint64_t count, const struct stream_limits *limits,
                         const struct stream_trim *trim) {
    KRT_ASSERT(count > 0 && count <= UINT32_MAX);
    KRT_ASSERT(stream_id_compare(id, edit->stream->last_id) > 0);
    edit->id = id;
    if (stream_count(edit->collection) == 0) edit->stream->base_ms = id.ms;
    edit->sizes = measure(fields, count);
    if (!prepare_shape(edit, fields, count) || !prepare_record(edit, fields)) {
        return false;
    }
    prepare_node(edit, fields, limits);
    return reserve(edit, trim) && stream_edit_store(edit);
}

/* The last node goes to the others. */
static void close_tail(struct stream_edit *edit) {
    char record[STREAM_NODE_BYTES_MAX];
    struct tree *nodes = &edit->collection->trees[1];
    struct tree_path path;
    size_t len = stream_node_write(record, &edit->stream->tail);
    (void)tree_seek(nodes, nodes->count, &path);
    tree_insert(nodes, stream_edit_heap(edit), &path, &(struct record_key){0},
                bytes_of(record, len));
}

static void append_record(struct stream_edit *edit) {
    struct tree *entries = &edit->collection->trees[0];
    struct tree_path path;
    struct bytes record =
        edit->blob != NULL ? blob_bytes(edit->blob) : bytes_of(edit->record, edit->record_len);
    add_shape(edit);
    (void)tree_seek(entries, entries->count, &path);
    tree_insert(entries, stream_edit_heap(edit), &path, &(struct record_key){0}, record);
    edit->stream->last_id = edit->id;
}

void stream_edit_append(struct stream_edit *edit) {
    struct stream *stream = edit->stream;
    append_record(edit);
    if (!edit->begins) {
        stream_node_add(&stream->tail, edit->id, &edit->sizes, edit->same);
    } else {
        if (stream_has_tail(stream)) {
            close_tail(edit);
        }
        stream->tail = stream_node_begin(edit->id, &edit->sizes, edit->shape);
    }
    stream->entries_added++;
}

/* ---- Making ---------------------------------------------------------------------------------- */

bool stream_edit_make(struct stream_edit *edit, struct node_heap *heap) {
    edit->heap = heap;
    edit->entry = NULL;
    edit->names = edit->blob = NULL;
    edit->is_new = true;
    edit->created = false;
    edit->collection = stream_new(heap);
    edit->stream = edit->collection != NULL ? stream_of(edit->collection) : NULL;
    return edit->collection != NULL;
}

bool stream_edit_add_shape(struct stream_edit *edit, const struct bytes *fields, uint64_t count,
                           uint32_t *shape) {
    if (!prepare_shape(edit, fields, count)) {
        return false;
    }
    add_shape(edit);
    *shape = edit->shape;
    return true;
}

bool stream_edit_add_entry(struct stream_edit *edit, struct stream_id id,
                           const struct bytes *fields, uint64_t count) {
    KRT_ASSERT(count > 0 && count <= UINT32_MAX);
    KRT_ASSERT(stream_id_compare(id, edit->stream->last_id) > 0);
    edit->id = id;
    edit->sizes = (struct stream_sizes){.count = count};
    if (stream_count(edit->collection) == 0) edit->stream->base_ms = id.ms;
    if (!prepare_shape(edit, fields, count) || !prepare_record(edit, fields)) {
        return false;
    }
    struct stream_change change = {.appended = 1};
    change.bytes = edit->blob != NULL ? sizeof edit->blob : edit->record_len;
    if (!stream_change_reserve(edit, &change)) {
        return false;
    }
    append_record(edit);
    if (edit->blob != NULL) {
        blob_put(edit->blob);
        edit->blob = NULL;
    }
    return true;
}

bool stream_edit_add_node(struct stream_edit *edit, const struct stream_node *node) {
    struct stream_change change = {.nodes_added = 1};
    if (!stream_change_reserve(edit, &change)) {
        return false;
    }
    if (stream_has_tail(edit->stream)) {
        close_tail(edit);
    }
    edit->stream->tail = *node;
    return true;
}

struct collection *stream_edit_give(struct stream_edit *edit, bool whole) {
    struct collection *collection = edit->collection;
    if (edit->names != NULL) {
        blob_put(edit->names);
    }
    if (edit->blob != NULL) {
        blob_put(edit->blob);
    }
    if (!whole) {
        collection_free(collection);
        return NULL;
    }
    collection_changed(collection);
    return collection;
}
