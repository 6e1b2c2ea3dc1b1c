/* SPDX-License-Identifier: MIT */
#include "host/names/resolver.h"

#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/seam.h"
#include "base/spawn.h"
#include "host/agent.h"
#include "host/names/dns_redirect.h"
#include "host/names/dns_server.h"
#include "host/names/resolv_conf.h"
#include "host/names/resolver_file.h"

/* Of the resolver's own queries, in the target's network namespace. */
static const uint32_t own_mark = 0x0ce0d053;

struct ce_resolver {
    struct ce_journal *journal;
    const struct means *means;
    struct ce_agent *agent;
    int note; /* of the file that is laid over another; 0: none is */
    struct ce_dns_tally last;
};

static void resolver_free(struct ce_resolver *resolver)
{
    free(resolver);
}
CE_DEFINE_CLEANUP(struct ce_resolver, resolver_free);

/* ---- redirect ---- */

/* Servers of a family that this namespace does not have are not reached by anybody. */
static int listen_for_all(struct ce_dns_service *service, struct ce_error *err)
{
    size_t kept = 0;
    int r = 0;
    for (size_t i = 0; i < service->count; i++) {
        struct ce_dns_stand_in stand_in = {.server = service->stand_ins[i].server};
        struct sockaddr_in four = {.sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
        if (stand_in.server.ss_family == AF_INET6)
            memcpy(&stand_in.at, &six, sizeof six);
        else
            memcpy(&stand_in.at, &four, sizeof four);
        r = ce_dns_listen(&stand_in, err);
        if (r == 0)
            service->stand_ins[kept++] = stand_in;
    }
    service->count = kept;
    return kept > 0 ? 0 : r;
}

static int run_redirecting(void *ctx, int channel)
{
    struct ce_dns_service *service = ctx;
    struct ce_netlink netlink; /* as long as this process */
    struct ce_error err = {0};
    int r = listen_for_all(service, &err);
    if (r == 0)
        r = ce_dns_redirect(service, &netlink, &err);
    ce_agent_ready(channel, r, &err);
    if (r < 0)
        return 1;
    return ce_dns_serve(service, channel);
}

static int begin_redirect(struct ce_resolver *resolver, const struct ce_place *place,
                          struct ce_dns_service *service, const struct ce_resolv_conf *conf,
                          struct ce_error *err)
{
    if (ce_place_is_here(place, CE_PLACE_NETWORK))
        return ce_fail(err, ENOTSUP,
                       "the target shares the host's network, so that everybody's queries would "
                       "be redirected");
    CE_TRY(ce_agent_start(resolver->journal, place, CE_PLACE_NETWORK, run_redirecting, service,
                          &resolver->agent, err));
    ce_seam_step("resolver: redirected");
    return 0;
}

/* In namespaces of a child's own. */
static int try_redirect(void *ctx)
{
    struct ce_dns_service service = {.mark = own_mark, .count = 1};
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(CE_DNS_PORT)};
    struct ce_netlink netlink;
    memcpy(&service.stand_ins[0].server, &address, sizeof address);
    memcpy(&service.stand_ins[0].at, &address, sizeof address);
    if (unshare(geteuid() == 0 ? CLONE_NEWNET : CLONE_NEWUSER | CLONE_NEWNET) < 0)
        return errno;
    return -ce_dns_redirect(&service, &netlink, NULL);
}

static bool can_redirect(char *reason, size_t size)
{
    int code = abs(ce_spawn_try(try_redirect, NULL, 0, NULL));
    if (code != 0)
        snprintf(reason, size, "rules of nf_tables cannot be made in a network namespace: %s",
                 strerror(code));
    return code == 0;
}

/* ---- resolv_conf ---- */

static int begin_file(struct ce_resolver *resolver, const struct ce_place *place,
                      struct ce_dns_service *service, const struct ce_resolv_conf *conf,
                      struct ce_error *err)
{
    struct ce_resolver_file file = {service, place, conf};
    if (ce_place_is_here(place, CE_PLACE_MOUNTS))
        return ce_fail(
            err, ENOTSUP,
            "the target shares the host's mounts, whose /etc/resolv.conf is everybody's");
    CE_TRY(ce_agent_start(resolver->journal, place, CE_PLACE_NETWORK, ce_resolver_file_run, &file,
                          &resolver->agent, err));
    return ce_resolver_file_lay(resolver->journal, place, resolver->agent, &resolver->note, err);
}

static bool can_file(char *reason, size_t size)
{
    if (geteuid() == 0)
        return true;
    snprintf(reason, size,
             "where the network is shared, only root may answer at a name server's port");
    return false;
}

/* ---- whichever ---- */

