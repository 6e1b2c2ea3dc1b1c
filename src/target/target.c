/* SPDX-License-Identifier: MIT */
#include "target/target.h"

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "host/cgroup.h"
#include "net/endpoint.h"
#include "target/deny.h"
#include "target/find.h"

/* ---- what is a process, or a group of them ---- */

/* The packets of a process in a network namespace of its own are all that enter there; of another
 * they are those to its ports. */
static void add_network(struct ce_subject *subject)
{
    uint16_t ports[CE_COUNT(subject->packets.ports)];
    size_t count = ce_find_ports(&subject->process, ports, CE_COUNT(ports));
    if (count > CE_COUNT(ports))
        return; /* more than a filter can name */
    for (size_t i = 0; i < count; i++)
        subject->packets.ports[i].first = subject->packets.ports[i].last = ports[i];
    subject->packets.port_count = count;
    if (count > 0) {
        struct ce_endpoint at = ce_endpoint_loopback(ports[0]);
        subject->probe = at.address;
    }
    if (count > 0 || !ce_place_is_here(&subject->place, CE_PLACE_NETWORK))
        subject->has |= CE_SUBJECT_NETWORK;
}

/* What is denied is denied before anything else is asked about it: that may be refused, too. */
static int describe_process(const struct ce_target_spec *spec, struct ce_subject *subject,
                            struct ce_error *err)
{
    char path[40], name[32] = "?";
    snprintf(path, sizeof path, "/proc/%d", (int)subject->process.pid);
    (void)ce_cgroup_read(path, "comm", name, sizeof name);
    snprintf(subject->name, sizeof subject->name, "process %d (%s)", (int)subject->process.pid,
             name);
    subject->has |= CE_SUBJECT_PROCESS;
    if (!spec->i_know)
        CE_TRY(ce_target_deny(subject, NULL, err));
    CE_TRY(ce_place_of_process(&subject->process, &subject->place, err));
    add_network(subject);
    return 0;
}

static int find_pid(const struct ce_target_spec *spec, struct ce_subject *subject,
                    struct ce_error *err)
{
    if (ce_process_identify((pid_t)spec->pid, &subject->process) < 0 ||
        !ce_process_alive(&subject->process))
        return ce_fail(err, ESRCH, "there is no process %d", (int)spec->pid);
    return describe_process(spec, subject, err);
}

static int find_process(const struct ce_target_spec *spec, struct ce_subject *subject,
                        struct ce_error *err)
{
    CE_TRY(ce_find_process(spec->process, spec->user, &subject->process, err));
    return describe_process(spec, subject, err);
}

static int describe_group(const struct ce_target_spec *spec, const char *what, const char *name,
                          const char *folder, struct ce_subject *subject, struct ce_error *err)
{
    if ((size_t)snprintf(subject->group, sizeof subject->group, "%s", folder) >=
        sizeof subject->group)
        return ce_fail(err, ENAMETOOLONG, "control group '%s' has too long a path", folder);
    CE_TRY(ce_find_first_in_group(folder, &subject->process, err));
    CE_TRY(describe_process(spec, subject, err));
    snprintf(subject->name, sizeof subject->name, "%s %s", what, name);
    subject->has |= CE_SUBJECT_GROUP;
    return 0;
}

static int find_unit(const struct ce_target_spec *spec, struct ce_subject *subject,
                     struct ce_error *err)
{
    ce_autofree char *folder = NULL;
    CE_TRY(ce_find_unit(spec->unit, &folder, err));
    return describe_group(spec, "unit", spec->unit, folder, subject, err);
}

static int find_container(const struct ce_target_spec *spec, struct ce_subject *subject,
                          struct ce_error *err)
{
    ce_autofree char *folder = NULL;
    CE_TRY(ce_find_container(spec->container, &folder, err));
    return describe_group(spec, "container", spec->container, folder, subject, err);
}

