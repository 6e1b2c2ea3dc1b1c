/* SPDX-License-Identifier: MIT */
#include "faults/infra/whom.h"

#include <unistd.h>

#include "faults/infra/inside.h"
#include "host/process.h"

int ce_whom_find(const struct ce_target *target, const char *service,
                 struct ce_subject *ret_subject, struct ce_process_list *ret_list,
                 struct ce_error *err)
{
    CE_TRY(ce_inside_find(target, service, ret_subject, err));
    CE_TRY(ce_subject_processes(ret_subject, ret_list, err));
    for (size_t i = 0; i < ret_list->count; i++)
        if (ret_list->items[i].pid == getpid()) {
            ce_process_list_done(ret_list);
            return ce_fail(err, EPERM, "ChaosEater itself is one of the processes of %s",
                           ret_subject->name);
        }
    return 0;
}

int64_t ce_whom_cpu_time(const struct ce_process_list *list)
{
    int64_t used = 0;
    for (size_t i = 0; i < list->count; i++)
        used += ce_process_cpu_time(&list->items[i]);
    return used;
}
