/* SPDX-License-Identifier: MIT */
#include "pipeline/leak_helper.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "pipeline/beside.h"

/* Absolute: the server may run in another folder. */
static int find_library(char **ret_path, struct ce_error *err)
{
    ce_autofree char *found = NULL;
    CE_TRY(ce_beside_find("libchaoseater-leak.so", &found, err));
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

bool ce_leak_helper_available(char *text, size_t size)
{
    struct ce_error err;
    ce_autofree char *library = NULL;
    bool found = find_library(&library, &err) == 0;
    snprintf(text, size, "%s", found ? library : err.message);
    return found;
}

int ce_leak_helper_init(const char *preload, const char *others, const char *folder,
                        struct ce_leak_helper *ret, struct ce_error *err)
{
    ce_autofree char *library = NULL;
    CE_TRY(find_library(&library, err));
    ce_autofree char *absolute = realpath(folder, NULL);
    if (!absolute)
        return ce_fail(err, errno, "cannot read '%s': %s", folder, strerror(errno));
    bool more = others && *others;
    struct ce_leak_helper helper = {{
        ce_format("%s=%s%s%s", preload, library, more ? ":" : "", more ? others : ""),
        ce_format("CHAOSEATER_LEAK=%s", absolute),
    }};
    if (!helper.variables[0] || !helper.variables[1]) {
        ce_leak_helper_done(&helper);
        return ce_fail_memory(err);
    }
    *ret = helper;
    return 0;
}

void ce_leak_helper_done(struct ce_leak_helper *helper)
{
    free(helper->variables[0]);
    free(helper->variables[1]);
    *helper = (struct ce_leak_helper){0};
}
