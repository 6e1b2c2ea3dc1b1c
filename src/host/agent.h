/* SPDX-License-Identifier: MIT */
/* An agent: a process of ours in a target's namespaces, for as long as a fault lasts.
 *
 * What it makes there belongs to its sockets and descriptors wherever the kernel offers that (a
 * packet queue, a table of rules with an owner, a bpf link): then it is gone when the agent is, and
 * the note "end-process" is all the undo there is. An agent ends when its channel does: with the
 * controller, however that ends. */
#ifndef CE_HOST_AGENT_H
#define CE_HOST_AGENT_H

#include "base/identity.h"
#include "host/place.h"
#include "journal/journal.h"

struct ce_agent;

/* What runs in the agent, after it has entered the place. It says with ce_agent_ready() whether it
 * stands, then serves the channel (SOCK_SEQPACKET; one request, one answer) until it ends: reading
 * 0 bytes. Returns the exit code. `ctx` is a copy of the maker's. */
typedef int ce_agent_run(void *ctx, int channel);

/* Notes and starts it; returns when it has said that it stands, or with what it said instead. It is
 * killed when the calling thread ends. `place` NULL: it stays where we are. */
int ce_agent_start(struct ce_journal *journal, const struct ce_place *place, unsigned which,
                   ce_agent_run *run, void *ctx, struct ce_agent **ret_agent, struct ce_error *err);
/* Sends a request and waits for its answer, of exactly `answer_size` bytes. -EPIPE: it has ended.
 */
int ce_agent_ask(struct ce_agent *agent, const void *request, size_t size, void *ret_answer,
                 size_t answer_size, struct ce_error *err);
struct ce_process_id ce_agent_id(const struct ce_agent *agent);
/* Ends it and frees `agent`, in every case. After a failure its note is still live. NULL is fine.
 */
int ce_agent_stop(struct ce_agent *agent, struct ce_error *err);

/* In the agent: 0, or a negative errno with its error. */
void ce_agent_ready(int channel, int result, const struct ce_error *err);

#endif
