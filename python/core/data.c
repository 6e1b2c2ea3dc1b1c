/* SPDX-License-Identifier: MIT */
/* Faults in tables: streams of the Arrow C stream interface, in capsules as the Arrow PyCapsule
 * interface has them. */
#include "data.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define STREAM "arrow_array_stream"
#define RUN    "chaoseater.run"

/* ---- capsules ---- */

bool data_take_stream(PyObject *capsule, struct ArrowArrayStream *ret_stream)
{
    struct ArrowArrayStream *stream = PyCapsule_GetPointer(capsule, STREAM);
    if (!stream)
        return false;
    if (!stream->release) {
        PyErr_SetString(PyExc_ValueError, "the stream has been used already");
        return false;
    }
    *ret_stream = *stream;
    stream->release = NULL;
    return true;
}

static void free_stream_capsule(PyObject *capsule)
{
    struct ArrowArrayStream *stream = PyCapsule_GetPointer(capsule, STREAM);
    if (stream && stream->release)
        stream->release(stream);
    free(stream);
}

PyObject *data_give_stream(struct ArrowArrayStream *stream)
{
    struct ArrowArrayStream *kept = malloc(sizeof *kept);
    PyObject *capsule = kept ? PyCapsule_New(kept, STREAM, free_stream_capsule) : PyErr_NoMemory();
    if (!capsule) {
        stream->release(stream);
        free(kept);
        return NULL;
    }
    *kept = *stream;
    return capsule;
}

/* ---- a job, as long as its stream or its result are asked for ---- */

struct run {
    pthread_mutex_t lock; /* of what follows */
    int refs;
    char *result; /* NULL: not yet known */
    struct ce_data_job *job;
    struct ArrowArrayStream inner;
};

static void run_unref(struct run *run)
{
    (void)pthread_mutex_lock(&run->lock);
    int left = --run->refs;
    (void)pthread_mutex_unlock(&run->lock);
    if (left > 0)
        return;
    ce_data_job_free(run->job);
    free(run->result);
    (void)pthread_mutex_destroy(&run->lock);
    free(run);
}

/* Called by whoever pulls the stream, with or without the interpreter's lock. */
static void run_told(void *ctx, const char *json)
{
    struct run *run = ctx;
    (void)pthread_mutex_lock(&run->lock);
    free(run->result);
    run->result = strdup(json);
    (void)pthread_mutex_unlock(&run->lock);
}

static int run_schema(struct ArrowArrayStream *stream, struct ArrowSchema *out)
{
    struct run *run = stream->private_data;
    return run->inner.get_schema(&run->inner, out);
}

static int run_next(struct ArrowArrayStream *stream, struct ArrowArray *out)
{
    struct run *run = stream->private_data;
    return run->inner.get_next(&run->inner, out);
}

static const char *run_error(struct ArrowArrayStream *stream)
{
    struct run *run = stream->private_data;
    return run->inner.get_last_error(&run->inner);
}

static void run_release(struct ArrowArrayStream *stream)
{
    struct run *run = stream->private_data;
    run->inner.release(&run->inner);
    stream->release = NULL;
    run_unref(run);
}

static void free_run_capsule(PyObject *capsule)
{
    run_unref(PyCapsule_GetPointer(capsule, RUN));
}

static PyObject *result(PyObject *module, PyObject *capsule)
{
    struct run *run = PyCapsule_GetPointer(capsule, RUN);
    if (!run)
        return NULL;
    (void)pthread_mutex_lock(&run->lock);
    char *text = run->result ? strdup(run->result) : NULL;
    bool known = run->result;
    (void)pthread_mutex_unlock(&run->lock);
    if (!known) {
        PyErr_SetString(PyExc_ValueError, "the stream has not been pulled to its end");
        return NULL;
    }
    PyObject *string =
        text ? PyUnicode_DecodeUTF8(text, (Py_ssize_t)strlen(text), "replace") : PyErr_NoMemory();
    free(text);
    return string;
}

/* ---- inject ---- */

static int add_fault(struct ce_data_job *job, PyObject *fault, struct ce_error *err)
{
    const char *name;
    PyObject *assignments;
    struct core_texts texts = {0};
    if (!PyTuple_Check(fault) || !PyArg_ParseTuple(fault, "sO", &name, &assignments)) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_TypeError, "a fault is a name and a list of assignments");
        return -1;
    }
    if (!core_texts_read(assignments, &texts))
        return -1;
    int r = ce_data_job_add(job, name, err);
    for (size_t i = 0; r >= 0 && i < texts.count; i++)
        r = ce_data_job_set(job, texts.items[i], err);
    core_texts_free(&texts);
    if (r < 0)
        (void)core_raise(err);
    return r;
}

static struct run *make_run(PyObject *faults)
{
    struct ce_error err = {0};
    struct run *run = calloc(1, sizeof *run);
    PyObject *all = run ? PySequence_Tuple(faults) : PyErr_NoMemory();
    if (!all) {
        free(run);
        return NULL;
    }
    run->refs = 1;
    (void)pthread_mutex_init(&run->lock, NULL);
    int r = ce_data_job_new(&run->job, &err);
    if (r < 0)
        (void)core_raise(&err);
    for (Py_ssize_t i = 0; r >= 0 && i < PyTuple_Size(all); i++)
        r = add_fault(run->job, PyTuple_GetItem(all, i), &err);
    Py_DECREF(all);
    if (r < 0) {
        run_unref(run);
        return NULL;
    }
    return run;
}

