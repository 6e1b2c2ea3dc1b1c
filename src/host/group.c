/* SPDX-License-Identifier: MIT */
#include "host/group.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/random.h"
#include "base/seam.h"
#include "host/cgroup.h"
#include "host/group_internal.h"

enum { ROUNDS_MAX = 100 };

/* ---- where ---- */

/* Those that share among threads, so that a group may hand them down and have processes too. */
static bool is_threaded(const char *controller)
{
    static const char *const threaded[] = {"cpu", "cpuset", "perf_event", "pids"};
    for (size_t i = 0; i < CE_COUNT(threaded); i++)
        if (strcmp(controller, threaded[i]) == 0)
            return true;
    return false;
}

static bool has_word(const char *folder, const char *file, const char *word)
{
    char text[512], *rest;
    if (ce_cgroup_read(folder, file, text, sizeof text) < 0)
        return false;
    for (char *w = strtok_r(text, " \n", &rest); w; w = strtok_r(NULL, " \n", &rest))
        if (strcmp(w, word) == 0)
            return true;
    return false;
}

/* The one group that may do everything, which lacks what all others have. */
static bool is_root(const char *folder)
{
    ce_autofree char *type = ce_format("%s/cgroup.type", folder);
    return type && access(type, F_OK) < 0;
}

struct site {
    char *top;    /* where the hierarchy is mounted */
    char *home;   /* the group of the first process */
    char *above;  /* the group below which ours is made: home, or the one above it */
    char *folder; /* ours */
};

static void site_done(struct site *site)
{
    free(site->top);
    free(site->home);
    free(site->above);
    free(site->folder);
}

static int find_site(const char *controller, const char *controller2, pid_t pid, struct site *site,
                     struct ce_error *err)
{
    CE_TRY(ce_cgroup_find(pid, controller, &site->home, &site->top, err));
    site->above = strdup(site->home);
    if (!site->above)
        return ce_fail_memory(err);
    if (!controller && controller2 && !is_threaded(controller2) && !is_root(site->home)) {
        if (ce_group_is_ours(site->home))
            return ce_fail(err, EBUSY, "the processes are in control group '%s' of another fault",
                           site->home);
        if (strlen(site->home) <= strlen(site->top))
            return ce_fail(err, ENOTSUP,
                           "controller '%s' cannot be used below control group '%s', which has "
                           "processes, and there is none above it",
                           controller2, site->home);
        *strrchr(site->above, '/') = '\0';
    }
    site->folder = ce_format("%s/" CE_GROUP_PREFIX "%016" PRIx64, site->above, ce_random_seed());
    return site->folder ? 0 : ce_fail_memory(err);
}

/* What the kernel would refuse, said before anything is noted. */
static int check_site(const struct site *site, const char *controller2, struct ce_error *err)
{
    if (access(site->above, W_OK) < 0)
        return ce_fail(err, errno, "cannot make a control group in '%s': %s", site->above,
                       strerror(errno));
    if (controller2 && !has_word(site->top, "cgroup.controllers", controller2))
        return ce_fail(err, ENOTSUP, "control groups of version 2 have no controller '%s' here",
                       controller2);
    return 0;
}

/* ---- the note ---- */

static int put_origins(json_t *args, const char *controller, const struct site *site,
                       const struct ce_process_list *processes, struct ce_error *err)
{
    ce_autojson json_t *origins = json_array();
    bool several = false;
    for (size_t i = 0; i < processes->count; i++) {
        ce_autofree char *home = NULL;
        const struct ce_process_id *id = &processes->items[i];
        if (ce_cgroup_find(id->pid, controller, &home, NULL, NULL) < 0)
            continue;
        several = several || strcmp(home, site->home) != 0;
        if (json_array_append_new(origins,
                                  json_pack("{s:i, s:I, s:s}", "pid", (int)id->pid, "start",
                                            (json_int_t)id->start, "home", home)) < 0)
            return ce_fail_memory(err);
    }
    /* All from one group: whoever is found in ours goes there. */
    if (several && json_object_set(args, "origins", origins) < 0)
        return ce_fail_memory(err);
    return 0;
}

static int note_group(struct ce_journal *journal, const char *controller, const struct site *site,
                      const struct ce_process_list *processes, struct ce_error *err)
{
    char boot[CE_BOOT_ID_SIZE];
    ce_boot_id(boot);
    ce_autojson json_t *args = json_pack("{s:s, s:s, s:s, s:s}", "boot", boot, "folder",
                                         site->folder, "home", site->home, "top", site->top);
    if (!args)
        return ce_fail_memory(err);
    CE_TRY(put_origins(args, controller, site, processes, err));
    return ce_undo_note(journal, "leave-group", ce_take(args), err);
}

/* ---- making it ---- */

static int hand_down_at(const char *at, const char *controller, struct ce_error *err)
{
    char order[32];
    if (has_word(at, "cgroup.subtree_control", controller))
        return 0;
    ce_autofree char *mark = ce_format("%s/" CE_GROUP_ENABLED "%s", at, controller);
    if (!mark)
        return ce_fail_memory(err);
    if (mkdir(mark, 0755) < 0 && errno != EEXIST)
        return ce_fail(err, errno, "cannot make control group '%s': %s", mark, strerror(errno));
    ce_seam_step("group: mark made");
    snprintf(order, sizeof order, "+%s", controller);
    int r = ce_cgroup_write(at, "cgroup.subtree_control", order);
    ce_seam_step("group: controller handed down");
    return r < 0
               ? ce_fail(err, ENOTSUP, "control group '%s' does not hand controller '%s' down: %s",
                         at, controller, strerror(-r))
               : 0;
}

