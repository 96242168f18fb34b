/* Meeting a fault.
 *
 *   find ──▶ error: the answer is that, and nothing is run
 *        ──▶ drop before: there is no answer, and nothing is run
 *        ──▶ else it is run, CALL_SPARED, with a reply of its own
 *                 └── it waits (BLPOP): its waiter remembers what is to be done with the answer (waiter.c, alarms.c)
 *   then the reply is cut, and
 *        ──▶ in time: it is appended to where it belongs; a cut connection ends behind that
 *        ──▶ late: a waiter is made that has its answer already, and is told it later
 *
 * So an answer that is late is like any for which its client had to wait: commands behind it wait on a connection, a thread
 * sleeps, an event loop is called back, and no baton is held. Of a pipeline in process, whose answers come together, the times
 * add up.
 */
#include "shard/faults.h"

#include "base/glob.h"
#include "base/mem.h"
#include "shard/shard.h"

/* ---- The list --------------------------------------------------------------------------------------- */

static struct bytes keep(char **at, struct bytes text) {
    if (!text.at) return text;
    char *to = *at;
    bytes_copy(to, text.at, text.len);
    *at += text.len;
    return bytes_of(to, text.len);
}

struct fault *fault_new(const struct fault_rule *rule, uint64_t times) {
    size_t error_len = rule->error ? strlen(rule->error) + 1 : 0;
    size_t len = rule->key.len + rule->client.len + error_len;
    struct fault *fault = mem_alloc(NULL, sizeof *fault + len);
    if (!fault) return NULL;
    *fault = (struct fault){.rule = *rule};
    char *at = fault->text;
    fault->rule.key = keep(&at, rule->key);
    fault->rule.client = keep(&at, rule->client);
    if (rule->error) fault->rule.error = memcpy(at, rule->error, error_len);
    atomic_store_relaxed(&fault->references, 1);
    atomic_store_relaxed(&fault->left, times);
    return fault;
}

void fault_put(struct fault *fault) {
    if (atomic_sub_acq_rel(&fault->references, 1) == 1) mem_free(NULL, fault);
}

static bool is_used_up(const struct fault *fault) {
    return atomic_load_relaxed(&fault->left) == 0;
}

/* NULL: none. */
static void remove_one(struct faults *faults, const struct fault *which) {
    struct fault **link = &faults->first, *fault;
    faults->last = NULL;
    while ((fault = *link)) {
        if (fault != which && !is_used_up(fault)) {
            faults->last = fault;
            link = &fault->next;
            continue;
        }
        *link = fault->next;
        fault_put(fault);
    }
}

static void set_gate(struct fabric *fabric) {
    if (fabric->faults.first) fabric->domain.gates |= GATE_FAULTS;
    else fabric->domain.gates &= ~(uint32_t)GATE_FAULTS;
}

void faults_add(struct fabric *fabric, struct fault *fault) {
    struct faults *faults = &fabric->faults;
    remove_one(faults, NULL);
    atomic_add_relaxed(&fault->references, 1);
    if (faults->last) faults->last->next = fault;
    else faults->first = fault;
    faults->last = fault;
    set_gate(fabric);
}

void faults_remove(struct fabric *fabric, struct fault *fault) {
    remove_one(&fabric->faults, fault);
    set_gate(fabric);
}

void faults_clear(struct fabric *fabric) {
    while (fabric->faults.first) remove_one(&fabric->faults, fabric->faults.first);
    set_gate(fabric);
}

/* ---- Which one ---------------------------------------------------------------------------------------- */

static bool is_connection(const struct origin *origin) {
    return origin->client && !origin->client->session;
}

static bool has_name(const struct client *client, struct bytes pattern) {
    struct registry *registry = &client->fabric->registry;
    pthread_mutex_lock(&registry->lock);
    const char *name = client->card->name;
    bool matches = name && glob_match(pattern, bytes_of(name, strlen(name)));
    pthread_mutex_unlock(&registry->lock);
    return matches;
}

static bool is_about_client(const struct fault_rule *rule, const struct origin *origin) {
    const struct client *client = origin->client;
    if ((rule->drop || rule->cut_bytes != FAULT_ANY) && !is_connection(origin)) return false;
    if (rule->client_id != FAULT_ANY && !(client && client->card->id == rule->client_id))
        return false;
    return !rule->client.at || (client && has_name(client, rule->client));
}

static bool is_about_key(const struct fault_rule *rule, const struct request *request,
                         const struct plan *plan) {
    struct key_refs keys;
    bool matches = false;
    if (!rule->key.at) return true;
    if (!key_refs_init(&keys, plan->command, request->argv, request->argc)) return false;
    for (int i = 0; i < keys.count && !matches; i++)
        matches = glob_match(rule->key, request->argv[keys.at[i].index]);
    key_refs_deinit(&keys);
    return matches;
}

