/* The earth, unrolled to a rectangle, is cut into 2^steps columns and as many rows. The number of a
 * cell interleaves the bits of its row and its column, so the positions inside a cell of few steps
 * are one range of the numbers of 26 steps, which are the scores.
 *
 * A search takes the steps at which a cell is about as large as the area, and then looks at the
 * cell of the center and at those around it that the area's bounds reach. Cells wrap around: beyond
 * the last column is the first. The order of floating point operations is part of the promise,
 * since results are compared to the last bit. */
#include "cmd/geohash.h"

#include <math.h>

#include "base/assert.h"

enum { STEPS_MAX = 26, TEXT_DIGIT_BITS = 5 };

#define EARTH_RADIUS_M 6372797.560856
#define EARTH_HALF_M 20037726.37 /* half of the equator on the map */
#define RADIANS_PER_DEGREE (M_PI / 180.0)

/* Nearer to the poles a cell of the same steps is narrower. */
#define LATITUDE_NARROW 66.0
#define LATITUDE_NARROWER 80.0

/* Degrees from south or west to north or east. */
struct span {
    double min, max;
};

static const struct span LONGITUDES = {-GEOHASH_LONGITUDE_MAX, GEOHASH_LONGITUDE_MAX};
static const struct span LATITUDES = {-GEOHASH_LATITUDE_MAX, GEOHASH_LATITUDE_MAX};
static const struct span LATITUDES_OF_MAPS = {-90, 90};

struct cell {
    uint32_t column, row;
    int steps;
};

struct rectangle {
    struct span longitude, latitude;
};

/* ---- Cells and scores ------------------------------------------------------------------------ */

/* The bits of a number on the even places of the result. */
static uint64_t spread(uint32_t number) {
    static const uint64_t masks[] = {0x0000ffff0000ffff, 0x00ff00ff00ff00ff, 0x0f0f0f0f0f0f0f0f,
                                     0x3333333333333333, 0x5555555555555555};
    uint64_t bits = number;
    for (int at = 0, shift = 16; at < 5; at++, shift /= 2)
        bits = (bits | bits << shift) & masks[at];
    return bits;
}

/* The even places of a number, put together. */
static uint32_t gather(uint64_t bits) {
    static const uint64_t masks[] = {0x3333333333333333, 0x0f0f0f0f0f0f0f0f, 0x00ff00ff00ff00ff,
                                     0x0000ffff0000ffff, 0x00000000ffffffff};
    bits &= 0x5555555555555555;
    for (int at = 0, shift = 1; at < 5; at++, shift *= 2) bits = (bits | bits >> shift) & masks[at];
    return (uint32_t)bits;
}

static uint64_t number_of(struct cell cell) {
    return spread(cell.row) | spread(cell.column) << 1;
}

/* The last degree of a span lies in a part beyond the last. */
static uint32_t part_of(double degrees, struct span span, int steps) {
    double offset = (degrees - span.min) / (span.max - span.min);
    return (uint32_t)(offset * (double)(UINT64_C(1) << steps));
}

static struct cell cell_of(struct geohash_point point, struct span latitudes, int steps) {
    return (struct cell){.column = part_of(point.longitude, LONGITUDES, steps),
                         .row = part_of(point.latitude, latitudes, steps),
                         .steps = steps};
}

static struct span part_span(uint32_t part, struct span span, int steps) {
    double scale = span.max - span.min, parts = (double)(UINT64_C(1) << steps);
    return (struct span){.min = span.min + (part * 1.0 / parts) * scale,
                         .max = span.min + ((uint32_t)(part + 1) * 1.0 / parts) * scale};
}

static struct rectangle rectangle_of(struct cell cell) {
    return (struct rectangle){.longitude = part_span(cell.column, LONGITUDES, cell.steps),
                              .latitude = part_span(cell.row, LATITUDES, cell.steps)};
}

static double middle_within(struct span span, struct span limits) {
    double middle = (span.min + span.max) / 2;
    return fmin(fmax(middle, limits.min), limits.max);
}

/* Scores of positions are whole. Others that ZADD has put there read as a conversion on x86-64 has
 * them: the bits of a negative number, its lowest value below the range, and zero above it. */
