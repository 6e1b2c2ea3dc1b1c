/* SPDX-License-Identifier: MIT */
/* The fault model_drift: its arithmetic, how far it has come with which prediction, and what that
 * does to it. */
#include "answer_world.h"
#include "faults/model/distribution.h"
#include "faults/model/drift_shape.h"

/* ---- arithmetic ---- */

static double sum_of(const double *p)
{
    return ce_distribution_sum(p, 3);
}

static void distributions_keep_their_sum(void)
{
    double p[3] = {0.2, 0.3, 0.5};
    CHECK(ce_distribution_is(p, 3) && ce_distribution_winner(p, 3) == 2);
    ce_distribution_shift(p, 3, 0, 0.5);
    CHECK(fabs(p[0] - 0.6) < 1e-15 && fabs(p[2] - 0.25) < 1e-15 && fabs(sum_of(p) - 1) < 1e-15);
    ce_distribution_temper(p, 3, 0);
    CHECK(fabs(p[0] - p[1]) < 1e-15 && fabs(p[2] - p[1]) < 1e-15 && fabs(sum_of(p) - 1) < 1e-15);
    double q[3] = {0.1, 0, 0.9};
    ce_distribution_temper(q, 3, 0.5);
    CHECK(q[1] == 0 && fabs(q[2] / q[0] - 3) < 1e-14 && fabs(sum_of(q) - 1) < 1e-15);
    double r[3] = {-0.5, 0.5, 1.5}, none[3] = {-1, -2, 0}, nan[3] = {NAN, 0.5, 0.5};
    CHECK(ce_distribution_mend(r, 3, 1) && r[0] == 0 && r[1] == 0.25 && r[2] == 0.75);
    CHECK(!ce_distribution_mend(none, 3, 1));
    CHECK(!ce_distribution_is(nan, 3) && !ce_distribution_is(p, 1) && !ce_distribution_is(none, 3));
    CHECK(ce_distribution_class(-1, 3) == 2 && ce_distribution_class(3, 3) == -1);
}

static void drifts_take_the_course_of_their_type(void)
{
    static const struct {
        struct ce_drift_shape shape;
        uint64_t n;
        double degradation, share;
    } cases[] = {
        {{CE_DRIFT_GRADUAL, 0.1, 0.001, 0, 0, 2}, 0, 0, 1},
        {{CE_DRIFT_GRADUAL, 0.1, 0.001, 0, 0, 2}, 50, 0.05, 1},
        {{CE_DRIFT_GRADUAL, 0.1, 0.001, 0, 0, 2}, 100, 0.1, 1},
        {{CE_DRIFT_GRADUAL, 0.1, 0.001, 0, 0, 2}, 1000000, 0.1, 1},
        {{CE_DRIFT_GRADUAL, 0.1, 0.001, 40, 0, 2}, 39, 0, 1},
        {{CE_DRIFT_GRADUAL, 0.1, 0.001, 40, 0, 2}, 50, 0.01, 1},
        {{CE_DRIFT_GRADUAL, 0.3, 0.001, 100, 40, 2}, 100, 0.3, 0.5},
        {{CE_DRIFT_GRADUAL, 0.3, 0.001, 100, 40, 2}, 110, 0.3, 0.7310585786300049},
        {{CE_DRIFT_GRADUAL, 0.3, 0.001, 100, 40, 2}, 90, 0.3, 0.2689414213699951},
        {{CE_DRIFT_SUDDEN, 0.2, 0.001, 0, 0, 2}, 0, 0.2, 1},
        {{CE_DRIFT_SUDDEN, 0.2, 0.001, 10, 0, 2}, 9, 0, 1},
        {{CE_DRIFT_SUDDEN, 0.2, 0.001, 10, 0, 2}, 10, 0.2, 1},
        {{CE_DRIFT_INCREMENTAL, 0.2, 0.001, 10, 100, 2}, 10, 0, 1},
        {{CE_DRIFT_INCREMENTAL, 0.2, 0.001, 10, 100, 2}, 60, 0.1, 1},
        {{CE_DRIFT_INCREMENTAL, 0.2, 0.001, 10, 100, 2}, 110, 0.2, 1},
        {{CE_DRIFT_INCREMENTAL, 0.2, 0.001, 10, 100, 2}, 111, 0.2, 1},
        {{CE_DRIFT_RECURRING, 0.2, 0.001, 10, 0, 6}, 9, 0, 1},
        {{CE_DRIFT_RECURRING, 0.2, 0.001, 10, 0, 6}, 10, 0.2, 1},
        {{CE_DRIFT_RECURRING, 0.2, 0.001, 10, 0, 6}, 12, 0.2, 1},
        {{CE_DRIFT_RECURRING, 0.2, 0.001, 10, 0, 6}, 13, 0, 1},
        {{CE_DRIFT_RECURRING, 0.2, 0.001, 10, 0, 6}, 15, 0, 1},
        {{CE_DRIFT_RECURRING, 0.2, 0.001, 10, 0, 6}, 16, 0.2, 1},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        const struct ce_drift_shape *shape = &cases[i].shape;
        CHECK(fabs(ce_drift_degradation(shape, cases[i].n) - cases[i].degradation) < 1e-15);
        CHECK(fabs(ce_drift_share(shape, cases[i].n) - cases[i].share) < 1e-15);
        uint64_t height = (uint64_t)ce_drift_height(shape);
        CHECK(fabs(ce_drift_degradation(shape, height) - shape->rate) < 1e-15);
        CHECK(ce_drift_share(shape, height) > 0.999);
    }
    struct ce_drift_shape slow = {CE_DRIFT_GRADUAL, 1, 1e-300, 0, 0, 2};
    CHECK(ce_drift_height(&slow) == (int64_t)1e15);
}

