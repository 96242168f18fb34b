/* kevyrt: the whole C interface. The Python module, the C tests and a plain C program all use this
 * and nothing else.
 *
 * Threads: every function may be called from any thread, except where it says otherwise.
 * Ownership: `kevyrt_server_new` gives a counted object; memory lives until the last reference
 * (server, session, value) is put. Nothing here calls Python, exits, prints, or touches signal
 * handlers.
 * Errors: functions that can fail return an enum kevyrt_status; `struct kevyrt_error` says why in
 * words.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/version.h"

enum { KEVYRT_SHARDS_MAX = 64 };

enum kevyrt_status {
    KEVYRT_OK = 0,
    KEVYRT_WOULD_WAIT, /* KEVYRT_TRY: a baton is not free now */
    KEVYRT_STOPPED,    /* the server is not running */
    KEVYRT_BAD_CONFIG, /* unknown or impossible setting; error.text names it */
    KEVYRT_SYSTEM,     /* error.number is an errno value; error.text says what was tried */
    KEVYRT_NO_MEMORY,
    KEVYRT_TIMEOUT,
    KEVYRT_BLOCKED, /* the command waits for data, or its answer is late (a fault): kevyrt_waiting_wait */
    KEVYRT_CANCELLED, /* it waits no more, and has done nothing */
    KEVYRT_DAMAGED, /* what was to be loaded; error.text names the file, error.offset says where in it */
    KEVYRT_REFUSED, /* not now, or not with these settings; error.text says why */
    KEVYRT_GATED, /* of the fast path: more is asked just now (a budget, a pause); kevyrt_call knows what */
    KEVYRT_PAUSED, /* CLIENT PAUSE goes on, and nothing was done: look around and call again (enum kevyrt_wait) */
    KEVYRT_UNSAFE, /* it is done, and the result is there, which nobody may be told of before kevyrt_settle */
};

struct kevyrt_error {
    int number;      /* errno value or 0 */
    uint64_t offset; /* of KEVYRT_DAMAGED */
    char text[512];
    char file[4096]; /* of KEVYRT_SYSTEM and KEVYRT_DAMAGED: which; "": none, or the text has it */
};

/* One setting in Redis's names ("port", "unixsocket", "save", ...) and text form. */
struct kevyrt_setting {
    const char *name;
    const char *value;
};

struct kevyrt_server;
struct kevyrt_session;
struct kevyrt_waiting;

/* ---- Life ------------------------------------------------------------------------------------ */

/* Checks the settings; starts nothing, touches no file. `port` "0" means no TCP, as in Redis; "any"
 * lets the kernel choose. Deliberately ignored settings are reported through the log. */
enum kevyrt_status kevyrt_server_new(const struct kevyrt_setting *settings, size_t count,
                                     struct kevyrt_server **out, struct kevyrt_error *error);
/* Starts the shard threads, listens, and returns when everything is loaded that the settings say (KEVYRT_DAMAGED: the file cannot be
 * loaded; nothing runs, and nothing was changed). After a stop it may be started again. */
enum kevyrt_status kevyrt_server_start(struct kevyrt_server *server, struct kevyrt_error *error);
/* The same for who cannot be away for as long as it takes to load: `keep_on` is called on this thread every 50 ms meanwhile, and false
 * ends the start (KEVYRT_STOPPED). */
enum kevyrt_status kevyrt_server_start_watched(struct kevyrt_server *server,
                                               bool (*keep_on)(void *context), void *context,
                                               struct kevyrt_error *error);
/* Idempotent; ends a start that loads; returns when every thread is joined and an immediate start on the port succeeds. */
void kevyrt_server_stop(struct kevyrt_server *server);
void kevyrt_server_get(struct kevyrt_server *server);
/* Drops a reference; the last one stops and frees. */
void kevyrt_server_put(struct kevyrt_server *server);

bool kevyrt_server_running(const struct kevyrt_server *server);
/* False in a forked child for a server of its parent. */
bool kevyrt_server_usable(const struct kevyrt_server *server);
/* The monotonic clock that deadlines are read on. */
uint64_t kevyrt_now_ns(void);
/* Waits until the server has stopped (KEVYRT_STOPPED) or the absolute monotonic deadline has passed
 * (KEVYRT_TIMEOUT). KEVYRT_OK: woken for another reason, such as a signal; look around and wait
 * again. */
enum kevyrt_status kevyrt_server_wait(struct kevyrt_server *server, uint64_t deadline_ns);

/* What the last start bound first: the TCP port, or 0; the address as `bind` names it, or "". */
uint16_t kevyrt_server_port(const struct kevyrt_server *server);
const char *kevyrt_server_host(const struct kevyrt_server *server);
/* The value in force of a setting, as CONFIG GET shows it; false if there is no such setting. */
bool kevyrt_server_setting(struct kevyrt_server *server, const char *name, char *out,
                           size_t capacity);
