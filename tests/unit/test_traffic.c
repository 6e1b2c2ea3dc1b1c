/* SPDX-License-Identifier: MIT */
/* What all faults on traffic share: the filter, the share, the draws, the counts and the log of
 * hits. model_unavailable is the fault that shows them. */
#include <math.h>

#include "faults/filter.h"
#include "faults/hits.h"
#include "faults/request_row.h"
#include "model_world.h"

#define HIT 503

/* ---- parameters ---- */

static void what_is_malformed_is_refused_with_its_place(void)
{
    static const struct {
        const char *assignment, *says; /* NULL: nothing, it is fine */
    } cases[] = {
        {"path=a(", "path: 'a(' is no regular expression: "},
        {"header=X-Tenant",
         "header: 'X-Tenant' is not 'Name: regular expression', such as X-Tenant: ^acme$"},
        {"header=: acme", "header: ': acme' is not 'Name: regular expression'"},
        {"header=X Tenant: acme", "header: 'X Tenant: acme' is not 'Name: "},
        {"header=X-Tenant: [", "header: '[' is no regular expression: "},
        {"model=/2", "model: '/2' is not 'name' or 'name/version'"},
        {"model=churn/", "model: 'churn/' is not 'name' or 'name/version'"},
        {"model=a/b/c", "model: 'a/b/c' is not 'name' or 'name/version'"},
        {"where=age >", "where: at character "},
        {"path=^/v2/", NULL},
        {"header=X-Tenant: ^acme$", NULL},
        {"model=churn/2", NULL},
        {"where=age > 60 and city = 'Paris'", NULL},
        {"share=0.5", NULL},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        WORLD(world, err, SCORE);
        REQUIRE_OK(injection_arm(&world.injection, &world.target, NULL, "model_unavailable",
                                 (const char *const[]){cases[i].assignment, NULL}, &err),
                   err);
        int r = world.injection.fault->check(world.injection.params, &err);
        CHECK(r == (cases[i].says ? -EINVAL : 0));
        if (cases[i].says && strncmp(err.message, cases[i].says, strlen(cases[i].says)) != 0)
            CHECK_TEXT(err.message, cases[i].says);
    }
}

/* ---- the filter, through the proxy ---- */

static void path_is_matched_on_the_whole_target(void)
{
    WORLD(world, err, SCORE);
    world.target.sample_request = NULL;
    REQUIRE_OK(INJECT(&world, "model_unavailable", &err, "path=^/v2/models/[a-c].*\\?slow=1$"),
               err);
    CHECK(STATUS(&world, .id = "f-0", .path = "/v2/models/churn/infer?slow=1") == HIT);
    CHECK(STATUS(&world, .id = "f-0", .path = "/v2/models/churn/infer") == 200);
    CHECK(STATUS(&world, .id = "f-0", .path = "/v2/models/spend/infer?slow=1") == 200);
    CHECK(world_count(&world).eligible == 1);
}

static void header_is_matched_in_any_case_of_its_name(void)
{
    WORLD_WITH(world, err, SCORE, "model_unavailable", "header=x-tenant:  ^acme$");
    CHECK(STATUS(&world, .id = "f-0", .fields = "X-Tenant: acme\r\n") == HIT);
    CHECK(STATUS(&world, .id = "f-0", .fields = "X-Tenant: acme2\r\n") == 200);
    CHECK(STATUS(&world, .id = "f-0", .fields = "X-Other: acme\r\n") == 200);
    CHECK(STATUS(&world, .id = "f-0") == 200);
    /* Probes cannot know what it is to be; so the proof works all the same. */
    CHECK(world_verify(&world, &err) == 1);
    CHECK(world_count(&world).eligible == 1);
}

