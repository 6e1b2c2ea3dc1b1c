/* SPDX-License-Identifier: MIT */
/* A record survives the way to JSON and back: random ones, and what is no record is refused. */
#include <math.h>
#include <signal.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/random.h"
#include "check.h"
#include "observers/record.h"
#include "rollback/rollback.h"

struct dice {
    struct ce_stream stream;
    uint64_t n;
};

static uint32_t below(struct dice *dice, uint32_t bound)
{
    return ce_stream_below(&dice->stream, dice->n++, bound);
}

static bool flip(struct dice *dice)
{
    return below(dice, 2) == 1;
}

static double number(struct dice *dice)
{
    return below(dice, 4) == 0 ? NAN : ce_stream_uniform(&dice->stream, dice->n++) * 1000;
}

/* Any characters but NUL, four-byte ones, quotes and controls among them; sometimes none at all. */
static char *words(struct dice *dice)
{
    static const char *const pieces[] = {
        "a",   "0", " ", "\"", "\\", "\n", "\t", "\x01", "\x7f", "µ", "\xf0\x9f\x98\x80",
        "]]>", "%", ",", "::", "<b>"};
    char text[128] = "";
    for (uint32_t i = below(dice, 12); i > 0; i--)
        strcat(text, pieces[below(dice, CE_COUNT(pieces))]);
    return strdup(text);
}

static char *maybe(struct dice *dice)
{
    return flip(dice) ? words(dice) : NULL;
}

static json_t *thing(struct dice *dice)
{
    ce_autofree char *key = words(dice), *value = words(dice);
    return json_pack("{s:s, s:[i, f, n, b], s:{s:i}}", key, value, "list", (int)below(dice, 9),
                     (double)below(dice, 1000) / 7, flip(dice), "within", "deep",
                     (int)below(dice, 100));
}

static void roll_phase(struct dice *dice, struct ce_phase_summary *phase)
{
    bool any = flip(dice);
    phase->operations = any ? 1 + below(dice, 1000000) : 0;
    phase->errors = any ? below(dice, 1000) : 0;
    phase->right = any ? below(dice, 1000) : 0;
    phase->p50_ms = any ? number(dice) : NAN;
    phase->p90_ms = any ? number(dice) : NAN;
    phase->p99_ms = any ? number(dice) : NAN;
    phase->max_ms = any ? number(dice) : NAN;
}

static void roll_measurements(struct dice *dice, struct ce_record *record)
{
    record->recovery_time = number(dice);
    record->accuracy_degradation = number(dice);
    record->pipeline_downtime = number(dice);
    record->measured = flip(dice);
    record->error_count = record->measured ? below(dice, 100000) : 0;
    record->baseline_accuracy = number(dice);
    record->fault_accuracy = number(dice);
    record->custom_metrics = flip(dice) ? thing(dice) : NULL;
    for (size_t i = 0; i < CE_RECORD_PHASES; i++)
        roll_phase(dice, &record->phases[i]);
    record->score = number(dice);
    record->lost_downtime = below(dice, 40);
    record->lost_accuracy = below(dice, 30);
    record->lost_errors = below(dice, 30);
    record->fault_counts = flip(dice) ? thing(dice) : NULL;
}

static void roll_ending(struct dice *dice, struct ce_record *record)
{
    static const char *const strategies[] = {"immediate", "gradual", NULL};
    static const char *const skips[] = {"preflight", "baseline", "dry_run"};
    record->status = below(dice, CE_STATUS_DIRTY + 1);
    record->verdict = below(dice, CE_VERDICT_INVALID + 1);
    record->reason = words(dice);
    if (record->status == CE_STATUS_SKIPPED)
        record->skip_reason = skips[below(dice, CE_COUNT(skips))];
    if (record->status == CE_STATUS_INTERRUPTED)
        record->signal = flip(dice) ? SIGINT : SIGTERM;
    record->control = flip(dice);
    record->verified = flip(dice);
    record->verification = maybe(dice);
    record->rolled_back_by = strategies[below(dice, CE_COUNT(strategies))];
    record->step_count = below(dice, 4);
    record->steps = calloc(4, sizeof *record->steps);
    for (size_t i = 0; i < record->step_count; i++)
        record->steps[i] =
            (struct ce_rollback_step){.at = number(dice),
                                      .intensity = number(dice),
                                      .healthy = flip(dice),
                                      .event = flip(dice) ? ce_rollback_event("half_open") : NULL};
    record->rollback_seconds = number(dice);
    record->rollback_verified = flip(dice);
    record->rollback_reason = maybe(dice);
    record->started_at = (int64_t)below(dice, 2000000000) * CE_SECOND + 123 * CE_MILLISECOND;
    record->ended_at = flip(dice) ? record->started_at + below(dice, 100000) * CE_MILLISECOND : 0;
    record->total_seconds = below(dice, 1000) / 8.0;
}

