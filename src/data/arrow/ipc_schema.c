/* SPDX-License-Identifier: MIT */
/* Schemas of Arrow IPC (Schema.fbs) as schemas of the C data interface, and back. */
#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "data/arrow/ipc.h"

/* The union `Type`. */
enum {
    T_NULL = 1,
    T_INT,
    T_FLOAT,
    T_BINARY,
    T_UTF8,
    T_BOOL,
    T_DECIMAL,
    T_DATE,
    T_TIME,
    T_TIMESTAMP,
    T_INTERVAL,
    T_LIST,
    T_STRUCT,
    T_UNION,
    T_FIXED_BINARY,
    T_FIXED_LIST,
    T_MAP,
    T_DURATION,
    T_LARGE_BINARY,
    T_LARGE_UTF8,
    T_LARGE_LIST,
    T_RUNS,
    T_BINARY_VIEW,
    T_UTF8_VIEW,
    T_LIST_VIEW,
    T_LARGE_LIST_VIEW,
};

/* Fields of a Field table. */
enum {
    F_NAME,
    F_NULLABLE,
    F_TYPE_TYPE,
    F_TYPE,
    F_DICTIONARY,
    F_CHILDREN,
    F_METADATA,
    F_COUNT,
};

/* Types without parameters. */
static const struct {
    int type;
    const char *format;
} plain[] = {
    {T_NULL, "n"},        {T_BINARY, "z"},       {T_UTF8, "u"},
    {T_BOOL, "b"},        {T_LIST, "+l"},        {T_STRUCT, "+s"},
    {T_MAP, "+m"},        {T_LARGE_BINARY, "Z"}, {T_LARGE_UTF8, "U"},
    {T_LARGE_LIST, "+L"}, {T_RUNS, "+r"},        {T_BINARY_VIEW, "vz"},
    {T_UTF8_VIEW, "vu"},  {T_LIST_VIEW, "+vl"},  {T_LARGE_LIST_VIEW, "+vL"},
};

static const char units[] = "smun"; /* SECOND, MILLISECOND, MICROSECOND, NANOSECOND */

void ce_ipc_field_done(struct ce_ipc_field *field)
{
    for (size_t i = 0; field->children && i < field->child_count; i++)
        ce_ipc_field_done(&field->children[i]);
    free(field->children);
    *field = (struct ce_ipc_field){0};
}

/* ---- reading ---- */

static int int_letter(const struct ce_flat_table *type)
{
    int64_t bits = ce_flat_number(type, 0, 4, 0);
    bool is_signed = ce_flat_number(type, 1, 1, 0);
    int at = bits == 8 ? 0 : bits == 16 ? 1 : bits == 32 ? 2 : bits == 64 ? 3 : -1;
    return at < 0 ? 0 : is_signed ? "csil"[at] : "CSIL"[at];
}

static char unit_letter(const struct ce_flat_table *type, int64_t otherwise)
{
    int64_t unit = ce_flat_number(type, 0, 2, otherwise);
    return unit >= 0 && unit <= 3 ? units[unit] : '?';
}

static char *union_format(const struct ce_flat_table *type, size_t children)
{
    struct ce_flat_vector ids = ce_flat_vector(type, 1, 4);
    char *format = malloc(8 + 12 * (children + ids.count));
    if (!format)
        return NULL;
    int n = sprintf(format, "+u%c:", ce_flat_number(type, 0, 2, 0) == 1 ? 'd' : 's');
    for (size_t i = 0; i < (ids.at ? ids.count : children); i++)
        n += sprintf(format + n, "%s%d", i > 0 ? "," : "",
                     ids.at ? (int)ce_flat_load(type->flat, ids.at + 4 * i, 4) : (int)i);
    return format;
}

/* What the parameters make of it; malloc'ed. An unknown one is "?", which no type is. NULL: no
 * memory. */
