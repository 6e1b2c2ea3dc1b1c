/* SPDX-License-Identifier: MIT */
/* The history: what goes in comes out, and which runs are meant by what. */
#include <sys/stat.h>
#include <unistd.h>

#include "history/history_internal.h"
#include "history_world.h"

static struct ce_history *open_world(const struct world *world)
{
    struct ce_history *history = NULL;
    struct ce_error err = {0};
    if (ce_history_open_to_write(world->db, NULL, &history, &err) < 0) {
        printf("# %s\n", err.message);
        abort();
    }
    return history;
}
#define HISTORY CE_CLEANUP(ce_history_close_p) struct ce_history

static json_t *parsed(char *text)
{
    json_t *json = text ? json_loads(text, 0, NULL) : NULL;
    free(text);
    return json;
}

/* ---- in and out ---- */

static void a_run_comes_back_as_it_was(void)
{
    WORLD world;
    world_make(&world);
    struct ce_error err = {0};
    HISTORY *history = open_world(&world);
    const struct a_run run = {.id = "20261122T100000-0000aaaa", .tag = "a,b", .score = 87.5};
    struct ce_record record = record_of(&run);
    record.series = json_pack("{s:[f, f], s:f}", "accuracy", 0.5, 0.25, "slot", 0.1);
    record.custom_metrics = json_pack("{s:{s:f, s:f}}", "rmse", "baseline", 1.25, "fault", 2.5);
    ce_autojson json_t *want = ce_record_json(&record);
    CHECK(ce_history_add(history, &record, "a: b\n", NULL, &err) == 1);
    ce_record_done(&record);
    char *text = NULL;
    REQUIRE_OK(ce_history_show_json(history, "20261122T100000-0000aaaa", &text, &err), err);
    ce_autojson json_t *got = parsed(text);
    CHECK(json_is_object(json_object_get(got, "environment")));
    (void)json_object_del(got, "environment");
    CHECK(json_equal(got, want));

    struct ce_record back;
    REQUIRE_OK(ce_history_read(history, "last", &back, &err), err);
    CHECK(back.score == 87.5 && back.phases[1].errors == 3);
    CHECK(json_equal(back.series, json_object_get(want, "series")));
    ce_record_done(&back);
    REQUIRE_OK(ce_history_document(history, "slow", &text, &err), err);
    CHECK_TEXT(text, "a: b\n");
    ce_string_free(text);
    CHECK_SQL(world.db, "SELECT value FROM measurement WHERE metric = 'rmse' AND phase = 'fault'",
              "2.5");
}

static void a_run_is_there_once(void)
{
    WORLD world;
    world_make(&world);
    struct ce_error err = {0};
    HISTORY *history = open_world(&world);
    const struct a_run run = {.id = "a-1", .score = 50}, same = {.id = "a-1", .score = 60};
    CHECK(add(history, &run, &err) == 1);
    CHECK(add(history, &same, &err) == 0);
    CHECK_SQL(world.db, "SELECT count(*) || ' ' || max(resilience_score) FROM runs", "1 50.0");
    CHECK_SQL(world.db, "SELECT count(*) FROM recipe", "1");
}

static void what_was_not_measured_is_null(void)
{
    WORLD world;
    world_make(&world);
    struct ce_error err = {0};
    HISTORY *history = open_world(&world);
    const struct a_run run = {.id = "a-1", .score = -1, .status = CE_STATUS_SKIPPED};
    struct ce_record record = record_of(&run);
    record.recovery_time = NAN;
    record.measured = false;
    CHECK(ce_history_add(history, &record, NULL, NULL, &err) == 1);
    ce_record_done(&record);
    CHECK_SQL(world.db,
              "SELECT resilience_score IS NULL AND recovery_time IS NULL AND error_count IS NULL "
              "FROM runs",
              "1");
    char *text;
    CHECK(ce_history_document(history, "a-1", &text, &err) == -ENOENT);
}

