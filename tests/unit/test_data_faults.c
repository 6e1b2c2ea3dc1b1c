/* SPDX-License-Identifier: MIT */
#include <ctype.h>
#include <math.h>
#include <signal.h>
#include <sys/wait.h>

#include "data/csv.h"
#include "data_world.h"

/* ---- train ---- */

static void a_changed_dataset_is_seen_and_put_back(void)
{
    static const struct {
        const char *fault, *says;
        uint64_t least, most;
        const char *params[4];
    } cases[] = {
        {"data_corruption",
         "of 1000 cells of 2 columns differ in customers.csv",
         60,
         130,
         {"corruption_rate=0.1"}},
        {"data_corruption",
         "500 of 500 cells of 1 column differ",
         500,
         500,
         {"corruption_rate=1", "columns=first name"}},
        {"data_corruption",
         "of 1000 cells of 2 columns differ",
         60,
         130,
         {"corruption_rate=0.1", "kind=mistype"}},
        {"missing_data",
         "of 1500 cells of 3 columns differ in customers.csv",
         220,
         350,
         {"missing_rate=0.2"}},
        {"missing_data",
         "500 of 500 cells of 1 column differ",
         500,
         500,
         {"missing_rate=1", "columns=churned"}},
        {"missing_data",
         "100 of 500 cells of 1 column differ",
         100,
         100,
         {"exact=true", "columns=age"}},
        {"outlier_injection", "of 1000 cells of 2 columns differ", 20, 90, {NULL}},
        {"distribution_drift", "950 of 1000 cells of 2 columns differ", 950, 950, {NULL}},
        {"label_noise", "of 500 cells of 1 column differ", 20, 90, {NULL}},
        {"schema_drift",
         "are others than before: age, income, first name, churned, unexpected",
         0,
         UINT64_MAX,
         {NULL}},
        {"schema_drift",
         "are others than before: years, income, first name, churned",
         0,
         UINT64_MAX,
         {"drift_type=rename_column", "old_name=age", "new_name=years"}},
        {"schema_drift",
         "500 of 500 cells of 1 column differ",
         500,
         500,
         {"drift_type=type_change", "column_name=age"}},
        {"duplicate_records", "customers.csv has 550 rows, 500 before", 50, 50, {"exact=true"}},
        {"duplicate_records", " rows, 500 before", 20, 90, {"place=shuffled", "kind=near"}},
        {"stale_data", "customers.csv has 550 rows, 500 before", 50, 50, {"lag=50", "exact=true"}},
        {"row_drop", "customers.csv has 450 rows, 500 before", 50, 50, {"exact=true"}},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        TRAINING_WORLD(world, err);
        struct ce_evidence evidence;
        struct stat st;
        REQUIRE_OK(world_inject(&world, cases[i].fault, cases[i].params, &err), err);
        CHECK(!same_files(world.dataset, world.original));
        CHECK(stat(world.dataset, &st) == 0 && (st.st_mode & 07777) == 0640);
        CHECK(ce_undo_live(world.journal) == 1);
        CHECK(world_verify(&world, &evidence, &err) == 1);
        if (!strstr(evidence.text, cases[i].says) ||
            !strstr(evidence.text, "the model in service was trained on that file"))
            CHECK_TEXT(evidence.text, cases[i].says);
        struct ce_fault_counts counts = world_counts(&world);
        CHECK(counts.changed >= cases[i].least && counts.changed <= cases[i].most);
        REQUIRE_OK(world_revert(&world, &err), err);
        CHECK(same_files(world.dataset, world.original));
        CHECK(stat(world.dataset, &st) == 0 && (st.st_mode & 07777) == 0640);
        CHECK(ce_undo_live(world.journal) == 0);
        CHECK(world.reloads == 3);
    }
}

static void what_has_no_effect_is_found_out(void)
{
#ifndef CE_SEAMS
    SKIP("this build has no seams");
#else
    static const char *const faults[][2] = {
        {"data_corruption", "0 of 1000 cells of 2 columns differ in customers.csv; "},
        {"missing_data", "0 of 1500 cells of 3 columns differ in customers.csv; "},
        {"schema_drift", "the columns of customers.csv are the same as before: age, income"},
        {"distribution_drift", "0 of 1000 cells"},
        {"outlier_injection", "0 of 1000 cells"},
        {"duplicate_records", "customers.csv has 500 rows, 500 before; "},
        {"label_noise", "0 of 500 cells"},
        {"row_drop", "customers.csv has 500 rows, 500 before; "},
        {"stale_data", "customers.csv has 500 rows, 500 before; "},
    };
    for (size_t i = 0; i < CE_COUNT(faults); i++) {
        TRAINING_WORLD(world, err);
        struct ce_evidence evidence;
        setenv("CHAOSEATER_SEAM_NO_EFFECT", "1", 1);
        int injected = world_inject(&world, faults[i][0], (const char *const[]){NULL}, &err);
        unsetenv("CHAOSEATER_SEAM_NO_EFFECT");
        REQUIRE_OK(injected, err);
        CHECK(world_verify(&world, &evidence, &err) == 0);
        if (strncmp(evidence.text, faults[i][1], strlen(faults[i][1])) != 0)
            CHECK_TEXT(evidence.text, faults[i][1]);
        REQUIRE_OK(world_revert(&world, &err), err);
        CHECK(same_files(world.dataset, world.original));
    }
#endif
}

