/* SPDX-License-Identifier: MIT */
/* The layout entry: the number of the output's columns (u32), for each its index in the input (i32;
 * -1: added), and the input's schema as a field. A field is its format and name with their NULs,
 * the size of its metadata (u32) and these, flags and number of nested fields (u32 each), the
 * nested fields, and a byte that says whether the dictionary's follows. All little endian. */
#include "data/arrow/key.h"

#include "data/key_json.h"

/* ---- writing ---- */

static bool put_u32(struct ce_buffer *out, uint32_t value)
{
    return ce_buffer_put(out, &value, 4);
}

int ce_arrow_key_put(struct ce_arrow_pass *pass, uint64_t row_in, uint64_t row_out, uint64_t what,
                     size_t fault, const char *bytes, size_t size, struct ce_error *err)
{
    char head[CE_KEY_HEAD_MAX];
    struct ce_key_change change = {
        .gap = row_out - pass->entry_out,
        .row_step = row_in - pass->entry_in,
        .what = what,
        .fault = fault,
        .old_size = size,
    };
    if (!pass->how.key)
        return 0;
    pass->entry_in = row_in;
    pass->entry_out = row_out;
    return ce_buffer_put(&pass->entries, head, ce_key_head(&change, head)) &&
                   ce_buffer_put(&pass->entries, bytes, size)
               ? 0
               : ce_fail_memory(err);
}

/* How many values the column's dictionary has, when they have the same indices in the output; -1:
 * they have not. */
static int known_values(struct ce_arrow_pass *pass, size_t place, int64_t *ret_count,
                        struct ce_error *err)
{
    size_t column = (size_t)pass->plan.places[place].input;
    const struct ce_work_column *work = &pass->work.columns[column];
    const struct ArrowArray *values = work->input->dictionary, *made = &pass->made[column];
    const int64_t *edited = NULL, *joined = NULL;
    int64_t max = ce_dictionary_max(work->in), count = values->length;
    if (made->release)
        CE_TRY(ce_dictionary_map(work->edit.dictionary, values, max, &edited, err));
    if (pass->join[place].dictionary)
        CE_TRY(ce_dictionary_map(pass->join[place].dictionary,
                                 made->release ? made->dictionary : values, max, &joined, err));
    for (int64_t i = 0; i < values->length; i++) {
        int64_t index = edited ? edited[i] : i;
        if ((joined ? joined[index] : index) != i)
            count = -1;
    }
    *ret_count = count;
    return 0;
}

int ce_arrow_key_dictionaries(struct ce_arrow_pass *pass, struct ce_error *err)
{
    for (size_t i = 0; pass->how.key && i < pass->plan.place_count; i++) {
        int input = pass->plan.places[i].input;
        int64_t count;
        if (input < 0 || !pass->plan.places[i].type->dictionary)
            continue;
        CE_TRY(known_values(pass, i, &count, err));
        if (count == pass->values[i])
            continue;
        pass->values[i] = count;
        pass->cell.size = 0;
        if (!put_u32(&pass->cell, (uint32_t)input) || !ce_buffer_put(&pass->cell, &count, 8))
            return ce_fail_memory(err);
        CE_TRY(ce_arrow_key_put(pass, pass->entry_in, pass->rows_out, CE_KEY_LAYOUT, 0,
                                pass->cell.data, pass->cell.size, err));
    }
    return 0;
}

int ce_arrow_key_flush(struct ce_arrow_pass *pass, struct ce_error *err)
{
    if (pass->entries.size == 0)
        return 0;
    CE_TRY(ce_output_put(pass->how.key, pass->entries.data, pass->entries.size, err));
    pass->entries.size = 0;
    return 0;
}

static bool put_text(struct ce_buffer *out, const char *text)
{
    return ce_buffer_put(out, text ? text : "", (text ? strlen(text) : 0) + 1);
}

static bool put_field(struct ce_buffer *out, const struct ArrowSchema *field)
{
    size_t metadata = ce_arrow_metadata_size(field->metadata);
    bool put = put_text(out, field->format) && put_text(out, field->name) &&
               put_u32(out, (uint32_t)metadata) && ce_buffer_put(out, field->metadata, metadata) &&
               put_u32(out, (uint32_t)field->flags) && put_u32(out, (uint32_t)field->n_children);
    for (int64_t i = 0; put && i < field->n_children; i++)
        put = put_field(out, field->children[i]);
    return put && ce_buffer_put(out, field->dictionary ? "\1" : "\0", 1) &&
           (!field->dictionary || put_field(out, field->dictionary));
}

int ce_arrow_key_layout(const struct ce_arrow_plan *plan, struct ce_buffer *ret_bytes,
                        struct ce_error *err)
{
    ret_bytes->size = 0;
    bool put = put_u32(ret_bytes, (uint32_t)plan->place_count);
    for (size_t i = 0; put && i < plan->place_count; i++)
        put = put_u32(ret_bytes, (uint32_t)plan->places[i].input);
    return put && put_field(ret_bytes, &plan->source->schema) ? 0 : ce_fail_memory(err);
}

/* ---- reading ---- */

struct reader {
    const char *at, *end;
};

static int damaged(struct ce_error *err)
{
    return ce_fail(err, EBADMSG, "the answer key's layout is damaged");
}

static int get_u32(struct reader *reader, uint32_t *ret_value, struct ce_error *err)
{
    if (reader->end - reader->at < 4)
        return damaged(err);
    memcpy(ret_value, reader->at, 4);
    reader->at += 4;
    return 0;
}

