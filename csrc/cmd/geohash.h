/* Positions on the earth as scores of a sorted set, and the search among them.
 *
 * A score interleaves 26 bits each of longitude and latitude, so that near places have near scores:
 * a search looks at a few ranges of scores and then at each position that it finds there. The
 * numbers are Redis's to the last bit: the scores, the positions read back from them, the
 * distances, which cells a search visits and in which order.
 *
 * Threads: any; pure functions of their arguments.
 * Units: degrees and metres. Longitudes are at most 180 degrees from zero, latitudes at most
 * GEOHASH_LATITUDE_MAX.
 * Bounds: a search has at most GEOHASH_RANGES_MAX ranges; they never overlap.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GEOHASH_LONGITUDE_MAX 180.0
#define GEOHASH_LATITUDE_MAX 85.05112878

enum { GEOHASH_TEXT_LEN = 11, GEOHASH_RANGES_MAX = 9 };

struct geohash_point {
    double longitude, latitude;
};

/* What a search is about: all places within a radius, or in a box that is so wide and so high. */
struct geohash_area {
    struct geohash_point center;
    bool is_box;
    double radius_m;          /* unless it is a box */
    double width_m, height_m; /* of a box */
};

/* The scores from `min` up to, and without, `max`. */
struct geohash_range {
    double min, max;
};

/* False for what cannot be stored, not a number included. */
bool geohash_point_valid(struct geohash_point point);

/* The score of a valid point. At 180 degrees it needs more than 52 bits. */
double geohash_score_of_point(struct geohash_point point);

/* The middle of the cell that a score stands for, within the limits. Any score gives some point. */
struct geohash_point geohash_point_of_score(double score);

/* The usual geohash of a point, as maps know it; no terminator. The last digit is always 0. */
void geohash_text_of_point(char out[GEOHASH_TEXT_LEN], struct geohash_point point);

double geohash_distance_m(struct geohash_point a, struct geohash_point b);

/* The ranges that hold every position of the area, the one around its center first. Returns how
 * many. */
size_t geohash_ranges_of_area(const struct geohash_area *area,
                              struct geohash_range out[GEOHASH_RANGES_MAX]);

/* Whether a point lies in the area, and if so how far from its center. */
bool geohash_area_contains(const struct geohash_area *area, struct geohash_point point,
                           double *distance_m);
