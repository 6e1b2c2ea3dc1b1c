/* SPDX-License-Identifier: MIT */
#include "check.h"

#include <dirent.h>
#include <math.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "observers/metrics.h"
#include "observers/metrics_internal.h"
#include "telemetry/board.h"
#include "telemetry/gateway.h"
#include "telemetry/push.h"
#include "telemetry/spool.h"

/* ---- records ---- */

static struct ce_record make_record(const char *name)
{
    struct ce_record record = {
        .name = strdup(name),
        .layer = strdup("model"),
        .fault_type = strdup("slow_inference"),
        .verdict = CE_VERDICT_DEVIATED,
        .verified = true,
        .measured = true,
        .error_count = 3,
        .recovery_time = 1.5,
        .accuracy_degradation = 0.125,
        .pipeline_downtime = 0,
        .baseline_accuracy = 0.9,
        .fault_accuracy = NAN,
        .score = 87.5,
        .lost_errors = 12.5,
        .total_seconds = 2.25,
        .ended_at = 1795404060 * CE_SECOND,
        .rollback_seconds = 0.5,
        .rollback_verified = true,
        .fault_counts = json_pack("{s:i, s:n, s:i}", "eligible", 10, "selected", "changed", 4),
        .custom_metrics = json_pack("{s:{s:f, s:n}}", "auc", "baseline", 0.75, "fault"),
    };
    record.phases[1] = (struct ce_phase_summary){.operations = 4, .errors = 3, .latency_sum = 0.25};
    for (size_t k = 0; k < CE_LATENCY_BOUNDS; k++)
        record.phases[1].within[k] = ce_latency_bounds[k] >= 0.05 ? 3 : 0;
    return record;
}

static char *text_of_record(const char *name, enum ce_metric_format format)
{
    struct ce_metric_set *metrics = ce_metric_set_new();
    struct ce_record record = make_record(name);
    CHECK(ce_metric_add_record(metrics, &record) == 0);
    char *text = ce_metric_text(metrics, format);
    ce_record_done(&record);
    ce_metric_set_free(metrics);
    return text;
}

static bool has_line(const char *text, const char *line)
{
    size_t size = strlen(line);
    for (const char *p = text; (p = strstr(p, line)); p++)
        if ((p == text || p[-1] == '\n') && p[size] == '\n')
            return true;
    return false;
}

#define WHO "experiment=\"x\",layer=\"model\",fault=\"slow_inference\""

static void a_record_becomes_samples(void)
{
    static const char *const lines[] = {
        "chaos_experiment_duration_seconds{" WHO "} 2.25",
        "chaos_experiment_status{" WHO "} 2.0",
        "chaos_recovery_time_seconds{" WHO "} 1.5",
        "chaos_accuracy_degradation_percent{" WHO "} 12.5",
        "chaos_accuracy_degradation_ratio{" WHO "} 0.125",
        "chaos_error_count{" WHO "} 3.0",
        "chaos_run_errors{" WHO "} 3.0",
        "chaos_resilience_score{" WHO "} 87.5",
        "chaos_score_points_lost{" WHO ",term=\"errors\"} 12.5",
        "chaos_score_points_lost{" WHO ",term=\"downtime\"} 0.0",
        "chaos_pipeline_downtime_seconds{" WHO "} 0.0",
        "chaos_experiment_verdict{" WHO ",verdict=\"deviated\"} 1.0",
        "chaos_experiment_verdict{" WHO ",verdict=\"passed\"} 0.0",
        "chaos_experiment_verified{" WHO "} 1.0",
        "chaos_experiment_end_time_seconds{" WHO "} 1795404060.0",
        "chaos_fault_intensity_ratio{" WHO "} 0.0",
        "chaos_request_duration_seconds_bucket{" WHO ",phase=\"fault\",le=\"0.025\"} 0.0",
        "chaos_request_duration_seconds_bucket{" WHO ",phase=\"fault\",le=\"1.0\"} 3.0",
        "chaos_request_duration_seconds_bucket{" WHO ",phase=\"fault\",le=\"+Inf\"} 4.0",
        "chaos_request_duration_seconds_sum{" WHO ",phase=\"fault\"} 0.25",
        "chaos_request_duration_seconds_count{" WHO ",phase=\"fault\"} 4.0",
        "chaos_operations{" WHO ",phase=\"fault\"} 4.0",
        "chaos_operation_errors{" WHO ",phase=\"fault\"} 3.0",
        "chaos_accuracy_ratio{" WHO ",phase=\"baseline\"} 0.9",
        "chaos_fault_units{" WHO ",kind=\"changed\"} 4.0",
        "chaos_rollback_duration_seconds{" WHO "} 0.5",
        "chaos_rollback_verified{" WHO "} 1.0",
        "chaos_custom_metric{" WHO ",metric=\"auc\",phase=\"baseline\"} 0.75",
    };
    ce_autofree char *text = text_of_record("x", CE_METRIC_TEXT);
    REQUIRE(text);
    for (size_t i = 0; i < CE_COUNT(lines); i++)
        if (!has_line(text, lines[i]))
            CHECK_TEXT("absent", lines[i]);
}

