/* kevyrt.Pipeline: commands are queued, and run with one call into the core.
 *
 *   queueing ──execute()──▶ busy ──▶ queueing
 *      │  ▲                            ▲
 *      │  └─────reset()──────┐         │
 *      └─watch()─▶ immediate ┴─multi()─▶ queueing behind MULTI
 *
 * The words of what is queued are copied into blocks, so that no object is kept but callables of results. Execution takes
 * nothing of Python along (B5): words and lines lie there as the core wants them.
 *
 * Where keys are watched a session is needed. It is that of a Session's pipeline, or one is made and ends with the watching.
 *
 * In a loop (`awaits`) what runs at once is a call of the session that may still be on its way when the method has returned; the session
 * is `busy` until it is made and answered, and the pipeline with it.
 *
 * Threads: the GIL is released while the core waits; `busy` tells other threads, which get a RuntimeError, so the queue never changes while
 * it runs.
 */
#include <string.h>

#include "base/assert.h"
#include "py/awaiting/aio.h"

enum { BLOCK_BYTES = 4096 - 64, BLOCK_BYTES_MAX = 1 << 20, WORDS_FIRST = 64, COMMANDS_FIRST = 32 };

struct block {
    struct block *next; /* older */
    size_t used, capacity;
    char data[];
};

struct queue {
    struct block *blocks; /* newest first */
    struct bytes *words;
    struct kevyrt_line *lines;
    struct result *results;
    uint32_t word_count, word_capacity, count, capacity;
    bool has_objects; /* some result has one */
};

struct pipeline {
    FACE_HEAD
    struct face *by; /* a Session that watches and executes, or NULL */
    bool by_own;     /* made by watch() */
    bool atomic, watching, explicit;
    bool awaits;                  /* of server.aio: what runs at once gives awaitables */
    struct kevyrt_pipeline *core; /* of an execution that waits for a thread to go on; or NULL */
    /* The loop's thread sets, the executor's reads without the GIL; relaxed: a hint. */
    atomic_u32 cancelled;
    struct queue queue;
};

/* ---- The queue --------------------------------------------------------------------------------- */

static char *add_block(struct queue *queue, size_t bytes) {
    size_t capacity = queue->blocks ? 2 * queue->blocks->capacity : BLOCK_BYTES;
    if (capacity > BLOCK_BYTES_MAX) capacity = BLOCK_BYTES_MAX;
    if (capacity < bytes) capacity = bytes;
    struct block *block = PyMem_Malloc(sizeof *block + capacity);
    if (!block) return NULL;
    *block = (struct block){queue->blocks, bytes, capacity};
    queue->blocks = block;
    return block->data;
}

static char *reserve_bytes(struct queue *queue, size_t bytes) {
    struct block *block = queue->blocks;
    if (!block || block->capacity - block->used < bytes) return add_block(queue, bytes);
    block->used += bytes;
    return block->data + block->used - bytes;
}

static bool grow_words(struct queue *queue, uint32_t more) {
    uint64_t wanted = (uint64_t)queue->word_count + more, capacity = queue->word_capacity * 2ull;
    if (capacity < WORDS_FIRST) capacity = WORDS_FIRST;
    if (capacity < wanted) capacity = wanted;
    if (capacity > INT32_MAX) return false;
    struct bytes *words = PyMem_Realloc(queue->words, capacity * sizeof *words);
    if (!words) return false;
    queue->words = words;
    queue->word_capacity = (uint32_t)capacity;
    return true;
}

static bool grow_commands(struct queue *queue) {
    uint64_t capacity = queue->capacity ? queue->capacity * 2ull : COMMANDS_FIRST;
    if (capacity > INT32_MAX) return false;
    struct kevyrt_line *lines = PyMem_Realloc(queue->lines, capacity * sizeof *lines);
    if (lines) queue->lines = lines;
    struct result *results =
        lines ? PyMem_Realloc(queue->results, capacity * sizeof *results) : NULL;
    if (!results) return false;
    queue->results = results;
    queue->capacity = (uint32_t)capacity;
    return true;
}

static bool has_room(struct queue *queue, uint32_t words) {
    if (queue->word_capacity - queue->word_count < words && !grow_words(queue, words)) return false;
    return queue->count < queue->capacity || grow_commands(queue);
}

