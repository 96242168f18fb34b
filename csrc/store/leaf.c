/* Records in a leaf. */
#include "store/leaf.h"

#include "base/assert.h"

static char *leaf_end(const struct leaf *leaf) {
    return (char *)(uintptr_t)leaf + leaf->node.bytes;
}

static char *key_at(const struct leaf *leaf, uint32_t index) {
    return (char *)(uintptr_t)leaf_key_at(leaf, index);
}

static bool is_outside(const struct leaf *leaf, uint32_t index) {
    return leaf->offsets[index] & LEAF_OUTSIDE;
}

static struct blob *blob_at(const struct leaf *leaf, uint32_t index) {
    struct blob *blob;
    memcpy(&blob, leaf_end(leaf) - leaf_offset(leaf, index), sizeof blob);
    return blob;
}

static uint32_t round_up(uint32_t bytes) {
    uint32_t steps = (bytes + 8 + NODE_STEP_BYTES - 1) / NODE_STEP_BYTES;
    uint32_t rounded = steps * NODE_STEP_BYTES - 8;
    return rounded < NODE_BYTES_MAX ? rounded : NODE_BYTES_MAX;
}

struct leaf *leaf_new(struct node_heap *heap, uint32_t key_bytes, uint32_t bytes) {
    struct leaf *leaf = (struct leaf *)node_new(heap, round_up(bytes));
    if (leaf != NULL) {
        leaf->node.key_bytes = (uint8_t)key_bytes;
        leaf->count = leaf->spare = 0;
    }
    return leaf;
}

/* ---- Reading --------------------------------------------------------------------------------- */

struct bytes leaf_record(const struct leaf *leaf, uint32_t index) {
    if (KRT_UNLIKELY(is_outside(leaf, index))) {
        return blob_bytes(blob_at(leaf, index));
    }
    uint32_t offset = leaf_offset(leaf, index);
    return bytes_of(leaf_end(leaf) - offset, offset - leaf_record_end(leaf, index));
}

struct record_key leaf_key(const struct leaf *leaf, uint32_t index) {
    struct record_key key = {0};
    const char *at = leaf_key_at(leaf, index);
    if (leaf->node.key_bytes == 8) {
        memcpy(&key.order, at, 8);
    } else if (leaf->node.key_bytes != 0) {
        memcpy(&key.order, at, 4); /* little-endian, as all of this project */
        memcpy(&key.extra, at + 4, leaf->node.key_bytes - 4u);
    }
    return key;
}

/* ---- Changing -------------------------------------------------------------------------------- */

static void write_key(struct leaf *leaf, uint32_t index, const struct record_key *key) {
    char *at = key_at(leaf, index);
    if (leaf->node.key_bytes == 8) {
        memcpy(at, &key->order, 8);
    } else if (leaf->node.key_bytes != 0) {
        memcpy(at, &key->order, 4);
        memcpy(at + 4, &key->extra, leaf->node.key_bytes - 4u);
    }
}

/* Four at a time: no sum carries into the next one, since offsets stay what they can be. */
static void shift_offsets(struct leaf *leaf, uint32_t index, int change) {
    uint64_t four, step = (uint64_t)(int64_t)change * UINT64_C(0x0001000100010001);
    for (; index + 4 <= leaf->count; index += 4) {
        memcpy(&four, &leaf->offsets[index], sizeof four);
        four += step;
        memcpy(&leaf->offsets[index], &four, sizeof four);
    }
    for (; index < leaf->count; index++) {
        leaf->offsets[index] = (uint16_t)(leaf->offsets[index] + change);
    }
}

/* Makes what lies beyond a distance from the leaf's end, which is record `index` and those behind it or
 * these alone, lie `change` bytes further. */
static void shift_records(struct leaf *leaf, uint32_t index, uint32_t beyond, int change) {
    uint32_t all = leaf_record_end(leaf, leaf->count);
    char *low = leaf_end(leaf) - all;
    memmove(low - change, low, all - beyond);
    shift_offsets(leaf, index, change);
}

