/* DUMP: a value as the bytes that RESTORE takes. */
#include "cmd/families.h"
#include "rdb/writer.h"

/* The buffer becomes a blob: what it begins with is kept free for the head of one. NULL: it is too long. */
static struct blob *blob_of_buffer(struct rdb_buffer *buffer) {
    size_t len = buffer->len - sizeof(struct blob);
    if (len > UINT32_MAX) return NULL;
    struct blob *blob = (struct blob *)(void *)buffer->at;
    blob_adopt(blob, (uint32_t)len);
    *buffer = (struct rdb_buffer){0};
    return blob;
}

static struct blob *dump(const struct entry *entry, bool compress) {
    struct rdb_buffer buffer = {.compress = compress};
    struct rdb_value value = rdb_value_of(entry);
    if (rdb_reserve(&buffer, sizeof(struct blob))) buffer.len = sizeof(struct blob);
    rdb_write_dump(&buffer, &value);
    struct blob *blob = buffer.failed ? NULL : blob_of_buffer(&buffer);
    rdb_buffer_deinit(&buffer);
    return blob;
}

/* The deadline is no part of it. */
static void dump_command(struct call *call) {
    struct key_place place = keyspace_for(call, 1);
    struct entry *entry = call_read(call, &place);
    if (!entry) {
        reply_null(call->reply);
        return;
    }
    struct blob *blob = dump(entry, call->domain->compresses_dumps);
    if (!blob) {
        call_error_memory(call);
        return;
    }
    reply_bulk(call->reply, blob_bytes(blob));
    blob_put(blob);
}

void dump_bind(void) {
    command_bind("dump", dump_command);
}
