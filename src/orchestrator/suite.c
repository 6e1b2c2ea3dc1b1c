/* SPDX-License-Identifier: MIT */
/* A suite: every experiment of a document, one after the other. One that fails does not stop the
 * rest; a signal does, and so does one that left something behind. */
#include "orchestrator/results.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/random.h"
#include "controller/aim.h"
#include "controller/controller.h"
#include "faults/hits.h"
#include "journal/journal.h"

struct suite {
    const struct ce_document *doc;
    const struct ce_suite_options *options;
    char *state_dir;
    struct ce_results *results;
    struct ce_hits *hits; /* NULL: nobody asked for them */
    size_t planned;
    bool halted; /* nothing more is started */
};

/* What the progress callback needs to know about the run that is going on. */
struct listener {
    const struct suite *suite;
    size_t run;
};

static void on_event(void *ctx, const struct ce_event *event)
{
    const struct listener *listener = ctx;
    const struct ce_suite_options *options = listener->suite->options;
    bool ended = event->state == CE_STATE_ENDED;
    if (!options->progress)
        return;
    struct ce_progress progress = {
        .run = listener->run,
        .run_count = listener->suite->planned,
        .experiment = event->record->name,
        .profile = event->record->profile,
        .fault = event->record->fault_type,
        .phase = ce_state_name(event->state),
        .fraction = event->fraction,
        .status = ended ? ce_status_name(event->record->status) : "",
        .verdict = ended ? ce_verdict_name(event->record->verdict) : "",
        .score = ended && !isnan(event->record->score) ? event->record->score : -1,
    };
    options->progress(options->progress_ctx, &progress);
}

static bool interrupted(const struct suite *suite)
{
    return suite->options->signal && *suite->options->signal;
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

/* What a run could not put back is tried once more before the next one. */
static bool may_go_on(const struct suite *suite)
{
    const struct ce_results *results = suite->results;
    bool dirty =
        results->count > 0 && results->records[results->count - 1]->status == CE_STATUS_DIRTY;
    return !interrupted(suite) && (!dirty || clear_leftovers(suite, NULL) == 0);
}

/* An experiment that the suite did not come to is in the report, too. */
static int not_started(const struct suite *suite, const struct ce_run_options *options,
                       struct ce_record *ret_record, struct ce_error *err)
{
    CE_TRY(ce_run_plan(options, ret_record, err));
    ret_record->verdict = CE_VERDICT_INCONCLUSIVE;
    ret_record->ended_at = ret_record->started_at;
    if (interrupted(suite)) {
        ret_record->status = CE_STATUS_INTERRUPTED;
        ret_record->signal = *suite->options->signal;
        ret_record->reason = strdup("not started: the suite was interrupted");
    } else {
        ret_record->status = CE_STATUS_SKIPPED;
        ret_record->skip_reason = "preflight";
        ret_record->reason =
            strdup("not started: an earlier run left something that could not be put back");
    }
    return 0;
}

/* Without anything being touched: what would run, and what this host could not. */
static int describe(const struct ce_run_options *options, struct ce_record *ret_record,
                    struct ce_error *err)
{
    char reason[256];
    struct ce_target_found found;
    struct ce_error refused = {0};
    bool can = ce_fault_available(options->experiment->fault, reason, sizeof reason);
    bool may = ce_aim_find(options->experiment, options->state_dir, &found, &refused) == 0;
    CE_TRY(ce_run_plan(options, ret_record, err));
    ret_record->status = CE_STATUS_SKIPPED;
    ret_record->verdict = CE_VERDICT_INCONCLUSIVE;
    ret_record->skip_reason = can && may ? "dry_run" : "preflight";
    ret_record->reason = strdup(!can   ? reason
                                : !may ? refused.message
                                       : "dry run: nothing was touched");
    ret_record->ended_at = ret_record->started_at;
    return 0;
}

static int run_one(struct suite *suite, const struct ce_experiment *x, int profile, int repeat,
                   struct ce_error *err)
{
    struct ce_pipeline_spec pipeline = *ce_document_pipeline(suite->doc);
    pipeline.profile = profile;
    struct listener listener = {.suite = suite, .run = suite->results->count};
    struct ce_run_options options = {
        .state_dir = suite->state_dir,
        .experiment = x,
        .pipeline = &pipeline,
        /* Repetitions differ, and each can be had again by its own seed. */
        .seed = (x->has_seed ? (uint64_t)x->seed : suite->results->seed) +
                (uint64_t)(repeat > 0 ? repeat - 1 : 0),
        .hits = suite->hits,
        .repeat = repeat,
        .signal = suite->options->signal,
        .on_event = on_event,
        .on_event_ctx = &listener,
    };
    struct ce_record record;
    suite->halted = suite->halted || !may_go_on(suite);
    if (suite->options->dry_run)
        CE_TRY(describe(&options, &record, err));
    else if (suite->halted)
        CE_TRY(not_started(suite, &options, &record, err));
    else
        CE_TRY(ce_run(&options, &record, err));
    return ce_results_add(suite->results, &record, err);
}

static int run_profile(struct suite *suite, int profile, struct ce_error *err)
{
    const struct ce_experiment *x;
    for (size_t i = 0; (x = ce_document_experiment(suite->doc, i)); i++) {
        for (int64_t k = 1; !x->left_out && k <= x->repeat; k++)
            CE_TRY(run_one(suite, x, profile, x->repeat > 1 ? (int)k : 0, err));
    }
    return 0;
}

static size_t count_runs(const struct suite *suite)
{
    const struct ce_experiment *x;
    size_t n = 0;
    for (size_t i = 0; (x = ce_document_experiment(suite->doc, i)); i++)
        n += x->left_out ? 0 : (size_t)x->repeat;
    return suite->options->both_profiles ? 2 * n : n;
}

static int run_all(struct suite *suite, struct ce_error *err)
{
    bool both = suite->options->both_profiles;
    int profile = both ? CE_PROFILE_NAIVE : ce_document_pipeline(suite->doc)->profile;
    CE_TRY(run_profile(suite, profile, err));
    return both ? run_profile(suite, CE_PROFILE_HARDENED, err) : 0;
}

int ce_suite_run(const struct ce_document *doc, const struct ce_suite_options *options,
                 struct ce_results **ret_results, struct ce_error *err)
{
    ce_autofree char *state_dir = options->state_dir ? strdup(options->state_dir) : ce_state_dir();
    if (!state_dir)
        return ce_fail_memory(err);
    uint64_t seed = options->seed;
    if (!options->has_seed && !ce_document_seed(doc, &seed))
        seed = ce_random_seed();
    CE_CLEANUP(ce_results_free_p) struct ce_results *results = ce_results_new(seed);
    if (!results)
        return ce_fail_memory(err);
    struct suite suite = {
        .doc = doc, .options = options, .state_dir = state_dir, .results = results};
    suite.planned = count_runs(&suite);
    int r = ce_document_check_pipeline(doc, err);
    if (r < 0)
        return r == -ENOMEM ? r : -EINVAL;
    if (!options->dry_run) {
        CE_TRY(ce_folder_make(state_dir, err));
        CE_TRY(clear_leftovers(&suite, err));
    }
    if (options->hits && !options->dry_run)
        CE_TRY(ce_hits_new(options->hits, &suite.hits, err));
    r = run_all(&suite, err);
    if (suite.hits && ce_hits_problem(suite.hits, NULL) < 0)
        results->hits_lost = true;
    ce_hits_free(suite.hits);
    CE_TRY(r);
    if (interrupted(&suite))
        results->signal = *options->signal;
    *ret_results = ce_take(results);
    return 0;
}