static void model_is_told_by_path_or_body(void)
{
    static const struct {
        const char *path, *body, *model;
        int status;
    } cases[] = {
        {PATH, "{}", "model=churn", HIT},
        {PATH, "{}", "model=spend", 200},
        {PATH, "{}", "model=chur", 200},
        {PATH, "{}", "model=churn/2", 200},
        {"/v2/models/churn/versions/2/infer", "{}", "model=churn/2", HIT},
        {"/v2/models/churn/versions/2/infer", "{}", "model=churn", HIT},
        {"/v2/models/churn/versions/1/infer", "{}", "model=churn/2", 200},
        {"/invocations", "{\"inputs\":[1]}", "model=churn", 200},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        WORLD(world, err, SCORE);
        world.target.sample_request = NULL;
        REQUIRE_OK(INJECT(&world, "model_unavailable", &err, cases[i].model), err);
        CHECK(STATUS(&world, .id = "f-0", .path = cases[i].path, .body = cases[i].body) ==
              cases[i].status);
    }
}

#define AGE(age)                                                                                   \
    "{\"inputs\":[{\"name\":\"age\",\"shape\":[1,1],\"datatype\":\"FP64\",\"data\":[" age "]},"    \
    "{\"name\":\"city\",\"shape\":[1,1],\"datatype\":\"BYTES\",\"data\":[\"Paris\"]}]}"

static void features_decide(void)
{
    static const struct {
        const char *path, *body;
        int status;
    } cases[] = {
        {PATH, AGE("61"), HIT},
        {PATH, AGE("60"), 200},
        {PATH, AGE("null"), 200},
        {PATH, AGE("6.1e1"), HIT},
        {"/invocations",
         "{\"dataframe_split\":{\"columns\":[\"city\",\"age\"],"
         "\"data\":[[\"Lyon\",70],[\"Paris\",20]]}}",
         200},
        {"/invocations",
         "{\"dataframe_split\":{\"columns\":[\"city\",\"age\"],"
         "\"data\":[[\"Lyon\",70],[\"Paris\",80]]}}",
         HIT},
        {"/v1/models/churn:predict", "{\"instances\":[{\"age\":70,\"city\":\"Par\\u0069s\"}]}",
         HIT},
        {"/v1/models/churn:predict", "{\"instances\":[{\"age\":70,\"city\":\"\"}]}", 200},
    };
    WORLD(world, err, SCORE);
    world.target.sample_request = NULL;
    REQUIRE_OK(INJECT(&world, "model_unavailable", &err, "where=age > 60 and city = 'Paris'"), err);
    for (size_t i = 0; i < CE_COUNT(cases); i++)
        CHECK(STATUS(&world, .id = "f-0", .path = cases[i].path, .body = cases[i].body) ==
              cases[i].status);
    CHECK(world_count(&world).eligible == 4);
    CHECK(STATUS(&world, .id = "f-0", .path = "/v1/models/churn:predict",
                 .body = "{\"instances\":[{\"age\":70}]}") == 200);
    CHECK(skipped(&world, "no such feature") == 1);
    CHECK(STATUS(&world, .id = "f-0", .body = "{\"inputs\":[") == 200);
    CHECK(skipped(&world, "unreadable") == 1);
}

static void a_filter_spares_the_answer_too(void)
{
    WORLD(world, err, SCORE);
    world.target.sample_request = NULL;
    REQUIRE_OK(INJECT(&world, "slow_inference", &err, "latency_ms=200", "where=age > 60"), err);
    struct ce_http_answer answer;
    REQUIRE(ask_this(&world, &(struct question){.id = "f-0", .body = AGE("20")}, &answer) == 0);
    CHECK(answer.total_ns < 150 * CE_MILLISECOND);
    CHECK_TEXT(answer.body, SCORE);
    ce_http_answer_done(&answer);
    REQUIRE(ask_this(&world, &(struct question){.id = "f-0", .body = AGE("61")}, &answer) == 0);
    CHECK(answer.total_ns > 155 * CE_MILLISECOND);
    ce_http_answer_done(&answer);
}

static void what_is_too_large_to_look_at_is_spared(void)
{
    enum { SIZE = 17 << 20 };
    ce_autofree char *body = malloc(SIZE + 1);
    REQUIRE(body != NULL);
    memset(body, ' ', SIZE);
    memcpy(body, AGE("61"), strlen(AGE("61")));
    body[SIZE] = '\0';
    WORLD(world, err, SCORE);
    world.target.sample_request = NULL;
    REQUIRE_OK(INJECT(&world, "slow_inference", &err, "latency_ms=600000", "where=age > 60"), err);
    CHECK(STATUS(&world, .id = "f-0", .body = body) == 200);
    CHECK(world_count(&world).eligible == 0);
    CHECK(skipped(&world, "too large, or a stream") == 1);
}

