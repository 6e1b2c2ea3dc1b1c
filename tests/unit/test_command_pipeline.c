/* SPDX-License-Identifier: MIT */
/* A batch job: what trials report, how they are driven one after the other and what they mean, and
 * the processes that run them. */
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "check.h"
#include "controller/measure.h"
#include "host/subject.h"
#include "pipeline/channel.h"
#include "pipeline/command/metrics.h"
#include "pipeline/pipeline.h"
#include "pipeline/started/started.h"

static const int64_t patience = 30 * CE_SECOND;

#define EVENTUALLY(condition)                                                                      \
    __extension__({                                                                                \
        int64_t until_ = ce_now() + patience;                                                      \
        bool seen_;                                                                                \
        while (!(seen_ = (condition)) && ce_now() < until_)                                        \
            ce_sleep_until(ce_now() + CE_MILLISECOND);                                             \
        seen_;                                                                                     \
    })

/* ---- metrics ---- */

static void every_number_of_a_report_counts(void)
{
    static const char text[] = "{\"accuracy\": 0.9, \"name\": \"x\", \"ok\": true, \"epochs\": 3, "
                               "\"eval\": {\"f1\": 0.5, \"deep\": {\"er\": -1}}, \"list\": [1]}";
    ce_autojson json_t *metrics = NULL;
    struct ce_error err = {0};
    REQUIRE_OK(ce_metrics_parse(text, strlen(text), "it", &metrics, &err), err);
    CHECK(json_object_size(metrics) == 4);
    CHECK(json_number_value(json_object_get(metrics, "epochs")) == 3);
    CHECK(json_number_value(json_object_get(metrics, "eval.f1")) == 0.5);
    CHECK(json_number_value(json_object_get(metrics, "eval.deep.er")) == -1);
    double accuracy = 0;
    REQUIRE_OK(ce_metrics_take_accuracy(metrics, "eval.f1", &accuracy, &err), err);
    CHECK(accuracy == 0.5 && json_object_size(metrics) == 3);
}

static void a_report_that_says_nothing_is_refused(void)
{
    static const struct {
        const char *text, *says;
        int want;
    } cases[] = {
        {"done", "it is not valid JSON: ", -EBADMSG},
        {"", "it is not valid JSON: ", -EBADMSG},
        {"{\"accuracy\": NaN}", "it is not valid JSON: ", -EBADMSG},
        {"[1]", "it is no JSON object such as {\"accuracy\": 0.93}", -EBADMSG},
        {"{\"loss\": 1, \"f1\": 0.2}",
         "accuracy: among its metrics is no number 'accuracy'; they are: loss, f1", -ENOENT},
        {"{\"accuracy\": \"high\"}",
         "accuracy: among its metrics is no number 'accuracy'; they are: none", -ENOENT},
        {"{\"accuracy\": 93.5}",
         "accuracy: 'accuracy' is 93.5, and a share of what is right is at most 1", -ERANGE},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        ce_autojson json_t *metrics = NULL;
        struct ce_error err = {0};
        double accuracy;
        int r = ce_metrics_parse(cases[i].text, strlen(cases[i].text), "it", &metrics, &err);
        if (r == 0)
            r = ce_metrics_take_accuracy(metrics, "accuracy", &accuracy, &err);
        CHECK(r == cases[i].want);
        CHECK(strncmp(err.message, cases[i].says, strlen(cases[i].says)) == 0);
    }
}

static void the_last_line_is_the_last_that_says_something(void)
{
    static const struct {
        const char *text, *want;
    } cases[] = {{"a\nb", "b"}, {"a\nb\n\n  \n", "b"}, {"a", "a"}, {"", ""}, {"\n \n", ""}};
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        const char *line;
        size_t size;
        ce_metrics_last_line(cases[i].text, strlen(cases[i].text), &line, &size);
        CHECK(size == strlen(cases[i].want) && memcmp(line, cases[i].want, size) == 0);
    }
}

/* ---- the closed loop ---- */

struct job {
    struct ce_trials trials;
    _Atomic int running, most, runs;
    _Atomic bool hold; /* a trial goes on until it is given up, or this is taken back */
    _Atomic bool fail;
    char last[32]; /* name; read when nothing runs */
};

