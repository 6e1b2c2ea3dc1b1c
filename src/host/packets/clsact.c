/* SPDX-License-Identifier: MIT */
#include "host/packets/clsact.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/tc_act/tc_mirred.h>
#include <string.h>

#include "base/cleanup.h"

enum {
    MARK_CHAIN = 0x0ce00001,
    LAST_PRIORITY = 0xffff,
    PRIORITIES = 16, /* tried, from the last one upwards: others may have filters of another kind */
    TAG_SIZE = 16,
    FOUND_MAX = 64,
};

static uint32_t hook_of(bool leaving)
{
    return TC_H_MAKE(TC_H_CLSACT, leaving ? TC_H_MIN_EGRESS : TC_H_MIN_INGRESS);
}

static int take_type(const struct nlattr *attribute, void *ctx)
{
    const struct nlattr **attributes = ctx;
    unsigned type = mnl_attr_get_type(attribute);
    if (type <= TCA_MAX)
        attributes[type] = attribute;
    return MNL_CB_OK;
}

static void attributes_of(const struct nlmsghdr *message, const struct nlattr **ret_attributes)
{
    memset(ret_attributes, 0, (TCA_MAX + 1) * sizeof *ret_attributes);
    (void)mnl_attr_parse(message, sizeof(struct tcmsg), take_type, ret_attributes);
}

static bool is_kind(const struct nlattr *const *attributes, const char *kind)
{
    return attributes[TCA_KIND] && strcmp(mnl_attr_get_str(attributes[TCA_KIND]), kind) == 0;
}

/* ---- the clsact itself ---- */

static struct tcmsg clsact_at(int interface)
{
    return (struct tcmsg){.tcm_family = AF_UNSPEC,
                          .tcm_ifindex = interface,
                          .tcm_parent = TC_H_CLSACT,
                          .tcm_handle = TC_H_MAKE(TC_H_CLSACT, 0)};
}

struct holders {
    struct {
        int interface;
        bool is_clsact; /* else an ingress */
    } items[FOUND_MAX];
    size_t count;
};

static int take_holder(const struct nlmsghdr *message, void *ctx)
{
    struct holders *holders = ctx;
    const struct tcmsg *tc = mnl_nlmsg_get_payload(message);
    const struct nlattr *attributes[TCA_MAX + 1];
    attributes_of(message, attributes);
    bool is_clsact = is_kind(attributes, "clsact");
    if (!is_clsact && !is_kind(attributes, "ingress"))
        return 0;
    if (holders->count == FOUND_MAX)
        return -E2BIG;
    holders->items[holders->count].interface = tc->tcm_ifindex;
    holders->items[holders->count++].is_clsact = is_clsact;
    return 0;
}

static int find_holders(struct ce_netlink *netlink, struct holders *ret_holders,
                        struct ce_error *err)
{
    struct tcmsg tc = {.tcm_family = AF_UNSPEC};
    struct ce_netlink_message message;
    ret_holders->count = 0;
    ce_netlink_begin(netlink, &message, RTM_GETQDISC, NLM_F_DUMP, &tc, sizeof tc);
    int r = ce_netlink_dump(netlink, &message, take_holder, ret_holders,
                            "cannot see the queueing disciplines", err);
    return r == -E2BIG ? ce_fail(err, E2BIG, "too many interfaces have filters") : r;
}

/* Both in one message: no death of ours leaves one without its mark. */
static int make_marked(struct ce_netlink *netlink, int interface, struct ce_error *err)
{
    CE_CLEANUP(ce_netlink_batch_done) struct ce_netlink_batch batch = {0};
    struct tcmsg tc = clsact_at(interface);
    uint16_t flags = NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK;
    mnl_attr_put_strz(ce_netlink_add(netlink, &batch, RTM_NEWQDISC, flags, &tc, sizeof tc),
                      TCA_KIND, "clsact");
    tc.tcm_parent = hook_of(false);
    tc.tcm_handle = 0;
    mnl_attr_put_u32(ce_netlink_add(netlink, &batch, RTM_NEWCHAIN, flags, &tc, sizeof tc),
                     TCA_CHAIN, MARK_CHAIN);
    return ce_netlink_ask_batch(netlink, &batch, "cannot make a clsact (sch_ingress)", err);
}