static bool is_about(const struct fault_rule *rule, const struct origin *origin,
                     const struct request *request, const struct plan *plan) {
    const struct command *command = rule->command;
    if (command && command != plan->command && command != plan->command->container) return false;
    return is_about_client(rule, origin) && is_about_key(rule, request, plan);
}

/* False: others have used it up. */
static bool take(struct fault *fault) {
    uint64_t left = atomic_load_relaxed(&fault->left);
    while (left != FAULT_ANY)
        if (left == 0) return false;
        else if (atomic_cas_acq_rel(&fault->left, &left, left - 1)) break;
    atomic_add_relaxed(&fault->hits, 1);
    return true;
}

/* What another shard's client has sent was under way before there were faults (F2). */
static const struct fault_rule *find(const struct shard *home, const struct origin *origin,
                                     const struct request *request, const struct plan *plan) {
    if (!origin->client && origin->card) return NULL;
    for (struct fault *fault = home->fabric->faults.first; fault; fault = fault->next)
        if (is_about(&fault->rule, origin, request, plan) && take(fault)) return &fault->rule;
    return NULL;
}

/* ---- What it does ------------------------------------------------------------------------------------- */

static bool cuts(const struct fault_rule *rule) {
    return rule->drop || rule->cut_bytes != FAULT_ANY;
}

static uint64_t cut_bytes(const struct fault_rule *rule) {
    return rule->drop ? 0 : rule->cut_bytes;
}

static void reject(struct shard *home, const struct origin *origin, const struct plan *plan,
                   const struct fault_rule *rule, struct reply *reply) {
    execute_reject(origin->client, reply, plan, rule->error);
    statistics_error(&home->data.statistics, plan->command, false, reply->error_code);
}

/* The answer goes into `reply`. False: it waits. It goes through, as it does not meet its fault again. */
static bool run(struct shard *home, const struct origin *origin, const struct request *request,
                const struct plan *plan, struct reply *reply) {
    struct origin spared = *origin;
    spared.reply = reply;
    spared.flags = (origin->flags | CALL_SPARED) & ~(uint32_t)CALL_MAY_PAUSE;
    enum execute_result result = execute_command(home, &spared, request, plan);
    KRT_ASSERT(result == EXECUTE_DONE || result == EXECUTE_WAITING);
    return result == EXECUTE_DONE;
}

static const struct await_kind late_kind = {0};

/* False: it cannot be late. */
static bool put_off(struct shard *home, const struct origin *origin, const struct call *call,
                    const struct fault_rule *rule, struct reply *reply) {
    struct reply unheard;
    struct call aside = *call;
    if (!rule->delay_us) return false;
    if (origin->late_us) *origin->late_us += rule->delay_us;
    if (!await_is_possible(call)) return false;
    reply_init(&unheard, reply->pool, reply->proto);
    aside.reply = &unheard;
    struct waiter *waiter = await_begin(&aside, &late_kind, 0, 0);
    reply_clear(&unheard);
    if (!waiter) return false;
    bool claimed = waiter_leave(waiter, WAITER_CLAIMED);
    KRT_ASSERT(claimed); /* who else could hold no baton of it */
    waiter_fault(waiter, rule->delay_us, cuts(rule) ? cut_bytes(rule) : FAULT_ANY);
    reply_append(&waiter->reply, reply);
    waiter_send(home, waiter);
    return true;
}

static void give(const struct origin *origin, const struct fault_rule *rule, struct reply *reply) {
    if (cuts(rule)) {
        reply_cut(reply, cut_bytes(rule));
        origin->client->close_after_reply = true;
    }
    origin->reply->proto = reply->proto;
    origin->reply->errors += reply->errors;
    memcpy(origin->reply->error_code, reply->error_code, sizeof reply->error_code);
    reply_append(origin->reply, reply);
}

enum faulted faults_meet(struct shard *home, const struct origin *origin,
                         const struct request *request, const struct plan *plan,
                         const struct call *call) {
    struct reply reply;
    const struct fault_rule *rule = find(home, origin, request, plan);
    if (!rule) return FAULTED_NOT;
    reply_init(&reply, origin->reply->pool, origin->reply->proto);
    if (rule->error) {
        reject(home, origin, plan, rule, &reply);
    } else if (rule->drop != FAULT_DROP_BEFORE && !run(home, origin, request, plan, &reply)) {
        reply_clear(&reply);
        waiter_fault(origin->waiter ? *origin->waiter : origin->client->waiter, rule->delay_us,
                     cuts(rule) ? cut_bytes(rule) : FAULT_ANY);
        return FAULTED_LATE;
    }
    if (put_off(home, origin, call, rule, &reply)) return FAULTED_LATE;
    give(origin, rule, &reply);
    return FAULTED_DONE;
}
