/* SPDX-License-Identifier: MIT */
/* gpu_unavailable: the target's GPU is gone, lost, or full.
 *
 * There are two ways to take a device away. Its files can be denied to the target's processes by a
 * control group: that is the kernel's word, whatever the program is, but it holds for files that
 * are opened from now on, and a server opens them once, when it starts. Or the driver's functions
 * can be answered for inside the process, by a library that it has loaded: that holds on every
 * call, so a server that runs feels it at once, but only in processes that ChaosEater starts. So
 * `auto` does both where it can: the running process is told, and neither it nor anyone it starts
 * can open the device again. One of them has to work.
 *
 * Where the host has no GPU, the embedded pipeline computes on the driver of a stand-in, whose
 * device is one that can be denied without harm. The fault and its proof are the same. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "faults/fault.h"
#include "faults/infra/inside.h"
#include "host/cuda.h"
#include "host/devices.h"
#include "pipeline/beside.h"
#include "pipeline/helpers.h"

enum { BY_AUTO, BY_BPF, BY_V1, BY_DRIVER };

struct gpu_unavailable {
    int mode, mechanism;
    struct ce_names devices;
    char *target_service;
};

static const struct ce_choice modes[] = {
    {"no_device", CE_GPU_NO_DEVICE, "there is no device, and there was none"},
    {"out_of_memory", CE_GPU_OUT_OF_MEMORY, "the device has no memory left to be had"},
    {"lost", CE_GPU_LOST, "the device has failed under way: every call says so"},
    {NULL, 0, NULL},
};
static const struct ce_choice mechanisms[] = {
    {"auto", BY_AUTO, "driver and, for no_device, a control group; those of them that work"},
    {"cgroup_bpf", BY_BPF,
     "the device's files are denied by a program of the kernel's (cgroup v2)"},
    {"cgroup_v1", BY_V1, "the device's files are denied by the controller devices of cgroup v1"},
    {"driver", BY_DRIVER, "a library in the process answers for the CUDA driver and NVML"},
    {NULL, 0, NULL},
};
static const struct ce_param params[] = {
    CE_CHOICE(struct gpu_unavailable, mode, .choices = modes, .def = "no_device",
              .doc = "What is the matter with the GPU."),
    CE_CHOICE(struct gpu_unavailable, mechanism, .choices = mechanisms, .def = "auto",
              .doc = "How it is brought about."),
    CE_NAMES(struct gpu_unavailable, devices, .def = "",
             .doc = "Devices that a control group denies, as MAJOR:MINOR, MAJOR:* or the file of "
                    "one; default: all of NVIDIA's and AMD's /dev/kfd."),
    CE_TEXT(struct gpu_unavailable, target_service, .def = "server",
            .doc = "Which of the pipeline's processes is meant."),
    CE_END_PARAMS,
};

struct state {
    struct ce_subject subject;
    bool stand_in;
    struct ce_helper_control *control;
    int note;     /* about the driver's being answered for */
    bool is_told; /* it is */
    struct ce_device_list devices;
    struct ce_devices_denied *denied;
    enum ce_devices_means means; /* by which they are denied */
    bool hit;
};

/* Also says which of them there are when there are some. */
static bool available(char *reason, size_t size)
{
    char detail[160];
    bool any = ce_helpers_available(CE_HELPER_GPU, detail, sizeof detail);
    int used =
        snprintf(reason, size, "driver: %s", any ? "in what ChaosEater starts" : "not installed");
    for (enum ce_devices_means means = 0; means < CE_DEVICES_MEANS_COUNT_; means++) {
        bool works = ce_devices_available(means, detail, sizeof detail);
        any = any || works;
        if (used > 0 && (size_t)used < size)
            used += snprintf(reason + used, size - (size_t)used, "; %s: %s",
                             ce_devices_means_name(means), detail);
    }
    return any;
}

static int check(const void *p, struct ce_error *err)
{
    const struct gpu_unavailable *want = p;
    struct ce_device_list ignored = {.count = 0};
    bool by_group = want->mechanism == BY_BPF || want->mechanism == BY_V1;
    if (by_group && want->mode != CE_GPU_NO_DEVICE)
        return ce_fail(err, EINVAL,
                       "mechanism: a control group can only deny devices, which is mode no_device; "
                       "mode '%s' needs mechanism driver",
                       modes[want->mode - 1].name);
    for (size_t i = 0; i < want->devices.count; i++)
        if (ce_devices_add(&ignored, want->devices.names[i], err) < 0)
            return ce_fail_context(err, -EINVAL, "devices");
    return 0;
}

static unsigned needs_of(const void *p)
{
    const struct gpu_unavailable *want = p;
    return want->mechanism == BY_DRIVER ? CE_NEEDS_PROCESS | CE_NEEDS_GPU_HELPER : CE_NEEDS_TREE;
}

/* ---- asking the driver ---- */

/* What a new process in the environment of the target is answered: by cuInit(), how many devices it
 * counts, and by a request for memory. */