static const struct means {
    const char *name;
    int (*begin)(struct ce_resolver *resolver, const struct ce_place *place,
                 struct ce_dns_service *service, const struct ce_resolv_conf *conf,
                 struct ce_error *err);
    bool (*available)(char *reason, size_t size);
} means_table[] = {
    {"redirect", begin_redirect, can_redirect},
    {"resolv_conf", begin_file, can_file},
};

/* Takes back what was begun. */
static int stop(struct ce_resolver *resolver, struct ce_error *err)
{
    int r = 0;
    if (resolver->note > 0)
        r = ce_undo_now(resolver->journal, resolver->note, err);
    int stopped = ce_agent_stop(ce_take(resolver->agent), r < 0 ? NULL : err);
    resolver->note = 0;
    return r < 0 ? r : stopped;
}

static int begin_by(struct ce_resolver *resolver, const struct means *means,
                    const struct ce_place *place, const struct ce_resolver_deed *deed,
                    struct ce_error *err)
{
    ce_autofree struct ce_resolv_conf *conf = calloc(1, sizeof *conf);
    if (!conf)
        return ce_fail_memory(err);
    CE_TRY(ce_resolv_conf_read(place, conf, err));
    struct ce_dns_service service = {
        .failure = deed->failure,
        .address = deed->address,
        .domains = deed->domains,
        .seed = deed->seed,
        .share = ce_seam_no_effect() ? 0 : deed->share,
        .mark = own_mark,
        .count = conf->count,
    };
    for (size_t i = 0; i < conf->count; i++)
        service.stand_ins[i].server = conf->servers[i];
    resolver->means = means;
    int r = means->begin(resolver, place, &service, conf, err);
    if (r < 0)
        (void)stop(resolver, NULL);
    return r;
}

int ce_resolver_begin(struct ce_journal *journal, const struct ce_place *place,
                      const struct ce_resolver_deed *deed, const char *means,
                      struct ce_resolver **ret_resolver, struct ce_error *err)
{
    CE_CLEANUP(resolver_free_p) struct ce_resolver *resolver = calloc(1, sizeof *resolver);
    struct ce_error why = {0};
    char reasons[320] = "";
    if (!resolver)
        return ce_fail_memory(err);
    resolver->journal = journal;
    for (size_t i = 0; i < CE_COUNT(means_table); i++) {
        if (means && strcmp(means, means_table[i].name) != 0)
            continue;
        int r = begin_by(resolver, &means_table[i], place, deed, &why);
        if (r == 0) {
            *ret_resolver = ce_take(resolver);
            return 0;
        }
        /* What has gone wrong for other reasons than that it cannot be done is not tried otherwise.
         */
        if (r == -ESRCH || r == -ENOMEM || r == -ECANCELED) {
            if (err)
                *err = why;
            return r;
        }
        size_t used = strlen(reasons);
        snprintf(reasons + used, sizeof reasons - used, "%s%s: %.150s", used ? "; " : "",
                 means_table[i].name, why.message);
    }
    return ce_fail(err, ENOTSUP, "the target's queries cannot be answered amiss: %s", reasons);
}

static int order(struct ce_resolver *resolver, double share, struct ce_error *err)
{
    struct ce_dns_order order = {.share = share};
    return ce_agent_ask(resolver->agent, &order, sizeof order, &resolver->last,
                        sizeof resolver->last, err);
}

int ce_resolver_adjust(struct ce_resolver *resolver, double share, struct ce_error *err)
{
    return order(resolver, ce_seam_no_effect() ? 0 : share, err);
}

const char *ce_resolver_means(const struct ce_resolver *resolver)
{
    return resolver->means->name;
}

struct ce_process_id ce_resolver_process(const struct ce_resolver *resolver)
{
    return ce_agent_id(resolver->agent);
}

int ce_resolver_count(struct ce_resolver *resolver, uint64_t *ret_seen, uint64_t *ret_failed,
                      struct ce_error *err)
{
    CE_TRY(order(resolver, -1, err));
    *ret_seen = resolver->last.seen;
    *ret_failed = resolver->last.failed;
    return 0;
}

int ce_resolver_end(struct ce_resolver *resolver, struct ce_error *err)
{
    if (!resolver)
        return 0;
    int r = stop(resolver, err);
    resolver_free(resolver);
    return r;
}

bool ce_resolver_available(char *text, size_t size)
{
    bool any = false;
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < CE_COUNT(means_table) && used < size; i++) {
        char reason[160] = "";
        bool there = means_table[i].available(reason, sizeof reason);
        any |= there;
        used += (size_t)snprintf(text + used, size - used, "%s%s%s%s", i ? "; " : "",
                                 means_table[i].name, there ? "" : ": no, ", reason);
    }
    return any;
}
