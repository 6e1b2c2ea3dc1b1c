/* SPDX-License-Identifier: MIT */
/* Answers for the GPU's driver inside the process that loads it (LD_PRELOAD), while it is told to.
 *
 * Programs reach the driver by name: they load libcuda.so.1 and libnvidia-ml.so.1 and ask dlsym(),
 * or cuGetProcAddress(), for its functions. Whoever asks here gets a door instead of the function:
 * closed, it answers with the driver's own code for a device that is gone; open, it goes on to the
 * function with the arguments as they came. A door is looked at on every call, so what the process
 * has asked for long ago is gone when it is to be gone, and there again when it is to be there.
 *
 * Only what lies in those libraries gets a door. What gives something back (free, destroy) is
 * always let through, or the process would be short of it ever after. */
#include <dlfcn.h>
#include <stddef.h>
#include <string.h>

#include "host/cuda.h"
#include "pipeline/preload/page.h"

/* No function of these libraries that a door stands before takes more; all of them are integers
 * and pointers. */
#define WORDS                                                                                      \
    long a, long b, long c, long d, long e, long f, long g, long h, long i, long j, long k, long l
#define GIVEN a, b, c, d, e, f, g, h, i, j, k, l
typedef int call(WORDS);

enum kind { KIND_CUDA = 1, KIND_CUDA_MEMORY, KIND_NVML };

enum { DOORS = 1024 };
static struct door {
    _Atomic(call *) real; /* NULL: nobody's yet */
    _Atomic(int) kind;
} doors[DOORS];
static struct ce_helper_page *page;

typedef void *dlsym_call(void *handle, const char *name);
static dlsym_call *real_dlsym;

/* ---- what a closed door says ---- */

/* 0: it is open. */
static int refusal(int kind)
{
    static const int answers[][KIND_NVML + 1] = {
        [CE_GPU_NO_DEVICE] = {0, CE_CUDA_NO_DEVICE, CE_CUDA_NO_DEVICE, CE_NVML_DRIVER_NOT_LOADED},
        [CE_GPU_OUT_OF_MEMORY] = {0, CE_CUDA_OK, CE_CUDA_OUT_OF_MEMORY, 0},
        [CE_GPU_LOST] = {0, CE_CUDA_ECC_UNCORRECTABLE, CE_CUDA_ECC_UNCORRECTABLE,
                         CE_NVML_GPU_IS_LOST},
    };
    uint32_t mode = page ? atomic_load_explicit(&page->gpu, memory_order_relaxed) : CE_GPU_AS_IS;
    if (mode == CE_GPU_AS_IS || mode >= sizeof answers / sizeof answers[0])
        return 0;
    int answer = answers[mode][kind];
    if (answer != 0)
        atomic_fetch_add_explicit(&page->gpu_refused, 1, memory_order_relaxed);
    return answer;
}

static inline int through(unsigned number, WORDS)
{
    int answer = refusal(atomic_load_explicit(&doors[number].kind, memory_order_relaxed));
    call *real = atomic_load_explicit(&doors[number].real, memory_order_relaxed);
    return answer != 0 ? answer : real(GIVEN);
}

/* ---- a door each ---- */

