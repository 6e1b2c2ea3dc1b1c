/* SPDX-License-Identifier: MIT */
/* SIGINT and SIGTERM ask what is running to stop in order. */
#include "cli.h"

#include <signal.h>

/* A signal handler has no other way to tell anybody. The first signal counts: the run that it ends
 * is already on its way through rollback, and a second one must not hurry it. */
static volatile sig_atomic_t stop_signal;

static void note_signal(int number)
{
    if (stop_signal == 0)
        stop_signal = number;
}

static const int stop_signals[] = {SIGINT, SIGTERM};

const volatile sig_atomic_t *cli_signals_catch(struct cli_signals *before)
{
    struct sigaction action = {.sa_handler = note_signal, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < CLI_LENGTH(stop_signals); i++)
        (void)sigaction(stop_signals[i], &action, &before->actions[i]);
    return &stop_signal;
}

void cli_signals_release(const struct cli_signals *before)
{
    for (size_t i = 0; i < CLI_LENGTH(stop_signals); i++)
        (void)sigaction(stop_signals[i], &before->actions[i], NULL);
}