static int find_group(const struct ce_target_spec *spec, struct ce_subject *subject,
                      struct ce_error *err)
{
    ce_autofree char *folder = NULL;
    struct stat info;
    if (strncmp(spec->cgroup, "/sys/fs/cgroup", strlen("/sys/fs/cgroup")) == 0) {
        folder = realpath(spec->cgroup, NULL);
    } else {
        CE_TRY(ce_cgroup_locate(NULL, spec->cgroup, &folder, err));
        if (stat(folder, &info) < 0) {
            free(ce_take(folder));
            CE_TRY(ce_cgroup_locate("memory", spec->cgroup, &folder, err));
        }
    }
    if (!folder || stat(folder, &info) < 0 || !S_ISDIR(info.st_mode))
        return ce_fail(err, ENOENT, "there is no control group '%s'", spec->cgroup);
    return describe_group(spec, "control group", spec->cgroup, folder, subject, err);
}

/* ---- what is a part of the network ---- */

static int add_peer(const char *peer, struct ce_subject *subject, struct ce_error *err)
{
    struct ce_endpoint endpoint;
    struct ce_addresses addresses;
    CE_TRY(ce_endpoint_parse(peer, &endpoint, err));
    CE_TRY(ce_endpoint_resolve(&endpoint, &addresses, err));
    for (size_t i = 0; i < addresses.count; i++) {
        char host[NI_MAXHOST];
        const struct sockaddr *at = (const struct sockaddr *)&addresses.list[i].address;
        if (getnameinfo(at, addresses.list[i].size, host, sizeof host, NULL, 0, NI_NUMERICHOST) !=
            0)
            return ce_fail(err, EINVAL, "peer: '%s' is not host:port", peer);
        CE_TRY(ce_network_parse(host, &subject->packets.peers[i], err));
        if (at->sa_family == AF_INET)
            subject->packets.peer_port = ntohs(((const struct sockaddr_in *)at)->sin_port);
        else
            subject->packets.peer_port = ntohs(((const struct sockaddr_in6 *)at)->sin6_port);
    }
    subject->packets.peer_count = addresses.count;
    subject->probe = addresses.list[0].address;
    return 0;
}

struct interface {
    char name[IF_NAMESIZE];
    bool found, has_address;
};

/* Runs in the target's network namespace. */
static int look_at_interface(void *ctx, struct ce_error *err)
{
    struct interface *interface = ctx;
    (void)err;
    interface->found = if_nametoindex(interface->name) > 0;
    return 0;
}

static int find_network(const struct ce_target_spec *spec, struct ce_subject *subject,
                        struct ce_error *err)
{
    if (spec->netns)
        CE_TRY(ce_place_of_netns(spec->netns, &subject->place, err));
    else
        CE_TRY(ce_place_here(&subject->place, err));
    if (spec->interface) {
        struct interface interface = {0};
        if (strlen(spec->interface) >= sizeof interface.name)
            return ce_fail(err, ENODEV, "no interface can be called '%s'", spec->interface);
        strcpy(interface.name, spec->interface);
        CE_TRY(ce_place_call(&subject->place, CE_PLACE_NETWORK, look_at_interface, &interface,
                             sizeof interface, err));
        if (!interface.found)
            return ce_fail(err, ENODEV, "there is no interface '%s'%s%s", spec->interface,
                           spec->netns ? " in network namespace " : "",
                           spec->netns ? spec->netns : "");
        strcpy(subject->packets.interface, spec->interface);
    }
    if (spec->peer)
        CE_TRY(add_peer(spec->peer, subject, err));
    const char *what = spec->peer ? "peer" : spec->interface ? "interface" : "network namespace";
    snprintf(subject->name, sizeof subject->name, "%s %s", what,
             spec->peer        ? spec->peer
             : spec->interface ? spec->interface
                               : spec->netns);
    subject->has = CE_SUBJECT_NETWORK;
    return 0;
}

/* ---- what is storage ---- */

/* Something is mounted at that very folder, and it is not the root. */
static bool is_mount_point(const char *folder)
{
    struct stat own, above;
    ce_autofree char *parent = ce_format("%s/..", folder);
    return parent && stat(folder, &own) == 0 && stat(parent, &above) == 0 &&
           own.st_dev != above.st_dev;
}

