/* Elements that Redis packs into one string: listpacks, and what came before them.
 *
 * Role: goes along a string that anybody may have made, and says so if it is not one.
 * Threads: any. Pure.
 * Ownership: an element lies in the string, or, if it was an integer, in the walk until PACKED_KEPT others have come.
 */
#pragma once

#include "base/bytes.h"

enum packed_form { PACKED_LISTPACK, PACKED_ZIPLIST, PACKED_ZIPMAP, PACKED_INTSET };

enum { PACKED_KEPT = 4, PACKED_COUNT_UNKNOWN = UINT16_MAX };

struct packed {
    const uint8_t *begin, *at, *end; /* `end` is before the mark of the end, if there is one */
    enum packed_form form;
    uint32_t claimed; /* how many elements it says that it has, or PACKED_COUNT_UNKNOWN */
    uint32_t count;   /* that have come */
    uint32_t before;  /* ziplist: bytes of the element before; intset: of each */
    uint32_t tail;    /* ziplist: where the last one is to begin */
    int64_t last;     /* intset */
    bool damaged;
    uint32_t turn;
    char texts[PACKED_KEPT][24];
};

void packed_open(struct packed *packed, enum packed_form form, struct bytes string);
/* False: that was all, or it is damaged. */
bool packed_next(struct packed *packed, struct bytes *element);
