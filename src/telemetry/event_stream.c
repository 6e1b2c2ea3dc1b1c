/* SPDX-License-Identifier: MIT */
/* A stream is a list of outlets: the file that was asked for, and the watchers. Each has its own
 * bytes that wait. What is written to a file or pipe goes in pieces that a pipe which has room for
 * anything takes whole (PIPE_BUF), so that a write never blocks. */
#include "telemetry/event_stream.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"

enum { WATCHERS_MAX = 32 };
#define LOOK_EVERY   CE_SECOND
#define LAST_MOMENTS CE_SECOND

struct bytes {
    char *data;
    size_t size, capacity;
};

struct outlet {
    int fd;           /* -1: there is none */
    bool is_socket;   /* of a watcher */
    bool is_regular;  /* a file on a disk, whose lines are whole ones even if two suites write it */
    ino_t of;         /* the watcher's socket */
    struct bytes due; /* what waits */
    size_t limit;     /* how much may */
};

struct ce_event_stream {
    char *suite, *folder, *path;
    struct bytes past; /* for who comes later */
    struct outlet file, watchers[WATCHERS_MAX];
    int64_t looked;
    int problem; /* errno of the file; 0: none */
};

/* ---- bytes ---- */

static int append(struct bytes *bytes, const char *data, size_t size)
{
    if (bytes->size + size > bytes->capacity) {
        size_t capacity = 2 * (bytes->size + size);
        char *grown = realloc(bytes->data, capacity);
        if (!grown)
            return -ENOMEM;
        bytes->data = grown;
        bytes->capacity = capacity;
    }
    memcpy(bytes->data + bytes->size, data, size);
    bytes->size += size;
    return 0;
}

static void drop_first(struct bytes *bytes, size_t count)
{
    bytes->size -= count;
    memmove(bytes->data, bytes->data + count, bytes->size);
}

/* ---- an outlet ---- */

static void shut(struct outlet *outlet)
{
    if (outlet->fd > STDOUT_FILENO)
        (void)close(outlet->fd);
    free(outlet->due.data);
    *outlet = (struct outlet){.fd = -1};
}

/* At once: how many bytes were taken, or a negative errno; -EAGAIN: none now. */
static ssize_t hand_over(const struct outlet *outlet)
{
    const struct bytes *due = &outlet->due;
    struct pollfd room = {outlet->fd, POLLOUT, 0};
    ssize_t n;
    if (outlet->is_socket) {
        n = send(outlet->fd, due->data, due->size, MSG_DONTWAIT | MSG_NOSIGNAL);
        return n < 0 ? -errno : n;
    }
    if (poll(&room, 1, 0) < 1)
        return -EAGAIN;
    if (room.revents & (POLLERR | POLLHUP))
        return -EPIPE;
    size_t piece = outlet->is_regular || due->size < PIPE_BUF ? due->size : PIPE_BUF;
    n = write(outlet->fd, due->data, piece);
    return n < 0 ? -errno : n;
}

/* 0 when all is passed on, or not now; a negative errno when nothing will be any more. */
static int pass_on(struct outlet *outlet)
{
    while (outlet->fd >= 0 && outlet->due.size > 0) {
        ssize_t n = hand_over(outlet);
        if (n == -EINTR)
            continue;
        if (n < 0)
            return n == -EAGAIN ? 0 : (int)n;
        drop_first(&outlet->due, (size_t)n);
    }
    return 0;
}

static int offer(struct outlet *outlet, const char *line, size_t size)
{
    if (outlet->due.size + size > outlet->limit)
        return -ENOBUFS;
    int r = append(&outlet->due, line, size);
    return r < 0 ? r : pass_on(outlet);
}

static void offer_file(struct ce_event_stream *stream, const char *line, size_t size)
{
    struct outlet *file = &stream->file;
    int r = file->fd >= 0 ? offer(file, line, size) : 0;
    if (r == 0)
        return;
    stream->problem = -r;
    if (r != -ENOBUFS) /* who only reads slowly may catch up */
        shut(file);
}

/* ---- watchers ---- */

static bool is_known(const struct ce_event_stream *stream, ino_t socket_file)
{
    for (size_t i = 0; i < WATCHERS_MAX; i++)
        if (stream->watchers[i].fd >= 0 && stream->watchers[i].of == socket_file)
            return true;
    return false;
}

static struct outlet *free_place(struct ce_event_stream *stream)
{
    for (size_t i = 0; i < WATCHERS_MAX; i++)
        if (stream->watchers[i].fd < 0)
            return &stream->watchers[i];
    return NULL;
}

/* By the folder's descriptor: an address holds a hundred bytes, and a state folder's name may be
 * longer. A socket whose listener has gone is removed: nobody will listen there again. */