static void what_was_not_measured_is_absent(void)
{
    ce_autofree char *text = text_of_record("x", CE_METRIC_TEXT);
    REQUIRE(text);
    CHECK(!strstr(text, "chaos_accuracy_ratio{" WHO ",phase=\"fault\"}"));
    CHECK(!strstr(text, "kind=\"selected\""));
    CHECK(!strstr(text, "chaos_custom_metric{" WHO ",metric=\"auc\",phase=\"fault\"}"));
    CHECK(!strstr(text, "phase=\"baseline\",le="));
    CHECK(!strstr(text, "chaos_guard_up"));
    CHECK(!strstr(text, "nan") && !strstr(text, "NaN"));

    struct ce_metric_set *metrics = ce_metric_set_new();
    struct ce_record record = make_record("x");
    record.measured = false;
    record.score = record.recovery_time = NAN;
    record.status = CE_STATUS_DIRTY;
    CHECK(ce_metric_add_record(metrics, &record) == 0);
    ce_autofree char *dirty = ce_metric_text(metrics, CE_METRIC_TEXT);
    CHECK(!strstr(dirty, "chaos_error_count") && !strstr(dirty, "chaos_resilience_score"));
    CHECK(!strstr(dirty, "chaos_score_points_lost") && !strstr(dirty, "chaos_recovery_time"));
    CHECK(!strstr(dirty, "chaos_fault_intensity_ratio"));
    CHECK(has_line(dirty, "chaos_experiment_status{" WHO "} 4.0"));
    ce_record_done(&record);
    ce_metric_set_free(metrics);
}

static void names_are_escaped(void)
{
    ce_autofree char *text = text_of_record("a\"b\\c\nd/é", CE_METRIC_TEXT);
    REQUIRE(text);
    ce_autofree char *odd = text_of_record("\x1b\xff\xc3", CE_METRIC_TEXT);
    CHECK(strstr(odd, "experiment=\"???\""));
    CHECK(strstr(text, "chaos_experiment_status{experiment=\"a\\\"b\\\\c\\nd/é\",layer=\"model\""));
}

/* Whether each family's lines follow each other, after one HELP and one TYPE. */
static void check_families(const char *text)
{
    char seen[64][64];
    size_t count = 0;
    ce_autofree char *copy = strdup(text);
    for (char *save, *line = strtok_r(copy, "\n", &save); line;
         line = strtok_r(NULL, "\n", &save)) {
        char name[64], word[64];
        if (sscanf(line, "# HELP %63s", name) != 1)
            continue;
        for (size_t i = 0; i < count; i++)
            CHECK(strcmp(seen[i], name) != 0);
        snprintf(seen[count++], sizeof seen[0], "%s", name);
        line = strtok_r(NULL, "\n", &save);
        CHECK(sscanf(line, "# TYPE %63s", word) == 1 && strcmp(word, name) == 0);
    }
    CHECK(count >= 20);
}

static void families_are_described_once(void)
{
    struct ce_metric_set *metrics = ce_metric_set_new();
    static const char *const names[] = {"a", "b", "c"};
    for (size_t i = 0; i < CE_COUNT(names); i++) {
        struct ce_record record = make_record(names[i]);
        CHECK(ce_metric_add_record(metrics, &record) == 0);
        ce_record_done(&record);
    }
    for (int format = CE_METRIC_TEXT; format <= CE_METRIC_OPEN; format++) {
        ce_autofree char *text = ce_metric_text(metrics, (enum ce_metric_format)format);
        check_families(text);
        CHECK(text[strlen(text) - 1] == '\n');
    }
    ce_metric_set_free(metrics);
}

