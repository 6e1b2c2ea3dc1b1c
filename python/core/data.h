/* SPDX-License-Identifier: MIT */
/* Tables in memory: what is shared by the file that calls the engine and the one that makes streams
 * of memory that Python owns, and memory for Python of streams. */
#ifndef CHAOSEATER_PYTHON_DATA_H
#define CHAOSEATER_PYTHON_DATA_H

#include "core.h"

#include <stdint.h>

/* The Arrow C data and C stream interfaces, as their specification has them. */
struct ArrowSchema {
    const char *format;
    const char *name;
    const char *metadata;
    int64_t flags;
    int64_t n_children;
    struct ArrowSchema **children;
    struct ArrowSchema *dictionary;
    void (*release)(struct ArrowSchema *);
    void *private_data;
};

struct ArrowArray {
    int64_t length;
    int64_t null_count;
    int64_t offset;
    int64_t n_buffers;
    int64_t n_children;
    const void **buffers;
    struct ArrowArray **children;
    struct ArrowArray *dictionary;
    void (*release)(struct ArrowArray *);
    void *private_data;
};

struct ArrowArrayStream {
    int (*get_schema)(struct ArrowArrayStream *, struct ArrowSchema *out);
    int (*get_next)(struct ArrowArrayStream *, struct ArrowArray *out);
    const char *(*get_last_error)(struct ArrowArrayStream *);
    void (*release)(struct ArrowArrayStream *);
    void *private_data;
};

/* Moves the stream out of a capsule. False with an exception: it is none, or was used already. */
bool data_take_stream(PyObject *capsule, struct ArrowArrayStream *ret_stream);
/* Moves the stream into a capsule. NULL with an exception: then it has been released. */
PyObject *data_give_stream(struct ArrowArrayStream *stream);

/* Of memory.c */
PyObject *data_table(PyObject *module, PyObject *args);
PyObject *data_pull(PyObject *module, PyObject *capsule);
PyObject *data_fields(PyObject *module, PyObject *pulled);
PyObject *data_chunks(PyObject *module, PyObject *args);
PyObject *data_push(PyObject *module, PyObject *args);
PyObject *data_pack_texts(PyObject *module, PyObject *args);
PyObject *data_unpack_texts(PyObject *module, PyObject *args);

#endif
