/* Fields of a hash under edit, with the names that Redis's thresholds give it. */
#pragma once

#include "cmd/elements.h"
#include "store/hash_field.h"

/* Keeps what a long field takes, before the first change, in the order of the changes. False: no memory. */
bool hash_keep(struct edit *edit, const struct hash_field *field);
/* True: the field is new. What it needs has been reserved and kept. */
bool hash_put(const struct call *call, struct edit *edit, const struct hash_field *field);
bool hash_remove(struct edit *edit, struct bytes name);
/* False: there is no such field. */
bool hash_find(const struct call *call, const struct collection_view *view, struct bytes name,
               struct hash_field *field);
