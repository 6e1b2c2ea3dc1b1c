/* SPDX-License-Identifier: MIT */
/* Statistics of a text table: each chunk feeds a part, parts are merged in the order of the file.
 *
 * JSON lines may show new columns at any place. A chunk that has members which its thread's view of
 * the table lacks is fed again when its turn comes, with all columns that are known by then. */
#include <pthread.h>

#include "base/cleanup.h"
#include "data/decimal.h"
#include "data/stats/builder.h"
#include "data/text/csv_cell.h"
#include "data/text/engine.h"
#include "data/text/padded_number.h"
#include "data/text/text_internal.h"

CE_DEFINE_CLEANUP(struct ce_builder, ce_builder_free);

struct feeder {
    struct ce_text_scan scan;
    struct ce_text_row row;
    struct ce_buffer made, scratch;
};

struct fed {
    struct ce_part *part;
    bool incomplete; /* there were members without a column */
};

struct pass {
    struct ce_text_table *table;
    unsigned stats;
    pthread_mutex_t lock; /* of the table's growth */
    struct feeder again;
    struct ce_builder *builder;
};

static void feeder_done(struct feeder *feeder)
{
    ce_text_scan_done(&feeder->scan);
    ce_buffer_done(&feeder->made);
    ce_buffer_done(&feeder->scratch);
    free(feeder->row.cells);
}

static void *feeder_new(void *ctx)
{
    return calloc(1, sizeof(struct feeder));
}

static void feeder_free(void *worker)
{
    feeder_done(worker);
    free(worker);
}

static void *fed_new(void *ctx)
{
    const struct pass *pass = ctx;
    struct fed *fed = calloc(1, sizeof *fed);
    if (fed && ce_part_new(pass->table->column_count, pass->stats, &fed->part, NULL) < 0) {
        free(fed);
        return NULL;
    }
    return fed;
}

static void fed_free(void *result)
{
    struct fed *fed = result;
    ce_part_free(fed->part);
    free(fed);
}

/* ---- one cell ---- */

/* The bytes of the word that are `c` have their high bits set; bytes above one may have as well. */
static inline uint64_t bytes_that_are(uint64_t word, char c)
{
    word ^= UINT64_C(0x0101010101010101) * (unsigned char)c;
    return (word - UINT64_C(0x0101010101010101)) & ~word & UINT64_C(0x8080808080808080);
}

/* Whether a number is written as an integer: with neither a mark nor an exponent. */
static bool is_whole(const char *raw, size_t size)
{
    for (size_t i = 0; i < size; i += 8) {
        uint64_t word = 0;
        memcpy(&word, raw + i, size - i < 8 ? size - i : 8);
        if ((bytes_that_are(word, '.') | bytes_that_are(word, ',') | bytes_that_are(word, 'e') |
             bytes_that_are(word, 'E')) != 0)
            return false;
    }
    return true;
}

static int feed_cell(struct feeder *f, const struct pass *pass, struct ce_part *part, size_t column,
                     struct ce_error *err)
{
    struct ce_cell cell = {0};
    double value;
    const char *text = NULL;
    size_t size = 0;
    bool spelled = (pass->stats & ~(unsigned)CE_STAT_MOMENTS) != 0;
    ce_row_cell(&f->row.row, column, &cell);
    cell.row = &f->row.row;
    bool number = ce_cell_number(&cell, &value); /* then it is not missing */
    if (!number && ce_cell_missing(&cell)) {
        ce_part_missing(part, column);
        return 0;
    }
    if (!number && f->row.table->format->learn && (*cell.raw == '{' || *cell.raw == '[')) {
        ce_part_other(part, column, cell.raw, cell.raw_size);
        return 0;
    }
    if (spelled || !number) {
        text = ce_cell_text(&cell, &size);
        if (!text)
            return ce_fail_memory(err);
    }
    if (number)
        ce_part_number(part, column, value, is_whole(cell.raw, cell.raw_size), text, size);
    else
        ce_part_text(part, column, text, size);
    return 0;
}

