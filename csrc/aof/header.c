#include "aof/header.h"

#include "plat/crc32c.h"

enum { LENGTH_DIGITS = 10, CRC_DIGITS = 8, OFFSET_DIGITS = 12 };

uint32_t aof_header_sum_numbers(uint64_t offset, uint64_t synced, uint64_t len) {
    char numbers[24];
    for (int i = 0; i < 8; i++) {
        numbers[i] = (char)(offset >> 8 * i);
        numbers[8 + i] = (char)(len >> 8 * i);
        numbers[16 + i] = (char)(synced >> 8 * i);
    }
    return crc32c(0, numbers, sizeof numbers);
}

uint32_t aof_header_sum(uint64_t offset, uint64_t synced, const char *commands, uint64_t len) {
    return crc32c(aof_header_sum_numbers(offset, synced, len), commands, len);
}

uint32_t aof_header_len(uint64_t offset, uint64_t len) {
    return AOF_HEADER_MIN + (uint32_t)(-(offset + AOF_HEADER_MIN + len) % AOF_ALIGN);
}

static char *write_hex(char *at, uint64_t value, int digits) {
    for (int i = digits; i-- > 0; value >>= 4) at[i] = "0123456789abcdef"[value & 15];
    return at + digits;
}

/* Dots, and the end of the line. */
static void fill(char *at, const char *end) {
    while (at < end - 2) *at++ = '.';
    at[0] = '\r';
    at[1] = '\n';
}

void aof_header_format(char *out, const struct aof_header *header) {
    char *at = out;
    *at++ = '#';
    *at++ = 'K';
    *at++ = ' ';
    at = write_hex(at, header->len, LENGTH_DIGITS);
    *at++ = ' ';
    at = write_hex(at, header->crc, CRC_DIGITS);
    *at++ = ' ';
    at = write_hex(at, header->synced, OFFSET_DIGITS);
    fill(at, out + header->header_len);
}

static const char *read_hex(const char *at, int digits, uint64_t *out) {
    *out = 0;
    for (int i = 0; at && i < digits; i++, at++) {
        char c = *at;
        if (c >= '0' && c <= '9') *out = *out << 4 | (uint64_t)(c - '0');
        else if (c >= 'a' && c <= 'f') *out = *out << 4 | (uint64_t)(c - 'a' + 10);
        else return NULL;
    }
    return at;
}

static const char *read_char(const char *at, char wanted) {
    return at && *at == wanted ? at + 1 : NULL;
}

/* Behind the dots and the end of the line, or NULL. */
static const char *read_filling(const char *at, const char *end) {
    while (at && at < end && *at == '.') at++;
    return at && end - at >= 2 && at[0] == '\r' && at[1] == '\n' ? at + 2 : NULL;
}

bool aof_header_parse(struct bytes text, struct aof_header *out) {
    uint64_t crc;
    if (text.len < AOF_HEADER_MIN || text.at[0] != '#' || text.at[1] != 'K') return false;
    uint32_t len = text.len < AOF_HEADER_MAX ? text.len : AOF_HEADER_MAX;
    const char *at = read_char(text.at + 2, ' ');
    at = read_hex(at, LENGTH_DIGITS, &out->len);
    at = read_char(at, ' ');
    at = read_hex(at, CRC_DIGITS, &crc);
    at = read_char(at, ' ');
    at = read_hex(at, OFFSET_DIGITS, &out->synced);
    at = read_filling(at, text.at + len);
    if (!at) return false;
    out->crc = (uint32_t)crc;
    out->header_len = (uint32_t)(at - text.at);
    return true;
}

void aof_ahead_format(char out[AOF_ALIGN], uint64_t end) {
    char *at = out;
    *at++ = '#';
    *at++ = '-';
    *at++ = ' ';
    fill(write_hex(at, end, OFFSET_DIGITS), out + AOF_ALIGN);
}

bool aof_ahead_parse(struct bytes text, uint64_t *end) {
    if (text.len < AOF_ALIGN || text.at[0] != '#' || text.at[1] != '-') return false;
    const char *at = read_hex(read_char(text.at + 2, ' '), OFFSET_DIGITS, end);
    return read_filling(at, text.at + AOF_ALIGN) == text.at + AOF_ALIGN;
}
