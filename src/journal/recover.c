/* SPDX-License-Identifier: MIT */
/* What runs have left behind: undoing it, and saying what it is. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "journal/journal_internal.h"

/* How long a guard, or another recover, may be at work on a dead controller's journal. */
static const int64_t others_within = 10 * CE_SECOND;

CE_DEFINE_CLEANUP(struct ce_journal, ce_journal_free);

static void autofolder(DIR **folder)
{
    if (*folder)
        (void)closedir(*folder);
}

int ce_journal_each(const char *state_dir, const struct ce_undo_op *const *ops, ce_journal_fn *each,
                    void *ctx, struct ce_error *err)
{
    ce_autofree char *path = ce_format("%s/journal", state_dir);
    if (!path)
        return ce_fail_memory(err);
    CE_CLEANUP(autofolder) DIR *folder = opendir(path);
    if (!folder && errno == ENOENT)
        return 0;
    if (!folder)
        return ce_fail(err, errno, "cannot open folder '%s': %s", path, strerror(errno));
    int result = 0;
    for (const struct dirent *entry; (entry = readdir(folder));) {
        const char *suffix = strrchr(entry->d_name, '.');
        if (!suffix || strcmp(suffix, ".cej") != 0)
            continue;
        ce_autofree char *file = ce_format("%s/%s", path, entry->d_name);
        CE_CLEANUP(ce_journal_free_p) struct ce_journal *journal = NULL;
        struct ce_error why = {0};
        int r = file ? ce_journal_open(file, ops, &journal, &why) : ce_fail_memory(&why);
        if (r == -ENOENT)
            continue; /* its owner was quicker */
        if (r == 0)
            r = each(journal, ctx, &why);
        if (r < 0 && result == 0) {
            result = r;
            if (err)
                *err = why;
        }
    }
    return result;
}

static bool owner_runs(const struct ce_journal *journal)
{
    return !ce_boot_is_another(journal->replay.boot) && ce_process_alive(&journal->replay.owner);
}

/* Takes OWNER unless the controller lives (1). Another process that has it is another recover,
 * which will not take long. */
static int take_owner(struct ce_journal *journal, struct ce_error *err)
{
    int64_t until = ce_now() + others_within;
    for (;;) {
        int r = ce_journal_lock(journal, CE_LOCK_OWNER, 0);
        if (r != -EAGAIN)
            return r;
        /* Read again: a controller that has only just started has not written who it is. */
        CE_TRY(ce_journal_refresh(journal, err));
        if (owner_runs(journal) || ce_now() >= until)
            return 1;
        ce_sleep_until(ce_now() + CE_MILLISECOND);
    }
}

/* 0: it is ours to undo. 1: it is in good hands. Or -errno. */
static int take_over(struct ce_journal *journal, struct ce_error *err)
{
    if ((fcntl(journal->fd, F_GETFL) & O_ACCMODE) == O_RDONLY)
        return ce_fail(err, EACCES, "journal '%s' cannot be undone: this user may not write it",
                       journal->path);
    int r = take_owner(journal, err);
    if (r == 1)
        return 1;
    if (r == 0)
        r = ce_journal_lock(journal, CE_LOCK_GUARD, others_within);
    if (r == 0)
        r = ce_journal_lock(journal, CE_LOCK_WRITE, others_within);
    if (r == -EAGAIN)
        return ce_fail(err, EBUSY, "journal '%s' is still being undone by its guard",
                       journal->path);
    if (r < 0)
        return ce_fail(err, -r, "cannot lock journal '%s': %s", journal->path, strerror(-r));
    return ce_journal_gone(journal) ? 1 : 0;
}

/* Nothing more can be learnt from a damaged journal, so it steps aside: later runs are not refused
 * because of it. */
static int set_aside(struct ce_journal *journal, struct ce_error *err)
{
    ce_autofree char *aside = ce_format("%s.damaged", journal->path);
    if (!aside)
        return ce_fail_memory(err);
    if (rename(journal->path, aside) < 0)
        return ce_fail(err, errno, "cannot rename journal '%s': %s", journal->path,
                       strerror(errno));
    return ce_fail(err, EBADMSG,
                   "journal '%s' was damaged: what could be read of it has been undone, the rest "
                   "is unknown; kept as "
                   "'%s'",
                   journal->path, aside);
}

static int recover_one(struct ce_journal *journal, void *ctx, struct ce_error *err)
{
    struct ce_recovery *counts = ctx;
    int r = take_over(journal, err);
    if (r != 0)
        return r < 0 ? r : 0;
    CE_TRY(ce_journal_refresh(journal, err));
    CE_TRY(ce_journal_undo_live(journal, true, counts, err));
    if (journal->replay.damaged) {
        counts->failed++;
        return set_aside(journal, err);
    }
    ce_journal_remove(journal);
    return 0;
}

int ce_journal_recover(const char *state_dir, const struct ce_undo_op *const *ops,
                       struct ce_recovery *ret, struct ce_error *err)
{
    struct ce_recovery counts = {0};
    int r = ce_journal_each(state_dir, ops, recover_one, &counts, err);
    if (ret)
        *ret = counts;
    return r;
}

static int list_one(struct ce_journal *journal, void *ctx, struct ce_error *err)
{
    const struct ce_replay *replay = &journal->replay;
    bool alive = ce_journal_locked(journal, CE_LOCK_OWNER);
    for (size_t i = 0; i < replay->count; i++) {
        const struct ce_note *note = &replay->notes[i];
        if (note->state != CE_NOTE_LIVE)
            continue;
        json_t *item =
            json_pack("{s:s?, s:s, s:O, s:s, s:b}", "run", replay->run, "op", note->op, "args",
                      note->args, "noted_at", note->noted_at, "owner_alive", alive);
        if (!item || json_array_append_new(ctx, item) < 0)
            return ce_fail_memory(err);
    }
    return 0;
}

int ce_journal_list(const char *state_dir, json_t *list, struct ce_error *err)
{
    return ce_journal_each(state_dir, NULL, list_one, list, err);
}
