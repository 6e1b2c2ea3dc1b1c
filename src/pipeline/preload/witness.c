/* SPDX-License-Identifier: MIT */
/* chaoseater-witness: says what a process sees that was started in the environment of another.
 *
 *   chaoseater-witness clock     "REALTIME MONOTONIC", in ns
 *   chaoseater-witness gpu FILE  "INIT DEVICES MEMORY": what the driver FILE answers cuInit(), how
 *                                many devices it counts, and what it answers a request for memory;
 *                                "none" when there is no such driver */
#include <dlfcn.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "host/cuda.h"

static int64_t now(clockid_t id)
{
    struct timespec time = {0};
    (void)clock_gettime(id, &time);
    return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

static int say_gpu(const char *file)
{
    void *driver = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    ce_cu_init *init = driver ? (ce_cu_init *)dlsym(driver, "cuInit") : NULL;
    ce_cu_device_count *count =
        driver ? (ce_cu_device_count *)dlsym(driver, "cuDeviceGetCount") : NULL;
    if (!init || !count)
        return puts("none") < 0;
    ce_cu_allocate *allocate = (ce_cu_allocate *)dlsym(driver, "cuMemAlloc_v2");
    int answer = init(0), devices = 0;
    uint64_t memory = 0;
    if (answer == CE_CUDA_OK && count(&devices) != CE_CUDA_OK)
        devices = 0;
    int had = allocate ? allocate(&memory, 1) : CE_CUDA_NOT_FOUND;
    return printf("%d %d %d\n", answer, devices, had) < 0;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "gpu") == 0)
        return say_gpu(argv[2]);
    if (argc == 2 && strcmp(argv[1], "clock") == 0)
        return printf("%" PRId64 " %" PRId64 "\n", now(CLOCK_REALTIME), now(CLOCK_MONOTONIC)) < 0;
    fprintf(stderr, "%s is a part of ChaosEater and is of no use alone; see `chaoseater --help`\n",
            argv[0]);
    return 2;
}
