#include "shard/board/board.h"

#include "plat/futex.h"
#include "shard/shard.h"

void board_init(struct board *board) {
    baton_init(&board->baton);
    board->monitors = (struct monitors){0};
}

/* ---- In a call ------------------------------------------------------------------------------------ */

/* While a baton of a shard is held nobody has closed the board. */
void board_take(struct shard *home) {
    struct outcomes *outcomes = &home->data.outcomes;
    if (outcomes->has_board) return;
    if (!baton_try(&home->fabric->board->baton)) {
        enum baton_result result = baton_take(&home->fabric->board->baton, FUTEX_NO_DEADLINE);
        KRT_ASSERT(result == BATON_TAKEN);
    }
    outcomes->has_board = outcomes->pending = true;
}

void board_post(struct shard *home, uint32_t target, struct post *post) {
    KRT_DCHECK(home->data.outcomes.has_board);
    board_post_later(home, target, post);
}

void board_post_later(struct shard *home, uint32_t target, struct post *post) {
    struct outcomes *outcomes = &home->data.outcomes;
    outcomes->pending = true;
    post->target = target;
    post->ticket = 0;
    post->next = NULL;
    if (outcomes->last_post) outcomes->last_post->next = post;
    else outcomes->first_post = post;
    outcomes->last_post = post;
}

static void push(struct letterbox *box, struct post *post) {
    void *head = atomic_load_relaxed(&box->posts);
    do {
        post->next = head;
    } while (!atomic_cas_seq_cst(&box->posts, &head, post));
    atomic_add_relaxed(&box->waiting, 1);
}

void board_send(struct shard *home) {
    struct outcomes *outcomes = &home->data.outcomes;
    journal_stamp(home);
    struct post *post = outcomes->first_post;
    outcomes->first_post = outcomes->last_post = NULL;
    for (struct post *next; post; post = next) {
        uint32_t target = post->target;
        next = post->next;
        if (target == BOARD_IN_PROCESS) {
            post->deliver(home, post);
            continue;
        }
        push(&home->fabric->board->boxes[target], post);
        inbox_mark(&home->fabric->shards[target]->inbox, target);
        outcomes->posted |= UINT64_C(1) << target;
    }
}

/* Whose call it is stands among those that are held. */
void board_let_go(struct call_reach *reach) {
    struct fabric *fabric =
        (struct fabric *)(void *)((char *)reach->set - offsetof(struct fabric, set));
    for (uint64_t left = *reach->held; left; left &= left - 1) {
        struct outcomes *outcomes = &fabric->shards[__builtin_ctzll(left)]->data.outcomes;
        if (!outcomes->has_board) continue;
        outcomes->has_board = false;
        baton_drop(&fabric->board->baton);
    }
}

void board_leave(struct shard *home) {
    struct outcomes *outcomes = &home->data.outcomes;
    if (outcomes->first_post) board_take(home); /* it may have let go of it */
    if (!outcomes->has_board) return;
    board_send(home);
    outcomes->has_board = false;
    baton_drop(&home->fabric->board->baton);
}

void board_rouse(struct shard *home) {
    uint64_t left = home->data.outcomes.posted;
    home->data.outcomes.posted = 0;
    for (; left; left &= left - 1) inbox_rouse(&home->fabric->shards[__builtin_ctzll(left)]->inbox);
}

void board_give_up(struct fabric *fabric, uint32_t target) {
    if (!atomic_swap_acq_rel(&fabric->board->boxes[target].given_up, 1))
        log_line(LOG_WARNING,
                 "Shard %u does not take what is sent to its clients: those that listen are closed",
                 target);
    inbox_wake(&fabric->shards[target]->inbox);
}

/* ---- Without batons of shards ----------------------------------------------------------------------- */

bool board_enter(struct board *board) {
    return baton_try(&board->baton) || baton_take(&board->baton, FUTEX_NO_DEADLINE) == BATON_TAKEN;
}

void board_exit(struct board *board) {
    baton_drop(&board->baton);
}

enum board_entry board_enter_from(struct shard *shard) {
    if (KRT_UNLIKELY(shard->held && turn_home(shard)->data.outcomes.has_board)) return BOARD_HAD;
    return board_enter(shard->fabric->board) ? BOARD_ENTERED : BOARD_CLOSED;
}

void board_exit_from(struct shard *shard, enum board_entry entry) {
    if (entry == BOARD_ENTERED) board_exit(shard->fabric->board);
}

/* ---- The shard thread -------------------------------------------------------------------------------- */

/* All posts, oldest first. The whole list is swapped, so that no post is seen to come back. */
static struct post *take_posts(struct letterbox *box) {
    struct post *post = atomic_swap_seq_cst(&box->posts, NULL), *oldest = NULL;
    uint32_t count = 0;
    for (struct post *next; post; post = next, count++) {
        next = post->next;
        post->next = oldest;
        oldest = post;
    }
    if (count) atomic_sub_relaxed(&box->waiting, count);
    return oldest;
}

static void end_who_listens(struct shard *shard) {
    for (uint32_t i = 0; i < shard->io.connection_capacity; i++) {
        struct connection *connection = shard->io.connections[i];
        if (connection && connection->client.listens) connection_drown(shard, connection);
    }
}

void board_drain(struct shard *shard) {
    struct letterbox *box = &shard->fabric->board->boxes[shard->index];
    if (KRT_UNLIKELY(atomic_load_relaxed(&box->given_up))) {
        atomic_swap_acq_rel(&box->given_up, 0);
        end_who_listens(shard);
    }
    if (KRT_LIKELY(!board_has_posts(box))) return;
    struct post *post = take_posts(box);
    for (struct post *next; post; post = next) {
        next = post->next;
        held_note(shard, post->ticket);
        post->deliver(shard, post);
    }
}

void board_discard(struct board *board, uint32_t target) {
    struct post *post = take_posts(&board->boxes[target]);
    for (struct post *next; post; post = next) {
        next = post->next;
        post->discard(post);
    }
}
