#include "server/persistence/aof_owner.h"

#include "plat/errors.h"
#include "server/server.h"
#include "shard/caller.h"

static struct aof *aof_of(struct kevyrt_server *server) {
    return atomic_load_acquire(&server->log.aof);
}

static bool is_wanted(const struct kevyrt_server *server) {
    return atomic_load_relaxed(&server->log.wanted);
}

struct aof *aof_owner_log(const struct kevyrt_server *server) {
    return atomic_load_relaxed(&server->fabric.journal.aof);
}

/* ---- What the log tells; on its thread ---------------------------------------------------------------- */

static void wish(struct kevyrt_server *server, enum aof_owner_wish what) {
    atomic_or_seq_cst(&server->log.wishes, what);
    keeper_request_work(&server->keeper);
}

static void note_safe(void *context) {
    struct kevyrt_server *server = context;
    struct aof *aof = aof_of(server);
    uint64_t base = atomic_load_relaxed(&server->log.base);
    if (!aof) return; /* nothing was logged yet */
    journal_note_safe(&server->fabric, base + aof_safe(aof), base + aof_synced(aof));
    if (!aof_is_full(aof)) journal_note_room(&server->fabric);
}

static void note_failed(void *context, bool failed, const char *why) {
    struct kevyrt_server *server = context;
    if (failed) log_line(LOG_WARNING, "The append-only log cannot be written: %s", why);
    else log_line(LOG_NOTICE, "The append-only log is written again");
    atomic_store_relaxed(&server->log.why, (void *)(uintptr_t)why);
    atomic_store_relaxed(&server->log.failing, failed);
    wish(server, AOF_WISH_GATE);
    persistence_ring(server); /* after a gap a rewrite is due */
}

/* ---- Opening and closing ------------------------------------------------------------------------------ */

static struct aof_settings settings_of(const struct kevyrt_server *server) {
    const struct config *config = &server->config;
    return (struct aof_settings){
        .sync = (enum aof_sync)config_number(config, SETTING_APPENDFSYNC),
        .timestamps = config_number(config, SETTING_AOF_TIMESTAMP_ENABLED),
        .no_sync_on_rewrite = config_number(config, SETTING_NO_APPENDFSYNC_ON_REWRITE),
        .keep_history = config_number(config, SETTING_AOF_DISABLE_AUTO_GC),
        .base_is_dump = config_number(config, SETTING_AOF_USE_RDB_PREAMBLE),
    };
}

void aof_owner_place(const struct kevyrt_server *server, struct aof_place *place) {
    const char *dir = config_text(&server->config, SETTING_DIR);
    *place = (struct aof_place){
        .disk = server_disk(server),
        .dir = *dir ? dir : ".",
        .folder = config_text(&server->config, SETTING_APPENDDIRNAME),
        .name = config_text(&server->config, SETTING_APPENDFILENAME),
    };
}

static int open_log(struct kevyrt_server *server, struct aof_files *files, enum aof_begin begin) {
    struct aof_settings settings = settings_of(server);
    struct aof_owner owner = {server, note_safe, note_failed};
    struct aof *aof;
    atomic_store_relaxed(&server->log.failing, 0);
    int result = aof_start(&aof, files, &settings, &owner, begin);
    if (result == 0) atomic_store_release(&server->log.aof, aof);
    return result;
}

enum kevyrt_status aof_owner_open(struct kevyrt_server *server, struct aof_files *files,
                                  enum aof_begin begin, struct kevyrt_error *error) {
    pthread_mutex_lock(&server->log.lock);
    int result = open_log(server, files, begin);
    pthread_mutex_unlock(&server->log.lock);
    if (result == 0) return KEVYRT_OK;
    return server_fail(error, KEVYRT_SYSTEM, result, "cannot open the append-only log: %s",
                       system_error_text(result));
}

void aof_owner_attach(struct kevyrt_server *server) {
    struct fabric *fabric = &server->fabric;
    uint64_t base = fabric->journal.last;
    atomic_store_relaxed(&server->log.base, base);
    (void)journal_attach(fabric, aof_of(server));
}

/* With the lock. The journal has let go of it. */
static int close_log(struct kevyrt_server *server) {
    struct aof *aof = aof_of(server);
    if (!aof) return 0;
    persistence_rewrite_stop(server);
    pthread_mutex_lock(&server->restoring.log_lock); /* a restore may be writing into its files */
    int result = aof_close(aof);
    pthread_mutex_unlock(&server->restoring.log_lock);
    atomic_store_release(&server->log.aof, NULL);
    atomic_store_relaxed(&server->log.failing, 0);
    if (result < 0)
        log_line(LOG_WARNING, "The append-only log could not be written to its end: %s",
                 system_error_text(result));
    return result;
}

/* The last thing that a server does, behind the last call. True: whatever was answered is on the disk. */
static bool close_at_stop(void *context) {
    struct kevyrt_server *server = context;
    pthread_mutex_lock(&server->log.lock);
    int result = close_log(server);
    pthread_mutex_unlock(&server->log.lock);
    return result == 0;
}

void aof_owner_close(struct kevyrt_server *server) {
    if (aof_owner_log(server)) (void)journal_detach(&server->fabric);
    (void)close_at_stop(server);
}

/* ---- Appendonly at run time ------------------------------------------------------------------------------ */

static void turn_off(struct kevyrt_server *server) {
    if (!caller_take_all(&server->fabric)) return;
    bool still = !is_wanted(server) && aof_owner_log(server);
    uint64_t last = still ? journal_detach(&server->fabric) : 0;
    caller_drop_all(&server->fabric);
    if (!still) return;
    (void)close_log(server);
    /* From here on nobody is promised anything. */
    journal_note_safe(&server->fabric, last, last);
    wish(server, AOF_WISH_GATE);
}

