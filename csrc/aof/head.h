/* The line in front of every chunk in a log.
 *
 *     #kevyrt LLLLLLLLLL CCCCCCCC SSSSSSSSSSSS      \n
 *
 * Redis skips lines that begin with #. The fields are hexadecimal, of fixed width: L, the bytes of the commands behind the line; C, the
 * CRC32C of the commands, then of the two other fields as they stand there; S, an offset in the same file below which everything was
 * on the disk when this chunk was written. Blanks fill the line up so that the chunk *ends* at a multiple of AOF_HEAD_ALIGN.
 * Readers: a chunk whose CRC is not right, or that is not there to its end, is not whole. If a whole chunk behind it has an S beyond its
 * beginning it was lost after it had been promised: damage. Else it was torn by the end of the machine. To look for chunks behind one
 * that is not whole, look at multiples of AOF_HEAD_ALIGN.
 * Lines of 64 bytes that begin with `#` and are blank otherwise, between chunks or at the end, are the tail that is written
 * ahead. A torn write can leave some of them in the middle of a chunk.
 * Threads: pure functions.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    AOF_HEAD_ALIGN = 64,
    AOF_HEAD_MIN = 41,
    AOF_HEAD_MAX = AOF_HEAD_MIN + AOF_HEAD_ALIGN - 1, /* Redis's limit is 127 */
};

struct aof_head {
    uint64_t len, synced;
    uint32_t crc;
    uint32_t line; /* bytes of the line, its end included */
};

/* How long the line must be in front of `len` bytes at this offset of the file. */
size_t aof_head_size(uint64_t offset, uint64_t len);
/* Writes a line of that size in front of the commands. */
void aof_head_encode(char *out, size_t size, const char *commands, uint64_t len, uint64_t synced);
/* The line that `at` begins with. False: it is none, or not there to its end. */
bool aof_head_decode(const char *at, size_t len, struct aof_head *head);
/* The same in steps, for who does not have all commands at once: begin with 0, add pieces of them, and compare. */
uint32_t aof_head_crc_add(uint32_t crc, const char *piece, size_t len);
bool aof_head_is_right(const struct aof_head *head, uint32_t crc_of_commands);
