/* SPDX-License-Identifier: MIT */
#include "host/names/resolver_file.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/seam.h"
#include "host/names/resolver.h"

static const char the_file[] = "/etc/resolv.conf";
static const char workshop[] = "/tmp"; /* any folder: what is mounted there, nobody else sees */
static const char made_file[] = "/tmp/resolv.conf";

/* What is laid over what, as the note has it. */
struct cover {
    char path[PATH_MAX]; /* without links */
    uint64_t device;     /* of the filesystem that holds our file and nothing else */
};

/* ---- taking it away ---- */

static bool is_covered(const struct cover *cover)
{
    struct stat st;
    return lstat(cover->path, &st) == 0 && st.st_dev == cover->device;
}

/* In the target's mount namespace. The agent's keeper and an undo may come at the same time: the
 * second must not take away what lies below. */
static int uncover(void *ctx, struct ce_error *err)
{
    const struct cover *cover = ctx;
    struct stat st;
    ce_autofd int fd = open(cover->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || fstat(fd, &st) < 0 || st.st_dev != cover->device || flock(fd, LOCK_EX) < 0)
        return 0; /* it is not there */
    if (is_covered(cover) && umount2(cover->path, MNT_DETACH | UMOUNT_NOFOLLOW) < 0)
        return ce_fail(err, errno, "cannot unmount '%s': %s", cover->path, strerror(errno));
    return 0;
}

static int unmount_file(const json_t *args, struct ce_error *err)
{
    struct ce_place place;
    struct cover cover = {.device = 0};
    const char *path;
    json_int_t device;
    if (json_unpack((json_t *)args, "{s:s, s:I}", "path", &path, "device", &device) < 0 ||
        strlen(path) >= sizeof cover.path)
        return ce_fail(err, EINVAL, "the note does not say which file is covered");
    int r = ce_place_from_args(args, CE_PLACE_MOUNTS, &place, err);
    if (r != 0)
        return r == CE_PLACE_GONE ? 0 : r;
    memcpy(cover.path, path, strlen(path) + 1);
    cover.device = (uint64_t)device;
    r = ce_place_call(&place, CE_PLACE_MOUNTS, uncover, &cover, sizeof cover, err);
    return r == -ESRCH ? 0 : r; /* the namespace has gone just now, and the mount with it */
}

const struct ce_undo_op ce_undo_unmount_file = {.name = "unmount-file", .undo = unmount_file};

/* ---- in the agent ---- */

/* The resolver needs the port of name servers at an address that no one else has. */
static int listen_somewhere(struct ce_dns_service *service, struct ce_error *err)
{
    enum { FIRST = 54, LAST = 250 };
    size_t done = 0;
    for (unsigned last = FIRST; done < service->count; last++) {
        struct sockaddr_in at = {
            .sin_family = AF_INET,
            .sin_port = htons(CE_DNS_PORT),
            .sin_addr.s_addr = htonl((INADDR_LOOPBACK & ~UINT32_C(0xff)) | last),
        };
        memcpy(&service->stand_ins[done].at, &at, sizeof at);
        int r = ce_dns_listen(&service->stand_ins[done], err);
        if (r < 0 && (r != -EADDRINUSE || last == LAST))
            return r;
        done += r == 0;
    }
    return 0;
}

/* The target's file with other name servers, in their order. */
static int write_text(const struct ce_dns_service *service, const char *text, struct ce_error *err)
{
    ce_autofile FILE *file = fopen(made_file, "we");
    if (!file)
        return ce_fail(err, errno, "cannot make '%s': %s", made_file, strerror(errno));
    for (size_t i = 0; i < service->count; i++) {
        struct sockaddr_in at;
        char address[INET_ADDRSTRLEN];
        memcpy(&at, &service->stand_ins[i].at, sizeof at);
        fprintf(file, "nameserver %s\n", inet_ntop(AF_INET, &at.sin_addr, address, sizeof address));
    }
    for (const char *line = text; *line;) {
        size_t length = strcspn(line, "\n");
        if (strncmp(line, "nameserver", strlen("nameserver")) != 0)
            fprintf(file, "%.*s\n", (int)length, line);
        line += length;
        line += *line == '\n';
    }
    if (fflush(file) != 0 || fchmod(fileno(file), 0644) < 0)
        return ce_fail(err, errno, "cannot write '%s': %s", made_file, strerror(errno));
    return 0;
}

