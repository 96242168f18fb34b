/* What a program changes of a server that may run or not: its clock, its faults.
 *
 * Threads: any that holds nothing; may wait for a start or a stop that goes on.
 */
#pragma once

#include "server/server.h"

/* Runs `alter` with all batons held, or while the server does not run, and none of it (*running tells which). KEVYRT_REFUSED: this
 * thread is just starting the server. */
enum kevyrt_status server_alter(struct kevyrt_server *server,
                                void (*alter)(struct fabric *fabric, void *context), void *context,
                                bool *running, struct kevyrt_error *error);