/* Serves an already connected stream socket; on KEVYRT_OK the server owns the fd. */
enum kevyrt_status kevyrt_server_adopt(struct kevyrt_server *server, int fd,
                                       struct kevyrt_error *error);

/* A connection without a network: *fd receives one end of a socket pair, blocking and close-on-exec, which is the
 * caller's; the server serves the other end. */
enum kevyrt_status kevyrt_server_connect(struct kevyrt_server *server, int *fd,
                                         struct kevyrt_error *error);
/* Opens the door, unless it is open: a Unix socket in a new folder of `base`, both for this user alone, through which
 * processes reach the server that cannot be in it, such as forked children. A stop removes both. Waits for nothing.
 * `path` receives where it is. KEVYRT_STOPPED: the server does not run, or starts or stops just now. KEVYRT_SYSTEM: not
 * there; ENAMETOOLONG, if such a path is longer than a socket's may be. */
enum { KEVYRT_DOOR_PATH_MAX = 108 };
enum kevyrt_status kevyrt_server_open_door(struct kevyrt_server *server, const char *base,
                                           char path[KEVYRT_DOOR_PATH_MAX],
                                           struct kevyrt_error *error);
/* What clients must know by now (requirepass), cut to `capacity`; "": nothing. */
void kevyrt_server_password(struct kevyrt_server *server, char *out, size_t capacity);

/* ---- Files ----------------------------------------------------------------------------------- */

struct kevyrt_checking {
    bool fix; /* a log that is torn or damaged is cut where it is whole so far */
    int64_t
        until_s; /* so is one that goes on later (aof-timestamp-enabled), Unix time; 0: none is */
    void (*say)(void *context, const char *line);
    bool (*agree)(void *context, const char *question); /* before a cut; NULL: yes */
    void *context;
};
/* Looks at a dump, a log or a manifest with all that it names, without a server, and says what is found, line by line.
 * KEVYRT_DAMAGED: it cannot be loaded as it is now. KEVYRT_SYSTEM: it cannot be read. */
enum kevyrt_status kevyrt_check(const char *path, const struct kevyrt_checking *checking);

/* ---- Calls ----------------------------------------------------------------------------------- */

enum kevyrt_wait {
    KEVYRT_TRY, /* never waits: KEVYRT_WOULD_WAIT instead; may be used with a lock (the GIL) held */
    KEVYRT_WAIT, /* waits for batons, and for the log. A command that waits for data returns KEVYRT_BLOCKED of all */
    /* Waits for batons alone, and for a second at most for a pause (KEVYRT_PAUSED); KEVYRT_UNSAFE as with KEVYRT_TRY. */
    KEVYRT_WAIT_BATONS,
    /* Waits for batons for a millisecond at most (KEVYRT_WOULD_WAIT), and for no pause (KEVYRT_PAUSED at once); KEVYRT_UNSAFE
     * as with KEVYRT_TRY. */
    KEVYRT_WAIT_BRIEFLY,
};

/* With a log, what is done and what is read must be on the disk as far as appendfsync says before anybody is told of it. A call
 * that may not wait for that, or only for batons, returns KEVYRT_UNSAFE with its result and a ticket, and is not to be repeated: the
 * result may be used once kevyrt_settle has said KEVYRT_OK of the ticket. KEVYRT_TIMEOUT: not until the absolute
 * monotonic deadline. KEVYRT_STOPPED: the server stopped, and could not make it safe. */
enum kevyrt_status kevyrt_settle(struct kevyrt_server *server, uint64_t ticket,
                                 uint64_t deadline_ns);

/* The same as something to wait for (below), for who cannot sleep: its answer is empty. KEVYRT_BLOCKED: it is in *out.
 * KEVYRT_OK: it is safe now. KEVYRT_STOPPED. KEVYRT_NO_MEMORY. */
enum kevyrt_status kevyrt_settle_later(struct kevyrt_server *server, uint64_t ticket,
                                       struct kevyrt_waiting **out);

/* A session has connection state of its own: database, protocol, name, MULTI and WATCH. One call at a
 * time. */
struct kevyrt_session *kevyrt_session_new(struct kevyrt_server *server);
void kevyrt_session_put(struct kevyrt_session *session);
/* Its database, without a command, which something might hold up. False: there is no such one. */
bool kevyrt_session_select(struct kevyrt_session *session, uint32_t db);

/* The reply of a call: RESP3 bytes in one piece. Free with kevyrt_reply_free; it is not to be moved. */
struct kevyrt_reply {
    char *at;
    size_t len;
    struct kevyrt_waiting *waiting; /* of KEVYRT_BLOCKED; the caller's */
    uint64_t ticket;                /* of KEVYRT_UNSAFE */
    void *owned;                    /* where long replies lie; NULL: in `room` */
    _Alignas(8) char room[2048];
};
void kevyrt_reply_free(struct kevyrt_reply *reply);

