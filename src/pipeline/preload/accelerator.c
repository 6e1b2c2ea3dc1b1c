/* SPDX-License-Identifier: MIT */
/* The stand-in accelerator: the driver of a GPU that is none, for hosts without one, with entry
 * points and results as the CUDA driver and NVML have them.
 *
 * It has one device, which is there as long as its node can be opened: each question opens it anew,
 * so that a group that denies the node takes the device away from a process that runs. Its memory
 * is the process's own. It computes nothing: it is there to be asked for. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/cuda.h"

#define EXPORT __attribute__((visibility("default")))

enum { VERSION = 12000 };

static int device(void)
{
    int fd = open(CE_STAND_IN_DEVICE, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return CE_CUDA_NO_DEVICE;
    (void)close(fd);
    return CE_CUDA_OK;
}

EXPORT int cuInit(unsigned flags);
int cuInit(unsigned flags)
{
    return flags == 0 ? device() : CE_CUDA_INVALID;
}

EXPORT int cuDriverGetVersion(int *ret_version);
int cuDriverGetVersion(int *ret_version)
{
    *ret_version = VERSION;
    return CE_CUDA_OK;
}

EXPORT int cuDeviceGetCount(int *ret_count);
int cuDeviceGetCount(int *ret_count)
{
    int r = device();
    *ret_count = r == CE_CUDA_OK;
    return r;
}

EXPORT int cuDeviceGet(int *ret_device, int ordinal);
int cuDeviceGet(int *ret_device, int ordinal)
{
    *ret_device = ordinal;
    return ordinal == 0 ? device() : CE_CUDA_INVALID_DEVICE;
}

EXPORT int cuDeviceGetName(char *name, int size, int ordinal);
int cuDeviceGetName(char *name, int size, int ordinal)
{
    snprintf(name, (size_t)size, "ChaosEater stand-in accelerator");
    return ordinal == 0 ? device() : CE_CUDA_INVALID_DEVICE;
}

EXPORT int cuMemAlloc_v2(uint64_t *ret_address, size_t size);
int cuMemAlloc_v2(uint64_t *ret_address, size_t size)
{
    if (device() != CE_CUDA_OK)
        return CE_CUDA_NO_DEVICE;
    void *memory = size > 0 ? malloc(size) : NULL;
    *ret_address = (uintptr_t)memory;
    return memory ? CE_CUDA_OK : CE_CUDA_OUT_OF_MEMORY;
}

EXPORT int cuMemFree_v2(uint64_t address);
int cuMemFree_v2(uint64_t address)
{
    free((void *)(uintptr_t)address);
    return CE_CUDA_OK;
}

EXPORT int nvmlInit_v2(void);
int nvmlInit_v2(void)
{
    return device() == CE_CUDA_OK ? 0 : CE_NVML_DRIVER_NOT_LOADED;
}

EXPORT int nvmlShutdown(void);
int nvmlShutdown(void)
{
    return 0;
}

EXPORT int nvmlDeviceGetCount_v2(unsigned *ret_count);
int nvmlDeviceGetCount_v2(unsigned *ret_count)
{
    *ret_count = device() == CE_CUDA_OK;
    return *ret_count == 1 ? 0 : CE_NVML_DRIVER_NOT_LOADED;
}

EXPORT int cuGetProcAddress_v2(const char *name, void **ret_function, int version, uint64_t flags,
                               int *ret_status);
int cuGetProcAddress_v2(const char *name, void **ret_function, int version, uint64_t flags,
                        int *ret_status)
{
    static const struct {
        const char *name;
        void *function;
    } functions[] = {
        {"cuInit", (void *)cuInit},
        {"cuDriverGetVersion", (void *)cuDriverGetVersion},
        {"cuDeviceGetCount", (void *)cuDeviceGetCount},
        {"cuDeviceGet", (void *)cuDeviceGet},
        {"cuDeviceGetName", (void *)cuDeviceGetName},
        {"cuMemAlloc", (void *)cuMemAlloc_v2},
        {"cuMemFree", (void *)cuMemFree_v2},
        {"cuGetProcAddress", (void *)cuGetProcAddress_v2},
    };
    enum { FOUND = 0, NO_SUCH_SYMBOL = 1 };
    *ret_function = NULL;
    for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++)
        if (strcmp(functions[i].name, name) == 0)
            *ret_function = functions[i].function;
    if (ret_status)
        *ret_status = *ret_function ? FOUND : NO_SUCH_SYMBOL;
    return *ret_function ? CE_CUDA_OK : CE_CUDA_NOT_FOUND;
}