static int job_run(void *ctx, const char *name, int give_up, struct ce_trial_figures *figures,
                   struct ce_error *err)
{
    struct job *job = ctx;
    int now = ++job->running;
    if (now > job->most)
        job->most = now;
    job->runs++;
    snprintf(job->last, sizeof job->last, "%s", name);
    int r = 0;
    while (job->hold && r == 0) {
        uint64_t ignored;
        if (read(give_up, &ignored, sizeof ignored) > 0) {
            (void)!write(give_up, &ignored, sizeof ignored);
            r = -ECANCELED;
        }
        (void)sched_yield();
    }
    figures->took = 5 * CE_MILLISECOND;
    figures->accuracy = 0.9;
    if (r == 0 && job->fail)
        r = ce_fail(err, ECHILD, "the command ended with exit code 3");
    job->running--;
    return r;
}

#define JOB(name)                                                                                  \
    struct job name = {.trials = {.run = job_run}};                                                \
    struct ce_workload *workload = NULL;                                                           \
    struct ce_error err = {0};                                                                     \
    name.trials.ctx = &name;                                                                       \
    REQUIRE_OK(ce_workload_start_trials(&name.trials, &workload, &err), err)

static size_t take(struct ce_workload *workload, size_t count)
{
    struct ce_outcome outcome;
    size_t n = 0;
    while (n < count && ce_workload_next(workload, &outcome, ce_now() + patience))
        n++;
    return n;
}

static void trials_run_one_after_the_other(void)
{
    JOB(job);
    struct ce_outcome outcome;
    CHECK(ce_workload_all_due(workload) && ce_workload_oldest_due(workload) == INT64_MAX);
    int64_t begun = ce_now();
    ce_workload_begin(workload, CE_PHASE_BASELINE, 3, 0);
    CHECK(!ce_workload_all_due(workload) && ce_workload_oldest_due(workload) < INT64_MAX);
    int64_t last = 0;
    for (uint64_t n = 0; n < 3; n++) {
        REQUIRE(ce_workload_next(workload, &outcome, ce_now() + patience));
        CHECK(outcome.phase == CE_PHASE_BASELINE && outcome.number == n && outcome.ok);
        CHECK(outcome.latency_ns == 5 * CE_MILLISECOND && outcome.accuracy == 0.9);
        CHECK(last == 0 || outcome.due >= last + CE_TRIAL_SPACING);
        last = outcome.due;
    }
    CHECK(ce_now() >= begun + 2 * CE_TRIAL_SPACING);
    CHECK(ce_workload_all_due(workload));
    CHECK(EVENTUALLY(ce_workload_oldest_due(workload) == INT64_MAX));
    CHECK(job.most == 1 && job.runs == 3);
    CHECK_TEXT(job.last, "b-2");
    ce_workload_stop(workload);
}

static void a_phase_goes_on_for_its_duration(void)
{
    JOB(job);
    int64_t duration = 5 * CE_TRIAL_SPACING / 2, begun = ce_now();
    ce_workload_begin(workload, CE_PHASE_FAULT, 1, duration);
    REQUIRE(take(workload, 2) == 2); /* the second is beyond the count */
    CHECK(EVENTUALLY(ce_workload_all_due(workload)));
    CHECK(ce_now() >= begun + duration);
    CHECK(EVENTUALLY(ce_workload_oldest_due(workload) == INT64_MAX));
    CHECK(job.runs <= 3);
    ce_workload_stop(workload);
}

static void a_phase_that_runs_can_be_given_more(void)
{
    JOB(job);
    ce_workload_begin(workload, CE_PHASE_RECOVERY, 1, 0);
    REQUIRE(take(workload, 1) == 1);
    ce_workload_begin(workload, CE_PHASE_RECOVERY, 2, 0);
    REQUIRE(take(workload, 1) == 1);
    CHECK(EVENTUALLY(ce_workload_in_flight(workload) == 0));
    CHECK_TEXT(job.last, "v-1");
    CHECK(ce_workload_due(workload) == 2);
    ce_workload_stop(workload);
}

