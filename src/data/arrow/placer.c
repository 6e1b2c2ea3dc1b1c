/* SPDX-License-Identifier: MIT */
/* Rows that wait are kept as records: struct head and the row's bytes. Those that come in order
 * (all but shuffled ones) form a queue; what goes to the table's end may be much, so that beyond
 * MEMORY_MAX it moves to a temporary file without a name. */
#include "data/arrow/placer.h"

#include <fcntl.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/random.h"

enum { MEMORY_MAX = 64 << 20, SHUFFLE_ROOM = 2 * CE_SHUFFLE_ROWS };

struct head {
    uint64_t ordinal, step, size;
};

struct waiting {
    struct head head;
    char *bytes;
};

struct ce_placer {
    const struct ce_mutation *mutation;
    struct ce_buffer queue;
    size_t front; /* of the queue, in bytes */
    int spool;    /* the queue's first rows, when they became too many; -1 */
    off_t spool_front, spool_end;
    struct ce_buffer spooled; /* the row of it that was handed out last */

    struct waiting *shuffled; /* those before `begin` are gone */
    uint32_t begin, end;
    struct waiting incoming; /* bytes NULL: none */
    struct ce_stream picks;
    char *handed; /* the shuffled row that was handed out last */
};

int ce_placer_new(const struct ce_mutation *mutation, struct ce_placer **ret_placer,
                  struct ce_error *err)
{
    char purpose[96];
    struct ce_placer *placer = calloc(1, sizeof *placer);
    if (!placer)
        return ce_fail_memory(err);
    placer->mutation = mutation;
    placer->spool = -1;
    snprintf(purpose, sizeof purpose, "%s/pick", mutation->fault);
    placer->picks = ce_stream_init(mutation->seed, purpose, "");
    placer->shuffled = calloc(SHUFFLE_ROOM, sizeof *placer->shuffled);
    if (!placer->shuffled) {
        ce_placer_free(placer);
        return ce_fail_memory(err);
    }
    *ret_placer = placer;
    return 0;
}

void ce_placer_free(struct ce_placer *placer)
{
    if (!placer)
        return;
    for (uint32_t i = placer->begin; placer->shuffled && i < placer->end; i++)
        free(placer->shuffled[i].bytes);
    free(placer->shuffled);
    free(placer->incoming.bytes);
    free(placer->handed);
    ce_buffer_done(&placer->queue);
    ce_buffer_done(&placer->spooled);
    if (placer->spool >= 0)
        (void)close(placer->spool);
    free(placer);
}

/* ---- the queue ---- */

static int spool_open(struct ce_placer *placer, struct ce_error *err)
{
    const char *folder = getenv("TMPDIR");
    ce_autofree char *path = ce_format("%s/chaoseater-XXXXXX", folder && *folder ? folder : "/tmp");
    if (!path)
        return ce_fail_memory(err);
    placer->spool = mkostemp(path, O_CLOEXEC);
    if (placer->spool < 0)
        return ce_fail(err, errno, "cannot make the temporary file '%s': %s", path,
                       strerror(errno));
    (void)unlink(path);
    return 0;
}

static int spool_out(struct ce_placer *placer, struct ce_error *err)
{
    if (placer->spool < 0)
        CE_TRY(spool_open(placer, err));
    int r = ce_write_all(placer->spool, placer->queue.data, placer->queue.size);
    if (r < 0)
        return ce_fail(err, -r, "cannot write to a temporary file: %s", strerror(-r));
    placer->spool_end += (off_t)placer->queue.size;
    placer->queue.size = 0;
    return 0;
}

static int queue_put(struct ce_placer *placer, const struct head *head, const void *bytes,
                     struct ce_error *err)
{
    struct ce_buffer *queue = &placer->queue;
    if (placer->front > queue->size / 2) {
        memmove(queue->data, queue->data + placer->front, queue->size - placer->front);
        queue->size -= placer->front;
        placer->front = 0;
    }
    if (!ce_buffer_put(queue, head, sizeof *head) || !ce_buffer_put(queue, bytes, head->size))
        return ce_fail_memory(err);
    bool end = placer->mutation->place == CE_PLACE_END;
    return end && queue->size > MEMORY_MAX ? spool_out(placer, err) : 0;
}

static bool queue_first(const struct ce_placer *placer, struct ce_placed *ret_row)
{
    struct head head;
    if (placer->front == placer->queue.size)
        return false;
    const char *at = placer->queue.data + placer->front;
    memcpy(&head, at, sizeof head);
    *ret_row = (struct ce_placed){head.ordinal, head.step, at + sizeof head, head.size};
    return true;
}

