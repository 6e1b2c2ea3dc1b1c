/* SPDX-License-Identifier: MIT */
/* Puts the chunks of a pass together, in the order of the file, and rows where they are to come:
 * further down, or at the end. What waits for the end lies in an unlinked temporary file beside the
 * output, so memory does not grow with it. */
#include <fcntl.h>
#include <libgen.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "data/text/pass.h"

struct waiting_row {
    uint64_t row; /* of the original */
    char *bytes;
    size_t size, end_size;
};

/* Copies of one step that are on their way down. */
struct waiting {
    struct waiting_row *rows; /* those before `begin` are gone */
    size_t begin, end, capacity;
    struct ce_stream picks; /* which one of the shuffled comes next */
};

struct ce_merger {
    const struct ce_pass *pass;
    const struct ce_plan *plan;
    struct ce_output *out, *key;
    struct ce_fault_counts *counts;
    struct waiting *waiting; /* for each step */
    FILE *spool;             /* struct ce_appended and bytes; NULL: nothing waits for the end */

    uint64_t rows;     /* written */
    bool any;          /* there is something before, if not in this shard */
    uint64_t last_end; /* in the output, of the last change */
    uint64_t last_row; /* of it */
    bool own;          /* of the piece before, */
    bool open;         /* and whether its line end is still to come */
    bool unended;
};

int ce_merger_new(const struct ce_pass *pass, struct ce_output *out, struct ce_output *key,
                  struct ce_merger **ret_merger, struct ce_error *err)
{
    CE_CLEANUP(ce_merger_free_p) struct ce_merger *m = calloc(1, sizeof *m);
    if (!m)
        return ce_fail_memory(err);
    m->pass = pass;
    m->plan = pass->plan;
    m->out = out;
    m->key = key;
    m->counts = calloc(m->plan->step_count + 1, sizeof *m->counts);
    m->waiting = calloc(m->plan->step_count + 1, sizeof *m->waiting);
    if (!m->counts || !m->waiting)
        return ce_fail_memory(err);
    for (size_t i = 0; i < m->plan->step_count; i++) {
        const struct ce_mutation *mutation = m->plan->steps[i].mutation;
        char purpose[96];
        snprintf(purpose, sizeof purpose, "%s/pick", mutation->fault);
        m->waiting[i].picks = ce_stream_init(mutation->seed, purpose, "");
        m->counts[i] = m->plan->steps[i].layout;
    }
    *ret_merger = ce_take(m);
    return 0;
}

void ce_merger_free(struct ce_merger *m)
{
    if (!m)
        return;
    for (size_t i = 0; m->waiting && i < m->plan->step_count; i++) {
        for (size_t row = m->waiting[i].begin; row < m->waiting[i].end; row++)
            free(m->waiting[i].rows[row].bytes);
        free(m->waiting[i].rows);
    }
    if (m->spool)
        (void)fclose(m->spool);
    free(m->waiting);
    free(m->counts);
    free(m);
}

/* ---- output and key ---- */

static size_t line_end_size(const char *data, size_t size)
{
    if (size > 1 && data[0] == '\r' && data[1] == '\n')
        return 2;
    return size > 0 && (data[0] == '\r' || data[0] == '\n');
}

/* Writes bytes of a piece that is written or not; a line end that is still to come belongs to the
 * piece before. */
static int put(struct ce_merger *m, const char *data, size_t size, bool own, struct ce_error *err)
{
    size_t before = m->open ? line_end_size(data, size) : 0;
    if (size == 0)
        return 0;
    m->any = true;
    if (m->own && before > 0)
        CE_TRY(ce_output_put(m->out, data, before, err));
    m->own = own;
    m->open = false;
    return own ? ce_output_put(m->out, data + before, size - before, err) : 0;
}

/* Writes the head of an entry for a change that starts `ahead` bytes further on. */
static int put_head(struct ce_merger *m, struct ce_key_change change, uint64_t ahead, uint64_t row,
                    struct ce_error *err)
{
    char head[CE_KEY_HEAD_MAX];
    change.gap = ce_output_total(m->out) + ahead - m->last_end;
    change.row_step = row - m->last_row;
    size_t size = ce_key_head(&change, head);
    m->last_row = row;
    return ce_output_put(m->key, head, size, err);
}

struct insertion {
    size_t step;
    const char *bytes;
    size_t size, end_size;
    uint64_t row;         /* where it comes, for the key */
    const char *line_end; /* one that is to come before it or */
    size_t line_end_size; /* behind it, */
    bool before;          /* as this says; its own is left out then, */
    bool bare;            /* or neither, and it has none itself */
};

