/* Glob patterns with Redis's meaning: * ? [a-z] [^a] and \ before a character taken literally.
 *
 * Threads: any; pure. Oddities kept: a class that is not closed ends with the pattern; a range may be
 * written backwards and compares bytes as signed; no pattern but the empty one matches the empty
 * string. Bounds: time is at most the product of the lengths, whatever the pattern.
 */
#pragma once

#include "base/bytes.h"

bool glob_match(struct bytes pattern, struct bytes text);
/* ASCII letters compare equal regardless of case. */
bool glob_match_nocase(struct bytes pattern, struct bytes text);
