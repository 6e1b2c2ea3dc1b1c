/* SPDX-License-Identifier: MIT */
#include "host/packets/tc.h"

#include <fcntl.h>
#include <inttypes.h>
#include <linux/gen_stats.h>
#include <linux/if_link.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/seam.h"
#include "host/packets/clsact.h"
#include "host/packets/interfaces.h"
#include "host/packets/netlink.h"
#include "host/packets/packet_match.h"
#include "host/packets/shaper_label.h"

enum {
    LAYERS_MAX = 8,
    HANDLES = 0xce01,  /* major number of the first layer's discipline */
    BELOW_IPV6 = 1279, /* an MTU that IPv6 keeps off, so that the device sends nothing of its own;
                          for what passes through it means nothing */
};

/* Everything a call in the target's namespace is told, and tells. */
struct job {
    struct ce_packet_filter filter;
    bool leaving, joins;
    char device[IF_NAMESIZE];
    unsigned layer;
    struct ce_shaping shaping;
    size_t interface; /* which of them */
    struct ce_shaper_count count;
    size_t largest;
};

static int there(const struct ce_place *place, int (*function)(void *, struct ce_error *),
                 struct job *job, struct ce_error *err)
{
    return ce_place_call(place, CE_PLACE_NETWORK, function, job, sizeof *job, err);
}

/* Shapers of one network namespace are made and ended one after the other, by whatever processes.
 * The lock is let go when the descriptor is closed. */
static int lock_namespace(struct ce_error *err)
{
    int fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    if (fd < 0 || flock(fd, LOCK_EX) < 0) {
        int code = errno;
        if (fd >= 0)
            (void)close(fd);
        return ce_fail(err, code, "cannot lock the network namespace: %s", strerror(code));
    }
    return fd;
}

/* ---- devices of ours ---- */

struct look {
    const char *name;    /* the device with that name ... */
    const char *packets; /* ... or those whose packets may be these ones, too */
    char device[IF_NAMESIZE];
    int index; /* 0: not found */
    struct ce_shaper_label label;
    bool same, meets;
};

static int look_at_device(const struct nlmsghdr *message, void *ctx)
{
    struct look *look = ctx;
    const struct ifinfomsg *link = mnl_nlmsg_get_payload(message);
    const char *name = "", *alias = "";
    const struct nlattr *attribute;
    struct ce_shaper_label label = {0};
    mnl_attr_for_each(attribute, message, sizeof *link)
    {
        if (mnl_attr_get_type(attribute) == IFLA_IFNAME)
            name = mnl_attr_get_str(attribute);
        if (mnl_attr_get_type(attribute) == IFLA_IFALIAS)
            alias = mnl_attr_get_str(attribute);
    }
    bool labelled = ce_shaper_label_parse(alias, &label) == 0;
    bool same = look->packets && labelled && strcmp(label.packets, look->packets) == 0;
    if (look->packets && labelled && !same && ce_shaper_packets_meet(label.packets, look->packets))
        look->meets = true;
    if (look->name ? strcmp(name, look->name) != 0 : !same)
        return 0;
    look->same = same;
    look->index = link->ifi_index;
    look->label = label;
    snprintf(look->device, sizeof look->device, "%s", name);
    return 0;
}

static int look_for_device(struct ce_netlink *netlink, struct look *look, struct ce_error *err)
{
    struct ifinfomsg link = {.ifi_family = AF_UNSPEC};
    struct ce_netlink_message message;
    ce_netlink_begin(netlink, &message, RTM_GETLINK, NLM_F_DUMP, &link, sizeof link);
    return ce_netlink_dump(netlink, &message, look_at_device, look,
                           "cannot see the network interfaces", err);
}

static int set_label(struct ce_netlink *netlink, int index, const struct ce_shaper_label *label,
                     struct ce_error *err)
{
    struct ifinfomsg link = {
        .ifi_family = AF_UNSPEC, .ifi_index = index, .ifi_flags = IFF_UP, .ifi_change = IFF_UP};
    struct ce_netlink_message message;
    char text[CE_SHAPER_LABEL_SIZE];
    ce_shaper_label_format(label, text);
    ce_netlink_begin(netlink, &message, RTM_NEWLINK, 0, &link, sizeof link);
    mnl_attr_put(&message.header, IFLA_IFALIAS, strlen(text), text);
    return ce_netlink_ask(netlink, &message, "cannot set up a device (ifb)", err);
}