/* The columns of one row, quotes removed. */
struct cells {
    char text[4][64];
    bool quoted[4];
};

static size_t read_cells(const char *path, struct cells rows[ROWS])
{
    struct ce_csv_reader *reader;
    struct ce_text_record record;
    size_t count = 0;
    if (ce_csv_open(path, &reader, NULL) < 0)
        return 0;
    for (; count < ROWS && ce_csv_next(reader, &record, NULL) > 0; count++)
        for (size_t i = 0; i < 4 && i < record.cell_count; i++) {
            ce_csv_value(&record.cells[i], rows[count].text[i], sizeof rows[count].text[i]);
            rows[count].quoted[i] = record.cells[i].quoted;
        }
    ce_csv_close(reader);
    return count;
}

static bool is_utf8(const char *text)
{
    ce_autojson json_t *string = json_string(text);
    return string != NULL;
}

static void check_one_character_differs(const char *before, const char *after)
{
    /* The umlaut has two bytes, the letter that may replace it one. */
    size_t a = strlen(before), b = strlen(after), same_start = 0, same_end = 0;
    while (before[same_start] && before[same_start] == after[same_start])
        same_start++;
    while (same_end < b - same_start && same_end < a - same_start &&
           before[a - 1 - same_end] == after[b - 1 - same_end])
        same_end++;
    CHECK(b - same_start - same_end == 1);
    CHECK(a - same_start - same_end == (a == b ? 1 : 2));
    CHECK((unsigned char)after[same_start] < 0x80);
}

static void corrupted_cells_keep_their_form(void)
{
    TRAINING_WORLD(world, err);
    static struct cells before[ROWS], after[ROWS];
    REQUIRE_OK(INJECT(&world, "data_corruption", &err, "corruption_rate=1", "columns=age"), err);
    REQUIRE(read_cells(world.original, before) == ROWS && read_cells(world.dataset, after) == ROWS);
    double sum = 0, square = 0;
    for (size_t i = 0; i < ROWS; i++) {
        double change = atof(after[i].text[0]) - atof(before[i].text[0]);
        sum += change;
        square += change * change;
        CHECK(change != 0);
        CHECK(after[i].text[0][strspn(after[i].text[0], "-0123456789")] == '\0');
        if (before[i].text[0][0] == '0')
            CHECK(strlen(after[i].text[0]) >= strlen(before[i].text[0]));
        for (size_t k = 1; k < 4; k++)
            CHECK(strcmp(before[i].text[k], after[i].text[k]) == 0 &&
                  before[i].quoted[k] == after[i].quoted[k]);
    }
    /* The ages' standard deviation is 17.3; the noise has it too. */
    CHECK(fabs(sum / ROWS) < 3);
    CHECK(fabs(sqrt(square / ROWS) - 17.3) < 2);
    world_forget(&world);

    REQUIRE_OK(INJECT(&world, "data_corruption", &err, "corruption_rate=1", "columns=income"), err);
    REQUIRE(read_cells(world.dataset, after) == ROWS);
    for (size_t i = 0; i < ROWS; i++) {
        const char *text = after[i].text[1];
        CHECK(before[i].quoted[1] == after[i].quoted[1]);
        if (before[i].text[1][0] == '\0')
            CHECK_TEXT(text, "");
        else
            CHECK(strchr(text, '.') && strlen(strchr(text, '.')) == 3 &&
                  strcmp(text, before[i].text[1]) != 0);
    }
    struct ce_fault_counts counts = world_counts(&world);
    CHECK(counts.selected == ROWS && counts.changed == ROWS - ROWS / 10);
    CHECK_TEXT(counts.skipped[0].reason, "missing");
    world_forget(&world);

    REQUIRE_OK(INJECT(&world, "data_corruption", &err, "corruption_rate=1", "columns=first name"),
               err);
    REQUIRE(read_cells(world.dataset, after) == ROWS);
    for (size_t i = 0; i < ROWS; i++) {
        CHECK(before[i].quoted[2] == after[i].quoted[2] && is_utf8(after[i].text[2]));
        check_one_character_differs(before[i].text[2], after[i].text[2]);
    }
}

