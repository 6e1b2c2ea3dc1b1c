/* SPDX-License-Identifier: MIT */
#include "host/memory.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "host/cgroup.h"

static uint64_t meminfo(const char *field)
{
    ce_autofree char *text = NULL;
    size_t size;
    uint64_t kib = 0;
    if (ce_file_read("/proc/meminfo", 64 * 1024, &text, &size, NULL) < 0)
        return 0;
    const char *line = strstr(text, field);
    return line && sscanf(line + strlen(field), ": %" SCNu64, &kib) == 1 ? kib * 1024 : 0;
}

/* How the two versions of control groups spell a memory limit. */
static const struct spelling {
    const char *controller, *limit, *usage, *cache;
} spellings[] = {
    {NULL, "memory.max", "memory.current", "inactive_file"},
    {"memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"},
};

/* What one group's limit leaves. Pages of files that nobody used lately count as free, as in
 * MemAvailable. */
static uint64_t group_available(const struct spelling *spelling, const char *folder)
{
    uint64_t limit, usage, cache = 0;
    if (!ce_cgroup_number(folder, spelling->limit, NULL, &limit) ||
        !ce_cgroup_number(folder, spelling->usage, NULL, &usage))
        return UINT64_MAX; /* "max", or the top of the hierarchy */
    (void)ce_cgroup_number(folder, "memory.stat", spelling->cache, &cache);
    usage -= cache < usage ? cache : usage;
    return usage < limit ? limit - usage : 0;
}

uint64_t ce_memory_available(void)
{
    uint64_t least = meminfo("MemAvailable");
    for (size_t i = 0; i < CE_COUNT(spellings); i++) {
        ce_autofree char *folder = NULL;
        ce_autofree char *top = NULL;
        if (ce_cgroup_find(getpid(), spellings[i].controller, &folder, &top, NULL) < 0)
            continue;
        /* A limit of any ancestor binds too. */
        for (size_t n = strlen(top); strlen(folder) >= n;) {
            uint64_t available = group_available(&spellings[i], folder);
            if (available < least)
                least = available;
            char *slash = strrchr(folder, '/');
            if (!slash)
                break;
            *slash = '\0';
        }
    }
    return least;
}

uint64_t ce_memory_total(void)
{
    return meminfo("MemTotal");
}
