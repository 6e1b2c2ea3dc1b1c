/* SPDX-License-Identifier: MIT */
#include "host/storage/porter.h"

#include <fcntl.h>
#include <inttypes.h>
#include <linux/falloc.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "host/storage/door.h"

/* Of a later kernel than some headers: who asks and who answers take turns on one processor. */
#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, __u64)
#endif
#ifndef SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP (1UL << 0)
#endif

/* More than that wait in the kernel. */
enum { SLOTS = 512, SLOT_SIZE = 256 };
/* How soon it is noticed that the order is another, while calls wait. */
static const int64_t look_again = 10 * CE_MILLISECOND;

/* The kernel writes a call into one; so there is no moment at which a call has been taken and the
 * substitute cannot see it. A later kernel may write more than what we know. */
union slot {
    struct seccomp_notif call;
    char room[SLOT_SIZE];
};

struct waiting {
    size_t slot;
    int64_t until;
    int error;
};

struct porter {
    struct ce_door_page *page;
    int listener;
    bool passes; /* the first one was killed: let all pass */
    uint32_t orders;

    union slot *slots; /* shared with the substitute; id 0: free */
    struct waiting waiting[SLOTS];
    size_t waiting_count;

    bool has_substitute;
    pid_t substitute;
    int channel; /* to the substitute; -1: none */
};

/* ---- answers ---- */

static void answer(const struct porter *porter, size_t slot, int error)
{
    union {
        struct seccomp_notif_resp answer;
        char room[SLOT_SIZE];
    } out = {.answer = {.id = porter->slots[slot].call.id, .error = -error}};
    if (error == 0)
        out.answer.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
    /* Who has ended meanwhile needs no answer. */
    (void)ioctl(porter->listener, SECCOMP_IOCTL_NOTIF_SEND, &out);
    memset(&porter->slots[slot], 0, sizeof porter->slots[slot]);
}

static void answer_due(struct porter *porter, int64_t now)
{
    for (size_t i = 0; i < porter->waiting_count;) {
        const struct waiting *waiting = &porter->waiting[i];
        if (waiting->until > now) {
            i++;
            continue;
        }
        answer(porter, waiting->slot, waiting->error);
        porter->waiting[i] = porter->waiting[--porter->waiting_count];
    }
}

/* Another order holds: nobody waits any longer for what the old one said. */
static void heed_order(struct porter *porter)
{
    uint32_t orders = porter->page->orders;
    if (orders == porter->orders)
        return;
    porter->orders = orders;
    for (size_t i = 0; i < porter->waiting_count; i++) {
        porter->waiting[i].until = 0;
        if (!porter->page->armed)
            porter->waiting[i].error = 0;
    }
}

/* ---- what a call is about ---- */

struct operation {
    unsigned kind; /* CE_STORAGE_ bit; 0: the order is not about it */
    int fd;
    struct stat file;
};

static bool is_in_folder(const struct porter *porter, pid_t pid, int fd, struct stat *ret_stat)
{
    const char *folder = porter->page->folder;
    char path[64], target[PATH_MAX];
    snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)pid, fd);
    ssize_t n = readlink(path, target, sizeof target - 1);
    size_t size = strnlen(folder, PATH_MAX);
    if (n < (ssize_t)size || memcmp(target, folder, size) != 0)
        return false;
    target[n] = '\0';
    if (size > 1 && target[size] != '/' && target[size] != '\0')
        return false;
    return stat(path, ret_stat) == 0 &&
           (S_ISREG(ret_stat->st_mode) || S_ISDIR(ret_stat->st_mode) || S_ISBLK(ret_stat->st_mode));
}

static struct operation operation_of(const struct porter *porter, const struct seccomp_notif *call,
                                     const struct ce_door_call *what)
{
    struct operation operation = {0};
    for (size_t i = 0; i < CE_COUNT(what->files) && what->files[i].kind; i++) {
        operation.fd = (int)call->data.args[what->files[i].arg];
        operation.kind = what->files[i].kind;
        if (is_in_folder(porter, (pid_t)call->pid, operation.fd, &operation.file))
            return operation;
    }
    return (struct operation){0};
}