static void nobody_else_may_read_it(void)
{
    WORLD world;
    world_make(&world);
    struct stat st;
    HISTORY *history = open_world(&world);
    REQUIRE(stat(world.db, &st) == 0);
    CHECK((st.st_mode & 0777) == 0600);
    CHECK(entries(world.folder) <= 3); /* and no temporary file beside it */
}

static void where_nothing_was_recorded_the_history_is_empty(void)
{
    WORLD world;
    world_make(&world);
    struct ce_error err = {0};
    HISTORY *history = NULL;
    char *text = NULL;
    REQUIRE_OK(ce_history_open_to_read(NULL, world.folder, &history, &err), err);
    REQUIRE_OK(ce_history_list_json(history, NULL, &text, &err), err);
    CHECK_TEXT(text, "[]\n");
    free(text);
    CHECK(entries(world.folder) == 0);
    CHECK(ce_history_show_json(history, "last", &text, &err) == -ENOENT);
    struct ce_history *none = NULL;
    CHECK(ce_history_open_to_read(world.db, NULL, &none, &err) == -ENOENT);
    CHECK(strstr(err.message, world.db) != NULL);
}

/* ---- which runs ---- */

static const struct a_run shelf[] = {
    {"20261101T100000-000000a1", "slow", "nightly", .score = 80, .at = 20390 * DAY},
    {"20261102T100000-000000a2", "slow", .score = 60, .at = 20391 * DAY,
     .verdict = CE_VERDICT_DEVIATED},
    {"20261103T100000-000000a3", "fast", .score = 100, .at = 20392 * DAY, .layer = "data",
     .fault = "missing_data", .profile = "hardened"},
    {"20261103T100000-000000a4", "x' OR '1'='1", .score = -1, .at = 20393 * DAY,
     .status = CE_STATUS_SKIPPED, .verdict = CE_VERDICT_INCONCLUSIVE},
};

static void fill(struct ce_history *history)
{
    struct ce_error err = {0};
    for (size_t i = 0; i < CE_COUNT(shelf); i++)
        CHECK(add(history, &shelf[i], &err) == 1);
}

/* The last digits of the ids that the filter means: "a3 a2 ". */
static char *listed(struct ce_history *history, const struct ce_history_filter *filter)
{
    char *text = NULL;
    struct ce_error err = {0};
    if (ce_history_list_json(history, filter, &text, &err) < 0)
        return strdup(err.message);
    ce_autojson json_t *list = parsed(text);
    char *found = calloc(1, 256);
    size_t i;
    json_t *run;
    json_array_foreach(list, i, run)
    {
        const char *id = json_string_value(json_object_get(run, "id"));
        strcat(strcat(found, id + strlen(id) - 2), " ");
    }
    return found;
}

