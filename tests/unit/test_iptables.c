/* SPDX-License-Identifier: MIT */
/* Loss and blocks by iptables, in a network namespace that each test makes. */
#include <sys/wait.h>

#include "host/packets/xtables.h"
#include "loss_world.h"

static const struct ce_undo_op *const ops[] = {&ce_undo_remove_chains, NULL};

#define AS_ANYBODY (geteuid() == 0 ? CLONE_NEWNET : CLONE_NEWUSER | CLONE_NEWNET)
#define WORLD(w)                                                                                   \
    char reason_[256];                                                                             \
    if (!ce_means_iptables.available(reason_, sizeof reason_)) {                                   \
        printf("# %s\n", reason_);                                                                 \
        SKIP("no iptables here");                                                                  \
    }                                                                                              \
    CE_CLEANUP(place_world_remove) struct place_world w = place_world_make(AS_ANYBODY, ops);       \
    REQUIRE(w.up)

static void a_share_of_the_packets_is_lost(void)
{
    WORLD(w);
    check_share(&ce_means_iptables, &w);
}

static void peers_and_protocols_are_told_apart(void)
{
    WORLD(w);
    check_peers_and_protocols(&ce_means_iptables, &w);
}

/* All rules of the place, without counters. */
static struct place_output rules_of(const struct place_world *w)
{
    return place_world_run(w, "touch /run/xtables.lock 2>/dev/null || "
                              "export XTABLES_LOCKFILE=/dev/null; "
                              "for p in iptables ip6tables; do for t in filter mangle; do "
                              "$p-legacy-save -t $t | grep -v '^#' | sed 's/ .[0-9]*:[0-9]*.$//'; "
                              "done; done");
}

static const char others_rules[] =
    "touch /run/xtables.lock 2>/dev/null || export XTABLES_LOCKFILE=/dev/null; "
    "for p in iptables-legacy ip6tables-legacy; do "
    "$p -N mine && $p -A mine -p tcp --dport 99 -j DROP && $p -A INPUT -i lo -j mine && "
    "$p -P FORWARD DROP && $p -t mangle -A OUTPUT -p udp --sport 98 -j MARK --set-mark 3 || exit "
    "1; "
    "done";

static void rules_of_others_stay_as_they_were(void)
{
    WORLD(w);
    ce_autofree struct ce_packets *packets = NULL;
    struct ce_error err = {0};
    struct ce_packet_filter filter = to_port(PORT);
    filter.direction = CE_PACKETS_BOTH;
    if (!place_world_do(&w, others_rules))
        SKIP("no iptables-legacy here");
    struct place_output before = rules_of(&w);
    CHECK(strstr(before.text, "-A INPUT -i lo -j mine") && strstr(before.text, "*mangle"));
    REQUIRE_OK(begin(&ce_means_iptables, &w, &filter, 0.5, &packets, &err), err);
    struct place_output during = rules_of(&w);
    CHECK(strstr(during.text, "statistic"));
    REQUIRE_OK(ce_means_iptables.end(packets, &err), err);
    struct place_output after = rules_of(&w);
    CHECK_TEXT(after.text, before.text);
}

static void a_block_is_whole(void)
{
    WORLD(w);
    struct ce_error err = {0};
    for (int reject = 0; reject < 2; reject++) {
        ce_autofree struct ce_packets *packets = calloc(1, ce_means_iptables.size);
        REQUIRE(packets);
        *packets = (struct ce_packets){.means = &ce_means_iptables,
                                       .journal = w.journal,
                                       .place = w.place,
                                       .filter = to_port(PORT),
                                       .deed = {.kind = CE_PACKETS_BLOCK, .reject = reject}};
        REQUIRE_OK(ce_means_iptables.begin(packets, &err), err);
        CHECK(arrive(&w, AF_INET, PORT) == 0);
        CHECK(arrive(&w, AF_INET6, PORT) == 0);
        CHECK(arrive(&w, AF_INET, OTHER_PORT) == MANY);
        REQUIRE_OK(ce_means_iptables.end(packets, &err), err);
        CHECK(arrive(&w, AF_INET, PORT) == MANY);
    }
}

/* Executed anew, because seams count the steps of a process. */
static int lose_once(const char *state, pid_t pid)
{
    struct ce_error err = {0};
    struct place_world w = {0};
    struct ce_packets *packets = NULL;
    struct ce_packet_filter filter = to_port(PORT);
    CE_TRY(ce_process_identify(pid, &w.process));
    CE_TRY(ce_place_of_process(&w.process, &w.place, &err));
    CE_TRY(ce_journal_create(state, "crash", ops, &w.journal, &err));
    int r = begin(&ce_means_iptables, &w, &filter, 0.5, &packets, &err);
    if (r == 0)
        r = ce_means_iptables.end(packets, &err);
    free(packets);
    ce_journal_close(w.journal);
    return r;
}

static void a_crash_at_any_step_leaves_nothing(void)
{
#ifndef CE_SEAMS
    SKIP("needs a build with -Dseams=true");
#endif
    WORLD(w);
    struct ce_error err = {0};
    int status = 0, step = 0;
    if (!place_world_do(&w, others_rules))
        SKIP("no iptables-legacy here");
    struct place_output before = rules_of(&w);
    do {
        char step_text[16], pid_text[16];
        snprintf(step_text, sizeof step_text, "%d", ++step);
        snprintf(pid_text, sizeof pid_text, "%d", (int)w.process.pid);
        pid_t pid = fork();
        if (pid == 0) {
            setenv("CHAOSEATER_SEAM_CRASH", step_text, 1);
            execl("/proc/self/exe", "test_iptables", w.state, pid_text, (char *)NULL);
            _exit(127);
        }
        REQUIRE(waitpid(pid, &status, 0) == pid);
        struct ce_recovery counts;
        REQUIRE_OK(ce_journal_recover(w.state, ops, &counts, &err), err);
        CHECK(counts.failed == 0 && counts.foreign == 0);
        struct place_output now = rules_of(&w);
        CHECK_TEXT(now.text, before.text);
    } while (WIFSIGNALED(status) && check_failures == 0);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK(step > 6);
}

static void what_it_cannot_do_is_refused(void)
{
    WORLD(w);
    check_refusals(&ce_means_iptables, &w);
}

int main(int argc, char **argv)
{
    if (argc > 2)
        return lose_once(argv[1], atoi(argv[2])) < 0;
    TEST(a_share_of_the_packets_is_lost);
    TEST(peers_and_protocols_are_told_apart);
    TEST(rules_of_others_stay_as_they_were);
    TEST(a_block_is_whole);
    TEST(what_it_cannot_do_is_refused);
    TEST(a_crash_at_any_step_leaves_nothing);
    return test_done();
}
