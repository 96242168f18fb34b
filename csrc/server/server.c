/* The life of a server.
 *
 *   new ──▶ STOPPED ──start──▶ RUNNING ──stop, SHUTDOWN──▶ STOPPING ──▶ STOPPED ──last put──▶ gone
 *
 * Locks, in this order: `control` serializes start and stop of the outside; `life` guards the
 * fabric's start and stop, and is the only one that the keeper takes (SHUTDOWN), so that joining
 * the keeper under `control` cannot wait for itself. The list lock is a leaf; fork takes it in its
 * prepare handler.
 */
#include "server/server.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "cmd/families.h"
#include "plat/clock.h"
#include "plat/descriptors.h"
#include "plat/errors.h"
#include "plat/futex.h"
#include "plat/random.h"
#include "server/admin.h"
#include "server/log.h"
#include "server/persistence/loading/initial.h"
#include "shard/blocking/waitaof.h"
#include "shard/board/monitor.h"
#include "shard/board/pubsub.h"
#include "shard/transactions/transaction.h"

static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER;
static struct kevyrt_server *servers; /* list_lock */
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void bind_once(void) {
    log_queue_install();
    strings_bind();
    numbers_bind();
    ranges_bind();
    lcs_bind();
    hyperloglog_bind();
    hyperloglog_debug_bind();
    bitmaps_bind();
    bitop_bind();
    bitfield_bind();
    keys_bind();
    deadlines_bind();
    databases_bind();
    scan_bind();
    object_bind();
    dump_bind();
    restore_bind();
    echo_bind();
    command_commands_bind();
    docs_bind();
    lolwut_bind();
    lists_bind();
    list_moves_bind();
    list_blocking_bind();
    sets_bind();
    set_algebra_bind();
    hashes_bind();
    hash_random_bind();
    hash_deadlines_bind();
    hash_ttl_bind();
    zsets_bind();
    zset_ranges_bind();
    zset_pops_bind();
    zset_algebra_bind();
    geo_bind();
    geo_search_bind();
    sort_bind();
    streams_bind();
    stream_ranges_bind();
    stream_info_bind();
    stream_groups_bind();
    stream_reading_bind();
    stream_claims_bind();
    stream_pending_bind();
    stream_group_info_bind();
    client_commands_bind();
    transaction_bind();
    client_list_bind();
    client_kill_bind();
    client_pause_bind();
    client_unblock_bind();
    wait_bind();
    waitaof_bind();
    pubsub_bind();
    client_tracking_bind();
    monitor_bind();
    slowlog_bind();
    latency_commands_bind();
    latency_reports_bind();
    server_commands_bind();
    migrate_bind();
    pthread_atfork(kevyrt_fork_prepare, kevyrt_fork_parent, kevyrt_fork_child);
}

enum kevyrt_status server_fail(struct kevyrt_error *error, enum kevyrt_status status, int number,
                               const char *format, ...) {
    if (!error) return status;
    va_list arguments;
    error->offset = 0;
    error->file[0] = 0;
    va_start(arguments, format);
    error->number = number < 0 ? -number : number;
    vsnprintf(error->text, sizeof error->text, format, arguments);
    va_end(arguments);
    return status;
}

enum kevyrt_status server_fail_file(struct kevyrt_error *error, int number, const char *path) {
    server_fail(error, KEVYRT_SYSTEM, number, "%s", system_error_text(number));
    if (error) snprintf(error->file, sizeof error->file, "%s", path);
    return KEVYRT_SYSTEM;
}

/* ---- New and gone ---------------------------------------------------------------------------- */

static void list_add(struct kevyrt_server *server) {
    pthread_mutex_lock(&list_lock);
    server->next = servers;
    servers = server;
    pthread_mutex_unlock(&list_lock);
}

static void list_remove(struct kevyrt_server *server) {
    pthread_mutex_lock(&list_lock);
    struct kevyrt_server **at = &servers;
    while (*at != server) at = &(*at)->next;
    *at = server->next;
    pthread_mutex_unlock(&list_lock);
}

static enum kevyrt_status configure(struct kevyrt_server *server,
                                    const struct kevyrt_setting *settings, size_t count,
                                    struct kevyrt_error *error) {
    for (size_t i = 0; i < count; i++) {
        enum kevyrt_status status =
            config_set(&server->config, settings[i].name, settings[i].value, error);
        if (status != KEVYRT_OK) return status;
    }
    return KEVYRT_OK;
}

