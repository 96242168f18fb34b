/* Whole servers through kevyrt.h, on every reactor that is to be had, with one shard and with several;
 * and the plain end of a connection to one. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/kevyrt.h"

struct variant {
    const char *name, *io, *threads, *borrow, *ring_entries;
};

/* Runs `test` on a started server of each variant, and stops it. */
void for_each_variant(void (*test)(struct kevyrt_server *server));
/* The same with the settings alone. */
void for_each_setting(void (*test)(const struct variant *variant));

struct kevyrt_server *server_new(const struct variant *variant);
void server_start(struct kevyrt_server *server);
struct kevyrt_server *server_open(const struct variant *variant); /* both */
void server_close(struct kevyrt_server *server);

/* Connections of all shards; waits until there are `count`, or fails. */
void server_await_connections(struct kevyrt_server *server, uint64_t count);

/* ---- Calls: words separated by blanks ----------------------------------------------------------- */

enum { REPLY_MAX = 1024 };

/* The reply's text, in RESP3. */
enum kevyrt_status call(struct kevyrt_server *server, const char *line, char out[REPLY_MAX]);
void assert_call(struct kevyrt_server *server, const char *line, const char *reply);

/* ---- Connections -------------------------------------------------------------------------------- */

/* The test's end of a socket pair whose other end the server serves. */
int wire_open(struct kevyrt_server *server);
void wire_send(int fd, const char *at, size_t len);
void wire_say(int fd, const char *text);
/* Reads until `len` bytes have come; false at the end of file or an error. */
bool wire_receive(int fd, char *at, size_t len);
void assert_answers(int fd, const char *request, const char *reply);
/* Reads until the end of the connection. */
void wire_drain(int fd);