/* Moves all records to where so much is spare behind them. */
static void set_spare(struct leaf *leaf, uint32_t spare) {
    int change = (int)spare - (int)leaf->spare;
    uint32_t all = leaf_record_end(leaf, leaf->count);
    char *low = leaf_end(leaf) - all;
    memmove(low - change, low, all - leaf->spare);
    shift_offsets(leaf, 0, change);
    leaf->spare = (uint16_t)spare;
}

/* Free room is on both sides of the records. A side that lacks it gets three quarters of what is left, so
 * that each move pays for many records at either end. */
static void make_gap(struct leaf *leaf, uint32_t bytes) {
    uint32_t room = leaf->node.bytes - leaf_bytes(leaf);
    if (KRT_UNLIKELY(room - leaf->spare < bytes)) {
        set_spare(leaf, (room - bytes) / 4);
    }
}

static void make_spare(struct leaf *leaf, uint32_t bytes, uint32_t slot) {
    uint32_t room = leaf->node.bytes - leaf_bytes(leaf);
    if (KRT_UNLIKELY(leaf->spare < bytes || room - leaf->spare < slot)) {
        set_spare(leaf, bytes + (room - bytes - slot) / 4 * 3);
    }
}

static uint32_t slot_bytes(const struct leaf *leaf) {
    return (uint32_t)sizeof(uint16_t) + leaf->node.key_bytes;
}

/* Makes room for one offset and one key; the keys lie behind the offsets. */
static void open_slot(struct leaf *leaf, uint32_t index) {
    uint32_t width = leaf->node.key_bytes, behind = leaf->count - index;
    char *keys = key_at(leaf, 0);
    memmove(keys + 2 + (index + 1) * width, keys + index * width, (size_t)behind * width);
    memmove(keys + 2, keys, (size_t)index * width);
    memmove(&leaf->offsets[index + 1], &leaf->offsets[index], behind * sizeof(uint16_t));
    leaf->count++;
}

static void close_slots(struct leaf *leaf, uint32_t index, uint32_t count) {
    uint32_t width = leaf->node.key_bytes, behind = leaf->count - index - count;
    char *keys = key_at(leaf, 0);
    memmove(&leaf->offsets[index], &leaf->offsets[index + count], behind * sizeof(uint16_t));
    memmove(keys - 2 * count, keys, (size_t)index * width);
    memmove(keys - 2 * count + index * width, keys + (index + count) * width,
            (size_t)behind * width);
    leaf->count = (uint16_t)(leaf->count - count);
}

static uint32_t inside_bytes(struct bytes record) {
    KRT_DCHECK(record.len <= LEAF_RECORD_MAX || (record.flags & BYTES_BLOB));
    return record.len > LEAF_RECORD_MAX ? sizeof(struct blob *) : record.len;
}

/* Fills the room of record `index`, whose offset is right but for the mark. */
static void write_record(struct leaf *leaf, uint32_t index, struct bytes record) {
    char *at = leaf_end(leaf) - leaf_offset(leaf, index);
    if (record.len > LEAF_RECORD_MAX) {
        struct blob *blob = blob_get(blob_of(record));
        memcpy(at, &blob, sizeof blob);
        leaf->offsets[index] |= LEAF_OUTSIDE;
    } else if (record.len > 0) {
        bytes_copy(at, record.at, record.len);
    }
}

void leaf_insert(struct leaf *leaf, uint32_t index, const struct record_key *key,
                 struct bytes record) {
    uint32_t bytes = inside_bytes(record), slot = slot_bytes(leaf);
    KRT_DCHECK(index <= leaf->count && leaf_has_room(leaf, slot + bytes));
    if (index == 0 && leaf->count > 0) {
        make_spare(leaf, bytes, slot);
        leaf->spare = (uint16_t)(leaf->spare - bytes);
    } else {
        make_gap(leaf, slot + bytes);
        shift_records(leaf, index, leaf_record_end(leaf, index), (int)bytes);
    }
    uint32_t end = leaf_record_end(leaf, index);
    open_slot(leaf, index);
    leaf->offsets[index] = (uint16_t)(end + bytes);
    write_key(leaf, index, key);
    write_record(leaf, index, record);
}

