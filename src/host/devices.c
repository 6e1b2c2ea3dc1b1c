/* SPDX-License-Identifier: MIT */
#include "host/devices.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/seam.h"
#include "base/spawn.h"
#include "host/agent.h"
#include "host/cgroup.h"
#include "host/group.h"

/* ---- which devices ---- */

static int add(struct ce_device_list *list, struct ce_device device, struct ce_error *err)
{
    if (list->count == CE_DEVICES_MAX)
        return ce_fail(err, E2BIG, "more than %d devices", CE_DEVICES_MAX);
    list->items[list->count++] = device;
    return 0;
}

static bool parse_numbers(const char *text, struct ce_device *ret_device)
{
    int end = 0, minor = CE_ANY_MINOR;
    unsigned major;
    bool is_any = sscanf(text, "%u:*%n", &major, &end) == 1 && end > 0 && text[end] == '\0';
    bool is_one = !is_any && sscanf(text, "%u:%d%n", &major, &minor, &end) == 2 &&
                  text[end] == '\0' && minor >= 0;
    *ret_device = (struct ce_device){.major = major, .minor = minor};
    return is_any || is_one;
}

int ce_devices_add(struct ce_device_list *list, const char *text, struct ce_error *err)
{
    struct ce_device device;
    struct stat st;
    if (parse_numbers(text, &device))
        return add(list, device, err);
    if (text[0] != '/' || stat(text, &st) < 0 || !(S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode)))
        return ce_fail(err, EINVAL,
                       "'%s' is no device: neither MAJOR:MINOR, nor MAJOR:*, nor the file of one",
                       text);
    device = (struct ce_device){.is_block = S_ISBLK(st.st_mode),
                                .major = major(st.st_rdev),
                                .minor = (int)minor(st.st_rdev)};
    return add(list, device, err);
}

void ce_devices_add_gpus(struct ce_device_list *list)
{
    char line[128], name[64];
    unsigned major;
    ce_autofile FILE *devices = fopen("/proc/devices", "re");
    while (devices && fgets(line, sizeof line, devices) && strncmp(line, "Block", 5) != 0)
        if (sscanf(line, "%u %63s", &major, name) == 2 &&
            (strncmp(name, "nvidia", 6) == 0 || strcmp(name, "kfd") == 0))
            (void)add(list, (struct ce_device){.major = major, .minor = CE_ANY_MINOR}, NULL);
}

bool ce_devices_has_nvidia(void)
{
    return access("/dev/nvidiactl", F_OK) == 0 || access("/dev/dxg", F_OK) == 0;
}

static bool is_listed(const struct ce_device_list *list, const struct stat *st)
{
    for (size_t i = 0; i < list->count; i++) {
        const struct ce_device *device = &list->items[i];
        if ((device->is_block ? S_ISBLK(st->st_mode) : S_ISCHR(st->st_mode)) &&
            device->major == major(st->st_rdev) &&
            (device->minor == CE_ANY_MINOR || device->minor == (int)minor(st->st_rdev)))
            return true;
    }
    return false;
}

