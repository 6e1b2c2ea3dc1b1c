/* SPDX-License-Identifier: MIT */
/* Writing content. A file is made under a temporary name that says whose it is and is the same
 * every time, so that what a killed process left behind is replaced by the next one; a lock on it
 * keeps two living processes from writing one file. What is no regular file (standard output, a
 * pipe, a device) is written to as it is: there is nothing that a new file could replace. */
#include <fcntl.h>
#include <libgen.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/file.h"
#include "data/stream/pack.h"

enum { BUFFER = 256 * 1024 };

struct ce_output {
    int fd;
    bool own_fd;
    char *path;
    char *temporary; /* NULL: written to directly, or published */
    char *buffer;
    size_t used, hashed; /* bytes of the buffer; those that are in `sha` */
    uint64_t total;
    struct ce_sha256 *sha;
    bool unhashed;
    struct ce_packer *packer; /* NULL: plain */
    bool ended;               /* nothing more can be put */
};

void ce_output_free(struct ce_output *output)
{
    if (!output)
        return;
    if (output->temporary && output->fd >= 0)
        (void)unlink(output->temporary);
    if (output->own_fd && output->fd >= 0)
        (void)close(output->fd);
    ce_packer_free(output->packer);
    ce_sha256_free(output->sha);
    free(output->buffer);
    free(output->temporary);
    free(output->path);
    free(output);
}

static int fail_write(const struct ce_output *output, int code, struct ce_error *err)
{
    bool standard = strcmp(output->path, "-") == 0;
    return ce_fail(err, code, "cannot write '%s': %s", standard ? "standard output" : output->path,
                   strerror(code));
}

/* ---- opening ---- */

/* Opens and locks the temporary file. 1: it is ours; 0: somebody renamed or removed it between the
 * opening and the locking. */
