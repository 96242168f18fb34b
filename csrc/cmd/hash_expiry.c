/* Deleting fields that are due. The log is told of each, like of a key that is due. */
#include "cmd/hash.h"

static void erase(struct call *call, const struct key_place *place, struct edit *edit,
                  struct bytes name) {
    struct bytes log[] = {BYTES_LITERAL("HDEL"), place->key, name};
    effect_log(call, place->db, log, 3);
    (void)fields_erase(edit, name);
}

static bool open_for_expiry(struct call *call, const struct key_place *place, struct entry *entry,
                            uint32_t erasures, struct edit *edit) {
    if (!entry || (call->flags & CALL_PAUSED)) return false;
    elements_open(place, entry, VALUE_HASH, edit);
    if (edit_reserve_erasures(edit, erasures)) return true;
    edit_close(edit);
    return false;
}

static void end_expiry(struct call *call, const struct key_place *place, struct edit *edit,
                       uint32_t expired) {
    edit_commit_erasures(edit);
    if (expired == 0) return;
    place->keyspace->stats.expired_fields += expired;
    elements_declare(call, place, edit, NOTIFY_HASH, "hexpired");
}

void hash_expire_named(struct call *call, const struct key_place *place, uint32_t first,
                       uint32_t count) {
    struct edit edit;
    uint32_t expired = 0;
    struct hash_field field;
    struct entry *entry = keyspace_find(place->keyspace, place->db, place->hash, place->key);
    if (!open_for_expiry(call, place, entry, count, &edit)) return;
    for (uint32_t i = first; i < first + count; i++) {
        if (hash_find(call, &edit.view, call->argv[i], &field) || !field.deadline_ms) continue;
        erase(call, place, &edit, call->argv[i]);
        expired++;
    }
    end_expiry(call, place, &edit, expired);
}

uint32_t hash_expire_some(struct call *call, const struct key_place *place, struct entry *entry,
                          uint32_t limit) {
    struct edit edit;
    struct walk walk;
    uint32_t expired = 0;
    if (!open_for_expiry(call, place, entry, limit, &edit)) return 0;
    for (; expired < limit && fields_first_due(&edit.view, call_due(call), &walk); expired++) {
        struct bytes log[] = {BYTES_LITERAL("HDEL"), place->key, hash_field_read(walk.record).name};
        effect_log(call, place->db, log, 3);
        fields_erase_at(&edit, &walk);
    }
    end_expiry(call, place, &edit, expired);
    return expired;
}
