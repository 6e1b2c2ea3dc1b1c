/* SPDX-License-Identifier: MIT */
/* Arbitrary bytes as a predicate: it parses, or an error says where it does not; and what is true
 * of a row is never true together with its `not`. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "data/predicate.h"

CE_DEFINE_CLEANUP(struct ce_predicate, ce_predicate_free);

static const char *const names[] = {"a", "b", "c", NULL, "d e"};
static const char *const texts[] = {"12", "x'y", NULL, "gone", "\xCE\xB1z"};

static void cell_of(struct ce_row *row, size_t column, struct ce_cell *ret_cell)
{
    const char *text = texts[column];
    *ret_cell = (struct ce_cell){.row = row, .raw = text, .raw_size = text ? strlen(text) : 0};
}

static bool cell_missing(const struct ce_cell *cell)
{
    return !cell->raw;
}

static bool cell_number(const struct ce_cell *cell, double *ret_value)
{
    return ce_text_number(cell->raw, ret_value) == 0;
}

static const char *cell_text(struct ce_cell *cell, size_t *ret_size)
{
    *ret_size = cell->raw_size;
    return cell->raw;
}

static const struct ce_row_form form = {cell_of, cell_missing, cell_number, cell_text};

static void expect(bool held)
{
    if (!held)
        __builtin_trap();
}

/* 1, 0, or a negative errno. */
static int holds(const char *text)
{
    CE_CLEANUP(ce_predicate_free_p) struct ce_predicate *predicate = NULL;
    struct ce_error err = {0};
    struct ce_row row = {.form = &form, .ordinal = 3};
    int r = ce_predicate_parse(text, &predicate, &err);
    expect((r < 0) == (strncmp(err.message, "where: ", 7) == 0));
    expect((r < 0) == (predicate == NULL));
    if (r == 0)
        r = ce_predicate_bind(predicate, names, CE_COUNT(names), "t", &err);
    expect((r < 0) == (err.message[0] != '\0'));
    return r < 0 ? r : ce_predicate_true(predicate, &row);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ce_autofree char *text = strndup((const char *)data, size);
    ce_autofree char *opposite = text ? ce_format("not (%s)", text) : NULL;
    if (!opposite)
        return 0;
    int it = holds(text), other = it >= 0 ? holds(opposite) : 0;
    /* What is nested as deeply, or is as long, as can be has no opposite. */
    expect(it < 1 || other == 0 || other == -EINVAL);
    return 0;
}