int server_make_id(char id[41]) {
    uint8_t bytes[20];
    int result = random_from_kernel(bytes, sizeof bytes);
    for (size_t i = 0; result == 0 && i < sizeof bytes; i++)
        snprintf(&id[2 * i], 3, "%02x", bytes[i]);
    return result;
}

static enum kevyrt_status make_fabric(struct kevyrt_server *server, struct kevyrt_error *error) {
    struct fabric_settings settings = {0};
    config_fabric_settings(&server->config, &settings);
    int result = server_make_id(server->run_id);
    if (result == 0) result = server_make_id(server->replication_id);
    if (result == 0) result = fabric_init(&server->fabric, &settings);
    if (result < 0)
        return server_fail(error, KEVYRT_SYSTEM, result, "cannot make the shards: %s",
                           system_error_text(result));
    struct domain *domain = &server->fabric.domain;
    domain->server_context = server;
    domain->taker = &server->keeper.taker;
    aof_owner_init(server);
    if (config_names(&server->config, &server->names)) domain->names = &server->names;
    return KEVYRT_OK;
}

enum kevyrt_status kevyrt_server_new(const struct kevyrt_setting *settings, size_t count,
                                     struct kevyrt_server **out, struct kevyrt_error *error) {
    pthread_once(&once, bind_once);
    struct kevyrt_server *server = mem_pages_alloc(NULL, sizeof *server, 4096);
    if (!server) return server_fail(error, KEVYRT_NO_MEMORY, ENOMEM, "out of memory");
    atomic_store_relaxed(&server->references, 1);
    pthread_mutex_init(&server->control, NULL);
    pthread_mutex_init(&server->life, NULL);
    server->disk = disk_default;
    pthread_mutex_init(&server->restoring.log_lock, NULL);
    keeper_init(&server->keeper);
    migrator_init(&server->migrator);
    persistence_init(server);
    config_init(&server->config);
    enum kevyrt_status status = configure(server, settings, count, error);
    if (status == KEVYRT_OK) status = make_fabric(server, error);
    if (status != KEVYRT_OK) {
        config_deinit(&server->config);
        mem_pages_free(NULL, server, sizeof *server);
        return status;
    }
    list_add(server);
    *out = server;
    return KEVYRT_OK;
}

void kevyrt_server_get(struct kevyrt_server *server) {
    atomic_add_relaxed(&server->references, 1);
}

void kevyrt_server_put(struct kevyrt_server *server) {
    if (server->forked) return; /* what another thread was changing at the fork stays as it was */
    if (atomic_sub_acq_rel(&server->references, 1) != 1) return;
    kevyrt_server_stop(server);
    list_remove(server);
    fabric_deinit(&server->fabric);
    config_deinit(&server->config);
    pthread_mutex_destroy(&server->control);
    pthread_mutex_destroy(&server->life);
    pthread_mutex_destroy(&server->restoring.log_lock);
    keeper_deinit(&server->keeper);
    aof_owner_deinit(server);
    migrator_deinit(&server->migrator);
    persistence_deinit(server);
    mem_pages_free(NULL, server, sizeof *server);
}

/* ---- Start ----------------------------------------------------------------------------------- */

/* auto takes io_uring where it can be had; asked for by name it must be had. */
static enum kevyrt_status choose_reactor(struct kevyrt_server *server, struct kevyrt_error *error) {
    enum config_io wanted = config_io(&server->config);
    char *reason = server->io_reason;
    if (wanted == CONFIG_IO_EPOLL) {
        snprintf(reason, sizeof server->io_reason, "epoll was asked for");
        server->fabric.settings.reactor = REACTOR_EPOLL;
        return KEVYRT_OK;
    }
    int result = reactor_uring_probe(reason, sizeof server->io_reason);
    server->fabric.settings.reactor = result == 0 ? REACTOR_URING : REACTOR_EPOLL;
    if (result < 0 && wanted == CONFIG_IO_URING)
        return server_fail(error, KEVYRT_SYSTEM, result, "io_uring cannot be had: %s", reason);
    if (result < 0) log_line(LOG_NOTICE, "Using epoll: %s", reason);
    return KEVYRT_OK;
}

