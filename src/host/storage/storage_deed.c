/* SPDX-License-Identifier: MIT */
#include "host/storage/storage_deed.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"

/* Who comes late may catch up by that much: else each late wake-up would lower the rate for ever.
 */
static const int64_t credit = 20 * CE_MILLISECOND;

static const struct {
    const char *name;
    int error;
} errors[] = {
    {"EIO", EIO},       {"ENOSPC", ENOSPC},       {"EROFS", EROFS},     {"EDQUOT", EDQUOT},
    {"EACCES", EACCES}, {"EPERM", EPERM},         {"EAGAIN", EAGAIN},   {"EINTR", EINTR},
    {"EBADF", EBADF},   {"EBUSY", EBUSY},         {"EFBIG", EFBIG},     {"EINVAL", EINVAL},
    {"ENODEV", ENODEV}, {"ENOMEM", ENOMEM},       {"ENXIO", ENXIO},     {"EREMOTEIO", EREMOTEIO},
    {"ESTALE", ESTALE}, {"ETIMEDOUT", ETIMEDOUT}, {"EUCLEAN", EUCLEAN},
};

int ce_storage_error_parse(const char *name, int *ret_error, struct ce_error *err)
{
    char all[256] = "";
    for (size_t i = 0; i < CE_COUNT(errors); i++) {
        if (strcmp(name, errors[i].name) == 0) {
            *ret_error = errors[i].error;
            return 0;
        }
        size_t n = strlen(all);
        snprintf(all + n, sizeof all - n, "%s%s", i > 0 ? ", " : "", errors[i].name);
    }
    return ce_fail(err, EINVAL, "'%s' is not one of %s", name, all);
}

const char *ce_storage_error_name(int error)
{
    for (size_t i = 0; i < CE_COUNT(errors); i++)
        if (errors[i].error == error)
            return errors[i].name;
    return NULL;
}

struct ce_storage_deed ce_storage_deed_scaled(const struct ce_storage_deed *deed, double intensity)
{
    struct ce_storage_deed scaled = *deed;
    scaled.iops = intensity > 0 ? deed->iops / intensity : 0;
    scaled.bytes_per_second = intensity > 0 ? deed->bytes_per_second / intensity : 0;
    scaled.latency = (int64_t)((double)deed->latency * intensity);
    scaled.error_rate = deed->error_rate * intensity;
    scaled.full = deed->full * intensity;
    return scaled;
}

static bool is_slow(const struct ce_storage_deed *deed)
{
    return deed->operations != 0 && (deed->iops > 0 || deed->bytes_per_second > 0 ||
                                     deed->latency > 0 || deed->error_rate > 0);
}

bool ce_storage_deed_is_idle(const struct ce_storage_deed *deed)
{
    return !is_slow(deed) && deed->full <= 0;
}

bool ce_storage_needs_room_in(const struct stat *file, off_t offset, uint64_t size)
{
    return S_ISREG(file->st_mode) &&
           (offset < 0 || (uint64_t)offset + size > (uint64_t)file->st_size ||
            (int64_t)file->st_blocks * 512 < (int64_t)file->st_size);
}

bool ce_storage_needs_room(int fd, off_t offset, uint64_t size)
{
    struct stat st;
    return fstat(fd, &st) == 0 && ce_storage_needs_room_in(&st, offset, size);
}

/* ---- the gate ---- */

static const char *const kind_names[CE_STORAGE_KINDS] = {"read", "write", "fsync"};

static void lock(struct ce_storage_gate *gate)
{
    /* Figures that somebody left half-way are still figures. */
    if (pthread_mutex_lock(&gate->lock) == EOWNERDEAD)
        (void)pthread_mutex_consistent(&gate->lock);
}

static void unlock(struct ce_storage_gate *gate)
{
    (void)pthread_mutex_unlock(&gate->lock);
}

static void begin(struct ce_storage_gate *gate, const struct ce_storage_deed *deed)
{
    gate->deed = *deed;
    for (size_t i = 0; i < CE_STORAGE_KINDS; i++) {
        gate->draws[i] = ce_stream_init(deed->seed, "storage/error", kind_names[i]);
        gate->kinds[i] = (struct ce_storage_kind_state){0};
    }
    gate->room_draws = ce_stream_init(deed->seed, "storage/full", "write");
    gate->room_number = 0;
    gate->counts = (struct ce_storage_counts){0};
}

