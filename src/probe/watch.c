/* SPDX-License-Identifier: MIT */
/* Probes that are asked again and again, each on a thread of its own. */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "probe/probe_internal.h"

struct note {
    struct note *next;
    size_t index;
    struct ce_probe_answer answer;
};

struct asker {
    struct ce_watch *watch;
    const struct ce_probe_spec *spec;
    size_t index;
    struct ce_asking asking;
    pthread_t thread;
    bool runs;
};

struct ce_watch {
    pthread_mutex_t lock;
    struct note *first, **last; /* in the order in which they came */
    bool settles;               /* each is asked until it has settled */
    size_t count;
    struct asker askers[];
};

/* An answer that there is no memory for was not had. */
static void deliver(struct asker *asker, const struct ce_probe_answer *answer)
{
    struct ce_watch *watch = asker->watch;
    struct note *note = malloc(sizeof *note);
    if (!note)
        return;
    *note = (struct note){.index = asker->index, .answer = *answer};
    (void)pthread_mutex_lock(&watch->lock);
    *watch->last = note;
    watch->last = &note->next;
    (void)pthread_mutex_unlock(&watch->lock);
}

/* False: it ends. */
static bool wait_until(const struct asker *asker, int64_t at)
{
    struct pollfd fd = {.fd = asker->asking.give_up, .events = POLLIN};
    for (;;) {
        int64_t left = at - ce_now();
        int r = poll(&fd, 1, left > 0 ? (int)((left + CE_MILLISECOND - 1) / CE_MILLISECOND) : 0);
        if (r > 0)
            return false;
        if (r == 0 && left <= 0)
            return true;
    }
}

static void *ask_again(void *arg)
{
    struct asker *asker = arg;
    struct ce_in_row row = {0};
    int64_t due = ce_now();
    bool settled = false;
    while (!(settled && asker->watch->settles) && wait_until(asker, due)) {
        struct ce_probe_answer answer;
        due = ce_now() + asker->spec->interval;
        ce_probe_ask_until(asker->spec, &asker->asking, &answer);
        deliver(asker, &answer);
        settled = ce_probe_settles(asker->spec, answer.result, &row);
    }
    return NULL;
}

static int start_asker(struct asker *asker, struct ce_error *err)
{
    sigset_t all, before;
    asker->asking = (struct ce_asking){.give_up = -1, .socket = -1};
    (void)pthread_mutex_init(&asker->asking.lock, NULL);
    asker->asking.give_up = eventfd(0, EFD_CLOEXEC);
    if (asker->asking.give_up < 0)
        return ce_fail(err, errno, "cannot ask a probe: %s", strerror(errno));
    sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int r = pthread_create(&asker->thread, NULL, ask_again, asker);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    asker->runs = r == 0;
    return r == 0 ? 0 : ce_fail(err, r, "cannot ask a probe: %s", strerror(r));
}

static int start(const struct ce_probe_spec *const *specs, size_t count, bool settles,
                 struct ce_watch **ret_watch, struct ce_error *err)
{
    struct ce_watch *watch = calloc(1, sizeof *watch + count * sizeof watch->askers[0]);
    if (!watch)
        return ce_fail_memory(err);
    (void)pthread_mutex_init(&watch->lock, NULL);
    watch->last = &watch->first;
    watch->settles = settles;
    int r = 0;
    for (size_t i = 0; i < count && r == 0; i++) {
        struct asker *asker = &watch->askers[watch->count++];
        asker->watch = watch;
        asker->spec = specs[i];
        asker->index = i;
        asker->asking.give_up = -1;
        asker->asking.socket = -1;
        if (specs[i]->kind != CE_PROBE_WORKLOAD)
            r = start_asker(asker, err);
    }
    if (r < 0) {
        ce_watch_stop(watch);
        return r;
    }
    *ret_watch = watch;
    return 0;
}

int ce_watch_start(const struct ce_probe_spec *const *specs, size_t count,
                   struct ce_watch **ret_watch, struct ce_error *err)
{
    return start(specs, count, false, ret_watch, err);
}

int ce_watch_settle(const struct ce_probe_spec *const *specs, size_t count,
                    struct ce_watch **ret_watch, struct ce_error *err)
{
    return start(specs, count, true, ret_watch, err);
}

int ce_watch_next(struct ce_watch *watch, size_t *ret_index, struct ce_probe_answer *ret_answer)
{
    (void)pthread_mutex_lock(&watch->lock);
    ce_autofree struct note *note = watch->first;
    if (note)
        watch->first = note->next;
    if (!watch->first)
        watch->last = &watch->first;
    (void)pthread_mutex_unlock(&watch->lock);
    if (!note)
        return 0;
    *ret_index = note->index;
    *ret_answer = note->answer;
    return 1;
}

static void give_up(struct ce_asking *asking)
{
    const uint64_t one = 1;
    (void)pthread_mutex_lock(&asking->lock);
    asking->given_up = true;
    if (asking->socket >= 0)
        (void)shutdown(asking->socket, SHUT_RDWR);
    (void)pthread_mutex_unlock(&asking->lock);
    (void)!write(asking->give_up, &one, sizeof one);
}

void ce_watch_stop(struct ce_watch *watch)
{
    size_t index;
    struct ce_probe_answer answer;
    if (!watch)
        return;
    for (size_t i = 0; i < watch->count; i++)
        if (watch->askers[i].runs)
            give_up(&watch->askers[i].asking);
    for (size_t i = 0; i < watch->count; i++) {
        struct asker *asker = &watch->askers[i];
        if (asker->runs)
            (void)pthread_join(asker->thread, NULL);
        if (asker->asking.give_up >= 0)
            (void)close(asker->asking.give_up);
    }
    while (ce_watch_next(watch, &index, &answer))
        ;
    free(watch);
}
