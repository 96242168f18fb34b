/* Threads and numbers for the tests of ring/. */
#pragma once

#include <pthread.h>
#include <stdint.h>

#include "base/atomic.h"

enum { CREW_MAX = 16 };

struct crew_member {
    uint32_t index;
    uint32_t random; /* own state: the same choices in every run */
    void *world;
    void (*body)(struct crew_member *);
    pthread_t thread;
};

/* Runs one body on several threads at once, each with its own seed, and joins them. */
void crew_run(uint32_t count, void (*body)(struct crew_member *), void *world);
/* The same for a thread apart. */
void crew_start(struct crew_member *member, void (*body)(struct crew_member *), void *world);
void crew_join(struct crew_member *member);

uint32_t crew_random(struct crew_member *member, uint32_t below);

/* Now plus so many microseconds. */
uint64_t crew_deadline_us(uint64_t us);
void crew_sleep_us(uint64_t us);
