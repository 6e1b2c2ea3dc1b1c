/* SPDX-License-Identifier: MIT */
/* An agent (host/agent.h) has one child for each processor. Everything that there is to say to them
 * is a share, in memory that all of them see. They die with the agent, by the kernel. */
#include "host/processor/burn.h"

#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/seam.h"
#include "host/agent.h"
#include "host/cgroup.h"
#include "host/group.h"

static const int64_t period = 10 * CE_MILLISECOND, idle = 50 * CE_MILLISECOND;

struct order {
    bool start; /* the burners, else the share is set */
    double share;
};
struct answer {
    int result; /* how many there are, or -errno */
    struct ce_process_id burners[CE_BURN_MAX];
};
struct plan {
    cpu_set_t cpus;
    unsigned cores;
};

/* ---- in the agent ---- */

/* Works until it has used its share of the time since the share last changed. */
static void __attribute__((noreturn)) burn_main(int cpu, const _Atomic double *share)
{
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    (void)sched_setaffinity(0, sizeof one, &one);
    (void)prctl(PR_SET_NAME, "ce-burn");
    (void)prctl(PR_SET_TIMERSLACK, 1UL);
    for (int64_t begun = ce_now();;) {
        int64_t work = (int64_t)(*share * (double)period);
        while (ce_now() < begun + work)
            ;
        begun += work > 0 ? period : idle;
        int64_t now = ce_now();
        if (begun > now)
            ce_sleep_until(begun);
        else
            begun = now; /* what others kept it from is not made good for */
    }
}

static int start_burners(const struct plan *plan, const _Atomic double *share,
                         struct answer *answer)
{
    int agent = (int)getpid();
    for (int cpu = 0; cpu < CPU_SETSIZE && answer->result < CE_BURN_MAX; cpu++) {
        if (!CPU_ISSET(cpu, &plan->cpus))
            continue;
        if (plan->cores > 0 && (unsigned)answer->result == plan->cores)
            break;
        pid_t pid = fork();
        if (pid < 0)
            return -errno;
        if (pid == 0) {
            (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
            if (getppid() != agent)
                _exit(0);
            burn_main(cpu, share);
        }
        if (ce_process_identify(pid, &answer->burners[answer->result]) == 0)
            answer->result++;
    }
    return 0;
}

static int run(void *ctx, int channel)
{
    const struct plan *plan = ctx;
    struct ce_error err = {0};
    void *shared = mmap(NULL, sizeof(_Atomic double), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int r = shared == MAP_FAILED ? ce_fail_memory(&err) : 0;
    ce_agent_ready(channel, r, &err);
    _Atomic double *share = shared;
    struct order order;
    while (r == 0 && recv(channel, &order, sizeof order, 0) == sizeof order) {
        struct answer answer = {0};
        if (order.start) {
            int r2 = start_burners(plan, share, &answer);
            if (r2 < 0)
                answer.result = r2;
        } else {
            *share = order.share;
        }
        (void)send(channel, &answer, sizeof answer, MSG_NOSIGNAL);
    }
    return r < 0;
}

/* ---- in the controller ---- */

struct ce_burn {
    struct ce_agent *agent;
    struct answer burners;
    bool inside;
};

/* Where the target is, if we may go there. In the group of the target's cpuset it could not use
 * other processors than the target. */
static bool join_target(pid_t agent, pid_t target)
{
    static const char *const controllers[] = {NULL, "cpu", "cpuset"};
    bool inside = false;
    for (size_t i = 0; i < CE_COUNT(controllers); i++) {
        ce_autofree char *folder = NULL;
        if (ce_cgroup_find(target, controllers[i], &folder, NULL, NULL) == 0 &&
            ce_group_join(folder, agent, NULL) == 0)
            inside = inside || !controllers[i] || strcmp(controllers[i], "cpu") == 0;
    }
    return inside;
}

int ce_burn_begin(struct ce_journal *journal, const struct ce_process_id *target, unsigned cores,
                  struct ce_burn **ret_burn, struct ce_error *err)
{
    struct plan plan = {.cores = cores};
    if (sched_getaffinity(target->pid, sizeof plan.cpus, &plan.cpus) < 0)
        return ce_fail(err, errno, "cannot tell which processors process %d may use: %s",
                       (int)target->pid, strerror(errno));
    struct ce_burn *burn = calloc(1, sizeof *burn);
    if (!burn)
        return ce_fail_memory(err);
    int r = ce_agent_start(journal, NULL, 0, run, &plan, &burn->agent, err);
    if (r == 0) {
        struct order order = {.start = true};
        burn->inside = join_target(ce_agent_id(burn->agent).pid, target->pid);
        r = ce_agent_ask(burn->agent, &order, sizeof order, &burn->burners, sizeof burn->burners,
                         err);
        if (r == 0 && burn->burners.result < 0)
            r = ce_fail(err, -burn->burners.result, "cannot start a process that burns: %s",
                        strerror(-burn->burners.result));
    }
    ce_seam_step("burn: burners wait");
    if (r < 0) {
        (void)ce_burn_end(burn, NULL);
        return r;
    }
    *ret_burn = burn;
    return 0;
}

int ce_burn_set(struct ce_burn *burn, double share, struct ce_error *err)
{
    struct order order = {.share = ce_seam_no_effect() ? 0 : share};
    struct answer answer;
    int r = ce_agent_ask(burn->agent, &order, sizeof order, &answer, sizeof answer, err);
    ce_seam_step("burn: share set");
    return r;
}

size_t ce_burn_processes(const struct ce_burn *burn, struct ce_process_id ret_burners[CE_BURN_MAX])
{
    size_t count = (size_t)burn->burners.result;
    memcpy(ret_burners, burn->burners.burners, count * sizeof *ret_burners);
    return count;
}

bool ce_burn_is_inside(const struct ce_burn *burn)
{
    return burn->inside;
}

int ce_burn_end(struct ce_burn *burn, struct ce_error *err)
{
    if (!burn)
        return 0;
    int r = ce_agent_stop(burn->agent, err);
    free(burn);
    return r;
}
