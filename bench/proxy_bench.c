/* SPDX-License-Identifier: MIT */
/* What bench/proxy.sh cannot get from the proxies, nor from wrk.
 *
 *     proxy_bench port               prints a free port
 *     proxy_bench origin MS          prints its port; answers each request, after MS milliseconds
 *     proxy_bench share PORT MS      64 connections for 2 s: the percentage of all requests that
 *                                    were answered after MS milliseconds or more
 *     proxy_bench idle PORT COUNT    makes one request on each of COUNT connections, says "idle",
 *                                    and leaves them open until it is killed */
#include <arpa/inet.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { VALUES = 86, CLIENTS = 64, HELD_MAX = 1 << 16 };

#define MILLISECOND INT64_C(1000000)
#define SECOND      (1000 * MILLISECOND)

static int64_t now(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec * SECOND + at.tv_nsec;
}

static void need(int64_t result, const char *what)
{
    if (result < 0) {
        perror(what);
        exit(1);
    }
}

static struct sockaddr_in loopback(int port)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

/* Prints its port. */
static int listen_anywhere(void)
{
    struct sockaddr_in address = loopback(0);
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    need(bind(fd, (struct sockaddr *)&address, size), "bind");
    need(listen(fd, SOMAXCONN), "listen");
    need(getsockname(fd, (struct sockaddr *)&address, &size), "getsockname");
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

/* Messages come one at a time and end in a brace. 1, 0 when more is to come, or negative. */
static int has_come(int fd)
{
    char data[4096];
    ssize_t n = recv(fd, data, sizeof data, 0);
    return n <= 0 ? -1 : data[n - 1] == '}';
}

/* ---- the origin ---- */

/* 1 KiB: the probabilities of many classes. */
static size_t make_answer(char answer[2048])
{
    char body[1200];
    int size = sprintf(body,
                       "{\"model_name\":\"m\",\"outputs\":[{\"name\":\"p\","
                       "\"datatype\":\"FP32\",\"shape\":[1,%d],\"data\":[",
                       VALUES);
    for (int i = 0; i < VALUES; i++)
        size += sprintf(body + size, "0.%08d%s", 1234567 + i, i + 1 < VALUES ? "," : "]}]}");
    return (size_t)sprintf(answer,
                           "HTTP/1.1 200 OK\r\nServer: origin\r\nContent-Type: application/json\r\n"
                           "Content-Length: %d\r\n\r\n%s",
                           size, body);
}

static void watch(int epoll, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    need(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event), "epoll_ctl");
}

static void serve(int64_t delay_ns)
{
    static struct {
        int fd;
        int64_t until;
    } held[HELD_MAX]; /* a ring */
    char answer[2048];
    size_t size = make_answer(answer), first = 0, end = 0;
    int listener = listen_anywhere(), epoll = epoll_create1(0);
    watch(epoll, listener);
    for (;;) {
        struct epoll_event events[64];
        int64_t left = first < end ? held[first % HELD_MAX].until - now() : 0;
        struct timespec wait = {.tv_nsec = left > 0 ? left : 0};
        int n = epoll_pwait2(epoll, events, 64, first < end ? &wait : NULL, NULL);
        for (int i = 0; i < n; i++) {
            int fd = events[i].data.fd, come = 0;
            if (fd == listener)
                watch(epoll, accept(listener, NULL, NULL));
            else if ((come = has_come(fd)) < 0)
                close(fd);
            if (come > 0 && delay_ns == 0) {
                (void)!send(fd, answer, size, MSG_NOSIGNAL);
            } else if (come > 0) {
                held[end % HELD_MAX].fd = fd;
                held[end++ % HELD_MAX].until = now() + delay_ns;
            }
        }
        for (; first < end && held[first % HELD_MAX].until <= now(); first++)
            (void)!send(held[first % HELD_MAX].fd, answer, size, MSG_NOSIGNAL);
    }
}

/* ---- clients ---- */

static int dial(int port)
{
    struct sockaddr_in address = loopback(port);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    need(connect(fd, (struct sockaddr *)&address, sizeof address), "connect");
    return fd;
}

static void ask(int fd)
{
    static const char request[] = "POST /v2/models/m/infer HTTP/1.1\r\nHost: bench\r\n"
                                  "Content-Type: application/json\r\nContent-Length: 13\r\n\r\n"
                                  "{\"inputs\":[]}";
    need(send(fd, request, sizeof request - 1, MSG_NOSIGNAL), "send");
    int come;
    while ((come = has_come(fd)) == 0)
        ;
    need(come, "recv");
}

struct client {
    pthread_t thread;
    int port;
    int64_t least_ns, end, all, late;
};

static void *ask_on(void *arg)
{
    struct client *client = arg;
    int fd = dial(client->port);
    for (int64_t asked; (asked = now()) < client->end; client->all++) {
        ask(fd);
        client->late += now() - asked >= client->least_ns;
    }
    return NULL;
}

static void print_share(int port, int64_t least_ns)
{
    struct client clients[CLIENTS];
    int64_t end = now() + 2 * SECOND, all = 0, late = 0;
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = (struct client){.port = port, .least_ns = least_ns, .end = end};
        need(-pthread_create(&clients[i].thread, NULL, ask_on, &clients[i]), "pthread_create");
    }
    for (int i = 0; i < CLIENTS; i++) {
        pthread_join(clients[i].thread, NULL);
        all += clients[i].all;
        late += clients[i].late;
    }
    printf("%.1f %% of %lld\n", 100.0 * (double)late / (double)all, (long long)all);
}

static void stay_idle(int port, int count)
{
    for (int i = 0; i < count; i++)
        ask(dial(port));
    puts("idle");
    fflush(stdout);
    pause();
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    int a = argc > 2 ? atoi(argv[2]) : 0, b = argc > 3 ? atoi(argv[3]) : 0;
    if (strcmp(what, "port") == 0)
        (void)listen_anywhere();
    else if (strcmp(what, "origin") == 0)
        serve(a * MILLISECOND);
    else if (strcmp(what, "share") == 0)
        print_share(a, b * MILLISECOND);
    else if (strcmp(what, "idle") == 0)
        stay_idle(a, b);
    else
        return 2;
    return 0;
}
