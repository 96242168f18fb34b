/* The life of groups and consumers. */
#include "store/stream_groups.h"

#include <malloc.h>

#include "base/assert.h"
#include "store/stream_pending.h"

/* What is freed at once: some dozen nodes. */
enum { SMALL_BYTES = 64 * 1024 };

void stream_groups_init(struct stream_groups *groups) {
    *groups = (struct stream_groups){0};
}

static uint64_t usable(const void *at) {
    return at != NULL ? malloc_usable_size((void *)(uintptr_t)at) : 0;
}

static uint64_t consumer_bytes(const struct stream_consumer *consumer) {
    return usable(consumer) + consumer->pending.bytes;
}

static uint64_t group_bytes(const struct stream_group *group) {
    uint64_t bytes = usable(group) + usable(group->numbered) + group->pending.bytes +
                     stream_names_bytes(&group->consumers);
    for (uint32_t i = 0; i < group->consumers.count; i++) {
        bytes += consumer_bytes(stream_consumer_at(group, i));
    }
    return bytes;
}

/* ---- Freeing --------------------------------------------------------------------------------- */

static void free_consumer(struct stream_consumer *consumer, struct mem_account *account) {
    tree_free(&consumer->pending, account);
    mem_free(account, consumer);
}

static void free_group(struct stream_group *group, struct mem_account *account) {
    for (uint32_t i = 0; i < group->consumers.count; i++) {
        free_consumer(stream_consumer_at(group, i), account);
    }
    stream_names_free(&group->consumers, account);
    tree_free(&group->pending, account);
    mem_free(account, group->numbered);
    mem_free(account, group);
}

void stream_groups_free(struct stream_groups *groups, struct mem_account *account) {
    for (uint32_t i = 0; i < groups->names.count; i++) {
        free_group(stream_group_at(groups, i), account);
    }
    stream_names_free(&groups->names, account);
    stream_groups_init(groups);
}

static void free_garbage(struct garbage *garbage) {
    struct stream_group *group =
        (struct stream_group *)(void *)((char *)garbage - offsetof(struct stream_group, garbage));
    atomic_u64 *leaving = group->leaving_bytes;
    uint64_t bytes = group_bytes(group);
    free_group(group, group->account);
    atomic_sub_relaxed(leaving, bytes);
}

static void let_go(struct stream_group *group, struct node_heap *heap, uint64_t bytes) {
    if (bytes <= SMALL_BYTES && heap->frozen == 0) {
        free_group(group, heap->account);
        return;
    }
    group->groups = NULL;
    group->account = heap->account;
    group->leaving_bytes = heap->leaving_bytes;
    atomic_add_relaxed(group->leaving_bytes, bytes);
    group->garbage = (struct garbage){.free = free_garbage};
    node_heap_let_go(heap, &group->garbage);
}

void stream_group_delete(struct stream_group *group, struct node_heap *heap) {
    struct stream_groups *groups = group->groups;
    uint64_t bytes = group_bytes(group);
    stream_names_remove(&groups->names, &group->named);
    groups->bytes -= bytes;
    let_go(group, heap, bytes);
}

void stream_consumer_delete(struct stream_group *group, struct node_heap *heap,
                            struct stream_consumer *consumer) {
    KRT_ASSERT(consumer->pending.count == 0 && consumer->pending.root == NULL);
    group->numbered[consumer->number] = NULL;
    if (consumer->number < group->free_from) {
        group->free_from = consumer->number;
    }
    stream_names_remove(&group->consumers, &consumer->named);
    group->groups->bytes -= consumer_bytes(consumer);
    free_consumer(consumer, heap->account);
}

/* ---- Making ---------------------------------------------------------------------------------- */

static struct stream_group *new_group(struct mem_account *account, struct bytes name) {
    struct stream_group *group = mem_alloc(account, sizeof *group + name.len);
    if (group != NULL) {
        *group = (struct stream_group){.entries_read = STREAM_READ_UNKNOWN,
                                       .pending = tree_empty(TREE_BY_ID)};
        group->named.name = bytes_of(group->name, name.len);
        bytes_copy(group->name, name.at, name.len);
    }
    return group;
}

static struct stream_consumer *new_consumer(struct mem_account *account, struct bytes name) {
    struct stream_consumer *consumer = mem_alloc(account, sizeof *consumer + name.len);
    if (consumer != NULL) {
        *consumer = (struct stream_consumer){.active_ms = -1, .pending = tree_empty(TREE_BY_ID)};
        consumer->named.name = bytes_of(consumer->name, name.len);
        bytes_copy(consumer->name, name.at, name.len);
    }
    return consumer;
}

