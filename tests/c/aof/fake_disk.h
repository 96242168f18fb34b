/* A disk that fails as disks do, and loses at a crash what was not synced.
 *
 * Role: files are real ones, in their folder, as the kernel's cache would show them. What was not synced can be taken back: at a
 * crash of the machine every unsynced write is there, not there, or there in parts, whatever comes behind it, and of the names that
 * were made, moved and removed since their folder was synced only the first few are. After a sync that fails the writes before
 * it are lost, however often it succeeds then.
 * Threads: any.
 */
#pragma once

#include <stdbool.h>

#include "plat/disk.h"

enum fake_call {
    FAKE_OPEN = 1 << 0,
    FAKE_READ = 1 << 1,
    FAKE_WRITE = 1 << 2,
    FAKE_TRUNCATE = 1 << 3,
    FAKE_SYNC = 1 << 4,
    FAKE_RENAME = 1 << 5,
    FAKE_REMOVE = 1 << 6,
    FAKE_FOLDER = 1 << 7, /* make_folder, sync_folder */
    FAKE_ANY = (1 << 8) - 1,
};

struct fake_plan {
    uint64_t seed;
    uint64_t crash_at;   /* the n-th call does not happen; 0: none */
    bool power;          /* the crash is the machine's; else the process's, which loses nothing */
    bool kill;           /* the crash ends this process; else every call fails from then on */
    uint32_t fail_calls; /* enum fake_call */
    uint64_t fail_at;    /* the n-th of them, and `fail_count` in all, fail; 0: none */
    uint64_t fail_count;
    int fail_error;    /* a negative errno value */
    uint64_t capacity; /* bytes that can be written; 0: any number */
    uint32_t slow_sync_us;
    bool shorten; /* writes are shorter than asked for, at random */
};

struct fake_disk;

struct fake_disk *fake_disk_new(const struct fake_plan *plan);
const struct disk *fake_disk_of(struct fake_disk *fake);
uint64_t fake_disk_calls(struct fake_disk *fake);
bool fake_disk_is_dead(struct fake_disk *fake);
void fake_disk_crash(struct fake_disk *fake);
/* There is room for so many bytes more. */
void fake_disk_grow(struct fake_disk *fake, uint64_t bytes);
void fake_disk_free(struct fake_disk *fake);
/* `seed=7,crash=120,power,fail=sync:3:1:EIO,capacity=100000,slow=500,short`; the crash ends the process. False: it is no plan. */
bool fake_plan_parse(const char *text, struct fake_plan *plan);
