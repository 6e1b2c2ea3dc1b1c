/* SPDX-License-Identifier: MIT */
/* Loss and blocks by rules in the tables of the iptables programs, for kernels without nf_tables.
 *
 * For each direction there are three chains: the hook jumps to the first, which looks at the peers;
 * the second looks at protocol and ports; what fits is counted and decided upon in the third. A
 * packet that leaves and is dropped there is an error to its sender. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/seam.h"
#include "host/packets/packet_means.h"
#include "host/packets/xtables.h"

struct means {
    struct ce_packets base;
    const char *variant; /* of the programs */
    char chain[CE_CHAIN_SIZE];
    uint64_t hit; /* by rules that are replaced by now */
    int note;
};

/* The old tables first: the new ones are nf_tables', for which there are other means. */
static const char *const variants[] = {"-legacy", "-nft"};
static const struct family {
    const char *program;
    int family;
} families[] = {{"iptables", AF_INET}, {"ip6tables", AF_INET6}};

/* ---- rules ---- */

struct rules {
    char *text; /* CE_XTABLES_TEXT bytes */
    size_t used;
    const struct means *means;
    char way; /* 'i' or 'o': part of the chains' names */
};

CE_PRINTF(2, 3) static void add(struct rules *rules, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(rules->text + rules->used, CE_XTABLES_TEXT - rules->used, fmt, args);
    va_end(args);
    rules->used += (size_t)n;
    if (rules->used >= CE_XTABLES_TEXT)
        rules->used = CE_XTABLES_TEXT - 1;
}

static void add_loss(struct rules *rules, const char *command, double loss)
{
    add(rules, "%s -m statistic --mode random --probability %.10f -j DROP\n", command, loss);
}

static void add_verdict(struct rules *rules)
{
    const struct ce_packet_deed *deed = &rules->means->base.deed;
    char command[32];
    snprintf(command, sizeof command, "-A %s%cd", rules->means->chain, rules->way);
    if (deed->kind == CE_PACKETS_LOSE)
        add_loss(rules, command, deed->loss);
    else if (deed->reject)
        add(rules, "%s -p tcp -j REJECT --reject-with tcp-reset\n%s -j REJECT\n", command, command);
    else
        add(rules, "%s -j DROP\n", command);
}

static void add_peers(struct rules *rules, int family)
{
    const struct ce_packet_filter *filter = &rules->means->base.filter;
    const char *chain = rules->means->chain;
    char text[INET6_ADDRSTRLEN];
    for (size_t i = 0; i < filter->peer_count; i++)
        if (filter->peers[i].family == family &&
            inet_ntop(family, filter->peers[i].address, text, sizeof text))
            add(rules, "-A %s%c -%c %s/%d -g %s%cp\n", chain, rules->way,
                rules->way == 'i' ? 's' : 'd', text, filter->peers[i].prefix, chain, rules->way);
    if (filter->peer_count == 0)
        add(rules, "-A %s%c -g %s%cp\n", chain, rules->way, chain, rules->way);
}

static void add_ports(struct rules *rules, const char *protocol)
{
    const struct ce_packet_filter *filter = &rules->means->base.filter;
    const char *chain = rules->means->chain;
    const char *own = rules->way == 'i' ? "dport" : "sport";
    const char *other = rules->way == 'i' ? "sport" : "dport";
    char peer[32] = "";
    if (filter->peer_port != 0)
        snprintf(peer, sizeof peer, " --%s %u", other, (unsigned)filter->peer_port);
    for (size_t i = 0; i < filter->port_count; i++)
        add(rules, "-A %s%cp -p %s --%s %u:%u%s -g %s%cd\n", chain, rules->way, protocol, own,
            (unsigned)filter->ports[i].first, (unsigned)filter->ports[i].last, peer, chain,
            rules->way);
    if (filter->port_count == 0)
        add(rules, "-A %s%cp -p %s%s -g %s%cd\n", chain, rules->way, protocol, peer, chain,
            rules->way);
}

static void add_protocols(struct rules *rules)
{
    const struct ce_packet_filter *filter = &rules->means->base.filter;
    bool ports = filter->port_count > 0 || filter->peer_port != 0;
    char number[16];
    snprintf(number, sizeof number, "%d", filter->protocol);
    if (filter->protocol != 0) {
        add_ports(rules, number);
    } else if (ports) {
        add_ports(rules, "tcp");
        add_ports(rules, "udp");
    } else {
        add(rules, "-A %s%cp -g %s%cd\n", rules->means->chain, rules->way, rules->means->chain,
            rules->way);
    }
}

