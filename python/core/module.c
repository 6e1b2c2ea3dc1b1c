/* SPDX-License-Identifier: MIT */
#include "core.h"

#include <string.h>

PyObject *core_raise(const struct ce_error *err)
{
    PyObject *module = PyImport_ImportModule("chaoseater.errors");
    PyObject *error = module ? PyObject_CallMethod(module, "from_core", "iss", err->code,
                                                   err->where, err->message)
                             : NULL;
    if (error)
        PyErr_SetObject((PyObject *)Py_TYPE(error), error);
    Py_XDECREF(error);
    Py_XDECREF(module);
    return NULL;
}

PyObject *core_take_text(char *text)
{
    if (!text)
        return PyErr_NoMemory();
    PyObject *string = PyUnicode_DecodeUTF8(text, (Py_ssize_t)strlen(text), "replace");
    ce_string_free(text);
    return string;
}

PyObject *core_text_or_raise(int r, char *text, const struct ce_error *err)
{
    return r < 0 ? core_raise(err) : core_take_text(text);
}

bool core_texts_read(PyObject *sequence, struct core_texts *ret_texts)
{
    struct core_texts texts = {0};
    if (PyUnicode_Check(sequence)) {
        PyErr_SetString(PyExc_TypeError, "expected a sequence of str, not one str");
        return false;
    }
    texts.kept = PySequence_Tuple(sequence);
    Py_ssize_t count = texts.kept ? PyTuple_Size(texts.kept) : -1;
    if (count >= 0)
        texts.items = PyMem_Calloc((size_t)count + 1, sizeof *texts.items);
    if (count >= 0 && !texts.items)
        (void)PyErr_NoMemory();
    for (Py_ssize_t i = 0; texts.items && i < count; i++) {
        Py_ssize_t size;
        const char *item = PyUnicode_AsUTF8AndSize(PyTuple_GetItem(texts.kept, i), &size);
        if (item && strlen(item) != (size_t)size)
            PyErr_SetString(PyExc_ValueError, "embedded null character");
        if (PyErr_Occurred())
            break;
        texts.items[texts.count++] = item;
    }
    if (PyErr_Occurred()) {
        core_texts_free(&texts);
        return false;
    }
    *ret_texts = texts;
    return true;
}

void core_texts_free(struct core_texts *texts)
{
    PyMem_Free(texts->items);
    Py_CLEAR(texts->kept);
    *texts = (struct core_texts){0};
}

static int add_type(PyObject *module, PyType_Spec *spec, PyTypeObject **ret_type)
{
    PyObject *type = PyType_FromModuleAndSpec(module, spec, NULL);
    if (!type)
        return -1;
    *ret_type = (PyTypeObject *)type;
    return PyModule_AddType(module, *ret_type);
}

static int fill_module(PyObject *module)
{
    PyMethodDef *const all[] = {core_run_methods,     core_host_methods,    core_results_methods,
                                core_history_methods, core_grafana_methods, core_data_methods};
    struct core_state *state = PyModule_GetState(module);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (PyModule_AddFunctions(module, all[i]) < 0)
            return -1;
    if (add_type(module, &core_results_spec, &state->results) < 0)
        return -1;
    return add_type(module, &core_history_spec, &state->history);
}

static int visit_module(PyObject *module, visitproc visit, void *arg)
{
    struct core_state *state = PyModule_GetState(module);
    Py_VISIT(state->results);
    Py_VISIT(state->history);
    return 0;
}

static int clear_module(PyObject *module)
{
    struct core_state *state = PyModule_GetState(module);
    Py_CLEAR(state->results);
    Py_CLEAR(state->history);
    return 0;
}

static PyModuleDef_Slot slots[] = {{Py_mod_exec, fill_module}, {0}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "chaoseater._core",
    .m_doc = "The C library of ChaosEater. What programs use is in the package around it.",
    .m_size = sizeof(struct core_state),
    .m_slots = slots,
    .m_traverse = visit_module,
    .m_clear = clear_module,
};

PyMODINIT_FUNC PyInit__core(void)
{
    return PyModuleDef_Init(&definition);
}
