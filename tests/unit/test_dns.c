/* SPDX-License-Identifier: MIT */
#include <math.h>
#include <sys/stat.h>

#include "dns_world.h"
#include "host/names/resolv_conf.h"
#include "host/names/resolver.h"

/* ---- messages ---- */

static void a_question_is_read_and_nothing_else_is_taken_for_one(void)
{
    static const struct {
        const char *bytes;
        size_t size;
        const char *name; /* NULL: none */
    } cases[] = {
#define CASE(bytes, name) {bytes, sizeof(bytes) - 1, name}
#define HEADER            "\0\1\1\0\0\1\0\0\0\0\0\0"
        CASE(HEADER "\2dB\4Shop\0\0\1\0\1", "db.shop"),
        CASE(HEADER "\0\0\2\0\1", ""),
        CASE(HEADER "\3a.b\0\0\1\0\1", "a?b"),
        CASE(HEADER "\3a\0\xff\0\0\1\0\1", "a??"),
        CASE(HEADER "\2db\0\0\1\0\1trailing", "db"),
        CASE(HEADER "\2db\0\0\1\0\3", NULL), /* another class */
        CASE(HEADER "\2db\0\0\1\0", NULL),   /* cut short */
        CASE(HEADER "\2db", NULL),
        CASE(HEADER "\77db\0\0\1\0\1", NULL),                   /* a label beyond the end */
        CASE(HEADER "\xc0\x0c\0\1\0\1", NULL),                  /* a pointer */
        CASE("\0\1\x81\0\0\1\0\0\0\0\0\0\2db\0\0\1\0\1", NULL), /* an answer */
        CASE("\0\1\x28\0\0\1\0\0\0\0\0\0\2db\0\0\1\0\1", NULL), /* an update */
        CASE("\0\1\1\0\0\2\0\0\0\0\0\0\2db\0\0\1\0\1", NULL),   /* two questions */
        CASE("\0\1\1\0\0\1\0\0\0\0\0", NULL),
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        struct ce_dns_question question = {.name = "nothing"};
        bool read = ce_dns_read_question(cases[i].bytes, cases[i].size, &question);
        CHECK(read == (cases[i].name != NULL));
        if (read && cases[i].name)
            CHECK_TEXT(question.name, cases[i].name);
    }
    char longest[CE_DNS_NAME_SIZE] = "";
    uint8_t query[CE_DNS_ANSWER_MAX];
    struct ce_dns_question question;
    for (size_t i = 0; i < 253; i++)
        longest[i] = i % 64 == 63 ? '.' : 'a';
    size_t size = ce_dns_write_query(7, longest, CE_DNS_A, query);
    CHECK(size == 12 + 255 + 4 && ce_dns_read_question(query, size, &question));
    CHECK_TEXT(question.name, longest);
    longest[253] = 'a';
    CHECK(ce_dns_write_query(7, longest, CE_DNS_A, query) == 0);
    CHECK(ce_dns_write_query(7, "a..b", CE_DNS_A, query) == 0);
}

static void a_domain_has_what_is_below_it(void)
{
    CHECK(ce_dns_is_within("db.shop.test", "shop.test"));
    CHECK(ce_dns_is_within("shop.test", "Shop.TEST."));
    CHECK(ce_dns_is_within("shop.test", "."));
    CHECK(!ce_dns_is_within("workshop.test", "shop.test"));
    CHECK(!ce_dns_is_within("test", "shop.test"));
}

