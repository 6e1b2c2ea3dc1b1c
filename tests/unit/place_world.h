/* SPDX-License-Identifier: MIT */
/* A target of the test's own: a process in a new network namespace (and a user namespace, as an
 * ordinary user's pipeline has), with lo and a pair of veths up, and a journal beside it. */
#ifndef CE_TESTS_PLACE_WORLD_H
#define CE_TESTS_PLACE_WORLD_H

#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/spawn.h"
#include "check.h"
#include "host/place.h"
#include "host/process.h"
#include "journal/journal.h"

struct place_world {
    char folder[64], state[80];
    struct ce_journal *journal;
    struct ce_process_id process;
    struct ce_place place;
    bool up; /* else this user may make no namespaces */
};

static inline int place_world_live(void *ctx)
{
    struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (ioctl(fd, SIOCSIFFLAGS, &lo) < 0 || write(STDOUT_FILENO, "", 1) != 1)
        return 1;
    (void)poll(NULL, 0, -1);
    return 0;
}

/* `namespaces`: CLONE_NEWNET, with CLONE_NEWUSER or without. */
static inline void place_world_start(struct place_world *w, unsigned long namespaces)
{
    struct ce_error err = {0};
    int pair[2], gate;
    char byte;
    if (pipe2(pair, O_CLOEXEC) < 0)
        abort();
    struct ce_spawn how = {.function = place_world_live,
                           .fds = {{pair[1], STDOUT_FILENO}},
                           .fd_count = 1,
                           .namespaces = namespaces,
                           .parent_death_signal = SIGKILL};
    int r = ce_spawn(&how, &w->process, &gate, &err);
    (void)close(pair[1]);
    if (r == 0)
        r = ce_spawn_go(gate, &err);
    w->up = r == 0 && read(pair[0], &byte, 1) == 1 &&
            ce_place_of_process(&w->process, &w->place, &err) == 0;
    if (!w->up)
        printf("# %s\n", err.message);
    (void)close(pair[0]);
}

static inline struct place_world place_world_make(unsigned long namespaces,
                                                  const struct ce_undo_op *const *ops)
{
    struct place_world w = {.folder = "/tmp/chaoseater-place-XXXXXX"};
    struct ce_error err = {0};
    if (!mkdtemp(w.folder))
        abort();
    snprintf(w.state, sizeof w.state, "%s/state", w.folder);
    if (ce_journal_create(w.state, "run", ops, &w.journal, &err) < 0)
        abort();
    place_world_start(&w, namespaces);
    return w;
}

static inline void place_world_remove(struct place_world *w)
{
    ce_journal_close(w->journal);
    if (w->process.pid > 0)
        (void)ce_process_end(&w->process, 10 * CE_SECOND, NULL);
    (void)ce_tree_remove(w->folder, NULL);
}

/* What a command prints there; both streams. */
struct place_output {
    char command[1024], text[16384];
    int status;
};

static inline int place_world_command(void *ctx, struct ce_error *err)
{
    struct place_output *output = ctx;
    FILE *pipe = popen(output->command, "r");
    if (!pipe)
        return ce_fail(err, errno, "popen: %s", strerror(errno));
    size_t size = fread(output->text, 1, sizeof output->text - 1, pipe);
    output->text[size] = '\0';
    output->status = pclose(pipe);
    return 0;
}

static inline struct place_output place_world_run(const struct place_world *w, const char *command)
{
    struct place_output output = {.status = -1};
    struct ce_error err = {0};
    snprintf(output.command, sizeof output.command, "exec 2>&1; PATH=$PATH:/usr/sbin:/sbin; %s",
             command);
    if (ce_place_call(&w->place, CE_PLACE_NETWORK, place_world_command, &output, sizeof output,
                      &err) < 0)
        printf("# %s: %s\n", command, err.message);
    return output;
}

/* A command that prepares the world; what it printed is shown when it failed. */
static inline bool place_world_do(const struct place_world *w, const char *command)
{
    struct place_output output = place_world_run(w, command);
    if (output.status != 0)
        printf("# %s: %s\n", command, output.text);
    return output.status == 0;
}

/* Of its loopback. */
static inline struct sockaddr_storage place_address(int family, uint16_t port)
{
    struct sockaddr_storage any = {.ss_family = (sa_family_t)family};
    if (family == AF_INET6) {
        ((struct sockaddr_in6 *)&any)->sin6_addr = in6addr_loopback;
        ((struct sockaddr_in6 *)&any)->sin6_port = htons(port);
    } else {
        ((struct sockaddr_in *)&any)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        ((struct sockaddr_in *)&any)->sin_port = htons(port);
    }
    return any;
}

#endif
