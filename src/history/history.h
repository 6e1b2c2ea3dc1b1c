/* SPDX-License-Identifier: MIT */
/* The history: every run that has ended, in an SQLite database that several processes may write to.
 * The rest of it is public (ce_history_ in chaoseater.h). */
#ifndef CE_HISTORY_HISTORY_H
#define CE_HISTORY_HISTORY_H

#include "base/cleanup.h"
#include "base/error.h"
#include "history/environment.h"
#include "observers/record.h"

/* Opens it to write to it, and makes it if there is none. `path` NULL: history.db of `state_dir`,
 * which must be given then. Close with ce_history_close().
 *     -EINVAL   a file, but no history
 *     -EBADMSG  damaged
 *     -ENOTSUP  of a newer version
 *     -EBUSY    others have held it for too long */
int ce_history_open_to_write(const char *path, const char *state_dir,
                             struct ce_history **ret_history, struct ce_error *err);
/* The same to read it: nothing is changed, unless it is of an earlier version. When there is no
 * file of the usual name it is empty; -ENOENT when there is none at `path`. */
int ce_history_open_to_read(const char *path, const char *state_dir,
                            struct ce_history **ret_history, struct ce_error *err);
CE_DEFINE_CLEANUP(struct ce_history, ce_history_close);

/* Adds a run, all of it or nothing. `document`: the text of what it was an experiment of, `here`:
 * where it took place; NULL: not known. 1, or 0 when it is there already. */
int ce_history_add(struct ce_history *history, const struct ce_record *record, const char *document,
                   const struct ce_surroundings *here, struct ce_error *err);

/* Between these two, runs that are added are there all at once, at the end: or, unless they are to
 * be kept, none of them. */
int ce_history_begin(struct ce_history *history, struct ce_error *err);
int ce_history_end(struct ce_history *history, bool keep, struct ce_error *err);

/* What a suite told of one run. -ENOENT: none is meant by `run`, which is an id, the beginning of
 * one, the name of an experiment (its newest run), or "last". -EINVAL: several are. */
int ce_history_read(struct ce_history *history, const char *run, struct ce_record *ret_record,
                    struct ce_error *err);

/* How the experiment of that run did before, on the same pipeline: [{"id", "started_at",
 * "resilience_score", "verdict"}], at most so many of the last, the oldest first. New reference. */
int ce_history_earlier(struct ce_history *history, const struct ce_record *record, size_t most,
                       json_t **ret_runs, struct ce_error *err);

#endif