static void probes_are_requests_that_the_filter_lets_through(void)
{
    static const char *const samples[] = {AGE("20"), AGE("30"), AGE("70"), AGE("40")};
    WORLD(world, err, SCORE);
    world.samples = samples;
    world.sample_count = CE_COUNT(samples);
    REQUIRE_OK(INJECT(&world, "model_unavailable", &err, "where=age > 60", "failure_rate=0.5",
                      "model=churn", "path=infer"),
               err);
    CHECK(world_verify(&world, &err) == 1);
    REQUIRE_OK(world_revert(&world, &err), err);
    REQUIRE_OK(world_verify_undo(&world, &err), err);
}

static void a_filter_that_no_request_passes_leaves_nothing_to_hit(void)
{
    static const char *const filters[] = {"where=age > 60", "path=^/v3/", "model=spend"};
    static const char *const samples[] = {AGE("20")};
    for (size_t i = 0; i < CE_COUNT(filters); i++) {
        WORLD(world, err, SCORE);
        world.samples = samples;
        world.sample_count = 1;
        CHECK(INJECT(&world, "model_unavailable", &err, filters[i]) == -ENODATA);
        CHECK(strstr(err.message, "scripted model is one that the filter lets through") != NULL);
        REQUIRE_OK(world_revert(&world, &err), err);
        REQUIRE_OK(world_verify_undo(&world, &err), err);
    }
}

/* ---- the rows of a request ---- */

/* The rows of a request. */
static bool rows_of(const char *path, const char *body, const char *const *names, size_t count,
                    struct ce_request_rows *rows, struct ce_values *values)
{
    struct ce_call call;
    if (ce_call_read(NULL, "POST", path, &call) != 1)
        return 0;
    struct ce_message message = {.protocol = call.protocol,
                                 .content_type = "application/json",
                                 .body = body,
                                 .size = strlen(body)};
    return ce_message_inputs(&message, values, NULL) == 0 &&
           ce_request_rows_init(rows, values, names, count) == 0;
}

static void one_tensor_may_hold_all_features(void)
{
    static const char body[] = "{\"inputs\":[{\"name\":\"input-0\",\"shape\":[2,3],"
                               "\"datatype\":\"FP64\",\"data\":[1,2,3,4,null,6]}]}";
    static const char *const names[] = {"input-0[0]", "input-0[2]", "input-0[1]", "input-0",
                                        "input-0[3]"};
    struct ce_values values = {0};
    struct ce_request_rows rows = {0};
    REQUIRE(rows_of(PATH, body, names, CE_COUNT(names), &rows, &values));
    CHECK(rows.count == 2);
    static const double want[2][2] = {{1, 3}, {4, 6}};
    for (size_t row = 0; row < 2; row++)
        for (size_t column = 0; column < 2; column++) {
            struct ce_cell cell;
            double number = NAN;
            rows.row.ordinal = row;
            ce_row_cell(&rows.row, column, &cell);
            CHECK(ce_cell_number(&cell, &number) && number == want[row][column]);
        }
    rows.row.ordinal = 1;
    for (size_t column = 2; column < CE_COUNT(names); column++) {
        struct ce_cell cell;
        double number;
        ce_row_cell(&rows.row, column, &cell);
        CHECK(ce_cell_missing(&cell) && !ce_cell_number(&cell, &number));
    }
    ce_request_rows_done(&rows);
    ce_values_done(&values);
}

/* ---- share and draws ---- */

