/* SPDX-License-Identifier: MIT */
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "host/storage/door.h"
#include "host/storage/porter.h"

union message {
    struct cmsghdr head;
    char room[CMSG_SPACE(sizeof(int))];
};

int ce_porter_send_listener(int channel, int listener)
{
    union message control = {.room = {0}};
    char word = 'l';
    struct iovec text = {&word, 1};
    struct msghdr message = {.msg_iov = &text,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof control};
    control.head = (struct cmsghdr){
        .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof listener)};
    memcpy(CMSG_DATA(&control.head), &listener, sizeof listener);
    return sendmsg(channel, &message, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

int ce_porter_receive_listener(int channel, int *ret_listener)
{
    union message control = {.room = {0}};
    char word;
    struct iovec text = {&word, 1};
    struct msghdr message = {.msg_iov = &text,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof control};
    ssize_t n;
    do
        n = recvmsg(channel, &message, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    const struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    if (n == 0 || !head || head->cmsg_type != SCM_RIGHTS)
        return -EPIPE;
    memcpy(ret_listener, CMSG_DATA(head), sizeof *ret_listener);
    return 0;
}

/* ---- a call behind a door ---- */

struct result {
    int value; /* 1: there is none yet */
    struct ce_error err;
    char ctx[];
};

static void __attribute__((noreturn))
run(int channel, int (*function)(void *ctx, struct ce_error *err), void *ctx, size_t size,
    struct result *result)
{
    int listener;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    int r = ce_door_enter(&listener, &result->err);
    if (r == 0) {
        r = ce_porter_send_listener(channel, listener);
        (void)close(listener);
        (void)close(channel);
        r = r < 0 ? ce_fail(&result->err, -r, "cannot hand over a listener: %s", strerror(-r))
                  : function(ctx, &result->err);
    }
    memcpy(result->ctx, ctx, size);
    result->value = r;
    _exit(0);
}

static int attend(const char *helpers, int channel, struct ce_error *err)
{
    struct ce_door_page *page;
    int listener;
    CE_TRY(ce_door_page_map(helpers, &page, err));
    int r = ce_porter_receive_listener(channel, &listener);
    /* Without one it was not let through, and says why itself. */
    if (r == 0) {
        r = ce_porter_serve(page, listener, false, err);
        (void)close(listener);
    } else {
        r = 0;
    }
    ce_door_page_unmap(page);
    return r;
}

int ce_porter_call(const char *helpers, int (*function)(void *ctx, struct ce_error *err), void *ctx,
                   size_t size, struct ce_error *err)
{
    int pair[2];
    size_t room = sizeof(struct result) + size;
    struct result *result =
        mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (result == MAP_FAILED)
        return ce_fail_memory(err);
    result->value = 1;
    /* The kernel says that nobody is left once all have been reaped, which it does itself then. */
    (void)signal(SIGCHLD, SIG_IGN);
    int r = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0
                ? ce_fail(err, errno, "cannot make a pair of sockets: %s", strerror(errno))
                : 0;
    if (r == 0) {
        pid_t pid = fork();
        if (pid == 0) {
            (void)close(pair[0]);
            run(pair[1], function, ctx, size, result);
        }
        (void)close(pair[1]);
        r = pid < 0 ? ce_fail(err, errno, "cannot make a child process: %s", strerror(errno))
                    : attend(helpers, pair[0], err);
        (void)close(pair[0]);
    }
    if (r == 0 && result->value == 1)
        r = ce_fail(err, ECHILD, "a process behind the door ended without an answer");
    if (r == 0) {
        memcpy(ctx, result->ctx, size);
        if (result->value < 0 && err)
            *err = result->err;
        r = result->value;
    }
    (void)munmap(result, room);
    return r;
}