static void open_metrics_differ_where_they_must(void)
{
    struct ce_metric_set *metrics = ce_metric_set_new();
    struct ce_metric_host host = {.live = 2, .failed = 1, .stopped = true};
    CHECK(ce_metric_add_build(metrics) == 0 && ce_metric_add_host(metrics, &host) == 0);
    struct ce_record record = make_record("x");
    CHECK(ce_metric_add_record(metrics, &record) == 0);
    ce_record_done(&record);
    ce_autofree char *plain = ce_metric_text(metrics, CE_METRIC_TEXT);
    ce_autofree char *open = ce_metric_text(metrics, CE_METRIC_OPEN);
    CHECK(has_line(plain, "# TYPE chaos_build_info gauge"));
    CHECK(has_line(open, "# TYPE chaos_build info"));
    CHECK(has_line(open, "chaos_build_info{version=\"" CE_VERSION "\"} 1.0"));
    CHECK(has_line(open, "# UNIT chaos_recovery_time_seconds seconds"));
    CHECK(!strstr(plain, "# UNIT") && !strstr(plain, "# EOF"));
    CHECK_TEXT(open + strlen(open) - 6, "# EOF\n");
    CHECK(has_line(plain, "chaos_journal_live_entries 2.0"));
    CHECK(has_line(plain, "chaos_journal_failed_entries 1.0"));
    CHECK(has_line(plain, "chaos_stop_engaged 1.0"));
    ce_metric_set_free(metrics);
}

static void the_last_run_of_an_experiment_speaks(void)
{
    struct ce_metric_set *metrics = ce_metric_set_new();
    struct ce_record record = make_record("x");
    CHECK(ce_metric_add_record(metrics, &record) == 0);
    struct ce_metric_live live = {"x", "model", "slow_inference", .intensity = 0.5, .guard = 1};
    CHECK(ce_metric_add_live(metrics, &live) == 1);
    CHECK(ce_metric_add_live(metrics, &live) == 0);
    ce_autofree char *during = ce_metric_text(metrics, CE_METRIC_TEXT);
    CHECK(has_line(during, "chaos_experiment_status{" WHO "} 1.0"));
    CHECK(!strstr(during, "chaos_experiment_status{" WHO "} 2.0"));
    CHECK(has_line(during, "chaos_fault_intensity_ratio{" WHO "} 0.5"));
    CHECK(has_line(during, "chaos_guard_up{" WHO "} 1.0"));
    CHECK(has_line(during, "chaos_resilience_score{" WHO "} 87.5")); /* of the last run, still */
    record.score = 50;
    CHECK(ce_metric_add_record(metrics, &record) == 0);
    ce_autofree char *after = ce_metric_text(metrics, CE_METRIC_TEXT);
    CHECK(has_line(after, "chaos_resilience_score{" WHO "} 50.0"));
    CHECK(!strstr(after, "87.5") && !strstr(after, "chaos_guard_up"));
    ce_record_done(&record);
    ce_metric_set_free(metrics);
}

static void numbers_are_read_back_as_they_were(void)
{
    static const double numbers[] = {0, 1, 0.1, 1.0 / 3, 1e-9, 123456789.125, 1e300, -2.5};
    for (size_t i = 0; i < CE_COUNT(numbers); i++) {
        char text[CE_METRIC_NUMBER_SIZE];
        ce_metric_number(numbers[i], text);
        CHECK(strtod(text, NULL) == numbers[i]);
        CHECK(strpbrk(text, ".e") != NULL);
    }
}

