/* SPDX-License-Identifier: MIT */
/* Who frees schemas and arrays of our own making. Every node frees what is its own and releases its
 * children, so that a consumer may move a child out of its parent, as the interface allows. */
#include <stdatomic.h>
#include <stdlib.h>

#include "data/arrow/layout.h"

/* ---- schemas ---- */

static void release_schema(struct ArrowSchema *schema)
{
    for (int64_t i = 0; i < schema->n_children; i++)
        if (schema->children[i]) {
            ce_arrow_schema_done(schema->children[i]);
            free(schema->children[i]);
        }
    free(schema->children);
    if (schema->dictionary) {
        ce_arrow_schema_done(schema->dictionary);
        free(schema->dictionary);
    }
    free((char *)(uintptr_t)schema->format);
    free((char *)(uintptr_t)schema->name);
    free((char *)(uintptr_t)schema->metadata);
    schema->release = NULL;
}

int ce_arrow_schema_set(const char **member, const char *text, struct ce_error *err)
{
    char *copy = strdup(text ? text : "");
    if (!copy)
        return ce_fail_memory(err);
    free((char *)(uintptr_t)*member);
    *member = copy;
    return 0;
}

size_t ce_arrow_metadata_size(const char *metadata)
{
    if (!metadata)
        return 0;
    int64_t pairs = ce_load_i32(metadata, 0);
    size_t size = 4;
    for (int64_t i = 0; i < 2 * pairs; i++)
        size += 4 + (size_t)ce_load_i32(metadata + size, 0);
    return size;
}

int ce_arrow_schema_set_metadata(struct ArrowSchema *schema, const char *metadata,
                                 struct ce_error *err)
{
    size_t size = ce_arrow_metadata_size(metadata);
    if (size == 0)
        return 0;
    char *copy = malloc(size);
    if (!copy)
        return ce_fail_memory(err);
    memcpy(copy, metadata, size);
    free((char *)(uintptr_t)schema->metadata);
    schema->metadata = copy;
    return 0;
}

int ce_arrow_schema_make(const char *format, const char *name, int64_t flags,
                         struct ArrowSchema *ret_schema, struct ce_error *err)
{
    struct ArrowSchema schema = {.flags = flags, .release = release_schema};
    int r = ce_arrow_schema_set(&schema.format, format, err);
    if (r == 0)
        r = ce_arrow_schema_set(&schema.name, name, err);
    if (r < 0)
        schema.release(&schema);
    else
        *ret_schema = schema;
    return r;
}

int ce_arrow_schema_widen(struct ArrowSchema *schema, size_t children, struct ce_error *err)
{
    schema->children = calloc(children + 1, sizeof *schema->children);
    if (!schema->children)
        return ce_fail_memory(err);
    for (size_t i = 0; i < children; i++) {
        schema->children[i] = calloc(1, sizeof *schema->children[i]);
        if (!schema->children[i])
            return ce_fail_memory(err);
        schema->n_children++;
    }
    return 0;
}

static int copy_parts(const struct ArrowSchema *from, struct ArrowSchema *copy,
                      struct ce_error *err)
{
    CE_TRY(ce_arrow_schema_set_metadata(copy, from->metadata, err));
    CE_TRY(ce_arrow_schema_widen(copy, (size_t)from->n_children, err));
    for (int64_t i = 0; i < from->n_children; i++)
        CE_TRY(ce_arrow_schema_copy(from->children[i], copy->children[i], err));
    if (!from->dictionary)
        return 0;
    copy->dictionary = calloc(1, sizeof *copy->dictionary);
    return copy->dictionary ? ce_arrow_schema_copy(from->dictionary, copy->dictionary, err)
                            : ce_fail_memory(err);
}

int ce_arrow_schema_copy(const struct ArrowSchema *from, struct ArrowSchema *ret_copy,
                         struct ce_error *err)
{
    struct ArrowSchema copy = {0};
    CE_TRY(ce_arrow_schema_make(from->format, from->name, from->flags, &copy, err));
    int r = copy_parts(from, &copy, err);
    if (r < 0)
        copy.release(&copy);
    else
        *ret_copy = copy;
    return r;
}

/* ---- arrays ---- */

struct ce_arrow_shared {
    atomic_size_t references;
    struct ArrowArray array;
};

struct ce_arrow_shared *ce_arrow_shared_new(struct ArrowArray *array)
{
    struct ce_arrow_shared *shared = malloc(sizeof *shared);
    if (!shared)
        return NULL;
    atomic_init(&shared->references, 1);
    shared->array = *array;
    array->release = NULL;
    return shared;
}

struct ce_arrow_shared *ce_arrow_shared_ref(struct ce_arrow_shared *shared)
{
    atomic_fetch_add_explicit(&shared->references, 1, memory_order_relaxed);
    return shared;
}