static int queue_add(struct queue *queue, const struct arguments *arguments, struct result result) {
    size_t bytes = 0;
    for (uint32_t i = 0; i < arguments->count; i++) bytes += arguments->argv[i].len;
    char *at = has_room(queue, arguments->count) ? reserve_bytes(queue, bytes) : NULL;
    if (!at) {
        PyErr_NoMemory();
        return -1;
    }
    struct bytes *words = queue->words + queue->word_count;
    for (uint32_t i = 0; i < arguments->count; i++) {
        words[i] = bytes_of(at, arguments->argv[i].len);
        bytes_copy(at, arguments->argv[i].at, arguments->argv[i].len);
        at += arguments->argv[i].len;
    }
    Py_XINCREF(result.then);
    queue->has_objects |= result.then != NULL;
    queue->lines[queue->count] = (struct kevyrt_line){arguments->command, arguments->count};
    queue->results[queue->count++] = result;
    queue->word_count += arguments->count;
    return 0;
}

/* The oldest block stays: what comes next is likely to fit. */
static void empty_blocks(struct queue *queue) {
    struct block *block = queue->blocks;
    while (block && block->next) {
        struct block *next = block->next;
        PyMem_Free(block);
        block = next;
    }
    queue->blocks = block;
    if (block && block->capacity > BLOCK_BYTES) {
        PyMem_Free(block);
        queue->blocks = NULL;
    } else if (block) {
        block->used = 0;
    }
}

/* What goes with an object may queue again: it finds an empty queue. */
static void put_objects(struct queue *queue, uint32_t count) {
    struct result *results = queue->results;
    if (!queue->has_objects) return;
    queue->has_objects = false;
    queue->results = NULL;
    queue->capacity = 0;
    for (uint32_t i = 0; i < count; i++) Py_XDECREF(results[i].then);
    PyMem_Free(results);
}

static void queue_empty(struct queue *queue) {
    uint32_t count = queue->count;
    queue->count = queue->word_count = 0;
    empty_blocks(queue);
    put_objects(queue, count);
}

static void queue_free(struct queue *queue) {
    queue_empty(queue);
    PyMem_Free(queue->blocks);
    PyMem_Free(queue->words);
    PyMem_Free(queue->lines);
    PyMem_Free(queue->results);
    *queue = (struct queue){0};
}

/* ---- As a face ----------------------------------------------------------------------------------- */

static struct pipeline *pipeline_of(struct face *self) {
    return (struct pipeline *)self;
}

static bool is_atomic(const struct pipeline *self) {
    return self->atomic || self->explicit;
}

/* In a loop a call of the session may be on its way while others go on. */
static bool is_on_its_way(const struct pipeline *self) {
    return self->awaits && self->by && self->by->busy;
}

static int check_free(struct pipeline *self) {
    if (!self->busy && !is_on_its_way(self)) return 0;
    PyErr_SetString(PyExc_RuntimeError, self->awaits ? "another call is inside this pipeline"
                                                     : "another thread is inside this pipeline");
    return -1;
}

/* Another thread may reset the pipeline meanwhile. */
static PyObject *run_at_once(struct pipeline *self, const struct arguments *arguments,
                             struct result result) {
    struct face *by = as_face(Py_NewRef(self->by));
    PyObject *object =
        self->awaits ? aio_call(by, arguments, result) : face_calls.run(by, arguments, result);
    Py_DECREF(by);
    return object;
}

static PyObject *run(struct face *face, const struct arguments *arguments, struct result result) {
    struct pipeline *self = pipeline_of(face);
    if (check_free(self) < 0) return NULL;
    if (self->watching && !self->explicit) return run_at_once(self, arguments, result);
    return queue_add(&self->queue, arguments, result) < 0 ? NULL : Py_NewRef(self);
}

static const struct face_kind face_queues = {run};

static PyObject *run_words_by(PyObject *(*run)(struct face *, const struct arguments *,
                                               struct result),
                              struct face *face, PyObject *const *values, Py_ssize_t count,
                              const char *first, struct result result) {
    struct arguments arguments;
    PyObject *object = NULL;
    arguments_init(&arguments);
    int failed = first ? arguments_add_text(&arguments, first) : 0;
    if (failed == 0) failed = arguments_add_all(&arguments, values, count);
    Py_INCREF(face); /* a session of our own may be let go of meanwhile */
    if (failed == 0) object = run(face, &arguments, result);
    Py_DECREF(face);
    arguments_deinit(&arguments);
    return object;
}

