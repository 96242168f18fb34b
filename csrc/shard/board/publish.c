/* Messages: looked up and encoded by the publisher, copied by the shard threads.
 *
 *   publish_message ─▶ choose parts (channel, patterns) ─▶ measure ─▶ one allocation ─▶ encode ─▶ board_post per shard
 *                                                                                                    │
 *   output of each connection ◀─ deliver_part: the channel's listeners here ◀─ deliver ◀─ letterbox ─┘
 *
 * RESP2 and RESP3 differ in the first byte of a message alone, so there is one text for both. A body that is long is no
 * part of the text: it is a blob that outputs refer to.
 */
#include "shard/board/publish.h"

#include "base/glob.h"
#include "shard/board/subscriber.h"
#include "shard/shard.h"

/* Copying up to here is cheaper than a chain of references. */
enum { BODY_COPIED_MAX = 8192, HEADER_MAX = 24 };

/* One way in which clients are subscribed to the message. */
struct part {
    uint64_t hash;
    uint64_t mask;                         /* shards */
    uint32_t kind;                         /* enum channel_kind of what they are subscribed to */
    size_t text, text_len, name, name_len; /* in the message's text */
};

struct letter {
    struct post post;
    struct message_text *message;
};

/* All letters of a message, then its parts, then its text. */
struct message_text {
    atomic_u32 letters_left; /* who takes the last one frees; acquire-release */
    uint32_t part_count;
    struct mem_account *account;
    struct blob *body; /* NULL: in the text */
    struct part *parts;
    char *text;
    struct letter letters[];
};

/* ---- Delivery -------------------------------------------------------------------------------------- */

static void put(struct message_text *message) {
    if (atomic_sub_acq_rel(&message->letters_left, 1) != 1) return;
    if (message->body) blob_put(message->body);
    mem_free(message->account, message);
}

static void write_part(const struct message_text *message, const struct part *part,
                       struct reply *reply, uint8_t proto) {
    reply_encoded_push(reply, bytes_of(message->text + part->text, part->text_len), message->body,
                       proto);
}

/* Behind answers that are still to come, or behind that of the command that runs. */
static void push_part(struct shard *shard, struct connection *connection,
                      const struct message_text *message, const struct part *part) {
    struct reply reply;
    reply_init(&reply, &shard->io.pool, connection->client.proto);
    write_part(message, part, &reply, connection->client.proto);
    connection_push(shard, connection, &reply);
}

/* Who is killed counts no more, and receives no more, though its shard has not ended it yet. */
static bool is_doomed(struct shard *shard, const struct connection *connection) {
    return KRT_UNLIKELY(atomic_load_relaxed(&shard->has_doomed)) &&
           atomic_load_relaxed(&connection->client.card->doomed);
}

static void deliver_to(struct shard *shard, struct connection *connection,
                       const struct message_text *message, const struct part *part) {
    if (is_doomed(shard, connection) || KRT_UNLIKELY(limits_drown(shard, connection))) return;
    if (KRT_UNLIKELY(slots_pending(&connection->slots) || shard->io.deferring == connection)) {
        push_part(shard, connection, message, part);
        return;
    }
    write_part(message, part, &connection->output, connection->client.proto);
    connection_want_ready(shard, connection);
}

static void deliver_part(struct shard *shard, const struct message_text *message,
                         const struct part *part) {
    struct bytes name = bytes_of(message->text + part->name, part->name_len);
    struct listeners *listeners =
        audience_find(&shard->io.audience, (enum channel_kind)part->kind, part->hash, name);
    if (!listeners) return; /* they have left since */
    for (struct subscription *at = listeners->first; at; at = at->next) {
        if (at->next) __builtin_prefetch(&at->next->connection->output);
        deliver_to(shard, at->connection, message, part);
    }
}

static void deliver(struct shard *shard, struct post *post) {
    struct message_text *message = ((struct letter *)post)->message;
    for (uint32_t i = 0; i < message->part_count; i++)
        if (message->parts[i].mask & shard->own) deliver_part(shard, message, &message->parts[i]);
    put(message);
}

/* By who sends it, with the board: what is there then is what is told. */
static void deliver_in_process(struct shard *home, struct post *post) {
    struct message_text *message = ((struct letter *)post)->message;
    const struct channels *channels = &home->fabric->board->channels;
    struct bytes body = message->body ? blob_bytes(message->body) : bytes_of("", 0);
    for (uint32_t i = 0; i < message->part_count; i++) {
        const struct part *part = &message->parts[i];
        struct bytes name = bytes_of(message->text + part->name, part->name_len);
        struct channel *channel =
            channels_find(channels, (enum channel_kind)part->kind, part->hash, name);
        if (!channel) continue;
        subscribers_tell(home->fabric, channel, post->ticket,
                         bytes_of(message->text + part->text, part->text_len), body,
                         message->body != NULL);
    }
    put(message);
}

