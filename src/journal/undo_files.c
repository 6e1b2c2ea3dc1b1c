/* SPDX-License-Identifier: MIT */
/* Files are known by the folder that holds them: a folder of the same name on another filesystem,
 * or one that was made anew, is not the one that was noted, and nothing in it is touched. */
#include "journal/undo_files.h"

#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/identity.h"
#include "base/seam.h"
#include "journal/journal_internal.h"

/* The folder part and the last part of a path, both to be freed by free(*ret_folder) and
 * free(*ret_name). */
static int split_path(const char *path, char **ret_folder, char **ret_name, struct ce_error *err)
{
    ce_autofree char *one = strdup(path);
    ce_autofree char *two = strdup(path);
    ce_autofree char *folder = one ? strdup(dirname(one)) : NULL;
    ce_autofree char *name = two ? strdup(basename(two)) : NULL;
    if (!folder || !name)
        return ce_fail_memory(err);
    *ret_folder = ce_take(folder);
    *ret_name = ce_take(name);
    return 0;
}

json_t *ce_undo_file_args(const struct stat *st)
{
    char boot[CE_BOOT_ID_SIZE];
    ce_boot_id(boot);
    return json_pack("{s:I, s:I, s:s}", "dev", (json_int_t)st->st_dev, "ino",
                     (json_int_t)st->st_ino, "boot", boot);
}

bool ce_undo_is_same_file(const json_t *args, const struct stat *st)
{
    const char *boot = json_string_value(json_object_get(args, "boot"));
    bool same_boot = !boot || !ce_boot_is_another(boot);
    return json_integer_value(json_object_get(args, "ino")) == (json_int_t)st->st_ino &&
           (!same_boot ||
            json_integer_value(json_object_get(args, "dev")) == (json_int_t)st->st_dev);
}

/* Opens the folder of `path` if it is still the one that was noted. 0 and *ret_fd (-1 when there is
 * no such folder), or CE_UNDO_FOREIGN. */
static int open_folder(const json_t *args, const char *folder, int *ret_fd, struct ce_error *err)
{
    ce_autofd int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR)) {
        *ret_fd = -1;
        return 0;
    }
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        return ce_fail(err, errno, "cannot open folder '%s': %s", folder, strerror(errno));
    if (!ce_undo_is_same_file(args, &st))
        return CE_UNDO_FOREIGN;
    *ret_fd = ce_take_fd(fd);
    return 0;
}

static int args_text(const json_t *args, const char *key, const char **ret_text,
                     struct ce_error *err)
{
    *ret_text = json_string_value(json_object_get(args, key));
    return *ret_text ? 0 : ce_fail(err, EINVAL, "the note lacks '%s'", key);
}

/* ---- restore-file ---- */

static bool same_content(const char *path, const char *sha256)
{
    char hex[CE_SHA256_HEX];
    return ce_sha256_file(path, hex, NULL) == 0 && strcmp(hex, sha256) == 0;
}

static int copy_bytes(int in, int out)
{
    char buffer[64 * 1024];
    for (;;) {
        ssize_t n = read(in, buffer, sizeof buffer);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : 0;
        CE_TRY(ce_write_all(out, buffer, (size_t)n));
    }
}

/* Writes the image beside the file and moves it into place. The temporary name is always the same,
 * so that a crash leaves at most one, which the next attempt takes over. */
