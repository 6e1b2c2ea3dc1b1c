/* SPDX-License-Identifier: MIT */
/* Every protocol on what real model servers answered: the predictions are found, and nothing else
 * is taken for one. */
#include "base/cleanup.h"
#include "check.h"
#include "inference/inference.h"
#include "model_answers.h"

struct answer {
    const char *protocol;
    struct ce_slice bytes;
    const char *json_length; /* NULL: no such header */
    bool has_type;           /* the protocol says what type the values are */
    bool is_label;           /* of two rows, else the scores of three classes for each */
};

static struct ce_message message_of(const struct answer *answer)
{
    return (struct ce_message){
        .protocol = ce_protocol_find(answer->protocol),
        .content_type = answer->json_length ? "" : "application/json",
        .json_length = ce_slice_of(answer->json_length ? answer->json_length : ""),
        .body = answer->bytes.data,
        .size = answer->bytes.size,
    };
}

#define ANSWERS 7
static void answers(struct answer ret_all[ANSWERS])
{
    const struct model_answers *recorded = &model_answers;
    ret_all[0] = (struct answer){"mlflow", recorded->mlflow, NULL, false, true};
    ret_all[1] = (struct answer){"kserve_v1", recorded->v1, NULL, false, true};
    ret_all[2] = (struct answer){"kserve_v1", recorded->v1_scores, NULL, false, false};
    ret_all[3] = (struct answer){"oip", recorded->v2, NULL, true, true};
    ret_all[4] = (struct answer){"oip", recorded->v2_scores, NULL, true, false};
    ret_all[5] = (struct answer){"oip", recorded->v2_binary, "153", true, true};
    ret_all[6] = (struct answer){"oip", recorded->v2_binary_scores, "167", true, false};
}

static void the_predictions_are_found(void)
{
    static const double labels[] = {0, 2};
    static const double scores[] = {0.976272599028789,     0.02372721423040181,
                                    1.8674080916256935e-7, 0.00013890734233641048,
                                    0.08522979910332036,   0.9146312935543432};
    struct answer all[ANSWERS];
    answers(all);
    for (size_t i = 0; i < ANSWERS; i++) {
        struct ce_message message = message_of(&all[i]);
        CE_CLEANUP(ce_values_done) struct ce_values values = {0};
        struct ce_error err;
        REQUIRE_OK(ce_message_outputs(&message, &values, &err), err);
        const double *want = all[i].is_label ? labels : scores;
        REQUIRE(values.count == (all[i].is_label ? CE_COUNT(labels) : CE_COUNT(scores)));
        CHECK(values.without_data == 0);
        for (size_t k = 0; k < values.count; k++) {
            const struct ce_value *value = &values.values[k];
            double number = -1;
            CHECK(ce_value_number(value, &number) && number == want[k]);
            CHECK(ce_value_is_label(value) == all[i].is_label);
            CHECK(value->width == values.count / 2 && value->index == k);
            CHECK((value->type.size > 0) == all[i].has_type);
        }
    }
}

static void the_prediction_of_the_first_row_is_its_class(void)
{
    struct answer all[ANSWERS];
    answers(all);
    for (size_t i = 0; i < ANSWERS; i++) {
        struct ce_message message = message_of(&all[i]);
        struct ce_prediction prediction;
        struct ce_error err;
        REQUIRE_OK(ce_message_prediction(&message, &prediction, &err), err);
        CHECK(prediction.is_label);
        CHECK_TEXT(prediction.text, "0");
    }
}

static void an_edit_that_changes_nothing_yields_the_same_bytes(void)
{
    struct answer all[ANSWERS];
    answers(all);
    for (size_t i = 0; i < ANSWERS; i++) {
        struct ce_message message = message_of(&all[i]);
        CE_CLEANUP(ce_values_done) struct ce_values values = {0};
        struct ce_error err;
        struct ce_edit edits[6] = {0};
        REQUIRE_OK(ce_message_outputs(&message, &values, &err), err);
        for (size_t k = 0; k < values.count; k++) {
            edits[k].value = k;
            REQUIRE(ce_edit_copy(&edits[k], &values.values[k], &values.values[k]) == 0);
        }
        struct ce_remade remade;
        REQUIRE_OK(ce_values_apply(&message, &values, edits, values.count, &remade, &err), err);
        CHECK(ce_slice_same((struct ce_slice){remade.body, remade.size}, all[i].bytes));
        free(remade.body);
    }
}

static void errors_hold_no_predictions(void)
{
    const struct answer errors[] = {
        {"mlflow", model_answers.mlflow_error, NULL, false, false},
        {"kserve_v1", model_answers.v1_error, NULL, false, false},
        {"oip", model_answers.v1_error, NULL, false, false},
    };
    for (size_t i = 0; i < CE_COUNT(errors); i++) {
        struct ce_message message = message_of(&errors[i]);
        struct ce_values values = {0};
        struct ce_error err = {0};
        CHECK(ce_message_outputs(&message, &values, &err) == -ENOENT);
        CHECK(err.message[0] != '\0');
    }
}

int main(void)
{
    TEST(the_predictions_are_found);
    TEST(the_prediction_of_the_first_row_is_its_class);
    TEST(an_edit_that_changes_nothing_yields_the_same_bytes);
    TEST(errors_hold_no_predictions);
    return test_done();
}
