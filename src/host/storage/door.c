/* SPDX-License-Identifier: MIT */
#include "host/storage/door.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "host/storage/storage_deed.h"

#if defined(__x86_64__)
#define MACHINE AUDIT_ARCH_X86_64
#elif defined(__aarch64__) && defined(__AARCH64EL__)
#define MACHINE AUDIT_ARCH_AARCH64
#else
#define MACHINE 0
#endif

/* Of a later kernel than some headers: who is being answered is interrupted by its end only, as
 * who waits for a disk is. */
#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif

#define READS  .files = {{CE_STORAGE_READ, 0}}
#define WRITES .files = {{CE_STORAGE_WRITE, 0}}
#define SYNCS  .files = {{CE_STORAGE_FSYNC, 0}}, .size = -1, .offset = CE_DOOR_NO_POSITION

static const struct ce_door_call calls[] = {
    {__NR_read, READS, .size = 2, .offset = CE_DOOR_OWN_POSITION},
    {__NR_pread64, READS, .size = 2, .offset = 3},
    {__NR_readv, READS, .size = 2, .is_vector = true, .offset = CE_DOOR_OWN_POSITION},
    {__NR_preadv, READS, .size = 2, .is_vector = true, .offset = 3},
    {__NR_preadv2, READS, .size = 2, .is_vector = true, .offset = 3},
    {__NR_write, WRITES, .size = 2, .offset = CE_DOOR_OWN_POSITION},
    {__NR_pwrite64, WRITES, .size = 2, .offset = 3},
    {__NR_writev, WRITES, .size = 2, .is_vector = true, .offset = CE_DOOR_OWN_POSITION},
    {__NR_pwritev, WRITES, .size = 2, .is_vector = true, .offset = 3},
    {__NR_pwritev2, WRITES, .size = 2, .is_vector = true, .offset = 3},
    {__NR_fallocate, WRITES, .size = 3, .offset = 2},
    {__NR_copy_file_range, .files = {{CE_STORAGE_WRITE, 2}, {CE_STORAGE_READ, 0}}, .size = 4,
     .offset = CE_DOOR_NO_POSITION},
    {__NR_splice, .files = {{CE_STORAGE_WRITE, 2}, {CE_STORAGE_READ, 0}}, .size = 4,
     .offset = CE_DOOR_NO_POSITION},
    {__NR_sendfile, .files = {{CE_STORAGE_WRITE, 0}, {CE_STORAGE_READ, 1}}, .size = 3,
     .offset = CE_DOOR_NO_POSITION},
    {__NR_fsync, SYNCS},
    {__NR_fdatasync, SYNCS},
    {__NR_sync_file_range, SYNCS},
    {__NR_syncfs, SYNCS},
};
enum { CALLS = sizeof calls / sizeof calls[0], AROUND = 5 };

const struct ce_door_call *ce_door_find(int number)
{
    for (size_t i = 0; i < CALLS; i++)
        if (calls[i].number == number)
            return &calls[i];
    return NULL;
}

/* Calls of another architecture (32 bits) have other numbers, and are let pass; so are those with
 * the x32 bit in theirs. */
static void write_filter(struct sock_filter filter[CALLS + AROUND])
{
    size_t n = 0;
    filter[n++] =
        (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch));
    filter[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, MACHINE, 0, CALLS + 1);
    filter[n++] =
        (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (size_t i = 0; i < CALLS; i++)
        filter[n++] = (struct sock_filter)BPF_JUMP(
            BPF_JMP | BPF_JEQ | BPF_K, (unsigned)calls[i].number, (unsigned char)(CALLS - i), 0);
    filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF);
}

static int install(const struct sock_fprog *program)
{
    unsigned long flags = SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
    long fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, program);
    if (fd < 0 && errno == EINVAL)
        fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER,
                     program);
    return (int)fd;
}

int ce_door_enter(int *ret_listener, struct ce_error *err)
{
    struct sock_filter filter[CALLS + AROUND];
    struct sock_fprog program = {.len = CALLS + AROUND, .filter = filter};
    if (MACHINE == 0)
        return ce_fail(err, ENOSYS, "system calls can be answered on x86-64 and arm64 only");
    write_filter(filter);
    int fd = install(&program);
    if (fd < 0 && errno == EACCES && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0)
        fd = install(&program);
    if (fd < 0)
        return ce_fail(err, errno, "the kernel lets nobody answer system calls: %s",
                       errno == EBUSY ? "somebody else answers them already" : strerror(errno));
    *ret_listener = fd;
    return 0;
}
