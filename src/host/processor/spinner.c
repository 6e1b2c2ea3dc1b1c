/* SPDX-License-Identifier: MIT */
#include "host/processor/spinner.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "host/agent.h"

static int spin(void *ctx, int channel)
{
    char byte;
    (void)ctx;
    (void)prctl(PR_SET_NAME, "ce-spinner");
    ce_agent_ready(channel, 0, NULL);
    do {
        int64_t until = ce_now() + CE_MILLISECOND;
        while (ce_now() < until)
            ;
    } while (recv(channel, &byte, 1, MSG_DONTWAIT) < 0);
    return 0;
}

int ce_spinner_start(struct ce_journal *journal, struct ce_agent **ret_spinner,
                     struct ce_error *err)
{
    return ce_agent_start(journal, NULL, 0, spin, NULL, ret_spinner, err);
}

int64_t ce_spinner_waited(const struct ce_process_id *id)
{
    char path[40];
    int64_t waited = 0;
    snprintf(path, sizeof path, "/proc/%d/schedstat", (int)id->pid);
    ce_autofile FILE *file = fopen(path, "re");
    return file && fscanf(file, "%*d %" SCNd64, &waited) == 1 ? waited : 0;
}

bool ce_spinner_is_held(const struct ce_process_id *id)
{
    static const char state[] = "\nState:", pending[] = "\nShdPnd:";
    char path[40], letter = 0;
    uint64_t signals = 0;
    ce_autofree char *text = NULL;
    size_t size;
    snprintf(path, sizeof path, "/proc/%d/status", (int)id->pid);
    if (ce_file_read(path, 1 << 16, &text, &size, NULL) < 0)
        return false;
    const char *at = strstr(text, state);
    if (at)
        (void)sscanf(at + strlen(state), " %c", &letter);
    at = strstr(text, pending);
    if (at)
        (void)sscanf(at + strlen(pending), "%" SCNx64, &signals);
    return letter == 'T' || signals & UINT64_C(1) << (SIGSTOP - 1);
}
