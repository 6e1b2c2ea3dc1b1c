/* SPDX-License-Identifier: MIT */
#include "host/hog.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/seam.h"
#include "base/spawn.h"
#include "host/process.h"

static const uint64_t chunk_size = 16 * CE_MIB;
enum { PIPE_FD = 3, FLOOR_CHECK_MS = 100, SILENCE_S = 20 };

struct request {
    bool resize; /* else only look */
    uint64_t bytes;
};
struct answer {
    struct ce_hog_size size;
    bool final; /* false: still growing */
};

/* ---- in the hog's process ---- */

/* At the start of each piece of memory, so that nothing else needs to be kept. */
struct chunk {
    struct chunk *next;
    uint64_t size;
    bool locked;
};
struct held {
    struct chunk *first;
    struct ce_hog_size size;
    uint64_t floor, unlocked;
};

/* Every page gets a word of its own, so that none is shared, or swapped out as a page of zeros. */
static void touch(struct chunk *chunk)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    for (uint64_t at = page; at < chunk->size; at += page)
        *(volatile uint64_t *)((char *)chunk + at) = (uintptr_t)chunk ^ at;
}

/* Not by mlock(): sanitizers make that a function that does nothing and succeeds. */
static bool lock_pages(const void *start, uint64_t size)
{
    return syscall(SYS_mlock, start, size) == 0;
}

static bool take_chunk(struct held *held, uint64_t size)
{
    if (ce_memory_available() < held->floor + size)
        return false;
    struct chunk *chunk =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (chunk == MAP_FAILED)
        return false;
    /* In huge pages the kernel gives memory back some twenty times faster when the hog is killed.
     */
    (void)madvise(chunk, size, MADV_HUGEPAGE);
    *chunk = (struct chunk){.next = held->first, .size = size, .locked = lock_pages(chunk, size)};
    touch(chunk);
    held->first = chunk;
    held->size.bytes += size;
    held->unlocked += !chunk->locked;
    held->size.locked = held->unlocked == 0;
    return true;
}

static void give_chunk(struct held *held)
{
    struct chunk *chunk = held->first;
    held->first = chunk->next;
    held->size.bytes -= chunk->size;
    held->unlocked -= !chunk->locked;
    held->size.locked = held->size.bytes > 0 && held->unlocked == 0;
    (void)munmap(chunk, chunk->size);
}

static void answer(const struct held *held, bool final)
{
    struct answer message = {.size = held->size, .final = final};
    (void)send(PIPE_FD, &message, sizeof message, MSG_NOSIGNAL);
}

static void resize(struct held *held, uint64_t bytes)
{
    while (held->size.bytes > bytes)
        give_chunk(held);
    held->size.limited = false;
    while (held->size.bytes < bytes && !held->size.limited) {
        uint64_t missing = bytes - held->size.bytes;
        held->size.limited = !take_chunk(held, missing < chunk_size ? missing : chunk_size);
        answer(held, false);
    }
}

static void keep_floor(struct held *held)
{
    while (held->first && ce_memory_available() < held->floor) {
        give_chunk(held);
        held->size.limited = true;
    }
}

static int hog_main(void *ctx)
{
    struct held held = {.floor = *(const uint64_t *)ctx};
    (void)prctl(PR_SET_NAME, "ce-hog");
    ce_autofd int oom = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (oom >= 0)
        (void)ce_write_all(oom, "1000", strlen("1000"));

    struct pollfd pollfd = {.fd = PIPE_FD, .events = POLLIN};
    for (int64_t touched = ce_now();;) {
        if (poll(&pollfd, 1, FLOOR_CHECK_MS) > 0) {
            struct request request;
            if (recv(PIPE_FD, &request, sizeof request, 0) <= 0)
                return 0; /* the controller has gone */
            if (request.resize)
                resize(&held, request.bytes);
            answer(&held, true);
        }
        keep_floor(&held);
        if (held.unlocked > 0 && ce_now() - touched > CE_SECOND) {
            for (struct chunk *chunk = held.first; chunk; chunk = chunk->next)
                touch(chunk);
            touched = ce_now();
        }
    }
}