static void share_is_drawn_apart_from_the_rate(void)
{
    struct ce_recipe recipe = ce_recipe_init(7, "model_unavailable", "model", NULL);
    int shared = 0, hit = 0, both = 0;
    for (int i = 0; i < 20000; i++) {
        struct request_id id = fault_request(i);
        bool few = ce_recipe_shares(&recipe, id.text, 0.2),
             many = ce_recipe_shares(&recipe, id.text, 0.5);
        CHECK(!few || many);
        CHECK(ce_recipe_shares(&recipe, id.text, 1) && !ce_recipe_shares(&recipe, id.text, 0));
        bool is_hit = ce_recipe_hits(&recipe, id.text, 0, 0.5);
        shared += many;
        hit += is_hit;
        both += many && is_hit;
    }
    CHECK(abs(shared - 10000) < 300 && abs(hit - 10000) < 300 && abs(both - 5000) < 300);
}

static void rules_with_other_names_draw_apart(void)
{
    static const char *const rules[] = {NULL, "1", "2"};
    enum { N = 4000 };
    static bool hits[3][N];
    for (size_t r = 0; r < 3; r++) {
        struct ce_recipe recipe = ce_recipe_init(7, "model_unavailable", "model", rules[r]);
        for (int i = 0; i < N; i++)
            hits[r][i] = ce_recipe_hits(&recipe, fault_request(i).text, 0, 0.5);
    }
    for (size_t a = 0; a < 3; a++)
        for (size_t b = a + 1; b < 3; b++) {
            int same = 0;
            for (int i = 0; i < N; i++)
                same += hits[a][i] == hits[b][i];
            CHECK(abs(same - N / 2) < 200);
        }
}

static void those_outside_the_share_never_meet_the_fault(void)
{
    WORLD_WITH(world, err, SCORE, "model_unavailable", "share=0.4", "failure_rate=0.5");
    struct ce_recipe recipe = ce_recipe_init(42, "model_unavailable", "model", NULL);
    uint64_t shared = 0, hit = 0;
    for (int i = 0; i < 60; i++) {
        struct request_id id = fault_request(i);
        bool in_share = ce_recipe_shares(&recipe, id.text, 0.4);
        bool is_hit = in_share && ce_recipe_hits(&recipe, id.text, 0, 0.5);
        CHECK(ask_result(&world, id.text) == (is_hit ? HIT : 200));
        shared += in_share;
        hit += is_hit;
    }
    struct ce_fault_counts counts = world_count(&world);
    CHECK(shared > 12 && shared < 40 && hit > 3 && hit < shared);
    CHECK(counts.eligible == shared && counts.selected == hit && counts.changed == hit);
    CHECK(world_verify(&world, &err) == 1);
}

static void the_index_of_a_request_is_in_its_id(void)
{
    static const struct {
        const char *id;
        uint64_t number, index;
    } cases[] = {
        {"f-17", 40, 17},
        {"f-17.2", 40, 17},
        {"0", 40, 0},
        {"order_000123", 40, 123},
        {"#40", 40, 9},
        {"#31", 31, 0},
        {"", 40, 9},
        {"b5c1-77", 40, 9},
        {"550e8400-e29b-41d4-a716-446655440000", 40, 9},
        {"f-17.x", 40, 9},
        {"12345678901", 40, 9},
        {"f-17.", 40, 17},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        struct ce_traffic traffic = {.requests_before = 30};
        struct ce_exchange exchange = {.id = cases[i].id, .number = cases[i].number};
        struct ce_visit visit = {.traffic = &traffic, .exchange = &exchange};
        CHECK(ce_visit_index(&visit) == cases[i].index);
    }
}

/* ---- counts ---- */

static void only_the_fault_phase_counts(void)
{
    static const struct {
        const char *id;
        bool counts, counts_for_a_rule;
    } cases[] = {
        {"f-17", true, true},      {"f-17.2", true, true}, {"3f2a-b-1", true, true},
        {"b", true, true},         {"b-", true, true},     {"v-alue", true, true},
        {"b-1", false, true},      {"r-2.1", false, true}, {"v-30", false, true},
        {"probe-1", false, false},
    };
    for (int named = 0; named < 2; named++) {
        WORLD(world, err, SCORE);
        world.rule = named ? "slow" : NULL;
        REQUIRE_OK(INJECT(&world, "model_unavailable", &err, "status=529"), err);
        uint64_t want = 0;
        for (size_t i = 0; i < CE_COUNT(cases); i++) {
            CHECK(ask_result(&world, cases[i].id) == 529);
            want += named ? cases[i].counts_for_a_rule : cases[i].counts;
            CHECK(world_count(&world).changed == want);
        }
    }
}