static PyObject *run_words(struct face *face, PyObject *const *values, Py_ssize_t count,
                           const char *first, struct result result) {
    return run_words_by(face->kind->run, face, values, count, first, result);
}

static PyObject *pipeline_execute_command(struct pipeline *self, PyObject *const *values,
                                          Py_ssize_t count) {
    struct result plain = {RESULT_PLAIN, NULL};
    if (count == 0) {
        PyErr_SetString(PyExc_TypeError, "execute_command() needs a command");
        return NULL;
    }
    if (face_check_usable(as_face(self)) < 0) return NULL;
    return run_words(as_face(self), values, count, NULL, plain);
}

/* ---- Watching ------------------------------------------------------------------------------------ */

static int make_session(struct pipeline *self) {
    PyObject *session = PyObject_CallOneArg((PyObject *)self->state->session_type, self->owner);
    if (!session) return -1;
    bool selected = kevyrt_session_select(as_face(session)->session, self->db);
    if (!selected) face_raise(as_face(self), KEVYRT_BAD_CONFIG);
    if (!selected || check_free(self) < 0) {
        Py_DECREF(session);
        return -1;
    }
    self->by = as_face(session);
    self->by_own = true;
    return 0;
}

static int begin_watch(struct pipeline *self) {
    if (face_check_usable(as_face(self)) < 0 || check_free(self) < 0) return -1;
    if (self->explicit) {
        PyErr_SetString(self->state->error, "Cannot issue a WATCH after a MULTI");
        return -1;
    }
    return self->by ? 0 : make_session(self);
}

static PyObject *pipeline_watch(struct pipeline *self, PyObject *const *values, Py_ssize_t count) {
    if (begin_watch(self) < 0) return NULL;
    struct face *by = self->by;
    PyObject *object = run_words(by, values, count, "WATCH", (struct result){RESULT_OK, NULL});
    if (object && by == self->by) self->watching = true;
    return object;
}

static PyObject *pipeline_begin_watch(struct pipeline *self, PyObject *const *values,
                                      Py_ssize_t count) {
    if (begin_watch(self) < 0) return NULL;
    return run_words_by(aio_call, self->by, values, count, "WATCH",
                        (struct result){RESULT_OK, NULL});
}

/* Somebody may have let go of the session while the answer waited for the log. */
static PyObject *pipeline_end_watch(struct pipeline *self, PyObject *unused) {
    (void)unused;
    if (self->by) self->watching = true;
    Py_RETURN_NONE;
}

static PyObject *pipeline_multi(struct pipeline *self, PyObject *unused) {
    (void)unused;
    if (check_free(self) < 0) return NULL;
    if (self->explicit) {
        PyErr_SetString(self->state->error, "Cannot issue nested calls to MULTI");
        return NULL;
    }
    if (self->queue.count) {
        PyErr_SetString(self->state->error,
                        "Commands without an initial WATCH have already been issued");
        return NULL;
    }
    self->explicit = true;
    Py_RETURN_NONE;
}

/* A session of our own ends with what it watches. Of one that is given what it watches ends. */
static int end_watching(struct pipeline *self) {
    bool watching = self->watching;
    self->watching = false;
    if (self->by_own) {
        self->by_own = false;
        Py_CLEAR(self->by);
        return 0;
    }
    if (!watching || !self->by || !self->by->server) return 0;
    PyObject *object = run_words(self->by, NULL, 0, "UNWATCH", (struct result){RESULT_OK, NULL});
    Py_XDECREF(object);
    return object ? 0 : -1;
}

static PyObject *pipeline_unwatch(struct pipeline *self, PyObject *unused) {
    (void)unused;
    if (check_free(self) < 0) return NULL;
    if (self->watching && self->explicit) /* as any command behind MULTI */
        return run_words(as_face(self), NULL, 0, "UNWATCH", (struct result){RESULT_OK, NULL});
    if (end_watching(self) < 0) return NULL;
    Py_RETURN_TRUE;
}

static int reset(struct pipeline *self) {
    self->explicit = false;
    queue_empty(&self->queue);
    return end_watching(self);
}

static PyObject *pipeline_reset(struct pipeline *self, PyObject *unused) {
    (void)unused;
    if (check_free(self) < 0 || reset(self) < 0) return NULL;
    Py_RETURN_NONE;
}

