/* SPDX-License-Identifier: MIT */
/* The write-ahead undo log: undo is written before the deed.
 *
 * One file per run, `STATE/journal/RUN.cej`. Before anything outside this process is touched, a
 * note says how it is put back (operation, arguments, identity of the thing) and is fsynced. A note
 * is live until a second record says that it was undone. Whoever comes next - the controller
 * itself, the guard, `chaoseater recover` - undoes live notes, newest first, under the journal's
 * lock. Undo is idempotent and never touches a thing whose identity changed.
 * docs/internals/journal.md has the format. */
#ifndef CE_JOURNAL_JOURNAL_H
#define CE_JOURNAL_JOURNAL_H

#include <jansson.h>

#include "base/error.h"

/* One way of putting something back. The mechanisms (src/host, src/data, ...) define these; the
 * NULL-terminated table of all of them is handed to the journal by whoever wires a run together. */
struct ce_undo_op {
    const char *name; /* as written in the journal: stable for ever */
    /* Puts it back and checks that it is back. Called in any process, possibly twice, possibly when
     * the deed never happened. Returns 0: back (or never gone); CE_UNDO_FOREIGN: it is another
     * thing by now and was not touched; -errno: it could not be put back. Must not need memory of
     * the process that wrote the note. */
    int (*undo)(const json_t *args, struct ce_error *err);
};
#define CE_UNDO_FOREIGN 1

struct ce_journal;

/* Starts the journal of a run and takes its lock. Makes the state folder when it is missing. */
int ce_journal_create(const char *state_dir, const char *run_id,
                      const struct ce_undo_op *const *ops, struct ce_journal **ret_journal,
                      struct ce_error *err);
/* Removes the file when nothing in it is live; else leaves it for recover. NULL is fine. */
void ce_journal_close(struct ce_journal *journal);

/* Notes, durably, how the next deed is undone. Returns the note's id (> 0), or a negative errno:
 * then the deed must not be done. -ECANCELED: the guard has undone the run at its deadline. Takes
 * ownership of `args` in every case. */
int ce_undo_note(struct ce_journal *journal, const char *op, json_t *args, struct ce_error *err);
/* Undoes one note now and records that. A note that is not live is fine: nothing is done. */
int ce_undo_now(struct ce_journal *journal, int note, struct ce_error *err);
/* Records that a note needs no undo any more because the caller put the thing back, and saw it. */
int ce_undo_settled(struct ce_journal *journal, int note, struct ce_error *err);
/* Undoes everything that is live, newest first; goes on after a failure. Returns 0 when nothing is
 * live any more, else the first error. `ret` (may be NULL) counts. */
int ce_undo_all(struct ce_journal *journal, struct ce_recovery *ret, struct ce_error *err);
/* A run keeps a few descriptors for its undo, as a fault may bring about that there are none left.
 * Undoing frees them by itself; these are for looking whether everything is back. Fewer are kept
 * when there are no more. */
void ce_journal_release_reserve(struct ce_journal *journal);
void ce_journal_take_reserve(struct ce_journal *journal);
size_t ce_undo_live(const struct ce_journal *journal);
/* The folder in which it lies, absolute. */
const char *ce_journal_folder(const struct ce_journal *journal);

/* Undoes the leftovers of every run under `state_dir` whose controller is gone, and counts (also
 * when it fails; it goes on after a failure and returns the first). A guard at work is waited for.
 * A missing folder has no leftovers. What of another boot needs no undo (processes) counts as
 * undone. -EBADMSG: a journal was damaged; what could be read is undone and the file set aside. */
int ce_journal_recover(const char *state_dir, const struct ce_undo_op *const *ops,
                       struct ce_recovery *ret, struct ce_error *err);
/* Appends {"run", "op", "args", "noted_at", "owner_alive"} for every live note to `list`. */
int ce_journal_list(const char *state_dir, json_t *list, struct ce_error *err);

#endif
