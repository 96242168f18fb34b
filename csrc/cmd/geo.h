/* Positions as arguments and replies, for the handlers of geo. */
#pragma once

#include "cmd/call.h"
#include "cmd/geohash.h"

/* Longitude and latitude in argv[index] and the next. False after the error reply. */
bool geo_read_point(struct call *call, uint32_t index, struct geohash_point *point);
/* A unit of length in argv[index], in metres. False after the error reply. */
bool geo_read_unit(struct call *call, uint32_t index, double *metres);
void geo_reply_point(struct call *call, struct geohash_point point);
void geo_reply_distance(struct call *call, double distance);
