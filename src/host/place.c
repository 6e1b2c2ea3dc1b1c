/* SPDX-License-Identifier: MIT */
#include "host/place.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/nsfs.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/spawn.h"

static const int64_t reap_within = 5 * CE_SECOND;

/* The namespaces that are entered. The user namespace is not among them: it is entered only where
 * these refuse us without. */
static const struct kind {
    unsigned bit;
    const char *file; /* in /proc/PID/ns */
    const char *name;
    int type;
} kinds[] = {
    {CE_PLACE_NETWORK, "net", "network", CLONE_NEWNET},
    {CE_PLACE_MOUNTS, "mnt", "mount", CLONE_NEWNS},
};
enum { KINDS = CE_COUNT(kinds) };

static uint64_t inode_wanted(const struct ce_place *place, const struct kind *kind)
{
    return kind->bit == CE_PLACE_NETWORK ? place->network : place->mounts;
}

/* 0: there is no such file, or it may not be looked at (errno). */
static uint64_t inode_of(const char *path)
{
    struct stat st;
    return stat(path, &st) < 0 ? 0 : (uint64_t)st.st_ino;
}

static uint64_t own_inode(const char *file)
{
    char path[48];
    snprintf(path, sizeof path, "/proc/thread-self/ns/%s", file);
    return inode_of(path);
}

/* A namespace that is not known is left as it is, so it counts as ours. */
static bool is_own(const struct ce_place *place, const struct kind *kind)
{
    uint64_t wanted = inode_wanted(place, kind);
    return wanted == 0 || wanted == own_inode(kind->file);
}

/* ---- what is where ---- */

int ce_place_here(struct ce_place *ret_place, struct ce_error *err)
{
    struct ce_process_id id;
    if (ce_process_identify(getpid(), &id) < 0)
        return ce_fail(err, ESRCH, "cannot find this process in /proc");
    return ce_place_of_process(&id, ret_place, err);
}

/* The kernel shows the namespaces of a process to its owner and to root. */
static int fail_foreign(struct ce_error *err, pid_t pid)
{
    char path[40];
    struct stat info;
    snprintf(path, sizeof path, "/proc/%d", (int)pid);
    const struct passwd *owner = stat(path, &info) == 0 ? getpwuid(info.st_uid) : NULL;
    if (stat(path, &info) < 0)
        return ce_fail(err, ESRCH, "process %d is gone", (int)pid);
    if (info.st_uid == geteuid())
        return ce_fail(err, EPERM,
                       "process %d may do what you may not, so its namespaces cannot be seen: "
                       "only root can act on it",
                       (int)pid);
    return ce_fail(err, EPERM, "process %d belongs to %s%.32s: only %sroot can act on it", (int)pid,
                   owner ? "" : "another user", owner ? owner->pw_name : "",
                   info.st_uid == 0 ? "" : "that user and ");
}

int ce_place_of_process(const struct ce_process_id *id, struct ce_place *ret_place,
                        struct ce_error *err)
{
    struct ce_place place = {.process = *id};
    const struct {
        const char *file;
        uint64_t *inode;
    } wanted[] = {{"user", &place.user}, {"net", &place.network}, {"mnt", &place.mounts}};
    for (size_t i = 0; i < CE_COUNT(wanted); i++) {
        char path[48];
        snprintf(path, sizeof path, "/proc/%d/ns/%s", (int)id->pid, wanted[i].file);
        *wanted[i].inode = inode_of(path);
        if (*wanted[i].inode == 0 && (errno == EACCES || errno == EPERM))
            return fail_foreign(err, id->pid);
        if (*wanted[i].inode == 0 && errno != ENOENT)
            return ce_fail(err, errno, "cannot see the namespaces of process %d: %s", (int)id->pid,
                           strerror(errno));
    }
    if (!ce_process_alive(id))
        return ce_fail(err, ESRCH, "process %d is gone", (int)id->pid);
    *ret_place = place;
    return 0;
}

