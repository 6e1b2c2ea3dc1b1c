/* SPDX-License-Identifier: MIT */
/* nfqueue: delaying packets, and losing them in runs, where the kernel cannot. Rules lead them into
 * a queue (NFQUEUE) of the kernel; an agent decides when each goes on, and the kernel then sends it
 * on its way.
 *
 * The packets stay in the kernel: the agent sees their headers only, and answers with their
 * numbers, many at a time. Should it die, its table goes with it and the queue with nobody behind
 * it lets everything pass; what waited in it is lost. When the queue is full packets pass without
 * delay. What arrives is delayed before anything else has seen it. What leaves is delayed too, but
 * then the sender's own limits on what may be on its way hold its speed down. */
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "host/packets/delay_queue.h"
#include "host/packets/means_agent.h"
#include "host/packets/nft.h"

#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>

enum {
    FIRST_NUMBER = 0xce00, /* of the queues that are tried until one is free */
    NUMBERS = 64,
    LONGEST = 65536,  /* packets that may wait */
    HEADERS = 64,     /* bytes of a packet that tell its connection */
    AT_ONCE = 64,     /* packets that are read with one call */
    MESSAGE = 1024,   /* what the kernel says about one of them */
    VERDICTS = 256,   /* that are sent with one call */
    BUFFER = 8 << 20, /* of the socket */
};

/* What becomes of a packet. */
struct verdict {
    struct nlmsghdr header;
    struct nfgenmsg family;
    struct nlattr attribute;
    struct nfqnl_msg_verdict_hdr verdict;
};

struct daemon {
    struct ce_nft nft;
    struct ce_netlink netlink;
    uint16_t number;
    int timer;
    struct ce_delay delay;
    struct ce_delay_queue queue;
    struct verdict verdicts[VERDICTS];
    size_t verdict_count;
    uint64_t seen, hit;
    char messages[AT_ONCE][MESSAGE] __attribute__((aligned(NLMSG_ALIGNTO)));
};

/* ---- the queue ---- */

static struct nfgenmsg family_header(uint16_t number)
{
    return (struct nfgenmsg){
        .nfgen_family = AF_UNSPEC, .version = NFNETLINK_V0, .res_id = htons(number)};
}

static void config_begin(struct daemon *daemon, struct ce_netlink_message *message)
{
    struct nfgenmsg header = family_header(daemon->number);
    ce_netlink_begin(&daemon->netlink, message, (NFNL_SUBSYS_QUEUE << 8) | NFQNL_MSG_CONFIG, 0,
                     &header, sizeof header);
}

/* -EBUSY, -EPERM: another has that number. */
static int bind_queue(struct daemon *daemon, struct ce_error *err)
{
    struct ce_netlink_message message;
    struct nfqnl_msg_config_cmd command = {.command = NFQNL_CFG_CMD_BIND};
    config_begin(daemon, &message);
    mnl_attr_put(&message.header, NFQA_CFG_CMD, sizeof command, &command);
    return ce_netlink_ask(&daemon->netlink, &message, "packet queue", err);
}

static int set_up_queue(struct daemon *daemon, struct ce_error *err)
{
    struct ce_netlink_message message;
    bool headers = daemon->delay.deed.keep_order;
    struct nfqnl_msg_config_params params = {
        .copy_range = htonl(headers ? HEADERS : 0),
        .copy_mode = headers ? NFQNL_COPY_PACKET : NFQNL_COPY_META,
    };
    /* Big packets need not be cut up for us. */
    uint32_t flags = htonl(NFQA_CFG_F_GSO | NFQA_CFG_F_FAIL_OPEN);
    config_begin(daemon, &message);
    mnl_attr_put(&message.header, NFQA_CFG_PARAMS, sizeof params, &params);
    mnl_attr_put_u32(&message.header, NFQA_CFG_QUEUE_MAXLEN, htonl(LONGEST));
    mnl_attr_put_u32(&message.header, NFQA_CFG_FLAGS, flags);
    mnl_attr_put_u32(&message.header, NFQA_CFG_MASK, flags);
    return ce_netlink_ask(&daemon->netlink, &message, "packet queue", err);
}

static int open_queue(struct daemon *daemon, struct ce_error *err)
{
    CE_TRY(ce_netlink_open(NETLINK_NETFILTER, &daemon->netlink, err));
    int fd = ce_netlink_fd(&daemon->netlink), r = -EBUSY;
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &(int){BUFFER}, sizeof(int)) < 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &(int){BUFFER}, sizeof(int));
    /* A queue that overflows is the kernel's affair: it lets the packets pass. */
    (void)setsockopt(fd, SOL_NETLINK, NETLINK_NO_ENOBUFS, &(int){1}, sizeof(int));
    for (int i = 0; i < NUMBERS && (r == -EBUSY || r == -EPERM); i++) {
        daemon->number = (uint16_t)(FIRST_NUMBER + i);
        r = bind_queue(daemon, err);
    }
    if (r == -EINVAL || r == -ENOENT || r == -EOPNOTSUPP)
        return ce_fail(err, ENOTSUP, "the kernel has no packet queues (nfnetlink_queue)");
    if (r == -EPERM)
        return ce_fail(err, EPERM,
                       "all packet queues from %d to %d are taken, or need CAP_NET_ADMIN in the "
                       "network namespace",
                       FIRST_NUMBER, FIRST_NUMBER + NUMBERS - 1);
    return r < 0 ? r : set_up_queue(daemon, err);
}

