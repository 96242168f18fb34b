/* Pipelines in process: kevyrt.h over shard/caller_pipeline.h. */
#include "base/mem.h"
#include "plat/clock.h"
#include "server/calls.h"
#include "shard/caller_pipeline.h"

struct kevyrt_pipeline {
    struct kevyrt_server *server; /* counted */
    struct caller_pipeline inner;
    struct client own; /* of one that is atomic and has no session */
    struct reply_pool pool;
    struct reply reply;
    bool has_own;
    size_t len;
    char *text; /* the reply in one piece; NULL: nobody has asked yet */
};

/* The two are one: kevyrt.h knows nothing of what is below it. */
_Static_assert(sizeof(struct kevyrt_line) == sizeof(struct caller_line) &&
                   offsetof(struct kevyrt_line, length) == offsetof(struct caller_line, length),
               "lines differ");

/* As a session's. */
static bool make_own(struct kevyrt_pipeline *pipeline, uint32_t db) {
    pipeline->has_own = client_init(&pipeline->own, &pipeline->server->fabric, -1, UINT32_MAX);
    if (!pipeline->has_own) return false;
    calls_select(&pipeline->own, db);
    pipeline->inner.client = &pipeline->own;
    return true;
}

enum kevyrt_status kevyrt_pipeline_new(struct kevyrt_server *server, struct kevyrt_session *session,
                                       uint32_t db, const struct bytes *words,
                                       const struct kevyrt_line *lines, uint32_t count, bool atomic,
                                       struct kevyrt_pipeline **out) {
    if (db >= server->fabric.domain.database_count) return KEVYRT_BAD_CONFIG;
    struct kevyrt_pipeline *pipeline = mem_alloc(NULL, sizeof *pipeline);
    if (!pipeline) return KEVYRT_NO_MEMORY;
    kevyrt_server_get(server);
    pipeline->server = server;
    pipeline->inner = (struct caller_pipeline){
        .fabric = &server->fabric,
        .client = session ? &session->client : NULL,
        .db = db,
        .atomic = atomic,
        .words = words,
        .lines = (const struct caller_line *)lines,
        .count = count,
        .reply = &pipeline->reply,
    };
    caller_pipeline_init(&pipeline->inner);
    reply_pool_init(&pipeline->pool, NULL, 1);
    reply_init(&pipeline->reply, &pipeline->pool, 3);
    pipeline->has_own = false;
    pipeline->text = NULL;
    if (atomic && !session && !make_own(pipeline, db)) {
        kevyrt_pipeline_put(pipeline);
        return KEVYRT_NO_MEMORY;
    }
    *out = pipeline;
    return KEVYRT_OK;
}

enum kevyrt_status kevyrt_pipeline_run(struct kevyrt_pipeline *pipeline, enum kevyrt_wait wait) {
    struct kevyrt_server *server = pipeline->server;
    struct client *client = pipeline->inner.client;
    enum kevyrt_status status;
    if (!calls_begin(server, wait)) return KEVYRT_STOPPED;
    if (client) atomic_store_relaxed(&client->card->seen_ns, clock_monotonic_ns());
    do {
        status = calls_status_of(caller_pipeline_run(&pipeline->inner, calls_patience(wait)));
    } while (status == KEVYRT_PAUSED && wait == KEVYRT_WAIT);
    if (status == KEVYRT_OK) status = calls_position_status(server, pipeline->inner.ticket, wait);
    calls_end(server, wait);
    return status;
}

bool kevyrt_pipeline_answers(struct kevyrt_pipeline *pipeline, struct kevyrt_answers *out) {
    if (!pipeline->text) {
        pipeline->len = reply_pending_bytes(&pipeline->reply);
        pipeline->text = mem_alloc(NULL, pipeline->len + 1);
        if (!pipeline->text) return false;
        calls_gather(&pipeline->reply, pipeline->text, pipeline->len);
    }
    *out = (struct kevyrt_answers){pipeline->text, pipeline->len, pipeline->inner.ticket,
                                   pipeline->inner.refused};
    return true;
}

bool kevyrt_pipeline_has_begun(const struct kevyrt_pipeline *pipeline) {
    return caller_pipeline_has_begun(&pipeline->inner);
}

void kevyrt_pipeline_put(struct kevyrt_pipeline *pipeline) {
    if (!kevyrt_server_usable(pipeline->server)) return; /* a child's copy; see kevyrt_server_put */
    caller_pipeline_end(&pipeline->inner);
    if (pipeline->has_own) client_deinit(&pipeline->own);
    reply_clear(&pipeline->reply);
    reply_pool_deinit(&pipeline->pool);
    mem_free(NULL, pipeline->text);
    kevyrt_server_put(pipeline->server);
    mem_free(NULL, pipeline);
}
