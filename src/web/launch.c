/* SPDX-License-Identifier: MIT */
#include "web/launch.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/spawn.h"

/* One that prepares for longer than that is said to have been started. */
#define PATIENCE    (10 * CE_SECOND)
#define END_TIMEOUT (60 * CE_SECOND)

enum { SAID_SIZE = 2048 };

struct launch {
    uint64_t number; /* 0: the place is free */
    struct ce_process_id process;
    int pidfd, said_fd;
    struct MHD_Connection *waiting; /* NULL: nobody */
    int64_t until;                  /* they wait at most */
    char document[256];
    char suite[64];
    char said[SAID_SIZE]; /* the end of what it wrote to stderr */
    size_t said_size;
    bool ended, taken;
    int exit_code;
};

struct ce_launches {
    struct launch list[CE_LAUNCHES_MAX];
    uint64_t last;
};

struct ce_launches *ce_launches_new(void)
{
    return calloc(1, sizeof(struct ce_launches));
}

static void forget(struct launch *launch)
{
    if (launch->pidfd >= 0)
        (void)close(launch->pidfd);
    if (launch->said_fd >= 0)
        (void)close(launch->said_fd);
    *launch = (struct launch){.pidfd = -1, .said_fd = -1};
}

static void tell(struct launch *launch)
{
    if (launch->waiting)
        MHD_resume_connection(ce_take(launch->waiting));
}

void ce_launches_give_up(struct ce_launches *launches)
{
    for (size_t i = 0; i < CE_LAUNCHES_MAX; i++) {
        struct launch *launch = &launches->list[i];
        if (!launch->number)
            continue;
        if (!launch->ended)
            (void)ce_process_signal(&launch->process, SIGINT);
        tell(launch);
    }
}

void ce_launches_free(struct ce_launches *launches)
{
    if (!launches)
        return;
    for (size_t i = 0; i < CE_LAUNCHES_MAX; i++) {
        struct launch *launch = &launches->list[i];
        if (!launch->number)
            continue;
        if (!launch->ended && ce_process_reap(&launch->process, END_TIMEOUT, NULL) < 0)
            (void)ce_process_end(&launch->process, CE_SECOND, NULL);
        forget(launch);
    }
    free(launches);
}

/* ---- start ---- */

static int spawn(struct launch *launch, const char *const *argv, struct ce_error *err)
{
    int ends[2], gate = -1;
    if (pipe2(ends, O_CLOEXEC) < 0)
        return ce_fail(err, errno, "cannot make a pipe: %s", strerror(errno));
    launch->said_fd = ends[0];
    (void)fcntl(ends[0], F_SETFL, O_NONBLOCK);
    const struct ce_spawn how = {
        .argv = argv,
        .fds = {{ends[1], STDERR_FILENO}},
        .fd_count = 1,
        .parent_death_signal = SIGINT,
    };
    int r = ce_spawn(&how, &launch->process, &gate, err);
    (void)close(ends[1]);
    if (r >= 0) {
        r = ce_spawn_go(gate, err);
        if (r < 0)
            (void)ce_process_end(&launch->process, CE_SECOND, NULL);
    }
    if (r >= 0)
        launch->pidfd = (int)syscall(SYS_pidfd_open, launch->process.pid, 0);
    return r;
}

int ce_launch_start(struct ce_launches *launches, const struct ce_launch_order *order,
                    uint64_t *ret_number, struct ce_error *err)
{
    size_t i = 0;
    while (i < CE_LAUNCHES_MAX && launches->list[i].number)
        i++;
    if (i == CE_LAUNCHES_MAX)
        return ce_fail(err, EBUSY, "%d suites go on already, which is as many as may be started",
                       CE_LAUNCHES_MAX);
    struct launch *launch = &launches->list[i];
    *launch = (struct launch){
        .pidfd = -1,
        .said_fd = -1,
        .waiting = order->connection,
        .until = ce_now() + PATIENCE,
    };
    snprintf(launch->document, sizeof launch->document, "%s", order->document);
    int r = spawn(launch, order->argv, err);
    if (r < 0) {
        forget(launch);
        return r;
    }
    *ret_number = launch->number = ++launches->last;
    return 0;
}