static void filters_say_which_runs_are_meant(void)
{
    static const struct {
        struct ce_history_filter filter;
        const char *want;
    } cases[] = {
        {{0}, "a4 a3 a2 a1 "},
        {{.name = "slow"}, "a2 a1 "},
        {{.name = "?low"}, "a2 a1 "},
        {{.name = "*"}, "a4 a3 a2 a1 "},
        {{.name = "x' OR '1'='1"}, "a4 "},
        {{.name = "x' OR*"}, "a4 "},
        {{.name = "' OR 1=1; DELETE FROM run_record;--"}, ""},
        {{.layer = "data"}, "a3 "},
        {{.fault = "missing_data"}, "a3 "},
        {{.status = "skipped"}, "a4 "},
        {{.verdict = "deviated"}, "a2 "},
        {{.profile = "hardened"}, "a3 "},
        {{.tag = "nightly"}, "a1 "},
        {{.tag = "all"}, "a1 "},
        {{.has_min_score = true, .min_score = 80}, "a3 a1 "},
        {{.has_max_score = true, .max_score = 80}, "a2 a1 "},
        {{.has_min_score = true, .min_score = 70, .has_max_score = true, .max_score = 90}, "a1 "},
        {{.since = "2025-10-31"}, "a4 a3 "},
        {{.until = "2025-10-30"}, "a2 a1 "},
        {{.since = "2025-10-30T00:00:00Z", .until = "2025-10-31T01:00:00+01:00"}, "a2 "},
        {{.since = "1h"}, ""},
        {{.name = "slow", .verdict = "passed", .layer = "model"}, "a1 "},
        {{.limit = 2}, "a4 a3 "},
        {{.sort = "started_at:asc"}, "a1 a2 a3 a4 "},
        {{.sort = "resilience_score"}, "a3 a1 a2 a4 "},
        {{.sort = "resilience_score:asc"}, "a2 a1 a3 a4 "},
        {{.sort = "name", .limit = 2}, "a3 a1 "},
        {{.sort = "seed"}, "a4 a3 a2 a1 "},
        {{.sort = "p50_ms", .limit = 1}, "a3 "},
        {{.sort = "p50_ms@fault:asc", .limit = 1}, "a2 "},
        {{.sort = "baseline_accuracy:asc", .limit = 1}, "a1 "},
        {{.status = "completly"},
         "status 'completly' is not one of completed, aborted, interrupted, "
         "failed, skipped, dirty"},
        {{.layer = "infra"}, "layer 'infra' is not one of data, model, infrastructure"},
        {{.since = "yesterday"},
         "since 'yesterday' is no time such as 2026-11-22, "
         "2026-11-22T10:00:00Z, 7d or 12h"},
        {{.sort = "1; DROP TABLE tag"},
         "no run has a '1; DROP TABLE tag' to be sorted by; a column of the list, p99_ms@fault or "
         "a "
         "metric of the pipeline is meant"},
    };
    WORLD world;
    world_make(&world);
    HISTORY *history = open_world(&world);
    fill(history);
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        ce_autofree char *got = listed(history, &cases[i].filter);
        if (strcmp(got, cases[i].want) != 0)
            printf("# case %zu\n", i);
        CHECK_TEXT(got, cases[i].want);
    }
}

static void a_ranking_shows_what_it_ranks_by(void)
{
    WORLD world;
    world_make(&world);
    struct ce_error err = {0};
    HISTORY *history = open_world(&world);
    fill(history);
    char *text = NULL;
    const struct ce_history_filter filter = {.sort = "p50_ms@fault", .name = "slow", .limit = 1};
    REQUIRE_OK(ce_history_list_json(history, &filter, &text, &err), err);
    ce_autojson json_t *list = parsed(text);
    json_t *run = json_array_get(list, 0);
    CHECK(json_number_value(json_object_get(run, "p50_ms@fault")) == 140);
    CHECK(json_object_size(run) == CE_HISTORY_COLUMN_COUNT + 1);
    CHECK(json_array_size(json_object_get(run, "tags")) == 2);
}

static void a_run_has_several_names(void)
{
    static const struct {
        const char *called;
        int want;
        const char *id; /* or a part of the message */
    } cases[] = {
        {"20261101T100000-000000a1", 0, "a1"},
        {"20261102", 0, "a2"},
        {"20261103T100000-000000a4", 0, "a4"},
        {"20261103", -EINVAL, "more than one run"},
        {"last", 0, "a4"},
        {"slow", 0, "a2"},
        {"x' OR '1'='1", 0, "a4"},
        {"slwo", -ENOENT, "did you mean 'slow'?"},
        {"", -ENOENT, "called ''"},
        {"%", -ENOENT, "called '%'"},
    };
    WORLD world;
    world_make(&world);
    HISTORY *history = open_world(&world);
    fill(history);
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        struct ce_error err = {0};
        struct ce_record record;
        int r = ce_history_read(history, cases[i].called, &record, &err);
        CHECK(r == cases[i].want);
        CHECK(strstr(r < 0 ? err.message : record.id, cases[i].id) != NULL);
        if (r >= 0)
            ce_record_done(&record);
    }
}

/* ---- SQL ---- */

