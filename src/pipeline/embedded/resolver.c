/* SPDX-License-Identifier: MIT */
/* resolver: the name server of the pipeline's network namespace, at 127.0.0.53, UDP and TCP.
 *
 * It knows the pipeline's own names, which are in a domain that is reserved for such use, and says
 * of all others that they do not exist: the pipeline is alone in its network. A thread answers each
 * transport; over TCP one client at a time, who has a second for each message. */
#include <arpa/inet.h>
#include <pthread.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "pipeline/embedded/roles.h"
#include "pipeline/embedded/worker.h"

/* RFC 1035 */
enum {
    HEADER = 12,
    NAME_MAX_SIZE = 255,
    LABEL_MAX = 63,
    MESSAGE_MAX = 512,
    ANSWER_SIZE = 16,
    PORT = 53,
    TYPE_A = 1,
    TYPE_ANY = 255,
    CLASS_IN = 1,
    NO_ERROR = 0,
    FORMAT_ERROR = 1,
    NAME_ERROR = 3,
    NOT_IMPLEMENTED = 4,
    TTL = 5, /* seconds */
};

static const struct {
    const char *name, *address;
} records[] = {
    {CE_MODEL_HOST, "127.0.0.1"},
    {"gateway.pipeline.internal", "127.0.0.1"},
};

struct question {
    char name[NAME_MAX_SIZE + 1];
    unsigned type, class;
    size_t end; /* of the question in its message */
};

static unsigned read16(const uint8_t *at)
{
    return (unsigned)at[0] << 8 | at[1];
}

static uint8_t *put16(uint8_t *at, unsigned value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
    return at + 2;
}

static bool read_question(const uint8_t *query, size_t size, struct question *ret_question)
{
    size_t at = HEADER, length = 0;
    while (at < size && query[at] != 0) {
        size_t label = query[at++];
        if (label > LABEL_MAX || at + label > size || length + label + 1 > NAME_MAX_SIZE)
            return false;
        if (length > 0)
            ret_question->name[length++] = '.';
        memcpy(ret_question->name + length, query + at, label);
        length += label;
        at += label;
    }
    ret_question->name[length] = '\0';
    if (at + 5 > size)
        return false;
    ret_question->type = read16(query + at + 1);
    ret_question->class = read16(query + at + 3);
    ret_question->end = at + 5;
    return true;
}

static const char *find_address(const char *name)
{
    for (size_t i = 0; i < CE_COUNT(records); i++)
        if (strcasecmp(name, records[i].name) == 0)
            return records[i].address;
    return NULL;
}

/* The size of the answer; 0: none is due. `ret_answer` has room for MESSAGE_MAX bytes. */
static size_t answer_query(const uint8_t *query, size_t size, uint8_t *ret_answer)
{
    struct question question = {.end = HEADER};
    const char *address = NULL;
    unsigned code = NO_ERROR;
    if (size < HEADER || size > MESSAGE_MAX || query[2] & 0x80)
        return 0; /* no query */
    if (query[2] & 0x78)
        code = NOT_IMPLEMENTED; /* any operation but a standard query */
    else if (read16(query + 4) != 1 || !read_question(query, size, &question))
        code = FORMAT_ERROR;
    else if (!(address = find_address(question.name)))
        code = NAME_ERROR;
    bool asks_address = address && question.class == CLASS_IN &&
                        (question.type == TYPE_A || question.type == TYPE_ANY);
    if (question.end + ANSWER_SIZE > MESSAGE_MAX)
        return 0;
    memset(ret_answer, 0, HEADER);
    memcpy(ret_answer, query, question.end);
    ret_answer[2] = (uint8_t)(0x84 | (query[2] & 0x79)); /* an answer, from who knows it */
    ret_answer[3] = (uint8_t)(0x80 | code);              /* recursion: nothing is left to ask */
    put16(ret_answer + 4, question.end > HEADER);
    put16(ret_answer + 6, asks_address);
    memset(ret_answer + 8, 0, 4);
    uint8_t *at = ret_answer + question.end;
    if (asks_address) {
        at = put16(at, 0xc000 | HEADER); /* the name is the question's */
        at = put16(at, TYPE_A);
        at = put16(at, CLASS_IN);
        at = put16(at, 0);
        at = put16(at, TTL);
        at = put16(at, 4);
        (void)inet_pton(AF_INET, address, at);
        at += 4;
    }
    return (size_t)(at - ret_answer);
}

/* ---- transports ---- */

static void *serve_datagrams(void *ctx)
{
    const int *fd = ctx;
    for (;;) {
        uint8_t query[MESSAGE_MAX + 1], answer[MESSAGE_MAX];
        struct sockaddr_in from;
        socklen_t from_size = sizeof from;
        ssize_t n = recvfrom(*fd, query, sizeof query, 0, (struct sockaddr *)&from, &from_size);
        size_t size = n > 0 ? answer_query(query, (size_t)n, answer) : 0;
        if (size > 0)
            (void)sendto(*fd, answer, size, 0, (const struct sockaddr *)&from, from_size);
    }
    return NULL;
}

static bool receive_all(int fd, uint8_t *to, size_t size)
{
    return recv(fd, to, size, MSG_WAITALL) == (ssize_t)size;
}

/* Messages come and go with their size before them. */
static void serve_connection(int fd)
{
    uint8_t query[MESSAGE_MAX], answer[2 + MESSAGE_MAX];
    const struct timeval patience = {.tv_sec = 1};
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    while (receive_all(fd, query, 2)) {
        size_t size = read16(query);
        if (size > sizeof query || !receive_all(fd, query, size))
            return;
        size = answer_query(query, size, answer + 2);
        put16(answer, (unsigned)size);
        if (size == 0 || ce_write_all(fd, answer, 2 + size) < 0)
            return;
    }
}

static void *serve_connections(void *ctx)
{
    const int *fd = ctx;
    for (;;) {
        ce_autofd int connection = accept4(*fd, NULL, NULL, SOCK_CLOEXEC);
        if (connection >= 0)
            serve_connection(connection);
    }
    return NULL;
}

/* ---- the process ---- */

static int start_transport(int type, void *(*serve)(void *fd), int *ret_fd, struct ce_error *err)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    (void)inet_pton(AF_INET, CE_RESOLVER_ADDRESS, &address.sin_addr);
    *ret_fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    if (*ret_fd < 0)
        return ce_fail(err, errno, "cannot make a socket: %s", strerror(errno));
    (void)setsockopt(*ret_fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    if (bind(*ret_fd, (const struct sockaddr *)&address, sizeof address) < 0 ||
        (type == SOCK_STREAM && listen(*ret_fd, SOMAXCONN) < 0))
        return ce_fail(err, errno, "cannot serve names at " CE_RESOLVER_ADDRESS ": %s",
                       strerror(errno));
    pthread_t thread;
    int code = pthread_create(&thread, NULL, serve, ret_fd);
    if (code != 0)
        return ce_fail(err, code, "cannot start a thread: %s", strerror(code));
    return 0;
}

/* Its names do not change with the dataset. */
static int reload(void *ctx, struct ce_error *err)
{
    return 0;
}

int ce_resolver_run(const struct ce_role *role)
{
    struct ce_error err = {0};
    int datagrams, connections;
    int r = start_transport(SOCK_DGRAM, serve_datagrams, &datagrams, &err);
    if (r == 0)
        r = start_transport(SOCK_STREAM, serve_connections, &connections, &err);
    ce_worker_serve(r, &err, PORT, reload, NULL);
}