static void what_a_client_accepts_is_heard(void)
{
    static const struct {
        const char *accept;
        enum ce_metric_format want;
    } cases[] = {
        {"", CE_METRIC_TEXT},
        {"*/*", CE_METRIC_TEXT},
        {"text/plain", CE_METRIC_TEXT},
        {"application/openmetrics-text", CE_METRIC_OPEN},
        {"application/openmetrics-text; version=1.0.0, text/plain;q=0.5", CE_METRIC_OPEN},
        {"application/openmetrics-text; version=0.0.1", CE_METRIC_TEXT},
        {"application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;"
         "q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
         CE_METRIC_OPEN},
        {"text/plain;version=0.0.4, application/openmetrics-text;version=1.0.0;q=0.3",
         CE_METRIC_TEXT},
        {"application/openmetrics-text;q=0", CE_METRIC_TEXT},
        {",;q=,;;,", CE_METRIC_TEXT},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++)
        CHECK(ce_metric_accepted(cases[i].accept, strlen(cases[i].accept)) == cases[i].want);
}

/* ---- gateways ---- */

static void urls_are_read_without_telling_the_password(void)
{
    static const struct {
        const char *url, *shown, *login, *prefix;
    } good[] = {
        {"http://h:9091", "http://h:9091", NULL, ""},
        {"http://h:9091/", "http://h:9091/", NULL, ""},
        {"https://h/a/b", "https://h/a/b", NULL, "/a/b"},
        {"http://me:p%40ss@h:9091/x", "http://h:9091/x", "Authorization: Basic bWU6cEBzcw==\r\n",
         "/x"},
        {"http://me@h:1", "http://h:1", "Authorization: Basic bWU6\r\n", ""},
        {"h:9091", "h:9091", NULL, ""},
    };
    for (size_t i = 0; i < CE_COUNT(good); i++) {
        struct ce_error err = {0};
        struct ce_gateway gateway = {0};
        REQUIRE_OK(ce_gateway_parse(good[i].url, &gateway, &err), err);
        CHECK_TEXT(gateway.shown, good[i].shown);
        CHECK_TEXT(gateway.url.prefix, good[i].prefix);
        CHECK(!gateway.authorization == !good[i].login);
        if (good[i].login)
            CHECK_TEXT(gateway.authorization, good[i].login);
        ce_gateway_done(&gateway);
    }
    static const char *const bad[] = {"",
                                      "h",
                                      "ftp://me:secret@h",
                                      "http://me:secret@",
                                      "http://me:secret@h:x",
                                      "h2c://me:secret@h:1",
                                      "http://me:secret@h:1/?q"};
    for (size_t i = 0; i < CE_COUNT(bad); i++) {
        struct ce_error err = {0};
        CHECK(ce_gateway_check(bad[i], &err) == -EINVAL);
        CHECK(err.message[0] && !strstr(err.message, "secret"));
    }
}

static void groups_are_paths_that_mean_nothing_else(void)
{
    static const struct {
        const char *job, *experiment, *path;
    } cases[] = {
        {"chaos_eater", "latency", "/metrics/job/chaos_eater/experiment/latency"},
        {"chaos_eater", NULL, "/metrics/job/chaos_eater"},
        {"j", "a/b", "/metrics/job/j/experiment@base64/YS9i"},
        {"j", "", "/metrics/job/j/experiment@base64/="},
        {"j", "..", "/metrics/job/j/experiment@base64/Li4="},
        {"j", "a b", "/metrics/job/j/experiment@base64/YSBi"},
        {"j", "\xff\xfe", "/metrics/job/j/experiment@base64/__4="},
        {"my job", "x", "/metrics/job@base64/bXkgam9i/experiment/x"},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        ce_autofree char *path = ce_gateway_group(cases[i].job, cases[i].experiment);
        CHECK_TEXT(path, cases[i].path);
    }
}

/* ---- the spool ---- */

/* A gateway that answers every call with one status, and remembers them. */
struct door {
    int fd, port;
    const char *answer; /* a status line's end: "200 OK"; NULL: it never answers */
    pthread_t thread;
    char got[32][128]; /* "PUT /metrics/job/j" */
    char bodies[32][256];
    size_t count;
};