/* ---- the course of a run ---- */

/* What becomes of one score at the n-th prediction of the fault phase; NaN: unreadable. */
static double score_at(const struct world *world, const struct sent *sent, int n)
{
    double number = NAN;
    (void)falsify_numbers(world, sent, fault_request(n).text, &number, 1);
    return number;
}

/* Standard deviation of the n-th prediction from what the model said, over batches of rows. */
static double spread_at(const struct world *world, int n)
{
    enum { ROWS = 512 };
    static double raw[ROWS], numbers[ROWS];
    double sum = 0;
    for (int i = 0; i < ROWS; i++)
        raw[i] = 0.5;
    struct sent sent = sent_binary("FP64", "512", raw, sizeof raw);
    if (falsify_numbers(world, &sent, fault_request(n).text, numbers, ROWS) != ROWS)
        return NAN;
    for (int i = 0; i < ROWS; i++)
        sum += (numbers[i] - 0.5) * (numbers[i] - 0.5);
    return sqrt(sum / ROWS);
}

static void gradual_drift_grows_with_each_prediction(void)
{
    WORLD_WITH(world, err, SCORE, "model_drift", "drift_rate=0.1");
    CHECK(spread_at(&world, 0) == 0);
    CHECK(fabs(spread_at(&world, 50) - 0.05) < 0.006);
    CHECK(fabs(spread_at(&world, 100) - 0.1) < 0.012);
    CHECK(fabs(spread_at(&world, 1000) - 0.1) < 0.012);
    CHECK(world_count(&world).eligible == 4 * 512 && world_count(&world).selected == 3 * 512);
    REQUIRE_OK(world.injection.fault->adjust(&world.injection, 0.5, &err), err);
    CHECK(fabs(spread_at(&world, 1000) - 0.05) < 0.006);
    REQUIRE_OK(world.injection.fault->adjust(&world.injection, 0, &err), err);
    CHECK(spread_at(&world, 1000) == 0);
}

static void other_drifts_come_and_go(void)
{
    static const struct {
        const char *type, *more;
        int n;
        double spread;
    } cases[] = {
        {"drift_type=sudden", "position=10", 9, 0},
        {"drift_type=sudden", "position=10", 10, 0.1},
        {"drift_type=sudden", "position=0", 0, 0.1},
        {"drift_type=incremental", "width=100", 0, 0},
        {"drift_type=incremental", "width=100", 50, 0.05},
        {"drift_type=incremental", "width=100", 100, 0.1},
        {"drift_type=recurring", "period=20", 9, 0.1},
        {"drift_type=recurring", "period=20", 10, 0},
        {"drift_type=recurring", "period=20", 20, 0.1},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        WORLD_WITH(world, err, SCORE, "model_drift", "drift_rate=0.1", cases[i].type,
                   cases[i].more);
        CHECK(fabs(spread_at(&world, cases[i].n) - cases[i].spread) < 0.012);
    }
}

/* How many of the requests [from, to) get another answer than the model's. */
static int changed_between(const struct world *world, const struct sent *sent, int from, int to)
{
    int changed = 0;
    for (int i = from; i < to; i++) {
        CE_CLEANUP(got_done) struct got got = falsify(world, sent, fault_request(i).text);
        changed += got.changed;
    }
    return changed;
}

