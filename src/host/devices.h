/* SPDX-License-Identifier: MIT */
/* Devices that are taken away from a target: its processes, moved into a control group of ours, can
 * open them no more. What they have open already stays open. */
#ifndef CE_HOST_DEVICES_H
#define CE_HOST_DEVICES_H

#include <stdbool.h>

#include "host/process_tree.h"
#include "journal/journal.h"

enum { CE_DEVICES_MAX = 32, CE_ANY_MINOR = -1 };

struct ce_device {
    bool is_block;
    unsigned major;
    int minor; /* or CE_ANY_MINOR */
};
struct ce_device_list {
    struct ce_device items[CE_DEVICES_MAX];
    size_t count;
};

/* Adds "195:*", "195:0" (characters), or what the file of a device stands for. -EINVAL: that is
 * none of these. */
int ce_devices_add(struct ce_device_list *list, const char *text, struct ce_error *err);
/* Adds the GPUs that this host's drivers serve: all that is NVIDIA's, and AMD's /dev/kfd, without
 * which no program computes on one. The render nodes stay: screens hang on them too. */
void ce_devices_add_gpus(struct ce_device_list *list);
/* Whether there is a driver of NVIDIA's that could be asked. */
bool ce_devices_has_nvidia(void);
/* A file in /dev that is one of them. False: there is none. */
bool ce_devices_file(const struct ce_device_list *list, char *ret_path, size_t size);

enum ce_devices_means {
    CE_DEVICES_BPF, /* a program of the kernel's, which goes with the process that holds it */
    CE_DEVICES_V1,  /* devices.deny */
    CE_DEVICES_MEANS_COUNT_,
};
const char *ce_devices_means_name(enum ce_devices_means means);
/* Whether this user could; `detail` says how, or why not. */
bool ce_devices_available(enum ce_devices_means means, char *detail, size_t size);

struct ce_devices_denied;
/* Notes and denies. After a failure, what was done has been taken back. */
int ce_devices_deny(struct ce_journal *journal, enum ce_devices_means means,
                    const struct ce_device_list *list, const struct ce_process_list *processes,
                    struct ce_devices_denied **ret_denied, struct ce_error *err);
/* Gives them back and frees it. NULL is fine. */
int ce_devices_allow(struct ce_devices_denied *denied, struct ce_error *err);
/* What a new process among the target's gets that opens the file: 0, or the errno of open(2). A
 * negative errno: it could not be tried. */
int ce_devices_try(const struct ce_devices_denied *denied, const char *path, struct ce_error *err);

#endif