/* What it cannot tell counts as a block. */
static uint64_t vector_size(pid_t pid, uint64_t address, uint64_t count)
{
    enum { AT_ONCE = 64, BLOCK = 4096 };
    uint64_t sum = 0;
    while (count > 0) {
        struct iovec items[AT_ONCE];
        size_t n = count < AT_ONCE ? (size_t)count : AT_ONCE;
        struct iovec here = {items, n * sizeof items[0]};
        struct iovec there = {(void *)(uintptr_t)address, here.iov_len};
        if (process_vm_readv(pid, &here, 1, &there, 1, 0) != (ssize_t)here.iov_len)
            return sum > 0 ? sum : BLOCK;
        for (size_t i = 0; i < n; i++)
            sum += items[i].iov_len;
        address += here.iov_len;
        count -= n;
    }
    return sum;
}

static uint64_t size_of(const struct seccomp_notif *call, const struct ce_door_call *what)
{
    if (what->size < 0 || call->data.nr == __NR_fallocate)
        return 0;
    uint64_t size = call->data.args[what->size];
    return what->is_vector ? vector_size((pid_t)call->pid, call->data.args[1], size) : size;
}

/* -1: at its end, or it cannot be told. */
static int64_t own_position(pid_t pid, int fd)
{
    char path[64], text[128];
    int64_t position;
    unsigned flags;
    snprintf(path, sizeof path, "/proc/%d/fdinfo/%d", (int)pid, fd);
    ce_autofd int info = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = info < 0 ? -1 : read(info, text, sizeof text - 1);
    if (n <= 0)
        return -1;
    text[n] = '\0';
    if (sscanf(text, "pos: %" SCNd64 " flags: %o", &position, &flags) != 2 || flags & O_APPEND)
        return -1;
    return position;
}

static bool needs_room(const struct seccomp_notif *call, const struct ce_door_call *what,
                       const struct operation *operation, uint64_t size)
{
    if (operation->kind != CE_STORAGE_WRITE)
        return false;
    if (call->data.nr == __NR_fallocate) {
        if (call->data.args[1] & FALLOC_FL_PUNCH_HOLE)
            return false;
        size = call->data.args[what->size];
    }
    int64_t offset = -1;
    if (what->offset == CE_DOOR_OWN_POSITION)
        offset = own_position((pid_t)call->pid, operation->fd);
    else if (what->offset >= 0)
        offset = (int64_t)call->data.args[what->offset];
    return ce_storage_needs_room_in(&operation->file, offset, size);
}

static struct ce_storage_verdict judge(struct porter *porter, const struct seccomp_notif *call)
{
    const struct ce_storage_verdict pass = {0};
    struct ce_storage_gate *gate = &porter->page->gate;
    const struct ce_door_call *what = ce_door_find(call->data.nr);
    if (!what || !porter->page->armed)
        return pass;
    if (porter->passes) {
        porter->page->missed++;
        return pass;
    }
    struct operation operation = operation_of(porter, call, what);
    if (operation.kind == 0)
        return pass;
    uint64_t size = size_of(call, what);
    bool grows = ce_storage_gate_full(gate) > 0 && needs_room(call, what, &operation, size);
    /* What was read in /proc was somebody else's if the caller has ended. */
    if (ioctl(porter->listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &call->id) < 0)
        return pass;
    return ce_storage_gate_pass(gate, operation.kind, size, grows, ce_now());
}

/* ---- taking calls ---- */

static void take(struct porter *porter)
{
    size_t slot = 0;
    while (porter->slots[slot].call.id != 0)
        slot++;
    /* Who has ended since it asked is not there any more. */
    if (ioctl(porter->listener, SECCOMP_IOCTL_NOTIF_RECV, &porter->slots[slot]) < 0)
        return;
    heed_order(porter);
    struct ce_storage_verdict verdict = judge(porter, &porter->slots[slot].call);
    if (verdict.until <= ce_now())
        answer(porter, slot, verdict.error);
    else
        porter->waiting[porter->waiting_count++] =
            (struct waiting){slot, verdict.until, verdict.error};
}

/* ---- the substitute ---- */

