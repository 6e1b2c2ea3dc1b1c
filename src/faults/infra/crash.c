/* SPDX-License-Identifier: MIT */
#include "faults/infra/crash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/seam.h"
#include "faults/infra/inside.h"
#include "host/cgroup.h"
#include "host/process.h"
#include "host/restart.h"

static const int64_t back_within = 15 * CE_SECOND, gone_within = 2 * CE_SECOND;
enum { ROUNDS_MAX = 100 };

struct ce_crash {
    const struct ce_injection *injection;
    const char *service; /* of the parameters */
    enum who { CHAOSEATER, OWNER, COMMAND, NOBODY } who;
    const struct ce_process_list *victims;
    json_t *program; /* of explicit targets */
    char unit[96];   /* of an owner that is systemd */
    int note;        /* of COMMAND */
    bool is_over;
};

static bool is_word(const char *restart, const char *word)
{
    return restart && strcmp(restart, word) == 0;
}

int ce_crash_check(const struct ce_target *target, const char *restart, struct ce_error *err)
{
    if (target->is_explicit)
        return 0;
    if (restart)
        return ce_fail(err, EINVAL,
                       "restart: '%s' is for what `target:` names; %s is started again by "
                       "ChaosEater",
                       restart, target->name);
    if (!target->ensure_serving)
        return ce_fail(err, ENOTSUP,
                       "%s cannot be crashed: ChaosEater did not start it and could not restart it",
                       target->name);
    return 0;
}

/* Who will bring them back; -EPERM: nobody is known to. */
static int find_who(struct ce_crash *crash, const char *restart, const struct ce_subject *subject,
                    struct ce_error *err)
{
    const struct ce_process_id *first = &crash->victims->items[0];
    if (!crash->injection->target->is_explicit) {
        crash->who = CHAOSEATER;
        return 0;
    }
    if (is_word(restart, "none"))
        crash->who = NOBODY;
    else if (restart && !is_word(restart, "owner"))
        crash->who = COMMAND;
    else if (restart || ce_systemd_restarts(first, CE_SYSTEMCTL, crash->unit, sizeof crash->unit))
        crash->who = OWNER;
    else
        return ce_fail(err, EPERM,
                       "%s would stay dead: systemd does not start it again; say who does with "
                       "restart (owner: a supervisor of its own; a command line; none: it is meant "
                       "to stay dead)",
                       subject->name);
    return crash->who == NOBODY ? 0 : ce_program_of(first, &crash->program, err);
}

/* ---- killing ---- */

/* In one go, by the kernel. -ENOENT: that is not a group that can be killed. */
static int kill_group(const struct ce_subject *subject, const struct ce_process_list *victims,
                      struct ce_error *err)
{
    if (!(subject->has & CE_SUBJECT_GROUP))
        return -ENOENT;
    if (ce_seam_no_effect())
        return 0;
    int r = ce_cgroup_write(subject->group, "cgroup.kill", "1");
    ce_seam_step("crash: group killed");
    if (r < 0)
        return -ENOENT; /* version 1, or an older kernel: one after the other, then */
    int64_t until = ce_now() + gone_within;
    for (size_t i = 0; i < victims->count; i++)
        while (ce_process_alive(&victims->items[i])) {
            if (ce_now() >= until)
                return ce_fail(err, ETIMEDOUT, "process %d is still there after it was killed",
                               (int)victims->items[i].pid);
            ce_sleep_until(ce_now() + CE_MILLISECOND / 4);
        }
    return 0;
}

/* Parents first, so that none sees its children die before. */
static int kill_each(struct ce_process_list *victims, struct ce_error *err)
{
    size_t killed = 0;
    for (int rounds = 0, added = 1; added > 0 && rounds < ROUNDS_MAX; rounds++) {
        /* Who is born meanwhile has to be found before its parent is gone. */
        added = ce_process_list_grow(victims, err);
        CE_TRY(added);
        for (; killed < victims->count; killed++) {
            const struct ce_process_id *id = &victims->items[killed];
            int r = ce_process_alive(id) ? ce_process_kill(id, err) : 0;
            if (r < 0 && r != -ESRCH)
                return r;
        }
    }
    return 0;
}