static void the_label_is_left_alone_unless_it_is_named(void)
{
    TRAINING_WORLD(world, err);
    static struct cells before[ROWS], after[ROWS];
    REQUIRE_OK(INJECT(&world, "missing_data", &err, "missing_rate=1"), err);
    REQUIRE(read_cells(world.original, before) == ROWS && read_cells(world.dataset, after) == ROWS);
    for (size_t i = 0; i < ROWS; i++) {
        CHECK_TEXT(after[i].text[3], before[i].text[3]);
        CHECK(after[i].text[0][0] == '\0' && after[i].text[1][0] == '\0' &&
              after[i].text[2][0] == '\0');
    }
    world_forget(&world);
    REQUIRE_OK(INJECT(&world, "data_corruption", &err, "corruption_rate=1", "columns=churned"),
               err);
    REQUIRE(read_cells(world.dataset, after) == ROWS);
    for (size_t i = 0; i < ROWS; i++)
        CHECK(strcmp(after[i].text[3], before[i].text[3]) != 0);
}

static void one_column_loses_values_but_no_rows(void)
{
    TRAINING_WORLD(world, err);
    struct ce_evidence evidence;
    REQUIRE_OK(ce_file_replace(world.dataset, "a\n1\n2\n3\n", 8, &err), err);
    REQUIRE_OK(INJECT(&world, "missing_data", &err, "missing_rate=1"), err);
    CHECK(same_bytes(world.dataset, "a\n\"\"\n\"\"\n\"\"\n", 11));
    CHECK(world_verify(&world, &evidence, &err) == 1);
    REQUIRE_OK(world_revert(&world, &err), err);
    CHECK(same_bytes(world.dataset, "a\n1\n2\n3\n", 8));
}

static void nothing_to_hit_is_said(void)
{
    static const struct {
        const char *dataset, *fault, *rate, *says;
    } cases[] = {
        {"a\nx\ny\n", "data_corruption", "corruption_rate=0.5",
         "expected 0.0 hits in 0 cells, found none"},
        {"a\n1\n2\n", "data_corruption", "corruption_rate=0.001",
         "expected 0.0 hits in 2 cells, found none"},
        {"a,b\n,NA\n,\n", "missing_data", "missing_rate=1",
         "expected 4.0 hits in 4 cells, found 4 and skipped them all (missing)"},
        {"a,b\n", "missing_data", "missing_rate=1", "expected 0.0 hits in 0 cells, found none"},
        {"a,b\n", "row_drop", "drop_rate=1", "expected 0.0 hits in 0 rows, found none"},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        TRAINING_WORLD(world, err);
        REQUIRE_OK(ce_file_replace(world.dataset, cases[i].dataset, strlen(cases[i].dataset), &err),
                   err);
        REQUIRE_OK(world_reload(&world, &err), err);
        CHECK(INJECT(&world, cases[i].fault, &err, cases[i].rate) == -ENODATA);
        CHECK_TEXT(err.message, cases[i].says);
        REQUIRE_OK(world_revert(&world, &err), err);
        CHECK(same_bytes(world.dataset, cases[i].dataset, strlen(cases[i].dataset)));
        CHECK(ce_undo_live(world.journal) == 0);
    }
}

static void a_rate_of_zero_is_a_control(void)
{
    static const char *const assignments[][2] = {{"data_corruption", "corruption_rate=0"},
                                                 {"missing_data", "missing_rate=0"}};
    for (size_t i = 0; i < CE_COUNT(assignments); i++) {
        TRAINING_WORLD(world, err);
        REQUIRE_OK(INJECT(&world, assignments[i][0], &err, assignments[i][1]), err);
        CHECK(world.injection.fault->is_control(world.injection.params));
        CHECK(same_files(world.dataset, world.original));
        CHECK(world_counts(&world).changed == 0);
        REQUIRE_OK(world_revert(&world, &err), err);
    }
}

static void a_pipeline_that_cannot_train_is_evidence(void)
{
    TRAINING_WORLD(world, err);
    struct ce_evidence evidence;
    world.refuses = true;
    REQUIRE_OK(INJECT(&world, "missing_data", &err, "missing_rate=0.5"), err);
    CHECK(world_verify(&world, &evidence, &err) == 1);
    CHECK(strstr(evidence.text,
                 "the pipeline could not train on that file: column 'age' has no values") != NULL);
    /* That it cannot train on the old data either is a failure to undo. */
    CHECK(world.injection.fault->revert(&world.injection, &err) == -EINVAL);
    CHECK(same_files(world.dataset, world.original));
    world.refuses = false;
    REQUIRE_OK(world_revert(&world, &err), err);
}

