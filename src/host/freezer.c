/* SPDX-License-Identifier: MIT */
#include "host/freezer.h"

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
#include "host/group.h"

static const int64_t settle_within = 3 * CE_SECOND;

/* How the two versions of control groups spell the same thing. */
static const struct spelling {
    const char *tag, *controller;
    const char *file, *freeze, *thaw;
} spellings[] = {
    [CE_FREEZER_V2] = {"v2", NULL, "cgroup.freeze", "1", "0"},
    [CE_FREEZER_V1] = {"v1", "freezer", "freezer.state", "FROZEN", "THAWED"},
};

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

static int freeze_in(enum ce_freezer_kind kind, const char *folder, struct ce_error *err)
{
    if (ce_seam_no_effect())
        return 0;
    int r = ce_cgroup_write(folder, spellings[kind].file, spellings[kind].freeze);
    ce_seam_step("freezer: frozen");
    if (r < 0)
        return ce_fail(err, -r, "cannot freeze control group '%s': %s", folder, strerror(-r));
    if (!await_frozen(kind, folder))
        return ce_fail(err, EBUSY, "the processes in control group '%s' did not freeze", folder);
    return 0;
}

int ce_freezer_freeze(struct ce_journal *journal, enum ce_freezer_kind kind,
                      const struct ce_process_list *processes, int *ret_note, char **ret_folder,
                      struct ce_error *err)
{
    CE_TRY(ce_group_make(journal, spellings[kind].controller, NULL, processes, ret_note, ret_folder,
                         err));
    return freeze_in(kind, *ret_folder, err);
}

/* ---- somebody else's group ---- */

int ce_freezer_freeze_group(struct ce_journal *journal, enum ce_freezer_kind kind,
                            const char *folder, int *ret_note, struct ce_error *err)
{
    struct stat st;
    char state[32], boot[CE_BOOT_ID_SIZE];
    const struct spelling *spelling = &spellings[kind];
    int r = stat(folder, &st) < 0 ? -errno
                                  : ce_cgroup_read(folder, spelling->file, state, sizeof state);
    if (r < 0)
        return ce_fail(err, -r, "control group '%s' has no %s: %s", folder, spelling->file,
                       strerror(-r));
    if (strcmp(state, spelling->thaw) != 0)
        return ce_fail(err, EBUSY, "control group '%s' is frozen already, by somebody else",
                       folder);
    ce_boot_id(boot);
    json_t *args =
        json_pack("{s:s, s:s, s:I, s:I, s:s}", "kind", spelling->tag, "folder", folder, "dev",
                  (json_int_t)st.st_dev, "ino", (json_int_t)st.st_ino, "boot", boot);
    int note = args ? ce_undo_note(journal, "thaw-group", args, err) : ce_fail_memory(err);
    if (note < 0)
        return note;
    *ret_note = note;
    return freeze_in(kind, folder, err);
}

static int thaw_group(const json_t *args, struct ce_error *err)
{
    const char *tag, *folder, *noted;
    json_int_t dev, ino;
    struct stat st;
    if (json_unpack((json_t *)args, "{s:s, s:s, s:I, s:I, s:s}", "kind", &tag, "folder", &folder,
                    "dev", &dev, "ino", &ino, "boot", &noted) < 0)
        return ce_fail(err, EINVAL, "the note does not say which control group is meant");
    enum ce_freezer_kind kind = strcmp(tag, "v1") == 0 ? CE_FREEZER_V1 : CE_FREEZER_V2;
    if (ce_boot_is_another(noted) || stat(folder, &st) < 0)
        return 0;
    if ((json_int_t)st.st_dev != dev || (json_int_t)st.st_ino != ino)
        return CE_UNDO_FOREIGN;
    int r = ce_cgroup_write(folder, spellings[kind].file, spellings[kind].thaw);
    ce_seam_step("freezer: group thawed");
    if (r == -ENOENT || r == -ENODEV) /* it has gone just now */
        return 0;
    return r < 0 ? ce_fail(err, -r, "cannot thaw control group '%s': %s", folder, strerror(-r)) : 0;
}

const struct ce_undo_op ce_undo_thaw_group = {.name = "thaw-group", .undo = thaw_group};

/* ---- what the host offers ---- */

bool ce_freezer_available(enum ce_freezer_kind kind, char *detail, size_t size)
{
    return ce_group_available(spellings[kind].controller, NULL, detail, size);
}
