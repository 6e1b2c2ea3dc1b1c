/* SPDX-License-Identifier: MIT */
/* A target for what is done to packets: a process in user and network namespaces of its own, with
 * loopback up. The test itself stays outside. */
#ifndef CE_TESTS_PACKET_WORLD_H
#define CE_TESTS_PACKET_WORLD_H

#include "own_net.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "host/packets/packet_probe.h"
#include "host/packets/packets.h"
#include "host/process.h"

struct packet_world {
    char state[64];
    struct ce_journal *journal;
    pid_t pid; /* of the target */
    struct ce_place place;
    struct ce_error err;
};

static const struct ce_undo_op *const packet_world_ops[] = {&ce_undo_end_process, NULL};

/* False, after SKIP() or a failed check, when there is none. */
static inline bool packet_world_begin(struct packet_world *world,
                                      const struct ce_undo_op *const *ops)
{
    int ready[2];
    char answer = 0;
    *world = (struct packet_world){.state = "/tmp/ce-packets-XXXXXX"};
    if (pipe2(ready, O_CLOEXEC) < 0 || !mkdtemp(world->state))
        exit(99);
    world->pid = fork();
    if (world->pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)!write(ready[1], own_net_enter() ? "y" : "n", 1);
        for (;;)
            pause();
    }
    (void)!read(ready[0], &answer, 1);
    (void)close(ready[0]), (void)close(ready[1]);
    struct ce_process_id id;
    if (answer != 'y') {
        check_skip_reason = "this user may not make namespaces";
        return false;
    }
    if (ce_process_identify(world->pid, &id) < 0 ||
        ce_place_of_process(&id, &world->place, &world->err) < 0 ||
        ce_journal_create(world->state, "run", ops, &world->journal, &world->err) < 0) {
        CHECK_TEXT(world->err.message, "");
        return false;
    }
    return true;
}

static inline void packet_world_end(struct packet_world *world)
{
    ce_journal_close(world->journal);
    (void)kill(world->pid, SIGKILL);
    (void)waitpid(world->pid, NULL, 0);
    (void)ce_tree_remove(world->state, NULL);
}

/* ---- what is there ---- */

struct packet_world_text {
    const char *command;
    char text[32768];
};

static inline int packet_world_list(void *ctx, struct ce_error *err)
{
    struct packet_world_text *list = ctx;
    own_output(list->command, list->text, sizeof list->text);
    return 0;
}

/* What a command that runs in the target's network prints. */
static inline void packet_world_output(struct packet_world *world, const char *command,
                                       struct packet_world_text *ret_text)
{
    ret_text->command = command;
    ret_text->text[0] = '\0';
    CHECK(ce_place_call(&world->place, CE_PLACE_NETWORK, packet_world_list, ret_text,
                        sizeof *ret_text, &world->err) == 0);
}

/* ---- what packets see ---- */

enum { PACKET_PORT = 7000 };

static inline struct ce_packet_filter packet_filter(enum ce_packet_direction direction)
{
    return (struct ce_packet_filter){.direction = direction,
                                     .interface = "lo",
                                     .ports = {{PACKET_PORT, PACKET_PORT}},
                                     .port_count = 1};
}

static inline struct sockaddr_storage packet_address(const char *text, uint16_t port)
{
    struct sockaddr_storage name = {0};
    if (strchr(text, ':')) {
        struct sockaddr_in6 *six = (struct sockaddr_in6 *)&name;
        six->sin6_family = AF_INET6;
        six->sin6_port = htons(port);
        CHECK(inet_pton(AF_INET6, text, &six->sin6_addr) == 1);
    } else {
        struct sockaddr_in *four = (struct sockaddr_in *)&name;
        four->sin_family = AF_INET;
        four->sin_port = htons(port);
        CHECK(inet_pton(AF_INET, text, &four->sin_addr) == 1);
    }
    return name;
}

/* `count` datagrams to the port, a quarter of a millisecond apart. */
static inline struct ce_packet_seen packet_look(struct packet_world *world, const char *address,
                                                bool outward, size_t count)
{
    struct ce_packet_seen seen = {0};
    struct ce_packet_probe probe = {
        .at = packet_address(address, PACKET_PORT),
        .outward = outward,
        .count = count,
        .spacing = CE_MILLISECOND / 4,
        .patience = CE_SECOND / 2,
        .payload = 64,
    };
    CHECK(ce_packet_probe(&world->place, &probe, &seen, &world->err) == 0);
    CHECK(seen.sent == count);
    return seen;
}

#endif
