/* floor.c: the I/O floor, a one-thread server that frames Redis commands and answers them without
 * a store.
 *
 * What it spends on a command is what receiving, framing and answering cost on this kernel
 * interface; a key-value server on the same interface can come near it but not go under.
 *
 *     floor PORT            io_uring
 *     floor PORT --epoll    epoll */
#include "loop.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static int listen_on(int port) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, 1024) < 0)
        return -1;
    return fd;
}

int main(int argc, char **argv) {
    if (argc < 2 || argc > 3 || (argc == 3 && strcmp(argv[2], "--epoll") != 0)) {
        fprintf(stderr, "usage: floor PORT [--epoll]\n");
        return 2;
    }
    int listener = listen_on(atoi(argv[1]));
    if (listener < 0) {
        perror("floor: listen");
        return 1;
    }
    return argc == 3 ? loop_epoll_run(listener) : loop_uring_run(listener);
}
