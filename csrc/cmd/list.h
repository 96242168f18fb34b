/* Elements of a list under edit, with the names that Redis's thresholds give it. */
#pragma once

#include "cmd/elements.h"

enum list_end { LIST_HEAD, LIST_TAIL };

/* "left" or "right", in any case. */
bool list_end_parse(struct bytes word, enum list_end *end);
/* Names the list after it will have grown by elements of so many bytes. Before they are added. */
void list_grows(const struct call *call, struct edit *edit, uint64_t elements, uint64_t bytes);
/* The same after it has become smaller. */
void list_shrank(const struct call *call, struct edit *edit);
/* What it needs has been reserved, and kept if it is long. */
void list_push(struct edit *edit, enum list_end end, struct bytes element);
/* Opens for a push of one element, and keeps and reserves what it takes. False after the error reply. */
bool list_open_push(struct call *call, const struct key_place *place, struct entry *entry,
                    struct bytes element, struct edit *edit);
/* Opens for a pop of `count` elements. False after the error reply. */
bool list_open_pop(struct call *call, const struct key_place *place, struct entry *entry,
                   uint64_t count, struct edit *edit);
/* Replies them from an end on, and erases them. */
void list_pop_replied(struct call *call, const struct key_place *place, struct edit *edit,
                      enum list_end end, uint64_t count);
