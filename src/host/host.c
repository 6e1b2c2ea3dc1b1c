/* SPDX-License-Identifier: MIT */
#include "host/host.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "host/freezer.h"
#include "host/memory.h"
#include "host/processor/cpu_quota.h"

static bool check_pidfd(char *detail, size_t size)
{
    ce_autofd int fd = (int)syscall(SYS_pidfd_open, getpid(), 0);
    snprintf(detail, size,
             fd < 0 ? "pidfd_open: %s" : "signals reach the very process that was noted",
             strerror(errno));
    return fd >= 0;
}

static bool check_freezer_v2(char *detail, size_t size)
{
    return ce_freezer_available(CE_FREEZER_V2, detail, size);
}

static bool check_freezer_v1(char *detail, size_t size)
{
    return ce_freezer_available(CE_FREEZER_V1, detail, size);
}

static bool check_cpu_quota_v2(char *detail, size_t size)
{
    return ce_cpu_quota_available(CE_CPU_QUOTA_V2, detail, size);
}

static bool check_cpu_quota_v1(char *detail, size_t size)
{
    return ce_cpu_quota_available(CE_CPU_QUOTA_V1, detail, size);
}

static bool check_memory(char *detail, size_t size)
{
    uint64_t available = ce_memory_available();
    snprintf(detail, size, "%" PRIu64 " MiB available of %" PRIu64, available / CE_MIB,
             ce_memory_total() / CE_MIB);
    return available > 0;
}

static bool check_memlock(char *detail, size_t size)
{
    struct rlimit limit = {0};
    (void)getrlimit(RLIMIT_MEMLOCK, &limit);
    bool unlimited = limit.rlim_cur == RLIM_INFINITY || geteuid() == 0;
    if (unlimited)
        snprintf(detail, size, "memory can be locked without a limit");
    else
        snprintf(detail, size,
                 "memory can be locked up to %" PRIu64
                 " MiB; beyond that it is kept resident by touching it",
                 (uint64_t)limit.rlim_cur / CE_MIB);
    return unlimited;
}

static const struct check {
    const char *name, *needed_by;
    bool (*look)(char *detail, size_t size);
} checks[] = {
    {"process_handles", "node_failure, recover", check_pidfd},
    {"freezer_cgroup_v2", "node_failure: hang (else the v1 freezer, else SIGSTOP)",
     check_freezer_v2},
    {"freezer_cgroup_v1", "node_failure: hang (else SIGSTOP)", check_freezer_v1},
    {"cpu_quota_cgroup_v2",
     "cpu_throttle, node_failure: slow (else version 1, else SIGSTOP and SIGCONT in turn)",
     check_cpu_quota_v2},
    {"cpu_quota_cgroup_v1", "cpu_throttle, node_failure: slow (else SIGSTOP and SIGCONT in turn)",
     check_cpu_quota_v1},
    {"available_memory", "memory_pressure", check_memory},
    {"locked_memory", "memory_pressure (else resident memory)", check_memlock},
};

int ce_host_checks(json_t *list, struct ce_error *err)
{
    for (size_t i = 0; i < CE_COUNT(checks); i++) {
        char detail[256];
        bool ok = checks[i].look(detail, sizeof detail);
        json_t *item = json_pack("{s:s, s:b, s:s, s:s}", "name", checks[i].name, "ok", ok, "detail",
                                 detail, "needed_by", checks[i].needed_by);
        if (!item || json_array_append_new(list, item) < 0)
            return ce_fail_memory(err);
    }
    return 0;
}