int ce_clsact_ensure(struct ce_netlink *netlink, int interface, bool leaving, struct ce_error *err)
{
    struct holders holders;
    CE_TRY(find_holders(netlink, &holders, err));
    for (size_t i = 0; i < holders.count; i++) {
        if (holders.items[i].interface != interface)
            continue;
        if (holders.items[i].is_clsact || !leaving)
            return 0;
        return ce_fail(err, ENOTSUP,
                       "interface %d has an ingress of somebody else's, beside which no filter for "
                       "what leaves can stand",
                       interface);
    }
    return make_marked(netlink, interface, err);
}

static int see_mark(const struct nlmsghdr *message, void *ctx)
{
    const struct nlattr *attributes[TCA_MAX + 1];
    attributes_of(message, attributes);
    if (attributes[TCA_CHAIN] && mnl_attr_get_u32(attributes[TCA_CHAIN]) == MARK_CHAIN)
        *(bool *)ctx = true;
    return 0;
}

static int is_marked(struct ce_netlink *netlink, int interface, bool *ret_marked,
                     struct ce_error *err)
{
    struct ce_netlink_message message;
    struct tcmsg tc = {
        .tcm_family = AF_UNSPEC, .tcm_ifindex = interface, .tcm_parent = hook_of(false)};
    *ret_marked = false;
    ce_netlink_begin(netlink, &message, RTM_GETCHAIN, NLM_F_DUMP, &tc, sizeof tc);
    return ce_netlink_dump(netlink, &message, see_mark, ret_marked, "cannot see a clsact's chains",
                           err);
}

/* ---- filters ---- */

static void put_redirect(struct nlmsghdr *message, const struct ce_clsact_filter *filter)
{
    struct tc_mirred mirred = {
        .action = TC_ACT_STOLEN, .eaction = TCA_EGRESS_REDIR, .ifindex = (__u32)filter->redirect};
    struct nlattr *actions = mnl_attr_nest_start(message, TCA_BPF_ACT);
    struct nlattr *first = mnl_attr_nest_start(message, 1);
    mnl_attr_put_strz(message, TCA_ACT_KIND, "mirred");
    struct nlattr *options = mnl_attr_nest_start(message, TCA_ACT_OPTIONS);
    mnl_attr_put(message, TCA_MIRRED_PARMS, sizeof mirred, &mirred);
    mnl_attr_nest_end(message, options);
    mnl_attr_put(message, TCA_ACT_COOKIE, strlen(filter->tag), filter->tag);
    mnl_attr_nest_end(message, first);
    mnl_attr_nest_end(message, actions);
}

static void put_filter(struct nlmsghdr *message, const struct ce_clsact_filter *filter)
{
    mnl_attr_put_strz(message, TCA_KIND, "bpf");
    struct nlattr *options = mnl_attr_nest_start(message, TCA_OPTIONS);
    if (filter->code) {
        mnl_attr_put_u16(message, TCA_BPF_OPS_LEN, (uint16_t)filter->count);
        mnl_attr_put(message, TCA_BPF_OPS, filter->count * sizeof *filter->code, filter->code);
        put_redirect(message, filter);
    } else {
        mnl_attr_put_u32(message, TCA_BPF_FD, (uint32_t)filter->program);
        mnl_attr_put_strz(message, TCA_BPF_NAME, filter->tag);
        mnl_attr_put_u32(message, TCA_BPF_FLAGS, TCA_BPF_FLAG_ACT_DIRECT);
    }
    mnl_attr_nest_end(message, options);
}

int ce_clsact_add(struct ce_netlink *netlink, const struct ce_clsact_filter *filter,
                  struct ce_error *err)
{
    int r = 0;
    for (uint32_t i = 0; i < PRIORITIES; i++) {
        struct ce_netlink_message message;
        struct tcmsg tc = {.tcm_family = AF_UNSPEC,
                           .tcm_ifindex = filter->interface,
                           .tcm_parent = hook_of(filter->leaving),
                           .tcm_info = TC_H_MAKE((LAST_PRIORITY - i) << 16, htons(ETH_P_ALL))};
        ce_netlink_begin(netlink, &message, RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_EXCL, &tc,
                         sizeof tc);
        put_filter(&message.header, filter);
        r = ce_netlink_ask(netlink, &message, "cannot set a filter (cls_bpf, act_mirred)", err);
        if (r != -EINVAL && r != -EEXIST)
            break;
    }
    return r;
}

/* Whose filter it is: "" is nobody's of ours. */
static void tag_of_action(const struct nlattr *actions, char ret_tag[TAG_SIZE])
{
    const struct nlattr *action, *attribute;
    mnl_attr_for_each_nested(action, actions) mnl_attr_for_each_nested(
        attribute, action) if (mnl_attr_get_type(attribute) == TCA_ACT_COOKIE)
    {
        size_t size = mnl_attr_get_payload_len(attribute);
        if (size < TAG_SIZE)
            memcpy(ret_tag, mnl_attr_get_payload(attribute), size);
    }
}

