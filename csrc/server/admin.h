/* The server's own commands: ACL, CONFIG, INFO, MEMORY, SHUTDOWN, DEBUG, and what it has none of.
 *
 * Threads: handlers run with the batons that the table says; binding before the first start. */
#pragma once

#include "cmd/call.h"
#include "server/config.h"

void server_commands_bind(void);
/* What a setting that says no, yes or local allows the client of a call. */
bool admin_allows(struct call *call, enum setting_id id);
/* Parts of it, each the file of its name. */
void acl_commands_bind(void);
void config_commands_bind(void);
void config_rewrite_bind(void);
void debug_commands_bind(void);
void info_bind(void);
void memory_commands_bind(void);
void standalone_bind(void);
