/* SPDX-License-Identifier: MIT */
#include "data/arrow/layout.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- formats ---- */

static void is_fixed(struct ce_arrow_type *type, enum ce_arrow_meaning meaning, int64_t width)
{
    type->shape = CE_SHAPE_FIXED;
    type->meaning = meaning;
    type->width = width;
}

static bool primitive(struct ce_arrow_type *type, char letter)
{
    static const char ints[] = "csil", uints[] = "CSIL";
    const char *at = strchr(ints, letter);
    if (at) {
        is_fixed(type, CE_MEANS_INT, 1 << (at - ints));
        return true;
    }
    at = strchr(uints, letter);
    if (at) {
        is_fixed(type, CE_MEANS_UINT, 1 << (at - uints));
        return true;
    }
    switch (letter) {
    case 'n':
        type->shape = CE_SHAPE_NULLS;
        return true;
    case 'b':
        type->shape = CE_SHAPE_BITS;
        type->meaning = CE_MEANS_BOOL;
        return true;
    case 'e':
        is_fixed(type, CE_MEANS_HALF, 2);
        return true;
    case 'f':
        is_fixed(type, CE_MEANS_FLOAT, 4);
        return true;
    case 'g':
        is_fixed(type, CE_MEANS_FLOAT, 8);
        return true;
    case 'z':
    case 'Z':
        type->shape = letter == 'z' ? CE_SHAPE_BYTES32 : CE_SHAPE_BYTES64;
        return true;
    case 'u':
    case 'U':
        type->shape = letter == 'u' ? CE_SHAPE_BYTES32 : CE_SHAPE_BYTES64;
        type->meaning = CE_MEANS_TEXT;
        return true;
    default:
        return false;
    }
}

static bool per_second(char unit, int64_t *ret)
{
    switch (unit) {
    case 's':
        *ret = 1;
        return true;
    case 'm':
        *ret = 1000;
        return true;
    case 'u':
        *ret = 1000000;
        return true;
    case 'n':
        *ret = 1000000000;
        return true;
    default:
        return false;
    }
}

/* "tdD", "tts", "tsu:Europe/Paris", "tDs", "tiM" ... */
static bool temporal(struct ce_arrow_type *type, const char *f)
{
    size_t size = strlen(f);
    if (size < 3)
        return false;
    switch (f[1]) {
    case 'd':
        is_fixed(type, CE_MEANS_DATE, f[2] == 'D' ? 4 : 8);
        type->per_second = f[2] == 'D' ? 0 : 1000;
        return size == 3 && (f[2] == 'D' || f[2] == 'm');
    case 't':
        is_fixed(type, CE_MEANS_TIME, f[2] == 's' || f[2] == 'm' ? 4 : 8);
        return size == 3 && per_second(f[2], &type->per_second);
    case 's':
        is_fixed(type, CE_MEANS_STAMP, 8);
        type->zoned = size > 4;
        return size >= 4 && f[3] == ':' && per_second(f[2], &type->per_second);
    case 'D':
        is_fixed(type, CE_MEANS_OTHER, 8);
        return size == 3 && per_second(f[2], &type->per_second);
    case 'i':
        is_fixed(type, CE_MEANS_OTHER, f[2] == 'M' ? 4 : f[2] == 'D' ? 8 : 16);
        return size == 3 && strchr("MDn", f[2]) != NULL;
    default:
        return false;
    }
}

static bool decimal(struct ce_arrow_type *type, const char *f)
{
    int bits = 128, end = 0;
    if (sscanf(f, "d:%d,%d%n", &type->precision, &type->scale, &end) != 2)
        return false;
    if (f[end] == ',') {
        int more = 0;
        if (sscanf(f + end, ",%d%n", &bits, &more) != 1)
            return false;
        end += more;
    }
    if (bits != 32 && bits != 64 && bits != 128 && bits != 256)
        return false;
    bool fits = bits <= 128 && type->precision <= 38 && type->scale >= 0 && type->scale <= 38;
    is_fixed(type, fits ? CE_MEANS_DECIMAL : CE_MEANS_OTHER, bits / 8);
    return f[end] == '\0' && type->precision > 0;
}

