/* SPDX-License-Identifier: MIT */
/* Questions without a protocol: whether a connection is accepted, and what a file holds. */
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "net/endpoint.h"
#include "probe/probe_internal.h"

/* ---- tcp ---- */

/* Connects: 0, or a negative errno; -ECANCELED when the question is given up. */
static int try_address(const struct ce_endpoint *endpoint, int64_t deadline, int give_up,
                       struct ce_error *err)
{
    ce_autofd int fd = ce_endpoint_connect(endpoint, err);
    if (fd < 0)
        return fd;
    struct pollfd fds[] = {{.fd = fd, .events = POLLOUT}, {.fd = give_up, .events = POLLIN}};
    int r;
    do {
        int64_t left = deadline - ce_now();
        r = poll(fds, 2, left > 0 ? (int)((left + CE_MILLISECOND - 1) / CE_MILLISECOND) : 0);
    } while (r < 0 && errno == EINTR);
    if (fds[1].revents)
        return ce_fail(err, ECANCELED, "given up");
    if (r <= 0)
        return ce_fail(err, ETIMEDOUT, "no connection within the timeout");
    int code = 0;
    socklen_t size = sizeof code;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &size) < 0)
        code = errno;
    return code == 0 ? 0 : ce_fail(err, code, "%s", strerror(code));
}

static int parse_host(const struct ce_probe_spec *spec, struct ce_endpoint *ret_endpoint,
                      struct ce_error *err)
{
    ce_autofree char *text = ce_format(strchr(spec->host, ':') ? "[%s]:%lld" : "%s:%lld",
                                       spec->host, (long long)spec->port);
    return text ? ce_endpoint_parse(text, ret_endpoint, err) : ce_fail_memory(err);
}

int ce_probe_check_tcp(const struct ce_probe_spec *spec, const char **ret_key, struct ce_error *err)
{
    struct ce_endpoint endpoint;
    *ret_key = "host";
    int r = parse_host(spec, &endpoint, err);
    if (r < 0)
        return ce_fail_context(err, r, "host");
    *ret_key = NULL;
    return 0;
}

void ce_probe_ask_tcp(const struct ce_probe_spec *spec, struct ce_asking *asking,
                      struct ce_probe_answer *answer)
{
    struct ce_endpoint endpoint;
    struct ce_addresses addresses;
    struct ce_error err = {0};
    if (parse_host(spec, &endpoint, &err) < 0 ||
        ce_endpoint_resolve(&endpoint, &addresses, &err) < 0) {
        ce_probe_say(spec, CE_PROBE_ERROR, answer, "%s", err.message);
        return;
    }
    int r = -ENOENT;
    for (size_t i = 0; i < addresses.count && r < 0 && r != -ECANCELED; i++) {
        struct ce_endpoint address = ce_endpoint_at(&endpoint, &addresses, i);
        r = try_address(&address, asking->begun + spec->timeout, asking->give_up, &err);
    }
    answer->took = ce_now() - asking->begun;
    const struct ce_heard heard = {.status = -1};
    if (r == 0)
        ce_expect_judge(spec, &heard, answer);
    else
        ce_probe_say(spec, ce_probe_is_ours(r) ? CE_PROBE_ERROR : CE_PROBE_FAILED, answer, "%s",
                     err.message);
}

/* ---- file ---- */

/* Up to CE_HEARD_MAX bytes: 0, or a negative errno. Not ce_file_read(): a pipe without a writer
 * would keep it. */
static int read_file(const char *path, struct ce_heard *heard)
{
    struct stat st;
    ce_autofd int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (fd < 0 || fstat(fd, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode))
        return -EISDIR;
    heard->text = malloc(CE_HEARD_MAX + 1);
    if (!heard->text)
        return -ENOMEM;
    ssize_t n;
    while ((n = read(fd, heard->text + heard->size, CE_HEARD_MAX + 1 - heard->size)) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        heard->size += (size_t)n;
        if (heard->size > CE_HEARD_MAX)
            break;
    }
    heard->cut = heard->size > CE_HEARD_MAX;
    heard->size -= heard->cut;
    heard->text[heard->size] = '\0';
    return 0;
}

void ce_probe_ask_file(const struct ce_probe_spec *spec, struct ce_probe_answer *answer)
{
    struct ce_heard heard = {.status = -1};
    struct stat st;
    int r;
    if (ce_expect_has_content(&spec->expect))
        r = read_file(spec->path, &heard);
    else
        r = stat(spec->path, &st) < 0 ? -errno : 0;
    if (r == 0)
        ce_expect_judge(spec, &heard, answer);
    else if (r == -ENOENT || r == -ENOTDIR)
        ce_probe_say(spec, CE_PROBE_FAILED, answer, "is not there");
    else
        ce_probe_say(spec, CE_PROBE_ERROR, answer, "cannot be read: %s",
                     r == -EISDIR ? "no regular file" : strerror(-r));
    ce_heard_done(&heard);
}