/* Its end takes the places of what it watches, unless it watches nothing. A pause does not hold it up. */
static bool unwatches_at_once(struct face *session) {
    struct bytes word = bytes_of("UNWATCH", 7);
    struct kevyrt_reply reply;
    enum kevyrt_status status =
        kevyrt_call(session->server, session->session, session->db, &word, 1, KEVYRT_TRY, &reply);
    if (status == KEVYRT_WOULD_WAIT) {
        Py_BEGIN_ALLOW_THREADS status = kevyrt_call(session->server, session->session, session->db,
                                                    &word, 1, KEVYRT_WAIT_BRIEFLY, &reply);
        Py_END_ALLOW_THREADS
    }
    if (status == KEVYRT_OK || status == KEVYRT_UNSAFE) kevyrt_reply_free(&reply);
    if (status == KEVYRT_BLOCKED) { /* a fault: its answer is late, and nobody asks for it */
        Py_BEGIN_ALLOW_THREADS kevyrt_waiting_put(reply.waiting);
        Py_END_ALLOW_THREADS
    }
    return status != KEVYRT_WOULD_WAIT && status != KEVYRT_PAUSED;
}

static PyObject *pipeline_take_session(struct pipeline *self, PyObject *resets) {
    if (check_free(self) < 0) return NULL;
    struct face *by = self->by;
    bool queues = resets != Py_True && self->watching && self->explicit;
    if (queues || !self->by_own || face_check_usable(by) < 0) {
        PyErr_Clear();
        Py_RETURN_NONE;
    }
    self->busy = true;
    bool at_once = unwatches_at_once(by);
    self->busy = false;
    if (at_once) Py_RETURN_NONE;
    self->watching = self->by_own = false;
    self->by = NULL;
    return (PyObject *)by;
}

/* ---- Execution ----------------------------------------------------------------------------------- */

static PyObject *command_text(const struct queue *queue, uint32_t index) {
    const struct bytes *word = queue->words;
    for (uint32_t i = 0; i < index; i++) word += queue->lines[i].length;
    PyObject *list = PyList_New(queue->lines[index].length), *blank = PyUnicode_FromString(" ");
    for (uint32_t i = 0; list && i < queue->lines[index].length; i++) {
        PyObject *text = PyUnicode_DecodeUTF8(word[i].at, word[i].len, "replace");
        if (text) PyList_SET_ITEM(list, i, text);
        else Py_CLEAR(list);
    }
    PyObject *text = list && blank ? PyUnicode_Join(blank, list) : NULL;
    Py_XDECREF(list);
    Py_XDECREF(blank);
    return text;
}

/* As redis-py shortens a command to show it. */
static PyObject *shorten(PyObject *text) {
    PyObject *module = PyImport_ImportModule("textwrap"), *result = NULL;
    PyObject *function = module ? PyObject_GetAttrString(module, "shorten") : NULL;
    PyObject *arguments = Py_BuildValue("(O)", text);
    PyObject *keywords = Py_BuildValue("{s:i,s:s}", "width", 100, "placeholder", "...");
    if (function && arguments && keywords) result = PyObject_Call(function, arguments, keywords);
    Py_XDECREF(module);
    Py_XDECREF(function);
    Py_XDECREF(arguments);
    Py_XDECREF(keywords);
    return result;
}

/* Says in the exception which command it is about, and raises it. Takes the reference. */
static PyObject *raise_annotated(const struct queue *queue, uint32_t index, PyObject *exception) {
    PyObject *text = command_text(queue, index), *shown = text ? shorten(text) : NULL;
    PyObject *message = shown
                            ? PyUnicode_FromFormat("Command # %u (%U) of pipeline caused error: %S",
                                                   index + 1, shown, exception)
                            : NULL;
    PyObject *arguments = message ? PyTuple_Pack(1, message) : NULL;
    if (arguments && PyObject_SetAttrString(exception, "args", arguments) == 0)
        PyErr_SetObject((PyObject *)Py_TYPE(exception), exception);
    Py_XDECREF(text);
    Py_XDECREF(shown);
    Py_XDECREF(message);
    Py_XDECREF(arguments);
    Py_DECREF(exception);
    return NULL;
}

/* The replies of all commands, in order. */
static PyObject *make_list(struct pipeline *self, const struct queue *queue, const char *at,
                           const char *end, bool raises) {
    PyObject *list = PyList_New(queue->count);
    for (uint32_t i = 0; list && i < queue->count; i++) {
        bool is_error = at < end && *at == '-';
        PyObject *item = result_take(as_face(self), queue->results[i], &at, end);
        if (KRT_UNLIKELY(item && is_error && raises)) item = raise_annotated(queue, i, item);
        if (item) PyList_SET_ITEM(list, i, item);
        else Py_CLEAR(list);
    }
    return list;
}

