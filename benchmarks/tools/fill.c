/* fill.c: writes COUNT sequential 16-byte keys (key:000000000042) with 64-byte values through one
 * pipelined connection, and checks that every reply is +OK. It keeps some batches in flight, so
 * that the server never waits.
 *
 *     fill PORT FIRST COUNT LETTER      LETTER fills the value */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BATCH = 256, BATCHES_IN_FLIGHT = 4, VALUE = 64, DIGITS = 12 };

static const char head[] = "*3\r\n$3\r\nSET\r\n$16\r\nkey:";
static const char middle[] = "\r\n$64\r\n";
static const char ok[] = "+OK\r\n";

enum {
    DIGITS_AT = sizeof head - 1,
    VALUE_AT = DIGITS_AT + DIGITS + sizeof middle - 1,
    COMMAND = VALUE_AT + VALUE + 2,
    REPLY = sizeof ok - 1,
};

struct filler {
    int fd;
    unsigned long acknowledged; /* bytes of replies seen and found right */
    char batch[BATCH][COMMAND];
};

static int connect_to(int port) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    return connect(fd, (struct sockaddr *)&address, sizeof address) < 0 ? -1 : fd;
}

static void prepare(struct filler *f, char letter) {
    for (int i = 0; i < BATCH; i++) {
        char *command = f->batch[i];
        memcpy(command, head, sizeof head - 1);
        memcpy(command + DIGITS_AT + DIGITS, middle, sizeof middle - 1);
        memset(command + VALUE_AT, letter, VALUE);
        memcpy(command + VALUE_AT + VALUE, "\r\n", 2);
    }
}

static void write_digits(char *at, unsigned long number) {
    for (int i = DIGITS - 1; i >= 0; i--, number /= 10) at[i] = (char)('0' + number % 10);
}

static bool send_batch(struct filler *f, unsigned long first, unsigned long commands) {
    const char *at = f->batch[0];
    size_t left = commands * COMMAND;
    for (unsigned long i = 0; i < commands; i++) write_digits(f->batch[i] + DIGITS_AT, first + i);
    while (left > 0) {
        ssize_t n = send(f->fd, at, left, MSG_NOSIGNAL);
        if (n <= 0) return false;
        at += n;
        left -= (size_t)n;
    }
    return true;
}

static bool check(struct filler *f, const char *data, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (data[i] != ok[f->acknowledged % REPLY]) {
            fprintf(stderr, "fill: instead of +OK: %.*s\n", (int)(n - i), data + i);
            return false;
        }
        f->acknowledged++;
    }
    return true;
}

/* Reads until `commands` of all that was ever sent are acknowledged. */
static bool await(struct filler *f, unsigned long commands) {
    char data[16 * 1024];
    while (f->acknowledged < commands * REPLY) {
        ssize_t n = recv(f->fd, data, sizeof data, 0);
        if (n <= 0 || !check(f, data, (size_t)n)) return false;
    }
    return true;
}

static bool fill(struct filler *f, unsigned long first, unsigned long count) {
    const unsigned long window = (unsigned long)BATCH * BATCHES_IN_FLIGHT;
    for (unsigned long sent = 0; sent < count;) {
        unsigned long commands = count - sent < BATCH ? count - sent : BATCH;
        if (!send_batch(f, first + sent, commands)) return false;
        sent += commands;
        if (sent > window && !await(f, sent - window)) return false;
    }
    return await(f, count);
}

int main(int argc, char **argv) {
    static struct filler filler;
    if (argc != 5) {
        fprintf(stderr, "usage: fill PORT FIRST COUNT LETTER\n");
        return 2;
    }
    filler.fd = connect_to(atoi(argv[1]));
    if (filler.fd < 0) {
        perror("fill: connect");
        return 1;
    }
    prepare(&filler, argv[4][0]);
    bool done = fill(&filler, strtoul(argv[2], NULL, 10), strtoul(argv[3], NULL, 10));
    if (!done) fprintf(stderr, "fill: stopped after %lu replies\n", filler.acknowledged / REPLY);
    close(filler.fd);
    return done ? 0 : 1;
}