static int insert(struct ce_merger *m, const struct insertion *row, bool own, struct ce_error *err)
{
    size_t text_size = row->size - row->end_size;
    bool after = !row->before && !row->bare;
    const char *line_end = after && row->end_size > 0 ? row->bytes + text_size : row->line_end;
    size_t end_size = after && row->end_size > 0 ? row->end_size : row->line_end_size;
    m->rows += own;
    if (m->key) {
        struct ce_key_change change = {
            .what = CE_KEY_ROW_ADDED,
            .fault = row->step,
            .new_size = text_size + (row->bare ? 0 : end_size),
        };
        CE_TRY(put_head(m, change, 0, row->row, err));
    }
    if (own && row->before)
        CE_TRY(ce_output_put(m->out, line_end, end_size, err));
    if (own)
        CE_TRY(ce_output_put(m->out, row->bytes, text_size, err));
    if (own && after)
        CE_TRY(ce_output_put(m->out, line_end, end_size, err));
    m->any = true;
    m->last_end = ce_output_total(m->out);
    return 0;
}

/* ---- rows on their way down ---- */

static int wait_for(struct ce_merger *m, const struct ce_move *move, const char *bytes,
                    uint64_t row, struct ce_error *err)
{
    struct waiting *w = &m->waiting[move->step];
    if (w->begin > 0 && w->end == w->capacity) {
        memmove(w->rows, w->rows + w->begin, (w->end - w->begin) * sizeof *w->rows);
        w->end -= w->begin;
        w->begin = 0;
    }
    if (w->end == w->capacity) {
        size_t capacity = 2 * w->capacity + 64;
        struct waiting_row *larger = realloc(w->rows, capacity * sizeof *larger);
        if (!larger)
            return ce_fail_memory(err);
        w->rows = larger;
        w->capacity = capacity;
    }
    char *copy = malloc(move->row.size + 1);
    if (!copy)
        return ce_fail_memory(err);
    memcpy(copy, bytes, move->row.size);
    w->rows[w->end++] = (struct waiting_row){row, copy, move->row.size, move->row.end_size};
    return 0;
}

static int insert_waiting(struct ce_merger *m, size_t step, const struct ce_piece *piece,
                          struct ce_error *err)
{
    struct waiting *w = &m->waiting[step];
    struct waiting_row row = w->rows[w->begin++];
    struct insertion insertion = {
        .step = step,
        .bytes = row.bytes,
        .size = row.size,
        .end_size = row.end_size,
        .row = piece->row,
        .line_end = piece->line_end,
        .line_end_size = piece->line_end_size,
        .before = piece->open,
    };
    int r = insert(m, &insertion, piece->own, err);
    free(row.bytes);
    return r;
}

/* Makes a drawn one of the rows that wait the first. */
static void pick(struct waiting *w, uint64_t row)
{
    uint32_t count = (uint32_t)(w->end - w->begin);
    size_t picked = w->begin + ce_stream_below(&w->picks, row, count);
    struct waiting_row first = w->rows[w->begin];
    w->rows[w->begin] = w->rows[picked];
    w->rows[picked] = first;
}

static int move_shuffled(struct ce_merger *m, const struct ce_move *move, const char *bytes,
                         const struct ce_piece *piece, struct ce_error *err)
{
    struct waiting *w = &m->waiting[move->step];
    size_t count = w->end - w->begin;
    if (count > 0 && (move->place || count == CE_SHUFFLE_ROWS)) {
        pick(w, piece->row);
        CE_TRY(insert_waiting(m, move->step, piece, err));
    }
    return move->place ? 0 : wait_for(m, move, bytes, piece->row, err);
}

/* Those whose time has come. */
static int insert_delayed(struct ce_merger *m, const struct ce_piece *piece, struct ce_error *err)
{
    for (size_t i = 0; i < m->plan->step_count; i++) {
        const struct ce_mutation *mutation = m->plan->steps[i].mutation;
        struct waiting *w = &m->waiting[i];
        if (mutation->place != CE_PLACE_LATER)
            continue;
        while (w->begin < w->end && piece->row - w->rows[w->begin].row >= mutation->lag)
            CE_TRY(insert_waiting(m, i, piece, err));
    }
    return 0;
}

static int make_moves(struct ce_merger *m, const struct ce_pass_result *result, size_t from,
                      const struct ce_piece *piece, struct ce_error *err)
{
    for (size_t i = from; i < piece->move_end; i++) {
        const struct ce_move *move = &result->moves[i];
        const char *bytes = result->moved.data + move->row.at;
        if (m->plan->steps[move->step].mutation->place == CE_PLACE_SHUFFLED)
            CE_TRY(move_shuffled(m, move, bytes, piece, err));
        else
            CE_TRY(wait_for(m, move, bytes, piece->row, err));
    }
    return m->plan->delays && piece->line_end ? insert_delayed(m, piece, err) : 0;
}

/* ---- the end ---- */

static int fail_spool(const struct ce_merger *m, int code, struct ce_error *err)
{
    return ce_fail(err, code, "cannot write '%s': %s", ce_output_path(m->out), strerror(code));
}

