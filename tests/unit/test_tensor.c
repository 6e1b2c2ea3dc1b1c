/* SPDX-License-Identifier: MIT */
#include "base/cleanup.h"
#include "base/error.h"
#include "check.h"
#include "proxy/tensor.h"

static bool slice_is(struct ce_slice slice, const char *text)
{
    return slice.size == strlen(text) && memcmp(slice.data, text, slice.size) == 0;
}

static int find(const char *json, const char *member, struct ce_tensor_values *ret,
                struct ce_error *err)
{
    return ce_tensor_find(json, strlen(json), member, ret, err);
}

static void members_may_stand_in_any_order(void)
{
    static const char *const messages[] = {
        "{\"outputs\":[{\"name\":\"p\",\"shape\":[2],\"datatype\":\"FP64\",\"data\":[0.25,null]}]}",
        "{\"id\":\"x\",\"outputs\":[{\"data\":[0.25,null],\"datatype\":\"FP64\",\"parameters\":{"
        "\"data\":[1]},\"name\":\"p\"}]}",
        " { \"a\" : [ { \"outputs\" : [ 3 ] } ] ,\n\"outputs\" : [ { \"data\" : [ [ 0.25 ] , [ "
        "null ] ] , \"name\" : \"p\" ,"
        "\t\"datatype\" : \"FP64\" , \"shape\" : [ 2 , 1 ] } ] } \r\n",
    };
    for (size_t i = 0; i < CE_COUNT(messages); i++) {
        struct ce_tensor_values found;
        struct ce_error err = {0};
        REQUIRE_OK(find(messages[i], "outputs", &found, &err), err);
        REQUIRE(found.count == 2);
        CHECK(slice_is(found.values[0].text, "0.25") && slice_is(found.values[1].text, "null"));
        for (size_t k = 0; k < 2; k++) {
            CHECK(slice_is(found.values[k].tensor, "p") && slice_is(found.values[k].type, "FP64"));
            CHECK(found.values[k].index == k && found.values[k].ordinal == 0 &&
                  found.values[k].width == 1);
        }
        ce_tensor_values_done(&found);
    }
}

static void values_know_their_tensor_and_row(void)
{
    struct ce_tensor_values found;
    struct ce_error err = {0};
    REQUIRE_OK(
        find("{\"outputs\":[{\"name\":\"label\",\"shape\":[2],\"datatype\":\"BYTES\",\"data\":[\"a,"
             "]\",\"\\\"\\u00e9\"]},"
             "{\"name\":\"p\",\"shape\":[2,3],\"datatype\":\"FP32\",\"data\":[[1,2,3],[4,5,6]]},"
             "{\"name\":\"raw\",\"shape\":[2],\"datatype\":\"FP32\",\"parameters\":{\"binary_data_"
             "size\":8}}]}",
             "outputs", &found, &err),
        err);
    REQUIRE(found.count == 8);
    CHECK(found.without_data == 1);
    CHECK(slice_is(found.values[0].text, "\"a,]\"") &&
          slice_is(found.values[1].text, "\"\\\"\\u00e9\""));
    CHECK(found.values[1].ordinal == 0 && found.values[1].index == 1 && found.values[1].width == 1);
    CHECK(found.values[7].ordinal == 1 && found.values[7].index == 5 && found.values[7].width == 3);
    CHECK(slice_is(found.values[7].tensor, "p") && slice_is(found.values[7].text, "6"));
    ce_tensor_values_done(&found);
}

