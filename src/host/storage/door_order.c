/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/seam.h"
#include "host/storage/door_page.h"
#include "journal/undo_files.h"

/* ---- disarming ---- */

static int disarm(const json_t *args, struct ce_error *err)
{
    const char *path;
    struct ce_door_page *page;
    struct stat st;
    if (json_unpack((json_t *)args, "{s:s}", "path", &path) < 0)
        return ce_fail(err, EINVAL, "the note does not say which page is meant");
    int r = ce_door_page_map_file(path, &page, &st);
    if (r == -ENOENT) /* the target has been taken down */
        return 0;
    if (r == -EPROTO || r == -ELOOP)
        return CE_UNDO_FOREIGN;
    if (r < 0)
        return ce_fail(err, -r, "cannot use '%s': %s", path, strerror(-r));
    bool same = ce_undo_is_same_file(args, &st);
    if (same) {
        page->armed = 0;
        page->orders++;
    }
    ce_door_page_unmap(page);
    ce_seam_step("door: disarmed");
    return same ? 0 : CE_UNDO_FOREIGN;
}

const struct ce_undo_op ce_undo_disarm_door = {.name = "disarm-door", .undo = disarm};

/* ---- arming ---- */

static int note_disarm(const char *helpers, struct ce_journal *journal, struct ce_error *err)
{
    struct stat st;
    ce_autofree char *plain = ce_format("%s/" CE_DOOR_PAGE, helpers);
    ce_autofree char *path = plain ? realpath(plain, NULL) : NULL;
    if (!plain)
        return ce_fail_memory(err);
    if (!path || stat(path, &st) < 0)
        return ce_fail(err, errno, "cannot see '%s': %s", plain, strerror(errno));
    ce_autojson json_t *args = ce_undo_file_args(&st);
    if (!args || json_object_set_new(args, "path", json_string(path)) < 0)
        return ce_fail_memory(err);
    return ce_undo_note(journal, "disarm-door", ce_take(args), err);
}

int ce_door_arm(struct ce_door_page *page, const char *helpers, const char *folder,
                const struct ce_storage_deed *deed, struct ce_journal *journal, int *ret_note,
                struct ce_error *err)
{
    if (page->armed)
        return ce_fail(err, EBUSY, "another fault answers the system calls of this target already");
    int note = note_disarm(helpers, journal, err);
    CE_TRY(note);
    *ret_note = note;
    memcpy(page->folder, folder, strlen(folder) + 1);
    ce_storage_gate_renew(&page->gate, deed);
    page->orders++;
    if (!ce_seam_no_effect())
        page->armed = 1;
    ce_seam_step("door: armed");
    return 0;
}

void ce_door_set(struct ce_door_page *page, const struct ce_storage_deed *deed)
{
    if (ce_seam_no_effect())
        return;
    ce_storage_gate_set(&page->gate, deed);
    page->orders++;
    ce_seam_step("door: adjusted");
}
