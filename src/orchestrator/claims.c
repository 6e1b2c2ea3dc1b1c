/* SPDX-License-Identifier: MIT */
#include "orchestrator/claims.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "controller/aim.h"
#include "host/subject.h"

/* Takes over the text. */
static int add(struct ce_names *claims, char *text, struct ce_error *err)
{
    char **names =
        text ? realloc(claims->names, (claims->count + 1) * sizeof *claims->names) : NULL;
    if (!names) {
        free(text);
        return ce_fail_memory(err);
    }
    claims->names = names;
    names[claims->count++] = text;
    return 0;
}

static int add_pipeline(const struct ce_pipeline_spec *pipeline, struct ce_names *claims,
                        struct ce_error *err)
{
    switch (pipeline->kind) {
    case CE_PIPELINE_HTTP:
        return add(claims, ce_format("server %s", pipeline->url), err);
    case CE_PIPELINE_COMMAND: {
        ce_autofree char *command = ce_pipeline_command_text(pipeline);
        return add(claims,
                   command ? ce_format("job %s in %s", command,
                                       pipeline->workdir ? pipeline->workdir : ".")
                           : NULL,
                   err);
    }
    default:
        return 0;
    }
}

/* Trees that overlap share processes. */
static int add_processes(const struct ce_subject *subject, struct ce_names *claims,
                         struct ce_error *err)
{
    struct ce_process_list list = {0};
    if (ce_subject_processes(subject, &list, NULL) < 0)
        return 0;
    int r = 0;
    for (size_t i = 0; i < list.count && r >= 0; i++)
        r = add(claims, ce_format("process %d", (int)list.items[i].pid), err);
    ce_process_list_done(&list);
    return r;
}

/* Folders of one filesystem share its space and its device. */
static int add_filesystem(const char *path, struct ce_names *claims, struct ce_error *err)
{
    struct stat info;
    if (stat(path, &info) < 0)
        return 0;
    dev_t device = S_ISBLK(info.st_mode) ? info.st_rdev : info.st_dev;
    return add(claims, ce_format("device %u:%u", major(device), minor(device)), err);
}

/* Whoever is chosen. */
static int add_eligible(const struct ce_target_spec *target, struct ce_names *claims,
                        struct ce_error *err)
{
    struct ce_process_list trees = {0};
    if (ce_target_trees(target, &trees, NULL) < 0)
        return 0;
    int r = 0;
    for (size_t i = 0; i < trees.count && r >= 0; i++) {
        const struct ce_subject tree = {.has = CE_SUBJECT_PROCESS, .process = trees.items[i]};
        r = add_processes(&tree, claims, err);
    }
    ce_process_list_done(&trees);
    return r;
}

static int add_target(const struct ce_experiment *experiment, const char *state_dir,
                      struct ce_names *claims, struct ce_error *err)
{
    struct ce_target_found found = {0};
    if (experiment->blast.of == CE_BLAST_PROCESSES)
        return add_eligible(&experiment->target, claims, err);
    if (!ce_target_is_explicit(&experiment->target) ||
        ce_aim_find(experiment, &experiment->target, state_dir, &found, NULL) < 0)
        return 0;
    const struct ce_subject *subject = &found.subject;
    CE_TRY(add(claims, strdup(subject->name), err));
    if (subject->has & (CE_SUBJECT_PROCESS | CE_SUBJECT_GROUP))
        CE_TRY(add_processes(subject, claims, err));
    if (subject->has & CE_SUBJECT_DEVICE)
        return add_filesystem(subject->device, claims, err);
    if (experiment->target.path)
        return add_filesystem(subject->folder, claims, err);
    return 0;
}

int ce_claims_of(const struct ce_experiment *experiment, const struct ce_pipeline_spec *pipeline,
                 const char *state_dir, struct ce_names *ret_claims, struct ce_error *err)
{
    struct ce_names claims = {0};
    int r = add_pipeline(pipeline, &claims, err);
    if (r >= 0)
        r = add_target(experiment, state_dir, &claims, err);
    if (r < 0)
        ce_names_done(&claims);
    else
        *ret_claims = claims;
    return r;
}

bool ce_claims_meet(const struct ce_names *a, const struct ce_names *b)
{
    for (size_t i = 0; i < a->count; i++)
        if (ce_text_is_among(a->names[i], (const char *const *)b->names, b->count))
            return true;
    return false;
}
