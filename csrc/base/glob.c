/* Every element of a pattern but the star takes exactly one byte. So after a mismatch it is enough to
 * give the latest star one byte more: an earlier star could only move the same search to the right. */
#include "base/glob.h"

struct matcher {
    struct bytes pattern;
    bool nocase;
};

static signed char fold(const struct matcher *matcher, char c) {
    return (signed char)(matcher->nocase && c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

static bool same(const struct matcher *matcher, char a, char b) {
    return fold(matcher, a) == fold(matcher, b);
}

static bool in_range(const struct matcher *matcher, char first, char last, char c) {
    signed char low = (signed char)first, high = (signed char)last;
    if (low > high) {
        low = (signed char)last;
        high = (signed char)first;
    }
    return fold(matcher, c) >= fold(matcher, (char)low) &&
           fold(matcher, c) <= fold(matcher, (char)high);
}

/* `*at` is behind the "["; afterwards it is behind the "]", or at the end of the pattern. */
static bool match_class(const struct matcher *matcher, uint32_t *at, char c) {
    const char *p = matcher->pattern.at;
    uint32_t i = *at, len = matcher->pattern.len;
    bool negated = i < len && p[i] == '^', found = false;
    if (negated) i++;
    while (i < len && p[i] != ']') {
        if (p[i] == '\\' && len - i >= 2) {
            found |= p[i + 1] == c;
            i += 2;
        } else if (len - i >= 3 && p[i + 1] == '-') {
            found |= in_range(matcher, p[i], p[i + 2], c);
            i += 3;
        } else {
            found |= same(matcher, p[i], c);
            i++;
        }
    }
    *at = i < len ? i + 1 : i;
    return found != negated;
}

/* One element, which is not a star, against one byte. */
static bool match_element(const struct matcher *matcher, uint32_t *at, char c) {
    char first = matcher->pattern.at[(*at)++];
    if (first == '?') return true;
    if (first == '[') return match_class(matcher, at, c);
    if (first == '\\' && *at < matcher->pattern.len) first = matcher->pattern.at[(*at)++];
    return same(matcher, first, c);
}

static uint32_t skip_stars(struct bytes pattern, uint32_t at) {
    while (at < pattern.len && pattern.at[at] == '*') at++;
    return at;
}

static bool match(const struct matcher *matcher, struct bytes text) {
    struct bytes pattern = matcher->pattern;
    uint32_t at = 0, star_at = UINT32_MAX, star_took = 0;
    if (text.len == 0) return pattern.len == 0;
    for (uint32_t i = 0; i < text.len;) {
        if (at < pattern.len && pattern.at[at] == '*') {
            star_at = at = skip_stars(pattern, at);
            if (at == pattern.len) return true;
            star_took = i;
        } else if (at < pattern.len && match_element(matcher, &at, text.at[i])) {
            i++;
        } else if (star_at != UINT32_MAX) {
            at = star_at;
            i = ++star_took;
        } else {
            return false;
        }
    }
    return skip_stars(pattern, at) == pattern.len;
}

bool glob_match(struct bytes pattern, struct bytes text) {
    return match(&(struct matcher){.pattern = pattern}, text);
}

bool glob_match_nocase(struct bytes pattern, struct bytes text) {
    return match(&(struct matcher){.pattern = pattern, .nocase = true}, text);
}
