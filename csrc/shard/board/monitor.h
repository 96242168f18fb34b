/* MONITOR: clients that are shown every command as it runs.
 *
 * Role: while there are any, GATE_MONITOR is set, and whoever has executed a command pins a line of it to the board,
 * one for each shard that has monitors; the shard thread copies it to each of them. A line is pinned up while the batons of its
 * command are held, so the lines stand in an order in which the commands can have run one by one.
 * Threads: the gate and `client.listens` are set by MONITOR, with all batons. Where monitors are is under the board's
 * baton (board.monitors). The list of a shard's monitors is its thread's.
 * Errors: a line that finds no memory, or no room in a letterbox, ends the monitors there: a line is never missing
 * in the middle.
 * Bounds: what a monitor does not read counts as any client's output does (shard/limits.h); BOARD_POSTS_MAX.
 */
#pragma once

#include "ring/baton.h"
#include "shard/departures.h"

struct call;
struct client;
struct connection;
struct origin;
struct plan;
struct reply;

/* Where there are any, and how many; with the board's baton. */
struct monitors {
    /* Read by who shows a command, relaxed: shards are added with all batons, and one that has just lost its last monitor
     * gets a line for nobody. */
    atomic_u64 shards;
    uint32_t counts[BATON_SET_MAX];
};

/* A shard's part. */
struct monitor_room {
    struct connection *first;   /* its monitors, by the time at which they began; its thread's */
    struct departure departure; /* its last monitor has left */
    bool departing;             /* the departure is on its way; the thread's */
};

/* The call is complete: shows it, with its batons, unless it is of a kind that is not shown. */
void monitor_show(struct shard *home, const struct origin *origin, const struct call *call);
/* Replies why a monitor may not run the command; false: it may, or the client is none. */
bool monitor_refuses(struct client *client, struct reply *reply, const struct plan *plan);
/* RESET: the client of the call is no monitor any more. */
void monitor_leave(struct call *call);
/* The connection ends. Without batons. */
void monitor_end(struct shard *shard, struct connection *connection);
/* Registers MONITOR with the command table. */
void monitor_bind(void);
