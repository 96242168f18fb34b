/* fanout.c: one publisher and many subscribers of a channel: fanout PORT SUBSCRIBERS BYTES TURNS AT_ONCE
 *
 * Prints "ready" when all are subscribed, and begins when it reads a byte. Each turn sends AT_ONCE PUBLISH
 * commands in one write, and ends when every subscriber has every message and the publisher its replies;
 * so the server never has more than a turn to send. Every byte is compared: messages begin with their
 * number. Prints the number of deliveries at the end. RESP2. */
#include <stdbool.h>
#include <sys/epoll.h>

#include "client.h"

enum { EVENTS = 128, CHUNK = 64 * 1024, DIGITS = 12, HEADER = 64 };

static const char subscribe[] = "*2\r\n$9\r\nSUBSCRIBE\r\n$4\r\nnews\r\n";
static const char subscribed[] = "*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n";

struct subscriber {
    int fd;
    size_t seen; /* bytes of the turn's messages */
};

struct turn {
    int at_once, bytes;
    unsigned first;            /* number of the first message */
    char *commands, *messages; /* what is published, and what each subscriber must get */
    size_t commands_size, messages_size;
};

static size_t add(char *to, const char *head, int bytes, unsigned number) {
    size_t size = (size_t)sprintf(to, "%s$%d\r\n%0*u", head, bytes, DIGITS, number);
    memset(to + size, 'x', (size_t)(bytes - DIGITS));
    size += (size_t)(bytes - DIGITS);
    memcpy(to + size, "\r\n", 2);
    return size + 2;
}

static void prepare(struct turn *turn) {
    turn->commands_size = turn->messages_size = 0;
    for (int i = 0; i < turn->at_once; i++) {
        unsigned number = turn->first + (unsigned)i;
        turn->commands_size += add(turn->commands + turn->commands_size,
                                   "*3\r\n$7\r\nPUBLISH\r\n$4\r\nnews\r\n", turn->bytes, number);
        turn->messages_size += add(turn->messages + turn->messages_size,
                                   "*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n", turn->bytes, number);
    }
    turn->first += (unsigned)turn->at_once;
}

/* True: it has all messages of the turn now. */
static bool receive(struct subscriber *subscriber, const struct turn *turn) {
    static char chunk[CHUNK];
    ssize_t count = recv(subscriber->fd, chunk, sizeof chunk, MSG_DONTWAIT);
    if (count < 0 && errno == EAGAIN) return false;
    errno = 0;
    if (count <= 0 || (size_t)count > turn->messages_size - subscriber->seen ||
        memcmp(chunk, turn->messages + subscriber->seen, (size_t)count) != 0)
        fail("message");
    subscriber->seen += (size_t)count;
    return subscriber->seen == turn->messages_size;
}

static void play(int poller, int publisher, int subscribers, struct turn *turn) {
    struct epoll_event events[EVENTS];
    char reply[16];
    int size = snprintf(reply, sizeof reply, ":%d\r\n", subscribers);
    send_all(publisher, turn->commands, turn->commands_size);
    for (int left = subscribers; left > 0;) {
        int count = epoll_wait(poller, events, EVENTS, -1);
        for (int i = 0; i < count; i++) left -= receive(events[i].data.ptr, turn);
    }
    for (int i = 0; i < turn->at_once; i++) expect(publisher, reply, (size_t)size);
}

static int open_all(struct subscriber *all, int count, int port) {
    int poller = epoll_create1(EPOLL_CLOEXEC);
    for (int i = 0; i < count; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &all[i]};
        all[i].fd = open_connection(port);
        send_all(all[i].fd, subscribe, sizeof subscribe - 1);
        expect(all[i].fd, subscribed, sizeof subscribed - 1);
        if (epoll_ctl(poller, EPOLL_CTL_ADD, all[i].fd, &event) < 0) fail("epoll_ctl");
    }
    return poller;
}

int main(int argc, char **argv) {
    if (argc != 6 || atoi(argv[3]) < DIGITS) {
        fprintf(stderr, "usage: fanout PORT SUBSCRIBERS BYTES TURNS AT_ONCE\n");
        return 2;
    }
    int port = atoi(argv[1]), count = atoi(argv[2]), turns = atoi(argv[4]);
    struct turn turn = {.bytes = atoi(argv[3]), .at_once = atoi(argv[5])};
    size_t room = (size_t)turn.at_once * (size_t)(turn.bytes + HEADER);
    struct subscriber *subscribers = calloc((size_t)count, sizeof *subscribers);
    turn.commands = malloc(room);
    turn.messages = malloc(room);
    if (!subscribers || !turn.commands || !turn.messages) fail("malloc");
    int poller = open_all(subscribers, count, port), publisher = open_connection(port);
    await_start();
    for (int i = 0; i < turns; i++) {
        prepare(&turn);
        for (int s = 0; s < count; s++) subscribers[s].seen = 0;
        play(poller, publisher, count, &turn);
    }
    printf("%lld\n", (long long)count * turns * turn.at_once);
    return 0;
}
