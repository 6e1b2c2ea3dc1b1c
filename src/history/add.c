/* SPDX-License-Identifier: MIT */
/* Writing a run: all of it in one transaction. */
#include <math.h>
#include <string.h>
#include <zlib.h>

#include "base/hash.h"
#include "base/json.h"
#include "history/environment.h"
#include "history/history_internal.h"

/* A statement that inserts a row that may be there already, and one that finds it. Both have the
 * same places. */
struct shared_row {
    const char *insert, *find;
};

/* What is to be written, and what it refers to. */
struct entry {
    struct ce_history *history;
    const struct ce_record *record;
    int64_t run, recipe, document, environment; /* 0: none */
    struct ce_error *err;
};

/* ---- what runs share ---- */

typedef void bind_fn(sqlite3_stmt *statement, const void *what);

static int share(const struct entry *entry, const struct shared_row *row, bind_fn *bind,
                 const void *what, int64_t *ret_number)
{
    CE_STATEMENT *insert = NULL;
    CE_STATEMENT *find = NULL;
    CE_TRY(ce_history_prepare(entry->history, row->insert, &insert, entry->err));
    bind(insert, what);
    CE_TRY(ce_history_step(entry->history, insert, entry->err));
    CE_TRY(ce_history_prepare(entry->history, row->find, &find, entry->err));
    bind(find, what);
    CE_TRY(ce_history_step(entry->history, find, entry->err));
    *ret_number = sqlite3_column_int64(find, 0);
    return 0;
}

struct recipe {
    uint64_t seed;
    char *parameters;
};

static void bind_recipe(sqlite3_stmt *statement, const void *what)
{
    const struct recipe *recipe = what;
    (void)sqlite3_bind_int64(statement, 1, (sqlite3_int64)recipe->seed);
    ce_history_bind_text(statement, 2, recipe->parameters);
}

static int share_recipe(struct entry *entry)
{
    static const struct shared_row row = {
        "INSERT OR IGNORE INTO recipe (seed, parameters) VALUES (?1, ?2)",
        "SELECT n FROM recipe WHERE seed = ?1 AND parameters = ?2"};
    ce_autofree char *parameters =
        entry->record->parameters
            ? json_dumps(entry->record->parameters, JSON_COMPACT | JSON_REAL_PRECISION(17))
            : strdup("{}");
    if (!parameters)
        return ce_fail_memory(entry->err);
    struct recipe recipe = {entry->record->seed, parameters};
    return share(entry, &row, bind_recipe, &recipe, &entry->recipe);
}

struct document {
    char sha256[CE_SHA256_HEX];
    const char *text;
};

static void bind_document(sqlite3_stmt *statement, const void *what)
{
    const struct document *document = what;
    ce_history_bind_text(statement, 1, document->sha256);
    ce_history_bind_text(statement, 2, document->text);
}

static int share_document(struct entry *entry, const char *text)
{
    static const struct shared_row row = {
        "INSERT OR IGNORE INTO document (sha256, text) VALUES (?1, ?2)",
        "SELECT n FROM document WHERE sha256 = ?1 AND ?2 IS NOT NULL"};
    struct document document = {.text = text};
    CE_TRY(ce_sha256_data(text, strlen(text), document.sha256, entry->err));
    return share(entry, &row, bind_document, &document, &entry->document);
}

static void bind_surroundings(sqlite3_stmt *statement, const void *what)
{
    const struct ce_surroundings *here = what;
    ce_history_bind_text(statement, 1, here->system.nodename);
    ce_history_bind_text(statement, 2, here->system.release);
    ce_history_bind_text(statement, 3, here->system.machine);
    (void)sqlite3_bind_int64(statement, 4, here->processors);
    ce_history_bind_text(statement, 5, ce_version());
    ce_history_bind_text(statement, 6, here->commit);
}

static int share_environment(struct entry *entry, const struct ce_surroundings *here)
{
    static const struct shared_row row = {
        "INSERT OR IGNORE INTO environment (host, kernel, machine, processors, version, git_commit)"
        " VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        "SELECT n FROM environment WHERE host = ?1 AND kernel = ?2 AND machine = ?3"
        " AND processors = ?4 AND version = ?5 AND git_commit = ?6"};
    return share(entry, &row, bind_surroundings, here, &entry->environment);
}

/* ---- the run itself ---- */

static void bind_reference(sqlite3_stmt *statement, int place, int64_t number)
{
    if (number > 0)
        (void)sqlite3_bind_int64(statement, place, number);
}

/* NULL: not known. */
static const char *time_text(int64_t wall, char text[CE_TIMESTAMP_SIZE])
{
    if (wall == 0)
        return NULL;
    ce_timestamp(wall, text);
    return text;
}

/* "nightly,gpu", as CSV has them. NULL: no memory. */
static char *joined_tags(const json_t *tags)
{
    char *text = NULL;
    size_t size, i;
    json_t *tag;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return NULL;
    json_array_foreach(tags, i, tag) fprintf(out, "%s%s", i > 0 ? "," : "", json_string_value(tag));
    return fclose(out) == 0 ? text : NULL;
}

