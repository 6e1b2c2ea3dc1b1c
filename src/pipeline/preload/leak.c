/* SPDX-License-Identifier: MIT */
/* Leaks memory inside the process that loads it (LD_PRELOAD), while it is told to.
 *
 * A thread waits at the FIFO $CHAOSEATER_LEAK/leak.PID for lines "BYTES_PER_SECOND LIMIT_BYTES".
 * When the FIFO's last writer closes it, in whatever way that process ended, everything leaked is
 * given back: there is nothing else to undo. Until somebody writes, the thread sleeps.
 *
 * Pages are taken by mmap() and written to, so they are resident and no allocator of the process
 * knows of them: its own memory, its own limits, its own out-of-memory kill. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { TICK_MS = 100, PAGE = 4096 };

struct chunk {
    struct chunk *before;
    size_t size;
};

struct leak {
    char path[4096];
    struct chunk *newest;
    uint64_t held, limit;
    double rate; /* bytes per second */
    double due;  /* bytes that should have leaked and have not */
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
    leak->rate = leak->due = 0;
}

static void take(struct leak *leak, size_t size)
{
    size = size / PAGE * PAGE;
    if (size == 0)
        return;
    struct chunk *chunk =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (chunk == MAP_FAILED)
        return; /* the limits of the process are reached: it is the process that suffers now */
    memset(chunk, 0xce, size);
    chunk->before = leak->newest;
    chunk->size = size;
    leak->newest = chunk;
    leak->held += size;
    leak->due -= (double)size;
}

static void tick(struct leak *leak)
{
    leak->due += leak->rate * seconds_since(&leak->looked);
    (void)clock_gettime(CLOCK_MONOTONIC, &leak->looked);
    uint64_t left = leak->limit > leak->held ? leak->limit - leak->held : 0;
    if (leak->due > (double)left)
        leak->due = (double)left;
    take(leak, (size_t)leak->due);
}

static void obey(struct leak *leak, const char *line)
{
    unsigned long long rate, limit;
    if (sscanf(line, "%llu %llu", &rate, &limit) != 2)
        return;
    leak->rate = (double)rate;
    leak->limit = limit;
    leak->due = 0;
    (void)clock_gettime(CLOCK_MONOTONIC, &leak->looked);
}

/* Until the last writer has gone. */
static void serve(struct leak *leak, int fifo)
{
    for (;;) {
        struct pollfd waits = {.fd = fifo, .events = POLLIN};
        int n = poll(&waits, 1, leak->rate > 0 ? TICK_MS : -1);
        if (n > 0) {
            char line[128];
            ssize_t size = read(fifo, line, sizeof line - 1);
            if (size <= 0)
                return;
            line[size] = '\0';
            obey(leak, line);
        }
        tick(leak);
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
        give_back(leak);
        (void)close(fifo);
    }
    free(leak);
    return NULL;
}

static void begin(void)
{
    const char *folder = getenv("CHAOSEATER_LEAK");
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
