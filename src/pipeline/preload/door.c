/* SPDX-License-Identifier: MIT */
/* chaoseater-door PROGRAM ARGUMENT...: goes through a door (host/storage/door.h), and becomes that
 * program.
 *
 * What a fault is to be able to slow down or fail is started by way of it. The porter that answers
 * from then on is nobody's child: a program that waits for its children must not meet one that it
 * has not made. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "host/storage/door.h"
#include "host/storage/porter.h"

enum { CHANNEL_FD = 3 };

/* ---- the porter ---- */

/* It outlives whatever else holds a pipe, a folder or a terminal of the program's. */
static int settle(int channel)
{
    int null = open("/dev/null", O_RDWR);
    (void)setsid();
    (void)signal(SIGHUP, SIG_IGN);
    (void)signal(SIGINT, SIG_IGN);
    (void)signal(SIGTERM, SIG_IGN);
    if (null < 0 || chdir("/") < 0 || dup2(channel, CHANNEL_FD) < 0 ||
        fcntl(CHANNEL_FD, F_SETFD, FD_CLOEXEC) < 0)
        return -1;
    for (int fd = 0; fd < CHANNEL_FD; fd++)
        if (dup2(null, fd) < 0)
            return -1;
    return close_range(CHANNEL_FD + 1, ~0U, 0);
}

static void __attribute__((noreturn)) be_porter(struct ce_door_page *page, int channel)
{
    int listener;
    if (fork() != 0)
        _exit(0);
    if (settle(channel) < 0 || ce_porter_receive_listener(CHANNEL_FD, &listener) < 0)
        _exit(1);
    (void)send(CHANNEL_FD, "s", 1, MSG_NOSIGNAL);
    (void)close(CHANNEL_FD);
    _exit(ce_porter_serve(page, listener, true, NULL) < 0);
}

static int find_porter(struct ce_door_page *page, int *ret_channel, struct ce_error *err)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return ce_fail(err, errno, "cannot make a pair of sockets: %s", strerror(errno));
    pid_t pid = fork();
    if (pid == 0) {
        (void)close(pair[0]);
        be_porter(page, pair[1]);
    }
    (void)close(pair[1]);
    *ret_channel = pair[0];
    if (pid < 0)
        return ce_fail(err, errno, "cannot make a child process: %s", strerror(errno));
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    return 0;
}

/* ---- the program ---- */

/* Nothing is read or written from here on until there is somebody to answer. */
static int go_through(int channel, struct ce_error *err)
{
    int listener;
    char word;
    /* The porter looks at lists of what is to be written; it is no parent of the program's. */
    (void)prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
    CE_TRY(ce_door_enter(&listener, err));
    bool stands =
        ce_porter_send_listener(channel, listener) == 0 && recv(channel, &word, 1, 0) == 1;
    (void)close(listener);
    (void)close(channel);
    return stands ? 0 : ce_fail(err, EPIPE, "the process that is to answer system calls has ended");
}

static int enter(struct ce_error *err)
{
    const char *folder = getenv("CHAOSEATER_HELPERS");
    struct ce_door_page *page;
    int channel = -1;
    if (!folder)
        return ce_fail(err, EINVAL, "CHAOSEATER_HELPERS names no folder");
    CE_TRY(ce_door_page_map(folder, &page, err));
    CE_TRY(find_porter(page, &channel, err));
    ce_door_page_unmap(page);
    return go_through(channel, err);
}

int main(int argc, char **argv)
{
    struct ce_error err = {0};
    if (argc < 2) {
        fprintf(stderr, "usage: chaoseater-door PROGRAM [ARGUMENT ...]\n");
        return 127;
    }
    if (enter(&err) < 0) {
        fprintf(stderr, "chaoseater-door: %s\n", err.message);
        return 127;
    }
    (void)execvp(argv[1], argv + 1);
    fprintf(stderr, "chaoseater-door: cannot execute '%s': %s\n", argv[1], strerror(errno));
    return 127;
}