/* Runs one command on the calling thread. `session` may be NULL: then the command runs in database
 * `db`, and commands that need a connection are refused. */
enum kevyrt_status kevyrt_call(struct kevyrt_server *server, struct kevyrt_session *session,
                               uint32_t db, const struct bytes *argv, uint32_t argc,
                               enum kevyrt_wait wait, struct kevyrt_reply *reply);

/* What the first words of a command name, a subcommand included; NULL: nothing, or more depends on the words behind them. Stays as long as the library. */
struct kevyrt_command;
const struct kevyrt_command *kevyrt_command_find(const struct bytes *argv, uint32_t argc);
/* The same for who knows what argv[0] (and the name of a subcommand behind it) names, and need not look for it on every call. NULL: it is
 * looked for. A server that renames commands looks anyway. */
enum kevyrt_status kevyrt_call_known(struct kevyrt_server *server, struct kevyrt_session *session,
                                     uint32_t db, const struct kevyrt_command *command,
                                     const struct bytes *argv, uint32_t argc, enum kevyrt_wait wait,
                                     struct kevyrt_reply *reply);

/* ---- Pipelines --------------------------------------------------------------------------------- */

/* A command of a pipeline: how many words it has (at least 1), and what they name, if that is known. */
struct kevyrt_line {
    const struct kevyrt_command *command; /* or NULL */
    uint32_t length;
};
/* Many commands of one thread, run with one call, in order. `words` are those of all commands, one behind the other; they, the lines
 * and the session stay until the pipeline is put, and the session is inside a call until then. Commands
 * that wait for data (BLPOP) find nobody who can: they answer as they do inside of MULTI.
 * Atomic: MULTI, the commands and EXEC; without a session, of a client of its own in database `db`. Otherwise each
 * runs as by kevyrt_call, and what others do may come between two of them. KEVYRT_BAD_CONFIG: there is no such database.
 * KEVYRT_NO_MEMORY. */
struct kevyrt_pipeline;
enum kevyrt_status kevyrt_pipeline_new(struct kevyrt_server *server, struct kevyrt_session *session,
                                       uint32_t db, const struct bytes *words,
                                       const struct kevyrt_line *lines, uint32_t count, bool atomic,
                                       struct kevyrt_pipeline **out);
/* KEVYRT_OK: all is done. KEVYRT_WOULD_WAIT, KEVYRT_PAUSED: call again, and it goes on where it stopped. KEVYRT_UNSAFE: all
 * is done, and nobody may be told before kevyrt_settle. After KEVYRT_STOPPED and KEVYRT_NO_MEMORY a part may have been done. */
enum kevyrt_status kevyrt_pipeline_run(struct kevyrt_pipeline *pipeline, enum kevyrt_wait wait);

struct kevyrt_answers {
    /* RESP3, until the pipeline is put. Plain: a reply of each command. Atomic: the reply of EXEC. */
    const char *at;
    size_t len;
    uint64_t ticket; /* of KEVYRT_UNSAFE */
    /* Atomic: the first command that could not be queued, whose error `at` is then. The count: none. */
    uint32_t refused;
};
/* Once it is done. False: no memory. */
bool kevyrt_pipeline_answers(struct kevyrt_pipeline *pipeline, struct kevyrt_answers *out);
/* Is it too late to give it up without a trace? No: nothing of it has run yet, and nothing will if it is put now. */
bool kevyrt_pipeline_has_begun(const struct kevyrt_pipeline *pipeline);
/* What did not run will not. */
void kevyrt_pipeline_put(struct kevyrt_pipeline *pipeline);

/* ---- Waiting for data ------------------------------------------------------------------------- */

/* A command that found nothing and waits for it (BLPOP, XREAD with BLOCK, ...), after KEVYRT_BLOCKED; with kevyrt_fault_add any
 * command's answer may be late, which looks the same. It belongs to the
 * caller, who is one thread at a time; a session is inside the call until it is put. Who waits for the same key is served
 * first come first served, connections or not. What serves it pops for it at that moment, wherever its owner is. */

/* Sleeps until the command is answered, by its own time-out at the latest (KEVYRT_OK: the reply is there), or
 * KEVYRT_TIMEOUT: the absolute monotonic deadline has passed; it waits on, and no place in a queue is lost
 * KEVYRT_BLOCKED: woken for another reason, such as a signal; the same
 * KEVYRT_STOPPED: the server stops; KEVYRT_NO_MEMORY: for the reply, which may be asked for again
 * KEVYRT_CANCELLED: after kevyrt_waiting_cancel. */
enum kevyrt_status kevyrt_waiting_wait(struct kevyrt_waiting *waiting, uint64_t deadline_ns,
                                       struct kevyrt_reply *reply);
