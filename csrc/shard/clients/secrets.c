#include "shard/clients/secrets.h"

/* Redis hides a secret when the handler comes to it: a line that is refused before shows all of it. */
static bool secret_of_auth(uint32_t argc, uint32_t index) {
    return argc <= 3 && index > 0;
}

static bool secret_of_hello(const struct bytes *argv, uint32_t argc, uint32_t index) {
    int64_t proto;
    if (argc < 2 || !bytes_to_int64(argv[1], &proto) || proto < 2 || proto > 3) return false;
    for (uint32_t at = 2; at < argc && at < index;) {
        uint32_t behind = argc - at - 1;
        if (bytes_is(argv[at], "auth") && behind >= 2) {
            if (index <= at + 2) return true;
            at += 3;
        } else if (bytes_is(argv[at], "setname") && behind >= 1) {
            at += 2;
        } else {
            return false;
        }
    }
    return false;
}

static bool secret_of_config(const struct bytes *argv, uint32_t index) {
    if (index < 3 || index % 2 == 0) return false;
    struct bytes name = argv[index - 1];
    return bytes_is(name, "requirepass") || bytes_is(name, "masterauth") ||
           bytes_is(name, "masteruser");
}

/* Up to KEYS, whose words are none. */
static bool secret_of_migrate(const struct bytes *argv, uint32_t argc, uint32_t index) {
    for (uint32_t at = 6; at < argc && at < index; at++) {
        uint32_t words = bytes_is(argv[at], "auth") ? 1 : bytes_is(argv[at], "auth2") ? 2 : 0;
        if (bytes_is(argv[at], "keys")) return false;
        if (words > 0 && argc - at - 1 >= words && index <= at + words) return true;
        at += words;
    }
    return false;
}

bool secret_at(const struct command *command, const struct bytes *argv, uint32_t argc,
               uint32_t index) {
    const char *name = command->full_name;
    if (index == 0) return false;
    if (strcmp(name, "auth") == 0) return secret_of_auth(argc, index);
    if (strcmp(name, "hello") == 0) return secret_of_hello(argv, argc, index);
    if (strcmp(name, "config|set") == 0) return secret_of_config(argv, index);
    if (strcmp(name, "migrate") == 0) return secret_of_migrate(argv, argc, index);
    return false;
}
