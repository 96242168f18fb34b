/* The command: what it asks for, the keys as they are now, and the beginning of the wait. */
#include <stdio.h>
#include <stdlib.h>

#include "server/admin.h"
#include "server/migrate/migrate.h"
#include "server/server.h"
#include "shard/blocking/await.h"

enum { OPTIONS_FROM = 6, TIMEOUT_DEFAULT_MS = 1000 };

/* As atoi reads it: what is no number is port 0, on which nobody listens. */
static void read_port(struct bytes text, char port[MIGRATE_PORT_MAX]) {
    char copy[MIGRATE_PORT_MAX] = "";
    memcpy(copy, text.at, text.len < sizeof copy ? text.len : sizeof copy - 1);
    long number = strtol(copy, NULL, 10);
    (void)snprintf(port, MIGRATE_PORT_MAX, "%d", (int)number);
}

/* All words behind KEYS are keys. False after the error reply. */
static bool read_keys(struct call *call, uint32_t index, struct migrate_options *options) {
    if (call->argv[3].len > 0) {
        call_error(call, "ERR When using MIGRATE KEYS option, the key argument must be set to the "
                         "empty string");
        return false;
    }
    options->first_key = index + 1;
    options->key_count = call->argc - index - 1;
    return true;
}

/* Returns the word behind the option, or 0 after the error reply. */
static uint32_t read_option(struct call *call, uint32_t index, struct migrate_options *options) {
    uint32_t behind = call->argc - index - 1;
    struct bytes word = call->argv[index];
    if (bytes_is(word, "copy")) {
        options->copy = true;
        return index + 1;
    }
    if (bytes_is(word, "replace")) {
        options->replace = true;
        return index + 1;
    }
    if (bytes_is(word, "auth") && behind >= 1) {
        options->password = call->argv[index + 1];
        return index + 2;
    }
    if (bytes_is(word, "auth2") && behind >= 2) {
        options->username = call->argv[index + 1];
        options->password = call->argv[index + 2];
        return index + 3;
    }
    if (bytes_is(word, "keys")) return read_keys(call, index, options) ? call->argc : 0;
    call_error_syntax(call);
    return 0;
}

static bool read_options(struct call *call, struct migrate_options *options) {
    *options = (struct migrate_options){.host = call->argv[1], .first_key = 3, .key_count = 1};
    read_port(call->argv[2], options->port);
    for (uint32_t index = OPTIONS_FROM; index < call->argc;) {
        index = read_option(call, index, options);
        if (index == 0) return false;
    }
    if (!call_integer(call, 5, &options->timeout_ms) || !call_integer(call, 4, &options->target_db))
        return false;
    if (options->timeout_ms <= 0) options->timeout_ms = TIMEOUT_DEFAULT_MS;
    return true;
}

/* Those that are there. False: no memory. */
static bool add_keys(struct call *call, struct migration *job,
                     const struct migrate_options *options) {
    for (uint32_t i = 0; i < options->key_count; i++) {
        struct key_place place = keyspace_for(call, options->first_key + i);
        const struct entry *entry = call_read(call, &place);
        if (entry && !migration_add(job, i, entry)) return false;
    }
    return true;
}

static struct migrator *migrator_of(const struct call *call) {
    return &call_server(call)->migrator;
}

/* False: nobody waits, and something is replied. */
static bool begin(struct call *call, struct migration *job) {
    static const struct await_kind kind = {.nothing = NULL};
    if (!await_is_possible(call)) {
        call_error(call, "ERR MIGRATE is not possible inside a transaction: it waits");
        return false;
    }
    if (!migrator_start(migrator_of(call))) {
        call_error_memory(call);
        return false;
    }
    job->waiter = await_begin(call, &kind, 0, 0);
    return job->waiter;
}

static void migrate_command(struct call *call) {
    struct migrate_options options;
    if (!read_options(call, &options)) return;
    struct migration *job = migration_new(call, &options);
    if (!job || !add_keys(call, job, &options)) call_error_memory(call);
    else if (job->count == 0) reply_simple(call->reply, "NOKEY");
    else if (begin(call, job)) {
        migrator_submit(migrator_of(call), job);
        return;
    }
    if (job) migration_free(job);
}

void migrate_bind(void) {
    command_bind_local("migrate", migrate_command);
}