static bool take_both(PyObject *one, PyObject *other, struct ArrowArrayStream *ret_one,
                      struct ArrowArrayStream *ret_other)
{
    if (!data_take_stream(one, ret_one))
        return false;
    if (other == Py_None || data_take_stream(other, ret_other))
        return true;
    ret_one->release(ret_one);
    return false;
}

/* The stream, and what result() takes. Takes the run over. */
static PyObject *give_run(struct run *run)
{
    struct ArrowArrayStream stream = {run_schema, run_next, run_error, run_release, run};
    run->refs++; /* one for the stream, one for the capsule of the result */
    PyObject *capsule = PyCapsule_New(run, RUN, free_run_capsule);
    if (!capsule)
        run_unref(run);
    PyObject *given = data_give_stream(&stream);
    PyObject *both = capsule && given ? PyTuple_Pack(2, given, capsule) : NULL;
    Py_XDECREF(capsule);
    Py_XDECREF(given);
    return both;
}

static PyObject *inject(PyObject *module, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"stream", "profiled", "faults", "seed",
                            "key",    "threads",  "stats",  NULL};
    PyObject *in_capsule, *profiled_capsule, *faults, *seed = Py_None;
    struct ce_data_job_options options = {0};
    struct ArrowArrayStream in, profiled = {0};
    struct ce_error err = {0};
    int r;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOO|$OzIz:inject", names, &in_capsule,
                                     &profiled_capsule, &faults, &seed, &options.key,
                                     &options.threads, &options.stats))
        return NULL;
    options.has_seed = seed != Py_None;
    options.seed = options.has_seed ? PyLong_AsUnsignedLongLong(seed) : 0;
    if (PyErr_Occurred())
        return NULL;
    struct run *run = make_run(faults);
    if (!run)
        return NULL;
    options.result = run_told;
    options.result_ctx = run;
    if (!take_both(in_capsule, profiled_capsule, &in, &profiled)) {
        run_unref(run);
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS;
    r = ce_data_job_stream(run->job, &in, &profiled, &options, &run->inner, &err);
    Py_END_ALLOW_THREADS;
    if (r < 0) {
        run_unref(run);
        return core_raise(&err);
    }
    return give_run(run);
}

/* ---- looking, and putting back ---- */

static PyObject *profile(PyObject *module, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"stream", "reference", "threads", NULL};
    PyObject *in_capsule, *reference_capsule = Py_None;
    struct ArrowArrayStream in, reference = {0};
    unsigned threads = 0; /* a stream is read by one */
    struct ce_error err = {0};
    char *json = NULL;
    int r;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|OI:profile", names, &in_capsule,
                                     &reference_capsule, &threads) ||
        !take_both(in_capsule, reference_capsule, &in, &reference))
        return NULL;
    Py_BEGIN_ALLOW_THREADS;
    r = ce_data_profile_stream_json(&in, reference.release ? &reference : NULL, &json, &err);
    Py_END_ALLOW_THREADS;
    return core_text_or_raise(r, json, &err);
}

static PyObject *revert(PyObject *module, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"stream", "key", NULL};
    PyObject *capsule;
    const char *key;
    struct ArrowArrayStream in, out;
    struct ce_error err = {0};
    int r;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "Os:revert", names, &capsule, &key) ||
        !data_take_stream(capsule, &in))
        return NULL;
    Py_BEGIN_ALLOW_THREADS;
    r = ce_data_revert_stream(&in, key, &out, &err);
    Py_END_ALLOW_THREADS;
    return r < 0 ? core_raise(&err) : data_give_stream(&out);
}

#define WITH_NAMES(function) (PyCFunction)(void (*)(void)) function, METH_VARARGS | METH_KEYWORDS
PyMethodDef core_data_methods[] = {
    {"inject", WITH_NAMES(inject), "A stream with faults in it, and what its result is asked of."},
    {"result", result, METH_O, "What `data inject --json` prints, once the stream has ended."},
    {"profile", WITH_NAMES(profile), "Statistics of a stream as JSON, and how far it has moved."},
    {"revert", WITH_NAMES(revert), "The stream as it was before an answer key's faults."},
    {"table", data_table, METH_VARARGS, "A stream of columns that lie in memory."},
    {"pull", data_pull, METH_O, "All batches of a stream."},
    {"fields", data_fields, METH_O, "The columns of what was pulled."},
    {"chunks", data_chunks, METH_VARARGS, "Where a column of what was pulled lies."},
    {"push", data_push, METH_VARARGS, "What was pulled, or a column of it, as a stream again."},
    {"pack_texts", data_pack_texts, METH_VARARGS, "Texts as a column."},
    {"unpack_texts", data_unpack_texts, METH_VARARGS, "A column as texts."},
    {NULL},
};
