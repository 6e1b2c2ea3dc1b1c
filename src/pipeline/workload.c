/* SPDX-License-Identifier: MIT */
#include "pipeline/workload.h"

#include <poll.h>

#include "base/clock.h"
#include "pipeline/workload_form.h"

const char *ce_phase_name(enum ce_phase phase)
{
    static const char *const names[CE_PHASE_COUNT_] = {"baseline", "fault", "rollback", "recovery"};
    return names[phase];
}

char ce_phase_letter(enum ce_phase phase)
{
    return "bfrv"[phase];
}

void ce_workload_stop(struct ce_workload *workload)
{
    if (workload)
        workload->form->stop(workload);
}

void ce_workload_begin(struct ce_workload *workload, enum ce_phase phase, uint64_t count,
                       int64_t duration)
{
    workload->form->begin(workload, phase, count, duration);
}

void ce_workload_pause(struct ce_workload *workload)
{
    workload->form->pause(workload);
}

void ce_workload_give_up(struct ce_workload *workload)
{
    if (workload->form->give_up)
        workload->form->give_up(workload);
    else
        workload->form->pause(workload);
}

uint64_t ce_workload_due(const struct ce_workload *workload)
{
    return workload->form->due(workload);
}

bool ce_workload_all_due(const struct ce_workload *workload)
{
    return workload->form->all_due(workload);
}

void ce_workload_last_failure(struct ce_workload *workload, struct ce_error *ret_failure)
{
    *ret_failure = (struct ce_error){0};
    if (workload->form->last_failure)
        workload->form->last_failure(workload, ret_failure);
}

int ce_workload_next(struct ce_workload *workload, struct ce_outcome *ret_outcome, int64_t until)
{
    return workload->form->next(workload, ret_outcome, until);
}

size_t ce_workload_in_flight(const struct ce_workload *workload)
{
    return workload->form->in_flight(workload);
}

int64_t ce_workload_oldest_due(const struct ce_workload *workload)
{
    return workload->form->oldest_due(workload);
}

int ce_workload_fd(const struct ce_workload *workload)
{
    return workload->form->fd(workload);
}

bool ce_workload_await(int ready, int64_t until)
{
    for (;;) {
        int64_t left = until - ce_now();
        if (left <= 0)
            return false;
        struct pollfd pollfd = {.fd = ready, .events = POLLIN};
        struct timespec wait = {.tv_sec = left / CE_SECOND, .tv_nsec = left % CE_SECOND};
        int n = ppoll(&pollfd, 1, &wait, NULL);
        if (n != 0)
            return n > 0;
    }
}
