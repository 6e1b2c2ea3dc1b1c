/* SPDX-License-Identifier: MIT */
/* The history of runs. */
#include "core.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

/* Several threads of Python may have it at once, but the library only lets one. */
struct history {
    PyObject_HEAD pthread_mutex_t lock;
    struct ce_history *history; /* NULL: closed */
};

static void dealloc(struct history *self)
{
    PyTypeObject *type = Py_TYPE(self);
    ce_history_close(self->history);
    (void)pthread_mutex_destroy(&self->lock);
    PyObject_Free(self);
    Py_DECREF(type);
}

static PyObject *close_(struct history *self, PyObject *none)
{
    Py_BEGIN_ALLOW_THREADS;
    (void)pthread_mutex_lock(&self->lock);
    ce_history_close(self->history);
    self->history = NULL;
    (void)pthread_mutex_unlock(&self->lock);
    Py_END_ALLOW_THREADS;
    Py_RETURN_NONE;
}

/* ---- questions ---- */

/* A question to the library, with all that any of them takes. */
struct question {
    struct ce_history_filter filter;
    struct core_texts runs;
    const char *text, *profile, *format, *path;
    struct ce_history_retention keep;
    double seconds;
    Py_ssize_t days;
    struct ce_results *results; /* answers */
    char *json;
    size_t count;
};
typedef int ask_fn(struct ce_history *history, struct question *question, struct ce_error *err);

/* True, or false with an exception. */
static bool ask(struct history *self, ask_fn *function, struct question *question)
{
    struct ce_error err = {.code = EBADF, .message = "the history has been closed"};
    int r = -EBADF;
    Py_BEGIN_ALLOW_THREADS;
    (void)pthread_mutex_lock(&self->lock);
    if (self->history)
        r = function(self->history, question, &err);
    (void)pthread_mutex_unlock(&self->lock);
    Py_END_ALLOW_THREADS;
    core_texts_free(&question->runs);
    return r >= 0 || core_raise(&err);
}

static PyObject *json_of(struct history *self, ask_fn *function, struct question *question)
{
    return ask(self, function, question) ? core_take_text(question->json) : NULL;
}

static bool score_read(PyObject *object, bool *ret_has, double *ret_score)
{
    *ret_has = object && object != Py_None;
    if (*ret_has)
        *ret_score = PyFloat_AsDouble(object);
    return !PyErr_Occurred();
}

/* The keywords of a filter; no others are accepted. */
static bool filter_read(PyObject *kwargs, struct ce_history_filter *filter)
{
    static char *names[] = {"layer", "fault",  "status",    "verdict",   "profile",
                            "tag",   "name",   "since",     "until",     "sort",
                            "limit", "offset", "min_score", "max_score", NULL};
    PyObject *none = PyTuple_New(0), *min_score = NULL, *max_score = NULL;
    Py_ssize_t limit = 0, offset = 0;
    bool read = none &&
                PyArg_ParseTupleAndKeywords(none, kwargs, "|$zzzzzzzzzznnOO", names, &filter->layer,
                                            &filter->fault, &filter->status, &filter->verdict,
                                            &filter->profile, &filter->tag, &filter->name,
                                            &filter->since, &filter->until, &filter->sort, &limit,
                                            &offset, &min_score, &max_score) &&
                score_read(min_score, &filter->has_min_score, &filter->min_score) &&
                score_read(max_score, &filter->has_max_score, &filter->max_score);
    Py_XDECREF(none);
    if (read && (limit < 0 || offset < 0)) {
        PyErr_SetString(PyExc_ValueError, "limit and offset are not negative");
        return false;
    }
    filter->limit = (size_t)limit;
    filter->offset = (size_t)offset;
    return read;
}

static int ask_list(struct ce_history *history, struct question *q, struct ce_error *err)
{
    return ce_history_list_json(history, &q->filter, &q->json, err);
}

static PyObject *list(struct history *self, PyObject *args, PyObject *kwargs)
{
    struct question q = {0};
    if (!PyArg_ParseTuple(args, ":list") || !filter_read(kwargs, &q.filter))
        return NULL;
    return json_of(self, ask_list, &q);
}