static void a_pipeline_that_keeps_its_old_model_is_not_hit(void)
{
    TRAINING_WORLD(world, err);
    struct ce_evidence evidence;
    world.keeps_old = true;
    REQUIRE_OK(INJECT(&world, "missing_data", &err, "missing_rate=0.5"), err);
    CHECK(world_verify(&world, &evidence, &err) == 0);
    CHECK(strstr(evidence.text, "the model in service was trained on another one") != NULL);
}

static void a_model_left_on_changed_data_is_not_undone(void)
{
    TRAINING_WORLD(world, err);
    REQUIRE_OK(INJECT(&world, "missing_data", &err, "missing_rate=0.5"), err);
    world.keeps_old = true;
    CHECK(world_revert(&world, &err) == -EIO);
    CHECK(strstr(err.message, "the model in service was not trained on") != NULL);
}

static void less_intensity_takes_changes_back(void)
{
    TRAINING_WORLD(world, err);
    struct ce_evidence evidence;
    static struct cells before[ROWS], full[ROWS], half[ROWS];
    REQUIRE_OK(INJECT(&world, "data_corruption", &err, "corruption_rate=0.4"), err);
    const struct ce_fault *fault = world.injection.fault;
    uint64_t changed = world_counts(&world).changed;
    REQUIRE(read_cells(world.original, before) == ROWS && read_cells(world.dataset, full) == ROWS);
    REQUIRE_OK(fault->adjust(&world.injection, 0.5, &err), err);
    REQUIRE(read_cells(world.dataset, half) == ROWS);
    CHECK(world_counts(&world).changed < changed * 2 / 3 &&
          world_counts(&world).changed > changed / 3);
    for (size_t i = 0; i < ROWS; i++)
        for (size_t k = 0; k < 4; k++)
            CHECK(strcmp(half[i].text[k], before[i].text[k]) == 0 ||
                  strcmp(half[i].text[k], full[i].text[k]) == 0);
    CHECK(world_verify(&world, &evidence, &err) == 1);
    REQUIRE_OK(fault->adjust(&world.injection, 0, &err), err);
    CHECK(same_files(world.dataset, world.original));
    REQUIRE_OK(fault->adjust(&world.injection, 1, &err), err);
    CHECK(world_counts(&world).changed == changed);
    REQUIRE_OK(world_revert(&world, &err), err);
    CHECK(same_files(world.dataset, world.original));
}

static void the_before_image_helps_where_the_key_does_not(void)
{
    enum { VANISHED, CUT, KEY_GONE, KEY_DAMAGED, COUNT };
    for (int damage = 0; damage < COUNT; damage++) {
        TRAINING_WORLD(world, err);
        REQUIRE_OK(INJECT(&world, "data_corruption", &err, "corruption_rate=0.4"), err);
        const char *key = folder_file(world.folder, "run/data_corruption.key");
        int done = damage == VANISHED   ? unlink(world.dataset)
                   : damage == CUT      ? truncate(world.dataset, 100)
                   : damage == KEY_GONE ? unlink(key)
                                        : truncate(key, 100);
        REQUIRE(done == 0);
        REQUIRE_OK(world_revert(&world, &err), err);
        CHECK(same_files(world.dataset, world.original));
    }
}

static void bad_datasets_and_columns_are_one_sentence(void)
{
    TRAINING_WORLD(world, err);
    CHECK(INJECT(&world, "missing_data", &err, "columns=incme") == -ENOENT);
    CHECK(strstr(err.message, "has no column 'incme'; did you mean 'income'?") != NULL);
    REQUIRE_OK(world_revert(&world, &err), err);
    world_forget(&world);
    REQUIRE_OK(ce_file_replace(world.dataset, "a,b\n1,\"2\n", 9, &err), err);
    CHECK(INJECT(&world, "missing_data", &err, "stage=train") == -EINVAL);
    CHECK_TEXT(err.message, "a quoted cell is not closed");
    world_forget(&world);
    REQUIRE(unlink(world.dataset) == 0);
    CHECK(INJECT(&world, "missing_data", &err, "stage=train") == -ENOENT);
    CHECK(strstr(err.message, world.dataset) != NULL);
}

#ifdef CE_SEAMS
/* Runs `function` in a child, which is killed at the n-th journal write or change of the world (0:
 * at none). The child's steps are counted from those that this process has made, which therefore
 * must be none. */
static int status_of(int (*function)(struct world *), struct world *world, int step)
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        char number[16];
        snprintf(number, sizeof number, "%d", step);
        setenv("CHAOSEATER_SEAM_CRASH", number, 1);
        _exit(function(world) < 0);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        exit(99);
    return status;
}

static int run_and_revert(struct world *world)
{
    CE_TRY(world_journal(world, NULL));
    CE_TRY(INJECT(world, "data_corruption", NULL, "stage=train"));
    CE_TRY(world->injection.fault->adjust(&world->injection, 0.5, NULL));
    CE_TRY(world_revert(world, NULL));
    ce_journal_close(world->journal);
    return 0;
}

