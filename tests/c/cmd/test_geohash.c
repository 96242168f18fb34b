/* Positions as scores, texts and distances, as a running redis-server has stored and answered them,
 * and searches against the plain question of each point. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"
#include "cmd/geohash.h"

enum { POINTS = 400, SEARCHES = 3000 };

struct fact {
    struct geohash_point point;
    double score;
    struct geohash_point stored;
    const char *text;
};

static const struct fact facts[] = {
    {{13.361389, 38.115556},
     3479099956230698,
     {13.36138933897018433, 38.11555639549629859},
     "sqc8b49rny0"},
    {{15.087269, 37.502669},
     3479447370796909,
     {15.08726745843887329, 37.50266842333162032},
     "sqdtr74hyu0"},
    {{-78.467834, -0.180653},
     947044397312874,
     {-78.46783429384231567, -0.18065337910783086},
     "6rbnyrj7wg0"},
    {{0, 0}, 3377699720527872, {0.00000268220901489, 0.00000126736058093}, "s0000000000"},
    {{1e-10, 1e-10}, 3377699720527872, {0.00000268220901489, 0.00000126736058093}, "s0000000000"},
    {{179.999999, 1},
     4128385558883306,
     {179.99999731779098511, 0.99999945914297683},
     "xbpvxypcrv0"},
    {{-180, 0}, 1125899906842624, {-179.99999731779098511, 0.00000126736058093}, "80000000000"},
    {{180, 0}, 10133099161583616, {180, 0.00000126736058093}, "80000000000"},
    {{0, 85.05112878}, 6755399441055744, {0.00000268220901489, 85.0511287799999991}, "up05b5048p0"},
    {{0, -85.05112878},
     2251799813685248,
     {0.00000268220901489, -85.05112751263942528},
     "h0bh0hbj200"},
    {{180, 85.05112878}, 13510798882111488, {180, 85.0511287799999991}, "bp05b5048p0"},
    {{-180, -85.05112878}, 0, {-179.99999731779098511, -85.05112751263942528}, "00bh0hbj200"},
};

/* Seventeen places are what GEOPOS prints. */
static void check_place(double got, double expected) {
    char mine[64], theirs[64];
    (void)snprintf(mine, sizeof mine, "%.17f", got);
    (void)snprintf(theirs, sizeof theirs, "%.17f", expected);
    assert_string_equal(mine, theirs);
}

static void check_text(struct geohash_point point, const char *expected) {
    char text[GEOHASH_TEXT_LEN];
    geohash_text_of_point(text, point);
    assert_memory_equal(text, expected, GEOHASH_TEXT_LEN);
}

static void test_points_are_stored_and_read_back_as_redis_does(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof facts / sizeof *facts; i++) {
        struct geohash_point stored = geohash_point_of_score(facts[i].score);
        assert_true(geohash_score_of_point(facts[i].point) == facts[i].score);
        check_place(stored.longitude, facts[i].stored.longitude);
        check_place(stored.latitude, facts[i].stored.latitude);
        check_text(stored, facts[i].text);
    }
}

/* What ZADD puts there is read like a position too. */
static void test_scores_of_no_position_are_read_as_redis_does(void **state) {
    static const struct {
        double score, longitude, latitude;
    } odd[] = {
        {-5, 180, 85.0511287799999991},
        {-1, 180, 85.0511287799999991},
        {-0.5, -179.99999731779098511, -85.05112751263942528},
        {1.5, -179.99999731779098511, -85.05112497791824921},
        {4503599627370496, -179.99999731779098511, 85.0511287799999991},
        {9007199254740992, 180, -85.05112751263942528},
        {9223372036854775808.0, 180, -85.05112751263942528},
        {-9223372036854775808.0, 180, -85.05112751263942528},
        {1e19, 180, 85.0511287799999991},
        {18446744073709551615.0, -179.99999731779098511, -85.05112751263942528},
        {1e300, -179.99999731779098511, -85.05112751263942528},
        {-1e300, 180, -85.05112751263942528},
        {INFINITY, -179.99999731779098511, -85.05112751263942528},
        {-INFINITY, 180, -85.05112751263942528},
    };
    (void)state;
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        struct geohash_point point = geohash_point_of_score(odd[i].score);
        check_place(point.longitude, odd[i].longitude);
        check_place(point.latitude, odd[i].latitude);
    }
}

static void test_points_beyond_the_limits_are_not_valid(void **state) {
    static const struct geohash_point wrong[] = {
        {180.0000001, 0},       {-180.0000001, 0}, {0, 85.0511287800001},
        {0, -85.0511287800001}, {NAN, 0},          {0, NAN},
        {INFINITY, 0},          {0, -INFINITY},    {1e300, 1e300},
    };
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_false(geohash_point_valid(wrong[i]));
    for (size_t i = 0; i < sizeof facts / sizeof *facts; i++) {
        assert_true(geohash_point_valid(facts[i].point));
        assert_true(geohash_point_valid(geohash_point_of_score(facts[i].score)));
    }
}

static double distance_of_scores(double a, double b) {
    return geohash_distance_m(geohash_point_of_score(a), geohash_point_of_score(b));
}

static void test_distances_are_those_that_redis_stores(void **state) {
    (void)state;
    assert_true(distance_of_scores(facts[0].score, facts[1].score) == 166274.15156960033);
    assert_true(distance_of_scores(facts[0].score, facts[3].score) == 4454733.0204170849);
    assert_true(distance_of_scores(facts[2].score, facts[5].score) == 11293200.821741415);
    assert_true(distance_of_scores(facts[3].score, facts[4].score) == 0);
}

