/* SPDX-License-Identifier: MIT */
#include "host/freezer.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/seam.h"
#include "host/cgroup.h"
#include "host/process.h"

static const int64_t settle_within = 3 * CE_SECOND;

/* How the two versions of control groups spell the same thing. */
static const struct spelling {
    const char *name, *tag, *controller;
    const char *file, *freeze, *thaw;
} spellings[] = {
    [CE_FREEZER_V2] = {"cgroup v2", "v2", NULL, "cgroup.freeze", "1", "0"},
    [CE_FREEZER_V1] = {"cgroup v1 freezer", "v1", "freezer", "freezer.state", "FROZEN", "THAWED"},
};

const char *ce_freezer_kind_name(enum ce_freezer_kind kind)
{
    return spellings[kind].name;
}

bool ce_freezer_frozen(enum ce_freezer_kind kind, const char *folder)
{
    uint64_t frozen;
    char state[32];
    if (kind == CE_FREEZER_V2)
        return ce_cgroup_number(folder, "cgroup.events", "frozen", &frozen) && frozen == 1;
    return ce_cgroup_read(folder, spellings[kind].file, state, sizeof state) == 0 &&
           strcmp(state, "FROZEN") == 0;
}

static bool await_frozen(enum ce_freezer_kind kind, const char *folder)
{
    int64_t until = ce_now() + settle_within;
    while (!ce_freezer_frozen(kind, folder)) {
        if (ce_now() >= until)
            return false;
        ce_sleep_until(ce_now() + CE_MILLISECOND / 2);
    }
    return true;
}

static int join(const char *folder, pid_t pid)
{
    char text[16];
    snprintf(text, sizeof text, "%d", (int)pid);
    return ce_cgroup_write(folder, "cgroup.procs", text);
}

/* ---- freezing ---- */

static int freeze_in(enum ce_freezer_kind kind, const char *folder, const struct ce_process_id *id,
                     struct ce_error *err)
{
    const struct spelling *spelling = &spellings[kind];
    if (mkdir(folder, 0755) < 0)
        return ce_fail(err, errno, "cannot make control group '%s': %s", folder, strerror(errno));
    ce_seam_step("freezer: group made");
    int r = join(folder, id->pid);
    ce_seam_step("freezer: process moved");
    if (r == 0 && !ce_process_alive(id))
        r = -ESRCH;
    if (r == 0)
        r = ce_cgroup_write(folder, spelling->file, spelling->freeze);
    ce_seam_step("freezer: frozen");
    if (r < 0)
        return ce_fail(err, -r, "cannot freeze process %d in '%s': %s", (int)id->pid, folder,
                       strerror(-r));
    if (!await_frozen(kind, folder))
        return ce_fail(err, EBUSY, "process %d did not freeze in '%s'", (int)id->pid, folder);
    return 0;
}

int ce_freezer_freeze(struct ce_journal *journal, enum ce_freezer_kind kind,
                      const struct ce_process_id *id, int *ret_note, char **ret_folder,
                      struct ce_error *err)
{
    ce_autofree char *home = NULL;
    CE_TRY(ce_cgroup_find(id->pid, spellings[kind].controller, &home, NULL, err));
    ce_autofree char *folder =
        ce_format("%s/chaoseater-%d-%llu", home, (int)id->pid, (unsigned long long)id->start);
    json_t *args = ce_process_args(id);
    if (!folder || !args ||
        json_object_set_new(args, "kind", json_string(spellings[kind].tag)) < 0 ||
        json_object_set_new(args, "folder", json_string(folder)) < 0 ||
        json_object_set_new(args, "home", json_string(home)) < 0) {
        json_decref(args);
        return ce_fail_memory(err);
    }
    /* A group of that name is another run's, which froze the same process. */
    if (access(folder, F_OK) == 0) {
        json_decref(args);
        return ce_fail(err, EBUSY, "control group '%s' exists already", folder);
    }
    if (access(home, W_OK) < 0) {
        json_decref(args);
        return ce_fail(err, errno, "cannot make a control group in '%s': %s", home,
                       strerror(errno));
    }
    int note = ce_undo_note(journal, "thaw-process", args, err);
    if (note < 0)
        return note;
    *ret_note = note;
    *ret_folder = strdup(folder);
    if (!*ret_folder)
        return ce_fail_memory(err);
    return ce_seam_no_effect() ? 0 : freeze_in(kind, folder, id, err);
}

/* ---- thawing ---- */

/* Moves every process of the group to `home`. A process that ends meanwhile is fine. */
static void empty_group(const char *folder, const char *home)
{
    ce_autofree char *path = ce_format("%s/cgroup.procs", folder);
    ce_autofree char *text = NULL;
    size_t size;
    if (!path || ce_file_read(path, 1 << 20, &text, &size, NULL) < 0)
        return;
    char *rest;
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        int pid = atoi(line);
        if (pid > 0)
            (void)join(home, pid);
    }
}

static int thaw_process(const json_t *args, struct ce_error *err)
{
    const char *tag, *folder, *home;
    struct ce_process_id id;
    CE_TRY(ce_process_from_args(args, &id, err));
    if (json_unpack((json_t *)args, "{s:s, s:s, s:s}", "kind", &tag, "folder", &folder, "home",
                    &home) < 0)
        return ce_fail(err, EINVAL, "the note does not say which control group is meant");
    const struct spelling *spelling =
        &spellings[strcmp(tag, "v1") == 0 ? CE_FREEZER_V1 : CE_FREEZER_V2];

    /* The group is ours by its name, whatever has become of the process: it goes in any case. A
     * reboot took it along. */
    int r = ce_cgroup_write(folder, spelling->file, spelling->thaw);
    ce_seam_step("freezer: thawed");
    if (r == -ENOENT && access(folder, F_OK) < 0)
        return 0;
    if (r < 0)
        return ce_fail(err, -r, "cannot thaw control group '%s': %s", folder, strerror(-r));
    int64_t until = ce_now() + settle_within;
    for (;;) {
        empty_group(folder, home);
        if (rmdir(folder) == 0 || errno == ENOENT)
            return 0;
        if (errno != EBUSY || ce_now() >= until)
            return ce_fail(err, errno, "cannot remove control group '%s': %s", folder,
                           strerror(errno));
        ce_sleep_until(ce_now() + CE_MILLISECOND);
    }
}

const struct ce_undo_op ce_undo_thaw_process = {.name = "thaw-process", .undo = thaw_process};

/* ---- what the host offers ---- */

bool ce_freezer_available(enum ce_freezer_kind kind, char *detail, size_t size)
{
    ce_autofree char *folder = NULL;
    struct ce_error err = {0};
    if (ce_cgroup_find(getpid(), spellings[kind].controller, &folder, NULL, &err) < 0)
        snprintf(detail, size, "%s", err.message);
    else if (access(folder, W_OK) < 0)
        snprintf(detail, size, "no permission to make control groups in '%s'", folder);
    else {
        snprintf(detail, size, "control groups can be made in '%s'", folder);
        return true;
    }
    return false;
}