/* ---- packets ---- */

static void send_verdicts(struct daemon *daemon)
{
    if (daemon->verdict_count > 0)
        (void)mnl_socket_sendto(daemon->netlink.socket, daemon->verdicts,
                                daemon->verdict_count * sizeof daemon->verdicts[0]);
    daemon->verdict_count = 0;
}

/* NF_ACCEPT or NF_DROP. */
static void decide(struct daemon *daemon, uint32_t packet, uint32_t verdict)
{
    if (daemon->verdict_count == VERDICTS)
        send_verdicts(daemon);
    daemon->verdicts[daemon->verdict_count++] = (struct verdict){
        .header = {.nlmsg_len = sizeof(struct verdict),
                   .nlmsg_type = (NFNL_SUBSYS_QUEUE << 8) | NFQNL_MSG_VERDICT,
                   .nlmsg_flags = NLM_F_REQUEST},
        .family = family_header(daemon->number),
        .attribute = {.nla_len = sizeof(struct nlattr) + sizeof(struct nfqnl_msg_verdict_hdr),
                      .nla_type = NFQA_VERDICT_HDR},
        .verdict = {.verdict = htonl(verdict), .id = htonl(packet)},
    };
}

static void let_due_go(struct daemon *daemon, int64_t now)
{
    while (ce_delay_queue_next(&daemon->queue) <= now)
        decide(daemon, ce_delay_queue_take(&daemon->queue), NF_ACCEPT);
    send_verdicts(daemon);
}

/* A number for the connection that a packet with these headers belongs to. */
static uint64_t connection_of(const uint8_t *bytes, size_t size, uint8_t hook)
{
    char key[40] = {(char)hook};
    bool six = size >= 40 && bytes[0] >> 4 == 6;
    if (!six && (size < 20 || bytes[0] >> 4 != 4))
        return hook;
    size_t header = six ? 40 : (size_t)(bytes[0] & 15) * 4;
    uint8_t protocol = bytes[six ? 6 : 9];
    key[1] = (char)protocol;
    memcpy(key + 2, bytes + (six ? 8 : 12), six ? 32 : 8);
    if ((protocol == IPPROTO_TCP || protocol == IPPROTO_UDP) && size >= header + 4)
        memcpy(key + 34, bytes + header, 4);
    return ce_hash_name(key, sizeof key);
}

static void take_packet(struct daemon *daemon, const struct nlmsghdr *message, int64_t now)
{
    const struct nfqnl_msg_packet_hdr *packet = NULL;
    const struct nlattr *attribute;
    const uint8_t *bytes = NULL;
    size_t size = 0;
    if (NFNL_MSG_TYPE(message->nlmsg_type) != NFQNL_MSG_PACKET ||
        NFNL_SUBSYS_ID(message->nlmsg_type) != NFNL_SUBSYS_QUEUE)
        return;
    mnl_attr_for_each(attribute, message, sizeof(struct nfgenmsg))
    {
        if (mnl_attr_get_type(attribute) == NFQA_PACKET_HDR) {
            packet = mnl_attr_get_payload(attribute);
        } else if (mnl_attr_get_type(attribute) == NFQA_PAYLOAD) {
            bytes = mnl_attr_get_payload(attribute);
            size = mnl_attr_get_payload_len(attribute);
        }
    }
    if (!packet)
        return;
    uint32_t number = ntohl(packet->packet_id);
    daemon->seen++;
    if (daemon->delay.deed.kind == CE_PACKETS_LOSE) {
        bool lost = ce_delay_loses(&daemon->delay);
        daemon->hit += lost;
        decide(daemon, number, lost ? NF_DROP : NF_ACCEPT);
        return;
    }
    int64_t until = ce_delay_until(&daemon->delay, now, connection_of(bytes, size, packet->hook));
    daemon->hit += until > now;
    if (until <= now || ce_delay_queue_put(&daemon->queue, until, number) < 0)
        decide(daemon, number, NF_ACCEPT);
}

/* What the kernel has for us, AT_ONCE at most. How many there were. */
static int take_packets(struct daemon *daemon)
{
    struct mmsghdr headers[AT_ONCE];
    struct iovec parts[AT_ONCE];
    for (int i = 0; i < AT_ONCE; i++) {
        parts[i] = (struct iovec){daemon->messages[i], MESSAGE};
        headers[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &parts[i], .msg_iovlen = 1}};
    }
    int count = recvmmsg(ce_netlink_fd(&daemon->netlink), headers, AT_ONCE, MSG_DONTWAIT, NULL);
    int64_t now = ce_now();
    for (int i = 0; i < count; i++) {
        int left = (int)headers[i].msg_len;
        for (const struct nlmsghdr *message = (const void *)daemon->messages[i];
             mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left))
            take_packet(daemon, message, now);
    }
    return count;
}