static void a_failure_is_an_answer_to_its_query(void)
{
    const struct ce_dns_address four = {{192, 0, 2, 1}, 4}, six = {{0x20, 1, 0xd, 0xb8}, 16};
    static const struct {
        enum ce_dns_failure failure;
        uint16_t type;
        bool six;
        unsigned code;
        size_t address; /* size of what is told */
    } cases[] = {
        {CE_DNS_FAIL_NXDOMAIN, CE_DNS_A, false, CE_DNS_NXDOMAIN, 0},
        {CE_DNS_FAIL_SERVFAIL, CE_DNS_AAAA, false, CE_DNS_SERVFAIL, 0},
        {CE_DNS_FAIL_WRONG_ADDRESS, CE_DNS_A, false, CE_DNS_NO_ERROR, 4},
        {CE_DNS_FAIL_WRONG_ADDRESS, CE_DNS_AAAA, false, CE_DNS_NO_ERROR, 0},
        {CE_DNS_FAIL_WRONG_ADDRESS, CE_DNS_AAAA, true, CE_DNS_NO_ERROR, 16},
        {CE_DNS_FAIL_WRONG_ADDRESS, CE_DNS_A, true, CE_DNS_NO_ERROR, 0},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        uint8_t query[CE_DNS_ANSWER_MAX], answer[CE_DNS_ANSWER_MAX];
        struct ce_dns_question question;
        struct ce_dns_reply reply;
        size_t size = ce_dns_write_query(9, KNOWN, cases[i].type, query);
        REQUIRE(ce_dns_read_question(query, size, &question));
        size_t written = ce_dns_write_failure(query, &question, cases[i].failure,
                                              cases[i].six ? &six : &four, answer);
        REQUIRE(ce_dns_read_reply(answer, written, query, size, &reply));
        CHECK(reply.code == cases[i].code && reply.address.size == cases[i].address);
        if (reply.address.size)
            CHECK(memcmp(reply.address.bytes, cases[i].six ? six.bytes : four.bytes,
                         reply.address.size) == 0);
        CHECK(ce_dns_write_failure(query, &question, CE_DNS_FAIL_TIMEOUT, &four, answer) == 0);
    }
    CHECK(!ce_dns_can_fail(CE_DNS_NS, CE_DNS_FAIL_WRONG_ADDRESS));
    CHECK(ce_dns_can_fail(CE_DNS_NS, CE_DNS_FAIL_NXDOMAIN));
}

static void the_name_servers_are_those_of_resolv_conf(void)
{
    static const struct {
        const char *text, *servers[3];
    } cases[] = {
        {"", {"127.0.0.1"}},
        {"# nameserver 9.9.9.9\nsearch shop.test\n", {"127.0.0.1"}},
        {"nameserver 10.0.0.1\nnameserver\tfd00::1 \nnameserver 10.0.0.3",
         {"10.0.0.1", "fd00::1", "10.0.0.3"}},
        {"nameserver fe80::1%eth0\nnameserver name\nnameserver 10.0.0.2\r\n", {"10.0.0.2"}},
        {" nameserver 10.0.0.9\nnameservers 10.0.0.8\nnameserver 10.0.0.7\n", {"10.0.0.7"}},
    };
    static struct ce_resolv_conf conf;
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        size_t count = 0;
        snprintf(conf.text, sizeof conf.text, "%s", cases[i].text);
        ce_resolv_conf_parse(&conf);
        while (count < 3 && cases[i].servers[count])
            count++;
        CHECK(conf.count == count);
        for (size_t j = 0; j < count && j < conf.count; j++) {
            char text[INET6_ADDRSTRLEN] = "";
            bool six = conf.servers[j].ss_family == AF_INET6;
            (void)inet_ntop(conf.servers[j].ss_family,
                            (const char *)&conf.servers[j] +
                                (six ? offsetof(struct sockaddr_in6, sin6_addr)
                                     : offsetof(struct sockaddr_in, sin_addr)),
                            text, sizeof text);
            CHECK_TEXT(text, cases[i].servers[j]);
        }
    }
}

/* ---- the resolver ---- */

static const struct ce_names everything = {NULL, 0};

static struct ce_resolver_deed deed_of(enum ce_dns_failure failure, double share)
{
    return (struct ce_resolver_deed){.failure = failure,
                                     .address = {{192, 0, 2, 1}, 4},
                                     .domains = &everything,
                                     .share = share,
                                     .seed = 7};
}

#define BEGIN(w, deed, means, resolver)                                                            \
    struct ce_error err = {0};                                                                     \
    struct ce_resolver *resolver = NULL;                                                           \
    REQUIRE_OK(ce_resolver_begin((w).journal, &(w).place, &(deed), means, &resolver, &err), err)