static bool reserve_name(struct stream_groups *groups, struct stream_names *names,
                         struct mem_account *account) {
    uint64_t before = stream_names_bytes(names);
    bool reserved = stream_names_reserve(names, account);
    groups->bytes += stream_names_bytes(names) - before;
    return reserved;
}

static void link_group(struct stream_groups *groups, struct stream_group *group) {
    group->groups = groups;
    stream_names_insert(&groups->names, &group->named);
    groups->bytes += usable(group);
}

static void link_consumer(struct stream_group *group, struct stream_consumer *consumer,
                          uint32_t number) {
    consumer->number = number;
    group->numbered[number] = consumer;
    stream_names_insert(&group->consumers, &consumer->named);
    group->groups->bytes += usable(consumer);
}

static struct stream_group *add_group(struct stream_groups *groups, struct mem_account *account,
                                      struct bytes name) {
    struct stream_group *group = NULL;
    if (reserve_name(groups, &groups->names, account)) {
        group = new_group(account, name);
    }
    if (group != NULL) {
        link_group(groups, group);
    }
    return group;
}

struct stream_group *stream_group_add(struct stream_groups *groups, struct node_heap *heap,
                                      struct bytes name) {
    return add_group(groups, heap->account, name);
}

/* At least so many of them. */
static bool reserve_numbers(struct stream_group *group, struct mem_account *account,
                            uint32_t count) {
    if (count <= group->numbers) {
        return true;
    }
    uint64_t before = usable(group->numbered);
    size_t bytes = count * sizeof *group->numbered;
    struct stream_consumer **numbered = group->numbered == NULL
                                            ? mem_alloc(account, bytes)
                                            : mem_realloc(account, group->numbered, bytes);
    if (numbered == NULL) {
        return false;
    }
    memset(numbered + group->numbers, 0, (count - group->numbers) * sizeof *numbered);
    group->numbered = numbered;
    group->numbers = count;
    group->groups->bytes += usable(numbered) - before;
    return true;
}

/* Room for the number of one more consumer, which is free_from then. */
static bool reserve_number(struct stream_group *group, struct mem_account *account) {
    while (group->free_from < group->numbers && group->numbered[group->free_from] != NULL) {
        group->free_from++;
    }
    uint32_t more = group->numbers / 2 + 1;
    return group->free_from < group->numbers ||
           (group->numbers + more > group->numbers &&
            reserve_numbers(group, account, group->numbers + more));
}

struct stream_consumer *stream_consumer_add(struct stream_group *group, struct node_heap *heap,
                                            struct bytes name, int64_t now_ms) {
    struct stream_consumer *consumer = NULL;
    if (reserve_number(group, heap->account) &&
        reserve_name(group->groups, &group->consumers, heap->account)) {
        consumer = new_consumer(heap->account, name);
    }
    if (consumer != NULL) {
        consumer->seen_ms = now_ms;
        link_consumer(group, consumer, group->free_from++);
    }
    return consumer;
}

/* ---- Finding --------------------------------------------------------------------------------- */

struct stream_group *stream_group_find(const struct stream_groups *groups, struct bytes name) {
    uint32_t index;
    return stream_names_find(&groups->names, name, &index) ? stream_group_at(groups, index) : NULL;
}

struct stream_consumer *stream_consumer_find(const struct stream_group *group, struct bytes name) {
    uint32_t index;
    return stream_names_find(&group->consumers, name, &index) ? stream_consumer_at(group, index)
                                                              : NULL;
}

/* ---- Copying, moving ------------------------------------------------------------------------- */

struct copying {
    struct node_heap *heap; /* NULL: the nodes are shared */
    struct mem_account *account;
};

static bool copy_tree(const struct copying *copying, struct stream_groups *groups,
                      const struct tree *tree, struct tree *copy) {
    bool copied = true;
    if (copying->heap != NULL) {
        copied = tree_copy(tree, copying->heap, copy);
    } else {
        *copy = *tree;
    }
    groups->bytes += copy->bytes;
    return copied;
}

static bool copy_consumer(const struct copying *copying, const struct stream_consumer *consumer,
                          struct stream_group *group) {
    struct stream_consumer *copy = NULL;
    if (reserve_name(group->groups, &group->consumers, copying->account)) {
        copy = new_consumer(copying->account, consumer->named.name);
    }
    if (copy == NULL) {
        return false;
    }
    copy->seen_ms = consumer->seen_ms;
    copy->active_ms = consumer->active_ms;
    link_consumer(group, copy, consumer->number);
    return copy_tree(copying, group->groups, &consumer->pending, &copy->pending);
}