static bool union_codes(struct ce_arrow_type *type, const char *list)
{
    memset(type->union_child, -1, sizeof type->union_child);
    for (int child = 0; *list; child++) {
        char *end;
        long code = strtol(list, &end, 10);
        if (end == list || code < 0 || code >= CE_UNION_CODES || child >= CE_UNION_CODES)
            return false;
        type->union_child[code] = (int8_t)child;
        list = *end == ',' ? end + 1 : end;
        if (*end != ',' && *end != '\0')
            return false;
    }
    return true;
}

static bool nested(struct ce_arrow_type *type, const char *f)
{
    static const struct {
        const char *format;
        enum ce_arrow_shape shape;
    } plain[] = {
        {"+l", CE_SHAPE_LIST32},       {"+m", CE_SHAPE_LIST32},       {"+L", CE_SHAPE_LIST64},
        {"+vl", CE_SHAPE_LIST_VIEW32}, {"+vL", CE_SHAPE_LIST_VIEW64}, {"+s", CE_SHAPE_STRUCT},
        {"+r", CE_SHAPE_RUNS},
    };
    for (size_t i = 0; i < CE_COUNT(plain); i++)
        if (strcmp(f, plain[i].format) == 0) {
            type->shape = plain[i].shape;
            return true;
        }
    if (strncmp(f, "+w:", 3) == 0) {
        char *end;
        type->shape = CE_SHAPE_FIXED_LIST;
        type->width = strtol(f + 3, &end, 10);
        return end > f + 3 && *end == '\0' && type->width >= 0 && type->width <= INT32_MAX;
    }
    if (strncmp(f, "+ud:", 4) != 0 && strncmp(f, "+us:", 4) != 0)
        return false;
    type->shape = f[2] == 'd' ? CE_SHAPE_UNION_DENSE : CE_SHAPE_UNION_SPARSE;
    return union_codes(type, f + 4);
}

static bool parse_format(struct ce_arrow_type *type, const char *f)
{
    if (strlen(f) == 1)
        return primitive(type, f[0]);
    if (f[0] == 'v' && (f[1] == 'u' || f[1] == 'z') && f[2] == '\0') {
        type->shape = CE_SHAPE_VIEWS;
        type->meaning = f[1] == 'u' ? CE_MEANS_TEXT : CE_MEANS_OTHER;
        return true;
    }
    if (f[0] == 'w' && f[1] == ':') {
        char *end;
        is_fixed(type, CE_MEANS_OTHER, strtol(f + 2, &end, 10));
        return end > f + 2 && *end == '\0' && type->width >= 0 && type->width <= INT32_MAX;
    }
    return f[0] == 't' ? temporal(type, f) : f[0] == 'd' ? decimal(type, f) : nested(type, f);
}

/* Children that the shape must have; -1: any number. */
static int64_t needed_children(const struct ce_arrow_type *type)
{
    switch (type->shape) {
    case CE_SHAPE_LIST32:
    case CE_SHAPE_LIST64:
    case CE_SHAPE_LIST_VIEW32:
    case CE_SHAPE_LIST_VIEW64:
    case CE_SHAPE_FIXED_LIST:
        return 1;
    case CE_SHAPE_RUNS:
        return 2;
    case CE_SHAPE_STRUCT:
    case CE_SHAPE_UNION_SPARSE:
    case CE_SHAPE_UNION_DENSE:
        return -1;
    default:
        return 0;
    }
}

static int make_type(const struct ArrowSchema *field, int depth, struct ce_arrow_type **ret_type,
                     struct ce_error *err);

