/* SPDX-License-Identifier: MIT */
/* Where the embedded pipeline's parts are, for faults that act on processes, packets and files. */
#include <arpa/inet.h>
#include <sys/stat.h>

#include "host/subject.h"
#include "pipeline_world.h"

static int locate(const struct world *world, const char *service, struct ce_subject *ret_subject,
                  struct ce_error *err)
{
    return ce_pipeline_acts(world->pipeline)->locate(world->pipeline, service, ret_subject, err);
}

static bool is_plain(const struct world *world)
{
    return strncmp(ce_pipeline_isolation(world->pipeline), "plain", 5) == 0;
}

/* The command line of that process, its arguments one after another. */
static bool runs_as(const struct ce_process_id *id, const char *role)
{
    char path[64];
    struct ce_error err = {0};
    ce_autofree char *text = NULL;
    size_t size;
    snprintf(path, sizeof path, "/proc/%d/cmdline", (int)id->pid);
    return ce_file_read(path, 4096, &text, &size, &err) == 0 &&
           strcmp(text + strlen(text) + 1, role) == 0;
}

static void every_part_is_found(void)
{
    static const struct {
        const char *service, *role;
        unsigned has;
        size_t ports;
        const char *address;
    } cases[] = {
        {NULL, "server", CE_SUBJECT_FOLDER, 1, "127.0.0.1"},
        {"server", "server", CE_SUBJECT_FOLDER, 1, "127.0.0.1"},
        {"gateway", "gateway", 0, 1, "127.0.0.1"},
        {"resolver", "resolver", 0, 1, "127.0.0.53"},
        {"pipeline", "supervisor", CE_SUBJECT_FOLDER, 2, "127.0.0.1"},
        {"all", "supervisor", CE_SUBJECT_FOLDER, 2, "127.0.0.1"},
    };
    WORLD(w, err, CE_PROFILE_NAIVE);
    if (is_plain(&w))
        SKIP("no namespaces here");
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        struct ce_subject subject;
        REQUIRE_OK(locate(&w, cases[i].service, &subject, &err), err);
        unsigned always = CE_SUBJECT_PROCESS | CE_SUBJECT_NETWORK | CE_SUBJECT_HELPERS;
        CHECK(subject.has == (always | cases[i].has));
        CHECK(runs_as(&subject.process, cases[i].role));
        CHECK(subject.packets.port_count == cases[i].ports);
        const struct sockaddr_in *probe = (const void *)&subject.probe;
        CHECK(probe->sin_family == AF_INET);
        CHECK(probe->sin_addr.s_addr == inet_addr(cases[i].address));
        CHECK(ntohs(probe->sin_port) == subject.packets.ports[0].first);
    }
}

static void a_part_that_there_is_not_is_refused(void)
{
    WORLD(w, err, CE_PROFILE_NAIVE);
    struct ce_subject subject;
    CHECK(locate(&w, "database", &subject, &err) == -ENOENT);
    CHECK_TEXT(err.message, "the embedded pipeline has no service 'database'; it has server, "
                            "gateway, resolver, and pipeline or all for everything");
}

static void a_dead_server_is_not_located_but_its_gateway_is(void)
{
    WORLD(w, err, CE_PROFILE_NAIVE);
    struct ce_subject subject;
    REQUIRE_OK(locate(&w, "server", &subject, &err), err);
    CHECK(ce_process_signal(&subject.process, SIGKILL) == 0);
    CHECK(EVENTUALLY(locate(&w, "server", &subject, &err) == -ESRCH));
    REQUIRE_OK(locate(&w, "gateway", &subject, &err), err);
}

/* A place of its own, unless the pipeline runs as plain processes. */
static void what_is_done_to_a_part_is_done_to_nobody_else(void)
{
    WORLD(w, err, CE_PROFILE_NAIVE);
    struct ce_subject subject;
    REQUIRE_OK(locate(&w, "gateway", &subject, &err), err);
    CHECK(ce_place_is_here(&subject.place, CE_PLACE_NETWORK) == is_plain(&w));
    CHECK(ce_place_is_here(&subject.place, CE_PLACE_MOUNTS) == is_plain(&w));
    CHECK_TEXT(subject.packets.interface, "lo");
}

int main(void)
{
    find_program();
    TEST(every_part_is_found);
    TEST(a_part_that_there_is_not_is_refused);
    TEST(a_dead_server_is_not_located_but_its_gateway_is);
    TEST(what_is_done_to_a_part_is_done_to_nobody_else);
    return test_done();
}
