/* SPDX-License-Identifier: MIT */
#include "host/helper_page.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/seam.h"
#include "journal/undo_files.h"

struct ce_helper_control {
    struct ce_helper_page *page;
    char *path;
    struct stat st;
};

static int map(const char *path, struct ce_helper_page **ret_page, struct stat *ret_stat)
{
    ce_autofd int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || fstat(fd, ret_stat) < 0)
        return -errno;
    if (ret_stat->st_size < (off_t)sizeof **ret_page)
        return -EPROTO;
    struct ce_helper_page *page =
        mmap(NULL, sizeof *page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (page == MAP_FAILED)
        return -errno;
    if (page->magic != CE_HELPER_PAGE_MAGIC) {
        (void)munmap(page, sizeof *page);
        return -EPROTO;
    }
    *ret_page = page;
    return 0;
}

int ce_helper_page_make(const char *folder, struct ce_error *err)
{
    const struct ce_helper_page page = {.magic = CE_HELPER_PAGE_MAGIC};
    ce_autofree char *path = ce_format("%s/" CE_HELPER_PAGE, folder);
    if (!path)
        return ce_fail_memory(err);
    if (access(path, F_OK) == 0)
        return 0;
    return ce_file_replace(path, &page, sizeof page, err);
}

int ce_helper_control_open(const char *folder, struct ce_helper_control **ret_control,
                           struct ce_error *err)
{
    struct stat st;
    struct ce_helper_control *control = calloc(1, sizeof *control);
    ce_autofree char *plain = ce_format("%s/" CE_HELPER_PAGE, folder);
    if (!control || !plain) {
        free(control);
        return ce_fail_memory(err);
    }
    control->path = realpath(plain, NULL);
    int r = control->path ? map(control->path, &control->page, &st) : -errno;
    if (r < 0) {
        ce_helper_control_close(control);
        return ce_fail(err, -r, "the helpers at '%s' cannot be reached: %s", folder, strerror(-r));
    }
    control->st = st;
    *ret_control = control;
    return 0;
}

void ce_helper_control_close(struct ce_helper_control *control)
{
    if (!control)
        return;
    if (control->page)
        (void)munmap(control->page, sizeof *control->page);
    free(control->path);
    free(control);
}

const struct ce_helper_page *ce_helper_control_page(const struct ce_helper_control *control)
{
    return control->page;
}

/* ---- disarming ---- */

static _Atomic uint32_t *word_of(struct ce_helper_page *page, const char *what)
{
    return strcmp(what, "gpu") == 0 ? &page->gpu : strcmp(what, "clock") == 0 ? &page->clock : NULL;
}

static int note_disarm(const struct ce_helper_control *control, struct ce_journal *journal,
                       const char *what, int *ret_note, struct ce_error *err)
{
    if (*word_of(control->page, what) != 0)
        return ce_fail(err, EBUSY, "another fault acts through the %s helper at '%s' already", what,
                       control->path);
    ce_autojson json_t *args = ce_undo_file_args(&control->st);
    if (!args || json_object_set_new(args, "path", json_string(control->path)) < 0 ||
        json_object_set_new(args, "what", json_string(what)) < 0)
        return ce_fail_memory(err);
    int note = ce_undo_note(journal, "disarm-helpers", ce_take(args), err);
    CE_TRY(note);
    *ret_note = note;
    return 0;
}

static int disarm(const json_t *args, struct ce_error *err)
{
    const char *path, *what;
    struct ce_helper_page *page;
    struct stat st;
    if (json_unpack((json_t *)args, "{s:s, s:s}", "path", &path, "what", &what) < 0)
        return ce_fail(err, EINVAL, "the note does not say which helpers are meant");
    int r = map(path, &page, &st);
    if (r == -ENOENT) /* whoever listened there has been taken down */
        return 0;
    if (r == -EPROTO || r == -ELOOP || (r == 0 && !ce_undo_is_same_file(args, &st))) {
        if (r == 0)
            (void)munmap(page, sizeof *page);
        return CE_UNDO_FOREIGN;
    }
    if (r < 0)
        return ce_fail(err, -r, "the helpers at '%s' cannot be disarmed: %s", path, strerror(-r));
    _Atomic uint32_t *word = word_of(page, what);
    if (word)
        *word = 0;
    (void)munmap(page, sizeof *page);
    ce_seam_step("helpers: disarmed");
    return word ? 0 : ce_fail(err, EINVAL, "there is no helper called '%s'", what);
}

const struct ce_undo_op ce_undo_disarm_helpers = {.name = "disarm-helpers", .undo = disarm};

/* ---- arming ---- */

int ce_helper_arm_gpu(const struct ce_helper_control *control, struct ce_journal *journal,
                      enum ce_gpu_mode mode, int *ret_note, struct ce_error *err)
{
    CE_TRY(note_disarm(control, journal, "gpu", ret_note, err));
    if (!ce_seam_no_effect())
        control->page->gpu = (uint32_t)mode;
    ce_seam_step("helpers: gpu armed");
    return 0;
}

void ce_helper_set_clock(const struct ce_helper_control *control, const struct ce_clock_skew *skew)
{
    struct ce_helper_page *page = control->page;
    if (ce_seam_no_effect())
        return;
    uint32_t order = page->clock_orders + 1;
    if (order == 0) /* which means that nothing is armed */
        order = 1;
    page->clock_orders = order;
    page->clock_slots[order % CE_CLOCK_SLOTS].clocks = skew->clocks;
    page->clock_slots[order % CE_CLOCK_SLOTS].offset = skew->offset;
    page->clock_slots[order % CE_CLOCK_SLOTS].drift = skew->drift;
    page->clock_slots[order % CE_CLOCK_SLOTS].begun = skew->begun;
    page->clock = order;
}

int ce_helper_arm_clock(const struct ce_helper_control *control, struct ce_journal *journal,
                        const struct ce_clock_skew *skew, int *ret_note, struct ce_error *err)
{
    CE_TRY(note_disarm(control, journal, "clock", ret_note, err));
    ce_helper_set_clock(control, skew);
    ce_seam_step("helpers: clock armed");
    return 0;
}

/* ---- who has loaded them ---- */

bool ce_helper_loaded(const struct ce_process_id *process, const char *library)
{
    char path[64];
    char *line = NULL;
    size_t room = 0;
    bool found = false;
    snprintf(path, sizeof path, "/proc/%d/maps", (int)process->pid);
    ce_autofile FILE *maps = fopen(path, "re");
    while (maps && !found && getline(&line, &room, maps) > 0) {
        const char *name = strrchr(line, '/');
        found = name && strncmp(name + 1, library, strlen(library)) == 0;
    }
    free(line);
    return found && ce_process_alive(process);
}