static void a_trial_that_is_given_up_is_never_heard_of(void)
{
    JOB(job);
    struct ce_outcome outcome;
    job.hold = true;
    ce_workload_begin(workload, CE_PHASE_FAULT, 5, 0);
    REQUIRE(EVENTUALLY(ce_workload_in_flight(workload) == 1));
    ce_workload_give_up(workload);
    CHECK(ce_workload_in_flight(workload) == 0 && job.running == 0);
    CHECK(ce_workload_next(workload, &outcome, 0) == 0);
    job.hold = false; /* and the next phase is none the worse */
    ce_workload_begin(workload, CE_PHASE_RECOVERY, 1, 0);
    CHECK(take(workload, 1) == 1);
    job.hold = true;
    ce_workload_begin(workload, CE_PHASE_RECOVERY, 2, 0);
    REQUIRE(EVENTUALLY(ce_workload_in_flight(workload) == 1));
    ce_workload_stop(workload); /* so does the end */
    CHECK(job.running == 0);
}

static void the_last_failure_is_kept(void)
{
    JOB(job);
    struct ce_error failure;
    struct ce_outcome outcome;
    ce_workload_last_failure(workload, &failure);
    CHECK_TEXT(failure.message, "");
    job.fail = true;
    ce_workload_begin(workload, CE_PHASE_FAULT, 2, 0);
    REQUIRE(ce_workload_next(workload, &outcome, ce_now() + patience));
    CHECK(!outcome.ok && outcome.error == ECHILD);
    REQUIRE(take(workload, 1) == 1);
    CHECK(EVENTUALLY((ce_workload_last_failure(workload, &failure), failure.code != 0)));
    CHECK_TEXT(failure.message, "the command ended with exit code 3");
    ce_workload_stop(workload);
}

static void a_failed_trial_ends_the_baseline(void)
{
    JOB(job);
    job.fail = true;
    ce_workload_begin(workload, CE_PHASE_BASELINE, 1000, 0);
    REQUIRE(take(workload, 1) == 1);
    CHECK(ce_workload_all_due(workload) && ce_workload_oldest_due(workload) == INT64_MAX);
    ce_workload_stop(workload);
    CHECK(job.runs == 1);
}

/* ---- what trials mean ---- */

static void feed(struct ce_measure *measure, enum ce_phase phase, int64_t due, int64_t took,
                 double accuracy, double loss)
{
    struct ce_outcome outcome = {
        .phase = phase, .due = due, .latency_ns = took, .ok = !isnan(accuracy)};
    outcome.accuracy = accuracy;
    outcome.metrics = outcome.ok ? json_pack("{s:f}", "loss", loss) : NULL;
    ce_measure_add(measure, &outcome);
}

static struct ce_measure *measured(void)
{
    char reason[256];
    struct ce_measure *m = ce_measure_new_trials();
    if (!m)
        abort();
    feed(m, CE_PHASE_BASELINE, 0, 2 * CE_SECOND, 0.88, 1);
    feed(m, CE_PHASE_BASELINE, 2, 3 * CE_SECOND, 0.92, 2);
    CHECK(ce_measure_baseline(m, reason, sizeof reason));
    ce_measure_injected(m, 10 * CE_SECOND);
    feed(m, CE_PHASE_FAULT, 10 * CE_SECOND, CE_SECOND, 0.5, 4);
    feed(m, CE_PHASE_FAULT, 12 * CE_SECOND, 4 * CE_SECOND, NAN, 0);
    feed(m, CE_PHASE_FAULT, 16 * CE_SECOND, CE_MILLISECOND, NAN, 0);
    feed(m, CE_PHASE_FAULT, 17 * CE_SECOND, CE_SECOND, 0.7, 6);
    ce_measure_rolling_back(m, 20 * CE_SECOND);
    return m;
}