static int find_path(const struct ce_target_spec *spec, struct ce_subject *subject,
                     struct ce_error *err)
{
    struct stat info;
    ce_autofree char *path = realpath(spec->path, NULL);
    if (!path || stat(path, &info) < 0)
        return ce_fail(err, errno, "cannot look at '%s': %s", spec->path, strerror(errno));
    if (!S_ISDIR(info.st_mode))
        return ce_fail(err, ENOTDIR, "path: '%s' is not a folder", spec->path);
    CE_TRY(ce_place_here(&subject->place, err));
    snprintf(subject->folder, sizeof subject->folder, "%s", path);
    snprintf(subject->name, sizeof subject->name, "folder %.150s", path);
    subject->folder_is_dedicated = is_mount_point(path);
    subject->has = CE_SUBJECT_FOLDER;
    return 0;
}

static int find_device(const struct ce_target_spec *spec, struct ce_subject *subject,
                       struct ce_error *err)
{
    struct stat info;
    if (stat(spec->device, &info) < 0)
        return ce_fail(err, errno, "cannot look at '%s': %s", spec->device, strerror(errno));
    if (!S_ISBLK(info.st_mode))
        return ce_fail(err, ENOTBLK, "device: '%s' is not a block device", spec->device);
    CE_TRY(ce_place_here(&subject->place, err));
    snprintf(subject->device, sizeof subject->device, "%s", spec->device);
    snprintf(subject->name, sizeof subject->name, "device %.150s", spec->device);
    subject->has = CE_SUBJECT_DEVICE;
    return 0;
}

/* ---- any of them ---- */

static int find(const struct ce_target_spec *spec, struct ce_subject *ret_subject,
                struct ce_error *err)
{
    *ret_subject = (struct ce_subject){0};
    if (spec->pid > 0)
        return find_pid(spec, ret_subject, err);
    if (spec->process)
        return find_process(spec, ret_subject, err);
    if (spec->unit)
        return find_unit(spec, ret_subject, err);
    if (spec->container)
        return find_container(spec, ret_subject, err);
    if (spec->cgroup)
        return find_group(spec, ret_subject, err);
    if (spec->path)
        return find_path(spec, ret_subject, err);
    if (spec->device)
        return find_device(spec, ret_subject, err);
    return find_network(spec, ret_subject, err);
}

int ce_target_resolve(const struct ce_target_spec *spec, const char *state_dir,
                      struct ce_target_found *ret_found, struct ce_error *err)
{
    *ret_found = (struct ce_target_found){.spec = spec, .state_dir = state_dir};
    CE_TRY(find(spec, &ret_found->subject, err));
    return spec->i_know ? 0 : ce_target_deny(&ret_found->subject, state_dir, err);
}

int ce_target_trees(const struct ce_target_spec *spec, struct ce_process_list *ret_list,
                    struct ce_error *err)
{
    if (spec->process)
        return ce_find_processes(spec->process, spec->user, ret_list, err);
    struct ce_subject subject;
    CE_TRY(find(spec, &subject, err));
    CE_TRY(ce_subject_processes(&subject, ret_list, err));
    ce_find_topmost(ret_list);
    return 0;
}

/* The processes of a group may come and go. */
static bool is_same_subject(const struct ce_subject *was, const struct ce_subject *is)
{
    return was->has & CE_SUBJECT_GROUP
               ? strcmp(was->group, is->group) == 0
               : was->process.pid == is->process.pid && was->process.start == is->process.start &&
                     was->place.network == is->place.network &&
                     was->place.mounts == is->place.mounts;
}

int ce_target_locate(void *found, const char *service, struct ce_subject *ret_subject,
                     struct ce_error *err)
{
    const struct ce_target_found *before = found;
    const struct ce_subject *was = &before->subject;
    if (service)
        return ce_fail(err, ENOENT, "%s has no service '%s': only a pipeline has services",
                       was->name, service);
    bool is_process = was->process.pid > 0 && !(was->has & CE_SUBJECT_GROUP);
    if (is_process && !ce_process_alive(&was->process))
        return ce_fail(err, ESRCH, "the target has gone since it was looked for: %s has ended",
                       was->name);
    CE_TRY(find(before->spec, ret_subject, err));
    if (!is_same_subject(was, ret_subject))
        return ce_fail(err, ESRCH, "the target has changed since it was looked for: %s is %s now",
                       was->name, ret_subject->name);
    return before->spec->i_know ? 0 : ce_target_deny(ret_subject, before->state_dir, err);
}
