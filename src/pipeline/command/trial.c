/* SPDX-License-Identifier: MIT */
#include "pipeline/command/trial.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "pipeline/channel.h"
#include "pipeline/command/metrics.h"
#include "pipeline/started/tail.h"

/* How long one that was killed may take to be gone. */
static const int64_t kill_timeout = 5 * CE_SECOND;
/* Of what a trial may report. */
enum { METRICS_BYTES = 1 << 20 };

/* ---- a file of metrics ---- */

/* What the file was before the trial: one that the trial has not written says nothing about it. */
struct before {
    char *path; /* NULL: metrics are not read from a file */
    struct stat file;
    bool existed;
    struct timespec at;
};

static void before_done(struct before *before)
{
    free(before->path);
}

static int64_t ns_of(const struct timespec *time)
{
    return time->tv_sec * CE_SECOND + time->tv_nsec;
}

static int look_before(const struct ce_pipeline_spec *spec, struct before *before,
                       struct ce_error *err)
{
    if (!spec->metrics || strcmp(spec->metrics, "stdout") == 0)
        return 0;
    before->path = spec->metrics[0] == '/' || !spec->workdir
                       ? strdup(spec->metrics)
                       : ce_format("%s/%s", spec->workdir, spec->metrics);
    if (!before->path)
        return ce_fail_memory(err);
    before->existed = stat(before->path, &before->file) == 0;
    (void)clock_gettime(CLOCK_REALTIME_COARSE, &before->at); /* by which files are stamped */
    return 0;
}

static bool was_written(const struct before *before, const struct stat *now)
{
    return !before->existed || now->st_ino != before->file.st_ino ||
           now->st_size != before->file.st_size ||
           ns_of(&now->st_mtim) != ns_of(&before->file.st_mtim) ||
           ns_of(&now->st_mtim) >= ns_of(&before->at);
}

static int read_file(const struct before *before, json_t **ret_metrics, struct ce_error *err)
{
    ce_autofree char *text = NULL;
    struct stat now;
    size_t size;
    if (stat(before->path, &now) < 0)
        return ce_fail(err, errno, "the trial left no metrics: cannot read '%s': %s", before->path,
                       strerror(errno));
    if (!was_written(before, &now))
        return ce_fail(err, ENODATA, "the trial left no metrics: '%s' is an old file",
                       before->path);
    CE_TRY(ce_file_read(before->path, METRICS_BYTES, &text, &size, err));
    return ce_metrics_parse(text, size, before->path, ret_metrics, err);
}

static int read_stdout(const struct ce_trial *trial, json_t **ret_metrics, struct ce_error *err)
{
    ce_autofree char *text = NULL;
    const char *line;
    size_t size;
    CE_TRY(ce_tail_read(trial->log, METRICS_BYTES, &text, &size, err));
    ce_metrics_last_line(text, size, &line, &size);
    if (size == 0)
        return ce_fail(err, ENODATA, "the trial reported no metrics: its stdout is empty");
    return ce_metrics_parse(line, size, "the last line of its stdout", ret_metrics, err);
}

static int read_figures(const struct ce_trial *trial, const struct before *before,
                        struct ce_trial_figures *figures, struct ce_error *err)
{
    const struct ce_pipeline_spec *spec = trial->spec;
    ce_autojson json_t *metrics = NULL;
    if (!spec->metrics && !spec->accuracy)
        return 0;
    CE_TRY(before->path ? read_file(before, &metrics, err) : read_stdout(trial, &metrics, err));
    if (spec->accuracy)
        CE_TRY(ce_metrics_take_accuracy(metrics, spec->accuracy, &figures->accuracy, err));
    figures->metrics = ce_take(metrics);
    return 0;
}

/* ---- its end ---- */

/* Adds what it said last. */
static int fail_trial(const struct ce_trial *trial, int code, const char *how, struct ce_error *err)
{
    char words[CE_LAST_WORDS];
    ce_started_last_words(trial->started, words);
    return ce_fail(err, code, "the command %s%s%s%s", how,
                   words[0] ? "; its last words: '" : " without a word", words,
                   words[0] ? "'" : "");
}

static int judge_status(const struct ce_trial *trial, int status, struct ce_error *err)
{
    char how[64];
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    if (WIFSIGNALED(status))
        snprintf(how, sizeof how, "was ended by signal %d", WTERMSIG(status));
    else
        snprintf(how, sizeof how, "ended with exit code %d", WEXITSTATUS(status));
    return fail_trial(trial, ECHILD, how, err);
}

static int read_end(const struct ce_trial *trial, int end, struct ce_error *err)
{
    struct ce_channel_message message;
    int status, code, sentence = 0;
    if (ce_channel_receive(end, 0, &message) <= 0)
        return ce_fail(err, EPIPE, "the process that runs the command is gone");
    if (sscanf(message.text, "ended %d", &status) == 1)
        return judge_status(trial, status, err);
    if (sscanf(message.text, "error %d %n", &code, &sentence) == 1 && sentence > 0 && code > 0)
        return ce_fail(err, code, "%s", message.text + sentence);
    return ce_fail(err, EPROTO, "the command's launcher said '%.60s'", message.text);
}

/* 1: it has ended; 0: it is time; -ECANCELED. */
static int await_end(int end, int give_up, int64_t until)
{
    for (;;) {
        struct pollfd waits[] = {{.fd = end, .events = POLLIN}, {.fd = give_up, .events = POLLIN}};
        int64_t left = until - ce_now();
        /* An hour at a time: poll() counts in int milliseconds. */
        int64_t nap = left < 3600 * CE_SECOND ? left : 3600 * CE_SECOND;
        int n = poll(waits, CE_COUNT(waits), nap > 0 ? (int)(nap / CE_MILLISECOND) + 1 : 0);
        if (n > 0 && waits[0].revents)
            return 1;
        if (n > 0)
            return -ECANCELED;
        if (left <= 0)
            return 0;
    }
}

/* So that nothing of it goes on when the next one begins. */
static void end_now(const struct ce_trial *trial, int end)
{
    ce_started_kill(trial->started);
    struct pollfd gone = {.fd = end, .events = POLLIN};
    (void)poll(&gone, 1, (int)(kill_timeout / CE_MILLISECOND));
}

static int wait_for(const struct ce_trial *trial, int end, int give_up, int64_t until,
                    struct ce_error *err)
{
    int r = await_end(end, give_up, until);
    if (r > 0)
        return read_end(trial, end, err);
    end_now(trial, end);
    if (r < 0)
        return ce_fail(err, ECANCELED, "the trial was given up");
    char how[80];
    snprintf(how, sizeof how, "took longer than timeout, %g s, and was killed",
             (double)trial->spec->timeout / (double)CE_SECOND);
    return fail_trial(trial, ETIMEDOUT, how, err);
}

int ce_trial_run(const struct ce_trial *trial, int give_up, struct ce_trial_figures *ret_figures,
                 struct ce_error *err)
{
    CE_CLEANUP(before_done) struct before before = {0};
    ce_autofd int end = -1;
    CE_TRY(look_before(trial->spec, &before, err));
    int64_t begun = ce_now();
    int r = ce_started_run(trial->started, trial->killed, &end, err);
    if (r == 0)
        r = wait_for(trial, end, give_up, begun + trial->spec->timeout, err);
    ret_figures->took = ce_now() - begun;
    return r == 0 ? read_figures(trial, &before, ret_figures, err) : r;
}
