/* Pending entries in the two trees that have them. */
#include "store/stream_pending.h"

#include "base/assert.h"
#include "base/varint.h"

enum {
    ID_BYTES_MAX = 2 * VARINT_BYTES_MAX,
    RECORD_BYTES_MAX = ID_BYTES_MAX + 3 * VARINT_BYTES_MAX,
};

/* ---- Records --------------------------------------------------------------------------------- */

static struct bytes write_id(char *to, struct stream_id id) {
    size_t len = varint_write(to, id.ms);
    return bytes_of(to, len + varint_write(to + len, id.seq));
}

static struct bytes write_record(char *to, const struct stream_pending *pending) {
    size_t len = write_id(to, pending->id).len;
    len += varint_write(to + len, pending->consumer);
    len += varint_write(to + len, (uint64_t)pending->delivered_ms);
    return bytes_of(to, len + varint_write(to + len, pending->deliveries));
}

static struct stream_pending read_record(struct bytes record) {
    const char *at = record.at, *end = at + record.len;
    struct stream_pending pending = {.id.ms = varint_read(&at)};
    pending.id.seq = varint_read(&at);
    if (at < end) {
        pending.consumer = (uint32_t)varint_read(&at);
        pending.delivered_ms = (int64_t)varint_read(&at);
        pending.deliveries = varint_read(&at);
    }
    KRT_DCHECK(at == end);
    return pending;
}

/* ---- Finding --------------------------------------------------------------------------------- */

static bool find(const struct tree *tree, struct stream_id id, struct tree_path *path) {
    struct tree_probe probe = {.key = {id.ms, id.seq}};
    return tree_find(tree, &probe, path);
}

/* The path is where the id is, or where it belongs. */
static bool find_exactly(const struct tree *tree, struct stream_id id, struct tree_path *path,
                         struct stream_pending *pending) {
    if (!find(tree, id, path)) {
        return false;
    }
    *pending = read_record(tree_record(path));
    return stream_id_compare(pending->id, id) == 0;
}

static bool read_walk(struct stream_pending_walk *walk, bool found) {
    if (found) {
        walk->pending = read_record(tree_record(&walk->path));
    }
    return found;
}

bool stream_pending_seek(struct stream_pending_walk *walk, const struct tree *tree,
                         struct stream_id from) {
    return read_walk(walk, find(tree, from, &walk->path));
}

bool stream_pending_next(struct stream_pending_walk *walk) {
    return read_walk(walk, tree_next(&walk->path));
}

bool stream_pending_last(struct stream_pending_walk *walk, const struct tree *tree) {
    return read_walk(walk, tree->count > 0 && tree_seek(tree, tree->count - 1, &walk->path));
}

bool stream_pending_find(const struct tree *tree, struct stream_id id,
                         struct stream_pending *pending) {
    struct tree_path path;
    return find_exactly(tree, id, &path, pending);
}

/* ---- Memory ---------------------------------------------------------------------------------- */

/* Consumers that something is taken from are not known before. Each of their frozen nodes is copied once at
 * most. */
static uint64_t needed_by_owners(const struct stream_group *group, const struct node_heap *heap,
                                 uint64_t changes) {
    uint64_t nodes = group->groups->bytes / NODE_BYTES_MIN + 1;
    if (heap->frozen == 0) {
        return 0;
    }
    return changes < nodes / (TREE_HEIGHT_MAX + 1) ? changes * (TREE_HEIGHT_MAX + 1) : nodes;
}

uint64_t stream_pending_needed(const struct stream_group *group, const struct node_heap *heap,
                               const struct stream_consumer *to, uint64_t changes) {
    if (changes == 0 || (to == NULL && heap->frozen == 0)) {
        return 0;
    }
    KRT_ASSERT(changes <= UINT32_MAX);
    uint64_t owners = needed_by_owners(group, heap, changes);
    if (to == NULL) {
        return owners + tree_nodes_needed(&group->pending, heap, changes, 0);
    }
    return owners + tree_nodes_needed(&group->pending, heap, changes, changes * RECORD_BYTES_MAX) +
           tree_nodes_needed(&to->pending, heap, changes, changes * ID_BYTES_MAX);
}

bool stream_pending_reserve(const struct stream_group *group, struct node_heap *heap,
                            const struct stream_consumer *to, uint64_t changes) {
    uint64_t nodes = stream_pending_needed(group, heap, to, changes);
    return nodes <= UINT32_MAX && node_reserve(heap, (uint32_t)nodes);
}