static void take_call(struct door *door, int fd)
{
    char text[65536] = "", *body = NULL;
    size_t size = 0;
    for (ssize_t n;
         size < sizeof text - 1 && (n = read(fd, text + size, sizeof text - 1 - size)) > 0;) {
        size += (size_t)n;
        text[size] = '\0';
        const char *length = strstr(text, "Content-Length: ");
        if ((body = strstr(text, "\r\n\r\n")) &&
            (!length || size >= (size_t)(body + 4 - text) + strtoul(length + 16, NULL, 10)))
            break;
    }
    if (!body || door->count == 32)
        return;
    snprintf(door->got[door->count], sizeof door->got[0], "%.*s",
             (int)(strstr(text, " HTTP/") - text), text);
    snprintf(door->bodies[door->count++], sizeof door->bodies[0], "%.200s", body + 4);
    if (door->answer)
        dprintf(fd, "HTTP/1.1 %s\r\nContent-Length: 4\r\nConnection: close\r\n\r\nwhy\n",
                door->answer);
    else
        (void)!read(fd, text, sizeof text);
}

static void *serve_door(void *ctx)
{
    struct door *door = ctx;
    for (int fd; (fd = accept(door->fd, NULL, NULL)) >= 0;) {
        take_call(door, fd);
        close(fd);
    }
    return NULL;
}

static void door_open(struct door *door, const char *answer, int port)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    *door = (struct door){.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), .answer = answer};
    int one = 1;
    (void)setsockopt(door->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(door->fd, (struct sockaddr *)&at, sizeof at) < 0 || listen(door->fd, 8) < 0)
        abort();
    (void)getsockname(door->fd, (struct sockaddr *)&at, &size);
    door->port = ntohs(at.sin_port);
    (void)pthread_create(&door->thread, NULL, serve_door, door);
}

static void door_close(struct door *door)
{
    (void)shutdown(door->fd, SHUT_RDWR);
    (void)pthread_join(door->thread, NULL);
    close(door->fd);
}

static size_t count_kept(const char *state)
{
    ce_autofree char *folder = ce_format("%s/metrics", state);
    DIR *dir = opendir(folder);
    size_t count = 0;
    for (struct dirent *entry; dir && (entry = readdir(dir));)
        count += entry->d_name[0] != '.';
    if (dir)
        closedir(dir);
    return count;
}

static void gateway_at(int port, struct ce_gateway *gateway)
{
    char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%d", port);
    if (ce_gateway_parse(url, gateway, NULL) < 0)
        abort();
}

static void the_spool_keeps_the_newest_of_each_group(void)
{
    char state[] = "/tmp/chaoseater-metrics-XXXXXX";
    struct ce_error err = {0};
    struct door door;
    struct ce_gateway gateway;
    size_t left = 9;
    REQUIRE(mkdtemp(state));
    door_open(&door, "200 OK", 0);
    gateway_at(door.port, &gateway);
    REQUIRE_OK(ce_spool_keep(state, gateway.shown, "/a", "old\n", &err), err);
    REQUIRE_OK(ce_spool_keep(state, gateway.shown, "/a", "new\n", &err), err);
    REQUIRE_OK(ce_spool_keep(state, "http://other", "/a", "other\n", &err), err);
    REQUIRE_OK(ce_spool_keep(state, gateway.shown, "/b", "b\n", &err), err);
    ce_spool_forget(state, gateway.shown, "/b");
    CHECK(count_kept(state) == 2);
    CHECK(ce_spool_send(state, &gateway, ce_now() + 10 * CE_SECOND, &left, &err) == 1 && left == 0);
    door_close(&door);
    CHECK(count_kept(state) == 1);
    REQUIRE(door.count == 1);
    CHECK_TEXT(door.got[0], "PUT /a");
    CHECK_TEXT(door.bodies[0], "new\n");
    ce_gateway_done(&gateway);
    CHECK(ce_tree_remove(state, &err) == 0);
}

static void the_spool_is_bounded(void)
{
    char state[] = "/tmp/chaoseater-metrics-XXXXXX";
    struct ce_error err = {0};
    REQUIRE(mkdtemp(state));
    for (int i = 0; i < CE_SPOOL_MAX + 3; i++) {
        char group[32];
        snprintf(group, sizeof group, "/g%d", i);
        REQUIRE_OK(ce_spool_keep(state, "http://h", group, "x\n", &err), err);
    }
    CHECK(count_kept(state) == CE_SPOOL_MAX);
    CHECK(ce_tree_remove(state, &err) == 0);
}