static int ask_count(struct ce_history *history, struct question *q, struct ce_error *err)
{
    return ce_history_count(history, &q->filter, &q->count, err);
}

static PyObject *count(struct history *self, PyObject *args, PyObject *kwargs)
{
    struct question q = {0};
    if (!PyArg_ParseTuple(args, ":count") || !filter_read(kwargs, &q.filter))
        return NULL;
    return ask(self, ask_count, &q) ? PyLong_FromSize_t(q.count) : NULL;
}

static int ask_summary(struct ce_history *history, struct question *q, struct ce_error *err)
{
    return ce_history_summary_json(history, &q->filter, &q->json, err);
}

static PyObject *summary(struct history *self, PyObject *args, PyObject *kwargs)
{
    struct question q = {0};
    if (!PyArg_ParseTuple(args, ":summary") || !filter_read(kwargs, &q.filter))
        return NULL;
    return json_of(self, ask_summary, &q);
}

static int ask_export(struct ce_history *history, struct question *q, struct ce_error *err)
{
    return ce_history_export(history, &q->filter, q->format, q->path, err);
}

static PyObject *export_(struct history *self, PyObject *args, PyObject *kwargs)
{
    struct question q = {0};
    if (!PyArg_ParseTuple(args, "ss:export", &q.format, &q.path) ||
        !filter_read(kwargs, &q.filter) || !ask(self, ask_export, &q))
        return NULL;
    Py_RETURN_NONE;
}

static int ask_show(struct ce_history *history, struct question *q, struct ce_error *err)
{
    return ce_history_show_json(history, q->text, &q->json, err);
}

static PyObject *show(struct history *self, PyObject *args)
{
    struct question q = {0};
    return PyArg_ParseTuple(args, "s:show", &q.text) ? json_of(self, ask_show, &q) : NULL;
}

static int ask_document(struct ce_history *history, struct question *q, struct ce_error *err)
{
    return ce_history_document(history, q->text, &q->json, err);
}

static PyObject *document(struct history *self, PyObject *args)
{
    struct question q = {0};
    return PyArg_ParseTuple(args, "s:document", &q.text) ? json_of(self, ask_document, &q) : NULL;
}

static int ask_query(struct ce_history *history, struct question *q, struct ce_error *err)
{
    return ce_history_query_json(history, q->text, q->seconds, &q->json, err);
}

static PyObject *query(struct history *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"sql", "seconds", NULL};
    struct question q = {.seconds = 5};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "s|d:query", names, &q.text, &q.seconds))
        return NULL;
    return json_of(self, ask_query, &q);
}

static int ask_trends(struct ce_history *history, struct question *q, struct ce_error *err)
{
    return ce_history_trends_json(history, q->text, (size_t)q->days, q->profile, &q->json, err);
}

static PyObject *trends(struct history *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"name", "days", "profile", NULL};
    struct question q = {.days = 30};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "s|nz:trends", names, &q.text, &q.days,
                                     &q.profile))
        return NULL;
    if (q.days < 0)
        return PyErr_Format(PyExc_ValueError, "days: %zd is negative", q.days);
    return json_of(self, ask_trends, &q);
}

static int ask_compare(struct ce_history *history, struct question *q, struct ce_error *err)
{
    return ce_history_compare_json(history, q->runs.items, q->runs.count, &q->json, err);
}

static PyObject *compare(struct history *self, PyObject *runs)
{
    struct question q = {0};
    return core_texts_read(runs, &q.runs) ? json_of(self, ask_compare, &q) : NULL;
}

static int ask_results(struct ce_history *history, struct question *q, struct ce_error *err)
{
    return ce_history_results(history, q->runs.items, q->runs.count, &q->results, err);
}

static PyObject *results(struct history *self, PyObject *runs)
{
    struct question q = {0};
    if (!core_texts_read(runs, &q.runs) || !ask(self, ask_results, &q))
        return NULL;
    return core_results_new(PyType_GetModuleState(Py_TYPE(self)), q.results);
}

