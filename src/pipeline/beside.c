/* SPDX-License-Identifier: MIT */
#include "pipeline/beside.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"

/* The file in `folder`, or in the place it has beside `folder` in a build tree. */
static char *find_in(const char *folder, const char *file)
{
    static const char *const below[] = {"", "src/pipeline/"};
    for (size_t i = 0; i < CE_COUNT(below); i++) {
        char *path = ce_format("%s/%s%s", folder, below[i], file);
        if (!path || access(path, R_OK) == 0)
            return path;
        free(path);
    }
    return NULL;
}

static char *find_beside(const char *other, const char *file)
{
    ce_autofree char *folder = strdup(other);
    char *slash = folder ? strrchr(folder, '/') : NULL;
    if (!slash)
        return NULL;
    *slash = '\0';
    return find_in(folder, file);
}

int ce_beside_find(const char *file, char **ret_path, struct ce_error *err)
{
    const char *named = getenv("CHAOSEATER_LIBEXEC");
    char *path = NULL;
    if (named && *named) {
        path = find_in(named, file);
        if (!path)
            return ce_fail(err, ENOENT, "CHAOSEATER_LIBEXEC is '%s', but %s is not in there", named,
                           file);
        *ret_path = path;
        return 0;
    }

    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n > 0) {
        self[n] = '\0';
        path = find_beside(self, file);
    }
    static const char here = 0;
    Dl_info library; /* an interpreter that loaded us lies elsewhere */
    if (!path && dladdr(&here, &library) && library.dli_fname)
        path = find_beside(library.dli_fname, file);
    if (!path)
        path = find_in(CE_LIBEXECDIR, file);
    if (!path)
        return ce_fail(err, ENOENT,
                       "cannot find %s, neither beside this program nor in " CE_LIBEXECDIR
                       "; set CHAOSEATER_LIBEXEC to its folder",
                       file);
    *ret_path = path;
    return 0;
}
