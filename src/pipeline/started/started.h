/* SPDX-License-Identifier: MIT */
/* A command of the user's, started by ChaosEater: a model server, or a batch job's trials.
 *
 *   controller ==channel==> [keeper ---->] launcher ----> command ----> whatever it starts
 *
 * Keeper and launcher are processes of ChaosEater's own. The launcher obeys the channel: it is the
 * parent of all that the command starts, and adopts its orphans. When the controller goes, however
 * it goes, or an undo asks it to, it kills all of them and goes, too. A command whose first process
 * ends takes the rest along, as in a container. What it writes goes into files.
 *
 * The launcher may live in namespaces of its own; then what is done to its mounts or its network is
 * done to the command alone, and to all that the launcher will start later. It is the first process
 * in there, so that the kernel ends everybody else with it. The keeper stays outside and is what
 * the journal knows; without namespaces the two are one process. */
#ifndef CE_PIPELINE_STARTED_STARTED_H
#define CE_PIPELINE_STARTED_STARTED_H

#include <stdbool.h>

#include "base/identity.h"
#include "base/text.h"
#include "journal/journal.h"

enum ce_isolation {
    CE_ISOLATION_NONE = 0,
    CE_ISOLATION_AUTO,       /* in namespaces, as far as this host allows */
    CE_ISOLATION_NAMESPACES, /* in namespaces, or not at all */
};

struct ce_started_command {
    const struct ce_names *command; /* one: a line for sh; more: program and arguments */
    const char *const *prefix;      /* programs that start it, NULL-terminated; NULL: none */
    const struct ce_names *env;     /* NAME=value, besides what this process has */
    const char *workdir;            /* NULL: this process's */
    const char *log;                /* the file for its output */
    const char *errors;             /* the one for its stderr; NULL: the same */
    int port;                       /* where it will listen; 0: unknown */
    /* Mounts and pids of its own, and for an ordinary user a user namespace, in which the command
     * is who it is out here. */
    enum ce_isolation isolation;
    bool private_network; /* besides, a network with nothing but a loopback device; not with
                             CE_ISOLATION_NONE */
};

struct ce_started;
/* Starts the launcher, and no command yet. The command is borrowed. */
int ce_started_new(const struct ce_started_command *command, struct ce_journal *journal,
                   struct ce_started **ret_started, struct ce_error *err);
/* Asks the command to end (SIGTERM), kills what is left after a moment, and settles the note. NULL
 * is fine. */
void ce_started_free(struct ce_started *started);
/* Starts another launcher if there is none any more. */
int ce_started_revive(struct ce_started *started, struct ce_error *err);

/* ---- a command that goes on: a server ---- */

/* Starts the command unless it runs. */
int ce_started_start(struct ce_started *started, struct ce_error *err);
/* Kills it first if it runs. */
int ce_started_restart(struct ce_started *started, struct ce_error *err);
/* The process that serves: the one that listens at the port, else the command's first. -ESRCH when
 * there is none; the error says how the command ended and quotes its last words. */
int ce_started_process(struct ce_started *started, struct ce_process_id *ret_id,
                       struct ce_error *err);
/* Whether the command's first process lives; if not, the error says the same. */
int ce_started_alive(struct ce_started *started, struct ce_error *err);
/* For one that lives, but was waited for in vain, with `r` and what `err` says: returns `r`, and
 * the error tells so and quotes its last words. */
int ce_started_late(const struct ce_started *started, int r, struct ce_error *err);

/* ---- a command that is run again and again: trials ---- */

/* Begins a run of the command, with empty files for its output, after killing one that still runs.
 * *ret_end is a channel on which "ended STATUS" comes (as from waitpid()) once all of it is gone,
 * or "error CODE SENTENCE" when it could not be started; without either it ends when the launcher
 * is gone. `killed`: it is killed before it executes anything. Any one thread; so is
 * ce_started_kill(). */
int ce_started_run(struct ce_started *started, bool killed, int *ret_end, struct ce_error *err);
/* Kills what runs. Does not wait for it. */
void ce_started_kill(struct ce_started *started);

/* ---- what is known of it ---- */

enum { CE_LAST_WORDS = 200 };
/* What the command has written last, to its stderr if it has, in one line; "": nothing. */
void ce_started_last_words(const struct ce_started *started, char ret_words[CE_LAST_WORDS]);
/* Parent of all that the command starts, with the namespaces that they have. */
struct ce_process_id ce_started_launcher(const struct ce_started *started);
/* "user, mount and pid namespaces"; "none" and why. */
const char *ce_started_isolation(const struct ce_started *started);

/* "end-server": ends a keeper with all that is below it. */
extern const struct ce_undo_op ce_undo_end_started;

/* ---- the processes ---- */

/* What executes a command: one name is a line for sh, more are a program, looked up along PATH, and
 * its arguments. Free the list with free(); it borrows its texts. NULL: no memory. */
const char **ce_started_argv(const struct ce_names *command);

enum { CE_LAUNCHER_CHANNEL = 3, CE_LAUNCHER_REPORT = 4 };
/* The keeper's life, in a process of its own with the channel. Its exit code. */
int ce_started_keep(const struct ce_started_command *command);
/* The launcher's, with the channel; in namespaces of its own (`namespaces` as for clone(); 0: none)
 * also with one on which it reports to its keeper, "up" or "error CODE SENTENCE". `isolation` is
 * how it is lodged, as a sentence. */
int ce_started_launch(const struct ce_started_command *command, unsigned long namespaces,
                      const char *isolation);

#endif
