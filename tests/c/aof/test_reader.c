/* Logs of ours and of Redis, whole, cut anywhere, and damaged. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "aof/log_text.h"
#include "aof/reader.h"
#include "base/mem.h"

/* What was read, as words with blanks and semicolons; [ begins what belongs together. */
struct outcome {
    enum aof_read result;
    char text[4096];
    size_t len;
    struct aof_reader reader; /* closed */
};

static void write_command(struct outcome *out, const struct aof_batch *batch, uint32_t i) {
    const struct aof_command *command = &batch->commands[i];
    bool begins = i + 1 < batch->count && batch->commands[i + 1].joined && !command->joined;
    if (begins) out->text[out->len++] = '[';
    for (uint32_t w = 0; w < command->argc; w++) {
        struct bytes word = batch->args[command->first + w];
        out->len += (size_t)snprintf(out->text + out->len, sizeof out->text - out->len, "%s%.*s",
                                     w ? " " : "", word.len < 32 ? (int)word.len : 32, word.at);
    }
    bool ends = command->joined && (i + 1 == batch->count || !batch->commands[i + 1].joined);
    if (ends) out->text[out->len++] = ']';
    out->text[out->len++] = ';';
    out->text[out->len] = 0;
}

static void read_text(struct log_text *text, struct outcome *out) {
    struct aof_batch batch = {0};
    out->len = 0;
    out->text[0] = 0;
    assert_int_equal(aof_reader_open(&out->reader, &text->disk, "x", 0), 0);
    while ((out->result = aof_reader_next(&out->reader, &batch)) == AOF_READ_SOME) {
        assert_true(batch.count > 0);
        for (uint32_t i = 0; i < batch.count && out->len < 3000; i++) write_command(out, &batch, i);
    }
    aof_batch_deinit(&batch);
    aof_reader_close(&out->reader);
}

static void test_whole(void **state) {
    (void)state;
    struct log_text text;
    struct outcome out;
    log_text_init(&text);
    log_text_chunk(&text, "SELECT 0;SET a 1;MULTI;SET b 2;DEL a;EXEC", 0);
    log_text_chunk(&text, "DEL b", 0);
    log_text_commands(&text, "SET foreign 1;MULTI;INCR x;EXEC;EXEC");
    log_text_add(&text, "#TS:1234\r\n", 10);
    log_text_commands(&text, "SET late 1");
    for (text.read_max = 0; text.read_max < 8; text.read_max++) {
        read_text(&text, &out);
        assert_int_equal(out.result, AOF_READ_END);
        assert_string_equal(out.text, "SELECT 0;SET a 1;[SET b 2;DEL a];DEL b;SET foreign 1;"
                                      "INCR x;SET late 1;");
        assert_int_equal(out.reader.timestamp, 1234);
        assert_int_equal(out.reader.whole, text.len);
    }
    log_text_deinit(&text);
}

/* At every byte: of a chunk all or nothing, of Redis's commands what is whole. */
static void test_cut(void **state) {
    (void)state;
    struct log_text text;
    struct outcome out;
    log_text_init(&text);
    log_text_chunk(&text, "SET a 1", 0);
    size_t first = text.len;
    log_text_chunk(&text, "SET b 1;SET c 1", first);
    size_t second = text.len;
    log_text_commands(&text, "SET d 1");
    size_t third = text.len;
    log_text_commands(&text, "MULTI;SET e 1;SET f 1;EXEC");
    size_t all = text.len;
    for (text.len = 0; text.len <= all; text.len++) {
        size_t whole = text.len == all      ? all
                       : text.len >= third  ? third
                       : text.len >= second ? second
                       : text.len >= first  ? first
                                            : 0;
        read_text(&text, &out);
        assert_int_equal(out.result, text.len == whole ? AOF_READ_END : AOF_READ_TORN);
        assert_int_equal(out.reader.whole, whole);
        assert_string_equal(out.text, whole == all      ? "SET a 1;SET b 1;SET c 1;SET d 1;"
                                                          "[SET e 1;SET f 1];"
                                      : whole == third  ? "SET a 1;SET b 1;SET c 1;SET d 1;"
                                      : whole == second ? "SET a 1;SET b 1;SET c 1;"
                                      : whole == first  ? "SET a 1;"
                                                        : "");
    }
    text.len = all;
    log_text_deinit(&text);
}

/* A bit of a chunk changes: torn if nobody says that it was synced, else damage. */
static void test_damage(void **state) {
    (void)state;
    struct outcome out;
    for (int synced = 0; synced < 2; synced++) {
        struct log_text text;
        log_text_init(&text);
        log_text_chunk(&text, "SET a 1", 0);
        size_t first = text.len;
        log_text_chunk(&text, "SET b 1", first);
        size_t second = text.len;
        log_text_chunk(&text, "SET c 1", synced ? second : first);
        for (size_t i = first; i < second; i++) {
            text.at[i] ^= 1;
            read_text(&text, &out);
            text.at[i] ^= 1;
            if (i == first || i == first + 1) continue; /* no annotation of ours any more */
            assert_int_equal(out.result, synced ? AOF_READ_DAMAGED : AOF_READ_TORN);
            assert_int_equal(out.reader.error_offset, first);
            assert_string_equal(out.text, "SET a 1;");
        }
        memset(text.at + first, 0, second - first);
        read_text(&text, &out);
        assert_int_equal(out.result, synced ? AOF_READ_DAMAGED : AOF_READ_TORN);
        assert_int_equal(out.reader.whole, first);
        log_text_deinit(&text);
    }
}

