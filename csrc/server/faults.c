#include "server/faults.h"

#include <string.h>

#include "cmd/names.h"
#include "server/alter.h"

static struct fault *fault_of(const struct kevyrt_fault *fault) {
    return (struct fault *)fault;
}

/* ---- What is possible ---------------------------------------------------------------------------- */

/* "CODE" or "CODE text", in one line. */
static bool is_error(const char *text) {
    size_t code = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
    bool one_line = strcspn(text, "\r\n") == strlen(text) && strlen(text) <= FAULT_ERROR_MAX;
    return code > 0 && one_line && (text[code] == 0 || text[code] == ' ');
}

static const char *wrong_with(const struct kevyrt_fault_rule *rule) {
    bool cuts = rule->drop || rule->after_bytes != KEVYRT_FAULT_ANY;
    if (rule->drop && rule->after_bytes != KEVYRT_FAULT_ANY)
        return "a dropped answer has no bytes: either drop or after_bytes";
    if (rule->drop && rule->error) return "a dropped answer is no error: either drop or error";
    if (rule->client.at && rule->client_id != KEVYRT_FAULT_ANY)
        return "a client is named or numbered, not both";
    if (rule->error && !is_error(rule->error))
        return "an error is a line that begins with its code in capitals, as in 'ERR no'";
    if (!cuts && !rule->error && !rule->delay_us)
        return "a fault does something: delay, error, drop or after_bytes";
    if (rule->times == 0) return "a fault comes at least once";
    return NULL;
}

/* False: no such command. Names are those of the server. */
static bool find_command(const struct kevyrt_server *server, const char *name,
                         const struct command **out) {
    *out = NULL;
    if (!name) return true;
    struct bytes full = bytes_of(name, strlen(name));
    *out = command_names_find_full(server->fabric.domain.names, full);
    return *out != NULL;
}

/* ---- The interface ------------------------------------------------------------------------------- */

static void add(struct fabric *fabric, void *context) {
    faults_add(fabric, context);
}

static void remove_one(struct fabric *fabric, void *context) {
    faults_remove(fabric, context);
}

static void clear(struct fabric *fabric, void *context) {
    (void)context;
    faults_clear(fabric);
}

enum kevyrt_status kevyrt_fault_add(struct kevyrt_server *server,
                                    const struct kevyrt_fault_rule *rule, struct kevyrt_fault **out,
                                    struct kevyrt_error *error) {
    bool running;
    struct fault_rule kept = {.key = rule->key,
                              .client = rule->client,
                              .client_id = rule->client_id,
                              .delay_us = rule->delay_us,
                              .error = rule->error,
                              .drop = (enum fault_drop)rule->drop,
                              .cut_bytes = rule->after_bytes};
    const char *wrong = wrong_with(rule);
    if (wrong) return server_fail(error, KEVYRT_BAD_CONFIG, 0, "%s", wrong);
    if (!find_command(server, rule->command, &kept.command))
        return server_fail(error, KEVYRT_BAD_CONFIG, 0, "there is no command '%s'", rule->command);
    struct fault *fault = fault_new(&kept, rule->times);
    if (!fault) return KEVYRT_NO_MEMORY;
    enum kevyrt_status status = server_alter(server, add, fault, &running, error);
    if (status == KEVYRT_OK) *out = (struct kevyrt_fault *)fault;
    else fault_put(fault);
    return status;
}

enum kevyrt_status kevyrt_fault_remove(struct kevyrt_server *server, struct kevyrt_fault *fault,
                                       struct kevyrt_error *error) {
    bool running;
    return server_alter(server, remove_one, fault, &running, error);
}

enum kevyrt_status kevyrt_faults_clear(struct kevyrt_server *server, struct kevyrt_error *error) {
    bool running;
    return server_alter(server, clear, NULL, &running, error);
}

uint64_t kevyrt_fault_hits(const struct kevyrt_fault *fault) {
    return atomic_load_relaxed(&fault_of(fault)->hits);
}

uint64_t kevyrt_fault_left(const struct kevyrt_fault *fault) {
    return atomic_load_relaxed(&fault_of(fault)->left);
}

void kevyrt_fault_put(struct kevyrt_fault *fault) {
    if (fault) fault_put(fault_of(fault));
}
