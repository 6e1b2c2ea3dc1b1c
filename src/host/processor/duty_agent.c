/* SPDX-License-Identifier: MIT */
/* The agent of a duty cycle, and its twin.
 *
 * Time is cut into periods; in each the processes run for a while and stand for the rest. Signals
 * and timers come late now and then, so the length of each run makes good for what the ones before
 * it had too much or too little. Children are looked for while everyone stands, as nobody can fork
 * then. */
#include "host/processor/duty_agent.h"

#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "host/agent.h"
#include "host/process_tree.h"

enum { MEMBERS_MAX = 4096 };
static const int64_t period_least = 10 * CE_MILLISECOND, part_least = CE_MILLISECOND,
                     period_most = 200 * CE_MILLISECOND, look_every = 100 * CE_MILLISECOND;

/* Everyone who was ever stopped. Shared with the twin, which reads what was written before `count`
 * grew. */
struct members {
    struct ce_process_id ids[MEMBERS_MAX];
    _Atomic size_t count;
};

struct duty {
    struct members *members;
    int pidfds[MEMBERS_MAX]; /* -1: it has ended */
    int channel;
    pid_t twin;
    double share;
    bool standing;
    int64_t period, next; /* when they stop, or go on */
    int64_t since, ran;   /* when the share was set; for how long they have run since */
    int64_t went_on;      /* when they last went on */
    int64_t looked;
};

/* ---- the twin ---- */

static int __attribute__((noreturn)) twin_main(const struct members *members, int agent)
{
    (void)prctl(PR_SET_NAME, "ce-duty-twin");
    struct pollfd end = {.fd = agent, .events = POLLIN};
    while (poll(&end, 1, -1) < 0 && errno == EINTR)
        ;
    /* To those who run as well: it takes back a SIGSTOP that has not reached its process yet. */
    for (size_t i = 0; i < members->count; i++)
        (void)ce_process_signal(&members->ids[i], SIGCONT);
    _exit(0);
}

/* Starts it, or another when it was killed. */
static int keep_twin(struct duty *duty)
{
    if (duty->twin > 0 && waitpid(duty->twin, NULL, WNOHANG) == 0)
        return 0;
    int self = (int)syscall(SYS_pidfd_open, getpid(), 0);
    duty->twin = self < 0 ? -1 : fork();
    int code = errno;
    if (duty->twin == 0) {
        (void)close(duty->channel); /* whose end has to be seen */
        twin_main(duty->members, self);
    }
    if (self >= 0)
        (void)close(self);
    return duty->twin < 0 ? -code : 0;
}

/* ---- who takes part ---- */

static bool is_member(const struct duty *duty, const struct ce_process_id *id)
{
    for (size_t i = 0; i < duty->members->count; i++)
        if (duty->members->ids[i].pid == id->pid && duty->members->ids[i].start == id->start)
            return true;
    return false;
}

static int signal_member(struct duty *duty, size_t i, int signal)
{
    if (duty->pidfds[i] < 0)
        return -ESRCH;
    if (syscall(SYS_pidfd_send_signal, duty->pidfds[i], signal, NULL, 0) == 0)
        return 0;
    int code = errno;
    if (code == ESRCH) {
        (void)close(duty->pidfds[i]);
        duty->pidfds[i] = -1;
    }
    return -code;
}

static int add_member(struct duty *duty, const struct ce_process_id *id)
{
    struct members *members = duty->members;
    size_t n = members->count;
    if (is_member(duty, id))
        return 0;
    if (n == MEMBERS_MAX)
        return -ENOSPC;
    int fd = ce_process_open(id->pid);
    if (fd < 0)
        return fd;
    char state = ce_process_state(id);
    if (state == 0 || state == 'Z' || state == 'T') {
        (void)close(fd);
        return state == 'T' ? -EBUSY : -ESRCH;
    }
    duty->pidfds[n] = fd;
    members->ids[n] = *id;
    int r = signal_member(duty, n, 0);
    if (r < 0)
        return r;
    members->count = n + 1;
    return duty->standing ? signal_member(duty, n, SIGSTOP) : 0;
}

