/* The lines with which our logs say what Redis skips as annotations: the head of a chunk, and what is written ahead.
 *
 * Role: one form, for the writer and the reader.
 *     #K <length> <crc> <synced>....\r\n      in front of the commands of a chunk; hexadecimal; dots to the length that lets
 *                                             the chunk end at a multiple of AOF_ALIGN
 *     #- <end>...................\r\n         AOF_ALIGN bytes: nothing is here yet. Such lines go on up to `end`, in a block
 *                                             that is written at once
 * The checksum (CRC-32C) is of the commands, and of the offset of the chunk, its length and `synced`: a chunk that stands
 * where it was not written is none. `synced` is how far the file was synced when the chunk was written, so it is at most
 * the chunk's own offset.
 * Threads: pure; any.
 * Bounds: a line is less than 120 bytes, which every Redis that skips annotations takes.
 */
#pragma once

#include "base/bytes.h"

enum {
    AOF_ALIGN = 64,
    AOF_HEADER_MIN = 37,
    AOF_HEADER_MAX = AOF_HEADER_MIN + AOF_ALIGN - 1,
    AOF_BEGINNING =
        AOF_ALIGN, /* what a file of ours begins with: the header of a chunk without commands */
};

/* Lengths and offsets that a header has room for. */
#define AOF_LENGTH_MAX ((UINT64_C(1) << 40) - 1)
#define AOF_OFFSET_MAX ((UINT64_C(1) << 48) - 1)

struct aof_header {
    uint64_t len; /* of the commands */
    uint64_t synced;
    uint32_t crc;
    uint32_t header_len; /* of the line */
};

/* The checksum of a chunk that begins (with its header) at `offset` of the file: of the numbers, then of the commands
 * (crc32c goes on with it), and of both. */
uint32_t aof_header_sum_numbers(uint64_t offset, uint64_t synced, uint64_t len);
uint32_t aof_header_sum(uint64_t offset, uint64_t synced, const char *commands, uint64_t len);
/* How long the header of a chunk of `len` bytes at `offset` has to be, and the line itself. */
uint32_t aof_header_len(uint64_t offset, uint64_t len);
void aof_header_format(char *out, const struct aof_header *header);
/* Reads the line that `text` begins with. False: it is no header, or not all of it is there. */
bool aof_header_parse(struct bytes text, struct aof_header *out);

/* A line of what is written ahead, AOF_ALIGN bytes. */
void aof_ahead_format(char out[AOF_ALIGN], uint64_t end);
bool aof_ahead_parse(struct bytes text, uint64_t *end);