/* ---- its disciplines ---- */

static uint32_t handle_of(unsigned layer)
{
    return TC_H_MAKE((HANDLES + layer) << 16, 0);
}

static int set_discipline(struct ce_netlink *netlink, int index, unsigned layer, uint16_t flags,
                          const struct ce_shaping *shaping, struct ce_error *err)
{
    char what[64];
    struct ce_netlink_message message;
    struct tcmsg tc = {.tcm_family = AF_UNSPEC,
                       .tcm_ifindex = index,
                       .tcm_handle = handle_of(layer),
                       .tcm_parent = layer == 0 ? TC_H_ROOT : handle_of(layer - 1) | 1};
    snprintf(what, sizeof what, "the kernel takes no %s (sch_%s)", shaping->kind, shaping->kind);
    ce_netlink_begin(netlink, &message, RTM_NEWQDISC, flags, &tc, sizeof tc);
    mnl_attr_put_strz(&message.header, TCA_KIND, shaping->kind);
    mnl_attr_put(&message.header, TCA_OPTIONS, shaping->size, shaping->options);
    return ce_netlink_ask(netlink, &message, what, err);
}

/* ---- making one ---- */

static int begin_call(struct ce_netlink *netlink, struct ce_error *err)
{
    int lock = lock_namespace(err);
    CE_TRY(lock);
    int r = ce_netlink_open(NETLINK_ROUTE, netlink, err);
    if (r < 0)
        (void)close(lock);
    return r < 0 ? r : lock;
}
#define CALL(lock, netlink)                                                                        \
    CE_CLEANUP(ce_netlink_close) struct ce_netlink netlink = {0};                                  \
    ce_autofd int lock = begin_call(&netlink, err);                                                \
    CE_TRY(lock)

void ce_filter_tag(char ret_tag[IF_NAMESIZE])
{
    uint64_t random = 0;
    (void)getrandom(&random, sizeof random, 0);
    snprintf(ret_tag, IF_NAMESIZE, "ce%012" PRIx64, random & 0xffffffffffff);
}

/* Which device it will be: a new one, or that of the shaper that it joins. */
static int choose_device(void *ctx, struct ce_error *err)
{
    struct job *job = ctx;
    char packets[CE_SHAPER_PACKETS_SIZE];
    struct look look = {.packets = packets};
    CALL(lock, netlink);
    CE_TRY(ce_shaper_packets_text(&job->filter, job->leaving, packets, err));
    CE_TRY(look_for_device(&netlink, &look, err));
    if (look.meets)
        return ce_fail(err, ENOTSUP, "another shaper acts on some of these packets already");
    if (look.same && (look.label.live == 0 || look.label.layers >= LAYERS_MAX))
        return ce_fail(err, ENOTSUP, "the shaper that these packets have takes no more");
    job->joins = look.same;
    job->layer = look.same ? look.label.layers : 0;
    if (look.same) {
        memcpy(job->device, look.device, sizeof job->device);
        return 0;
    }
    ce_filter_tag(job->device);
    return 0;
}

static int create_device(struct ce_netlink *netlink, const char *name, struct ce_error *err)
{
    struct ifinfomsg link = {.ifi_family = AF_UNSPEC};
    struct ce_netlink_message message;
    ce_netlink_begin(netlink, &message, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &link, sizeof link);
    mnl_attr_put_strz(&message.header, IFLA_IFNAME, name);
    mnl_attr_put_u32(&message.header, IFLA_MTU, BELOW_IPV6);
    struct nlattr *info = mnl_attr_nest_start(&message.header, IFLA_LINKINFO);
    mnl_attr_put_strz(&message.header, IFLA_INFO_KIND, "ifb");
    mnl_attr_nest_end(&message.header, info);
    return ce_netlink_ask(netlink, &message, "the kernel makes no ifb device", err);
}

