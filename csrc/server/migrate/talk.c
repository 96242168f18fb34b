/* What is said to the other server: AUTH, SELECT, a RESTORE for each key, all in one go; then the replies are read. */
#include <errno.h>
#include <stdio.h>

#include "plat/clock.h"
#include "plat/dial.h"
#include "server/migrate/migrate.h"
#include "shard/fabric.h"

enum { CHUNK_BYTES = 1 << 16, LINE_MAX = 1024, INPUT_BYTES = 4096, HOST_TEXT_MAX = 256 };

struct talk {
    struct migration *job;
    int fd, stop;
    int failure; /* negative errno value of the socket; 0: it has ended */
    bool authenticates, selects;
    bool answered; /* a key's reply has come */
    char input[INPUT_BYTES];
    size_t begin, end;
};

static uint64_t deadline_of(const struct talk *talk) {
    return clock_monotonic_ns() + (uint64_t)talk->job->options.timeout_ms * 1000000;
}

/* ---- Said ------------------------------------------------------------------------------------ */

static bool send_chunk(struct rdb_buffer *buffer) {
    struct talk *talk = buffer->context;
    talk->failure = dial_send(talk->fd, buffer->at, buffer->len, talk->stop, deadline_of(talk));
    buffer->len = 0;
    return talk->failure == 0;
}

static void say_count(struct rdb_buffer *buffer, char kind, uint64_t count) {
    char text[32];
    int len = snprintf(text, sizeof text, "%c%llu\r\n", kind, (unsigned long long)count);
    rdb_write(buffer, text, (size_t)len);
}

static void say_word(struct rdb_buffer *buffer, const char *at, size_t len) {
    say_count(buffer, '$', len);
    rdb_write(buffer, at, len);
    rdb_write(buffer, "\r\n", 2);
}

static void say_bytes(struct rdb_buffer *buffer, struct bytes bytes) {
    say_word(buffer, bytes.at, bytes.len);
}

static void say_number(struct rdb_buffer *buffer, int64_t number) {
    char text[20];
    say_word(buffer, text, bytes_from_int64(text, number));
}

static void say_greeting(struct rdb_buffer *buffer, const struct talk *talk) {
    const struct migrate_options *options = &talk->job->options;
    if (talk->authenticates) {
        say_count(buffer, '*', options->username.at ? 3 : 2);
        say_bytes(buffer, BYTES_LITERAL("AUTH"));
        if (options->username.at) say_bytes(buffer, options->username);
        say_bytes(buffer, options->password);
    }
    if (talk->selects) {
        say_count(buffer, '*', 2);
        say_bytes(buffer, BYTES_LITERAL("SELECT"));
        say_number(buffer, options->target_db);
    }
}

/* At least a millisecond, or 0: for ever. */
static int64_t time_to_live(const struct migration *job, const struct migrating *key) {
    enum { US_PER_MS = 1000 };
    int64_t now_ms = virtual_clock_wall_us(&job->fabric->domain.clock) / US_PER_MS;
    if (key->deadline_ms == 0) return 0;
    int64_t left_ms = key->deadline_ms - now_ms;
    return left_ms > 1 ? left_ms : 1;
}

static void say_key(struct rdb_buffer *buffer, const struct migration *job,
                    const struct migrating *key) {
    bool replace = job->options.replace;
    if (key->payload.len == 0) {
        say_count(buffer, '*', 2);
        say_bytes(buffer, BYTES_LITERAL("DEL"));
        say_bytes(buffer, key->key);
        return;
    }
    say_count(buffer, '*', replace ? 5 : 4);
    say_bytes(buffer, BYTES_LITERAL("RESTORE"));
    say_bytes(buffer, key->key);
    say_number(buffer, time_to_live(job, key));
    say_word(buffer, key->payload.at, key->payload.len);
    if (replace) say_bytes(buffer, BYTES_LITERAL("REPLACE"));
}

static bool say_all(struct talk *talk) {
    struct migration *job = talk->job;
    struct rdb_buffer buffer = {.limit = CHUNK_BYTES, .spill = send_chunk, .context = talk};
    talk->failure = -ENOMEM;
    say_greeting(&buffer, talk);
    for (uint32_t i = 0; i < job->count && !buffer.failed; i++)
        if (job->keys[i].state == MIGRATING_SENDS) say_key(&buffer, job, &job->keys[i]);
    bool said = !buffer.failed && send_chunk(&buffer);
    rdb_buffer_deinit(&buffer);
    return said;
}