static uint64_t number_of_score(double score) {
    if (score >= 0x1p64) return 0;
    if (score >= 0) return (uint64_t)score;
    return score > -0x1p63 ? (uint64_t)(int64_t)score : UINT64_C(1) << 63;
}

bool geohash_point_valid(struct geohash_point point) {
    return point.longitude >= LONGITUDES.min && point.longitude <= LONGITUDES.max &&
           point.latitude >= LATITUDES.min && point.latitude <= LATITUDES.max;
}

double geohash_score_of_point(struct geohash_point point) {
    KRT_ASSERT(geohash_point_valid(point));
    return (double)number_of(cell_of(point, LATITUDES, STEPS_MAX));
}

struct geohash_point geohash_point_of_score(double score) {
    uint64_t number = number_of_score(score);
    struct cell cell = {.column = gather(number >> 1), .row = gather(number), .steps = STEPS_MAX};
    struct rectangle rectangle = rectangle_of(cell);
    return (struct geohash_point){.longitude = middle_within(rectangle.longitude, LONGITUDES),
                                  .latitude = middle_within(rectangle.latitude, LATITUDES)};
}

/* 52 bits are ten digits and two bits: the eleventh digit is written for those who expect one. */
void geohash_text_of_point(char out[GEOHASH_TEXT_LEN], struct geohash_point point) {
    static const char digits[] = "0123456789bcdefghjkmnpqrstuvwxyz";
    uint64_t number = number_of(cell_of(point, LATITUDES_OF_MAPS, STEPS_MAX));
    for (int at = 0; at < GEOHASH_TEXT_LEN - 1; at++)
        out[at] = digits[number >> (2 * STEPS_MAX - (at + 1) * TEXT_DIGIT_BITS) & 0x1f];
    out[GEOHASH_TEXT_LEN - 1] = digits[0];
}

/* ---- Distances ------------------------------------------------------------------------------- */

static double radians(double degrees) {
    return degrees * RADIANS_PER_DEGREE;
}

static double degrees(double radians) {
    return radians / RADIANS_PER_DEGREE;
}

static double distance_of_latitudes_m(double a, double b) {
    return EARTH_RADIUS_M * fabs(radians(b) - radians(a));
}

/* The haversine formula. */
double geohash_distance_m(struct geohash_point a, struct geohash_point b) {
    double across = sin((radians(b.longitude) - radians(a.longitude)) / 2);
    if (across == 0) return distance_of_latitudes_m(a.latitude, b.latitude);
    double latitude_a = radians(a.latitude), latitude_b = radians(b.latitude);
    double along = sin((latitude_b - latitude_a) / 2);
    double chord = along * along + cos(latitude_a) * cos(latitude_b) * across * across;
    return 2.0 * EARTH_RADIUS_M * asin(sqrt(chord));
}

/* A box is as wide as it says at the latitude of the point, not at that of its center. */
static bool box_contains(const struct geohash_area *area, struct geohash_point point) {
    struct geohash_point beside = {area->center.longitude, point.latitude};
    double along = distance_of_latitudes_m(point.latitude, area->center.latitude);
    return !(along > area->height_m / 2) &&
           !(geohash_distance_m(point, beside) > area->width_m / 2);
}

bool geohash_area_contains(const struct geohash_area *area, struct geohash_point point,
                           double *distance_m) {
    if (area->is_box && !box_contains(area, point)) return false;
    *distance_m = geohash_distance_m(area->center, point);
    return area->is_box || !(*distance_m > area->radius_m);
}

/* ---- The cells of a search ------------------------------------------------------------------- */

static double radius_around_m(const struct geohash_area *area) {
    if (!area->is_box) return area->radius_m;
    double width = area->width_m / 2, height = area->height_m / 2;
    return sqrt(width * width + height * height);
}

/* Steps at which a cell and those around it hold the radius, as the map has it at this latitude. */
static int steps_for(double radius_m, double latitude) {
    if (radius_m == 0) return STEPS_MAX;
    int steps = -1;
    for (; radius_m < EARTH_HALF_M; radius_m *= 2) steps++;
    steps -= fabs(latitude) > LATITUDE_NARROW;
    steps -= fabs(latitude) > LATITUDE_NARROWER;
    return steps < 1 ? 1 : steps > STEPS_MAX ? STEPS_MAX : steps;
}

