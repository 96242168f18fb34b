/* What reactor.c knows of the two bodies. */
#pragma once

#include "io/reactor.h"

int reactor_epoll_open(struct reactor **out, const struct reactor_limits *limits);
int reactor_uring_open(struct reactor **out, const struct reactor_limits *limits);
/* Tries io_uring by making a ring: not cached, for reactor_uring_probe. */
int reactor_uring_try(char *reason, size_t capacity);