/* Takes on the children of those who take part. */
static void look_for_children(struct duty *duty)
{
    struct members *members = duty->members;
    struct ce_process_list list = {.items = malloc(members->count * sizeof *list.items),
                                   .count = members->count};
    if (list.items) {
        memcpy(list.items, members->ids, list.count * sizeof *list.items);
        size_t known = list.count;
        if (ce_process_list_grow(&list, NULL) > 0)
            for (size_t i = known; i < list.count; i++)
                (void)add_member(duty, &list.items[i]);
    }
    ce_process_list_done(&list);
}

static void signal_all(struct duty *duty, int signal)
{
    for (size_t i = 0; i < duty->members->count; i++)
        (void)signal_member(duty, i, signal);
}

/* ---- the cycle ---- */

static void go_on(struct duty *duty)
{
    if (duty->standing) {
        duty->went_on = ce_now();
        signal_all(duty, SIGCONT);
    }
    duty->standing = false;
}

static void stand(struct duty *duty)
{
    signal_all(duty, SIGSTOP);
    duty->standing = true;
    int64_t now = ce_now();
    duty->ran += now - duty->went_on;
    if (now - duty->looked < look_every)
        return;
    look_for_children(duty);
    (void)keep_twin(duty);
    duty->looked = ce_now();
}

static void set_share(struct duty *duty, double share)
{
    go_on(duty);
    duty->share = share;
    duty->since = duty->went_on = ce_now();
    duty->ran = 0;
    double least = (double)part_least / fmin(share, 1 - share);
    duty->period = (int64_t)fmin(fmax(least, (double)period_least), (double)period_most);
    duty->next = duty->since + (int64_t)(share * (double)duty->period);
}

/* Stops or continues everyone, and plans the next change: at the end of the next period they shall
 * have run for their share of all the time so far. */
static void turn(struct duty *duty)
{
    int64_t now;
    if (duty->standing) {
        go_on(duty);
        now = duty->went_on;
        double due = duty->share * (double)(now - duty->since + duty->period) - (double)duty->ran;
        duty->next = now + (int64_t)fmin(fmax(due, 0.2 * (double)part_least), (double)duty->period);
    } else {
        stand(duty);
        now = ce_now();
        /* When they have run enough for all of the time until then. */
        double until = (double)duty->since + (double)duty->ran / duty->share;
        duty->next = (int64_t)fmax(until, (double)now + 0.2 * (double)part_least);
    }
}

static struct ce_duty_answer obey(struct duty *duty, const struct ce_duty_order *order)
{
    struct ce_duty_answer answer = {0};
    switch (order->kind) {
    case CE_DUTY_SHARE:
        set_share(duty, order->share);
        break;
    case CE_DUTY_ADD:
        answer.result = add_member(duty, &order->id);
        break;
    }
    return answer;
}

static int serve(struct duty *duty)
{
    for (;;) {
        struct pollfd pollfd = {.fd = duty->channel, .events = POLLIN};
        int64_t left = duty->next - ce_now();
        struct timespec wait = {.tv_sec = left / CE_SECOND, .tv_nsec = left % CE_SECOND};
        int n = left <= 0 && duty->share < 1
                    ? 0
                    : ppoll(&pollfd, 1, duty->share < 1 ? &wait : NULL, NULL);
        if (n <= 0) {
            if (n == 0)
                turn(duty);
            continue;
        }
        struct ce_duty_order order;
        if (recv(duty->channel, &order, sizeof order, 0) != sizeof order)
            return 0;
        struct ce_duty_answer answer = obey(duty, &order);
        (void)send(duty->channel, &answer, sizeof answer, MSG_NOSIGNAL);
    }
}

int ce_duty_agent_run(void *ctx, int channel)
{
    (void)ctx;
    struct ce_error err = {0};
    struct rlimit files = {0};
    struct duty *duty = calloc(1, sizeof *duty);
    void *shared = mmap(NULL, sizeof(struct members), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int r = !duty || shared == MAP_FAILED ? ce_fail_memory(&err) : 0;
    /* A descriptor for each process. */
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    (void)prctl(PR_SET_TIMERSLACK, 1UL);
    if (r == 0) {
        duty->members = shared;
        duty->channel = channel;
        duty->share = 1;
        r = keep_twin(duty);
        if (r < 0)
            (void)ce_fail(&err, -r, "cannot start the duty cycle's twin: %s", strerror(-r));
    }
    ce_agent_ready(channel, r, &err);
    if (r < 0)
        return 1;
    (void)serve(duty);
    go_on(duty);
    return 0; /* the twin sees to it that everyone does */
}
