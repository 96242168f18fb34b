/* wake.c: from the push to the reply of who waited: wake WAITER_FD PUSHER_FD KEY TURNS PAUSE_US
 *
 * The two connections are inherited, so that who starts it chooses their shards. Each turn sends BLPOP,
 * pauses until the server sleeps again, sees that no reply has come, sends LPUSH of the turn's number, and
 * waits for the popped number and for the push's reply. Prints the nanoseconds of each turn, from before
 * the push to the waiter's reply. */
#include "client.h"

static void pause_us(long us) {
    const struct timespec pause = {.tv_nsec = us * 1000};
    nanosleep(&pause, NULL);
}

static int64_t turn(int waiter, int pusher, const char *key, int number, long us) {
    char command[512], reply[256], early;
    int size = snprintf(command, sizeof command, "*3\r\n$5\r\nBLPOP\r\n$%zu\r\n%s\r\n$1\r\n0\r\n",
                        strlen(key), key);
    send_all(waiter, command, (size_t)size);
    pause_us(us);
    if (recv(waiter, &early, 1, MSG_DONTWAIT) >= 0) fail("it did not wait");
    size = snprintf(command, sizeof command, "*3\r\n$5\r\nLPUSH\r\n$%zu\r\n%s\r\n$8\r\n%08d\r\n",
                    strlen(key), key, number);
    int64_t start = now_ns();
    send_all(pusher, command, (size_t)size);
    size = snprintf(reply, sizeof reply, "*2\r\n$%zu\r\n%s\r\n$8\r\n%08d\r\n", strlen(key), key,
                    number);
    expect(waiter, reply, (size_t)size);
    int64_t took = now_ns() - start;
    expect(pusher, ":1\r\n", 4);
    return took;
}

int main(int argc, char **argv) {
    if (argc != 6 || strlen(argv[3]) > 64) {
        fprintf(stderr, "usage: wake WAITER_FD PUSHER_FD KEY TURNS PAUSE_US\n");
        return 2;
    }
    int waiter = atoi(argv[1]), pusher = atoi(argv[2]), turns = atoi(argv[4]);
    for (int i = 0; i < turns; i++)
        printf("%lld\n", (long long)turn(waiter, pusher, argv[3], i, atol(argv[5])));
    return 0;
}