static void a_mixture_has_more_and_more_of_the_new_concept(void)
{
    struct sent sent = sent_json(OIP_PATH, SCORE);
    WORLD_WITH(world, err, SCORE, "model_drift", "drift_rate=0.2", "position=1000", "width=400");
    int before = changed_between(&world, &sent, 0, 400),
        around = changed_between(&world, &sent, 800, 1200),
        after = changed_between(&world, &sent, 1600, 2000);
    CHECK(before < 4);
    CHECK(around > 160 && around < 240);
    CHECK(after > 396);
}

/* ---- what it does ---- */

/* What becomes of an answer's text at the height of a sudden drift. */
#define CHECK_MADE(path, before, after, ...)                                                       \
    do {                                                                                           \
        struct sent sent_ = sent_json(path, before);                                               \
        WORLD_WITH(world_, err_, SCORE, "model_drift", "drift_type=sudden", __VA_ARGS__);          \
        ce_autofree char *made_ = falsify_text(&world_, &sent_, "f-7");                            \
        CHECK_TEXT(made_, after);                                                                  \
    } while (0)

static void operators_change_digits_and_nothing_else(void)
{
    CHECK_MADE(OIP_PATH, ANSWER("FP64", "[1]", "[40]"), ANSWER("FP64", "[1]", "[50]"),
               "operator=scale", "drift_rate=0.5", "amount=0.5");
    CHECK_MADE(OIP_PATH, ANSWER("FP32", "[2]", "[40.5, -1]"), ANSWER("FP32", "[2]", "[38.5, -3]"),
               "operator=bias", "drift_rate=0.5", "amount=-4");
    CHECK_MADE(OIP_PATH, ANSWER("FP64", "[1]", "[0.5]"), ANSWER("FP64", "[1]", "[0.75]"),
               "operator=shift", "drift_rate=0.5");
    CHECK_MADE(OIP_PATH, ANSWER("FP64", "[1]", "[0.5]"), ANSWER("FP64", "[1]", "[0.25]"),
               "operator=shift", "drift_rate=0.5", "class=0");
    CHECK_MADE(TORCH_PATH, "{\"cat\": 0.5, \"dog\": 0.5}", "{\"cat\": 0.75, \"dog\": 0.25}",
               "operator=shift", "drift_rate=0.5", "class=0");
    CHECK_MADE(KSERVE_PATH, "{\"predictions\": [[0.25, 0.75]]}",
               "{\"predictions\": [[0.75, 0.25]]}", "operator=swap", "drift_rate=1");
    CHECK_MADE(KSERVE_PATH, "{\"predictions\": [0.8312]}", "{\"predictions\": [0.1688]}",
               "operator=swap", "drift_rate=1");
    CHECK_MADE(KSERVE_PATH, "{\"predictions\": [1, 0]}", "{\"predictions\": [0, 1]}",
               "operator=noise", "drift_rate=1");
    CHECK_MADE(KSERVE_PATH, "{\"predictions\": [[0.25, 0.75]]}", "{\"predictions\": [[0.5, 0.5]]}",
               "operator=temperature", "drift_rate=1");
    CHECK_MADE(KSERVE_PATH, "{\"predictions\": [0.9]}", "{\"predictions\": [0.75]}",
               "operator=temperature", "drift_rate=0.5");
    CHECK_MADE(KSERVE_PATH, "{\"predictions\": [3]}", "{\"predictions\": [4]}", "operator=shift",
               "drift_rate=1", "class=4");
}

static void operators_say_what_they_cannot_change(void)
{
    static const struct {
        const char *operator, * before, *reason;
    } cases[] = {
        {"operator=scale", "{\"predictions\": [3]}", "label"},
        {"operator=bias", "{\"predictions\": [[0.5, 0.5]]}", "distribution"},
        {"operator=temperature", "{\"predictions\": [\"a\"]}", "label"},
        {"operator=temperature", "{\"predictions\": [3.5]}", "no probability"},
        {"operator=shift", "{\"predictions\": [3.5]}", "no probability"},
        {"operator=shift", "{\"predictions\": [3]}", "no such class"},
        {"operator=temperature", "{\"predictions\": [[0.5, 0.5]]}", "no change"},
        {"operator=noise", "{\"predictions\": [\"a\"]}", "no change"},
        {"operator=noise", "{\"error\": \"busy\"}", "unreadable"},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        struct sent sent = sent_json(KSERVE_PATH, cases[i].before);
        WORLD_WITH(world, err, SCORE, "model_drift", "drift_type=sudden", "drift_rate=1",
                   cases[i].operator);
        CE_CLEANUP(got_done) struct got got = falsify(&world, &sent, "f-7");
        CHECK(!got.changed && world_count(&world).changed == 0);
        CHECK(skipped(&world, cases[i].reason) == 1);
    }
}