/* ---- in the controller ---- */

struct ce_hog {
    struct ce_journal *journal;
    struct ce_process_id id;
    int pipe, note;
    uint64_t pretended; /* by the seam */
};

static void hog_free(struct ce_hog *hog)
{
    if (hog->pipe >= 0)
        (void)close(hog->pipe);
    free(hog);
}
CE_DEFINE_CLEANUP(struct ce_hog, hog_free);

int ce_hog_start(struct ce_journal *journal, uint64_t floor, struct ce_hog **ret_hog,
                 struct ce_error *err)
{
    CE_CLEANUP(hog_free_p) struct ce_hog *hog = calloc(1, sizeof *hog);
    if (!hog)
        return ce_fail_memory(err);
    hog->journal = journal;
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
        hog->pipe = -1;
        return ce_fail(err, errno, "cannot make a pipe to the memory process: %s", strerror(errno));
    }
    hog->pipe = pair[0];
    ce_autofd int its = pair[1];
    struct timeval silence = {.tv_sec = SILENCE_S};
    (void)setsockopt(hog->pipe, SOL_SOCKET, SO_RCVTIMEO, &silence, sizeof silence);

    struct ce_spawn how = {
        .function = hog_main,
        .ctx = &floor,
        .fds = {{its, PIPE_FD}},
        .fd_count = 1,
        .parent_death_signal = SIGKILL,
    };
    ce_autofd int gate = -1;
    CE_TRY(ce_spawn(&how, &hog->id, &gate, err));
    ce_seam_step("hog: waits");
    hog->note = ce_undo_note_process(journal, &hog->id, err);
    int r = hog->note < 0 ? hog->note : ce_spawn_go(ce_take_fd(gate), err);
    ce_seam_step("hog: runs");
    if (r < 0) {
        (void)ce_process_end(&hog->id, CE_SECOND, NULL);
        if (hog->note > 0)
            (void)ce_undo_settled(journal, hog->note, NULL);
        return r;
    }
    *ret_hog = ce_take(hog);
    return 0;
}

static int ask(struct ce_hog *hog, struct request request, struct ce_hog_size *ret_size,
               struct ce_error *err)
{
    struct answer answer = {.final = false};
    ssize_t n = send(hog->pipe, &request, sizeof request, MSG_NOSIGNAL);
    while (n > 0 && !answer.final) {
        n = recv(hog->pipe, &answer, sizeof answer, 0);
        if (n < 0 && errno == EINTR)
            n = 1;
    }
    if (n < 0 && errno == EAGAIN)
        return ce_fail(err, ETIMEDOUT, "the memory process %d does not answer", (int)hog->id.pid);
    if (n <= 0)
        return ce_fail(
            err, ESRCH,
            "the memory process %d has ended: the kernel may have taken it to free memory",
            (int)hog->id.pid);
    *ret_size = answer.size;
    return 0;
}

int ce_hog_resize(struct ce_hog *hog, uint64_t bytes, struct ce_hog_size *ret_size,
                  struct ce_error *err)
{
    if (ce_seam_no_effect()) {
        hog->pretended = bytes;
        return ce_hog_look(hog, ret_size, err);
    }
    int r = ask(hog, (struct request){.resize = true, .bytes = bytes}, ret_size, err);
    ce_seam_step("hog: resized");
    return r;
}

int ce_hog_look(struct ce_hog *hog, struct ce_hog_size *ret_size, struct ce_error *err)
{
    if (ce_seam_no_effect()) {
        *ret_size = (struct ce_hog_size){.bytes = hog->pretended, .locked = true};
        return 0;
    }
    return ask(hog, (struct request){.resize = false}, ret_size, err);
}

struct ce_process_id ce_hog_id(const struct ce_hog *hog)
{
    return hog->id;
}

int ce_hog_stop(struct ce_hog *hog, struct ce_error *err)
{
    if (!hog)
        return 0;
    int r = ce_undo_now(hog->journal, hog->note, err);
    hog_free(hog);
    return r;
}
