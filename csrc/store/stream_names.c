/* Arrays in the order of names. */
#include "store/stream_names.h"

#include <malloc.h>

#include "base/assert.h"

bool stream_names_find(const struct stream_names *names, struct bytes name, uint32_t *index) {
    uint32_t low = 0, count = names->count;
    while (count > 0) {
        uint32_t half = count / 2;
        bool is_before = bytes_compare(names->at[low + half]->name, name) < 0;
        low = is_before ? low + half + 1 : low;
        count = is_before ? count - half - 1 : half;
    }
    *index = low;
    return low < names->count && bytes_equal(names->at[low]->name, name);
}

bool stream_names_reserve(struct stream_names *names, struct mem_account *account) {
    if (names->count < names->capacity) {
        return true;
    }
    uint32_t capacity = names->capacity == 0 ? 2 : names->capacity + names->capacity / 2;
    if (capacity <= names->capacity) {
        return false;
    }
    size_t bytes = capacity * sizeof *names->at;
    struct stream_named **at =
        names->at == NULL ? mem_alloc(account, bytes) : mem_realloc(account, names->at, bytes);
    if (at == NULL) {
        return false;
    }
    names->at = at;
    names->capacity = capacity;
    return true;
}

void stream_names_insert(struct stream_names *names, struct stream_named *named) {
    uint32_t index;
    bool found = stream_names_find(names, named->name, &index);
    KRT_ASSERT(!found && names->count < names->capacity);
    struct stream_named **at = names->at + index;
    memmove(at + 1, at, (names->count - index) * sizeof *at);
    *at = named;
    names->count++;
}

void stream_names_remove(struct stream_names *names, const struct stream_named *named) {
    uint32_t index;
    bool found = stream_names_find(names, named->name, &index);
    KRT_ASSERT(found && names->at[index] == named);
    struct stream_named **at = names->at + index;
    memmove(at, at + 1, (names->count - index - 1) * sizeof *at);
    names->count--;
}

void stream_names_free(struct stream_names *names, struct mem_account *account) {
    mem_free(account, names->at);
    *names = (struct stream_names){0};
}

uint64_t stream_names_bytes(const struct stream_names *names) {
    return names->at != NULL ? malloc_usable_size(names->at) : 0;
}

void stream_names_check(const struct stream_names *names) {
    KRT_ASSERT(names->count <= names->capacity);
    for (uint32_t i = 1; i < names->count; i++) {
        KRT_ASSERT(bytes_compare(names->at[i - 1]->name, names->at[i]->name) < 0);
    }
}