/* ---- what becomes of it ---- */

/* The last line, without who said it. */
static void sentence_of(const struct launch *launch, char ret_sentence[512])
{
    static const char name[] = "chaoseater: ";
    char said[SAID_SIZE + 1];
    memcpy(said, launch->said, launch->said_size);
    said[launch->said_size] = '\0';
    size_t size = strlen(said);
    while (size > 0 && said[size - 1] == '\n')
        said[--size] = '\0';
    const char *line = strrchr(said, '\n');
    line = line ? line + 1 : said;
    if (strncmp(line, name, strlen(name)) == 0)
        line += strlen(name);
    snprintf(ret_sentence, 512, "%.500s", line);
}

void ce_launch_take(struct ce_launches *launches, uint64_t number,
                    struct ce_launch_outcome *ret_outcome)
{
    *ret_outcome = (struct ce_launch_outcome){.ended = true, .exit_code = -1};
    for (size_t i = 0; i < CE_LAUNCHES_MAX; i++) {
        struct launch *launch = &launches->list[i];
        if (launch->number != number)
            continue;
        launch->taken = true;
        *ret_outcome = (struct ce_launch_outcome){
            .pid = launch->process.pid,
            .ended = launch->ended,
            .exit_code = launch->exit_code,
        };
        memcpy(ret_outcome->suite, launch->suite, sizeof launch->suite);
        sentence_of(launch, ret_outcome->sentence);
        if (launch->ended)
            forget(launch);
    }
}

const char *ce_launch_began(struct ce_launches *launches, int pid, const char *suite)
{
    for (size_t i = 0; i < CE_LAUNCHES_MAX; i++) {
        struct launch *launch = &launches->list[i];
        if (!launch->number || launch->process.pid != pid || launch->ended)
            continue;
        snprintf(launch->suite, sizeof launch->suite, "%s", suite);
        tell(launch);
        return launch->document;
    }
    return NULL;
}

size_t ce_launches_poll(const struct ce_launches *launches, struct pollfd *polled)
{
    size_t n = 0;
    for (size_t i = 0; i < CE_LAUNCHES_MAX; i++) {
        const struct launch *launch = &launches->list[i];
        if (launch->number && !launch->ended && launch->said_fd >= 0)
            polled[n++] = (struct pollfd){launch->said_fd, POLLIN, 0};
        if (launch->number && !launch->ended && launch->pidfd >= 0)
            polled[n++] = (struct pollfd){launch->pidfd, POLLIN, 0};
    }
    return n;
}

static void hear(struct launch *launch)
{
    char piece[512];
    ssize_t n;
    while (launch->said_fd >= 0 && (n = read(launch->said_fd, piece, sizeof piece)) != 0) {
        if (n < 0)
            return;
        size_t size = (size_t)n, over = launch->said_size + size > SAID_SIZE
                                            ? launch->said_size + size - SAID_SIZE
                                            : 0;
        memmove(launch->said, launch->said + over, launch->said_size - over);
        launch->said_size -= over;
        memcpy(launch->said + launch->said_size, piece, size);
        launch->said_size += size;
    }
    if (launch->said_fd >= 0) {
        (void)close(launch->said_fd);
        launch->said_fd = -1;
    }
}

static void look_for_end(struct launch *launch)
{
    int status = -1;
    if (ce_process_reap(&launch->process, 0, &status) < 0)
        return;
    hear(launch);
    launch->ended = true;
    launch->exit_code = status >= 0 && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void ce_launches_turn(struct ce_launches *launches)
{
    int64_t now = ce_now();
    for (size_t i = 0; i < CE_LAUNCHES_MAX; i++) {
        struct launch *launch = &launches->list[i];
        if (!launch->number)
            continue;
        hear(launch);
        if (!launch->ended)
            look_for_end(launch);
        if (launch->ended || now >= launch->until)
            tell(launch);
        if (launch->ended && launch->taken)
            forget(launch);
    }
}