static void noise_leaves_predictions_what_they_are(void)
{
    struct sent score = sent_json(KSERVE_PATH, "{\"predictions\": [0.95]}"),
                price = sent_json(KSERVE_PATH, "{\"predictions\": [250000.0]}"),
                classes = sent_json(KSERVE_PATH, "{\"predictions\": [[0.9, 0.1, 0.0]]}");
    WORLD_WITH(world, err, SCORE, "model_drift", "drift_type=sudden", "drift_rate=0.2");
    double square = 0;
    for (int i = 0; i < 300; i++) {
        double p[3], at = score_at(&world, &score, i), cost = score_at(&world, &price, i);
        CHECK(at >= 0 && at <= 1);
        square += (cost / 250000 - 1) * (cost / 250000 - 1);
        CHECK(falsify_numbers(&world, &classes, fault_request(i).text, p, 3) == 3);
        CHECK(p[0] >= 0 && p[1] >= 0 && p[2] >= 0 && fabs(sum_of(p) - 1) < 1e-12);
    }
    CHECK(fabs(sqrt(square / 300) - 0.2) < 0.025);
    WORLD_WITH(free, free_err, SCORE, "model_drift", "drift_type=sudden", "drift_rate=0.2",
               "keep_range=false");
    int outside = 0;
    for (int i = 0; i < 300; i++)
        outside += score_at(&free, &score, i) > 1;
    CHECK(outside > 90 && outside < 150);
}

static void labels_are_replaced_with_the_probability_of_the_degradation(void)
{
    struct sent sent = sent_json(OIP_PATH, ANSWER("INT64", "[1]", "[1]"));
    static const char *const rates[] = {"drift_rate=0.1", "drift_rate=0.4"};
    static bool hit[2][2000];
    for (int r = 0; r < 2; r++) {
        int changed = 0;
        WORLD_WITH(world, err, SCORE, "model_drift", "drift_type=sudden", rates[r]);
        for (int i = 0; i < 2000; i++) {
            CE_CLEANUP(got_done) struct got got = falsify(&world, &sent, fault_request(i).text);
            hit[r][i] = got.changed;
            changed += got.changed;
            CHECK(r == 0 || !hit[0][i] || hit[1][i]);
        }
        double want = r == 0 ? 200 : 800;
        CHECK(fabs(changed - want) < 70);
        CHECK(world_count(&world).selected == (uint64_t)changed);
        CHECK(world_count(&world).eligible == 2000);
    }
}

/* ---- on the wire, and proven ---- */

static void drift_is_seen_at_once_and_gone_after_revert(void)
{
    WORLD(world, err, SCORE);
    static const struct {
        const char *type, *more;
    } cases[] = {
        {"drift_type=gradual", "growth=0.000001"},    {"drift_type=gradual", "width=50000"},
        {"drift_type=gradual", "position=400000000"}, {"drift_type=sudden", "position=0"},
        {"drift_type=incremental", "width=100000"},   {"drift_type=recurring", "period=2"},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        REQUIRE_OK(
            INJECT(&world, "model_drift", &err, "drift_rate=0.05", cases[i].type, cases[i].more),
            err);
        CHECK(world_verify(&world, &err) == 1);
        CHECK(world_count(&world).eligible == 0);
        CHECK(world_verify_undo(&world, NULL) == -EIO);
        REQUIRE_OK(world_revert(&world, &err), err);
        REQUIRE_OK(world_verify_undo(&world, &err), err);
        ce_autofree char *body = ask_body(&world, "f-500");
        CHECK_TEXT(body, SCORE);
        world_forget(&world);
    }
}

static void drift_of_labels_is_seen_at_a_low_rate(void)
{
    WORLD_WITH(world, err, ANSWER("INT64", "[1]", "[1]"), "model_drift", "drift_rate=0.01");
    CHECK(world_verify(&world, &err) == 1);
}