/* A file without a name, beside the output. */
static int open_spool(struct ce_merger *m, struct ce_error *err)
{
    const char *path = ce_output_path(m->out), *temporary = getenv("TMPDIR");
    ce_autofree char *copy = strdup(path);
    if (!copy)
        return ce_fail_memory(err);
    const char *folder = strcmp(path, "-") != 0 ? dirname(copy) : temporary ? temporary : "/tmp";
    ce_autofree char *name = ce_format("%s/chaoseater-rows.XXXXXX", folder);
    if (!name)
        return ce_fail_memory(err);
    ce_autofd int fd = mkostemp(name, O_CLOEXEC);
    if (fd < 0)
        return fail_spool(m, errno, err);
    (void)unlink(name);
    m->spool = fdopen(fd, "w+");
    if (!m->spool)
        return fail_spool(m, errno, err);
    (void)ce_take_fd(fd);
    return 0;
}

static int spool(struct ce_merger *m, const struct ce_buffer *appended, struct ce_error *err)
{
    if (appended->size == 0)
        return 0;
    if (!m->spool)
        CE_TRY(open_spool(m, err));
    if (fwrite(appended->data, 1, appended->size, m->spool) != appended->size)
        return fail_spool(m, errno, err);
    return 0;
}

/* One row after the last one. */
static int append(struct ce_merger *m, size_t step, const char *bytes, size_t size, size_t end_size,
                  struct ce_error *err)
{
    const char *line_end = ce_chunk_reader_line_end(m->pass->reader);
    struct insertion insertion = {
        .step = step,
        .bytes = bytes,
        .size = size,
        .end_size = end_size,
        .row = ce_chunk_reader_rows(m->pass->reader),
        .line_end = line_end,
        .line_end_size = strlen(line_end),
        .before = m->unended && m->any,
        .bare = m->unended && !m->any,
    };
    return insert(m, &insertion, true, err);
}

static int append_waiting(struct ce_merger *m, struct ce_error *err)
{
    for (size_t i = 0; i < m->plan->step_count; i++) {
        struct waiting *w = &m->waiting[i];
        bool shuffled = m->plan->steps[i].mutation->place == CE_PLACE_SHUFFLED;
        while (w->begin < w->end) {
            if (shuffled)
                pick(w, UINT64_MAX - (w->end - w->begin));
            struct waiting_row row = w->rows[w->begin++];
            int r = append(m, i, row.bytes, row.size, row.end_size, err);
            free(row.bytes);
            CE_TRY(r);
        }
    }
    return 0;
}

static int append_spooled(struct ce_merger *m, struct ce_error *err)
{
    struct ce_appended head;
    ce_autofree char *bytes = NULL;
    size_t capacity = 0;
    if (!m->spool)
        return 0;
    if (fflush(m->spool) != 0)
        return fail_spool(m, errno, err);
    rewind(m->spool);
    while (fread(&head, sizeof head, 1, m->spool) == 1) {
        if (head.size > capacity) {
            char *larger = realloc(bytes, head.size);
            if (!larger)
                return ce_fail_memory(err);
            bytes = larger;
            capacity = head.size;
        }
        if (fread(bytes, 1, head.size, m->spool) != head.size)
            break;
        CE_TRY(append(m, head.step, bytes, head.size, head.end_size, err));
    }
    if (ferror(m->spool) || !feof(m->spool))
        return ce_fail(err, EIO, "cannot read back the rows for the end of '%s'",
                       ce_output_path(m->out));
    return 0;
}

int ce_merger_end(struct ce_merger *m, uint64_t *ret_rows, struct ce_fault_counts **ret_counts,
                  struct ce_error *err)
{
    if (m->plan->tail_own) {
        CE_TRY(append_waiting(m, err));
        CE_TRY(append_spooled(m, err));
    }
    *ret_rows = m->rows;
    *ret_counts = ce_take(m->counts);
    return 0;
}

/* ---- chunks ---- */

static int add_piece(struct ce_merger *m, const struct ce_pass_result *result, size_t index,
                     struct ce_error *err)
{
    const struct ce_piece *piece = &result->pieces[index];
    const struct ce_piece none = {0}, *before = index > 0 ? piece - 1 : &none;
    uint64_t start = ce_output_total(m->out);
    if (m->key && piece->changed) {
        CE_TRY(put_head(m, piece->first, piece->first.gap, piece->first.row_step, err));
        CE_TRY(ce_output_put(m->key, result->key.data + before->key_end,
                             piece->key_end - before->key_end, err));
        m->last_end = start + (piece->last_end - before->out_end);
        m->last_row = piece->last_row;
    }
    CE_TRY(put(m, result->out.data + before->out_end, piece->out_end - before->out_end, piece->own,
               err));
    m->open = piece->open;
    m->own = piece->own;
    return make_moves(m, result, before->move_end, piece, err);
}

int ce_merger_add(struct ce_merger *m, const struct ce_chunk *chunk,
                  const struct ce_pass_result *result, struct ce_error *err)
{
    for (size_t i = 0; i < m->plan->step_count; i++)
        ce_fault_counts_add(&m->counts[i], &result->counts[i]);
    m->rows += result->rows;
    m->unended = chunk->unended;
    m->any |= result->skipped;
    if (result->skipped)
        return 0;
    if (result->same)
        return put(m, chunk->data, chunk->size, true, err);
    for (size_t i = 0; i < result->piece_count; i++)
        CE_TRY(add_piece(m, result, i, err));
    return spool(m, &result->appended, err);
}