static char *make_format(int64_t kind, const struct ce_flat_table *type, size_t children)
{
    const char *text;
    size_t size;
    for (size_t i = 0; i < CE_COUNT(plain); i++)
        if (plain[i].type == kind)
            return strdup(plain[i].format);
    switch (kind) {
    case T_INT:
        return ce_format("%c", int_letter(type) ? int_letter(type) : '?');
    case T_FLOAT:
        size = (size_t)ce_flat_number(type, 0, 2, 0);
        return ce_format("%c", size <= 2 ? "efg"[size] : '?');
    case T_DECIMAL:
        if (ce_flat_number(type, 2, 4, 128) == 128)
            return ce_format("d:%d,%d", (int)ce_flat_number(type, 0, 4, 0),
                             (int)ce_flat_number(type, 1, 4, 0));
        return ce_format("d:%d,%d,%d", (int)ce_flat_number(type, 0, 4, 0),
                         (int)ce_flat_number(type, 1, 4, 0), (int)ce_flat_number(type, 2, 4, 0));
    case T_DATE:
        return strdup(ce_flat_number(type, 0, 2, 1) == 0 ? "tdD" : "tdm");
    case T_TIME:
        return ce_format("tt%c", unit_letter(type, 1));
    case T_TIMESTAMP:
        (void)ce_flat_text(type, 1, &text, &size);
        return ce_format("ts%c:%.*s", unit_letter(type, 0), (int)(size < 256 ? size : 256), text);
    case T_DURATION:
        return ce_format("tD%c", unit_letter(type, 1));
    case T_INTERVAL:
        size = (size_t)ce_flat_number(type, 0, 2, 0);
        return ce_format("ti%c", size <= 2 ? "MDn"[size] : '?');
    case T_UNION:
        return union_format(type, children);
    case T_FIXED_BINARY:
        return ce_format("w:%d", (int)ce_flat_number(type, 0, 4, 0));
    case T_FIXED_LIST:
        return ce_format("+w:%d", (int)ce_flat_number(type, 0, 4, 0));
    default:
        return strdup("?");
    }
}

/* A text with its size before it, as metadata have it. */
static bool put_sized(struct ce_buffer *out, const char *text, size_t size)
{
    int32_t written = (int32_t)size;
    return ce_buffer_put(out, &written, 4) && ce_buffer_put(out, text, size);
}

static bool read_pairs(const struct ce_flat_table *table, const struct ce_flat_vector *pairs,
                       struct ce_buffer *out)
{
    int32_t count = (int32_t)pairs->count;
    bool put = ce_buffer_put(out, &count, 4);
    for (uint32_t i = 0; put && i < pairs->count; i++) {
        struct ce_flat_table pair;
        const char *key = "", *value = "";
        size_t key_size = 0, value_size = 0;
        if (ce_flat_element(table->flat, pairs, i, &pair)) {
            (void)ce_flat_text(&pair, 0, &key, &key_size);
            (void)ce_flat_text(&pair, 1, &value, &value_size);
        }
        put = put_sized(out, key, key_size) && put_sized(out, value, value_size);
    }
    return put;
}

int ce_ipc_metadata_read(const struct ce_flat_table *table, unsigned field, char **ret_metadata,
                         struct ce_error *err)
{
    struct ce_flat_vector pairs = ce_flat_vector(table, field, 4);
    struct ce_buffer out = {0};
    *ret_metadata = NULL;
    if (pairs.count == 0)
        return 0;
    if (!read_pairs(table, &pairs, &out)) {
        ce_buffer_done(&out);
        return ce_fail_memory(err);
    }
    *ret_metadata = out.data;
    return 0;
}

static int copy_metadata(const struct ce_flat_table *table, unsigned field,
                         struct ArrowSchema *schema, struct ce_error *err)
{
    ce_autofree char *metadata = NULL;
    CE_TRY(ce_ipc_metadata_read(table, field, &metadata, err));
    return ce_arrow_schema_set_metadata(schema, metadata, err);
}

