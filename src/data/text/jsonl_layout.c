/* SPDX-License-Identifier: MIT */
#include "data/text/jsonl_layout.h"

#include "base/cleanup.h"
#include "data/text/json_string.h"
#include "data/text/jsonl_cell.h"
#include "data/text/jsonl_names.h"
#include "data/text/jsonl_scan.h"

struct member {
    struct ce_json_member json;
    int column;    /* -1: it is none */
    bool repeated; /* its key comes again, and that one counts */
};

/* A line being laid out. */
struct layout {
    const struct ce_text_table *table;
    const struct ce_text_record *record;
    const struct ce_layout_cell *cells;
    size_t cell_count;
    int *place;   /* of each column of the table among `cells`; -1: it is left out */
    int *last;    /* the member that is each column; -1: there is none */
    bool ordered; /* the columns that stay keep their order */

    char *line;       /* a copy of the record with a line feed behind it */
    const char *open; /* the brace that opens its object */
    struct member *members;
    size_t count, capacity;

    size_t put; /* members written so far */
    struct ce_buffer *out;
};

static void layout_done(struct layout *l)
{
    free(l->place);
    free(l->last);
    free(l->line);
    free(l->members);
}

/* ---- what there is ---- */

static int find_places(struct layout *l, struct ce_error *err)
{
    size_t columns = l->table->column_count;
    int last = -1;
    l->place = malloc((columns + 1) * sizeof *l->place);
    l->last = malloc((columns + 1) * sizeof *l->last);
    if (!l->place || !l->last)
        return ce_fail_memory(err);
    for (size_t i = 0; i < columns; i++)
        l->place[i] = l->last[i] = -1;
    l->ordered = true;
    for (size_t i = 0; i < l->cell_count; i++) {
        int column = l->cells[i].column;
        if (column < 0)
            continue;
        l->place[column] = (int)i;
        l->ordered = l->ordered && column > last;
        last = column;
    }
    return 0;
}

static int add_member(struct layout *l, const struct ce_json_member *json, struct ce_error *err)
{
    if (l->count == l->capacity) {
        size_t capacity = 2 * l->capacity + 32;
        struct member *larger = realloc(l->members, capacity * sizeof *larger);
        if (!larger)
            return ce_fail_memory(err);
        l->members = larger;
        l->capacity = capacity;
    }
    int column = ce_jsonl_names_find(l->table, json->key + 1, json->key_size - 2);
    if (column < -1)
        return ce_fail_memory(err);
    if (column >= 0) {
        if (l->last[column] >= 0)
            l->members[l->last[column]].repeated = true;
        l->last[column] = (int)l->count;
    }
    l->members[l->count++] = (struct member){.json = *json, .column = column};
    return 0;
}

static int find_members(struct layout *l, struct ce_error *err)
{
    size_t size = l->record->size;
    l->line = calloc(1, size + 1 + CE_JSON_SPARE);
    if (!l->line)
        return ce_fail_memory(err);
    memcpy(l->line, l->record->bytes, size);
    l->line[size] = '\n';
    l->open = ce_json_blanks(l->line);
    struct ce_json_walk walk = ce_json_walk_start(l->open);
    struct ce_json_member json;
    int r;
    while ((r = ce_json_walk_next(&walk, NULL, 0, &json)) > 0)
        CE_TRY(add_member(l, &json, err));
    return r; /* 0: the record was read before, and is well-formed */
}

/* ---- what is written ---- */

static bool put_text(struct layout *l, const char *from, const char *to)
{
    return ce_buffer_put(l->out, from, (size_t)(to - from));
}

static const char *value_end(const struct member *m)
{
    return m->json.value + m->json.value_size;
}

/* What stands between the n-th member and the one before it, or before the first; beyond the line's
 * own members as between its last two. */
static bool put_gap(struct layout *l)
{
    size_t n = l->put++;
    if (n == 0)
        return put_text(l, l->open, l->count > 0 ? l->members[0].json.key : l->open + 1);
    if (l->count >= 2) {
        n = n < l->count ? n : l->count - 1;
        return put_text(l, value_end(&l->members[n - 1]), l->members[n].json.key);
    }
    bool tight = l->count == 1 && l->members[0].json.value[-1] == ':';
    return ce_buffer_put(l->out, ", ", tight ? 1 : 2);
}

