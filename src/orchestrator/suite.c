/* SPDX-License-Identifier: MIT */
/* A suite: every experiment of a document. One that fails does not stop the rest, unless the suite
 * is to fail fast; a signal does, and so does one that left something behind.
 *
 * One at a time is run in this process, several in processes of their own (crew.h). */
#include <math.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/random.h"
#include "controller/aim.h"
#include "controller/blast.h"
#include "controller/controller.h"
#include "faults/hits.h"
#include "journal/claim.h"
#include "journal/journal.h"
#include "journal/lever.h"
#include "orchestrator/agenda.h"
#include "orchestrator/claims.h"
#include "orchestrator/crew.h"
#include "orchestrator/kept.h"
#include "orchestrator/publisher.h"
#include "orchestrator/recorder.h"
#include "orchestrator/results.h"

enum { PARALLEL_MAX = 64, LOOK_EVERY_MS = 20 };

struct suite {
    const struct ce_document *doc;
    const struct ce_suite_options *options;
    char *state_dir;
    uint64_t seed;
    unsigned parallel;
    struct ce_agenda agenda;
    struct ce_kept *kept; /* NULL: nothing is kept */
    size_t resumed;       /* runs that had ended before */
    struct ce_hits *hits; /* of runs in this process; NULL: nobody asked for them */
    bool hits_lost;
    struct ce_recorder *recorder; /* NULL: no history */
    struct ce_publisher publisher;
    volatile sig_atomic_t *signal; /* what members look at: memory that all share */
    const struct ce_item *failed;  /* the first that did not pass, when that ends the suite */
    bool left_behind;              /* something could not be put back */
    struct crew {
        struct ce_member *member;
        struct ce_item *item;
        struct ce_pipeline_spec pipeline;
    } crew[PARALLEL_MAX];
};

/* ---- progress ---- */

static const char *profile_of(const struct suite *suite, const struct ce_item *item)
{
    bool embedded = ce_document_pipeline(suite->doc)->kind == CE_PIPELINE_EMBEDDED;
    return embedded ? ce_profile_kind_name((enum ce_profile_kind)item->profile) : NULL;
}

static void show(const struct suite *suite, const struct ce_item *item, const char *phase,
                 double fraction)
{
    const struct ce_record *record = item->state == CE_ITEM_ENDED ? &item->record : NULL;
    struct ce_progress progress = {
        .run = (size_t)(item - suite->agenda.items),
        .run_count = suite->agenda.count,
        .ended = suite->agenda.ended,
        .experiment = item->experiment->name,
        .profile = profile_of(suite, item),
        .repeat = item->repeat,
        .fault = item->experiment->fault->name,
        .phase = phase,
        .fraction = fraction,
        .status = record ? ce_status_name(record->status) : "",
        .verdict = record ? ce_verdict_name(record->verdict) : "",
        .score = record && !isnan(record->score) ? record->score : -1,
    };
    if (suite->options->progress && !suite->options->dry_run)
        suite->options->progress(suite->options->progress_ctx, &progress);
}

static void tell(struct suite *suite, const struct ce_item *item,
                 const struct ce_publisher_news *news)
{
    show(suite, item, news->phase, news->fraction);
    ce_publisher_tell(&suite->publisher, (size_t)(item - suite->agenda.items), news);
}

/* What the controller tells of a run in this process. */
struct listener {
    struct suite *suite;
    const struct ce_item *item;
};

static void on_event(void *ctx, const struct ce_event *event)
{
    const struct listener *listener = ctx;
    if (event->state == CE_STATE_ENDED) /* end_item() tells that */
        return;
    ce_autojson json_t *sample = event->sample ? ce_sample_json(event->sample) : NULL;
    const struct ce_publisher_news news = {
        .id = event->record->id,
        .phase = ce_state_name(event->state),
        .fraction = event->fraction,
        .intensity = event->intensity,
        .guarded = event->guarded,
        .sample = sample,
    };
    tell(listener->suite, listener->item, &news);
}

/* ---- what may be started ---- */

static int signalled(const struct suite *suite)
{
    return suite->options->signal ? *suite->options->signal : 0;
}

/* Nothing is injected on a host on which something is still live. */
static int clear_leftovers(const struct suite *suite, struct ce_error *err)
{
    struct ce_recovery recovery = {0};
    int r = ce_journal_recover(suite->state_dir, ce_undo_ops, &recovery, err);
    if (r < 0 || recovery.failed > 0)
        return ce_fail_context(err, -EUCLEAN,
                               "an earlier run left something that could not be put back");
    return 0;
}