void ce_storage_gate_init(struct ce_storage_gate *gate, const struct ce_storage_deed *deed)
{
    (void)pthread_mutex_init(&gate->lock, NULL);
    begin(gate, deed);
}

void ce_storage_gate_init_shared(struct ce_storage_gate *gate)
{
    pthread_mutexattr_t shared;
    (void)pthread_mutexattr_init(&shared);
    (void)pthread_mutexattr_setpshared(&shared, PTHREAD_PROCESS_SHARED);
    (void)pthread_mutexattr_setrobust(&shared, PTHREAD_MUTEX_ROBUST);
    (void)pthread_mutex_init(&gate->lock, &shared);
    (void)pthread_mutexattr_destroy(&shared);
    begin(gate, &(struct ce_storage_deed){0});
}

void ce_storage_gate_renew(struct ce_storage_gate *gate, const struct ce_storage_deed *deed)
{
    lock(gate);
    begin(gate, deed);
    unlock(gate);
}

void ce_storage_gate_set(struct ce_storage_gate *gate, const struct ce_storage_deed *deed)
{
    lock(gate);
    gate->deed = *deed;
    for (size_t i = 0; i < CE_STORAGE_KINDS; i++)
        gate->kinds[i].next_turn = gate->kinds[i].next_bytes = 0;
    unlock(gate);
}

/* When an operation that takes so much of a limit's time has its turn; the next one comes after. */
static int64_t take_turn(int64_t *next, double seconds, int64_t now)
{
    int64_t turn = *next > now - credit ? *next : now - credit;
    *next = turn + (int64_t)(seconds * (double)CE_SECOND);
    return turn;
}

static struct ce_storage_verdict decide(struct ce_storage_gate *gate, size_t kind, uint64_t bytes,
                                        int64_t now)
{
    const struct ce_storage_deed *deed = &gate->deed;
    struct ce_storage_kind_state *state = &gate->kinds[kind];
    struct ce_storage_verdict verdict = {.until = now + deed->latency};
    uint64_t number = state->number++;
    if (deed->iops > 0) {
        int64_t turn = take_turn(&state->next_turn, 1 / deed->iops, now);
        verdict.until = turn > verdict.until ? turn : verdict.until;
    }
    if (deed->bytes_per_second > 0) {
        int64_t turn = take_turn(&state->next_bytes, (double)bytes / deed->bytes_per_second, now);
        verdict.until = turn > verdict.until ? turn : verdict.until;
    }
    if (deed->error_rate > 0 && ce_stream_uniform(&gate->draws[kind], number) < deed->error_rate)
        verdict.error = deed->error;
    return verdict;
}

struct ce_storage_verdict ce_storage_gate_pass(struct ce_storage_gate *gate, unsigned kind,
                                               uint64_t bytes, bool needs_room, int64_t now)
{
    struct ce_storage_verdict verdict = {.until = now};
    lock(gate);
    const struct ce_storage_deed *deed = &gate->deed;
    size_t index = kind == CE_STORAGE_READ ? 0 : kind == CE_STORAGE_WRITE ? 1 : 2;
    bool meant =
        (deed->operations & kind && is_slow(deed)) || (deed->full > 0 && kind == CE_STORAGE_WRITE);
    if (deed->operations & kind)
        verdict = decide(gate, index, bytes, now);
    if (verdict.error == 0 && deed->full > 0 && kind == CE_STORAGE_WRITE && needs_room &&
        ce_stream_uniform(&gate->room_draws, gate->room_number++) < deed->full)
        verdict.error = deed->full_error;
    gate->counts.seen += meant;
    gate->counts.failed += verdict.error != 0;
    gate->counts.held += verdict.error == 0 && verdict.until > now;
    unlock(gate);
    return verdict;
}

double ce_storage_gate_full(struct ce_storage_gate *gate)
{
    lock(gate);
    double full = gate->deed.full;
    unlock(gate);
    return full;
}

struct ce_storage_counts ce_storage_gate_counts(struct ce_storage_gate *gate)
{
    lock(gate);
    struct ce_storage_counts counts = gate->counts;
    unlock(gate);
    return counts;
}
