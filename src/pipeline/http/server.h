/* SPDX-License-Identifier: MIT */
/* The user's server, started by ChaosEater: `command`.
 *
 *   controller ==channel==> keeper ----> command ----> whatever it starts
 *
 * The keeper is a process of ChaosEater's own, noted in the journal before it runs. It adopts the
 * orphans of all that is below it, and its life is theirs: when the controller goes, however it
 * goes, or an undo asks it to, it kills all of them and goes, too. A command whose first process
 * ends takes the rest along, as in a container. Everything that is written to stdout and stderr
 * goes into a file. */
#ifndef CE_PIPELINE_HTTP_SERVER_H
#define CE_PIPELINE_HTTP_SERVER_H

#include "base/identity.h"
#include "base/text.h"
#include "journal/journal.h"

struct ce_server_command {
    const struct ce_names *command; /* one: a line for sh; more: program and arguments */
    const struct ce_names *env;     /* NAME=value, besides what this process has */
    const char *workdir;            /* NULL: this process's */
    const char *log;                /* the file for its output */
    int port;                       /* where it will listen; 0: unknown */
};

struct ce_server;
/* Starts the keeper, and no command yet. The command is borrowed. */
int ce_server_new(const struct ce_server_command *command, struct ce_journal *journal,
                  struct ce_server **ret_server, struct ce_error *err);
/* Asks the command to end (SIGTERM), kills what is left after a moment, and settles the note. NULL
 * is fine. */
void ce_server_free(struct ce_server *server);

/* Starts the command unless it runs. */
int ce_server_start(struct ce_server *server, struct ce_error *err);
/* Kills it first if it runs. */
int ce_server_restart(struct ce_server *server, struct ce_error *err);
/* The process that serves: the one that listens at the port, else the command's first. -ESRCH when
 * there is none; the error says how the command ended and quotes its last words. */
int ce_server_process(struct ce_server *server, struct ce_process_id *ret_id, struct ce_error *err);
/* Whether the command's first process lives; if not, the error says the same. */
int ce_server_alive(struct ce_server *server, struct ce_error *err);
/* For one that lives, but was waited for in vain, with `r` and what `err` says: returns `r`, and
 * the error tells so and quotes its last words. */
int ce_server_late(const struct ce_server *server, int r, struct ce_error *err);

/* "end-server": ends a keeper with all that is below it. */
extern const struct ce_undo_op ce_undo_end_server;

/* The keeper's life, in a process of its own whose descriptor 3 is the channel. Its exit code. */
int ce_server_keep(const struct ce_server_command *command);

#endif