static int read_field(const struct ce_flat_table *table, const char *path, int depth,
                      struct ArrowSchema *ret_schema, struct ce_ipc_field *ret_field,
                      struct ce_error *err);

static int read_children(const struct ce_flat_table *table, unsigned index, const char *path,
                         int depth, struct ArrowSchema *schema, struct ce_ipc_field *field,
                         struct ce_error *err)
{
    struct ce_flat_vector children = ce_flat_vector(table, index, 4);
    if (depth > CE_ARROW_DEPTH_MAX)
        return ce_fail(err, EINVAL, "'%s': the columns are nested deeper than %d levels", path,
                       CE_ARROW_DEPTH_MAX);
    field->children = calloc((size_t)children.count + 1, sizeof *field->children);
    if (!field->children)
        return ce_fail_memory(err);
    field->child_count = children.count;
    CE_TRY(ce_arrow_schema_widen(schema, children.count, err));
    for (uint32_t i = 0; i < children.count; i++) {
        struct ce_flat_table child;
        if (!ce_flat_element(table->flat, &children, i, &child))
            return ce_fail(err, EINVAL, "'%s' is damaged: its schema is cut short", path);
        CE_TRY(read_field(&child, path, depth + 1, schema->children[i], &field->children[i], err));
    }
    return 0;
}

/* Turns the field, which is about the values, into one of indices. */
static int read_dictionary(const struct ce_flat_table *encoding, struct ArrowSchema *schema,
                           struct ce_ipc_field *field, struct ce_error *err)
{
    struct ce_flat_table type;
    char format[2] = "i";
    if (ce_flat_child(encoding, 1, &type))
        format[0] = (char)(int_letter(&type) ? int_letter(&type) : '?');
    field->id = ce_flat_number(encoding, 0, 8, 0);
    struct ArrowSchema values = *schema, indices;
    CE_TRY(ce_arrow_schema_make(format, values.name, values.flags, &indices, err));
    if (ce_flat_number(encoding, 2, 1, 0))
        indices.flags |= ARROW_FLAG_DICTIONARY_ORDERED;
    indices.metadata = values.metadata; /* a field has one set of them */
    values.metadata = NULL;
    values.flags = ARROW_FLAG_NULLABLE;
    indices.dictionary = calloc(1, sizeof *indices.dictionary);
    *schema = indices;
    if (!indices.dictionary) {
        ce_arrow_schema_done(&values);
        return ce_fail_memory(err);
    }
    *indices.dictionary = values;
    return ce_arrow_schema_set(&indices.dictionary->name, "", err);
}

static int read_field(const struct ce_flat_table *table, const char *path, int depth,
                      struct ArrowSchema *ret_schema, struct ce_ipc_field *ret_field,
                      struct ce_error *err)
{
    struct ce_flat_table type = {0}, encoding;
    const char *name;
    size_t size;
    int64_t kind = ce_flat_number(table, F_TYPE_TYPE, 1, 0);
    ret_field->id = -1;
    (void)ce_flat_text(table, F_NAME, &name, &size);
    ce_autofree char *text = strndup(name, size);
    if (!ce_flat_child(table, F_TYPE, &type))
        return ce_fail(err, EINVAL, "'%s' is damaged: a column has no type", path);
    ce_autofree char *format = make_format(kind, &type, ce_flat_vector(table, F_CHILDREN, 4).count);
    if (!text || !format)
        return ce_fail_memory(err);
    CE_TRY(ce_arrow_schema_make(format, text, 0, ret_schema, err));
    if (ce_flat_number(table, F_NULLABLE, 1, 0))
        ret_schema->flags |= ARROW_FLAG_NULLABLE;
    if (kind == T_MAP && ce_flat_number(&type, 0, 1, 0))
        ret_schema->flags |= ARROW_FLAG_MAP_KEYS_SORTED;
    CE_TRY(copy_metadata(table, F_METADATA, ret_schema, err));
    CE_TRY(read_children(table, F_CHILDREN, path, depth, ret_schema, ret_field, err));
    if (ce_flat_child(table, F_DICTIONARY, &encoding))
        CE_TRY(read_dictionary(&encoding, ret_schema, ret_field, err));
    return 0;
}