static void discard(struct post *post) {
    put(((struct letter *)post)->message);
}

/* ---- Who is subscribed ----------------------------------------------------------------------------- */

enum { CHOSEN_FEW = 8 };

/* What clients are subscribed to that the message reaches: the channel, and patterns. */
struct choice {
    struct channel **at;
    uint32_t count, capacity;
    bool has_channel; /* the first one is the channel itself */
    bool no_memory;
    bool in_process; /* somebody hears it there */
    uint64_t mask, receivers;
    struct channel *few[CHOSEN_FEW];
};

static bool choice_grow(struct choice *choice) {
    uint32_t capacity = choice->capacity * 2;
    struct channel **grown = mem_alloc(NULL, capacity * sizeof *grown);
    if (!grown) return false;
    memcpy(grown, choice->at, choice->count * sizeof *grown);
    if (choice->at != choice->few) mem_free(NULL, choice->at);
    choice->at = grown;
    choice->capacity = capacity;
    return true;
}

static void choose(struct choice *choice, struct channel *channel) {
    if (choice->count == choice->capacity && !choice_grow(choice)) {
        choice->no_memory = true;
        return;
    }
    choice->at[choice->count++] = channel;
    choice->mask |= channel->mask;
    choice->in_process |= channel->hearings != NULL;
    choice->receivers += channel->count;
}

/* The channel first, then the patterns, as Redis does. */
static void choose_all(struct choice *choice, const struct channels *channels,
                       enum channel_kind kind, uint64_t hash, struct bytes name) {
    struct channel *channel = channels_find(channels, kind, hash, name);
    choice->at = choice->few;
    choice->capacity = CHOSEN_FEW;
    choice->has_channel = channel != NULL;
    if (channel) choose(choice, channel);
    if (kind == CHANNEL_SHARD || KRT_LIKELY(channels->kinds[CHANNEL_PATTERN].count == 0)) return;
    struct map_walk walk;
    map_walk_init(&walk, &channels->kinds[CHANNEL_PATTERN]);
    for (struct map_node *node; (node = map_walk_next(&walk));) {
        struct channel *pattern = (struct channel *)node;
        if (glob_match(channel_name(pattern), name)) choose(choice, pattern);
    }
}

/* Those whose letterbox is full lose their subscribers instead. */
static void leave_out_full(struct choice *choice, struct fabric *fabric) {
    for (uint64_t left = choice->mask; left; left &= left - 1) {
        uint32_t target = (uint32_t)__builtin_ctzll(left);
        if (KRT_LIKELY(board_has_room(fabric->board, target))) continue;
        board_give_up(fabric, target);
        choice->mask &= ~(UINT64_C(1) << target);
    }
}

/* ---- Encoding -------------------------------------------------------------------------------------- */

struct writer {
    char *text; /* NULL: only measures */
    size_t at;
};

static void put_bytes(struct writer *writer, struct bytes bytes) {
    if (writer->text) bytes_copy(writer->text + writer->at, bytes.at, bytes.len);
    writer->at += bytes.len;
}

static void put_header(struct writer *writer, char marker, uint64_t number) {
    char header[HEADER_MAX] = {marker};
    size_t len = 1 + bytes_from_uint64(header + 1, number);
    header[len++] = '\r';
    header[len++] = '\n';
    KRT_ASSERT(len <= sizeof header);
    put_bytes(writer, bytes_of(header, len));
}

/* Returns where its bytes are. */
static size_t put_bulk(struct writer *writer, struct bytes bytes) {
    put_header(writer, '$', bytes.len);
    size_t at = writer->at;
    put_bytes(writer, bytes);
    put_bytes(writer, BYTES_LITERAL("\r\n"));
    return at;
}

/* What is published, and how. */
struct publication {
    enum channel_kind kind;
    struct bytes channel, body;
    bool by_reference; /* the body is no part of the text */
};

