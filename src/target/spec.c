/* SPDX-License-Identifier: MIT */
/* The keys of `target:`. */
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "target/target.h"

const struct ce_param ce_target_params[] = {
    CE_BOOL(struct ce_target_spec, pipeline, .def = "true",
            .doc = "The pipeline under test, which is the target when no other is named."),
    CE_INTEGER(struct ce_target_spec, pid, .min = 1, .max = 0x7fffffff, .def = "",
               .doc = "A process, with all that is below it."),
    CE_TEXT(struct ce_target_spec, process, .def = "",
            .doc = "The name of a process, with all that is below it: that of its executable or "
                   "script; or {name, user}."),
    CE_TEXT(struct ce_target_spec, unit, .def = "", .doc = "A systemd unit: nginx.service."),
    CE_TEXT(struct ce_target_spec, cgroup, .def = "",
            .doc = "A control group: a folder below /sys/fs/cgroup, or a path as /proc/PID/cgroup "
                   "has it."),
    CE_TEXT(struct ce_target_spec, container, .def = "",
            .doc = "A container's id, 12 digits of it at least; found by its control group."),
    CE_TEXT(struct ce_target_spec, interface, .def = "",
            .doc = "A network interface; of the network namespace `netns` if that is given too."),
    CE_TEXT(struct ce_target_spec, netns, .def = "",
            .doc = "A network namespace, by its name for `ip netns` or by a path."),
    CE_TEXT(struct ce_target_spec, peer, .def = "",
            .doc = "Whom packets come from and go to: host:port."),
    CE_TEXT(struct ce_target_spec, path, .def = "",
            .doc = "A folder, or where something is mounted."),
    CE_TEXT(struct ce_target_spec, device, .def = "", .doc = "A block device."),
    CE_BOOL(struct ce_target_spec, i_know, .def = "false",
            .doc = "Allows a target that is denied otherwise: pid 1, /, the way to the operator."),
    CE_END_PARAMS,
};

const struct ce_param ce_target_process_params[] = {
    {.name = "name",
     .type = CE_PARAM_TEXT,
     .offset = CE_PARAM_FIELD_(struct ce_target_spec, process, char *),
     .doc = "Of its executable, its script, or as /proc/PID/comm has it."},
    CE_TEXT(struct ce_target_spec, user, .def = "", .doc = "Whose it is: a name or a number."),
    CE_END_PARAMS,
};

bool ce_target_is_explicit(const struct ce_target_spec *spec)
{
    return spec->pid > 0 || spec->process || spec->unit || spec->cgroup || spec->container ||
           spec->interface || spec->netns || spec->peer || spec->path || spec->device;
}

int ce_target_keys_check(const struct ce_target_spec *spec, const char **ret_key,
                         struct ce_error *err)
{
    const struct {
        const char *key;
        bool given;
    } things[] = {
        {"pid", spec->pid > 0},
        {"process", spec->process},
        {"unit", spec->unit},
        {"cgroup", spec->cgroup},
        {"container", spec->container},
        {"path", spec->path},
        {"device", spec->device},
        /* These go together: in that namespace, at that interface, from that peer. */
        {"peer", spec->peer},
        {"interface", spec->interface && !spec->peer},
        {"netns", spec->netns && !spec->interface && !spec->peer},
    };
    const char *first = NULL;
    for (size_t i = 0; i < CE_COUNT(things); i++) {
        if (!things[i].given)
            continue;
        *ret_key = things[i].key;
        if (first)
            return ce_fail(err, EINVAL, "target: names two things, %s and %s; it takes one", first,
                           things[i].key);
        first = things[i].key;
    }
    bool in_network = spec->peer || spec->interface || spec->netns;
    if (first && !in_network && (spec->interface || spec->netns)) {
        *ret_key = spec->interface ? "interface" : "netns";
        return ce_fail(err, EINVAL, "target: %s does not go with %s", *ret_key, first);
    }
    *ret_key = NULL;
    if (!first && !spec->pipeline)
        return ce_fail(err, EINVAL,
                       "target: names nothing (accepted: pipeline, pid, process, unit, cgroup, "
                       "container, interface, netns, peer, path, device)");
    return 0;
}
