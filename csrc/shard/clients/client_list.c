/* CLIENT LIST and INFO: clients as their cards describe them.
 *
 * The cards are read under the registry's lock, some at a time: what a list of thousands takes is spread over
 * turns, with a cursor that stays good meanwhile. The text is a blob, so that it is sent from where it was
 * written.
 */
#include "cmd/call.h"
#include "plat/clock.h"
#include "shard/fabric.h"
#include "shard/shard.h"
#include "shard/transactions/watch.h"

enum { LINE_BYTES_MAX = 4096, CARDS_PER_SLICE = 32, NANOSECONDS = 1000000000 };
enum { CARD_LETTERS_MAX = 16 };

/* ---- A line ------------------------------------------------------------------------------------- */

static const char *or_empty(const char *text) {
    return text ? text : "";
}

/* In Redis's letters, as far as there is what they stand for. */
static void flag_letters(const struct card *card, char letters[CARD_LETTERS_MAX]) {
    uint32_t flags = atomic_load_relaxed(&card->flags);
    char *at = letters;
    bool changed;
    (void)watch_count(card, &changed);
    if (flags & CARD_MONITOR) *at++ = 'O';
    if (flags & CARD_SUBSCRIBED) *at++ = 'P';
    if (atomic_load_relaxed(&card->queued)) *at++ = 'x';
    if (flags & CARD_BLOCKED) *at++ = 'b';
    if (flags & CARD_TRACKING) *at++ = 't';
    if (atomic_load_relaxed(&card->redirect_broken)) *at++ = 'R';
    if (flags & CARD_BROADCAST) *at++ = 'B';
    if (changed) *at++ = 'd';
    if (flags & CARD_CLOSING) *at++ = 'c';
    if (card->is_unix) *at++ = 'U';
    if (flags & CARD_NO_EVICT) *at++ = 'e';
    if (flags & CARD_NO_TOUCH) *at++ = 'T';
    if (at == letters) *at++ = 'N';
    *at = 0;
}

static const char *command_name(const struct card *card) {
    uint32_t id = atomic_load_relaxed(&card->command);
    return id ? command_at(id - 1)->full_name : "NULL";
}

static const char *events_of(const struct card *card, uint64_t output_bytes) {
    if (card->fd < 0) return "";
    return output_bytes ? "rw" : "r";
}

/* What does not fit is cut off. Formats would take half the time of a long list. */
struct line {
    char *at, *end;
};

static void put(struct line *line, const char *text) {
    size_t len = strlen(text), room = (size_t)(line->end - line->at);
    if (len > room) len = room;
    memcpy(line->at, text, len);
    line->at += len;
}

static void put_text(struct line *line, const char *name, const char *text) {
    put(line, name);
    put(line, text);
}

static void put_number(struct line *line, const char *name, uint64_t value) {
    char digits[24];
    digits[bytes_from_uint64(digits, value)] = 0;
    put_text(line, name, digits);
}

static uint64_t seconds_since(uint64_t now, uint64_t then, uint64_t unit) {
    return now > then ? (now - then) / unit : 0;
}

static void put_person(struct line *line, const struct card *card) {
    char flags[CARD_LETTERS_MAX];
    uint64_t created_ms = (uint64_t)card->created_ms, seen_ns = atomic_load_relaxed(&card->seen_ns);
    flag_letters(card, flags);
    put_number(line, "id=", card->id);
    put_text(line, " addr=", card->peer.text);
    put_text(line, " laddr=", card->local.text);
    if (card->fd < 0) put(line, " fd=-1");
    else put_number(line, " fd=", (uint64_t)card->fd);
    put_text(line, " name=", or_empty(card->name));
    put_number(line, " age=", seconds_since((uint64_t)clock_wall_ms(), created_ms, 1000));
    put_number(line, " idle=", seconds_since(clock_monotonic_ns(), seen_ns, NANOSECONDS));
    put_text(line, " flags=", flags);
    put_number(line, " db=", atomic_load_relaxed(&card->db));
}