static int netns_path(const char *name, char *ret_path, size_t size, struct ce_error *err)
{
    char folder[PATH_MAX] = "";
    if (strchr(name, '/') && name[0] != '/' && !getcwd(folder, sizeof folder))
        return ce_fail(err, errno, "cannot tell the working folder: %s", strerror(errno));
    int n = name[0] == '/'      ? snprintf(ret_path, size, "%s", name)
            : strchr(name, '/') ? snprintf(ret_path, size, "%s/%s", folder, name)
                                : snprintf(ret_path, size, "/run/netns/%s", name);
    if (n < 0 || (size_t)n >= size)
        return ce_fail(err, ENAMETOOLONG, "the name of a network namespace is too long");
    return 0;
}

/* Opened only when it is a namespace's: any other file might wait, or act on being opened. */
static int open_namespace_file(const char *path, int type)
{
    struct statfs fs;
    if (statfs(path, &fs) < 0)
        return -errno;
    if (fs.f_type != NSFS_MAGIC)
        return -EINVAL;
    ce_autofd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return -errno;
    return ioctl(fd, NS_GET_NSTYPE) == type ? ce_take_fd(fd) : -EINVAL;
}

int ce_place_of_netns(const char *name, struct ce_place *ret_place, struct ce_error *err)
{
    struct ce_place place = {0};
    struct stat st;
    CE_TRY(netns_path(name, place.file, sizeof place.file, err));
    ce_autofd int fd = open_namespace_file(place.file, CLONE_NEWNET);
    if (fd == -EINVAL)
        return ce_fail(err, EINVAL, "'%s' is no network namespace", place.file);
    if (fd < 0)
        return ce_fail(err, -fd, "cannot open network namespace '%s': %s", place.file,
                       strerror(-fd));
    if (fstat(fd, &st) < 0)
        return ce_fail(err, errno, "cannot see '%s': %s", place.file, strerror(errno));
    place.network = (uint64_t)st.st_ino;
    /* An owner outside the user namespaces below ours cannot be seen: 0. */
    ce_autofd int owner = ioctl(fd, NS_GET_USERNS);
    if (owner >= 0 && fstat(owner, &st) == 0)
        place.user = (uint64_t)st.st_ino;
    *ret_place = place;
    return 0;
}

bool ce_place_is_here(const struct ce_place *place, unsigned which)
{
    for (size_t i = 0; i < KINDS; i++)
        if (which & kinds[i].bit && !is_own(place, &kinds[i]))
            return false;
    return true;
}

/* ---- what leads there ---- */

/* A descriptor of that process's namespace if it is the wanted one, or -1. */
static int open_of_process(pid_t pid, const struct kind *kind, uint64_t inode)
{
    char path[48];
    struct stat st;
    snprintf(path, sizeof path, "/proc/%d/ns/%s", (int)pid, kind->file);
    ce_autofd int fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd >= 0 && fstat(fd, &st) == 0 && (uint64_t)st.st_ino == inode ? ce_take_fd(fd) : -1;
}

static bool is_in(pid_t pid, const struct kind *kind, uint64_t inode)
{
    char path[48];
    struct stat st;
    snprintf(path, sizeof path, "/proc/%d/ns/%s", (int)pid, kind->file);
    return stat(path, &st) == 0 && (uint64_t)st.st_ino == inode;
}

/* Any process that lives there will do. */
static int search(const struct kind *kind, uint64_t inode, struct ce_process_id *ret_id)
{
    DIR *processes = opendir("/proc");
    int fd = -1;
    if (!processes)
        return -1;
    for (const struct dirent *entry; fd < 0 && (entry = readdir(processes));) {
        pid_t pid = (pid_t)atoi(entry->d_name);
        struct ce_process_id id;
        /* One look at each: this goes through all processes there are, and a fault waits for it. */
        if (pid <= 0 || !is_in(pid, kind, inode) || ce_process_identify(pid, &id) < 0)
            continue;
        fd = open_of_process(pid, kind, inode);
        if (fd >= 0)
            *ret_id = id;
    }
    closedir(processes);
    return fd;
}