static PyObject *raise_reply(struct pipeline *self, const struct queue *queue,
                             const struct kevyrt_answers *answers) {
    PyObject *exception = errors_from_reply(self->state, answers->at + 1, answers->len - 3);
    if (!exception) return NULL;
    if (answers->refused < queue->count) return raise_annotated(queue, answers->refused, exception);
    PyErr_SetObject((PyObject *)Py_TYPE(exception), exception);
    Py_DECREF(exception);
    return NULL;
}

static PyObject *make_results(struct pipeline *self, const struct kevyrt_answers *answers,
                              bool raises) {
    const struct queue *queue = &self->queue;
    const char *at = answers->at, *end = at + answers->len;
    if (!is_atomic(self)) return make_list(self, queue, at, end, raises);
    if (*at == '-') return raise_reply(self, queue, answers);
    if (*at == '_') {
        PyErr_SetString(self->state->watch_error, "Watched variable changed.");
        return NULL;
    }
    at = memchr(at, '\n', answers->len); /* behind the number of replies */
    return make_list(self, queue, at + 1, end, raises);
}

/* 0: all is done and may be told. */
static int run_core(struct pipeline *self, struct kevyrt_pipeline *core) {
    enum kevyrt_status status = kevyrt_pipeline_run(core, KEVYRT_TRY);
    while (status == KEVYRT_WOULD_WAIT || status == KEVYRT_PAUSED) {
        Py_BEGIN_ALLOW_THREADS status = kevyrt_pipeline_run(core, KEVYRT_WAIT_BATONS);
        Py_END_ALLOW_THREADS if (status == KEVYRT_PAUSED && PyErr_CheckSignals() < 0) return -1;
    }
    if (status == KEVYRT_OK || status == KEVYRT_UNSAFE) return status == KEVYRT_OK ? 0 : 1;
    face_raise(as_face(self), status);
    return -1;
}

static PyObject *tell(struct pipeline *self, bool raises, struct kevyrt_pipeline *core) {
    struct kevyrt_answers answers;
    int unsafe = run_core(self, core);
    if (unsafe < 0) return NULL;
    if (!kevyrt_pipeline_answers(core, &answers)) return PyErr_NoMemory();
    if (unsafe && face_settle(as_face(self), answers.ticket) < 0) return NULL;
    return make_results(self, &answers, raises);
}

/* What the queue is to the core. NULL with an exception. */
static struct kevyrt_pipeline *core_new(struct pipeline *self) {
    const struct queue *queue = &self->queue;
    struct kevyrt_session *session = self->by ? self->by->session : NULL;
    struct kevyrt_pipeline *core;
    enum kevyrt_status status =
        kevyrt_pipeline_new(self->server, session, self->db, queue->words, queue->lines,
                            queue->count, is_atomic(self), &core);
    if (status == KEVYRT_OK) return core;
    face_raise(as_face(self), status);
    return NULL;
}

static PyObject *execute_queue(struct pipeline *self, bool raises) {
    struct kevyrt_pipeline *core = core_new(self);
    if (!core) return NULL;
    PyObject *object = tell(self, raises, core);
    kevyrt_pipeline_put(core);
    return object;
}

/* The session that is given is inside the call too. */
static PyObject *execute(struct pipeline *self, bool raises) {
    struct face *by = self->by;
    if (by && (face_check_usable(by) < 0 || face_check_idle(by) < 0)) return NULL;
    if (by) by->busy = true;
    self->busy = true;
    PyObject *object = execute_queue(self, raises);
    self->busy = false;
    if (by) by->busy = false;
    if (is_atomic(self)) self->watching = false; /* EXEC has ended it */
    return object;
}

/* What the reset raises comes behind what was raised before. */
static PyObject *end_execution(struct pipeline *self, PyObject *object) {
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    if (reset(self) < 0) {
        if (type) PyErr_Clear();
        else Py_CLEAR(object);
    }
    if (type) PyErr_Restore(type, value, traceback);
    return object;
}