static void encode_part(struct writer *writer, const struct publication *publication,
                        const struct channel *pattern, struct part *part) {
    bool is_plain = publication->kind == CHANNEL_PLAIN;
    part->text = writer->at;
    put_header(writer, '*', pattern ? 4 : 3);
    if (pattern) {
        put_bulk(writer, BYTES_LITERAL("pmessage"));
        part->name_len = pattern->len;
        part->name = put_bulk(writer, channel_name(pattern));
        put_bulk(writer, publication->channel);
    } else {
        put_bulk(writer, is_plain ? BYTES_LITERAL("message") : BYTES_LITERAL("smessage"));
        part->name_len = publication->channel.len;
        part->name = put_bulk(writer, publication->channel);
    }
    if (publication->by_reference) put_header(writer, '$', publication->body.len);
    else put_bulk(writer, publication->body);
    part->text_len = writer->at - part->text;
}

/* Returns the length of the text. */
static size_t encode(const struct publication *publication, const struct choice *choice,
                     struct part *parts, char *text) {
    struct writer writer = {.text = text};
    struct part unused;
    for (uint32_t i = 0; i < choice->count; i++) {
        bool by_pattern = i > 0 || !choice->has_channel;
        const struct channel *subscribed = choice->at[i];
        struct part *part = parts ? &parts[i] : &unused;
        *part = (struct part){
            .hash = subscribed->node.hash,
            .mask = subscribed->mask,
            .kind = by_pattern ? CHANNEL_PATTERN : publication->kind,
        };
        encode_part(&writer, publication, by_pattern ? subscribed : NULL, part);
    }
    return writer.at;
}

static struct blob *body_blob(struct bytes body) {
    return body.flags & BYTES_BLOB ? blob_get(blob_of(body)) : blob_copy(NULL, body);
}

/* The message with its letters, not yet addressed; NULL: no memory. */
static struct message_text *message_new(struct mem_account *account,
                                        const struct publication *publication,
                                        const struct choice *choice, uint32_t letters) {
    size_t text_len = encode(publication, choice, NULL, NULL);
    size_t parts_at = sizeof(struct message_text) + letters * sizeof(struct letter);
    size_t text_at = parts_at + choice->count * sizeof(struct part);
    struct message_text *message = mem_alloc(account, text_at + text_len);
    if (!message) return NULL;
    *message = (struct message_text){
        .part_count = choice->count,
        .account = account,
        .body = publication->by_reference ? body_blob(publication->body) : NULL,
        .parts = (struct part *)(void *)((char *)message + parts_at),
        .text = (char *)message + text_at,
    };
    if (publication->by_reference && !message->body) {
        mem_free(account, message);
        return NULL;
    }
    atomic_store_relaxed(&message->letters_left, letters);
    (void)encode(publication, choice, message->parts, message->text);
    return message;
}

/* ---- Publishing ------------------------------------------------------------------------------------- */

static void post_letters(struct shard *home, struct message_text *message,
                         const struct choice *choice) {
    struct letter *letter = message->letters;
    for (uint64_t mask = choice->mask; mask; mask &= mask - 1, letter++) {
        *letter = (struct letter){{.deliver = deliver, .discard = discard}, message};
        board_post(home, (uint32_t)__builtin_ctzll(mask), &letter->post);
    }
    if (KRT_LIKELY(!choice->in_process)) return;
    *letter = (struct letter){{.deliver = deliver_in_process, .discard = discard}, message};
    board_post(home, BOARD_IN_PROCESS, &letter->post);
}

/* False: no memory. */
static bool send(struct shard *home, const struct publication *publication,
                 const struct choice *choice) {
    if (choice->mask == 0 && !choice->in_process) return true;
    struct message_text *message =
        message_new(&home->data.keyspace.account, publication, choice,
                    (uint32_t)__builtin_popcountll(choice->mask) + choice->in_process);
    if (message) post_letters(home, message, choice);
    return message != NULL;
}

bool publish_is_heard(const struct fabric *fabric) {
    return atomic_load_relaxed(&fabric->board->channels.subscriptions) != 0;
}

uint64_t publish_message(struct shard *home, enum channel_kind kind, struct bytes channel,
                         struct bytes body) {
    struct fabric *fabric = home->fabric;
    struct channels *channels = &fabric->board->channels;
    if (!publish_is_heard(fabric)) return 0;
    struct publication publication = {kind, channel, body, body.len > BODY_COPIED_MAX};
    struct choice choice = {0};
    uint64_t hash = hash_bytes(&fabric->domain.hash_seed, channel.at, channel.len);
    board_take(home);
    choose_all(&choice, channels, kind, hash, channel);
    if (!choice.no_memory) leave_out_full(&choice, fabric);
    bool sent = !choice.no_memory && send(home, &publication, &choice);
    if (choice.at != choice.few) mem_free(NULL, choice.at);
    return sent ? choice.receivers : PUBLISH_NO_MEMORY;
}
