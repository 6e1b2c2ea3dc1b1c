/* SPDX-License-Identifier: MIT */
/* The binary tensor extension of the Open Inference Protocol: JSON, and raw tensors behind it. */
#include "inference.h"

/* A message whose JSON is `json`; `json_length` has room for the header's value. */
static struct ce_message binary_message(const char *json, const char *raw, size_t raw_size,
                                        char *body, char *json_length)
{
    size_t n = strlen(json);
    memcpy(body, json, n);
    if (raw_size > 0)
        memcpy(body + n, raw, raw_size);
    sprintf(json_length, "%zu", n);
    return (struct ce_message){
        .protocol = ce_protocol_find("oip"),
        .content_type = "application/octet-stream",
        .json_length = ce_slice_of(json_length),
        .body = body,
        .size = n + raw_size,
    };
}

static const char mixed_json[] =
    "{\"outputs\":[{\"name\":\"p\",\"datatype\":\"FP32\",\"shape\":[2,2],\"parameters\":{\"binary_"
    "data_size\":16}},{\"name\":\"n\",\"datatype\":\"INT64\",\"shape\":[2],\"data\":[5,6]},{"
    "\"name\":\"label\",\"datatype\":\"BYTES\",\"shape\":[2],\"parameters\":{\"binary_data_size\":"
    "13}}]}";
#define P_BYTES     "\0\0\0\x3f\0\0\0\x3f\0\0\x80\x3e\0\0\x40\x3f" /* 0.5 0.5 0.25 0.75 */
#define LABEL_BYTES "\3\0\0\0cat\2\0\0\0ox"
static const char mixed_raw[] = P_BYTES LABEL_BYTES;

static void values_behind_the_json_are_found(void)
{
    char body[512], length[24];
    struct ce_message message =
        binary_message(mixed_json, mixed_raw, sizeof mixed_raw - 1, body, length);
    struct ce_values found;
    struct ce_error err = {0};
    REQUIRE_OK(ce_message_outputs(&message, &found, &err), err);
    REQUIRE(found.count == 8);
    CHECK(found.rows == 2 && found.without_data == 0);
    /* In the order of their bytes: what is in the JSON first. */
    CHECK(value_is(&found.values[0], "n", "5", 0, 1));
    CHECK(found.values[0].ordinal == 1);
    double number;
    CHECK(found.values[5].form == CE_VALUE_FIXED && found.values[5].ordinal == 0 &&
          found.values[5].index == 3 && found.values[5].width == 2);
    CHECK(ce_value_number(&found.values[5], &number) && number == 0.75);
    CHECK(value_is(&found.values[6], "label", "cat", 0, 1));
    CHECK(value_is(&found.values[7], "label", "ox", 1, 1));
    CHECK(found.values[7].form == CE_VALUE_BYTES && ce_slice_is(found.values[7].type, "BYTES"));
    ce_values_done(&found);
}

static void every_type_has_its_width(void)
{
    static const struct {
        const char *type;
        size_t width;
    } types[] = {
        {"BOOL", 1},  {"UINT8", 1},  {"INT8", 1},   {"UINT16", 2}, {"INT16", 2},
        {"FP16", 2},  {"BF16", 2},   {"UINT32", 4}, {"INT32", 4},  {"FP32", 4},
        {"INT64", 8}, {"UINT64", 8}, {"FP64", 8},
    };
    static const char zeros[24];
    for (size_t i = 0; i < CE_COUNT(types); i++) {
        char json[256], body[512], length[24];
        struct ce_values found;
        struct ce_error err = {0};
        sprintf(json,
                "{\"outputs\":[{\"datatype\":\"%s\",\"shape\":[3],\"parameters\":{"
                "\"binary_data_size\":%zu}}]}",
                types[i].type, 3 * types[i].width);
        struct ce_message message = binary_message(json, zeros, 3 * types[i].width, body, length);
        REQUIRE_OK(ce_message_outputs(&message, &found, &err), err);
        REQUIRE(found.count == 3);
        struct ce_edit edit = {.value = 1};
        double number;
        CHECK(found.values[1].text.size == types[i].width);
        CHECK(ce_edit_number(&edit, &found.values[1], 1, -1) == 0);
        CHECK(edit.size == types[i].width);
        struct ce_remade remade;
        REQUIRE_OK(ce_values_apply(&message, &found, &edit, 1, &remade, &err), err);
        CHECK(remade.size == message.size && remade.json_length == strlen(json));
        ce_values_done(&found);
        message.body = remade.body;
        REQUIRE_OK(ce_message_outputs(&message, &found, &err), err);
        CHECK(ce_value_number(&found.values[1], &number) && number == 1);
        CHECK(ce_value_number(&found.values[2], &number) && number == 0);
        ce_values_done(&found);
        free(remade.body);
    }
}