static struct ce_run_options options_of(const struct suite *suite, const struct ce_item *item,
                                        struct ce_pipeline_spec *pipeline)
{
    const struct ce_experiment *x = item->experiment;
    *pipeline = *ce_document_pipeline(suite->doc);
    pipeline->profile = item->profile;
    return (struct ce_run_options){
        .state_dir = suite->state_dir,
        .experiment = x,
        .pipeline = pipeline,
        .claims = &item->claims,
        .observers = suite->options->observers,
        .observer_count = suite->options->observer_count,
        /* Repetitions differ, and each can be had again by its own seed. */
        .seed = (x->has_seed ? (uint64_t)x->seed : suite->seed) +
                (uint64_t)(item->repeat > 0 ? item->repeat - 1 : 0),
        .repeat = item->repeat,
    };
}

/* Why it is not started, although it could be; NULL: it may. The text is the caller's. */
static char *reason_against(const struct suite *suite, const struct ce_item *item)
{
    const struct ce_item *unmet = ce_agenda_unmet(&suite->agenda, item);
    if (signalled(suite))
        return strdup("not started: the suite was interrupted");
    if (ce_lever_is_engaged(suite->state_dir))
        return strdup("not started: `chaoseater stop` was called");
    if (suite->left_behind)
        return strdup("not started: an earlier run left something that could not be put back");
    if (suite->failed)
        return ce_format("not started: '%s' did not pass, and the suite was to fail fast",
                         suite->failed->experiment->name);
    if (unmet)
        return ce_format("not started: it depends on '%s', which did not pass",
                         unmet->experiment->name);
    return NULL;
}

/* An experiment that the suite did not come to is in the report, too. */
static int not_started(const struct suite *suite, const struct ce_run_options *options,
                       char *reason, struct ce_record *ret_record, struct ce_error *err)
{
    int r = ce_run_plan(options, ret_record, err);
    if (r < 0) {
        free(reason);
        return r;
    }
    ret_record->verdict = CE_VERDICT_INCONCLUSIVE;
    ret_record->ended_at = ret_record->started_at;
    ret_record->reason = reason;
    ret_record->signal = signalled(suite);
    ret_record->status = ret_record->signal                      ? CE_STATUS_INTERRUPTED
                         : ce_lever_is_engaged(suite->state_dir) ? CE_STATUS_ABORTED
                                                                 : CE_STATUS_SKIPPED;
    ret_record->skip_reason = ret_record->status == CE_STATUS_SKIPPED ? "preflight" : NULL;
    return 0;
}

/* Without anything being touched: what would run, and what this host could not. */
static int describe(const struct ce_run_options *options, struct ce_record *ret_record,
                    struct ce_error *err)
{
    char reason[512], what[800];
    CE_CLEANUP(ce_blast_found_done) struct ce_blast_found found = {0};
    struct ce_error refused = {0};
    const struct ce_claim claim = {options->experiment->name, options->experiment->fault->name,
                                   options->claims};
    bool named = ce_target_is_explicit(&options->experiment->target);
    bool can = ce_fault_available(options->experiment->fault, reason, sizeof reason);
    bool may = ce_blast_find(options->experiment, options->seed, options->state_dir, &found,
                             &refused) == 0 &&
               ce_claim_check(options->state_dir, &claim, &refused) == 0;
    CE_TRY(ce_run_plan(options, ret_record, err));
    ret_record->status = CE_STATUS_SKIPPED;
    ret_record->verdict = CE_VERDICT_INCONCLUSIVE;
    ret_record->skip_reason = can && may ? "dry_run" : "preflight";
    if (can && may) {
        if (named)
            ret_record->target = strdup(found.name);
        ce_aim_describe(options->experiment, named ? found.name : "the pipeline under test", reason,
                        what, sizeof what);
        ret_record->reason = ce_format("dry run: nothing was touched; it would act %s", what);
    } else {
        ret_record->reason = strdup(!can ? reason : refused.message);
    }
    ret_record->ended_at = ret_record->started_at;
    return 0;
}

/* ---- one run ---- */

static bool passed(const struct ce_record *record)
{
    return record->status == CE_STATUS_COMPLETED && record->verdict == CE_VERDICT_PASSED;
}

