/* SPDX-License-Identifier: MIT */
/* A resolver of ours between a target and its name servers.
 *
 * An agent in the target's network namespace runs it (host/names/dns_server.h). How the target's
 * queries get there:
 *
 *   redirect     packets for the name servers of its resolv.conf go to the resolver
 *                (host/names/dns_redirect.h): it works for every program, whatever it has read of
 * that file and when, and leaves nothing behind but what the agent's end takes away resolv_conf  a
 * file of ours lies over /etc/resolv.conf, in the target's mount namespace alone: where the network
 * namespace is shared with others, whose queries are none of ours
 */
#ifndef CE_HOST_NAMES_RESOLVER_H
#define CE_HOST_NAMES_RESOLVER_H

#include "base/text.h"
#include "host/names/dns_message.h"
#include "host/place.h"
#include "journal/journal.h"

struct ce_resolver;

struct ce_resolver_deed {
    enum ce_dns_failure failure;
    struct ce_dns_address address;
    const struct ce_names *domains; /* names in these fail; none: all. Outlive the resolver. */
    double share;                   /* of the queries, each try counted */
    uint64_t seed;
};

/* `means`: the name of the one to use; NULL: the first that stands. Everything is noted before it
 * is done. -ENOTSUP: no means; the error says why not, of each. */
int ce_resolver_begin(struct ce_journal *journal, const struct ce_place *place,
                      const struct ce_resolver_deed *deed, const char *means,
                      struct ce_resolver **ret_resolver, struct ce_error *err);
/* Another share, from the next query. */
int ce_resolver_adjust(struct ce_resolver *resolver, double share, struct ce_error *err);
const char *ce_resolver_means(const struct ce_resolver *resolver);
struct ce_process_id ce_resolver_process(const struct ce_resolver *resolver);
/* Queries that could fail, and those that did. */
int ce_resolver_count(struct ce_resolver *resolver, uint64_t *ret_seen, uint64_t *ret_failed,
                      struct ce_error *err);
/* Ends it and frees `resolver`, in every case. After a failure notes are still live. NULL is fine.
 */
int ce_resolver_end(struct ce_resolver *resolver, struct ce_error *err);

/* Whether any means is there for this user; `text`: each in the order in which they are tried, and
 * why it is not, if so. */
bool ce_resolver_available(char *text, size_t size);

extern const struct ce_undo_op ce_undo_unmount_file;

#endif
