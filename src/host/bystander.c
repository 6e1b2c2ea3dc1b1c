/* SPDX-License-Identifier: MIT */
#include "host/bystander.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/environment.h"
#include "base/spawn.h"

static const int64_t patience = 10 * CE_SECOND;

static void read_line(int fd, char *ret_text, size_t size)
{
    size_t used = 0;
    int64_t until = ce_now() + patience;
    while (used < size - 1) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        int64_t left = until - ce_now();
        if (left <= 0 || poll(&wait, 1, (int)(left / CE_MILLISECOND) + 1) <= 0)
            break;
        ssize_t n = read(fd, ret_text + used, size - 1 - used);
        if (n <= 0)
            break;
        used += (size_t)n;
    }
    ret_text[used] = '\0';
    ret_text[strcspn(ret_text, "\n")] = '\0';
}

int ce_bystander_ask(const char *const *argv, const char *const *variables, char *ret_text,
                     size_t size, struct ce_error *err)
{
    int ends[2], gate, status = -1;
    size_t count = 0;
    while (variables[count])
        count++;
    ce_autofree const char **env = ce_environment_with(variables, count);
    if (!env)
        return ce_fail_memory(err);
    if (pipe2(ends, O_CLOEXEC) < 0)
        return ce_fail(err, errno, "cannot make a pipe: %s", strerror(errno));
    ce_autofd int ours = ends[0];
    ce_autofd int its = ends[1];
    struct ce_spawn how = {
        .argv = argv,
        .env = env,
        .fds = {{its, STDOUT_FILENO}},
        .fd_count = 1,
        .parent_death_signal = SIGKILL,
    };
    struct ce_process_id id;
    CE_TRY(ce_spawn(&how, &id, &gate, err));
    int r = ce_spawn_go(gate, err);
    (void)close(ce_take_fd(its)); /* else its end would not end the pipe */
    if (r == 0)
        read_line(ours, ret_text, size);
    if (ce_process_reap(&id, CE_SECOND, &status) < 0)
        (void)ce_process_end(&id, CE_SECOND, NULL);
    CE_TRY(r);
    if (status < 0 || !WIFEXITED(status) || WEXITSTATUS(status) != 0 || ret_text[0] == '\0')
        return ce_fail(err, EIO, "'%s' does not answer", argv[0]);
    return 0;
}
