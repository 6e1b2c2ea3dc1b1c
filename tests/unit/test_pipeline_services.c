/* SPDX-License-Identifier: MIT */
/* The embedded pipeline's disk and names: what naive suffers and hardened survives when they fail.
 * What is looked at from inside is looked at by a child in the pipeline's namespaces. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "host/subject.h"
#include "pipeline_world.h"

static int locate(const struct world *world, const char *service, struct ce_subject *ret_subject)
{
    return ce_pipeline_acts(world->pipeline)->locate(world->pipeline, service, ret_subject, NULL);
}

static bool is_plain(const struct world *world)
{
    return strncmp(ce_pipeline_isolation(world->pipeline), "plain", 5) == 0;
}

/* Status of a request, and its answer's text. */
static int ask(const struct world *world, const char *id, char ret_text[256])
{
    ce_autofree char *text = NULL;
    int status = operate(world, 0, id, &text);
    snprintf(ret_text, 256, "%s", text ? text : "");
    return status;
}

/* ---- the disk ---- */

/* As called in there: through /proc, the mounts of that process. */
static char *seen_from_here(const struct ce_subject *server, const char *name)
{
    return ce_format("/proc/%d/root%s/%s", (int)server->process.pid, server->folder, name);
}

/* The whole log, or NULL. Free with free(). */
static char *read_log(const struct world *world, const char *name)
{
    struct ce_subject server;
    char *text = NULL;
    size_t size;
    if (locate(world, "server", &server) < 0)
        return NULL;
    ce_autofree char *path = seen_from_here(&server, name);
    return ce_file_read(path, 4 << 20, &text, &size, NULL) < 0 ? NULL : text;
}

static bool log_says(const struct world *world, const char *what)
{
    ce_autofree char *text = read_log(world, "requests.log");
    return text && strstr(text, what);
}

static void each_request_is_logged_before_it_is_answered(void)
{
    WORLD(world, err, CE_PROFILE_NAIVE);
    for (int i = 0; i < 3; i++) {
        char id[16], line[64];
        snprintf(id, sizeof id, "b-%d", i);
        CHECK(operate(&world, (size_t)i, id, NULL) == 200);
        snprintf(line, sizeof line, " b-%d.1 churn/2 rows=1 prediction=0.", i);
        CHECK(log_says(&world, line));
    }
    ce_autofree char *text = read_log(&world, "requests.log");
    size_t lines = 0;
    for (const char *at = text; at && (at = strchr(at, '\n')); at++)
        lines++;
    CHECK(lines == 3);
}

static void a_hardened_log_is_written_too(void)
{
    WORLD(world, err, CE_PROFILE_HARDENED);
    CHECK(operate(&world, 0, "b-0", NULL) == 200);
    CHECK(EVENTUALLY(log_says(&world, " b-0.1 churn/2 rows=1 prediction=0.")));
}

/* Whatever a client writes, it stays one line. */
static void a_line_holds_nothing_but_printable_text(void)
{
    WORLD(world, err, CE_PROFILE_NAIVE);
    struct ce_http_answer answer = {0};
    ce_autofree char *body =
        ce_format("\n\x1b %s", ce_pipeline_operations(world.pipeline)->items[0].body);
    (void)call(ce_pipeline_model_route(world.pipeline), "b-0", "/v2/models/churn/infer", body,
               &answer);
    CHECK(answer.status == 400); /* an escape is no JSON */
    ce_http_answer_done(&answer);
    body[1] = ' ';
    body[2] = '\n';
    (void)call(ce_pipeline_model_route(world.pipeline), "a b\xff", "/v2/models/churn/infer", body,
               &answer);
    CHECK(answer.status == 200);
    ce_http_answer_done(&answer);
    ce_autofree char *text = read_log(&world, "requests.log");
    REQUIRE(text);
    CHECK(strstr(text, " a_b_ churn/2"));
    CHECK(!strchr(text, '\x1b'));
    CHECK(strchr(text, '\n') == text + strlen(text) - 1);
}

