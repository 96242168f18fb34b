#include "io/table.h"

#include <errno.h>

#include "base/assert.h"

#define TABLE_FIRST_CAPACITY 64u

void io_table_init(struct io_table *table, struct mem_account *account) {
    *table = (struct io_table){.account = account};
}

void io_table_deinit(struct io_table *table) {
    KRT_ASSERT(table->used == 0);
    mem_free(table->account, table->slots);
}

static int grow(struct io_table *table) {
    uint32_t capacity = table->capacity ? table->capacity * 2 : TABLE_FIRST_CAPACITY;
    if (capacity > TABLE_MAX) {
        return -ENOMEM;
    }
    struct io_table_slot *slots =
        mem_realloc(table->account, table->slots, capacity * sizeof(struct io_table_slot));
    if (slots == NULL) {
        return -ENOMEM;
    }
    for (uint32_t i = table->capacity; i < capacity; i++) {
        slots[i] = (struct io_table_slot){.next_free = i + 1};
    }
    table->slots = slots;
    table->capacity = capacity;
    return 0;
}

int io_table_put(struct io_table *table, struct io_socket *socket) {
    if (table->first_free == table->capacity) {
        int error = grow(table);
        if (error < 0) {
            return error;
        }
    }
    struct io_table_slot *slot = &table->slots[table->first_free];
    KRT_DCHECK(slot->socket == NULL);
    socket->index = table->first_free;
    socket->generation = slot->generation;
    slot->socket = socket;
    table->first_free = slot->next_free;
    table->used++;
    return 0;
}

void io_table_remove(struct io_table *table, struct io_socket *socket) {
    struct io_table_slot *slot = &table->slots[socket->index];
    KRT_ASSERT(slot->socket == socket);
    slot->socket = NULL;
    slot->generation = (slot->generation + 1) & GENERATION_MASK;
    slot->next_free = table->first_free;
    table->first_free = socket->index;
    table->used--;
}