static void roll(struct dice *dice, struct ce_record *record)
{
    static const char *const kinds[] = {"embedded", "http", "command"};
    snprintf(record->id, sizeof record->id, "run-%u", below(dice, 1000));
    record->name = words(dice);
    record->layer = words(dice);
    record->fault_type = words(dice);
    record->strategy = strdup("auto");
    record->parameters = flip(dice) ? thing(dice) : NULL;
    record->duration = below(dice, 1000) / 4.0;
    record->pipeline = kinds[below(dice, CE_COUNT(kinds))];
    record->profile = maybe(dice);
    record->url = maybe(dice);
    record->command = maybe(dice);
    record->protocol = flip(dice) ? "oip" : NULL;
    record->seed = (uint64_t)below(dice, UINT32_MAX) << 32 | below(dice, UINT32_MAX);
    record->repeat = (int)below(dice, 3);
    roll_ending(dice, record);
    roll_measurements(dice, record);
    record->isolation = maybe(dice);
    record->target = maybe(dice);
    record->tags = flip(dice) ? json_pack("[s, s]", "nightly", "\xc2\xb5 ,\"") : NULL;
    record->steady_state = flip(dice) ? json_pack("[o, o]", thing(dice), thing(dice)) : NULL;
    record->stopped_by = flip(dice) ? thing(dice) : NULL;
    record->blast_radius = flip(dice) ? thing(dice) : NULL;
    record->series = flip(dice) ? thing(dice) : NULL;
}

/* ---- tests ---- */

/* By way of a file, which is how it comes from elsewhere. */
static json_t *through_text(const json_t *json)
{
    struct ce_error err = {0};
    ce_autofree char *text = ce_json_exact_text(json);
    return text ? ce_json_parse(text, strlen(text), "run", &err) : NULL;
}

static void a_record_comes_back_from_its_json(void)
{
    struct dice dice = {.stream = ce_stream_init(20261123, "test_report_record", "")};
    for (int i = 0; i < 2000; i++) {
        CE_CLEANUP(ce_record_done) struct ce_record record = {0}, back = {0};
        struct ce_error err = {0};
        roll(&dice, &record);
        ce_autojson json_t *json = ce_record_json(&record);
        REQUIRE(json);
        ce_autojson json_t *parsed = through_text(json);
        REQUIRE(parsed);
        REQUIRE_OK(ce_record_read(parsed, &back, &err), err);
        ce_autojson json_t *again = ce_record_json(&back);
        REQUIRE(again);
        ce_autofree char *one = ce_json_exact_text(json), *other = ce_json_exact_text(again);
        CHECK_TEXT(other, one);
        CHECK(back.signal == record.signal && back.seed == record.seed &&
              back.repeat == record.repeat && back.measured == record.measured &&
              back.started_at == record.started_at && back.step_count == record.step_count);
    }
}

/* All keys of an object tree, each removed or turned into something else: never a crash, and what
 * fails has a sentence. A key that was removed comes back as the last one: the copy keeps its
 * order.
 */
static void check_without(json_t *root, json_t *object)
{
    const char *key;
    json_t *value;
    ce_autojson json_t *copy = json_copy(object);
    json_object_foreach(copy, key, value)
    {
        for (int wrong = 0; wrong < 4; wrong++) {
            struct ce_record record;
            struct ce_error err = {0};
            if (wrong == 0)
                json_object_del(object, key);
            else
                json_object_set_new(object, key,
                                    wrong == 1   ? json_integer(-1)
                                    : wrong == 2 ? json_string("?")
                                                 : json_pack("[{s:i}]", "x", 1));
            int r = ce_record_read(root, &record, &err);
            CHECK(r == 0 || (r == -EINVAL && err.message[0] != '\0'));
            if (r == 0)
                ce_record_done(&record);
        }
        json_object_set(object, key, value);
        if (json_is_object(value))
            check_without(root, value);
    }
}

static void what_is_no_record_is_refused(void)
{
    struct dice dice = {.stream = ce_stream_init(7, "test_report_record", "")};
    CE_CLEANUP(ce_record_done) struct ce_record record = {0};
    roll(&dice, &record);
    ce_autojson json_t *json = ce_record_json(&record);
    REQUIRE(json);
    check_without(json, json);

    static const struct {
        const char *text, *says;
    } cases[] = {
        {"[]", "a run is an object"},
        {"{}", "a run without \"id\""},
        {"{\"id\": \"x\", \"experiment\": {\"name\": 3}}", "\"experiment.name\" is not a text"},
        {"{\"id\": \"x\", \"experiment\": {}}", "a run without \"experiment.name\""},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        struct ce_record none;
        struct ce_error err = {0};
        ce_autojson json_t *run = json_loads(cases[i].text, 0, NULL);
        CHECK(ce_record_read(run, &none, &err) == -EINVAL);
        CHECK(strstr(err.message, cases[i].says) != NULL);
    }
}

/* Reports that were written before a key was thought of. */
static void keys_that_came_later_may_be_absent(void)
{
    struct dice dice = {.stream = ce_stream_init(8, "test_report_record", "")};
    CE_CLEANUP(ce_record_done) struct ce_record record = {0}, back = {0};
    struct ce_error err = {0};
    roll(&dice, &record);
    ce_autojson json_t *json = ce_record_json(&record);
    static const char *const later[] = {"signal", "steady_state", "stopped_by", "blast_radius"};
    for (size_t i = 0; i < CE_COUNT(later); i++)
        CHECK(json_object_del(json, later[i]) == 0);
    CHECK(json_object_del(json_object_get(json, "experiment"), "tags") == 0);
    CHECK(json_object_del(json_object_get(json, "metrics"), "failed_operations") == 0);
    CHECK(json_object_del(json_object_get(json, "rollback"), "reason") == 0);
    REQUIRE_OK(ce_record_read(json, &back, &err), err);
    CHECK(!back.steady_state && !back.tags && back.signal == 0);
}

int main(void)
{
    TEST(a_record_comes_back_from_its_json);
    TEST(what_is_no_record_is_refused);
    TEST(keys_that_came_later_may_be_absent);
    return test_done();
}
