/* SPDX-License-Identifier: MIT */
#include "host/packets/packets.h"

#include <linux/capability.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/seam.h"
#include "host/packets/packet_means.h"

/* In the order in which they are tried: what the kernel does itself before what a process of ours
 * has to do for it. */
static const struct ce_packet_means *const all_means[] = {
    &ce_means_netem, &ce_means_tbf,      &ce_means_bpf,
    &ce_means_nft,   &ce_means_iptables, &ce_means_nfqueue,
};
static const char *const kind_names[] = {
    [CE_PACKETS_DELAY] = "delaying packets",
    [CE_PACKETS_LOSE] = "losing packets",
    [CE_PACKETS_LIMIT] = "limiting the rate",
    [CE_PACKETS_BLOCK] = "blocking packets",
};

/* The i-th means for that kind; NULL at the end. */
static const struct ce_packet_means *means_for(enum ce_packet_kind kind, size_t i)
{
    for (size_t k = 0; k < CE_COUNT(all_means); k++)
        if (all_means[k]->kinds & 1U << kind && i-- == 0)
            return all_means[k];
    return NULL;
}

/* ---- what the seam puts in place of any means ---- */

static int pretend_begin(struct ce_packets *packets, struct ce_error *err)
{
    return 0;
}

static int pretend_adjust(struct ce_packets *packets, const struct ce_packet_deed *deed,
                          struct ce_error *err)
{
    return 0;
}

static int pretend_end(struct ce_packets *packets, struct ce_error *err)
{
    return 0;
}

static const struct ce_packet_means pretended = {
    .name = "pretended",
    .size = sizeof(struct ce_packets),
    .begin = pretend_begin,
    .adjust = pretend_adjust,
    .end = pretend_end,
};

/* ---- begin, adjust, end ---- */

static int begin_by(const struct ce_packet_means *means, const struct ce_packets *wanted,
                    struct ce_packets **ret_packets, struct ce_error *err)
{
    if (ce_seam_no_effect())
        means = &pretended;
    ce_autofree struct ce_packets *packets = calloc(1, means->size);
    if (!packets)
        return ce_fail_memory(err);
    *packets = *wanted;
    packets->means = means;
    CE_TRY(means->begin(packets, err));
    *ret_packets = ce_take(packets);
    ce_seam_step("packets: begun");
    return 0;
}

/* Adds "name: reason" to what has been tried. */
static void add_reason(struct ce_error *reasons, const char *name, const char *reason)
{
    size_t used = strlen(reasons->message);
    snprintf(reasons->message + used, sizeof reasons->message - used, "%s%s: %.120s",
             used > 0 ? "; " : "", name, reason);
}

static int no_such_means(enum ce_packet_kind kind, const char *name, struct ce_error *err)
{
    struct ce_error known = {0};
    const struct ce_packet_means *means;
    for (size_t i = 0; (means = means_for(kind, i)); i++) {
        size_t used = strlen(known.message);
        snprintf(known.message + used, sizeof known.message - used, "%s%s", i > 0 ? ", " : "",
                 means->name);
    }
    return ce_fail(err, EINVAL, "'%s' is no means of %s: these are %s", name, kind_names[kind],
                   known.message);
}

/* In a namespace that is shared with this process, root's rights are those that it has here. Asked
 * before anything is noted: what could not be done could not be undone either. */
static int check_rights(const struct ce_place *place, struct ce_error *err)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {{0}};
    if (!ce_place_is_here(place, CE_PLACE_NETWORK) || syscall(SYS_capget, &header, data) < 0 ||
        data[CAP_TO_INDEX(CAP_NET_ADMIN)].effective & CAP_TO_MASK(CAP_NET_ADMIN))
        return 0;
    return ce_fail(err, EPERM,
                   "packets in the host's network namespace are root's to touch (CAP_NET_ADMIN)");
}

int ce_packets_begin(struct ce_journal *journal, const struct ce_place *place,
                     const struct ce_packet_filter *filter, const struct ce_packet_deed *deed,
                     const char *means, struct ce_packets **ret_packets, struct ce_error *err)
{
    const struct ce_packets wanted = {
        .journal = journal, .place = *place, .filter = *filter, .deed = *deed};
    struct ce_error reasons = {0};
    const struct ce_packet_means *candidate;
    size_t tried = 0;
    CE_TRY(check_rights(place, err));
    for (size_t i = 0; (candidate = means_for(deed->kind, i)); i++) {
        if (means && strcmp(means, candidate->name) != 0)
            continue;
        struct ce_error why = {0};
        int r = begin_by(candidate, &wanted, ret_packets, &why);
        if (r == 0)
            return 0;
        if (r == -ECANCELED || r == -ENOMEM || means) {
            if (err)
                *err = why;
            return ce_fail_context(err, r, "%s by %s", kind_names[deed->kind], candidate->name);
        }
        add_reason(&reasons, candidate->name, why.message);
        tried++;
    }
    if (tried == 0)
        return no_such_means(deed->kind, means ? means : "", err);
    return ce_fail(err, ENOTSUP, "no means of %s: %s", kind_names[deed->kind], reasons.message);
}

int ce_packets_adjust(struct ce_packets *packets, const struct ce_packet_deed *deed,
                      struct ce_error *err)
{
    CE_TRY(packets->means->adjust(packets, deed, err));
    packets->deed = *deed;
    ce_seam_step("packets: adjusted");
    return 0;
}

const char *ce_packets_means(const struct ce_packets *packets)
{
    return packets->means->name;
}

int ce_packets_count(struct ce_packets *packets, uint64_t *ret_seen, uint64_t *ret_hit,
                     struct ce_error *err)
{
    if (!packets->means->count)
        return ce_fail(err, ENOTSUP, "%s does not count packets", packets->means->name);
    return packets->means->count(packets, ret_seen, ret_hit, err);
}

int ce_packets_end(struct ce_packets *packets, struct ce_error *err)
{
    if (!packets)
        return 0;
    int r = packets->means->end(packets, err);
    free(packets);
    ce_seam_step("packets: ended");
    return r;
}

/* ---- what there is ---- */

struct trial {
    int (*function)(struct ce_error *err);
};

static int try_in_child(void *ctx, struct ce_error *err)
{
    const struct trial *trial = ctx;
    /* Root may be refused a user namespace, and does not need one. */
    if (unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0 && unshare(CLONE_NEWNET) < 0)
        return ce_fail(err, errno, "a network namespace of its own is needed to tell: %s",
                       strerror(errno));
    return trial->function(err);
}

bool ce_means_try_out(int (*function)(struct ce_error *err), char *reason, size_t size)
{
    struct trial trial = {function};
    struct ce_place here = {0};
    struct ce_error err = {0};
    int r = ce_place_call(&here, 0, try_in_child, &trial, sizeof trial, &err);
    if (r < 0)
        snprintf(reason, size, "%s", err.message);
    return r == 0;
}

bool ce_packets_available(enum ce_packet_kind kind, char *text, size_t size)
{
    bool any = false;
    size_t used = 0;
    const struct ce_packet_means *means;
    text[0] = '\0';
    for (size_t i = 0; (means = means_for(kind, i)) && used < size; i++) {
        char reason[256] = "available";
        any |= means->available(reason, sizeof reason);
        int n =
            snprintf(text + used, size - used, "%s%s: %s", i > 0 ? "; " : "", means->name, reason);
        used += n > 0 ? (size_t)n : 0;
    }
    return any;
}