static void traffic_that_no_protocol_knows_is_told(void)
{
    WORLD_WITH(world, err, SCORE, "batch_processing_failure", "failure_rate=1");
    CHECK(STATUS(&world, .id = "f-0", .path = "/score") == 200);
    CHECK(STATUS(&world, .id = "f-1", .path = "/v2/repository/models/churn/load") == 200);
    CHECK(STATUS(&world, .id = "f-2", .path = "/v2/health/ready", .method = "GET") == 200);
    CHECK(world_count(&world).eligible == 0);
    CHECK(skipped(&world, "no prediction request") == 2);
    CHECK(STATUS(&world, .id = "f-3") == 500);
    world_forget(&world);

    world.target.protocol = ce_protocol_find("kserve_v1");
    CHECK(INJECT(&world, "batch_processing_failure", &err, "failure_rate=1") == -ENODATA);
    CHECK_TEXT(err.message, "no prediction request: scripted model asks for '" PATH
                            "', which protocol kserve_v1 has no predictions at");
}

static void answers_without_predictions_are_told(void)
{
    WORLD_WITH(world, err, "{\"weather\":1}", "prediction_corruption", "corruption_rate=1");
    struct ce_evidence evidence;
    CHECK(world.injection.fault->verify(&world.injection, &evidence, &err) == 0);
    CHECK(strstr(evidence.text, "unreadable: status 200 without predictions in protocol oip") !=
          NULL);
    CHECK(ask_result(&world, "f-0") == 200);
    CHECK(skipped(&world, "unreadable") == 1);
}

/* ---- the log of hits ---- */

static void hits_are_noted(void)
{
    WORLD(world, err, SCORE);
    REQUIRE_OK(ce_hits_new(NULL, &world.target.hits, &err), err);
    world.rule = "r \"1\"";
    REQUIRE_OK(INJECT(&world, "model_unavailable", &err, "failure_rate=0.5"), err);
    struct ce_recipe recipe = ce_recipe_init(42, "model_unavailable", "model", world.rule);
    int hits = 0, last = 0;
    for (int i = 0; i < 20; i++) {
        struct request_id id = fault_request(i);
        bool hit = ce_recipe_hits(&recipe, id.text, 0, 0.5);
        CHECK(ask_result(&world, id.text) == (hit ? HIT : 200));
        hits += hit;
        last = hit ? i : last;
    }
    CHECK(ask_result(&world, "probe-1") > 0);
    REQUIRE(hits > 0 && hits < 20);
    CHECK(ce_hits_count(world.target.hits) == (uint64_t)hits);
    size_t size;
    ce_autofree char *text = ce_hits_text(world.target.hits, 1, &size);
    ce_autojson json_t *line = json_loads(text, 0, NULL);
    REQUIRE(line && size == strlen(text) && text[size - 1] == '\n');
    CHECK(json_integer_value(json_object_get(line, "n")) == last + 1);
    CHECK(json_integer_value(json_object_get(line, "connection")) > 0);
    CHECK_TEXT(json_string_value(json_object_get(line, "id")), fault_request(last).text);
    CHECK_TEXT(json_string_value(json_object_get(line, "rule")), "r \"1\"");
    CHECK_TEXT(json_string_value(json_object_get(line, "fault")), "model_unavailable");
    CHECK_TEXT(json_string_value(json_object_get(line, "path")), PATH);
    CHECK_TEXT(json_string_value(json_object_get(line, "action")), "answered with status 503");
    const char *at = json_string_value(json_object_get(line, "at"));
    CHECK(at && strlen(at) == strlen("2026-11-22T10:00:00.123Z"));
    CHECK(ce_hits_problem(world.target.hits, &err) == 0);
    world_forget(&world);
    ce_hits_free(world.target.hits);
}