int ce_ipc_schema_read(const struct ce_flat_table *table, const char *path,
                       struct ArrowSchema *ret_schema, struct ce_ipc_field *ret_root,
                       struct ce_error *err)
{
    if (ce_flat_number(table, 0, 2, 0) != 0)
        return ce_fail(err, EOPNOTSUPP, "'%s' was written big-endian, which is not read", path);
    ret_root->id = -1;
    CE_TRY(ce_arrow_schema_make("+s", "", 0, ret_schema, err));
    CE_TRY(copy_metadata(table, 2, ret_schema, err));
    CE_TRY(read_children(table, 1, path, 0, ret_schema, ret_root, err));
    return table->flat->bad ? ce_fail(err, EINVAL, "'%s' is damaged: its schema is cut short", path)
                            : 0;
}

/* ---- writing ---- */

static int64_t metadata_pairs(const char *metadata)
{
    return metadata ? ce_load_i32(metadata, 0) : 0;
}

void ce_ipc_metadata_write(struct ce_flat_writer *writer, size_t from, const char *metadata)
{
    static const uint8_t sizes[] = {4, 4};
    uint32_t count = (uint32_t)metadata_pairs(metadata);
    size_t vector = ce_flat_put_vector(writer, from, count, 4);
    const char *at = metadata + 4;
    for (uint32_t i = 0; i < count; i++) {
        size_t pair = ce_flat_put_table(writer, vector + 4 * (size_t)i, sizes, 2);
        for (unsigned k = 0; k < 2; k++) {
            size_t size = (size_t)ce_load_i32(at, 0);
            ce_flat_put_text(writer, ce_flat_field(writer, pair, k), at + 4, size);
            at += 4 + size;
        }
    }
}

/* A table of one number. */
static void put_number(struct ce_flat_writer *writer, size_t from, int64_t value, uint8_t size)
{
    size_t table = ce_flat_put_table(writer, from, &size, 1);
    ce_flat_set(writer, ce_flat_field(writer, table, 0), value, size);
}

static int unit_of(char letter)
{
    const char *at = strchr(units, letter);
    return at ? (int)(at - units) : 0;
}

static void put_int(struct ce_flat_writer *writer, size_t from, char letter)
{
    static const uint8_t sizes[] = {4, 1};
    static const char *const letters[] = {"cC", "sS", "iI", "lL"};
    size_t table = ce_flat_put_table(writer, from, sizes, 2);
    for (unsigned i = 0; i < 4; i++)
        if (strchr(letters[i], letter)) {
            ce_flat_set(writer, ce_flat_field(writer, table, 0), 8 << i, 4);
            ce_flat_set(writer, ce_flat_field(writer, table, 1), letters[i][0] == letter, 1);
        }
}

static void put_decimal(struct ce_flat_writer *writer, size_t from, const char *format)
{
    static const uint8_t sizes[] = {4, 4, 4};
    int numbers[3] = {0, 0, 128};
    (void)sscanf(format, "d:%d,%d,%d", &numbers[0], &numbers[1], &numbers[2]);
    size_t table = ce_flat_put_table(writer, from, sizes, 3);
    for (unsigned i = 0; i < 3; i++)
        ce_flat_set(writer, ce_flat_field(writer, table, i), numbers[i], 4);
}