static void every_failure_is_what_it_is_called_over_both_transports(void)
{
    static const char wanted[] = {[CE_DNS_FAIL_NXDOMAIN] = 'N',
                                  [CE_DNS_FAIL_SERVFAIL] = 'S',
                                  [CE_DNS_FAIL_TIMEOUT] = '-',
                                  [CE_DNS_FAIL_WRONG_ADDRESS] = 'W'};
    WORLD(w, OWN_NETWORK);
    CHECK_TEXT(resolve(&w, KNOWN).address, ADDRESS);
    for (int failure = CE_DNS_FAIL_NXDOMAIN; failure <= CE_DNS_FAIL_WRONG_ADDRESS; failure++) {
        struct ce_resolver_deed deed = deed_of((enum ce_dns_failure)failure, 1);
        BEGIN(w, deed, NULL, resolver);
        CHECK_TEXT(ce_resolver_means(resolver), "redirect");
        struct asking asking = {.name = KNOWN, .count = 1, .wait_ms = 200};
        for (int stream = 0; stream < 2; stream++) {
            asking.stream = stream;
            REQUIRE_OK(
                ce_place_call(&w.place, CE_PLACE_NETWORK, ask_all, &asking, sizeof asking, &err),
                err);
            CHECK(asking.outcomes[0] == wanted[failure]);
        }
        struct lookup lookup = resolve(&w, KNOWN);
        if (failure == CE_DNS_FAIL_WRONG_ADDRESS)
            CHECK_TEXT(lookup.address, "192.0.2.1");
        else
            CHECK(lookup.code == (failure == CE_DNS_FAIL_NXDOMAIN ? EAI_NONAME : EAI_AGAIN));
        CHECK(ce_resolver_adjust(resolver, 0, &err) == 0);
        CHECK_TEXT(ask(&w, KNOWN, false, 5).outcomes, ".....");
        CHECK_TEXT(ask(&w, KNOWN, true, 5).outcomes, ".....");
        CHECK(ce_resolver_end(resolver, &err) == 0);
        CHECK_TEXT(ask(&w, KNOWN, false, 3).outcomes, "...");
        CHECK(ce_undo_live(w.journal) == 0);
    }
}

static void the_share_is_the_binomials_and_the_list_the_seeds(void)
{
    WORLD(w, OWN_NETWORK);
    char lists[3][QUERIES_MAX + 1];
    for (int run = 0; run < 3; run++) {
        struct ce_resolver_deed deed = deed_of(CE_DNS_FAIL_SERVFAIL, 0.3);
        uint64_t seen, failed;
        deed.seed = run < 2 ? 7 : 8;
        BEGIN(w, deed, NULL, resolver);
        struct asking asking = ask(&w, KNOWN, false, 400);
        CHECK(ce_resolver_count(resolver, &seen, &failed, &err) == 0);
        CHECK(ce_resolver_end(resolver, &err) == 0);
        size_t hits = times(asking.outcomes, 'S');
        CHECK(hits + times(asking.outcomes, '.') == 400);
        CHECK(fabs((double)hits - 400 * 0.3) <= 4 * sqrt(400 * 0.3 * 0.7));
        CHECK(seen == 400 && failed == hits);
        memcpy(lists[run], asking.outcomes, sizeof lists[run]);
    }
    CHECK(strcmp(lists[0], lists[1]) == 0 && strcmp(lists[0], lists[2]) != 0);
}

static void only_the_names_that_are_meant_fail(void)
{
    WORLD(w, OWN_NETWORK);
    char *domains[] = {(char *)"db.shop.test", (char *)"other.test"};
    struct ce_names names = {domains, CE_COUNT(domains)};
    struct ce_resolver_deed deed = deed_of(CE_DNS_FAIL_NXDOMAIN, 1);
    uint64_t seen, failed;
    deed.domains = &names;
    BEGIN(w, deed, NULL, resolver);
    CHECK_TEXT(ask(&w, "DB.shop.test", false, 2).outcomes, "NN");
    CHECK_TEXT(ask(&w, "a.db.shop.test", false, 2).outcomes, "NN");
    CHECK_TEXT(ask(&w, "mydb.shop.test", false, 2).outcomes, "..");
    CHECK_TEXT(ask(&w, UNKNOWN, false, 2).outcomes, "..");
    CHECK(ce_resolver_count(resolver, &seen, &failed, &err) == 0 && seen == 4 && failed == 4);
    CHECK(ce_resolver_end(resolver, &err) == 0);
}

static void an_answer_that_was_cut_short_is_asked_for_again(void)
{
    WORLD(w, OWN_NETWORK);
    struct ce_resolver_deed deed = deed_of(CE_DNS_FAIL_SERVFAIL, 0);
    BEGIN(w, deed, NULL, resolver);
    CHECK_TEXT(ask(&w, LARGE, false, 2).outcomes, "..");
    CHECK_TEXT(resolve(&w, LARGE).address, ADDRESS);
    CHECK(ce_resolver_end(resolver, &err) == 0);
}