static void tag_of(const struct nlattr *const *attributes, char ret_tag[TAG_SIZE])
{
    const struct nlattr *attribute;
    memset(ret_tag, 0, TAG_SIZE);
    if (!is_kind(attributes, "bpf") || !attributes[TCA_OPTIONS])
        return;
    mnl_attr_for_each_nested(attribute, attributes[TCA_OPTIONS])
    {
        if (mnl_attr_get_type(attribute) == TCA_BPF_NAME)
            strncpy(ret_tag, mnl_attr_get_str(attribute), TAG_SIZE - 1);
        if (mnl_attr_get_type(attribute) == TCA_BPF_ACT)
            tag_of_action(attribute, ret_tag);
    }
}

struct filters {
    const char *tag; /* NULL: all */
    struct tcmsg items[FOUND_MAX];
    size_t count; /* those beyond FOUND_MAX are counted only */
};

static int take_filter(const struct nlmsghdr *message, void *ctx)
{
    struct filters *filters = ctx;
    const struct tcmsg *tc = mnl_nlmsg_get_payload(message);
    const struct nlattr *attributes[TCA_MAX + 1];
    char tag[TAG_SIZE];
    attributes_of(message, attributes);
    tag_of(attributes, tag);
    if (filters->tag && strcmp(tag, filters->tag) != 0)
        return 0;
    if (filters->count < FOUND_MAX)
        filters->items[filters->count] = *tc;
    filters->count++;
    return 0;
}

static int find_filters(struct ce_netlink *netlink, int interface, bool leaving,
                        struct filters *filters, struct ce_error *err)
{
    struct ce_netlink_message message;
    struct tcmsg tc = {
        .tcm_family = AF_UNSPEC, .tcm_ifindex = interface, .tcm_parent = hook_of(leaving)};
    ce_netlink_begin(netlink, &message, RTM_GETTFILTER, NLM_F_DUMP, &tc, sizeof tc);
    return ce_netlink_dump(netlink, &message, take_filter, filters, "cannot see the filters", err);
}

static int remove_filter(struct ce_netlink *netlink, const struct tcmsg *found,
                         struct ce_error *err)
{
    struct ce_netlink_message message;
    ce_netlink_begin(netlink, &message, RTM_DELTFILTER, 0, found, sizeof *found);
    mnl_attr_put_strz(&message.header, TCA_KIND, "bpf");
    int r = ce_netlink_ask(netlink, &message, "cannot remove a filter", err);
    return r == -ENOENT ? 0 : r;
}

int ce_clsact_remove(struct ce_netlink *netlink, const char *tag, struct ce_error *err)
{
    struct holders holders;
    CE_TRY(find_holders(netlink, &holders, err));
    for (size_t i = 0; i < 2 * holders.count; i++) {
        bool leaving = i % 2 == 1;
        if (leaving && !holders.items[i / 2].is_clsact)
            continue;
        struct filters filters = {.tag = tag};
        CE_TRY(find_filters(netlink, holders.items[i / 2].interface, leaving, &filters, err));
        for (size_t j = 0; j < filters.count && j < FOUND_MAX; j++)
            CE_TRY(remove_filter(netlink, &filters.items[j], err));
    }
    return 0;
}

/* ---- taking away what was made ---- */

int ce_clsact_sweep(struct ce_netlink *netlink, struct ce_error *err)
{
    struct holders holders;
    CE_TRY(find_holders(netlink, &holders, err));
    for (size_t i = 0; i < holders.count; i++) {
        int interface = holders.items[i].interface;
        struct filters filters = {.tag = NULL};
        bool marked = false;
        if (holders.items[i].is_clsact)
            CE_TRY(is_marked(netlink, interface, &marked, err));
        if (!marked)
            continue;
        CE_TRY(find_filters(netlink, interface, false, &filters, err));
        CE_TRY(find_filters(netlink, interface, true, &filters, err));
        if (filters.count > 0)
            continue;
        struct ce_netlink_message message;
        struct tcmsg tc = clsact_at(interface);
        ce_netlink_begin(netlink, &message, RTM_DELQDISC, 0, &tc, sizeof tc);
        int r = ce_netlink_ask(netlink, &message, "cannot remove a clsact", err);
        if (r < 0 && r != -ENOENT)
            return r;
    }
    return 0;
}