int ce_crash_begin(const struct ce_injection *injection, const char *service, const char *restart,
                   const struct ce_subject *subject, struct ce_process_list *victims,
                   struct ce_crash **ret_crash, struct ce_error *err)
{
    struct ce_crash *crash = calloc(1, sizeof *crash);
    if (!crash)
        return ce_fail_memory(err);
    crash->injection = injection;
    crash->service = service;
    crash->victims = victims;
    int r = find_who(crash, restart, subject, err);
    if (r == 0 && crash->who == COMMAND)
        r = crash->note = ce_undo_note_restart(injection->journal, crash->program, restart, err);
    if (r < 0) {
        ce_crash_free(crash);
        return r;
    }
    *ret_crash = crash;
    r = kill_group(subject, victims, err);
    return r == -ENOENT ? kill_each(victims, err) : r;
}

/* ---- looking ---- */

static bool find_back(const struct ce_crash *crash, struct ce_process_id *ret_id)
{
    const struct ce_target *target = crash->injection->target;
    struct ce_subject subject;
    if (crash->program)
        return ce_program_is_back(crash->program, ret_id);
    if (crash->who != CHAOSEATER || ce_inside_find(target, crash->service, &subject, NULL) < 0)
        return false;
    *ret_id = subject.process;
    return true;
}

static void describe_starter(const struct ce_process_id *id, char *text, size_t size)
{
    char path[40], name[32] = "";
    pid_t parent = ce_process_parent(id);
    snprintf(path, sizeof path, "/proc/%d", (int)parent);
    if (parent > 0 && ce_cgroup_read(path, "comm", name, sizeof name) == 0)
        snprintf(text, size, " by its parent, process %d (%s)", (int)parent, name);
    else
        text[0] = '\0';
}

int ce_crash_verify(const struct ce_crash *crash, struct ce_evidence *ret_evidence)
{
    static const char *const expected[] = {
        [CHAOSEATER] = "rollback starts it again",
        [OWNER] = "its owner is to start it again",
        [COMMAND] = "rollback runs `restart`",
        [NOBODY] = "it is meant to stay so",
    };
    char *text = ret_evidence->text;
    const size_t size = sizeof ret_evidence->text;
    struct ce_process_id now;
    char others[48] = "", starter[80] = "";
    for (size_t i = 0; i < crash->victims->count; i++)
        if (ce_process_alive(&crash->victims->items[i])) {
            snprintf(text, size, "process %d is still alive", (int)crash->victims->items[i].pid);
            return 0;
        }
    int pid = (int)crash->victims->items[0].pid;
    if (crash->victims->count > 1)
        snprintf(others, sizeof others, " and %zu more", crash->victims->count - 1);
    if (find_back(crash, &now)) {
        describe_starter(&now, starter, sizeof starter);
        snprintf(text, size,
                 "process %d%s is gone from /proc; process %d has been started in its place%s", pid,
                 others, (int)now.pid, starter);
    } else {
        snprintf(text, size, "process %d%s is gone from /proc and nothing serves; %s%s%s%s", pid,
                 others, expected[crash->who], crash->unit[0] ? " (systemd: " : "", crash->unit,
                 crash->unit[0] ? ")" : "");
    }
    return 1;
}

/* ---- bringing back ---- */

int ce_crash_undo(struct ce_crash *crash, struct ce_error *err)
{
    if (!crash || crash->is_over)
        return 0;
    const struct ce_target *target = crash->injection->target;
    struct ce_process_id id;
    bool killed = !ce_process_alive(&crash->victims->items[0]);
    int r = 0;
    if (crash->who == CHAOSEATER)
        r = target->ensure_serving(target->pipeline, err);
    else if (crash->who == COMMAND)
        r = ce_undo_now(crash->injection->journal, crash->note, err);
    else if (crash->who == OWNER && killed)
        r = ce_program_await(crash->program, back_within, &id, err);
    crash->is_over = r == 0;
    return r;
}

void ce_crash_free(struct ce_crash *crash)
{
    if (!crash)
        return;
    json_decref(crash->program);
    free(crash);
}
