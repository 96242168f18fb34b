/* What sets and the ticket need of a baton beyond baton.h; used by ring/ only.
 *
 * Threads: any, as the holder of the set's ticket where it says so.
 */
#pragma once

#include "ring/baton.h"

/* The ticket's holder: takes a baton that nobody holds, whatever hush and fairness say. */
bool baton_try_with_ticket(struct baton *baton);
/* The ticket's holder: waits for as long as it takes. BATON_TAKEN or BATON_GONE. */
enum baton_result baton_take_with_ticket(struct baton *baton);

/* The ticket's holder: sets BATON_HUSH and sends every waiter away; takes it off again. A closed baton
 * stays as it is. */
void baton_hush(struct baton *baton);
void baton_unhush(struct baton *baton);
