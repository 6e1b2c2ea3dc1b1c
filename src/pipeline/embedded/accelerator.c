/* SPDX-License-Identifier: MIT */
#include "pipeline/embedded/accelerator.h"

#include <dlfcn.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "host/cuda.h"
#include "host/devices.h"
#include "pipeline/beside.h"
#include "pipeline/embedded/roles.h"

enum { WORKSPACE = 4096 };

struct ce_accelerator {
    bool stand_in, ready;
    ce_cu_init *init;
    ce_cu_device_count *count;
    ce_cu_allocate *allocate;
    ce_cu_free *free;
    uint64_t without; /* inferences that were computed without it */
};

static bool load(struct ce_accelerator *accelerator, const char *library)
{
    void *driver = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    accelerator->init = driver ? (ce_cu_init *)dlsym(driver, "cuInit") : NULL;
    accelerator->count = driver ? (ce_cu_device_count *)dlsym(driver, "cuDeviceGetCount") : NULL;
    accelerator->allocate = driver ? (ce_cu_allocate *)dlsym(driver, "cuMemAlloc_v2") : NULL;
    accelerator->free = driver ? (ce_cu_free *)dlsym(driver, "cuMemFree_v2") : NULL;
    return accelerator->init && accelerator->count && accelerator->allocate && accelerator->free;
}

int ce_accelerator_open(struct ce_accelerator **ret_accelerator, struct ce_error *err)
{
    *ret_accelerator = NULL;
    if (!getenv(CE_SERVER_ACCELERATOR))
        return 0;
    struct ce_accelerator *accelerator = calloc(1, sizeof *accelerator);
    if (!accelerator)
        return ce_fail_memory(err);
    accelerator->stand_in = !ce_devices_has_nvidia() || !load(accelerator, CE_CUDA_LIBRARY);
    ce_autofree char *path = NULL;
    int r = accelerator->stand_in ? ce_beside_find(CE_STAND_IN_LIBRARY, &path, err) : 0;
    if (r == 0 && path && !load(accelerator, path))
        r = ce_fail(err, ENOEXEC, "cannot load '%s': %s", path, dlerror());
    if (r < 0) {
        free(accelerator);
        return r;
    }
    *ret_accelerator = accelerator;
    return 0;
}

/* For what is to be computed. A GPU's driver that no context was asked of refuses for that reason,
 * and means no harm by it. */
static bool has_memory(struct ce_accelerator *accelerator)
{
    uint64_t address = 0;
    int answer = accelerator->allocate(&address, WORKSPACE);
    if (answer == CE_CUDA_OK)
        (void)accelerator->free(address);
    return answer != CE_CUDA_OUT_OF_MEMORY;
}

/* A driver that found nothing when it was first asked is asked from the beginning again. */
static bool is_of_use(struct ce_accelerator *accelerator)
{
    int devices = 0;
    if (!accelerator->ready)
        accelerator->ready = accelerator->init(0) == CE_CUDA_OK;
    return accelerator->ready && accelerator->count(&devices) == CE_CUDA_OK && devices > 0 &&
           has_memory(accelerator);
}

bool ce_accelerator_allows(struct ce_accelerator *accelerator, bool without)
{
    if (!accelerator || is_of_use(accelerator))
        return true;
    accelerator->without += without;
    return without;
}

char *ce_accelerator_text(struct ce_accelerator *accelerator)
{
    if (!accelerator)
        return strdup("{\"accelerator\":null}");
    return ce_format("{\"accelerator\":\"%s\",\"available\":%s,\"without\":%" PRIu64 "}",
                     accelerator->stand_in ? "stand-in accelerator" : CE_CUDA_LIBRARY,
                     is_of_use(accelerator) ? "true" : "false", accelerator->without);
}
