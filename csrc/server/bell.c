/* Bells: lists of marks with a descriptor that wakes who takes them.
 *
 * Who puts a mark on an empty list signals the descriptor; who takes clears it first and swaps the list then. So a mark that is
 * put on behind the swap finds the list empty, and signals again.
 */
#include "base/mem.h"
#include "plat/errors.h"
#include "plat/socket.h"
#include "server/kevyrt.h"

struct kevyrt_bell {
    atomic_ptr marks; /* newest first; any thread pushes, the owner swaps; seq_cst */
    int fd;
};

struct kevyrt_bell *kevyrt_bell_new(int *number) {
    struct kevyrt_bell *bell = mem_calloc(NULL, sizeof *bell);
    *number = -SYSTEM_NO_MEMORY;
    if (!bell) return NULL;
    bell->fd = event_open();
    if (bell->fd >= 0) return bell;
    *number = -bell->fd;
    mem_free(NULL, bell);
    return NULL;
}

void kevyrt_bell_free(struct kevyrt_bell *bell) {
    socket_close(bell->fd);
    mem_free(NULL, bell);
}

int kevyrt_bell_fd(const struct kevyrt_bell *bell) {
    return bell->fd;
}

void kevyrt_bell_ring(void *context) {
    struct kevyrt_mark *mark = context;
    struct kevyrt_bell *bell = mark->bell;
    void *head = atomic_load_relaxed(&bell->marks);
    do {
        mark->next = head;
    } while (!atomic_cas_seq_cst(&bell->marks, &head, mark));
    if (!head) event_signal(bell->fd);
}

struct kevyrt_mark *kevyrt_bell_take(struct kevyrt_bell *bell) {
    struct kevyrt_mark *oldest = NULL;
    event_clear(bell->fd);
    struct kevyrt_mark *mark = atomic_swap_seq_cst(&bell->marks, NULL);
    for (struct kevyrt_mark *next; mark; mark = next) {
        next = mark->next;
        mark->next = oldest;
        oldest = mark;
    }
    return oldest;
}