static int recover(struct world *world)
{
    struct ce_recovery recovery;
    CE_TRY(ce_journal_recover(folder_file(world->folder, "state"), world_ops, &recovery, NULL));
    return recovery.failed == 0 && recovery.foreign == 0 ? 0 : -EIO;
}
#endif

/* Killed at every step in turn; then what recover is for. */
static void killed_runs_are_undone(void)
{
#ifndef CE_SEAMS
    SKIP("this build has no seams");
#else
    for (int step = 1;; step++) {
        WORLD(world);
        int status = status_of(run_and_revert, &world, step);
        CHECK(status_of(recover, &world, 0) == 0);
        CHECK(same_files(world.dataset, world.original));
        if (WIFEXITED(status)) {
            CHECK(WEXITSTATUS(status) == 0);
            CHECK(step > 15);
            return;
        }
        REQUIRE(WTERMSIG(status) == SIGKILL);
    }
#endif
}

/* ---- serve ---- */

static int value_of(const char *body, const char *tensor, char *text, size_t size)
{
    struct ce_values found = {0};
    struct ce_message message = {.protocol = ce_protocol_find("oip"),
                                 .content_type = "application/json",
                                 .body = body,
                                 .size = strlen(body)};
    int r = ce_message_inputs(&message, &found, NULL);
    for (size_t i = 0; r == 0 && i < found.count; i++)
        if (ce_slice_is(found.values[i].tensor, tensor))
            snprintf(text, size, "%.*s", (int)found.values[i].text.size, found.values[i].text.data);
    ce_values_done(&found);
    return r;
}

static uint64_t skips(const struct ce_fault_counts *counts, const char *reason)
{
    for (size_t i = 0; i < CE_SKIP_REASONS_MAX && counts->skipped[i].reason; i++)
        if (strcmp(counts->skipped[i].reason, reason) == 0)
            return counts->skipped[i].count;
    return 0;
}

static void live_values_go_missing(void)
{
    SERVING_WORLD(world, err);
    struct ce_evidence evidence;
    REQUIRE_OK(INJECT(&world, "missing_data", &err, "missing_rate=0.3", "stage=serve"), err);
    CHECK(world_verify(&world, &evidence, &err) == 1);
    CHECK(strstr(evidence.text, "3 of 3 probes") != NULL);
    CHECK(world_counts(&world).eligible == 0);
    int nulls = 0;
    for (int i = 0; i < 60; i++) {
        char id[16], age[64], income[64], name[64], other[64];
        snprintf(id, sizeof id, "f-%d", i);
        ce_autofree char *got = send_through(&world, id, world_request),
                         *again = send_through(&world, id, world_request);
        REQUIRE(got && again && strcmp(got, again) == 0);
        REQUIRE(value_of(got, "age", age, 64) == 0 && value_of(got, "income", income, 64) == 0);
        REQUIRE(value_of(got, "first name", name, 64) == 0 &&
                value_of(got, "other", other, 64) == 0);
        CHECK_TEXT(other, "7.5");
        const char *const values[][3] = {{"age", age, "41"},
                                         {"income", income, "1000.50"},
                                         {"first name", name, "\"M\xc3\xbc\\u00e9\\\"r\""}};
        for (size_t k = 0; k < 3; k++) {
            bool hit = ce_unit_selected(42, "missing_data", values[k][0],
                                        ce_hash_name(id, strlen(id)), 0.3);
            CHECK_TEXT(values[k][1], hit ? "null" : values[k][2]);
            nulls += hit;
        }
    }
    struct ce_fault_counts counts = world_counts(&world);
    CHECK(counts.eligible == 2 * 60 * 3 && counts.changed == 2 * (uint64_t)nulls &&
          counts.selected == counts.changed);
    CHECK(nulls > 30 && nulls < 80);
    REQUIRE_OK(world_revert(&world, &err), err);
    CHECK(world_counts(&world).changed == counts.changed);
    ce_autofree char *after = send_through(&world, "f-1", world_request);
    CHECK_TEXT(after, world_request);
    CHECK(same_files(world.dataset, world.original));
}