/* Takes over the record. What a run could not put back is tried once more before the next one. */
static void end_item(struct suite *suite, struct ce_item *item, const struct ce_record *record)
{
    bool fail_fast = suite->options->fail_fast || ce_document_fail_fast(suite->doc);
    ce_publisher_record(&suite->publisher, (size_t)(item - suite->agenda.items), record);
    ce_recorder_add(suite->recorder, record);
    ce_agenda_end(&suite->agenda, item, record);
    if (record->status == CE_STATUS_DIRTY && clear_leftovers(suite, NULL) < 0)
        suite->left_behind = true;
    if (fail_fast && !suite->options->dry_run && !suite->failed && !passed(record))
        suite->failed = item;
    show(suite, item, ce_state_name(CE_STATE_ENDED), 1);
}

/* One that did not come to its own end is run when the suite is resumed. */
static void keep(const struct suite *suite, const struct ce_record *record)
{
    if (record->status != CE_STATUS_INTERRUPTED && !ce_lever_is_engaged(suite->state_dir))
        ce_kept_add(suite->kept, record);
}

static int run_here(struct suite *suite, struct ce_item *item, struct ce_error *err)
{
    struct ce_pipeline_spec pipeline;
    struct listener listener = {.suite = suite, .item = item};
    struct ce_run_options options = options_of(suite, item, &pipeline);
    options.hits = suite->hits;
    options.signal = suite->options->signal;
    options.on_event = on_event;
    options.on_event_ctx = &listener;
    struct ce_record record;
    CE_TRY(ce_run(&options, &record, err));
    keep(suite, &record);
    end_item(suite, item, &record);
    return 0;
}

static int start_beside(struct suite *suite, struct ce_item *item, struct ce_error *err)
{
    size_t free_place = 0;
    while (suite->crew[free_place].member)
        free_place++;
    struct crew *place = &suite->crew[free_place];
    struct ce_run_options options = options_of(suite, item, &place->pipeline);
    options.signal = suite->signal;
    CE_TRY(ce_member_start(&options, suite->options->hits, &place->member, err));
    place->item = item;
    ce_agenda_begin(&suite->agenda, item);
    return 0;
}

static int claim(const struct suite *suite, struct ce_item *item, struct ce_error *err)
{
    ce_names_done(&item->claims);
    return ce_claims_of(item->experiment, ce_document_pipeline(suite->doc), suite->state_dir,
                        &item->claims, err);
}

/* What cannot be run, or need not be, ends at once. Returns whether that is so. */
static int settle(struct suite *suite, struct ce_item *item, struct ce_error *err)
{
    struct ce_pipeline_spec pipeline;
    struct ce_run_options options = options_of(suite, item, &pipeline);
    struct ce_record record;
    if (ce_kept_find(suite->kept, item->experiment->name, profile_of(suite, item), item->repeat,
                     &record)) {
        suite->resumed++;
        end_item(suite, item, &record);
        return 1;
    }
    char *reason = suite->options->dry_run ? NULL : reason_against(suite, item);
    if (!reason && suite->parallel == 1)
        CE_TRY(claim(suite, item, err));
    if (suite->options->dry_run)
        CE_TRY(describe(&options, &record, err));
    else if (reason)
        CE_TRY(not_started(suite, &options, reason, &record, err));
    else
        return 0;
    end_item(suite, item, &record);
    return 1;
}

/* ---- several at once ---- */

/* Its process crashed: its guard undoes what it did, and is waited for. */
static int crashed(struct suite *suite, const struct crew *place, const char *cause,
                   struct ce_record *ret_record, struct ce_error *err)
{
    struct ce_pipeline_spec pipeline;
    struct ce_run_options options = options_of(suite, place->item, &pipeline);
    struct ce_error left = {0};
    CE_TRY(ce_run_plan(&options, ret_record, err));
    bool clean = clear_leftovers(suite, &left) == 0;
    ret_record->status = clean ? CE_STATUS_FAILED : CE_STATUS_DIRTY;
    ret_record->verdict = CE_VERDICT_INCONCLUSIVE;
    ret_record->reason = clean ? ce_format("%s; what it had changed is put back", cause)
                               : ce_format("%s; %s", cause, left.message);
    ret_record->ended_at = ce_wall_now();
    return 0;
}

