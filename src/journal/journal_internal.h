/* SPDX-License-Identifier: MIT */
/* What journal.c, guard.c, recover.c and undo_files.c share. */
#ifndef CE_JOURNAL_INTERNAL_H
#define CE_JOURNAL_INTERNAL_H

#include "journal/journal.h"
#include "journal/replay.h"

/* Locks are byte ranges of the journal file (open file description locks), so that each can be held
 * by another process. The controller holds OWNER and the guard GUARD for life: free means dead.
 * WRITE is held around each record and around each undo, by whoever writes. */
enum ce_journal_lock {
    CE_LOCK_OWNER = 0,
    CE_LOCK_GUARD,
    CE_LOCK_WRITE,
};

/* Descriptors that a run keeps for its undo: a fault may bring about that there are none left. */
enum { CE_JOURNAL_RESERVE = 6 };

struct ce_journal {
    int fd;
    int reserve[CE_JOURNAL_RESERVE]; /* -1: not held */
    char *folder;                    /* STATE/journal, absolute */
    char *path;
    char *images; /* folder of before-images; made when the first is needed */
    const struct ce_undo_op *const *ops;
    struct ce_replay replay;
};

/* Opens an existing journal and reads it. No lock is taken. -ENOENT when it is gone; damage is no
 * failure here: see replay.damaged. */
int ce_journal_open(const char *path, const struct ce_undo_op *const *ops,
                    struct ce_journal **ret_journal, struct ce_error *err);
/* Frees it, and its locks. The file stays. NULL is fine. */
void ce_journal_free(struct ce_journal *journal);

/* ce_journal_create(), with more keys in the first record. */
int ce_journal_create_with(const char *state_dir, const char *run_id,
                           const struct ce_undo_op *const *ops, json_t *more,
                           struct ce_journal **ret_journal, struct ce_error *err);
/* Calls `each` for every journal of a state folder; goes on after a failure and returns the first.
 */
typedef int ce_journal_fn(struct ce_journal *journal, void *ctx, struct ce_error *err);
int ce_journal_each(const char *state_dir, const struct ce_undo_op *const *ops, ce_journal_fn *each,
                    void *ctx, struct ce_error *err);

/* Waits for the lock for at most `timeout` ns (0: does not wait; negative: for ever). 0, -EAGAIN,
 * or -errno. */
int ce_journal_lock(struct ce_journal *journal, enum ce_journal_lock lock, int64_t timeout);
void ce_journal_unlock(struct ce_journal *journal, enum ce_journal_lock lock);
/* Whether another holder has it. */
bool ce_journal_locked(const struct ce_journal *journal, enum ce_journal_lock lock);

/* The functions below need CE_LOCK_WRITE. */

/* Reads what others have appended. Damage is no failure. */
int ce_journal_refresh(struct ce_journal *journal, struct ce_error *err);
/* Forbids further notes: from now on the guard undoes. */
int ce_journal_bar(struct ce_journal *journal, struct ce_error *err);
/* ce_undo_all(), adding to *ret. Not `final`: nothing is recorded, so everything stays live and is
 * undone again later. */
int ce_journal_undo_live(struct ce_journal *journal, bool final, struct ce_recovery *ret,
                         struct ce_error *err);
/* Removes before-images and file. Only when nothing is live. */
void ce_journal_remove(struct ce_journal *journal);

/* Whether the file has been removed by another holder. */
bool ce_journal_gone(const struct ce_journal *journal);

/* ce_guard_start() with another patience than ten seconds. */
struct ce_guard;
int ce_guard_start_patient(struct ce_journal *journal, int64_t patience,
                           struct ce_guard **ret_guard, struct ce_error *err);

#endif