static void what_is_refused_stays_and_does_not_keep_the_rest(void)
{
    static const char *const answers[] = {"400 Bad Request", "401 Unauthorized",
                                          "409 Conflict",    "412 Precondition Failed",
                                          "500 Oops",        "307 Temporary Redirect"};
    for (size_t i = 0; i < CE_COUNT(answers); i++) {
        char state[] = "/tmp/chaoseater-metrics-XXXXXX";
        struct ce_error err = {0};
        struct door door;
        struct ce_gateway gateway;
        size_t left = 0;
        REQUIRE(mkdtemp(state));
        door_open(&door, answers[i], 0);
        gateway_at(door.port, &gateway);
        REQUIRE_OK(ce_spool_keep(state, gateway.shown, "/a", "a\n", &err), err);
        REQUIRE_OK(ce_spool_keep(state, gateway.shown, "/b", "b\n", &err), err);
        CHECK(ce_spool_send(state, &gateway, ce_now() + 10 * CE_SECOND, &left, &err) == -EREMOTEIO);
        CHECK(left == 2 && strstr(err.message, "answered with status") &&
              strstr(err.message, "why"));
        door_close(&door);
        CHECK(door.count == 2);
        CHECK(count_kept(state) == 2);
        ce_gateway_done(&gateway);
        CHECK(ce_tree_remove(state, &err) == 0);
    }
}

/* ---- pushing ---- */

static void push_one(int port, const char *state, char **ret_warning)
{
    char url[64];
    struct ce_error err = {0};
    struct ce_push *push;
    struct ce_record record = make_record("x");
    snprintf(url, sizeof url, "http://127.0.0.1:%d", port);
    if (ce_push_start(url, "j", state, &push, &err) < 0)
        abort();
    struct ce_metric_live live = {"x", "model", "slow_inference", .guard = 1};
    for (int i = 0; i < 100; i++)
        ce_push_live(push, &live);
    ce_push_record(push, &record);
    ce_push_stop(push, ret_warning);
    ce_record_done(&record);
}

static void the_end_of_a_run_is_pushed(void)
{
    char state[] = "/tmp/chaoseater-metrics-XXXXXX";
    struct ce_error err = {0};
    struct door door;
    char *warning = NULL;
    REQUIRE(mkdtemp(state));
    door_open(&door, "200 OK", 0);
    push_one(door.port, state, &warning);
    door_close(&door);
    CHECK(!warning && count_kept(state) == 0);
    REQUIRE(door.count >= 1 && door.count <= 2);
    CHECK_TEXT(door.got[door.count - 1], "PUT /metrics/job/j/experiment/x");
    CHECK(strstr(door.bodies[door.count - 1], "chaos_experiment_duration_seconds"));
    free(warning);
    CHECK(ce_tree_remove(state, &err) == 0);
}

static void what_is_not_taken_is_kept_and_sent_later(void)
{
    char state[] = "/tmp/chaoseater-metrics-XXXXXX";
    struct ce_error err = {0};
    struct door door;
    char *warning = NULL;
    REQUIRE(mkdtemp(state));
    door_open(&door, "500 Oops", 0);
    push_one(door.port, state, &warning);
    door_close(&door);
    REQUIRE(warning);
    CHECK(strstr(warning, "status 500") && strstr(warning, state));
    CHECK(count_kept(state) == 1);
    free(ce_take(warning));

    struct ce_push *push;
    char url[64];
    int port = door.port;
    door_open(&door, "200 OK", port);
    snprintf(url, sizeof url, "http://127.0.0.1:%d", port);
    REQUIRE_OK(ce_push_start(url, "j", state, &push, &err), err);
    struct ce_metric_live live = {"y", "model", "slow_inference", .guard = 1};
    ce_push_live(push, &live);
    ce_push_stop(push, &warning);
    door_close(&door);
    CHECK(!warning && count_kept(state) == 0);
    bool x = false, y = false;
    for (size_t i = 0; i < door.count; i++) {
        x = x || strcmp(door.got[i], "PUT /metrics/job/j/experiment/x") == 0;
        y = y || strcmp(door.got[i], "PUT /metrics/job/j/experiment/y") == 0;
    }
    CHECK(x && y);
    free(warning);
    CHECK(ce_tree_remove(state, &err) == 0);
}