static int hear(struct suite *suite, struct crew *place, struct ce_error *err)
{
    struct ce_member_report report;
    int r;
    while ((r = ce_member_next(place->member, &report, err)) > 0 && !report.ended) {
        const struct ce_publisher_news news = {
            .id = report.id,
            .phase = report.phase,
            .fraction = report.fraction,
            .intensity = report.intensity,
            .guarded = report.guarded,
            .sample = report.sample,
        };
        tell(suite, place->item, &news);
    }
    if (r <= 0)
        return r;
    if (!report.has_record)
        CE_TRY(crashed(suite, place, report.cause, &report.record, err));
    suite->hits_lost = suite->hits_lost || report.hits_lost;
    ce_member_free(ce_take(place->member));
    keep(suite, &report.record);
    end_item(suite, place->item, &report.record);
    return 0;
}

/* Waits until one of them says something, or a signal may have come. */
static int hear_all(struct suite *suite, struct ce_error *err)
{
    struct pollfd polled[PARALLEL_MAX];
    nfds_t n = 0;
    for (size_t i = 0; i < PARALLEL_MAX; i++)
        if (suite->crew[i].member)
            polled[n++] = (struct pollfd){ce_member_fd(suite->crew[i].member), POLLIN, 0};
    (void)poll(polled, n, LOOK_EVERY_MS);
    *suite->signal = signalled(suite);
    ce_publisher_turn(&suite->publisher);
    for (size_t i = 0; i < PARALLEL_MAX; i++)
        if (suite->crew[i].member)
            CE_TRY(hear(suite, &suite->crew[i], err));
    return 0;
}

/* ---- the whole ---- */

static int run_all(struct suite *suite, struct ce_error *err)
{
    struct ce_agenda *agenda = &suite->agenda;
    while (agenda->ended < agenda->count) {
        struct ce_item *item = agenda->running < suite->parallel ? ce_agenda_next(agenda) : NULL;
        int settled = item ? settle(suite, item, err) : 0;
        if (settled != 0)
            CE_TRY(settled);
        else if (!item)
            CE_TRY(hear_all(suite, err));
        else if (suite->parallel > 1)
            CE_TRY(start_beside(suite, item, err));
        else
            CE_TRY(run_here(suite, item, err));
    }
    return 0;
}

/* Those that may run beside each other are kept apart by what they claim from the beginning on. */
static int claim_ahead(struct suite *suite, struct ce_error *err)
{
    for (size_t i = 0; suite->parallel > 1 && i < suite->agenda.count; i++)
        CE_TRY(claim(suite, &suite->agenda.items[i], err));
    return 0;
}

static int begin_to_publish(struct suite *suite, struct ce_error *err)
{
    const struct ce_agenda *agenda = &suite->agenda;
    const struct ce_publisher_config config = {
        .doc = suite->doc,
        .options = suite->options,
        .state_dir = suite->state_dir,
        .seed = suite->seed,
        .parallel = suite->parallel,
    };
    struct ce_publisher_run *runs = calloc(agenda->count + 1, sizeof *runs);
    for (size_t i = 0; runs && i < agenda->count; i++) {
        const struct ce_item *item = &agenda->items[i];
        runs[i] = (struct ce_publisher_run){
            .experiment = item->experiment->name,
            .layer = ce_layer_name(item->experiment->fault->layer),
            .fault = item->experiment->fault->name,
            .profile = profile_of(suite, item),
            .repeat = item->repeat,
        };
    }
    return ce_publisher_begin(&suite->publisher, &config, runs, agenda->count, err);
}