static void test_written_ahead(void **state) {
    (void)state;
    struct log_text text;
    struct outcome out;
    log_text_init(&text);
    log_text_chunk(&text, "SET a 1", 0);
    size_t first = text.len;
    log_text_ahead(&text, 3);
    size_t block = text.len;
    log_text_ahead(&text, 2);
    size_t all = text.len;
    for (text.len = first; text.len <= all; text.len++) {
        read_text(&text, &out);
        /* A first line that is cut says nothing. */
        bool is_cut = text.len > first && text.len < first + AOF_ALIGN;
        assert_int_equal(out.result, is_cut ? AOF_READ_TORN : AOF_READ_END);
        assert_int_equal(out.reader.whole, first);
        assert_string_equal(out.text, "SET a 1;");
    }
    text.len = block; /* Redis has appended */
    log_text_commands(&text, "SET b 1");
    read_text(&text, &out);
    assert_int_equal(out.result, AOF_READ_END);
    assert_string_equal(out.text, "SET a 1;SET b 1;");
    assert_int_equal(out.reader.whole, text.len);
    text.len = block; /* the first of two chunks was not written */
    log_text_chunk(&text, "SET b 1", first);
    read_text(&text, &out);
    assert_int_equal(out.result, AOF_READ_TORN);
    assert_int_equal(out.reader.whole, first);
    text.len = block; /* the same, but it was synced */
    log_text_chunk(&text, "SET b 1", block);
    read_text(&text, &out);
    assert_int_equal(out.result, AOF_READ_DAMAGED);
    assert_int_equal(out.reader.error_offset, first);
    text.at[first + AOF_ALIGN] = '*'; /* the rest of a chunk whose beginning was not written */
    read_text(&text, &out);
    assert_int_equal(out.result, AOF_READ_DAMAGED);
    log_text_deinit(&text);
}

static void test_foreign_forms(void **state) {
    (void)state;
    static const struct {
        const char *text;
        enum aof_read result;
        uint64_t offset;
    } cases[] = {
        {"*1\r\n$4\r\nPING\r\nhello", AOF_READ_DAMAGED, 14},
        {"*0\r\n", AOF_READ_DAMAGED, 4},
        {"*-1\r\n", AOF_READ_DAMAGED, 0},
        {"*1\n$4\r\nPING\r\n", AOF_READ_DAMAGED, 0},
        {"*1\r\n$4\r\nPINGxx", AOF_READ_DAMAGED, 8},
        {"*1\r\n$-1\r\n", AOF_READ_DAMAGED, 4},
        {"*1\r\n+OK\r\n", AOF_READ_DAMAGED, 4},
        {"*99999999999\r\n", AOF_READ_DAMAGED, 0},
        {"*2\r\n$4294967296\r\n", AOF_READ_DAMAGED, 4},
        {"*2\r\n$4294967295\r\nx", AOF_READ_TORN, 0},
        {"*2\r\n$3\r\nGET", AOF_READ_TORN, 0},
        {"#TS:12", AOF_READ_TORN, 0},
        {"\n", AOF_READ_DAMAGED, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct log_text text;
        struct outcome out;
        log_text_init(&text);
        log_text_add(&text, cases[i].text, strlen(cases[i].text));
        read_text(&text, &out);
        assert_int_equal(out.result, cases[i].result);
        assert_int_equal(out.reader.error_offset, cases[i].offset);
        log_text_deinit(&text);
    }
}

/* More than a block, in chunks and in words that are longer than one. */
static void test_large(void **state) {
    (void)state;
    enum { LARGE = 1 << 20 };
    struct log_text text, inner = {0};
    struct outcome out;
    char *value = malloc(LARGE);
    memset(value, 'v', LARGE);
    log_text_init(&text);
    log_text_chunk(&text, "SET a 1", 0);
    for (int foreign = 0; foreign < 2; foreign++) {
        char line[64];
        struct log_text *to = foreign ? &text : &inner;
        log_text_add(to, line,
                     (size_t)sprintf(line, "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$%d\r\n", LARGE));
        log_text_add(to, value, LARGE);
        log_text_add(to, "\r\n", 2);
        if (!foreign) log_text_chunk_of(&text, &inner, 0);
    }
    for (int i = 0; i < 20000; i++) log_text_commands(&text, "INCR counter");
    read_text(&text, &out);
    assert_int_equal(out.result, AOF_READ_END);
    assert_int_equal(out.reader.commands, 20003);
    mem_fail_after(5);
    read_text(&text, &out);
    mem_fail_after(0);
    assert_int_equal(out.result, AOF_READ_NO_MEMORY);
    free(value);
    free(inner.at);
    log_text_deinit(&text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole),         cmocka_unit_test(test_cut),
        cmocka_unit_test(test_damage),        cmocka_unit_test(test_written_ahead),
        cmocka_unit_test(test_foreign_forms), cmocka_unit_test(test_large),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