static void the_log_never_fills_the_disk_by_itself(void)
{
    enum { LIMIT = 1 << 20, BODY = 2048 };
    WORLD(world, err, CE_PROFILE_NAIVE);
    struct ce_subject server;
    struct stat st;
    REQUIRE(locate(&world, "server", &server) == 0);
    ce_autofree char *path = seen_from_here(&server, "requests.log");
    ce_autofree char *old_path = seen_from_here(&server, "requests.log.1");
    ce_autofree char *padded =
        ce_format("%s%2000s", ce_pipeline_operations(world.pipeline)->items[0].body, "");
    int sent = 0;
    while (sent < 2 * LIMIT / BODY && stat(old_path, &st) < 0) {
        struct ce_http_answer answer = {0};
        REQUIRE(call(ce_pipeline_model_route(world.pipeline), "b-0", "/v2/models/churn/infer",
                     padded, &answer) == 200);
        ce_http_answer_done(&answer);
        sent++;
    }
    printf("# rotated after %d requests\n", sent);
    REQUIRE(stat(old_path, &st) == 0);
    CHECK(st.st_size <= LIMIT && st.st_size > LIMIT - 2 * BODY);
    REQUIRE(stat(path, &st) == 0);
    CHECK(st.st_size < 2 * BODY);
}

/* In the pipeline's mount namespace: takes all that is left, or gives it back. */
struct ballast {
    char path[PATH_MAX];
    bool remove;
};

