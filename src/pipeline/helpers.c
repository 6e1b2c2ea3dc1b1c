/* SPDX-License-Identifier: MIT */
#include "pipeline/helpers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "host/helper_page.h"
#include "host/storage/door_page.h"
#include "pipeline/beside.h"

static const struct {
    unsigned bit;
    const char *file;
    bool is_program;
} files[] = {
    {CE_HELPER_LEAK, "libchaoseater-leak.so", false},
    {CE_HELPER_GPU, "libchaoseater-gpu.so", false},
    {CE_HELPER_CLOCK, "libchaoseater-clock.so", false},
    {CE_HELPER_SYSCALLS, "chaoseater-door", true},
};

/* Absolute: the target may run in another folder. */
static int find(const char *file, char **ret_path, struct ce_error *err)
{
    ce_autofree char *found = NULL;
    CE_TRY(ce_beside_find(file, &found, err));
    char *path = realpath(found, NULL);
    if (!path)
        return ce_fail(err, errno, "cannot read '%s': %s", found, strerror(errno));
    if (strpbrk(path, " :")) {
        int r = ce_fail(err, EINVAL,
                        "LD_PRELOAD cannot name '%s': a space or colon in a path ends it; install "
                        "ChaosEater elsewhere",
                        path);
        free(path);
        return r;
    }
    *ret_path = path;
    return 0;
}

static int append(char **list, const char *more, struct ce_error *err)
{
    char *longer = *list ? ce_format("%s:%s", *list, more) : strdup(more);
    if (!longer)
        return ce_fail_memory(err);
    free(*list);
    *list = longer;
    return 0;
}

static int add(struct ce_helpers *helpers, char *variable, struct ce_error *err)
{
    if (!variable)
        return ce_fail_memory(err);
    helpers->variables[helpers->count++] = variable;
    return 0;
}

static int fill(struct ce_helpers *helpers, unsigned which, const char *preload, const char *others,
                const char *folder, struct ce_error *err)
{
    ce_autofree char *libraries = NULL;
    for (size_t i = 0; i < CE_COUNT(files); i++) {
        ce_autofree char *path = NULL;
        if (!(which & files[i].bit))
            continue;
        CE_TRY(find(files[i].file, &path, err));
        if (files[i].is_program)
            helpers->prefix[helpers->prefix_count++] = ce_take(path);
        else
            CE_TRY(append(&libraries, path, err));
    }
    if (libraries && others && *others)
        CE_TRY(append(&libraries, others, err));
    if (libraries)
        CE_TRY(add(helpers, ce_format("%s=%s", preload, libraries), err));
    ce_autofree char *absolute = realpath(folder, NULL);
    if (!absolute)
        return ce_fail(err, errno, "cannot read '%s': %s", folder, strerror(errno));
    if (which & (CE_HELPER_GPU | CE_HELPER_CLOCK))
        CE_TRY(ce_helper_page_make(absolute, err));
    if (which & CE_HELPER_SYSCALLS)
        CE_TRY(ce_door_page_make(absolute, err));
    return add(helpers, ce_format("CHAOSEATER_HELPERS=%s", absolute), err);
}

int ce_helpers_init(unsigned which, const char *preload, const char *others, const char *folder,
                    struct ce_helpers *ret, struct ce_error *err)
{
    struct ce_helpers helpers = {.count = 0};
    int r = which & CE_HELPERS_ALL ? fill(&helpers, which, preload, others, folder, err) : 0;
    if (r < 0) {
        ce_helpers_done(&helpers);
        return r;
    }
    *ret = helpers;
    return 0;
}

/* What the document has the program load, or this process's environment does. */
static const char *preloaded(const struct ce_names *given)
{
    static const char preload[] = "LD_PRELOAD=";
    for (size_t i = given->count; i > 0; i--)
        if (strncmp(given->names[i - 1], preload, strlen(preload)) == 0)
            return given->names[i - 1] + strlen(preload);
    return getenv("LD_PRELOAD");
}

int ce_helpers_env(unsigned which, const struct ce_names *given, const char *folder, char *more,
                   struct ce_helpers *ret_helpers, struct ce_names *ret_env, struct ce_error *err)
{
    CE_TRY(ce_helpers_init(which, "LD_PRELOAD", preloaded(given), folder, ret_helpers, err));
    struct ce_names env = {
        .names = calloc(given->count + CE_HELPER_VARIABLES_MAX + 2, sizeof *env.names)};
    if (!env.names)
        return ce_fail_memory(err);
    for (size_t i = 0; i < given->count; i++)
        env.names[env.count++] = given->names[i];
    for (size_t i = 0; i < ret_helpers->count; i++)
        env.names[env.count++] = ret_helpers->variables[i];
    if (more)
        env.names[env.count++] = more;
    *ret_env = env;
    return 0;
}

void ce_helpers_done(struct ce_helpers *helpers)
{
    for (size_t i = 0; i < helpers->count; i++)
        free(helpers->variables[i]);
    for (size_t i = 0; i < helpers->prefix_count; i++)
        free(helpers->prefix[i]);
    *helpers = (struct ce_helpers){.count = 0};
}

static size_t length(const char *const *list)
{
    size_t n = 0;
    while (list[n])
        n++;
    return n;
}

const char **ce_helpers_argv(const char *const *prefix, const char *const *argv)
{
    size_t before = length(prefix), own = length(argv);
    const char **all = calloc(before + own + 1, sizeof *all);
    if (!all)
        return NULL;
    memcpy(all, prefix, before * sizeof *all);
    memcpy(all + before, argv, own * sizeof *all);
    return all;
}

bool ce_helpers_available(unsigned which, char *text, size_t size)
{
    struct ce_error err;
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < CE_COUNT(files); i++) {
        ce_autofree char *path = NULL;
        if (!(which & files[i].bit))
            continue;
        if (find(files[i].file, &path, &err) < 0) {
            snprintf(text, size, "%s", err.message);
            return false;
        }
        int n = snprintf(text + used, size - used, "%s%s", used > 0 ? ", " : "", path);
        used += n > 0 && (size_t)n < size - used ? (size_t)n : 0;
    }
    return true;
}
