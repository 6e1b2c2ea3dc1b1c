/* SPDX-License-Identifier: MIT */
#include "host/restart.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/random.h"
#include "base/seam.h"
#include "base/spawn.h"
#include "host/process.h"

static const int64_t back_within = 15 * CE_SECOND, answer_within = 5 * CE_SECOND;

/* ---- what a process runs ---- */

struct program {
    json_int_t dev, ino, arguments;
};

/* False when it cannot be told, as of kernel threads. */
static bool look_at(pid_t pid, struct program *ret_program)
{
    char path[40];
    struct stat st = {0};
    ce_autofree char *text = NULL;
    size_t size;
    snprintf(path, sizeof path, "/proc/%d/exe", (int)pid);
    (void)stat(path, &st); /* somebody else's: its arguments must do */
    snprintf(path, sizeof path, "/proc/%d/cmdline", (int)pid);
    if (ce_file_read(path, 4 << 20, &text, &size, NULL) < 0 || size == 0)
        return false;
    *ret_program = (struct program){
        .dev = (json_int_t)st.st_dev,
        .ino = (json_int_t)st.st_ino,
        .arguments = (json_int_t)ce_hash_name(text, size),
    };
    return true;
}

static bool is_same(const struct program *a, const struct program *b)
{
    return a->dev == b->dev && a->ino == b->ino && a->arguments == b->arguments;
}

/* Calls `each` with every process that runs it, until that returns true. */
static bool any_running(const struct program *program,
                        bool (*each)(void *ctx, const struct ce_process_id *id), void *ctx)
{
    bool found = false;
    DIR *proc = opendir("/proc");
    if (!proc)
        return false;
    for (const struct dirent *name; !found && (name = readdir(proc));) {
        struct program other;
        struct ce_process_id id;
        pid_t pid = (pid_t)atoi(name->d_name);
        found = pid > 0 && look_at(pid, &other) && is_same(program, &other) &&
                ce_process_identify(pid, &id) == 0 && ce_process_alive(&id) && each(ctx, &id);
    }
    closedir(proc);
    return found;
}

static bool add_known(void *ctx, const struct ce_process_id *id)
{
    json_t *known = ctx;
    (void)json_array_append_new(known, json_pack("[iI]", (int)id->pid, (json_int_t)id->start));
    return false;
}

int ce_program_of(const struct ce_process_id *id, json_t **ret_program, struct ce_error *err)
{
    struct program program;
    ce_autojson json_t *known = json_array();
    if (!look_at(id->pid, &program) || !ce_process_alive(id))
        return ce_fail(err, ESRCH, "process %d is gone", (int)id->pid);
    (void)any_running(&program, add_known, known);
    ce_autojson json_t *args = ce_process_args(id);
    if (!args || json_object_set_new(args, "dev", json_integer(program.dev)) < 0 ||
        json_object_set_new(args, "ino", json_integer(program.ino)) < 0 ||
        json_object_set_new(args, "arguments", json_integer(program.arguments)) < 0 ||
        json_object_set(args, "known", known) < 0)
        return ce_fail_memory(err);
    *ret_program = ce_take(args);
    return 0;
}

struct search {
    const json_t *known;
    struct ce_process_id found;
};

static bool is_new(void *ctx, const struct ce_process_id *id)
{
    struct search *search = ctx;
    size_t i;
    const json_t *known;
    json_array_foreach(search->known, i, known)
    {
        if (json_integer_value(json_array_get(known, 0)) == id->pid &&
            json_integer_value(json_array_get(known, 1)) == (json_int_t)id->start)
            return false;
    }
    search->found = *id;
    return true;
}

bool ce_program_is_back(const json_t *program, struct ce_process_id *ret_id)
{
    struct program wanted = {
        .dev = json_integer_value(json_object_get(program, "dev")),
        .ino = json_integer_value(json_object_get(program, "ino")),
        .arguments = json_integer_value(json_object_get(program, "arguments")),
    };
    struct search search = {.known = json_object_get(program, "known")};
    struct ce_process_id old;
    if (ce_process_from_args(program, &old, NULL) == 0 && ce_process_alive(&old))
        return false;
    if (!any_running(&wanted, is_new, &search))
        return false;
    *ret_id = search.found;
    return true;
}

int ce_program_await(const json_t *program, int64_t timeout, struct ce_process_id *ret_id,
                     struct ce_error *err)
{
    for (int64_t until = ce_now() + timeout; !ce_program_is_back(program, ret_id);) {
        if (ce_now() >= until)
            return ce_fail(err, ETIMEDOUT,
                           "what process %d ran has not come back within %d seconds",
                           (int)json_integer_value(json_object_get(program, "pid")),
                           (int)(timeout / CE_SECOND));
        ce_sleep_until(ce_now() + 10 * CE_MILLISECOND);
    }
    return 0;
}

/* ---- the command line ---- */

