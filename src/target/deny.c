/* SPDX-License-Identifier: MIT */
#include "target/deny.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "host/cgroup.h"
#include "host/process_tree.h"

static int deny(struct ce_error *err, const struct ce_subject *subject, const char *why)
{
    return ce_fail(err, EPERM, "%s is denied: %s; `i_know: true` in target allows it",
                   subject->name, why);
}

/* ---- processes ---- */

static bool has_pid(const struct ce_process_list *list, pid_t pid)
{
    for (size_t i = 0; i < list->count; i++)
        if (list->items[i].pid == pid)
            return true;
    return false;
}

static bool is_kernel_thread(pid_t pid)
{
    char path[40], line[8];
    snprintf(path, sizeof path, "/proc/%d", (int)pid);
    return ce_cgroup_read(path, "cmdline", line, sizeof line) == 0 && *line == '\0' &&
           (snprintf(path, sizeof path, "/proc/%d/exe", (int)pid), readlink(path, line, 1) < 0);
}

static int check_process(const struct ce_subject *subject, struct ce_error *err)
{
    struct ce_process_list tree = {0};
    if (subject->process.pid == 1)
        return deny(err, subject, "it is pid 1, on which everything stands");
    if (is_kernel_thread(subject->process.pid))
        return deny(err, subject, "it is a thread of the kernel");
    CE_TRY(ce_process_tree(&subject->process, &tree, err));
    bool holds_us = has_pid(&tree, getpid());
    ce_process_list_done(&tree);
    return holds_us ? deny(err, subject, "ChaosEater itself runs below it") : 0;
}

/* ---- control groups ---- */

/* Whether the process is in that group or in one below. */
static bool is_in_group(pid_t pid, const char *folder)
{
    static const char *const hierarchies[] = {NULL,      "cpu",   "memory",      "freezer",
                                              "devices", "blkio", "name=systemd"};
    size_t n = strlen(folder);
    for (size_t i = 0; i < CE_COUNT(hierarchies); i++) {
        ce_autofree char *own = NULL;
        if (ce_cgroup_find(pid, hierarchies[i], &own, NULL, NULL) == 0 &&
            strncmp(own, folder, n) == 0 && (own[n] == '/' || own[n] == '\0'))
            return true;
    }
    return false;
}

static int check_group(const struct ce_subject *subject, struct ce_error *err)
{
    if (is_in_group(1, subject->group))
        return deny(err, subject, "pid 1 is in it");
    if (is_in_group(getpid(), subject->group))
        return deny(err, subject, "ChaosEater itself is in it");
    return 0;
}

/* ---- the network ---- */

/* The words of SSH_CONNECTION: "client-address client-port own-address own-port". */
static bool ssh_address(int word, char ret_address[INET6_ADDRSTRLEN])
{
    const char *connection = getenv("SSH_CONNECTION");
    for (int i = 0; connection && i < word; i++) {
        connection = strchr(connection, ' ');
        connection = connection ? connection + 1 : NULL;
    }
    size_t n = connection ? strcspn(connection, " ") : 0;
    if (n == 0 || n >= INET6_ADDRSTRLEN)
        return false;
    memcpy(ret_address, connection, n);
    ret_address[n] = '\0';
    return true;
}

static bool interface_has(const char *interface, const char *address)
{
    struct ifaddrs *all;
    bool found = false;
    if (getifaddrs(&all) < 0)
        return false;
    for (const struct ifaddrs *one = all; one && !found; one = one->ifa_next) {
        char text[INET6_ADDRSTRLEN];
        if (!one->ifa_addr || strcmp(one->ifa_name, interface) != 0)
            continue;
        const void *raw = one->ifa_addr->sa_family == AF_INET
                              ? (const void *)&((struct sockaddr_in *)one->ifa_addr)->sin_addr
                          : one->ifa_addr->sa_family == AF_INET6
                              ? (const void *)&((struct sockaddr_in6 *)one->ifa_addr)->sin6_addr
                              : NULL;
        found = raw && inet_ntop(one->ifa_addr->sa_family, raw, text, sizeof text) &&
                strcmp(text, address) == 0;
    }
    freeifaddrs(all);
    return found;
}

