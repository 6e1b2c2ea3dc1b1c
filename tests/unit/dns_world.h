/* SPDX-License-Identifier: MIT */
/* A place with a name server of its own, at 127.0.0.53, and clients in there. */
#ifndef CE_TESTS_DNS_WORLD_H
#define CE_TESTS_DNS_WORLD_H

#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/spawn.h"
#include "check.h"
#include "controller/controller.h"
#include "host/agent.h"
#include "host/names/dns_message.h"
#include "host/place.h"

#define SERVER  "127.0.0.53"
#define KNOWN   "db.shop.test"
#define LARGE   "large.shop.test" /* over UDP its answer is cut short */
#define UNKNOWN "nobody.shop.test"
#define ADDRESS "10.1.2.3"
#define TRAILER 40 /* bytes after an answer that nobody else would write */
static const int64_t patience = 10 * CE_SECOND;
static const unsigned both_namespaces = CE_PLACE_NETWORK | CE_PLACE_MOUNTS;

/* ---- the name server ---- */

/* What it answers is a function of the query alone. */
static inline size_t server_answer(const uint8_t *query, size_t size, bool stream, uint8_t *answer)
{
    struct ce_dns_question question;
    struct ce_dns_address address = {.size = 4};
    if (!ce_dns_read_question(query, size, &question))
        return 0;
    (void)inet_pton(AF_INET, ADDRESS, address.bytes);
    bool unknown = strcmp(question.name, UNKNOWN) == 0;
    size_t written = ce_dns_write_failure(
        query, &question, unknown ? CE_DNS_FAIL_NXDOMAIN : CE_DNS_FAIL_WRONG_ADDRESS, &address,
        answer);
    if (!stream && strcmp(question.name, LARGE) == 0) {
        answer[2] |= 0x02; /* cut short */
        answer[7] = 0;
        return question.end;
    }
    for (size_t i = 0; i < TRAILER; i++)
        answer[written++] = (uint8_t)(query[0] * 31 + query[1] + i);
    return written;
}

static inline void *serve_stream(void *ctx)
{
    for (;;) {
        uint8_t query[600], answer[2 + CE_DNS_ANSWER_MAX + TRAILER];
        int fd = accept(*(int *)ctx, NULL, NULL);
        while (recv(fd, query, 2, MSG_WAITALL) == 2) {
            size_t size = (size_t)query[0] << 8 | query[1];
            if (size > sizeof query || recv(fd, query, size, MSG_WAITALL) != (ssize_t)size)
                break;
            size = server_answer(query, size, true, answer + 2);
            answer[0] = (uint8_t)(size >> 8);
            answer[1] = (uint8_t)size;
            if (ce_write_all(fd, answer, size + 2) < 0)
                break;
        }
        (void)close(fd);
    }
    return NULL;
}

static inline int server_bind(int type)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(CE_DNS_PORT)};
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    (void)inet_pton(AF_INET, SERVER, &at.sin_addr);
    if (bind(fd, (const struct sockaddr *)&at, sizeof at) < 0 ||
        (type == SOCK_STREAM && listen(fd, 16) < 0))
        return -1;
    return fd;
}

static inline bool raise_loopback(void)
{
    struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP};
    ce_autofd int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    return ioctl(fd, SIOCSIFFLAGS, &lo) == 0;
}

/* A resolv.conf of its own, in mounts that nobody else sees. */
static inline bool own_resolv_conf(void)
{
    static const char text[] = "nameserver " SERVER "\noptions timeout:1 attempts:1\n";
    if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("none", "/tmp", "tmpfs", 0, NULL) < 0)
        return false;
    ce_autofd int fd = open("/tmp/own", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    return ce_write_all(fd, text, strlen(text)) == 0 &&
           mount("/tmp/own", "/etc/resolv.conf", NULL, MS_BIND, NULL) == 0 &&
           umount2("/tmp", MNT_DETACH) == 0;
}

struct home {
    bool network; /* of its own, with the name server in it; else only mounts */
    int said;
};
static inline int live(void *ctx)
{
    const struct home *home = ctx;
    static int stream; /* for the thread, for as long as the process */
    pthread_t thread;
    char up = own_resolv_conf() && (!home->network || raise_loopback());
    int datagrams = home->network ? server_bind(SOCK_DGRAM) : 0;
    stream = home->network ? server_bind(SOCK_STREAM) : 0;
    up = up && datagrams >= 0 && stream >= 0;
    (void)ce_write_all(home->said, &up, 1);
    if (!home->network)
        return pause();
    if (pthread_create(&thread, NULL, serve_stream, &stream) != 0)
        return 1;
    for (;;) {
        uint8_t query[600], answer[CE_DNS_ANSWER_MAX + TRAILER];
        struct sockaddr_in from;
        socklen_t size = sizeof from;
        ssize_t n = recvfrom(datagrams, query, sizeof query, 0, (struct sockaddr *)&from, &size);
        size_t written = n > 0 ? server_answer(query, (size_t)n, false, answer) : 0;
        if (written > 0)
            (void)sendto(datagrams, answer, written, 0, (const struct sockaddr *)&from, size);
    }
    return 0;
}

/* ---- the world ---- */

struct world {
    char folder[64], state[80];
    struct ce_journal *journal;
    struct ce_process_id inhabitant;
    struct ce_place place;
    bool up;
};

