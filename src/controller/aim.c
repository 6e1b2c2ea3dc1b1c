/* SPDX-License-Identifier: MIT */
#include "controller/aim.h"

#include <stdio.h>
#include <string.h>

/* CE_NEEDS_ and CE_HELPER_ bits of the experiment's fault with its parameters. */
static unsigned needs_of(const struct ce_experiment *experiment)
{
    const struct ce_fault *fault = experiment->fault;
    return fault->needs_of ? fault->needs_of(experiment->params) : fault->needs;
}

unsigned ce_aim_helpers(const struct ce_experiment *experiment)
{
    const struct ce_fault *fault = experiment->fault;
    unsigned helpers = fault->helpers_of ? fault->helpers_of(experiment->params) : fault->helpers;
    return (needs_of(experiment) | helpers) & CE_HELPERS_ALL;
}

/* What there is of a subject, as needs. */
static unsigned offers_of(const struct ce_subject *subject)
{
    return (subject->has & CE_SUBJECT_PROCESS ? CE_NEEDS_PROCESS | CE_NEEDS_TREE : 0) |
           (subject->has & CE_SUBJECT_GROUP ? CE_NEEDS_TREE : 0) |
           (subject->has & CE_SUBJECT_NETWORK ? CE_NEEDS_NETWORK : 0) |
           (subject->has & (CE_SUBJECT_FOLDER | CE_SUBJECT_DEVICE) ? CE_NEEDS_FOLDER : 0);
}

static int fail_lacking(struct ce_error *err, const struct ce_fault *fault, const char *name,
                        unsigned lacks)
{
    if (lacks & CE_HELPERS_ALL)
        return ce_fail(
            err, ENOTSUP,
            "%s was not started by ChaosEater, so it has not loaded what %s acts through; "
            "pipeline.command would start it",
            name, fault->name);
    if (lacks & CE_NEEDS_PROCESS)
        return ce_fail(err, ENOTSUP,
                       "%s was not started by ChaosEater, so %s has no process to act on; "
                       "pipeline.command would start it, and target names one that runs",
                       name, fault->name);
    if (lacks & CE_NEEDS_DATASET)
        return ce_fail(err, ENOTSUP,
                       "%s is not trained by ChaosEater, so %s cannot act on what it learns from; "
                       "data faults that take `stage: serve` act on its requests",
                       name, fault->name);
    const char *what = lacks & CE_NEEDS_NETWORK  ? "a network that %s could act on"
                       : lacks & CE_NEEDS_FOLDER ? "a folder or a device that %s could act on"
                       : lacks & CE_NEEDS_TREE   ? "processes that %s could act on"
                                                 : "anything that %s could act on";
    char lacking[160];
    snprintf(lacking, sizeof lacking, what, fault->name);
    return ce_fail(err, ENOTSUP, "%s does not have %s; target names what does", name, lacking);
}

/* Of a batch job nothing runs while a fault is injected that memory could leak in. */
static unsigned helpers_of(const struct ce_target *target)
{
    return target->fail_trials ? CE_HELPERS_ALL & ~CE_NEEDS_LEAK_HELPER : CE_HELPERS_ALL;
}

/* A batch job has no requests and no predictions, and a dataset only if it is named. */
static int fail_lacking_job(struct ce_error *err, const struct ce_fault *fault, const char *name,
                            unsigned lacks)
{
    if (lacks & CE_NEEDS_DATASET)
        return ce_fail(err, ENOTSUP,
                       "%s has no dataset that %s could act on: pipeline.dataset names one", name,
                       fault->name);
    if (lacks & (CE_NEEDS_REQUEST_ROUTE | CE_NEEDS_COLUMNS) && fault->layer == CE_LAYER_DATA)
        return ce_fail(err, ENOTSUP,
                       "%s answers no requests, so %s acts on its dataset only: leave out `stage: "
                       "serve`",
                       name, fault->name);
    if (lacks & (CE_NEEDS_REQUEST_ROUTE | CE_NEEDS_MODEL_ROUTE))
        return ce_fail(err, ENOTSUP,
                       "%s answers no requests: %s acts on pipelines of kind embedded and http",
                       name, fault->name);
    if (lacks & CE_NEEDS_LEAK_HELPER)
        return ce_fail(err, ENOTSUP,
                       "%s has no process that goes on for %s to act in; memory_pressure takes "
                       "memory from all trials",
                       name, fault->name);
    if (lacks & CE_NEEDS_NETWORK)
        return ce_fail(err, ENOTSUP,
                       "%s shares the network of this host, so %s has no packets of its own to act "
                       "on: `network: private` gives it one, and target names another",
                       name, fault->name);
    return 0;
}

