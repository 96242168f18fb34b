/* The door: a Unix socket that is opened when a process is about to fork, so that the child, which has nothing of the
 * server but its address, finds the way back.
 *
 *   closed ──kevyrt_server_open_door──▶ open ──stop──▶ closed
 *
 * It waits for neither batons nor `life`, since a fork shall not wait for a command, a load or a save: while the server starts
 * or stops there is no door. Its folder has a name that nobody knows before, and lets this user in alone.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "plat/errors.h"
#include "plat/file.h"
#include "plat/socket.h"
#include "server/server.h"

#define SOCKET_NAME "/s"

static int make_folder(const char *base, char path[KEVYRT_DOOR_PATH_MAX]) {
    int len = snprintf(path, KEVYRT_DOOR_PATH_MAX, "%s/kevyrt-XXXXXX", base);
    if (len < 0 || (size_t)len + sizeof SOCKET_NAME > KEVYRT_DOOR_PATH_MAX) return -ENAMETOOLONG;
    return file_make_folder(path);
}

void door_remove(struct kevyrt_server *server) {
    char *path = server->door;
    size_t len = strlen(path);
    if (len == 0) return;
    unlink(path);
    path[len - strlen(SOCKET_NAME)] = 0;
    rmdir(path);
    path[0] = 0;
}

/* 0 or a negative errno value; then nothing is left. */
static int open_door(struct kevyrt_server *server, const char *base) {
    char path[KEVYRT_DOOR_PATH_MAX];
    int result = make_folder(base, path);
    if (result < 0) return result;
    size_t folder_len = strlen(path);
    memcpy(path + folder_len, SOCKET_NAME, sizeof SOCKET_NAME);
    int fd = socket_listen_unix(path, 0600, config_backlog(&server->config));
    if (fd < 0) {
        path[folder_len] = 0;
        rmdir(path);
        return fd;
    }
    memcpy(server->door, path, sizeof path);
    fabric_open_door(&server->fabric, fd);
    return 0;
}

enum kevyrt_status kevyrt_server_open_door(struct kevyrt_server *server, const char *base,
                                           char path[KEVYRT_DOOR_PATH_MAX],
                                           struct kevyrt_error *error) {
    int result = 0;
    if (server->forked || pthread_mutex_trylock(&server->life) != 0)
        return server_fail(error, KEVYRT_STOPPED, 0, "the server starts or stops");
    bool running = atomic_load_acquire(&server->state) == SERVER_RUNNING;
    if (running && !*server->door) result = open_door(server, base);
    memcpy(path, server->door, sizeof server->door);
    pthread_mutex_unlock(&server->life);
    if (!running) return server_fail(error, KEVYRT_STOPPED, 0, "the server is not running");
    if (result == 0) return KEVYRT_OK;
    return server_fail(error, KEVYRT_SYSTEM, result, "cannot open a door in %s: %s", base,
                       system_error_text(result));
}

void kevyrt_server_password(struct kevyrt_server *server, char *out, size_t capacity) {
    fabric_copy_password(&server->fabric, out, capacity);
}