/* Gives up. KEVYRT_CANCELLED: nothing was and nothing will be popped for it. Otherwise something came first, and it is
 * what kevyrt_waiting_wait would say: KEVYRT_OK with the reply, ... */
enum kevyrt_status kevyrt_waiting_cancel(struct kevyrt_waiting *waiting,
                                         struct kevyrt_reply *reply);
/* The same without waiting: KEVYRT_BLOCKED if something has come first, but may not be told of yet (the log, the end of a
 * call). It is told of soon, as without the cancel. */
enum kevyrt_status kevyrt_waiting_try_cancel(struct kevyrt_waiting *waiting,
                                             struct kevyrt_reply *reply);
/* For an event loop: calls `wake` once when kevyrt_waiting_wait has something to say, the end of the command's own time-out
 * among it: the server tells that too, whatever its clock does (kevyrt_clock_change), so a loop needs no timer of its own. From
 * whatever thread brings it about, in the middle of its work: `wake` neither locks nor waits nor calls anything of this
 * interface. At once if that is so already. Once per waiting. After any end that the owner has been told, `wake` neither
 * runs nor comes. */
void kevyrt_waiting_call_back(struct kevyrt_waiting *waiting, void (*wake)(void *context),
                              void *context);
/* For show: when its own time-out is over, on the monotonic clock, as things are; UINT64_MAX: never, or the server's
 * clock stands still. Nobody has to come then. */
uint64_t kevyrt_waiting_deadline(const struct kevyrt_waiting *waiting);
/* Cancels it if it still waits; an answer that nobody asked for is lost. */
void kevyrt_waiting_put(struct kevyrt_waiting *waiting);

/* ---- Subscriptions ---------------------------------------------------------------------------- */

/* Who is subscribed in process. It belongs to its owner, one thread at a time; but any thread may subscribe it. */
struct kevyrt_subscriber;
enum kevyrt_channels { KEVYRT_CHANNELS, KEVYRT_PATTERNS, KEVYRT_SHARD_CHANNELS };

/* `wake` is called once behind each kevyrt_subscriber_arm: see there. KEVYRT_STOPPED, KEVYRT_NO_MEMORY. */
enum kevyrt_status kevyrt_subscriber_new(struct kevyrt_server *server, void (*wake)(void *context),
                                         void *context, struct kevyrt_subscriber **out);
/* Ends its subscriptions. `wake` neither runs nor comes afterwards. */
void kevyrt_subscriber_put(struct kevyrt_subscriber *subscriber);
/* When it returns the subscriptions are live, and what confirms them is among the messages at its place. KEVYRT_NO_MEMORY: none is.
 * KEVYRT_STOPPED: so is the server, or was meanwhile; it stays so. */
enum kevyrt_status kevyrt_subscribe(struct kevyrt_subscriber *subscriber, enum kevyrt_channels kind,
                                    const struct bytes *names, uint32_t count);
/* Without names: all of the kind. */
enum kevyrt_status kevyrt_unsubscribe(struct kevyrt_subscriber *subscriber,
                                      enum kevyrt_channels kind, const struct bytes *names,
                                      uint32_t count);

/* RESP3. */
struct kevyrt_message {
    const char *at;
    size_t len;
    uint64_t ticket; /* of KEVYRT_UNSAFE */
    void *item;
};
/* The oldest message. KEVYRT_BLOCKED: there is none. KEVYRT_UNSAFE: it stays in its place until the ticket is safe (kevyrt_settle).
 * Behind the last one: KEVYRT_STOPPED, the server; KEVYRT_REFUSED: its owner was too slow (client-output-buffer-limit),
 * or there was no memory, and it is told no more. */
enum kevyrt_status kevyrt_subscriber_take(struct kevyrt_subscriber *subscriber,
                                          struct kevyrt_message *out);
void kevyrt_message_free(struct kevyrt_message *message);
/* Sleeps until there may be something to take, or (false) until the absolute monotonic deadline. */
bool kevyrt_subscriber_wait(struct kevyrt_subscriber *subscriber, uint64_t deadline_ns);
/* For an event loop: `wake` is called once when there is something to take, at once if there is; as in kevyrt_waiting_call_back. */
void kevyrt_subscriber_arm(struct kevyrt_subscriber *subscriber);
/* `wake` neither runs nor comes before the next arm. */
void kevyrt_subscriber_disarm(struct kevyrt_subscriber *subscriber);

/* ---- Bells ------------------------------------------------------------------------------------ */

/* What wakes an event loop: a descriptor that is readable while there are marks on the bell. `kevyrt_bell_ring` is a `wake` of
 * kevyrt_waiting_call_back. */
struct kevyrt_bell;
struct kevyrt_mark {
    struct kevyrt_mark *next;
    struct kevyrt_bell *bell;
};

