/* SPDX-License-Identifier: MIT */
/* The parts of `pipeline: {kind: http}`: URLs, labelled rows, what is right, a started server and
 * its tree. Whole runs are in tests/e2e/test_http_pipeline.py. */
#include <arpa/inet.h>
#include <math.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/spawn.h"
#include "check.h"
#include "host/process.h"
#include "net/url.h"
#include "pipeline/http/ask.h"
#include "pipeline/pipeline.h"
#include "pipeline/started/started.h"
#include "pipeline/started/tree.h"

/* Generous: it only runs out when something is broken. */
static const int64_t patience = 20 * CE_SECOND;

#define EVENTUALLY(condition)                                                                      \
    __extension__({                                                                                \
        int64_t until_ = ce_now() + patience;                                                      \
        bool holds_;                                                                               \
        while (!(holds_ = (condition)) && ce_now() < until_)                                       \
            ce_sleep_until(ce_now() + CE_MILLISECOND);                                             \
        holds_;                                                                                    \
    })

/* A folder of the test's own. */
struct place {
    char folder[64];
};
static void place_done(struct place *place)
{
    (void)ce_tree_remove(place->folder, NULL);
}
#define PLACE(name)                                                                                \
    CE_CLEANUP(place_done) struct place name = {"/tmp/ce-http-XXXXXX"};                            \
    REQUIRE(mkdtemp(name.folder))

static char *put_file(const struct place *place, const char *name, const char *text)
{
    char *path = ce_format("%s/%s", place->folder, name);
    if (ce_file_replace(path, text, strlen(text), NULL) < 0)
        abort();
    return path;
}

/* ---- URLs ---- */

static void a_url_is_taken_apart(void)
{
    static const struct {
        const char *text, *address, *authority, *prefix;
        bool tls, http2;
    } cases[] = {
        {"http://127.0.0.1:8080", "127.0.0.1:8080", "127.0.0.1:8080", ""},
        {"http://127.0.0.1:8080/", "127.0.0.1:8080", "127.0.0.1:8080", ""},
        {"http://models.local/a/b//", "models.local:80", "models.local", "/a/b"},
        {"http://[::1]:90/x", "[::1]:90", "[::1]:90", "/x"},
        {"http://[::1]", "[::1]:80", "[::1]", ""},
        {"unix:/run/model.sock", "unix:/run/model.sock", "localhost", ""},
        {"127.0.0.1:90", "127.0.0.1:90", "127.0.0.1:90", ""},
        {"https://models.local/a", "models.local:443", "models.local", "/a", .tls = true},
        {"h2c://[::1]:9000", "[::1]:9000", "[::1]:9000", "", .http2 = true},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        CE_CLEANUP(ce_url_done) struct ce_url url = {0};
        struct ce_error err = {0};
        char address[300];
        REQUIRE_OK(ce_url_parse(cases[i].text, &url, &err), err);
        ce_endpoint_text(&url.endpoint, address, sizeof address);
        CHECK_TEXT(address, cases[i].address);
        CHECK_TEXT(url.authority, cases[i].authority);
        CHECK_TEXT(url.prefix, cases[i].prefix);
        CHECK(url.tls == cases[i].tls && url.http2 == cases[i].http2);
    }
}

static void a_url_that_is_none_is_refused(void)
{
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"", "is none of http://host:port/prefix"},
        {"localhost", "is none of"},
        {"ftp://host", "is none of"},
        {"http://", "names no host"},
        {"http:///x", "names no host"},
        {"http://me@host", "names a user"},
        {"http://host/a?b", "has a query"},
        {"http://host/#a", "has a query"},
        {"http://ho st", "holds characters"},
        {"http://host:99999", "is no port"},
        {"http://host:", "is no port"},
        {"http://::1:80", "stands in brackets"},
        {"unix:", "1 to"},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        struct ce_url url = {0};
        struct ce_error err = {0};
        CHECK(ce_url_parse(cases[i].text, &url, &err) == -EINVAL);
        if (!strstr(err.message, cases[i].says))
            printf("# %s: %s\n", cases[i].text, err.message);
        CHECK(strstr(err.message, cases[i].says));
    }
}