/* What the area reaches: its width in degrees is that at its edge which is nearer to a pole. */
static struct rectangle bounds_of(const struct geohash_area *area) {
    double longitude = area->center.longitude, latitude = area->center.latitude;
    double height = area->is_box ? area->height_m / 2 : area->radius_m;
    double width = area->is_box ? area->width_m / 2 : area->radius_m;
    double up = degrees(height / EARTH_RADIUS_M);
    double edge = latitude < 0 ? latitude - up : latitude + up;
    double aside = degrees(width / EARTH_RADIUS_M / cos(radians(edge)));
    return (struct rectangle){.longitude = {longitude - aside, longitude + aside},
                              .latitude = {latitude - up, latitude + up}};
}

/* Only the direction that is taken wraps around. */
static struct cell neighbour(struct cell cell, int columns, int rows) {
    uint32_t last = (uint32_t)(UINT64_C(1) << cell.steps) - 1;
    if (columns != 0) cell.column = (cell.column + (uint32_t)columns) & last;
    if (rows != 0) cell.row = (cell.row + (uint32_t)rows) & last;
    return cell;
}

/* Whether the bounds go beyond the cells next to this one. */
static bool is_too_small(struct cell cell, const struct rectangle *bounds) {
    return rectangle_of(neighbour(cell, 0, 1)).latitude.max < bounds->latitude.max ||
           rectangle_of(neighbour(cell, 0, -1)).latitude.min > bounds->latitude.min ||
           rectangle_of(neighbour(cell, 1, 0)).longitude.max < bounds->longitude.max ||
           rectangle_of(neighbour(cell, -1, 0)).longitude.min > bounds->longitude.min;
}

/* Whether the bounds end inside the cell on a side on which its neighbour lies. A cell of one step
 * is next to itself on both sides, so there every neighbour counts. */
static bool is_needless(struct cell cell, int columns, int rows, const struct rectangle *bounds) {
    struct rectangle inner = rectangle_of(cell);
    if (cell.steps < 2) return false;
    return (rows < 0 && inner.latitude.min < bounds->latitude.min) ||
           (rows > 0 && inner.latitude.max > bounds->latitude.max) ||
           (columns < 0 && inner.longitude.min < bounds->longitude.min) ||
           (columns > 0 && inner.longitude.max > bounds->longitude.max);
}

static struct cell center_cell(const struct geohash_area *area, const struct rectangle *bounds) {
    int steps = steps_for(radius_around_m(area), area->center.latitude);
    struct cell cell = cell_of(area->center, LATITUDES, steps);
    if (steps > 1 && is_too_small(cell, bounds)) cell = cell_of(area->center, LATITUDES, steps - 1);
    return cell;
}

static struct geohash_range range_of(struct cell cell) {
    int shift = 2 * (STEPS_MAX - cell.steps);
    uint64_t number = number_of(cell);
    return (struct geohash_range){.min = (double)(number << shift),
                                  .max = (double)((number + 1) << shift)};
}

size_t geohash_ranges_of_area(const struct geohash_area *area,
                              struct geohash_range out[GEOHASH_RANGES_MAX]) {
    static const struct {
        int columns, rows;
    } moves[GEOHASH_RANGES_MAX] = {{0, 0}, {0, 1},  {0, -1}, {1, 0},  {-1, 0},
                                   {1, 1}, {-1, 1}, {1, -1}, {-1, -1}};
    struct rectangle bounds = bounds_of(area);
    struct cell center = center_cell(area, &bounds);
    size_t count = 0;
    for (int at = 0; at < GEOHASH_RANGES_MAX; at++) {
        if (is_needless(center, moves[at].columns, moves[at].rows, &bounds)) continue;
        struct cell cell = neighbour(center, moves[at].columns, moves[at].rows);
        struct geohash_range range = range_of(cell);
        /* With few columns the neighbours on both sides are one. */
        if (count > 1 && out[count - 1].min == range.min) continue;
        out[count++] = range;
    }
    return count;
}
