/* Keyspace notifications: effects as messages of channels.
 *
 * Role: an effect of a class that notify-keyspace-events names is published in the channels
 * `__keyspace@<db>__:<key>` and `__keyevent@<db>__:<event>`, as an ordinary message of its call.
 * Threads: the holder of the batons of the call.
 * Errors: an effect cannot be refused any more. Where there is no memory for its message, the shards are given up
 * (board.h): nobody who listens goes on as if nothing had happened.
 */
#pragma once

#include "cmd/effects.h"

struct fabric;

/* effect_sink.notify */
void notify_event(struct call *call, enum notify_class class, const char *event,
                  const struct key_place *place);
/* With all batons: the settings' classes are those that are wanted. */
void notify_apply(struct fabric *fabric);
