/* SPDX-License-Identifier: MIT */
/* The little of the CUDA driver's and NVML's interface that is needed here: results, and the
 * functions that tell whether there is a device. */
#ifndef CE_HOST_CUDA_H
#define CE_HOST_CUDA_H

#include <stddef.h>
#include <stdint.h>

enum {
    CE_CUDA_OK = 0,
    CE_CUDA_INVALID = 1,
    CE_CUDA_OUT_OF_MEMORY = 2,
    CE_CUDA_NOT_INITIALIZED = 3,
    CE_CUDA_NO_DEVICE = 100,
    CE_CUDA_INVALID_DEVICE = 101,
    CE_CUDA_ECC_UNCORRECTABLE = 214,
    CE_CUDA_NOT_FOUND = 500,
    CE_NVML_UNINITIALIZED = 1,
    CE_NVML_DRIVER_NOT_LOADED = 9,
    CE_NVML_GPU_IS_LOST = 15,
};

#define CE_CUDA_LIBRARY     "libcuda.so.1"
#define CE_STAND_IN_LIBRARY "libchaoseater-accelerator.so"
/* The stand-in's device: it has to be there to be opened, which a device group can deny without
 * harm to anybody. */
#define CE_STAND_IN_DEVICE "/dev/full"

typedef int ce_cu_init(unsigned flags);
typedef int ce_cu_device_count(int *ret_count);
typedef int ce_cu_allocate(uint64_t *ret_address, size_t size);
typedef int ce_cu_free(uint64_t address);

#endif