static void note(struct ce_hits *hits, uint64_t number)
{
    struct ce_hit hit = {
        .number = number, .id = "a\xff\n", .path = "/", .fault = "x", .action = "done"};
    ce_hits_note(hits, &hit);
}

static void only_the_last_hits_are_kept_but_all_are_written(void)
{
    char folder[] = "/tmp/ce-hits-XXXXXX", path[64];
    struct ce_error err = {0};
    struct ce_hits *hits;
    REQUIRE(mkdtemp(folder) != NULL);
    snprintf(path, sizeof path, "%s/hits", folder);
    for (int pass = 0; pass < 2; pass++) { /* the second one appends */
        REQUIRE_OK(ce_hits_new(path, &hits, &err), err);
        for (uint64_t n = 1; n <= CE_HITS_KEPT + 5; n++)
            note(hits, n);
        CHECK(ce_hits_problem(hits, &err) == 0);
        size_t size, kept = 0;
        ce_autofree char *text = ce_hits_text(hits, 0, &size);
        for (size_t i = 0; i < size; i++)
            kept += text[i] == '\n';
        CHECK(kept == CE_HITS_KEPT);
        CHECK(strncmp(text, "{\"n\": 6, \"id\": \"a", 17) == 0);
        ce_hits_free(hits);
    }
    ce_autofile FILE *file = fopen(path, "r");
    REQUIRE(file != NULL);
    char line[256];
    size_t lines = 0;
    for (; fgets(line, sizeof line, file); lines++) {
        ce_autojson json_t *json = lines % 5000 == 0 ? json_loads(line, 0, NULL) : json_true();
        CHECK(json != NULL);
    }
    CHECK(lines == 2 * (CE_HITS_KEPT + 5));
    (void)unlink(path);
    (void)rmdir(folder);
}

static void a_log_that_cannot_be_written_says_so(void)
{
    struct ce_error err = {0};
    struct ce_hits *hits;
    CHECK(ce_hits_new("/no/such/folder/hits", &hits, &err) == -ENOENT);
    CHECK(strstr(err.message, "cannot write hits to '/no/such/folder/hits'") != NULL);
    REQUIRE_OK(ce_hits_new("/dev/full", &hits, &err), err);
    note(hits, 1);
    note(hits, 2);
    CHECK(ce_hits_problem(hits, &err) == -ENOSPC);
    CHECK_TEXT(err.message, "2 hits are missing in /dev/full: No space left on device");
    CHECK(ce_hits_count(hits) == 2);
    ce_hits_free(hits);
}

static void *note_many(void *hits)
{
    for (uint64_t n = 1; n <= 2000; n++)
        note(hits, n);
    return NULL;
}

static void many_threads_note_hits_at_once(void)
{
    struct ce_error err = {0};
    struct ce_hits *hits;
    pthread_t threads[4];
    REQUIRE_OK(ce_hits_new(NULL, &hits, &err), err);
    for (size_t i = 0; i < CE_COUNT(threads); i++)
        if (pthread_create(&threads[i], NULL, note_many, hits) != 0)
            exit(99);
    for (size_t i = 0; i < CE_COUNT(threads); i++)
        pthread_join(threads[i], NULL);
    CHECK(ce_hits_count(hits) == 2000 * CE_COUNT(threads));
    ce_hits_free(hits);
}

/* ---- several threads ---- */

enum { CLIENTS = 4, QUESTIONS = 60 };

struct client {
    const struct world *world;
    int number;
    int hit; /* how many of its questions were */
};

static void *ask_many(void *arg)
{
    struct client *client = arg;
    for (int i = 0; i < QUESTIONS; i++) {
        struct request_id id = fault_request(client->number * QUESTIONS + i);
        client->hit += ask_result(client->world, id.text) != 200;
    }
    return NULL;
}

