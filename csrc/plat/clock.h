/* Clocks. Wall time serves deadlines of keys and TIME; monotonic time serves time-outs and gaps.
 * Any thread. Never fails on the systems we support. */
#pragma once

#include <stdint.h>

int64_t clock_wall_ms(void);
int64_t clock_wall_us(void);
uint64_t clock_monotonic_ns(void);
/* Sleeps on, whatever signals come. */
void clock_sleep_ns(uint64_t duration_ns);