/* ---- Changing -------------------------------------------------------------------------------- */

static void insert(struct stream_group *group, struct node_heap *heap, struct tree *tree,
                   struct tree_path *path, struct bytes record) {
    struct record_key key = {0};
    uint64_t before = tree->bytes;
    tree_insert(tree, heap, path, &key, record);
    group->groups->bytes += tree->bytes - before;
}

static void replace(struct stream_group *group, struct node_heap *heap, struct tree_path *path,
                    struct bytes record) {
    struct record_key key = {0};
    uint64_t before = group->pending.bytes;
    tree_replace(&group->pending, heap, path, &key, record);
    group->groups->bytes += group->pending.bytes - before;
}

/* So many of them, if they are in one leaf; returns how many went. */
static uint32_t erase(struct stream_group *group, struct node_heap *heap, struct tree *tree,
                      struct tree_path *path, uint64_t count) {
    uint64_t before = tree->bytes;
    uint32_t erased = tree_erase(tree, heap, path, count);
    group->groups->bytes += tree->bytes - before;
    return erased;
}

static void give(struct stream_group *group, struct node_heap *heap, uint32_t number,
                 struct stream_id id) {
    char bytes[ID_BYTES_MAX];
    struct tree_path path;
    struct tree *tree = &group->numbered[number]->pending;
    (void)find(tree, id, &path);
    insert(group, heap, tree, &path, write_id(bytes, id));
}

static void take(struct stream_group *group, struct node_heap *heap, uint32_t number,
                 struct stream_id id) {
    struct tree_path path;
    struct stream_pending there;
    struct tree *tree = &group->numbered[number]->pending;
    bool found = find_exactly(tree, id, &path, &there);
    KRT_ASSERT(found); /* G2 */
    (void)erase(group, heap, tree, &path, 1);
}

void stream_pending_put(struct stream_group *group, struct node_heap *heap,
                        const struct stream_pending *pending) {
    char bytes[RECORD_BYTES_MAX];
    struct tree_path path;
    struct stream_pending old;
    struct bytes record = write_record(bytes, pending);
    KRT_DCHECK(pending->delivered_ms >= 0 && group->numbered[pending->consumer] != NULL);
    if (!find_exactly(&group->pending, pending->id, &path, &old)) {
        insert(group, heap, &group->pending, &path, record);
        give(group, heap, pending->consumer, pending->id);
        return;
    }
    replace(group, heap, &path, record);
    if (old.consumer != pending->consumer) {
        take(group, heap, old.consumer, pending->id);
        give(group, heap, pending->consumer, pending->id);
    }
}

bool stream_pending_erase(struct stream_group *group, struct node_heap *heap, struct stream_id id) {
    struct tree_path path;
    struct stream_pending old;
    if (!find_exactly(&group->pending, id, &path, &old)) {
        return false;
    }
    (void)erase(group, heap, &group->pending, &path, 1);
    take(group, heap, old.consumer, id);
    return true;
}

/* How many records from the path on, in its leaf, are one consumer's. */
static uint32_t count_run(const struct tree_path *path, uint32_t number) {
    const struct leaf *leaf = tree_path_leaf(path);
    uint32_t index = path->index[path->height], at = index;
    while (at < leaf->count && read_record(leaf_record(leaf, at)).consumer == number) {
        at++;
    }
    return at - index;
}

/* Ids of one consumer are in the same order in both trees: a run of them in the group's is one in its own. */
void stream_pending_erase_all(struct stream_group *group, struct node_heap *heap,
                              struct stream_consumer *consumer) {
    struct stream_pending_walk walk;
    struct tree_path path;
    struct stream_pending there;
    struct tree *tree = &consumer->pending;
    bool more = stream_pending_seek(&walk, tree, (struct stream_id){0});
    while (more) {
        bool found = find_exactly(&group->pending, walk.pending.id, &path, &there);
        KRT_ASSERT(found && there.consumer == consumer->number); /* G2 */
        uint32_t run = count_run(&path, consumer->number);
        run = erase(group, heap, &group->pending, &path, run);
        while (run-- > 0) {
            more = stream_pending_next(&walk);
        }
    }
    while (tree->count > 0) {
        (void)tree_seek(tree, 0, &path);
        (void)erase(group, heap, tree, &path, tree->count);
    }
}