static int connect_to(int folder, const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int size =
        snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/%s", folder, name);
    int fd = -1;
    if (size < (int)sizeof address.sun_path)
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    if (connect(fd, (const struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    if (errno == ECONNREFUSED)
        (void)unlinkat(folder, name, 0);
    (void)close(fd);
    return -1;
}

static void greet(struct ce_event_stream *stream, int folder, const char *name, ino_t of)
{
    struct outlet *watcher = free_place(stream);
    int fd = watcher ? connect_to(folder, name) : -1;
    if (fd < 0)
        return;
    *watcher = (struct outlet){
        .fd = fd,
        .is_socket = true,
        .of = of,
        .limit = stream->past.size + CE_EVENT_STREAM_BEHIND,
    };
    if (stream->past.size > 0 && offer(watcher, stream->past.data, stream->past.size) < 0)
        shut(watcher);
}

static void look_for_watchers(struct ce_event_stream *stream)
{
    const struct dirent *entry;
    size_t suffix = strlen(CE_WATCH_SUFFIX);
    DIR *folder = opendir(stream->folder);
    while (folder && (entry = readdir(folder))) {
        size_t size = strlen(entry->d_name);
        if (size <= suffix || strcmp(entry->d_name + size - suffix, CE_WATCH_SUFFIX) != 0 ||
            is_known(stream, entry->d_ino))
            continue;
        greet(stream, dirfd(folder), entry->d_name, entry->d_ino);
    }
    if (folder)
        (void)closedir(folder);
}

/* ---- the stream ---- */

static int open_file(struct ce_event_stream *stream, struct ce_error *err)
{
    struct stat st;
    bool standard = strcmp(stream->path, "-") == 0;
    /* O_NONBLOCK: a named pipe that nobody reads is said to be one. */
    int flags = O_WRONLY | O_CREAT | O_APPEND | O_NONBLOCK | O_CLOEXEC;
    int fd = standard ? STDOUT_FILENO : open(stream->path, flags, 0666);
    if (fd < 0 && errno == ENXIO)
        return ce_fail(err, ENXIO, "cannot write events to '%s': nobody reads it", stream->path);
    if (fd < 0)
        return ce_fail(err, errno, "cannot write events to '%s': %s", stream->path,
                       strerror(errno));
    stream->file = (struct outlet){
        .fd = fd,
        .is_regular = fstat(fd, &st) == 0 && S_ISREG(st.st_mode),
        .limit = CE_EVENT_STREAM_BEHIND,
    };
    return 0;
}

int ce_event_stream_open(const char *path, const char *state_dir, const char *suite,
                         struct ce_event_stream **ret_stream, struct ce_error *err)
{
    struct ce_event_stream *stream = calloc(1, sizeof *stream);
    if (!stream)
        return ce_fail_memory(err);
    stream->file.fd = -1;
    for (size_t i = 0; i < WATCHERS_MAX; i++)
        stream->watchers[i].fd = -1;
    stream->suite = strdup(suite);
    stream->folder = ce_format("%s/%s", state_dir, CE_WATCH_FOLDER);
    stream->path = strdup(path ? path : "");
    int r = stream->suite && stream->folder && stream->path ? 0 : ce_fail_memory(err);
    if (r == 0 && path)
        r = open_file(stream, err);
    if (r < 0) {
        ce_event_stream_close(stream, NULL);
        return r;
    }
    *ret_stream = stream;
    ce_event_stream_turn(stream);
    return 0;
}

static char *line_of(const struct ce_event_stream *stream, const char *name, json_t *event)
{
    char at[CE_TIMESTAMP_SIZE];
    ce_timestamp(ce_wall_now(), at);
    ce_autojson json_t *whole =
        json_pack("{s:s, s:s, s:s}", "event", name, "at", at, "suite", stream->suite);
    if (!whole || json_object_update_missing(whole, event) < 0)
        return NULL;
    return json_dumps(whole, JSON_COMPACT | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(15));
}

void ce_event_stream_say(struct ce_event_stream *stream, const char *name, json_t *event,
                         bool passes)
{
    ce_autojson json_t *owned = event;
    ce_autofree char *line = stream && event ? line_of(stream, name, event) : NULL;
    if (!line)
        return;
    size_t size = strlen(line);
    line[size++] = '\n'; /* in the place of the NUL */
    if (!passes)
        (void)append(&stream->past, line, size);
    offer_file(stream, line, size);
    for (size_t i = 0; i < WATCHERS_MAX; i++)
        if (stream->watchers[i].fd >= 0 && offer(&stream->watchers[i], line, size) < 0)
            shut(&stream->watchers[i]);
    ce_event_stream_turn(stream);
}

static bool pass_all_on(struct ce_event_stream *stream)
{
    bool waits = false;
    int r = pass_on(&stream->file);
    if (r < 0) {
        stream->problem = -r;
        shut(&stream->file);
    }
    for (size_t i = 0; i < WATCHERS_MAX; i++) {
        if (pass_on(&stream->watchers[i]) < 0)
            shut(&stream->watchers[i]);
        waits = waits || stream->watchers[i].due.size > 0;
    }
    return waits || stream->file.due.size > 0;
}

void ce_event_stream_turn(struct ce_event_stream *stream)
{
    int64_t now = ce_now();
    if (!stream)
        return;
    (void)pass_all_on(stream);
    if (stream->looked != 0 && now < stream->looked + LOOK_EVERY)
        return;
    stream->looked = now;
    look_for_watchers(stream);
}

static char *problem_of(const struct ce_event_stream *stream)
{
    return ce_format("events are missing in '%s': %s", stream->path,
                     stream->problem == ENOBUFS ? "its reader is too slow"
                                                : strerror(stream->problem));
}

void ce_event_stream_close(struct ce_event_stream *stream, char **ret_problem)
{
    if (!stream)
        return;
    int64_t until = ce_now() + LAST_MOMENTS;
    bool waits;
    while ((waits = pass_all_on(stream)) && ce_now() < until)
        ce_sleep_until(ce_now() + CE_MILLISECOND);
    if (stream->file.fd >= 0 && stream->file.due.size > 0 && !stream->problem)
        stream->problem = ENOBUFS;
    if (ret_problem && stream->problem)
        *ret_problem = problem_of(stream);
    shut(&stream->file);
    for (size_t i = 0; i < WATCHERS_MAX; i++)
        shut(&stream->watchers[i]);
    free(stream->past.data);
    free(stream->suite);
    free(stream->folder);
    free(stream->path);
    free(stream);
}
