/* SPDX-License-Identifier: MIT */
/* What came of a suite. */
#include "core.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* Several threads of Python may have it at once, but the library only lets one. */
struct results {
    PyObject_HEAD pthread_mutex_t lock;
    struct ce_results *results;
};

PyObject *core_results_new(const struct core_state *state, struct ce_results *results)
{
    struct results *self = PyObject_New(struct results, state->results);
    if (!self) {
        ce_results_free(results);
        return NULL;
    }
    (void)pthread_mutex_init(&self->lock, NULL);
    self->results = results;
    return (PyObject *)self;
}

static void dealloc(struct results *self)
{
    PyTypeObject *type = Py_TYPE(self);
    ce_results_free(self->results);
    (void)pthread_mutex_destroy(&self->lock);
    PyObject_Free(self);
    Py_DECREF(type);
}

static PyObject *exit_code(struct results *self, PyObject *none)
{
    return PyLong_FromLong(ce_results_exit_code(self->results));
}

static PyObject *clean(struct results *self, PyObject *none)
{
    return PyBool_FromLong(ce_results_clean(self->results));
}

static PyObject *problems(struct results *self, PyObject *none)
{
    const char *const all[] = {
        ce_results_hits_lost(self->results) ? "lines are missing in the file of hits" : NULL,
        ce_results_history_problem(self->results),
        ce_results_events_problem(self->results),
        ce_results_push_warning(self->results),
    };
    PyObject *list = PyList_New(0);
    for (size_t i = 0; list && i < sizeof all / sizeof *all; i++) {
        PyObject *item = all[i] ? PyUnicode_FromString(all[i]) : NULL;
        if (all[i] && (!item || PyList_Append(list, item) < 0))
            Py_CLEAR(list);
        Py_XDECREF(item);
    }
    return list;
}

static int write_text(struct results *self, const char *format, bool color, char **ret_text,
                      size_t *ret_size, struct ce_error *err)
{
    FILE *out = open_memstream(ret_text, ret_size);
    if (!out) {
        *err = (struct ce_error){.code = ENOMEM, .message = "out of memory"};
        return -ENOMEM;
    }
    (void)pthread_mutex_lock(&self->lock);
    int r = ce_results_write(self->results, format, out, color, err);
    (void)pthread_mutex_unlock(&self->lock);
    (void)fclose(out);
    return r;
}

static PyObject *write_(struct results *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"format", "color", NULL};
    const char *format = "text";
    int color = 0, r;
    char *text = NULL;
    size_t size = 0;
    struct ce_error err = {0};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|sp:write", names, &format, &color))
        return NULL;
    Py_BEGIN_ALLOW_THREADS;
    r = write_text(self, format, color, &text, &size, &err);
    Py_END_ALLOW_THREADS;
    PyObject *string =
        r < 0 ? core_raise(&err) : PyUnicode_DecodeUTF8(text, (Py_ssize_t)size, "replace");
    free(text);
    return string;
}

/* The first of an object's baseline that the gate needs, or NULL for None. */
static bool baseline_read(struct results *self, PyObject *object, const struct ce_results **ret)
{
    *ret = NULL;
    if (!object || object == Py_None)
        return true;
    if (Py_TYPE(object) != Py_TYPE(self)) {
        PyErr_SetString(PyExc_TypeError, "baseline: expected Results");
        return false;
    }
    *ret = ((struct results *)object)->results;
    return true;
}

static PyObject *gate(struct results *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"min_score", "on", "baseline", "max_drop", NULL};
    struct ce_gate_options options = {.min_score = 70};
    PyObject *baseline = NULL;
    struct ce_error err = {0};
    int r;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|dzOd:gate", names, &options.min_score,
                                     &options.on, &baseline, &options.max_drop) ||
        !baseline_read(self, baseline, &options.baseline))
        return NULL;
    Py_BEGIN_ALLOW_THREADS;
    (void)pthread_mutex_lock(&self->lock);
    r = ce_results_gate(self->results, &options, &err);
    (void)pthread_mutex_unlock(&self->lock);
    Py_END_ALLOW_THREADS;
    return r < 0 ? core_raise(&err) : PyLong_FromLong(ce_results_exit_code(self->results));
}

static PyMethodDef methods[] = {
    {"exit_code", (PyCFunction)(void (*)(void))exit_code, METH_NOARGS, NULL},
    {"clean", (PyCFunction)(void (*)(void))clean, METH_NOARGS, NULL},
    {"problems", (PyCFunction)(void (*)(void))problems, METH_NOARGS, NULL},
    {"write", (PyCFunction)(void (*)(void))write_, METH_VARARGS | METH_KEYWORDS, NULL},
    {"gate", (PyCFunction)(void (*)(void))gate, METH_VARARGS | METH_KEYWORDS, NULL},
    {0},
};

static PyType_Slot slots[] = {
    {Py_tp_dealloc, (void *)dealloc},
    {Py_tp_methods, methods},
    {Py_tp_doc, (void *)"What came of a suite. See chaoseater.Result, which is made of one."},
    {0},
};

PyType_Spec core_results_spec = {
    .name = "chaoseater._core.Results",
    .basicsize = sizeof(struct results),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};

static PyObject *results_read(PyObject *self, PyObject *args)
{
    const char *path;
    struct ce_results *results = NULL;
    struct ce_error err = {0};
    int r;
    if (!PyArg_ParseTuple(args, "s:results_read", &path))
        return NULL;
    Py_BEGIN_ALLOW_THREADS;
    r = ce_results_read(path, &results, &err);
    Py_END_ALLOW_THREADS;
    return r < 0 ? core_raise(&err) : core_results_new(PyModule_GetState(self), results);
}

static PyObject *report_formats(PyObject *self, PyObject *none)
{
    const char *name;
    PyObject *list = PyList_New(0);
    for (size_t i = 0; list && (name = ce_report_format_at(i)); i++) {
        PyObject *item = PyUnicode_FromString(name);
        if (!item || PyList_Append(list, item) < 0)
            Py_CLEAR(list);
        Py_XDECREF(item);
    }
    return list;
}

PyMethodDef core_results_methods[] = {
    {"results_read", results_read, METH_VARARGS, NULL},
    {"report_formats", report_formats, METH_NOARGS, NULL},
    {0},
};
