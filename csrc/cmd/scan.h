/* What SCAN, HSCAN, SSCAN and ZSCAN have in common: cursor, pattern, options. */
#pragma once

#include "cmd/call.h"

enum { SCAN_COUNT_DEFAULT = 10 };

struct scan_pattern {
    struct bytes text;
    uint32_t prefix_len; /* of the pattern: what keys must begin with */
    bool is_set;
};

struct scan_options {
    struct scan_pattern pattern;
    uint64_t count;
    bool has_type, knows_type; /* of SCAN */
    enum value_type type;
    bool no_values;     /* of HSCAN */
    enum value_type of; /* what is scanned; VALUE_STRING: keys */
};

void scan_pattern_set(struct scan_pattern *pattern, struct bytes text);
bool scan_pattern_takes(const struct scan_pattern *pattern, struct bytes text);
/* Both reply the error and return false. Options are from argv[first] on; the count is the default if none is
 * given. */
bool scan_cursor(struct call *call, uint32_t index, uint64_t *cursor);
bool scan_options(struct call *call, uint32_t first, struct scan_options *options);