int ce_undo_note_restart(struct ce_journal *journal, const json_t *program, const char *command,
                         struct ce_error *err)
{
    json_t *args = json_copy((json_t *)program);
    if (!args || json_object_set_new(args, "command", json_string(command)) < 0) {
        json_decref(args);
        return ce_fail(err, EINVAL, "restart: '%s' is no text", command);
    }
    return ce_undo_note(journal, "restart-program", args, err);
}

/* Whether a process that the shell left behind runs: it shares its session, whose number is the
 * shell's. */
static bool left_running(pid_t session)
{
    bool found = false;
    DIR *proc = opendir("/proc");
    if (!proc)
        return false;
    for (const struct dirent *name; !found && (name = readdir(proc));) {
        struct ce_process_id id;
        pid_t pid = (pid_t)atoi(name->d_name);
        found = pid > 0 && pid != session && getsid(pid) == session &&
                ce_process_identify(pid, &id) == 0 && ce_process_alive(&id);
    }
    closedir(proc);
    return found;
}

static int run_command(const json_t *program, const char *command, struct ce_error *err)
{
    const char *argv[] = {"/bin/sh", "-c", command, NULL};
    struct ce_spawn how = {.argv = argv};
    struct ce_process_id shell, id;
    int gate, status = 0;
    CE_TRY(ce_spawn(&how, &shell, &gate, err));
    int r = ce_spawn_go(gate, err);
    ce_seam_step("restart: command runs");
    /* Either it ends, or it is the program itself. */
    int64_t until = ce_now() + back_within;
    while (r == 0 && ce_process_reap(&shell, CE_SECOND / 10, &status) < 0) {
        if (ce_program_is_back(program, &id))
            return 0;
        if (ce_now() >= until)
            return ce_fail(err, ETIMEDOUT, "restart: '%s' goes on, and nothing came back", command);
    }
    if (r == 0 && status != 0)
        r = ce_fail(err, ECHILD, "restart: '%s' ended with %s %d", command,
                    WIFEXITED(status) ? "exit code" : "signal",
                    WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
    if (r < 0 || left_running(shell.pid))
        return r;
    return ce_program_await(program, until - ce_now(), &id, err);
}

static int restart_program(const json_t *args, struct ce_error *err)
{
    struct ce_process_id id;
    const char *command = json_string_value(json_object_get(args, "command"));
    int r = ce_process_from_args(args, &id, err);
    CE_TRY(r);
    if (!command || !json_is_array(json_object_get(args, "known")))
        return ce_fail(err, EINVAL, "the note does not say what is to be restarted");
    bool lives = r == 0 && ce_process_alive(&id);
    if (lives || ce_boot_is_another(json_string_value(json_object_get(args, "boot"))) ||
        ce_program_is_back(args, &id))
        return 0;
    return run_command(args, command, err);
}

const struct ce_undo_op ce_undo_restart_program = {.name = "restart-program",
                                                   .undo = restart_program};

/* ---- systemd ---- */

/* The system's unit that the process belongs to: "nginx.service". */
static bool unit_of(pid_t pid, char *ret_unit, size_t size)
{
    char path[40], *rest;
    ce_autofree char *text = NULL;
    size_t n;
    snprintf(path, sizeof path, "/proc/%d/cgroup", (int)pid);
    if (ce_file_read(path, 1 << 16, &text, &n, NULL) < 0)
        return false;
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        bool systemd = strncmp(line, "0::", 3) == 0 || strstr(line, ":name=systemd:");
        const char *end = strstr(line, ".service");
        if (!systemd || !end || strstr(line, "/user@"))
            continue;
        end += strlen(".service");
        const char *begin = end;
        while (begin > line && begin[-1] != '/')
            begin--;
        snprintf(ret_unit, size, "%.*s", (int)(end - begin), begin);
        return true;
    }
    return false;
}

bool ce_systemd_restarts(const struct ce_process_id *id, const char *systemctl, char *ret_unit,
                         size_t size)
{
    int pair[2], gate;
    char answer[64] = "";
    struct ce_process_id child;
    if (access(systemctl, X_OK) < 0 || !unit_of(id->pid, ret_unit, size) ||
        pipe2(pair, O_CLOEXEC) < 0)
        return false;
    const char *argv[] = {systemctl, "show", "--property=Restart", "--value", "--", ret_unit, NULL};
    struct ce_spawn how = {.argv = argv, .fds = {{pair[1], STDOUT_FILENO}}, .fd_count = 1};
    bool asked = ce_spawn(&how, &child, &gate, NULL) == 0;
    (void)close(pair[1]);
    if (asked) {
        asked = ce_spawn_go(gate, NULL) == 0 && read(pair[0], answer, sizeof answer - 1) > 0;
        if (ce_process_reap(&child, answer_within, NULL) < 0)
            (void)ce_process_end(&child, CE_SECOND, NULL);
    }
    (void)close(pair[0]);
    answer[strcspn(answer, "\n")] = '\0';
    static const char *const after_kill[] = {"always", "on-failure", "on-abnormal", "on-abort"};
    for (size_t i = 0; i < CE_COUNT(after_kill); i++)
        if (strcmp(answer, after_kill[i]) == 0)
            return true;
    return false;
}
