/* SPDX-License-Identifier: MIT */
#include "pipeline/own_namespaces.h"

#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>

#include "base/cleanup.h"

int ce_own_loopback(struct ce_error *err)
{
    ce_autofd int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq request = {.ifr_name = "lo"};
    if (fd < 0 || ioctl(fd, SIOCGIFFLAGS, &request) < 0)
        return ce_fail(err, errno, "cannot find the loopback device: %s", strerror(errno));
    request.ifr_flags = (short)(request.ifr_flags | IFF_UP);
    if (ioctl(fd, SIOCSIFFLAGS, &request) < 0)
        return ce_fail(err, errno, "cannot bring the loopback device up: %s", strerror(errno));
    return 0;
}

int ce_own_mounts(struct ce_error *err)
{
    if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
        return ce_fail(err, errno, "cannot make the mounts private: %s", strerror(errno));
    return 0;
}

int ce_own_proc(struct ce_error *err)
{
    if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
        return ce_fail(err, errno, "cannot mount /proc: %s", strerror(errno));
    return 0;
}

void ce_own_namespaces_why(const struct ce_error *failed, char *text, size_t size)
{
    if (failed->code == ENOSPC)
        snprintf(text, size, "the limits in /proc/sys/user/max_*_namespaces allow no more");
    else if (failed->code == EPERM || failed->code == EACCES)
        snprintf(text, size, "this user may not make or use namespaces (%.100s)", failed->message);
    else
        snprintf(text, size, "%.150s", failed->message);
}
