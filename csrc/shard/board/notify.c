#include "shard/board/notify.h"

#include "shard/board/publish.h"
#include "shard/shard.h"

enum { PREFIX_MAX = 32, NAME_SHORT = 256 };

static size_t put_prefix(char *out, const char *kind, uint32_t db) {
    size_t len = strlen(kind);
    memcpy(out, kind, len);
    len += bytes_from_uint64(out + len, db);
    memcpy(out + len, "__:", 3);
    return len + 3;
}

static void give_up_all(struct shard *home) {
    board_take(home);
    for (uint32_t i = 0; i < home->fabric->settings.shard_count; i++)
        board_give_up(home->fabric, i);
}

/* In the channel `<kind><db>__:<name>`. */
static void announce(struct shard *home, const char *kind, uint32_t db, struct bytes name,
                     struct bytes body) {
    char few[NAME_SHORT], *channel = few;
    size_t len_max = PREFIX_MAX + (size_t)name.len;
    if (len_max > sizeof few) channel = mem_alloc(NULL, len_max);
    if (!channel) {
        give_up_all(home);
        return;
    }
    size_t prefix = put_prefix(channel, kind, db);
    memcpy(channel + prefix, name.at, name.len);
    struct bytes whole = bytes_of(channel, prefix + name.len);
    if (publish_message(home, CHANNEL_PLAIN, whole, body) == PUBLISH_NO_MEMORY) give_up_all(home);
    if (channel != few) mem_free(NULL, channel);
}

void notify_event(struct call *call, enum notify_class class, const char *event,
                  const struct key_place *place) {
    struct shard *home = call_home(call);
    uint32_t classes = home->fabric->settings.notify_classes;
    struct bytes name = bytes_of(event, strlen(event));
    struct bytes key = bytes_of(place->key.at, place->key.len);
    if (!(classes & class) || !publish_is_heard(home->fabric)) return;
    if (classes & NOTIFY_KEYSPACE) announce(home, "__keyspace@", place->db, key, name);
    if (classes & NOTIFY_KEYEVENT) announce(home, "__keyevent@", place->db, name, key);
}

void notify_apply(struct fabric *fabric) {
    uint32_t classes = fabric->settings.notify_classes,
             channels = NOTIFY_KEYSPACE | NOTIFY_KEYEVENT;
    bool wanted = (classes & channels) && (classes & ~channels);
    fabric->sink.wanted &= ~(uint32_t)EFFECT_NOTIFY;
    if (wanted) fabric->sink.wanted |= EFFECT_NOTIFY;
}
