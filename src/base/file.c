/* SPDX-License-Identifier: MIT */
#include "base/file.h"

#include <fcntl.h>
#include <ftw.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"

char *ce_format(const char *fmt, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, fmt);
    int n = vasprintf(&text, fmt, args);
    va_end(args);
    return n < 0 ? NULL : text;
}

int ce_file_read(const char *path, size_t limit, char **ret_text, size_t *ret_size,
                 struct ce_error *err)
{
    bool standard_input = strcmp(path, "-") == 0;
    ce_autofd int opened = standard_input ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    int fd = standard_input ? STDIN_FILENO : opened;
    if (fd < 0)
        return ce_fail(err, errno, "cannot open '%s': %s", path, strerror(errno));

    size_t capacity = 64 * 1024, size = 0;
    ce_autofree char *text = malloc(capacity + 1);
    if (!text)
        return ce_fail_memory(err);
    for (;;) {
        ssize_t n = read(fd, text + size, capacity - size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return ce_fail(err, errno, "cannot read '%s': %s", path, strerror(errno));
        if (n == 0)
            break;
        size += (size_t)n;
        if (size > limit)
            return ce_fail(err, EFBIG, "'%s' is larger than %zu MiB", path, limit >> 20);
        if (size == capacity) {
            capacity *= 2;
            char *larger = realloc(text, capacity + 1);
            if (!larger)
                return ce_fail_memory(err);
            text = larger;
        }
    }
    text[size] = '\0';
    *ret_size = size;
    *ret_text = ce_take(text);
    return 0;
}

int ce_write_all(int fd, const void *data, size_t size)
{
    const char *p = data;
    while (size > 0) {
        ssize_t n = write(fd, p, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        p += n;
        size -= (size_t)n;
    }
    return 0;
}

int ce_folder_sync(const char *folder, struct ce_error *err)
{
    ce_autofd int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) < 0)
        return ce_fail(err, errno, "cannot sync folder '%s': %s", folder, strerror(errno));
    return 0;
}

static int sync_parent(const char *path, struct ce_error *err)
{
    ce_autofree char *copy = strdup(path);
    if (!copy)
        return ce_fail_memory(err);
    return ce_folder_sync(dirname(copy), err);
}

int ce_file_replace(const char *path, const void *data, size_t size, struct ce_error *err)
{
    ce_autofree char *temporary = ce_format("%s.%d.tmp", path, (int)getpid());
    if (!temporary)
        return ce_fail_memory(err);
    ce_autofd int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        return ce_fail(err, errno, "cannot write '%s': %s", path, strerror(errno));
    int r = ce_write_all(fd, data, size);
    if (r == 0 && fsync(fd) < 0)
        r = -errno;
    if (r == 0 && rename(temporary, path) < 0)
        r = -errno;
    if (r < 0) {
        (void)unlink(temporary);
        return ce_fail(err, -r, "cannot write '%s': %s", path, strerror(-r));
    }
    return sync_parent(path, err);
}

int ce_file_copy(const char *from, const char *to, struct ce_error *err)
{
    ce_autofd int in = open(from, O_RDONLY | O_CLOEXEC);
    if (in < 0)
        return ce_fail(err, errno, "cannot open '%s': %s", from, strerror(errno));
    ce_autofd int out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (out < 0)
        return ce_fail(err, errno, "cannot create '%s': %s", to, strerror(errno));
    char buffer[64 * 1024];
    for (;;) {
        ssize_t n = read(in, buffer, sizeof buffer);
        if (n < 0 && errno == EINTR)
            continue;
        int r = n < 0 ? -errno : ce_write_all(out, buffer, (size_t)n);
        if (r == 0 && n == 0 && fsync(out) < 0)
            r = -errno;
        if (r < 0) {
            (void)unlink(to);
            return ce_fail(err, -r, "cannot copy '%s' to '%s': %s", from, to, strerror(-r));
        }
        if (n == 0)
            return sync_parent(to, err);
    }
}

int ce_folder_make(const char *path, struct ce_error *err)
{
    ce_autofree char *copy = strdup(path);
    if (!copy)
        return ce_fail_memory(err);
    for (char *slash = copy + 1;; slash++) {
        if (*slash != '/' && *slash != '\0')
            continue;
        char kept = *slash;
        *slash = '\0';
        if (mkdir(copy, 0700) < 0 && errno != EEXIST)
            return ce_fail(err, errno, "cannot make folder '%s': %s", copy, strerror(errno));
        if (kept == '\0')
            break;
        *slash = kept;
    }
    struct stat st;
    if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode))
        return ce_fail(err, ENOTDIR, "'%s' is not a folder", path);
    return 0;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    return remove(path) < 0 && errno != ENOENT ? errno : 0;
}

int ce_tree_remove(const char *path, struct ce_error *err)
{
    int r = nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
    if (r == 0 || (r < 0 && errno == ENOENT))
        return 0;
    int code = r > 0 ? r : errno;
    return ce_fail(err, code, "cannot remove '%s': %s", path, strerror(code));
}
