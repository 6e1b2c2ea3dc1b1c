/* SPDX-License-Identifier: MIT */
#include "pipeline/embedded/request_log.h"

#include <ctype.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"

struct ce_request_log {
    char *path, *old_path;
    bool in_background;
    /* In the background: */
    pthread_mutex_t lock;
    pthread_cond_t filled;
    char *lines[CE_REQUEST_LOG_QUEUE]; /* a ring */
    size_t first, count;
    size_t dropped; /* since the last line that was written */
};

/* ---- the file ---- */

/* A line is there whole or not at all. */
static int append(int fd, off_t end, const char *line, size_t size)
{
    ssize_t n = write(fd, line, size);
    if (n == (ssize_t)size)
        return fdatasync(fd) < 0 ? -errno : 0;
    int r = n < 0 ? -errno : -ENOSPC;
    if (n > 0)
        (void)ftruncate(fd, end);
    return r;
}

static int write_line(struct ce_request_log *log, const char *line, struct ce_error *err)
{
    const int flags = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC;
    size_t size = strlen(line);
    struct stat st;
    ce_autofd int fd = open(log->path, flags, 0600);
    if (fd >= 0 && fstat(fd, &st) == 0 && st.st_size + (off_t)size > CE_REQUEST_LOG_LIMIT) {
        (void)rename(log->path, log->old_path);
        (void)close(ce_take_fd(fd));
        fd = open(log->path, flags, 0600);
    }
    int r = fd < 0 || fstat(fd, &st) < 0 ? -errno : append(fd, st.st_size, line, size);
    if (r < 0)
        return ce_fail(err, -r, "cannot write the request log: %s", strerror(-r));
    return 0;
}

/* ---- a line ---- */

/* Copies printable text; all else becomes `instead`. */
static size_t copy_printable(char *to, const char *from, size_t size, char instead)
{
    for (size_t i = 0; i < size; i++)
        to[i] = isgraph((unsigned char)from[i]) ? from[i] : instead;
    to[size] = '\0';
    return size;
}

/* Free with free(); NULL: no memory. */
static char *make_line(const struct ce_request_entry *entry)
{
    char time[CE_TIMESTAMP_SIZE], id[65], body[CE_REQUEST_LOG_BODY + 1];
    size_t id_size = entry->id ? strnlen(entry->id, sizeof id - 1) : 0;
    size_t size = entry->size < CE_REQUEST_LOG_BODY ? entry->size : CE_REQUEST_LOG_BODY;
    ce_timestamp(ce_wall_now(), time);
    (void)copy_printable(id, entry->id, id_size, '_');
    (void)copy_printable(body, entry->body, size, ' ');
    return ce_format("%s %s %s/%s rows=%zu prediction=%.6g %s\n", time, *id ? id : "-",
                     entry->model, entry->version, entry->rows, entry->prediction, body);
}

/* ---- in the background ---- */

/* NULL line: there was no memory for it. */
static void enqueue(struct ce_request_log *log, char *line)
{
    (void)pthread_mutex_lock(&log->lock);
    if (!line || log->count == CE_REQUEST_LOG_QUEUE) {
        log->dropped++;
        free(line);
    } else {
        log->lines[(log->first + log->count++) % CE_REQUEST_LOG_QUEUE] = line;
        (void)pthread_cond_signal(&log->filled);
    }
    (void)pthread_mutex_unlock(&log->lock);
}

static char *dequeue(struct ce_request_log *log)
{
    (void)pthread_mutex_lock(&log->lock);
    while (log->count == 0)
        (void)pthread_cond_wait(&log->filled, &log->lock);
    char *line = log->lines[log->first];
    log->first = (log->first + 1) % CE_REQUEST_LOG_QUEUE;
    log->count--;
    (void)pthread_mutex_unlock(&log->lock);
    return line;
}

static size_t take_dropped(struct ce_request_log *log)
{
    (void)pthread_mutex_lock(&log->lock);
    size_t dropped = log->dropped;
    log->dropped = 0;
    (void)pthread_mutex_unlock(&log->lock);
    return dropped;
}

static void add_dropped(struct ce_request_log *log, size_t more)
{
    (void)pthread_mutex_lock(&log->lock);
    log->dropped += more;
    (void)pthread_mutex_unlock(&log->lock);
}

static void write_dropped(struct ce_request_log *log)
{
    char time[CE_TIMESTAMP_SIZE], text[CE_TIMESTAMP_SIZE + 40];
    size_t dropped = take_dropped(log);
    if (dropped == 0)
        return;
    ce_timestamp(ce_wall_now(), time);
    snprintf(text, sizeof text, "%s dropped %zu\n", time, dropped);
    if (write_line(log, text, NULL) < 0)
        add_dropped(log, dropped);
}

static void *write_lines(void *ctx)
{
    struct ce_request_log *log = ctx;
    for (;;) {
        ce_autofree char *line = dequeue(log);
        if (write_line(log, line, NULL) < 0)
            add_dropped(log, 1);
        else
            write_dropped(log);
    }
    return NULL;
}

/* ---- the log ---- */

int ce_request_log_open(const char *folder, bool in_background, struct ce_request_log **ret_log,
                        struct ce_error *err)
{
    struct ce_request_log *log = calloc(1, sizeof *log); /* as long as the process */
    pthread_t thread;
    if (!log)
        return ce_fail_memory(err);
    log->in_background = in_background;
    log->path = ce_format("%s/" CE_REQUEST_LOG, folder);
    log->old_path = ce_format("%s/" CE_REQUEST_LOG ".1", folder);
    int r = log->path && log->old_path ? 0 : ce_fail_memory(err);
    if (r == 0 && in_background) {
        (void)pthread_mutex_init(&log->lock, NULL);
        (void)pthread_cond_init(&log->filled, NULL);
        int code = pthread_create(&thread, NULL, write_lines, log);
        if (code != 0)
            r = ce_fail(err, code, "cannot start a thread: %s", strerror(code));
    }
    if (r < 0) {
        free(log->path);
        free(log->old_path);
        free(log);
        return r;
    }
    *ret_log = log;
    return 0;
}

int ce_request_log_add(struct ce_request_log *log, const struct ce_request_entry *entry,
                       struct ce_error *err)
{
    char *line = make_line(entry);
    if (log->in_background) {
        enqueue(log, line);
        return 0;
    }
    int r = line ? write_line(log, line, err) : ce_fail_memory(err);
    free(line);
    return r;
}