static void queue_pop(struct ce_placer *placer, const struct ce_placed *row)
{
    placer->front += sizeof(struct head) + row->size;
}

static int spool_read(struct ce_placer *placer, void *data, size_t size, struct ce_error *err)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = pread(placer->spool, (char *)data + done, size - done, placer->spool_front);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return ce_fail(err, n < 0 ? errno : EIO, "cannot read a temporary file back: %s",
                           strerror(n < 0 ? errno : EIO));
        done += (size_t)n;
        placer->spool_front += n;
    }
    return 0;
}

static int spool_first(struct ce_placer *placer, struct ce_placed *ret_row, struct ce_error *err)
{
    struct head head;
    CE_TRY(spool_read(placer, &head, sizeof head, err));
    placer->spooled.size = 0;
    char *bytes = ce_buffer_room(&placer->spooled, head.size);
    if (!bytes)
        return ce_fail_memory(err);
    CE_TRY(spool_read(placer, bytes, head.size, err));
    *ret_row = (struct ce_placed){head.ordinal, head.step, bytes, head.size};
    return 0;
}

/* ---- shuffled rows ---- */

/* Hands out a drawn one; the first one takes its place. */
static void pick(struct ce_placer *placer, uint64_t draw, struct ce_placed *ret_row)
{
    struct waiting *rows = placer->shuffled + placer->begin;
    uint32_t at = ce_stream_below(&placer->picks, draw, placer->end - placer->begin);
    struct waiting row = rows[at];
    rows[at] = rows[0];
    placer->begin++;
    free(placer->handed);
    placer->handed = row.bytes;
    *ret_row = (struct ce_placed){row.head.ordinal, row.head.step, row.bytes, row.head.size};
}

static void let_in(struct ce_placer *placer)
{
    if (placer->end == SHUFFLE_ROOM) {
        memmove(placer->shuffled, placer->shuffled + placer->begin,
                (placer->end - placer->begin) * sizeof *placer->shuffled);
        placer->end -= placer->begin;
        placer->begin = 0;
    }
    placer->shuffled[placer->end++] = placer->incoming;
    placer->incoming.bytes = NULL;
}

/* A row that comes in makes one go out where there are enough of them. */
static int after_shuffled(struct ce_placer *placer, uint64_t ordinal, bool place,
                          ce_placed_fn *emit, void *ctx, struct ce_error *err)
{
    struct ce_placed row;
    if (placer->incoming.bytes) {
        if (placer->end - placer->begin == CE_SHUFFLE_ROWS) {
            pick(placer, ordinal, &row);
            CE_TRY(emit(ctx, &row, err));
        }
        let_in(placer);
    }
    if (!place || placer->begin == placer->end)
        return 0;
    pick(placer, ordinal, &row);
    return emit(ctx, &row, err);
}

/* ---- all ---- */

int ce_placer_take(struct ce_placer *placer, const struct ce_placed *row, struct ce_error *err)
{
    struct head head = {.ordinal = row->ordinal, .step = row->step, .size = row->size};
    if (placer->mutation->place != CE_PLACE_SHUFFLED)
        return queue_put(placer, &head, row->bytes, err);
    char *copy = malloc(row->size + 1);
    if (!copy)
        return ce_fail_memory(err);
    memcpy(copy, row->bytes, row->size);
    placer->incoming = (struct waiting){head, copy};
    return 0;
}

int ce_placer_after(struct ce_placer *placer, uint64_t ordinal, bool place, ce_placed_fn *emit,
                    void *ctx, struct ce_error *err)
{
    const struct ce_mutation *mutation = placer->mutation;
    struct ce_placed row;
    if (mutation->place == CE_PLACE_END)
        return 0;
    if (mutation->place == CE_PLACE_SHUFFLED)
        return after_shuffled(placer, ordinal, place, emit, ctx, err);
    uint64_t lag = mutation->place == CE_PLACE_LATER ? mutation->lag : 0;
    while (queue_first(placer, &row) && row.ordinal + lag <= ordinal) {
        CE_TRY(emit(ctx, &row, err));
        queue_pop(placer, &row);
    }
    return 0;
}

int ce_placer_rest(struct ce_placer *placer, struct ce_placed *ret_row, struct ce_error *err)
{
    if (placer->begin < placer->end) {
        pick(placer, UINT64_MAX - (placer->end - placer->begin), ret_row);
        return 1;
    }
    if (placer->spool_front < placer->spool_end) {
        CE_TRY(spool_first(placer, ret_row, err));
        return 1;
    }
    if (!queue_first(placer, ret_row))
        return 0;
    queue_pop(placer, ret_row);
    return 1;
}
