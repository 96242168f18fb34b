/* CONFIG REWRITE: the settings in force go into the configuration file, between what else is there.
 *
 * Comments, empty lines, includes and the order of settings stay. A setting that the file names gets its
 * value there; one that it does not name comes behind them, if it is not the default.
 *
 * Reading, writing and syncing a file take as long as a disk takes, so the keeper does it: the command
 * comes again until that is done. Where nobody can come again, in process, it is done in place.
 */
#include "base/mem.h"
#include "plat/errors.h"
#include "plat/file.h"
#include "server/admin.h"
#include "server/config_text.h"
#include "server/options.h"
#include "server/server.h"
#include "shard/clients/client.h"

struct rewrite {
    struct garbage garbage;  /* first: what the keeper gets */
    struct client_task task; /* what the client gets */
    atomic_u32 references;   /* of both */
    atomic_u32 done;         /* writer: the keeper, release */
    int result;              /* behind `done`: 0 or a negative errno value */
    char *path;
    char *values[SETTING_COUNT];
};

/* ---- The job ---------------------------------------------------------------------------------- */

static void rewrite_put(struct rewrite *rewrite) {
    if (atomic_sub_acq_rel(&rewrite->references, 1) > 1) return;
    for (size_t id = 0; id < SETTING_COUNT; id++) mem_free(NULL, rewrite->values[id]);
    mem_free(NULL, rewrite->path);
    mem_free(NULL, rewrite);
}

static int rewrite_file(struct rewrite *rewrite) {
    char *old, *text;
    size_t old_len, len;
    int result = file_read(rewrite->path, OPTIONS_FILE_BYTES, &old, &old_len);
    if (result < 0) return result;
    text = config_text_rewrite(rewrite->values, bytes_of(old, old_len), &len);
    mem_free(NULL, old);
    if (!text) return SYSTEM_NO_MEMORY;
    result = file_replace(rewrite->path, text, len);
    mem_free(NULL, text);
    return result;
}

static void rewrite_run(struct garbage *garbage) {
    struct rewrite *rewrite = (struct rewrite *)garbage;
    rewrite->result = rewrite_file(rewrite);
    atomic_store_release(&rewrite->done, 1);
    rewrite_put(rewrite);
}

static void task_free(struct client_task *task) {
    rewrite_put((struct rewrite *)((char *)task - offsetof(struct rewrite, task)));
}

static char *copy_text(const char *text) {
    size_t size = strlen(text) + 1;
    char *copy = mem_alloc(NULL, size);
    if (copy) memcpy(copy, text, size);
    return copy;
}

/* NULL: no memory. */
static struct rewrite *rewrite_new(const struct config *config) {
    struct rewrite *rewrite = mem_calloc(NULL, sizeof *rewrite);
    if (!rewrite) return NULL;
    rewrite->garbage.free = rewrite_run;
    rewrite->task.free = task_free;
    atomic_store_relaxed(&rewrite->references, 1);
    rewrite->path = copy_text(config_text(config, SETTING_CONFIG_FILE));
    bool whole = rewrite->path;
    for (size_t id = 0; whole && id < SETTING_COUNT; id++) {
        rewrite->values[id] = copy_text(config_text(config, (enum setting_id)id));
        whole = rewrite->values[id];
    }
    if (whole) return rewrite;
    rewrite_put(rewrite);
    return NULL;
}

/* ---- The command ------------------------------------------------------------------------------ */

static void reply_result(struct call *call, int result) {
    if (result < 0)
        call_error_format(call, "ERR Rewriting config file: %s", system_error_text(result));
    else reply_ok(call->reply);
}

static void rewrite_begin(struct call *call, const struct config *config) {
    struct rewrite *rewrite = rewrite_new(config);
    if (!rewrite) {
        call_error_memory(call);
    } else if (call_may_pause(call)) {
        atomic_add_relaxed(&rewrite->references, 1);
        call->client->task = &rewrite->task;
        call->unfinished = true;
        garbage_give(call->domain->taker, &rewrite->garbage);
    } else {
        reply_result(call, rewrite_file(rewrite));
        rewrite_put(rewrite);
    }
}

static void rewrite_go_on(struct call *call) {
    char *task = (char *)call->client->task;
    struct rewrite *rewrite = (struct rewrite *)(task - offsetof(struct rewrite, task));
    call->unfinished = !atomic_load_acquire(&rewrite->done);
    if (call->unfinished) return;
    reply_result(call, rewrite->result);
    client_end_task(call->client);
}

static void config_rewrite_command(struct call *call) {
    const struct kevyrt_server *server = call_server(call);
    if (call->client && call->client->task) rewrite_go_on(call);
    else if (!*config_text(&server->config, SETTING_CONFIG_FILE))
        call_error(call, "ERR The server is running without a config file");
    else rewrite_begin(call, &server->config);
}

void config_rewrite_bind(void) {
    command_bind("config|rewrite", config_rewrite_command);
}
