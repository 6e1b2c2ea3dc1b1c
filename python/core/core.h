/* SPDX-License-Identifier: MIT */
/* What the files of the extension chaoseater._core share.
 *
 * It is as thin as it can be: arguments in, one call of the library without the interpreter's lock,
 * results out. Documents and reports cross the border as JSON or YAML text; what is comfortable is
 * made of them in Python. Only the limited API is used, so one build serves every CPython
 * from 3.10.
 */
#ifndef CHAOSEATER_PYTHON_CORE_H
#define CHAOSEATER_PYTHON_CORE_H

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030a0000
#include <Python.h>

#include <chaoseater.h>

struct core_state {
    PyTypeObject *results;
    PyTypeObject *history;
};

/* Raises what chaoseater.errors makes of it; always NULL. */
PyObject *core_raise(const struct ce_error *err);
/* A text of the library as a str; frees it. NULL raises MemoryError. */
PyObject *core_take_text(char *text);
/* core_take_text() if `r` is not negative, else core_raise(). */
PyObject *core_text_or_raise(int r, char *text, const struct ce_error *err);

/* A sequence of str as the library wants it. Zeroed: empty. Free with core_texts_free(). */
struct core_texts {
    const char **items; /* borrowed from `kept` */
    size_t count;
    PyObject *kept;
};
/* False with an exception: it is no sequence of str, or one of them has a NUL in it. */
bool core_texts_read(PyObject *sequence, struct core_texts *ret_texts);
void core_texts_free(struct core_texts *texts);

/* Results as a Python object, which frees them; NULL with an exception frees them at once. */
PyObject *core_results_new(const struct core_state *state, struct ce_results *results);

extern PyType_Spec core_results_spec;
extern PyType_Spec core_history_spec;
extern PyMethodDef core_run_methods[];     /* documents, and running them */
extern PyMethodDef core_host_methods[];    /* faults, the state folder, what is live */
extern PyMethodDef core_results_methods[]; /* reading reports */
extern PyMethodDef core_history_methods[];
extern PyMethodDef core_grafana_methods[];
extern PyMethodDef core_data_methods[]; /* tables in memory */

#endif