/* Whether what the document names is of the kind that the fault acts on, whatever it is: that is
 * said before it is looked for, and before anything else is held against it. */
static int check_kind(const struct ce_experiment *experiment, struct ce_error *err)
{
    const struct ce_target_spec *spec = &experiment->target;
    unsigned needs = needs_of(experiment);
    const char *storage = spec->path ? "path" : spec->device ? "device" : NULL;
    const char *network = spec->peer        ? "peer"
                          : spec->interface ? "interface"
                          : spec->netns     ? "netns"
                                            : NULL;
    const char *fault = experiment->fault->name;
    if (storage && needs & CE_NEEDS_NETWORK)
        return ce_fail(err, ENOTSUP,
                       "target.%s names no packets, and %s acts on packets: those of a pid, "
                       "process, unit, cgroup, container, interface, netns or peer",
                       storage, fault);
    if (network && needs & CE_NEEDS_FOLDER)
        return ce_fail(err, ENOTSUP,
                       "target.%s names no files, and %s acts on files: those of a path or device",
                       network, fault);
    const char *other = storage ? storage : network;
    bool on_processes = needs & (CE_NEEDS_TREE | CE_NEEDS_PROCESS) && !(needs & CE_HELPERS_ALL);
    if (other && on_processes && !(needs & CE_NEEDS_FOLDER))
        return ce_fail(err, ENOTSUP,
                       "target.%s names no processes, and %s acts on processes: a pid, process, "
                       "unit, cgroup or container",
                       other, fault);
    return 0;
}

int ce_aim_find(const struct ce_experiment *experiment, const struct ce_target_spec *spec,
                const char *state_dir, struct ce_target_found *ret_found, struct ce_error *err)
{
    CE_TRY(check_kind(experiment, err));
    CE_TRY(ce_target_resolve(spec, state_dir, ret_found, err));
    unsigned lacks = needs_of(experiment) & ~offers_of(&ret_found->subject);
    return lacks ? fail_lacking(err, experiment->fault, ret_found->subject.name, lacks) : 0;
}

int ce_aim_check(const struct ce_experiment *experiment, const struct ce_target *target,
                 struct ce_error *err)
{
    unsigned needs = needs_of(experiment);
    unsigned offers = (target->dataset && target->reload ? CE_NEEDS_DATASET : 0) |
                      (target->dataset ? CE_NEEDS_COLUMNS : 0) |
                      (target->request_route ? CE_NEEDS_REQUEST_ROUTE : 0) |
                      (target->model_route ? CE_NEEDS_MODEL_ROUTE : 0) |
                      (target->model_route || target->fail_trials ? CE_NEEDS_BATCHES : 0) |
                      (target->serving_process ? CE_NEEDS_PROCESS | helpers_of(target) : 0);
    const unsigned located = CE_NEEDS_NETWORK | CE_NEEDS_FOLDER | CE_NEEDS_TREE;
    if (needs & located && target->locate) {
        struct ce_subject subject;
        CE_TRY(target->locate(target->located, NULL, &subject, err));
        offers |= offers_of(&subject);
    }
    unsigned lacks = needs & ~offers;
    if (lacks && target->fail_trials && !target->is_explicit)
        CE_TRY(fail_lacking_job(err, experiment->fault, target->name, lacks));
    return lacks ? fail_lacking(err, experiment->fault, target->name, lacks) : 0;
}

/* What `mechanism` says; NULL: the fault knows one way only. */
static const struct ce_choice *mechanism_of(const struct ce_experiment *experiment)
{
    const struct ce_param *param = ce_param_find(experiment->fault->params, "mechanism");
    if (!param || param->type != CE_PARAM_CHOICE)
        return NULL;
    int value;
    memcpy(&value, (const char *)experiment->params + param->offset, sizeof value);
    for (const struct ce_choice *choice = param->choices; choice->name; choice++)
        if (choice->value == value)
            return choice;
    return NULL;
}

void ce_aim_describe(const struct ce_experiment *experiment, const char *target,
                     const char *available, char *text, size_t size)
{
    const struct ce_choice *mechanism = mechanism_of(experiment);
    int n = snprintf(text, size, "on %s", target);
    if (experiment->fault->layer != CE_LAYER_INFRASTRUCTURE || !mechanism || n < 0 ||
        (size_t)n >= size)
        return;
    bool is_auto = strcmp(mechanism->name, "auto") == 0;
    const char *how = !is_auto ? mechanism->doc : available[0] ? available : mechanism->doc;
    snprintf(text + n, size - (size_t)n, ", by mechanism %s (%s)", mechanism->name, how ? how : "");
}