/* Asks on one socket before, during and after, each when it is told to. */
static int keep_asking(void *ctx)
{
    ce_autofd int fd = connect_server(false);
    struct asking asking = {.name = KNOWN, .wait_ms = 3000};
    for (char nothing; read(3, &nothing, 1) == 1;) {
        nothing = ask_once(fd, &asking, 5);
        (void)ce_write_all(3, &nothing, 1);
    }
    return 0;
}
static int start_asking(void *ctx)
{
    return ce_place_enter(ctx, CE_PLACE_NETWORK, NULL) < 0 ? 1 : keep_asking(NULL);
}
static void who_keeps_a_socket_is_hit_and_spared_all_the_same(void)
{
    WORLD(w, OWN_NETWORK);
    struct ce_process_id client;
    int pair[2], gate;
    char said[4] = "";
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    struct ce_spawn how = {.function = start_asking,
                           .ctx = &w.place,
                           .fds = {{pair[1], 3}},
                           .fd_count = 1,
                           .parent_death_signal = SIGKILL};
    REQUIRE(ce_spawn(&how, &client, &gate, NULL) == 0 && ce_spawn_go(gate, NULL) == 0);
    (void)close(pair[1]);
    CHECK(write(pair[0], "?", 1) == 1 && read(pair[0], &said[0], 1) == 1);
    struct ce_resolver_deed deed = deed_of(CE_DNS_FAIL_NXDOMAIN, 1);
    BEGIN(w, deed, NULL, resolver);
    CHECK(write(pair[0], "?", 1) == 1 && read(pair[0], &said[1], 1) == 1);
    CHECK(ce_resolver_end(resolver, &err) == 0);
    CHECK(write(pair[0], "?", 1) == 1 && read(pair[0], &said[2], 1) == 1);
    CHECK_TEXT(said, ".N.");
    (void)close(pair[0]);
    CHECK(ce_process_reap(&client, patience, NULL) == 0);
}

/* ---- where the network is shared ---- */

/* The test lives in a network namespace of its own (main), whose name server is this one's. */
static bool serve_here(struct ce_process_id *ret_id)
{
    struct home home = {true, 3};
    int pair[2], gate;
    char up = 0;
    if (pipe2(pair, O_CLOEXEC) < 0)
        return false;
    struct ce_spawn how = {.function = live,
                           .ctx = &home,
                           .fds = {{pair[1], 3}},
                           .fd_count = 1,
                           .namespaces = CLONE_NEWNS,
                           .parent_death_signal = SIGKILL};
    bool made = ce_spawn(&how, ret_id, &gate, NULL) == 0 && ce_spawn_go(gate, NULL) == 0;
    (void)close(pair[1]);
    made = made && read(pair[0], &up, 1) == 1 && up;
    (void)close(pair[0]);
    return made;
}

static int read_file(void *ctx, struct ce_error *err)
{
    ce_autofree char *text = NULL;
    size_t size;
    CE_TRY(ce_file_read("/etc/resolv.conf", 4096, &text, &size, err));
    snprintf(ctx, 512, "%s", text);
    return 0;
}
static void text_there(const struct world *w, char text[512])
{
    struct ce_error err = {0};
    text[0] = '\0';
    CHECK(ce_place_call(&w->place, CE_PLACE_MOUNTS, read_file, text, 512, &err) == 0);
}

#define NEEDS_ROOT()                                                                               \
    if (geteuid() != 0)                                                                            \
    SKIP("needs root")

