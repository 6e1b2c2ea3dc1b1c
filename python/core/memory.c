/* SPDX-License-Identifier: MIT */
/* Memory that Python owns as a stream of one batch, and the batches of a stream as memory that
 * Python may look at. Nothing is copied in either direction, but texts, which Python has as
 * objects.
 *
 * From Python a column is (name, format, length, nulls, (address, ...), flags, dictionary): of
 * the buffers that its format has, 0 for one that is not there. `dictionary` is None, or such a
 * column without a name. To Python it is (length, offset, nulls, (address, ...), dictionary). */
#include "data.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PULLED   "chaoseater.pulled"
#define NULLABLE 2

/* ---- schemas ---- */

static void schema_release(struct ArrowSchema *schema)
{
    for (int64_t i = 0; i < schema->n_children; i++) {
        if (schema->children[i] && schema->children[i]->release)
            schema->children[i]->release(schema->children[i]);
        free(schema->children[i]);
    }
    free(schema->children);
    if (schema->dictionary && schema->dictionary->release)
        schema->dictionary->release(schema->dictionary);
    free(schema->dictionary);
    free((char *)(uintptr_t)schema->format);
    free((char *)(uintptr_t)schema->name);
    free((char *)(uintptr_t)schema->metadata);
    schema->release = NULL;
}

static size_t metadata_size(const char *metadata)
{
    int32_t count, size;
    if (!metadata)
        return 0;
    memcpy(&count, metadata, 4);
    size_t at = 4;
    for (int64_t i = 0; i < 2 * (int64_t)count; i++) {
        memcpy(&size, metadata + at, 4);
        at += 4 + (size_t)size;
    }
    return at;
}

/* False: no memory. The schema can be released then, too. */
static bool schema_init(struct ArrowSchema *schema, const char *format, const char *name,
                        const char *metadata, int64_t flags)
{
    size_t size = metadata_size(metadata);
    char *kept = size > 0 ? malloc(size) : NULL;
    if (kept)
        memcpy(kept, metadata, size);
    *schema = (struct ArrowSchema){
        .format = strdup(format),
        .name = strdup(name ? name : ""),
        .metadata = kept,
        .flags = flags,
        .release = schema_release,
    };
    return schema->format && schema->name && (kept || size == 0);
}

static bool schema_widen(struct ArrowSchema *schema, int64_t children)
{
    schema->children = calloc((size_t)children + 1, sizeof(void *));
    for (; schema->children && schema->n_children < children; schema->n_children++) {
        schema->children[schema->n_children] = calloc(1, sizeof(struct ArrowSchema));
        if (!schema->children[schema->n_children])
            return false;
    }
    return schema->children;
}

static bool schema_copy(const struct ArrowSchema *from, struct ArrowSchema *to)
{
    if (!schema_init(to, from->format, from->name, from->metadata, from->flags) ||
        !schema_widen(to, from->n_children))
        return false;
    for (int64_t i = 0; i < from->n_children; i++)
        if (!schema_copy(from->children[i], to->children[i]))
            return false;
    if (!from->dictionary)
        return true;
    to->dictionary = calloc(1, sizeof *to->dictionary);
    return to->dictionary && schema_copy(from->dictionary, to->dictionary);
}

static int give_schema(const struct ArrowSchema *schema, struct ArrowSchema *out)
{
    if (schema_copy(schema, out))
        return 0;
    out->release(out);
    return ENOMEM;
}

/* ---- arrays in memory that Python owns ---- */

/* The owner may be let go of from any thread, and after everything else has ended. */
static void array_release(struct ArrowArray *array)
{
    PyObject *owner = array->private_data;
    for (int64_t i = 0; i < array->n_children; i++) {
        if (array->children[i] && array->children[i]->release)
            array->children[i]->release(array->children[i]);
        free(array->children[i]);
    }
    free(array->children);
    if (array->dictionary && array->dictionary->release)
        array->dictionary->release(array->dictionary);
    free(array->dictionary);
    free(array->buffers);
    array->release = NULL;
    if (owner && Py_IsInitialized()) {
        PyGILState_STATE state = PyGILState_Ensure();
        Py_DECREF(owner);
        PyGILState_Release(state);
    }
}

