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

struct fabric;

enum { CLIENT_NAME_MAX = 1024 };

struct card {
    struct card *next, *previous; /* registry lock */
    uint64_t id;                  /* constant */
    int64_t created_ms;           /* constant */
    int fd;                       /* constant; -1 for a session */
    uint32_t shard;               /* constant; UINT32_MAX for a session */
    struct socket_address_text peer, local; /* constant */
    char *name, *lib_name, *lib_version;    /* registry lock; NULL when unset */
    atomic_u64 commands;                    /* writer owner, relaxed; a statistic */
    atomic_u32 db, proto;                   /* writer owner, relaxed; a statistic */
};

/* How far an unfinished command is (struct call, `unfinished`); embedded in what its handler needs. */
struct client_task {
    void (*free)(struct client_task *task);
};

struct client {
    struct fabric *fabric;
    struct card *card;
    struct client_task *task; /* of the command that is to be called again; NULL: none */
    uint32_t db;
    uint32_t call_flags; /* enum call_flags of its calls */
    uint8_t proto;          /* 2 or 3 */
    bool authenticated;
    bool close_after_reply; /* QUIT and protocol errors: answer what is there, then close */
    bool close_unanswered;  /* with close_after_reply: what is not sent yet is not sent either */
    bool session;           /* in process: there is no connection behind it */
};

/* False: no memory. `fd` -1 and `shard` UINT32_MAX for a session. */
bool client_init(struct client *client, struct fabric *fabric, int fd, uint32_t shard);
void client_deinit(struct client *client);
/* The task is done, or will never be. */
void client_end_task(struct client *client);

enum client_text { CLIENT_NAME, CLIENT_LIB_NAME, CLIENT_LIB_VERSION };
/* Empty text unsets. False: no memory. */
bool client_set_text(struct client *client, enum client_text which, struct bytes text);
/* Registers HELLO, SELECT, AUTH, QUIT, RESET's share and CLIENT's subcommands with the command table. */
void client_commands_bind(void);