static void bind_record(sqlite3_stmt *statement, const struct ce_record *record, const char *tags)
{
    ce_history_bind_text(statement, 1, record->id);
    ce_history_bind_text(statement, 2, record->name);
    ce_history_bind_text(statement, 3, record->layer);
    ce_history_bind_text(statement, 4, record->fault_type);
    ce_history_bind_text(statement, 5, ce_status_name(record->status));
    ce_history_bind_text(statement, 6, ce_verdict_name(record->verdict));
    ce_history_bind_number(statement, 7, record->score);
    ce_history_bind_number(statement, 8, record->recovery_time);
    ce_history_bind_number(statement, 9, record->accuracy_degradation);
    ce_history_bind_number(statement, 10, record->pipeline_downtime);
    if (record->measured)
        (void)sqlite3_bind_int64(statement, 11, (sqlite3_int64)record->error_count);
    ce_history_bind_number(statement, 12, record->total_seconds);
    ce_history_bind_text(statement, 15, tags);
    ce_history_bind_text(statement, 16, record->profile);
    ce_history_bind_text(statement, 17, record->pipeline ? record->pipeline : "");
    (void)sqlite3_bind_int(statement, 18, record->repeat);
    (void)sqlite3_bind_int(statement, 19, record->control);
    (void)sqlite3_bind_int(statement, 20, record->verified);
}

/* 0: it is there already. */
static int insert_record(struct entry *entry)
{
    CE_STATEMENT *insert = NULL;
    char started[CE_TIMESTAMP_SIZE], ended[CE_TIMESTAMP_SIZE];
    ce_autofree char *tags = joined_tags(entry->record->tags);
    if (!tags)
        return ce_fail_memory(entry->err);
    CE_TRY(ce_history_prepare(
        entry->history,
        "INSERT OR IGNORE INTO run_record (id, name, layer, fault_type, status, verdict,"
        " resilience_score, recovery_time, accuracy_degradation, pipeline_downtime, error_count,"
        " duration, started_at, ended_at, tags, profile, pipeline, repeat, control, verified,"
        " recipe, document, environment) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11,"
        " ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23)",
        &insert, entry->err));
    bind_record(insert, entry->record, tags);
    const char *since = time_text(entry->record->started_at, started);
    ce_history_bind_text(insert, 13, since ? since : "");
    ce_history_bind_text(insert, 14, time_text(entry->record->ended_at, ended));
    bind_reference(insert, 21, entry->recipe);
    bind_reference(insert, 22, entry->document);
    bind_reference(insert, 23, entry->environment);
    CE_TRY(ce_history_step(entry->history, insert, entry->err));
    entry->run = sqlite3_last_insert_rowid(entry->history->db);
    return sqlite3_changes(entry->history->db) > 0;
}

static int insert_tags(const struct entry *entry)
{
    CE_STATEMENT *insert = NULL;
    size_t i;
    json_t *tag;
    CE_TRY(ce_history_prepare(entry->history,
                              "INSERT OR IGNORE INTO tag (tag, run) VALUES (?1, ?2)", &insert,
                              entry->err));
    json_array_foreach(entry->record->tags, i, tag)
    {
        ce_history_bind_text(insert, 1, json_string_value(tag));
        (void)sqlite3_bind_int64(insert, 2, entry->run);
        CE_TRY(ce_history_step(entry->history, insert, entry->err));
        (void)sqlite3_reset(insert);
    }
    return 0;
}

static int insert_phases(const struct entry *entry)
{
    CE_STATEMENT *insert = NULL;
    CE_TRY(ce_history_prepare(entry->history,
                              "INSERT INTO phase VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
                              &insert, entry->err));
    for (size_t i = 0; i < CE_RECORD_PHASES; i++) {
        const struct ce_phase_summary *phase = &entry->record->phases[i];
        const double latency[] = {phase->p50_ms, phase->p90_ms, phase->p99_ms, phase->max_ms};
        if (phase->operations == 0)
            continue;
        (void)sqlite3_bind_int64(insert, 1, entry->run);
        ce_history_bind_text(insert, 2, ce_record_phase_names[i]);
        (void)sqlite3_bind_int64(insert, 3, (sqlite3_int64)phase->operations);
        (void)sqlite3_bind_int64(insert, 4, (sqlite3_int64)phase->errors);
        (void)sqlite3_bind_int64(insert, 5, (sqlite3_int64)phase->right);
        for (size_t k = 0; k < CE_COUNT(latency); k++)
            ce_history_bind_number(insert, 6 + (int)k, latency[k]);
        CE_TRY(ce_history_step(entry->history, insert, entry->err));
        (void)sqlite3_reset(insert);
    }
    return 0;
}

static int insert_measurement(const struct entry *entry, sqlite3_stmt *insert, const char *metric,
                              const char *phase, double value)
{
    if (!isfinite(value))
        return 0;
    (void)sqlite3_bind_int64(insert, 1, entry->run);
    ce_history_bind_text(insert, 2, metric);
    ce_history_bind_text(insert, 3, phase);
    ce_history_bind_number(insert, 4, value);
    CE_TRY(ce_history_step(entry->history, insert, entry->err));
    (void)sqlite3_reset(insert);
    return 0;
}

