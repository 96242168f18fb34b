/* Pages over a base. */
#include "store/paged.h"

#include <malloc.h>

#include "base/assert.h"

struct paged {
    struct collection_more more;
    struct blob *base;  /* NULL: zeros */
    uint32_t len;       /* of the string */
    uint32_t uncovered; /* pages of the base that no page lies over */
};

static struct paged *paged_of(const struct collection *collection) {
    KRT_DCHECK(collection->more != NULL);
    return (struct paged *)collection->more;
}

static struct tree *pages_of(struct collection *collection) {
    return &collection->trees[0];
}

static uint32_t base_len(const struct paged *paged) {
    return paged->base != NULL ? paged->base->len : 0;
}

static uint32_t pages_in(uint32_t len) {
    return len / PAGE_BYTES + (len % PAGE_BYTES != 0);
}

/* ---- What is no page: `more` of a collection -------------------------------------------------- */

static void free_more(struct collection_more *more, struct mem_account *account) {
    struct paged *paged = (struct paged *)more;
    if (paged->base != NULL) {
        blob_put(paged->base);
    }
    mem_free(account, paged);
}

static struct collection_more *copy_to(struct mem_account *account,
                                       const struct collection_more *more) {
    struct paged *copy = mem_alloc(account, sizeof *copy);
    if (copy == NULL) {
        return NULL;
    }
    *copy = *(const struct paged *)more;
    if (copy->base != NULL) {
        (void)blob_get(copy->base);
    }
    return &copy->more;
}

static struct collection_more *copy_more(const struct collection_more *more,
                                         struct node_heap *heap) {
    return copy_to(heap->account, more);
}

/* Only the base has to stay: the rest is as the nodes are. */
static struct collection_more *freeze_more(const struct collection_more *more) {
    return copy_to(NULL, more);
}

static void unfreeze_more(struct collection_more *frozen) {
    free_more(frozen, NULL);
}

static void recharge_more(struct collection_more *more, struct mem_account *from,
                          struct mem_account *to) {
    struct paged *paged = (struct paged *)more;
    mem_recharge(from, to, paged);
    if (paged->base != NULL) {
        blob_recharge(paged->base, to);
    }
}

static uint64_t bytes_of_more(const struct collection_more *more) {
    const struct paged *paged = (const struct paged *)more;
    return malloc_usable_size((void *)(uintptr_t)paged) +
           (paged->base != NULL ? malloc_usable_size(paged->base) : 0);
}

static void check_page(const struct paged *paged, struct bytes page, uint64_t number) {
    uint64_t begin = number * PAGE_BYTES;
    KRT_ASSERT(page.len == PAGE_BYTES && begin < paged->len); /* P1 */
    for (uint64_t at = paged->len - begin; at < PAGE_BYTES; at++) {
        KRT_ASSERT(page.at[at] == 0);
    }
}

static void check_all(const struct collection *collection) {
    struct tree_path path;
    const struct paged *paged = paged_of(collection);
    uint32_t uncovered = pages_in(base_len(paged));
    for (bool found = tree_seek(&collection->trees[0], 0, &path); found; found = tree_next(&path)) {
        uint64_t number = tree_key(&path).order;
        check_page(paged, tree_record(&path), number);
        uncovered -= number < pages_in(base_len(paged));
    }
    KRT_ASSERT(base_len(paged) <= paged->len && uncovered == paged->uncovered); /* P2 */
    KRT_ASSERT((paged->base == NULL) == (uncovered == 0));
}

struct collection *paged_new(struct node_heap *heap, struct blob *base, uint32_t len) {
    struct collection *collection = collection_new(heap, VALUE_STRING);
    struct paged *paged = collection != NULL ? mem_alloc(heap->account, sizeof *paged) : NULL;
    if (paged == NULL) {
        if (collection != NULL) {
            collection_free(collection);
        }
        return NULL;
    }
    *paged = (struct paged){.more = {.free = free_more,
                                     .copy = copy_more,
                                     .recharge = recharge_more,
                                     .bytes = bytes_of_more,
                                     .freeze = freeze_more,
                                     .unfreeze = unfreeze_more,
                                     .check = check_all},
                            .base = base != NULL && base->len > 0 ? blob_get(base) : NULL,
                            .len = len};
    paged->uncovered = pages_in(base_len(paged));
    collection->more = &paged->more;
    return collection;
}