static bool peers_have(const struct ce_packet_filter *packets, const char *address)
{
    struct ce_network one;
    if (ce_network_parse(address, &one, NULL) < 0)
        return false;
    for (size_t i = 0; i < packets->peer_count; i++)
        if (packets->peers[i].family == one.family &&
            memcmp(packets->peers[i].address, one.address, sizeof one.address) == 0)
            return true;
    return false;
}

static int check_network(const struct ce_subject *subject, struct ce_error *err)
{
    const struct ce_packet_filter *packets = &subject->packets;
    char client[INET6_ADDRSTRLEN], own[INET6_ADDRSTRLEN];
    if (!ce_place_is_here(&subject->place, CE_PLACE_NETWORK))
        return 0;
    if (packets->port_count == 0 && packets->peer_count == 0 && !*packets->interface)
        return deny(err, subject, "it is all traffic of this host");
    if (strcmp(packets->interface, "lo") == 0 && packets->peer_count == 0)
        return deny(err, subject, "every process of this host talks to itself through it");
    if (*packets->interface && packets->peer_count == 0 && ssh_address(2, own) &&
        interface_has(packets->interface, own))
        return deny(err, subject, "your own ssh connection goes through it");
    if (ssh_address(0, client) && peers_have(packets, client))
        return deny(err, subject, "it is where your own ssh connection comes from");
    return 0;
}

/* ---- files ---- */

static bool is_same(const char *one, const char *other)
{
    struct stat a, b;
    return stat(one, &a) == 0 && stat(other, &b) == 0 && a.st_dev == b.st_dev &&
           a.st_ino == b.st_ino;
}

static int check_folder(const struct ce_subject *subject, const char *state_dir,
                        struct ce_error *err)
{
    static const char *const system_folders[] = {"/",    "/boot", "/etc", "/usr", "/bin", "/sbin",
                                                 "/lib", "/proc", "/sys", "/dev", "/run", "/var"};
    if (!ce_place_is_here(&subject->place, CE_PLACE_MOUNTS))
        return 0;
    for (size_t i = 0; i < CE_COUNT(system_folders); i++)
        if (is_same(subject->folder, system_folders[i]))
            return deny(err, subject, "the system runs from there");
    size_t n = strlen(subject->folder);
    ce_autofree char *state = realpath(state_dir, NULL);
    if (state && strncmp(state, subject->folder, n) == 0 && (state[n] == '/' || state[n] == '\0'))
        return deny(err, subject, "ChaosEater's own journal is in there");
    return 0;
}

static int check_device(const struct ce_subject *subject, struct ce_error *err)
{
    static const char *const mounts[] = {"/", "/boot", "/usr", "/var"};
    struct stat device, mount;
    if (stat(subject->device, &device) < 0)
        return ce_fail(err, errno, "cannot look at '%s': %s", subject->device, strerror(errno));
    for (size_t i = 0; i < CE_COUNT(mounts); i++)
        if (stat(mounts[i], &mount) == 0 && mount.st_dev == device.st_rdev)
            return deny(err, subject, "the system runs from it");
    return 0;
}

int ce_target_deny(const struct ce_subject *subject, const char *state_dir, struct ce_error *err)
{
    if (subject->has & CE_SUBJECT_PROCESS)
        CE_TRY(check_process(subject, err));
    if (subject->has & CE_SUBJECT_GROUP)
        CE_TRY(check_group(subject, err));
    if (subject->has & CE_SUBJECT_NETWORK)
        CE_TRY(check_network(subject, err));
    if (subject->has & CE_SUBJECT_FOLDER)
        CE_TRY(check_folder(subject, state_dir, err));
    return subject->has & CE_SUBJECT_DEVICE ? check_device(subject, err) : 0;
}
