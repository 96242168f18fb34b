/* The server's own commands: CONFIG, INFO, SHUTDOWN, DEBUG.
 *
 * Threads: handlers run with the batons that the table says; binding before the first start. */
#pragma once

void server_commands_bind(void);
/* info.c; part of server_commands_bind. */
void info_bind(void);
