/* SPDX-License-Identifier: MIT */
#include "host/packets/netlink.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { ANSWER_SIZE = 32768 };

int ce_netlink_open(int family, struct ce_netlink *ret_netlink, struct ce_error *err)
{
    struct mnl_socket *socket = mnl_socket_open2(family, SOCK_CLOEXEC);
    if (!socket)
        return ce_fail(err, errno, "cannot open a netlink socket: %s", strerror(errno));
    if (mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0) {
        int code = errno;
        (void)mnl_socket_close(socket);
        return ce_fail(err, code, "cannot bind a netlink socket: %s", strerror(code));
    }
    /* Without them an error is a number only, but still an error. */
    (void)mnl_socket_setsockopt(socket, NETLINK_EXT_ACK, &(int){1}, sizeof(int));
    (void)mnl_socket_setsockopt(socket, NETLINK_CAP_ACK, &(int){1}, sizeof(int));
    *ret_netlink = (struct ce_netlink){.socket = socket};
    return 0;
}

void ce_netlink_close(struct ce_netlink *netlink)
{
    if (netlink->socket)
        (void)mnl_socket_close(netlink->socket);
    *netlink = (struct ce_netlink){0};
}

static struct nlmsghdr *message_begin(struct ce_netlink *netlink, void *bytes, uint16_t type,
                                      uint16_t flags, const void *header, size_t size)
{
    struct nlmsghdr *message = mnl_nlmsg_put_header(bytes);
    message->nlmsg_type = type;
    message->nlmsg_flags = flags | NLM_F_REQUEST;
    message->nlmsg_seq = ++netlink->sequence;
    memcpy(mnl_nlmsg_put_extra_header(message, size), header, size);
    return message;
}

void ce_netlink_begin(struct ce_netlink *netlink, struct ce_netlink_message *message, uint16_t type,
                      uint16_t flags, const void *header, size_t size)
{
    (void)message_begin(netlink, message->bytes, type, flags, header, size);
}

/* ---- answers ---- */

static int find_sentence(const struct nlattr *attribute, void *ctx)
{
    if (mnl_attr_get_type(attribute) == NLMSGERR_ATTR_MSG)
        *(const char **)ctx = mnl_attr_get_str(attribute);
    return MNL_CB_OK;
}

/* The result that an NLMSG_ERROR carries. */
static int result_of(const struct nlmsghdr *answer, const char *what, struct ce_error *err)
{
    if (mnl_nlmsg_get_payload_len(answer) < sizeof(struct nlmsgerr))
        return ce_fail(err, EBADMSG, "%s: the kernel's answer makes no sense", what);
    const struct nlmsgerr *result = mnl_nlmsg_get_payload(answer);
    if (result->error == 0)
        return 0;
    const char *sentence = NULL;
    if (answer->nlmsg_flags & NLM_F_ACK_TLVS) {
        size_t echoed = answer->nlmsg_flags & NLM_F_CAPPED
                            ? 0
                            : result->msg.nlmsg_len - sizeof(struct nlmsghdr);
        (void)mnl_attr_parse(answer, (unsigned)(sizeof *result + MNL_ALIGN(echoed)), find_sentence,
                             &sentence);
    }
    return ce_fail(err, abs(result->error), "%s: %s", what,
                   sentence ? sentence : strerror(abs(result->error)));
}

static int receive_failed(const char *what, struct ce_error *err)
{
    return ce_fail(err, errno, "%s: no answer from the kernel: %s", what, strerror(errno));
}

