/* SPDX-License-Identifier: MIT */
#include "pipeline/embedded/locate.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "pipeline/embedded/roles.h"

/* How long the supervisor, who may be short of processor time, takes to answer. */
static const int64_t answer_timeout = 15 * CE_SECOND;

/* What can be acted on: who the process is and on which ports its packets enter are answers of the
 * supervisor's. The pipeline as a whole is the supervisor and all below it: the keeper above is
 * ChaosEater's own. */
static const struct part {
    const char *service, *name;
    const char *process;  /* command that is answered with it */
    const char *ports[2]; /* commands that are answered with them; NULL: no more */
    const char *address;  /* at which it listens */
    bool has_folder;
} parts[] = {
    {"server", "model server", "status", {"status"}, CE_MODEL_ADDRESS, true},
    {"gateway", "gateway", "gateway", {"gateway"}, CE_MODEL_ADDRESS, false},
    {"resolver", "resolver", "resolver", {"resolver"}, CE_RESOLVER_ADDRESS, false},
    {"pipeline", "pipeline", "supervisor", {"status", "gateway"}, CE_MODEL_ADDRESS, true},
    {"all", "pipeline", "supervisor", {"status", "gateway"}, CE_MODEL_ADDRESS, true},
};

static const struct part *find_part(const char *service)
{
    for (size_t i = 0; i < CE_COUNT(parts); i++)
        if (!service || strcmp(parts[i].service, service) == 0)
            return &parts[i];
    return NULL;
}

static int fill_process(struct ce_processes *processes, const struct part *part,
                        struct ce_subject *subject, struct ce_error *err)
{
    struct ce_answer answer;
    CE_TRY(ce_processes_ask(processes, part->process, answer_timeout, &answer, err));
    if (answer.pid <= 0 || ce_process_identify(answer.pid, &subject->process) < 0)
        return ce_fail(err, ESRCH, "the embedded pipeline's %s does not run", part->name);
    CE_TRY(ce_place_of_process(&subject->process, &subject->place, err));
    snprintf(subject->name, sizeof subject->name, "%s (process %d)", part->name, (int)answer.pid);
    subject->has |= CE_SUBJECT_PROCESS;
    return 0;
}

/* Without a network namespace of the pipeline's own these are still its packets alone: nobody else
 * listens on its ports. */
static int fill_packets(struct ce_processes *processes, const struct part *part,
                        struct ce_subject *subject, struct ce_error *err)
{
    struct ce_packet_filter *packets = &subject->packets;
    snprintf(packets->interface, sizeof packets->interface, "lo");
    for (size_t i = 0; i < CE_COUNT(part->ports) && part->ports[i]; i++) {
        struct ce_answer answer;
        CE_TRY(ce_processes_ask(processes, part->ports[i], answer_timeout, &answer, err));
        uint16_t port = (uint16_t)answer.port;
        packets->ports[packets->port_count].first = port;
        packets->ports[packets->port_count++].last = port;
    }
    struct sockaddr_in probe = {
        .sin_family = AF_INET,
        .sin_port = htons(packets->ports[0].first),
    };
    (void)inet_pton(AF_INET, part->address, &probe.sin_addr);
    memcpy(&subject->probe, &probe, sizeof probe);
    snprintf(subject->resolves, sizeof subject->resolves, CE_MODEL_HOST);
    subject->has |= CE_SUBJECT_NETWORK;
    return 0;
}

static void fill_folders(const struct ce_processes *processes, const struct part *part,
                         const char *run_folder, struct ce_subject *subject)
{
    snprintf(subject->helpers, sizeof subject->helpers, "%s", run_folder);
    subject->has |= CE_SUBJECT_HELPERS;
    if (!part->has_folder)
        return;
    snprintf(subject->folder, sizeof subject->folder, "%s/" CE_DISK, run_folder);
    subject->folder_is_dedicated = ce_processes_own_mounts(processes);
    subject->has |= CE_SUBJECT_FOLDER;
}

int ce_embedded_locate(struct ce_processes *processes, const char *run_folder, const char *service,
                       struct ce_subject *ret_subject, struct ce_error *err)
{
    const struct part *part = find_part(service);
    if (!part)
        return ce_fail(err, ENOENT,
                       "the embedded pipeline has no service '%s'; it has server, gateway, "
                       "resolver, and pipeline or all for everything",
                       service);
    memset(ret_subject, 0, sizeof *ret_subject);
    CE_TRY(fill_process(processes, part, ret_subject, err));
    CE_TRY(fill_packets(processes, part, ret_subject, err));
    fill_folders(processes, part, run_folder, ret_subject);
    return 0;
}
