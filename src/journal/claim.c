/* SPDX-License-Identifier: MIT */
#include "journal/claim.h"

#include <fcntl.h>
#include <string.h>
#include <sys/file.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "journal/journal_internal.h"

static const int64_t lock_within = 10 * CE_SECOND;

/* A process may call itself anything. */
static json_t *readable(const char *name)
{
    json_t *text = json_string(name);
    ce_autofree char *ascii = text ? NULL : strdup(name);
    for (char *p = ascii; p && *p; p++)
        if ((unsigned char)*p >= 0x80)
            *p = '?';
    return text ? text : ascii ? json_string(ascii) : NULL;
}

/* NULL: no memory. */
static json_t *list_of(const struct ce_names *things)
{
    ce_autojson json_t *list = json_array();
    for (size_t i = 0; i < things->count; i++)
        if (json_array_append_new(list, readable(things->names[i])) < 0)
            return NULL;
    return ce_take(list);
}

/* What the first record of a journal says of it. NULL: no memory. */
static json_t *record_of(const struct ce_claim *claim)
{
    ce_autojson json_t *things = list_of(claim->things);
    return things ? json_pack("{s:O, s:o, s:s}", "claims", things, "experiment",
                              readable(claim->experiment), "fault", claim->fault)
                  : NULL;
}

/* The first one that both have; NULL: there is none. */
static const char *shared(const json_t *ours, const json_t *theirs)
{
    size_t i, k;
    const json_t *a, *b;
    json_array_foreach(ours, i, a)
        json_array_foreach(theirs, k, b) if (json_equal(a, b)) return json_string_value(a);
    return NULL;
}

static int check_one(struct ce_journal *journal, void *ctx, struct ce_error *err)
{
    const struct ce_replay *replay = &journal->replay;
    const json_t *ours = ctx;
    const char *fault = json_string_value(json_object_get(ours, "fault"));
    const char *both = shared(json_object_get(ours, "claims"), replay->claims);
    char thing[CE_TEXT_SHOWN_SIZE], who[CE_TEXT_SHOWN_SIZE];
    if (!both || !replay->fault || strcmp(replay->fault, fault) != 0)
        return 0;
    /* Looked at before the file, which goes first. */
    bool at_work =
        ce_journal_locked(journal, CE_LOCK_OWNER) || ce_journal_locked(journal, CE_LOCK_GUARD);
    if (ce_journal_gone(journal))
        return 0;
    ce_text_show(both, thing);
    ce_text_show(replay->experiment ? replay->experiment : replay->run, who);
    if (at_work)
        return ce_fail(err, EALREADY,
                       "%s is under %s by another run (%s, process %d): each would take the "
                       "other's effect for its own",
                       thing, fault, who, (int)replay->owner.pid);
    return ce_fail(
        err, EALREADY,
        "a run of %s on %s (%s) left something behind: `chaoseater recover` puts it back", fault,
        thing, who);
}

static int check(const char *state_dir, json_t *record, struct ce_error *err)
{
    return ce_journal_each(state_dir, NULL, check_one, record, err);
}

static bool is_none(const struct ce_claim *claim)
{
    return !claim->things || claim->things->count == 0;
}

/* Between looking and claiming nobody else does either. */
static int lock_folder(const char *path, int *ret_lock, struct ce_error *err)
{
    ce_autofd int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return ce_fail(err, errno, "cannot open folder '%s': %s", path, strerror(errno));
    for (int64_t until = ce_now() + lock_within; flock(fd, LOCK_EX | LOCK_NB) < 0;) {
        if (errno != EWOULDBLOCK || ce_now() >= until)
            return ce_fail(err, errno, "cannot lock folder '%s': %s", path, strerror(errno));
        ce_sleep_until(ce_now() + CE_MILLISECOND);
    }
    *ret_lock = ce_take_fd(fd);
    return 0;
}

int ce_journal_create_claiming(const char *state_dir, const char *run_id,
                               const struct ce_undo_op *const *ops, const struct ce_claim *claim,
                               struct ce_journal **ret_journal, struct ce_error *err)
{
    if (is_none(claim))
        return ce_journal_create(state_dir, run_id, ops, ret_journal, err);
    ce_autofree char *folder = ce_format("%s/journal", state_dir);
    ce_autojson json_t *record = record_of(claim);
    ce_autofd int lock = -1;
    if (!folder || !record)
        return ce_fail_memory(err);
    CE_TRY(ce_folder_make(folder, err));
    CE_TRY(lock_folder(folder, &lock, err));
    CE_TRY(check(state_dir, record, err));
    return ce_journal_create_with(state_dir, run_id, ops, record, ret_journal, err);
}

int ce_claim_check(const char *state_dir, const struct ce_claim *claim, struct ce_error *err)
{
    if (is_none(claim))
        return 0;
    ce_autojson json_t *record = record_of(claim);
    return record ? check(state_dir, record, err) : ce_fail_memory(err);
}