static void check_ranges(struct geohash_area area, const struct geohash_range *expected, size_t n) {
    struct geohash_range ranges[GEOHASH_RANGES_MAX];
    assert_int_equal(geohash_ranges_of_area(&area, ranges), n);
    for (size_t i = 0; i < n; i++) {
        assert_true(ranges[i].min == expected[i].min);
        assert_true(ranges[i].max == expected[i].max);
    }
}

#define CHECK_RANGES(area, ranges) check_ranges(area, ranges, sizeof(ranges) / sizeof *(ranges))

static void test_cells_are_visited_in_the_order_in_which_redis_answers(void **state) {
    static const struct geohash_range sicily[] = {
        {3478854790283264, 3479954301911040}, {3479954301911040, 3481053813538816},
        {3475556255399936, 3476655767027712}, {3472257720516608, 3473357232144384},
        {3473357232144384, 3474456743772160}, {3468959185633280, 3470058697261056},
    };
    static const struct geohash_range earth[] = {
        {3377699720527872, 4503599627370496},
        {2251799813685248, 3377699720527872},
        {1125899906842624, 2251799813685248},
        {0, 1125899906842624},
    };
    static const struct geohash_range box[] = {
        {3663710182703104, 3663727362572288},
        {3663727362572288, 3663744542441472},
        {3660772425072640, 3660789604941824},
    };
    (void)state;
    CHECK_RANGES(((struct geohash_area){.center = facts[0].point, .radius_m = 200000}), sicily);
    CHECK_RANGES(((struct geohash_area){.center = {10, 10}, .radius_m = 3e7}), earth);
    CHECK_RANGES(((struct geohash_area){
                     .center = {2, 48}, .is_box = true, .width_m = 1000, .height_m = 50000}),
                 box);
}

static void test_an_area_without_extent_holds_its_own_cell(void **state) {
    struct geohash_point stored = geohash_point_of_score(facts[0].score);
    struct geohash_area area = {.center = stored, .radius_m = 0};
    struct geohash_range ranges[GEOHASH_RANGES_MAX];
    double distance_m = -1;
    (void)state;
    assert_true(geohash_ranges_of_area(&area, ranges) > 0);
    assert_true(ranges[0].min == facts[0].score && ranges[0].max == facts[0].score + 1);
    assert_true(geohash_area_contains(&area, stored, &distance_m));
    assert_true(distance_m == 0);
}

static void test_a_box_is_as_wide_as_it_says_where_the_point_is(void **state) {
    struct geohash_area area = {
        .center = {0, 60}, .is_box = true, .width_m = 200000, .height_m = 2000000};
    struct geohash_point north = {1.7, 65}, south = {1.7, 55};
    double distance_m;
    (void)state;
    assert_true(geohash_area_contains(&area, north, &distance_m));
    assert_false(geohash_area_contains(&area, south, &distance_m));
}

/* ---- Searches ------------------------------------------------------------------------------ */

static double draw_between(struct random_state *random, double low, double high) {
    return low + (high - low) * (double)random_below(random, 1u << 30) / (1u << 30);
}

/* Away from the date line, where Redis finds what lies on the other side only by luck. */
static struct geohash_area draw_area(struct random_state *random, double extent) {
    double size = pow(10, draw_between(random, 2, 5.7));
    return (struct geohash_area){
        .center = {draw_between(random, -extent, extent), draw_between(random, -extent, extent)},
        .is_box = random_below(random, 2),
        .radius_m = size,
        .width_m = size,
        .height_m = size * draw_between(random, 0.1, 4)};
}

static size_t ranges_with(const struct geohash_range *ranges, size_t count, double score) {
    size_t found = 0;
    for (size_t i = 0; i < count; i++) found += score >= ranges[i].min && score < ranges[i].max;
    return found;
}

static size_t check_search(const struct geohash_area *area, const double *scores) {
    struct geohash_range ranges[GEOHASH_RANGES_MAX];
    size_t count = geohash_ranges_of_area(area, ranges), inside = 0;
    assert_in_range(count, 1, GEOHASH_RANGES_MAX);
    for (size_t i = 0; i < POINTS; i++) {
        double distance_m;
        struct geohash_point point = geohash_point_of_score(scores[i]);
        bool is_inside = geohash_area_contains(area, point, &distance_m);
        size_t times = ranges_with(ranges, count, scores[i]);
        assert_true(times == 1 || (times == 0 && !is_inside));
        inside += is_inside;
    }
    return inside;
}

static void test_ranges_hold_every_point_of_the_area_once(void **state) {
    static const double extents[] = {1, 10, 60};
    struct random_state random;
    double scores[POINTS];
    (void)state;
    random_seed(&random, 1);
    for (size_t e = 0; e < sizeof extents / sizeof *extents; e++) {
        size_t inside = 0;
        for (size_t i = 0; i < POINTS; i++)
            scores[i] = geohash_score_of_point(
                (struct geohash_point){draw_between(&random, -extents[e], extents[e]),
                                       draw_between(&random, -extents[e], extents[e])});
        for (int i = 0; i < SEARCHES / 3; i++) {
            struct geohash_area area = draw_area(&random, extents[e]);
            inside += check_search(&area, scores);
        }
        assert_true(inside > 100);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_points_are_stored_and_read_back_as_redis_does),
        cmocka_unit_test(test_scores_of_no_position_are_read_as_redis_does),
        cmocka_unit_test(test_points_beyond_the_limits_are_not_valid),
        cmocka_unit_test(test_distances_are_those_that_redis_stores),
        cmocka_unit_test(test_cells_are_visited_in_the_order_in_which_redis_answers),
        cmocka_unit_test(test_an_area_without_extent_holds_its_own_cell),
        cmocka_unit_test(test_a_box_is_as_wide_as_it_says_where_the_point_is),
        cmocka_unit_test(test_ranges_hold_every_point_of_the_area_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