static void add_way(struct rules *rules, int family)
{
    const struct means *means = rules->means;
    const struct ce_packet_filter *filter = &means->base.filter;
    bool in = rules->way == 'i';
    char interface[32] = "";
    if (filter->interface[0])
        snprintf(interface, sizeof interface, " -%c %s", rules->way, filter->interface);
    else if (!in && filter->direction == CE_PACKETS_BOTH && filter->port_count == 0)
        snprintf(interface, sizeof interface, " ! -o lo"); /* it enters there as well */
    for (const char *part = " pd"; *part; part++)
        add(rules, ":%s%c%.*s - [0:0]\n", means->chain, rules->way, *part == ' ' ? 0 : 1, part);
    add_peers(rules, family);
    add_protocols(rules);
    add(rules, "-A %s%cd\n", means->chain, rules->way);
    add_verdict(rules);
    add(rules, "-I %s 1%s -j %s%c\n", in ? "INPUT" : "OUTPUT", interface, means->chain, rules->way);
}

static bool has_way(const struct means *means, char way)
{
    enum ce_packet_direction direction = means->base.filter.direction;
    return direction == CE_PACKETS_BOTH || (direction == CE_PACKETS_IN) == (way == 'i');
}

/* ---- calls ---- */

static int call(const struct means *means, const struct family *family, const char *tool,
                struct ce_xtables *xtables, struct ce_error *err)
{
    char program[32];
    snprintf(program, sizeof program, "%s%s", family->program, means->variant);
    xtables->program = program;
    xtables->tool = tool;
    xtables->chain = means->chain;
    int r = ce_xtables_run_there(&means->base.place, xtables, err);
    xtables->program = NULL;
    return r;
}

static int set_rules(const struct means *means, const struct family *family, struct ce_error *err)
{
    struct ce_xtables xtables = {.counters = false};
    struct rules rules = {.text = xtables.text, .means = means};
    add(&rules, "*filter\n");
    for (const char *way = "io"; *way; way++) {
        rules.way = *way;
        if (has_way(means, *way))
            add_way(&rules, family->family);
    }
    add(&rules, "COMMIT\n");
    if (rules.used >= CE_XTABLES_TEXT - 1)
        return ce_fail(err, ENOTSUP, "these are too many peers and ports for iptables");
    return call(means, family, "restore", &xtables, err);
}

static int set_all(const struct means *means, struct ce_error *err)
{
    for (size_t i = 0; i < CE_COUNT(families); i++) {
        CE_TRY(set_rules(means, &families[i], err));
        ce_seam_step("iptables: rules set");
    }
    return 0;
}

static int check_deed(const struct ce_packet_deed *deed, struct ce_error *err)
{
    if (deed->kind == CE_PACKETS_BLOCK)
        return 0;
    if (deed->duplicate > 0 || deed->corrupt > 0 || deed->reorder > 0)
        return ce_fail(err, ENOTSUP, "iptables only loses packets");
    if (deed->correlation > 0)
        return ce_fail(err, ENOTSUP, "iptables loses each packet independently of the last one");
    return 0;
}

static int begin(struct ce_packets *packets, struct ce_error *err)
{
    struct means *means = (struct means *)packets;
    uint64_t random = 0;
    CE_TRY(check_deed(&packets->deed, err));
    (void)getrandom(&random, sizeof random, 0);
    snprintf(means->chain, sizeof means->chain, "CE-%012" PRIx64, random & 0xffffffffffff);
    int r = -ENOTSUP;
    for (size_t i = 0; i < CE_COUNT(variants); i++) {
        means->variant = variants[i];
        means->note = ce_undo_note_chains(packets->journal, &packets->place, means->variant,
                                          means->chain, err);
        CE_TRY(means->note);
        r = set_all(means, err);
        if (r == 0)
            return 0;
        CE_TRY(ce_undo_now(packets->journal, means->note, NULL));
    }
    return r == -ENOENT ? -ENOTSUP : r;
}