/* False: no memory. The array can be released then, too. */
static bool array_init(struct ArrowArray *array, int64_t length, int64_t nulls, size_t buffers,
                       size_t children, PyObject *owner)
{
    Py_XINCREF(owner);
    *array = (struct ArrowArray){
        .length = length,
        .null_count = nulls,
        .n_buffers = (int64_t)buffers,
        .buffers = calloc(buffers + 1, sizeof(void *)),
        .children = calloc(children + 1, sizeof(void *)),
        .release = array_release,
        .private_data = owner,
    };
    for (; array->children && array->n_children < (int64_t)children; array->n_children++) {
        array->children[array->n_children] = calloc(1, sizeof(struct ArrowArray));
        if (!array->children[array->n_children])
            return false;
    }
    return array->buffers && array->children;
}

/* ---- columns from Python ---- */

static bool column_read(PyObject *column, PyObject *owner, struct ArrowSchema *schema,
                        struct ArrowArray *array);

static bool dictionary_read(PyObject *column, PyObject *owner, struct ArrowSchema *schema,
                            struct ArrowArray *array)
{
    schema->dictionary = calloc(1, sizeof *schema->dictionary);
    array->dictionary = calloc(1, sizeof *array->dictionary);
    if (!schema->dictionary || !array->dictionary) {
        (void)PyErr_NoMemory();
        return false;
    }
    return column_read(column, owner, schema->dictionary, array->dictionary);
}

static bool column_read(PyObject *column, PyObject *owner, struct ArrowSchema *schema,
                        struct ArrowArray *array)
{
    const char *name, *format;
    long long length, nulls;
    PyObject *buffers, *dictionary;
    long flags;
    if (!PyTuple_Check(column) ||
        !PyArg_ParseTuple(column, "ssLLO!lO", &name, &format, &length, &nulls, &PyTuple_Type,
                          &buffers, &flags, &dictionary)) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_TypeError, "a column is a tuple");
        return false;
    }
    Py_ssize_t count = PyTuple_Size(buffers);
    if (!schema_init(schema, format, name, NULL, flags) ||
        !array_init(array, length, nulls, (size_t)count, 0, owner)) {
        (void)PyErr_NoMemory();
        return false;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        array->buffers[i] = PyLong_AsVoidPtr(PyTuple_GetItem(buffers, i));
        if (PyErr_Occurred())
            return false;
    }
    return dictionary == Py_None || dictionary_read(dictionary, owner, schema, array);
}

/* A column that another library gave: (name, capsule of the schema, capsule of the array). */
static bool capsules_read(PyObject *column, struct ArrowSchema *schema, struct ArrowArray *array)
{
    const char *name;
    PyObject *schema_capsule, *array_capsule;
    if (!PyArg_ParseTuple(column, "sOO", &name, &schema_capsule, &array_capsule))
        return false;
    struct ArrowSchema *from = PyCapsule_GetPointer(schema_capsule, "arrow_schema");
    struct ArrowArray *values = from ? PyCapsule_GetPointer(array_capsule, "arrow_array") : NULL;
    if (!values || !from->release || !values->release) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_ValueError, "the column has been used already");
        return false;
    }
    if (!schema_copy(from, schema)) {
        (void)PyErr_NoMemory();
        return false;
    }
    char *renamed = strdup(name);
    if (!renamed) {
        (void)PyErr_NoMemory();
        return false;
    }
    free((char *)(uintptr_t)schema->name);
    schema->name = renamed;
    schema->flags |= NULLABLE;
    *array = *values;
    values->release = NULL;
    return true;
}

/* ---- what was pulled, or is to be pulled ---- */

struct pulled {
    struct ArrowSchema schema;
    struct ArrowArray *batches;
    size_t count, next;
};

static void pulled_free(struct pulled *pulled)
{
    for (size_t i = 0; i < pulled->count; i++)
        if (pulled->batches[i].release)
            pulled->batches[i].release(&pulled->batches[i]);
    free(pulled->batches);
    if (pulled->schema.release)
        pulled->schema.release(&pulled->schema);
    free(pulled);
}

static int pulled_schema(struct ArrowArrayStream *stream, struct ArrowSchema *out)
{
    const struct pulled *pulled = stream->private_data;
    return give_schema(&pulled->schema, out);
}

static int pulled_next(struct ArrowArrayStream *stream, struct ArrowArray *out)
{
    struct pulled *pulled = stream->private_data;
    *out = (struct ArrowArray){0};
    if (pulled->next == pulled->count)
        return 0;
    *out = pulled->batches[pulled->next];
    pulled->batches[pulled->next++].release = NULL;
    return 0;
}

static const char *pulled_error(struct ArrowArrayStream *stream)
{
    return "out of memory"; /* nothing else can fail */
}

static void pulled_release(struct ArrowArrayStream *stream)
{
    pulled_free(stream->private_data);
    stream->release = NULL;
}

