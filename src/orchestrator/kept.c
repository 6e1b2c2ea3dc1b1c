/* SPDX-License-Identifier: MIT */
/* The file is a line for the suite, {"seed"}, and one for each record, synced as they come. A crash
 * may leave the last line incomplete: it is cut off.
 *
 * Whoever runs a suite holds a lock on its file. Files come and go under a lock on the folder, so
 * that nobody opens one that is just being removed. What is left of suites that were never resumed
 * goes when another suite begins. */
#include "orchestrator/kept.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"

enum { FILE_MAX = 256 << 20, KEPT_MAX = 32, KEPT_DAYS = 30 };
static const int64_t lock_within = CE_SECOND; /* its holders are done in no time */

struct ce_kept {
    char *path, *folder;
    int fd;
    json_t *runs; /* of an earlier suite */
};
static void kept_free(struct ce_kept *kept)
{
    if (kept->fd >= 0)
        (void)close(kept->fd);
    json_decref(kept->runs);
    free(kept->path);
    free(kept->folder);
    free(kept);
}
CE_DEFINE_CLEANUP(struct ce_kept, kept_free);

static int path_of(const char *state_dir, const struct ce_document *doc, const char *variant,
                   char **ret_path, struct ce_error *err)
{
    char hex[CE_SHA256_HEX];
    CE_TRY(ce_document_digest(doc, hex, err));
    *ret_path = ce_format("%s/suite-%.16s%s.jsonl", state_dir, hex, variant);
    return *ret_path ? 0 : ce_fail_memory(err);
}

/* ---- the folder ---- */

/* A descriptor with the lock; -1: without it, somebody has held it for too long. */
static int folder_lock(const char *folder)
{
    ce_autofd int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    for (int64_t until = ce_now() + lock_within; flock(fd, LOCK_EX | LOCK_NB) < 0;) {
        if (errno != EWOULDBLOCK || ce_now() > until)
            return -1;
        ce_sleep_until(ce_now() + CE_MILLISECOND);
    }
    return ce_take_fd(fd);
}

static void folder_unlock(int fd)
{
    if (fd < 0)
        return;
    (void)flock(fd, LOCK_UN); /* a child that was forked meanwhile may have it open */
    (void)close(fd);
}

struct old_file {
    char name[NAME_MAX + 1];
    int64_t changed; /* seconds */
};

static int newest_first(const void *a, const void *b)
{
    const struct old_file *x = a, *y = b;
    return x->changed != y->changed ? (x->changed < y->changed ? 1 : -1) : strcmp(x->name, y->name);
}

static size_t list_files(int fd, struct old_file **ret_files)
{
    int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = copy < 0 ? NULL : fdopendir(copy);
    struct old_file *files = NULL;
    size_t count = 0;
    for (const struct dirent *entry; folder && (entry = readdir(folder));) {
        struct stat st;
        if (fnmatch("suite-*.jsonl", entry->d_name, 0) != 0 ||
            fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
            continue;
        struct old_file *more = realloc(files, (count + 1) * sizeof *files);
        if (!more)
            break;
        files = more;
        files[count] = (struct old_file){.changed = st.st_mtime};
        snprintf(files[count++].name, sizeof files->name, "%s", entry->d_name);
    }
    if (folder)
        (void)closedir(folder);
    else if (copy >= 0)
        (void)close(copy);
    *ret_files = files;
    return count;
}

/* Unless a suite that goes on has it. */
static void remove_file(int folder, const char *name)
{
    ce_autofd int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0)
        return;
    if (unlinkat(folder, name, 0) < 0)
        ce_log("%s: %s", name, strerror(errno));
}

/* Those that nobody will resume any more. */
static void prune(int folder)
{
    struct old_file *files;
    int64_t since = (int64_t)time(NULL) - KEPT_DAYS * INT64_C(86400);
    size_t count = list_files(folder, &files);
    if (count > 0)
        qsort(files, count, sizeof *files, newest_first);
    for (size_t i = 0; i < count; i++)
        if (i >= KEPT_MAX || files[i].changed < since)
            remove_file(folder, files[i].name);
    free(files);
}

/* ---- the lines ---- */