static void live_values_are_corrupted_in_their_form(void)
{
    SERVING_WORLD(world, err);
    struct ce_evidence evidence;
    REQUIRE_OK(INJECT(&world, "data_corruption", &err, "corruption_rate=1", "stage=serve"), err);
    CHECK(world_verify(&world, &evidence, &err) == 1);
    double sum = 0, square = 0;
    for (int i = 0; i < 200; i++) {
        char id[16], age[64], income[64], name[64];
        snprintf(id, sizeof id, "f-%d", i);
        ce_autofree char *got = send_through(&world, id, world_request);
        REQUIRE(got && value_of(got, "age", age, 64) == 0 &&
                value_of(got, "income", income, 64) == 0);
        REQUIRE(value_of(got, "first name", name, 64) == 0);
        CHECK(strcmp(age, "41") != 0 && age[strspn(age, "-0123456789")] == '\0');
        CHECK(strchr(income, '.') && strlen(strchr(income, '.')) == 3);
        CHECK_TEXT(name, "\"M\xc3\xbc\\u00e9\\\"r\""); /* texts only when they are named */
        sum += atof(age) - 41;
        square += (atof(age) - 41) * (atof(age) - 41);
    }
    CHECK(fabs(sum / 200) < 4.5 && fabs(sqrt(square / 200) - 17.3) < 3);
    REQUIRE_OK(world_revert(&world, &err), err);
    world_forget(&world);

    REQUIRE_OK(INJECT(&world, "data_corruption", &err, "corruption_rate=1", "columns=first name",
                      "stage=serve"),
               err);
    int kinds = 0;
    for (int i = 0; i < 60; i++) {
        char id[16], name[64];
        snprintf(id, sizeof id, "f-%d", i);
        ce_autofree char *got = send_through(&world, id, world_request);
        ce_autojson json_t *json = got ? json_loads(got, 0, NULL) : NULL;
        REQUIRE(json && value_of(got, "first name", name, 64) == 0);
        const char *text = json_string_value(json_array_get(
            json_object_get(json_array_get(json_object_get(json, "inputs"), 2), "data"), 0));
        REQUIRE(text);
        check_one_character_differs("M\xc3\xbc\xc3\xa9\"r", text);
        kinds |= 1 << (strncmp(text, "M\xc3\xbc\xc3\xa9", 5) == 0) | 4 << (text[0] == 'M');
    }
    CHECK(kinds == 15); /* early and late characters are chosen */
    REQUIRE_OK(world_revert(&world, &err), err);
}

static void odd_messages_pass_unharmed(void)
{
    static const char *const bodies[] = {
        "",
        "{}",
        "not json",
        "{\"inputs\":7}",
        "{\"inputs\":[]}",
        "{\"inputs\":[{\"name\":\"age\",\"shape\":[1],\"datatype\":\"INT64\",\"data\":[null]}]}",
        "{\"inputs\":[{\"name\":\"age\",\"shape\":[1],\"datatype\":\"BOOL\",\"data\":[true]}]}",
        "{\"inputs\":[{\"name\":\"age\",\"shape\":[1],\"datatype\":\"BYTES\",\"data\":[\"\"]}]}",
    };
    SERVING_WORLD(world, err);
    REQUIRE_OK(INJECT(&world, "data_corruption", &err, "corruption_rate=1", "stage=serve"), err);
    for (size_t i = 0; i < CE_COUNT(bodies); i++) {
        ce_autofree char *got = send_through(&world, "f-1", bodies[i]);
        CHECK_TEXT(got, bodies[i]);
    }
    struct ce_fault_counts counts = world_counts(&world);
    CHECK(counts.selected == 3 && counts.changed == 0);
    CHECK(skips(&counts, "unreadable") == 4);
    CHECK(skips(&counts, "missing") == 2 && skips(&counts, "no number") == 1);
}

/* The label is `churned`; so a row of three features is age, income and first name. */
static void values_of_any_protocol_are_cells(void)
{
    static const struct {
        const char *path, *body, *want;
    } cases[] = {
        {"/v1/models/churn:predict",
         "{\"instances\":[{\"age\":41,\"churned\":1,\"income\": 5.50 }]}",
         "{\"instances\":[{\"age\":null,\"churned\":1,\"income\": null }]}"},
        {"/v1/models/churn:predict", "{\"instances\":[[41,7,\"x\"],[42, 8,\"y\"]]}",
         "{\"instances\":[[null,null,null],[null, null,null]]}"},
        {"/v1/models/churn:predict", "{\"instances\":[[41,7],[42,8]]}",
         "{\"instances\":[[41,7],[42,8]]}"},
        {"/invocations",
         "{\"dataframe_split\":{\"columns\":[\"other\",\"age\"],\"data\":[[1,2],[3,4]]}}",
         "{\"dataframe_split\":{\"columns\":[\"other\",\"age\"],\"data\":[[1,null],[3,null]]}}"},
        {PATH,
         "{\"inputs\":[{\"name\":\"input-0\",\"shape\":[1,3],\"datatype\":\"FP64\","
         "\"data\":[1,2,3]}]}",
         "{\"inputs\":[{\"name\":\"input-0\",\"shape\":[1,3],\"datatype\":\"FP64\","
         "\"data\":[null,null,null]}]}"},
        {"/score", "{\"inputs\":[1]}", "{\"inputs\":[1]}"},
    };
    SERVING_WORLD(world, err);
    REQUIRE_OK(INJECT(&world, "missing_data", &err, "missing_rate=1", "stage=serve"), err);
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        ce_autofree char *got = send_to(&world, cases[i].path, "f-1", cases[i].body);
        CHECK_TEXT(got, cases[i].want);
    }
    struct ce_fault_counts counts = world_counts(&world);
    CHECK(counts.changed == 13 && counts.selected == 13);
    CHECK(skips(&counts, "no prediction request") == 1);
}

