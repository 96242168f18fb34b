/* WAITAOF: who waits until the log is synced (waitaof.c).
 *
 * Threads: waitaof_answer, any that may wait for a baton, with none held.
 */
#pragma once

struct waiter;

/* It is answered with what is so now, if it still waits; with the teller's count. */
void waitaof_answer(struct waiter *waiter);
/* Registers WAITAOF. */
void waitaof_bind(void);