/* KEVYRT_SYSTEM: no descriptor. A forked child's copy of it is closed. */
enum kevyrt_status kevyrt_bell_new(struct kevyrt_bell **out, struct kevyrt_error *error);
/* Nobody rings any more. */
void kevyrt_bell_free(struct kevyrt_bell *bell);
int kevyrt_bell_fd(const struct kevyrt_bell *bell);
/* Puts a mark on its bell. Neither locks nor waits. The mark is the bell's until kevyrt_bell_take has given it back; of a
 * waiting's call back the bell must be there until the waiting has told its end. */
void kevyrt_bell_ring(void *mark);
/* Makes the descriptor readable without a mark. */
void kevyrt_bell_signal(struct kevyrt_bell *bell);
/* Takes all marks, oldest first, and the descriptor is not readable any more. One thread at a time. */
struct kevyrt_mark *kevyrt_bell_take(struct kevyrt_bell *bell);

/* ---- The clock ------------------------------------------------------------------------------- */

/* The server's clock is the real one until somebody changes it, for tests. It is what deadlines of keys and fields, TIME, ids of streams, idle
 * times of keys, and the time-outs of whoever waits (of connections and in process, WAIT, CLIENT PAUSE, delays of faults) go by. What
 * the server measures of itself (durations, uptime, ages of connections, when something was saved or logged) stays real.
 * It may be changed whether the server runs or not, stays changed over a stop, and is each server's own. */
enum kevyrt_clock_change {
    KEVYRT_CLOCK_FREEZE,  /* it stands still */
    KEVYRT_CLOCK_RESUME,  /* it goes on from where it stands, at the real speed */
    KEVYRT_CLOCK_ADVANCE, /* by `us`, which is not negative, standing or not */
    KEVYRT_CLOCK_SET, /* to `us` since 1970, standing or not. Forward: as if advanced. Back: who waits still has what was left
                             of his time, and deadlines of data are further away */
    KEVYRT_CLOCK_RESET, /* the real one again, by a SET in either direction */
};
/* When it returns every call sees the new time; what has expired by it is gone and told of, and who waits in process and had no
 * more time is answered. Connections are answered at once by their shards. May wait. KEVYRT_BAD_CONFIG: no time
 * between 1970 and 9999. KEVYRT_REFUSED: this thread is starting the server. */
enum kevyrt_status kevyrt_clock_change(struct kevyrt_server *server,
                                       enum kevyrt_clock_change change, int64_t us,
                                       struct kevyrt_error *error);
struct kevyrt_clock {
    int64_t now_us;    /* since 1970 */
    int64_t offset_us; /* ahead of the real clock */
    bool frozen;
};
void kevyrt_clock_read(const struct kevyrt_server *server, struct kevyrt_clock *out);

/* ---- Faults ---------------------------------------------------------------------------------- */

#define KEVYRT_FAULT_ANY UINT64_MAX

enum kevyrt_fault_drop {
    KEVYRT_DROP_NOT,
    KEVYRT_DROP_BEFORE, /* the command has no effect, and its connection ends instead of an answer */
    KEVYRT_DROP_AFTER,  /* it has its effect, and the same */
};

/* What goes wrong with which commands, for tests. A command meets the first fault that is about it, once it has passed all checks; inside of
 * MULTI when it is queued, and not when EXEC runs it. */
struct kevyrt_fault_rule {
    const char *command; /* "get", "client|list", "client" for all of that; NULL: every command */
    struct bytes key;    /* a glob, of one of its keys; NULL: whatever they are */
    /* A glob, of the name that CLIENT SETNAME gave. NULL: whoever, plain calls in process too. */
    struct bytes client;
    uint64_t client_id; /* KEVYRT_FAULT_ANY: whoever */
    /* By the server's clock: the command runs at once, and its answer comes so much later. Commands behind it wait, of a
     * connection; in process kevyrt_call returns KEVYRT_BLOCKED, and a pipeline takes as much longer. */
    uint64_t delay_us;
    const char *error; /* "CODE text": the command is answered so, and has no effect; NULL: none */
    /* Of connections alone: what is called in process has none, and does not meet such a fault. */
    enum kevyrt_fault_drop drop;
    /* The connection ends when so much of the answer is sent. KEVYRT_FAULT_ANY: it does not. */
    uint64_t after_bytes;
    uint64_t times; /* how often it comes; KEVYRT_FAULT_ANY: always */
};

struct kevyrt_fault;

/* From then on, whether the server runs or not, and over a stop. The rule is copied; *out is a reference. KEVYRT_BAD_CONFIG: the rule is
 * impossible, as error.text says. KEVYRT_REFUSED: this thread is starting the server. May wait. */
enum kevyrt_status kevyrt_fault_add(struct kevyrt_server *server,
                                    const struct kevyrt_fault_rule *rule, struct kevyrt_fault **out,
                                    struct kevyrt_error *error);