bool ce_devices_file(const struct ce_device_list *list, char *ret_path, size_t size)
{
    bool found = false;
    struct stat st;
    DIR *folder = opendir("/dev");
    if (!folder)
        return false;
    for (const struct dirent *entry; !found && (entry = readdir(folder));)
        if (fstatat(dirfd(folder), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
            is_listed(list, &st)) {
            snprintf(ret_path, size, "/dev/%s", entry->d_name);
            found = true;
        }
    closedir(folder);
    return found;
}

/* ---- the kernel's program ---- */

enum { PROGRAM_MAX = 7 + 4 * CE_DEVICES_MAX };

static int make_program(const struct ce_device_list *list, struct bpf_insn *code)
{
    enum { KIND = BPF_REG_2, MAJOR = BPF_REG_3, MINOR = BPF_REG_4 };
    size_t n = 0;
#define LOAD(to, field)                                                                            \
    code[n++] = (struct bpf_insn){.code = BPF_LDX | BPF_MEM | BPF_W,                               \
                                  .dst_reg = (to),                                                 \
                                  .src_reg = BPF_REG_1,                                            \
                                  .off = offsetof(struct bpf_cgroup_dev_ctx, field)}
#define UNLESS_EQUAL(reg, value, skip)                                                             \
    code[n++] = (struct bpf_insn)                                                                  \
    {                                                                                              \
        .code = BPF_JMP | BPF_JNE | BPF_K, .dst_reg = (reg), .off = (skip), .imm = (value)         \
    }
#define SET(reg, value)                                                                            \
    code[n++] = (struct bpf_insn)                                                                  \
    {                                                                                              \
        .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = (reg), .imm = (value)                      \
    }
#define RETURN()                                                                                   \
    code[n++] = (struct bpf_insn)                                                                  \
    {                                                                                              \
        .code = BPF_JMP | BPF_EXIT                                                                 \
    }
    LOAD(KIND, access_type);
    LOAD(MAJOR, major);
    LOAD(MINOR, minor);
    code[n++] =
        (struct bpf_insn){.code = BPF_ALU64 | BPF_AND | BPF_K, .dst_reg = KIND, .imm = 0xffff};
    SET(BPF_REG_0, 0);
    for (size_t i = 0; i < list->count; i++) {
        const struct ce_device *device = &list->items[i];
        bool any = device->minor == CE_ANY_MINOR;
        UNLESS_EQUAL(KIND, device->is_block ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR,
                     any ? 2 : 3);
        UNLESS_EQUAL(MAJOR, (int)device->major, any ? 1 : 2);
        if (!any)
            UNLESS_EQUAL(MINOR, device->minor, 1);
        RETURN();
    }
    SET(BPF_REG_0, 1);
    RETURN();
#undef LOAD
#undef UNLESS_EQUAL
#undef SET
#undef RETURN
    return (int)n;
}

static int bpf(int command, union bpf_attr *attr)
{
    int fd = (int)syscall(SYS_bpf, command, attr, sizeof *attr);
    return fd < 0 ? -errno : fd;
}

static int load_program(const struct ce_device_list *list)
{
    struct bpf_insn code[PROGRAM_MAX];
    union bpf_attr attr;
    memset(&attr, 0, sizeof attr);
    attr.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
    attr.insn_cnt = (unsigned)make_program(list, code);
    attr.insns = (uintptr_t)code;
    attr.license = (uintptr_t) "GPL";
    return bpf(BPF_PROG_LOAD, &attr);
}

/* ---- the process that holds it ---- */

struct order {
    struct ce_device_list list;
    const char *folder;
};

static int attach(const struct order *order, struct ce_error *err)
{
    ce_autofd int program = load_program(&order->list);
    if (program < 0)
        return ce_fail(err, -program, "the kernel takes no program for devices: %s",
                       strerror(-program));
    ce_autofd int group = open(order->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (group < 0)
        return ce_fail(err, errno, "cannot open '%s': %s", order->folder, strerror(errno));
    union bpf_attr attr;
    memset(&attr, 0, sizeof attr);
    attr.link_create.prog_fd = (unsigned)program;
    attr.link_create.target_fd = (unsigned)group;
    attr.link_create.attach_type = BPF_CGROUP_DEVICE;
    int link = bpf(BPF_LINK_CREATE, &attr);
    return link < 0 ? ce_fail(err, -link, "cannot tie a program to control group '%s': %s",
                              order->folder, strerror(-link))
                    : link;
}

/* The link stays open as long as the process lives, and no longer. */
static int hold(void *ctx, int channel)
{
    char byte;
    struct ce_error err = {0};
    int link = attach(ctx, &err);
    ce_agent_ready(channel, link < 0 ? link : 0, &err);
    while (link >= 0 && recv(channel, &byte, sizeof byte, 0) > 0)
        ;
    return link < 0;
}

/* ---- denying ---- */

struct ce_devices_denied {
    struct ce_journal *journal;
    char *folder; /* the group */
    int note;
    struct ce_agent *agent;
};

static const struct {
    const char *name, *controller;
} all_means[] = {
    [CE_DEVICES_BPF] = {"cgroup_bpf", NULL}, [CE_DEVICES_V1] = {"cgroup_v1", "devices"}};

const char *ce_devices_means_name(enum ce_devices_means means)
{
    return all_means[means].name;
}

bool ce_devices_available(enum ce_devices_means means, char *detail, size_t size)
{
    const struct ce_device_list none = {.count = 0};
    if (!ce_group_available(all_means[means].controller, NULL, detail, size))
        return false;
    ce_autofd int program = means == CE_DEVICES_BPF ? load_program(&none) : -1;
    if (means == CE_DEVICES_BPF && program < 0) {
        snprintf(detail, size, "the kernel takes no program for devices from this user: %s",
                 strerror(-program));
        return false;
    }
    return true;
}

/* The group is ours, so what is denied in it goes with it. */
static int deny_v1(const struct ce_devices_denied *denied, const struct ce_device_list *list,
                   struct ce_error *err)
{
    for (size_t i = 0; i < list->count; i++) {
        const struct ce_device *device = &list->items[i];
        char line[64], minor[16] = "*";
        if (device->minor != CE_ANY_MINOR)
            snprintf(minor, sizeof minor, "%d", device->minor);
        snprintf(line, sizeof line, "%c %u:%s rwm", device->is_block ? 'b' : 'c', device->major,
                 minor);
        int r = ce_cgroup_write(denied->folder, "devices.deny", line);
        if (r < 0)
            return ce_fail(err, -r, "cannot deny device '%s' in control group '%s': %s", line,
                           denied->folder, strerror(-r));
    }
    ce_seam_step("devices: denied");
    return 0;
}

static int deny(struct ce_devices_denied *denied, enum ce_devices_means means,
                const struct ce_device_list *list, const struct ce_process_list *processes,
                struct ce_error *err)
{
    CE_TRY(ce_group_make(denied->journal, all_means[means].controller, NULL, processes,
                         &denied->note, &denied->folder, err));
    if (ce_seam_no_effect())
        return 0;
    if (means == CE_DEVICES_V1)
        return deny_v1(denied, list, err);
    struct order order = {.list = *list, .folder = denied->folder};
    return ce_agent_start(denied->journal, NULL, 0, hold, &order, &denied->agent, err);
}

int ce_devices_deny(struct ce_journal *journal, enum ce_devices_means means,
                    const struct ce_device_list *list, const struct ce_process_list *processes,
                    struct ce_devices_denied **ret_denied, struct ce_error *err)
{
    struct ce_devices_denied *denied = calloc(1, sizeof *denied);
    if (!denied)
        return ce_fail_memory(err);
    denied->journal = journal;
    int r = deny(denied, means, list, processes, err);
    if (r < 0)
        (void)ce_devices_allow(denied, NULL);
    else
        *ret_denied = denied;
    return r;
}

int ce_devices_allow(struct ce_devices_denied *denied, struct ce_error *err)
{
    struct ce_error ignored;
    if (!denied)
        return 0;
    int r = ce_agent_stop(denied->agent, err);
    int back =
        denied->note > 0 ? ce_undo_now(denied->journal, denied->note, r < 0 ? &ignored : err) : 0;
    free(denied->folder);
    free(denied);
    return r < 0 ? r : back;
}

/* ---- the witness ---- */

struct trial {
    const char *folder, *path;
};

/* 255: it could not be tried. */
static int try_open(void *ctx)
{
    const struct trial *trial = ctx;
    if (ce_group_join(trial->folder, getpid(), NULL) < 0)
        return 255;
    int fd = open(trial->path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
    return fd < 0 ? errno : 0;
}

int ce_devices_try(const struct ce_devices_denied *denied, const char *path, struct ce_error *err)
{
    struct trial trial = {.folder = denied->folder, .path = path};
    int code = ce_spawn_try(try_open, &trial, 0, err);
    if (code == 255)
        return ce_fail(err, EIO, "no process could be made among the target's to open '%s'", path);
    return code;
}