static void questions_are_answered(void)
{
    static const struct {
        const char *sql, *want;
    } cases[] = {
        {"SELECT count(*) AS n FROM runs", "[{\"n\": 4}]"},
        {"SELECT max(resilience_score) m FROM runs WHERE name GLOB 's*';  -- a comment",
         "[{\"m\": 80.0}]"},
        {"WITH t(x) AS (VALUES (1), (2)) SELECT x FROM t", "[{\"x\": 1}, {\"x\": 2}]"},
        {"SELECT 1 AS a, 2 AS a, NULL AS b", "[{\"a\": 1, \"a:1\": 2, \"b\": null}]"},
        {"SELECT x'ff41' AS bytes", "[{\"bytes\": \"?A\"}]"},
        {"SELECT name FROM runs WHERE 0", "[]"},
    };
    WORLD world;
    world_make(&world);
    HISTORY *history = open_world(&world);
    fill(history);
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        struct ce_error err = {0};
        char *text = NULL;
        REQUIRE_OK(ce_history_query_json(history, cases[i].sql, 10, &text, &err), err);
        ce_autojson json_t *json = parsed(text);
        ce_autofree char *line = json_dumps(json, 0);
        CHECK_TEXT(line, cases[i].want);
    }
}

static void questions_only_read(void)
{
    static const char *const refused[] = {
        "DELETE FROM run_record",
        "UPDATE run_record SET name = 'x'",
        "INSERT INTO tag VALUES ('x', 1)",
        "DROP VIEW runs",
        "CREATE TABLE t (x)",
        "CREATE TEMP TABLE t (x)",
        "ATTACH '/tmp/other.db' AS other",
        "PRAGMA user_version = 9",
        "PRAGMA query_only = OFF",
        "SELECT * FROM pragma_database_list",
        "VACUUM INTO '/tmp/copy.db'",
        "BEGIN",
        "SELECT 1; DELETE FROM run_record",
        "SELECT load_extension('x')",
        "SELECT nothing FROM runs",
        "SELECT ?1",
        "SELECT",
        "-- nothing",
        "",
        "SELECT abs(-9223372036854775807 - 1)",
    };
    WORLD world;
    world_make(&world);
    HISTORY *history = open_world(&world);
    fill(history);
    for (size_t i = 0; i < CE_COUNT(refused); i++) {
        struct ce_error err = {0};
        char *text = NULL;
        int r = ce_history_query_json(history, refused[i], 10, &text, &err);
        if (r != -EINVAL)
            printf("# %s: %d\n", refused[i], r);
        CHECK(r == -EINVAL);
        CHECK(err.message[0] != '\0');
        free(text);
    }
    /* and afterwards the history can be written to as before */
    const struct a_run one = {.id = "b-1", .score = 1};
    struct ce_error err = {0};
    CHECK(add(history, &one, &err) == 1);
    CHECK_SQL(world.db, "SELECT count(*) FROM run_record", "5");
}

static void questions_have_so_much_time(void)
{
    WORLD world;
    world_make(&world);
    struct ce_error err = {0};
    HISTORY *history = open_world(&world);
    char *text = NULL;
    CHECK(ce_history_query_json(history,
                                "WITH RECURSIVE t(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM t) "
                                "SELECT count(*) FROM t",
                                0.05, &text, &err) == -ETIME);
    REQUIRE_OK(ce_history_query_json(history, "SELECT 1", 0, &text, &err), err);
    free(text);
}

/* ---- comparing, summing up, pruning ---- */

static const json_t *metric_of(const json_t *json, const char *name)
{
    size_t i;
    json_t *metric;
    json_array_foreach(json_object_get(json, "metrics"), i,
                       metric) if (strcmp(json_string_value(json_object_get(metric, "metric")),
                                          name) == 0) return metric;
    return NULL;
}

