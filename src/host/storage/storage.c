/* SPDX-License-Identifier: MIT */
#include "host/storage/storage.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "host/storage/storage_means.h"

/* In the order in which they are tried. */
static const struct ce_storage_means *const all[] = {
    &ce_storage_by_ballast,
    &ce_storage_by_cgroup,
    &ce_storage_by_fuse,
    &ce_storage_by_syscalls,
};

/* ---- the folder ---- */

struct look {
    char folder[PATH_MAX];
    struct ce_storage_site site;
};

static int look_there(void *ctx, struct ce_error *err)
{
    struct look *look = ctx;
    struct stat st, root;
    struct statfs fs;
    if (stat(look->folder, &st) < 0 || statfs(look->folder, &fs) < 0 || stat("/", &root) < 0)
        return ce_fail(err, errno, "cannot see folder '%s': %s", look->folder, strerror(errno));
    if (!S_ISDIR(st.st_mode))
        return ce_fail(err, ENOTDIR, "'%s' is no folder", look->folder);
    look->site = (struct ce_storage_site){
        .dev = st.st_dev,
        .ino = st.st_ino,
        .type = (long)fs.f_type,
        .is_root = st.st_dev == root.st_dev && st.st_ino == root.st_ino,
        .total = (uint64_t)fs.f_blocks * (uint64_t)fs.f_bsize,
        .free = (uint64_t)fs.f_bavail * (uint64_t)fs.f_bsize,
    };
    return 0;
}

int ce_storage_look(const struct ce_subject *subject, struct ce_storage_site *ret_site,
                    struct ce_error *err)
{
    struct look look;
    memcpy(look.folder, subject->folder, sizeof look.folder);
    CE_TRY(ce_place_call(&subject->place, CE_PLACE_MOUNTS, look_there, &look, sizeof look, err));
    *ret_site = look.site;
    return 0;
}

/* ---- choosing ---- */

/* A target that has whatever means could ask for. */
static const struct ce_subject any = {
    .has = CE_SUBJECT_FOLDER | CE_SUBJECT_PROCESS | CE_SUBJECT_HELPERS,
    .folder_is_dedicated = true,
};

static void say(char *text, size_t size, const char *name, const char *what)
{
    size_t n = strlen(text);
    (void)snprintf(text + n, size - n, "%s%s: %.*s", n > 0 ? "; " : "", name, (int)(size - n),
                   what);
}

/* 0; or why these means are not used. What they began before they failed they took back. */
static int begin_by(const struct ce_storage_means *means, struct ce_journal *journal,
                    const struct ce_subject *subject, const struct ce_storage_deed *deed,
                    struct ce_storage **ret_storage, struct ce_error *err)
{
    char why[200];
    const char *unfit = means->unfit(subject, deed);
    if (unfit)
        return ce_fail(err, ENOTSUP, "%s", unfit);
    if (!means->available(why, sizeof why))
        return ce_fail(err, ENOTSUP, "%s", why);
    ce_autofree struct ce_storage *storage = calloc(1, means->size);
    if (!storage)
        return ce_fail_memory(err);
    storage->means = means;
    storage->journal = journal;
    storage->subject = *subject;
    storage->deed = *deed;
    CE_TRY(means->begin(storage, err));
    *ret_storage = ce_take(storage);
    return 0;
}

int ce_storage_begin(struct ce_journal *journal, const struct ce_subject *subject,
                     const struct ce_storage_deed *deed, const char *means,
                     struct ce_storage **ret_storage, struct ce_error *err)
{
    char reasons[sizeof err->message] = "";
    size_t live = ce_undo_live(journal);
    struct ce_storage_deed fillable = *deed;
    fillable.may_fill = true;
    for (size_t i = 0; i < CE_COUNT(all); i++) {
        struct ce_error why = {0};
        if (means ? strcmp(means, all[i]->name) != 0 : all[i]->unfit(&any, &fillable) != NULL)
            continue; /* such a deed is not its business, whatever the target */
        int r = begin_by(all[i], journal, subject, deed, ret_storage, &why);
        /* What could not be taken back is worse than no fault; a run that was ended is over. */
        if (r == 0 || r == -ECANCELED || ce_undo_live(journal) > live) {
            if (r < 0 && err)
                *err = why;
            return r;
        }
        say(reasons, sizeof reasons, all[i]->name, why.message);
    }
    return reasons[0] ? ce_fail(err, ENOTSUP, "%s", reasons)
                      : ce_fail(err, ENOTSUP, "there are no means called '%s'", means);
}

int ce_storage_adjust(struct ce_storage *storage, const struct ce_storage_deed *deed,
                      struct ce_error *err)
{
    CE_TRY(storage->means->adjust(storage, deed, err));
    storage->deed = *deed;
    return 0;
}

const char *ce_storage_means_name(const struct ce_storage *storage)
{
    return storage->means->name;
}

int ce_storage_count(struct ce_storage *storage, struct ce_storage_counts *ret_counts,
                     struct ce_error *err)
{
    if (!storage->means->count)
        return ce_fail(err, ENOTSUP, "%s does not count operations", storage->means->name);
    return storage->means->count(storage, ret_counts, err);
}

const char *ce_storage_group(const struct ce_storage *storage)
{
    return storage->means->group ? storage->means->group(storage) : NULL;
}

const char *ce_storage_helpers(const struct ce_storage *storage)
{
    return storage->means->needs_door ? storage->subject.helpers : NULL;
}

int ce_storage_end(struct ce_storage *storage, struct ce_error *err)
{
    if (!storage)
        return 0;
    int r = storage->means->end(storage, err);
    if (r == 0 && storage->means->left)
        r = storage->means->left(storage, err);
    free(storage);
    return r;
}

bool ce_storage_available(const struct ce_storage_deed *deed, char *text, size_t size)
{
    bool found = false;
    text[0] = '\0';
    for (size_t i = 0; i < CE_COUNT(all); i++) {
        char detail[200];
        if (all[i]->unfit(&any, deed))
            continue;
        found = all[i]->available(detail, sizeof detail) || found;
        say(text, size, all[i]->name, detail);
    }
    return found;
}

/* What root can mount over a folder acts everywhere. */
bool ce_storage_wants_door(void)
{
    char detail[200];
    return geteuid() != 0 || !ce_storage_by_fuse.available(detail, sizeof detail);
}