static int make_device(void *ctx, struct ce_error *err)
{
    struct job *job = ctx;
    struct look look = {.name = job->device};
    CALL(lock, netlink);
    if (!job->joins)
        CE_TRY(create_device(&netlink, job->device, err));
    CE_TRY(look_for_device(&netlink, &look, err));
    if (look.index == 0 ||
        (job->joins && (look.label.layers != job->layer || look.label.live == 0)))
        return ce_fail(err, EAGAIN, "another shaper of these packets has just changed");
    struct ce_shaper_label before = look.label;
    look.label.live |= 1u << job->layer;
    look.label.layers = job->layer + 1;
    if (!job->joins)
        CE_TRY(ce_shaper_packets_text(&job->filter, job->leaving, look.label.packets, err));
    CE_TRY(set_label(&netlink, look.index, &look.label, err));
    int r = set_discipline(&netlink, look.index, job->layer, NLM_F_CREATE | NLM_F_EXCL,
                           &job->shaping, err);
    if (r < 0 && job->joins)
        (void)set_label(&netlink, look.index, &before, NULL);
    return r;
}

/* 1 when there is no such interface any more, or never was. */
static int aim_filter(void *ctx, struct ce_error *err)
{
    const struct job *job = ctx;
    struct ce_interfaces interfaces;
    struct ce_packet_match match;
    struct look look = {.name = job->device};
    CALL(lock, netlink);
    CE_TRY(ce_interfaces_of(&netlink, &job->filter, &interfaces, err));
    if (job->interface >= interfaces.count)
        return 1;
    const struct ce_interface *interface = &interfaces.items[job->interface];
    if (ce_interface_counts_twice(&job->filter, interface, job->leaving))
        return 0;
    CE_TRY(look_for_device(&netlink, &look, err));
    CE_TRY(ce_clsact_ensure(&netlink, interface->index, job->leaving, err));
    ce_packet_match_of(&job->filter, job->leaving, &match);
    struct ce_clsact_filter filter = {.interface = interface->index,
                                      .leaving = job->leaving,
                                      .tag = job->device,
                                      .code = match.code,
                                      .count = match.count,
                                      .redirect = look.index};
    return ce_clsact_add(&netlink, &filter, err);
}

static int note_shaper(struct ce_journal *journal, const struct ce_place *place,
                       const struct job *job, struct ce_error *err)
{
    json_t *args = json_pack("{s:o*, s:s, s:i, s:s}", "place", ce_place_args(place), "device",
                             job->device, "layer", (int)job->layer, "kind", job->shaping.kind);
    return args ? ce_undo_note(journal, "remove-shaper", args, err) : ce_fail_memory(err);
}

int ce_undo_note_filters(struct ce_journal *journal, const struct ce_place *place, const char *tag,
                         struct ce_error *err)
{
    struct job job = {0};
    snprintf(job.device, sizeof job.device, "%s", tag);
    return note_shaper(journal, place, &job, err);
}

static int make_shaper(const struct ce_place *place, struct job *job, struct ce_error *err)
{
    CE_TRY(there(place, make_device, job, err));
    ce_seam_step("shaper: device made");
    for (int r = job->joins; r == 0; job->interface++) {
        r = there(place, aim_filter, job, err);
        CE_TRY(r);
        ce_seam_step("shaper: filter set");
    }
    return 0;
}

/* The kernel's ways to say that it has not got something. */
static bool is_missing(int r)
{
    return r == -ENOENT || r == -EOPNOTSUPP || r == -EAGAIN;
}

int ce_shaper_begin(struct ce_journal *journal, const struct ce_place *place,
                    const struct ce_packet_filter *filter, bool leaving,
                    const struct ce_shaping *shaping, struct ce_shaper *ret_shaper,
                    struct ce_error *err)
{
    struct job job = {.filter = *filter, .leaving = leaving, .shaping = *shaping};
    CE_TRY(there(place, choose_device, &job, err));
    int note = note_shaper(journal, place, &job, err);
    CE_TRY(note);
    int r = make_shaper(place, &job, err);
    if (r < 0) {
        struct ce_error failed = {0};
        int undone = ce_undo_now(journal, note, &failed);
        if (undone < 0 && err)
            *err = failed;
        return undone < 0 ? undone : is_missing(r) ? -ENOTSUP : r;
    }
    *ret_shaper = (struct ce_shaper){.place = *place, .layer = job.layer, .note = note};
    memcpy(ret_shaper->device, job.device, sizeof ret_shaper->device);
    return 0;
}

/* ---- while it lasts ---- */

static struct job job_of(const struct ce_shaper *shaper)
{
    struct job job = {.layer = shaper->layer};
    memcpy(job.device, shaper->device, sizeof job.device);
    return job;
}

