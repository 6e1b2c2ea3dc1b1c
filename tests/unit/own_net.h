/* SPDX-License-Identifier: MIT */
/* Tests that need a network of their own: a child of the test in new user and network namespaces,
 * with loopback up, as whoever runs the tests. What it breaks there ends with it. */
#ifndef CE_TESTS_OWN_NET_H
#define CE_TESTS_OWN_NET_H

#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

static inline bool own_write(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool done = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    if (fd >= 0)
        (void)close(fd);
    return done;
}

static inline bool own_net_enter(void)
{
    char map[64];
    unsigned uid = geteuid(), gid = getegid();
    if (unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0 || !own_write("/proc/self/setgroups", "deny"))
        return false;
    snprintf(map, sizeof map, "0 %u 1", uid);
    if (!own_write("/proc/self/uid_map", map))
        return false;
    snprintf(map, sizeof map, "0 %u 1", gid);
    if (!own_write("/proc/self/gid_map", map))
        return false;
    struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool up = ioctl(fd, SIOCSIFFLAGS, &lo) == 0;
    (void)close(fd);
    return up;
}

/* Runs the function there; its failed checks are the caller's. */
static inline void own_net(void (*function)(void))
{
    enum { NO_NAMESPACES = 200 };
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        check_failures = 0;
        check_skip_reason = NULL;
        if (!own_net_enter())
            _exit(NO_NAMESPACES);
        function();
        fflush(stdout);
        if (check_skip_reason && check_failures == 0)
            printf("# left out: %s\n", check_skip_reason);
        fflush(stdout);
        exit(check_failures < 100 ? check_failures : 100);
    }
    int status = -1;
    REQUIRE(pid > 0 && waitpid(pid, &status, 0) == pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == NO_NAMESPACES)
        SKIP("this user may not make namespaces");
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* What a command prints, at most `size` bytes. */
static inline void own_output(const char *command, char *text, size_t size)
{
    FILE *pipe = popen(command, "r");
    size_t n = pipe ? fread(text, 1, size - 1, pipe) : 0;
    text[n] = '\0';
    if (pipe)
        (void)pclose(pipe);
}

#endif