/* A descriptor of that namespace, or -1 when nothing leads to it. What is found by searching
 * becomes the place's process. */
static int open_namespace(struct ce_place *place, const struct kind *kind)
{
    uint64_t inode = inode_wanted(place, kind);
    if (place->process.pid > 0) {
        int fd = open_of_process(place->process.pid, kind, inode);
        if (fd >= 0)
            return fd;
    }
    if (kind->bit == CE_PLACE_NETWORK && place->file[0]) {
        struct stat st;
        ce_autofd int fd = open_namespace_file(place->file, kind->type);
        if (fd >= 0 && fstat(fd, &st) == 0 && (uint64_t)st.st_ino == inode)
            return ce_take_fd(fd);
    }
    return search(kind, inode, &place->process);
}

/* ---- notes ---- */

json_t *ce_place_args(const struct ce_place *place)
{
    char boot[CE_BOOT_ID_SIZE];
    ce_boot_id(boot);
    return json_pack("{s:s, s:I, s:I, s:I, s:i, s:I, s:s}", "boot", boot, "user",
                     (json_int_t)place->user, "network", (json_int_t)place->network, "mounts",
                     (json_int_t)place->mounts, "pid", (int)place->process.pid, "start",
                     (json_int_t)place->process.start, "file", place->file);
}

int ce_place_from_args(const json_t *args, unsigned which, struct ce_place *ret_place,
                       struct ce_error *err)
{
    const char *noted, *file;
    json_int_t user, network, mounts, start;
    int pid;
    if (json_unpack((json_t *)args, "{s:s, s:I, s:I, s:I, s:i, s:I, s:s}", "boot", &noted, "user",
                    &user, "network", &network, "mounts", &mounts, "pid", &pid, "start", &start,
                    "file", &file) < 0 ||
        network <= 0 || pid < 0 || strlen(file) >= PATH_MAX)
        return ce_fail(err, EINVAL, "the note does not say which namespaces are meant");
    if (ce_boot_is_another(noted))
        return CE_PLACE_GONE;
    struct ce_place place = {.user = (uint64_t)user,
                             .network = (uint64_t)network,
                             .mounts = (uint64_t)mounts,
                             .process = {.pid = pid, .start = (uint64_t)start}};
    memcpy(place.file, file, strlen(file) + 1);
    for (size_t i = 0; i < KINDS; i++) {
        if (!(which & kinds[i].bit) || is_own(&place, &kinds[i]))
            continue;
        ce_autofd int fd = open_namespace(&place, &kinds[i]);
        if (fd < 0)
            return CE_PLACE_GONE;
    }
    *ret_place = place;
    return 0;
}

/* ---- going there ---- */

struct doors {
    int fds[KINDS]; /* -1: not to be entered, or entered already */
};

static void doors_close(struct doors *doors)
{
    for (size_t i = 0; i < KINDS; i++)
        if (doors->fds[i] >= 0)
            (void)close(doors->fds[i]);
}

/* All are opened before the first is entered: in another mount namespace /proc may be another. */
static int doors_open(const struct ce_place *place, unsigned which, struct doors *doors,
                      struct ce_error *err)
{
    struct ce_place known = *place;
    for (size_t i = 0; i < KINDS; i++) {
        if (!(which & kinds[i].bit) || is_own(place, &kinds[i]))
            continue;
        doors->fds[i] = open_namespace(&known, &kinds[i]);
        if (doors->fds[i] < 0)
            return ce_fail(err, ESRCH, "nothing leads to the target's %s namespace any more",
                           kinds[i].name);
    }
    return 0;
}

/* Enters those that let us in. Returns the index of the first that did not, with errno, or KINDS.
 */
static size_t go_through(struct doors *doors)
{
    for (size_t i = 0; i < KINDS; i++) {
        if (doors->fds[i] < 0)
            continue;
        /* Mounts are entered with the root and the working folder, which a thread may share with
         * others: a sanitizer's, say. */
        if (kinds[i].bit == CE_PLACE_MOUNTS && unshare(CLONE_FS) < 0)
            return i;
        if (setns(doors->fds[i], kinds[i].type) < 0)
            return i;
        (void)close(ce_take_fd(doors->fds[i]));
    }
    return KINDS;
}

