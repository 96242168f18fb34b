/* What the files of the writer share. All of them write nothing into a buffer that has failed. */
#pragma once

#include "rdb/writer.h"

enum { LENGTH_BYTES_MAX = 9 };

/* ---- writer.c -------------------------------------------------------------------------------- */

void rdb_write_byte(struct rdb_buffer *buffer, uint8_t byte);
/* The lowest bytes of a number, little-endian. */
void rdb_write_little(struct rdb_buffer *buffer, uint64_t value, uint32_t bytes);

/* ---- writer_strings.c ------------------------------------------------------------------------ */

/* Returns how many bytes it took. */
uint32_t rdb_length_encode(uint8_t to[LENGTH_BYTES_MAX], uint64_t len);
void rdb_write_length(struct rdb_buffer *buffer, uint64_t len);
/* A string: as a number if it is one of up to 32 bits, compressed if that is wanted and helps, or as it is. */
void rdb_write_string(struct rdb_buffer *buffer, struct bytes text);
void rdb_write_paged(struct rdb_buffer *buffer, const struct collection *paged);
/* How long a string of one piece (rdb/lzf.h) gets at most, written. */
size_t rdb_string_bound(size_t len);
/* A piece that is no number, and lies in the room that the caller has reserved, rdb_string_bound behind its beginning. */
void rdb_write_moved(struct rdb_buffer *buffer, struct bytes piece);

/* ---- writer_stream.c ------------------------------------------------------------------------- */

void rdb_write_stream(struct rdb_buffer *buffer, const struct collection *stream);
