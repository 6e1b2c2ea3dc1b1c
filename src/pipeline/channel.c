/* SPDX-License-Identifier: MIT */
#include "pipeline/channel.h"

#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"

int ce_channel_pair(int ret_ends[2], struct ce_error *err)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return ce_fail(err, errno, "cannot make a channel to the pipeline's processes: %s",
                       strerror(errno));
    memcpy(ret_ends, ends, sizeof ends);
    return 0;
}

int ce_channel_want_pids(int channel, struct ce_error *err)
{
    if (setsockopt(channel, SOL_SOCKET, SO_PASSCRED, &(int){1}, sizeof(int)) < 0)
        return ce_fail(err, errno, "cannot ask for the pids of the pipeline's processes: %s",
                       strerror(errno));
    return 0;
}

union control {
    char bytes[CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))];
    struct cmsghdr align;
};

static void append(struct msghdr *message, int type, const void *data, size_t size)
{
    struct cmsghdr *header =
        (struct cmsghdr *)((char *)message->msg_control + message->msg_controllen);
    *header =
        (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = type, .cmsg_len = CMSG_LEN(size)};
    memcpy(CMSG_DATA(header), data, size);
    message->msg_controllen += CMSG_SPACE(size);
}

int ce_channel_send(int channel, const char *text, int fd, pid_t about)
{
    union control control = {0};
    struct iovec piece = {.iov_base = (char *)text, .iov_len = strlen(text)};
    struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1, .msg_control = control.bytes};
    if (fd >= 0)
        append(&message, SCM_RIGHTS, &fd, sizeof fd);
    if (about != 0) {
        struct ucred who = {.pid = about, .uid = getuid(), .gid = getgid()};
        append(&message, SCM_CREDENTIALS, &who, sizeof who);
    }
    ssize_t n;
    do
        n = sendmsg(channel, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : 0;
}

static int wait_readable(int channel, int64_t until)
{
    for (;;) {
        int64_t left = until > 0 ? until - ce_now() : 0;
        /* An hour at a time: poll() counts in int milliseconds. */
        int64_t nap = left < 3600 * CE_SECOND ? left : 3600 * CE_SECOND;
        struct pollfd pollfd = {.fd = channel, .events = POLLIN};
        int n = poll(&pollfd, 1, nap > 0 ? (int)((nap + CE_MILLISECOND - 1) / CE_MILLISECOND) : 0);
        if (n > 0)
            return 0;
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n == 0 && left <= 0)
            return -ETIMEDOUT;
    }
}

int ce_channel_receive(int channel, int64_t until, struct ce_channel_message *ret_message)
{
    CE_TRY(wait_readable(channel, until));

    union control control = {0};
    struct iovec piece = {.iov_base = ret_message->text, .iov_len = sizeof ret_message->text - 1};
    struct msghdr message = {
        .msg_iov = &piece,
        .msg_iovlen = 1,
        .msg_control = control.bytes,
        .msg_controllen = sizeof control.bytes,
    };
    ssize_t n;
    do
        n = recvmsg(channel, &message, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return errno == ECONNRESET ? 0 : -errno;
    ret_message->text[n] = '\0';
    ret_message->fd = -1;
    ret_message->pid = 0;
    for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header;
         header = CMSG_NXTHDR(&message, header)) {
        if (header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS)
            memcpy(&ret_message->fd, CMSG_DATA(header), sizeof(int));
        if (header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_CREDENTIALS)
            memcpy(&ret_message->pid, CMSG_DATA(header) + offsetof(struct ucred, pid),
                   sizeof(pid_t));
    }
    return n > 0;
}