static void what_two_readers_could_read_differently_is_refused(void)
{
    static const struct {
        const char *json;
        int result;
        const char *says;
    } cases[] = {
        {"", -EINVAL, "empty"},
        {"Service Unavailable", -EINVAL, "byte 0"},
        {"[]", -EINVAL, "object"},
        {"{}", -ENOENT, "no such member"},
        {"{\"inputs\":[]}", -ENOENT, "no such member"},
        {"{\"outputs\":{}}", -EINVAL, "array"},
        {"{\"outputs\":[1]}", -EINVAL, "object"},
        {"{\"outputs\":[{\"data\":1}]}", -EINVAL, "array"},
        {"{\"outputs\":[{\"data\":[{}]}]}", -EINVAL, "object among"},
        {"{\"outputs\":[{\"data\":[1,]}]}", -EINVAL, "expected a value"},
        {"{\"outputs\":[{\"data\":[01]}]}", -EINVAL, "comma"},
        {"{\"outputs\":[{\"data\":[1.]}]}", -EINVAL, "digit"},
        {"{\"outputs\":[{\"data\":[.5]}]}", -EINVAL, "expected a value"},
        {"{\"outputs\":[{\"data\":[+1]}]}", -EINVAL, "expected a value"},
        {"{\"outputs\":[{\"data\":[1e]}]}", -EINVAL, "digit"},
        {"{\"outputs\":[{\"data\":[NaN]}]}", -EINVAL, "expected a value"},
        {"{\"outputs\":[{\"data\":[nul]}]}", -EINVAL, "expected a value"},
        {"{\"outputs\":[{\"data\":[\"a\nb\"]}]}", -EINVAL, "control"},
        {"{\"outputs\":[{\"data\":[\"\\x\"]}]}", -EINVAL, "escape"},
        {"{\"outputs\":[{\"data\":[\"\\u12g4\"]}]}", -EINVAL, "hexadecimal"},
        {"{\"outputs\":[{\"data\":[\"abc", -EINVAL, "without an end"},
        {"{\"outputs\":[{\"data\":[1]}]", -EINVAL, "end of the object"},
        {"{\"outputs\":[]} x", -EINVAL, "follows"},
        {"{\"outputs\":[],\"outputs\":[]}", -EINVAL, "twice"},
        {"{\"outputs\":[{\"data\":[1],\"data\":[2]}]}", -EINVAL, "twice"},
        {"{\"outputs\":[{\"shape\":[1,-1]}]}", -EINVAL, "whole numbers"},
        {"{\"outputs\":[{\"shape\":[1,4294967296,4294967296]}]}", -EINVAL, "too large"},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        struct ce_tensor_values found = {0};
        struct ce_error err = {0};
        int r = find(cases[i].json, "outputs", &found, &err);
        if (r != cases[i].result || !strstr(err.message, cases[i].says))
            printf("# %s: %d, %s\n", cases[i].json, r, err.message);
        CHECK(r == cases[i].result);
        CHECK(strstr(err.message, cases[i].says) != NULL);
        CHECK(found.values == NULL);
    }
}

/* {"outputs":[{"data":[[...1...]]}]}, `levels` brackets in the data. */
static int find_nested(int levels)
{
    char json[512] = "{\"outputs\":[{\"data\":";
    for (int i = 0; i < levels; i++)
        strcat(json, "[");
    strcat(json, "1");
    for (int i = 0; i < levels; i++)
        strcat(json, "]");
    strcat(json, "}]}");
    struct ce_tensor_values found = {0};
    int r = find(json, "outputs", &found, NULL);
    ce_tensor_values_done(&found);
    return r;
}

static void nesting_is_limited(void)
{
    CHECK(find_nested(61) == 0); /* 64 with the three around it */
    CHECK(find_nested(62) == -EINVAL);
}

static void edits_keep_every_other_byte(void)
{
    static const char json[] = "{\"b\" :[\"\\u0041\", 1.50 ],\"outputs\":[ {\"name\":\"p\" "
                               ",\"data\":[0.1, 0.2,0.30]}],\"z\":{} }\n";
    static const char want[] = "{\"b\" :[\"\\u0041\", 1.50 ],\"outputs\":[ {\"name\":\"p\" "
                               ",\"data\":[123456, 0.2,]}],\"z\":{} }\n";
    struct ce_tensor_values found;
    struct ce_error err = {0};
    REQUIRE_OK(find(json, "outputs", &found, &err), err);
    REQUIRE(found.count == 3);
    struct ce_edit edits[] = {
        {.span = found.values[0].text, .text = "123456"},
        {.span = found.values[2].text, .text = ""},
    };
    size_t size;
    ce_autofree char *edited = ce_tensor_apply(json, strlen(json), edits, 2, &size);
    CHECK(size == strlen(want) && memcmp(edited, want, size) == 0);
    ce_autofree char *copy = ce_tensor_apply(json, strlen(json), NULL, 0, &size);
    CHECK(size == strlen(json) && memcmp(copy, json, size) == 0);
    ce_tensor_values_done(&found);
}

static void every_prefix_is_refused_and_none_is_read_past(void)
{
    static const char json[] =
        "{\"id\":\"f-1\",\"outputs\":[{\"name\":\"p\",\"shape\":[2,1],\"datatype\":\"FP64\","
        "\"data\":[[-0.5e-3],[\"\\u00e9\"],[true]]}]}";
    for (size_t n = 0; n < strlen(json); n++) {
        /* A copy of the exact size, so that a sanitizer sees a read past the end. */
        ce_autofree char *prefix = malloc(n > 0 ? n : 1);
        REQUIRE(prefix != NULL);
        memcpy(prefix, json, n);
        struct ce_tensor_values found = {0};
        CHECK(ce_tensor_find(prefix, n, "outputs", &found, NULL) == -EINVAL);
    }
}

int main(void)
{
    TEST(members_may_stand_in_any_order);
    TEST(values_know_their_tensor_and_row);
    TEST(what_two_readers_could_read_differently_is_refused);
    TEST(nesting_is_limited);
    TEST(edits_keep_every_other_byte);
    TEST(every_prefix_is_refused_and_none_is_read_past);
    return test_done();
}
