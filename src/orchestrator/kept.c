/* SPDX-License-Identifier: MIT */
/* The file is a line for the suite, {"seed"}, and one for each record, synced as they come. A crash
 * may leave the last line incomplete: it is cut off. */
#include "orchestrator/kept.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"

enum { FILE_MAX = 256 << 20 };

struct ce_kept {
    char *path;
    int fd;
    json_t *runs; /* of an earlier suite */
};
static void kept_free(struct ce_kept *kept)
{
    if (kept->fd >= 0)
        (void)close(kept->fd);
    json_decref(kept->runs);
    free(kept->path);
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

int ce_kept_open(const char *state_dir, const struct ce_document *doc, const char *variant,
                 bool resume, uint64_t *seed, struct ce_kept **ret_kept, struct ce_error *err)
{
    CE_CLEANUP(kept_free_p) struct ce_kept *kept = calloc(1, sizeof *kept);
    if (!kept || !(kept->runs = json_array()))
        return ce_fail_memory(err);
    kept->fd = -1;
    CE_TRY(path_of(state_dir, doc, variant, &kept->path, err));
    kept->fd = open(kept->path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (kept->fd < 0)
        return ce_fail(err, errno, "cannot write '%s': %s", kept->path, strerror(errno));
    if (flock(kept->fd, LOCK_EX | LOCK_NB) < 0) {
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
        int r = add_line(kept, json_pack("{s:I}", "seed", (json_int_t)*seed));
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
    if (finished)
        (void)unlink(kept->path);
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
