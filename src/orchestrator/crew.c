/* SPDX-License-Identifier: MIT */
#include "orchestrator/crew.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/spawn.h"
#include "faults/hits.h"

enum { REPORTS_AS = 3, LINE_MAX_SIZE = 16 << 20 };
#define END_TIMEOUT (10 * CE_SECOND)

struct ce_member {
    struct ce_process_id process;
    int fd; /* where it reports */
    char *text;
    size_t size, capacity, taken; /* of `text`; `taken`: told already */
    struct ce_record record;
    bool has_record, hits_lost, ended;
    char phase[32], id[64];
    json_t *sample;
    /* for the member itself: */
    struct ce_run_options options;
    const char *hits;
};

/* ---- the member's side ---- */

struct teller {
    enum ce_state state;
    double fraction, intensity;
    bool guarded;
};

static int tell(json_t *line)
{
    ce_autojson json_t *owned = line;
    ce_autofree char *text =
        line ? json_dumps(line, JSON_COMPACT | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(17)) : NULL;
    if (!text)
        return -ENOMEM;
    size_t size = strlen(text);
    text[size] = '\n'; /* in the place of the NUL */
    return ce_write_all(REPORTS_AS, text, size + 1);
}

/* A percent is worth a line, each turn of a loop is not. */
static void tell_event(void *ctx, const struct ce_event *event)
{
    struct teller *teller = ctx;
    bool news = event->state != teller->state || fabs(event->fraction - teller->fraction) >= 0.01 ||
                event->intensity != teller->intensity || event->guarded != teller->guarded ||
                event->sample;
    if (event->state == CE_STATE_ENDED || !news)
        return;
    teller->state = event->state;
    teller->fraction = event->fraction;
    teller->intensity = event->intensity;
    teller->guarded = event->guarded;
    (void)tell(json_pack("{s:s, s:s, s:f, s:f, s:b, s:o*}", "phase", ce_state_name(event->state),
                         "id", event->record->id, "fraction", event->fraction, "intensity",
                         event->intensity, "guarded", event->guarded, "sample",
                         event->sample ? ce_sample_json(event->sample) : NULL));
}

static int work(void *ctx)
{
    struct ce_member *member = ctx;
    struct ce_run_options options = member->options;
    struct teller teller = {.state = CE_STATE_PLANNED};
    struct ce_record record;
    struct ce_error err = {0};
    options.on_event = tell_event;
    options.on_event_ctx = &teller;
    if (member->hits && ce_hits_new(member->hits, &options.hits, &err) < 0)
        return 1;
    if (ce_run(&options, &record, &err) < 0)
        return 1;
    bool lost = options.hits && ce_hits_problem(options.hits, NULL) < 0;
    int r = tell(json_pack("{s:o, s:b}", "record", ce_record_json(&record), "hits_lost", lost));
    ce_record_done(&record);
    ce_hits_free(options.hits);
    return r < 0 ? 1 : 0;
}

/* ---- the other side ---- */

static int start(struct ce_member *member, int reports, struct ce_error *err)
{
    int gate = -1;
    struct ce_spawn how = {
        .function = work,
        .ctx = member,
        .fds = {{reports, REPORTS_AS}, {STDERR_FILENO, STDERR_FILENO}},
        .fd_count = 2,
        .parent_death_signal = SIGKILL,
    };
    CE_TRY(ce_spawn(&how, &member->process, &gate, err));
    return ce_spawn_go(gate, err);
}

int ce_member_start(const struct ce_run_options *options, const char *hits,
                    struct ce_member **ret_member, struct ce_error *err)
{
    int ends[2];
    struct ce_member *member = calloc(1, sizeof *member);
    if (!member)
        return ce_fail_memory(err);
    member->options = *options;
    member->hits = hits;
    member->fd = -1;
    if (pipe2(ends, O_CLOEXEC) < 0) {
        free(member);
        return ce_fail(err, errno, "cannot make a pipe: %s", strerror(errno));
    }
    member->fd = ends[0];
    (void)fcntl(member->fd, F_SETFL, O_NONBLOCK);
    int r = start(member, ends[1], err);
    (void)close(ends[1]);
    if (r < 0)
        ce_member_free(member);
    else
        *ret_member = member;
    return r;
}

