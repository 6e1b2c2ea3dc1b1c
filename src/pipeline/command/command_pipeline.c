/* SPDX-License-Identifier: MIT */
/* A batch job of the user's under test: a command that is run again and again, each run a trial.
 *
 * Nothing of it runs between trials but the launcher, in whose namespaces all trials are started;
 * so whatever is done to the launcher's groups, mounts or network while none runs holds for the
 * next ones. The dataset is a private copy. Faults may also have trials killed at their start. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "data/profile.h"
#include "host/subject.h"
#include "pipeline/command/dataset.h"
#include "pipeline/command/trial.h"
#include "pipeline/helpers.h"
#include "pipeline/kind.h"

static const int64_t start_timeout = 30 * CE_SECOND;

struct command {
    struct ce_pipeline base;
    const struct ce_pipeline_spec *spec;
    char *name, *run_folder, *log, *errors;
    struct ce_dataset_copy dataset; /* path NULL: there is none */
    struct ce_names env;            /* borrows its texts */
    struct ce_helpers helpers;
    struct ce_started_command how;
    struct ce_started *started;
    struct ce_trials trials;

    pthread_mutex_t lock; /* guards the next two */
    bool (*fails)(void *ctx, const char *trial);
    void *fails_ctx;
};

/* ---- trials ---- */

static bool is_to_fail(struct command *command, const char *name)
{
    (void)pthread_mutex_lock(&command->lock);
    bool fails = command->fails && command->fails(command->fails_ctx, name);
    (void)pthread_mutex_unlock(&command->lock);
    return fails;
}

static int run_trial(void *ctx, const char *name, int give_up, struct ce_trial_figures *ret_figures,
                     struct ce_error *err)
{
    struct command *command = ctx;
    const struct ce_trial trial = {
        .spec = command->spec,
        .started = command->started,
        .log = command->log,
        .killed = is_to_fail(command, name),
    };
    if (command->dataset.path)
        CE_TRY(ce_dataset_copy_look(&command->dataset, err));
    return ce_trial_run(&trial, give_up, ret_figures, err);
}

/* ---- start and stop ---- */

static enum ce_isolation isolation_of(const struct ce_pipeline_spec *spec)
{
    switch (spec->isolation) {
    case CE_ISOLATE_NONE:
        return CE_ISOLATION_NONE;
    case CE_ISOLATE_NAMESPACES:
        return CE_ISOLATION_NAMESPACES;
    default:
        return CE_ISOLATION_AUTO;
    }
}

static int start_launcher(struct command *command, struct ce_journal *journal, struct ce_error *err)
{
    const struct ce_pipeline_spec *spec = command->spec;
    command->how = (struct ce_started_command){
        .command = &spec->command,
        .prefix = (const char *const *)command->helpers.prefix,
        .env = &command->env,
        .workdir = spec->workdir,
        .log = command->log,
        .errors = command->errors,
        .isolation = isolation_of(spec),
        .private_network = spec->network == CE_NETWORK_PRIVATE,
    };
    return ce_started_new(&command->how, journal, &command->started, err);
}

static int start_all(struct command *command, const struct ce_pipeline_site *site,
                     struct ce_error *err)
{
    const struct ce_pipeline_spec *spec = command->spec;
    command->run_folder = realpath(site->run_folder, NULL);
    if (!command->run_folder)
        return ce_fail(err, errno, "cannot read '%s': %s", site->run_folder, strerror(errno));
    command->log = ce_format("%s/trial.out", command->run_folder);
    command->errors = ce_format("%s/trial.err", command->run_folder);
    if (!command->log || !command->errors)
        return ce_fail_memory(err);
    if (spec->dataset)
        CE_TRY(ce_dataset_copy_make(spec->dataset, command->run_folder, &command->dataset, err));
    CE_TRY(ce_helpers_env(site->helpers, &spec->env, command->run_folder, command->dataset.variable,
                          &command->helpers, &command->env, err));
    return start_launcher(command, site->journal, err);
}

static const struct ce_pipeline_acts acts;

static int start(const struct ce_pipeline_spec *spec, const struct ce_pipeline_site *site,
                 struct ce_pipeline **ret_pipeline, struct ce_error *err)
{
    struct command *command = calloc(1, sizeof *command);
    if (!command)
        return ce_fail_memory(err);
    (void)pthread_mutex_init(&command->lock, NULL);
    command->spec = spec;
    command->trials = (struct ce_trials){.ctx = command, .run = run_trial};
    ce_autofree char *words = ce_pipeline_command_text(spec);
    command->name = words ? ce_format("batch job '%s'", words) : NULL;
    int r = command->name ? start_all(command, site, err) : ce_fail_memory(err);
    command->base = (struct ce_pipeline){
        .kind = &ce_pipeline_command,
        .acts = &acts,
        .name = command->name,
        .dataset = command->dataset.path,
        .label = spec->label,
        .trials = &command->trials,
    };
    if (r < 0) {
        if (r != -ENOMEM && command->name)
            (void)ce_fail_context(err, r, "%s", command->name);
        ce_pipeline_stop(&command->base);
        return r;
    }
    command->base.isolation = ce_started_isolation(command->started);
    *ret_pipeline = &command->base;
    return 0;
}

