/* SPDX-License-Identifier: MIT */
/* What bench/proxy.sh cannot get from the proxies under test or from wrk. Needs nothing but libc.
 *
 *     proxy_bench port               prints a free port
 *     proxy_bench origin [MS]        prints its port; answers every request, after MS milliseconds
 *     proxy_bench share PORT MS      64 connections for 2 s: the share of requests, in percent,
 *                                    that were answered no sooner than after MS milliseconds
 *     proxy_bench idle PORT COUNT    makes one request on each of COUNT connections, prints
 *                                    "idle", and keeps them open until it is killed */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BODY_SIZE = 1024, CLIENTS = 64, HELD_MAX = 1 << 16 };

#define MILLISECOND INT64_C(1000000)
#define SECOND (1000 * MILLISECOND)

static int64_t now(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec * SECOND + at.tv_nsec;
}

static void need(int64_t result, const char *what)
{
    if (result >= 0)
        return;
    perror(what);
    exit(1);
}

static struct sockaddr_in loopback(int port)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

/* Prints the port, too. */
static int listen_anywhere(void)
{
    struct sockaddr_in address = loopback(0);
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    need(bind(fd, (struct sockaddr *)&address, size), "bind");
    need(listen(fd, SOMAXCONN), "listen");
    need(getsockname(fd, (struct sockaddr *)&address, &size), "getsockname");
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

static void watch(int epoll, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    need(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event), "epoll_ctl");
}

/* Requests and answers end in a brace, and come one at a time. */
static int has_come(int fd)
{
    char data[4096];
    ssize_t n = recv(fd, data, sizeof data, 0);
    return n <= 0 ? -1 : data[n - 1] == '}';
}

/* ---- the origin ---- */

static size_t make_answer(char answer[BODY_SIZE + 256])
{
    int head = sprintf(answer,
                       "HTTP/1.1 200 OK\r\nServer: origin\r\nContent-Type: application/json\r\n"
                       "Content-Length: %d\r\n\r\n",
                       BODY_SIZE);
    char *body = answer + head;
    static const char end[] = "0.5]}]}";
    size_t size = (size_t)sprintf(body, "{\"model_name\":\"m\",\"outputs\":[{\"name\":\"p\","
                                        "\"datatype\":\"FP64\",\"shape\":[%d],\"data\":[",
                                  (BODY_SIZE - 75) / 4 + 1);
    while (size + 4 + strlen(end) <= BODY_SIZE)
        size += (size_t)sprintf(body + size, "0.5,");
    memmove(body + BODY_SIZE - strlen(end), end, strlen(end));
    memset(body + size, ' ', BODY_SIZE - strlen(end) - size);
    return (size_t)head + BODY_SIZE;
}

static void serve(int64_t delay_ns)
{
    static struct held {
        int fd;
        int64_t until;
    } held[HELD_MAX];
    char answer[BODY_SIZE + 256];
    size_t size = make_answer(answer), first = 0, count = 0;
    int listener = listen_anywhere(), epoll = epoll_create1(EPOLL_CLOEXEC);
    watch(epoll, listener);
    for (;;) {
        struct epoll_event events[64];
        int64_t left = count > 0 ? held[first].until - now() : 0;
        struct timespec wait = {.tv_nsec = left > 0 ? left : 0};
        int n = epoll_pwait2(epoll, events, 64, count > 0 ? &wait : NULL, NULL);
        for (int i = 0; i < n; i++) {
            int fd = events[i].data.fd;
            if (fd == listener) {
                watch(epoll, accept4(listener, NULL, NULL, SOCK_CLOEXEC));
                continue;
            }
            int come = has_come(fd);
            if (come < 0)
                close(fd);
            else if (come && delay_ns == 0)
                (void)!send(fd, answer, size, MSG_NOSIGNAL);
            else if (come)
                held[(first + count++) % HELD_MAX] = (struct held){fd, now() + delay_ns};
        }
        for (; count > 0 && held[first].until <= now(); count--, first = (first + 1) % HELD_MAX)
            (void)!send(held[first].fd, answer, size, MSG_NOSIGNAL);
    }
}

/* ---- clients ---- */

static int dial(int port)
{
    struct sockaddr_in address = loopback(port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    need(connect(fd, (struct sockaddr *)&address, sizeof address), "connect");
    need(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int)), "setsockopt");
    return fd;
}

static void ask(int fd)
{
    static const char request[] =
        "POST /v2/models/m/infer HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
        "Content-Length: 13\r\n\r\n{\"inputs\":[]}";
    need(send(fd, request, sizeof request - 1, MSG_NOSIGNAL), "send");
}

static void print_share(int port, int64_t least_ns)
{
    struct {
        int fd;
        int64_t asked;
    } clients[CLIENTS];
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    for (int i = 0; i < CLIENTS; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.fd = i};
        clients[i].fd = dial(port);
        need(epoll_ctl(epoll, EPOLL_CTL_ADD, clients[i].fd, &event), "epoll_ctl");
        clients[i].asked = now();
        ask(clients[i].fd);
    }
    int64_t all = 0, late = 0;
    for (int64_t end = now() + 2 * SECOND; now() < end;) {
        struct epoll_event events[CLIENTS];
        int n = epoll_wait(epoll, events, CLIENTS, -1);
        for (int i = 0; i < n; i++) {
            int at = events[i].data.fd, come = has_come(clients[at].fd);
            need(come, "recv");
            if (!come)
                continue;
            all++;
            late += now() - clients[at].asked >= least_ns;
            clients[at].asked = now();
            ask(clients[at].fd);
        }
    }
    printf("%.1f %lld\n", 100.0 * (double)late / (double)all, (long long)all);
}

static void stay_idle(int port, int count)
{
    for (int i = 0; i < count; i++) {
        int fd = dial(port), come;
        ask(fd);
        while ((come = has_come(fd)) == 0)
            ;
        need(come, "recv");
    }
    puts("idle");
    fflush(stdout);
    for (;;)
        pause();
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    if (strcmp(what, "port") == 0)
        listen_anywhere();
    else if (strcmp(what, "origin") == 0)
        serve(argc > 2 ? atoi(argv[2]) * MILLISECOND : 0);
    else if (strcmp(what, "share") == 0 && argc == 4)
        print_share(atoi(argv[2]), atoi(argv[3]) * MILLISECOND);
    else if (strcmp(what, "idle") == 0 && argc == 4)
        stay_idle(atoi(argv[2]), atoi(argv[3]));
    else
        return 2;
    return 0;
}
