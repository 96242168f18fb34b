/* Data that is read beside the data that is served (store/keyspace.h, aside).
 *
 * Role: what restores (restore.h) and a start with data that was given to it (initial.h) have in common.
 * Threads: one that may block, without batons but where said. One at a time of a server.
 * Errors: enum kevyrt_status. A stop frees what is aside with the rest.
 */
#pragma once

#include "server/persistence/restoring/dump_source.h"

struct aside {
    struct kevyrt_server *server;
    struct dump_source source;
    struct rdb_target target;
    bool watched;      /* a start: it is asked whether it is to go on (server_is_wanted) */
    uint64_t asked_ns; /* when that was last */
};

/* Behind dump_source_open. False: the server stops. */
bool aside_begin(struct aside *aside, struct kevyrt_server *server);
/* The whole source becomes data aside. */
enum kevyrt_status aside_load(struct aside *aside, struct kevyrt_error *error);
void aside_discard(struct aside *aside);
/* With all batons: what is aside takes the place of what is served. */
void aside_install(struct aside *aside);