static void runs_stand_side_by_side(void)
{
    WORLD world;
    world_make(&world);
    struct ce_error err = {0};
    HISTORY *history = open_world(&world);
    fill(history);
    const char *const names[] = {"20261101", "20261102", "fast"};
    char *text = NULL;
    REQUIRE_OK(ce_history_compare_json(history, names, 3, &text, &err), err);
    ce_autojson json_t *json = parsed(text);
    ce_autofree char *score = json_dumps(metric_of(json, "resilience_score"), 0);
    CHECK_TEXT(score, "{\"metric\": \"resilience_score\", \"values\": [80.0, 60.0, 100.0], "
                      "\"differences\": [0.0, -20.0, 20.0], \"best\": 2}");
    ce_autofree char *latency = json_dumps(metric_of(json, "p50_ms@fault"), 0);
    CHECK_TEXT(latency, "{\"metric\": \"p50_ms@fault\", \"values\": [140.0, 120.0, 160.0], "
                        "\"differences\": [0.0, -20.0, 20.0], \"best\": 1}");
    CHECK(json_is_null(json_object_get(metric_of(json, "recovery_time"), "best")));
    CHECK(json_array_size(json_object_get(json, "runs")) == 3);
    CHECK(ce_history_compare_json(history, names, 1, &text, &err) == -EINVAL);
}

static void a_summary_counts_what_ended_by_itself(void)
{
    WORLD world;
    world_make(&world);
    struct ce_error err = {0};
    HISTORY *history = open_world(&world);
    fill(history);
    char *text = NULL;
    REQUIRE_OK(ce_history_summary_json(history, NULL, &text, &err), err);
    ce_autojson json_t *json = parsed(text);
    CHECK(json_integer_value(json_object_get(json, "runs")) == 4);
    CHECK(json_integer_value(json_object_get(json, "experiments")) == 3);
    CHECK(json_number_value(json_object_get(json, "mean_resilience_score")) == 80);
    CHECK(fabs(json_number_value(json_object_get(json, "success_rate")) - 2.0 / 3) < 1e-12);
    const json_t *data = json_object_get(json_object_get(json, "by_layer"), "data");
    CHECK(json_number_value(json_object_get(data, "mean_resilience_score")) == 100);
    ce_autofree char *verdicts = json_dumps(json_object_get(json, "verdicts"), 0);
    CHECK_TEXT(verdicts, "{\"deviated\": 1, \"inconclusive\": 1, \"passed\": 2}");
}

static void what_is_pruned_is_gone_altogether(void)
{
    WORLD world;
    world_make(&world);
    struct ce_error err = {0};
    HISTORY *history = open_world(&world);
    fill(history);
    size_t removed = 0;
    struct ce_history_retention keep = {.runs = 1, .dry_run = true};
    REQUIRE_OK(ce_history_prune(history, &keep, &removed, &err), err);
    CHECK(removed == 1);
    CHECK_SQL(world.db, "SELECT count(*) FROM runs", "4");
    keep.dry_run = false;
    REQUIRE_OK(ce_history_prune(history, &keep, &removed, &err), err);
    CHECK(removed == 1);
    CHECK_SQL(world.db,
              "SELECT group_concat(substr(id, -2), ' ') FROM (SELECT id FROM runs ORDER BY id)",
              "a2 a3 a4");
    const struct a_run young = {.id = "young", .score = 1};
    CHECK(add(history, &young, &err) == 1);
    keep = (struct ce_history_retention){.days = 30};
    REQUIRE_OK(ce_history_prune(history, &keep, &removed, &err), err);
    CHECK(removed == 3);
    CHECK_SQL(world.db,
              "SELECT (SELECT count(*) FROM run_record) || (SELECT count(*) FROM report) || "
              "(SELECT count(*) FROM tag) || (SELECT count(*) FROM phase) || (SELECT count(*) FROM "
              "recipe) || (SELECT count(*) FROM document)",
              "110211");
}

/* ---- export ---- */

