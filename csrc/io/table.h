/* The reactor's table of sockets, and lists of them.
 *
 * Role: the kernel hands back a 64-bit token with every completion or readiness. A token names
 * kind, table index and generation, never memory: one that outlived its socket finds nothing (R2).
 * Threads: the reactor's. Ownership: the table refers to sockets, it does not own them.
 * Errors: io_table_put is -ENOMEM and changes nothing. Bounds: TABLE_MAX sockets at a time.
 */
#pragma once

#include "io/reactor.h"

#define TABLE_MAX (1u << 22)
#define GENERATION_MASK 0xffffffu

enum io_token_kind {
    TOKEN_RECEIVE,
    TOKEN_SEND,
    TOKEN_WATCH,
    TOKEN_CANCEL,
    TOKEN_ACCEPT,
    TOKEN_WAKE
};

static inline uint64_t io_token_pack(enum io_token_kind kind, uint32_t index, uint32_t generation) {
    return (uint64_t)kind << 56 | (uint64_t)(generation & GENERATION_MASK) << 32 | index;
}

static inline enum io_token_kind io_token_kind_of(uint64_t token) {
    return (enum io_token_kind)(token >> 56);
}

static inline uint32_t io_token_index(uint64_t token) {
    return (uint32_t)token;
}

static inline uint32_t io_token_generation(uint64_t token) {
    return (uint32_t)(token >> 32) & GENERATION_MASK;
}

struct io_table_slot {
    struct io_socket *socket; /* NULL: free */
    uint32_t generation;      /* counts the sockets that had this slot; 24 bits */
    uint32_t next_free;
};

struct io_table {
    struct io_table_slot *slots;
    uint32_t capacity;
    uint32_t first_free; /* equals capacity when full */
    uint32_t used;
    struct mem_account *account;
};

void io_table_init(struct io_table *table, struct mem_account *account);
void io_table_deinit(struct io_table *table);
/* Gives the socket a slot: its index and generation. */
int io_table_put(struct io_table *table, struct io_socket *socket);
void io_table_remove(struct io_table *table, struct io_socket *socket);

/* The socket that a token names, NULL if it is gone. */
static inline struct io_socket *io_table_find(const struct io_table *table, uint64_t token) {
    uint32_t index = io_token_index(token);
    if (index >= table->capacity || table->slots[index].generation != io_token_generation(token)) {
        return NULL;
    }
    return table->slots[index].socket;
}

static inline uint64_t io_token_of(enum io_token_kind kind, const struct io_socket *socket) {
    return io_token_pack(kind, socket->index, socket->generation);
}

/* First in, first out, through `next_listed`: a socket is on at most one list. */
struct socket_list {
    struct io_socket *first, *last;
};

static inline void socket_list_append(struct socket_list *list, struct io_socket *socket) {
    socket->next_listed = NULL;
    if (list->first == NULL) {
        list->first = socket;
    } else {
        list->last->next_listed = socket;
    }
    list->last = socket;
}

static inline struct io_socket *socket_list_take(struct socket_list *list) {
    struct io_socket *socket = list->first;
    if (socket != NULL) {
        list->first = socket->next_listed;
    }
    return socket;
}
