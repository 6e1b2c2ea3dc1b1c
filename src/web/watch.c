/* SPDX-License-Identifier: MIT */
#include "web/watch.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/identity.h"
#include "telemetry/event_stream.h"

enum { LINE_MAX_SIZE = 16 << 20, PIECE = 64 << 10 };

struct watched {
    int fd; /* -1: the place is free */
    struct ce_process_id leader;
    char suite[64]; /* "": it has said nothing yet */
    char *text;
    size_t size, capacity;
};

struct ce_watch {
    struct ce_watch_listener listener;
    int folder, fd;
    char name[32];
    struct watched watched[CE_WATCHED_MAX];
};

/* ---- begin and end ---- */

/* By the folder's descriptor: an address holds a hundred bytes. */
static int listen_there(struct ce_watch *watch, struct ce_error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(watch->name, sizeof watch->name, "%d%s", (int)getpid(), CE_WATCH_SUFFIX);
    snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/%s", watch->folder,
             watch->name);
    (void)unlinkat(watch->folder, watch->name, 0); /* of a process that had our pid */
    watch->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (watch->fd < 0 || bind(watch->fd, (const struct sockaddr *)&address, sizeof address) < 0 ||
        listen(watch->fd, CE_WATCHED_MAX) < 0)
        return ce_fail(err, errno, "cannot listen to suites: %s", strerror(errno));
    return 0;
}

int ce_watch_open(const char *state_dir, const struct ce_watch_listener *listener,
                  struct ce_watch **ret_watch, struct ce_error *err)
{
    ce_autofree char *path = ce_format("%s/%s", state_dir, CE_WATCH_FOLDER);
    struct ce_watch *watch = path ? calloc(1, sizeof *watch) : NULL;
    if (!watch)
        return ce_fail_memory(err);
    watch->listener = *listener;
    watch->fd = watch->folder = -1;
    for (size_t i = 0; i < CE_WATCHED_MAX; i++)
        watch->watched[i].fd = -1;
    int r = ce_folder_make(path, err);
    if (r == 0 && (watch->folder = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC)) < 0)
        r = ce_fail(err, errno, "cannot open '%s': %s", path, strerror(errno));
    if (r == 0)
        r = listen_there(watch, err);
    if (r < 0) {
        ce_watch_close(watch);
        return r;
    }
    *ret_watch = watch;
    return 0;
}

static void leave(struct watched *watched)
{
    (void)close(watched->fd);
    free(watched->text);
    *watched = (struct watched){.fd = -1};
}

void ce_watch_close(struct ce_watch *watch)
{
    if (!watch)
        return;
    if (watch->fd >= 0) {
        (void)unlinkat(watch->folder, watch->name, 0);
        (void)close(watch->fd);
    }
    if (watch->folder >= 0)
        (void)close(watch->folder);
    for (size_t i = 0; i < CE_WATCHED_MAX; i++)
        if (watch->watched[i].fd >= 0)
            leave(&watch->watched[i]);
    free(watch);
}

/* ---- who comes ---- */

/* CE_WATCHED_MAX: none is free; then who comes has to wait. */
static size_t free_place(const struct ce_watch *watch)
{
    size_t i = 0;
    while (i < CE_WATCHED_MAX && watch->watched[i].fd >= 0)
        i++;
    return i;
}

static void accept_all(struct ce_watch *watch)
{
    size_t i;
    while ((i = free_place(watch)) < CE_WATCHED_MAX) {
        struct watched *place = &watch->watched[i];
        struct ucred peer;
        socklen_t size = sizeof peer;
        int fd = accept4(watch->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0)
            return;
        *place = (struct watched){.fd = fd};
        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 ||
            ce_process_identify(peer.pid, &place->leader) < 0)
            place->leader.pid = 0; /* it has gone; what it said is heard all the same */
    }
}

/* ---- what they say ---- */

static void understand(struct ce_watch *watch, struct watched *watched, const char *line,
                       size_t size)
{
    ce_autojson json_t *event = json_loadb(line, size, 0, NULL);
    const char *suite = json_string_value(json_object_get(event, "suite"));
    if (!suite)
        return;
    if (!watched->suite[0])
        snprintf(watched->suite, sizeof watched->suite, "%s", suite);
    if (strcmp(watched->suite, suite) == 0)
        watch->listener.line(watch->listener.ctx, event, line, size);
}

static int make_room(struct watched *watched)
{
    if (watched->size + PIECE <= watched->capacity)
        return 0;
    size_t capacity = 2 * watched->capacity + PIECE;
    char *text = capacity <= LINE_MAX_SIZE ? realloc(watched->text, capacity) : NULL;
    if (!text)
        return -ENOMEM;
    watched->text = text;
    watched->capacity = capacity;
    return 0;
}

static void take_lines(struct ce_watch *watch, struct watched *watched)
{
    size_t taken = 0;
    char *end;
    while ((end = memchr(watched->text + taken, '\n', watched->size - taken))) {
        const char *line = watched->text + taken;
        understand(watch, watched, line, (size_t)(end - line));
        taken = (size_t)(end + 1 - watched->text);
    }
    watched->size -= taken;
    memmove(watched->text, watched->text + taken, watched->size);
}

static void hear(struct ce_watch *watch, struct watched *watched)
{
    for (;;) {
        ssize_t n = -1;
        if (make_room(watched) == 0)
            n = read(watched->fd, watched->text + watched->size, PIECE);
        else
            errno = ENOMEM;
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n <= 0)
            break;
        watched->size += (size_t)n;
        take_lines(watch, watched);
    }
    char suite[sizeof watched->suite];
    memcpy(suite, watched->suite, sizeof suite);
    leave(watched);
    if (suite[0])
        watch->listener.end(watch->listener.ctx, suite);
}

size_t ce_watch_poll(const struct ce_watch *watch, struct pollfd *polled)
{
    size_t n = 0;
    if (free_place(watch) < CE_WATCHED_MAX)
        polled[n++] = (struct pollfd){watch->fd, POLLIN, 0};
    for (size_t i = 0; i < CE_WATCHED_MAX; i++)
        if (watch->watched[i].fd >= 0)
            polled[n++] = (struct pollfd){watch->watched[i].fd, POLLIN, 0};
    return n;
}

void ce_watch_take(struct ce_watch *watch)
{
    accept_all(watch);
    for (size_t i = 0; i < CE_WATCHED_MAX; i++)
        if (watch->watched[i].fd >= 0)
            hear(watch, &watch->watched[i]);
}

int ce_watch_interrupt(const struct ce_watch *watch, const char *suite, struct ce_error *err)
{
    for (size_t i = 0; i < CE_WATCHED_MAX; i++) {
        const struct watched *watched = &watch->watched[i];
        if (watched->fd < 0 || strcmp(watched->suite, suite) != 0)
            continue;
        int r = watched->leader.pid > 0 ? ce_process_signal(&watched->leader, SIGINT) : -ESRCH;
        if (r < 0 && r != -ESRCH)
            return ce_fail(err, -r, "cannot interrupt process %d: %s", (int)watched->leader.pid,
                           strerror(-r));
        return 0;
    }
    return ce_fail(err, ENOENT, "no suite '%s' goes on", suite);
}
