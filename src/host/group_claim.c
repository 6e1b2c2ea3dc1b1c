/* SPDX-License-Identifier: MIT */
#include "host/group_claim.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/identity.h"
#include "base/random.h"
#include "base/seam.h"
#include "host/group_internal.h"

static const int64_t lock_within = 3 * CE_SECOND;

/* ---- one at a time ---- */

int ce_group_lock(const char *folder)
{
    ce_autofd int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    for (int64_t until = ce_now() + lock_within; flock(fd, LOCK_EX | LOCK_NB) < 0;) {
        if (errno != EWOULDBLOCK || ce_now() >= until)
            return -errno;
        ce_sleep_until(ce_now() + CE_MILLISECOND);
    }
    return ce_take_fd(fd);
}

void ce_group_unlock(int lock)
{
    if (lock < 0)
        return;
    (void)flock(lock, LOCK_UN); /* a child that was forked meanwhile may have it open */
    (void)close(lock);
}

/* ---- claims ---- */

enum { NUMBER_SIZE = 17, NAME_SIZE = 64 };

/* A user's run sees the first only; older kernels keep the second only, for root. */
static const char *const kinds[] = {"user", "trusted"};

static const char *name_of(const char *kind, const char *controller, char name[NAME_SIZE])
{
    snprintf(name, NAME_SIZE, "%s.chaoseater.%s", kind, controller);
    return name;
}

/* What the claim says, and of which kind it is: 1; 0 when there is none; -errno. */
static int find_claim(const char *folder, const char *controller, char ret_number[NUMBER_SIZE],
                      const char **ret_kind)
{
    char name[NAME_SIZE];
    for (size_t i = 0; i < CE_COUNT(kinds); i++) {
        ssize_t n =
            getxattr(folder, name_of(kinds[i], controller, name), ret_number, NUMBER_SIZE - 1);
        ret_number[n > 0 ? n : 0] = '\0';
        *ret_kind = kinds[i];
        if (n >= 0 || errno == ERANGE)
            return 1;
        if (errno != ENODATA && errno != ENOTSUP)
            return -errno;
    }
    return 0;
}

static int make_claim(const char *folder, const char *controller, const char *number)
{
    char name[NAME_SIZE];
    int r = -ENOTSUP;
    for (size_t i = 0; r == -ENOTSUP && i < CE_COUNT(kinds); i++)
        r = setxattr(folder, name_of(kinds[i], controller, name), number, strlen(number),
                     XATTR_CREATE) < 0
                ? -errno
                : 0;
    return r == -EEXIST ? -EBUSY : r;
}

bool ce_group_claimed_below(const char *folder, const char *controller)
{
    bool found = false;
    char number[NUMBER_SIZE];
    const char *kind;
    DIR *entries = opendir(folder);
    if (!entries)
        return false;
    for (const struct dirent *entry; !found && (entry = readdir(entries));) {
        if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
            continue;
        ce_autofree char *below = ce_format("%s/%s", folder, entry->d_name);
        found = !below || find_claim(below, controller, number, &kind) == 1;
    }
    closedir(entries);
    return found;
}

/* How far up there are groups of that hierarchy. */
static char *top_of(const char *folder)
{
    struct stat st, above;
    ce_autofree char *top = strdup(folder);
    while (top && stat(top, &st) == 0) {
        char *slash = strrchr(top, '/');
        if (slash == top)
            break;
        *slash = '\0';
        if (stat(top, &above) == 0 && above.st_dev == st.st_dev)
            continue;
        *slash = '/';
        break;
    }
    return ce_take(top);
}

int ce_group_claim_check(const char *folder, const char *controller, struct ce_error *err)
{
    char number[NUMBER_SIZE];
    const char *kind;
    if (ce_group_is_ours(folder))
        return ce_fail(err, EBUSY, "control group '%s' is another fault's own: wait for its end",
                       folder);
    int r = find_claim(folder, controller, number, &kind);
    if (r < 0)
        return ce_fail(err, -r, "cannot tell whether control group '%s' is limited: %s", folder,
                       strerror(-r));
    if (r > 0)
        return ce_fail(err, EBUSY,
                       "control group '%s' is already limited (%s) by another run: wait for its "
                       "end, undo what it left with 'chaoseater recover', or name another target",
                       folder, controller);
    return 0;
}

