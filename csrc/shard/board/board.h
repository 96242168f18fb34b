/* The board: the one order of everything that is sent to clients who did not just ask for it.
 *
 * Role: messages of channels, invalidations, lines of MONITOR and replies to clients that waited are *posts*. Each is
 * pinned up under the board's baton and goes into the letterbox of the shard whose connection it is for. So all
 * clients see all posts in one order, whoever wrote them on whatever shards.
 * Threads: the board's baton is taken by who holds the batons of a call (which makes it the highest of all), or by
 * who holds none. Its holder waits for nothing. Letterboxes are emptied by their shard threads, with or without
 * batons.
 * Ownership: a post is its letterbox's until `deliver` or `discard` takes it over.
 * Invariants
 *   O1  A call takes the board at its first need and keeps it until it is complete (board_leave), so that what it
 *       posts stands together, at one place of the order. A call whose set is open lets go of it before it waits for a
 *       further baton, keeps what it has posted, and takes it again as the last thing of all.
 *   O2  A post leaves after the effects of its call are in their place, and before the batons of the call drop.
 *   O3  A client that listens (`client.listens`) is told what is in the letterbox before each of its commands runs,
 *       behind the take of its batons, and again behind the reply. Its commands are not forwarded.
 * Errors: none; what a post needs is reserved by who makes it.
 * Bounds: a letterbox takes BOARD_POSTS_MAX posts of those who ask for room before. Where there is none the shard is given
 *   up (board_give_up): its thread stands still, and rather than memory it loses its clients that listen, so that
 *   nobody is told less than he thinks.
 */
#pragma once

#include <pthread.h>

#include "ring/baton.h"
#include "ring/stream.h"
#include "shard/board/channels.h"
#include "shard/board/monitor.h"

struct call_reach;
struct fabric;
struct shard;

enum { BOARD_POSTS_MAX = 1 << 20 };

/* The target of a post for who hears in process: it is delivered when it leaves, by whoever sends it. `shard` is the home of the call. */
#define BOARD_IN_PROCESS UINT32_MAX

struct post {
    struct post *next;
    uint32_t target; /* shard */
    uint64_t ticket; /* position in the log of what it tells of */
    /* By the target's thread, in its I/O room; the batons that it holds are of no use. */
    void (*deliver)(struct shard *shard, struct post *post);
    /* The server stopped before. */
    void (*discard)(struct post *post);
};

struct letterbox {
    /* Newest first. The board's holder pushes, the shard thread swaps; seq_cst, pairs with inbox.dirty. */
    atomic_ptr posts;
    atomic_u32 waiting; /* how many; the board's holder adds, the shard thread subtracts, relaxed */
    /* 1: something was not put in. The board's holder sets, the shard thread clears before it ends who listens;
     * acquire-release. */
    atomic_u32 given_up;
} KRT_CACHE_ALIGNED;

/* Those that hear in process (subscriber.h). */
struct subscribers {
    pthread_mutex_t lock; /* of the list; a leaf */
    struct subscriber *first;
};

struct board {
    struct baton baton;
    struct subscribers subscribers;
    struct channels channels;
    struct monitors monitors;
    struct letterbox boxes[BATON_SET_MAX];
};

void board_init(struct board *board);

/* ---- In a call, with its batons; `home` is the shard whose effects serve --------------------------- */
void board_take(struct shard *home);
/* Between board_take and the end of the call. It leaves with the call. */
void board_post(struct shard *home, uint32_t target, struct post *post);
/* The same without the board, which the end of the call takes for it: for who may have to wait for batons before. */
void board_post_later(struct shard *home, uint32_t target, struct post *post);
/* With the board: what the call has posted so far leaves at once. */
void board_send(struct shard *home);
/* call_reach.let_go */
void board_let_go(struct call_reach *reach);
/* The call is complete: what it has posted leaves, the board drops. */
void board_leave(struct shard *home);
/* Before the batons of the call drop, or behind: wakes those that have got something. */
void board_rouse(struct shard *home);
/* With the board: is there room for one post more? */
static inline bool board_has_room(struct board *board, uint32_t target) {
    return atomic_load_relaxed(&board->boxes[target].waiting) < BOARD_POSTS_MAX;
}
/* With the board: something is not posted to the shard, for want of room or memory. */
void board_give_up(struct fabric *fabric, uint32_t target);

/* ---- Without batons of shards ----------------------------------------------------------------------- */
/* For a look at what the board's baton guards. False: the server stops. */
bool board_enter(struct board *board);
void board_exit(struct board *board);

/* ---- The shard thread, in a turn or not ----------------------------------------------------------- */
/* As board_enter for what is no call, such as the end of a connection. The thread's turn may have the board for a call that
 * goes on: then there is nothing to take. */
enum board_entry { BOARD_CLOSED, BOARD_HAD, BOARD_ENTERED };
enum board_entry board_enter_from(struct shard *shard);
void board_exit_from(struct shard *shard, enum board_entry entry);

/* ---- The shard thread -------------------------------------------------------------------------------- */
static inline bool board_has_posts(struct letterbox *box) {
    return atomic_load_relaxed(&box->posts) != NULL;
}
/* Delivers what is in the letterbox. */
void board_drain(struct shard *shard);
/* After the threads have ended. */
void board_discard(struct board *board, uint32_t target);
