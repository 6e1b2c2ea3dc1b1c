/* SPDX-License-Identifier: MIT */
/* Tells another time inside the process that loads it (LD_PRELOAD), while it is told to.
 *
 * Reading a clock adds the skew. A wait until a point in time takes it off again, or nobody who
 * says "a second from now" would wait for a second. A skew that comes or goes between a reading and
 * the wait that follows from it must neither make that wait return at once for ever nor let it last
 * for as long as the skew: so each thread remembers for a while by what it was told the time
 * before.
 *
 * What asks the kernel by itself (statically linked programs, Go) is not reached. Waits for a
 * length of time, and timers of timer_create(), are left alone. */
#include <dlfcn.h>
#include <linux/futex.h>
#include <mqueue.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdarg.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <threads.h>
#include <time.h>

#include "pipeline/preload/page.h"

#define EXPORT       __attribute__((visibility("default")))
#define SECOND       INT64_C(1000000000)
#define MEMORY       (10 * SECOND) /* for how long what was before may still matter */
#define INITIAL_EXEC __attribute__((tls_model("initial-exec")))

static struct ce_helper_page *page;

/* The function of that name which stands behind ours. */
#define NEXT(name)                                                                                 \
    static __typeof__(name) *_Atomic next;                                                         \
    if (!next)                                                                                     \
    next = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

/* ---- how far a clock is off ---- */

static int real_clock(clockid_t id, struct timespec *ret_time)
{
    NEXT(clock_gettime);
    return next(id, ret_time);
}

static int64_t nanoseconds(const struct timespec *time)
{
    return time->tv_sec * SECOND + time->tv_nsec;
}

static int64_t real_now(clockid_t id)
{
    struct timespec now = {0};
    (void)real_clock(id, &now);
    return nanoseconds(&now);
}

static struct timespec timespec_of(int64_t ns)
{
    struct timespec time = {.tv_sec = ns / SECOND, .tv_nsec = ns % SECOND};
    if (time.tv_nsec < 0) {
        time.tv_sec--;
        time.tv_nsec += SECOND;
    }
    return time;
}

/* Clocks of processor time are nobody's to skew: 0. */
static unsigned which_clock(clockid_t id)
{
    switch (id) {
    case CLOCK_REALTIME:
    case CLOCK_REALTIME_COARSE:
    case CLOCK_REALTIME_ALARM:
    case CLOCK_TAI:
        return CE_CLOCK_REALTIME;
    case CLOCK_MONOTONIC:
    case CLOCK_MONOTONIC_RAW:
    case CLOCK_MONOTONIC_COARSE:
    case CLOCK_BOOTTIME:
    case CLOCK_BOOTTIME_ALARM:
        return CE_CLOCK_MONOTONIC;
    default:
        return 0;
    }
}

/* What a clock is told by: the skew, how fast it grows, and the number of the order, 0 for none. */
struct telling {
    bool ever;
    uint32_t order;
    int64_t skew, drift;
};
struct tellings {
    struct telling now, before;
    int64_t changed; /* CLOCK_MONOTONIC as it is */
};
static _Thread_local struct tellings told[2] INITIAL_EXEC;

static struct telling telling_now(unsigned clock)
{
    struct ce_clock_skew skew;
    struct telling telling = {.ever = true};
    if (!ce_helper_clock_order(page, &skew) || !(skew.clocks & clock))
        return telling;
    telling.order = atomic_load_explicit(&page->clock, memory_order_relaxed);
    telling.drift = skew.drift;
    telling.skew =
        skew.drift == 0 ? skew.offset : ce_clock_skew_at(&skew, real_now(CLOCK_MONOTONIC));
    return telling;
}

static const struct tellings *look(unsigned clock)
{
    struct tellings *tellings = &told[clock == CE_CLOCK_MONOTONIC];
    struct telling now = telling_now(clock);
    if (tellings->now.ever && tellings->now.order != now.order) {
        tellings->before = tellings->now;
        tellings->changed = real_now(CLOCK_MONOTONIC);
    }
    tellings->now = now;
    return tellings;
}

/* What to add to a reading. */
static int64_t tell(clockid_t id)
{
    unsigned clock = page ? which_clock(id) : 0;
    if (clock == 0)
        return 0;
    const struct telling *now = &look(clock)->now;
    if (now->order != 0)
        atomic_fetch_add_explicit(&page->clock_answers, 1, memory_order_relaxed);
    return now->skew;
}

static void tell_time(clockid_t id, struct timespec *time)
{
    int64_t skew = tell(id);
    if (skew != 0)
        *time = timespec_of(nanoseconds(time) + skew);
}

/* ---- reading a clock ---- */