static enum kevyrt_status start_fabric(struct kevyrt_server *server, struct kevyrt_error *error) {
    int listeners[LISTENERS_MAX];
    uint32_t count = 0;
    enum kevyrt_status status = choose_reactor(server, error);
    if (status == KEVYRT_OK) status = listeners_open(server, listeners, &count, error);
    if (status != KEVYRT_OK) return status;
    server->fabric.domain.gates |= GATE_LOADING; /* nothing is shown before it is loaded */
    int result = fabric_start(&server->fabric, listeners, count);
    if (result == 0) return KEVYRT_OK;
    listeners_close(server, listeners, count);
    return server_fail(error, KEVYRT_SYSTEM, result, "cannot start the shards: %s",
                       system_error_text(result));
}

static void log_start(const struct kevyrt_server *server) {
    bool uring = server->fabric.settings.reactor == REACTOR_URING;
    log_line(LOG_NOTICE, "Server started: port %u, %u shards, %s (%s)", server_port(server),
             server->fabric.settings.shard_count, uring ? "io_uring" : "epoll", server->io_reason);
}

/* ---- Who may sleep on a baton ---------------------------------------------------------------- */

bool server_enter(struct kevyrt_server *server) {
    atomic_add_seq_cst(&server->waiters, 1);
    if (atomic_load_seq_cst(&server->state) == SERVER_RUNNING) return true;
    server_leave(server);
    return false;
}

void server_leave(struct kevyrt_server *server) {
    if (atomic_sub_acq_rel(&server->waiters, 1) == 1) futex_wake(&server->waiters, INT32_MAX);
}

/* The batons are CLOSED, so everybody is on the way out, and nobody new goes to sleep. */
static void await_waiters(struct kevyrt_server *server) {
    uint32_t count;
    while ((count = atomic_load_seq_cst(&server->waiters)))
        futex_wait(&server->waiters, count, FUTEX_NO_DEADLINE);
}

/* ---- Stop ------------------------------------------------------------------------------------ */

static void stop_running(struct kevyrt_server *server) {
    atomic_store_seq_cst(&server->state, SERVER_STOPPING);
    reload_stop(server);
    persistence_stop(server);
    fabric_stop(&server->fabric);
    migrator_stop(&server->migrator);
    persistence_stopped(server);
    listeners_remove_files(server);
    await_waiters(server);
    log_line(LOG_NOTICE, "Server stopped");
    atomic_store_seq_cst(&server->state, SERVER_STOPPED);
    atomic_add_seq_cst(&server->ends, 1);
    futex_wake(&server->ends, INT32_MAX);
    log_queue_server_stopped();
}

/* A start that loads gives up when it sees that. SHUTDOWN has saved before, if it was to. */
static void stop_locked(struct kevyrt_server *server, bool saves) {
    pthread_mutex_lock(&server->life);
    if (atomic_load_acquire(&server->state) == SERVER_RUNNING) {
        bool asked = atomic_load_seq_cst(&server->persistence.end_is_asked);
        if (saves && !asked && persistence_must_save(server, 0))
            persistence_save_before_stop(server);
        stop_running(server);
    }
    pthread_mutex_unlock(&server->life);
}

static void work_on_keeper(void *context) {
    aof_owner_work(context);
}

static void stop_on_keeper(void *context) {
    struct kevyrt_server *server = context;
    atomic_add_seq_cst(&server->stops_wanted, 1);
    stop_locked(server, false);
    atomic_sub_acq_rel(&server->stops_wanted, 1);
}

static uint64_t thread_number(void) {
    return (uint64_t)pthread_self();
}

bool server_is_starting_here(const struct kevyrt_server *server) {
    return atomic_load_relaxed(&server->start_thread) == thread_number();
}

/* What `control` guards is looked at by the thread alone that starts the server. */
bool server_is_wanted(struct kevyrt_server *server) {
    if (atomic_load_seq_cst(&server->stops_wanted)) return false;
    if (atomic_load_relaxed(&server->reload.ended)) return false;
    if (!server_is_starting_here(server)) return true;
    if (server->given_up) return false;
    bool goes_on = !server->keep_on || server->keep_on(server->keep_on_context);
    return goes_on && !server->given_up;
}

bool server_reads_dump(const struct kevyrt_server *server) {
    return config_number(&server->config, SETTING_LOAD_DUMP) ||
           *config_text(&server->config, SETTING_SAVE);
}

