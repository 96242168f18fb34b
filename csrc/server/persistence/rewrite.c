#include "server/persistence/rewrite.h"

#include "plat/clock.h"
#include "server/persistence/persistence.h"
#include "server/server.h"

void rewrite_status_get(struct kevyrt_server *server, struct rewrite_status *out) {
    const struct rewriting *rewriting = &server->persistence.rewriting;
    pthread_mutex_lock(&server->persistence.lock);
    *out = (struct rewrite_status){
        .running = rewriting->running,
        .scheduled = rewriting->scheduled,
        .last_failed = rewriting->last_failed,
        .last_took_s = rewriting->took_s,
        .since_s = rewriting->running ? clock_wall_ms() / 1000 - rewriting->begun_s : -1,
        .rewrites = rewriting->rewrites,
    };
    pthread_mutex_unlock(&server->persistence.lock);
}

bool rewrite_is_running(struct kevyrt_server *server) {
    struct rewrite_status status;
    rewrite_status_get(server, &status);
    return status.running;
}
