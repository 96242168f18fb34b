/* A client: the state that commands change and that outlives one command, of a connection or of an
 * in-process session, and its card.
 *
 * Threads: a client belongs to its owner (the shard thread of its connection, or the thread that calls
 * through its session). Its card is in the registry, which others read: strings there change only
 * under the registry's lock, counters are relaxed atomics written by the owner.
 * Bounds: names are at most CLIENT_NAME_MAX bytes.
 */
#pragma once

#include "base/atomic.h"
#include "base/bytes.h"
#include "plat/socket.h"
#include "shard/board/channels.h"

struct call;
struct command;
struct fabric;
struct transaction;
struct watcher;
struct waiter;
struct tracker;

enum { CLIENT_NAME_MAX = 1024 };

struct card {
    struct card *next, *previous; /* registry lock */
    atomic_u32
        references; /* the client's, and of each request on its way elsewhere; acquire-release */
    uint64_t id;    /* constant */
    int64_t created_ms; /* constant */
    int fd;             /* constant; -1 for a session */
    uint32_t shard;     /* constant; UINT32_MAX for a session */
    /* Of its connection; the owner sets them when it opens, under the registry's lock. */
    uint32_t connection, generation;
    struct socket_address_text peer, local; /* constant */
    char *name, *lib_name, *lib_version;    /* registry lock; NULL when unset */
    struct waiter *waiter;                  /* registry lock; NULL: the client does not wait */
    struct client *client; /* constant while the card is in the registry; registry lock */
    bool is_unix;          /* constant */
    atomic_u64 seen_ns;    /* monotonic: the last bytes or call; writer owner, relaxed */
    atomic_u32 doomed;     /* to be closed; writer who kills, reader the owner, relaxed */
    /* What CLIENT LIST tells; writer owner, relaxed. */
    atomic_u32 flags;                     /* enum card_flag */
    atomic_u32 db, proto, command;        /* command: the id of the last row plus 1 */
    atomic_u64 input_bytes, output_bytes; /* held for it */
    atomic_u32 subscriptions[CHANNEL_KINDS];
    atomic_u64
        redirect; /* the client that is told of what it caches (board/tracking.h); 0: itself */
    atomic_u32 redirect_broken; /* that is gone; writer the board's holder, relaxed */
    atomic_u32 queued;          /* commands in MULTI plus 1; 0: not in MULTI */
    atomic_u64 queued_bytes;
    atomic_u64 waiting_bytes, argument_bytes; /* of what it waits with, and of the words in it */
    /* What it watches, and whether that has changed (transactions/watch.c); any holder of a watched key's baton, the
     * owner; acquire-release. */
    atomic_u64 watching;
};

/* What is sent to a client without its asking (board/board.h); 0 as a rule. */
enum client_listens {
    LISTENS_CHANNELS = 1,
    LISTENS_TRACKING = 2,
    LISTENS_MONITOR = 4,
    LISTENS_DEFERRED =
        8, /* up to the end of the transaction that runs: something may wait for that */
    LISTENS_REDIRECTED = 16, /* for another client that tracks */
};

enum card_flag {
    CARD_NO_EVICT = 1,
    CARD_NO_TOUCH = 2,
    CARD_CLOSING = 4,
    CARD_SUBSCRIBED = 8,
    CARD_BLOCKED = 16,
    CARD_TRACKING = 32,
    CARD_MONITOR = 64,
    CARD_BROADCAST = 128,
    CARD_GONE = 256, /* its connection has ended */
};

/* How far an unfinished command is (struct call, `unfinished`); embedded in what its handler needs. */
struct client_task {
    void (*free)(struct client_task *task);
};

struct client {
    struct fabric *fabric;
    struct card *card;
    struct client_task *task; /* of the command that is to be called again; NULL: none */
    struct subscription *subscriptions[CHANNEL_KINDS]; /* newest first; NULL: none */
    struct waiter *waiter;           /* what it waits with, counted; NULL: it does not */
    struct transaction *transaction; /* NULL: it was never in MULTI */
    struct watcher *watcher;         /* NULL: it watches nothing */
    struct tracker *tracker;         /* counted (board/tracking.h); NULL: it has never tracked */
    uint64_t spent_ticks; /* in the command that is to be called again, with CALL_RESUMED */
    uint64_t log_ticket;  /* position in the log of the last write, once it is known (WAITAOF) */
    uint32_t db;
    uint32_t call_flags; /* enum call_flags of its calls */
    uint8_t proto;       /* 2 or 3 */
    uint8_t listens;     /* enum client_listens */
    bool authenticated;
    bool close_after_reply; /* QUIT and protocol errors: answer what is there, then close */
    bool close_unanswered;  /* with close_after_reply: what is not sent yet is not sent either */
    bool session;           /* in process: there is no connection behind it */
    bool has_logged;        /* it wrote something whose position is not known yet */
    bool uncounted;         /* killed: its subscriptions count no more; with the board */
};

/* False: no memory. `fd` -1 and `shard` UINT32_MAX for a session. */
bool client_init(struct client *client, struct fabric *fabric, int fd, uint32_t shard);
void client_deinit(struct client *client);
/* Where its connection is found. */
void client_place(struct client *client, uint32_t connection, uint32_t generation);
/* The task is done, or will never be. */
void client_end_task(struct client *client);

enum client_text { CLIENT_NAME, CLIENT_LIB_NAME, CLIENT_LIB_VERSION };
/* Empty text unsets. False: no memory. */
bool client_set_text(struct client *client, enum client_text which, struct bytes text);
static inline struct card *card_get(struct card *card) {
    atomic_add_relaxed(&card->references, 1);
    return card;
}
void card_put(struct card *card);

/* What the client holds: its state, and what it has sent and not yet got. Any thread. */
uint64_t client_bytes(const struct card *card);
/* It was the last one that ran. */
void client_note_command(struct client *client, const struct command *command);
/* Sets or clears flags of the card. */
void client_flag(struct client *client, enum card_flag flag, bool set);
/* It begins, or ends, to be told what it did not ask for. */
void client_listen(struct client *client, enum client_listens what, bool listens);
/* Anew as it was when it was made, but for its id; its subscriptions are the caller's to end. */
void client_reset(struct client *client);

/* ---- Handlers ----------------------------------------------------------------------------------- */

enum client_type { CLIENT_NORMAL, CLIENT_REPLICA, CLIENT_PUBSUB, CLIENT_MASTER };
/* In Redis's words; false after the error reply. */
bool client_type_parse(struct call *call, struct bytes name, enum client_type *type);
/* As it is at the moment; any thread. */
enum client_type client_type_of(const struct card *card);
/* The client, or NULL after an error reply: a plain in-process call has none. */
struct client *client_of(struct call *call);
/* Register HELLO, SELECT, AUTH, QUIT, RESET and CLIENT's subcommands with the command table. */
void client_commands_bind(void);
void client_list_bind(void);
void client_kill_bind(void);
void client_pause_bind(void);
void client_unblock_bind(void);
void client_tracking_bind(void);
/* Registers WAIT (blocking/wait.c). */
void wait_bind(void);