static inline bool world_settle(struct world *w, unsigned long namespaces, struct ce_error *err)
{
    int pair[2], gate;
    char up = 0;
    if (pipe2(pair, O_CLOEXEC) < 0)
        return false;
    struct home home = {namespaces & CLONE_NEWNET, 3};
    struct ce_spawn how = {.function = live,
                           .ctx = &home,
                           .fds = {{pair[1], 3}},
                           .fd_count = 1,
                           .namespaces = namespaces,
                           .parent_death_signal = SIGKILL};
    bool made = ce_spawn(&how, &w->inhabitant, &gate, err) == 0 && ce_spawn_go(gate, err) == 0;
    (void)close(pair[1]);
    made = made && read(pair[0], &up, 1) == 1 && up &&
           ce_place_of_process(&w->inhabitant, &w->place, err) == 0;
    (void)close(pair[0]);
    return made;
}

static inline struct world world_make(unsigned long namespaces)
{
    struct world w = {.folder = "/tmp/chaoseater-dns-XXXXXX"};
    struct ce_error err = {0};
    if (!mkdtemp(w.folder))
        abort();
    snprintf(w.state, sizeof w.state, "%s/state", w.folder);
    if (ce_journal_create(w.state, "run", ce_undo_ops, &w.journal, &err) < 0)
        abort();
    w.up = world_settle(&w, namespaces, &err);
    if (!w.up)
        printf("# the world did not come up: %s\n", err.message);
    return w;
}
static inline void world_remove(struct world *w)
{
    if (w->inhabitant.pid > 0)
        (void)ce_process_end(&w->inhabitant, patience, NULL);
    ce_journal_close(w->journal);
    (void)ce_tree_remove(w->folder, NULL);
}
#define OWN_NETWORK (CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWNS)
#define WORLD(w, namespaces)                                                                       \
    CE_CLEANUP(world_remove) struct world w = world_make(namespaces);                              \
    REQUIRE(w.up)

/* ---- clients ---- */

/* Queries one after the other on one socket; what became of each. */
enum { QUERIES_MAX = 512 };
struct asking {
    const char *name;
    bool stream;
    size_t count;
    int wait_ms;
    char outcomes[QUERIES_MAX + 1]; /* '.': as the server answers; 'N', 'S', 'W', '-': not */
};

static inline int connect_server(bool stream)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(CE_DNS_PORT)};
    int fd = socket(AF_INET, (stream ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC, 0);
    (void)inet_pton(AF_INET, SERVER, &at.sin_addr);
    return connect(fd, (const struct sockaddr *)&at, sizeof at) < 0 ? -1 : fd;
}

static inline char ask_once(int fd, const struct asking *asking, uint16_t id)
{
    uint8_t frame[2 + CE_DNS_ANSWER_MAX], answer[600], wanted[CE_DNS_ANSWER_MAX + TRAILER];
    uint8_t *query = frame + 2, *start = asking->stream ? frame : query;
    size_t size = ce_dns_write_query(id, asking->name, CE_DNS_A, query);
    frame[0] = (uint8_t)(size >> 8);
    frame[1] = (uint8_t)size;
    struct pollfd pollfd = {.fd = fd, .events = POLLIN};
    ssize_t n;
    if (send(fd, start, size + (size_t)(query - start), MSG_NOSIGNAL) < 0 ||
        poll(&pollfd, 1, asking->wait_ms) != 1)
        return '-';
    if (asking->stream && recv(fd, answer, 2, MSG_WAITALL) != 2)
        return '!';
    n = recv(fd, answer, sizeof answer, 0);
    size_t expected = server_answer(query, size, asking->stream, wanted);
    struct ce_dns_reply reply;
    if (n == (ssize_t)expected && memcmp(answer, wanted, expected) == 0)
        return '.';
    if (n <= 0 || !ce_dns_read_reply(answer, (size_t)n, query, size, &reply))
        return '!';
    return reply.code == CE_DNS_NXDOMAIN   ? 'N'
           : reply.code == CE_DNS_SERVFAIL ? 'S'
           : reply.address.size == 4       ? 'W'
                                           : '?';
}

static inline int ask_all(void *ctx, struct ce_error *err)
{
    struct asking *asking = ctx;
    ce_autofd int fd = connect_server(asking->stream);
    for (size_t i = 0; i < asking->count; i++)
        asking->outcomes[i] = ask_once(fd, asking, (uint16_t)(1000 + i));
    asking->outcomes[asking->count] = '\0';
    return 0;
}

static inline struct asking ask(const struct world *w, const char *name, bool stream, size_t count)
{
    struct asking asking = {.name = name, .stream = stream, .count = count, .wait_ms = 3000};
    struct ce_error err = {0};
    if (ce_place_call(&w->place, CE_PLACE_NETWORK, ask_all, &asking, sizeof asking, &err) < 0)
        printf("# %s\n", err.message);
    return asking;
}

static inline size_t times(const char *outcomes, char c)
{
    size_t n = 0;
    for (; *outcomes; outcomes++)
        n += *outcomes == c;
    return n;
}

/* As programs do it: what getaddrinfo() says, "" when it fails. */
struct lookup {
    const char *name;
    char address[INET_ADDRSTRLEN];
    int code;
};
static inline int look_up(void *ctx, struct ce_error *err)
{
    struct lookup *lookup = ctx;
    const struct addrinfo wanted = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    struct sockaddr_in first;
    lookup->code = getaddrinfo(lookup->name, NULL, &wanted, &found);
    if (lookup->code != 0)
        return 0;
    memcpy(&first, found->ai_addr, sizeof first);
    (void)inet_ntop(AF_INET, &first.sin_addr, lookup->address, sizeof lookup->address);
    freeaddrinfo(found);
    return 0;
}
static inline struct lookup resolve(const struct world *w, const char *name)
{
    struct lookup lookup = {.name = name};
    struct ce_error err = {0};
    if (ce_place_call(&w->place, both_namespaces, look_up, &lookup, sizeof lookup, &err) < 0)
        printf("# %s\n", err.message);
    return lookup;
}

#endif