static int change_discipline(void *ctx, struct ce_error *err)
{
    const struct job *job = ctx;
    struct look look = {.name = job->device};
    CALL(lock, netlink);
    CE_TRY(look_for_device(&netlink, &look, err));
    if (look.index == 0)
        return ce_fail(err, ENODEV, "the shaper's device is gone");
    return set_discipline(&netlink, look.index, job->layer, 0, &job->shaping, err);
}

int ce_shaper_change(const struct ce_shaper *shaper, const struct ce_shaping *shaping,
                     struct ce_error *err)
{
    struct job job = job_of(shaper);
    job.shaping = *shaping;
    return there(&shaper->place, change_discipline, &job, err);
}

struct tally {
    int index;
    uint32_t handle;
    struct ce_shaper_count *count;
    bool found;
};

static int tally_discipline(const struct nlmsghdr *message, void *ctx)
{
    struct tally *tally = ctx;
    const struct tcmsg *tc = mnl_nlmsg_get_payload(message);
    const struct nlattr *attribute, *part;
    if (tc->tcm_ifindex != tally->index || tc->tcm_handle != tally->handle)
        return 0;
    tally->found = true;
    mnl_attr_for_each(attribute, message, sizeof *tc)
    {
        if (mnl_attr_get_type(attribute) != TCA_STATS2)
            continue;
        mnl_attr_for_each_nested(part, attribute)
        {
            struct gnet_stats_basic basic;
            struct gnet_stats_queue queue;
            size_t size = mnl_attr_get_payload_len(part);
            if (mnl_attr_get_type(part) == TCA_STATS_BASIC && size >= sizeof basic) {
                memcpy(&basic, mnl_attr_get_payload(part), sizeof basic);
                tally->count->passed = basic.packets;
            }
            if (mnl_attr_get_type(part) == TCA_STATS_QUEUE && size >= sizeof queue) {
                memcpy(&queue, mnl_attr_get_payload(part), sizeof queue);
                tally->count->dropped = queue.drops;
                tally->count->waiting = queue.qlen;
                tally->count->delayed = queue.overlimits;
            }
        }
    }
    return 0;
}

static int count_packets(void *ctx, struct ce_error *err)
{
    struct job *job = ctx;
    struct look look = {.name = job->device};
    struct ce_netlink_message message;
    CALL(lock, netlink);
    CE_TRY(look_for_device(&netlink, &look, err));
    struct tally tally = {look.index, handle_of(job->layer), &job->count, false};
    struct tcmsg tc = {.tcm_family = AF_UNSPEC, .tcm_ifindex = look.index};
    ce_netlink_begin(&netlink, &message, RTM_GETQDISC, NLM_F_DUMP, &tc, sizeof tc);
    CE_TRY(ce_netlink_dump(&netlink, &message, tally_discipline, &tally,
                           "cannot read a queueing discipline", err));
    return tally.found ? 0 : ce_fail(err, ENODEV, "the shaper's queueing discipline is gone");
}

int ce_shaper_count(const struct ce_shaper *shaper, struct ce_shaper_count *ret_count,
                    struct ce_error *err)
{
    struct job job = job_of(shaper);
    CE_TRY(there(&shaper->place, count_packets, &job, err));
    *ret_count = job.count;
    return 0;
}

static int find_largest(void *ctx, struct ce_error *err)
{
    struct job *job = ctx;
    struct ce_interfaces interfaces;
    CE_CLEANUP(ce_netlink_close) struct ce_netlink netlink = {0};
    CE_TRY(ce_netlink_open(NETLINK_ROUTE, &netlink, err));
    CE_TRY(ce_interfaces_of(&netlink, &job->filter, &interfaces, err));
    for (size_t i = 0; i < interfaces.count; i++)
        if (interfaces.items[i].mtu > job->largest)
            job->largest = interfaces.items[i].mtu;
    return 0;
}

int ce_shaper_largest(const struct ce_place *place, const struct ce_packet_filter *filter,
                      size_t *ret_largest, struct ce_error *err)
{
    struct job job = {.filter = *filter};
    CE_TRY(there(place, find_largest, &job, err));
    *ret_largest = job.largest;
    return 0;
}

/* ---- whether there could be one ---- */