/* ---- what changes it ---- */

static int ask_import(struct ce_history *history, struct question *q, struct ce_error *err)
{
    return ce_history_import(history, q->path, &q->count, err);
}

static PyObject *import_(struct history *self, PyObject *args)
{
    struct question q = {0};
    if (!PyArg_ParseTuple(args, "s:import_", &q.path) || !ask(self, ask_import, &q))
        return NULL;
    return PyLong_FromSize_t(q.count);
}

static int ask_prune(struct ce_history *history, struct question *q, struct ce_error *err)
{
    return ce_history_prune(history, &q->keep, &q->count, err);
}

static PyObject *prune(struct history *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"days", "runs", "dry_run", NULL};
    struct question q = {0};
    Py_ssize_t days = 0, runs = 0;
    int dry_run = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|$nnp:prune", names, &days, &runs, &dry_run))
        return NULL;
    if (days < 0 || runs < 0) {
        PyErr_SetString(PyExc_ValueError, "days and runs are not negative");
        return NULL;
    }
    q.keep = (struct ce_history_retention){(size_t)days, (size_t)runs, dry_run};
    return ask(self, ask_prune, &q) ? PyLong_FromSize_t(q.count) : NULL;
}

static PyMethodDef methods[] = {
    {"list", (PyCFunction)(void (*)(void))list, METH_VARARGS | METH_KEYWORDS, NULL},
    {"count", (PyCFunction)(void (*)(void))count, METH_VARARGS | METH_KEYWORDS, NULL},
    {"summary", (PyCFunction)(void (*)(void))summary, METH_VARARGS | METH_KEYWORDS, NULL},
    {"export", (PyCFunction)(void (*)(void))export_, METH_VARARGS | METH_KEYWORDS, NULL},
    {"show", (PyCFunction)(void (*)(void))show, METH_VARARGS, NULL},
    {"document", (PyCFunction)(void (*)(void))document, METH_VARARGS, NULL},
    {"query", (PyCFunction)(void (*)(void))query, METH_VARARGS | METH_KEYWORDS, NULL},
    {"trends", (PyCFunction)(void (*)(void))trends, METH_VARARGS | METH_KEYWORDS, NULL},
    {"compare", (PyCFunction)(void (*)(void))compare, METH_O, NULL},
    {"results", (PyCFunction)(void (*)(void))results, METH_O, NULL},
    {"import_", (PyCFunction)(void (*)(void))import_, METH_VARARGS, NULL},
    {"prune", (PyCFunction)(void (*)(void))prune, METH_VARARGS | METH_KEYWORDS, NULL},
    {"close", (PyCFunction)(void (*)(void))close_, METH_NOARGS, NULL},
    {0},
};

static PyType_Slot slots[] = {
    {Py_tp_dealloc, (void *)dealloc},
    {Py_tp_methods, methods},
    {Py_tp_doc, (void *)"The runs that have ended, in an SQLite database."},
    {0},
};

PyType_Spec core_history_spec = {
    .name = "chaoseater._core.History",
    .basicsize = sizeof(struct history),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};

static PyObject *history(PyObject *module, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"db", "state_dir", "write", NULL};
    const char *db = NULL, *state_dir = NULL;
    struct ce_history *opened = NULL;
    struct ce_error err = {0};
    int writes = 0, r;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|zzp:history", names, &db, &state_dir, &writes))
        return NULL;
    Py_BEGIN_ALLOW_THREADS;
    r = ce_history_open(db, state_dir, writes, &opened, &err);
    Py_END_ALLOW_THREADS;
    if (r < 0)
        return core_raise(&err);
    const struct core_state *state = PyModule_GetState(module);
    struct history *self = PyObject_New(struct history, state->history);
    if (!self) {
        ce_history_close(opened);
        return NULL;
    }
    (void)pthread_mutex_init(&self->lock, NULL);
    self->history = opened;
    return (PyObject *)self;
}

PyMethodDef core_history_methods[] = {
    {"history", (PyCFunction)(void (*)(void))history, METH_VARARGS | METH_KEYWORDS, NULL},
    {0},
};
