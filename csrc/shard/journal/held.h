/* Held output: what a connection is to be sent, and may not be before the log is safe so far.
 *
 * Role: a shard thread keeps one position, `io.ticket`: of everything that it, and whoever has sent it something, has seen. What is
 * new in a connection's output when that is flushed gets it as a mark; what is in front of a mark leaves when the mark's ticket
 * is safe, and nothing passes it. So a reply waits for more than it is about, but never for less.
 * Threads: the shard thread. `shard.awaited` is read by the log's thread (journal.h, J3).
 * Bounds: OUTPUT_MARKS marks per connection; then the last two become one. Output that is held counts for its limits.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct connection;
struct shard;

enum { OUTPUT_MARKS = 4 };

struct output_mark {
    uint64_t bytes; /* of the output, from its head */
    uint64_t ticket;
};

struct held_output {
    struct output_mark marks[OUTPUT_MARKS];
    uint32_t count;
    bool listed;
    bool finishes; /* it had one when the server stopped */
    uint64_t
        released; /* bytes at the head of the output that may leave; known once there is a log */
    struct connection *next, *previous; /* of those that have a mark */
};

/* The thread has seen something of that position. */
void held_note(struct shard *shard, uint64_t ticket);
/* How many bytes may leave now; marks what is new. Only where io.has_log. */
uint64_t held_release(struct shard *shard, struct connection *connection);
/* So many of them have left. */
void held_consume(struct connection *connection, uint64_t bytes);
/* The connection ends. */
void held_forget(struct shard *shard, struct connection *connection);
/* Those whose first mark may be safe by now want to be flushed. */
void held_tend(struct shard *shard);
/* Behind the flush of all: says what is waited for, and looks again. */
void held_publish(struct shard *shard);
/* The server stops: what is held leaves when the log is closed, if that went well. */
void held_finish(struct shard *shard);