int ce_place_enter(const struct ce_place *place, unsigned which, struct ce_error *err)
{
    CE_CLEANUP(doors_close) struct doors doors = {.fds = {-1, -1}};
    CE_TRY(doors_open(place, which, &doors, err));
    size_t closed = go_through(&doors);
    if (closed < KINDS && errno == EPERM) {
        /* Root keeps what it may do outside (load bpf programs, say) by staying in its user
         * namespace. Anybody else may enter only as root of the user namespace that owns these. */
        ce_autofd int owner = ioctl(doors.fds[closed], NS_GET_USERNS);
        if (owner < 0 || setns(owner, CLONE_NEWUSER) < 0)
            return ce_fail(err, EPERM,
                           "cannot enter the target's %s namespace: only root and the user who "
                           "owns it may",
                           kinds[closed].name);
        closed = go_through(&doors);
    }
    if (closed < KINDS)
        return ce_fail(err, errno, "cannot enter the target's %s namespace: %s", kinds[closed].name,
                       strerror(errno));
    return 0;
}

/* ---- a call there ---- */

enum { ANSWER_FD = 3 };

struct call {
    const struct ce_place *place;
    unsigned which;
    int (*function)(void *ctx, struct ce_error *err);
    void *ctx;
    size_t size;
};
struct result {
    int value;
    struct ce_error err;
};

static int call_main(void *ctx)
{
    struct call *call = ctx;
    struct result result = {0};
    result.value = ce_place_enter(call->place, call->which, &result.err);
    /* A change of user namespace may have taken this away. */
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (result.value == 0)
        result.value = call->function(call->ctx, &result.err);
    if (ce_write_all(ANSWER_FD, &result, sizeof result) < 0)
        return 1;
    return ce_write_all(ANSWER_FD, call->ctx, call->size) < 0;
}

static bool read_all(int fd, void *buffer, size_t size)
{
    for (size_t have = 0; have < size;) {
        ssize_t n = read(fd, (char *)buffer + have, size - have);
        if (n == 0 || (n < 0 && errno != EINTR))
            return false;
        have += n > 0 ? (size_t)n : 0;
    }
    return true;
}

int ce_place_call(const struct ce_place *place, unsigned which,
                  int (*function)(void *ctx, struct ce_error *err), void *ctx, size_t size,
                  struct ce_error *err)
{
    struct call call = {place, which, function, ctx, size};
    int pair[2], gate;
    if (pipe2(pair, O_CLOEXEC) < 0)
        return ce_fail(err, errno, "cannot make a pipe: %s", strerror(errno));
    ce_autofd int answer = pair[0];
    ce_autofd int its = pair[1];
    struct ce_spawn how = {
        .function = call_main,
        .ctx = &call,
        .fds = {{its, ANSWER_FD}},
        .fd_count = 1,
        .parent_death_signal = SIGKILL,
    };
    struct ce_process_id id;
    ce_autofree void *left = malloc(size > 0 ? size : 1);
    if (!left)
        return ce_fail_memory(err);
    CE_TRY(ce_spawn(&how, &id, &gate, err));
    (void)close(ce_take_fd(its));
    int r = ce_spawn_go(gate, err);
    struct result result = {0};
    if (r == 0 && (!read_all(answer, &result, sizeof result) || !read_all(answer, left, size)))
        r = ce_fail(err, ECHILD, "a process in the target's namespaces ended without an answer");
    if (r == 0) {
        if (size > 0)
            memcpy(ctx, left, size);
        if (result.value < 0 && err)
            *err = result.err;
        r = result.value;
    } else {
        (void)ce_process_signal(&id, SIGKILL);
    }
    (void)ce_process_reap(&id, reap_within, NULL);
    return r;
}
