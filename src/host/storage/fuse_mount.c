/* SPDX-License-Identifier: MIT */
#include "host/storage/fuse_mount.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/seam.h"
#include "base/spawn.h"
#include "host/process.h"

static const int64_t server_within = CE_SECOND;

/* ---- on ---- */

/* What holds for the filesystem below holds above it. */
static unsigned long mount_flags(int folder)
{
    static const struct {
        unsigned long below, above;
    } flags[] = {
        {ST_RDONLY, MS_RDONLY},     {ST_NOSUID, MS_NOSUID},   {ST_NODEV, MS_NODEV},
        {ST_NOEXEC, MS_NOEXEC},     {ST_NOATIME, MS_NOATIME}, {ST_NODIRATIME, MS_NODIRATIME},
        {ST_RELATIME, MS_RELATIME},
    };
    struct statvfs fs;
    unsigned long mount_flags = 0;
    if (fstatvfs(folder, &fs) == 0)
        for (size_t i = 0; i < CE_COUNT(flags); i++)
            mount_flags |= fs.f_flag & flags[i].below ? flags[i].above : 0;
    return mount_flags;
}

int ce_fuse_mount(const char *folder, const char *source, int device, int *ret_session,
                  int *ret_folder, struct ce_error *err)
{
    struct stat st;
    ce_autofd int below = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (below < 0 || fstat(below, &st) < 0)
        return ce_fail(err, errno, "cannot open folder '%s': %s", folder, strerror(errno));
    /* Opened in here: the kernel wants the user namespace in which it is mounted. */
    char name[16], options[160];
    snprintf(name, sizeof name, "%d", device);
    ce_autofd int session = open(name, O_RDWR | O_CLOEXEC);
    if (session < 0)
        return ce_fail(err, errno, "cannot open /dev/fuse: %s", strerror(errno));
    snprintf(options, sizeof options,
             "fd=%d,rootmode=%o,user_id=%u,group_id=%u,allow_other,default_permissions", session,
             st.st_mode & (unsigned)S_IFMT, (unsigned)geteuid(), (unsigned)getegid());
    if (mount(source, folder, CE_FUSE_TYPE, mount_flags(below), options) < 0)
        return ce_fail(err, errno, "cannot mount over '%s': %s", folder, strerror(errno));
    *ret_session = ce_take_fd(session);
    *ret_folder = ce_take_fd(below);
    return 0;
}

/* ---- mountinfo ---- */

struct line {
    unsigned id, parent;
    char *point, *type, *source;
};

/* "\040" and the like stand for characters that would end a field. */
static void unescape(char *text)
{
    char *to = text;
    for (const char *from = text; *from; to++) {
        unsigned value;
        if (from[0] == '\\' && sscanf(from + 1, "%3o", &value) == 1) {
            *to = (char)value;
            from += 4;
        } else {
            *to = *from++;
        }
    }
    *to = '\0';
}

/* Takes one line apart, in place. */
static bool parse_line(char *text, struct line *ret_line)
{
    char *rest, *fields[5];
    for (size_t i = 0; i < CE_COUNT(fields); i++)
        if (!(fields[i] = strtok_r(i == 0 ? text : NULL, " ", &rest)))
            return false;
    const char *field = "";
    while (field && strcmp(field, "-") != 0)
        field = strtok_r(NULL, " ", &rest);
    ret_line->type = strtok_r(NULL, " ", &rest);
    ret_line->source = strtok_r(NULL, " ", &rest);
    if (!ret_line->type || !ret_line->source)
        return false;
    ret_line->id = (unsigned)strtoul(fields[0], NULL, 10);
    ret_line->parent = (unsigned)strtoul(fields[1], NULL, 10);
    ret_line->point = fields[4];
    unescape(ret_line->point);
    return true;
}

/* Where the last mount of ours is: 1 and its path, 0: there is none. */
static int find_mount(int process, const char *source, char ret_point[PATH_MAX], bool *ret_covered,
                      struct ce_error *err)
{
    ce_autofd int fd = openat(process, "mountinfo", O_RDONLY | O_CLOEXEC);
    ce_autofile FILE *file = fd < 0 ? NULL : fdopen(fd, "r");
    if (!file)
        return ce_fail(err, errno, "cannot read the mounts of a process: %s", strerror(errno));
    (void)ce_take_fd(fd);
    ce_autofree char *text = NULL;
    size_t size = 0;
    unsigned id = 0;
    bool found = false;
    while (getline(&text, &size, file) >= 0) {
        struct line line;
        text[strcspn(text, "\n")] = '\0';
        if (!parse_line(text, &line))
            continue;
        if (found && line.parent == id && strcmp(line.point, ret_point) == 0)
            *ret_covered = true;
        if (strcmp(line.type, CE_FUSE_TYPE) != 0 || strcmp(line.source, source) != 0)
            continue;
        found = true;
        id = line.id;
        *ret_covered = false;
        snprintf(ret_point, PATH_MAX, "%s", line.point);
    }
    return found;
}

/* ---- off ---- */