static void a_gateway_that_hangs_does_not_hang_the_run(void)
{
    char state[] = "/tmp/chaoseater-metrics-XXXXXX";
    struct ce_error err = {0};
    struct door door;
    char *warning = NULL;
    REQUIRE(mkdtemp(state));
    door_open(&door, NULL, 0);
    int64_t begun = ce_now();
    push_one(door.port, state, &warning);
    CHECK(ce_now() - begun < 10 * CE_SECOND);
    door_close(&door);
    CHECK(warning && count_kept(state) == 1);
    free(warning);
    CHECK(ce_tree_remove(state, &err) == 0);
}

/* ---- the board ---- */

static char *ask(const char *url, const char *request)
{
    static const char scheme[] = "http://127.0.0.1:";
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    at.sin_port = htons((uint16_t)strtoul(url + strlen(scheme), NULL, 10));
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char *text = calloc(1, 65536);
    size_t size = 0;
    if (text && connect(fd, (struct sockaddr *)&at, sizeof at) == 0) {
        dprintf(fd, "%s\r\nHost: h\r\nConnection: close\r\n\r\n", request);
        for (ssize_t n; size < 65535 && (n = read(fd, text + size, 65535 - size)) > 0;)
            size += (size_t)n;
    }
    close(fd);
    return text;
}

static void the_board_is_served(void)
{
    char state[] = "/tmp/chaoseater-metrics-XXXXXX";
    struct ce_error err = {0};
    struct ce_metrics *metrics;
    char *url = NULL;
    REQUIRE(mkdtemp(state));
    REQUIRE_OK(ce_metrics_new(state, &metrics, &err), err);
    REQUIRE_OK(ce_metrics_serve(metrics, "127.0.0.1:0", &url, &err), err);
    CHECK(ce_metrics_serve(metrics, "127.0.0.1:0", &url, &err) == -EBUSY);
    struct ce_metric_live live = {"x", "model", "slow_inference", .state = CE_METRIC_PENDING};
    ce_metrics_live(metrics, &live);
    ce_autofree char *plain = ask(url, "GET /metrics HTTP/1.1");
    CHECK(strstr(plain, "HTTP/1.1 200") && strstr(plain, "text/plain; version=0.0.4"));
    CHECK(strstr(plain, "chaos_experiment_status{" WHO "} 0.0\n"));
    CHECK(strstr(plain, "chaos_stop_engaged 0.0\n"));
    struct ce_record record = make_record("x");
    ce_metrics_record(metrics, &record);
    ce_record_done(&record);
    ce_autofree char *open =
        ask(url, "GET /metrics?x=1 HTTP/1.1\r\nAccept: application/openmetrics-text");
    CHECK(strstr(open, "application/openmetrics-text; version=1.0.0") && strstr(open, "# EOF\n"));
    CHECK(strstr(open, "chaos_experiment_status{" WHO "} 2.0\n"));
    ce_autofree char *other = ask(url, "GET /metric HTTP/1.1");
    CHECK(strstr(other, "HTTP/1.1 404"));
    ce_autofree char *post = ask(url, "POST /metrics HTTP/1.1\r\nContent-Length: 0");
    CHECK(strstr(post, "HTTP/1.1 405") && strstr(post, "Allow: GET, HEAD"));
    ce_string_free(url);
    ce_metrics_free(metrics);
    CHECK(ce_tree_remove(state, &err) == 0);
}

int main(void)
{
    TEST(a_record_becomes_samples);
    TEST(what_was_not_measured_is_absent);
    TEST(names_are_escaped);
    TEST(families_are_described_once);
    TEST(open_metrics_differ_where_they_must);
    TEST(the_last_run_of_an_experiment_speaks);
    TEST(numbers_are_read_back_as_they_were);
    TEST(what_a_client_accepts_is_heard);
    TEST(urls_are_read_without_telling_the_password);
    TEST(groups_are_paths_that_mean_nothing_else);
    TEST(the_spool_keeps_the_newest_of_each_group);
    TEST(the_spool_is_bounded);
    TEST(what_is_refused_stays_and_does_not_keep_the_rest);
    TEST(the_end_of_a_run_is_pushed);
    TEST(what_is_not_taken_is_kept_and_sent_later);
    TEST(a_gateway_that_hangs_does_not_hang_the_run);
    TEST(the_board_is_served);
    return test_done();
}