/* No command meets it any more, or any of them. What is late already stays so. The same errors. */
enum kevyrt_status kevyrt_fault_remove(struct kevyrt_server *server, struct kevyrt_fault *fault,
                                       struct kevyrt_error *error);
enum kevyrt_status kevyrt_faults_clear(struct kevyrt_server *server, struct kevyrt_error *error);
/* How many commands met it; how many more will (KEVYRT_FAULT_ANY: any number), unless it is removed. */
uint64_t kevyrt_fault_hits(const struct kevyrt_fault *fault);
uint64_t kevyrt_fault_left(const struct kevyrt_fault *fault);
void kevyrt_fault_put(struct kevyrt_fault *fault); /* or NULL */

/* ---- The fast path: one string key ----------------------------------------------------------- */

enum kevyrt_found { KEVYRT_MISSING, KEVYRT_SMALL, KEVYRT_LARGE, KEVYRT_WRONG_TYPE };

struct kevyrt_value {
    enum kevyrt_found found;
    uint32_t len;
    const char *at;  /* the bytes: `small`, or inside a counted value */
    void *counted;   /* KEVYRT_LARGE: put with kevyrt_value_put when done */
    uint64_t ticket; /* of KEVYRT_UNSAFE */
    char small[1024];
};
void kevyrt_value_put(struct kevyrt_value *value);

enum kevyrt_status kevyrt_get(struct kevyrt_server *server, uint32_t db, struct bytes key,
                              enum kevyrt_wait wait, struct kevyrt_value *out);
/* The same for who looks at a large value for as long as he likes: with KEVYRT_LARGE (of KEVYRT_OK and KEVYRT_UNSAFE), *loan keeps
 * value->at where it is, whatever becomes of the key and the server, until kevyrt_loan_put; value->counted is not to be put. Else *loan is
 * NULL. */
struct kevyrt_loan;
enum kevyrt_status kevyrt_borrow(struct kevyrt_server *server, uint32_t db, struct bytes key,
                                 enum kevyrt_wait wait, struct kevyrt_value *value,
                                 struct kevyrt_loan **loan);
void kevyrt_loan_put(struct kevyrt_loan *loan);
/* A plain SET without options: replaces whatever is there and its deadline. `ticket`: of KEVYRT_UNSAFE; may be NULL with
 * KEVYRT_WAIT. */
enum kevyrt_status kevyrt_set(struct kevyrt_server *server, uint32_t db, struct bytes key,
                              struct bytes value, enum kevyrt_wait wait, uint64_t *ticket);

/* ---- Data in files and in memory ----------------------------------------------------------------- */

/* All data as it was at one instant, in the form of an RDB file. Counted; constant; no part of any server. */
struct kevyrt_snapshot;

void kevyrt_snapshot_get(struct kevyrt_snapshot *snapshot);
void kevyrt_snapshot_put(struct kevyrt_snapshot *snapshot);
size_t kevyrt_snapshot_len(const struct kevyrt_snapshot *snapshot);
/* The bytes from `offset` on that lie in one piece: how many, 0 at the end. */
size_t kevyrt_snapshot_read(const struct kevyrt_snapshot *snapshot, size_t offset, const char **at);
/* Into a file, which is there whole or not at all. Blocks. */
enum kevyrt_status kevyrt_snapshot_save(const struct kevyrt_snapshot *snapshot, const char *path,
                                        struct kevyrt_error *error);

/* An RDB file: one of the three. What is given is borrowed for as long as it may be read. */
struct kevyrt_source {
    const char *path;
    const struct kevyrt_snapshot *snapshot;
    const void *at;
    size_t len;
};

/* What each start begins with (NULL: nothing), in the place of what the settings say is to be loaded. With an append-only log it
 * becomes the first part of it at the first start, and later ones load that; a log that is there already refuses it
 * (KEVYRT_BAD_CONFIG). While the server does not run; the source must stay as long as it may be started. */
void kevyrt_server_load(struct kevyrt_server *server, const struct kevyrt_source *source);

/* Something that takes time: it goes on by itself, and who has begun it waits for it, a thread at a time. */
struct kevyrt_job;

/* Writes an RDB file, which is there whole or not at all. The path must stay until the job is put. */
enum kevyrt_status kevyrt_save(struct kevyrt_server *server, const char *path,
                               struct kevyrt_job **out, struct kevyrt_error *error);
/* Takes a snapshot in memory: kevyrt_job_snapshot. */
enum kevyrt_status kevyrt_snapshot_take(struct kevyrt_server *server, struct kevyrt_job **out,
                                        struct kevyrt_error *error);
/* Puts the data of the source in the place of all databases, at one instant; until then they are served. After any other end they
 * are as they were. The source must stay until the job is put. */
