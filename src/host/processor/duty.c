/* SPDX-License-Identifier: MIT */
/* In the controller: the note, the agent, and what is asked of it. duty_agent.c is what runs in the
 * agent. */
#include "host/processor/duty.h"

#include <stdlib.h>
#include <string.h>

#include "base/seam.h"
#include "host/agent.h"
#include "host/processor/duty_agent.h"
#include "host/standstill.h"

struct ce_duty {
    struct ce_journal *journal;
    struct ce_agent *agent;
    int note;
};

static int ask(struct ce_duty *duty, struct ce_duty_order order, struct ce_error *err)
{
    struct ce_duty_answer answer;
    CE_TRY(ce_agent_ask(duty->agent, &order, sizeof order, &answer, sizeof answer, err));
    if (answer.result < 0)
        return ce_fail(err, -answer.result, "the duty cycle cannot take on process %d: %s",
                       (int)order.id.pid, strerror(-answer.result));
    return 0;
}

int ce_duty_begin(struct ce_journal *journal, const struct ce_process_list *processes,
                  struct ce_duty **ret_duty, struct ce_error *err)
{
    struct ce_duty *duty = calloc(1, sizeof *duty);
    if (!duty)
        return ce_fail_memory(err);
    duty->journal = journal;
    int r = duty->note = ce_undo_note_standstill(journal, processes, err);
    if (r > 0)
        r = ce_agent_start(journal, NULL, 0, ce_duty_agent_run, NULL, &duty->agent, err);
    size_t taken = 0;
    for (size_t i = 0; r == 0 && i < processes->count; i++) {
        const struct ce_process_id *id = &processes->items[i];
        if (!ce_process_alive(id) || ce_process_state(id) == 'T')
            continue;
        r = ce_duty_add(duty, id, err);
        taken += r == 0;
        if (r == -ESRCH)
            r = 0;
    }
    if (r == 0 && taken == 0)
        r = ce_fail(err, ESRCH, "process %d has ended, or is stopped already",
                    processes->count > 0 ? (int)processes->items[0].pid : 0);
    if (r < 0) {
        if (ce_duty_end(duty, NULL) < 0)
            r = -EBUSY;
        return r;
    }
    *ret_duty = duty;
    return 0;
}

int ce_duty_add(struct ce_duty *duty, const struct ce_process_id *id, struct ce_error *err)
{
    return ask(duty, (struct ce_duty_order){.kind = CE_DUTY_ADD, .id = *id}, err);
}

int ce_duty_set(struct ce_duty *duty, double share, struct ce_error *err)
{
    if (ce_seam_no_effect())
        share = 1;
    int r = ask(duty, (struct ce_duty_order){.kind = CE_DUTY_SHARE, .share = share}, err);
    ce_seam_step("duty: share set");
    return r;
}

struct ce_process_id ce_duty_agent(const struct ce_duty *duty)
{
    return ce_agent_id(duty->agent);
}

int ce_duty_end(struct ce_duty *duty, struct ce_error *err)
{
    if (!duty)
        return 0;
    int r = ce_agent_stop(duty->agent, err);
    if (duty->note > 0) {
        int r2 = ce_undo_now(duty->journal, duty->note, r < 0 ? NULL : err);
        r = r < 0 ? r : r2;
    }
    free(duty);
    return r;
}