static int get_text(struct reader *reader, const char **ret_text, struct ce_error *err)
{
    const char *nul = memchr(reader->at, 0, (size_t)(reader->end - reader->at));
    if (!nul)
        return damaged(err);
    *ret_text = reader->at;
    reader->at = nul + 1;
    return 0;
}

/* Whether the pairs lie within the size. */
static bool metadata_fits(const char *metadata, size_t size)
{
    size_t at = 4;
    int64_t pairs = size >= 4 ? ce_load_i32(metadata, 0) : -1;
    if (pairs < 0)
        return false;
    for (int64_t i = 0; i < 2 * pairs; i++) {
        int64_t part = at + 4 <= size ? ce_load_i32(metadata + at, 0) : -1;
        if (part < 0 || (size_t)part > size - at - 4)
            return false;
        at += 4 + (size_t)part;
    }
    return at == size;
}

static int get_field(struct reader *reader, int depth, struct ArrowSchema *ret_field,
                     struct ce_error *err);

static int get_parts(struct reader *reader, int depth, struct ArrowSchema *field,
                     struct ce_error *err)
{
    uint32_t size = 0, flags = 0, children = 0;
    CE_TRY(get_u32(reader, &size, err));
    if (size > (size_t)(reader->end - reader->at) || (size > 0 && !metadata_fits(reader->at, size)))
        return damaged(err);
    if (size > 0)
        CE_TRY(ce_arrow_schema_set_metadata(field, reader->at, err));
    reader->at += size;
    CE_TRY(get_u32(reader, &flags, err));
    CE_TRY(get_u32(reader, &children, err));
    field->flags = flags;
    if (children > (size_t)(reader->end - reader->at) || depth > CE_ARROW_DEPTH_MAX)
        return damaged(err);
    CE_TRY(ce_arrow_schema_widen(field, children, err));
    for (uint32_t i = 0; i < children; i++)
        CE_TRY(get_field(reader, depth + 1, field->children[i], err));
    if (reader->at == reader->end)
        return damaged(err);
    if (*reader->at++ == 0)
        return 0;
    field->dictionary = calloc(1, sizeof *field->dictionary);
    return field->dictionary ? get_field(reader, depth + 1, field->dictionary, err)
                             : ce_fail_memory(err);
}

static int get_field(struct reader *reader, int depth, struct ArrowSchema *ret_field,
                     struct ce_error *err)
{
    const char *format = "", *name = "";
    CE_TRY(get_text(reader, &format, err));
    CE_TRY(get_text(reader, &name, err));
    CE_TRY(ce_arrow_schema_make(format, name, 0, ret_field, err));
    return get_parts(reader, depth, ret_field, err);
}

static int read_layout(struct reader *reader, struct ce_arrow_layout *layout, struct ce_error *err)
{
    uint32_t count = 0;
    CE_TRY(get_u32(reader, &count, err));
    if (count > (size_t)(reader->end - reader->at) / 4)
        return damaged(err);
    layout->inputs = calloc((size_t)count + 1, sizeof *layout->inputs);
    if (!layout->inputs)
        return ce_fail_memory(err);
    layout->count = count;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t input = 0;
        CE_TRY(get_u32(reader, &input, err));
        layout->inputs[i] = (int32_t)input;
    }
    CE_TRY(get_field(reader, 0, &layout->schema, err));
    bool fits = reader->at == reader->end;
    for (uint32_t i = 0; i < count; i++)
        fits = fits && layout->inputs[i] >= -1 && layout->inputs[i] < layout->schema.n_children;
    return fits ? 0 : damaged(err);
}

int ce_arrow_layout_read(const char *bytes, size_t size, struct ce_arrow_layout *ret_layout,
                         struct ce_error *err)
{
    struct reader reader = {bytes, bytes + size};
    struct ce_arrow_layout layout = {0};
    int r = read_layout(&reader, &layout, err);
    if (r < 0)
        ce_arrow_layout_done(&layout);
    else
        *ret_layout = layout;
    return r;
}

void ce_arrow_layout_done(struct ce_arrow_layout *layout)
{
    ce_arrow_schema_done(&layout->schema);
    free(layout->inputs);
    *layout = (struct ce_arrow_layout){0};
}

int ce_arrow_key_old(struct ce_key *key, const struct ce_key_change *change, struct ce_buffer *out,
                     struct ce_error *err)
{
    /* piece by piece: a damaged size must not become an allocation */
    char piece[4096];
    ssize_t n;
    while ((n = ce_key_old(key, piece, sizeof piece, err)) > 0)
        if (!ce_buffer_put(out, piece, (size_t)n))
            return ce_fail_memory(err);
    return (int)n;
}

/* ---- header and trailer ---- */

json_t *ce_arrow_key_header(const struct ce_arrow_mutate *how)
{
    ce_autojson json_t *faults = json_array();
    for (size_t i = 0; i < how->count; i++)
        if (json_array_append_new(faults, ce_key_json_fault(&how->mutations[i], NULL)) < 0)
            return NULL;
    return json_pack("{s:s, s:o, s:O}", "kind", "table", "columns",
                     ce_key_json_columns(how->profile), "faults", faults);
}

json_t *ce_arrow_key_trailer(const struct ce_arrow_mutate *how, const struct ce_data_result *result)
{
    return ce_key_json_trailer(result, how->count);
}
