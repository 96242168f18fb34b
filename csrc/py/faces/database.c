/* kevyrt.Database: one of a server's databases, called in process. */
#include "py/awaiting/aio.h"

static int database_init(struct face *self, PyObject *arguments, PyObject *keywords) {
    static char *names[] = {"server", "db", "decode_responses", NULL};
    PyObject *server, *db, *decodes = Py_None;
    uint32_t number;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "OO|O:Database", names, &server, &db,
                                     &decodes))
        return -1;
    int decodes_now = decodes == Py_None ? 0 : PyObject_IsTrue(decodes);
    if (decodes_now < 0 || face_parse_db(db, &number) < 0) return -1;
    if (face_init(self, &face_calls, server) < 0) return -1;
    self->db = number;
    if (decodes != Py_None) self->decodes = decodes_now;
    return 0;
}

static PyMethodDef database_methods[] = {
    {"execute", (PyCFunction)(void *)face_execute, METH_FASTCALL, face_execute_doc},
    {"get_view", (PyCFunction)(void *)view_get, METH_O, view_get_doc},
    {"_run", (PyCFunction)(void *)face_run, METH_FASTCALL, face_run_doc},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef database_properties[] = {
    {"aio", (getter)(void *)face_get_aio, NULL, aio_property_doc, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot database_slots[] = {
    {Py_tp_init, database_init},
    {Py_tp_dealloc, face_dealloc},
    {Py_tp_traverse, face_traverse},
    {Py_tp_clear, face_clear},
    {Py_tp_methods, database_methods},
    {Py_tp_getset, database_properties},
    MAPPING_SLOTS,
    {Py_tp_doc, "The C half of kevyrt.Database."},
    {0, NULL},
};

PyType_Spec database_type_spec = {
    .name = "kevyrt._core.Database",
    .basicsize = sizeof(struct face),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = database_slots,
};
