/* CLIENT TRACKING, CACHING, GETREDIR, TRACKINGINFO: what a client says of its own cache.
 *
 * Options are read one after the other and refused at the first that is wrong, then checked against each other and against
 * what the client has chosen before, all of it in Redis's order.
 */
#include "shard/board/tracking_internal.h"
#include "shard/shard.h"

struct wish {
    struct tracking_options options;
    struct bytes *prefixes;
    int64_t redirect;
};

/* ---- Options ------------------------------------------------------------------------------------ */

/* A session in the process has no connection on which it could be told. */
static struct client *tracking_client_of(struct call *call) {
    struct client *client = call->client;
    if (client && !client->session) return client;
    call_error_format(call, "ERR '%s' needs a connection", call->command->full_name);
    return NULL;
}

static struct card *find_listener(struct fabric *fabric, uint64_t id) {
    pthread_mutex_lock(&fabric->registry.lock);
    struct card *card = registry_find(&fabric->registry, id);
    bool gone = !card || card->fd < 0 || card->generation == 0 ||
                atomic_load_relaxed(&card->doomed) || atomic_load_relaxed(&card->flags) & CARD_GONE;
    card = gone ? NULL : card_get(card);
    pthread_mutex_unlock(&fabric->registry.lock);
    return card;
}

static bool parse_redirect(struct call *call, struct bytes text, struct wish *wish) {
    if (wish->redirect != 0) {
        call_error(call, "ERR A client can only redirect to a single other client");
        return false;
    }
    if (!bytes_to_int64(text, &wish->redirect)) {
        call_error_integer(call);
        return false;
    }
    if (wish->redirect > 0)
        wish->options.redirect = find_listener(fabric_of(call), (uint64_t)wish->redirect);
    if (wish->options.redirect) return true;
    call_error(call, "ERR The client ID you want redirect to does not exist");
    return false;
}

static bool parse_flag(struct bytes word, uint32_t *flags) {
    if (bytes_is(word, "bcast")) *flags |= TRACKER_BROADCAST;
    else if (bytes_is(word, "optin")) *flags |= TRACKER_OPTIN;
    else if (bytes_is(word, "optout")) *flags |= TRACKER_OPTOUT;
    else if (bytes_is(word, "noloop")) *flags |= TRACKER_NOLOOP;
    else return false;
    return true;
}

static bool parse_options(struct call *call, struct wish *wish) {
    for (uint32_t i = 3; i < call->argc; i++) {
        bool more = i + 1 < call->argc;
        if (bytes_is(call->argv[i], "redirect") && more) {
            if (!parse_redirect(call, call->argv[++i], wish)) return false;
        } else if (bytes_is(call->argv[i], "prefix") && more) {
            wish->prefixes[wish->options.prefix_count++] = call->argv[++i];
        } else if (!parse_flag(call->argv[i], &wish->options.flags)) {
            call_error_syntax(call);
            return false;
        }
    }
    return true;
}

/* ---- What does not go together --------------------------------------------------------------------- */

static const char *mode_conflict(const struct wish *wish, uint32_t now) {
    uint32_t flags = wish->options.flags;
    bool broadcast = flags & TRACKER_BROADCAST, optin = flags & TRACKER_OPTIN,
         optout = flags & TRACKER_OPTOUT;
    if (!broadcast && wish->options.prefix_count)
        return "ERR PREFIX option requires BCAST mode to be enabled";
    if (now & TRACKER_ON && broadcast != (bool)(now & TRACKER_BROADCAST))
        return "ERR You can't switch BCAST mode on/off before disabling tracking for this client, "
               "and "
               "then re-enabling it with a different mode.";
    if (broadcast && (optin || optout)) return "ERR OPTIN and OPTOUT are not compatible with BCAST";
    if (optin && optout) return "ERR You can't specify both OPTIN mode and OPTOUT mode";
    if ((optin && now & TRACKER_OPTOUT) || (optout && now & TRACKER_OPTIN))
        return "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, "
               "and "
               "then re-enabling it with a different mode.";
    return NULL;
}

static bool overlap(struct bytes a, struct bytes b) {
    return bytes_same(a.at, b.at, a.len < b.len ? a.len : b.len);
}

static void refuse_overlap(struct call *call, struct bytes prefix, const char *what,
                           struct bytes other) {
    call_error_format(call,
                      "ERR Prefix '%.*s' overlaps with %s prefix '%.*s'. Prefixes for a single "
                      "client must not overlap.",
                      (int)prefix.len, prefix.at, what, (int)other.len, other.at);
}

/* Redis refuses two given prefixes that overlap, and yet goes on unless the first one is one of them: then it
 * answers twice, and so do we. */
static bool prefixes_fit(struct call *call, const struct wish *wish) {
    const struct tracker *tracker = call->client->tracker;
    const struct bytes *given = wish->prefixes;
    for (uint32_t i = 0; i < wish->options.prefix_count; i++) {
        const struct interest *own = tracker ? tracker->first : NULL;
        for (; own; own = own->next) {
            if (!overlap(prefix_bytes(own->prefix), given[i])) continue;
            refuse_overlap(call, given[i], "an existing", prefix_bytes(own->prefix));
            return false;
        }
        for (uint32_t j = i + 1; j < wish->options.prefix_count; j++) {
            if (!overlap(given[i], given[j])) continue;
            refuse_overlap(call, given[i], "another provided", given[j]);
            return i > 0;
        }
    }
    return true;
}

/* ---- TRACKING ---------------------------------------------------------------------------------------- */

