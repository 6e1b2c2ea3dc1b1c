/* SPDX-License-Identifier: MIT */
#include "host/leak.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"

/* What the process calls itself, in the innermost of its pid namespaces. */
static int own_number(const struct ce_process_id *process)
{
    char path[64], line[256];
    int number = process->pid;
    snprintf(path, sizeof path, "/proc/%d/status", (int)process->pid);
    ce_autofile FILE *status = fopen(path, "re");
    while (status && fgets(line, sizeof line, status)) {
        if (strncmp(line, "NSpid:", 6) != 0)
            continue;
        const char *last = strrchr(line, '\t');
        number = last ? atoi(last) : number;
    }
    return number;
}

int ce_leak_open(const char *folder, const struct ce_process_id *process, struct ce_error *err)
{
    ce_autofree char *path = ce_format("%s/leak.%d", folder, own_number(process));
    if (!path)
        return ce_fail_memory(err);
    int leak = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    if (leak >= 0)
        return leak;
    return ce_fail(err, ENOTSUP,
                   "process %d has not loaded the helper that leaks: it is linked statically, or "
                   "drops LD_PRELOAD",
                   (int)process->pid);
}

int ce_leak_set(int leak, uint64_t bytes_per_second, uint64_t limit, struct ce_error *err)
{
    char line[64];
    int size = snprintf(line, sizeof line, "%" PRIu64 " %" PRIu64 "\n", bytes_per_second, limit);
    if (write(leak, line, (size_t)size) == size)
        return 0;
    return ce_fail(err, ESRCH, "the process that leaks has ended: %s", strerror(errno));
}