static void put_buffers(struct line *line, const struct card *card) {
    uint64_t output = atomic_load_relaxed(&card->output_bytes);
    uint32_t queued = atomic_load_relaxed(&card->queued);
    bool changed;
    put_number(line, " sub=", atomic_load_relaxed(&card->subscriptions[CHANNEL_PLAIN]));
    put_number(line, " psub=", atomic_load_relaxed(&card->subscriptions[CHANNEL_PATTERN]));
    put_number(line, " ssub=", atomic_load_relaxed(&card->subscriptions[CHANNEL_SHARD]));
    if (queued) put_number(line, " multi=", queued - 1);
    else put(line, " multi=-1");
    put_number(line, " watch=", watch_count(card, &changed));
    put_number(line, " qbuf=", atomic_load_relaxed(&card->input_bytes));
    put(line, " qbuf-free=0");
    put_number(line, " argv-mem=", atomic_load_relaxed(&card->argument_bytes));
    put_number(line, " multi-mem=", atomic_load_relaxed(&card->queued_bytes) + watch_bytes(card));
    put(line, " rbs=0 rbp=0 obl=0");
    put_number(line, " oll=", (output + REPLY_CHUNK_BYTES - 1) / REPLY_CHUNK_BYTES);
    put_number(line, " omem=", output);
    put_number(line, " tot-mem=", client_bytes(card));
    put_text(line, " events=", events_of(card, output));
}

/* Of what a client caches that tracks; -1: it does not. */
static void put_redirect(struct line *line, const struct card *card) {
    bool tracks = atomic_load_relaxed(&card->flags) & CARD_TRACKING;
    if (tracks) put_number(line, " redir=", atomic_load_relaxed(&card->redirect));
    else put(line, " redir=-1");
}

/* Without the end of the line. */
static size_t describe(const struct card *card, char out[LINE_BYTES_MAX]) {
    struct line line = {.at = out, .end = out + LINE_BYTES_MAX};
    put_person(&line, card);
    put_buffers(&line, card);
    put_text(&line, " cmd=", command_name(card));
    put(&line, " user=default");
    put_redirect(&line, card);
    put_number(&line, " resp=", atomic_load_relaxed(&card->proto));
    put_text(&line, " lib-name=", or_empty(card->lib_name));
    put_text(&line, " lib-ver=", or_empty(card->lib_version));
    return (size_t)(line.at - out);
}

/* ---- The list ----------------------------------------------------------------------------------- */

struct client_list {
    struct client_task task;
    struct registry *registry;
    struct registry_cursor cursor; /* of a list of all */
    uint32_t next_id;              /* argument, of a list by id */
    struct blob *text;
    bool no_memory;
    bool has_type; /* only clients of this one */
    enum client_type type;
};

static void list_free(struct client_task *task) {
    struct client_list *list = (struct client_list *)task;
    registry_cursor_close(list->registry, &list->cursor);
    if (list->text) blob_put(list->text);
    mem_free(NULL, list);
}

static struct client_list *list_new(struct registry *registry) {
    struct client_list *list = mem_calloc(NULL, sizeof *list);
    if (!list) return NULL;
    list->task.free = list_free;
    list->registry = registry;
    list->text = blob_new(NULL, 0);
    list->no_memory = !list->text;
    list->next_id = 3;
    registry_cursor_open(registry, &list->cursor);
    return list;
}

static void list_add(struct client_list *list, const struct card *card) {
    char line[LINE_BYTES_MAX + 1];
    if (list->no_memory || atomic_load_relaxed(&card->doomed)) return;
    if (list->has_type && client_type_of(card) != list->type) return;
    size_t len = describe(card, line), before = list->text->len;
    line[len++] = '\n';
    struct blob *grown =
        before + len < UINT32_MAX ? blob_grow(list->text, (uint32_t)(before + len)) : NULL;
    list->no_memory = !grown;
    if (!grown) return;
    list->text = grown;
    memcpy(grown->data + before, line, len);
}

/* Some more of all clients. True: that was the last. */
static bool list_all_step(struct client_list *list) {
    pthread_mutex_lock(&list->registry->lock);
    for (int i = 0; i < CARDS_PER_SLICE && list->cursor.at; i++) {
        list_add(list, list->cursor.at);
        list->cursor.at = list->cursor.at->next;
    }
    bool done = !list->cursor.at;
    pthread_mutex_unlock(&list->registry->lock);
    return done;
}