struct answers {
    int init, devices, memory;
};

static int ask_bystander(const struct state *state, struct answers *ret, struct ce_error *err)
{
    char text[64];
    ce_autofree char *driver = NULL;
    if (state->stand_in)
        CE_TRY(ce_beside_find(CE_STAND_IN_LIBRARY, &driver, err));
    const char *args[] = {"gpu", driver ? driver : CE_CUDA_LIBRARY, NULL};
    CE_TRY(ce_inside_bystander(&state->subject, CE_HELPER_GPU, args, text, sizeof text, err));
    if (sscanf(text, "%d %d %d", &ret->init, &ret->devices, &ret->memory) != 3)
        return ce_fail(err, ENODATA, "there is no driver '%s' that could be asked", args[1]);
    return 0;
}

/* ---- inject ---- */

/* None: there is nothing that a control group could deny. */
static int list_devices(struct state *state, const struct gpu_unavailable *want,
                        struct ce_error *err)
{
    for (size_t i = 0; i < want->devices.count; i++)
        CE_TRY(ce_devices_add(&state->devices, want->devices.names[i], err));
    if (state->devices.count == 0)
        ce_devices_add_gpus(&state->devices);
    if (state->devices.count == 0 && state->stand_in)
        CE_TRY(ce_devices_add(&state->devices, CE_STAND_IN_DEVICE, err));
    return 0;
}

static int deny_devices(struct ce_injection *injection, struct ce_error *err)
{
    const struct gpu_unavailable *want = injection->params;
    struct state *state = injection->state;
    struct ce_error why = {0};
    struct ce_process_list processes = {0};
    if (state->devices.count == 0)
        return ce_fail(
            err, ENODATA,
            "this host has no GPU whose devices could be denied; `devices` names others");
    CE_TRY(ce_subject_processes(&state->subject, &processes, err));
    int r = -ENOTSUP;
    char missing[160] = "";
    for (enum ce_devices_means means = 0; r < 0 && means < CE_DEVICES_MEANS_COUNT_; means++) {
        if (want->mechanism != BY_AUTO && (want->mechanism == BY_BPF) != (means == CE_DEVICES_BPF))
            continue;
        r = ce_devices_deny(injection->journal, means, &state->devices, &processes, &state->denied,
                            &why);
        state->means = means;
        if (r == -ECANCELED)
            break;
        if (r < 0 && missing[0] == '\0')
            snprintf(missing, sizeof missing, "%s: %.120s", ce_devices_means_name(means),
                     why.message);
    }
    ce_process_list_done(&processes);
    if (r < 0 && err) {
        *err = why;
        if (want->mechanism == BY_AUTO && missing[0] != '\0')
            (void)ce_fail_context(err, r, "%s; %s", missing, ce_devices_means_name(state->means));
    }
    return r;
}

static int tell_driver(struct ce_injection *injection, struct ce_error *err)
{
    const struct gpu_unavailable *want = injection->params;
    struct state *state = injection->state;
    struct ce_helper_control *control;
    struct answers ignored;
    CE_TRY(ce_inside_open(&state->subject, CE_GPU_LIBRARY, &control, err));
    state->control = control;
    CE_TRY(ask_bystander(state, &ignored, err));
    CE_TRY(ce_helper_arm_gpu(control, injection->journal, (enum ce_gpu_mode)want->mode,
                             &state->note, err));
    state->is_told = true;
    return 0;
}

static bool may_end_here(int r)
{
    return r == -ECANCELED || r == -ENOMEM;
}

static int inject(struct ce_injection *injection, struct ce_error *err)
{
    const struct gpu_unavailable *want = injection->params;
    struct state *state = injection->state;
    struct ce_error driver = {0}, group = {0};
    int by_driver = -ENOTSUP, by_group = -ENOTSUP;
    CE_TRY(ce_inside_find(injection->target, want->target_service, &state->subject, err));
    state->stand_in = ce_inside_loaded(&state->subject, CE_STAND_IN_LIBRARY);
    CE_TRY(list_devices(state, want, err));
    if (want->mechanism == BY_AUTO || want->mechanism == BY_DRIVER)
        by_driver = tell_driver(injection, &driver);
    if (may_end_here(by_driver) || want->mechanism == BY_DRIVER) {
        if (by_driver < 0 && err)
            *err = driver;
        state->hit = by_driver == 0;
        return by_driver;
    }
    if (want->mode == CE_GPU_NO_DEVICE)
        by_group = deny_devices(injection, &group);
    state->hit = by_driver == 0 || by_group == 0;
    if (by_driver == 0 && !may_end_here(by_group))
        return 0;
    if (by_group < 0 && err) {
        *err = group.message[0] ? group : driver;
        if (want->mechanism == BY_AUTO && group.message[0])
            snprintf(err->message, sizeof err->message, "%.180s; %.180s", driver.message,
                     group.message);
    }
    return by_group;
}

/* ---- verify ---- */