static PyObject *give_pulled(struct pulled *pulled)
{
    struct ArrowArrayStream stream = {pulled_schema, pulled_next, pulled_error, pulled_release,
                                      pulled};
    return data_give_stream(&stream);
}

/* table(rows, (column, ...), owner): `owner` holds what the addresses are of. */
PyObject *data_table(PyObject *module, PyObject *args)
{
    long long rows;
    PyObject *columns, *owner;
    if (!PyArg_ParseTuple(args, "LO!O:table", &rows, &PyTuple_Type, &columns, &owner))
        return NULL;
    Py_ssize_t count = PyTuple_Size(columns);
    struct pulled *pulled = calloc(1, sizeof *pulled);
    if (!pulled || !(pulled->batches = calloc(1, sizeof *pulled->batches))) {
        free(pulled);
        return PyErr_NoMemory();
    }
    pulled->count = 1;
    bool made = schema_init(&pulled->schema, "+s", "", NULL, 0) &&
                schema_widen(&pulled->schema, count) &&
                array_init(&pulled->batches[0], rows, 0, 1, (size_t)count, NULL);
    if (!made)
        (void)PyErr_NoMemory();
    for (Py_ssize_t i = 0; made && i < count; i++) {
        PyObject *column = PyTuple_GetItem(columns, i);
        struct ArrowSchema *schema = pulled->schema.children[i];
        struct ArrowArray *array = pulled->batches[0].children[i];
        made = PyTuple_Check(column) && PyTuple_Size(column) == 3
                   ? capsules_read(column, schema, array)
                   : column_read(column, owner, schema, array);
        if (made && array->length != rows) {
            PyErr_SetString(PyExc_ValueError, "the columns are not of one length");
            made = false;
        }
    }
    if (made)
        return give_pulled(pulled);
    pulled_free(pulled);
    return NULL;
}

/* ---- pulling ---- */

static int fail(struct ce_error *err, int code, const char *message)
{
    err->code = code;
    size_t size = message ? strlen(message) : 0;
    size = size < sizeof err->message ? size : sizeof err->message - 1;
    memcpy(err->message, message ? message : "", size);
    err->message[size] = '\0';
    return -code;
}

static int pull(struct ArrowArrayStream *stream, struct pulled *pulled, struct ce_error *err)
{
    int code = stream->get_schema(stream, &pulled->schema);
    while (code == 0) {
        struct ArrowArray batch = {0};
        code = stream->get_next(stream, &batch);
        if (code != 0 || !batch.release)
            break;
        struct ArrowArray *more =
            realloc(pulled->batches, (pulled->count + 1) * sizeof *pulled->batches);
        if (!more) {
            batch.release(&batch);
            return fail(err, ENOMEM, "out of memory");
        }
        pulled->batches = more;
        pulled->batches[pulled->count++] = batch;
    }
    return code == 0 ? 0 : fail(err, code, stream->get_last_error(stream));
}

static void free_pulled_capsule(PyObject *capsule)
{
    pulled_free(PyCapsule_GetPointer(capsule, PULLED));
}

PyObject *data_pull(PyObject *module, PyObject *capsule)
{
    struct ArrowArrayStream stream;
    struct ce_error err = {0};
    struct pulled *pulled;
    int r;
    if (!data_take_stream(capsule, &stream))
        return NULL;
    pulled = calloc(1, sizeof *pulled);
    if (!pulled) {
        stream.release(&stream);
        return PyErr_NoMemory();
    }
    Py_BEGIN_ALLOW_THREADS;
    r = pull(&stream, pulled, &err);
    stream.release(&stream);
    Py_END_ALLOW_THREADS;
    PyObject *given = r < 0 ? core_raise(&err) : PyCapsule_New(pulled, PULLED, free_pulled_capsule);
    if (!given)
        pulled_free(pulled);
    return given;
}

/* ---- looking at what was pulled ---- */

/* [(name, format, flags, format of the dictionary or None)] */
PyObject *data_fields(PyObject *module, PyObject *capsule)
{
    const struct pulled *pulled = PyCapsule_GetPointer(capsule, PULLED);
    PyObject *list = pulled ? PyList_New(0) : NULL;
    for (int64_t i = 0; list && i < pulled->schema.n_children; i++) {
        const struct ArrowSchema *field = pulled->schema.children[i];
        PyObject *item = Py_BuildValue("ssLz", field->name ? field->name : "", field->format,
                                       (long long)field->flags,
                                       field->dictionary ? field->dictionary->format : NULL);
        if (!item || PyList_Append(list, item) < 0)
            Py_CLEAR(list);
        Py_XDECREF(item);
    }
    return list;
}