static void trials_are_compared_by_their_means(void)
{
    struct ce_measure *m = measured();
    struct ce_record record = {0};
    ce_measure_record(m, NAN, &record);
    ce_score(&record);
    CHECK(fabs(record.baseline_accuracy - 0.9) < 1e-9 && fabs(record.fault_accuracy - 0.6) < 1e-9);
    CHECK(fabs(record.accuracy_degradation - 0.3) < 1e-9);
    CHECK(record.error_count == 2);
    /* What failed, and at least as long as it takes until the next one. */
    CHECK(fabs(record.pipeline_downtime - 4.1) < 1e-9);
    CHECK(fabs(record.lost_downtime - 16.4) < 1e-9 && fabs(record.lost_accuracy - 9) < 1e-9);
    const json_t *loss = json_object_get(record.custom_metrics, "loss");
    CHECK(json_number_value(json_object_get(loss, "baseline")) == 1.5);
    CHECK(json_number_value(json_object_get(loss, "fault")) == 5);
    CHECK(json_is_null(json_object_get(loss, "recovery")));
    ce_measure_free(m);
    json_decref(record.custom_metrics);
}

static void a_good_trial_is_as_good_as_the_baseline(void)
{
    static const struct {
        int64_t took;
        double accuracy;
        bool good;
    } cases[] = {
        {6 * CE_SECOND, 0.9, true}, {6 * CE_SECOND + 1, 0.9, false}, {CE_SECOND, 0.881, true},
        {CE_SECOND, 0.879, false},  {CE_SECOND, 0.99, true},         {CE_SECOND, NAN, false},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        struct ce_measure *m = measured();
        feed(m, CE_PHASE_RECOVERY, 20 * CE_SECOND, CE_SECOND, NAN, 0);
        feed(m, CE_PHASE_RECOVERY, 21 * CE_SECOND, cases[i].took, cases[i].accuracy, 0);
        double recovery = ce_measure_recovery(m, 0);
        CHECK(cases[i].good ? recovery == 1 : isnan(recovery));
        feed(m, CE_PHASE_RECOVERY, 30 * CE_SECOND, CE_SECOND, 0.9, 0);
        CHECK(ce_measure_recovery(m, 0) == (cases[i].good ? 1 : 10));
        ce_measure_free(m);
    }
}

static void one_failed_trial_is_no_baseline(void)
{
    char reason[256];
    struct ce_measure *m = ce_measure_new_trials();
    REQUIRE(m);
    CHECK(!ce_measure_baseline(m, reason, sizeof reason));
    CHECK_TEXT(reason, "no trial ended during the baseline");
    feed(m, CE_PHASE_BASELINE, 0, CE_SECOND, 0.9, 0);
    feed(m, CE_PHASE_BASELINE, 2, CE_SECOND, NAN, 0);
    CHECK(!ce_measure_baseline(m, reason, sizeof reason));
    ce_measure_free(m);
}

/* ---- processes ---- */

static const struct ce_undo_op *const ops[] = {&ce_undo_end_started, NULL};

struct place {
    char folder[64];
    char *state, *log, *errors;
    struct ce_journal *journal;
    struct ce_names command, env;
    struct ce_started_command how;
    struct ce_started *started;
};

static void place_done(struct place *place)
{
    ce_started_free(place->started);
    ce_journal_close(place->journal);
    free(place->state);
    free(place->log);
    free(place->errors);
    (void)ce_tree_remove(place->folder, NULL);
}

static int place_open(struct place *place, char **line, enum ce_isolation isolation, bool private,
                      struct ce_error *err)
{
    *place = (struct place){.folder = "/tmp/ce-command-XXXXXX"};
    if (!mkdtemp(place->folder))
        return -errno;
    place->state = ce_format("%s/state", place->folder);
    place->log = ce_format("%s/out", place->folder);
    place->errors = ce_format("%s/err", place->folder);
    place->command = (struct ce_names){line, 1};
    place->how = (struct ce_started_command){.command = &place->command,
                                             .env = &place->env,
                                             .workdir = place->folder,
                                             .log = place->log,
                                             .errors = place->errors,
                                             .isolation = isolation,
                                             .private_network = private};
    CE_TRY(ce_journal_create(place->state, "test", ops, &place->journal, err));
    return ce_started_new(&place->how, place->journal, &place->started, err);
}

#define PLACE(name, text, isolation, private)                                                      \
    CE_CLEANUP(place_done) struct place name = {{0}};                                              \
    struct ce_error err = {0};                                                                     \
    char line_[] = text, *line = line_;                                                            \
    REQUIRE_OK(place_open(&name, &line, isolation, private, &err), err)

