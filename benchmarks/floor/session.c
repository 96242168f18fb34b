#include "session.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const char ok_reply[] = "+OK\r\n";
static const char bulk_reply[] =
    "$64\r\n0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\r\n";

static struct session sessions[SESSION_MAX];

struct session *session_of(int fd) {
    return &sessions[fd];
}

struct session *session_open(int fd) {
    char *out = fd < SESSION_MAX ? malloc(SESSION_OUT_BYTES) : NULL;
    if (out == NULL) {
        close(fd);
        return NULL;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    sessions[fd] = (struct session){.fd = fd, .out = out};
    return &sessions[fd];
}

void session_close(struct session *s) {
    int fd = s->fd;
    free(s->out);
    *s = (struct session){.fd = -1};
    close(fd);
}

void session_sent(struct session *s, size_t n) {
    s->sent += n;
    if (s->sent == s->filled) {
        s->sent = 0;
        s->filled = 0;
    }
}

static bool queue_reply(struct session *s) {
    const char *reply = s->bulk ? bulk_reply : ok_reply;
    size_t size = s->bulk ? sizeof bulk_reply - 1 : sizeof ok_reply - 1;
    if (size > SESSION_OUT_BYTES - s->filled) return false;
    memcpy(s->out + s->filled, reply, size);
    s->filled += size;
    return true;
}

/* A header line has ended: its number is the count of arguments or the length of one. */
static bool end_of_header(struct session *s) {
    uint64_t number = s->number;
    s->number = 0;
    if (s->state == AT_BULK) {
        s->need = number + 2;
        s->state = IN_BODY;
        return true;
    }
    if (number == 0 || number > UINT32_MAX) return false;
    s->args = (uint32_t)number;
    s->named = false;
    s->state = AT_BULK;
    return true;
}

static bool feed_header(struct session *s, const char **at, const char *end) {
    char expected = s->state == AT_ARRAY ? '*' : '$';
    while (*at < end) {
        char c = *(*at)++;
        if (c >= '0' && c <= '9') s->number = s->number * 10 + (uint64_t)(c - '0');
        else if (c == '\n') return end_of_header(s);
        else if (c != expected && c != '\r') return false;
    }
    return true;
}

static bool feed_body(struct session *s, const char **at, const char *end) {
    size_t here = (size_t)(end - *at);
    size_t n = here < s->need ? here : (size_t)s->need;
    if (!s->named) {
        s->bulk = (**at | 0x20) == 'g';
        s->named = true;
    }
    *at += n;
    s->need -= n;
    if (s->need > 0) return true;
    s->args--;
    s->state = s->args == 0 ? AT_ARRAY : AT_BULK;
    return s->args > 0 || queue_reply(s);
}

bool session_feed(struct session *s, const char *data, size_t n) {
    const char *end = data + n;
    bool fine = true;
    while (fine && data < end)
        fine = s->state == IN_BODY ? feed_body(s, &data, end) : feed_header(s, &data, end);
    return fine;
}