static void give_up(struct kevyrt_server *server, const char *why) {
    log_line(LOG_WARNING, "The append-only log cannot be turned on: %s", why);
    if (!caller_take_all(&server->fabric)) return;
    server->config.numbers[SETTING_APPENDONLY] = 0; /* as its text: the default, which is "no" */
    mem_free(NULL, server->config.texts[SETTING_APPENDONLY]);
    server->config.texts[SETTING_APPENDONLY] = NULL;
    atomic_store_relaxed(&server->log.wanted, 0);
    caller_drop_all(&server->fabric);
}

/* The cut of the rewrite is where the log begins. */
static void begin_log(struct kevyrt_server *server) {
    if (!caller_take_all(&server->fabric)) {
        (void)close_log(server);
        return;
    }
    /* What is not whole yet is no beginning: the end of loading looks again. */
    bool still = is_wanted(server) && !(server->fabric.domain.gates & GATE_LOADING);
    if (still) aof_owner_attach(server);
    int result = 0;
    if (still) result = persistence_rewrite_begin(server);
    bool failed = result < 0;
    if (failed) (void)journal_detach(&server->fabric);
    caller_drop_all(&server->fabric);
    if (failed || !still) (void)close_log(server);
    if (failed) {
        journal_note_safe(&server->fabric, server->fabric.journal.last,
                          server->fabric.journal.last);
        give_up(server, system_error_text(result));
    }
}

static void turn_on(struct kevyrt_server *server) {
    char why[AOF_WHY_MAX] = "";
    struct aof_files files;
    struct aof_place place;
    persistence_rewrite_stop(server); /* one without a log */
    aof_owner_place(server, &place);
    int result = aof_files_open(&files, &place, why);
    if (result == 0) result = open_log(server, &files, AOF_FRESH);
    if (result < 0) give_up(server, *why ? why : system_error_text(result));
    else begin_log(server);
}

/* ---- What could not be saved -------------------------------------------------------------------------------- */

static uint32_t trouble_of(struct kevyrt_server *server) {
    const struct config *config = &server->config;
    uint32_t trouble = 0;
    if (aof_owner_log(server) && atomic_load_relaxed(&server->log.failing))
        trouble |= DISK_TROUBLE_LOG;
    if (atomic_load_relaxed(&server->log.save_failed) &&
        config_number(config, SETTING_STOP_WRITES_ON_BGSAVE_ERROR) &&
        *config_text(config, SETTING_SAVE))
        trouble |= DISK_TROUBLE_SNAPSHOT;
    return trouble;
}

/* With all batons. */
static void apply_gate(struct kevyrt_server *server) {
    struct domain *domain = &server->fabric.domain;
    domain->disk_trouble = trouble_of(server);
    if (domain->disk_trouble) domain->gates |= GATE_DISK;
    else domain->gates &= ~(uint32_t)GATE_DISK;
    journal_note_failing(&server->fabric, domain_log_fails(domain));
    domain->disk_why = atomic_load_relaxed(&server->log.why);
}

static void look_at_gate(struct kevyrt_server *server) {
    if (!caller_take_all(&server->fabric)) return;
    apply_gate(server);
    caller_drop_all(&server->fabric);
}

void persistence_note_save(struct kevyrt_server *server, bool ok) {
    if (atomic_load_relaxed(&server->log.save_failed) == !ok) return;
    atomic_store_relaxed(&server->log.save_failed, !ok);
    wish(server, AOF_WISH_GATE);
}

/* ---- The settings --------------------------------------------------------------------------------------------- */

void aof_owner_apply(struct kevyrt_server *server) {
    struct aof *aof = aof_owner_log(server);
    struct aof_settings settings = settings_of(server);
    if (aof) aof_set(aof, &settings);
    apply_gate(server);
    atomic_store_relaxed(&server->log.wanted,
                         config_number(&server->config, SETTING_APPENDONLY) != 0);
    aof_owner_look(server);
}

void aof_owner_look(struct kevyrt_server *server) {
    if (is_wanted(server) != (aof_owner_log(server) != NULL)) wish(server, AOF_WISH_SWITCH);
}

/* Not before it is loaded: a start that fails must leave all files as they are. */
static void turn(struct kevyrt_server *server) {
    bool on = aof_of(server) != NULL;
    if (is_wanted(server) && !on) turn_on(server);
    if (!is_wanted(server) && on) turn_off(server);
}

void aof_owner_work(struct kevyrt_server *server) {
    uint32_t wishes = atomic_swap_seq_cst(&server->log.wishes, 0);
    journal_work(&server->fabric);
    if (!wishes) return;
    pthread_mutex_lock(&server->log.lock);
    if ((wishes & AOF_WISH_SWITCH) && kevyrt_server_running(server)) turn(server);
    if (wishes & AOF_WISH_GATE) look_at_gate(server);
    pthread_mutex_unlock(&server->log.lock);
}

static void ask_keeper(void *context) {
    struct kevyrt_server *server = context;
    keeper_request_work(&server->keeper);
}

void aof_owner_init(struct kevyrt_server *server) {
    struct journal *journal = &server->fabric.journal;
    pthread_mutex_init(&server->log.lock, NULL);
    journal->close = close_at_stop;
    journal->ask = ask_keeper;
    journal->context = server;
}

void aof_owner_deinit(struct kevyrt_server *server) {
    pthread_mutex_destroy(&server->log.lock);
}
