/* SPDX-License-Identifier: MIT */
#include "base/seam.h"

#ifdef CE_SEAMS

#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static atomic_int steps;
static atomic_bool left;
static pid_t guard_pid;

void ce_seam_guard(pid_t pid)
{
    guard_pid = pid;
}

void ce_seam_leave(void)
{
    left = true;
}

bool ce_seam_no_effect(void)
{
    return getenv("CHAOSEATER_SEAM_NO_EFFECT") != NULL;
}

bool ce_seam_hurry(void)
{
    return getenv("CHAOSEATER_SEAM_HURRY") != NULL;
}

bool ce_seam_shifts_wall(void)
{
    return getenv("CHAOSEATER_SEAM_WALL") != NULL;
}

int64_t ce_seam_wall_shift(void)
{
    const char *path = getenv("CHAOSEATER_SEAM_WALL");
    FILE *file = path ? fopen(path, "re") : NULL;
    double seconds = 0;
    if (file && fscanf(file, "%lf", &seconds) != 1)
        seconds = 0;
    if (file)
        (void)fclose(file);
    return (int64_t)(seconds * 1e9);
}

void ce_seam_step(const char *what)
{
    if (left)
        return;
    int step = ++steps;
    const char *count_file = getenv("CHAOSEATER_SEAM_COUNT");
    if (count_file) {
        int fd = open(count_file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        if (fd >= 0) {
            dprintf(fd, "%d %s\n", step, what);
            (void)close(fd);
        }
        return;
    }
    const char *crash = getenv("CHAOSEATER_SEAM_CRASH");
    if (!crash || atoi(crash) != step)
        return;
    if (strstr(crash, ":all") && guard_pid > 0)
        (void)kill(guard_pid, SIGKILL);
    (void)kill(getpid(), SIGKILL);
}

#else
/* ISO C forbids an empty translation unit. */
extern int ce_seam_absent;
#endif
