/* Geo: positions stored and read. The search among them is in geo_search.c. */
#include "cmd/geo.h"

#include <stdio.h>

#include "base/decimal.h"
#include "cmd/families.h"
#include "cmd/zset_members.h"

/* ---- Arguments and replies ---------------------------------------------------------------------- */

bool geo_read_point(struct call *call, uint32_t index, struct geohash_point *point) {
    if (!zset_read_score(call, index, &point->longitude) ||
        !zset_read_score(call, index + 1, &point->latitude))
        return false;
    if (geohash_point_valid(*point)) return true;
    call_error_format(call, "ERR invalid longitude,latitude pair %f,%f", point->longitude,
                      point->latitude);
    return false;
}

bool geo_read_unit(struct call *call, uint32_t index, double *metres) {
    static const struct {
        const char *name;
        double metres;
    } units[] = {{"m", 1}, {"km", 1000}, {"ft", 0.3048}, {"mi", 1609.34}};
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        *metres = units[i].metres;
        if (bytes_is(call->argv[index], units[i].name)) return true;
    }
    call_error(call, "ERR unsupported unit provided. please use M, KM, FT, MI");
    return false;
}

/* With all of its digits, in RESP3 too. */
static void reply_degrees(struct call *call, double degrees) {
    char text[DECIMAL_TEXT_MAX + 3] = ",";
    size_t len = decimal_from_long_double(text + 1, degrees);
    if (call->reply->proto == 2) {
        reply_bulk(call->reply, bytes_of(text + 1, len));
        return;
    }
    memcpy(text + 1 + len, "\r\n", 2);
    reply_raw(call->reply, text, len + 3);
}

void geo_reply_point(struct call *call, struct geohash_point point) {
    reply_array(call->reply, 2);
    reply_degrees(call, point.longitude);
    reply_degrees(call, point.latitude);
}

void geo_reply_distance(struct call *call, double distance) {
    char text[64];
    int len = snprintf(text, sizeof text, "%.4f", distance);
    reply_bulk(call->reply, bytes_of(text, (size_t)len));
}

/* ---- GEOADD ------------------------------------------------------------------------------------- */

static void geoadd_read(struct call *call, struct zadd *zadd) {
    struct geohash_point point;
    uint32_t member = 0;
    for (uint32_t i = zadd->first; i < call->argc; i += 3) {
        if (!geo_read_point(call, i, &point)) return;
        zadd->scores[member++] = geohash_score_of_point(point);
    }
    zadd_all(call, zadd);
}

static void geoadd_command(struct call *call) {
    const unsigned both = ZADD_NX | ZADD_XX, known = both | ZADD_CH;
    struct zadd zadd = {.first = 2, .step = 3};
    for (unsigned flag; zadd.first < call->argc; zadd.first++) {
        if (((flag = zadd_flag(call->argv[zadd.first])) & known) == 0) break;
        zadd.flags |= flag;
    }
    if ((call->argc - zadd.first) % 3 || (zadd.flags & both) == both) call_error_syntax(call);
    else zadd_with_room(call, &zadd, geoadd_read);
}

/* ---- GEODIST, GEOPOS, GEOHASH ------------------------------------------------------------------- */

static bool find_point(struct call *call, const struct collection_view *view, struct bytes member,
                       struct geohash_point *point) {
    double score;
    if (!zset_score_of(call, view, member, &score)) return false;
    *point = geohash_point_of_score(score);
    return true;
}

static void geodist_command(struct call *call) {
    double metres = 1;
    struct geohash_point a, b;
    struct collection_view view;
    struct key_place place = keyspace_for(call, 1);
    if (call->argc > 5) {
        call_error_syntax(call);
        return;
    }
    if (call->argc == 5 && !geo_read_unit(call, 4, &metres)) return;
    if (!elements_read(call, &place, VALUE_ZSET, &view)) return;
    if (find_point(call, &view, call->argv[2], &a) && find_point(call, &view, call->argv[3], &b))
        geo_reply_distance(call, geohash_distance_m(a, b) / metres);
    else reply_null(call->reply);
}

static void geopos_command(struct call *call) {
    struct geohash_point point;
    struct collection_view view;
    struct key_place place = keyspace_for(call, 1);
    if (!elements_read(call, &place, VALUE_ZSET, &view)) return;
    reply_array(call->reply, call->argc - 2);
    for (uint32_t i = 2; i < call->argc; i++) {
        if (find_point(call, &view, call->argv[i], &point)) geo_reply_point(call, point);
        else reply_null_array(call->reply);
    }
}

static void geohash_command(struct call *call) {
    char text[GEOHASH_TEXT_LEN];
    struct geohash_point point;
    struct collection_view view;
    struct key_place place = keyspace_for(call, 1);
    if (!elements_read(call, &place, VALUE_ZSET, &view)) return;
    reply_array(call->reply, call->argc - 2);
    for (uint32_t i = 2; i < call->argc; i++) {
        if (find_point(call, &view, call->argv[i], &point)) {
            geohash_text_of_point(text, point);
            reply_bulk(call->reply, bytes_of(text, sizeof text));
        } else {
            reply_null(call->reply);
        }
    }
}

void geo_bind(void) {
    command_bind("geoadd", geoadd_command);
    command_bind("geodist", geodist_command);
    command_bind("geopos", geopos_command);
    command_bind("geohash", geohash_command);
}
