/* SPDX-License-Identifier: MIT */
/* What there is: faults, the host, the state folder, and what is live in it. */
#include "core.h"

#include <errno.h>
#include <stdio.h>

static PyObject *version(PyObject *self, PyObject *none)
{
    return PyUnicode_FromString(ce_version());
}

static PyObject *faults(PyObject *self, PyObject *none)
{
    char *text;
    Py_BEGIN_ALLOW_THREADS;
    text = ce_faults_json(); /* asks the host what it can do */
    Py_END_ALLOW_THREADS;
    return core_take_text(text);
}

static PyObject *fault(PyObject *self, PyObject *args)
{
    const char *name;
    char *text;
    if (!PyArg_ParseTuple(args, "s:fault", &name))
        return NULL;
    const struct ce_fault *found = ce_fault_find(name);
    if (!found) {
        struct ce_error err = {.code = ENOENT};
        snprintf(err.message, sizeof err.message, "there is no fault '%.100s'; did you mean '%s'?",
                 name, ce_fault_nearest(name));
        return core_raise(&err);
    }
    Py_BEGIN_ALLOW_THREADS;
    text = ce_fault_json(found);
    Py_END_ALLOW_THREADS;
    return core_take_text(text);
}

static PyObject *schema(PyObject *self, PyObject *none)
{
    return core_take_text(ce_document_schema());
}

static PyObject *doctor(PyObject *self, PyObject *none)
{
    char *text;
    Py_BEGIN_ALLOW_THREADS;
    text = ce_doctor_json();
    Py_END_ALLOW_THREADS;
    return core_take_text(text);
}

static PyObject *state_dir(PyObject *self, PyObject *none)
{
    return core_take_text(ce_state_dir());
}

static PyObject *status(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"state_dir", NULL};
    const char *folder = NULL;
    char *text = NULL;
    struct ce_error err = {0};
    int r;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|z:status", names, &folder))
        return NULL;
    Py_BEGIN_ALLOW_THREADS;
    r = ce_status_json(folder, &text, &err);
    Py_END_ALLOW_THREADS;
    return core_text_or_raise(r, text, &err);
}

static PyObject *recover(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"state_dir", NULL};
    const char *folder = NULL;
    struct ce_recovery recovery = {0};
    struct ce_error err = {0};
    int r;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|z:recover", names, &folder))
        return NULL;
    Py_BEGIN_ALLOW_THREADS;
    r = ce_recover(folder, &recovery, &err);
    Py_END_ALLOW_THREADS;
    if (r < 0)
        return core_raise(&err);
    return Py_BuildValue("(nnn)", (Py_ssize_t)recovery.undone, (Py_ssize_t)recovery.failed,
                         (Py_ssize_t)recovery.foreign);
}

static PyObject *stop(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"state_dir", "release", NULL};
    const char *folder = NULL;
    int release = 0, r;
    struct ce_error err = {0};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|zp:stop", names, &folder, &release))
        return NULL;
    Py_BEGIN_ALLOW_THREADS;
    r = ce_stop(folder, release, &err);
    Py_END_ALLOW_THREADS;
    return r < 0 ? core_raise(&err) : PyBool_FromLong(r);
}

PyMethodDef core_host_methods[] = {
    {"version", version, METH_NOARGS, NULL},
    {"faults", faults, METH_NOARGS, NULL},
    {"fault", fault, METH_VARARGS, NULL},
    {"schema", schema, METH_NOARGS, NULL},
    {"doctor", doctor, METH_NOARGS, NULL},
    {"state_dir", state_dir, METH_NOARGS, NULL},
    {"status", (PyCFunction)(void (*)(void))status, METH_VARARGS | METH_KEYWORDS, NULL},
    {"recover", (PyCFunction)(void (*)(void))recover, METH_VARARGS | METH_KEYWORDS, NULL},
    {"stop", (PyCFunction)(void (*)(void))stop, METH_VARARGS | METH_KEYWORDS, NULL},
    {0},
};
