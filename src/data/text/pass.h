/* SPDX-License-Identifier: MIT */
/* The pass that mutates: what becomes of one chunk (pass.c, on any thread), and how chunks are put
 * together (merge.c, in order).
 *
 * A chunk's new bytes and key entries are cut into pieces where something may have to be put in
 * between: a row from further up, or the end of what is written at all. Positions within a piece
 * are known to the thread that works on the chunk; the first key entry of a piece tells how far it
 * lies from the change before it, which only the merger knows.
 *
 * Rows are dropped and put in with the line end behind them. Only where the file's last row has no
 * line end, in its last chunk, it is the line end before them: so the output's last row has none
 * either. */
#ifndef CE_DATA_TEXT_PASS_H
#define CE_DATA_TEXT_PASS_H

#include "data/answer_key.h"
#include "data/text/chunk.h"
#include "data/text/plan.h"

/* Bytes of a record, at home in some buffer. */
struct ce_text_slice {
    size_t at, size, end_size;
};

/* At the end of a piece: a row that is to come further down, or a place where one may come. */
struct ce_move {
    size_t step;
    bool place;
    struct ce_text_slice row; /* in `moved` */
};

struct ce_piece {
    bool own; /* is written */
    size_t out_end, key_end, move_end;
    bool changed;               /* holds a change: the next three */
    struct ce_key_change first; /* gap: from the start of the piece; row_step: the row itself */
    size_t last_end;            /* in `out`: where the last change ends */
    uint64_t last_row;
    uint64_t row;         /* the row it ends behind */
    bool open;            /* before that row's line end, */
    const char *line_end; /* which is this */
    size_t line_end_size;
};

/* What became of a chunk. */
struct ce_pass_result {
    bool same;    /* nothing happens in it: it is written as it is */
    bool skipped; /* nothing of it is written, and nothing of it is needed elsewhere */
    struct ce_buffer out;
    struct ce_buffer key; /* entries without the head of each piece's first one */
    struct ce_buffer moved;
    struct ce_buffer appended; /* struct ce_appended and the row's bytes, again and again */
    struct ce_piece *pieces;
    size_t piece_count, piece_capacity;
    struct ce_move *moves;
    size_t move_count, move_capacity;
    uint64_t rows;                  /* of the chunk that are written */
    struct ce_fault_counts *counts; /* one for each step */
};

/* Before the bytes of a row that goes to the end of the output. */
struct ce_appended {
    size_t step, size, end_size;
};

struct ce_pass {
    const struct ce_plan *plan;
    struct ce_chunk_reader *reader;
    bool keyed; /* a key is written */
};
/* For struct ce_engine_job; ctx: struct ce_pass. */
void *ce_pass_worker_new(void *ctx);
void ce_pass_worker_free(void *worker);
void *ce_pass_result_new(void *ctx);
void ce_pass_result_free(void *result);
int ce_pass_work(void *ctx, void *worker, const struct ce_chunk *chunk, void *result,
                 struct ce_error *err);

/* ---- merging ---- */

struct ce_merger;
/* `key` may be NULL. */
int ce_merger_new(const struct ce_pass *pass, struct ce_output *out, struct ce_output *key,
                  struct ce_merger **ret_merger, struct ce_error *err);
void ce_merger_free(struct ce_merger *merger); /* NULL is fine */
CE_DEFINE_CLEANUP(struct ce_merger, ce_merger_free);
int ce_merger_add(struct ce_merger *merger, const struct ce_chunk *chunk,
                  const struct ce_pass_result *result, struct ce_error *err);
/* Writes what comes after the last row. *ret_counts: one for each step, to be freed. */
int ce_merger_end(struct ce_merger *merger, uint64_t *ret_rows, struct ce_fault_counts **ret_counts,
                  struct ce_error *err);

#endif