static PyObject *chunk(const struct ArrowArray *array, int64_t length, int64_t offset)
{
    PyObject *addresses = PyTuple_New((Py_ssize_t)array->n_buffers);
    for (int64_t i = 0; addresses && i < array->n_buffers; i++) {
        PyObject *address = PyLong_FromVoidPtr((void *)(uintptr_t)array->buffers[i]);
        if (!address || PyTuple_SetItem(addresses, (Py_ssize_t)i, address) < 0)
            Py_CLEAR(addresses);
    }
    PyObject *dictionary = NULL;
    if (addresses && array->dictionary)
        dictionary = chunk(array->dictionary, array->dictionary->length, array->dictionary->offset);
    else if (addresses)
        Py_INCREF(dictionary = Py_None);
    PyObject *all = dictionary ? Py_BuildValue("LLLOO", (long long)length, (long long)offset,
                                               (long long)array->null_count, addresses, dictionary)
                               : NULL;
    Py_XDECREF(addresses);
    Py_XDECREF(dictionary);
    return all;
}

/* chunks(pulled, column): what is there as long as `pulled` is. -1: of what is no table. */
PyObject *data_chunks(PyObject *module, PyObject *args)
{
    PyObject *capsule;
    long long column;
    if (!PyArg_ParseTuple(args, "OL:chunks", &capsule, &column))
        return NULL;
    const struct pulled *pulled = PyCapsule_GetPointer(capsule, PULLED);
    if (!pulled)
        return NULL;
    if (column >= pulled->schema.n_children) {
        PyErr_SetString(PyExc_IndexError, "there is no such column");
        return NULL;
    }
    PyObject *list = PyList_New(0);
    for (size_t i = 0; list && i < pulled->count; i++) {
        const struct ArrowArray *batch = &pulled->batches[i];
        PyObject *item = NULL;
        if (batch->release && column < 0)
            item = chunk(batch, batch->length, batch->offset);
        else if (batch->release && batch->children[column]->release)
            item = chunk(batch->children[column], batch->length,
                         batch->offset + batch->children[column]->offset);
        else
            PyErr_SetString(PyExc_ValueError, "the column has been moved away");
        if (!item || PyList_Append(list, item) < 0)
            Py_CLEAR(list);
        Py_XDECREF(item);
    }
    return list;
}

/* Moves a column of each batch out. */
static struct pulled *take_column(struct pulled *pulled, int64_t column)
{
    struct pulled *taken = calloc(1, sizeof *taken);
    if (!taken)
        return NULL;
    taken->batches = calloc(pulled->count + 1, sizeof *taken->batches);
    if (!taken->batches || !schema_copy(pulled->schema.children[column], &taken->schema)) {
        pulled_free(taken);
        return NULL;
    }
    for (size_t i = 0; i < pulled->count; i++) {
        struct ArrowArray *batch = &pulled->batches[i], *child = batch->children[column];
        taken->batches[taken->count] = *child;
        taken->batches[taken->count].offset += batch->offset;
        taken->batches[taken->count++].length = batch->length;
        child->release = NULL;
    }
    return taken;
}

/* push(pulled, column or -1): moves it, or the column, into a stream. */
PyObject *data_push(PyObject *module, PyObject *args)
{
    PyObject *capsule;
    long long column;
    if (!PyArg_ParseTuple(args, "OL:push", &capsule, &column))
        return NULL;
    struct pulled *pulled = PyCapsule_GetPointer(capsule, PULLED);
    if (!pulled)
        return NULL;
    if (!pulled->schema.release || column >= pulled->schema.n_children) {
        PyErr_SetString(PyExc_ValueError, "there is no such column any more");
        return NULL;
    }
    struct pulled *taken = column >= 0 ? take_column(pulled, column) : calloc(1, sizeof *taken);
    if (!taken)
        return PyErr_NoMemory();
    if (column < 0) {
        *taken = *pulled;
        *pulled = (struct pulled){0};
    }
    return give_pulled(taken);
}

/* ---- texts ---- */

static bool is_missing(PyObject *item, PyObject *na)
{
    for (Py_ssize_t i = 0; i < PyTuple_Size(na); i++)
        if (PyTuple_GetItem(na, i) == item)
            return true;
    return item == Py_None ||
           (PyFloat_Check(item) && PyFloat_AsDouble(item) != PyFloat_AsDouble(item));
}

struct packed {
    PyObject *offsets, *data, *validity; /* bytes */
    Py_ssize_t nulls;
};

static void packed_done(struct packed *packed)
{
    Py_CLEAR(packed->offsets);
    Py_CLEAR(packed->data);
    Py_CLEAR(packed->validity);
}