static void lengths_follow_the_text(void)
{
    static const char want_json[] =
        "{\"outputs\":[{\"name\":\"p\",\"datatype\":\"FP32\",\"shape\":[2,2],\"parameters\":{"
        "\"binary_data_size\":16}},{\"name\":\"n\",\"datatype\":\"INT64\",\"shape\":[2],\"data\":["
        "1234,6]},{\"name\":\"label\",\"datatype\":\"BYTES\",\"shape\":[2],\"parameters\":{"
        "\"binary_data_size\":9}}]}";
    static const char want_raw[] = P_BYTES "\1\0\0\0x\0\0\0\0";
    char body[512], length[24];
    struct ce_message message =
        binary_message(mixed_json, mixed_raw, sizeof mixed_raw - 1, body, length);
    struct ce_values found;
    struct ce_error err = {0};
    struct ce_edit edits[] = {{.value = 0, .text = "1234", .size = 4},
                              {.value = 6, .text = "x", .size = 1},
                              {.value = 7, .size = 0}};
    struct ce_remade remade, back;
    REQUIRE_OK(ce_message_outputs(&message, &found, &err), err);
    REQUIRE_OK(ce_values_apply(&message, &found, edits, CE_COUNT(edits), &remade, &err), err);
    REQUIRE(remade.json_length == sizeof want_json - 1);
    REQUIRE(remade.size == sizeof want_json - 1 + sizeof want_raw - 1);
    CHECK(bytes_are(remade.body, remade.json_length, want_json));
    CHECK(memcmp(remade.body + remade.json_length, want_raw, sizeof want_raw - 1) == 0);
    ce_values_done(&found);

    sprintf(length, "%zu", remade.json_length);
    struct ce_message again = message;
    again.json_length = ce_slice_of(length);
    again.body = remade.body;
    again.size = remade.size;
    REQUIRE_OK(ce_message_outputs(&again, &found, &err), err);
    struct ce_edit undo[] = {{.value = 0, .text = "5", .size = 1},
                             {.value = 6, .text = "cat", .size = 3},
                             {.value = 7, .text = "ox", .size = 2}};
    REQUIRE_OK(ce_values_apply(&again, &found, undo, CE_COUNT(undo), &back, &err), err);
    CHECK(back.json_length == sizeof mixed_json - 1);
    CHECK(back.size == message.size && memcmp(back.body, message.body, back.size) == 0);
    ce_values_done(&found);
    free(remade.body);
    free(back.body);
}

static void the_last_row_can_be_left_out(void)
{
    static const char want_json[] =
        "{\"outputs\":[{\"name\":\"p\",\"datatype\":\"FP32\",\"shape\":[1,2],\"parameters\":{"
        "\"binary_data_size\":8}},{\"name\":\"n\",\"datatype\":\"INT64\",\"shape\":[1],\"data\":[5]"
        "},{\"name\":\"label\",\"datatype\":\"BYTES\",\"shape\":[1],\"parameters\":{"
        "\"binary_data_size\":7}}]}";
    static const char want_raw[] = "\0\0\0\x3f\0\0\0\x3f\3\0\0\0cat";
    char body[512], length[24];
    struct ce_message message =
        binary_message(mixed_json, mixed_raw, sizeof mixed_raw - 1, body, length);
    struct ce_values found;
    struct ce_error err = {0};
    struct ce_remade remade;
    REQUIRE_OK(ce_message_outputs(&message, &found, &err), err);
    REQUIRE_OK(ce_message_shorten(&message, &found, &remade, &err), err);
    REQUIRE(remade.size == sizeof want_json - 1 + sizeof want_raw - 1);
    CHECK(bytes_are(remade.body, remade.json_length, want_json));
    CHECK(memcmp(remade.body + remade.json_length, want_raw, sizeof want_raw - 1) == 0);
    ce_values_done(&found);
    free(remade.body);
}

