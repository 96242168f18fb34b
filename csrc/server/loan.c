/* Loans: values that somebody outside looks at for as long as he likes.
 *
 * A large value is a counted blob, charged to an account of its keyspace. A loan is a reference that may outlive the
 * key, the server's stop, and its next start, which has accounts of its own at the same place. So a loan remembers in which life of
 * the server it was given. In that life it is put as any reference; later nobody counts what it frees.
 */
#include "base/blob.h"
#include "base/mem.h"
#include "server/server.h"

struct kevyrt_loan {
    struct kevyrt_server *server; /* counted */
    struct blob *blob;
    uint32_t life; /* how often the server had stopped */
};

static enum kevyrt_status lend(struct kevyrt_server *server, struct kevyrt_value *value,
                               struct kevyrt_loan **out) {
    struct kevyrt_loan *loan = mem_alloc(NULL, sizeof *loan);
    if (!loan) {
        kevyrt_value_put(value);
        return KEVYRT_NO_MEMORY;
    }
    kevyrt_server_get(server);
    *loan = (struct kevyrt_loan){server, value->counted, atomic_load_seq_cst(&server->ends)};
    *out = loan;
    return KEVYRT_OK;
}

/* Inside, so that the life in which the value is found is the one that the loan remembers. */
enum kevyrt_status kevyrt_borrow(struct kevyrt_server *server, uint32_t db, struct bytes key,
                                 enum kevyrt_wait wait, struct kevyrt_value *value,
                                 struct kevyrt_loan **out) {
    *out = NULL;
    if (!server_enter(server)) return KEVYRT_STOPPED;
    enum kevyrt_status status = kevyrt_get(server, db, key, wait, value);
    if ((status == KEVYRT_OK || status == KEVYRT_UNSAFE) && value->found == KEVYRT_LARGE &&
        lend(server, value, out) != KEVYRT_OK)
        status = KEVYRT_NO_MEMORY;
    server_leave(server);
    return status;
}

void kevyrt_loan_put(struct kevyrt_loan *loan) {
    struct kevyrt_server *server = loan->server;
    if (!kevyrt_server_usable(server)) return; /* a child's copy; see kevyrt_server_put */
    bool running = server_enter(server);
    if (running && atomic_load_seq_cst(&server->ends) == loan->life) blob_put(loan->blob);
    else blob_put_uncounted(loan->blob);
    if (running) server_leave(server);
    mem_free(NULL, loan);
    kevyrt_server_put(server);
}