/* Reads the lines that are complete; the rest is cut off. */
static int read_lines(struct ce_kept *kept, uint64_t *seed, struct ce_error *err)
{
    ce_autofree char *text = NULL;
    size_t size, taken = 0;
    CE_TRY(ce_file_read(kept->path, FILE_MAX, &text, &size, err));
    for (char *end; (end = memchr(text + taken, '\n', size - taken)); taken = end + 1 - text) {
        ce_autojson json_t *line =
            ce_json_parse(text + taken, (size_t)(end - text) - taken, kept->path, NULL);
        const json_t *of_suite = json_object_get(line, "seed");
        if (!json_is_object(line))
            break;
        if (of_suite)
            *seed = (uint64_t)json_integer_value(of_suite);
        else if (json_array_append(kept->runs, line) < 0)
            return ce_fail_memory(err);
    }
    return ftruncate(kept->fd, (off_t)taken) < 0
               ? ce_fail(err, errno, "cannot write '%s': %s", kept->path, strerror(errno))
               : 0;
}

static int add_line(const struct ce_kept *kept, json_t *line)
{
    ce_autojson json_t *owned = line;
    ce_autofree char *text = line ? json_dumps(line, JSON_COMPACT | JSON_REAL_PRECISION(17)) : NULL;
    if (!text)
        return -ENOMEM;
    size_t size = strlen(text);
    text[size] = '\n'; /* in the place of the NUL */
    int r = ce_write_all(kept->fd, text, size + 1);
    return r < 0 ? r : fdatasync(kept->fd) < 0 ? -errno : 0;
}

/* 1, or 0 when another suite has it. */
static int open_file(struct ce_kept *kept, struct ce_error *err)
{
    int folder = folder_lock(kept->folder);
    kept->fd = open(kept->path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    int r = kept->fd < 0 ? ce_fail(err, errno, "cannot write '%s': %s", kept->path, strerror(errno))
                         : flock(kept->fd, LOCK_EX | LOCK_NB) == 0;
    if (r > 0)
        (void)futimens(kept->fd, NULL); /* one that is resumed is old no more */
    if (r >= 0 && folder >= 0)
        prune(folder);
    folder_unlock(folder);
    return r;
}

int ce_kept_open(const char *state_dir, const struct ce_document *doc, const char *variant,
                 bool resume, uint64_t *seed, struct ce_kept **ret_kept, struct ce_error *err)
{
    CE_CLEANUP(kept_free_p) struct ce_kept *kept = calloc(1, sizeof *kept);
    if (!kept || !(kept->runs = json_array()) || !(kept->folder = strdup(state_dir)))
        return ce_fail_memory(err);
    kept->fd = -1;
    CE_TRY(path_of(state_dir, doc, variant, &kept->path, err));
    int r = open_file(kept, err);
    CE_TRY(r);
    if (r == 0) {
        if (resume)
            return ce_fail(err, EBUSY, "another suite runs this document right now");
        *ret_kept = NULL;
        return 0;
    }
    if (resume)
        CE_TRY(read_lines(kept, seed, err));
    else if (ftruncate(kept->fd, 0) < 0)
        return ce_fail(err, errno, "cannot write '%s': %s", kept->path, strerror(errno));
    if (json_array_size(kept->runs) == 0) {
        r = add_line(kept, json_pack("{s:I}", "seed", (json_int_t)*seed));
        if (r < 0)
            return ce_fail(err, -r, "cannot write '%s': %s", kept->path, strerror(-r));
    }
    *ret_kept = ce_take(kept);
    return 0;
}

void ce_kept_close(struct ce_kept *kept, bool finished)
{
    if (!kept)
        return;
    int folder = finished ? folder_lock(kept->folder) : -1;
    if (finished)
        (void)unlink(kept->path);
    folder_unlock(folder);
    kept_free(kept);
}

static bool same(const char *a, const char *b)
{
    return strcmp(a ? a : "", b ? b : "") == 0;
}

bool ce_kept_find(const struct ce_kept *kept, const char *name, const char *profile, int repeat,
                  struct ce_record *ret_record)
{
    size_t i;
    json_t *run;
    if (!kept)
        return false;
    json_array_foreach(kept->runs, i, run)
    {
        struct ce_record record;
        if (ce_record_read(run, &record, NULL) < 0)
            continue;
        if (same(record.name, name) && record.repeat == repeat && same(record.profile, profile)) {
            *ret_record = record;
            return true;
        }
        ce_record_done(&record);
    }
    return false;
}

void ce_kept_add(struct ce_kept *kept, const struct ce_record *record)
{
    int r = kept ? add_line(kept, ce_record_json(record)) : 0;
    if (r < 0)
        ce_log("%s: %s", kept->path, strerror(-r));
}