/* Cells of CSV files without quotes need no row around them; most are numbers. */
static inline bool feed_plain_number(char mark, struct ce_part *part, size_t column,
                                     const struct ce_text_cell *cell)
{
    double value;
    bool whole;
    if (!ce_padded_number(cell->raw, cell->raw_size, mark, &value, &whole)) {
        if (!ce_decimal_number(cell->raw, cell->raw_size, mark, &value))
            return false;
        whole = is_whole(cell->raw, cell->raw_size);
    }
    ce_part_number(part, column, value, whole, cell->raw, cell->raw_size);
    return true;
}

static inline bool is_digit(char c)
{
    return (unsigned char)(c - '0') < 10;
}

/* Whether a glance tells that it is no number: most texts and times of most files. */
static inline bool is_no_number(const struct ce_text_cell *cell)
{
    if (cell->raw_size == 0 || (unsigned char)((*cell->raw | 32) - 'a') < 26)
        return true;
    return cell->raw_size >= 10 && cell->raw[4] == '-' && is_digit(cell->raw[3]);
}

static int feed_csv_row(struct feeder *f, const struct pass *pass, struct ce_part *part,
                        size_t cells, struct ce_error *err)
{
    const struct ce_text_table *table = f->row.table;
    const struct ce_text_cell *cell = f->row.record->cells;
    char mark = table->decimal_comma ? ',' : '.';
    bool backslash = table->backslash;
    for (size_t i = 0; i < cells; i++, cell++) {
        if (cell->quoted || backslash)
            CE_TRY(feed_cell(f, pass, part, i, err));
        else if (!is_no_number(cell) && feed_plain_number(mark, part, i, cell))
            continue;
        else if (ce_csv_cell_missing(cell))
            ce_part_missing(part, i);
        else
            ce_part_text(part, i, cell->raw, cell->raw_size);
    }
    return 0;
}

static int feed_row(struct feeder *f, const struct pass *pass, struct ce_part *part, size_t cells,
                    struct ce_error *err)
{
    for (size_t i = 0; i < cells; i++)
        if (f->row.record->cells[i].raw)
            CE_TRY(feed_cell(f, pass, part, i, err));
    return 0;
}

/* ---- chunks ---- */

static int feed(struct feeder *f, const struct pass *pass, const struct ce_text_table *table,
                const struct ce_chunk *chunk, struct fed *fed, struct ce_error *err)
{
    struct ce_text_record record;
    ce_part_clear(fed->part);
    CE_TRY(ce_part_widen(fed->part, table->column_count, err));
    f->row = (struct ce_text_row){
        .row = {.form = table->format->form},
        .table = table,
        .record = &record,
        .made = &f->made,
        .scratch = &f->scratch,
        .cells = f->row.cells,
        .capacity = f->row.capacity,
    };
    f->scan = (struct ce_text_scan){
        .table = table,
        .at = chunk->data + chunk->head_size,
        .end = chunk->data + chunk->size,
        .last = chunk->last,
        .row = chunk->row,
        .line = chunk->line,
        .cells = f->scan.cells,
        .cell_capacity = f->scan.cell_capacity,
        .special = f->scan.special,
    };
    int got;
    bool csv = table->format == &ce_csv_format;
    while ((got = table->format->next(&f->scan, &record, err)) > 0) {
        size_t cells =
            record.cell_count < table->column_count ? record.cell_count : table->column_count;
        f->row.row.ordinal = record.row;
        CE_TRY(csv ? feed_csv_row(f, pass, fed->part, cells, err)
                   : feed_row(f, pass, fed->part, cells, err));
        ce_part_row(fed->part);
    }
    fed->incomplete = f->scan.unknown > 0;
    return got;
}

static int work(void *ctx, void *worker, const struct ce_chunk *chunk, void *result,
                struct ce_error *err)
{
    struct pass *pass = ctx;
    pthread_mutex_lock(&pass->lock);
    struct ce_text_table seen = *pass->table;
    pthread_mutex_unlock(&pass->lock);
    return feed(worker, pass, &seen, chunk, result, err);
}

