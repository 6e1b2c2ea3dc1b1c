/* SPDX-License-Identifier: MIT */
/* Documents, and running them.
 *
 * While a run that the main thread has started goes on, SIGINT and SIGTERM do not reach Python but
 * end the run in order. Once everything has been put back they are raised again, and Python does
 * with them whatever it would have done. */
#include "core.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

/* ---- documents ---- */

/* The arguments that say which document is meant, and which part of it. */
struct wanted {
    const char *text, *path, *name;
    Py_ssize_t size;
    struct core_texts sets, only, skip;
};

static void wanted_free(struct wanted *wanted)
{
    core_texts_free(&wanted->sets);
    core_texts_free(&wanted->only);
    core_texts_free(&wanted->skip);
}

static bool wanted_read(struct wanted *wanted, PyObject *sets, PyObject *only, PyObject *skip)
{
    if (!wanted->text == !wanted->path) {
        PyErr_SetString(PyExc_TypeError, "a document is given either as text or by its path");
        return false;
    }
    if ((!sets || core_texts_read(sets, &wanted->sets)) &&
        (!only || core_texts_read(only, &wanted->only)) &&
        (!skip || core_texts_read(skip, &wanted->skip)))
        return true;
    wanted_free(wanted);
    return false;
}

static int each(int (*function)(struct ce_document *, const char *, struct ce_error *),
                struct ce_document *doc, const struct core_texts *texts, struct ce_error *err)
{
    int r = 0;
    for (size_t i = 0; r >= 0 && i < texts->count; i++)
        r = function(doc, texts->items[i], err);
    return r;
}

static int open_document(const struct wanted *wanted, struct ce_document **ret_doc,
                         struct ce_error *err)
{
    struct ce_document *doc;
    int r = wanted->path ? ce_document_load(wanted->path, &doc, err)
                         : ce_document_parse(wanted->text, (size_t)wanted->size,
                                             wanted->name ? wanted->name : "document", &doc, err);
    if (r < 0)
        return r;
    if (ce_document_is_toolkit(doc)) {
        *err = (struct ce_error){
            .code = ENOTSUP,
            .message = "this is an experiment of the Chaos Toolkit, which the command `chaoseater "
                       "run` runs"};
        r = -ENOTSUP;
    }
    if (r >= 0)
        r = each(ce_document_set, doc, &wanted->sets, err);
    if (r >= 0)
        r = each(ce_document_only, doc, &wanted->only, err);
    if (r >= 0)
        r = each(ce_document_skip, doc, &wanted->skip, err);
    if (r >= 0)
        r = ce_document_validate(doc, err);
    if (r >= 0)
        *ret_doc = doc;
    else
        ce_document_free(doc);
    return r;
}

static PyObject *document(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"text", "path", "name", "sets", "only", "skip", NULL};
    struct wanted wanted = {0};
    PyObject *sets = NULL, *only = NULL, *skip = NULL;
    struct ce_document *doc = NULL;
    char *text = NULL;
    struct ce_error err = {0};
    int r;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|$z#zzOOO:document", names, &wanted.text,
                                     &wanted.size, &wanted.path, &wanted.name, &sets, &only,
                                     &skip) ||
        !wanted_read(&wanted, sets, only, skip))
        return NULL;
    Py_BEGIN_ALLOW_THREADS;
    r = open_document(&wanted, &doc, &err);
    if (r >= 0)
        r = ce_document_json(doc, &text, &err);
    ce_document_free(doc);
    Py_END_ALLOW_THREADS;
    wanted_free(&wanted);
    return core_text_or_raise(r, text, &err);
}

static PyObject *notices_of(const struct ce_document *doc)
{
    const char *notice;
    PyObject *list = PyList_New(0);
    for (size_t i = 0; list && (notice = ce_document_notice(doc, i)); i++) {
        PyObject *item = PyUnicode_DecodeUTF8(notice, (Py_ssize_t)strlen(notice), "replace");
        if (!item || PyList_Append(list, item) < 0)
            Py_CLEAR(list);
        Py_XDECREF(item);
    }
    return list;
}

/* ---- signals ---- */

static volatile sig_atomic_t stop_signal;

/* The first one counts: the run that it ends is already on its way through rollback. */
static void note_signal(int number)
{
    if (stop_signal == 0)
        stop_signal = number;
}

static const int stop_signals[] = {SIGINT, SIGTERM};
enum { STOP_SIGNALS = sizeof stop_signals / sizeof *stop_signals };

