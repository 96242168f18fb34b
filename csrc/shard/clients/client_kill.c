/* CLIENT KILL: closes connections that match.
 *
 * It holds all batons: whoever is marked runs nothing any more once the reply is there, since a run looks at
 * its client's mark behind every take, and a shard at the marks of a batch that was begun before. The shard thread ends the connection in its next turn.
 */
#include "cmd/call.h"
#include "plat/clock.h"
#include "shard/shard.h"

struct kill_filter {
    struct bytes peer, local; /* `at` NULL: any */
    uint64_t id;              /* 0: any */
    int64_t age_s;            /* 0: any */
    enum client_type type;
    bool has_type, spares_me;
};

/* ---- Arguments ---------------------------------------------------------------------------------- */

static bool parse_id(struct call *call, struct bytes word, struct kill_filter *filter) {
    int64_t id;
    if (!bytes_to_int64(word, &id) || id < 1) {
        call_error(call, "ERR client-id should be greater than 0");
        return false;
    }
    filter->id = (uint64_t)id;
    return true;
}

static bool parse_age(struct call *call, struct bytes word, struct kill_filter *filter) {
    if (!bytes_to_int64(word, &filter->age_s)) {
        call_error(call, "ERR maxage is not an integer or out of range");
        return false;
    }
    if (filter->age_s <= 0) call_error(call, "ERR maxage should be greater than 0");
    return filter->age_s > 0;
}

/* There is one user. */
static bool parse_user(struct call *call, struct bytes name) {
    if (bytes_equal(name, BYTES_LITERAL("default"))) return true;
    call_error_format(call, "ERR No such user '%.*s'", (int)name.len, name.at);
    return false;
}

static bool parse_skipme(struct call *call, struct bytes word, struct kill_filter *filter) {
    filter->spares_me = bytes_is(word, "yes");
    if (filter->spares_me || bytes_is(word, "no")) return true;
    call_error_syntax(call);
    return false;
}

static bool parse_pair(struct call *call, struct bytes name, struct bytes value,
                       struct kill_filter *filter) {
    if (bytes_is(name, "id")) return parse_id(call, value, filter);
    if (bytes_is(name, "maxage")) return parse_age(call, value, filter);
    if (bytes_is(name, "user")) return parse_user(call, value);
    if (bytes_is(name, "skipme")) return parse_skipme(call, value, filter);
    if (bytes_is(name, "type"))
        return filter->has_type = client_type_parse(call, value, &filter->type);
    if (bytes_is(name, "addr")) filter->peer = value;
    else if (bytes_is(name, "laddr")) filter->local = value;
    else call_error_syntax(call);
    return !call->failed;
}

static bool parse(struct call *call, struct kill_filter *filter) {
    *filter = (struct kill_filter){.spares_me = call->argc > 3};
    if (call->argc == 3) {
        filter->peer = call->argv[2];
        return true;
    }
    for (uint32_t i = 2; i < call->argc; i += 2) {
        if (i + 1 == call->argc) {
            call_error_syntax(call);
            return false;
        }
        if (!parse_pair(call, call->argv[i], call->argv[i + 1], filter)) return false;
    }
    return true;
}

/* ---- Who ---------------------------------------------------------------------------------------- */

static bool is_address(struct bytes wanted, const struct socket_address_text *address) {
    return !wanted.at || bytes_equal(wanted, bytes_of(address->text, strlen(address->text)));
}

/* A session is its process's own, and stays. */
static bool matches(const struct kill_filter *filter, const struct card *card, int64_t now_ms) {
    if (card->fd < 0 || atomic_load_relaxed(&card->doomed)) return false;
    if (filter->id && card->id != filter->id) return false;
    if (filter->has_type && filter->type != client_type_of(card)) return false;
    if (filter->age_s && (now_ms - card->created_ms) / 1000 < filter->age_s) return false;
    return is_address(filter->peer, &card->peer) && is_address(filter->local, &card->local);
}

/* What is published from now on is not for it. */
static void doom(struct fabric *fabric, struct card *card) {
    channels_uncount(&fabric->board->channels, card->client);
    fabric_doom(fabric, card);
}

/* The one that asks is closed behind its answer. */
static uint64_t kill_matching(struct call *call, const struct kill_filter *filter) {
    struct fabric *fabric = fabric_of(call);
    fabric->kills++;
    board_take(call_home(call));
    const struct card *me = call->client ? call->client->card : NULL;
    int64_t now_ms = clock_wall_ms();
    uint64_t count = 0;
    pthread_mutex_lock(&fabric->registry.lock);
    for (struct card *card = fabric->registry.first; card; card = card->next) {
        if (!matches(filter, card, now_ms) || (card == me && filter->spares_me)) continue;
        count++;
        if (card == me) call->client->close_after_reply = true;
        else doom(fabric, card);
    }
    pthread_mutex_unlock(&fabric->registry.lock);
    return count;
}

static void client_kill_command(struct call *call) {
    struct kill_filter filter;
    if (!parse(call, &filter)) return;
    uint64_t count = kill_matching(call, &filter);
    if (call->argc > 3) reply_integer(call->reply, (int64_t)count);
    else if (count) reply_ok(call->reply);
    else call_error(call, "ERR No such client");
}

void client_kill_bind(void) {
    command_bind_all_shards("client|kill", client_kill_command);
}
