/* Bells: lists of marks with a descriptor that wakes who takes them.
 *
 * Who puts a mark on an empty list signals the descriptor; who takes clears it first and swaps the list then. So a mark that is
 * put on behind the swap finds the list empty, and signals again.
 */
#include "base/mem.h"
#include "plat/descriptors.h"
#include "plat/errors.h"
#include "plat/socket.h"
#include "server/server.h"

/* Of this process: a forked child's copies of its parent's bells are closed already, and their numbers others'. */
static uint64_t generation;

struct kevyrt_bell {
    uint64_t generation; /* constant */
    atomic_ptr marks;    /* newest first; any thread pushes, the owner swaps; seq_cst */
    int fd;
};

enum kevyrt_status kevyrt_bell_new(struct kevyrt_bell **out, struct kevyrt_error *error) {
    struct kevyrt_bell *bell = mem_calloc(NULL, sizeof *bell);
    if (!bell) return server_fail(error, KEVYRT_NO_MEMORY, -SYSTEM_NO_MEMORY, "out of memory");
    bell->generation = generation;
    bell->fd = event_open();
    if (bell->fd >= 0) {
        descriptor_note(bell->fd);
        *out = bell;
        return KEVYRT_OK;
    }
    int number = bell->fd;
    mem_free(NULL, bell);
    return server_fail(error, KEVYRT_SYSTEM, number, "no descriptor for a loop: %s",
                       system_error_text(number));
}

void kevyrt_bell_free(struct kevyrt_bell *bell) {
    if (bell->generation == generation) {
        descriptor_forget(bell->fd);
        socket_close(bell->fd);
    }
    mem_free(NULL, bell);
}

void bells_fork_child(void) {
    generation++;
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

void kevyrt_bell_signal(struct kevyrt_bell *bell) {
    event_signal(bell->fd);
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
