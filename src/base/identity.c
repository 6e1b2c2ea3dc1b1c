/* SPDX-License-Identifier: MIT */
#include "base/identity.h"

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"

/* Reads a small /proc file; returns its length, or a negative errno. */
static ssize_t read_small(const char *path, char *buffer, size_t size)
{
    ce_autofd int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    ssize_t n = read(fd, buffer, size - 1);
    if (n < 0)
        return -errno;
    buffer[n] = '\0';
    return n;
}

void ce_boot_id(char ret_id[CE_BOOT_ID_SIZE])
{
    ssize_t n = read_small("/proc/sys/kernel/random/boot_id", ret_id, CE_BOOT_ID_SIZE);
    if (n < 0)
        n = 0;
    while (n > 0 && ret_id[n - 1] == '\n')
        n--;
    ret_id[n] = '\0';
}

bool ce_boot_is_another(const char *noted)
{
    char boot[CE_BOOT_ID_SIZE];
    ce_boot_id(boot);
    return *boot && *noted && strcmp(boot, noted) != 0;
}

/* The command name in field 2 may hold blanks and parentheses: the fields are counted from the last
 * ')'. */
static int read_stat(pid_t pid, char *ret_state, uint64_t *ret_start)
{
    char path[40], text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    ssize_t n = read_small(path, text, sizeof text);
    if (n <= 0)
        return n == 0 || n == -ENOENT ? -ESRCH : (int)n;
    const char *p = strrchr(text, ')');
    if (!p ||
        sscanf(
            p,
            ") %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %" SCNu64,
            ret_state, ret_start) != 2)
        return -ESRCH;
    return 0;
}

int ce_process_identify(pid_t pid, struct ce_process_id *ret_id)
{
    char state;
    uint64_t start;
    CE_TRY(read_stat(pid, &state, &start));
    *ret_id = (struct ce_process_id){.pid = pid, .start = start};
    return 0;
}

char ce_process_state(const struct ce_process_id *id)
{
    char state;
    uint64_t start;
    if (read_stat(id->pid, &state, &start) < 0 || start != id->start)
        return 0;
    return state;
}

bool ce_process_alive(const struct ce_process_id *id)
{
    char state;
    uint64_t start;
    int r = read_stat(id->pid, &state, &start);
    if (r < 0 && r != -ESRCH)
        return kill(id->pid, 0) == 0 || errno == EPERM;
    return r == 0 && start == id->start && state != 'Z' && state != 'X';
}

int ce_process_open(pid_t pid)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (fd >= 0)
        return fd;
    /* The pid is just being given up, or a thread of somebody has it now: EINVAL of older kernels,
     * ENOENT of newer ones. */
    return errno == EINVAL || errno == ENOENT ? -ESRCH : -errno;
}

int ce_process_signal(const struct ce_process_id *id, int signal)
{
    /* The pidfd pins the process: checked after it is opened, the identity cannot change before the
     * signal. */
    ce_autofd int fd = ce_process_open(id->pid);
    if (fd < 0)
        return fd;
    if (!ce_process_alive(id))
        return -ESRCH;
    if (syscall(SYS_pidfd_send_signal, fd, signal, NULL, 0) < 0)
        return -errno;
    return 0;
}