static int place_ballast(void *ctx, struct ce_error *err)
{
    const struct ballast *ballast = ctx;
    if (ballast->remove)
        return unlink(ballast->path) < 0 ? ce_fail(err, errno, "unlink: %s", strerror(errno)) : 0;
    ce_autofd int fd = open(ballast->path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    char page[4096] = {0};
    ssize_t n = 0;
    while (fd >= 0 && (n = write(fd, page, sizeof page)) > 0)
        ;
    return n < 0 && errno == ENOSPC ? 0 : ce_fail(err, errno, "not full: %s", strerror(errno));
}

static int fill_disk(const struct ce_subject *server, bool full, struct ce_error *err)
{
    struct ballast ballast = {.remove = !full};
    snprintf(ballast.path, sizeof ballast.path, "%.*s/ballast", PATH_MAX - 16, server->folder);
    return ce_place_call(&server->place, CE_PLACE_MOUNTS, place_ballast, &ballast, sizeof ballast,
                         err);
}

static void a_full_disk_stops_naive(void)
{
    WORLD(world, err, CE_PROFILE_NAIVE);
    struct ce_subject server;
    char text[256];
    if (is_plain(&world))
        SKIP("no filesystem of the pipeline's own here");
    REQUIRE(locate(&world, "server", &server) == 0);
    CHECK(server.folder_is_dedicated);
    REQUIRE_OK(fill_disk(&server, true, &err), err);
    /* What is left of a page that was begun takes a few lines. */
    int status = 200;
    for (int i = 0; i < 20 && status == 200; i++)
        status = ask(&world, "b-0", text);
    CHECK(status == 500);
    CHECK_TEXT(text, "{\"error\":\"cannot write the request log: No space left on device\"}");
    REQUIRE_OK(fill_disk(&server, false, &err), err);
    CHECK(ask(&world, "b-1", text) == 200);
}

static void a_full_disk_costs_hardened_nothing_but_lines(void)
{
    enum { REQUESTS = 40 };
    WORLD(world, err, CE_PROFILE_HARDENED);
    struct ce_subject server;
    if (is_plain(&world))
        SKIP("no filesystem of the pipeline's own here");
    REQUIRE(locate(&world, "server", &server) == 0);
    REQUIRE_OK(fill_disk(&server, true, &err), err);
    for (int i = 0; i < REQUESTS; i++)
        CHECK(newest_answers(&world, "b-1"));
    REQUIRE_OK(fill_disk(&server, false, &err), err);
    CHECK(newest_answers(&world, "b-2"));
    REQUIRE(EVENTUALLY(log_says(&world, " dropped ")));
    ce_autofree char *text = read_log(&world, "requests.log");
    int dropped = atoi(strstr(text, " dropped ") + strlen(" dropped "));
    printf("# %d of %d dropped\n", dropped, REQUESTS);
    CHECK(dropped > 0 && dropped <= REQUESTS);
    int written = 0;
    for (const char *at = text; (at = strstr(at, " b-1.1 ")); at++)
        written++;
    CHECK(written + dropped == REQUESTS);
}

static void the_disk_is_a_small_filesystem_that_is_not_seen_outside(void)
{
    WORLD(world, err, CE_PROFILE_NAIVE);
    struct ce_subject server;
    struct statvfs fs;
    struct stat st;
    if (is_plain(&world))
        SKIP("no mount namespace here");
    CHECK(operate(&world, 0, "b-0", NULL) == 200);
    REQUIRE(locate(&world, "server", &server) == 0);
    ce_autofree char *inside = seen_from_here(&server, "");
    ce_autofree char *outside = ce_format("%s/requests.log", server.folder);
    REQUIRE(statvfs(inside, &fs) == 0);
    CHECK(fs.f_blocks * fs.f_frsize == 16 << 20);
    CHECK(stat(outside, &st) < 0 && errno == ENOENT);
}

/* ---- names ---- */

/* In the pipeline's network namespace: one question, one answer. */
struct dns_call {
    bool over_tcp;
    int type;
    char name[64];
    uint8_t answer[512];
    ssize_t size;
};

static size_t write_question(const struct dns_call *call, uint8_t *query)
{
    static const uint8_t header[12] = {0x12, 0x34, 0x01, 0x00, 0x00, 0x01};
    memcpy(query, header, sizeof header);
    size_t at = sizeof header;
    for (const char *label = call->name; *label;) {
        size_t length = strcspn(label, ".");
        query[at++] = (uint8_t)length;
        memcpy(query + at, label, length);
        at += length;
        label += length + (label[length] == '.');
    }
    const uint8_t tail[5] = {0, 0, (uint8_t)call->type, 0, 1};
    memcpy(query + at, tail, sizeof tail);
    return at + sizeof tail;
}

static int ask_resolver(void *ctx, struct ce_error *err)
{
    struct dns_call *call = ctx;
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(53)};
    const struct timeval wait = {.tv_sec = 10};
    uint8_t query[2 + 512];
    size_t size = write_question(call, query + 2);
    query[0] = 0;
    query[1] = (uint8_t)size;
    (void)inet_pton(AF_INET, "127.0.0.53", &to.sin_addr);
    ce_autofd int fd =
        socket(AF_INET, (call->over_tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC, 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    if (connect(fd, (const struct sockaddr *)&to, sizeof to) < 0)
        return ce_fail(err, errno, "connect: %s", strerror(errno));
    size_t before = call->over_tcp ? 2 : 0;
    if (send(fd, query + 2 - before, size + before, 0) != (ssize_t)(size + before))
        return ce_fail(err, errno, "send: %s", strerror(errno));
    if (call->over_tcp && recv(fd, query, 2, MSG_WAITALL) != 2)
        return ce_fail(err, errno, "recv: %s", strerror(errno));
    call->size = recv(fd, call->answer, call->over_tcp ? query[1] : sizeof call->answer,
                      call->over_tcp ? MSG_WAITALL : 0);
    return call->size < 0 ? ce_fail(err, errno, "recv: %s", strerror(errno)) : 0;
}

static void the_resolver_knows_its_own_names_alone(void)
{
    enum { TYPE_A = 1, TYPE_AAAA = 28 };
    static const struct {
        const char *name;
        int type, code, answers;
    } cases[] = {
        {"model.pipeline.internal", TYPE_A, 0, 1},
        {"MODEL.Pipeline.internal", TYPE_A, 0, 1},
        {"gateway.pipeline.internal", TYPE_A, 0, 1},
        {"model.pipeline.internal", TYPE_AAAA, 0, 0},
        {"example.com", TYPE_A, 3, 0},
        {"pipeline.internal", TYPE_A, 3, 0},
        {"", TYPE_A, 3, 0},
    };
    WORLD(world, err, CE_PROFILE_NAIVE);
    struct ce_subject resolver;
    if (is_plain(&world))
        SKIP("no resolver here");
    REQUIRE(locate(&world, "resolver", &resolver) == 0);
    for (size_t i = 0; i < 2 * CE_COUNT(cases); i++) {
        struct dns_call call = {.over_tcp = i % 2, .type = cases[i / 2].type};
        snprintf(call.name, sizeof call.name, "%s", cases[i / 2].name);
        REQUIRE_OK(ce_place_call(&resolver.place, CE_PLACE_NETWORK, ask_resolver, &call,
                                 sizeof call, &err),
                   err);
        REQUIRE(call.size >= 12);
        CHECK(call.answer[0] == 0x12 && call.answer[1] == 0x34);
        CHECK(call.answer[2] == 0x85); /* an answer, from who knows it; recursion was wanted */
        CHECK((call.answer[3] & 0x0f) == cases[i / 2].code);
        CHECK(call.answer[7] == cases[i / 2].answers);
        if (cases[i / 2].answers > 0)
            CHECK(memcmp(call.answer + call.size - 4, "\x7f\x00\x00\x01", 4) == 0);
    }
}

static void naive_asks_for_the_name_each_time(void)
{
    WORLD(world, err, CE_PROFILE_NAIVE);
    struct ce_subject resolver;
    char text[256];
    if (is_plain(&world))
        SKIP("no resolver here");
    CHECK(ask(&world, "b-0", text) == 200);
    REQUIRE(locate(&world, "resolver", &resolver) == 0);
    REQUIRE(ce_process_signal(&resolver.process, SIGSTOP) == 0);
    /* It may take the next question yet: it stops soon after. */
    REQUIRE(EVENTUALLY(ask(&world, "b-1", text) == 502));
    int64_t begun = ce_now();
    CHECK(ask(&world, "b-2", text) == 502);
    CHECK(ce_now() - begun >= 900 * CE_MILLISECOND); /* nobody says that nobody answers */
    CHECK_TEXT(text, "{\"error\":\"the model server's name cannot be resolved\"}");
    REQUIRE(ce_process_signal(&resolver.process, SIGCONT) == 0);
    CHECK(EVENTUALLY(ask(&world, "b-3", text) == 200));
}

static void hardened_remembers_the_address(void)
{
    WORLD(world, err, CE_PROFILE_HARDENED);
    struct ce_subject resolver;
    if (is_plain(&world))
        SKIP("no resolver here");
    REQUIRE(locate(&world, "resolver", &resolver) == 0);
    REQUIRE(ce_process_signal(&resolver.process, SIGSTOP) == 0);
    REQUIRE(EVENTUALLY(ce_process_state(&resolver.process) == 'T'));
    /* Longer than the gateway takes to look it up again. */
    for (int64_t until = ce_now() + 1500 * CE_MILLISECOND; ce_now() < until;)
        CHECK(newest_answers(&world, "b-1"));
    REQUIRE(ce_process_signal(&resolver.process, SIGCONT) == 0);
}

static void a_crashed_resolver_comes_back_as_a_server_does(void)
{
    struct ce_subject resolver, now;
    char text[256];
    for (int hardened = 0; hardened < 2; hardened++) {
        WORLD(world, err, hardened ? CE_PROFILE_HARDENED : CE_PROFILE_NAIVE);
        if (is_plain(&world))
            SKIP("no resolver here");
        REQUIRE(locate(&world, "resolver", &resolver) == 0);
        REQUIRE(ce_process_signal(&resolver.process, SIGKILL) == 0);
        REQUIRE(EVENTUALLY(!ce_process_alive(&resolver.process)));
        if (!hardened) {
            CHECK(ask(&world, "b-1", text) == 502);
            REQUIRE_OK(ce_pipeline_acts(world.pipeline)->ensure_serving(world.pipeline, &err), err);
        }
        REQUIRE(EVENTUALLY(locate(&world, "resolver", &now) == 0));
        CHECK(now.process.pid != resolver.process.pid);
        CHECK(newest_answers(&world, "b-2"));
    }
}

/* ---- the gateway ---- */

static void check_gateway_replaced(enum ce_profile_kind profile, int signal)
{
    struct ce_subject gateway, now;
    char text[256];
    WORLD(world, err, profile);
    REQUIRE(locate(&world, "gateway", &gateway) == 0);
    REQUIRE(ce_process_signal(&gateway.process, signal) == 0);
    REQUIRE(EVENTUALLY(!ce_process_alive(&gateway.process) ||
                       ce_process_state(&gateway.process) == 'T'));
    if (profile == CE_PROFILE_NAIVE)
        REQUIRE_OK(ce_pipeline_acts(world.pipeline)->ensure_serving(world.pipeline, &err), err);
    REQUIRE(
        EVENTUALLY(locate(&world, "gateway", &now) == 0 && now.process.pid != gateway.process.pid));
    CHECK(!ce_process_alive(&gateway.process));
    CHECK(ask(&world, "b-1", text) == 200);
}

static void a_crashed_gateway_is_replaced(void)
{
    check_gateway_replaced(CE_PROFILE_NAIVE, SIGKILL);
    check_gateway_replaced(CE_PROFILE_HARDENED, SIGKILL);
}

static void a_hanging_gateway_is_replaced(void)
{
    check_gateway_replaced(CE_PROFILE_NAIVE, SIGSTOP);
    check_gateway_replaced(CE_PROFILE_HARDENED, SIGSTOP);
}

static void a_crashed_naive_gateway_stays_down_until_asked_for(void)
{
    WORLD(world, err, CE_PROFILE_NAIVE);
    struct ce_subject gateway;
    REQUIRE(locate(&world, "gateway", &gateway) == 0);
    REQUIRE(ce_process_signal(&gateway.process, SIGKILL) == 0);
    REQUIRE(EVENTUALLY(locate(&world, "gateway", &gateway) == -ESRCH));
    /* A while that would be long enough for a restart. */
    for (int64_t until = ce_now() + 400 * CE_MILLISECOND; ce_now() < until;) {
        CHECK(operate(&world, 0, "b-1", NULL) != 200);
        CHECK(locate(&world, "gateway", &gateway) == -ESRCH);
    }
}

int main(void)
{
    find_program();
    TEST(each_request_is_logged_before_it_is_answered);
    TEST(a_hardened_log_is_written_too);
    TEST(a_line_holds_nothing_but_printable_text);
    TEST(the_log_never_fills_the_disk_by_itself);
    TEST(a_full_disk_stops_naive);
    TEST(a_full_disk_costs_hardened_nothing_but_lines);
    TEST(the_disk_is_a_small_filesystem_that_is_not_seen_outside);
    TEST(the_resolver_knows_its_own_names_alone);
    TEST(naive_asks_for_the_name_each_time);
    TEST(hardened_remembers_the_address);
    TEST(a_crashed_resolver_comes_back_as_a_server_does);
    TEST(a_crashed_gateway_is_replaced);
    TEST(a_hanging_gateway_is_replaced);
    TEST(a_crashed_naive_gateway_stays_down_until_asked_for);
    return test_done();
}