static int make_parts(const struct ArrowSchema *field, int depth, struct ce_arrow_type *type,
                      struct ce_error *err)
{
    const char *name = field->name ? field->name : "";
    int64_t needed = needed_children(type);
    if (field->n_children < 0 || (needed >= 0 && field->n_children != needed))
        return ce_fail(err, EINVAL, "column '%s': the type \"%s\" comes with %lld nested columns",
                       name, type->format, (long long)field->n_children);
    type->children = calloc((size_t)field->n_children + 1, sizeof *type->children);
    if (!type->children)
        return ce_fail_memory(err);
    for (int64_t i = 0; i < field->n_children; i++) {
        CE_TRY(make_type(field->children[i], depth + 1, &type->children[i], err));
        type->child_count++;
    }
    for (int code = 0; type->shape >= CE_SHAPE_UNION_SPARSE &&
                       type->shape <= CE_SHAPE_UNION_DENSE && code < CE_UNION_CODES;
         code++)
        if (type->union_child[code] >= field->n_children)
            return ce_fail(err, EINVAL, "column '%s': the union lacks nested columns", name);
    if (type->shape == CE_SHAPE_RUNS &&
        (type->children[0]->meaning != CE_MEANS_INT || type->children[0]->width < 2))
        return ce_fail(err, EINVAL, "column '%s': run ends are no integers", name);
    if (!field->dictionary)
        return 0;
    if (type->meaning != CE_MEANS_INT && type->meaning != CE_MEANS_UINT)
        return ce_fail(err, EINVAL, "column '%s': a dictionary's indices are no integers", name);
    CE_TRY(make_type(field->dictionary, depth + 1, &type->dictionary, err));
    type->meaning = type->dictionary->meaning;
    return 0;
}

static int make_type(const struct ArrowSchema *field, int depth, struct ce_arrow_type **ret_type,
                     struct ce_error *err)
{
    const char *format = field->format ? field->format : "";
    size_t size = strlen(format) + 1;
    CE_CLEANUP(ce_arrow_type_free_p)
    struct ce_arrow_type *type = calloc(1, sizeof *type + size);
    if (!type)
        return ce_fail_memory(err);
    memcpy(type->format_copy, format, size);
    type->format = type->format_copy;
    if (!parse_format(type, format))
        return ce_fail(err, EOPNOTSUPP, "column '%s' is of an unknown type, \"%.40s\"",
                       field->name ? field->name : "", format);
    if (depth > CE_ARROW_DEPTH_MAX)
        return ce_fail(err, EINVAL, "the columns are nested deeper than %d levels",
                       CE_ARROW_DEPTH_MAX);
    CE_TRY(make_parts(field, depth, type, err));
    *ret_type = ce_take(type);
    return 0;
}

int ce_arrow_type_new(const struct ArrowSchema *field, struct ce_arrow_type **ret_type,
                      struct ce_error *err)
{
    return make_type(field, 0, ret_type, err);
}

void ce_arrow_type_free(struct ce_arrow_type *type)
{
    if (!type)
        return;
    for (size_t i = 0; type->children && i < type->child_count; i++)
        ce_arrow_type_free(type->children[i]);
    free(type->children);
    ce_arrow_type_free(type->dictionary);
    free(type);
}

bool ce_arrow_has_dictionary(const struct ce_arrow_type *type)
{
    bool has = type->dictionary != NULL;
    for (size_t i = 0; i < type->child_count && !has; i++)
        has = ce_arrow_has_dictionary(type->children[i]);
    return has;
}

int64_t ce_arrow_buffer_count(const struct ce_arrow_type *type)
{
    switch (type->shape) {
    case CE_SHAPE_NULLS:
    case CE_SHAPE_RUNS:
        return 0;
    case CE_SHAPE_FIXED_LIST:
    case CE_SHAPE_STRUCT:
    case CE_SHAPE_UNION_SPARSE:
        return 1;
    case CE_SHAPE_BYTES32:
    case CE_SHAPE_BYTES64:
    case CE_SHAPE_LIST_VIEW32:
    case CE_SHAPE_LIST_VIEW64:
        return 3;
    default: /* a view has a last one more, the sizes of its further buffers */
        return 2;
    }
}

/* Whether a child's length reaches as far as its parent looks. */
static bool child_reaches(const struct ce_arrow_type *type, const struct ArrowArray *array,
                          const struct ArrowArray *child)
{
    int64_t end = array->offset + array->length;
    if (type->shape == CE_SHAPE_STRUCT || type->shape == CE_SHAPE_UNION_SPARSE)
        return child->length >= end;
    if (type->shape == CE_SHAPE_FIXED_LIST)
        return type->width == 0 || child->length / type->width >= end;
    return true;
}