/* Makes the file in mounts of the agent's own. Returns a mount of it that is nowhere yet. */
static int make_file(const struct ce_resolver_file *file, struct ce_error *err)
{
    if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("none", workshop, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=64k") < 0)
        return ce_fail(err, errno, "cannot mount a filesystem: %s", strerror(errno));
    CE_TRY(write_text(file->service, file->conf->text, err));
    int fd = (int)syscall(SYS_open_tree, AT_FDCWD, made_file, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    return fd >= 0 ? fd : ce_fail(err, errno, "cannot clone a mount: %s", strerror(errno));
}

/* Whether the mount with that number passes on what is mounted on it. */
static bool is_shared(FILE *mounts, uint64_t id)
{
    char line[2 * PATH_MAX];
    bool shared = false;
    while (fgets(line, sizeof line, mounts)) {
        const char *optional = strstr(line, " shared:"), *end = strstr(line, " - ");
        shared |= strtoull(line, NULL, 10) == id && optional && end && optional < end;
    }
    return shared;
}

/* Enters the target's mount namespace and looks what would be covered there. */
static int look(const struct ce_resolver_file *file, int made, struct cover *ret_cover,
                struct ce_error *err)
{
    char path[48];
    struct stat st;
    struct statx there;
    snprintf(path, sizeof path, "/proc/%d/mountinfo", (int)file->place->process.pid);
    ce_autofile FILE *mounts = fopen(path, "re");
    if (!mounts || fstat(made, &st) < 0)
        return ce_fail(err, errno, "cannot see the target's mounts: %s", strerror(errno));
    CE_TRY(ce_place_enter(file->place, CE_PLACE_MOUNTS, err));
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* entering may have taken it away */
    if (!realpath(the_file, ret_cover->path) ||
        statx(AT_FDCWD, ret_cover->path, AT_SYMLINK_NOFOLLOW, STATX_MNT_ID, &there) < 0)
        return ce_fail(err, errno, "the target has no %s that could be covered: %s", the_file,
                       strerror(errno));
    if (is_shared(mounts, there.stx_mnt_id))
        return ce_fail(err, ENOTSUP, "what is mounted on the target's %s is passed on to others",
                       the_file);
    ret_cover->device = st.st_dev;
    return 0;
}

/* Takes the cover away when the agent has ended, whatever ended it: then nobody holds the other end
 * of the pipe. */
static void __attribute__((noreturn)) keep(struct cover *cover)
{
    char nothing;
    (void)prctl(PR_SET_NAME, "ce-keeper");
    while (read(STDIN_FILENO, &nothing, 1) < 0 && errno == EINTR)
        ;
    (void)uncover(cover, NULL);
    _exit(0);
}

struct keeper {
    pid_t pid;
    int pipe; /* that it waits for the end of */
};
static int start_keeper(struct cover *cover, struct keeper *ret_keeper)
{
    int pair[2];
    if (pipe2(pair, O_CLOEXEC) < 0)
        return -errno;
    pid_t pid = fork();
    if (pid == 0) {
        /* It must hold neither the channel nor the sockets that the agent's end should close. */
        int kept = dup2(pair[0], STDIN_FILENO);
        (void)close_range(STDERR_FILENO + 1, ~0U, 0);
        if (kept == STDIN_FILENO)
            keep(cover);
        _exit(1);
    }
    (void)close(pair[0]);
    if (pid < 0) {
        int code = errno;
        (void)close(pair[1]);
        return -code;
    }
    *ret_keeper = (struct keeper){pid, pair[1]};
    return 0;
}

static void end_keeper(const struct keeper *keeper)
{
    (void)close(keeper->pipe);
    while (waitpid(keeper->pid, NULL, 0) < 0 && errno == EINTR)
        ;
}

int ce_resolver_file_run(void *ctx, int channel)
{
    const struct ce_resolver_file *file = ctx;
    struct ce_error err = {0};
    struct cover cover = {.device = 0};
    int made = -1, r = listen_somewhere(file->service, &err);
    if (r == 0)
        r = made = make_file(file, &err);
    if (r >= 0)
        r = look(file, made, &cover, &err);
    ce_agent_ready(channel, r, &err);
    if (r < 0)
        return 1;

    /* "What will be covered?", and "Cover it!", to which the answer is an errno. */
    char request;
    if (recv(channel, &request, 1, 0) != 1 ||
        send(channel, &cover, sizeof cover, MSG_NOSIGNAL) < 0 || recv(channel, &request, 1, 0) != 1)
        return 0;
    struct keeper keeper = {.pid = 0};
    r = start_keeper(&cover, &keeper);
    if (r < 0) {
        (void)send(channel, &r, sizeof r, MSG_NOSIGNAL);
        return 1;
    }
    if (syscall(SYS_move_mount, made, "", AT_FDCWD, cover.path, MOVE_MOUNT_F_EMPTY_PATH) < 0)
        r = -errno;
    (void)close(made);
    int code = 1;
    if (send(channel, &r, sizeof r, MSG_NOSIGNAL) > 0 && r == 0)
        code = ce_dns_serve(file->service, channel);
    end_keeper(&keeper);
    return code;
}

/* ---- in the controller ---- */

int ce_resolver_file_lay(struct ce_journal *journal, const struct ce_place *place,
                         struct ce_agent *agent, int *ret_note, struct ce_error *err)
{
    struct cover cover;
    int result;
    CE_TRY(ce_agent_ask(agent, "?", 1, &cover, sizeof cover, err));
    json_t *args = ce_place_args(place);
    if (!args || json_object_set_new(args, "path", json_string(cover.path)) < 0 ||
        json_object_set_new(args, "device", json_integer((json_int_t)cover.device)) < 0) {
        json_decref(args);
        return ce_fail_memory(err);
    }
    int note = ce_undo_note(journal, "unmount-file", args, err);
    if (note < 0)
        return note;
    *ret_note = note;
    CE_TRY(ce_agent_ask(agent, "!", 1, &result, sizeof result, err));
    ce_seam_step("resolver: covered");
    return result < 0 ? ce_fail(err, -result, "cannot mount over the target's %s: %s", the_file,
                                strerror(-result))
                      : 0;
}