static void put_outside(struct leaf *leaf, uint32_t from, uint32_t to) {
    for (uint32_t i = from; i < to; i++) {
        if (KRT_UNLIKELY(is_outside(leaf, i))) {
            blob_put(blob_at(leaf, i));
        }
    }
}

/* The record may be the blob that is there, so the old count is put last. */
void leaf_replace(struct leaf *leaf, uint32_t index, const struct record_key *key,
                  struct bytes record) {
    uint32_t end = leaf_record_end(leaf, index), before = leaf_offset(leaf, index) - end;
    struct blob *old = is_outside(leaf, index) ? blob_at(leaf, index) : NULL;
    int change = (int)inside_bytes(record) - (int)before;
    if (change > 0) {
        make_gap(leaf, (uint32_t)change);
        end = leaf_record_end(leaf, index);
    }
    if (change != 0) {
        shift_records(leaf, index, end + before, change);
    }
    leaf->offsets[index] &= LEAF_OFFSET_MASK;
    write_key(leaf, index, key);
    write_record(leaf, index, record);
    if (old != NULL) {
        blob_put(old);
    }
}

void leaf_erase(struct leaf *leaf, uint32_t index, uint32_t count) {
    KRT_DCHECK(count > 0 && index + count <= leaf->count);
    uint32_t end = leaf_record_end(leaf, index + count);
    uint32_t gone = end - leaf_record_end(leaf, index);
    put_outside(leaf, index, index + count);
    if (index == 0) {
        leaf->spare = (uint16_t)end;
    } else if (index + count < leaf->count) {
        shift_records(leaf, index + count, end, -(int)gone);
    }
    close_slots(leaf, index, count);
}

void leaf_append(struct leaf *leaf, const struct leaf *source, uint32_t from, uint32_t to) {
    uint32_t width = leaf->node.key_bytes, count = leaf->count, more = to - from;
    uint32_t skipped = leaf_record_end(source, from), used = leaf_record_end(leaf, count);
    uint32_t bytes = leaf_record_end(source, to) - skipped;
    char *keys = key_at(leaf, 0);
    KRT_DCHECK(leaf->spare == 0);
    KRT_DCHECK(leaf_has_room(leaf, bytes + more * (width + (uint32_t)sizeof(uint16_t))));
    memcpy(leaf_end(leaf) - used - bytes, leaf_end(source) - skipped - bytes, bytes);
    memmove(keys + sizeof(uint16_t) * more, keys, (size_t)count * width);
    leaf->count = (uint16_t)(count + more);
    memcpy(key_at(leaf, count), key_at(source, from), (size_t)more * width);
    for (uint32_t i = 0; i < more; i++) {
        leaf->offsets[count + i] = (uint16_t)(source->offsets[from + i] - skipped + used);
    }
}

/* ---- What lies outside ----------------------------------------------------------------------- */

void leaf_share_outside(struct leaf *leaf) {
    for (uint32_t i = 0; i < leaf->count; i++) {
        if (KRT_UNLIKELY(is_outside(leaf, i))) {
            (void)blob_get(blob_at(leaf, i));
        }
    }
}

void leaf_put_outside(struct leaf *leaf) {
    put_outside(leaf, 0, leaf->count);
}

uint64_t leaf_outside_bytes(const struct leaf *leaf, uint32_t from, uint32_t to) {
    uint64_t sum = 0;
    for (uint32_t i = from; i < to; i++) {
        if (KRT_UNLIKELY(is_outside(leaf, i))) {
            sum += sizeof(struct blob) + blob_at(leaf, i)->len;
        }
    }
    return sum;
}

void leaf_check(const struct leaf *leaf) {
    uint32_t before = leaf->spare;
    KRT_ASSERT(leaf->node.level == 0);
    KRT_ASSERT(leaf_bytes(leaf) + leaf->spare <= leaf->node.bytes); /* L2 */
    for (uint32_t i = 0; i < leaf->count; i++) {
        uint32_t offset = leaf_offset(leaf, i), len = offset - before;
        KRT_ASSERT(offset >= before && len <= LEAF_RECORD_MAX); /* L1 */
        KRT_ASSERT(!is_outside(leaf, i) || len == sizeof(struct blob *));
        before = offset;
    }
}
