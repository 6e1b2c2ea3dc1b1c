/* SPDX-License-Identifier: MIT */
/* Leaks memory inside the process that loads it (LD_PRELOAD), while it is told to.
 *
 * A thread waits at the FIFO $CHAOSEATER_HELPERS/leak.PID for orders (host/leak_order.h). When the
 * FIFO's last writer closes it, in whatever way that process ended, everything leaked is given
 * back: there is nothing else to undo. Until somebody writes, the thread sleeps.
 *
 * Pages are taken by mmap() and written to, so they are resident and no allocator of the process
 * knows of them: its own memory, its own limits, its own out-of-memory kill. Children get no copy:
 * who would give it back? */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "host/leak_order.h"

enum { TICK_MS = 100 };

struct chunk {
    struct chunk *before;
    size_t size;
};

struct leak {
    char path[4096];
    struct chunk *newest;
    struct ce_leak_order order;
    uint64_t held;
    double due; /* bytes that should have leaked and have not */
    struct timespec looked;
};

static double seconds_since(const struct timespec *then)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - then->tv_sec) + (double)(now.tv_nsec - then->tv_nsec) / 1e9;
}

static void give_back(struct leak *leak)
{
    struct chunk *chunk;
    while ((chunk = leak->newest)) {
        leak->newest = chunk->before;
        (void)munmap(chunk, chunk->size);
    }
    leak->held = 0;
    leak->order = (struct ce_leak_order){0};
}

static void take(struct leak *leak, uint64_t size)
{
    size = size / CE_LEAK_PIECE * CE_LEAK_PIECE;
    if (size == 0)
        return;
    struct chunk *chunk =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (chunk == MAP_FAILED)
        return; /* the limits of the process are reached: it is the process that suffers now */
    (void)madvise(chunk, size, MADV_DONTFORK);
    memset(chunk, 0xce, size);
    chunk->before = leak->newest;
    chunk->size = size;
    leak->newest = chunk;
    leak->held += size;
    leak->due -= (double)size;
}

/* The kernel's MemAvailable; 0 when it cannot be told. */
static uint64_t available(void)
{
    char text[512];
    int fd = open("/proc/meminfo", O_RDONLY | O_CLOEXEC);
    ssize_t size = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
    if (fd >= 0)
        (void)close(fd);
    text[size > 0 ? size : 0] = '\0';
    const char *line = strstr(text, "MemAvailable:");
    return line ? strtoull(line + strlen("MemAvailable:"), NULL, 10) * 1024 : 0;
}

static uint64_t above(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

static void tick(struct leak *leak)
{
    if (leak->order.per_second == 0)
        return;
    leak->due += (double)leak->order.per_second * seconds_since(&leak->looked);
    (void)clock_gettime(CLOCK_MONOTONIC, &leak->looked);
    double left = (double)above(leak->order.limit, leak->held),
           room = (double)above(available(), leak->order.floor);
    if (leak->due > left)
        leak->due = left;
    if (leak->due > room)
        leak->due = room;
    take(leak, (uint64_t)leak->due);
}

static void obey(struct leak *leak, const struct ce_leak_order *order)
{
    leak->order = *order;
    leak->due = 0;
    (void)clock_gettime(CLOCK_MONOTONIC, &leak->looked);
}

/* Until the last writer has gone. */
static void serve(struct leak *leak, int fifo)
{
    for (;;) {
        struct pollfd waits = {.fd = fifo, .events = POLLIN};
        int n = poll(&waits, 1, leak->order.per_second > 0 ? TICK_MS : -1);
        tick(leak);
        if (n <= 0)
            continue;
        struct ce_leak_order orders[64];
        ssize_t size = read(fifo, orders, sizeof orders);
        if (size < (ssize_t)sizeof *orders)
            return;
        obey(leak, &orders[(size_t)size / sizeof *orders - 1]);
    }
}

static void *run(void *arg)
{
    struct leak *leak = arg;
    (void)prctl(PR_SET_NAME, "ce-leak");
    for (;;) {
        int fifo = open(leak->path, O_RDONLY | O_CLOEXEC); /* sleeps until somebody writes */
        if (fifo < 0 && errno == EINTR)
            continue;
        if (fifo < 0)
            break;
        serve(leak, fifo);
        (void)close(fifo); /* first, so that nobody gives orders that are not heard */
        give_back(leak);
    }
    free(leak);
    return NULL;
}

static void begin(void)
{
    const char *folder = getenv("CHAOSEATER_HELPERS");
    struct leak *leak = folder ? calloc(1, sizeof *leak) : NULL;
    if (!leak)
        return;
    int size = snprintf(leak->path, sizeof leak->path, "%s/leak.%d", folder, (int)getpid());
    pthread_t thread;
    sigset_t all, before;
    sigfillset(&all);
    if (size >= (int)sizeof leak->path || (mkfifo(leak->path, 0600) < 0 && errno != EEXIST)) {
        free(leak);
        return;
    }
    /* Signals are for the threads of the program. */
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    if (pthread_create(&thread, NULL, run, leak) == 0)
        (void)pthread_detach(thread);
    else
        free(leak);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
}

__attribute__((constructor)) static void load(void)
{
    begin();
    /* Servers fork their workers without executing anything: each has its own leak. */
    (void)pthread_atfork(NULL, NULL, begin);
}