/* The shards run and say that they load. What is logged from then on follows what was loaded. */
static enum kevyrt_status load_data(struct kevyrt_server *server, struct kevyrt_error *error) {
    struct aof_files files;
    bool logs = config_number(&server->config, SETTING_APPENDONLY);
    atomic_store_relaxed(&server->log.wanted, logs);
    atomic_store_relaxed(&server->log.save_failed, 0);
    enum kevyrt_status status = initial_is_wanted(server) ? initial_run(server, &files, error)
                                                          : loading_run(server, &files, error);
    if (status != KEVYRT_OK || !logs) return status;
    if (!atomic_load_relaxed(&server->log.wanted)) { /* CONFIG SET has turned it off meanwhile */
        aof_files_deinit(&files);
        return KEVYRT_OK;
    }
    return aof_owner_open(server, &files, AOF_CONTINUE, error);
}

/* Whatever is wrong with what is there, nothing runs behind it. */
static enum kevyrt_status load(struct kevyrt_server *server, struct kevyrt_error *error) {
    enum kevyrt_status status = load_data(server, error);
    loading_end(server, status == KEVYRT_OK);
    int result = status == KEVYRT_OK ? persistence_start(server) : 0;
    if (result < 0)
        status = server_fail(error, KEVYRT_SYSTEM, result, "cannot start a thread: %s",
                             system_error_text(result));
    if (status == KEVYRT_OK) return status;
    fabric_stop(&server->fabric);
    aof_owner_close(server);
    listeners_remove_files(server);
    log_line(LOG_WARNING, "The data could not be loaded: %s", error ? error->text : "");
    return status;
}

static enum kevyrt_status start_locked(struct kevyrt_server *server, struct kevyrt_error *error) {
    pthread_mutex_lock(&server->life);
    enum kevyrt_status status = start_fabric(server, error);
    if (status == KEVYRT_OK) status = load(server, error);
    if (status == KEVYRT_OK) {
        log_queue_server_started();
        atomic_store_seq_cst(&server->state, SERVER_RUNNING);
        aof_owner_look(server);
        log_start(server);
    }
    pthread_mutex_unlock(&server->life);
    return status;
}

static enum kevyrt_status start_controlled(struct kevyrt_server *server,
                                           struct kevyrt_error *error) {
    if (server->forked) return server_fail(error, KEVYRT_STOPPED, 0, "this is a forked child");
    if (atomic_load_acquire(&server->state) == SERVER_RUNNING) return KEVYRT_OK;
    if (server->keeper_running) keeper_stop(&server->keeper);
    server->keeper_running = false;
    server->keeper.work = work_on_keeper;
    int result = keeper_start(&server->keeper, stop_on_keeper, server);
    if (result < 0)
        return server_fail(error, KEVYRT_SYSTEM, result, "cannot start a thread: %s",
                           system_error_text(result));
    server->keeper_running = true;
    server->started_ms = clock_wall_ms();
    enum kevyrt_status status = start_locked(server, error);
    if (status != KEVYRT_OK) {
        keeper_stop(&server->keeper);
        server->keeper_running = false;
    }
    return status;
}

enum kevyrt_status kevyrt_server_start(struct kevyrt_server *server, struct kevyrt_error *error) {
    return kevyrt_server_start_watched(server, NULL, NULL, error);
}

enum kevyrt_status kevyrt_server_start_watched(struct kevyrt_server *server,
                                               bool (*keep_on)(void *context), void *context,
                                               struct kevyrt_error *error) {
    struct kevyrt_error unheard;
    pthread_mutex_lock(&server->control);
    server->keep_on = keep_on;
    server->keep_on_context = context;
    server->given_up = false;
    atomic_store_relaxed(&server->start_thread, thread_number());
    enum kevyrt_status status = start_controlled(server, error ? error : &unheard);
    atomic_store_relaxed(&server->start_thread, 0);
    server->keep_on = NULL;
    pthread_mutex_unlock(&server->control);
    return status;
}

void kevyrt_server_stop(struct kevyrt_server *server) {
    if (server->forked) return;
    if (server_is_starting_here(server)) { /* it has the locks */
        server->given_up = true;
        return;
    }
    atomic_add_seq_cst(&server->stops_wanted, 1);
    pthread_mutex_lock(&server->control);
    atomic_sub_acq_rel(&server->stops_wanted, 1);
    stop_locked(server, true);
    if (server->keeper_running) keeper_stop(&server->keeper);
    server->keeper_running = false;
    pthread_mutex_unlock(&server->control);
}