static bool put_member(struct layout *l, const struct member *m, const char *name,
                       const struct ce_text_cell *value)
{
    const char *key_end = m->json.key + m->json.key_size;
    bool renamed = name && strcmp(name, l->table->names[m->column]) != 0;
    return put_gap(l) &&
           (renamed ? ce_json_put_string(name, strlen(name), false, l->out)
                    : put_text(l, m->json.key, key_end)) &&
           put_text(l, key_end, m->json.value) &&
           (value ? ce_buffer_put(l->out, value->raw, value->raw_size)
                  : put_text(l, m->json.value, value_end(m)));
}

static const struct ce_text_cell *cell_of(const struct layout *l, int column)
{
    bool has = (size_t)column < l->record->cell_count && l->record->cells[column].raw;
    return has ? &l->record->cells[column] : NULL;
}

/* A member where the line has it. */
static bool put_in_place(struct layout *l, const struct member *m)
{
    if (m->column < 0)
        return put_member(l, m, NULL, NULL);
    const struct ce_text_cell *cell = cell_of(l, m->column);
    int place = l->place[m->column];
    if (place < 0 || !cell)
        return true;
    return put_member(l, m, l->cells[place].name, m->repeated ? NULL : cell);
}

/* Whether it is a column's member that stays. */
static bool is_kept_column(const struct layout *l, const struct member *m)
{
    return m->column >= 0 && !m->repeated && l->place[m->column] >= 0 && cell_of(l, m->column);
}

/* The columns' members go, in their new order, where columns' members were. */
static bool put_reordered(struct layout *l)
{
    const struct ce_layout_cell *next = l->cells;
    for (size_t i = 0; i < l->count; i++) {
        const struct member *m = &l->members[i];
        if (is_kept_column(l, m)) {
            /* There are as many of them in `cells`. */
            while (next->column < 0 || l->last[next->column] < 0 || !cell_of(l, next->column))
                next++;
            m = &l->members[l->last[next++->column]];
        }
        if (!put_in_place(l, m))
            return false;
    }
    return true;
}

static bool put_added(struct layout *l, const struct ce_layout_cell *cell)
{
    const struct member *like = l->count > 0 ? &l->members[0] : NULL;
    if (!put_gap(l) || !ce_json_put_string(cell->name, strlen(cell->name), false, l->out) ||
        !(like ? put_text(l, like->json.key + like->json.key_size, like->json.value)
               : ce_buffer_put(l->out, ": ", 2)))
        return false;
    if (!cell->text)
        return ce_buffer_put(l->out, "null", 4);
    return cell->number && ce_json_is_number(cell->text, cell->text_size)
               ? ce_buffer_put(l->out, cell->text, cell->text_size)
               : ce_json_put_string(cell->text, cell->text_size, false, l->out);
}

static bool put_line(struct layout *l)
{
    bool done = put_text(l, l->line, l->open);
    if (!l->ordered)
        done = done && put_reordered(l);
    for (size_t i = 0; l->ordered && i < l->count; i++)
        done = done && put_in_place(l, &l->members[i]);
    for (size_t i = 0; i < l->cell_count; i++)
        if (l->cells[i].column < 0)
            done = done && put_added(l, &l->cells[i]);
    if (l->put == 0)
        done = done && put_text(l, l->open, l->open + 1);
    const char *tail = l->count > 0 ? value_end(&l->members[l->count - 1]) : l->open + 1;
    return done && put_text(l, tail, l->line + l->record->size);
}

int ce_jsonl_lay_out(const struct ce_text_table *table, const struct ce_text_record *record,
                     bool header, const struct ce_layout_cell *cells, size_t count,
                     struct ce_buffer *out, struct ce_error *err)
{
    if (header)
        return 0;
    CE_CLEANUP(layout_done)
    struct layout l = {
        .table = table, .record = record, .cells = cells, .cell_count = count, .out = out};
    CE_TRY(find_places(&l, err));
    CE_TRY(find_members(&l, err));
    return put_line(&l) ? 0 : ce_fail_memory(err);
}