static PyObject *pipeline_execute(struct pipeline *self, PyObject *arguments, PyObject *keywords) {
    static char *names[] = {"raise_on_error", NULL};
    int raises = 1;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "|p:execute", names, &raises))
        return NULL;
    if (face_check_usable(as_face(self)) < 0 || check_free(self) < 0) return NULL;
    if (self->queue.count == 0 && !self->watching) return PyList_New(0);
    return end_execution(self, execute(self, raises));
}

/* ---- Execution in a loop ------------------------------------------------------------------------- */

static PyObject *results_of(struct pipeline *self, struct kevyrt_pipeline *core,
                            enum kevyrt_status status, bool raises, uint64_t *ticket) {
    struct kevyrt_answers answers;
    if (!core) return NULL;
    if (status != KEVYRT_OK && status != KEVYRT_UNSAFE) return face_raise(as_face(self), status);
    if (!kevyrt_pipeline_answers(core, &answers)) return PyErr_NoMemory();
    *ticket = status == KEVYRT_UNSAFE ? answers.ticket : 0;
    return make_results(self, &answers, raises);
}

/* The awaitable of an execution that is through; `core` NULL: an exception is set. */
static PyObject *end_core(struct pipeline *self, struct kevyrt_pipeline *core,
                          enum kevyrt_status status, bool raises) {
    uint64_t ticket = 0;
    PyObject *results = results_of(self, core, status, raises, &ticket);
    if (core) kevyrt_pipeline_put(core);
    self->busy = false;
    if (is_atomic(self)) self->watching = false; /* EXEC has ended it */
    results = end_execution(self, results);
    return ticket ? waiting_for_log(as_face(self), ticket, results)
                  : awaitable_done(self->state, results);
}

static bool goes_on(enum kevyrt_status status) {
    return status == KEVYRT_WOULD_WAIT || status == KEVYRT_PAUSED;
}

/* A thread is to go on: something is in the way, or it is through, but without an EXEC, which would have ended the watching. */
static bool needs_thread(const struct pipeline *self, enum kevyrt_status status) {
    bool done = status == KEVYRT_OK || status == KEVYRT_UNSAFE;
    return goes_on(status) || (done && self->watching && !is_atomic(self));
}

static PyObject *pipeline_begin_execute(struct pipeline *self, PyObject *raises) {
    enum kevyrt_status status = KEVYRT_OK;
    if (face_check_usable(as_face(self)) < 0 || check_free(self) < 0) return NULL;
    if (self->queue.count == 0 && !self->watching)
        return awaitable_done(self->state, PyList_New(0));
    self->busy = true;
    struct kevyrt_pipeline *core = core_new(self);
    if (core) status = kevyrt_pipeline_run(core, KEVYRT_TRY);
    if (goes_on(status)) {
        Py_BEGIN_ALLOW_THREADS status = kevyrt_pipeline_run(core, KEVYRT_WAIT_BRIEFLY);
        Py_END_ALLOW_THREADS
    }
    if (!core || !needs_thread(self, status))
        return end_core(self, core, status, raises == Py_True);
    self->core = core;
    atomic_store_relaxed(&self->cancelled, 0);
    Py_RETURN_NONE;
}

static bool is_given_up(struct pipeline *self, const struct kevyrt_pipeline *core) {
    return atomic_load_relaxed(&self->cancelled) && !kevyrt_pipeline_has_begun(core);
}

static PyObject *give_up(struct pipeline *self, struct kevyrt_pipeline *core) {
    kevyrt_pipeline_put(core);
    self->busy = false;
    if (reset(self) < 0) return awaitable_done(self->state, NULL);
    Py_RETURN_NONE;
}

static PyObject *pipeline_end_execute(struct pipeline *self, PyObject *raises) {
    struct kevyrt_pipeline *core = self->core;
    enum kevyrt_status status = KEVYRT_WOULD_WAIT;
    if (!core) {
        PyErr_SetString(PyExc_RuntimeError, "no execution has begun");
        return NULL;
    }
    self->core = NULL;
    Py_BEGIN_ALLOW_THREADS while (goes_on(status) && !is_given_up(self, core)) status =
        kevyrt_pipeline_run(core, KEVYRT_WAIT_BATONS);
    Py_END_ALLOW_THREADS if (goes_on(status)) return give_up(self, core);
    return end_core(self, core, status, raises == Py_True);
}

static PyObject *pipeline_cancel_execute(struct pipeline *self, PyObject *unused) {
    (void)unused;
    atomic_store_relaxed(&self->cancelled, 1);
    Py_RETURN_NONE;
}