static void a_shared_network_is_spared_by_a_file_of_the_targets_own(void)
{
    NEEDS_ROOT();
    struct ce_process_id server;
    REQUIRE(serve_here(&server));
    WORLD(w, CLONE_NEWNS);
    struct ce_resolver_deed deed = deed_of(CE_DNS_FAIL_NXDOMAIN, 1);
    char before[512], during[512], after[512];
    struct stat host_before, host_during;
    text_there(&w, before);
    CHECK(stat("/etc/resolv.conf", &host_before) == 0);
    BEGIN(w, deed, NULL, resolver);
    CHECK_TEXT(ce_resolver_means(resolver), "resolv_conf");
    text_there(&w, during);
    CHECK_TEXT(during, "nameserver 127.0.0.54\noptions timeout:1 attempts:1\n");
    CHECK(resolve(&w, KNOWN).code == EAI_NONAME);
    CHECK(stat("/etc/resolv.conf", &host_during) == 0 && host_before.st_dev == host_during.st_dev &&
          host_before.st_ino == host_during.st_ino);
    /* Whoever asks the name server itself is not the target. */
    CHECK_TEXT(ask(&w, KNOWN, false, 3).outcomes, "...");
    CHECK(ce_resolver_adjust(resolver, 0, &err) == 0);
    CHECK_TEXT(resolve(&w, LARGE).address, ADDRESS);
    CHECK(ce_resolver_end(resolver, &err) == 0);
    text_there(&w, after);
    CHECK_TEXT(after, before);
    CHECK_TEXT(resolve(&w, KNOWN).address, ADDRESS);
    CHECK(ce_undo_live(w.journal) == 0);

    struct ce_place here;
    REQUIRE_OK(ce_place_here(&here, &err), err);
    CHECK(ce_resolver_begin(w.journal, &here, &deed, NULL, &resolver, &err) == -ENOTSUP);
    CHECK(strstr(err.message, "redirect: ") && strstr(err.message, "resolv_conf: "));
    CHECK(ce_undo_live(w.journal) == 0);
    (void)ce_process_end(&server, patience, NULL);
}

/* ---- ends ---- */

/* The resolver's process ends alone. */
static void an_agent_that_dies_alone_stops_nobody(void)
{
    const char *const means[] = {"redirect", "resolv_conf"};
    for (size_t i = 0; i < CE_COUNT(means); i++) {
        WORLD(w, OWN_NETWORK);
        struct ce_resolver_deed deed = deed_of(CE_DNS_FAIL_NXDOMAIN, 1);
        uint64_t seen, failed;
        BEGIN(w, deed, means[i], resolver);
        CHECK(resolve(&w, KNOWN).code == EAI_NONAME);
        struct ce_process_id agent = ce_resolver_process(resolver);
        CHECK(ce_process_end(&agent, patience, NULL) == 0);
        /* The file is taken away by the keeper, a moment later. */
        int64_t until = ce_now() + patience;
        while (i == 1 && resolve(&w, KNOWN).code != 0 && ce_now() < until)
            ce_sleep_until(ce_now() + 5 * CE_MILLISECOND);
        CHECK_TEXT(resolve(&w, KNOWN).address, ADDRESS);
        CHECK(ce_resolver_count(resolver, &seen, &failed, &err) == -EPIPE);
        CHECK(ce_resolver_end(resolver, &err) == 0);
        CHECK_TEXT(resolve(&w, KNOWN).address, ADDRESS);
        CHECK(ce_undo_live(w.journal) == 0);
    }
}

#ifdef CE_SEAMS
/* What this program is when it is started with arguments: a maker that may be killed. */
static int make_and_end(const char *state, const char *pid, const char *means)
{
    struct ce_journal *journal;
    struct ce_resolver *resolver = NULL;
    struct ce_resolver_deed deed = deed_of(CE_DNS_FAIL_NXDOMAIN, 1);
    struct ce_process_id id;
    struct ce_place place;
    if (ce_process_identify(atoi(pid), &id) < 0 || ce_place_of_process(&id, &place, NULL) < 0 ||
        ce_journal_create(state, "crash", ce_undo_ops, &journal, NULL) < 0 ||
        ce_resolver_begin(journal, &place, &deed, means, &resolver, NULL) < 0 ||
        ce_resolver_adjust(resolver, 0.5, NULL) < 0 || ce_resolver_end(resolver, NULL) < 0)
        return 1;
    ce_journal_close(journal);
    return 0;
}

/* False when it came to its end. */
static bool killed_at(const struct world *w, const char *state, const char *means, int step)
{
    int status;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        char step_text[12], pid_text[12];
        snprintf(step_text, sizeof step_text, "%d", step);
        snprintf(pid_text, sizeof pid_text, "%d", (int)w->inhabitant.pid);
        (void)setenv("CHAOSEATER_SEAM_CRASH", step_text, 1);
        (void)execl("/proc/self/exe", "test_dns", state, pid_text, means, (char *)NULL);
        _exit(127);
    }
    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
    return WIFSIGNALED(status);
}