void ce_arrow_shared_unref(struct ce_arrow_shared *shared)
{
    if (!shared || atomic_fetch_sub_explicit(&shared->references, 1, memory_order_acq_rel) > 1)
        return;
    ce_arrow_array_done(&shared->array);
    free(shared);
}

const struct ArrowArray *ce_arrow_shared_array(const struct ce_arrow_shared *shared)
{
    return &shared->array;
}

/* Owns the lists of pointers, the nested views, and a reference to what they look at. */
static void release_view(struct ArrowArray *array)
{
    for (int64_t i = 0; i < array->n_children; i++)
        if (array->children[i]) {
            ce_arrow_array_done(array->children[i]);
            free(array->children[i]);
        }
    free(array->children);
    if (array->dictionary) {
        ce_arrow_array_done(array->dictionary);
        free(array->dictionary);
    }
    free(array->buffers);
    ce_arrow_shared_unref(array->private_data);
    array->release = NULL;
}

static int view_parts(struct ce_arrow_shared *owner, const struct ArrowArray *array,
                      struct ArrowArray *view, struct ce_error *err)
{
    view->buffers = calloc((size_t)array->n_buffers + 1, sizeof *view->buffers);
    view->children = calloc((size_t)array->n_children + 1, sizeof *view->children);
    if (!view->buffers || !view->children)
        return ce_fail_memory(err);
    if (array->n_buffers > 0)
        memcpy(view->buffers, array->buffers, (size_t)array->n_buffers * sizeof *view->buffers);
    view->n_buffers = array->n_buffers;
    for (int64_t i = 0; i < array->n_children; i++) {
        const struct ArrowArray *child = array->children[i];
        view->children[i] = calloc(1, sizeof *view->children[i]);
        view->n_children++;
        if (!view->children[i])
            return ce_fail_memory(err);
        CE_TRY(ce_arrow_view(owner, child, child->offset, child->length, view->children[i], err));
        view->children[i]->null_count = child->null_count;
    }
    if (!array->dictionary)
        return 0;
    const struct ArrowArray *values = array->dictionary;
    view->dictionary = calloc(1, sizeof *view->dictionary);
    if (!view->dictionary)
        return ce_fail_memory(err);
    return ce_arrow_view(owner, values, values->offset, values->length, view->dictionary, err);
}

int ce_arrow_view(struct ce_arrow_shared *owner, const struct ArrowArray *array, int64_t offset,
                  int64_t length, struct ArrowArray *ret_view, struct ce_error *err)
{
    bool whole = offset == array->offset && length == array->length;
    struct ArrowArray view = {
        .length = length,
        .null_count = whole ? array->null_count : -1,
        .offset = offset,
        .release = release_view,
        .private_data = ce_arrow_shared_ref(owner),
    };
    int r = view_parts(owner, array, &view, err);
    if (r < 0)
        view.release(&view);
    else
        *ret_view = view;
    return r;
}

static void release_made(struct ArrowArray *array)
{
    for (int64_t i = 0; i < array->n_buffers; i++)
        free((void *)(uintptr_t)array->buffers[i]);
    array->private_data = NULL;
    release_view(array);
}

static int make_parts(size_t buffers, size_t children, bool dictionary, struct ArrowArray *array,
                      struct ce_error *err)
{
    array->buffers = calloc(buffers + 1, sizeof *array->buffers);
    array->children = calloc(children + 1, sizeof *array->children);
    if (dictionary)
        array->dictionary = calloc(1, sizeof *array->dictionary);
    if (!array->buffers || !array->children || (dictionary && !array->dictionary))
        return ce_fail_memory(err);
    array->n_buffers = (int64_t)buffers;
    for (size_t i = 0; i < children; i++) {
        array->children[i] = calloc(1, sizeof *array->children[i]);
        if (!array->children[i])
            return ce_fail_memory(err);
        array->n_children++;
    }
    return 0;
}

int ce_arrow_array_make(int64_t length, size_t buffers, size_t children, bool dictionary,
                        struct ArrowArray *ret_array, struct ce_error *err)
{
    return ce_arrow_array_make_in(NULL, length, buffers, children, dictionary, ret_array, err);
}

int ce_arrow_array_make_in(struct ce_arrow_shared *owner, int64_t length, size_t buffers,
                           size_t children, bool dictionary, struct ArrowArray *ret_array,
                           struct ce_error *err)
{
    struct ArrowArray array = {.length = length, .release = owner ? release_view : release_made};
    if (owner)
        array.private_data = ce_arrow_shared_ref(owner);
    int r = make_parts(buffers, children, dictionary, &array, err);
    if (r < 0)
        array.release(&array);
    else
        *ret_array = array;
    return r;
}