/* The digits of a number in JSON, or its bytes in the binary extension: the same value. */
static void binary_tensors_are_changed_like_json(void)
{
    static const char json[] =
        "{\"inputs\":[{\"name\":\"income\",\"shape\":[1],\"datatype\":\"FP64\","
        "\"data\":[1000.5]}]}";
    static const char head[] =
        "{\"inputs\":[{\"name\":\"income\",\"shape\":[1],\"datatype\":\"FP64\","
        "\"parameters\":{\"binary_data_size\":8}}]}";
    char body[256], length[64], income[64];
    double value = 1000.5, got;
    SERVING_WORLD(world, err);
    REQUIRE_OK(INJECT(&world, "data_corruption", &err, "corruption_rate=1", "stage=serve"), err);
    memcpy(body, head, strlen(head));
    memcpy(body + strlen(head), &value, 8); /* 1000.5 ends in bytes that are no NUL */
    snprintf(length, sizeof length, "Inference-Header-Content-Length: %zu\r\n", strlen(head));
    ce_autofree char *plain = send_through(&world, "f-1", json);
    REQUIRE(plain && value_of(plain, "income", income, sizeof income) == 0);
    struct ce_http_answer answer;
    REQUIRE(send_message(&world, PATH, "f-1", length, body, strlen(head) + 8, &answer) == 0);
    CHECK(answer.body_size == strlen(head) + 8 && memcmp(answer.body, head, strlen(head)) == 0);
    memcpy(&got, answer.body + strlen(head), 8);
    ce_http_answer_done(&answer);
    CHECK(got != 1000.5 && fabs(got - atof(income)) < 0.06); /* JSON keeps to one decimal */
    CHECK(world_counts(&world).changed == 2);
}

static void a_batch_is_hit_value_by_value(void)
{
    SERVING_WORLD(world, err);
    REQUIRE_OK(INJECT(&world, "missing_data", &err, "missing_rate=0.5", "stage=serve"), err);
    ce_autofree char *got =
        send_through(&world, "f-1",
                     "{\"inputs\":[{\"name\":\"age\",\"shape\":[12],\"datatype\":\"INT64\","
                     "\"data\":[1,2,3,4,5,6,7,8,9,10,11,12]}]}");
    REQUIRE(got);
    int nulls = 0;
    for (const char *p = got; (p = strstr(p, "null")); p++)
        nulls++;
    CHECK(nulls > 1 && nulls < 11);
    CHECK(world_counts(&world).eligible == 12 && world_counts(&world).changed == (uint64_t)nulls);
}

static void live_intensity_scales_the_rate(void)
{
    SERVING_WORLD(world, err);
    REQUIRE_OK(INJECT(&world, "missing_data", &err, "missing_rate=0.8", "stage=serve"), err);
    REQUIRE_OK(world.injection.fault->adjust(&world.injection, 0.25, &err), err);
    for (int i = 0; i < 40; i++) {
        char id[16], age[64];
        snprintf(id, sizeof id, "f-%d", i);
        ce_autofree char *got = send_through(&world, id, world_request);
        REQUIRE(got && value_of(got, "age", age, 64) == 0);
        CHECK((strcmp(age, "null") == 0) ==
              ce_unit_selected(42, "missing_data", "age", ce_hash_name(id, strlen(id)), 0.2));
    }
    REQUIRE_OK(world.injection.fault->adjust(&world.injection, 0, &err), err);
    ce_autofree char *got = send_through(&world, "f-1", world_request);
    CHECK_TEXT(got, world_request);
}

/* What scales a magnitude needs another recipe for each intensity. */
static void live_drift_follows_the_intensity(void)
{
    static const struct {
        double intensity;
        int shift;
    } cases[] = {{1, 35}, {0.5, 17}, {0, 0}, {1, 35}}; /* the ages' standard deviation is 17.3 */
    SERVING_WORLD(world, err);
    REQUIRE_OK(INJECT(&world, "distribution_drift", &err, "what=offset", "magnitude=2",
                      "columns=age", "stage=serve"),
               err);
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        char age[64];
        REQUIRE_OK(world.injection.fault->adjust(&world.injection, cases[i].intensity, &err), err);
        ce_autofree char *got = send_through(&world, "f-1", world_request);
        REQUIRE(got && value_of(got, "age", age, 64) == 0);
        CHECK(atoi(age) == 41 + cases[i].shift);
    }
    CHECK(world_counts(&world).changed == 3);
    REQUIRE_OK(world_revert(&world, &err), err);
}

