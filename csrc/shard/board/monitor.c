/* Monitors: from a command to the lines that show it.
 *
 *   no monitors ──MONITOR, all batons──▶ gate open ──the last one leaves──▶ gate open for nobody
 *        ▲                                                                      │
 *        └──────────────────── a departure, all batons ─────────────────────────┘
 *
 * Who leaves (RESET, the end of a connection) holds the board's baton and no others that matter, so the gate closes a little
 * later. Until then commands see that nobody is there, and write no line.
 *
 * A line does not need the board before its call is complete: a call whose set of shards is open (a script, a transaction
 * with one) may have to wait for further batons, which who has the board must not do.
 *
 * A line says what the client has sent, in its place in the order, behind the reply if the client is a monitor itself.
 */
#include "shard/board/monitor.h"

#include <stdio.h>

#include "shard/clients/secrets.h"
#include "shard/shard.h"
#include "shard/transactions/transaction.h"

enum { HEAD_BYTES_MAX = 160 };

struct line {
    struct post post;
    size_t len;
    char text[];
};

/* ---- Writing ------------------------------------------------------------------------------------ */

static bool is_plain(unsigned char c) {
    return c >= ' ' && c <= '~' && c != '"' && c != '\\';
}

/* The letter behind the backslash; 0: it has none. */
static char escape_of(unsigned char c) {
    switch (c) {
    case '\n':
        return 'n';
    case '\r':
        return 'r';
    case '\t':
        return 't';
    case '\a':
        return 'a';
    case '\b':
        return 'b';
    case '"':
    case '\\':
        return (char)c;
    default:
        return 0;
    }
}

static size_t quoted_bytes(struct bytes text) {
    size_t bytes = 2;
    for (uint32_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.at[i];
        bytes += is_plain(c) ? 1 : escape_of(c) ? 2 : 4;
    }
    return bytes;
}

static char *put_quoted(char *at, struct bytes text) {
    *at++ = '"';
    for (uint32_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.at[i];
        if (!is_plain(c)) *at++ = '\\';
        if (is_plain(c)) {
            *at++ = (char)c;
        } else if (escape_of(c)) {
            *at++ = escape_of(c);
        } else {
            *at++ = 'x';
            *at++ = "0123456789abcdef"[c >> 4];
            *at++ = "0123456789abcdef"[c & 15];
        }
    }
    *at++ = '"';
    return at;
}

/* A client of a Unix socket is named by the socket; who calls in process has no address. */
static int write_head(char head[HEAD_BYTES_MAX], const struct card *card, uint32_t db,
                      int64_t now_us) {
    const char *peer = card && card->fd >= 0 ? card->peer.text : "local";
    size_t len = strlen(peer);
    bool is_unix = card && card->is_unix;
    if (is_unix && len > 2 && strcmp(peer + len - 2, ":0") == 0) len -= 2;
    return snprintf(head, HEAD_BYTES_MAX, "+%lld.%06d [%u %s%.*s]", (long long)(now_us / 1000000),
                    (int)(now_us % 1000000), db, is_unix ? "unix:" : "", (int)len, peer);
}

static struct line *line_new(const struct call *call, const struct card *card) {
    char head[HEAD_BYTES_MAX];
    uint32_t db = call->client ? call->client->db : call->db;
    int head_len = write_head(head, card, db, domain_now_us(call->domain));
    size_t len = (size_t)head_len + 2;
    for (uint32_t i = 0; i < call->argc; i++)
        len += 1 + quoted_bytes(secret_shown(call->command, call->argv, call->argc, i));
    struct line *line = mem_alloc(NULL, sizeof *line + len);
    if (!line) return NULL;
    line->len = len;
    memcpy(line->text, head, (size_t)head_len);
    char *at = line->text + head_len;
    for (uint32_t i = 0; i < call->argc; i++) {
        *at++ = ' ';
        at = put_quoted(at, secret_shown(call->command, call->argv, call->argc, i));
    }
    memcpy(at, "\r\n", 2);
    return line;
}

static struct line *line_copy(const struct line *line) {
    struct line *copy = mem_alloc(NULL, sizeof *copy + line->len);
    if (copy) memcpy(copy, line, sizeof *copy + line->len);
    return copy;
}

/* ---- Telling ------------------------------------------------------------------------------------ */

static void tell(struct shard *shard, struct connection *connection, const struct line *line) {
    struct reply push;
    if (connection->client.call_flags & CALL_SILENT) return;
    if (KRT_UNLIKELY(limits_drown(shard, connection))) return;
    reply_init(&push, &shard->io.pool, connection->client.proto);
    reply_raw(&push, line->text, line->len);
    connection_push(shard, connection, &push);
}

static void line_deliver(struct shard *shard, struct post *post) {
    struct line *line = (struct line *)post;
    for (struct connection *at = shard->io.monitors.first; at; at = at->next_monitor)
        tell(shard, at, line);
    mem_free(NULL, line);
}