/* ---- Heard ----------------------------------------------------------------------------------- */

static bool hear_more(struct talk *talk, uint64_t deadline_ns) {
    ssize_t got = dial_receive(talk->fd, talk->input, INPUT_BYTES, talk->stop, deadline_ns);
    talk->failure = got < 0 ? (int)got : 0;
    talk->begin = 0;
    talk->end = got > 0 ? (size_t)got : 0;
    return got > 0;
}

/* A line without its end; what is too long for it is cut. */
static bool hear_line(struct talk *talk, char line[LINE_MAX]) {
    size_t len = 0;
    uint64_t deadline_ns = deadline_of(talk);
    for (;;) {
        if (talk->begin == talk->end && !hear_more(talk, deadline_ns)) return false;
        char next = talk->input[talk->begin++];
        if (next == '\n') break;
        if (len < LINE_MAX - 1) line[len++] = next;
    }
    if (len > 0 && line[len - 1] == '\r') len--;
    line[len] = '\0';
    return true;
}

/* What is wrong with the greeting is wrong with every key. */
static void note_reply(struct migration *job, struct migrating *key, const char *greeting,
                       const char *line) {
    const char *error = greeting[0] == '-' ? greeting : line;
    if (error[0] == '-') {
        migration_fail(job, "ERR Target instance replied with error: ", error + 1);
        key->state = MIGRATING_FINISHED;
    } else {
        key->state = MIGRATING_ARRIVED;
    }
}

static bool hear_greeting(struct talk *talk, char greeting[LINE_MAX]) {
    char line[LINE_MAX];
    greeting[0] = '\0';
    if (talk->authenticates && !hear_line(talk, greeting)) return false;
    if (talk->selects && !hear_line(talk, line)) return false;
    if (talk->selects && greeting[0] != '-') memcpy(greeting, line, LINE_MAX);
    return true;
}

static bool hear_all(struct talk *talk) {
    struct migration *job = talk->job;
    char greeting[LINE_MAX], line[LINE_MAX];
    if (!hear_greeting(talk, greeting)) return false;
    for (uint32_t i = 0; i < job->count; i++) {
        if (job->keys[i].state != MIGRATING_SENDS) continue;
        if (!hear_line(talk, line)) return false;
        note_reply(job, &job->keys[i], greeting, line);
        talk->answered = true;
    }
    return true;
}

/* ---- Both ------------------------------------------------------------------------------------ */

static bool dial(struct talk *talk) {
    const struct migrate_options *options = &talk->job->options;
    char host[HOST_TEXT_MAX];
    (void)snprintf(host, sizeof host, "%.*s", (int)options->host.len, options->host.at);
    talk->fd = dial_tcp(host, options->port, talk->stop, deadline_of(talk));
    return talk->fd >= 0;
}

/* NULL: all was said and heard; else how the socket failed. */
static const char *try_once(struct talk *talk) {
    if (!dial(talk)) {
        talk->failure = talk->fd;
        bool at_once = talk->fd == -EADDRNOTAVAIL || talk->fd == -ETIMEDOUT;
        return at_once ? "connecting to the client" : "writing to target instance";
    }
    if (!say_all(talk)) return "writing to target instance";
    return hear_all(talk) ? NULL : "reading to target instance";
}

/* Nothing has been done there as far as anybody knows, and it did not take too long. */
static bool may_try_again(const struct talk *talk) {
    int failure = talk->failure;
    return !talk->answered && failure != -ETIMEDOUT && failure != -ECANCELED &&
           failure != -EADDRNOTAVAIL && failure != -ENOMEM;
}

int migrate_talk(struct migration *job, int stop) {
    struct talk talk = {.job = job, .fd = -1, .stop = stop};
    talk.authenticates = job->options.password.at;
    talk.selects = job->options.target_db != -1;
    const char *failed = try_once(&talk);
    if (failed && may_try_again(&talk)) {
        if (talk.fd >= 0) dial_close(talk.fd);
        talk.begin = talk.end = 0;
        failed = try_once(&talk);
    }
    if (failed) migration_fail(job, "IOERR error or timeout ", failed);
    return talk.fd;
}
