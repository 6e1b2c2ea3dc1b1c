/* SPDX-License-Identifier: MIT */
/* A Python program that a test starts and asks: it says what an expression is worth, or obeys a
 * statement. The test says what is to be defined first, and starts it (the helpers and the door
 * stand before it differently). */
#ifndef CE_TESTS_PYTHON_H
#define CE_TESTS_PYTHON_H

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/spawn.h"
#include "check.h"

/* What follows the definitions. */
#define PYTHON_ANSWERS                                                                             \
    "print('ready', flush=True)\n"                                                                 \
    "for line in sys.stdin:\n"                                                                     \
    "    try: value = eval(line)\n"                                                                \
    "    except SyntaxError: value = exec(line)\n"                                                 \
    "    print(value, flush=True)\n"

struct python {
    struct ce_process_id process;
    int to; /* -1: there is none yet */
    FILE *from;
    char answer[512];
};

static inline const char *python_read(struct python *python)
{
    struct pollfd wait = {.fd = fileno(python->from), .events = POLLIN};
    if (poll(&wait, 1, 30000) != 1 || !fgets(python->answer, sizeof python->answer, python->from))
        return "(nothing)";
    python->answer[strcspn(python->answer, "\n")] = '\0';
    return python->answer;
}

static inline const char *python_ask(struct python *python, const char *expression)
{
    if (dprintf(python->to, "%s\n", expression) < 0)
        return "(gone)";
    return python_read(python);
}

/* Its ends of two pipes: for its standard input and output. */
static inline int python_pipes(struct python *python, int *ret_in, int *ret_out,
                               struct ce_error *err)
{
    int in[2], out[2];
    if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0)
        return ce_fail(err, errno, "pipe");
    python->to = in[1];
    python->from = fdopen(out[0], "r");
    setvbuf(python->from, NULL, _IONBF, 0);
    *ret_in = in[0];
    *ret_out = out[1];
    return 0;
}

static inline int python_await(struct python *python, struct ce_error *err)
{
    if (strcmp(python_read(python), "ready") != 0)
        return ce_fail(err, EPROTO, "the process does not begin: %s", python->answer);
    return 0;
}

static inline void python_end(struct python *python, int64_t within)
{
    if (python->process.pid > 0)
        (void)ce_process_end(&python->process, within, NULL);
    if (python->to >= 0)
        (void)close(python->to);
    if (python->from)
        (void)fclose(python->from);
}

#endif
