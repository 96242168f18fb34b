/* loop.h: the two bodies of the floor server. Each serves the listening socket for ever on the
 * calling thread and returns only on failure, with a line on stderr. */
#pragma once

int loop_epoll_run(int listener);
int loop_uring_run(int listener); /* without liburing at build time: fails and says so */