/* What the lines of "save" count: "[packets:bytes] -A CHAINid ...". */
static int look(const struct means *means, uint64_t *ret_seen, uint64_t *ret_hit,
                struct ce_error *err)
{
    *ret_seen = *ret_hit = 0;
    for (size_t i = 0; i < CE_COUNT(families); i++) {
        struct ce_xtables xtables = {.counters = true};
        CE_TRY(call(means, &families[i], "save", &xtables, err));
        char *rest = NULL;
        for (char *line = strtok_r(xtables.text, "\n", &rest); line;
             line = strtok_r(NULL, "\n", &rest)) {
            uint64_t count;
            char chain[32];
            if (sscanf(line, "[%" SCNu64 ":%*u] -A %31s", &count, chain) != 2 ||
                strncmp(chain, means->chain, strlen(means->chain)) != 0 ||
                chain[strlen(chain) - 1] != 'd')
                continue;
            *(strstr(line, " -j ") ? ret_hit : ret_seen) += count;
        }
    }
    return 0;
}

static int count(struct ce_packets *packets, uint64_t *ret_seen, uint64_t *ret_hit,
                 struct ce_error *err)
{
    const struct means *means = (const struct means *)packets;
    CE_TRY(look(means, ret_seen, ret_hit, err));
    *ret_hit += means->hit;
    return 0;
}

static int adjust(struct ce_packets *packets, const struct ce_packet_deed *deed,
                  struct ce_error *err)
{
    struct means *means = (struct means *)packets;
    uint64_t seen, hit;
    if (deed->kind != CE_PACKETS_LOSE)
        return ce_fail(err, ENOTSUP, "a block has no magnitude");
    CE_TRY(check_deed(deed, err));
    CE_TRY(look(means, &seen, &hit, err));
    for (size_t i = 0; i < CE_COUNT(families); i++) {
        struct ce_xtables xtables = {.counters = false};
        struct rules rules = {.text = xtables.text, .means = means};
        add(&rules, "*filter\n");
        for (const char *way = "io"; *way; way++) {
            char command[40];
            snprintf(command, sizeof command, "-R %s%cd 2", means->chain, *way);
            if (has_way(means, *way))
                add_loss(&rules, command, deed->loss);
        }
        add(&rules, "COMMIT\n");
        CE_TRY(call(means, &families[i], "restore", &xtables, err));
    }
    means->hit += hit; /* a rule that is replaced begins to count anew */
    return 0;
}

static int end(struct ce_packets *packets, struct ce_error *err)
{
    return ce_undo_now(packets->journal, ((struct means *)packets)->note, err);
}

/* The programs want to be run by root: in a user namespace of its own, anybody is. */
static int become_root_somewhere(struct ce_error *err)
{
    char map[32];
    snprintf(map, sizeof map, "0 %u 1", (unsigned)geteuid());
    if (unshare(CLONE_NEWNET) == 0)
        return 0;
    if (unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
        return ce_fail(err, errno, "this user may make no network namespace: %s", strerror(errno));
    ce_autofd int fd = open("/proc/self/uid_map", O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, map, strlen(map)) < 0)
        return ce_fail(err, errno, "this user may not be root anywhere: %s", strerror(errno));
    return 0;
}

static int try_rules(void *ctx, struct ce_error *err)
{
    int r = -ENOTSUP;
    CE_TRY(become_root_somewhere(err));
    for (size_t i = 0; i < CE_COUNT(variants) && r < 0; i++) {
        struct means means = {.variant = variants[i], .chain = "CE-trial"};
        means.base.deed = (struct ce_packet_deed){.kind = CE_PACKETS_LOSE, .loss = 0.5};
        CE_TRY(ce_place_here(&means.base.place, err));
        r = set_all(&means, err);
    }
    return r;
}

static bool available(char *reason, size_t size)
{
    struct ce_place here = {0};
    struct ce_error err = {0};
    int r = ce_place_call(&here, 0, try_rules, NULL, 0, &err);
    if (r < 0)
        snprintf(reason, size, "%s", err.message);
    return r == 0;
}

const struct ce_packet_means ce_means_iptables = {
    .name = "iptables",
    .kinds = 1U << CE_PACKETS_LOSE | 1U << CE_PACKETS_BLOCK,
    .size = sizeof(struct means),
    .available = available,
    .begin = begin,
    .adjust = adjust,
    .count = count,
    .end = end,
};