static int make_folder(const struct site *site, struct ce_error *err)
{
    if (mkdir(site->folder, 0755) < 0)
        return ce_fail(err, errno, "cannot make control group '%s': %s", site->folder,
                       strerror(errno));
    ce_seam_step("group: made");
    return 0;
}

/* Has every group from the one whose path is `n` long to `above` hand the controller down, and
 * makes ours. None of them is to be told otherwise by the undo of another before that. */
static int make_below(const struct site *site, const char *controller, size_t n,
                      struct ce_error *err)
{
    ce_autofree char *at = ce_format("%.*s", (int)n, site->above);
    if (!at)
        return ce_fail_memory(err);
    int lock = ce_group_lock(at); /* who may not have one goes on without */
    int r = hand_down_at(at, controller, err);
    if (r == 0) {
        const char *rest = site->above + n;
        r = *rest == '\0' ? make_folder(site, err)
                          : make_below(site, controller, n + 1 + strcspn(rest + 1, "/"), err);
    }
    ce_group_unlock(lock);
    return r;
}

int ce_group_join(const char *folder, pid_t pid, struct ce_error *err)
{
    int r = ce_group_move(folder, pid);
    return r < 0 ? ce_fail(err, -r, "cannot move process %d into control group '%s': %s", (int)pid,
                           folder, strerror(-r))
                 : 0;
}

/* Those that are there by birth are moved once more, which is nothing. */
static int move_all(const char *folder, const struct ce_process_list *processes,
                    struct ce_error *err)
{
    struct ce_process_list all = {.items = calloc(processes->count, sizeof *all.items),
                                  .count = processes->count};
    if (!all.items)
        return ce_fail_memory(err);
    memcpy(all.items, processes->items, all.count * sizeof *all.items);
    int r = 0, added = 1;
    size_t moved = 0;
    for (size_t i = 0, rounds = 0; r == 0 && added > 0 && rounds < ROUNDS_MAX; rounds++) {
        for (; r == 0 && i < all.count; i++) {
            if (!ce_process_alive(&all.items[i]))
                continue;
            r = ce_group_join(folder, all.items[i].pid, err);
            if (r == -ESRCH)
                r = 0;
            else
                moved++;
        }
        if (r == 0)
            r = added = ce_process_list_grow(&all, err);
        if (r > 0)
            r = 0;
    }
    ce_process_list_done(&all);
    if (r == 0 && moved == 0)
        r = ce_fail(err, ESRCH, "process %d is gone", (int)processes->items[0].pid);
    return r;
}

static int make_group(const struct site *site, const char *controller2,
                      const struct ce_process_list *processes, struct ce_error *err)
{
    CE_TRY(controller2 ? make_below(site, controller2, strlen(site->top), err)
                       : make_folder(site, err));
    char type[32] = "";
    (void)ce_cgroup_read(site->folder, "cgroup.type", type, sizeof type);
    int r = strcmp(type, "domain invalid") == 0
                ? ce_cgroup_write(site->folder, "cgroup.type", "threaded")
                : 0;
    if (r < 0)
        return ce_fail(err, ENOTSUP, "control group '%s' cannot share among threads: %s",
                       site->folder, strerror(-r));
    CE_TRY(move_all(site->folder, processes, err));
    ce_seam_step("group: processes moved");
    return 0;
}

int ce_group_make(struct ce_journal *journal, const char *controller, const char *controller2,
                  const struct ce_process_list *processes, int *ret_note, char **ret_folder,
                  struct ce_error *err)
{
    CE_CLEANUP(site_done) struct site site = {0};
    if (processes->count == 0)
        return ce_fail(err, ESRCH, "there is no process to move into a control group");
    for (size_t i = 0; i < processes->count; i++)
        if (processes->items[i].pid == getpid())
            return ce_fail(err, EPERM, "ChaosEater itself is one of the processes below %d",
                           (int)processes->items[0].pid);
    CE_TRY(find_site(controller, controller2, processes->items[0].pid, &site, err));
    CE_TRY(check_site(&site, controller2, err));
    int note = note_group(journal, controller, &site, processes, err);
    if (note < 0)
        return note;
    *ret_note = note;
    *ret_folder = strdup(site.folder);
    return *ret_folder ? make_group(&site, controller2, processes, err) : ce_fail_memory(err);
}

/* ---- what the host offers ---- */

bool ce_group_available(const char *controller, const char *controller2, char *detail, size_t size)
{
    CE_CLEANUP(site_done) struct site site = {0};
    struct ce_error err = {0};
    int r = find_site(controller, controller2, getpid(), &site, &err);
    if (r == 0)
        r = check_site(&site, controller2, &err);
    if (r < 0)
        snprintf(detail, size, "%s", err.message);
    else
        snprintf(detail, size, "control groups can be made in '%s'", site.above);
    return r == 0;
}