/* ---- Python's side ------------------------------------------------------------------------------- */

static int pipeline_init(struct pipeline *self, PyObject *arguments, PyObject *keywords) {
    static char *names[] = {"face", "transaction", NULL};
    PyObject *object;
    int transaction = 1;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "O|p:Pipeline", names, &object,
                                     &transaction))
        return -1;
    struct module_state *state = module_state_of(Py_TYPE(self));
    if (!state) return -1;
    bool session = PyObject_TypeCheck(object, state->session_type);
    bool database = PyObject_TypeCheck(object, state->database_type);
    bool aio = PyObject_TypeCheck(object, state->aio.core_type);
    struct face *face = as_face(object);
    PyObject *server = object;
    if ((session || database || aio) && face_check_usable(face) < 0) return -1;
    if (session || database || aio) server = face->owner;
    if (aio && as_face(server)->owner) server = as_face(server)->owner; /* of a database */
    if (face_init(as_face(self), &face_queues, server) < 0) return -1;
    self->atomic = transaction;
    self->awaits = aio;
    if (database || aio) self->db = face->db;
    if (session) self->by = as_face(Py_NewRef(object));
    return 0;
}

static int pipeline_traverse(struct pipeline *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->owner);
    Py_VISIT(self->by);
    for (uint32_t i = 0; i < self->queue.count; i++) Py_VISIT(self->queue.results[i].then);
    return 0;
}

static int pipeline_clear(struct pipeline *self) {
    if (self->core) kevyrt_pipeline_put(self->core);
    self->core = NULL;
    self->server = NULL;
    self->watching = self->by_own = false;
    queue_empty(&self->queue);
    Py_CLEAR(self->by);
    Py_CLEAR(self->owner);
    return 0;
}

static void pipeline_dealloc(struct pipeline *self) {
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    pipeline_clear(self);
    queue_free(&self->queue);
    type->tp_free(self);
    Py_DECREF(type);
}

static Py_ssize_t pipeline_length(struct pipeline *self) {
    return self->queue.count;
}

static int pipeline_bool(struct pipeline *self) {
    (void)self;
    return 1;
}

static PyObject *command_tuple(const struct bytes *words, uint32_t length) {
    PyObject *tuple = PyTuple_New(length);
    for (uint32_t i = 0; tuple && i < length; i++) {
        PyObject *word = PyBytes_FromStringAndSize(words[i].at, words[i].len);
        if (word) PyTuple_SET_ITEM(tuple, i, word);
        else Py_CLEAR(tuple);
    }
    return tuple;
}

/* What is queued at this moment. */
static PyObject *pipeline_iter(struct pipeline *self) {
    const struct bytes *words = self->queue.words;
    PyObject *list = PyList_New(self->queue.count);
    for (uint32_t i = 0; list && i < self->queue.count; words += self->queue.lines[i++].length) {
        PyObject *tuple = command_tuple(words, self->queue.lines[i].length);
        if (tuple) PyList_SET_ITEM(list, i, tuple);
        else Py_CLEAR(list);
    }
    PyObject *iterator = list ? PyObject_GetIter(list) : NULL;
    Py_XDECREF(list);
    return iterator;
}

static PyObject *pipeline_enter(PyObject *self, PyObject *unused) {
    (void)unused;
    return Py_NewRef(self);
}

static PyObject *pipeline_exit(struct pipeline *self, PyObject *const *values, Py_ssize_t count) {
    (void)values, (void)count;
    return pipeline_reset(self, NULL);
}