/* Whatever has to be there before the first run. Undone by finish(). */
static int prepare(struct suite *suite, struct ce_error *err)
{
    const struct ce_suite_options *options = suite->options;
    bool both = options->both_profiles, keeps = false;
    suite->signal = mmap(NULL, sizeof *suite->signal, PROT_READ | PROT_WRITE,
                         MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (suite->signal == MAP_FAILED)
        return ce_fail(err, errno, "cannot share memory: %s", strerror(errno));
    if (!options->dry_run) {
        if (ce_lever_is_engaged(suite->state_dir))
            return ce_fail(err, ECANCELED,
                           "`chaoseater stop` was called: nothing is started before `chaoseater "
                           "stop --release`");
        CE_TRY(ce_folder_make(suite->state_dir, err));
        CE_TRY(clear_leftovers(suite, err));
    }
    CE_TRY(ce_agenda_make(suite->doc, options->chosen, both, suite->seed, &suite->agenda, err));
    keeps = !options->dry_run && !options->chosen && (suite->agenda.count > 1 || options->resume);
    if (keeps) {
        uint64_t seed = suite->seed;
        CE_TRY(ce_kept_open(suite->state_dir, suite->doc, both ? "-both" : "", options->resume,
                            &suite->seed, &suite->kept, err));
        if (seed != suite->seed) { /* a random order is another one */
            ce_agenda_done(&suite->agenda);
            CE_TRY(ce_agenda_make(suite->doc, options->chosen, both, suite->seed, &suite->agenda,
                                  err));
        }
    }
    if (options->hits && !options->dry_run && suite->parallel == 1)
        CE_TRY(ce_hits_new(options->hits, &suite->hits, err));
    CE_TRY(ce_recorder_new(options, suite->state_dir, ce_document_text(suite->doc),
                           &suite->recorder, err));
    CE_TRY(claim_ahead(suite, err));
    return options->dry_run ? 0 : begin_to_publish(suite, err);
}

/* The records move to the results, in the order of the plan. */
static int collect(struct suite *suite, struct ce_results *results, struct ce_error *err)
{
    for (size_t i = 0; i < suite->agenda.count; i++) {
        struct ce_record record = suite->agenda.items[i].record;
        suite->agenda.items[i].state = CE_ITEM_WAITING;
        CE_TRY(ce_results_add(results, &record, err));
    }
    results->seed = suite->seed;
    results->signal = signalled(suite);
    results->hits_lost = suite->hits_lost;
    results->resumed = suite->resumed;
    results->history_problem = ce_recorder_problem(suite->recorder);
    ce_recorder_look_back(suite->recorder, results);
    return 0;
}

static void end_publishing(struct suite *suite, int exit_code, struct ce_results *results)
{
    ce_publisher_end(&suite->publisher, signalled(suite), exit_code);
    results->push_warning = suite->publisher.warning;
    results->events_problem = suite->publisher.events_problem;
}

static void finish(struct suite *suite, bool finished)
{
    for (size_t i = 0; i < PARALLEL_MAX; i++)
        ce_member_free(suite->crew[i].member);
    if (suite->hits && ce_hits_problem(suite->hits, NULL) < 0)
        suite->hits_lost = true;
    ce_hits_free(suite->hits);
    ce_kept_close(suite->kept, finished);
    if (suite->signal && suite->signal != MAP_FAILED)
        (void)munmap((void *)suite->signal, sizeof *suite->signal);
}

static unsigned parallel_of(const struct ce_document *doc, const struct ce_suite_options *options)
{
    unsigned parallel = options->parallel > 0 ? options->parallel : ce_document_parallel(doc);
    return options->dry_run ? 1 : parallel < PARALLEL_MAX ? parallel : PARALLEL_MAX;
}

int ce_suite_run(const struct ce_document *doc, const struct ce_suite_options *options,
                 struct ce_results **ret_results, struct ce_error *err)
{
    ce_autofree char *state_dir = options->state_dir ? strdup(options->state_dir) : ce_state_dir();
    CE_CLEANUP(ce_results_free_p) struct ce_results *results = ce_results_new(0);
    if (!state_dir || !results)
        return ce_fail_memory(err);
    int r = ce_document_check_pipeline(doc, err);
    if (r < 0)
        return r == -ENOMEM ? r : -EINVAL;
    struct suite suite = {
        .doc = doc,
        .options = options,
        .state_dir = state_dir,
        .seed = options->seed,
        .parallel = parallel_of(doc, options),
    };
    if (!options->has_seed && !ce_document_seed(doc, &suite.seed))
        suite.seed = ce_random_seed();
    r = prepare(&suite, err);
    if (r >= 0)
        r = run_all(&suite, err);
    finish(&suite, r >= 0 && !signalled(&suite) && !ce_lever_is_engaged(state_dir));
    if (r >= 0)
        r = collect(&suite, results, err);
    end_publishing(&suite, r >= 0 ? ce_results_exit_code(results) : CE_EXIT_FAILED, results);
    ce_agenda_done(&suite.agenda);
    ce_recorder_free(suite.recorder);
    CE_TRY(r);
    *ret_results = ce_take(results);
    return 0;
}