static void sizes_that_do_not_agree_are_refused(void)
{
    static const struct {
        const char *tensor, *raw;
        size_t raw_size;
        int result;
    } cases[] = {
        {"\"datatype\":\"FP32\",\"shape\":[1],\"parameters\":{\"binary_data_size\":4}", "abcd", 4,
         0},
        {"\"datatype\":\"FP32\",\"shape\":[1],\"parameters\":{\"binary_data_size\":4}", "abc", 3,
         -EINVAL},
        {"\"datatype\":\"FP32\",\"shape\":[1],\"parameters\":{\"binary_data_size\":4}", "abcde", 5,
         -EINVAL},
        {"\"datatype\":\"FP32\",\"shape\":[2],\"parameters\":{\"binary_data_size\":4}", "abcd", 4,
         -EINVAL},
        {"\"datatype\":\"FP32\",\"shape\":[1],\"parameters\":{\"binary_data_size\":3}", "abc", 3,
         -EINVAL},
        {"\"datatype\":\"FP32\",\"shape\":[],\"parameters\":{\"binary_data_size\":4}", "abcd", 4,
         0},
        {"\"datatype\":\"FP32\",\"shape\":[3,0],\"parameters\":{\"binary_data_size\":0}", "", 0, 0},
        {"\"datatype\":\"FP32\",\"shape\":[3,0],\"parameters\":{\"binary_data_size\":4}", "abcd", 4,
         -EINVAL},
        {"\"datatype\":\"FP32\",\"shape\":[4611686018427387904,4],\"parameters\":{"
         "\"binary_data_size\":0}",
         "", 0, -EINVAL},
        {"\"datatype\":\"FP32\",\"shape\":[1],\"parameters\":{\"binary_data_size\":"
         "18446744073709551615}",
         "abcd", 4, -EINVAL},
        {"\"datatype\":\"BYTES\",\"shape\":[1],\"parameters\":{\"binary_data_size\":5}",
         "\1\0\0\0x", 5, 0},
        {"\"datatype\":\"BYTES\",\"shape\":[1],\"parameters\":{\"binary_data_size\":5}",
         "\2\0\0\0x", 5, -EINVAL},
        {"\"datatype\":\"BYTES\",\"shape\":[1],\"parameters\":{\"binary_data_size\":5}",
         "\377\377\377\377x", 5, -EINVAL},
        {"\"datatype\":\"BYTES\",\"shape\":[1],\"parameters\":{\"binary_data_size\":5}",
         "\0\0\0\0x", 5, -EINVAL},
        {"\"datatype\":\"BYTES\",\"shape\":[2],\"parameters\":{\"binary_data_size\":5}",
         "\1\0\0\0x", 5, -EINVAL},
        {"\"datatype\":\"QUAD\",\"shape\":[1],\"parameters\":{\"binary_data_size\":4}", "abcd", 4,
         0},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        char json[256], length[24];
        ce_autofree char *body = malloc(strlen(cases[i].tensor) + 16 + cases[i].raw_size);
        struct ce_values found = {0};
        struct ce_error err = {0};
        REQUIRE(body != NULL);
        sprintf(json, "{\"outputs\":[{%s}]}", cases[i].tensor);
        struct ce_message message =
            binary_message(json, cases[i].raw, cases[i].raw_size, body, length);
        int r = ce_message_outputs(&message, &found, &err);
        if (r != cases[i].result)
            printf("# case %zu: %d, %s\n", i, r, err.message);
        CHECK(r == cases[i].result);
        ce_values_done(&found);
    }
}

static void the_length_of_the_json_has_to_be_one(void)
{
    static const char *const lengths[] = {"-1", "x", "99999999999999999999999", "300", "12", "0"};
    char body[512], length[24];
    struct ce_message message =
        binary_message(mixed_json, mixed_raw, sizeof mixed_raw - 1, body, length);
    for (size_t i = 0; i < CE_COUNT(lengths); i++) {
        struct ce_values found = {0};
        message.json_length = ce_slice_of(lengths[i]);
        CHECK(ce_message_outputs(&message, &found, NULL) == -EINVAL);
    }
    message.json_length = ce_slice_of("");
    struct ce_values found = {0};
    CHECK(ce_message_outputs(&message, &found, NULL) == -EINVAL);
}

int main(void)
{
    TEST(values_behind_the_json_are_found);
    TEST(every_type_has_its_width);
    TEST(lengths_follow_the_text);
    TEST(the_last_row_can_be_left_out);
    TEST(sizes_that_do_not_agree_are_refused);
    TEST(the_length_of_the_json_has_to_be_one);
    return test_done();
}