/* The text that comes at the end of a run. */
static int await(int end, char text[CE_CHANNEL_TEXT])
{
    struct ce_channel_message message;
    int r = ce_channel_receive(end, ce_now() + patience, &message);
    if (r > 0)
        snprintf(text, CE_CHANNEL_TEXT, "%s", message.text);
    return r;
}

static bool is_gone(pid_t pid)
{
    struct ce_process_id id;
    return ce_process_identify(pid, &id) < 0 || !ce_process_alive(&id);
}

static void every_run_has_empty_files_of_its_own(void)
{
    PLACE(place, "echo out; echo err >&2; test -e again && exit 3; touch again", CE_ISOLATION_NONE,
          false);
    char text[CE_CHANNEL_TEXT] = "", words[CE_LAST_WORDS];
    for (int i = 0; i < 2; i++) {
        ce_autofd int end = -1;
        ce_autofree char *out = NULL;
        size_t size;
        REQUIRE_OK(ce_started_run(place.started, false, &end, &err), err);
        REQUIRE(await(end, text) == 1);
        CHECK_TEXT(text, i == 0 ? "ended 0" : "ended 768");
        REQUIRE_OK(ce_file_read(place.log, 100, &out, &size, &err), err);
        CHECK_TEXT(out, "out\n");
        ce_started_last_words(place.started, words);
        CHECK_TEXT(words, "err");
    }
}

static void a_run_that_is_killed_takes_all_of_it_along(void)
{
    PLACE(place, "setsid sleep 1000 & echo $! > pid; sleep 1000", CE_ISOLATION_NONE, false);
    char text[CE_CHANNEL_TEXT] = "";
    ce_autofree char *path = ce_format("%s/pid", place.folder);
    ce_autofd int end = -1;
    ce_autofree char *pid = NULL;
    size_t size;
    REQUIRE_OK(ce_started_run(place.started, false, &end, &err), err);
    REQUIRE(EVENTUALLY((free(ce_take(pid)), ce_file_read(path, 100, &pid, &size, NULL)) == 0 &&
                       size > 1));
    ce_started_kill(place.started);
    REQUIRE(await(end, text) == 1);
    CHECK_TEXT(text, "ended 9");
    CHECK(is_gone(atoi(pid)));
}

static void a_run_that_is_killed_at_its_start_does_nothing(void)
{
    PLACE(place, "touch here", CE_ISOLATION_NONE, false);
    char text[CE_CHANNEL_TEXT] = "";
    ce_autofree char *path = ce_format("%s/here", place.folder);
    for (int i = 0; i < 20; i++) {
        ce_autofd int end = -1;
        REQUIRE_OK(ce_started_run(place.started, true, &end, &err), err);
        REQUIRE(await(end, text) == 1);
        CHECK_TEXT(text, "ended 9");
        REQUIRE(access(path, F_OK) < 0);
    }
}

static void a_run_begins_after_the_last_one_was_killed(void)
{
    PLACE(place, "sleep 1000", CE_ISOLATION_NONE, false);
    char text[CE_CHANNEL_TEXT] = "";
    ce_autofd int first = -1;
    ce_autofd int second = -1;
    REQUIRE_OK(ce_started_run(place.started, false, &first, &err), err);
    REQUIRE_OK(ce_started_run(place.started, false, &second, &err), err);
    REQUIRE(await(first, text) == 1);
    CHECK_TEXT(text, "ended 9");
    REQUIRE_OK(ce_started_alive(place.started, &err), err); /* the second */
}

static void a_launcher_that_was_killed_is_made_anew(void)
{
    PLACE(place, "sleep 1000", CE_ISOLATION_AUTO, false);
    char text[CE_CHANNEL_TEXT] = "";
    struct ce_process_id launcher = ce_started_launcher(place.started);
    ce_autofd int first = -1;
    ce_autofd int second = -1;
    REQUIRE_OK(ce_started_run(place.started, false, &first, &err), err);
    REQUIRE(EVENTUALLY(ce_started_alive(place.started, NULL) == 0));
    REQUIRE(kill(launcher.pid, SIGKILL) == 0);
    CHECK(await(first, text) == 0); /* without a word */
    CHECK(EVENTUALLY(ce_started_run(place.started, false, &second, &err) == -ECHILD));
    CHECK_TEXT(err.message, "the command's keeper is gone");
    REQUIRE_OK(ce_started_revive(place.started, &err), err);
    CHECK(ce_started_launcher(place.started).pid != launcher.pid);
    CHECK(ce_undo_live(place.journal) == 1);
    REQUIRE_OK(ce_started_run(place.started, false, &second, &err), err);
    CHECK(EVENTUALLY(ce_started_alive(place.started, NULL) == 0));
}

