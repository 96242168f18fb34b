/* The manifest's text is read as Redis reads it: lines of words, in quotes if need be; a line that begins with # is none. */
#include "aof/manifest.h"

#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "resp/words.h"

enum { LINE_MAX_BYTES = 1024, WORDS_MAX = 32 };

/* ---- Files -------------------------------------------------------------------------------------- */

void aof_manifest_deinit(struct aof_manifest *manifest) {
    for (uint32_t i = 0; i < manifest->count; i++) mem_free(NULL, manifest->files[i].name);
    mem_free(NULL, manifest->files);
    *manifest = (struct aof_manifest){0};
}

static char *copy_name(const char *name) {
    size_t size = strlen(name) + 1;
    char *copy = mem_alloc(NULL, size);
    return copy ? memcpy(copy, name, size) : NULL;
}

static bool reserve(struct aof_manifest *manifest) {
    if (manifest->count < manifest->capacity) return true;
    uint32_t capacity = manifest->capacity ? manifest->capacity * 2 : 4;
    void *grown = mem_realloc(NULL, manifest->files, capacity * sizeof *manifest->files);
    if (!grown) return false;
    manifest->files = grown;
    manifest->capacity = capacity;
    return true;
}

/* Redis writes the base, then history, then incremental files. */
static uint32_t place_of(const struct aof_manifest *manifest, enum aof_kind kind) {
    uint32_t at = manifest->count;
    if (kind == AOF_BASE) return 0;
    if (kind == AOF_HISTORY)
        while (at > 0 && manifest->files[at - 1].kind == AOF_INCR) at--;
    return at;
}

static bool insert(struct aof_manifest *manifest, const struct aof_file *file) {
    if (!reserve(manifest)) return false;
    uint32_t at = place_of(manifest, file->kind);
    struct aof_file *place = manifest->files + at;
    memmove(place + 1, place, (manifest->count - at) * sizeof *place);
    *place = *file;
    manifest->count++;
    uint64_t *highest = file->kind == AOF_BASE ? &manifest->base_seq : &manifest->incr_seq;
    if (file->kind != AOF_HISTORY && file->seq > *highest) *highest = file->seq;
    return true;
}

bool aof_manifest_add(struct aof_manifest *manifest, const char *name, uint64_t seq,
                      enum aof_kind kind) {
    struct aof_file file = {copy_name(name), seq, AOF_WHOLE, kind};
    if (file.name && insert(manifest, &file)) return true;
    mem_free(NULL, file.name);
    return false;
}

bool aof_manifest_copy(const struct aof_manifest *manifest, struct aof_manifest *out) {
    *out = (struct aof_manifest){0};
    for (uint32_t i = 0; i < manifest->count; i++) {
        struct aof_file file = manifest->files[i];
        file.name = copy_name(file.name);
        if (!file.name || !reserve(out)) {
            mem_free(NULL, file.name);
            aof_manifest_deinit(out);
            return false;
        }
        out->files[out->count++] = file;
    }
    out->base_seq = manifest->base_seq;
    out->incr_seq = manifest->incr_seq;
    return true;
}

struct aof_file *aof_manifest_base(const struct aof_manifest *manifest) {
    struct aof_file *first = manifest->files;
    return manifest->count && first->kind == AOF_BASE ? first : NULL;
}

struct aof_file *aof_manifest_last_incr(const struct aof_manifest *manifest) {
    if (manifest->count == 0) return NULL;
    struct aof_file *last = manifest->files + manifest->count - 1;
    return last->kind == AOF_INCR ? last : NULL;
}

void aof_manifest_retire(struct aof_manifest *manifest, uint64_t incr_seq) {
    for (uint32_t i = 0; i < manifest->count; i++) {
        struct aof_file *file = manifest->files + i;
        if (file->kind == AOF_BASE || (file->kind == AOF_INCR && file->seq < incr_seq))
            file->kind = AOF_HISTORY;
    }
}

void aof_manifest_drop_history(struct aof_manifest *manifest) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < manifest->count; i++) {
        if (manifest->files[i].kind == AOF_HISTORY) mem_free(NULL, manifest->files[i].name);
        else manifest->files[kept++] = manifest->files[i];
    }
    manifest->count = kept;
}

/* ---- Reading ------------------------------------------------------------------------------------ */

struct words {
    char text[LINE_MAX_BYTES + WORDS_MAX];
    const char *at[WORDS_MAX];
    uint32_t count;
};

/* False: the quotes do not match, or there are too many. */
static bool split(const char *at, const char *end, struct words *words) {
    struct bytes line = bytes_of(at, (uint64_t)(end - at));
    char *out = words->text;
    uint32_t len;
    int found;
    words->count = 0;
    while ((found = words_next_quoted(&line, out, &len)) > 0) {
        if (words->count == WORDS_MAX) return false;
        words->at[words->count++] = out;
        out[len] = 0;
        out += len + 1;
    }
    return found == 0;
}