static int insert_measurements(const struct entry *entry)
{
    const struct ce_record *record = entry->record;
    bool scored = !isnan(record->score);
    const struct {
        const char *metric;
        double value;
    } plain[] = {
        {"baseline_accuracy", record->baseline_accuracy},
        {"fault_accuracy", record->fault_accuracy},
        {"rollback_seconds", record->rollback_seconds},
        {"lost_downtime", scored ? record->lost_downtime : NAN},
        {"lost_accuracy", scored ? record->lost_accuracy : NAN},
        {"lost_errors", scored ? record->lost_errors : NAN},
    };
    CE_STATEMENT *insert = NULL;
    CE_TRY(ce_history_prepare(entry->history,
                              "INSERT OR REPLACE INTO measurement VALUES (?1, ?2, ?3, ?4)", &insert,
                              entry->err));
    for (size_t i = 0; i < CE_COUNT(plain); i++)
        CE_TRY(insert_measurement(entry, insert, plain[i].metric, "", plain[i].value));
    const char *metric, *phase;
    json_t *phases, *value;
    json_object_foreach(record->custom_metrics, metric, phases)
        json_object_foreach(phases, phase, value) if (json_is_number(value))
            CE_TRY(insert_measurement(entry, insert, metric, phase, json_number_value(value)));
    return 0;
}

static int insert_series(const struct entry *entry, const json_t *series)
{
    CE_STATEMENT *insert = NULL;
    ce_autofree char *text = json_dumps(series, JSON_COMPACT | JSON_REAL_PRECISION(17));
    uLong size = text ? strlen(text) : 0;
    uLongf deflated_size = compressBound(size);
    ce_autofree unsigned char *deflated = malloc(deflated_size);
    if (!text || !deflated ||
        compress(deflated, &deflated_size, (const unsigned char *)text, size) != Z_OK)
        return ce_fail_memory(entry->err);
    CE_TRY(ce_history_prepare(entry->history, "INSERT INTO series VALUES (?1, ?2, ?3)", &insert,
                              entry->err));
    (void)sqlite3_bind_int64(insert, 1, entry->run);
    (void)sqlite3_bind_int64(insert, 2, (sqlite3_int64)size);
    (void)sqlite3_bind_blob(insert, 3, deflated, (int)deflated_size, SQLITE_STATIC);
    return ce_history_step(entry->history, insert, entry->err);
}

static int insert_report(const struct entry *entry)
{
    CE_STATEMENT *insert = NULL;
    ce_autojson json_t *run = ce_record_json(entry->record);
    json_t *series = json_object_get(run, "series");
    if (json_is_object(series))
        CE_TRY(insert_series(entry, series));
    (void)json_object_del(run, "series");
    ce_autofree char *text = run ? json_dumps(run, JSON_COMPACT | JSON_REAL_PRECISION(17)) : NULL;
    if (!text)
        return ce_fail_memory(entry->err);
    CE_TRY(ce_history_prepare(entry->history, "INSERT INTO report VALUES (?1, ?2)", &insert,
                              entry->err));
    (void)sqlite3_bind_int64(insert, 1, entry->run);
    ce_history_bind_text(insert, 2, text);
    return ce_history_step(entry->history, insert, entry->err);
}

/* 0: it is there already. */
static int insert_all(struct entry *entry, const char *document, const struct ce_surroundings *here)
{
    CE_TRY(share_recipe(entry));
    if (document)
        CE_TRY(share_document(entry, document));
    if (here)
        CE_TRY(share_environment(entry, here));
    int r = insert_record(entry);
    if (r <= 0)
        return r;
    CE_TRY(insert_tags(entry));
    CE_TRY(insert_phases(entry));
    CE_TRY(insert_measurements(entry));
    CE_TRY(insert_report(entry));
    return 1;
}

int ce_history_add(struct ce_history *history, const struct ce_record *record, const char *document,
                   const struct ce_surroundings *here, struct ce_error *err)
{
    struct entry entry = {.history = history, .record = record, .err = err};
    if (!sqlite3_get_autocommit(history->db)) /* one of many: ce_history_begin() */
        return insert_all(&entry, document, here);
    CE_TRY(ce_history_begin(history, err));
    int r = insert_all(&entry, document, here), ended = ce_history_end(history, r > 0, err);
    return ended < 0 && r > 0 ? ended : r;
}

int ce_history_begin(struct ce_history *history, struct ce_error *err)
{
    return ce_history_run(history, "BEGIN IMMEDIATE", err);
}

int ce_history_end(struct ce_history *history, bool keep, struct ce_error *err)
{
    int r = keep ? ce_history_run(history, "COMMIT", err) : 0;
    if (r < 0 || !keep)
        (void)sqlite3_exec(history->db, "ROLLBACK", NULL, NULL, NULL);
    return r;
}
