/* A server that stands alone: what it answers about clusters, replicas and modules, which it has none of.
 *
 * Every row that the table calls refused answers with one error, in Redis's words where Redis has words for a
 * server without the thing, so that a client library takes it for such a server.
 */
#include "server/admin.h"

/* ---- Refusals --------------------------------------------------------------------------------- */

static void refuse_cluster(struct call *call) {
    call_error(call, "ERR This instance has cluster support disabled");
}

static void refuse_module(struct call *call) {
    call_error(call,
               "ERR MODULE command not allowed. If the enable-module-command option is set to "
               "\"local\", you can run it from a local connection, otherwise you need to set "
               "this option in the configuration file, and then restart the server.");
}

static void refuse_failover(struct call *call) {
    call_error(call, "ERR FAILOVER requires connected replicas.");
}

static void refuse_replication(struct call *call) {
    call_error(call, "ERR This instance has replication support disabled");
}

static void (*refusal_of(const struct command *command))(struct call *) {
    if (command->group == GROUP_CLUSTER) return refuse_cluster;
    if (command->container) return refuse_module;
    if (strcmp(command->name, "failover") == 0) return refuse_failover;
    return refuse_replication;
}

static void bind_refusals(void) {
    for (size_t id = 0; id < command_count(); id++) {
        const struct command *command = command_at(id);
        if (command->owner == OWNER_REFUSED && command->subcommand_count == 0)
            command_bind(command->full_name, refusal_of(command));
    }
}

/* ---- Modules ---------------------------------------------------------------------------------- */

static void module_list_command(struct call *call) {
    reply_array(call->reply, 0);
}

static void module_help_command(struct call *call) {
    static const char *const lines[] = {
        "LIST",
        "    Return a list of loaded modules.",
        "LOAD <path> [<arg> ...]",
        "    Load a module library from <path>, passing to it any optional arguments.",
        "LOADEX <path> [[CONFIG NAME VALUE] [CONFIG NAME VALUE]] [ARGS ...]",
        "    Load a module library from <path>, while passing it module configurations and "
        "optional "
        "arguments.",
        "UNLOAD <name>",
        "    Unload a module.",
        NULL,
    };
    call_reply_help(call, lines);
}

/* ---- Replication ------------------------------------------------------------------------------ */

static void role_command(struct call *call) {
    reply_array(call->reply, 3);
    reply_bulk_text(call->reply, "master");
    reply_integer(call->reply, 0); /* the offset of a replication that never began */
    reply_array(call->reply, 0);
}

/* To be nobody's replica is what this server is; to be somebody's is refused. */
static void replicaof_command(struct call *call) {
    int64_t port;
    if (bytes_is(call->argv[1], "no") && bytes_is(call->argv[2], "one")) {
        reply_ok(call->reply);
    } else if (!bytes_to_int64(call->argv[2], &port) || port < 0 || port > 65535) {
        call_error(call, "ERR Invalid master port");
    } else {
        refuse_replication(call);
    }
}

void standalone_bind(void) {
    bind_refusals();
    command_bind("module|list", module_list_command);
    command_bind("module|help", module_help_command);
    command_bind("role", role_command);
    command_bind("replicaof", replicaof_command);
    command_bind("slaveof", replicaof_command);
}