static int put_back(int folder, const char *name, const char *image, const json_t *args,
                    struct ce_error *err)
{
    ce_autofree char *temporary = ce_format(".%s.chaoseater", name);
    if (!temporary)
        return ce_fail_memory(err);
    ce_autofd int in = open(image, O_RDONLY | O_CLOEXEC);
    if (in < 0)
        return ce_fail(err, errno, "cannot open before-image '%s': %s", image, strerror(errno));
    ce_autofd int out =
        openat(folder, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    int r = out < 0 ? -errno : copy_bytes(in, out);
    ce_seam_step("journal: image copied");
    if (r == 0) {
        /* Giving a file away needs root; then it was root's to change. */
        (void)!fchown(out, (uid_t)json_integer_value(json_object_get(args, "uid")),
                      (gid_t)json_integer_value(json_object_get(args, "gid")));
        if (fchmod(out, (mode_t)json_integer_value(json_object_get(args, "mode"))) < 0 ||
            fsync(out) < 0 || renameat(folder, temporary, folder, name) < 0 || fsync(folder) < 0)
            r = -errno;
    }
    if (r < 0) {
        (void)unlinkat(folder, temporary, 0);
        return ce_fail(err, -r, "cannot restore '%s' from '%s': %s", name, image, strerror(-r));
    }
    return 0;
}

static char *kept_image(const char *folder, const char *name, const char *sha256)
{
    return ce_format("%s/%s.%.12s", folder, name, sha256);
}

char *ce_undo_kept_image(const char *state_dir, const char *name, const char *sha256)
{
    ce_autofree char *folder = ce_format("%s/journal/kept", state_dir);
    return folder ? kept_image(folder, name, sha256) : NULL;
}

/* The file can no longer be put back, and its old bytes must not be lost with the journal: they
 * move to the folder "kept" beside it, under the file's name and the start of their hash. */
int ce_undo_keep_image(const char *image, const char *name, const char *sha256,
                       struct ce_error *err)
{
    if (!same_content(image, sha256))
        return CE_UNDO_FOREIGN; /* kept before, or worth nothing */
    ce_autofree char *images = strdup(image);
    ce_autofree char *journals = images ? strdup(dirname(images)) : NULL;
    ce_autofree char *folder = journals ? ce_format("%s/kept", dirname(journals)) : NULL;
    ce_autofree char *kept = folder ? kept_image(folder, name, sha256) : NULL;
    if (!kept)
        return ce_fail_memory(err);
    CE_TRY(ce_folder_make(folder, err));
    if (rename(image, kept) < 0)
        return ce_fail(err, errno, "cannot keep the before-image '%s': %s", image, strerror(errno));
    CE_TRY(ce_folder_sync(folder, err));
    return CE_UNDO_FOREIGN;
}

static int restore_file(const json_t *args, struct ce_error *err)
{
    const char *path, *image, *sha256;
    CE_TRY(args_text(args, "path", &path, err));
    CE_TRY(args_text(args, "image", &image, err));
    CE_TRY(args_text(args, "sha256", &sha256, err));
    ce_autofree char *folder_path = NULL;
    ce_autofree char *name = NULL;
    CE_TRY(split_path(path, &folder_path, &name, err));

    ce_autofd int folder = -1;
    int r = open_folder(args, folder_path, &folder, err);
    if (r < 0)
        return r;
    if (r == CE_UNDO_FOREIGN)
        return ce_undo_keep_image(image, name, sha256, err);
    if (folder < 0)
        return CE_UNDO_FOREIGN; /* the folder was removed since, and the file with it */

    struct stat st;
    mode_t mode = (mode_t)json_integer_value(json_object_get(args, "mode"));
    if (fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
        if (!S_ISREG(st.st_mode))
            return ce_undo_keep_image(image, name, sha256, err);
        if ((st.st_mode & 07777) == mode && same_content(path, sha256))
            return 0;
    }
    if (!same_content(image, sha256))
        return ce_fail(err, EBADMSG,
                       "cannot restore '%s': its before-image '%s' is missing or was changed", path,
                       image);
    CE_TRY(put_back(folder, name, image, args, err));
    if (!same_content(path, sha256))
        return ce_fail(err, EIO, "'%s' was restored but does not have its old content", path);
    return 0;
}

const struct ce_undo_op ce_undo_restore_file = {.name = "restore-file", .undo = restore_file};

int ce_undo_image_path(struct ce_journal *journal, char **ret_image, struct ce_error *err)
{
    CE_TRY(ce_folder_make(journal->images, err));
    CE_TRY(ce_folder_sync(journal->folder, err));
    for (unsigned n = 1;; n++) {
        ce_autofree char *image = ce_format("%s/%u", journal->images, n);
        if (!image)
            return ce_fail_memory(err);
        if (access(image, F_OK) < 0) {
            *ret_image = ce_take(image);
            return 0;
        }
    }
}

/* Fills in what identifies the folder of `path`, which must exist. */
static int folder_identity(const char *path, struct stat *ret_folder, struct ce_error *err)
{
    ce_autofree char *folder = NULL;
    ce_autofree char *name = NULL;
    CE_TRY(split_path(path, &folder, &name, err));
    if (stat(folder, ret_folder) < 0)
        return ce_fail(err, errno, "cannot look at folder '%s': %s", folder, strerror(errno));
    return 0;
}

/* A note of all that both say. Takes ownership of `args`. */
static int note_both(struct ce_journal *journal, const char *op, json_t *args, json_t *more,
                     struct ce_error *err)
{
    if (!args || !more || json_object_update(args, more) < 0) {
        json_decref(args);
        return ce_fail_memory(err);
    }
    return ce_undo_note(journal, op, args, err);
}

int ce_undo_note_file(struct ce_journal *journal, const char *path, char **ret_image,
                      struct ce_error *err)
{
    /* Through links: restoring replaces the name, and a link must stay one. */
    ce_autofree char *real = realpath(path, NULL);
    struct stat st, folder;
    if (!real || stat(real, &st) < 0)
        return ce_fail(err, errno, "cannot open '%s': %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return ce_fail(err, EINVAL, "'%s' is no regular file", path);
    CE_TRY(folder_identity(real, &folder, err));

    ce_autofree char *image = NULL;
    CE_TRY(ce_undo_image_path(journal, &image, err));
    CE_TRY(ce_file_copy(real, image, err));
    ce_seam_step("journal: before-image");
    char sha256[CE_SHA256_HEX];
    CE_TRY(ce_sha256_file(image, sha256, err));
    json_t *args = ce_undo_file_args(&folder);
    ce_autojson json_t *more = json_pack(
        "{s:s, s:s, s:s, s:i, s:I, s:I}", "path", real, "image", image, "sha256", sha256, "mode",
        (int)(st.st_mode & 07777), "uid", (json_int_t)st.st_uid, "gid", (json_int_t)st.st_gid);
    int note = note_both(journal, "restore-file", args, more, err);
    if (note > 0 && ret_image)
        *ret_image = ce_take(image);
    return note;
}

/* ---- remove-tree ---- */

static int remove_tree(const json_t *args, struct ce_error *err)
{
    const char *path;
    CE_TRY(args_text(args, "path", &path, err));
    ce_autofree char *folder_path = NULL;
    ce_autofree char *name = NULL;
    CE_TRY(split_path(path, &folder_path, &name, err));
    ce_autofd int folder = -1;
    int r = open_folder(args, folder_path, &folder, err);
    if (r != 0 || folder < 0)
        return r;
    CE_TRY(ce_tree_remove(path, err));
    struct stat st;
    if (lstat(path, &st) == 0)
        return ce_fail(err, EBUSY, "'%s' is still there after it was removed", path);
    return 0;
}

const struct ce_undo_op ce_undo_remove_tree = {.name = "remove-tree", .undo = remove_tree};

int ce_undo_note_tree(struct ce_journal *journal, const char *path, struct ce_error *err)
{
    struct stat st, folder;
    if (lstat(path, &st) == 0)
        return ce_fail(err, EEXIST, "'%s' exists already", path);
    ce_autofree char *folder_path = NULL;
    ce_autofree char *name = NULL;
    CE_TRY(split_path(path, &folder_path, &name, err));
    CE_TRY(folder_identity(path, &folder, err));
    ce_autofree char *real = realpath(folder_path, NULL);
    if (!real)
        return ce_fail(err, errno, "cannot resolve folder '%s': %s", folder_path, strerror(errno));
    ce_autofree char *whole = ce_format("%s/%s", real, name);
    if (!whole)
        return ce_fail_memory(err);
    ce_autojson json_t *more = json_pack("{s:s}", "path", whole);
    return note_both(journal, "remove-tree", ce_undo_file_args(&folder), more, err);
}
