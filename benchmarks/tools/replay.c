/* Plays prepared commands over many connections: replay PORT FILE
 *
 * The file, in the machine's byte order: uint32 connections, uint32 batches; per batch uint32 bytes and
 * uint32 commands; then the bytes of all batches. Connection c plays the batches c, c + connections and so
 * on, one after the other, each as soon as all replies to the one before are there.
 *
 * Prints "ready" when every connection has been answered once, and begins when it reads a byte. At the end
 * prints the number of replies, of error replies among them, and of reply bytes; RESP2.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BUFFER_BYTES = 256 * 1024, LINE_BYTES = 32, EVENTS = 64 };

struct batch {
    uint32_t bytes, commands;
};

struct connection {
    int fd;
    uint32_t next; /* batch to play when this one is answered */
    const char *unsent;
    size_t unsent_bytes;
    uint32_t awaited; /* replies */
    int64_t elements; /* of the reply that is being read, still to come */
    uint64_t skip;    /* bytes of a bulk string, still to come */
    char line[LINE_BYTES];
    uint32_t line_bytes;
};

static uint32_t connection_count, batch_count;
static const struct batch *batches;
static const char **payloads;
static struct connection *connections;
static uint64_t replies, errors, bytes_read;

static void fail(const char *what) {
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(1);
}

/* ---- Sending ---------------------------------------------------------------------------------- */

static void send_rest(struct connection *connection) {
    while (connection->unsent_bytes > 0) {
        ssize_t sent = send(connection->fd, connection->unsent, connection->unsent_bytes, 0);
        if (sent < 0 && errno == EAGAIN) return;
        if (sent < 0) fail("send");
        connection->unsent += sent;
        connection->unsent_bytes -= (size_t)sent;
    }
}

/* False: it has played all of its batches. */
static int play_next(struct connection *connection) {
    if (connection->next >= batch_count) return 0;
    connection->unsent = payloads[connection->next];
    connection->unsent_bytes = batches[connection->next].bytes;
    connection->awaited = batches[connection->next].commands;
    connection->next += connection_count;
    send_rest(connection);
    return 1;
}

/* ---- Reading ---------------------------------------------------------------------------------- */

/* A line is complete: a header, or a whole element. */
static void take_line(struct connection *connection) {
    long long number = atoll(connection->line + 1);
    char type = connection->line[0];
    connection->line_bytes = 0;
    connection->elements--;
    if (type == '*' && number > 0) connection->elements += number;
    else if (type == '$' && number >= 0) connection->skip = (uint64_t)number + 2;
    else if (type == '-') errors++;
}

static void take_reply_end(struct connection *connection) {
    if (connection->elements > 0 || connection->skip > 0) return;
    connection->elements = 1;
    connection->awaited--;
    replies++;
}

/* Lines longer than the buffer keep their beginning, which is all that is looked at. */
static void take_byte(struct connection *connection, char byte) {
    if (byte == '\n') {
        connection
            ->line[connection->line_bytes < LINE_BYTES ? connection->line_bytes : LINE_BYTES - 1] =
            0;
        take_line(connection);
        take_reply_end(connection);
    } else if (connection->line_bytes < LINE_BYTES - 1) {
        connection->line[connection->line_bytes++] = byte;
    }
}

static void take(struct connection *connection, const char *at, size_t count) {
    const char *end = at + count;
    while (at < end) {
        if (connection->skip > 0) {
            size_t left = (size_t)(end - at);
            size_t part = connection->skip < left ? connection->skip : left;
            at += part;
            connection->skip -= part;
            take_reply_end(connection);
        } else {
            take_byte(connection, *at++);
        }
    }
}

/* False: it has nothing more to play. */
static int receive(struct connection *connection, char *buffer) {
    ssize_t count = recv(connection->fd, buffer, BUFFER_BYTES, 0);
    if (count < 0 && errno == EAGAIN) return 1;
    if (count <= 0) fail("recv");
    bytes_read += (uint64_t)count;
    take(connection, buffer, (size_t)count);
    return connection->awaited > 0 || play_next(connection);
}

/* ---- Everything ------------------------------------------------------------------------------- */

static void load(const char *path) {
    struct stat status;
    int fd = open(path, O_RDONLY);
    if (fd < 0 || fstat(fd, &status) < 0) fail(path);
    const char *at =
        mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
    if (at == MAP_FAILED) fail("mmap");
    memcpy(&connection_count, at, 4);
    memcpy(&batch_count, at + 4, 4);
    batches = (const struct batch *)(at + 8);
    payloads = calloc(batch_count, sizeof *payloads);
    connections = calloc(connection_count, sizeof *connections);
    if (!payloads || !connections) fail("calloc");
    const char *payload = at + 8 + (size_t)batch_count * sizeof *batches;
    for (uint32_t i = 0; i < batch_count; i++) {
        payloads[i] = payload;
        payload += batches[i].bytes;
    }
}

static int open_connection(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0) fail("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

/* The server has accepted it, and whatever that costs it is not the commands'. */
static void await_answer(int fd) {
    static const char ping[] = "PING\r\n", pong[] = "+PONG\r\n";
    char answer[sizeof pong - 1];
    if (send(fd, ping, sizeof ping - 1, 0) < 0 ||
        recv(fd, answer, sizeof answer, MSG_WAITALL) != sizeof answer)
        fail("ping");
    fcntl(fd, F_SETFL, O_NONBLOCK);
}

static uint32_t start(int poller, int port) {
    uint32_t playing = 0;
    for (uint32_t i = 0; i < connection_count; i++) {
        struct connection *connection = &connections[i];
        struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.u32 = i};
        connection->fd = open_connection(port);
        await_answer(connection->fd);
        connection->next = i;
        connection->elements = 1;
        if (epoll_ctl(poller, EPOLL_CTL_ADD, connection->fd, &event) < 0) fail("epoll_ctl");
    }
    puts("ready");
    fflush(stdout);
    (void)getchar();
    for (uint32_t i = 0; i < connection_count; i++) playing += (uint32_t)play_next(&connections[i]);
    return playing;
}

/* Edge-triggered: reads until there is nothing more. */
static int serve(struct connection *connection, char *buffer) {
    uint64_t before;
    send_rest(connection);
    do {
        before = bytes_read;
        if (connection->awaited > 0 && !receive(connection, buffer)) return 0;
    } while (bytes_read != before);
    return 1;
}

int main(int argc, char **argv) {
    static char buffer[BUFFER_BYTES];
    struct epoll_event events[EVENTS];
    if (argc != 3) {
        fprintf(stderr, "usage: replay PORT FILE\n");
        return 2;
    }
    load(argv[2]);
    int poller = epoll_create1(0);
    uint32_t playing = start(poller, atoi(argv[1]));
    while (playing > 0) {
        int count = epoll_wait(poller, events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            struct connection *connection = &connections[events[i].data.u32];
            if (connection->awaited > 0) playing -= (uint32_t)!serve(connection, buffer);
        }
    }
    printf("%llu %llu %llu\n", (unsigned long long)replies, (unsigned long long)errors,
           (unsigned long long)bytes_read);
    return 0;
}