/* ---- labelled rows ---- */

#define LABELLED(name, path, label, err)                                                           \
    CE_CLEANUP(ce_labelled_done) struct ce_labelled name = {0};                                    \
    const char *name##_key = NULL;                                                                 \
    REQUIRE_OK(ce_labelled_read(path, label, &name, &name##_key, &err), err)

static void check_cell(const struct ce_labelled *labelled, size_t row, size_t feature,
                       const char *text)
{
    const char *cell = ce_labelled_cell(&labelled->rows[row], feature);
    if (text)
        CHECK_TEXT(cell ? cell : "(missing)", text);
    else
        CHECK(!cell);
}

static void rows_of_csv_are_read_in_order(void)
{
    PLACE(place);
    struct ce_error err = {0};
    ce_autofree char *path = put_file(&place, "a.csv",
                                      "age,plan,class,city\n"
                                      "007,basic,yes,Oslo\n"
                                      ".5,\"a \"\"b\"\"\",no,\n"
                                      "NA,,yes,12\n");
    LABELLED(labelled, path, "class", err);
    REQUIRE(labelled.row_count == 3 && labelled.feature_count == 3);
    CHECK_TEXT(labelled.features[0].name, "age");
    CHECK_TEXT(labelled.features[2].name, "city");
    CHECK(labelled.features[0].is_number && !labelled.features[1].is_number);
    CHECK(!labelled.features[2].is_number && !labelled.numbers);
    CHECK_TEXT(labelled.rows[1].label, "no");
    CHECK(isnan(labelled.rows[1].number));
    check_cell(&labelled, 0, 0, "7"); /* as JSON spells it */
    check_cell(&labelled, 1, 0, "0.5");
    check_cell(&labelled, 2, 0, NULL);
    check_cell(&labelled, 1, 1, "a \"b\"");
    check_cell(&labelled, 1, 2, NULL);
    check_cell(&labelled, 2, 2, "12");
}

static void keys_of_json_lines_may_come_late(void)
{
    PLACE(place);
    struct ce_error err = {0};
    ce_autofree char *path = put_file(&place, "a.jsonl",
                                      "{\"y\": 1, \"a\": 2}\n"
                                      "{\"a\": 3.50, \"b\": \"x\", \"y\": 0}\n"
                                      "{\"y\": 1, \"b\": null}\n");
    LABELLED(labelled, path, "y", err);
    REQUIRE(labelled.row_count == 3 && labelled.feature_count == 2);
    CHECK(labelled.numbers && labelled.rows[0].number == 1 && labelled.rows[1].number == 0);
    check_cell(&labelled, 0, 0, "2");
    check_cell(&labelled, 0, 1, NULL);
    check_cell(&labelled, 1, 0, "3.50");
    check_cell(&labelled, 1, 1, "x");
    check_cell(&labelled, 2, 0, NULL);
    check_cell(&labelled, 2, 1, NULL);
}

static void rows_beyond_the_most_are_left(void)
{
    PLACE(place);
    struct ce_error err = {0};
    char *text = NULL;
    size_t size;
    FILE *file = open_memstream(&text, &size);
    fputs("x,y\n", file);
    for (int i = 0; i < CE_LABELLED_MAX + 10; i++)
        fprintf(file, "%d,%d\n", i, i % 2);
    (void)fclose(file);
    ce_autofree char *path = put_file(&place, "a.csv", text);
    free(text);
    LABELLED(labelled, path, "y", err);
    CHECK(labelled.row_count == CE_LABELLED_MAX);
    check_cell(&labelled, CE_LABELLED_MAX - 1, 0, "99999");
}

static void rows_that_cannot_be_sent_have_a_place(void)
{
    static const struct {
        const char *name, *text, *key, *where, *says;
    } cases[] = {
        {"a.csv", "a,b\n1,2\n", "label", "", "has no column 'class' (there are: a, b)"},
        {"a.csv", "a,clas\n1,2\n", "label", "", "did you mean 'clas'?"},
        {"a.csv", "a,class\n", "dataset", "", "has no rows"},
        {"a.csv", "a,class\n1,2\n3,\n", "dataset", "a.csv:3", "column 'class' is empty"},
        {"a.csv", "a,class\n1,2\n3\n", "dataset", "a.csv:3", "column 'class' is empty"},
        {"a.jsonl", "{\"class\":1,\"a\":[1]}\n", "dataset", "a.jsonl:1",
         "column 'a' holds an object or a list"},
        {"a.jsonl", "{\"class\":1\n", "dataset", "a.jsonl:1", ""},
        {"a.csv", "PAR1 and so on", "dataset", "", "is parquet"},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        PLACE(place);
        struct ce_error err = {0};
        struct ce_labelled labelled = {0};
        const char *key = "";
        ce_autofree char *path = put_file(&place, cases[i].name, cases[i].text);
        CHECK(ce_labelled_read(path, "class", &labelled, &key, &err) < 0);
        CHECK_TEXT(key, cases[i].key);
        if (!strstr(err.message, cases[i].says) || !strstr(err.where, cases[i].where))
            printf("# %zu: %s: %s\n", i, err.where, err.message);
        CHECK(strstr(err.message, cases[i].says) && strstr(err.where, cases[i].where));
    }
}

/* ---- what is right ---- */

struct opinion {
    bool is_label;
    const char *text;
    double number;
    const char *label;
    double label_number;
    bool right;
};

static struct ce_pipeline_spec spec_of(int task)
{
    return (struct ce_pipeline_spec){
        .kind = CE_PIPELINE_HTTP, .task = task, .threshold = 0.5, .tolerance = 0.1};
}

static void check_opinions(const struct ce_judge *judge, const struct opinion *opinions,
                           size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct opinion *o = &opinions[i];
        struct ce_prediction prediction = {.is_label = o->is_label, .number = o->number};
        struct ce_operation operation = {.label_text = (char *)o->label, .label = o->label_number};
        snprintf(prediction.text, sizeof prediction.text, "%s", o->text);
        bool right = ce_judge_is_right(judge, &prediction, &operation);
        if (right != o->right)
            printf("# %zu: %s for %s\n", i, o->text, o->label);
        CHECK(right == o->right);
    }
}

static void classes_are_compared_as_text_or_as_numbers(void)
{
    static const struct opinion opinions[] = {
        {true, "setosa", NAN, "setosa", NAN, true},
        {true, "Setosa", NAN, "setosa", NAN, false},
        {true, "2", 2, "2", 2, true},
        {true, "2", 2, "2.0", 2, true},
        {false, "2.0", 2, "2", 2, true},
        {true, "2", 2, "1", 1, false},
        {true, "true", NAN, "1", 1, true},
        {true, "1", 1, "True", NAN, true},
        {true, "false", NAN, "1", 1, false},
        {false, "nan", NAN, "1", 1, false},
    };
    struct ce_pipeline_spec spec = spec_of(CE_TASK_CLASSIFICATION);
    struct ce_judge judge = {.spec = &spec};
    check_opinions(&judge, opinions, CE_COUNT(opinions));
}

static void scores_become_classes_at_the_threshold(void)
{
    static const struct opinion opinions[] = {
        {false, "0.5", 0.5, "1", 1, true},        {false, "0.49", 0.49, "0", 0, true},
        {false, "0.49", 0.49, "1", 1, false},     {false, "1.5", 1.5, "1", 1, false},
        {false, "-0.1", -0.1, "0", 0, false},     {true, "1", 1, "1", 1, true},
        {false, "0.9", 0.9, "true", NAN, true},   {false, "0.1", 0.1, "false", NAN, true},
        {false, "0.9", 0.9, "false", NAN, false},
    };
    struct ce_pipeline_spec spec = spec_of(CE_TASK_CLASSIFICATION);
    struct ce_judge judge = {.spec = &spec, .binary = true, .numbers = true};
    check_opinions(&judge, opinions, CE_COUNT(opinions));
}

static void numbers_become_classes_by_labels(void)
{
    static const struct opinion three[] = {
        {true, "0", 0, "a", NAN, true},    {true, "2", 2, "c", NAN, true},
        {true, "2", 2, "a", NAN, false},   {true, "3", 3, "a", NAN, false},
        {false, "1.0", 1, "b", NAN, true}, {false, "0.4", 0.4, "a", NAN, false},
        {true, "c", NAN, "c", NAN, true},
    };
    static const struct opinion two[] = {
        {false, "0.7", 0.7, "b", NAN, true},
        {false, "0.2", 0.2, "b", NAN, false},
        {false, "1.2", 1.2, "b", NAN, false},
        {true, "0", 0, "a", NAN, true},
    };
    char a[] = "a", b[] = "b", c[] = "c", *names[] = {a, b, c};
    struct ce_pipeline_spec spec = spec_of(CE_TASK_CLASSIFICATION);
    struct ce_judge judge = {.spec = &spec};
    spec.labels = (struct ce_names){names, 3};
    check_opinions(&judge, three, CE_COUNT(three));
    spec.labels = (struct ce_names){names, 2};
    check_opinions(&judge, two, CE_COUNT(two));
}

static void a_regression_is_right_within_its_tolerance(void)
{
    static const struct opinion opinions[] = {
        {false, "110", 110, "100", 100, true},
        {false, "110.1", 110.1, "100", 100, false},
        {false, "-90", -90, "-100", -100, true},
        {false, "0", 0, "0", 0, true},
        {false, "1e-6", 1e-6, "0", 0, false},
        {false, "nan", NAN, "1", 1, false},
        {true, "3", 3, "3", 3, true},
    };
    struct ce_pipeline_spec spec = spec_of(CE_TASK_REGRESSION);
    struct ce_judge judge = {.spec = &spec};
    check_opinions(&judge, opinions, CE_COUNT(opinions));
}

/* ---- a started server ---- */

static const struct ce_undo_op *const ops[] = {&ce_undo_end_started, NULL};

struct served {
    struct place place;
    char *state, *log;
    char *line; /* for sh */
    struct ce_names command, env;
    struct ce_journal *journal;
    struct ce_started *server;
};

static void served_done(struct served *served)
{
    ce_started_free(served->server);
    ce_journal_close(served->journal);
    free(served->state);
    free(served->log);
    place_done(&served->place);
}

static int served_open(struct served *served, const char *line, int port, struct ce_error *err)
{
    *served = (struct served){.place = {"/tmp/ce-http-XXXXXX"}};
    if (!mkdtemp(served->place.folder))
        return -errno;
    served->state = ce_format("%s/state", served->place.folder);
    served->log = ce_format("%s/log", served->place.folder);
    served->line = (char *)line;
    served->command = (struct ce_names){&served->line, 1};
    struct ce_started_command command = {.command = &served->command,
                                         .env = &served->env,
                                         .workdir = served->place.folder,
                                         .log = served->log,
                                         .port = port};
    CE_TRY(ce_journal_create(served->state, "test", ops, &served->journal, err));
    return ce_started_new(&command, served->journal, &served->server, err);
}

#define SERVED(name, err, line, port)                                                              \
    CE_CLEANUP(served_done) struct served name = {{{0}}};                                          \
    struct ce_error err = {0};                                                                     \
    REQUIRE_OK(served_open(&name, line, port, &err), err)

/* The pids that a command wrote to a file of its folder, one to a line, once there are `count`. */
static bool pids_in(const struct served *served, size_t count, pid_t *ret_pids)
{
    ce_autofree char *path = ce_format("%s/pids", served->place.folder);
    ce_autofree char *text = NULL;
    size_t size, found = 0;
    if (ce_file_read(path, 4096, &text, &size, NULL) < 0)
        return false;
    for (char *at = text, *end; found < count; at = end) {
        long pid = strtol(at, &end, 10);
        if (end == at || *end != '\n')
            return false;
        ret_pids[found++] = (pid_t)pid;
    }
    return true;
}

static bool is_gone(pid_t pid)
{
    struct ce_process_id id;
    return ce_process_identify(pid, &id) < 0 || !ce_process_alive(&id);
}

#define CHILDREN "setsid sleep 1000 & echo $! >> pids; (sleep 1000 & echo $! >> pids); "

static void a_command_takes_its_whole_tree_along(void)
{
    enum { MANY = 3 };
    pid_t pids[MANY];
    SERVED(served, err, CHILDREN "echo $$ >> pids; exec sleep 1000", 0);
    CHECK(ce_undo_live(served.journal) == 1);
    REQUIRE_OK(ce_started_start(served.server, &err), err);
    REQUIRE_OK(ce_started_start(served.server, &err), err); /* it runs */
    REQUIRE(EVENTUALLY(pids_in(&served, MANY, pids)));
    struct ce_process_id id;
    REQUIRE_OK(ce_started_process(served.server, &id, &err), err);
    CHECK(id.pid == pids[2]);

    /* Its first process ends: the others follow. */
    REQUIRE_OK(ce_process_kill(&id, &err), err);
    CHECK(EVENTUALLY(ce_started_alive(served.server, NULL) == -ESRCH));
    CHECK(is_gone(pids[0]) && is_gone(pids[1]));
    CHECK(ce_started_alive(served.server, &err) == -ESRCH);
    CHECK_TEXT(err.message, "the command was ended by signal 9 without a word");

    ce_autofree char *path = ce_format("%s/pids", served.place.folder);
    REQUIRE(unlink(path) == 0);
    REQUIRE_OK(ce_started_start(served.server, &err), err);
    REQUIRE(EVENTUALLY(pids_in(&served, MANY, pids)));
    ce_started_free(ce_take(served.server));
    CHECK(is_gone(pids[0]) && is_gone(pids[1]) && is_gone(pids[2]));
    CHECK(ce_undo_live(served.journal) == 0);
}

static bool has_spoken(const char *log)
{
    ce_autofree char *text = NULL;
    size_t size = 0;
    return ce_file_read(log, 4096, &text, &size, NULL) == 0 && size > 0;
}

static void a_command_is_asked_before_it_is_killed(void)
{
    SERVED(served, err, "trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 0.01; done", 0);
    ce_autofree char *text = NULL;
    size_t size;
    REQUIRE_OK(ce_started_start(served.server, &err), err);
    REQUIRE(EVENTUALLY(has_spoken(served.log)));
    ce_started_free(ce_take(served.server));
    REQUIRE_OK(ce_file_read(served.log, 4096, &text, &size, &err), err);
    CHECK_TEXT(text, "up\nbye\n");
}

static void last_words_are_quoted(void)
{
    SERVED(served, err, "printf 'one\\ntwo\\033[0m\\n' >&2; exit 7", 0);
    REQUIRE_OK(ce_started_start(served.server, &err), err);
    REQUIRE(EVENTUALLY(ce_started_alive(served.server, &err) == -ESRCH));
    CHECK_TEXT(err.message, "the command ended with exit code 7; its last words: 'one|two [0m'");
    struct ce_process_id id;
    CHECK(ce_started_process(served.server, &id, NULL) == -ESRCH);
}

static void undo_ends_keeper_and_command(void)
{
    pid_t pids[2];
    SERVED(served, err, CHILDREN "exec sleep 1000", 0);
    REQUIRE_OK(ce_started_start(served.server, &err), err);
    REQUIRE(EVENTUALLY(pids_in(&served, 2, pids)));
    REQUIRE_OK(ce_undo_all(served.journal, NULL, &err), err);
    CHECK(is_gone(pids[0]) && is_gone(pids[1]));
    CHECK(ce_started_start(served.server, &err) == -ECHILD);
    CHECK_TEXT(err.message, "the command's keeper is gone");
}

/* What happens when the controller dies: the channel ends, and nothing else is said. */
static int die_with_a_server(void *ctx)
{
    struct served *served = ctx;
    struct ce_error err = {0};
    pid_t pids[2];
    if (served_open(served, CHILDREN "exec sleep 1000", 0, &err) < 0 ||
        ce_started_start(served->server, &err) < 0 || !EVENTUALLY(pids_in(served, 2, pids)))
        return 1;
    char *path = ce_format("/tmp/ce-http-%d", (int)getpid());
    char *text = ce_format("%s %d %d\n", served->place.folder, (int)pids[0], (int)pids[1]);
    if (ce_file_replace(path, text, strlen(text), NULL) < 0)
        return 1;
    return raise(SIGKILL);
}

static void a_killed_controller_leaves_no_server(void)
{
    struct served served;
    struct ce_error err = {0};
    struct ce_spawn spawn = {.function = die_with_a_server, .ctx = &served};
    struct ce_process_id id;
    int gate, status = 0, pids[2];
    REQUIRE_OK(ce_spawn(&spawn, &id, &gate, &err), err);
    REQUIRE_OK(ce_spawn_go(gate, &err), err);
    REQUIRE(ce_process_reap(&id, patience, &status) == 0);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    ce_autofree char *path = ce_format("/tmp/ce-http-%d", (int)id.pid);
    ce_autofree char *text = NULL;
    size_t size;
    REQUIRE_OK(ce_file_read(path, 4096, &text, &size, &err), err);
    (void)unlink(path);
    struct place place;
    REQUIRE(sscanf(text, "%63s %d %d", place.folder, &pids[0], &pids[1]) == 3);
    CHECK(EVENTUALLY(is_gone(pids[0]) && is_gone(pids[1])));
    place_done(&place);
}

/* A shell that waits for a server does not serve. */
static void who_listens_is_who_serves(void)
{
    int64_t until = ce_now() + patience;
    struct ce_endpoint endpoint = ce_endpoint_loopback(0);
    struct ce_error err = {0};
    int listener = ce_endpoint_listen(&endpoint, &err);
    REQUIRE(listener >= 0);
    int port = ntohs(((struct sockaddr_in *)&endpoint.address)->sin_port);
    pid_t child = fork();
    if (child == 0) {
        pid_t grandchild = fork();
        while (grandchild == 0 && ce_now() < until)
            (void)pause();
        (void)close(listener);
        (void)waitpid(grandchild, NULL, 0);
        _exit(0);
    }
    (void)close(listener);
    REQUIRE(child > 0);
    pid_t found = 0;
    CHECK(EVENTUALLY((found = ce_tree_listener(getpid(), port)) > 0 && found != child));
    CHECK(ce_tree_listener(child, port) == found);
    CHECK(ce_tree_listener(found, port) == 0);
    (void)kill(found, SIGKILL);
    (void)waitpid(child, NULL, 0);
    CHECK(ce_tree_listener(getpid(), port) == 0);
}

int main(void)
{
    TEST(a_killed_controller_leaves_no_server);
    TEST(a_url_is_taken_apart);
    TEST(a_url_that_is_none_is_refused);
    TEST(rows_of_csv_are_read_in_order);
    TEST(keys_of_json_lines_may_come_late);
    TEST(rows_beyond_the_most_are_left);
    TEST(rows_that_cannot_be_sent_have_a_place);
    TEST(classes_are_compared_as_text_or_as_numbers);
    TEST(scores_become_classes_at_the_threshold);
    TEST(numbers_become_classes_by_labels);
    TEST(a_regression_is_right_within_its_tolerance);
    TEST(a_command_takes_its_whole_tree_along);
    TEST(a_command_is_asked_before_it_is_killed);
    TEST(last_words_are_quoted);
    TEST(undo_ends_keeper_and_command);
    TEST(who_listens_is_who_serves);
    return test_done();
}