/* How many of f-0 ... f-239 were hit, asked by all at once. */
static int ask_from_all(const struct world *world)
{
    struct client clients[CLIENTS];
    pthread_t threads[CLIENTS];
    int hit = 0;
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = (struct client){.world = world, .number = i};
        if (pthread_create(&threads[i], NULL, ask_many, &clients[i]) != 0)
            exit(99);
    }
    for (int i = 0; i < CLIENTS; i++) {
        pthread_join(threads[i], NULL);
        hit += clients[i].hit;
    }
    return hit;
}

static void the_same_are_hit_on_any_number_of_threads(void)
{
    static const char *const samples[] = {AGE("70")};
    struct ce_recipe recipe = ce_recipe_init(42, "model_unavailable", "model", NULL);
    int want = 0;
    for (int i = 0; i < CLIENTS * QUESTIONS; i++)
        want += ce_recipe_hits(&recipe, fault_request(i).text, 0, 0.4);
    for (unsigned workers = 1; workers <= 4; workers += 3) {
        CE_CLEANUP(world_close)
        struct world world = {.workers = workers, .samples = samples, .sample_count = 1};
        struct ce_error err = {0};
        REQUIRE_OK(world_open(&world, SCORE, &err), err);
        REQUIRE_OK(ce_hits_new(NULL, &world.target.hits, &err), err);
        REQUIRE_OK(INJECT(&world, "model_unavailable", &err, "failure_rate=0.4", "path=infer",
                          "model=churn"),
                   err);
        CHECK(ask_from_all(&world) == want);
        struct ce_fault_counts counts = world_count(&world);
        CHECK(counts.eligible == CLIENTS * QUESTIONS && counts.changed == (uint64_t)want);
        CHECK(ce_hits_count(world.target.hits) == (uint64_t)want);
        REQUIRE_OK(world_revert(&world, &err), err);
        CHECK(ask_from_all(&world) == 0);
        ce_hits_free(world.target.hits);
    }
}

static void threads_share_a_quota(void)
{
    CE_CLEANUP(world_close) struct world world = {.workers = 4};
    struct ce_error err = {0};
    REQUIRE_OK(world_open(&world, SCORE, &err), err);
    REQUIRE_OK(INJECT(&world, "model_unavailable", &err, "mode=quota", "quota=50", "window=1h"),
               err);
    CHECK(ask_from_all(&world) == CLIENTS * QUESTIONS - 50);
}

static void threads_share_the_reasons_for_skipping(void)
{
    CE_CLEANUP(world_close) struct world world = {.workers = 4};
    struct ce_error err = {0};
    REQUIRE_OK(world_open(&world, SCORE, &err), err);
    world.target.sample_request = NULL;
    REQUIRE_OK(INJECT(&world, "batch_processing_failure", &err, "min_rows=2"), err);
    CHECK(ask_from_all(&world) == 0);
    CHECK(skipped(&world, "unreadable") == CLIENTS * QUESTIONS);
}

int main(void)
{
    TEST(what_is_malformed_is_refused_with_its_place);
    TEST(path_is_matched_on_the_whole_target);
    TEST(header_is_matched_in_any_case_of_its_name);
    TEST(model_is_told_by_path_or_body);
    TEST(features_decide);
    TEST(a_filter_spares_the_answer_too);
    TEST(what_is_too_large_to_look_at_is_spared);
    TEST(probes_are_requests_that_the_filter_lets_through);
    TEST(a_filter_that_no_request_passes_leaves_nothing_to_hit);
    TEST(one_tensor_may_hold_all_features);
    TEST(share_is_drawn_apart_from_the_rate);
    TEST(rules_with_other_names_draw_apart);
    TEST(those_outside_the_share_never_meet_the_fault);
    TEST(the_index_of_a_request_is_in_its_id);
    TEST(only_the_fault_phase_counts);
    TEST(traffic_that_no_protocol_knows_is_told);
    TEST(answers_without_predictions_are_told);
    TEST(hits_are_noted);
    TEST(only_the_last_hits_are_kept_but_all_are_written);
    TEST(a_log_that_cannot_be_written_says_so);
    TEST(many_threads_note_hits_at_once);
    TEST(the_same_are_hit_on_any_number_of_threads);
    TEST(threads_share_a_quota);
    TEST(threads_share_the_reasons_for_skipping);
    return test_done();
}