int ce_arrow_array_check(const struct ce_arrow_type *type, const struct ArrowArray *array,
                         const char *column, struct ce_error *err)
{
    int64_t buffers = ce_arrow_buffer_count(type);
    bool well = array->length >= 0 && array->offset >= 0 &&
                array->length <= INT64_MAX / 64 - array->offset && array->n_buffers >= buffers &&
                array->n_children == (int64_t)type->child_count &&
                !array->dictionary == !type->dictionary;
    for (int64_t i = ce_arrow_has_validity(type); well && i < buffers && array->length > 0; i++)
        /* bytes of which there are none may have no address */
        well = array->buffers[i] || (i == 2 && type->child_count == 0) || type->width == 0;
    for (size_t i = 0; well && i < type->child_count; i++)
        well = child_reaches(type, array, array->children[i]);
    if (!well)
        return ce_fail(err, EINVAL, "column '%s': an array of type \"%s\" lacks some of its parts",
                       column, type->format);
    for (size_t i = 0; i < type->child_count; i++)
        CE_TRY(ce_arrow_array_check(type->children[i], array->children[i], column, err));
    return type->dictionary ? ce_arrow_array_check(type->dictionary, array->dictionary, column, err)
                            : 0;
}

/* ---- values ---- */

const char *ce_arrow_bytes(const struct ce_arrow_type *type, const struct ArrowArray *array,
                           int64_t at, size_t *ret_size)
{
    const char *bytes;
    int64_t start, end;
    switch (type->shape) {
    case CE_SHAPE_FIXED:
        *ret_size = (size_t)type->width;
        return (const char *)array->buffers[1] + type->width * at;
    case CE_SHAPE_BYTES32:
        start = ce_load_i32(array->buffers[1], at);
        end = ce_load_i32(array->buffers[1], at + 1);
        break;
    case CE_SHAPE_BYTES64:
        start = ce_load_i64(array->buffers[1], at);
        end = ce_load_i64(array->buffers[1], at + 1);
        break;
    default:
        bytes = (const char *)array->buffers[1] + 16 * at;
        *ret_size = (size_t)ce_load_i32(bytes, 0);
        if (*ret_size <= 12)
            return bytes + 4;
        return (const char *)array->buffers[2 + ce_load_i32(bytes, 2)] + ce_load_i32(bytes, 3);
    }
    *ret_size = (size_t)(end - start);
    bytes = array->buffers[2];
    return bytes ? bytes + start : "";
}

static uint64_t unsigned_at(const struct ce_arrow_type *type, const struct ArrowArray *array,
                            int64_t at)
{
    uint64_t value = 0; /* little endian, as all of Arrow here */
    memcpy(&value, (const char *)array->buffers[1] + type->width * at, (size_t)type->width);
    return value;
}

int64_t ce_arrow_signed(const struct ce_arrow_type *type, const struct ArrowArray *array,
                        int64_t at)
{
    int unused = 64 - 8 * (int)type->width;
    return (int64_t)(unsigned_at(type, array, at) << unused) >> unused;
}

int64_t ce_arrow_index(const struct ce_arrow_type *type, const struct ArrowArray *array, int64_t at)
{
    bool is_signed = strchr("csil", type->format[0]) != NULL;
    return array->dictionary->offset +
           (is_signed ? ce_arrow_signed(type, array, at) : (int64_t)unsigned_at(type, array, at));
}

void ce_arrow_list(const struct ce_arrow_type *type, const struct ArrowArray *array, int64_t at,
                   int64_t *ret_start, int64_t *ret_count)
{
    switch (type->shape) {
    case CE_SHAPE_LIST32:
        *ret_start = ce_load_i32(array->buffers[1], at);
        *ret_count = ce_load_i32(array->buffers[1], at + 1) - *ret_start;
        return;
    case CE_SHAPE_LIST64:
        *ret_start = ce_load_i64(array->buffers[1], at);
        *ret_count = ce_load_i64(array->buffers[1], at + 1) - *ret_start;
        return;
    case CE_SHAPE_LIST_VIEW32:
        *ret_start = ce_load_i32(array->buffers[1], at);
        *ret_count = ce_load_i32(array->buffers[2], at);
        return;
    case CE_SHAPE_LIST_VIEW64:
        *ret_start = ce_load_i64(array->buffers[1], at);
        *ret_count = ce_load_i64(array->buffers[2], at);
        return;
    default:
        *ret_start = at * type->width;
        *ret_count = type->width;
        return;
    }
}
