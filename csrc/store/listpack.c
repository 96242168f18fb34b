/* Sizes in listpacks. */
#include "store/listpack.h"

/* Behind each element stands how long it is. */
static uint64_t with_length(uint64_t bytes) {
    if (bytes <= 127) {
        return bytes + 1;
    }
    return bytes + (bytes < 16383 ? 2 : bytes < 2097151 ? 3 : bytes < 268435455 ? 4 : 5);
}

uint64_t listpack_integer_bytes(int64_t value) {
    static const struct {
        int64_t low, high;
        uint8_t bytes;
    } kinds[] = {
        {0, 127, 1},
        {-4096, 4095, 2},
        {INT16_MIN, INT16_MAX, 3},
        {-(1 << 23), (1 << 23) - 1, 4},
        {INT32_MIN, INT32_MAX, 5},
    };
    for (unsigned i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (value >= kinds[i].low && value <= kinds[i].high) {
            return kinds[i].bytes + 1u;
        }
    }
    return 9 + 1;
}

static bool may_be_integer(struct bytes element) {
    return element.len > 0 && element.len <= 20 && element.at[0] <= '9';
}

uint64_t listpack_element_bytes(struct bytes element) {
    int64_t value;
    if (may_be_integer(element) && bytes_to_int64(element, &value)) {
        return listpack_integer_bytes(value);
    }
    return with_length((uint64_t)element.len + (element.len < 64 ? 1 : element.len < 4096 ? 2 : 5));
}