static PyMethodDef pipeline_methods[] = {
    {"_begin_execute", (PyCFunction)(void *)pipeline_begin_execute, METH_O,
     "_begin_execute($self, raise_on_error, /)\n--\n\n"
     "execute() for a loop: an awaitable. None: it would wait, and _end_execute() is to go on."},
    {"_end_execute", (PyCFunction)(void *)pipeline_end_execute, METH_O,
     "_end_execute($self, raise_on_error, /)\n--\n\n"
     "The rest of it, in any thread. None: it was cancelled, and nothing has run."},
    {"_cancel_execute", (PyCFunction)(void *)pipeline_cancel_execute, METH_NOARGS,
     "_cancel_execute($self, /)\n--\n\n"
     "_end_execute() is to return None, if nothing has run yet."},
    {"_begin_watch", (PyCFunction)(void *)pipeline_begin_watch, METH_FASTCALL,
     "_begin_watch($self, /, *names)\n--\n\n"
     "watch() for a loop: an awaitable; once it is through, _end_watch() is to be called."},
    {"_end_watch", (PyCFunction)(void *)pipeline_end_watch, METH_NOARGS,
     "_end_watch($self, /)\n--\n\nKeys are watched: commands run at once from now on."},
    {"_take_session", (PyCFunction)(void *)pipeline_take_session, METH_O,
     "_take_session($self, resets, /)\n--\n\n"
     "Before reset(), or unwatch(), in a loop: None, or the session whose end would wait, and is\n"
     "the caller's."},
    {"execute", (PyCFunction)(void *)pipeline_execute, METH_VARARGS | METH_KEYWORDS,
     "execute($self, /, raise_on_error=True)\n--\n\n"
     "Runs what is queued, and returns the list of results, in order.\n\n"
     "The pipeline is empty afterwards, and watches nothing. An error reply is raised, the first "
     "one\n"
     "with the number and the text of its command in front; without `raise_on_error` it is an\n"
     "exception object in the list. All commands run, whatever the others answer. Raises "
     "WatchError\n"
     "if a watched key has changed: then nothing ran; ExecAbortError, or the error of the\n"
     "first command that could not be queued, if a transaction was refused: then nothing ran "
     "either.\n"
     "Raises ServerStopped, ForkedError, MemoryError; RuntimeError while another thread is "
     "inside.\n\n"
     ">>> server.pipeline().set(\"a\", 1).incr(\"a\").execute()\n[True, 2]"},
    {"execute_command", (PyCFunction)(void *)pipeline_execute_command, METH_FASTCALL,
     "execute_command($self, /, *args)\n--\n\n"
     "Queues any command, whose result is its reply; returns the pipeline.\n\n"
     ">>> server.pipeline().execute_command(\"ECHO\", \"hello\").execute()\n[b'hello']"},
    {"watch", (PyCFunction)(void *)pipeline_watch, METH_FASTCALL,
     "watch($self, /, *names)\n--\n\n"
     "Watches keys: if one changes before execute(), that raises WatchError and runs nothing.\n\n"
     "Until multi() commands run at once and return their results. Raises Error behind multi().\n\n"
     ">>> with server.pipeline() as pipe:\n"
     "...     pipe.watch(\"a\")\n"
     "...     seen = int(pipe.get(\"a\") or 0)\n"
     "...     pipe.multi()\n"
     "...     pipe.set(\"a\", seen * 2).execute()\n"
     "True\n[True]"},
    {"unwatch", (PyCFunction)(void *)pipeline_unwatch, METH_NOARGS,
     "unwatch($self, /)\n--\n\nWatches nothing any more, and queues again. Returns True."},
    {"multi", (PyCFunction)(void *)pipeline_multi, METH_NOARGS,
     "multi($self, /)\n--\n\n"
     "Begins the transaction behind watch(): commands are queued again.\n\n"
     "Raises Error if it has begun, or if something is queued."},
    {"reset", (PyCFunction)(void *)pipeline_reset, METH_NOARGS,
     "reset($self, /)\n--\n\nForgets what is queued and what is watched."},
    {"close", (PyCFunction)(void *)pipeline_reset, METH_NOARGS,
     "close($self, /)\n--\n\nThe same as reset()."},
    {"__enter__", (PyCFunction)(void *)pipeline_enter, METH_NOARGS, "The pipeline."},
    {"__exit__", (PyCFunction)(void *)pipeline_exit, METH_FASTCALL, "Resets the pipeline."},
    {"_run", (PyCFunction)(void *)face_run, METH_FASTCALL, face_run_doc},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot pipeline_slots[] = {
    {Py_tp_init, pipeline_init},
    {Py_tp_dealloc, pipeline_dealloc},
    {Py_tp_traverse, pipeline_traverse},
    {Py_tp_clear, pipeline_clear},
    {Py_tp_methods, pipeline_methods},
    {Py_mp_length, pipeline_length},
    {Py_nb_bool, pipeline_bool},
    {Py_tp_iter, pipeline_iter},
    {Py_tp_doc, "The C half of kevyrt.Pipeline."},
    {0, NULL},
};

PyType_Spec pipeline_type_spec = {
    .name = "kevyrt._core.Pipeline",
    .basicsize = sizeof(struct pipeline),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = pipeline_slots,
};
