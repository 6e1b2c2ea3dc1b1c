/* SPDX-License-Identifier: MIT */
#include "host/leak.h"

#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"

/* ---- reaching the helper ---- */

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
    int64_t give_up = ce_now() + CE_SECOND;
    for (;;) {
        int leak = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
        if (leak >= 0)
            return leak;
        /* Nobody reads there: perhaps it still gives back what leaked before. */
        if (errno != ENXIO || !ce_process_alive(process) || ce_now() > give_up)
            break;
        ce_sleep_until(ce_now() + CE_MILLISECOND);
    }
    /* Nobody reads where a program did that the process executed before: a shell, perhaps. */
    if (errno == ENOENT || errno == ENXIO)
        return ce_fail(err, ENOTSUP,
                       "process %d has not loaded the helper that leaks: its program is linked "
                       "statically, or something drops LD_PRELOAD",
                       (int)process->pid);
    return ce_fail(err, ENOTSUP, "the helper that leaks in process %d cannot be reached: %s",
                   (int)process->pid, strerror(errno));
}

/* Nobody reads any more: an error, and no signal that would end us. */
static ssize_t write_quietly(int fd, const void *data, size_t size)
{
    sigset_t broken, before;
    sigemptyset(&broken);
    sigaddset(&broken, SIGPIPE);
    (void)pthread_sigmask(SIG_BLOCK, &broken, &before);
    ssize_t n = write(fd, data, size);
    int code = errno;
    if (n < 0 && code == EPIPE)
        (void)sigtimedwait(&broken, NULL, &(struct timespec){0});
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = code;
    return n;
}

int ce_leak_set(int leak, const struct ce_leak_order *order, struct ce_error *err)
{
    if (write_quietly(leak, order, sizeof *order) == (ssize_t)sizeof *order)
        return 0;
    if (errno == EPIPE)
        return ce_fail(err, ESRCH, "the process that leaks has ended");
    return ce_fail(err, errno, "the helper that leaks takes no order: %s", strerror(errno));
}

/* ---- what it holds ---- */

/* The lines of one mapping end with its flags. */
static uint64_t sum_leaked(FILE *smaps)
{
    char *line = NULL;
    size_t room = 0;
    uint64_t sum = 0, held = 0, kib;
    while (getline(&line, &room, smaps) > 0) {
        if (sscanf(line, "Rss: %" SCNu64, &kib) == 1)
            held = kib * 1024;
        else if (sscanf(line, "Swap: %" SCNu64, &kib) == 1)
            held += kib * 1024;
        else if (strncmp(line, "VmFlags:", 8) == 0 && strstr(line, " dc"))
            sum += held;
    }
    free(line);
    return sum;
}

int ce_leak_held(const struct ce_process_id *process, uint64_t *ret_bytes, struct ce_error *err)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/smaps", (int)process->pid);
    ce_autofile FILE *smaps = ce_process_alive(process) ? fopen(path, "re") : NULL;
    int code = errno;
    if (smaps)
        *ret_bytes = sum_leaked(smaps);
    if (!ce_process_alive(process))
        return ce_fail(err, ESRCH, "process %d has ended", (int)process->pid);
    return smaps ? 0 : ce_fail(err, code, "cannot read '%s': %s", path, strerror(code));
}