EXPORT int clock_gettime(clockid_t id, struct timespec *time)
{
    int r = real_clock(id, time);
    if (r == 0)
        tell_time(id, time);
    return r;
}

EXPORT int gettimeofday(struct timeval *restrict time, void *restrict zone)
{
    NEXT(gettimeofday);
    int r = next(time, zone);
    const void *given = time;
    __asm__("" : "+r"(given)); /* declared never to be NULL, which it is for some all the same */
    if (r == 0 && given) {
        struct timespec told_time = {.tv_sec = time->tv_sec, .tv_nsec = time->tv_usec * 1000};
        tell_time(CLOCK_REALTIME, &told_time);
        *time = (struct timeval){.tv_sec = told_time.tv_sec, .tv_usec = told_time.tv_nsec / 1000};
    }
    return r;
}

EXPORT time_t time(time_t *ret_time)
{
    struct timespec now = {0};
    (void)clock_gettime(CLOCK_REALTIME, &now);
    if (ret_time)
        *ret_time = now.tv_sec;
    return now.tv_sec;
}

EXPORT int timespec_get(struct timespec *time, int base)
{
    NEXT(timespec_get);
    int r = next(time, base);
    if (r == TIME_UTC)
        tell_time(CLOCK_REALTIME, time);
    return r;
}

/* ---- waiting until a point in time ---- */

static int64_t distance(int64_t a, int64_t b)
{
    return a > b ? a - b : b - a;
}

/* The telling that a deadline was made by: what holds, or, if that has just begun, perhaps what was
 * before; the one that puts it nearer. */
static const struct telling *made_by(unsigned clock, int64_t deadline, int64_t now)
{
    const struct tellings *by = look(clock);
    bool may_be_old =
        by->before.ever && real_now(CLOCK_MONOTONIC) - by->changed < MEMORY &&
        distance(deadline - by->before.skew, now) < distance(deadline - by->now.skew, now);
    return may_be_old ? &by->before : &by->now;
}

/* The same point in real time; what is no time stays as it is. */
static const struct timespec *in_real_time(clockid_t id, const struct timespec *deadline,
                                           struct timespec *room)
{
    unsigned clock = page ? which_clock(id) : 0;
    if (clock == 0 || !deadline || deadline->tv_nsec < 0 || deadline->tv_nsec >= SECOND ||
        deadline->tv_sec > INT64_MAX / SECOND - 1 || deadline->tv_sec < 0 ||
        atomic_load_explicit(&page->clock_orders, memory_order_relaxed) == 0)
        return deadline;
    int64_t now = real_now(id), at = nanoseconds(deadline);
    const struct telling *by = made_by(clock, at, now);
    int64_t left = at - by->skew - now;
    if (by->drift != 0)
        left = (int64_t)((double)left / (1 + (double)by->drift / 1e9));
    int64_t real = now + left;
    *room = timespec_of(real > 0 ? real : 0);
    return room;
}

EXPORT int clock_nanosleep(clockid_t id, int flags, const struct timespec *length,
                           struct timespec *left)
{
    NEXT(clock_nanosleep);
    struct timespec room;
    return next(id, flags, flags & TIMER_ABSTIME ? in_real_time(id, length, &room) : length, left);
}

/* Which clock a timer goes by stands in its file in /proc. */
static clockid_t clock_of_timer(int fd)
{
    char path[64], text[512];
    int id = -1;
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
    int info = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = info >= 0 ? read(info, text, sizeof text - 1) : -1;
    if (info >= 0)
        (void)close(info);
    text[size > 0 ? size : 0] = '\0';
    const char *line = strstr(text, "clockid:");
    if (line)
        (void)sscanf(line, "clockid: %d", &id);
    return id;
}

/* One that repeats goes on by itself. */
EXPORT int timerfd_settime(int fd, int flags, const struct itimerspec *value,
                           struct itimerspec *old)
{
    NEXT(timerfd_settime);
    bool is_set = value && (value->it_value.tv_sec != 0 || value->it_value.tv_nsec != 0);
    if (!(flags & TFD_TIMER_ABSTIME) || !is_set || !page || page->clock_orders == 0)
        return next(fd, flags, value, old);
    int before = errno;
    struct itimerspec real = *value;
    struct timespec room;
    real.it_value = *in_real_time(clock_of_timer(fd), &value->it_value, &room);
    if (real.it_value.tv_sec == 0 && real.it_value.tv_nsec == 0)
        real.it_value.tv_nsec = 1; /* long past, and not "never" */
    errno = before;
    return next(fd, flags, &real, old);
}