/* Sizes and nulls: 1, 0: something is no text, or -1 with an exception. */
static int measure(PyObject *list, PyObject *na, struct packed *packed)
{
    Py_ssize_t count = PyList_Size(list), size;
    packed->offsets = PyBytes_FromStringAndSize(NULL, (count + 1) * 8);
    packed->validity = PyBytes_FromStringAndSize(NULL, (count + 7) / 8 + 1);
    if (!packed->offsets || !packed->validity)
        return -1;
    char *offsets = PyBytes_AsString(packed->offsets), *valid = PyBytes_AsString(packed->validity);
    memset(valid, 0, (size_t)(count + 7) / 8 + 1);
    int64_t at = 0;
    memcpy(offsets, &at, 8);
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *item = PyList_GetItem(list, i);
        if (PyUnicode_Check(item)) {
            if (!PyUnicode_AsUTF8AndSize(item, &size)) {
                bool lone = PyErr_ExceptionMatches(PyExc_UnicodeEncodeError);
                if (lone)
                    PyErr_Clear();
                return lone ? 0 : -1;
            }
            at += size;
            valid[i / 8] = (char)(valid[i / 8] | 1 << i % 8);
        } else if (is_missing(item, na)) {
            packed->nulls++;
        } else {
            return 0;
        }
        memcpy(offsets + 8 * (i + 1), &at, 8);
    }
    packed->data = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)at + 1);
    return packed->data ? 1 : -1;
}

/* pack_texts(list, what else is missing): (offsets, data, validity, nulls) as bytes; None: it
 * holds something that is neither a text nor missing. */
PyObject *data_pack_texts(PyObject *module, PyObject *args)
{
    PyObject *list, *na;
    struct packed packed = {0};
    if (!PyArg_ParseTuple(args, "O!O!:pack_texts", &PyList_Type, &list, &PyTuple_Type, &na))
        return NULL;
    int r = measure(list, na, &packed);
    if (r <= 0) {
        packed_done(&packed);
        if (r < 0)
            return NULL;
        Py_INCREF(Py_None);
        return Py_None;
    }
    char *at = PyBytes_AsString(packed.data);
    for (Py_ssize_t i = 0; i < PyList_Size(list); i++) {
        PyObject *item = PyList_GetItem(list, i);
        Py_ssize_t size;
        const char *text = PyUnicode_Check(item) ? PyUnicode_AsUTF8AndSize(item, &size) : NULL;
        if (!text)
            continue;
        memcpy(at, text, (size_t)size);
        at += size;
    }
    return Py_BuildValue("NNNn", packed.offsets, packed.data, packed.validity, packed.nulls);
}

static int64_t offset_at(const void *offsets, int64_t i, bool wide)
{
    int32_t narrow;
    int64_t value;
    if (wide) {
        memcpy(&value, (const char *)offsets + 8 * i, 8);
        return value;
    }
    memcpy(&narrow, (const char *)offsets + 4 * i, 4);
    return narrow;
}

/* unpack_texts(wide, length, offset, (validity, offsets, data), missing): a list, with `missing`
 * in the place of nulls. */
PyObject *data_unpack_texts(PyObject *module, PyObject *args)
{
    int wide;
    long long length, offset;
    PyObject *addresses, *missing;
    if (!PyArg_ParseTuple(args, "pLLO!O:unpack_texts", &wide, &length, &offset, &PyTuple_Type,
                          &addresses, &missing))
        return NULL;
    const void *buffers[3];
    for (Py_ssize_t i = 0; i < 3; i++) {
        PyObject *address = PyTuple_GetItem(addresses, i);
        buffers[i] = address ? PyLong_AsVoidPtr(address) : NULL;
        if (PyErr_Occurred())
            return NULL;
    }
    PyObject *list = PyList_New((Py_ssize_t)length);
    for (long long i = 0; list && i < length; i++) {
        int64_t row = offset + i;
        PyObject *item = missing;
        if (!buffers[0] || ((const uint8_t *)buffers[0])[row / 8] >> row % 8 & 1) {
            int64_t start = offset_at(buffers[1], row, wide),
                    end = offset_at(buffers[1], row + 1, wide);
            item = PyUnicode_DecodeUTF8(buffers[2] ? (const char *)buffers[2] + start : "",
                                        (Py_ssize_t)(end - start), "replace");
        } else {
            Py_INCREF(item);
        }
        if (!item || PyList_SetItem(list, (Py_ssize_t)i, item) < 0)
            Py_CLEAR(list);
    }
    return list;
}