/* ---- Reading --------------------------------------------------------------------------------- */

uint32_t paged_len(const struct collection *collection) {
    return paged_of(collection)->len;
}

/* The page at the path or, if there is none, the first one behind it. */
static bool find_page(const struct tree *pages, uint32_t number, struct tree_path *path) {
    return tree_find(pages, &(struct tree_probe){.key = {number, 0}}, path);
}

static uint32_t number_at(const struct tree_path *path) {
    return (uint32_t)tree_key(path).order;
}

/* What a page has of the part, to where it is in it. */
static void copy_from_page(struct bytes page, uint64_t begin, struct string_part part, char *to) {
    uint64_t end = begin + PAGE_BYTES, part_end = (uint64_t)part.offset + part.len;
    uint64_t from = begin > part.offset ? begin : part.offset;
    uint64_t until = end < part_end ? end : part_end;
    memcpy(to + (from - part.offset), page.at + (from - begin), until - from);
}

void paged_read(const struct collection *collection, struct string_part part, char *to) {
    struct tree_path path;
    const struct paged *paged = paged_of(collection);
    uint32_t in_base = base_len(paged) > part.offset ? base_len(paged) - part.offset : 0;
    if (part.len == 0) {
        return;
    }
    in_base = in_base < part.len ? in_base : part.len;
    if (in_base > 0) {
        memcpy(to, paged->base->data + part.offset, in_base);
    }
    memset(to + in_base, 0, part.len - in_base);
    uint32_t last = (uint32_t)(((uint64_t)part.offset + part.len - 1) / PAGE_BYTES);
    bool found = find_page(&collection->trees[0], part.offset / PAGE_BYTES, &path);
    for (; found && number_at(&path) <= last; found = tree_next(&path)) {
        copy_from_page(tree_record(&path), (uint64_t)number_at(&path) * PAGE_BYTES, part, to);
    }
}

struct bytes paged_run(const struct collection *collection, uint32_t offset) {
    struct tree_path path;
    const struct paged *paged = paged_of(collection);
    uint32_t number = offset / PAGE_BYTES, within = offset % PAGE_BYTES, end = paged->len;
    KRT_ASSERT(offset < end);
    if (find_page(&collection->trees[0], number, &path)) {
        uint32_t begin = number_at(&path) * PAGE_BYTES; /* P1 */
        if (number_at(&path) == number) {
            uint32_t len = PAGE_BYTES - within < end - offset ? PAGE_BYTES - within : end - offset;
            return bytes_of(tree_record(&path).at + within, len);
        }
        end = begin;
    }
    if (offset >= base_len(paged)) {
        return (struct bytes){.len = end - offset};
    }
    end = end < base_len(paged) ? end : base_len(paged);
    return bytes_of(paged->base->data + offset, end - offset);
}

struct blob *paged_join(const struct collection *collection, struct mem_account *account) {
    uint32_t len = paged_len(collection);
    struct blob *blob = blob_new(account, len);
    if (blob != NULL) {
        paged_read(collection, (struct string_part){0, len}, blob->data);
    }
    return blob;
}

/* ---- Changing -------------------------------------------------------------------------------- */

static bool is_own(const struct node_heap *heap, const struct tree_path *path) {
    return !node_is_frozen(heap, &tree_path_leaf(path)->node) &&
           blob_is_own(blob_of(tree_record(path)));
}