static void catch_signals(struct sigaction before[STOP_SIGNALS])
{
    struct sigaction action = {.sa_handler = note_signal, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    stop_signal = 0;
    for (size_t i = 0; i < STOP_SIGNALS; i++) {
        (void)sigaction(stop_signals[i], NULL, &before[i]);
        if (before[i].sa_handler != SIG_IGN)
            (void)sigaction(stop_signals[i], &action, NULL);
    }
}

/* Puts their handlers back and raises the one that came. */
static void release_signals(const struct sigaction before[STOP_SIGNALS])
{
    int came = stop_signal;
    for (size_t i = 0; i < STOP_SIGNALS; i++)
        (void)sigaction(stop_signals[i], &before[i], NULL);
    if (came != 0)
        (void)raise(came);
}

/* ---- running ---- */

/* Whom a run tells what it does. An exception of theirs ends the run, and is raised after it. */
struct listener {
    PyObject *function; /* NULL: nobody */
    volatile sig_atomic_t *signal;
    PyObject *type, *value, *traceback; /* of the exception */
};

static void tell(void *ctx, const struct ce_progress *now)
{
    struct listener *listener = ctx;
    if (listener->type)
        return;
    PyGILState_STATE lock = PyGILState_Ensure();
    PyObject *result = PyObject_CallFunction(
        listener->function, "{s:n,s:n,s:n,s:s,s:s,s:i,s:s,s:s,s:d,s:s,s:s,s:d}", "run",
        (Py_ssize_t)now->run, "run_count", (Py_ssize_t)now->run_count, "ended",
        (Py_ssize_t)now->ended, "experiment", now->experiment, "profile", now->profile, "repeat",
        now->repeat, "fault", now->fault, "phase", now->phase, "fraction", now->fraction, "status",
        now->status, "verdict", now->verdict, "score", now->score);
    if (!result) {
        PyErr_Fetch(&listener->type, &listener->value, &listener->traceback);
        *listener->signal = SIGINT;
    }
    Py_XDECREF(result);
    PyGILState_Release(lock);
}

static bool seed_read(PyObject *seed, struct ce_suite_options *options)
{
    options->has_seed = seed && seed != Py_None;
    if (options->has_seed)
        options->seed = PyLong_AsUnsignedLongLong(seed);
    return !PyErr_Occurred();
}

static PyObject *run(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {
        "text",       "path",      "name",    "sets",     "only",          "skip",      "seed",
        "parallel",   "fail_fast", "dry_run", "resume",   "both_profiles", "state_dir", "db",
        "no_history", "events",    "hits",    "progress", "signals",       "notice",    NULL};
    struct wanted wanted = {0};
    PyObject *sets = NULL, *only = NULL, *skip = NULL, *seed = NULL, *progress = NULL,
             *notice = NULL;
    int fail_fast = 0, dry_run = 0, resume = 0, both_profiles = 0, no_history = 0, signals = 0, r;
    unsigned parallel = 0;
    volatile sig_atomic_t own_signal = 0;
    struct sigaction before[STOP_SIGNALS];
    struct listener listener = {0};
    struct ce_document *doc = NULL;
    struct ce_results *results = NULL;
    struct ce_suite_options options = {0};
    struct ce_error err = {0};
    if (!PyArg_ParseTupleAndKeywords(
            args, kwargs, "|$z#zzOOOOIppppzzpzzOpO:run", names, &wanted.text, &wanted.size,
            &wanted.path, &wanted.name, &sets, &only, &skip, &seed, &parallel, &fail_fast, &dry_run,
            &resume, &both_profiles, &options.state_dir, &options.db, &no_history, &options.events,
            &options.hits, &progress, &signals, &notice) ||
        !seed_read(seed, &options) || !wanted_read(&wanted, sets, only, skip))
        return NULL;
    Py_BEGIN_ALLOW_THREADS;
    r = open_document(&wanted, &doc, &err);
    Py_END_ALLOW_THREADS;
    wanted_free(&wanted);
    if (r < 0)
        return core_raise(&err);
    PyObject *notices = notice && notice != Py_None ? notices_of(doc) : NULL;
    PyObject *told = notices ? PyObject_CallFunctionObjArgs(notice, notices, NULL) : NULL;
    Py_XDECREF(notices);
    Py_XDECREF(told);
    if (PyErr_Occurred()) {
        ce_document_free(doc);
        return NULL;
    }

    listener.function = progress != Py_None ? progress : NULL;
    listener.signal = signals ? &stop_signal : &own_signal;
    options.parallel = parallel;
    options.fail_fast = fail_fast;
    options.dry_run = dry_run;
    options.resume = resume;
    options.both_profiles = both_profiles;
    options.no_history = no_history;
    options.signal = listener.signal;
    options.progress = listener.function ? tell : NULL;
    options.progress_ctx = &listener;
    Py_BEGIN_ALLOW_THREADS;
    if (signals)
        catch_signals(before);
    r = ce_suite_run(doc, &options, &results, &err);
    if (signals && listener.type)
        stop_signal = 0; /* was the exception's, which is raised in its place */
    if (signals)
        release_signals(before);
    ce_document_free(doc);
    Py_END_ALLOW_THREADS;

    if (listener.type)
        PyErr_Restore(listener.type, listener.value, listener.traceback);
    if (listener.type || PyErr_CheckSignals() < 0) {
        ce_results_free(results);
        return NULL;
    }
    return r < 0 ? core_raise(&err) : core_results_new(PyModule_GetState(self), results);
}

PyMethodDef core_run_methods[] = {
    {"document", (PyCFunction)(void (*)(void))document, METH_VARARGS | METH_KEYWORDS, NULL},
    {"run", (PyCFunction)(void (*)(void))run, METH_VARARGS | METH_KEYWORDS, NULL},
    {0},
};
