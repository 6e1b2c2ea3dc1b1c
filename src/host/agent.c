/* SPDX-License-Identifier: MIT */
#include "host/agent.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/seam.h"
#include "base/spawn.h"
#include "host/process.h"

enum { CHANNEL_FD = 3, SILENCE_S = 20 };
static const int64_t end_within = CE_SECOND;

/* The first message of every agent. */
struct ready {
    int result;
    struct ce_error err;
};

/* ---- in the agent ---- */

struct start {
    const struct ce_place *place;
    unsigned which;
    ce_agent_run *run;
    void *ctx;
};

static int agent_main(void *ctx)
{
    const struct start *start = ctx;
    (void)prctl(PR_SET_NAME, "ce-agent");
    if (start->place) {
        struct ce_error err = {0};
        int r = ce_place_enter(start->place, start->which, &err);
        if (r < 0) {
            ce_agent_ready(CHANNEL_FD, r, &err);
            return 1;
        }
        /* A change of user namespace may have taken this away. Should the maker have ended in
         * between, the channel has too. */
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    }
    return start->run(start->ctx, CHANNEL_FD);
}

void ce_agent_ready(int channel, int result, const struct ce_error *err)
{
    struct ready ready = {.result = result};
    if (result < 0 && err)
        ready.err = *err;
    (void)send(channel, &ready, sizeof ready, MSG_NOSIGNAL);
}

/* ---- in the controller ---- */

struct ce_agent {
    struct ce_journal *journal;
    struct ce_process_id id;
    int channel, note;
};

static void agent_free(struct ce_agent *agent)
{
    if (agent->channel >= 0)
        (void)close(agent->channel);
    free(agent);
}
CE_DEFINE_CLEANUP(struct ce_agent, agent_free);

static int receive(struct ce_agent *agent, void *ret_message, size_t size, struct ce_error *err)
{
    ssize_t n;
    do
        n = recv(agent->channel, ret_message, size, MSG_TRUNC);
    while (n < 0 && errno == EINTR);
    if (n == (ssize_t)size)
        return 0;
    if (n == 0 || (n < 0 && errno != EAGAIN))
        return ce_fail(err, EPIPE, "the process that causes the fault (%d) has ended",
                       (int)agent->id.pid);
    /* An answer that comes late, or in part, must not be taken for the next one's. */
    (void)shutdown(agent->channel, SHUT_RDWR);
    return n < 0 ? ce_fail(err, ETIMEDOUT, "the process that causes the fault (%d) does not answer",
                           (int)agent->id.pid)
                 : ce_fail(err, EPROTO, "the process that causes the fault (%d) answered %zd bytes",
                           (int)agent->id.pid, n);
}

/* Lets it go, and waits until it stands. */
static int set_going(struct ce_agent *agent, int gate, struct ce_error *err)
{
    struct ready ready = {0};
    CE_TRY(ce_spawn_go(gate, err));
    CE_TRY(receive(agent, &ready, sizeof ready, err));
    if (ready.result < 0 && err)
        *err = ready.err;
    return ready.result;
}

int ce_agent_start(struct ce_journal *journal, const struct ce_place *place, unsigned which,
                   ce_agent_run *run, void *ctx, struct ce_agent **ret_agent, struct ce_error *err)
{
    CE_CLEANUP(agent_free_p) struct ce_agent *agent = calloc(1, sizeof *agent);
    if (!agent)
        return ce_fail_memory(err);
    agent->journal = journal;
    agent->channel = -1;
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return ce_fail(err, errno, "cannot make a pair of sockets: %s", strerror(errno));
    agent->channel = pair[0];
    ce_autofd int its = pair[1];
    struct timeval silence = {.tv_sec = SILENCE_S};
    (void)setsockopt(agent->channel, SOL_SOCKET, SO_RCVTIMEO, &silence, sizeof silence);

    struct start start = {place, which, run, ctx};
    struct ce_spawn how = {
        .function = agent_main,
        .ctx = &start,
        .fds = {{its, CHANNEL_FD}},
        .fd_count = 1,
        .parent_death_signal = SIGKILL,
    };
    ce_autofd int gate = -1;
    CE_TRY(ce_spawn(&how, &agent->id, &gate, err));
    /* Else its end would not end the channel. */
    (void)close(ce_take_fd(its));
    ce_seam_step("agent: waits");
    agent->note = ce_undo_note_process(journal, &agent->id, err);
    int r = agent->note < 0 ? agent->note : set_going(agent, ce_take_fd(gate), err);
    ce_seam_step("agent: runs");
    if (r < 0) {
        (void)ce_process_end(&agent->id, CE_SECOND, NULL);
        if (agent->note > 0)
            (void)ce_undo_settled(journal, agent->note, NULL);
        return r;
    }
    *ret_agent = ce_take(agent);
    return 0;
}

int ce_agent_ask(struct ce_agent *agent, const void *request, size_t size, void *ret_answer,
                 size_t answer_size, struct ce_error *err)
{
    ssize_t n;
    do
        n = send(agent->channel, request, size, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return ce_fail(err, EPIPE, "the process that causes the fault (%d) has ended",
                       (int)agent->id.pid);
    return receive(agent, ret_answer, answer_size, err);
}

struct ce_process_id ce_agent_id(const struct ce_agent *agent)
{
    return agent->id;
}

int ce_agent_stop(struct ce_agent *agent, struct ce_error *err)
{
    if (!agent)
        return 0;
    /* One that reads its channel's end can still hand on what it holds back. */
    (void)shutdown(agent->channel, SHUT_RDWR);
    (void)ce_process_reap(&agent->id, end_within, NULL);
    ce_seam_step("agent: ended");
    int r = ce_undo_now(agent->journal, agent->note, err);
    agent_free(agent);
    return r;
}
