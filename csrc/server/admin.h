/* The server's own commands: CONFIG, INFO, SHUTDOWN, DEBUG.
 *
 * Threads: handlers run with the batons that the table says; binding before the first start. */
#pragma once

void server_commands_bind(void);
/* Parts of it, each the file of its name. */
void config_commands_bind(void);
void debug_commands_bind(void);
void info_bind(void);
