/* SPDX-License-Identifier: MIT */
/* chaoseater serve: begins, listens to suites until it is told to stop, and ends. */
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "web/web_internal.h"

#define DEFAULT_LISTEN "127.0.0.1:8686"

enum { TURN_MS = 100, CONNECTIONS_MAX = 4000, IDLE_SECONDS = 60 };

/* ---- what suites say ---- */

static void on_line(void *ctx, const json_t *event, const char *line, size_t size)
{
    struct ce_server *web = ctx;
    const char *name = json_string_value(json_object_get(event, "event"));
    const char *suite = json_string_value(json_object_get(event, "suite"));
    if (!name || strpbrk(name, "\r\n"))
        return;
    ce_scene_hear(web->scene, event);
    if (strcmp(name, "suite_started") == 0) {
        int pid = (int)json_integer_value(json_object_get(event, "pid"));
        const char *document = ce_launch_began(web->launches, pid, suite);
        if (document)
            ce_scene_name(web->scene, suite, document);
    }
    ce_feed_add(web->feed, name, line, size);
}

static void on_end(void *ctx, const char *suite)
{
    struct ce_server *web = ctx;
    ce_scene_lose(web->scene, suite);
    ce_autojson json_t *event = json_pack("{s:s, s:s}", "event", "suite_left", "suite", suite);
    ce_autofree char *line = event ? json_dumps(event, JSON_COMPACT) : NULL;
    if (line)
        ce_feed_add(web->feed, "suite_left", line, strlen(line));
}

static void listen_to_suites(struct ce_server *web)
{
    struct pollfd polled[CE_WATCHED_MAX + 1 + 2 * CE_LAUNCHES_MAX];
    const volatile sig_atomic_t *signal = web->options->signal;
    while (!signal || !*signal) {
        (void)pthread_mutex_lock(&web->lock);
        size_t n = ce_watch_poll(web->watch, polled);
        n += ce_launches_poll(web->launches, polled + n);
        (void)pthread_mutex_unlock(&web->lock);
        (void)poll(polled, n, TURN_MS);
        (void)pthread_mutex_lock(&web->lock);
        ce_watch_take(web->watch);
        ce_launches_turn(web->launches);
        (void)pthread_mutex_unlock(&web->lock);
        ce_feed_turn(web->feed);
    }
}

/* ---- begin and end ---- */

static bool is_loopback(const struct ce_endpoint *endpoint)
{
    const struct sockaddr *address = (const struct sockaddr *)&endpoint->address;
    if (address->sa_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)address)->sin_addr.s_addr) >> 24 == 127;
    if (address->sa_family == AF_INET6)
        return IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)address)->sin6_addr);
    return false;
}

static int start_server(struct ce_server *web, struct MHD_Daemon **ret_daemon, struct ce_error *err)
{
    const char *listen = web->options->listen ? web->options->listen : DEFAULT_LISTEN;
    CE_TRY(ce_endpoint_parse(listen, &web->listen, err));
    if (strncmp(listen, "unix:", 5) == 0)
        return ce_fail(err, EINVAL, "'%s' is no address that a browser can reach: HOST:PORT",
                       listen);
    int fd = ce_endpoint_listen(&web->listen, err);
    if (fd < 0)
        return fd;
    ce_endpoint_text(&web->listen, web->authority, sizeof web->authority);
    web->loopback = is_loopback(&web->listen);
    *ret_daemon = MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, ce_web_on_request,
        web, MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_NOTIFY_COMPLETED, ce_web_on_end, web,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned)IDLE_SECONDS, MHD_OPTION_END);
    if (*ret_daemon)
        return 0;
    (void)close(fd);
    return ce_fail(err, EIO, "the server could not be started");
}

static void say_ready(const struct ce_server *web)
{
    if (!web->options->ready)
        return;
    ce_autojson json_t *json = json_pack(
        "{s:o, s:s, s:s}", "url", json_sprintf("http://%s/#token=%s", web->authority, web->token),
        "listen", web->authority, "token", web->token);
    ce_autofree char *text = json ? ce_json_text(json) : NULL;
    if (text)
        web->options->ready(web->options->ready_ctx, text);
}

static int prepare(struct ce_server *web, struct ce_error *err)
{
    const struct ce_watch_listener listener = {on_line, on_end, web};
    web->state_dir = web->options->state_dir ? strdup(web->options->state_dir) : ce_state_dir();
    if (!web->state_dir)
        return ce_fail_memory(err);
    CE_TRY(ce_folder_make(web->state_dir, err));
    CE_TRY(ce_token_get(web->state_dir, web->token, err));
    CE_TRY(ce_metrics_new(web->state_dir, &web->metrics, err));
    web->feed = ce_feed_new();
    web->launches = ce_launches_new();
    web->scene = ce_scene_new(web->metrics);
    if (!web->feed || !web->launches || !web->scene)
        return ce_fail_memory(err);
    return ce_watch_open(web->state_dir, &listener, &web->watch, err);
}

/* Clients first, for a daemon does not end with a connection that is suspended. */
static void stop_server(struct ce_server *web, struct MHD_Daemon *daemon)
{
    if (!daemon)
        return;
    ce_feed_end(web->feed);
    (void)pthread_mutex_lock(&web->lock);
    ce_launches_give_up(web->launches);
    (void)pthread_mutex_unlock(&web->lock);
    MHD_stop_daemon(daemon);
}

int ce_serve_run(const struct ce_serve_options *options, struct ce_error *err)
{
    struct ce_server web = {.options = options};
    struct MHD_Daemon *daemon = NULL;
    (void)pthread_mutex_init(&web.lock, NULL);
    int r = prepare(&web, err);
    if (r >= 0)
        r = start_server(&web, &daemon, err);
    if (r >= 0) {
        say_ready(&web);
        listen_to_suites(&web);
    }
    stop_server(&web, daemon);
    ce_launches_free(web.launches);
    ce_watch_close(web.watch);
    ce_scene_free(web.scene);
    ce_feed_free(web.feed);
    ce_metrics_free(web.metrics);
    (void)pthread_mutex_destroy(&web.lock);
    free(web.state_dir);
    return r < 0 ? r : 0;
}