static void live_values_become_outliers(void)
{
    SERVING_WORLD(world, err);
    char age[64], income[64];
    REQUIRE_OK(INJECT(&world, "outlier_injection", &err, "outlier_rate=1", "direction=down",
                      "stage=serve"),
               err);
    ce_autofree char *got = send_through(&world, "f-1", world_request);
    REQUIRE(got && value_of(got, "age", age, 64) == 0 && value_of(got, "income", income, 64) == 0);
    /* Below 46.6 - 3 * 17.3 and 1249.9 - 3 * 144.6, in the form of the old values. */
    CHECK(atoi(age) == -6 && strlen(age) == 2);
    CHECK(atof(income) < 830 && strlen(strchr(income, '.')) == 3);
    REQUIRE_OK(world_revert(&world, &err), err);
}

static void live_faults_without_effect_or_columns_are_found_out(void)
{
    SERVING_WORLD(world, err);
    CHECK(INJECT(&world, "missing_data", &err, "columns=agee", "stage=serve") == -ENOENT);
    CHECK(strstr(err.message, "did you mean 'age'?") != NULL);
    world_forget(&world);
    REQUIRE_OK(ce_file_replace(world.dataset, "a\nx\n", 4, &err), err);
    CHECK(INJECT(&world, "data_corruption", &err, "stage=serve") == -ENODATA);
    CHECK(strstr(err.message, "expected 0.0 hits in 0 cells, found none") != NULL);
    world_forget(&world);
#ifdef CE_SEAMS
    struct ce_evidence evidence;
    REQUIRE_OK(ce_file_replace(world.dataset, "age\n1\n2\n", 8, &err), err);
    setenv("CHAOSEATER_SEAM_NO_EFFECT", "1", 1);
    int injected = INJECT(&world, "missing_data", &err, "stage=serve");
    unsetenv("CHAOSEATER_SEAM_NO_EFFECT");
    REQUIRE_OK(injected, err);
    CHECK(world_verify(&world, &evidence, &err) == 0);
    CHECK(strstr(evidence.text, "0 of 16 probes") != NULL);
    REQUIRE_OK(world_revert(&world, &err), err);
#endif
}

static void stages_say_what_they_need(void)
{
    static const char *const faults[] = {"data_corruption", "missing_data"};
    for (size_t i = 0; i < CE_COUNT(faults); i++) {
        WORLD(world);
        struct ce_error err = {0};
        REQUIRE_OK(world_arm(&world, faults[i], (const char *const[]){"stage=train", NULL}, &err),
                   err);
        CHECK(world.injection.fault->needs_of(world.injection.params) == CE_NEEDS_DATASET);
        CHECK(!world.injection.fault->is_control(world.injection.params));
        world_forget(&world);
        REQUIRE_OK(world_arm(&world, faults[i], (const char *const[]){"stage=serve", NULL}, &err),
                   err);
        CHECK(world.injection.fault->needs_of(world.injection.params) ==
              (CE_NEEDS_COLUMNS | CE_NEEDS_REQUEST_ROUTE));
    }
}

int main(void)
{
    TEST(killed_runs_are_undone); /* first: see status_of() */
    TEST(a_changed_dataset_is_seen_and_put_back);
    TEST(what_has_no_effect_is_found_out);
    TEST(corrupted_cells_keep_their_form);
    TEST(the_label_is_left_alone_unless_it_is_named);
    TEST(one_column_loses_values_but_no_rows);
    TEST(nothing_to_hit_is_said);
    TEST(a_rate_of_zero_is_a_control);
    TEST(a_pipeline_that_cannot_train_is_evidence);
    TEST(a_pipeline_that_keeps_its_old_model_is_not_hit);
    TEST(a_model_left_on_changed_data_is_not_undone);
    TEST(less_intensity_takes_changes_back);
    TEST(the_before_image_helps_where_the_key_does_not);
    TEST(bad_datasets_and_columns_are_one_sentence);
    TEST(live_values_go_missing);
    TEST(live_values_are_corrupted_in_their_form);
    TEST(odd_messages_pass_unharmed);
    TEST(a_batch_is_hit_value_by_value);
    TEST(values_of_any_protocol_are_cells);
    TEST(binary_tensors_are_changed_like_json);
    TEST(live_intensity_scales_the_rate);
    TEST(live_drift_follows_the_intensity);
    TEST(live_values_become_outliers);
    TEST(live_faults_without_effect_or_columns_are_found_out);
    TEST(stages_say_what_they_need);
    return test_done();
}