static bool is_as_wanted(int mode, const struct answers *answers)
{
    switch (mode) {
    case CE_GPU_OUT_OF_MEMORY:
        return answers->memory == CE_CUDA_OUT_OF_MEMORY;
    case CE_GPU_LOST:
        return answers->init == CE_CUDA_ECC_UNCORRECTABLE;
    default:
        return answers->init == CE_CUDA_NO_DEVICE && answers->devices == 0;
    }
}

static const char *name_of(const struct state *state)
{
    return state->stand_in ? "stand-in accelerator" : "GPU";
}

static int look_at_driver(const struct ce_injection *injection, char *text, size_t size,
                          struct ce_error *err)
{
    const struct gpu_unavailable *want = injection->params;
    const struct state *state = injection->state;
    struct answers answers;
    CE_TRY(ask_bystander(state, &answers, err));
    snprintf(
        text, size,
        "the driver answers cuInit with %d, counts %d devices and answers a request for memory "
        "with %d",
        answers.init, answers.devices, answers.memory);
    return is_as_wanted(want->mode, &answers);
}

static int look_at_devices(const struct state *state, char *text, size_t size, struct ce_error *err)
{
    char path[64];
    if (!ce_devices_file(&state->devices, path, sizeof path))
        return ce_fail(err, ENODATA, "no file in /dev is one of the devices that are denied");
    int code = ce_devices_try(state->denied, path, err);
    CE_TRY(code);
    snprintf(text, size, "among its processes opening %s %s%s (%s)", path,
             code == 0 ? "works" : "fails: ", code == 0 ? "" : strerror(code),
             ce_devices_means_name(state->means));
    return code == EPERM || code == EACCES;
}

/* What the model server itself says, if it does: 1, 0, or -1. */
static int ask_server(const struct ce_injection *injection)
{
    ce_autojson json_t *json = ce_inside_ask(injection->target, "/v2/accelerator");
    const json_t *available = json_object_get(json, "available");
    return json_is_boolean(available) ? json_is_true(available) : -1;
}

static int verify(struct ce_injection *injection, struct ce_evidence *ret_evidence,
                  struct ce_error *err)
{
    const struct state *state = injection->state;
    char driver[144] = "", devices[160] = "";
    int told = 1, denied = 1;
    if (state->is_told)
        CE_TRY(told = look_at_driver(injection, driver, sizeof driver, err));
    if (state->denied)
        CE_TRY(denied = look_at_devices(state, devices, sizeof devices, err));
    int server = ask_server(injection);
    snprintf(ret_evidence->text, sizeof ret_evidence->text, "%s: %s%s%s%s", name_of(state), driver,
             driver[0] && devices[0] ? "; " : "", devices,
             server < 0    ? ""
             : server == 0 ? "; it is of no use to the model server"
                           : "; the model server still has the use of it");
    return told && denied && server != 1;
}

/* ---- revert ---- */

static int revert(struct ce_injection *injection, struct ce_error *err)
{
    struct state *state = injection->state;
    struct ce_error ignored;
    int r = ce_devices_allow(ce_take(state->denied), err);
    int told =
        state->note > 0 ? ce_undo_now(injection->journal, state->note, r < 0 ? &ignored : err) : 0;
    state->note = 0;
    ce_helper_control_close(ce_take(state->control));
    return r < 0 ? r : told;
}

static int verify_undo(struct ce_injection *injection, struct ce_error *err)
{
    const struct state *state = injection->state;
    struct ce_helper_control *control = NULL;
    if (state->is_told && ce_helper_control_open(state->subject.helpers, &control, NULL) == 0) {
        bool is_as_before = ce_helper_control_page(control)->gpu == CE_GPU_AS_IS;
        ce_helper_control_close(control);
        if (!is_as_before)
            return ce_fail(err, EBUSY, "the driver in %s is still answered for",
                           state->subject.name);
    }
    if (state->stand_in && ask_server(injection) == 0)
        return ce_fail(err, EBUSY, "%s still finds no %s", state->subject.name, name_of(state));
    return 0;
}

static void count(const struct ce_injection *injection, struct ce_fault_counts *ret_counts)
{
    const struct state *state = injection->state;
    *ret_counts = (struct ce_fault_counts){.eligible = 1, .selected = 1, .changed = state->hit};
}

const struct ce_fault ce_fault_gpu_unavailable = {
    .name = "gpu_unavailable",
    .summary = "Take the GPU away from the process that serves predictions",
    .layer = CE_LAYER_INFRASTRUCTURE,
    .needs = CE_NEEDS_TREE,
    .needs_of = needs_of,
    .helpers = CE_HELPER_GPU,
    .params = params,
    .params_size = sizeof(struct gpu_unavailable),
    .state_size = sizeof(struct state),
    .example = "{mode: no_device}",
    .available = available,
    .check = check,
    .inject = inject,
    .verify = verify,
    .revert = revert,
    .verify_undo = verify_undo,
    .count = count,
};