/* Whatever waits until `deadline` by `clock`, which is written as in_time where it goes on. */
#define WAITS(result, name, clock, params, args)                                                   \
    EXPORT result name params                                                                      \
    {                                                                                              \
        NEXT(name);                                                                                \
        struct timespec room;                                                                      \
        const struct timespec *in_time = in_real_time(clock, deadline, &room);                     \
        return next args;                                                                          \
    }
#define UNTIL const struct timespec *restrict deadline

/* The C library keeps the clock of a condition there since version 2.25. */
static clockid_t clock_of_condition(const pthread_cond_t *condition)
{
    return condition->__data.__wrefs & 2 ? CLOCK_MONOTONIC : CLOCK_REALTIME;
}

WAITS(int, pthread_cond_timedwait, clock_of_condition(condition),
      (pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex, UNTIL),
      (condition, mutex, in_time))
WAITS(int, pthread_cond_clockwait, id,
      (pthread_cond_t * condition, pthread_mutex_t *mutex, clockid_t id,
       const struct timespec *deadline),
      (condition, mutex, id, in_time))
WAITS(int, pthread_mutex_timedlock, CLOCK_REALTIME, (pthread_mutex_t *restrict mutex, UNTIL),
      (mutex, in_time))
WAITS(int, pthread_mutex_clocklock, id, (pthread_mutex_t *restrict mutex, clockid_t id, UNTIL),
      (mutex, id, in_time))
WAITS(int, pthread_rwlock_timedrdlock, CLOCK_REALTIME, (pthread_rwlock_t *restrict lock, UNTIL),
      (lock, in_time))
WAITS(int, pthread_rwlock_timedwrlock, CLOCK_REALTIME, (pthread_rwlock_t *restrict lock, UNTIL),
      (lock, in_time))
WAITS(int, pthread_rwlock_clockrdlock, id, (pthread_rwlock_t *restrict lock, clockid_t id, UNTIL),
      (lock, id, in_time))
WAITS(int, pthread_rwlock_clockwrlock, id, (pthread_rwlock_t *restrict lock, clockid_t id, UNTIL),
      (lock, id, in_time))
WAITS(int, pthread_timedjoin_np, CLOCK_REALTIME,
      (pthread_t thread, void **value, const struct timespec *deadline), (thread, value, in_time))
WAITS(int, pthread_clockjoin_np, id,
      (pthread_t thread, void **value, clockid_t id, const struct timespec *deadline),
      (thread, value, id, in_time))
WAITS(int, sem_timedwait, CLOCK_REALTIME, (sem_t *restrict semaphore, UNTIL), (semaphore, in_time))
WAITS(int, sem_clockwait, id, (sem_t *restrict semaphore, clockid_t id, UNTIL),
      (semaphore, id, in_time))
WAITS(int, cnd_timedwait, CLOCK_REALTIME, (cnd_t *restrict condition, mtx_t *restrict mutex, UNTIL),
      (condition, mutex, in_time))
WAITS(int, mtx_timedlock, CLOCK_REALTIME, (mtx_t *restrict mutex, UNTIL), (mutex, in_time))
WAITS(int, mq_timedsend, CLOCK_REALTIME,
      (mqd_t queue, const char *message, size_t size, unsigned priority,
       const struct timespec *deadline),
      (queue, message, size, priority, in_time))
WAITS(ssize_t, mq_timedreceive, CLOCK_REALTIME,
      (mqd_t queue, char *restrict message, size_t size, unsigned *restrict ret_priority, UNTIL),
      (queue, message, size, ret_priority, in_time))

/* ---- by number ---- */

/* Languages that bring locks of their own wait on a futex by syscall(). */
static bool waits_until(long operation)
{
    long command = operation & FUTEX_CMD_MASK;
    return command == FUTEX_WAIT_BITSET || command == FUTEX_WAIT_REQUEUE_PI ||
           command == FUTEX_LOCK_PI;
}

EXPORT long syscall(long number, ...)
{
    NEXT(syscall);
    long words[6];
    struct timespec room;
    va_list list;
    va_start(list, number);
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        words[i] = va_arg(list, long);
    va_end(list);
    if (number == SYS_futex && waits_until(words[1])) {
        bool realtime =
            words[1] & FUTEX_CLOCK_REALTIME || (words[1] & FUTEX_CMD_MASK) == FUTEX_LOCK_PI;
        words[3] = (long)in_real_time(realtime ? CLOCK_REALTIME : CLOCK_MONOTONIC,
                                      (const struct timespec *)words[3], &room);
    }
    long r = next(number, words[0], words[1], words[2], words[3], words[4], words[5]);
    if (number == SYS_clock_gettime && r == 0)
        tell_time((clockid_t)words[0], (struct timespec *)words[1]);
    return r;
}

__attribute__((constructor)) static void load(void)
{
    page = ce_preload_page();
}