static void stop(struct ce_pipeline *base)
{
    struct command *command = (struct command *)base;
    ce_started_free(command->started);
    ce_dataset_copy_done(&command->dataset);
    ce_helpers_done(&command->helpers);
    (void)pthread_mutex_destroy(&command->lock);
    free(command->env.names);
    free(command->name);
    free(command->run_folder);
    free(command->log);
    free(command->errors);
    free(command);
}

static int64_t patience(const struct ce_pipeline_spec *spec)
{
    (void)spec;
    return start_timeout;
}

/* ---- what can be looked at before ---- */

static int check_label(const struct ce_pipeline_spec *spec, struct ce_error *err)
{
    CE_CLEANUP(ce_profile_done) struct ce_profile profile = {0};
    CE_TRY(ce_profile_read(spec->dataset, 0, 0, &profile, err));
    for (size_t i = 0; i < profile.column_count; i++)
        if (strcmp(profile.columns[i].name, spec->label) == 0)
            return 0;
    return ce_fail(err, EINVAL, "label: '%s' has no column '%s'", spec->dataset, spec->label);
}

static int check_workdir(const struct ce_pipeline_spec *spec, struct ce_error *err)
{
    struct stat st;
    if (!spec->workdir)
        return 0;
    if (stat(spec->workdir, &st) < 0)
        return ce_fail(err, errno, "workdir: cannot go to '%s': %s", spec->workdir,
                       strerror(errno));
    return S_ISDIR(st.st_mode) ? 0
                               : ce_fail(err, ENOTDIR, "workdir: '%s' is no folder", spec->workdir);
}

static int check(const struct ce_pipeline_spec *spec, const char **ret_key, struct ce_error *err)
{
    *ret_key = "workdir";
    CE_TRY(check_workdir(spec, err));
    *ret_key = "dataset";
    if (spec->dataset)
        CE_TRY(ce_dataset_copy_check(spec->dataset, err));
    *ret_key = "label";
    return spec->label ? check_label(spec, err) : 0;
}

const struct ce_pipeline_kind ce_pipeline_command = {
    .check = check,
    .patience = patience,
    .start = start,
    .stop = stop,
};

/* ---- what a fault's target can do ---- */

/* The next trial reads the dataset anyway. What it will find there counts as seen. */
static int reload(void *pipeline, struct ce_error *err)
{
    return ce_dataset_copy_look(&((struct command *)pipeline)->dataset, err);
}

static int trained_on(void *pipeline, char ret_hex[CE_SHA256_HEX], struct ce_error *err)
{
    (void)err;
    ce_dataset_copy_seen(&((struct command *)pipeline)->dataset, ret_hex);
    return 0;
}

static int serving_process(void *pipeline, struct ce_process_id *ret_id, struct ce_error *err)
{
    *ret_id = ce_started_launcher(((struct command *)pipeline)->started);
    return ce_process_alive(ret_id)
               ? 0
               : ce_fail(err, ESRCH, "the process that runs the command is gone");
}

static int ensure_serving(void *pipeline, struct ce_error *err)
{
    return ce_started_revive(((struct command *)pipeline)->started, err);
}

static int fail_trials(void *pipeline, bool (*fails)(void *ctx, const char *trial), void *ctx)
{
    struct command *command = pipeline;
    (void)pthread_mutex_lock(&command->lock);
    command->fails = fails;
    command->fails_ctx = ctx;
    (void)pthread_mutex_unlock(&command->lock);
    return 0;
}

static int try_trial(void *pipeline, const char *name, struct ce_error *err)
{
    struct ce_trial_figures figures = {0};
    int r = run_trial(pipeline, name, -1, &figures, err);
    json_decref(figures.metrics);
    return r;
}

static int locate(void *pipeline, const char *service, struct ce_subject *ret_subject,
                  struct ce_error *err)
{
    struct command *command = pipeline;
    struct ce_subject *subject = ret_subject;
    if (service && strcmp(service, "command") != 0 && strcmp(service, "server") != 0)
        return ce_fail(err, ENOENT, "a batch job has no service '%s'; it has command", service);
    memset(subject, 0, sizeof *subject);
    CE_TRY(serving_process(command, &subject->process, err));
    CE_TRY(ce_place_of_process(&subject->process, &subject->place, err));
    subject->has = CE_SUBJECT_PROCESS;
    snprintf(subject->name, sizeof subject->name, "%.120s (below process %d)", command->name,
             (int)subject->process.pid);
    if (command->how.private_network)
        subject->has |= CE_SUBJECT_NETWORK; /* all packets in there are its own */
    const char *workdir = command->spec->workdir ? command->spec->workdir : ".";
    if (realpath(workdir, subject->folder))
        subject->has |= CE_SUBJECT_FOLDER;
    if (command->helpers.count > 0) {
        snprintf(subject->helpers, sizeof subject->helpers, "%s", command->run_folder);
        subject->has |= CE_SUBJECT_HELPERS;
    }
    return 0;
}

static const struct ce_pipeline_acts acts = {
    .reload = reload,
    .trained_on = trained_on,
    .serving_process = serving_process,
    .ensure_serving = ensure_serving,
    .locate = locate,
    .fail_trials = fail_trials,
    .try_trial = try_trial,
};