#define EACH_16(m, n)                                                                              \
    m(n##0) m(n##1) m(n##2) m(n##3) m(n##4) m(n##5) m(n##6) m(n##7) m(n##8) m(n##9) m(n##a)        \
        m(n##b) m(n##c) m(n##d) m(n##e) m(n##f)
#define EACH_256(m, n)                                                                             \
    EACH_16(m, n##0)                                                                               \
    EACH_16(m, n##1)                                                                               \
    EACH_16(m, n##2)                                                                               \
    EACH_16(m, n##3) EACH_16(m, n##4) EACH_16(m, n##5) EACH_16(m, n##6) EACH_16(m, n##7)           \
        EACH_16(m, n##8) EACH_16(m, n##9) EACH_16(m, n##a) EACH_16(m, n##b) EACH_16(m, n##c)       \
            EACH_16(m, n##d) EACH_16(m, n##e) EACH_16(m, n##f)
#define EACH(m) EACH_256(m, 0x0) EACH_256(m, 0x1) EACH_256(m, 0x2) EACH_256(m, 0x3)

#define DEFINE_DOOR(number)                                                                        \
    static int door_##number(WORDS)                                                                \
    {                                                                                              \
        return through(number, GIVEN);                                                             \
    }
EACH(DEFINE_DOOR)
#define NAME_DOOR(number) door_##number,
static call *const entrances[] = {EACH(NAME_DOOR)};
_Static_assert(sizeof entrances / sizeof entrances[0] == DOORS, "each door has an entrance");

/* ---- who gets one ---- */

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

static bool is_upper(char c)
{
    return c >= 'A' && c <= 'Z';
}

/* 0: it answers no question about the device, does not say by its result whether it could, takes
 * other things than words, or gives something back. */
static int kind_of(const char *name)
{
    static const char *const left_alone[] = {
        "cuGetError",  "cuGetExportTable", "cuGetProcAddress", "cuDriverGetVersion", "cuTexRef",
        "cuTensorMap", "nvmlErrorString",  "nvmlShutdown",     "nvmlSystem",
    };
    static const char *const gives_back[] = {"Free",       "Destroy", "Unload", "Release",
                                             "Unregister", "Unmap",   "Detach"};
    bool cuda = begins(name, "cu") && is_upper(name[2]);
    bool nvml = begins(name, "nvml") && is_upper(name[4]);
    for (size_t n = 0; n < sizeof left_alone / sizeof left_alone[0]; n++)
        if (begins(name, left_alone[n]))
            return 0;
    for (size_t n = 0; n < sizeof gives_back / sizeof gives_back[0]; n++)
        if (strstr(name, gives_back[n]))
            return 0;
    if (nvml)
        return KIND_NVML;
    bool takes_memory = begins(name, "cuMemAlloc") || begins(name, "cuMemHostAlloc") ||
                        begins(name, "cuMemCreate") || begins(name, "cuArrayCreate") ||
                        begins(name, "cuArray3DCreate") || begins(name, "cuMipmappedArrayCreate");
    return !cuda ? 0 : takes_memory ? KIND_CUDA_MEMORY : KIND_CUDA;
}

/* Other libraries may have functions of such names, too. */
static bool is_the_drivers(void *function)
{
    Dl_info info;
    if (dladdr(function, &info) == 0 || !info.dli_fname)
        return false;
    const char *slash = strrchr(info.dli_fname, '/');
    const char *file = slash ? slash + 1 : info.dli_fname;
    return begins(file, "libcuda.so") || begins(file, "libnvidia-ml.so") ||
           begins(file, CE_STAND_IN_LIBRARY);
}

/* The same door for whoever asks again. NULL: there are no more. Without a lock, which a child that
 * is forked meanwhile would find taken for ever. */
static void *door_to(void *real, int kind)
{
    for (unsigned number = 0; number < DOORS; number++) {
        call *whose = NULL;
        if (atomic_compare_exchange_strong(&doors[number].real, &whose, (call *)real))
            doors[number].kind = kind;
        else if ((void *)whose != real)
            continue;
        return (void *)entrances[number];
    }
    return NULL;
}

/* ---- asking by name ---- */

typedef int get_address(const char *name, void **ret_function, int version, uint64_t flags,
                        void *ret_status);
static _Atomic(get_address *) real_get_address, real_get_address_v2;

static int give_door(const char *name, int answer, void **function)
{
    int kind = name ? kind_of(name) : 0;
    void *door = answer == CE_CUDA_OK && function && *function && kind != 0 && page
                     ? door_to(*function, kind)
                     : NULL;
    if (door)
        *function = door;
    return answer;
}

/* The second form has one argument more, which does the first no harm. Each gives the other out in
 * its turn. */
static int get_address_1(const char *name, void **function, int version, uint64_t flags,
                         void *ret_status);
static int get_address_2(const char *name, void **function, int version, uint64_t flags,
                         void *ret_status);

static void *address_giver(const char *name, void *real)
{
    bool second = strcmp(name, "cuGetProcAddress_v2") == 0;
    if (second)
        real_get_address_v2 = (get_address *)real;
    else
        real_get_address = (get_address *)real;
    return second ? (void *)get_address_2 : (void *)get_address_1;
}

static int give_address(get_address *real, const char *name, void **function, int version,
                        uint64_t flags, void *ret_status)
{
    int answer = real(name, function, version, flags, ret_status);
    if (answer == CE_CUDA_OK && name && function && *function && begins(name, "cuGetProcAddress")) {
        /* By that name the newest form is given out that the version has. */
        *function = address_giver(version >= 12000 ? "cuGetProcAddress_v2" : name, *function);
        return answer;
    }
    return give_door(name, answer, function);
}

static int get_address_1(const char *name, void **function, int version, uint64_t flags,
                         void *ret_status)
{
    return give_address(real_get_address, name, function, version, flags, ret_status);
}

static int get_address_2(const char *name, void **function, int version, uint64_t flags,
                         void *ret_status)
{
    return give_address(real_get_address_v2, name, function, version, flags, ret_status);
}

/* ---- programs that are linked with the driver ---- */

/* These stand before the driver's own. RTLD_NEXT leads there, unless it was loaded for one library
 * alone; but loaded it is, if anybody needs it. */
static call *find_linked(const char *name)
{
    call *real = (call *)real_dlsym(RTLD_NEXT, name);
    void *driver = real ? NULL
                        : dlopen(begins(name, "nvml") ? "libnvidia-ml.so.1" : CE_CUDA_LIBRARY,
                                 RTLD_LAZY | RTLD_NOLOAD);
    return driver ? (call *)real_dlsym(driver, name) : real;
}

static int through_linked(_Atomic(call *) *next, const char *name, WORDS)
{
    call *real = *next;
    if (!real)
        *next = real = find_linked(name);
    int answer = refusal(kind_of(name));
    return answer != 0 ? answer : real ? real(GIVEN) : CE_CUDA_NO_DEVICE;
}

#define LINKED(name)                                                                               \
    __attribute__((visibility("default"))) int name(WORDS);                                        \
    int name(WORDS)                                                                                \
    {                                                                                              \
        static _Atomic(call *) next;                                                               \
        return through_linked(&next, #name, GIVEN);                                                \
    }
LINKED(cuInit)
LINKED(cuDeviceGetCount)
LINKED(cuDeviceGet)
LINKED(cuDeviceGetName)
LINKED(cuDeviceGetAttribute)
LINKED(cuDevicePrimaryCtxRetain)
LINKED(cuCtxCreate_v2)
LINKED(cuCtxSetCurrent)
LINKED(cuCtxSynchronize)
LINKED(cuMemGetInfo_v2)
LINKED(cuMemAlloc_v2)
LINKED(cuMemAllocAsync)
LINKED(cuMemAllocManaged)
LINKED(cuMemCreate)
LINKED(cuMemHostAlloc)
LINKED(cuMemcpyHtoD_v2)
LINKED(cuMemcpyDtoH_v2)
LINKED(cuMemcpyHtoDAsync_v2)
LINKED(cuMemcpyDtoHAsync_v2)
LINKED(cuModuleLoadData)
LINKED(cuLaunchKernel)
LINKED(cuLaunchKernelEx)
LINKED(cuStreamCreate)
LINKED(cuStreamSynchronize)
LINKED(nvmlInit_v2)
LINKED(nvmlInitWithFlags)
LINKED(nvmlDeviceGetCount_v2)
LINKED(nvmlDeviceGetHandleByIndex_v2)

/* ---- dlsym ---- */

static bool is_ours(void *function)
{
    Dl_info info, here;
    return dladdr(function, &info) != 0 && dladdr((void *)&page, &here) != 0 &&
           info.dli_fbase == here.dli_fbase;
}

/* Whether something else is to be given out than what dlsym() finds: *ret_instead, which may be
 * NULL. */
static bool instead_of(void *handle, const char *name, void **ret_instead)
{
    if (handle == RTLD_NEXT || !name || !(begins(name, "cu") || begins(name, "nvml")))
        return false;
    void *found = real_dlsym(handle, name);
    void *real = found && is_ours(found) ? real_dlsym(RTLD_NEXT, name) : found;
    *ret_instead = real;
    if (page && real && is_the_drivers(real)) {
        int kind = kind_of(name);
        void *door = kind != 0 ? door_to(real, kind) : NULL;
        if (begins(name, "cuGetProcAddress"))
            *ret_instead = address_giver(name, real);
        else if (door)
            *ret_instead = door;
    }
    return *ret_instead != found;
}

static void find_dlsym(void)
{
    static const char *const versions[] = {"GLIBC_2.34", "GLIBC_2.2.5", "GLIBC_2.17", "GLIBC_2.27",
                                           "GLIBC_2.36"};
    for (size_t n = 0; !real_dlsym && n < sizeof versions / sizeof versions[0]; n++)
        real_dlsym = (dlsym_call *)dlvsym(RTLD_NEXT, "dlsym", versions[n]);
}

#if defined(__clang__)
#define TAIL __attribute__((musttail))
#else
#define TAIL /* this file is built with -O2, and then it is one */
#endif

/* The C library tells by the return address who asks, and what is next (RTLD_NEXT) for it: so this
 * must not call, but go on to, the real one. */
__attribute__((visibility("default"))) void *dlsym(void *handle, const char *name)
{
    if (!real_dlsym)
        find_dlsym();
    void *instead;
    if (instead_of(handle, name, &instead))
        return instead;
    TAIL return real_dlsym(handle, name);
}

__attribute__((constructor)) static void load(void)
{
    find_dlsym();
    page = ce_preload_page();
}
