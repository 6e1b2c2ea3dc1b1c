/* SPDX-License-Identifier: MIT */
/* Loss by an eBPF program at the target's interfaces: the sender hears nothing of it.
 *
 * An agent holds the program's links, and they end with it. Kernels before 6.6 have no such links:
 * there the program stands in a filter, for which there is a note. Loading programs takes rights
 * that an ordinary user does not have, in no namespace. */
#include <linux/rtnetlink.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/seam.h"
#include "host/bpf.h"
#include "host/packets/clsact.h"
#include "host/packets/interfaces.h"
#include "host/packets/means_agent.h"
#include "host/packets/tc.h"

struct means {
    struct ce_means_agent base;
    char tag[IF_NAMESIZE]; /* of the filters; "": links are used */
    int note;
};

/* What the agent has. */
struct held {
    int map, programs[2]; /* by direction; -1: none */
    struct ce_bpf_loss *loss;
    struct ce_netlink netlink;
};

static void held_done(struct held *held)
{
    ce_netlink_close(&held->netlink);
    ce_bpf_loss_unmap(held->loss);
    if (held->map >= 0)
        (void)close(held->map);
    for (int i = 0; i < 2; i++)
        if (held->programs[i] >= 0)
            (void)close(held->programs[i]);
}

static int check_deed(const struct ce_packet_deed *deed, struct ce_error *err)
{
    if (deed->duplicate > 0 || deed->corrupt > 0 || deed->reorder > 0)
        return ce_fail(err, ENOTSUP, "bpf only loses packets");
    if (deed->correlation > 0)
        return ce_fail(err, ENOTSUP, "bpf loses each packet independently of the last one");
    return 0;
}

static uint64_t threshold_of(const struct ce_packet_deed *deed)
{
    return deed->loss >= 1   ? 1ull << 32
           : deed->loss <= 0 ? 0
                             : (uint64_t)(deed->loss * (double)(1ull << 32));
}

/* A link stays as long as this process: nobody closes its descriptor. */
static int attach(const struct means *means, struct held *held,
                  const struct ce_interface *interface, bool leaving, struct ce_error *err)
{
    int program = held->programs[leaving];
    if (means->tag[0]) {
        struct ce_clsact_filter filter = {.interface = interface->index,
                                          .leaving = leaving,
                                          .tag = means->tag,
                                          .program = program};
        CE_TRY(ce_clsact_ensure(&held->netlink, interface->index, leaving, err));
        return ce_clsact_add(&held->netlink, &filter, err);
    }
    int r = ce_bpf_attach(program, interface->index, leaving);
    return r < 0 ? ce_fail(err, -r, "the kernel attaches no bpf program to an interface: %s",
                           strerror(-r))
                 : 0;
}

static int attach_everywhere(const struct means *means, struct held *held, struct ce_error *err)
{
    const struct ce_packet_filter *filter = &means->base.packets.filter;
    struct ce_interfaces interfaces;
    CE_TRY(ce_netlink_open(NETLINK_ROUTE, &held->netlink, err));
    CE_TRY(ce_interfaces_of(&held->netlink, filter, &interfaces, err));
    CE_TRY(ce_bpf_loss_map(&held->map, &held->loss, err));
    held->loss->threshold = threshold_of(&means->base.packets.deed);
    for (int leaving = 0; leaving < 2; leaving++) {
        struct ce_packet_match match;
        if (filter->direction != CE_PACKETS_BOTH &&
            leaving != (filter->direction == CE_PACKETS_OUT))
            continue;
        ce_packet_match_of(filter, leaving, &match);
        held->programs[leaving] = ce_bpf_loss_program(held->map, &match, err);
        CE_TRY(held->programs[leaving]);
        for (size_t i = 0; i < interfaces.count; i++)
            if (!ce_interface_counts_twice(filter, &interfaces.items[i], leaving))
                CE_TRY(attach(means, held, &interfaces.items[i], leaving, err));
    }
    return 0;
}

static int agent_run(void *ctx, int channel)
{
    const struct means *means = ctx;
    CE_CLEANUP(held_done) struct held held = {.map = -1, .programs = {-1, -1}};
    struct ce_error err = {0};
    struct ce_means_request request;
    int r = attach_everywhere(means, &held, &err);
    ce_agent_ready(channel, r, &err);
    while (r == 0 && ce_means_agent_next(channel, &request) && request.wish != CE_MEANS_FINISH) {
        struct ce_means_answer answer = {.seen = held.loss->seen, .hit = held.loss->hit};
        if (request.wish == CE_MEANS_ADJUST) {
            answer.result = check_deed(&request.deed, &answer.err);
            if (answer.result == 0)
                held.loss->threshold = threshold_of(&request.deed);
        }
        ce_means_agent_reply(channel, &answer);
    }
    return 0;
}

static int begin(struct ce_packets *packets, struct ce_error *err)
{
    struct means *means = (struct means *)packets;
    CE_TRY(check_deed(&packets->deed, err));
    int r = ce_means_agent_begin(packets, agent_run, err);
    if (r == -EINVAL) {
        ce_filter_tag(means->tag);
        means->note = ce_undo_note_filters(packets->journal, &packets->place, means->tag, err);
        CE_TRY(means->note);
        r = ce_means_agent_begin(packets, agent_run, err);
        ce_seam_step("bpf: filters set");
        if (r < 0)
            (void)ce_undo_now(packets->journal, means->note, NULL);
    }
    return r == -EPERM || r == -ENOSYS || r == -EINVAL ? -ENOTSUP : r;
}

static int end(struct ce_packets *packets, struct ce_error *err)
{
    struct means *means = (struct means *)packets;
    int r = ce_means_agent_end(packets, err);
    if (means->note > 0) {
        int undone = ce_undo_now(packets->journal, means->note, r < 0 ? NULL : err);
        r = r < 0 ? r : undone;
    }
    return r;
}

static int try_program(void *ctx, struct ce_error *err)
{
    CE_CLEANUP(held_done) struct held held = {.map = -1, .programs = {-1, -1}};
    struct means means = {.base.packets.filter.interface = "lo"};
    if (unshare(CLONE_NEWNET) < 0)
        return ce_fail(err, errno, "bpf programs may not be loaded by this user: %s",
                       strerror(errno));
    int r = attach_everywhere(&means, &held, err);
    if (r != -EINVAL)
        return r;
    struct held again = {.map = -1, .programs = {-1, -1}};
    ce_filter_tag(means.tag);
    r = attach_everywhere(&means, &again, err);
    held_done(&again);
    return r;
}

static bool available(char *reason, size_t size)
{
    struct ce_place here = {0};
    struct ce_error err = {0};
    int r = ce_place_call(&here, 0, try_program, NULL, 0, &err);
    if (r < 0)
        snprintf(reason, size, "%s", err.message);
    return r == 0;
}

const struct ce_packet_means ce_means_bpf = {
    .name = "bpf",
    .kinds = 1u << CE_PACKETS_LOSE,
    .size = sizeof(struct means),
    .available = available,
    .begin = begin,
    .adjust = ce_means_agent_adjust,
    .count = ce_means_agent_count,
    .end = end,
};
