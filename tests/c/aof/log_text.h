/* Texts of logs, and a disk that has one of them: for what reads logs. */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aof/header.h"
#include "plat/disk.h"

struct log_text {
    struct disk disk; /* first: a disk is its text */
    char *at;
    size_t len, capacity;
    size_t read_max; /* a read gives no more; 0: all */
};

static inline void log_text_add(struct log_text *text, const char *at, size_t len) {
    if (text->len + len > text->capacity) {
        text->capacity = 2 * (text->len + len);
        text->at = realloc(text->at, text->capacity);
    }
    if (len) memcpy(text->at + text->len, at, len);
    text->len += len;
}

/* Words are separated by blanks, commands by semicolons. */
static inline void log_text_commands(struct log_text *text, const char *commands) {
    for (const char *at = commands; *at; at += *at == ';') {
        const char *words[32], *ends[32];
        int count = 0;
        while (*at && *at != ';') {
            words[count] = at;
            at += strcspn(at, " ;");
            ends[count++] = at;
            at += strspn(at, " ");
        }
        char line[64];
        log_text_add(text, line, (size_t)sprintf(line, "*%d\r\n", count));
        for (int i = 0; i < count; i++) {
            log_text_add(text, line,
                         (size_t)sprintf(line, "$%zu\r\n", (size_t)(ends[i] - words[i])));
            log_text_add(text, words[i], (size_t)(ends[i] - words[i]));
            log_text_add(text, "\r\n", 2);
        }
    }
}

/* A chunk whose commands are `inner`. */
static inline void log_text_chunk_of(struct log_text *text, const struct log_text *inner,
                                     uint64_t synced) {
    char line[AOF_HEADER_MAX];
    struct aof_header header = {
        .len = inner->len,
        .synced = synced,
        .crc = aof_header_sum(text->len, synced, inner->at, inner->len),
        .header_len = aof_header_len(text->len, inner->len),
    };
    aof_header_format(line, &header);
    log_text_add(text, line, header.header_len);
    log_text_add(text, inner->at, inner->len);
}

static inline void log_text_chunk(struct log_text *text, const char *commands, uint64_t synced) {
    struct log_text inner = {0};
    log_text_commands(&inner, commands);
    log_text_chunk_of(text, &inner, synced);
    free(inner.at);
}

static inline void log_text_ahead(struct log_text *text, int lines) {
    char line[AOF_ALIGN];
    uint64_t end = text->len + (uint64_t)lines * AOF_ALIGN;
    aof_ahead_format(line, end);
    while (text->len < end) log_text_add(text, line, sizeof line);
}

static inline int log_text_open(const struct disk *disk, const char *path, enum disk_open how) {
    (void)disk, (void)path, (void)how;
    return 5;
}

static inline void log_text_close(const struct disk *disk, int fd) {
    (void)disk, (void)fd;
}

static inline int64_t log_text_read(const struct disk *disk, int fd, void *at, size_t len,
                                    uint64_t offset) {
    const struct log_text *text = (const struct log_text *)disk;
    (void)fd;
    if (offset >= text->len) return 0;
    if (len > text->len - offset) len = text->len - offset;
    if (text->read_max && len > text->read_max) len = text->read_max;
    memcpy(at, text->at + offset, len);
    return (int64_t)len;
}

static inline int64_t log_text_size(const struct disk *disk, int fd) {
    (void)fd;
    return (int64_t)((const struct log_text *)disk)->len;
}

static inline void log_text_init(struct log_text *text) {
    *text = (struct log_text){.disk = {.open = log_text_open,
                                       .close = log_text_close,
                                       .read = log_text_read,
                                       .size = log_text_size}};
}

static inline void log_text_deinit(struct log_text *text) {
    free(text->at);
}
