/* Logs against libFuzzer: whatever the bytes, what is read is inside of them and in order, it is the same however a disk gives it, and
 * what is left when the torn end is cut off is whole and has the same commands. Nothing is looked at beyond its end, and nothing
 * is left behind, also when memory runs out at any point.
 *
 * An input is two bytes of settings, then pieces: a byte that says what it is, one of length, and bytes. So mutations get past
 * checksums, which are made right.
 */
#include "aof/log_text.h"
#include "aof/reader.h"
#include "base/assert.h"
#include "base/hash.h"
#include "base/mem.h"

enum { SETTINGS_BYTES = 2, FUZZ_NO_MEMORY = 1, FUZZ_SYNCED = 2, FUZZ_UNTIL = 4 };
enum piece { PIECE_RAW, PIECE_CHUNK, PIECE_WORDS, PIECE_AHEAD, PIECE_FLIP, PIECE_ZEROS, PIECES };

struct outcome {
    enum aof_read result;
    uint64_t whole, error_offset, commands, sum;
};

/* ---- Files --------------------------------------------------------------------------------------- */

/* A command whose words are what blanks part. */
static void add_words(struct log_text *text, const char *at, size_t len) {
    char line[32];
    size_t count = 1;
    for (size_t i = 0; i < len; i++) count += at[i] == ' ';
    log_text_add(text, line, (size_t)sprintf(line, "*%zu\r\n", count));
    for (size_t i = 0, start = 0; i <= len; i++) {
        if (i < len && at[i] != ' ') continue;
        log_text_add(text, line, (size_t)sprintf(line, "$%zu\r\n", i - start));
        log_text_add(text, at + start, i - start);
        log_text_add(text, "\r\n", 2);
        start = i + 1;
    }
}

static void add_chunk(struct log_text *text, const char *at, size_t len, uint64_t synced) {
    struct log_text inner = {0};
    if (len > 0 && at[0] == '*') log_text_add(&inner, at, len);
    else add_words(&inner, at, len);
    log_text_chunk_of(text, &inner, synced);
    log_text_deinit(&inner);
}

static void add_piece(struct log_text *text, uint8_t kind, const char *at, size_t len,
                      bool is_synced) {
    static const char zeros[256];
    switch (kind % PIECES) {
    case PIECE_RAW:
        log_text_add(text, at, len);
        break;
    case PIECE_CHUNK:
        add_chunk(text, at, len, is_synced ? text->len : 0);
        break;
    case PIECE_WORDS:
        add_words(text, at, len);
        break;
    case PIECE_AHEAD:
        log_text_ahead(text, (int)(len % 8));
        break;
    case PIECE_FLIP:
        if (len > 1 && text->len > (uint8_t)at[0])
            text->at[text->len - 1 - (uint8_t)at[0]] ^= at[1];
        break;
    case PIECE_ZEROS:
        log_text_add(text, zeros, len);
        break;
    }
}

static void make_text(struct log_text *text, const uint8_t *data, size_t size, bool is_synced) {
    log_text_init(text);
    for (size_t i = 0; i + 2 <= size;) {
        size_t len = data[i + 1];
        if (len > size - i - 2) len = size - i - 2;
        add_piece(text, data[i], (const char *)data + i + 2, len, is_synced);
        i += 2 + len;
    }
}

/* ---- What is read -------------------------------------------------------------------------------- */

static const struct hash_seed seed = {.a = 3, .b = 9};

static void look_at(const struct aof_reader *reader, const struct aof_batch *batch,
                    struct outcome *out, uint64_t *last) {
    KRT_ASSERT(batch->count > 0 && !batch->commands[0].joined);
    for (uint32_t i = 0; i < batch->count; i++) {
        const struct aof_command *command = &batch->commands[i];
        KRT_ASSERT(command->argc > 0 && command->first + command->argc <= batch->arg_count);
        KRT_ASSERT(command->offset < reader->size &&
                   (out->commands == 0 || command->offset > *last));
        *last = command->offset;
        out->commands++;
        for (uint32_t w = 0; w < command->argc; w++) {
            struct bytes word = batch->args[command->first + w];
            KRT_ASSERT(word.at >= batch->data && word.at + word.len <= batch->data + batch->len);
            out->sum = out->sum * 31 + hash_bytes(&seed, word.at, word.len) + command->joined;
        }
    }
}

static struct outcome read_text(struct log_text *text, int64_t until) {
    struct outcome out = {0};
    struct aof_batch batch = {0};
    struct aof_reader reader;
    uint64_t last = 0;
    KRT_ASSERT(aof_reader_open(&reader, &text->disk, "x", 0) == 0);
    reader.until = until;
    while ((out.result = aof_reader_next(&reader, &batch)) == AOF_READ_SOME)
        look_at(&reader, &batch, &out, &last);
    KRT_ASSERT(reader.whole <= reader.size && reader.error_offset <= reader.size);
    KRT_ASSERT(out.result != AOF_READ_FAILED);
    out.whole = reader.whole;
    out.error_offset = reader.error_offset;
    aof_batch_deinit(&batch);
    aof_reader_close(&reader);
    return out;
}

static void check_same(const struct outcome *a, const struct outcome *b) {
    KRT_ASSERT(a->result == b->result && a->whole == b->whole);
    KRT_ASSERT(a->error_offset == b->error_offset);
    KRT_ASSERT(a->commands == b->commands && a->sum == b->sum);
}

static void check_cut(struct log_text *text, const struct outcome *out, int64_t until) {
    size_t len = text->len;
    text->len = out->whole;
    struct outcome cut = read_text(text, until);
    KRT_ASSERT(cut.result == AOF_READ_END && cut.whole == text->len);
    KRT_ASSERT(cut.commands == out->commands && cut.sum == out->sum);
    text->len = len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct log_text text;
    if (size < SETTINGS_BYTES) return 0;
    int64_t until = data[0] & FUZZ_UNTIL ? 1000 : INT64_MAX;
    make_text(&text, data + SETTINGS_BYTES, size - SETTINGS_BYTES, data[0] & FUZZ_SYNCED);
    if (data[0] & FUZZ_NO_MEMORY) mem_fail_after(1 + data[1] % 16);
    struct outcome out = read_text(&text, until);
    mem_fail_after(0);
    if (out.result != AOF_READ_NO_MEMORY) {
        text.read_max = 1 + data[1] % 64;
        struct outcome slow = read_text(&text, until);
        check_same(&out, &slow);
        text.read_max = 0;
        if (out.result != AOF_READ_DAMAGED) check_cut(&text, &out, until);
    }
    log_text_deinit(&text);
    return 0;
}