enum kevyrt_status kevyrt_restore(struct kevyrt_server *server, const struct kevyrt_source *source,
                                  struct kevyrt_job **out, struct kevyrt_error *error);
/* Rewrites the append-only log (BGREWRITEAOF). One that is going on already is waited for first, or, if it may not be waited for,
 * refuses it, as does a server without a log. */
enum kevyrt_status kevyrt_rewrite(struct kevyrt_server *server, bool may_wait,
                                  struct kevyrt_job **out, struct kevyrt_error *error);

/* Sleeps until it has ended: KEVYRT_OK, or why it failed; or KEVYRT_TIMEOUT: the absolute monotonic deadline has passed, and it
 * goes on. KEVYRT_BLOCKED: woken for another reason, such as a signal; the same. May be asked again after the end. */
enum kevyrt_status kevyrt_job_wait(struct kevyrt_job *job, uint64_t deadline_ns,
                                   struct kevyrt_error *error);
/* It ends soon, with KEVYRT_CANCELLED and nothing left behind, unless it has ended before. A rewrite goes on. */
void kevyrt_job_cancel(struct kevyrt_job *job);
/* Of kevyrt_snapshot_take after KEVYRT_OK: a reference. */
struct kevyrt_snapshot *kevyrt_job_snapshot(struct kevyrt_job *job);
/* Cancels it if it has not ended, and waits until it has. */
void kevyrt_job_put(struct kevyrt_job *job);

/* An instant that all data can go back to, any number of times, in time proportional to what has changed since. One of a server at a
 * time, and none with an append-only log (KEVYRT_REFUSED). It holds the server; a stop ends what it stands for (KEVYRT_REFUSED
 * of what follows). */
struct kevyrt_checkpoint;

enum kevyrt_status kevyrt_checkpoint_take(struct kevyrt_server *server,
                                          struct kevyrt_checkpoint **out,
                                          struct kevyrt_error *error);
/* All databases hold what they held, at one instant; again afterwards, the checkpoint stays. After KEVYRT_NO_MEMORY the data is as it
 * was before the call. */
enum kevyrt_status kevyrt_checkpoint_rewind(struct kevyrt_checkpoint *checkpoint,
                                            struct kevyrt_error *error);
/* What is there now is what is gone back to. */
enum kevyrt_status kevyrt_checkpoint_renew(struct kevyrt_checkpoint *checkpoint,
                                           struct kevyrt_error *error);
void kevyrt_checkpoint_put(struct kevyrt_checkpoint *checkpoint);

/* What tells cheaply that something else than data may have changed. */
struct kevyrt_marks {
    uint64_t settings; /* grows with each CONFIG SET */
    uint64_t clients;  /* the id that the next client will have */
};
void kevyrt_server_marks(struct kevyrt_server *server, struct kevyrt_marks *out);
/* Ends a pause (CLIENT PAUSE), also one that stops CLIENT UNPAUSE. KEVYRT_OK or KEVYRT_STOPPED. */
enum kevyrt_status kevyrt_server_unpause(struct kevyrt_server *server);

/* ---- The command table ------------------------------------------------------------------------- */

/* What it says of a command to people. Texts are constant. */
struct kevyrt_description {
    const char *summary, *since, *group;
    const char *complexity; /* NULL: nobody knows */
};
/* By its full name in any case: "get", "client|setname". False: there is no such command. */
bool kevyrt_describe(struct bytes full_name, struct kevyrt_description *out);

/* ---- Statistics ------------------------------------------------------------------------------ */

struct kevyrt_shard_stats {
    uint64_t commands, keys, keyspace_hits, keyspace_misses, expired_keys, evicted_keys;
    uint64_t connections;
    uint64_t used_bytes, held_bytes;
    uint64_t baton_waits, baton_wait_ns;
    uint64_t loops, loop_gap_max_ns,
        loop_gaps_over_1ms; /* time between two looks at the reactor while busy */
    uint64_t borrowed_runs, forwarded_requests;
};

struct kevyrt_persistence_stats {
    bool loading, restoring;
    bool save_running, save_failed, rewrite_running, rewrite_failed; /* failed: the last one */
    bool log_on, log_failed;           /* failed: writes are refused until it is well again */
    int64_t saved_s;                   /* wall clock */
    uint64_t changes, saves, rewrites; /* changes since the last save */
    uint64_t queued_bytes, unsynced_bytes, log_bytes, base_bytes;
    uint64_t syncs, sync_last_ns, sync_max_ns, syncs_delayed;
};