int ce_group_claim_begin(const char *folder, const char *controller, struct ce_group_claim *claim,
                         struct ce_error *err)
{
    const char *slash = strrchr(folder, '/');
    if (!slash || slash == folder)
        return ce_fail(err, ENOENT, "there is no control group '%s'", folder);
    ce_autofree char *above = ce_format("%.*s", (int)(slash - folder), folder);
    if (!above)
        return ce_fail_memory(err);
    *claim = (struct ce_group_claim){.folder = folder, .controller = controller};
    claim->lock = ce_group_lock(above);
    if (claim->lock < 0)
        return ce_fail(err, claim->lock == -EWOULDBLOCK ? EBUSY : -claim->lock,
                       "cannot lock control group '%s': %s", above, strerror(-claim->lock));
    return ce_group_claim_check(folder, controller, err);
}

void ce_group_claim_done(struct ce_group_claim *claim)
{
    ce_group_unlock(ce_take_fd(claim->lock));
}

int ce_group_claim_note(const struct ce_group_claim *claim, struct ce_journal *journal,
                        const char *op, json_t *args, struct ce_error *err)
{
    ce_autojson json_t *all = args;
    struct stat st;
    char boot[CE_BOOT_ID_SIZE], number[NUMBER_SIZE];
    ce_boot_id(boot);
    snprintf(number, sizeof number, "%016" PRIx64, ce_random_seed());
    ce_autofree char *top = top_of(claim->folder);
    if (stat(claim->folder, &st) < 0)
        return ce_fail(err, errno, "there is no control group '%s': %s", claim->folder,
                       strerror(errno));
    ce_autojson json_t *whose =
        json_pack("{s:s, s:I, s:I, s:s, s:s, s:s, s:s}", "folder", claim->folder, "dev",
                  (json_int_t)st.st_dev, "ino", (json_int_t)st.st_ino, "boot", boot, "controller",
                  claim->controller, "claim", number, "top", top ? top : "");
    if (!top || !whose || !all || json_object_update(all, whose) < 0)
        return ce_fail_memory(err);
    int note = ce_undo_note(journal, op, ce_take(all), err);
    CE_TRY(note);
    int r = make_claim(claim->folder, claim->controller, number);
    ce_seam_step("group: claimed");
    if (r == 0)
        return note;
    int undone = ce_undo_now(journal, note, NULL); /* without a claim there is nothing to undo */
    ce_fail(err, -r, "cannot mark control group '%s' as limited: %s", claim->folder, strerror(-r));
    return undone < 0 ? -EBUSY : r;
}

/* ---- undoing ---- */

/* A note may be without a claim: then what it says is to be put back. */
static int let_go(const char *folder, const json_t *args,
                  int (*restore)(const char *folder, const json_t *args, struct ce_error *err),
                  struct ce_error *err)
{
    const char *controller = json_string_value(json_object_get(args, "controller")),
               *noted = json_string_value(json_object_get(args, "claim")), *kind = NULL;
    char name[NAME_SIZE], number[NUMBER_SIZE];
    if (controller && noted) {
        int r = find_claim(folder, controller, number, &kind);
        if (r == 0 || r == -ENOENT || (r > 0 && strcmp(number, noted) != 0))
            return 0;
        if (r < 0)
            return ce_fail(err, -r, "cannot tell whether control group '%s' is limited: %s", folder,
                           strerror(-r));
    }
    CE_TRY(restore(folder, args, err));
    if (kind && removexattr(folder, name_of(kind, controller, name)) < 0 && errno != ENODATA &&
        errno != ENOENT)
        return ce_fail(err, errno, "cannot remove %s of control group '%s': %s", name, folder,
                       strerror(errno));
    ce_seam_step("group: claim removed");
    return 0;
}

int ce_group_claim_undo(const json_t *args,
                        int (*restore)(const char *folder, const json_t *args,
                                       struct ce_error *err),
                        struct ce_error *err)
{
    const char *folder, *boot, *top = NULL;
    json_int_t dev, ino;
    struct stat st;
    if (json_unpack((json_t *)args, "{s:s, s:I, s:I, s:s, s?s}", "folder", &folder, "dev", &dev,
                    "ino", &ino, "boot", &boot, "top", &top) < 0 ||
        folder[0] != '/')
        return ce_fail(err, EINVAL, "the note does not say which control group is meant");
    if (ce_boot_is_another(boot))
        return 0;
    bool there = stat(folder, &st) == 0;
    bool same = there && (json_int_t)st.st_dev == dev && (json_int_t)st.st_ino == ino;
    if (same)
        CE_TRY(let_go(folder, args, restore, err));
    if (top)
        CE_TRY(ce_group_tidy_above(folder, top, err));
    return there && !same ? CE_UNDO_FOREIGN : 0;
}