static bool copy_group(const struct copying *copying, const struct stream_group *group,
                       struct stream_groups *groups) {
    struct stream_group *copy = add_group(groups, copying->account, group->named.name);
    if (copy == NULL || !reserve_numbers(copy, copying->account, group->numbers)) {
        return false;
    }
    copy->last_id = group->last_id;
    copy->entries_read = group->entries_read;
    copy->free_from = group->free_from;
    for (uint32_t i = 0; i < group->consumers.count; i++) {
        if (!copy_consumer(copying, stream_consumer_at(group, i), copy)) {
            return false;
        }
    }
    return copy_tree(copying, groups, &group->pending, &copy->pending);
}

static bool copy_groups(const struct copying *copying, const struct stream_groups *groups,
                        struct stream_groups *copy) {
    stream_groups_init(copy);
    for (uint32_t i = 0; i < groups->names.count; i++) {
        if (!copy_group(copying, stream_group_at(groups, i), copy)) {
            return false;
        }
    }
    return true;
}

bool stream_groups_copy(const struct stream_groups *groups, struct node_heap *heap,
                        struct stream_groups *copy) {
    struct copying copying = {heap, heap->account};
    bool copied = copy_groups(&copying, groups, copy);
    if (!copied) {
        stream_groups_free(copy, heap->account);
    }
    return copied;
}

bool stream_groups_freeze(const struct stream_groups *groups, struct stream_groups *frozen) {
    struct copying copying = {NULL, NULL};
    bool copied = copy_groups(&copying, groups, frozen);
    if (!copied) {
        stream_groups_unfreeze(frozen);
    }
    return copied;
}

/* The nodes are somebody else's. */
void stream_groups_unfreeze(struct stream_groups *frozen) {
    for (uint32_t i = 0; i < frozen->names.count; i++) {
        struct stream_group *group = stream_group_at(frozen, i);
        group->pending = tree_empty(TREE_BY_ID);
        for (uint32_t j = 0; j < group->consumers.count; j++) {
            stream_consumer_at(group, j)->pending = tree_empty(TREE_BY_ID);
        }
    }
    stream_groups_free(frozen, NULL);
}

void stream_groups_recharge(const struct stream_groups *groups, struct mem_account *from,
                            struct mem_account *to) {
    mem_recharge_bytes(from, to, groups->bytes);
}

/* ---- Checking -------------------------------------------------------------------------------- */

static void check_consumer(const struct stream_group *group,
                           const struct stream_consumer *consumer) {
    tree_check(&consumer->pending);
    KRT_ASSERT(consumer->number < group->numbers);
    KRT_ASSERT(group->numbered[consumer->number] == consumer); /* G1 */
}

static void check_pending(const struct stream_group *group) {
    struct stream_pending_walk walk, other;
    struct stream_id from = {0};
    bool found = stream_pending_seek(&walk, &group->pending, from);
    for (; found; found = stream_pending_next(&walk)) {
        const struct stream_pending *pending = &walk.pending;
        KRT_ASSERT(pending->consumer < group->numbers);
        const struct stream_consumer *consumer = group->numbered[pending->consumer];
        KRT_ASSERT(consumer != NULL);
        bool is_there = stream_pending_seek(&other, &consumer->pending, pending->id);
        KRT_ASSERT(is_there && stream_id_compare(other.pending.id, pending->id) == 0); /* G2 */
    }
}

static void check_group(const struct stream_group *group) {
    uint64_t count = 0;
    uint32_t numbered = 0;
    tree_check(&group->pending);
    stream_names_check(&group->consumers);
    for (uint32_t i = 0; i < group->consumers.count; i++) {
        check_consumer(group, stream_consumer_at(group, i));
        count += stream_consumer_at(group, i)->pending.count;
    }
    for (uint32_t i = 0; i < group->numbers; i++) {
        numbered += group->numbered[i] != NULL;
        KRT_ASSERT(group->numbered[i] != NULL || i >= group->free_from);
    }
    KRT_ASSERT(numbered == group->consumers.count && count == group->pending.count); /* G1, G2 */
    check_pending(group);
}

void stream_groups_check(const struct stream_groups *groups) {
    uint64_t bytes = stream_names_bytes(&groups->names);
    stream_names_check(&groups->names);
    for (uint32_t i = 0; i < groups->names.count; i++) {
        const struct stream_group *group = stream_group_at(groups, i);
        KRT_ASSERT(group->groups == groups);
        check_group(group);
        bytes += group_bytes(group);
    }
    KRT_ASSERT(bytes == groups->bytes); /* G3 */
}