void ce_member_free(struct ce_member *member)
{
    if (!member)
        return;
    if (!member->ended && member->process.pid > 0)
        (void)ce_process_end(&member->process, END_TIMEOUT, NULL);
    if (member->has_record)
        ce_record_done(&member->record);
    (void)close(member->fd);
    json_decref(member->sample);
    free(member->text);
    free(member);
}

int ce_member_fd(const struct ce_member *member)
{
    return member->fd;
}

/* Reads what has come: 1, 0 at its end, -EAGAIN when there is nothing now. */
static int take_in(struct ce_member *member)
{
    if (member->size + 4096 > member->capacity) {
        size_t capacity = 2 * member->capacity + 8192;
        char *text = capacity <= LINE_MAX_SIZE ? realloc(member->text, capacity) : NULL;
        if (!text)
            return -ENOMEM;
        member->text = text;
        member->capacity = capacity;
    }
    ssize_t n = read(member->fd, member->text + member->size, member->capacity - member->size);
    if (n > 0)
        member->size += (size_t)n;
    return n < 0 ? -errno : n > 0;
}

/* The next whole line, or NULL; it is taken. */
static char *next_line(struct ce_member *member)
{
    char *from = member->text ? member->text + member->taken : NULL;
    char *end = from ? memchr(from, '\n', member->size - member->taken) : NULL;
    if (!end)
        return NULL;
    *end = '\0';
    member->taken = (size_t)(end + 1 - member->text);
    return from;
}

static void make_room(struct ce_member *member)
{
    if (member->taken == 0)
        return;
    member->size -= member->taken;
    memmove(member->text, member->text + member->taken, member->size);
    member->taken = 0;
}

static int understand(struct ce_member *member, const char *line,
                      struct ce_member_report *ret_report, struct ce_error *err)
{
    ce_autojson json_t *said = ce_json_parse(line, strlen(line), "a run's report", err);
    if (!said)
        return err && err->code ? -err->code : -EPROTO;
    const json_t *record = json_object_get(said, "record");
    if (record) {
        CE_TRY(ce_record_read(record, &member->record, err));
        member->has_record = true;
        member->hits_lost = json_is_true(json_object_get(said, "hits_lost"));
        return 0;
    }
    const char *phase = json_string_value(json_object_get(said, "phase"));
    const char *id = json_string_value(json_object_get(said, "id"));
    snprintf(member->phase, sizeof member->phase, "%s", phase ? phase : "");
    snprintf(member->id, sizeof member->id, "%s", id ? id : "");
    json_decref(member->sample);
    member->sample = json_incref(json_object_get(said, "sample"));
    ret_report->phase = member->phase;
    ret_report->id = member->id;
    ret_report->sample = member->sample;
    ret_report->fraction = json_number_value(json_object_get(said, "fraction"));
    ret_report->intensity = json_number_value(json_object_get(said, "intensity"));
    ret_report->guarded = json_is_true(json_object_get(said, "guarded"));
    return 1;
}

/* Nothing more will come from it. What it did and did not undo, its guard undoes. */
static int conclude(struct ce_member *member, struct ce_member_report *report)
{
    int status = -1;
    if (ce_process_reap(&member->process, END_TIMEOUT, &status) < 0)
        (void)ce_process_end(&member->process, END_TIMEOUT, NULL);
    member->ended = report->ended = true;
    report->has_record = member->has_record;
    report->hits_lost = member->hits_lost;
    if (member->has_record) {
        report->record = member->record;
        member->has_record = false;
    } else if (status >= 0 && WIFSIGNALED(status)) {
        snprintf(report->cause, sizeof report->cause,
                 "the process that ran it was ended by signal %d", WTERMSIG(status));
    } else {
        snprintf(report->cause, sizeof report->cause,
                 "the process that ran it ended without a word");
    }
    return 1;
}

int ce_member_next(struct ce_member *member, struct ce_member_report *ret_report,
                   struct ce_error *err)
{
    *ret_report = (struct ce_member_report){0};
    while (!member->ended) {
        char *line;
        while ((line = next_line(member))) {
            int r = understand(member, line, ret_report, err);
            if (r != 0)
                return r;
        }
        make_room(member);
        int r = take_in(member);
        if (r == 0)
            return conclude(member, ret_report);
        if (r == -EAGAIN || r == -EINTR)
            return 0;
        if (r < 0)
            return ce_fail(err, -r, "cannot read what a run reports: %s", strerror(-r));
    }
    return 0;
}
