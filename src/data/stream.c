/* SPDX-License-Identifier: MIT */
#include "data/stream.h"

#include <fcntl.h>
#include <libgen.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"

enum { BUFFER = 256 * 1024 };

/* ---- sinks ---- */

/* The temporary name says whose it is and is the same every time, so that what a killed process
 * left behind is overwritten by the next one. */
int ce_sink_open(const char *path, mode_t mode, struct ce_sink **ret_sink, struct ce_error *err)
{
    CE_CLEANUP(ce_sink_free_p) struct ce_sink *sink = calloc(1, sizeof *sink);
    if (!sink)
        return ce_fail_memory(err);
    sink->fd = -1;
    sink->path = strdup(path);
    sink->temporary = ce_format("%s.chaoseater-tmp", path);
    sink->buffer = malloc(BUFFER);
    sink->sha = ce_sha256_new();
    if (!sink->path || !sink->temporary || !sink->buffer || !sink->sha)
        return ce_fail_memory(err);
    sink->fd = open(sink->temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (sink->fd < 0)
        return ce_fail(err, errno, "cannot write '%s': %s", path, strerror(errno));
    if (fchmod(sink->fd, mode & 0777) < 0)
        return ce_fail(err, errno, "cannot set the mode of '%s': %s", path, strerror(errno));
    *ret_sink = ce_take(sink);
    return 0;
}

void ce_sink_free(struct ce_sink *sink)
{
    if (!sink)
        return;
    if (sink->fd >= 0) {
        (void)close(sink->fd);
        if (!sink->published)
            (void)unlink(sink->temporary);
    }
    ce_sha256_free(sink->sha);
    free(sink->buffer);
    free(sink->temporary);
    free(sink->path);
    free(sink);
}

static int sink_write(struct ce_sink *sink, const void *data, size_t size, struct ce_error *err)
{
    ce_sha256_add(sink->sha, data, size);
    int r = ce_write_all(sink->fd, data, size);
    return r < 0 ? ce_fail(err, -r, "cannot write '%s': %s", sink->path, strerror(-r)) : 0;
}

static int sink_flush(struct ce_sink *sink, struct ce_error *err)
{
    size_t used = sink->used;
    sink->used = 0;
    return sink_write(sink, sink->buffer, used, err);
}

int ce_sink_put(struct ce_sink *sink, const void *data, size_t size, struct ce_error *err)
{
    sink->total += size;
    if (size > BUFFER - sink->used)
        CE_TRY(sink_flush(sink, err));
    if (size > BUFFER)
        return sink_write(sink, data, size, err);
    if (size > 0)
        memcpy(sink->buffer + sink->used, data, size);
    sink->used += size;
    return 0;
}

int ce_sink_digest(struct ce_sink *sink, char ret_hex[CE_SHA256_HEX], struct ce_error *err)
{
    CE_TRY(sink_flush(sink, err));
    struct ce_sha256 *so_far = ce_take(sink->sha);
    sink->sha = ce_sha256_new();
    if (!sink->sha) {
        ce_sha256_free(so_far);
        return ce_fail_memory(err);
    }
    ce_sha256_end(so_far, ret_hex);
    return 0;
}

int ce_sink_sync(struct ce_sink *sink, struct ce_error *err)
{
    CE_TRY(sink_flush(sink, err));
    if (fsync(sink->fd) < 0)
        return ce_fail(err, errno, "cannot write '%s': %s", sink->path, strerror(errno));
    return 0;
}

int ce_sink_publish(struct ce_sink *sink, struct ce_error *err)
{
    ce_autofree char *copy = strdup(sink->path);
    if (!copy)
        return ce_fail_memory(err);
    if (rename(sink->temporary, sink->path) < 0)
        return ce_fail(err, errno, "cannot write '%s': %s", sink->path, strerror(errno));
    sink->published = true;
    return ce_folder_sync(dirname(copy), err);
}

/* ---- sources ---- */

int ce_source_open(const char *path, uint64_t limit, struct ce_source **ret_source,
                   struct ce_error *err)
{
    CE_CLEANUP(ce_source_free_p) struct ce_source *source = calloc(1, sizeof *source);
    if (!source)
        return ce_fail_memory(err);
    source->fd = -1;
    source->left = limit;
    source->path = strdup(path);
    source->buffer = malloc(BUFFER);
    if (!source->path || !source->buffer)
        return ce_fail_memory(err);
    source->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (source->fd < 0)
        return ce_fail(err, errno, "cannot open '%s': %s", path, strerror(errno));
    *ret_source = ce_take(source);
    return 0;
}

void ce_source_free(struct ce_source *source)
{
    if (!source)
        return;
    if (source->fd >= 0)
        (void)close(source->fd);
    ce_sha256_free(source->sha);
    free(source->buffer);
    free(source->path);
    free(source);
}

/* Makes sure that the buffer holds something. */
static int source_fill(struct ce_source *source, struct ce_error *err)
{
    while (source->begin == source->end) {
        size_t want = source->left < BUFFER ? (size_t)source->left : BUFFER;
        ssize_t n = read(source->fd, source->buffer, want);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return ce_fail(err, errno, "cannot read '%s': %s", source->path, strerror(errno));
        if (n == 0)
            return -ENODATA;
        if (source->sha)
            ce_sha256_add(source->sha, source->buffer, (size_t)n);
        source->begin = 0;
        source->end = (size_t)n;
        source->left -= (uint64_t)n;
    }
    return 0;
}

bool ce_source_ended(const struct ce_source *source)
{
    return source->begin == source->end && source->left == 0;
}

int ce_source_byte(struct ce_source *source, struct ce_error *err)
{
    if (source->begin == source->end)
        CE_TRY(source_fill(source, err));
    return (unsigned char)source->buffer[source->begin++];
}

int ce_source_copy(struct ce_source *source, uint64_t size, struct ce_sink *sink,
                   struct ce_error *err)
{
    while (size > 0) {
        CE_TRY(source_fill(source, err));
        size_t here = source->end - source->begin;
        if (here > size)
            here = (size_t)size;
        if (sink)
            CE_TRY(ce_sink_put(sink, source->buffer + source->begin, here, err));
        source->begin += here;
        size -= here;
    }
    return 0;
}

int ce_source_drain(struct ce_source *source, struct ce_sink *sink, struct ce_error *err)
{
    int r = ce_source_copy(source, UINT64_MAX, sink, err);
    return r == -ENODATA ? 0 : r;
}