/* One more of those that the call names. */
static bool list_ids_step(struct client_list *list, const struct call *call) {
    int64_t id = 0;
    if (list->next_id == call->argc) return true;
    (void)bytes_to_int64(call->argv[list->next_id++], &id);
    pthread_mutex_lock(&list->registry->lock);
    struct card *card = id > 0 ? registry_find(list->registry, (uint64_t)id) : NULL;
    if (card) list_add(list, card);
    pthread_mutex_unlock(&list->registry->lock);
    return list->next_id == call->argc;
}

static void list_reply(struct call *call, struct client_list *list) {
    if (list->no_memory) call_error_memory(call);
    else reply_verbatim(call->reply, "txt", blob_bytes(list->text));
}

/* Goes on with the list that the client has begun, or begins one. */
static struct client_list *list_of(struct call *call, struct registry *registry) {
    bool begun = call->client && call->client->task;
    return begun ? (struct client_list *)call->client->task : list_new(registry);
}

static void list_end(struct call *call, struct client_list *list) {
    if (call->client && call->client->task) client_end_task(call->client);
    else list_free(&list->task);
}

static void list_clients(struct call *call, bool by_id, const enum client_type *type) {
    struct registry *registry = &fabric_of(call)->registry;
    struct client_list *list = list_of(call, registry);
    if (!list) {
        call_error_memory(call);
        return;
    }
    bool done = false;
    list->has_type = type != NULL;
    if (type) list->type = *type;
    if (call->client && !(call->flags & CALL_NESTED))
        client_note_command(call->client, call->command);
    do {
        done = list->no_memory || (by_id ? list_ids_step(list, call) : list_all_step(list));
    } while (!done && !call_may_pause(call));
    call->unfinished = !done;
    if (done) {
        list_reply(call, list);
        list_end(call, list);
    } else {
        call->client->task = &list->task;
    }
}

/* ---- Arguments ---------------------------------------------------------------------------------- */

bool client_type_parse(struct call *call, struct bytes name, enum client_type *type) {
    static const struct {
        const char *name;
        enum client_type type;
    } types[] = {{"normal", CLIENT_NORMAL},
                 {"slave", CLIENT_REPLICA},
                 {"replica", CLIENT_REPLICA},
                 {"pubsub", CLIENT_PUBSUB},
                 {"master", CLIENT_MASTER}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (!bytes_is(name, types[i].name)) continue;
        *type = types[i].type;
        return true;
    }
    call_error_format(call, "ERR Unknown client type '%.*s'", (int)name.len, name.at);
    return false;
}

enum client_type client_type_of(const struct card *card) {
    bool subscribed = atomic_load_relaxed(&card->flags) & CARD_SUBSCRIBED;
    return subscribed ? CLIENT_PUBSUB : CLIENT_NORMAL;
}

static bool are_ids(struct call *call) {
    int64_t id;
    for (uint32_t i = 3; i < call->argc; i++) {
        if (bytes_to_int64(call->argv[i], &id)) continue;
        call_error(call, "ERR Invalid client ID");
        return false;
    }
    return true;
}

static void list_of_type(struct call *call) {
    enum client_type type;
    if (client_type_parse(call, call->argv[3], &type)) list_clients(call, false, &type);
}

static void client_list_command(struct call *call) {
    if (call->argc == 2) list_clients(call, false, NULL);
    else if (call->argc == 4 && bytes_is(call->argv[2], "type")) list_of_type(call);
    else if (call->argc < 4 || !bytes_is(call->argv[2], "id")) call_error_syntax(call);
    else if (are_ids(call)) list_clients(call, true, NULL);
}

static void client_info_command(struct call *call) {
    char line[LINE_BYTES_MAX + 1];
    struct client *client = client_of(call);
    if (!client) return;
    if (!(call->flags & CALL_NESTED)) client_note_command(client, call->command);
    pthread_mutex_lock(&client->fabric->registry.lock);
    size_t len = describe(client->card, line);
    pthread_mutex_unlock(&client->fabric->registry.lock);
    line[len++] = '\n';
    reply_verbatim(call->reply, "txt", bytes_of(line, len));
}

void client_list_bind(void) {
    command_bind("client|list", client_list_command);
    command_bind("client|info", client_info_command);
}