/* A page with what the string has there; what is behind its end is zero. */
static struct blob *copy_page(const struct collection *collection, struct mem_account *account,
                              uint32_t number) {
    uint64_t begin = (uint64_t)number * PAGE_BYTES, len = paged_len(collection);
    uint64_t left = len > begin ? len - begin : 0;
    uint32_t there = left < PAGE_BYTES ? (uint32_t)left : PAGE_BYTES;
    struct blob *page = blob_new(account, PAGE_BYTES);
    if (page != NULL) {
        paged_read(collection, (struct string_part){(uint32_t)begin, there}, page->data);
        memset(page->data + there, 0, PAGE_BYTES - there);
    }
    return page;
}

static void cover(struct paged *paged, uint32_t number) {
    if (number < pages_in(base_len(paged)) && --paged->uncovered == 0) {
        blob_put(paged->base);
        paged->base = NULL;
    }
}

static bool own_page(struct collection *collection, struct node_heap *heap, uint32_t number) {
    struct tree_path path;
    struct tree *pages = pages_of(collection);
    struct record_key key = {number, 0};
    bool found = find_page(pages, number, &path) && number_at(&path) == number;
    if (found && KRT_LIKELY(is_own(heap, &path))) {
        return true;
    }
    struct blob *page = copy_page(collection, heap->account, number);
    if (page == NULL || !tree_reserve(pages, heap, 1, 0)) {
        if (page != NULL) {
            blob_put(page);
        }
        return false;
    }
    if (found) {
        tree_replace(pages, heap, &path, &key, blob_bytes(page));
    } else {
        tree_insert(pages, heap, &path, &key, blob_bytes(page));
        cover(paged_of(collection), number);
    }
    blob_put(page); /* the tree has a count of its own */
    return true;
}

/* Pages that were made before memory was refused may begin behind the end, where they say nothing. */
static void erase_behind(struct collection *collection, struct node_heap *heap, uint32_t len) {
    struct tree_path path;
    struct tree *pages = pages_of(collection);
    while (find_page(pages, pages_in(len), &path)) {
        (void)tree_erase(pages, heap, &path, UINT64_MAX);
    }
}

bool paged_open(struct collection *collection, struct node_heap *heap, struct string_part part,
                uint32_t len) {
    struct paged *paged = paged_of(collection);
    uint64_t end = (uint64_t)part.offset + part.len;
    KRT_ASSERT(len >= paged->len && end <= len);
    for (uint64_t at = part.offset; at < end; at += PAGE_BYTES - at % PAGE_BYTES) {
        if (KRT_UNLIKELY(!own_page(collection, heap, (uint32_t)(at / PAGE_BYTES)))) {
            erase_behind(collection, heap, paged->len);
            return false;
        }
    }
    node_unreserve(heap);
    paged->len = len;
    return true;
}

void paged_write(struct collection *collection, uint32_t offset, struct bytes bytes) {
    while (bytes.len > 0) {
        struct tree_path path;
        uint32_t number = offset / PAGE_BYTES, within = offset % PAGE_BYTES;
        uint32_t len = bytes.len < PAGE_BYTES - within ? bytes.len : PAGE_BYTES - within;
        bool found = find_page(pages_of(collection), number, &path);
        KRT_ASSERT(found && number_at(&path) == number);
        char *page = blob_of(tree_record(&path))->data;
        memcpy(page + within, bytes.at, len);
        offset += len;
        bytes = bytes_of(bytes.at + len, bytes.len - len);
    }
    collection_changed(collection);
}

/* ---- Of any string --------------------------------------------------------------------------- */

void string_read(const struct entry *entry, struct string_part part, char *to) {
    if (entry_is_tree(entry)) {
        paged_read(entry_collection(entry), part, to);
    } else {
        bytes_copy(to, entry_string(entry).at + part.offset, part.len);
    }
}

void string_write(struct entry *entry, uint32_t offset, struct bytes bytes) {
    if (entry_is_tree(entry)) {
        paged_write(entry_collection(entry), offset, bytes);
    } else {
        bytes_copy((char *)(uintptr_t)entry_string(entry).at + offset, bytes.at, bytes.len);
    }
}
