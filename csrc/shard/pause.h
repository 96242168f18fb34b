/* CLIENT PAUSE: commands that wait until a pause is over.
 *
 * Role: PAUSE holds all batons when it sets the gate, so no command that it stops is half done anywhere, and
 * every later one finds the gate at its execution. What waits then depends on where it came from:
 *
 *   a connection's request   goes back into the parser; the connection is on the shard's list
 *   a forwarded request      stays at its target, with all that its connection sends behind it
 *   an in-process call       sleeps on the fabric's bell, without a baton
 *
 * Time-outs and expiry stand still for the data: keys whose time has come are not found, and not deleted.
 * Threads: the shard thread, in a turn; `domain.pause` is written under all batons.
 * Bounds: a shard looks for its waiting requests only while it has some.
 */
#pragma once

#include "shard/fabric.h"

struct batch;
struct connection;
struct forwarded;

bool pause_is_in_force(const struct domain *domain);
/* Of a pause in force: does it stop a command of these flags? */
bool pause_stops(const struct domain *domain, uint64_t flags);

/* The connection's first request may not run yet: it gets no input until the pause is over. */
void pause_connection(struct shard *shard, struct connection *connection);
/* The connection ends. */
void pause_forget(struct shard *shard, struct connection *connection);
/* Does the request come behind one of its connection that waits here? */
bool pause_holds_back(const struct shard *shard, uint32_t source, const struct forwarded *request);
/* Requests that may not run yet; the batch is kept until the pause is over. */
void pause_batch(struct shard *shard, struct batch *batch);
/* Lets go what waits, once the pause is over. False: the place was lost. */
bool pause_tend(struct shard *shard);
/* At the end of the server: batches that still wait, one by one; NULL at the end. */
struct batch *pause_take_batch(struct shard *shard);

/* With all batons: a pause, or the end of one (all zero), behind which who calls looks after those who wait (waiting_resume). */
void pause_set(struct fabric *fabric, struct domain_pause pause);
/* Without a baton: sleeps until the pause may be over, a signal comes, or the absolute monotonic deadline has passed. `bell` was
 * read before the call was tried. */
void pause_sleep(struct fabric *fabric, uint32_t bell, uint64_t deadline_ns);
/* The same until a moment of waiting time. */
void pause_sleep_until(struct fabric *fabric, uint32_t bell, uint64_t end_us, uint64_t deadline_ns);
/* Wakes those who sleep. */
void pause_ring(struct fabric *fabric);
