#include "shard/outcomes.h"

#include "shard/shard.h"

struct effect_sink outcomes_sink(void) {
    return (struct effect_sink){0};
}

void outcomes_finish(struct shard *home) {
    board_leave(home);
    home->data.outcomes.pending = false;
}