/* What it says of saving has been seen to. */
void server_request_shutdown(struct kevyrt_server *server) {
    atomic_store_seq_cst(&server->persistence.end_is_asked, 1);
    keeper_request_stop(&server->keeper);
}

bool kevyrt_server_running(const struct kevyrt_server *server) {
    return atomic_load_acquire(&server->state) == SERVER_RUNNING;
}

bool kevyrt_server_usable(const struct kevyrt_server *server) {
    return !server->forked;
}

uint64_t kevyrt_now_ns(void) {
    return clock_monotonic_ns();
}

enum kevyrt_status kevyrt_server_wait(struct kevyrt_server *server, uint64_t deadline_ns) {
    uint32_t seen = atomic_load_seq_cst(&server->ends);
    if (atomic_load_seq_cst(&server->state) == SERVER_STOPPED) return KEVYRT_STOPPED;
    return futex_wait(&server->ends, seen, deadline_ns) ? KEVYRT_OK : KEVYRT_TIMEOUT;
}

uint16_t kevyrt_server_port(const struct kevyrt_server *server) {
    return server_port(server);
}

const char *kevyrt_server_host(const struct kevyrt_server *server) {
    return server->host;
}

bool kevyrt_server_setting(struct kevyrt_server *server, const char *name, char *out,
                           size_t capacity) {
    return config_get(&server->config, name, out, capacity);
}

enum kevyrt_status kevyrt_server_adopt(struct kevyrt_server *server, int fd,
                                       struct kevyrt_error *error) {
    int result = socket_prepare_adopted(fd);
    if (result < 0)
        return server_fail(error, KEVYRT_SYSTEM, result, "cannot adopt descriptor %d: %s", fd,
                           system_error_text(result));
    result = -ESHUTDOWN;
    descriptor_note(fd); /* from here on no forked child shall have it */
    if (server_enter(server)) {
        result = fabric_adopt(&server->fabric, fd);
        server_leave(server);
    }
    if (result == 0) return KEVYRT_OK;
    descriptor_forget(fd);
    if (result == -ESHUTDOWN) return server_fail(error, KEVYRT_STOPPED, 0, "the server is stopped");
    return server_fail(error, KEVYRT_SYSTEM, result, "cannot adopt descriptor %d: %s", fd,
                       system_error_text(result));
}

/* A fork waits for the list, so a child never has a copy of the server's end, which would keep the caller's from seeing that
 * the server closes it. */
static int make_pair(int ends[2]) {
    pthread_mutex_lock(&list_lock);
    int result = socket_pair(ends);
    if (result == 0) descriptor_note(ends[1]);
    pthread_mutex_unlock(&list_lock);
    return result;
}

enum kevyrt_status kevyrt_server_connect(struct kevyrt_server *server, int *fd,
                                         struct kevyrt_error *error) {
    int ends[2];
    int result = make_pair(ends);
    if (result < 0)
        return server_fail(error, KEVYRT_SYSTEM, result, "cannot make a socket pair: %s",
                           system_error_text(result));
    enum kevyrt_status status = kevyrt_server_adopt(server, ends[1], error);
    *fd = ends[0];
    if (status == KEVYRT_OK) return KEVYRT_OK;
    socket_close(ends[0]);
    socket_close(ends[1]);
    return status;
}

/* ---- fork ------------------------------------------------------------------------------------ */

/* The child has one thread and a copy of memory in whatever state the others left it: it closes
 * what is shared with the parent (descriptors) and marks the rest, and frees, joins and locks
 * nothing. */
void kevyrt_fork_prepare(void) {
    pthread_mutex_lock(&list_lock);
    log_queue_fork_prepare();
}

void kevyrt_fork_parent(void) {
    log_queue_fork_parent();
    pthread_mutex_unlock(&list_lock);
}

void kevyrt_fork_child(void) {
    for (struct kevyrt_server *server = servers; server; server = server->next) {
        server->forked = true;
        atomic_store_relaxed(&server->state, SERVER_STOPPED);
        fabric_close_in_child(&server->fabric);
    }
    descriptors_close_all();
    bells_fork_child();
    log_queue_fork_child();
    pthread_mutex_unlock(&list_lock);
}
