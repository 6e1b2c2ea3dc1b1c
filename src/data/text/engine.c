/* SPDX-License-Identifier: MIT */
#include "data/text/engine.h"

#include <pthread.h>
#include <sched.h>

#include "base/clock.h"

enum { THREADS_MAX = 64, THREADS_DEFAULT_MAX = 16 };

enum slot_state {
    SLOT_FREE = 0,
    SLOT_BUSY,
    SLOT_WORKED, /* to be merged when its turn comes */
};

struct slot {
    enum slot_state state;
    struct ce_chunk chunk;
    void *result;
};

struct engine {
    const struct ce_engine_job *job;
    struct slot *slots; /* chunk n lies in slot n % slot_count */
    size_t slot_count;

    pthread_mutex_t lock; /* of all that follows */
    pthread_cond_t changed;
    bool reading, merging; /* somebody is at it: these happen one at a time */
    bool ended;            /* there is no chunk after the ones that were read */
    uint64_t next_read, next_merge;
    int failed;         /* the error of the first chunk, in file order, that has one */
    uint64_t failed_at; /* its number */
    struct ce_error error;

    int64_t next_progress;
};

static void note_failure(struct engine *e, uint64_t chunk, int r, const struct ce_error *error)
{
    if (e->failed == 0 || chunk < e->failed_at) {
        e->failed = r;
        e->failed_at = chunk;
        e->error = *error;
    }
}

static void merge_next(struct engine *e, struct slot *slot)
{
    struct ce_error error = {0};
    e->merging = true;
    pthread_mutex_unlock(&e->lock);
    int r = e->job->merge(e->job->ctx, &slot->chunk, slot->result, &error);
    pthread_mutex_lock(&e->lock);
    e->merging = false;
    if (r < 0)
        note_failure(e, slot->chunk.number, r, &error);
    slot->state = SLOT_FREE;
    e->next_merge++;
    pthread_cond_broadcast(&e->changed);
}

static void read_and_work(struct engine *e, struct slot *slot, void *worker)
{
    struct ce_error error = {0};
    uint64_t number = e->next_read;
    e->reading = true;
    slot->state = SLOT_BUSY;
    pthread_mutex_unlock(&e->lock);
    int r = ce_chunk_reader_next(e->job->reader, &slot->chunk, &error);
    pthread_mutex_lock(&e->lock);
    e->reading = false;
    if (r < 0)
        note_failure(e, number, r, &error);
    if (r <= 0) {
        e->ended = true;
        slot->state = SLOT_FREE;
        pthread_cond_broadcast(&e->changed);
        return;
    }
    e->next_read++;
    pthread_cond_broadcast(&e->changed);
    pthread_mutex_unlock(&e->lock);
    r = e->job->work(e->job->ctx, worker, &slot->chunk, slot->result, &error);
    pthread_mutex_lock(&e->lock);
    if (r < 0)
        note_failure(e, number, r, &error);
    slot->state = r < 0 ? SLOT_FREE : SLOT_WORKED;
    pthread_cond_broadcast(&e->changed);
}

static void check_stop(struct engine *e)
{
    if (e->job->stop && *e->job->stop) {
        struct ce_error error = {0};
        int r = ce_fail(&error, EINTR, "interrupted");
        note_failure(e, 0, r, &error);
    }
}

static void report_progress(struct engine *e)
{
    int64_t now = ce_now();
    if (!e->job->progress || now < e->next_progress || e->reading)
        return;
    e->next_progress = now + 50 * CE_MILLISECOND;
    const struct ce_input *input = ce_chunk_reader_input(e->job->reader);
    e->job->progress(e->job->progress_ctx, input ? ce_input_fraction(input) : -1);
}

/* What each thread does. Merging comes first: it is what makes room. */
static void take_part(struct engine *e, void *worker, bool calling)
{
    pthread_mutex_lock(&e->lock);
    for (;;) {
        check_stop(e);
        if (calling)
            report_progress(e);
        struct slot *merged = &e->slots[e->next_merge % e->slot_count];
        struct slot *read = &e->slots[e->next_read % e->slot_count];
        if (e->failed < 0 || (e->ended && e->next_merge == e->next_read))
            break;
        if (!e->merging && merged->state == SLOT_WORKED)
            merge_next(e, merged);
        else if (!e->reading && !e->ended && read->state == SLOT_FREE)
            read_and_work(e, read, worker);
        else
            pthread_cond_wait(&e->changed, &e->lock);
    }
    pthread_cond_broadcast(&e->changed);
    pthread_mutex_unlock(&e->lock);
}

struct helper {
    struct engine *engine;
    void *worker;
    pthread_t thread;
    bool started;
};

static void *helper_main(void *arg)
{
    struct helper *helper = arg;
    take_part(helper->engine, helper->worker, false);
    return NULL;
}

/* Signals are the calling thread's. A thread that cannot be had is done without. */
static void start_helpers(struct helper *helpers, size_t count)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (size_t i = 0; i < count; i++)
        helpers[i].started =
            pthread_create(&helpers[i].thread, NULL, helper_main, &helpers[i]) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static unsigned thread_count(unsigned asked)
{
    cpu_set_t set;
    if (asked > 0)
        return asked < THREADS_MAX ? asked : THREADS_MAX;
    int usable = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    return usable < THREADS_DEFAULT_MAX ? (unsigned)usable : THREADS_DEFAULT_MAX;
}

static int run(struct engine *e, struct helper *helpers, size_t count, struct ce_error *err)
{
    const struct ce_engine_job *job = e->job;
    for (size_t i = 0; i < count; i++) {
        helpers[i].engine = e;
        helpers[i].worker = job->worker_new(job->ctx);
        if (!helpers[i].worker)
            return ce_fail_memory(err);
    }
    for (size_t i = 0; i < e->slot_count; i++) {
        e->slots[i].result = job->result_new(job->ctx);
        if (!e->slots[i].result)
            return ce_fail_memory(err);
    }
    start_helpers(helpers + 1, count - 1);
    take_part(e, helpers[0].worker, true);
    for (size_t i = 1; i < count; i++)
        if (helpers[i].started)
            pthread_join(helpers[i].thread, NULL);
    if (e->failed < 0 && err)
        *err = e->error;
    return e->failed;
}

int ce_engine_run(const struct ce_engine_job *job, struct ce_error *err)
{
    unsigned threads = thread_count(job->threads);
    struct engine e = {
        .job = job,
        .slot_count = threads == 1 ? 1 : threads + 2,
        .lock = PTHREAD_MUTEX_INITIALIZER,
        .changed = PTHREAD_COND_INITIALIZER,
    };
    ce_autofree struct helper *helpers = calloc(threads, sizeof *helpers);
    e.slots = calloc(e.slot_count, sizeof *e.slots);
    int r = helpers && e.slots ? run(&e, helpers, threads, err) : ce_fail_memory(err);
    for (size_t i = 0; helpers && i < threads; i++)
        if (helpers[i].worker)
            job->worker_free(helpers[i].worker);
    for (size_t i = 0; e.slots && i < e.slot_count; i++) {
        ce_chunk_done(&e.slots[i].chunk);
        if (e.slots[i].result)
            job->result_free(e.slots[i].result);
    }
    free(e.slots);
    return r;
}