static void a_maker_killed_at_any_step_leaves_nothing(void)
{
    const char *const means[] = {"redirect", "resolv_conf"};
    for (size_t i = 0; i < CE_COUNT(means); i++) {
        WORLD(w, OWN_NETWORK);
        char before[512], after[512], state[96];
        struct ce_error err = {0};
        text_there(&w, before);
        snprintf(state, sizeof state, "%s/crash", w.folder);
        int step = 1;
        for (; killed_at(&w, state, means[i], step); step++) {
            struct ce_recovery recovery = {0};
            CHECK(ce_journal_recover(state, ce_undo_ops, &recovery, &err) == 0);
            CHECK(recovery.failed == 0);
            text_there(&w, after);
            CHECK_TEXT(after, before);
            CHECK_TEXT(ask(&w, KNOWN, false, 2).outcomes, "..");
            CHECK_TEXT(resolve(&w, KNOWN).address, ADDRESS);
            CHECK(ce_journal_recover(state, ce_undo_ops, &recovery, &err) == 0);
        }
        CHECK(step > 4);
    }
}
#endif

/* The same as an ordinary user: 0, or the line that failed. */
static int as_ordinary_user(void)
{
    if (setgid(65534) < 0 || setuid(65534) < 0 || prctl(PR_SET_DUMPABLE, 1) < 0)
        return __LINE__;
    CE_CLEANUP(world_remove) struct world w = world_make(OWN_NETWORK);
    const char *const means[] = {"redirect", "resolv_conf"};
    for (size_t i = 0; w.up && i < CE_COUNT(means); i++) {
        struct ce_resolver_deed deed = deed_of(CE_DNS_FAIL_NXDOMAIN, 1);
        struct ce_resolver *resolver = NULL;
        struct ce_error err = {0};
        if (ce_resolver_begin(w.journal, &w.place, &deed, means[i], &resolver, &err) < 0) {
            printf("# %s\n", err.message);
            return __LINE__;
        }
        if (resolve(&w, KNOWN).code != EAI_NONAME)
            return __LINE__;
        if (ce_resolver_end(resolver, &err) < 0 || resolve(&w, KNOWN).code != 0)
            return __LINE__;
    }
    return w.up && ce_undo_live(w.journal) == 0 ? 0 : __LINE__;
}
static void an_ordinary_user_can_do_it_where_he_is_root(void)
{
#ifdef __SANITIZE_THREAD__
    SKIP("the sanitizer's own thread keeps us from entering a user namespace");
#endif
    NEEDS_ROOT();
    int status;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        int line = as_ordinary_user();
        if (line)
            printf("# failed at line %d\n", line);
        fflush(stdout);
        _exit(line != 0);
    }
    REQUIRE(waitpid(pid, &status, 0) == pid);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void what_is_available_is_said(void)
{
    char text[400];
    CHECK(ce_resolver_available(text, sizeof text));
    CHECK(strstr(text, "redirect") && strstr(text, "resolv_conf"));
}

int main(int argc, char **argv)
{
#ifdef CE_SEAMS
    if (argc == 4)
        return make_and_end(argv[1], argv[2], argv[3]);
#endif
    /* What is called the host's network here is the test's own. */
    if (geteuid() == 0 && (unshare(CLONE_NEWNET) < 0 || !raise_loopback()))
        return 1;
    TEST(a_question_is_read_and_nothing_else_is_taken_for_one);
    TEST(a_domain_has_what_is_below_it);
    TEST(a_failure_is_an_answer_to_its_query);
    TEST(the_name_servers_are_those_of_resolv_conf);
    TEST(every_failure_is_what_it_is_called_over_both_transports);
    TEST(the_share_is_the_binomials_and_the_list_the_seeds);
    TEST(only_the_names_that_are_meant_fail);
    TEST(an_answer_that_was_cut_short_is_asked_for_again);
    TEST(who_keeps_a_socket_is_hit_and_spared_all_the_same);
    TEST(a_shared_network_is_spared_by_a_file_of_the_targets_own);
    TEST(an_agent_that_dies_alone_stops_nobody);
#ifdef CE_SEAMS
    TEST(a_maker_killed_at_any_step_leaves_nothing);
#endif
    TEST(an_ordinary_user_can_do_it_where_he_is_root);
    TEST(what_is_available_is_said);
    return test_done();
}