static void an_export_has_the_columns_of_the_view(void)
{
    WORLD world;
    world_make(&world);
    struct ce_error err = {0};
    HISTORY *history = open_world(&world);
    fill(history);
    ce_autofree char *csv = ce_format("%s/runs.csv", world.folder);
    ce_autofree char *jsonl = ce_format("%s/runs.jsonl", world.folder);
    const struct ce_history_filter filter = {.sort = "started_at:asc", .name = "slow", .limit = 1};
    REQUIRE_OK(ce_history_export(history, &filter, "csv", csv, &err), err);
    CHECK_FILE(csv,
               "id,name,layer,fault_type,status,verdict,resilience_score,recovery_time,"
               "accuracy_degradation,pipeline_downtime,error_count,duration,started_at,ended_at,"
               "seed,tags\n20261101T100000-000000a1,slow,model,slow_inference,completed,passed,"
               "80,1.5,0.1,0.2,3,33.3,2025-10-29T00:00:00.000Z,2025-10-29T00:00:33.000Z,7,"
               "\"nightly,all\"\n");
    REQUIRE_OK(ce_history_export(history, &filter, "jsonl", jsonl, &err), err);
    ce_autofree char *line = text_of(jsonl);
    ce_autojson json_t *row = json_loads(line, 0, NULL);
    CHECK(json_number_value(json_object_get(row, "resilience_score")) == 80);
    CHECK(ce_history_export(history, NULL, "csv", world.db, &err) == -EINVAL);
    CHECK(ce_history_export(history, NULL, "xml", csv, &err) == -EINVAL);
    CHECK(ce_history_export(history, NULL, "csv", "/nowhere/at/all.csv", &err) == -ENOENT);
}

/* ---- where it ran ---- */

#define COMMIT "0123456789abcdef0123456789abcdef01234567"
#define OTHER  "fedcba9876543210fedcba9876543210fedcba98"

static void the_commit_is_found_as_git_finds_it(void)
{
    static const struct {
        const char *file, *text;
    } files[] = {
        {"branch/.git/HEAD", "ref: refs/heads/main\n"},
        {"branch/.git/refs/heads/main", COMMIT "\n"},
        {"packed/.git/HEAD", "ref: refs/heads/main\n"},
        {"packed/.git/packed-refs",
         "# pack-refs with: peeled\n" OTHER " refs/heads/main2\n" COMMIT " refs/heads/main\n"},
        {"detached/.git/HEAD", COMMIT "\n"},
        {"unborn/.git/HEAD", "ref: refs/heads/none\n"},
        {"garbage/.git/HEAD", "what\n"},
        {"tree/.git", "gitdir: ../branch/.git/worktrees/tree\n"},
        {"branch/.git/worktrees/tree/HEAD", "ref: refs/heads/side\n"},
        {"branch/.git/worktrees/tree/commondir", "../..\n"},
        {"branch/.git/refs/heads/side", OTHER "\n"},
        {"branch/deep/down/x", ""},
    };
    static const struct {
        const char *folder, *want;
    } cases[] = {{"branch", COMMIT}, {"branch/deep/down", COMMIT},
                 {"packed", COMMIT}, {"detached", COMMIT},
                 {"unborn", ""},     {"garbage", ""},
                 {"tree", OTHER},    {"missing", ""}};
    WORLD world;
    world_make(&world);
    for (size_t i = 0; i < CE_COUNT(files); i++) {
        ce_autofree char *path = ce_format("%s/%s", world.folder, files[i].file);
        char *slash = strrchr(path, '/');
        *slash = '\0';
        REQUIRE(ce_folder_make(path, NULL) >= 0);
        *slash = '/';
        REQUIRE(put_text(path, files[i].text));
    }
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        char commit[65];
        ce_autofree char *path = ce_format("%s/%s", world.folder, cases[i].folder);
        ce_git_commit(path, commit);
        CHECK_TEXT(commit, cases[i].want);
    }
}

int main(void)
{
    TEST(a_run_comes_back_as_it_was);
    TEST(a_run_is_there_once);
    TEST(what_was_not_measured_is_null);
    TEST(nobody_else_may_read_it);
    TEST(where_nothing_was_recorded_the_history_is_empty);
    TEST(filters_say_which_runs_are_meant);
    TEST(a_ranking_shows_what_it_ranks_by);
    TEST(a_run_has_several_names);
    TEST(questions_are_answered);
    TEST(questions_only_read);
    TEST(questions_have_so_much_time);
    TEST(runs_stand_side_by_side);
    TEST(a_summary_counts_what_ended_by_itself);
    TEST(what_is_pruned_is_gone_altogether);
    TEST(an_export_has_the_columns_of_the_view);
    TEST(the_commit_is_found_as_git_finds_it);
    return test_done();
}