static void put_stamp(struct ce_flat_writer *writer, size_t from, const char *format)
{
    uint8_t sizes[] = {2, format[4] ? 4 : 0};
    size_t table = ce_flat_put_table(writer, from, sizes, 2);
    ce_flat_set(writer, ce_flat_field(writer, table, 0), unit_of(format[2]), 2);
    if (format[4])
        ce_flat_put_text(writer, ce_flat_field(writer, table, 1), format + 4, strlen(format + 4));
}

static void put_clock(struct ce_flat_writer *writer, size_t from, char unit)
{
    static const uint8_t sizes[] = {2, 4};
    size_t table = ce_flat_put_table(writer, from, sizes, 2);
    ce_flat_set(writer, ce_flat_field(writer, table, 0), unit_of(unit), 2);
    ce_flat_set(writer, ce_flat_field(writer, table, 1), unit_of(unit) < 2 ? 32 : 64, 4);
}

static void put_union(struct ce_flat_writer *writer, size_t from, const char *format)
{
    static const uint8_t sizes[] = {2, 4};
    size_t table = ce_flat_put_table(writer, from, sizes, 2);
    uint32_t count = 0;
    for (const char *at = format + 3; *at; at++)
        count += *at == ',' || (*at == ':' && at[1]);
    ce_flat_set(writer, ce_flat_field(writer, table, 0), format[2] == 'd', 2);
    size_t ids = ce_flat_put_vector(writer, ce_flat_field(writer, table, 1), count, 4);
    const char *at = format + 4;
    for (uint32_t i = 0; i < count; i++) {
        char *end;
        ce_flat_set(writer, ids + 4 * (size_t)i, strtol(at, &end, 10), 4);
        at = end + 1;
    }
}

/* The type's number in the union `Type`. */
static int type_of(const char *f)
{
    for (size_t i = 0; i < CE_COUNT(plain); i++)
        if (strcmp(plain[i].format, f) == 0)
            return plain[i].type;
    switch (f[0]) {
    case 'e':
    case 'f':
    case 'g':
        return T_FLOAT;
    case 'd':
        return T_DECIMAL;
    case 'w':
        return T_FIXED_BINARY;
    case '+':
        return f[1] == 'w' ? T_FIXED_LIST : T_UNION;
    case 't':
        return f[1] == 'd'   ? T_DATE
               : f[1] == 't' ? T_TIME
               : f[1] == 's' ? T_TIMESTAMP
               : f[1] == 'D' ? T_DURATION
                             : T_INTERVAL;
    default:
        return T_INT;
    }
}

static void write_type(struct ce_flat_writer *writer, size_t from, const struct ArrowSchema *schema)
{
    const char *f = schema->format;
    switch (type_of(f)) {
    case T_INT:
        put_int(writer, from, f[0]);
        return;
    case T_FLOAT:
        put_number(writer, from, f[0] - 'e', 2);
        return;
    case T_DECIMAL:
        put_decimal(writer, from, f);
        return;
    case T_FIXED_BINARY:
        put_number(writer, from, strtol(f + 2, NULL, 10), 4);
        return;
    case T_FIXED_LIST:
        put_number(writer, from, strtol(f + 3, NULL, 10), 4);
        return;
    case T_UNION:
        put_union(writer, from, f);
        return;
    case T_DATE:
        put_number(writer, from, f[2] == 'D' ? 0 : 1, 2);
        return;
    case T_TIME:
        put_clock(writer, from, f[2]);
        return;
    case T_TIMESTAMP:
        put_stamp(writer, from, f);
        return;
    case T_DURATION:
        put_number(writer, from, unit_of(f[2]), 2);
        return;
    case T_INTERVAL:
        put_number(writer, from, f[2] == 'M' ? 0 : f[2] == 'D' ? 1 : 2, 2);
        return;
    case T_MAP:
        put_number(writer, from, (schema->flags & ARROW_FLAG_MAP_KEYS_SORTED) != 0, 1);
        return;
    default:
        (void)ce_flat_put_table(writer, from, NULL, 0);
        return;
    }
}