static void line_discard(struct post *post) {
    mem_free(NULL, post);
}

static void post_line(struct shard *home, uint32_t target, struct line *line) {
    if (KRT_LIKELY(line && board_has_room(home->fabric->board, target))) {
        line->post.deliver = line_deliver;
        line->post.discard = line_discard;
        board_post_later(home, target, &line->post);
    } else {
        mem_free(NULL, line);
        board_give_up(home->fabric, target);
    }
}

void monitor_show(struct shard *home, const struct origin *origin, const struct call *call) {
    if (call->command->flags & (CMD_ADMIN | CMD_SKIP_MONITOR)) return;
    uint64_t left = atomic_load_relaxed(&home->fabric->board->monitors.shards);
    if (!left) return;
    struct line *line = line_new(call, origin_card(origin));
    for (; left; left &= left - 1) {
        bool last = !(left & (left - 1));
        struct line *one = last || !line ? line : line_copy(line);
        post_line(home, (uint32_t)__builtin_ctzll(left), one);
    }
}

/* ---- Who is one --------------------------------------------------------------------------------- */

bool monitor_refuses(struct client *client, struct reply *reply, const struct plan *plan) {
    enum { OF_DATA = CMD_WRITE | CMD_READONLY | CMD_MAY_REPLICATE };
    if (KRT_LIKELY(!(client->listens & LISTENS_MONITOR))) return false;
    if (!(transaction_flags(client, plan->command) & OF_DATA)) return false;
    execute_reject(client, reply, plan, "ERR Replica can't interact with the keyspace");
    return true;
}

/* What was posted before is for those who were there before. */
static void enter(struct shard *shard, struct connection *connection) {
    struct monitors *monitors = &shard->fabric->board->monitors;
    struct connection **link = &shard->io.monitors.first;
    board_drain(shard);
    while (*link) link = &(*link)->next_monitor;
    *link = connection;
    connection->next_monitor = NULL;
    connection->client.listens |= LISTENS_MONITOR;
    client_flag(&connection->client, CARD_MONITOR, true);
    monitors->counts[shard->index]++;
    atomic_or_release(&monitors->shards, shard->own);
    shard->fabric->domain.gates |= GATE_MONITOR;
}

static void close_gate(struct fabric *fabric, struct departure *departure) {
    for (uint32_t i = 0; i < fabric->settings.shard_count; i++)
        if (&fabric->shards[i]->io.monitors.departure == departure)
            fabric->shards[i]->io.monitors.departing = false;
    if (!board_enter(fabric->board)) return;
    if (!atomic_load_relaxed(&fabric->board->monitors.shards))
        fabric->domain.gates &= ~(uint32_t)GATE_MONITOR;
    board_exit(fabric->board);
}

static void unlink_monitor(struct shard *shard, struct connection *connection) {
    struct connection **link = &shard->io.monitors.first;
    while (*link != connection) link = &(*link)->next_monitor;
    *link = connection->next_monitor;
    connection->client.listens &= (uint8_t)~LISTENS_MONITOR;
    client_flag(&connection->client, CARD_MONITOR, false);
    if (shard->io.monitors.first || shard->io.monitors.departing) return;
    shard->io.monitors.departing = true;
    departures_add(shard, &shard->io.monitors.departure, fabric_all(shard->fabric), close_gate);
}

/* With the board's baton. */
static void count_out(struct shard *shard) {
    struct monitors *monitors = &shard->fabric->board->monitors;
    if (--monitors->counts[shard->index] == 0) atomic_and_release(&monitors->shards, ~shard->own);
}

void monitor_leave(struct call *call) {
    struct client *client = call->client;
    if (!(client->listens & LISTENS_MONITOR)) return;
    struct shard *shard = client_shard(client);
    board_take(call_home(call));
    count_out(shard);
    unlink_monitor(shard, client_connection(client));
}

void monitor_end(struct shard *shard, struct connection *connection) {
    if (KRT_LIKELY(!(connection->client.listens & LISTENS_MONITOR))) return;
    enum board_entry entry = board_enter_from(shard);
    if (entry != BOARD_CLOSED) count_out(shard);
    board_exit_from(shard, entry);
    unlink_monitor(shard, connection);
}

/* A monitor that asks again gets no answer, as in Redis. */
static void monitor_command(struct call *call) {
    struct client *client = client_of(call);
    if (!client) return;
    if (client->session || (call->flags & CALL_NESTED)) {
        call_error(call, "ERR MONITOR isn't allowed for DENY BLOCKING client");
        return;
    }
    if (client->listens & LISTENS_MONITOR) return;
    board_take(call_home(call));
    enter(client_shard(client), client_connection(client));
    reply_ok(call->reply);
}

void monitor_bind(void) {
    command_bind_all_shards("monitor", monitor_command);
}