static bool word_is(const char *word, const char *lower) {
    return bytes_is(bytes_of(word, strlen(word)), lower);
}

static bool read_number(const char *word, uint64_t *out) {
    int64_t number;
    if (!bytes_to_int64(bytes_of(word, strlen(word)), &number) || number < 0) return false;
    *out = (uint64_t)number;
    return true;
}

/* Pairs of a name and a value; those of names that are not known are passed over. */
static const char *read_file(const struct words *words, struct aof_file *file) {
    static const char wrong[] = "Invalid AOF manifest file format";
    *file = (struct aof_file){.size = AOF_WHOLE};
    if (words->count < 6 || words->count % 2) return wrong;
    for (uint32_t i = 0; i < words->count; i += 2) {
        const char *name = words->at[i], *value = words->at[i + 1];
        if (word_is(name, "file")) file->name = (char *)(uintptr_t)value;
        else if (word_is(name, "seq") && !read_number(value, &file->seq)) return wrong;
        else if (word_is(name, "type")) file->kind = (enum aof_kind)(unsigned char)value[0];
        else if (word_is(name, "size") && !read_number(value, &file->size)) return wrong;
    }
    if (!file->name || !*file->name || !file->seq || !file->kind) return wrong;
    if (strchr(file->name, '/')) return "File can't be a path, just a filename";
    return NULL;
}

static const char *check_order(const struct aof_manifest *manifest, const struct aof_file *file) {
    const struct aof_file *last = aof_manifest_last_incr(manifest);
    switch (file->kind) {
    case AOF_HISTORY:
        return NULL;
    case AOF_BASE:
        return aof_manifest_base(manifest) ? "Found duplicate base file information" : NULL;
    case AOF_INCR:
        return last && file->seq <= last->seq ? "Found a non-monotonic sequence number" : NULL;
    }
    return "Unknown AOF file type";
}

static const char *read_line(const char *at, const char *end, struct aof_manifest *out) {
    struct words words;
    struct aof_file file;
    if (at == end) return "Invalid AOF manifest file format";
    if (end - at >= LINE_MAX_BYTES) return "The AOF manifest file contains too long line";
    if (*at == '#') return NULL;
    if (!split(at, end, &words)) return "Invalid AOF manifest file format";
    const char *wrong = read_file(&words, &file);
    if (!wrong) wrong = check_order(out, &file);
    if (wrong) return wrong;
    file.name = copy_name(file.name);
    if (file.name && insert(out, &file)) return NULL;
    mem_free(NULL, file.name);
    return AOF_MANIFEST_NO_MEMORY;
}

const char *aof_manifest_parse(const char *text, size_t len, struct aof_manifest *out,
                               uint32_t *line) {
    const char *end = text + len, *wrong = NULL;
    *out = (struct aof_manifest){0};
    *line = 0;
    if (len == 0) wrong = "Found an empty AOF manifest";
    while (text < end && !wrong) {
        const char *line_end = memchr(text, '\n', (size_t)(end - text));
        ++*line;
        if (!line_end) {
            wrong = "The AOF manifest file contains too long line";
        } else {
            wrong = read_line(
                text, line_end > text && line_end[-1] == '\r' ? line_end - 1 : line_end, out);
            text = line_end + 1;
        }
    }
    if (wrong) aof_manifest_deinit(out);
    return wrong;
}

/* ---- Writing ------------------------------------------------------------------------------------ */

enum { NAME_GROWS = 4, LINE_ROOM = 96 };

static bool is_plain(const char *name) {
    for (; *name; name++)
        if (*name <= ' ' || *name > '~' || strchr("\\\"'", *name)) return false;
    return true;
}

static char *write_name(char *at, const char *name) {
    if (is_plain(name)) return at + sprintf(at, "%s", name);
    *at++ = '"';
    for (; *name; name++) {
        unsigned char c = (unsigned char)*name;
        if (c == '"' || c == '\\') at += sprintf(at, "\\%c", c);
        else if (c >= ' ' && c <= '~') *at++ = (char)c;
        else at += sprintf(at, "\\x%02x", c);
    }
    *at++ = '"';
    return at;
}

char *aof_manifest_format(const struct aof_manifest *manifest, size_t *len) {
    size_t size = 1;
    for (uint32_t i = 0; i < manifest->count; i++)
        size += strlen(manifest->files[i].name) * NAME_GROWS + LINE_ROOM;
    char *text = mem_alloc(NULL, size), *at = text;
    if (!text) return NULL;
    for (uint32_t i = 0; i < manifest->count; i++) {
        const struct aof_file *file = manifest->files + i;
        at = write_name(at + sprintf(at, "file "), file->name);
        at += sprintf(at, " seq %llu type %c", (unsigned long long)file->seq, (int)file->kind);
        if (file->size != AOF_WHOLE)
            at += sprintf(at, " size %llu", (unsigned long long)file->size);
        *at++ = '\n';
    }
    *len = (size_t)(at - text);
    return text;
}
