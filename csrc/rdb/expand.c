/* What LZF made shorter. A byte below 32 is followed by so many bytes and one more; any other one has in its high three bits how
 * long a piece is that is there already (7: the next byte adds to it), and in the rest, with one byte more, how far back.
 */
#include "rdb/source.h"

struct expansion {
    const uint8_t *at, *end;
    uint8_t *begin, *to, *to_end;
};

static bool take_bytes(struct expansion *expansion, size_t len) {
    if ((size_t)(expansion->end - expansion->at) < len ||
        (size_t)(expansion->to_end - expansion->to) < len) {
        return false;
    }
    memcpy(expansion->to, expansion->at, len);
    expansion->at += len;
    expansion->to += len;
    return true;
}

/* The piece may reach into what it makes. */
static bool take_piece(struct expansion *expansion, uint8_t head) {
    size_t len = (size_t)(head >> 5) + 2;
    if (head >> 5 == 7) {
        if (expansion->at == expansion->end) {
            return false;
        }
        len += *expansion->at++;
    }
    if (expansion->at == expansion->end) {
        return false;
    }
    size_t back = ((size_t)(head & 0x1f) << 8 | *expansion->at++) + 1;
    if (back > (size_t)(expansion->to - expansion->begin) ||
        len > (size_t)(expansion->to_end - expansion->to)) {
        return false;
    }
    for (const uint8_t *from = expansion->to - back; len > 0; len--) {
        *expansion->to++ = *from++;
    }
    return true;
}

bool source_expand(const char *at, size_t packed_len, char *to, size_t len) {
    struct expansion expansion = {(const uint8_t *)at, (const uint8_t *)at + packed_len,
                                  (uint8_t *)to, (uint8_t *)to, (uint8_t *)to + len};
    while (expansion.at < expansion.end) {
        uint8_t head = *expansion.at++;
        bool taken =
            head < 32 ? take_bytes(&expansion, (size_t)head + 1) : take_piece(&expansion, head);
        if (!taken) {
            return false;
        }
    }
    return expansion.to == expansion.to_end;
}