static int open_temporary(struct ce_output *output, struct ce_error *err)
{
    /* O_NONBLOCK: a pipe of that name is refused, not waited for. */
    ce_autofd int fd =
        open(output->temporary, O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
    struct stat mine, named;
    if (fd < 0 || fstat(fd, &mine) < 0)
        return ce_fail(err, errno, "cannot write '%s': the temporary file '%s' cannot be made: %s",
                       output->path, output->temporary, strerror(errno));
    if (!S_ISREG(mine.st_mode))
        return ce_fail(err, EEXIST, "cannot write '%s': '%s' is in the way; remove it",
                       output->path, output->temporary);
    if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        return ce_fail(err, EBUSY, "cannot write '%s': another process is writing it",
                       output->path);
    if (lstat(output->temporary, &named) < 0 || named.st_ino != mine.st_ino ||
        named.st_dev != mine.st_dev)
        return 0;
    output->fd = ce_take_fd(fd);
    output->own_fd = true;
    return 1;
}

static int make_temporary(struct ce_output *output, mode_t mode, struct ce_error *err)
{
    output->temporary = ce_format("%s.chaoseater-tmp", output->path);
    if (!output->temporary)
        return ce_fail_memory(err);
    int r;
    do
        r = open_temporary(output, err);
    while (r == 0);
    if (r < 0)
        return r;
    if (ftruncate(output->fd, 0) < 0)
        return fail_write(output, errno, err);
    if (fchmod(output->fd, mode & 0777) < 0)
        return ce_fail(err, errno, "cannot set the mode of '%s': %s", output->path,
                       strerror(errno));
    return 0;
}

static int open_target(struct ce_output *output, mode_t mode, struct ce_error *err)
{
    struct stat st;
    if (strcmp(output->path, "-") == 0) {
        output->fd = STDOUT_FILENO;
        return 0;
    }
    if (stat(output->path, &st) < 0 || S_ISREG(st.st_mode))
        return make_temporary(output, mode, err);
    if (S_ISDIR(st.st_mode))
        return ce_fail(err, EISDIR, "cannot write '%s': it is a folder; give the name of a file",
                       output->path);
    output->own_fd = true;
    output->fd = open(output->path, O_WRONLY | O_CLOEXEC);
    return output->fd < 0 ? fail_write(output, errno, err) : 0;
}

int ce_output_open(const char *path, mode_t mode, enum ce_packing packing,
                   struct ce_output **ret_output, struct ce_error *err)
{
    CE_CLEANUP(ce_output_free_p) struct ce_output *output = calloc(1, sizeof *output);
    if (!output)
        return ce_fail_memory(err);
    output->fd = -1;
    output->path = strdup(path);
    output->buffer = malloc(BUFFER);
    output->sha = ce_sha256_new();
    if (packing != CE_PACKING_PLAIN)
        output->packer = ce_packer_new(packing);
    if (!output->path || !output->buffer || !output->sha ||
        (packing != CE_PACKING_PLAIN && !output->packer))
        return ce_fail_memory(err);
    CE_TRY(open_target(output, mode, err));
    *ret_output = ce_take(output);
    return 0;
}

/* ---- writing ---- */

static int write_bytes(void *ctx, const void *data, size_t size)
{
    struct ce_output *output = ctx;
    return ce_write_all(output->fd, data, size);
}

static void hash_buffer(struct ce_output *output)
{
    if (!output->unhashed)
        ce_sha256_add(output->sha, output->buffer + output->hashed, output->used - output->hashed);
    output->hashed = output->used;
}

static int flush(struct ce_output *output, bool end, struct ce_error *err)
{
    hash_buffer(output);
    size_t used = output->used;
    output->used = output->hashed = 0;
    int r = output->packer
                ? ce_packer_put(output->packer, output->buffer, used, end, write_bytes, output)
                : write_bytes(output, output->buffer, used);
    return r < 0 ? fail_write(output, -r, err) : 0;
}

/* What is packed goes through the buffer, always full ones: the pieces in which content is put must
 * not show in the bytes. */
int ce_output_put(struct ce_output *output, const void *data, size_t size, struct ce_error *err)
{
    const char *at = data;
    output->total += size;
    while (size > BUFFER - output->used) {
        if (output->used == 0 && !output->packer) {
            if (!output->unhashed)
                ce_sha256_add(output->sha, at, size);
            int r = write_bytes(output, at, size);
            return r < 0 ? fail_write(output, -r, err) : 0;
        }
        size_t here = BUFFER - output->used;
        memcpy(output->buffer + output->used, at, here);
        output->used += here;
        at += here;
        size -= here;
        CE_TRY(flush(output, false, err));
    }
    if (size > 0)
        memcpy(output->buffer + output->used, at, size);
    output->used += size;
    return 0;
}

uint64_t ce_output_total(const struct ce_output *output)
{
    return output->total;
}

const char *ce_output_path(const struct ce_output *output)
{
    return output->path;
}

int ce_output_fd(const struct ce_output *output)
{
    return output->fd;
}

void ce_output_unhashed(struct ce_output *output)
{
    output->unhashed = true;
}

int ce_output_digest(struct ce_output *output, char ret_hex[CE_SHA256_HEX], struct ce_error *err)
{
    hash_buffer(output);
    struct ce_sha256 *next = ce_sha256_new();
    if (!next)
        return ce_fail_memory(err);
    ce_sha256_end(output->sha, ret_hex);
    output->sha = next;
    return 0;
}

/* ---- becoming visible ---- */

int ce_output_sync(struct ce_output *output, struct ce_error *err)
{
    if (output->ended)
        return 0;
    CE_TRY(flush(output, true, err));
    output->ended = true;
    if (output->temporary && fsync(output->fd) < 0)
        return fail_write(output, errno, err);
    return 0;
}

int ce_output_publish(struct ce_output *output, struct ce_error *err)
{
    CE_TRY(ce_output_sync(output, err));
    if (!output->temporary)
        return 0;
    ce_autofree char *copy = strdup(output->path);
    if (!copy)
        return ce_fail_memory(err);
    if (rename(output->temporary, output->path) < 0)
        return fail_write(output, errno, err);
    free(ce_take(output->temporary));
    return ce_folder_sync(dirname(copy), err);
}

/* ---- names ---- */

static bool same_inode(const char *a, const char *b)
{
    struct stat of_a, of_b;
    return stat(a, &of_a) == 0 && stat(b, &of_b) == 0 && of_a.st_dev == of_b.st_dev &&
           of_a.st_ino == of_b.st_ino && !S_ISCHR(of_a.st_mode);
}

bool ce_paths_meet(const char *a, const char *b)
{
    if (strcmp(a, b) == 0 || same_inode(a, b))
        return true;
    /* A file that is yet to be made is known by its folder and its last name. */
    ce_autofree char *folder_a = strdup(a), *folder_b = strdup(b);
    ce_autofree char *last_a = strdup(a), *last_b = strdup(b);
    return folder_a && folder_b && last_a && last_b &&
           strcmp(basename(last_a), basename(last_b)) == 0 &&
           same_inode(dirname(folder_a), dirname(folder_b));
}
