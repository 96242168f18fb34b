/* The C half of kevyrt.clock. */
#include "py/faces/face.h"

PyObject *server_clock_change(struct server_object *self, PyObject *arguments) {
    struct kevyrt_error error = {0};
    enum kevyrt_status status;
    int change;
    long long us;
    if (!PyArg_ParseTuple(arguments, "iL", &change, &us) || face_check_usable(as_face(self)) < 0)
        return NULL;
    Py_BEGIN_ALLOW_THREADS status =
        kevyrt_clock_change(self->server, (enum kevyrt_clock_change)change, us, &error);
    Py_END_ALLOW_THREADS if (status == KEVYRT_OK) Py_RETURN_NONE;
    if (status != KEVYRT_REFUSED) return errors_raise(self->state, status, &error);
    PyErr_SetString(PyExc_RuntimeError, error.text);
    return NULL;
}

PyObject *server_clock_read(struct server_object *self, PyObject *unused) {
    (void)unused;
    struct kevyrt_clock clock;
    if (face_check_usable(as_face(self)) < 0) return NULL;
    kevyrt_clock_read(self->server, &clock);
    return Py_BuildValue("LLN", (long long)clock.now_us, (long long)clock.offset_us,
                         PyBool_FromLong(clock.frozen));
}

int clock_init(PyObject *module) {
    static const struct {
        const char *name;
        enum kevyrt_clock_change change;
    } changes[] = {
        {"CLOCK_FREEZE", KEVYRT_CLOCK_FREEZE},   {"CLOCK_RESUME", KEVYRT_CLOCK_RESUME},
        {"CLOCK_ADVANCE", KEVYRT_CLOCK_ADVANCE}, {"CLOCK_SET", KEVYRT_CLOCK_SET},
        {"CLOCK_RESET", KEVYRT_CLOCK_RESET},
    };
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++)
        if (PyModule_AddIntConstant(module, changes[i].name, changes[i].change) < 0) return -1;
    return 0;
}