static int try_shaper(void *ctx, struct ce_error *err)
{
    struct job *job = ctx;
    if (unshare(CLONE_NEWNET) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
        return ce_fail(err, errno, "this user may make no network namespace: %s", strerror(errno));
    memcpy(job->filter.interface, "lo", sizeof "lo");
    CE_TRY(choose_device(job, err));
    CE_TRY(make_device(job, err));
    return aim_filter(job, err);
}

bool ce_shaper_available(const struct ce_shaping *shaping, char *reason, size_t size)
{
    struct job job = {.shaping = *shaping};
    struct ce_place here = {0};
    struct ce_error err = {0};
    int r = ce_place_call(&here, 0, try_shaper, &job, sizeof job, &err);
    if (r < 0)
        snprintf(reason, size, "%s", err.message);
    return r == 0;
}

/* ---- ending it ---- */

/* 1: others live on the same device, so all is done. */
static int leave_device(void *ctx, struct ce_error *err)
{
    struct job *job = ctx;
    struct look look = {.name = job->device};
    CALL(lock, netlink);
    CE_TRY(look_for_device(&netlink, &look, err));
    look.label.live &= ~(1u << job->layer);
    if (look.index > 0 && look.label.layers > 0)
        CE_TRY(set_label(&netlink, look.index, &look.label, err));
    if (look.index == 0 || look.label.live == 0)
        return ce_clsact_remove(&netlink, job->device, err);
    ce_shaping_none(job->shaping.kind, &job->shaping);
    int r = set_discipline(&netlink, look.index, job->layer, 0, &job->shaping, err);
    /* It died before it had made its discipline. */
    return r == 0 || r == -ENOENT || r == -EINVAL ? 1 : r;
}

static int remove_device(void *ctx, struct ce_error *err)
{
    const struct job *job = ctx;
    struct ifinfomsg link = {.ifi_family = AF_UNSPEC};
    struct ce_netlink_message message;
    CALL(lock, netlink);
    ce_netlink_begin(&netlink, &message, RTM_DELLINK, 0, &link, sizeof link);
    mnl_attr_put_strz(&message.header, IFLA_IFNAME, job->device);
    int r = ce_netlink_ask(&netlink, &message, "cannot remove a shaper's device", err);
    return r == -ENODEV ? 0 : r;
}

static int sweep_clsacts(void *ctx, struct ce_error *err)
{
    CALL(lock, netlink);
    return ce_clsact_sweep(&netlink, err);
}

static int take_shaper_back(const struct ce_place *place, struct job *job, struct ce_error *err)
{
    int r = there(place, leave_device, job, err);
    ce_seam_step("shaper: filters removed");
    if (r != 0)
        return r == 1 ? 0 : r;
    CE_TRY(there(place, remove_device, job, err));
    ce_seam_step("shaper: device removed");
    CE_TRY(there(place, sweep_clsacts, job, err));
    ce_seam_step("shaper: clsact removed");
    return 0;
}

static int remove_shaper(const json_t *args, struct ce_error *err)
{
    json_t *noted;
    const char *device, *kind;
    struct ce_place place;
    struct job job = {0};
    int layer;
    if (json_unpack((json_t *)args, "{s:o, s:s, s:i, s:s}", "place", &noted, "device", &device,
                    "layer", &layer, "kind", &kind) < 0 ||
        strlen(device) >= sizeof job.device || strlen(kind) >= sizeof job.shaping.kind ||
        layer < 0 || layer >= LAYERS_MAX)
        return ce_fail(err, EINVAL, "the note does not say which shaper is meant");
    int r = ce_place_from_args(noted, CE_PLACE_NETWORK, &place, err);
    if (r != 0)
        return r == CE_PLACE_GONE ? 0 : r;
    memcpy(job.device, device, strlen(device) + 1);
    memcpy(job.shaping.kind, kind, strlen(kind) + 1);
    job.layer = (unsigned)layer;
    r = take_shaper_back(&place, &job, err);
    /* The namespace has ended in between, and all that was in it. */
    return r == -ESRCH ? 0 : r;
}

const struct ce_undo_op ce_undo_remove_shaper = {.name = "remove-shaper", .undo = remove_shaper};

int ce_shaper_end(struct ce_journal *journal, struct ce_shaper *shaper, struct ce_error *err)
{
    if (shaper->note == 0)
        return 0;
    CE_TRY(ce_undo_now(journal, shaper->note, err));
    shaper->note = 0;
    return 0;
}
