/* SPDX-License-Identifier: MIT */
#include "faults/infra/inside.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "host/bystander.h"
#include "net/client.h"
#include "pipeline/beside.h"
#include "pipeline/helpers.h"

static const int64_t ask_timeout = 2 * CE_SECOND;

int ce_inside_find(const struct ce_target *target, const char *service,
                   struct ce_subject *ret_subject, struct ce_error *err)
{
    memset(ret_subject, 0, sizeof *ret_subject);
    if (target->locate) {
        /* What is named is meant as a whole. */
        CE_TRY(target->locate(target->located, target->is_explicit ? NULL : service, ret_subject,
                              err));
    } else if (target->serving_process) {
        CE_TRY(target->serving_process(target->pipeline, &ret_subject->process, err));
        snprintf(ret_subject->name, sizeof ret_subject->name, "model server (process %d)",
                 (int)ret_subject->process.pid);
        ret_subject->has = CE_SUBJECT_PROCESS;
    } else {
        return ce_fail(err, ENOTSUP, "%s has no process to act on", target->name);
    }
    if (!(ret_subject->has & CE_SUBJECT_HELPERS) && target->run_folder && !target->is_explicit) {
        snprintf(ret_subject->helpers, sizeof ret_subject->helpers, "%s", target->run_folder);
        ret_subject->has |= CE_SUBJECT_HELPERS;
    }
    return 0;
}

bool ce_inside_loaded(const struct ce_subject *subject, const char *library)
{
    struct ce_process_list processes = {0};
    bool loaded = false;
    if (!(subject->has & CE_SUBJECT_PROCESS) ||
        ce_process_tree(&subject->process, &processes, NULL) < 0)
        return false;
    for (size_t i = 0; i < processes.count && !loaded; i++)
        loaded = ce_helper_loaded(&processes.items[i], library);
    ce_process_list_done(&processes);
    return loaded;
}

/* What keeps a job for us that comes and goes will load it into the next one. */
static bool is_keeper(const struct ce_process_id *process)
{
    char path[64], ours[PATH_MAX], its[PATH_MAX];
    snprintf(path, sizeof path, "/proc/%d/exe", (int)process->pid);
    ssize_t a = readlink("/proc/self/exe", ours, sizeof ours);
    ssize_t b = readlink(path, its, sizeof its);
    return a > 0 && a == b && memcmp(ours, its, (size_t)a) == 0;
}

int ce_inside_open(const struct ce_subject *subject, const char *library,
                   struct ce_helper_control **ret_control, struct ce_error *err)
{
    if (!(subject->has & CE_SUBJECT_HELPERS) || !(subject->has & CE_SUBJECT_PROCESS))
        return ce_fail(err, ENOTSUP, "%s was not started by ChaosEater, so it has not loaded %s",
                       subject->name, library);
    if (!ce_inside_loaded(subject, library) && !is_keeper(&subject->process))
        return ce_fail(err, ENOTSUP,
                       "%s has not loaded %s: its program is linked statically, or something "
                       "drops LD_PRELOAD",
                       subject->name, library);
    return ce_helper_control_open(subject->helpers, ret_control, err);
}

int ce_inside_bystander(const struct ce_subject *subject, unsigned which, const char *const *args,
                        char *ret_text, size_t size, struct ce_error *err)
{
    CE_CLEANUP(ce_helpers_done) struct ce_helpers helpers = {.count = 0};
    ce_autofree char *program = NULL;
    CE_TRY(ce_beside_find("chaoseater-witness", &program, err));
    CE_TRY(ce_helpers_init(which, "LD_PRELOAD", NULL, subject->helpers, &helpers, err));
    const char *argv[] = {program, args[0], args[0] ? args[1] : NULL, NULL};
    return ce_bystander_ask(argv, (const char *const *)helpers.variables, ret_text, size, err);
}

json_t *ce_inside_ask(const struct ce_target *target, const char *path)
{
    struct ce_http_answer answer = {0};
    const struct ce_http_call call = {.method = "GET", .path = path, .timeout_ns = ask_timeout};
    if (!target->model_route || target->is_explicit)
        return NULL;
    if (ce_http_call(ce_route_upstream(target->model_route), &call, &answer, NULL) < 0)
        return NULL;
    json_t *json = answer.status == 200 ? json_loadb(answer.body, answer.body_size, 0, NULL) : NULL;
    ce_http_answer_done(&answer);
    return json;
}