struct kevyrt_stats {
    uint32_t shard_count;
    char io_backend[16]; /* "io_uring" or "epoll" */
    char io_reason[160]; /* why this one */
    uint64_t at_ns;      /* on the monotonic clock: when it was read */
    uint64_t uptime_ms, connections_received, rejected_connections;
    uint64_t input_bytes, output_bytes, error_replies;
    /* Over the last one or two seconds, or since a shard was last looked at by its thread or from here, if that is longer ago. */
    double commands_per_s, input_bytes_per_s, output_bytes_per_s;
    /* Most ever used; used without any keys; used by tables; held for connections; of the whole process; the limit, or 0. */
    uint64_t peak_bytes, startup_bytes, table_bytes, client_bytes, resident_bytes, maxmemory_bytes;
    char maxmemory_policy[24];
    struct kevyrt_persistence_stats persistence;
    struct kevyrt_shard_stats shards[KEVYRT_SHARDS_MAX];
};

enum kevyrt_status kevyrt_stats(struct kevyrt_server *server, struct kevyrt_stats *out);

/* What it takes a walk to know. Nothing is held for longer than a slice of it, so what it tells is not of one instant. */

enum { KEVYRT_TYPES = 6, KEVYRT_KEYS_NAMED = 16, KEVYRT_KEY_BYTES = 96 };

struct kevyrt_type_stats {
    const char *name;   /* static */
    uint64_t seen;      /* keys that were looked at */
    double keys, bytes; /* of all keys: estimates if not all were looked at */
};

struct kevyrt_command_stats {
    const char *name; /* static */
    uint64_t calls, ns, failed, rejected;
    uint64_t *latency; /* how many calls took how long, by bucket; NULL: none was measured */
};

struct kevyrt_key_stats {
    uint32_t db, len;            /* of the whole name */
    char name[KEVYRT_KEY_BYTES]; /* as much of it as there is room for */
    const char *type;            /* static; NULL: not known */
    uint64_t bytes;              /* as MEMORY USAGE */
    double count, doubt; /* accesses: count - doubt to count; of KEVYRT_HOT_FREQUENCY the counter */
};

/* Accesses of the last seconds, weighted; LFU's counters of the keys that were looked at (maxmemory-policy); nothing, so far. */
enum kevyrt_hot { KEVYRT_HOT_NOTHING, KEVYRT_HOT_ACCESSES, KEVYRT_HOT_FREQUENCY };

struct kevyrt_survey {
    uint64_t keys, seen; /* there were, and were looked at */
    struct kevyrt_type_stats types[KEVYRT_TYPES];
    uint32_t big_count, hot_count, command_count;
    struct kevyrt_key_stats big[KEVYRT_KEYS_NAMED]; /* of those looked at; the biggest first */
    struct kevyrt_key_stats hot[KEVYRT_KEYS_NAMED]; /* the hottest first */
    enum kevyrt_hot hot_kind;
    double hot_total;                      /* accesses that `count` is a part of */
    uint64_t busy_ns[KEVYRT_SHARDS_MAX];   /* what the commands of each shard have taken */
    struct kevyrt_command_stats *commands; /* that were ever called or refused */
};

/* Looks at about `sample` keys, or at all if there are no more; each call goes on where the last one ended. From here on, for a
 * minute, accesses are noted. */
enum kevyrt_status kevyrt_survey_make(struct kevyrt_server *server, uint64_t sample,
                                      struct kevyrt_survey **out);
void kevyrt_survey_free(struct kevyrt_survey *survey);
uint32_t kevyrt_latency_buckets(void);
/* The longest time that counts in a bucket. */
uint64_t kevyrt_latency_end_ns(uint32_t bucket);

/* ---- Log ------------------------------------------------------------------------------------- */

struct kevyrt_log_line {
    int level; /* enum log_level of base/assert.h */
    char text[500];
};
/* Takes the oldest line of the process-wide log queue; sleeps until there is one. False: none until
 * the absolute monotonic deadline, or none while no server of this process runs. Bounded: when the
 * queue is full lines are counted and the count is reported. */
bool kevyrt_log_next(struct kevyrt_log_line *out, uint64_t deadline_ns);
/* May another line come? True while a server runs or a line is left. */
bool kevyrt_log_wanted(void);

/* ---- Command line ---------------------------------------------------------------------------- */

/* redis-server's own form: `[file|-] [--option value ...]`, without argv[0]. On success *out is an
 * array of settings to be freed with kevyrt_options_free. `standard_input` is the text behind `-`,
 * or NULL. */
enum kevyrt_status kevyrt_options_parse(int argc, const char *const *argv,
                                        const char *standard_input, struct kevyrt_setting **out,
                                        size_t *count, struct kevyrt_error *error);
void kevyrt_options_free(struct kevyrt_setting *settings, size_t count);

/* ---- fork() ---------------------------------------------------------------------------------- */

/* Installed with pthread_atfork by the first kevyrt_server_new. In the child every server of the
 * parent answers KEVYRT_STOPPED and owns nothing; putting it or a session of it frees nothing. */
void kevyrt_fork_prepare(void);
void kevyrt_fork_parent(void);
void kevyrt_fork_child(void);
