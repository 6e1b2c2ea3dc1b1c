/* SPDX-License-Identifier: MIT */
/* The fault prediction_corruption in binary messages, and from several threads at once: the same
 * predictions are hit, and no other byte changes. */
#include "answer_world.h"

/* ---- binary forms ---- */

enum { ROWS = 64 };

/* Exactly the bytes of the rows that the recipe selects differ. `start`: where values begin. */
static void check_bytes(const struct world *world, const struct sent *sent, size_t start,
                        size_t width)
{
    struct ce_recipe recipe = ce_recipe_init(42, "prediction_corruption", "model", NULL);
    uint64_t hits = 0;
    CE_CLEANUP(got_done) struct got got = falsify(world, sent, "f-0");
    REQUIRE(got.size == sent->size && got.json_size == sent->json_size);
    CHECK(memcmp(got.body, sent->body, start) == 0);
    for (size_t i = 0; i < ROWS; i++) {
        bool hit = ce_recipe_hits(&recipe, "f-0", i, 0.3);
        size_t at = start + i * width;
        CHECK((memcmp(got.body + at, sent->body + at, width) != 0) == hit);
        hits += hit;
    }
    CHECK(start + ROWS * width == sent->size);
    CHECK(hits > 8 && hits < 32 && world_count(world).changed == hits);
}

static void only_the_bytes_of_chosen_values_change(void)
{
    float fp32[ROWS];
    double fp64[ROWS];
    int64_t int64[ROWS];
    for (int i = 0; i < ROWS; i++) {
        fp32[i] = (float)i / 256;
        fp64[i] = (double)i / 100;
        int64[i] = i % 2;
    }
    const struct {
        const char *type, *shape;
        const void *raw;
        size_t width;
    } cases[] = {{"FP32", "64", fp32, 4}, {"FP64", "64,1", fp64, 8}, {"INT64", "64", int64, 8}};
    for (size_t i = 0; i < CE_COUNT(cases); i++)
        for (int grpc = 0; grpc < 2; grpc++) {
            size_t size = ROWS * cases[i].width;
            struct sent sent = grpc
                                   ? sent_grpc(cases[i].type, ROWS, 0, 0, cases[i].raw, size)
                                   : sent_binary(cases[i].type, cases[i].shape, cases[i].raw, size);
            WORLD_WITH(world, err, SCORE, "prediction_corruption", "corruption_rate=0.3",
                       "type=flip");
            check_bytes(&world, &sent, sent.size - size, cases[i].width);
        }
}

static void binary_predictions_become_what_they_would_in_json(void)
{
    static const double scores[] = {0.25, 0.5}, pair[] = {0.25, 0.75};
    static const float small[] = {0.25F};
    static const struct {
        const char *datatype, *shape, *type;
        const void *raw;
        size_t size, count;
        double want[2];
    } cases[] = {
        {"FP64", "2", "type=bias", scores, 16, 2, {0.375, 0.75}},
        {"FP64", "1,2", "type=flip", pair, 16, 2, {0.75, 0.25}},
        {"FP64", "1,2", "type=bias", pair, 16, 2, {0.25 / 1.375, 1.125 / 1.375}},
        {"FP64", "2", "type=inf", scores, 16, 2, {INFINITY, INFINITY}},
        {"FP32", "1", "type=flip", small, 4, 1, {0.75}},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++)
        for (int form = 0; form < 3; form++) {
            bool flat = !strchr(cases[i].shape, ',');
            unsigned rows = flat ? (unsigned)cases[i].count : 1, columns = flat ? 0 : 2,
                     field = form == 1            ? 0
                             : cases[i].size == 4 ? 6
                                                  : 7;
            struct sent sent = form == 0 ? sent_binary(cases[i].datatype, cases[i].shape,
                                                       cases[i].raw, cases[i].size)
                                         : sent_grpc(cases[i].datatype, rows, columns, field,
                                                     cases[i].raw, cases[i].size);
            WORLD_WITH(world, err, SCORE, "prediction_corruption", "corruption_rate=1",
                       cases[i].type);
            double numbers[2];
            CHECK(falsify_numbers(&world, &sent, "f-0", numbers, 2) == cases[i].count);
            for (size_t k = 0; k < cases[i].count; k++)
                CHECK(numbers[k] == cases[i].want[k] ||
                      fabs(numbers[k] - cases[i].want[k]) < 1e-15);
            CHECK(world_count(&world).changed == rows);
        }
}