static void write_encoding(struct ce_flat_writer *writer, size_t from,
                           const struct ArrowSchema *schema, int64_t id)
{
    static const uint8_t sizes[] = {8, 4, 1};
    size_t table = ce_flat_put_table(writer, from, sizes, 3);
    ce_flat_set(writer, ce_flat_field(writer, table, 0), id, 8);
    ce_flat_set(writer, ce_flat_field(writer, table, 2),
                (schema->flags & ARROW_FLAG_DICTIONARY_ORDERED) != 0, 1);
    put_int(writer, ce_flat_field(writer, table, 1), schema->format[0]);
}

static void write_fields(struct ce_flat_writer *writer, size_t from,
                         const struct ArrowSchema *parent, int64_t *next_id);

/* A dictionary's values have the ids that follow on their own. */
static void write_field(struct ce_flat_writer *writer, size_t from,
                        const struct ArrowSchema *schema, int64_t *next_id)
{
    const struct ArrowSchema *values = schema->dictionary ? schema->dictionary : schema;
    const char *name = schema->name ? schema->name : "";
    uint8_t sizes[F_COUNT] = {
        4, 1, 1, 4, schema->dictionary ? 4 : 0, 4, metadata_pairs(schema->metadata) > 0 ? 4 : 0};
    size_t table = ce_flat_put_table(writer, from, sizes, F_COUNT);
    ce_flat_set(writer, ce_flat_field(writer, table, F_NULLABLE),
                (schema->flags & ARROW_FLAG_NULLABLE) != 0, 1);
    ce_flat_set(writer, ce_flat_field(writer, table, F_TYPE_TYPE), type_of(values->format), 1);
    ce_flat_put_text(writer, ce_flat_field(writer, table, F_NAME), name, strlen(name));
    write_type(writer, ce_flat_field(writer, table, F_TYPE), values);
    if (schema->dictionary)
        write_encoding(writer, ce_flat_field(writer, table, F_DICTIONARY), schema, (*next_id)++);
    write_fields(writer, ce_flat_field(writer, table, F_CHILDREN), values, next_id);
    if (sizes[F_METADATA])
        ce_ipc_metadata_write(writer, ce_flat_field(writer, table, F_METADATA), schema->metadata);
}

static void write_fields(struct ce_flat_writer *writer, size_t from,
                         const struct ArrowSchema *parent, int64_t *next_id)
{
    size_t vector = ce_flat_put_vector(writer, from, (uint32_t)parent->n_children, 4);
    for (int64_t i = 0; i < parent->n_children; i++)
        write_field(writer, vector + 4 * (size_t)i, parent->children[i], next_id);
}

int ce_ipc_schema_write(struct ce_flat_writer *writer, size_t from,
                        const struct ArrowSchema *schema, struct ce_error *err)
{
    int64_t next_id = 0;
    uint8_t sizes[] = {2, 4, metadata_pairs(schema->metadata) > 0 ? 4 : 0};
    size_t table = ce_flat_put_table(writer, from, sizes, 3);
    write_fields(writer, ce_flat_field(writer, table, 1), schema, &next_id);
    if (sizes[2])
        ce_ipc_metadata_write(writer, ce_flat_field(writer, table, 2), schema->metadata);
    return writer->failed ? ce_fail_memory(err) : 0;
}

size_t ce_ipc_message_begin(struct ce_flat_writer *writer, int header, int64_t body_size)
{
    static const uint8_t sizes[] = {2, 1, 4, 8};
    size_t table = ce_flat_put_table(writer, SIZE_MAX, sizes, 4);
    ce_flat_set(writer, ce_flat_field(writer, table, 0), IPC_V5, 2);
    ce_flat_set(writer, ce_flat_field(writer, table, 1), header, 1);
    ce_flat_set(writer, ce_flat_field(writer, table, 3), body_size, 8);
    return ce_flat_field(writer, table, 2);
}
