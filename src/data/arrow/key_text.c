/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "data/arrow/key.h"
#include "data/arrow/typed.h"

struct ce_arrow_key_text {
    struct ce_arrow_layout layout;
    struct ce_arrow_type *table;
    struct ce_buffer scratch;
};

void ce_arrow_key_text_free(struct ce_arrow_key_text *text)
{
    if (!text)
        return;
    ce_arrow_type_free(text->table);
    ce_arrow_layout_done(&text->layout);
    ce_buffer_done(&text->scratch);
    free(text);
}

int ce_arrow_key_text_new(const void *layout, size_t size, struct ce_arrow_key_text **ret_text,
                          struct ce_error *err)
{
    struct ce_arrow_key_text *text = calloc(1, sizeof *text);
    if (!text)
        return ce_fail_memory(err);
    int r = ce_arrow_layout_read(layout, size, &text->layout, err);
    if (r == 0)
        r = ce_arrow_type_new(&text->layout.schema, &text->table, err);
    if (r < 0)
        ce_arrow_key_text_free(text);
    else
        *ret_text = text;
    return r;
}

/* Whether a value of the type may have that many bytes. */
static bool size_fits(const struct ce_arrow_type *type, size_t size)
{
    if (type->shape == CE_SHAPE_BITS)
        return size == 1;
    return type->shape != CE_SHAPE_FIXED || size == (size_t)type->width;
}

int ce_arrow_key_text_cell(struct ce_arrow_key_text *text, size_t column, const char *cell,
                           size_t size, const char **ret_text, size_t *ret_size,
                           struct ce_error *err)
{
    *ret_text = NULL;
    *ret_size = 0;
    if (size == 0 || column >= text->table->child_count)
        return ce_fail(err, EBADMSG, "the answer key has a value of no column");
    const struct ce_arrow_type *type = text->table->children[column];
    while (type->dictionary || type->shape == CE_SHAPE_RUNS)
        type = type->dictionary ? type->dictionary : type->children[1];
    if (cell[0] == 0)
        return 0;
    if (!ce_arrow_is_scalar(type)) {
        *ret_text = "[...]";
        *ret_size = strlen(*ret_text);
        return 0;
    }
    if (!size_fits(type, size - 1))
        return ce_fail(err, EBADMSG, "the answer key has a value of another type than its column");
    *ret_text = ce_typed_text(type, cell + 1, size - 1, &text->scratch, ret_size);
    return *ret_text ? 0 : ce_fail_memory(err);
}