/* In namespaces the command sees itself among few; what it mounts and whom it is are its own. */
static void check_lodging(bool private)
{
    PLACE(place, "echo $(id -u) $(ls /proc | grep -c '^[0-9]') $(ls /sys/class/net | wc -l)",
          CE_ISOLATION_AUTO, private);
    if (strncmp(ce_started_isolation(place.started), "none", 4) == 0)
        SKIP(ce_started_isolation(place.started));
    struct ce_process_id launcher = ce_started_launcher(place.started);
    struct ce_place here, there;
    REQUIRE_OK(ce_place_here(&here, &err), err);
    REQUIRE_OK(ce_place_of_process(&launcher, &there, &err), err);
    CHECK(here.mounts != there.mounts);
    CHECK((here.network == there.network) == !private);
    char text[CE_CHANNEL_TEXT] = "";
    ce_autofd int end = -1;
    ce_autofree char *out = NULL;
    size_t size;
    int uid = -1, processes = -1;
    REQUIRE_OK(ce_started_run(place.started, false, &end, &err), err);
    REQUIRE(await(end, text) == 1);
    REQUIRE_OK(ce_file_read(place.log, 100, &out, &size, &err), err);
    REQUIRE(sscanf(out, "%d %d", &uid, &processes) == 2);
    CHECK(uid == (int)geteuid());
    CHECK(processes < 10 || strstr(ce_started_isolation(place.started), "pid") == NULL);
}

static void a_command_in_namespaces_is_who_it_was(void)
{
    check_lodging(false);
}

static void a_private_network_has_nobody_in_it(void)
{
    check_lodging(true);
}

/* The launcher takes its pid namespace along, however it ends. */
static void nobody_outlives_a_killed_keeper(void)
{
    PLACE(place, "setsid sleep 1000 & setsid sleep 1000 & sleep 1000", CE_ISOLATION_AUTO, false);
    if (!strstr(ce_started_isolation(place.started), "pid"))
        SKIP(ce_started_isolation(place.started));
    ce_autofd int end = -1;
    REQUIRE_OK(ce_started_run(place.started, false, &end, &err), err);
    REQUIRE(EVENTUALLY(ce_started_alive(place.started, NULL) == 0));
    struct ce_process_id command;
    REQUIRE_OK(ce_started_process(place.started, &command, &err), err);
    REQUIRE_OK(ce_undo_all(place.journal, NULL, &err), err);
    CHECK(is_gone(command.pid) && is_gone(ce_started_launcher(place.started).pid));
}

int main(void)
{
    TEST(every_number_of_a_report_counts);
    TEST(a_report_that_says_nothing_is_refused);
    TEST(the_last_line_is_the_last_that_says_something);
    TEST(trials_run_one_after_the_other);
    TEST(a_phase_goes_on_for_its_duration);
    TEST(a_phase_that_runs_can_be_given_more);
    TEST(a_trial_that_is_given_up_is_never_heard_of);
    TEST(the_last_failure_is_kept);
    TEST(a_failed_trial_ends_the_baseline);
    TEST(trials_are_compared_by_their_means);
    TEST(a_good_trial_is_as_good_as_the_baseline);
    TEST(one_failed_trial_is_no_baseline);
    TEST(every_run_has_empty_files_of_its_own);
    TEST(a_run_that_is_killed_takes_all_of_it_along);
    TEST(a_run_that_is_killed_at_its_start_does_nothing);
    TEST(a_run_begins_after_the_last_one_was_killed);
    TEST(a_launcher_that_was_killed_is_made_anew);
    TEST(a_command_in_namespaces_is_who_it_was);
    TEST(a_private_network_has_nobody_in_it);
    TEST(nobody_outlives_a_killed_keeper);
    return test_done();
}