/* Returns when there is no porter any more; a porter that ends says so before. */
static void stand_by(struct porter *porter)
{
    char word;
    ssize_t n;
    (void)prctl(PR_SET_NAME, "ce-substitute");
    do
        n = recv(porter->channel, &word, sizeof word, 0);
    while (n < 0 && errno == EINTR);
    if (n > 0)
        _exit(0);
    (void)close(ce_take_fd(porter->channel));
}

static void take_over(struct porter *porter)
{
    porter->passes = true;
    porter->waiting_count = 0;
    for (size_t slot = 0; slot < SLOTS; slot++)
        if (porter->slots[slot].call.id != 0) {
            porter->page->missed += porter->page->armed;
            answer(porter, slot, 0);
        }
}

/* Returns in the porter; and in the substitute when that has become the porter, with a substitute
 * of its own. */
static void find_substitute(struct porter *porter)
{
    for (;;) {
        int pair[2];
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
            return;
        pid_t pid = fork();
        porter->channel = pair[pid == 0];
        (void)close(pair[pid != 0]);
        if (pid < 0)
            (void)close(ce_take_fd(porter->channel));
        if (pid != 0) {
            porter->substitute = pid;
            return;
        }
        stand_by(porter);
        take_over(porter);
        (void)prctl(PR_SET_NAME, "ce-porter");
    }
}

static void lose_substitute(struct porter *porter)
{
    if (porter->channel < 0)
        return;
    (void)close(ce_take_fd(porter->channel));
    while (waitpid(porter->substitute, NULL, 0) < 0 && errno == EINTR)
        ;
}

/* ---- the porter ---- */

static int64_t time_left(const struct porter *porter, int64_t now)
{
    int64_t left = look_again;
    for (size_t i = 0; i < porter->waiting_count; i++)
        if (porter->waiting[i].until - now < left)
            left = porter->waiting[i].until - now;
    return left > 0 ? left : 0;
}

/* False: all who could ask have ended. */
static bool serve_once(struct porter *porter)
{
    struct pollfd polled[] = {
        {.fd = porter->waiting_count < SLOTS ? porter->listener : -1, .events = POLLIN},
        {.fd = porter->channel},
    };
    int64_t left = porter->waiting_count > 0 ? time_left(porter, ce_now()) : 0;
    struct timespec patience = {.tv_nsec = left};
    if (ppoll(polled, CE_COUNT(polled), porter->waiting_count > 0 ? &patience : NULL, NULL) < 0)
        return true;
    if (polled[1].revents) {
        lose_substitute(porter);
        find_substitute(porter);
        return true;
    }
    if (polled[0].revents & POLLIN)
        take(porter);
    else if (polled[0].revents)
        return false;
    heed_order(porter);
    if (porter->waiting_count > 0)
        answer_due(porter, ce_now());
    return true;
}

static int make_slots(struct porter *porter, struct ce_error *err)
{
    struct seccomp_notif_sizes sizes;
    if (syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes) < 0 ||
        sizes.seccomp_notif > SLOT_SIZE || sizes.seccomp_notif_resp > SLOT_SIZE)
        return ce_fail(err, ENOSYS, "this kernel asks in another way about system calls");
    porter->slots = mmap(NULL, SLOTS * sizeof porter->slots[0], PROT_READ | PROT_WRITE,
                         MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (porter->slots == MAP_FAILED)
        return ce_fail_memory(err);
    return 0;
}

int ce_porter_serve(struct ce_door_page *page, int listener, bool has_substitute,
                    struct ce_error *err)
{
    struct porter porter = {
        .page = page,
        .listener = listener,
        .orders = page->orders,
        .channel = -1,
    };
    CE_TRY(make_slots(&porter, err));
    (void)prctl(PR_SET_NAME, "ce-porter");
    (void)prctl(PR_SET_TIMERSLACK, 1);
    (void)ioctl(listener, SECCOMP_IOCTL_NOTIF_SET_FLAGS,
                (unsigned long)SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP);
    if (has_substitute)
        find_substitute(&porter);
    while (serve_once(&porter))
        ;
    if (porter.channel >= 0) {
        (void)send(porter.channel, "e", 1, MSG_NOSIGNAL);
        lose_substitute(&porter);
    }
    (void)munmap(porter.slots, SLOTS * sizeof porter.slots[0]);
    return 0;
}