static bool turn_on(struct call *call, struct wish *wish) {
    const struct tracker *tracker = call->client->tracker;
    const char *conflict = mode_conflict(wish, tracker ? tracker->flags : 0);
    if (conflict) {
        call_error(call, conflict);
        return false;
    }
    if (!prefixes_fit(call, wish)) return false;
    wish->options.prefixes = wish->prefixes;
    if (!tracking_on(call, &wish->options)) {
        call_error_memory(call);
        return false;
    }
    wish->options.redirect = NULL;
    return true;
}

static bool turn(struct call *call, struct wish *wish) {
    if (!parse_options(call, wish)) return false;
    if (bytes_is(call->argv[2], "on")) return turn_on(call, wish);
    if (bytes_is(call->argv[2], "off")) {
        tracking_off(call->client, call);
        return true;
    }
    call_error_syntax(call);
    return false;
}

static void client_tracking_command(struct call *call) {
    if (!tracking_client_of(call)) return;
    struct wish wish = {.prefixes = mem_alloc(NULL, call->argc * sizeof *wish.prefixes)};
    if (!wish.prefixes) {
        call_error_memory(call);
        return;
    }
    if (turn(call, &wish)) reply_ok(call->reply);
    if (wish.options.redirect) card_put(wish.options.redirect);
    mem_free(NULL, wish.prefixes);
}

/* What all shards are to be asked for is begun with all batons. */
static uint64_t tracking_places(const struct domain *domain, const struct bytes *argv,
                                uint32_t argc) {
    for (uint32_t i = 3; i < argc; i++)
        if (bytes_is(argv[i], "bcast"))
            return domain->shard_count == 64 ? UINT64_MAX
                                             : (UINT64_C(1) << domain->shard_count) - 1;
    return 0;
}

/* ---- CACHING, GETREDIR, TRACKINGINFO ------------------------------------------------------------------ */

static uint32_t flags_of(const struct client *client) {
    return client->tracker ? client->tracker->flags : 0;
}

static void client_caching_command(struct call *call) {
    struct client *client = client_of(call);
    if (!client) return;
    uint32_t flags = flags_of(client);
    bool yes = bytes_is(call->argv[2], "yes"), no = bytes_is(call->argv[2], "no");
    if (!(flags & TRACKER_ON)) {
        call_error(call,
                   "ERR CLIENT CACHING can be called only when the client is in tracking mode "
                   "with OPTIN or OPTOUT mode enabled");
    } else if (yes && !(flags & TRACKER_OPTIN)) {
        call_error(call, "ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN "
                         "mode.");
    } else if (no && !(flags & TRACKER_OPTOUT)) {
        call_error(call, "ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT "
                         "mode.");
    } else if (!yes && !no) {
        call_error_syntax(call);
    } else {
        tracking_cache(client);
        reply_ok(call->reply);
    }
}

/* -1: it does not track; 0: it is told itself. */
static int64_t redirect_of(const struct client *client) {
    if (!(flags_of(client) & TRACKER_ON)) return -1;
    return (int64_t)atomic_load_relaxed(&client->card->redirect);
}

static void client_getredir_command(struct call *call) {
    struct client *client = client_of(call);
    if (client) reply_integer(call->reply, redirect_of(client));
}

static void reply_flags(struct call *call) {
    const struct client *client = call->client;
    uint32_t flags = flags_of(client);
    bool caching = client->tracker && client->tracker->caching;
    const struct {
        bool set;
        const char *name;
    } names[] = {{flags & TRACKER_ON, "on"},
                 {!(flags & TRACKER_ON), "off"},
                 {flags & TRACKER_BROADCAST, "bcast"},
                 {flags & TRACKER_OPTIN, "optin"},
                 {flags & TRACKER_OPTIN && caching, "caching-yes"},
                 {flags & TRACKER_OPTOUT, "optout"},
                 {flags & TRACKER_OPTOUT && caching, "caching-no"},
                 {flags & TRACKER_NOLOOP, "noloop"},
                 {atomic_load_relaxed(&client->card->redirect_broken), "broken_redirect"}};
    size_t count = sizeof names / sizeof *names;
    uint64_t set = 0;
    for (size_t i = 0; i < count; i++) set += names[i].set;
    reply_set(call->reply, set);
    for (size_t i = 0; i < count; i++)
        if (names[i].set) reply_bulk_text(call->reply, names[i].name);
}

static void reply_prefixes(struct call *call) {
    const struct tracker *tracker = call->client->tracker;
    const struct interest *first = tracker ? tracker->first : NULL;
    uint64_t count = 0;
    for (const struct interest *at = first; at; at = at->next) count++;
    reply_array(call->reply, count);
    for (const struct interest *at = first; at; at = at->next)
        reply_bulk(call->reply, prefix_bytes(at->prefix));
}

static void client_trackinginfo_command(struct call *call) {
    struct client *client = client_of(call);
    if (!client) return;
    reply_map(call->reply, 3);
    reply_bulk_text(call->reply, "flags");
    reply_flags(call);
    reply_bulk_text(call->reply, "redirect");
    reply_integer(call->reply, redirect_of(client));
    reply_bulk_text(call->reply, "prefixes");
    reply_prefixes(call);
}

void client_tracking_bind(void) {
    command_bind_placed("client|tracking", client_tracking_command, tracking_places);
    command_bind("client|caching", client_caching_command);
    command_bind("client|getredir", client_getredir_command);
    command_bind("client|trackinginfo", client_trackinginfo_command);
}
