/* SPDX-License-Identifier: MIT */
#include "host/process.h"

#include <dirent.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/seam.h"
#include "base/spawn.h"

static const int64_t end_within = 5 * CE_SECOND;
static const int64_t state_within = 2 * CE_SECOND;

json_t *ce_process_args(const struct ce_process_id *id)
{
    char boot[CE_BOOT_ID_SIZE];
    ce_boot_id(boot);
    return json_pack("{s:i, s:I, s:s}", "pid", (int)id->pid, "start", (json_int_t)id->start, "boot",
                     boot);
}

int ce_process_from_args(const json_t *args, struct ce_process_id *ret_id, struct ce_error *err)
{
    int pid;
    json_int_t start;
    const char *noted;
    if (json_unpack((json_t *)args, "{s:i, s:I, s:s}", "pid", &pid, "start", &start, "boot",
                    &noted) < 0 ||
        pid <= 0)
        return ce_fail(err, EINVAL, "the note does not say which process is meant");
    struct ce_process_id id = {.pid = pid, .start = (uint64_t)start}, now;
    if (ce_boot_is_another(noted))
        return CE_PROCESS_GONE;
    int r = ce_process_identify(pid, &now);
    if (r == -ESRCH)
        return CE_PROCESS_GONE;
    if (r < 0)
        return ce_fail(err, -r, "cannot tell who process %d is: %s", pid, strerror(-r));
    if (now.start != id.start)
        return CE_PROCESS_FOREIGN;
    *ret_id = id;
    return 0;
}

/* ---- ending ---- */

static int end_process(const json_t *args, struct ce_error *err)
{
    struct ce_process_id id;
    int r = ce_process_from_args(args, &id, err);
    if (r != 0)
        return r == CE_PROCESS_GONE ? 0 : r == CE_PROCESS_FOREIGN ? CE_UNDO_FOREIGN : r;
    return ce_process_end(&id, end_within, err);
}

const struct ce_undo_op ce_undo_end_process = {.name = "end-process", .undo = end_process};

int ce_undo_note_process(struct ce_journal *journal, const struct ce_process_id *id,
                         struct ce_error *err)
{
    return ce_undo_note(journal, "end-process", ce_process_args(id), err);
}

int ce_process_kill(const struct ce_process_id *id, struct ce_error *err)
{
    if (ce_seam_no_effect())
        return 0;
    /* Opened before the signal: it tells of the end even when the pid is reused at once. */
    ce_autofd int fd = ce_process_open(id->pid);
    ce_seam_step("process: kill");
    int r = ce_process_signal(id, SIGKILL);
    ce_seam_step("process: killed");
    if (r < 0)
        return ce_fail(err, -r, "cannot kill process %d: %s", (int)id->pid, strerror(-r));
    struct pollfd pollfd = {.fd = fd, .events = POLLIN};
    while (poll(&pollfd, 1, (int)(state_within / CE_MILLISECOND)) < 0 && errno == EINTR)
        ;
    return pollfd.revents
               ? 0
               : ce_fail(err, ETIMEDOUT, "process %d is still there after SIGKILL", (int)id->pid);
}

/* ---- stopping ---- */

/* Whether a thread of the process is in state 'T', or is not. A signal reaches one thread after the
 * other, and the first of them is not always the last to stop. */
static bool has_thread(const struct ce_process_id *id, bool stopped)
{
    ce_autofree char *path = ce_format("/proc/%d/task", (int)id->pid);
    DIR *tasks = path ? opendir(path) : NULL;
    bool found = false;
    if (!tasks)
        return false;
    for (const struct dirent *task; !found && (task = readdir(tasks));) {
        struct ce_process_id thread;
        if (task->d_name[0] != '.' && ce_process_identify(atoi(task->d_name), &thread) == 0)
            found = (ce_process_state(&thread) == 'T') == stopped;
    }
    closedir(tasks);
    return found;
}

bool ce_process_await_stopped(const struct ce_process_id *id, bool stopped)
{
    int64_t until = ce_now() + state_within;
    for (;;) {
        char state = ce_process_state(id);
        if (state == 0 || state == 'Z')
            return !stopped;
        if (!has_thread(id, !stopped))
            return true;
        if (ce_now() >= until)
            return false;
        ce_sleep_until(ce_now() + CE_MILLISECOND / 4);
    }
}

/* ---- looking ---- */

int64_t ce_process_cpu_time(const struct ce_process_id *id)
{
    clockid_t clock;
    struct timespec t;
    if (!ce_process_alive(id) || clock_getcpuclockid(id->pid, &clock) != 0 ||
        clock_gettime(clock, &t) < 0)
        return 0;
    return (int64_t)t.tv_sec * CE_SECOND + t.tv_nsec;
}

uint64_t ce_process_status_bytes(const struct ce_process_id *id, const char *field)
{
    char path[40], wanted[32];
    snprintf(path, sizeof path, "/proc/%d/status", (int)id->pid);
    snprintf(wanted, sizeof wanted, "\n%s:", field);
    ce_autofree char *text = NULL;
    size_t size;
    if (!ce_process_alive(id) || ce_file_read(path, 64 * 1024, &text, &size, NULL) < 0)
        return 0;
    const char *line = strstr(text, wanted);
    uint64_t kib = 0;
    return line && sscanf(line + strlen(wanted), "%" SCNu64, &kib) == 1 ? kib * 1024 : 0;
}