static void an_armed_drift_that_does_nothing_is_not_seen(void)
{
    WORLD_WITH(world, err, ANSWER("INT64", "[1]", "[1]"), "model_drift", "operator=scale");
    CHECK(world_verify(&world, &err) == 0);
}

static void requests_drift_by_their_number_whatever_their_order(void)
{
    char bodies[2][40][160];
    for (int backwards = 0; backwards < 2; backwards++) {
        WORLD_WITH(world, err, SCORE, "model_drift", "growth=0.01");
        for (int k = 0; k < 40; k++) {
            int i = backwards ? 39 - k : k;
            ce_autofree char *body = ask_body(&world, fault_request(i).text);
            snprintf(bodies[backwards][i], sizeof bodies[backwards][i], "%s", body);
        }
        CHECK_TEXT(bodies[backwards][0], SCORE);
    }
    int differ = 0;
    for (int i = 0; i < 40; i++) {
        CHECK_TEXT(bodies[0][i], bodies[1][i]);
        differ += strcmp(bodies[0][i], SCORE) != 0;
    }
    CHECK(differ == 39);
}

/* ---- parameters ---- */

static void check_parameters(const char *const *assignments, const char *says, bool control)
{
    const struct ce_fault *fault = ce_fault_find("model_drift");
    struct ce_error err = {0};
    ce_autofree void *params = calloc(1, fault->params_size);
    REQUIRE_OK(ce_params_init(fault->params, params, &err), err);
    for (; *assignments; assignments++) {
        char name[32];
        snprintf(name, sizeof name, "%.*s", (int)strcspn(*assignments, "="), *assignments);
        REQUIRE_OK(ce_param_set(ce_param_find(fault->params, name), params,
                                strchr(*assignments, '=') + 1, &err),
                   err);
    }
    CHECK(fault->check(params, &err) == (says ? -EINVAL : 0));
    CHECK_TEXT(err.message, says ? says : "");
    CHECK(says || fault->is_control(params) == control);
    ce_params_done(fault->params, params);
}
#define CHECK_REFUSED(says, ...)                                                                   \
    check_parameters((const char *const[]){__VA_ARGS__, NULL}, says, false)
#define CHECK_CONTROL(control, ...)                                                                \
    check_parameters((const char *const[]){__VA_ARGS__, NULL}, NULL, control)

static void parameters_go_with_the_type_that_uses_them(void)
{
    CHECK_REFUSED("width: drift_type incremental takes a width of 1 or more",
                  "drift_type=incremental");
    CHECK_REFUSED("width: only gradual and incremental drift have one, and drift_type is sudden",
                  "drift_type=sudden", "width=5");
    CHECK_REFUSED("growth: only gradual drift without a width grows by it, and drift_type is "
                  "gradual, with a width",
                  "width=5", "growth=0.1");
    CHECK_REFUSED("period: only recurring drift has one, and drift_type is gradual", "period=5");
    CHECK_REFUSED("class: only operator shift favours a class, and operator is noise", "class=1");
    CHECK_REFUSED("amount: only operators scale and bias take one, and operator is swap",
                  "operator=swap", "amount=2");
    CHECK_REFUSED("keep_range: only operator noise keeps it, and operator is shift",
                  "operator=shift", "keep_range=false");
    CHECK_CONTROL(false, "drift_rate=0.1");
    CHECK_CONTROL(true, "drift_rate=0");
    CHECK_CONTROL(true, "share=0");
    CHECK_CONTROL(true, "growth=0");
    CHECK_CONTROL(true, "operator=bias", "amount=0");
}

int main(void)
{
    TEST(distributions_keep_their_sum);
    TEST(drifts_take_the_course_of_their_type);
    TEST(gradual_drift_grows_with_each_prediction);
    TEST(other_drifts_come_and_go);
    TEST(a_mixture_has_more_and_more_of_the_new_concept);
    TEST(operators_change_digits_and_nothing_else);
    TEST(operators_say_what_they_cannot_change);
    TEST(noise_leaves_predictions_what_they_are);
    TEST(labels_are_replaced_with_the_probability_of_the_degradation);
    TEST(drift_is_seen_at_once_and_gone_after_revert);
    TEST(drift_of_labels_is_seen_at_a_low_rate);
    TEST(an_armed_drift_that_does_nothing_is_not_seen);
    TEST(requests_drift_by_their_number_whatever_their_order);
    TEST(parameters_go_with_the_type_that_uses_them);
    return test_done();
}