/* A class number of two bytes in the place of one of one byte: three lengths around it grow. */
static void lengths_around_a_value_follow_it(void)
{
    static const char text[] = "\3\0\0\0yes\2\0\0\0no", packed[] = {0, 1, 5};
    struct sent binary = sent_binary("BYTES", "2", text, sizeof text - 1),
                grpc = sent_grpc("INT64", 3, 0, 3, packed, sizeof packed);
    {
        WORLD_WITH(world, err, SCORE, "prediction_corruption", "corruption_rate=1", "type=constant",
                   "value=perhaps");
        CE_CLEANUP(got_done) struct got got = falsify(&world, &binary, "f-0");
        struct ce_values values = {0};
        char json_length[24];
        REQUIRE(got.size == binary.size + 9 && got.json_size == binary.json_size);
        REQUIRE(read_values(&binary, &got, json_length, &values) == 0 && values.count == 2);
        CHECK(ce_slice_is(values.values[0].text, "perhaps"));
        CHECK(ce_slice_is(values.values[1].text, "perhaps"));
        ce_values_done(&values);
    }
    WORLD_WITH(world, err, SCORE, "prediction_corruption", "corruption_rate=1", "type=swap",
               "matrix=5>300, 0>128");
    double numbers[3];
    REQUIRE(falsify_numbers(&world, &grpc, "f-0", numbers, 3) == 3);
    CHECK(numbers[0] == 128 && numbers[1] == 1 && numbers[2] == 300);
}

/* ---- the same for everybody ---- */

enum { REQUESTS = 256, THREADS = 4 };

struct crowd {
    const struct world *world;
    const struct sent *sent;
    char (*made)[256];
    int thread;
};

/* Each thread takes the requests from another place on, all of them. */
static void *ask_all(void *arg)
{
    const struct crowd *crowd = arg;
    for (int k = 0; k < REQUESTS; k++) {
        int i = (k * 7 + crowd->thread * REQUESTS / THREADS) % REQUESTS;
        ce_autofree char *text = falsify_text(crowd->world, crowd->sent, fault_request(i).text);
        if (i % THREADS == crowd->thread)
            snprintf(crowd->made[i], sizeof crowd->made[i], "%s", text);
    }
    return NULL;
}

static void answers_are_the_same_on_any_number_of_threads(void)
{
    static const struct {
        const char *type, *before;
    } cases[] = {
        {"type=random", ANSWER("FP64", "[1]", "[0.5]")},
        {"type=random", ANSWER("FP64", "[1,3]", "[0.2,0.3,0.5]")},
        {"type=flip", ANSWER("INT64", "[2]", "[0,1]")},
    };
    for (size_t c = 0; c < CE_COUNT(cases); c++) {
        struct sent sent = sent_json(OIP_PATH, cases[c].before);
        static char made[REQUESTS][256];
        pthread_t threads[THREADS];
        struct crowd crowds[THREADS];
        WORLD_WITH(world, err, SCORE, "prediction_corruption", "corruption_rate=0.4",
                   cases[c].type);
        for (int i = 0; i < THREADS; i++) {
            crowds[i] = (struct crowd){&world, &sent, made, i};
            REQUIRE(pthread_create(&threads[i], NULL, ask_all, &crowds[i]) == 0);
        }
        for (int i = 0; i < THREADS; i++)
            pthread_join(threads[i], NULL);
        uint64_t rows = c == 2 ? 2 : 1;
        CHECK(world_count(&world).eligible == rows * REQUESTS * THREADS);
        for (int i = 0; i < REQUESTS; i++) {
            ce_autofree char *text = falsify_text(&world, &sent, fault_request(i).text);
            CHECK_TEXT(made[i], text);
        }
    }
}

static void who_is_hit_at_a_rate_is_hit_at_a_higher_one(void)
{
    struct sent sent = sent_json(OIP_PATH, ANSWER("INT64", "[1]", "[1]"));
    bool hit[3][500];
    static const char *const rates[] = {"corruption_rate=0.1", "corruption_rate=0.4",
                                        "corruption_rate=1"};
    int count[3] = {0};
    for (int r = 0; r < 3; r++) {
        WORLD_WITH(world, err, SCORE, "prediction_corruption", rates[r], "type=flip");
        for (int i = 0; i < 500; i++) {
            CE_CLEANUP(got_done) struct got got = falsify(&world, &sent, fault_request(i).text);
            hit[r][i] = got.changed;
            count[r] += got.changed;
            CHECK(r == 0 || !hit[r - 1][i] || hit[r][i]);
        }
    }
    CHECK(count[0] > 25 && count[0] < 80 && count[1] > 160 && count[1] < 240 && count[2] == 500);
}

int main(void)
{
    TEST(only_the_bytes_of_chosen_values_change);
    TEST(binary_predictions_become_what_they_would_in_json);
    TEST(lengths_around_a_value_follow_it);
    TEST(answers_are_the_same_on_any_number_of_threads);
    TEST(who_is_hit_at_a_rate_is_hit_at_a_higher_one);
    return test_done();
}