int ce_netlink_dump(struct ce_netlink *netlink, struct ce_netlink_message *message,
                    ce_netlink_each *each, void *ctx, const char *what, struct ce_error *err)
{
    struct nlmsghdr *request = &message->header;
    /* A dump ends by itself; anything else is ended by its acknowledgement. */
    if ((request->nlmsg_flags & NLM_F_DUMP) != NLM_F_DUMP)
        request->nlmsg_flags |= NLM_F_ACK;
    if (mnl_socket_sendto(netlink->socket, request, request->nlmsg_len) < 0)
        return ce_fail(err, errno, "%s: %s", what, strerror(errno));
    int r = 0;
    char bytes[ANSWER_SIZE] __attribute__((aligned(NLMSG_ALIGNTO)));
    for (;;) {
        ssize_t n = mnl_socket_recvfrom(netlink->socket, bytes, sizeof bytes);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return receive_failed(what, err);
        int left = (int)n;
        for (const struct nlmsghdr *answer = (const void *)bytes; mnl_nlmsg_ok(answer, left);
             answer = mnl_nlmsg_next(answer, &left)) {
            if (answer->nlmsg_seq != request->nlmsg_seq)
                continue;
            if (answer->nlmsg_type == NLMSG_DONE)
                return r;
            if (answer->nlmsg_type == NLMSG_ERROR)
                return r < 0 ? r : result_of(answer, what, err);
            if (r == 0 && each)
                r = each(answer, ctx);
        }
    }
}

int ce_netlink_ask(struct ce_netlink *netlink, struct ce_netlink_message *message, const char *what,
                   struct ce_error *err)
{
    return ce_netlink_dump(netlink, message, NULL, NULL, what, err);
}

/* ---- batches ---- */

static size_t batch_size(const struct ce_netlink_batch *batch)
{
    if (batch->count == 0)
        return 0;
    const struct nlmsghdr *last = (const void *)(batch->bytes + batch->last);
    return batch->last + MNL_ALIGN(last->nlmsg_len);
}

struct nlmsghdr *ce_netlink_add(struct ce_netlink *netlink, struct ce_netlink_batch *batch,
                                uint16_t type, uint16_t flags, const void *header, size_t size)
{
    size_t at = batch_size(batch);
    if (!batch->starved && at + CE_NETLINK_MESSAGE_MAX > batch->capacity) {
        size_t capacity = 2 * batch->capacity + 4 * (size_t)CE_NETLINK_MESSAGE_MAX;
        char *bytes = realloc(batch->bytes, capacity);
        batch->starved = !bytes;
        if (bytes) {
            batch->bytes = bytes;
            batch->capacity = capacity;
        }
    }
    if (batch->starved)
        return message_begin(netlink, &batch->spare, type, flags, header, size);
    batch->last = at;
    batch->count++;
    return message_begin(netlink, batch->bytes + at, type, flags, header, size);
}

/* What the kernel answers to a batch is there when sending it returns. */
static int batch_answers(struct ce_netlink *netlink, const char *what, struct ce_error *err)
{
    int r = 0;
    bool done = false;
    char bytes[ANSWER_SIZE] __attribute__((aligned(NLMSG_ALIGNTO)));
    for (;;) {
        ssize_t n = recv(ce_netlink_fd(netlink), bytes, sizeof bytes, MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            break;
        if (n < 0)
            return receive_failed(what, err);
        int left = (int)n;
        for (const struct nlmsghdr *answer = (const void *)bytes; mnl_nlmsg_ok(answer, left);
             answer = mnl_nlmsg_next(answer, &left))
            if (answer->nlmsg_type == NLMSG_ERROR && r == 0) {
                r = result_of(answer, what, err);
                done = true;
            }
    }
    return r < 0 || done ? r : ce_fail(err, EBADMSG, "%s: the kernel did not answer", what);
}

int ce_netlink_ask_batch(struct ce_netlink *netlink, struct ce_netlink_batch *batch,
                         const char *what, struct ce_error *err)
{
    size_t size = batch_size(batch);
    bool starved = batch->starved;
    batch->count = 0;
    batch->starved = false;
    if (starved)
        return ce_fail_memory(err);
    if (mnl_socket_sendto(netlink->socket, batch->bytes, size) < 0)
        return ce_fail(err, errno, "%s: %s", what, strerror(errno));
    return batch_answers(netlink, what, err);
}

void ce_netlink_batch_done(struct ce_netlink_batch *batch)
{
    free(batch->bytes);
    *batch = (struct ce_netlink_batch){0};
}