/* ---- the agent ---- */

static void set_timer(const struct daemon *daemon)
{
    int64_t at = ce_delay_queue_next(&daemon->queue);
    struct itimerspec when = {0}; /* none */
    if (at < INT64_MAX)
        when.it_value = (struct timespec){.tv_sec = at / CE_SECOND, .tv_nsec = at % CE_SECOND};
    (void)timerfd_settime(daemon->timer, TFD_TIMER_ABSTIME, &when, NULL);
}

/* Nothing new comes in, and all that waits goes on. Only then may the rules go: when a hook is
 * taken out the kernel drops what waits in any queue of the namespace. */
static void finish(struct daemon *daemon)
{
    if (daemon->nft.netlink.socket)
        (void)ce_nft_share(&daemon->nft, 0, NULL);
    while (take_packets(daemon) > 0)
        ;
    let_due_go(daemon, INT64_MAX - 1);
    ce_nft_end(&daemon->nft);
}

/* Whether to go on. */
static bool serve(struct daemon *daemon, int channel)
{
    struct ce_means_request request;
    struct ce_means_answer answer = {0};
    if (!ce_means_agent_next(channel, &request))
        return false;
    if (request.wish == CE_MEANS_ADJUST)
        ce_delay_change(&daemon->delay, &request.deed);
    if (request.wish == CE_MEANS_FINISH)
        finish(daemon);
    answer.seen = daemon->seen;
    answer.hit = daemon->hit;
    ce_means_agent_reply(channel, &answer);
    return request.wish != CE_MEANS_FINISH;
}

static void work(struct daemon *daemon, int channel)
{
    struct pollfd fds[] = {{.fd = ce_netlink_fd(&daemon->netlink), .events = POLLIN},
                           {.fd = daemon->timer, .events = POLLIN},
                           {.fd = channel, .events = POLLIN}};
    for (bool more = true; more;) {
        if (poll(fds, CE_COUNT(fds), -1) < 0)
            continue;
        if (fds[0].revents)
            (void)take_packets(daemon);
        let_due_go(daemon, ce_now());
        if (fds[2].revents)
            more = serve(daemon, channel);
        set_timer(daemon);
    }
}

static int begin_in_agent(struct daemon *daemon, const struct ce_packets *packets,
                          struct ce_error *err)
{
    ce_delay_init(&daemon->delay, &packets->deed);
    (void)prctl(PR_SET_TIMERSLACK, 1);
    daemon->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (daemon->timer < 0)
        return ce_fail(err, errno, "cannot make a timer: %s", strerror(errno));
    CE_TRY(open_queue(daemon, err));
    struct ce_nft_deed deed = {.act = CE_NFT_QUEUE, .share = 1, .queue = daemon->number};
    return ce_nft_begin(&packets->filter, &deed, &daemon->nft, err);
}

static int run(void *ctx, int channel)
{
    struct ce_error err = {0};
    struct daemon *daemon = calloc(1, sizeof *daemon);
    int r = daemon ? begin_in_agent(daemon, ctx, &err) : ce_fail_memory(&err);
    ce_agent_ready(channel, r, &err);
    if (r == 0) {
        work(daemon, channel);
        finish(daemon);
    }
    if (daemon) {
        ce_netlink_close(&daemon->netlink);
        (void)close(daemon->timer);
        ce_delay_queue_done(&daemon->queue);
    }
    free(daemon);
    return r < 0;
}

/* ---- in the controller ---- */

static int begin(struct ce_packets *packets, struct ce_error *err)
{
    const struct ce_packet_deed *deed = &packets->deed;
    if (deed->kind == CE_PACKETS_LOSE &&
        (deed->duplicate > 0 || deed->corrupt > 0 || deed->reorder > 0))
        return ce_fail(err, ENOTSUP, "a queue can drop packets, not duplicate, corrupt or reorder");
    return ce_means_agent_begin(packets, run, err);
}

static int try_out(struct ce_error *err)
{
    static const struct ce_packet_filter filter = {.ports = {{9, 9}}, .port_count = 1};
    static struct ce_nft_deed deed = {.act = CE_NFT_QUEUE, .share = 1, .queue = FIRST_NUMBER};
    struct daemon *daemon = calloc(1, sizeof *daemon);
    if (!daemon)
        return ce_fail_memory(err);
    int r = open_queue(daemon, err);
    if (r == 0)
        r = ce_nft_begin(&filter, &deed, &daemon->nft, err);
    ce_nft_end(&daemon->nft);
    ce_netlink_close(&daemon->netlink);
    free(daemon);
    return r;
}

static bool available(char *reason, size_t size)
{
    return ce_means_try_out(try_out, reason, size);
}

const struct ce_packet_means ce_means_nfqueue = {
    .name = "nfqueue",
    .kinds = 1 << CE_PACKETS_DELAY | 1 << CE_PACKETS_LOSE,
    .size = sizeof(struct ce_means_agent),
    .available = available,
    .begin = begin,
    .adjust = ce_means_agent_adjust,
    .count = ce_means_agent_count,
    .end = ce_means_agent_end,
};