static int merge(void *ctx, const struct ce_chunk *chunk, void *result, struct ce_error *err)
{
    struct pass *pass = ctx;
    struct fed *fed = result;
    if (fed->incomplete) {
        pthread_mutex_lock(&pass->lock);
        int r = pass->table->format->learn(pass->table, chunk->data, chunk->size, err);
        pthread_mutex_unlock(&pass->lock);
        if (r < 0)
            return r;
        CE_TRY(feed(&pass->again, pass, pass->table, chunk, fed, err));
    }
    return ce_builder_merge(pass->builder, fed->part, err);
}

/* ---- the whole ---- */

int ce_text_profile_reader(struct ce_chunk_reader *reader, unsigned stats,
                           const struct ce_data_options *options, struct ce_profile *ret_profile,
                           struct ce_error *err)
{
    CE_CLEANUP(ce_builder_free_p) struct ce_builder *builder = NULL;
    struct ce_text_table *table = ce_chunk_reader_table(reader);
    CE_TRY(ce_builder_new(table->column_count, stats, &builder, err));
    struct pass pass = {
        .table = table,
        .stats = stats,
        .lock = PTHREAD_MUTEX_INITIALIZER,
        .builder = builder,
    };
    struct ce_engine_job job = {
        .reader = reader,
        .threads = options->threads,
        .stop = options->stop,
        .progress = options->progress,
        .progress_ctx = options->progress_ctx,
        .ctx = &pass,
        .worker_new = feeder_new,
        .worker_free = feeder_free,
        .result_new = fed_new,
        .result_free = fed_free,
        .work = work,
        .merge = merge,
    };
    int r = ce_engine_run(&job, err);
    feeder_done(&pass.again);
    if (r < 0)
        return r;
    CE_TRY(ce_builder_widen(builder, table->column_count, err));
    return ce_builder_end(builder, (const char *const *)table->names, ret_profile, err);
}

struct ce_chunk_options ce_text_chunk_options(const struct ce_data_options *options)
{
    return (struct ce_chunk_options){
        .name = options->name,
        .delimiter = options->delimiter,
        .headerless = options->headerless,
        .backslash = options->backslash,
        .comment = options->comment,
    };
}

int ce_text_profile(const char *path, unsigned stats, const struct ce_data_options *options,
                    struct ce_profile *ret_profile, struct ce_error *err)
{
    static const struct ce_data_options none;
    CE_CLEANUP(ce_chunk_reader_close_p) struct ce_chunk_reader *reader = NULL;
    options = options ? options : &none;
    struct ce_chunk_options how = ce_text_chunk_options(options);
    CE_TRY(ce_chunk_reader_open(path, &how, &reader, err));
    return ce_text_profile_reader(reader, stats, options, ret_profile, err);
}

static int widen_by(struct ce_text_table *table, const char *name, struct ce_error *err)
{
    static const char digits[] = "0123456789abcdef";
    struct ce_buffer line = {0};
    bool fits = ce_buffer_put(&line, "{\"", 2);
    for (const unsigned char *p = (const unsigned char *)name; *p && fits; p++) {
        char escape[] = {'\\', 'u', '0', '0', digits[*p >> 4], digits[*p & 15]};
        bool plain = *p >= ' ' && *p != '"' && *p != '\\';
        fits = plain ? ce_buffer_put(&line, p, 1) : ce_buffer_put(&line, escape, sizeof escape);
    }
    static const char rest[] = "\":0}\n";
    fits = fits && ce_buffer_put(&line, rest, strlen(rest)) && ce_buffer_room(&line, 64);
    int r = fits ? 0 : ce_fail_memory(err);
    if (fits) {
        memset(line.data + line.size, 0, 64);
        r = table->format->learn(table, line.data, line.size, err);
    }
    ce_buffer_done(&line);
    return r;
}

int ce_text_table_widen(struct ce_text_table *table, const struct ce_profile *profile,
                        struct ce_error *err)
{
    for (size_t i = table->column_count; table->format->learn && i < profile->column_count; i++)
        CE_TRY(widen_by(table, profile->columns[i].name, err));
    return 0;
}