int ce_fuse_detach(int process, const char *source, struct ce_error *err)
{
    char point[PATH_MAX];
    bool covered = false;
    for (int refused = 0;;) {
        int r = find_mount(process, source, point, &covered, err);
        if (r <= 0)
            return r;
        if (covered)
            return ce_fail(err, EBUSY, "something else has been mounted over '%s' since", point);
        /* Another undo may have been faster, which the next look shows. */
        if (umount2(point, MNT_DETACH | UMOUNT_NOFOLLOW) < 0 && refused++ > 0)
            return ce_fail(err, errno, "cannot unmount '%s': %s", point, strerror(errno));
    }
}

struct detachment {
    struct ce_place place;
    char source[CE_FUSE_SOURCE_SIZE];
};

/* In a child of its own that has not entered the place yet. */
static int detach_there(void *ctx, struct ce_error *err)
{
    const struct detachment *detachment = ctx;
    ce_autofd int process = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (process < 0)
        return ce_fail(err, errno, "cannot open /proc/self: %s", strerror(errno));
    CE_TRY(ce_place_enter(&detachment->place, CE_PLACE_MOUNTS, err));
    return ce_fuse_detach(process, detachment->source, err);
}

static int detach_in(const struct ce_place *place, const char *source, struct ce_error *err)
{
    struct detachment detachment = {.place = *place};
    snprintf(detachment.source, sizeof detachment.source, "%s", source);
    return ce_place_call(place, 0, detach_there, &detachment, 0, err);
}

/* ---- wherever it has got to ---- */

static bool process_has(pid_t pid, const char *source)
{
    char path[32], point[PATH_MAX];
    bool covered;
    snprintf(path, sizeof path, "/proc/%d", (int)pid);
    ce_autofd int process = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return process >= 0 && find_mount(process, source, point, &covered, NULL) > 0;
}

/* A process in whose mount namespace it is mounted; pid 0: there is none. Namespaces are looked at
 * once each, as far as they can be told apart. */
static struct ce_process_id find_process(const char *source)
{
    struct ce_process_id found = {0};
    ino_t seen[256];
    size_t count = 0;
    DIR *processes = opendir("/proc");
    if (!processes)
        return found;
    for (const struct dirent *entry; found.pid == 0 && (entry = readdir(processes));) {
        pid_t pid = (pid_t)atoi(entry->d_name);
        char path[48];
        struct stat st;
        snprintf(path, sizeof path, "/proc/%d/ns/mnt", (int)pid);
        if (pid <= 0 || stat(path, &st) < 0)
            continue;
        size_t i = 0;
        while (i < count && seen[i] != st.st_ino)
            i++;
        if (i < count)
            continue;
        if (count < CE_COUNT(seen))
            seen[count++] = st.st_ino;
        if (process_has(pid, source))
            (void)ce_process_identify(pid, &found);
    }
    closedir(processes);
    return found;
}

bool ce_fuse_is_mounted(const char *source)
{
    return find_process(source).pid > 0;
}

/* Who made a mount namespace of their own meanwhile took the mount along. */
static int detach_everywhere(const char *source, struct ce_error *err)
{
    for (;;) {
        struct ce_process_id id = find_process(source);
        struct ce_place place;
        if (id.pid == 0)
            return 0;
        int r = ce_place_of_process(&id, &place, err);
        if (r == 0)
            r = detach_in(&place, source, err);
        if (r < 0 && ce_process_alive(&id))
            return r;
    }
}

/* ---- the note ---- */

int ce_undo_note_fuse(struct ce_journal *journal, const struct ce_place *place, const char *source,
                      const struct ce_process_id *server, struct ce_error *err)
{
    return ce_undo_note(journal, "unmount",
                        json_pack("{s:o, s:o, s:s}", "place", ce_place_args(place), "server",
                                  ce_process_args(server), "source", source),
                        err);
}

/* It answers what it was asked, then it ends; it is killed when that takes too long. */
static int end_server(const json_t *args, struct ce_error *err)
{
    struct ce_process_id id;
    int r = ce_process_from_args(args, &id, err);
    if (r != 0) /* gone, or another process by now */
        return r < 0 ? r : 0;
    (void)ce_process_signal(&id, SIGTERM);
    if (ce_process_reap(&id, server_within, NULL) == 0)
        return 0;
    return ce_process_end(&id, server_within, err);
}

static int unmount(const json_t *args, struct ce_error *err)
{
    const char *source, *boot;
    struct ce_place place;
    if (json_unpack((json_t *)args, "{s:s, s:{s:s}}", "source", &source, "place", "boot", &boot) <
            0 ||
        strlen(source) >= CE_FUSE_SOURCE_SIZE)
        return ce_fail(err, EINVAL, "the note does not say which mount is meant");
    if (ce_boot_is_another(boot))
        return 0;
    int r = ce_place_from_args(json_object_get(args, "place"), CE_PLACE_MOUNTS, &place, err);
    if (r < 0)
        return r;
    /* A namespace that is gone took the mount along. */
    if (r != CE_PLACE_GONE)
        r = detach_in(&place, source, err);
    if (r == -ESRCH) /* gone only just now */
        r = 0;
    ce_seam_step("fuse: unmounted");
    if (r >= 0)
        r = detach_everywhere(source, err);
    int ended = end_server(json_object_get(args, "server"), r < 0 ? NULL : err);
    return r < 0 ? r : ended;
}

const struct ce_undo_op ce_undo_unmount = {.name = "unmount", .undo = unmount};
