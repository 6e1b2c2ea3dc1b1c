/* SPDX-License-Identifier: MIT */
/* ModelInfer messages: every form that a tensor's values can have, and edits after which a message
 * must be, byte for byte, what a server would have written. */
#include <math.h>
#include <stdarg.h>

#include "base/cleanup.h"
#include "check.h"
#include "inference/inference.h"
#include "inference/protobuf.h"
#include "model_answers.h"

/* ---- messages, written by hand ---- */

struct bytes {
    char data[4096];
    size_t size;
};

static void put(struct bytes *bytes, const void *data, size_t size)
{
    memcpy(bytes->data + bytes->size, data, size);
    bytes->size += size;
}

static void put_varint(struct bytes *bytes, uint64_t number)
{
    while (number > 127) {
        put(bytes, &(char){(char)(number % 128 + 128)}, 1);
        number /= 128;
    }
    put(bytes, &(char){(char)number}, 1);
}

static void put_number(struct bytes *bytes, unsigned field, uint64_t number)
{
    put_varint(bytes, field * 8);
    put_varint(bytes, number);
}

static void put_field(struct bytes *bytes, unsigned field, const void *data, size_t size)
{
    put_varint(bytes, field * 8 + 2);
    put_varint(bytes, size);
    put(bytes, data, size);
}

static void put_text(struct bytes *bytes, unsigned field, const char *text)
{
    put_field(bytes, field, text, strlen(text));
}

static void put_bytes(struct bytes *bytes, unsigned field, const struct bytes *inner)
{
    put_field(bytes, field, inner->data, inner->size);
}

static void put_strings(struct bytes *bytes, const char *const *texts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint32_t size = (uint32_t)strlen(texts[i]);
        put(bytes, (char[4]){(char)size, (char)(size >> 8), 0, 0}, 4);
        put(bytes, texts[i], size);
    }
}

/* A tensor's header; the shape packed. */
static struct bytes tensor_of(const char *name, const char *type, size_t dimensions, ...)
{
    struct bytes tensor = {0}, shape = {0};
    va_list sizes;
    va_start(sizes, dimensions);
    for (size_t i = 0; i < dimensions; i++)
        put_varint(&shape, (uint64_t)va_arg(sizes, int));
    va_end(sizes);
    put_text(&tensor, 1, name);
    put_text(&tensor, 2, type);
    put_bytes(&tensor, 3, &shape);
    return tensor;
}

/* A response with one tensor whose contents are the varints of `field`, packed or not. */
static struct bytes varints_of(unsigned field, const char *type, bool packed,
                               const uint64_t *numbers, size_t count)
{
    struct bytes message = {0}, tensor = tensor_of("y", type, 1, (int)count), contents = {0};
    struct bytes row = {0};
    for (size_t i = 0; i < count; i++) {
        if (packed)
            put_varint(&row, numbers[i]);
        else
            put_number(&contents, field, numbers[i]);
    }
    if (packed)
        put_bytes(&contents, field, &row);
    put_bytes(&tensor, 5, &contents);
    put_text(&message, 1, "m");
    put_bytes(&message, 5, &tensor);
    put_text(&message, 3, "the id, behind the outputs");
    return message;
}

static struct ce_message message_of(const char *data, size_t size)
{
    return (struct ce_message){.protocol = ce_protocol_find("oip_grpc"),
                               .content_type = "application/grpc",
                               .body = data,
                               .size = size};
}

static int outputs_of(const struct bytes *bytes, struct ce_message *message,
                      struct ce_values *ret_values, struct ce_error *err)
{
    *message = message_of(bytes->data, bytes->size);
    return ce_message_outputs(message, ret_values, err);
}

static bool is_bytes(const struct ce_remade *remade, const struct bytes *want)
{
    return remade->size == want->size && memcmp(remade->body, want->data, want->size) == 0;
}

static bool has_number(const struct ce_value *value, double want)
{
    double number;
    return ce_value_number(value, &number) && number == want;
}

static void remade_done(struct ce_remade *remade)
{
    free(remade->body);
}
#define REMADE CE_CLEANUP(remade_done) struct ce_remade
#define VALUES CE_CLEANUP(ce_values_done) struct ce_values

/* ---- the wire ---- */

static void varints_read_as_they_are_written(void)
{
    static const struct {
        uint64_t number;
        size_t size;
    } cases[] = {{0, 1},     {127, 1},        {128, 2},       {16383, 2},
                 {16384, 3}, {UINT32_MAX, 5}, {INT64_MAX, 9}, {(uint64_t)-1, 10}};
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        char text[CE_PB_VARINT_SIZE];
        size_t size = ce_pb_varint_write(text, cases[i].number);
        CHECK(size == cases[i].size);
        struct ce_pb_reader reader = {text, text + size};
        uint64_t number = 1;
        CHECK(ce_pb_varint_read(&reader, &number) && number == cases[i].number);
        CHECK(reader.at == reader.end);
        reader = (struct ce_pb_reader){text, text + size - 1};
        CHECK(!ce_pb_varint_read(&reader, &number));
    }
    static const char longer[] = "\x80\x00",
                      endless[] = "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
                      larger[] = "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02";
    struct ce_pb_reader reader = {longer, longer + 2};
    uint64_t number = 1;
    CHECK(ce_pb_varint_read(&reader, &number) && number == 0);
    reader = (struct ce_pb_reader){endless, endless + 11};
    CHECK(!ce_pb_varint_read(&reader, &number));
    reader = (struct ce_pb_reader){larger, larger + 10};
    CHECK(!ce_pb_varint_read(&reader, &number));
}

static void what_is_no_field_is_refused(void)
{
    static const struct {
        const char *bytes;
        size_t size;
        const char *what;
    } cases[] = {
        {"\x0b", 1, "a group"},
        {"\x0c", 1, "the end of one"},
        {"\x0e", 1, "wire type 6"},
        {"\x02\x00", 2, "number 0"},
        {"\x0a", 1, "no length"},
        {"\x0a\x01", 2, "no byte"},
        {"\x0d\x01\x02\x03", 4, "3 of 4 bytes"},
        {"\x08", 1, "no varint"},
        {"\x80", 1, "half a tag"},
        {"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11, "a length beyond all memory"},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        struct ce_pb_reader reader = {cases[i].bytes, cases[i].bytes + cases[i].size};
        struct ce_pb_field field;
        int r = ce_pb_next(&reader, &field);
        CHECK(r == -EINVAL);
        if (r != -EINVAL)
            printf("# %s\n", cases[i].what);
    }
}

/* ---- reading ---- */

static void integers_of_every_type_are_found(void)
{
    static const struct {
        unsigned field;
        const char *type;
        uint64_t sent;
        double number;
    } cases[] = {
        {1, "BOOL", 1, 1},
        {2, "INT8", (uint64_t)-3, -3},
        {2, "INT16", 300, 300},
        {2, "INT32", (uint64_t)-70000, -70000},
        {3, "INT64", (uint64_t)-1, -1},
        {3, "INT64", UINT64_C(1) << 53, 9007199254740992.0},
        {4, "UINT8", 255, 255},
        {4, "UINT16", 65535, 65535},
        {4, "UINT32", UINT32_MAX, 4294967295.0},
        {5, "UINT64", UINT64_C(1) << 63, 9223372036854775808.0},
    };
    for (size_t i = 0; i < CE_COUNT(cases) * 2; i++) {
        const uint64_t sent[] = {0, cases[i / 2].sent};
        struct bytes bytes =
            varints_of(cases[i / 2].field, cases[i / 2].type, i % 2, sent, CE_COUNT(sent));
        struct ce_message message;
        struct ce_error err;
        VALUES values = {0};
        REQUIRE_OK(outputs_of(&bytes, &message, &values, &err), err);
        REQUIRE(values.count == 2);
        CHECK(values.rows == 2 && values.without_data == 0);
        const struct ce_value *value = &values.values[1];
        CHECK(value->form == CE_VALUE_VARINT && value->index == 1 && value->ordinal == 0);
        CHECK(value->width == 1 && ce_slice_is(value->tensor, "y"));
        CHECK(ce_slice_is(value->type, cases[i / 2].type));
        CHECK(ce_value_is_label(value));
        CHECK(has_number(&values.values[0], 0) && has_number(value, cases[i / 2].number));
    }
}

static void floats_are_found_packed_and_not(void)
{
    const double doubles[] = {0.25, -1e300, 3};
    const float singles[] = {0.5f, -2, 1e30f};
    struct bytes contents = {0}, other = {0}, message = {0};
    put_field(&contents, 7, doubles, sizeof doubles[0] * 2);
    put_varint(&contents, 7 * 8 + 1);
    put(&contents, &doubles[2], sizeof doubles[2]);
    put_varint(&other, 6 * 8 + 5);
    put(&other, &singles[0], sizeof singles[0]);
    put_field(&other, 6, &singles[1], sizeof singles[0] * 2);
    struct bytes a = tensor_of("a", "FP64", 2, 1, 3), b = tensor_of("b", "FP32", 1, 3);
    put_bytes(&a, 5, &contents);
    put_bytes(&b, 5, &other);
    put_bytes(&message, 5, &a);
    put_bytes(&message, 5, &b);

    struct ce_message read;
    struct ce_error err;
    VALUES values = {0};
    REQUIRE_OK(outputs_of(&message, &read, &values, &err), err);
    REQUIRE(values.count == 6);
    CHECK(values.rows == 3);
    for (size_t i = 0; i < 6; i++) {
        const struct ce_value *value = &values.values[i];
        CHECK(value->form == CE_VALUE_FIXED && value->index == i % 3 && value->ordinal == i / 3);
        CHECK(value->width == (i < 3 ? 3 : 1) && !ce_value_is_label(value));
        CHECK(ce_slice_is(value->type, i < 3 ? "FP64" : "FP32"));
        CHECK(has_number(value, i < 3 ? doubles[i] : (double)singles[i - 3]));
    }
}

static void raw_contents_belong_to_the_outputs_in_their_order(void)
{
    struct bytes message = {0}, texts = {0};
    struct bytes tensors[] = {tensor_of("half", "FP16", 2, 2, 1), tensor_of("brain", "BF16", 1, 1),
                              tensor_of("text", "BYTES", 1, 2),   tensor_of("yes", "BOOL", 1, 2),
                              tensor_of("odd", "FP8", 1, 1),      tensor_of("none", "FP32", 1, 0)};
    put_strings(&texts, (const char *const[]){"", "setosa"}, 2);
    for (size_t i = 0; i < CE_COUNT(tensors); i++)
        put_bytes(&message, 5, &tensors[i]);
    put_field(&message, 6, "\x00\x3c\x00\xc0", 4);
    put_field(&message, 6, "\x80\x3f", 2);
    put_bytes(&message, 6, &texts);
    put_field(&message, 6, "\x01\x00", 2);
    put_field(&message, 6, "\x77", 1);
    put_field(&message, 6, "", 0);

    struct ce_message read;
    struct ce_error err;
    VALUES values = {0};
    REQUIRE_OK(outputs_of(&message, &read, &values, &err), err);
    REQUIRE(values.count == 7);
    CHECK(values.without_data == 2);
    CHECK(has_number(&values.values[0], 1) && has_number(&values.values[1], -2));
    CHECK(has_number(&values.values[2], 1) && ce_slice_is(values.values[2].tensor, "brain"));
    CHECK(values.values[3].form == CE_VALUE_BYTES && values.values[3].text.size == 0);
    CHECK(ce_slice_is(values.values[4].text, "setosa") && values.values[4].index == 1);
    CHECK(has_number(&values.values[5], 1) && has_number(&values.values[6], 0));
    CHECK(values.values[6].ordinal == 3);
}

static void fields_may_come_in_any_order(void)
{
    struct bytes tensor = {0}, message = {0}, contents = {0}, later = {0};
    put_field(&contents, 2, "\x07\x08", 2);
    put_field(&later, 2, "\x09\x0a", 2);
    put_bytes(&tensor, 5, &contents);
    put_number(&tensor, 3, 2); /* the shape, one by one */
    put_bytes(&tensor, 5, &later);
    put_number(&tensor, 3, 2);
    put_number(&tensor, 99, 1);
    put_text(&tensor, 2, "INT32");
    put_text(&tensor, 1, "late");
    struct bytes raw = tensor_of("raw", "UINT8", 1, 1);
    put_field(&message, 6, "", 0);
    put_field(&message, 6, "\x05", 1);
    put_bytes(&message, 5, &tensor);
    put_bytes(&message, 5, &raw);

    struct ce_message read;
    struct ce_error err;
    VALUES values = {0};
    REQUIRE_OK(outputs_of(&message, &read, &values, &err), err);
    REQUIRE(values.count == 5);
    CHECK(has_number(&values.values[0], 5) && values.values[0].ordinal == 1);
    for (size_t i = 1; i < 5; i++) {
        CHECK(has_number(&values.values[i], (double)(6 + i)));
        CHECK(values.values[i].index == i - 1 && values.values[i].width == 2);
        CHECK(ce_slice_is(values.values[i].tensor, "late"));
    }
}

static void what_is_no_response_is_refused(void)
{
    struct bytes odd = {0}, many = {0}, text = {0}, wide = {0};
    struct bytes tensor = tensor_of("y", "FP32", 1, 1), strings = tensor_of("y", "BYTES", 1, 1);
    struct bytes huge = {0}, below = {0}, unknown = {0};
    put_bytes(&odd, 5, &tensor);
    put_field(&odd, 6, "\1\2\3", 3);
    put_bytes(&many, 5, &tensor);
    put_field(&many, 6, "", 0);
    put_field(&many, 6, "", 0);
    put_bytes(&text, 5, &strings);
    put_field(&text, 6, "\x09\0\0\0abc", 7);
    for (int i = 0; i < 3; i++)
        put_number(&huge, 3, INT64_MAX);
    put_bytes(&wide, 5, &huge);
    put_number(&below, 3, (uint64_t)-1);
    put_bytes(&unknown, 5, &below);
    const struct {
        const char *bytes;
        size_t size;
        int want;
        const char *says;
    } cases[] = {
        {"", 0, -ENOENT, "no outputs"},
        {"\x0a\x01m", 3, -ENOENT, "no outputs"},
        {"{\"error\":\"x\"}", 13, -EINVAL, "malformed at byte 0"},
        {odd.data, odd.size, -EINVAL, "FP32, 4 bytes each, but has 3 bytes"},
        {many.data, many.size, -EINVAL, "more raw contents than its 1 tensors"},
        {text.data, text.size, -EINVAL, "malformed"},
        {wide.data, wide.size, -EINVAL, "malformed"},
        {unknown.data, unknown.size, -EINVAL, "malformed"},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        struct ce_message message = message_of(cases[i].bytes, cases[i].size);
        struct ce_error err = {0};
        struct ce_values values = {0};
        CHECK(ce_message_outputs(&message, &values, &err) == cases[i].want);
        CHECK(strstr(err.message, cases[i].says) != NULL);
        if (!strstr(err.message, cases[i].says))
            printf("# %zu: %s\n", i, err.message);
    }
}

static void a_message_that_ends_early_is_refused_or_has_less(void)
{
    const uint64_t numbers[] = {1, 300, 3};
    struct bytes whole = varints_of(3, "INT64", true, numbers, CE_COUNT(numbers));
    for (size_t size = 0; size < whole.size; size++) {
        ce_autofree char *exact = malloc(size + 1);
        REQUIRE(exact != NULL);
        memcpy(exact, whole.data, size);
        struct ce_message message = message_of(exact, size);
        VALUES values = {0};
        int r = ce_message_outputs(&message, &values, NULL);
        CHECK(r == -EINVAL || r == -ENOENT || (r == 0 && values.count == 3));
    }
}

static void answers_of_a_real_server_are_read(void)
{
    static const double scores[] = {0.976272599028789, 0.02372721423040181, 1.8674080916256935e-7};
    const struct {
        struct ce_slice answer;
        bool is_label;
    } cases[] = {{model_answers.grpc_typed, true},
                 {model_answers.grpc_raw, true},
                 {model_answers.grpc_typed_scores, false},
                 {model_answers.grpc_raw_scores, false}};
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        struct ce_message message = message_of(cases[i].answer.data, cases[i].answer.size);
        struct ce_error err;
        VALUES values = {0};
        struct ce_slice model, version;
        struct ce_prediction prediction;
        REQUIRE_OK(ce_message_outputs(&message, &values, &err), err);
        REQUIRE(values.count == (cases[i].is_label ? 1 : 3));
        for (size_t k = 0; k < values.count; k++)
            CHECK(has_number(&values.values[k], cases[i].is_label ? 0 : scores[k]));
        CHECK(values.rows == 1 && values.values[0].width == values.count);
        ce_message_model(&message, &model, &version);
        CHECK(ce_slice_is(model, cases[i].is_label ? "iris" : "iris_scores") && version.size == 0);
        REQUIRE_OK(ce_message_prediction(&message, &prediction, &err), err);
        CHECK(prediction.is_label);
        CHECK_TEXT(prediction.text, "0");
    }
}

static void features_of_a_request_are_read(void)
{
    static const double features[] = {5.1, 3.5, 1.4, 0.2};
    const struct ce_slice requests[] = {model_answers.grpc_typed_request,
                                        model_answers.grpc_raw_request};
    for (size_t i = 0; i < CE_COUNT(requests); i++) {
        struct ce_message message = message_of(requests[i].data, requests[i].size);
        struct ce_error err;
        VALUES values = {0};
        REQUIRE_OK(ce_message_inputs(&message, &values, &err), err);
        REQUIRE(values.count == 4);
        for (size_t k = 0; k < 4; k++) {
            CHECK(has_number(&values.values[k], features[k]) && values.values[k].width == 4);
            CHECK(ce_slice_is(values.values[k].tensor, "input-0"));
        }
        CHECK(ce_message_rows(&message) == 1);
    }
}

/* ---- edits ---- */

static void edits_of_the_same_size_change_those_bytes_only(void)
{
    struct ce_slice answer = model_answers.grpc_raw_scores;
    struct ce_message message = message_of(answer.data, answer.size);
    struct ce_error err;
    VALUES values = {0};
    REMADE remade = {0};
    REQUIRE_OK(ce_message_outputs(&message, &values, &err), err);
    REQUIRE(values.count == 3);
    struct ce_edit edit = {.value = 1};
    REQUIRE(ce_edit_number(&edit, &values.values[1], 0.75, -1) == 0);
    REQUIRE_OK(ce_values_apply(&message, &values, &edit, 1, &remade, &err), err);
    REQUIRE(remade.size == answer.size);
    size_t at = (size_t)(values.values[1].text.data - answer.data);
    CHECK(memcmp(remade.body, answer.data, at) == 0);
    CHECK(memcmp(remade.body + at, &(double){0.75}, 8) == 0);
    CHECK(memcmp(remade.body + at + 8, answer.data + at + 8, answer.size - at - 8) == 0);
}

static void longer_and_shorter_varints_move_every_length_around_them(void)
{
    /* 127 bytes of numbers become 128 and more, so lengths of lengths change as well. */
    uint64_t before[121], after[121];
    static const struct {
        size_t index;
        int64_t number;
    } changes[] = {{0, -1}, {1, 0}, {60, 1000000}, {120, 3}};
    for (size_t i = 0; i < CE_COUNT(before); i++)
        before[i] = after[i] = i % 7 == 1 ? 300 : i;
    for (size_t packed = 0; packed < 2; packed++) {
        struct ce_edit edits[CE_COUNT(changes)];
        struct bytes bytes = varints_of(3, "INT64", packed, before, CE_COUNT(before));
        struct ce_message message;
        struct ce_error err;
        VALUES values = {0};
        REMADE remade = {0};
        REQUIRE_OK(outputs_of(&bytes, &message, &values, &err), err);
        REQUIRE(values.count == CE_COUNT(before));
        for (size_t i = 0; i < CE_COUNT(changes); i++) {
            size_t index = changes[i].index;
            edits[i].value = index;
            after[index] = (uint64_t)changes[i].number;
            REQUIRE(ce_edit_number(&edits[i], &values.values[index], (double)changes[i].number,
                                   -1) == 0);
        }
        struct bytes want = varints_of(3, "INT64", packed, after, CE_COUNT(after));
        CHECK(want.size != bytes.size);
        REQUIRE_OK(ce_values_apply(&message, &values, edits, CE_COUNT(edits), &remade, &err), err);
        CHECK(is_bytes(&remade, &want));
    }
}

static void a_growth_that_another_edit_undoes_leaves_the_lengths(void)
{
    const uint64_t before[] = {5, 300}, after[] = {300, 5};
    struct bytes bytes = varints_of(2, "INT32", true, before, 2);
    struct bytes want = varints_of(2, "INT32", true, after, 2);
    struct ce_message message;
    struct ce_error err;
    struct ce_edit edits[2] = {{.value = 0}, {.value = 1}};
    VALUES values = {0};
    REMADE remade = {0};
    REQUIRE_OK(outputs_of(&bytes, &message, &values, &err), err);
    REQUIRE(values.count == 2);
    CHECK(ce_edit_copy(&edits[0], &values.values[0], &values.values[1]) == 0);
    CHECK(ce_edit_copy(&edits[1], &values.values[1], &values.values[0]) == 0);
    REQUIRE_OK(ce_values_apply(&message, &values, edits, 2, &remade, &err), err);
    CHECK(is_bytes(&remade, &want));
}

/* A response with the same texts in typed and in raw contents. */
static struct bytes texts_of(const char *const *typed, const char *const *raw, size_t count)
{
    struct bytes message = {0}, contents = {0}, rows = {0};
    struct bytes a = tensor_of("typed", "BYTES", 1, (int)count);
    struct bytes b = tensor_of("raw", "BYTES", 1, (int)count);
    for (size_t i = 0; i < count; i++)
        put_text(&contents, 8, typed[i]);
    put_bytes(&a, 5, &contents);
    put_strings(&rows, raw, count);
    put_bytes(&message, 5, &a);
    put_bytes(&message, 5, &b);
    put_field(&message, 6, "", 0);
    put_bytes(&message, 6, &rows);
    return message;
}

static void texts_may_become_longer_and_shorter(void)
{
    const char *const before[] = {"setosa", "", "versicolor"};
    const char *const typed[] = {"virginica", "", "x"}, *const raw[] = {"", "setosa", "versicolor"};
    struct bytes bytes = texts_of(before, before, 3), want = texts_of(typed, raw, 3);
    const struct {
        size_t value;
        const char *text;
    } changes[] = {{0, "virginica"}, {2, "x"}, {3, ""}, {4, "setosa"}};
    struct ce_edit edits[CE_COUNT(changes)];
    struct ce_message message;
    struct ce_error err;
    VALUES values = {0};
    REMADE remade = {0};
    REQUIRE_OK(outputs_of(&bytes, &message, &values, &err), err);
    REQUIRE(values.count == 6);
    for (size_t i = 0; i < CE_COUNT(changes); i++) {
        edits[i].value = changes[i].value;
        REQUIRE(ce_edit_text(&edits[i], &values.values[changes[i].value], changes[i].text) == 0);
    }
    REQUIRE_OK(ce_values_apply(&message, &values, edits, CE_COUNT(edits), &remade, &err), err);
    CHECK(is_bytes(&remade, &want));
}

/* ---- a row less ---- */

static void the_last_row_goes_and_the_shape_says_so(void)
{
    const uint64_t numbers[] = {1, 300, 70000};
    const char *const texts[] = {"a", "", "ccc"};
    for (size_t kind = 0; kind < 3; kind++) {
        struct bytes bytes =
            kind < 2 ? varints_of(3, "INT64", kind, numbers, 3) : texts_of(texts, texts, 3);
        struct bytes want =
            kind < 2 ? varints_of(3, "INT64", kind, numbers, 2) : texts_of(texts, texts, 2);
        struct ce_message message;
        struct ce_error err;
        VALUES values = {0};
        REMADE remade = {0};
        REQUIRE_OK(outputs_of(&bytes, &message, &values, &err), err);
        REQUIRE_OK(ce_message_shorten(&message, &values, &remade, &err), err);
        CHECK(is_bytes(&remade, &want));
    }
}

static void rows_of_several_values_go_as_a_whole(void)
{
    static const float scores[6] = {1, 2, 3, 4, 5, 6};
    struct bytes messages[3]; /* of 2, 1 and 0 rows */
    for (int i = 0; i < 3; i++) {
        size_t rows = (size_t)(2 - i);
        struct bytes tensor = tensor_of("y", "FP32", 2, 2 - i, 3);
        messages[i].size = 0;
        put_bytes(&messages[i], 5, &tensor);
        put_field(&messages[i], 6, scores, rows * 3 * sizeof scores[0]);
    }
    for (int i = 0; i < 2; i++) {
        struct ce_message message;
        struct ce_error err;
        VALUES values = {0};
        REMADE remade = {0};
        REQUIRE_OK(outputs_of(&messages[i], &message, &values, &err), err);
        REQUIRE_OK(ce_message_shorten(&message, &values, &remade, &err), err);
        CHECK(is_bytes(&remade, &messages[i + 1]));
    }
    struct ce_message message;
    struct ce_error err = {0};
    VALUES values = {0};
    REMADE remade = {0};
    REQUIRE_OK(outputs_of(&messages[2], &message, &values, &err), err);
    CHECK(ce_message_shorten(&message, &values, &remade, &err) == -ENOTSUP);
    CHECK(strstr(err.message, "cannot lose a row") != NULL);
}

static void shapes_that_are_not_packed_shrink_too(void)
{
    struct bytes messages[2]; /* of 128 rows and of 127, whose varint is shorter */
    for (size_t i = 0; i < 2; i++) {
        struct bytes tensor = {0}, contents = {0};
        static const char zeros[128] = {0};
        put_field(&contents, 1, zeros, 128 - i);
        put_bytes(&tensor, 5, &contents);
        put_text(&tensor, 2, "BOOL");
        put_number(&tensor, 3, 128 - i);
        put_number(&tensor, 3, 1);
        messages[i].size = 0;
        put_bytes(&messages[i], 5, &tensor);
        put_text(&messages[i], 3, "id");
    }
    struct ce_message message;
    struct ce_error err;
    VALUES values = {0};
    REMADE remade = {0};
    REQUIRE_OK(outputs_of(&messages[0], &message, &values, &err), err);
    CHECK(values.rows == 128);
    REQUIRE_OK(ce_message_shorten(&message, &values, &remade, &err), err);
    CHECK(is_bytes(&remade, &messages[1]));
}

static void without_a_true_shape_no_row_can_go(void)
{
    struct bytes scalar = tensor_of("y", "FP32", 0), wrong = tensor_of("y", "FP32", 2, 2, 3);
    struct bytes flat = tensor_of("y", "FP32", 2, 1, 0);
    const struct bytes *const tensors[] = {&scalar, &wrong, &flat};
    for (size_t i = 0; i < CE_COUNT(tensors); i++) {
        struct bytes bytes = {0};
        struct ce_message message;
        struct ce_error err = {0};
        VALUES values = {0};
        REMADE remade = {0};
        put_bytes(&bytes, 5, tensors[i]);
        put_field(&bytes, 6, "\0\0\x80\x3f", 4);
        REQUIRE_OK(outputs_of(&bytes, &message, &values, &err), err);
        REQUIRE(values.count == 1);
        CHECK(values.values[0].width > 0);
        CHECK(ce_message_shorten(&message, &values, &remade, &err) == -ENOTSUP);
    }
}

/* ---- names ---- */

/* Fields 1 and 2 in either order, or missing (NULL), around an id. */
static struct bytes named(const char *first, unsigned first_field, const char *second,
                          unsigned second_field, bool second_is_last)
{
    struct bytes message = {0};
    if (first)
        put_text(&message, first_field, first);
    if (second && !second_is_last)
        put_text(&message, second_field, second);
    put_text(&message, 3, "id");
    if (second && second_is_last)
        put_text(&message, second_field, second);
    return message;
}

static void models_are_renamed_where_they_are_named(void)
{
    char longest[201] = {0};
    memset(longest, 'v', 200);
    const struct {
        struct bytes before, after;
        const char *model, *version;
    } cases[] = {
        {named("iris", 1, "2", 2, true), named("churn", 1, "2", 2, true), "churn", ""},
        {named("iris", 1, "2", 2, true), named("iris", 1, longest, 2, true), "", longest},
        {named("iris", 1, "2", 2, false), named("churn", 1, "10", 2, false), "churn", "10"},
        {named("2", 2, "iris", 1, true), named("10", 2, "m", 1, true), "m", "10"},
        {named("iris", 1, NULL, 2, true), named("iris", 1, "3", 2, true), "", "3"},
        {named(NULL, 1, NULL, 2, true), named(NULL, 1, "m", 1, true), "m", ""},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        struct ce_message message = message_of(cases[i].before.data, cases[i].before.size);
        struct ce_error err;
        REMADE remade = {0};
        REQUIRE_OK(ce_message_rename(&message, ce_slice_of(cases[i].model),
                                     ce_slice_of(cases[i].version), &remade, &err),
                   err);
        CHECK(is_bytes(&remade, &cases[i].after));
        struct ce_message made = message_of(remade.body, remade.size);
        struct ce_slice model, version;
        ce_message_model(&made, &model, &version);
        CHECK(!cases[i].model[0] || ce_slice_is(model, cases[i].model));
        CHECK(!cases[i].version[0] || ce_slice_is(version, cases[i].version));
    }
    struct ce_message broken = message_of("\x0a\x09m", 3);
    struct ce_error err = {0};
    REMADE remade = {0};
    CHECK(ce_message_rename(&broken, ce_slice_of("x"), ce_slice_of(""), &remade, &err) == -EINVAL);
}

/* ---- requests ---- */

static void calls_are_known_by_their_path(void)
{
    const struct ce_protocol *grpc = ce_protocol_find("oip_grpc");
    struct ce_call call;
    CHECK(ce_call_read(NULL, "POST", "/inference.GRPCInferenceService/ModelInfer", &call) == 1);
    CHECK(call.protocol == grpc && call.model.size == 0 && call.version.size == 0);
    CHECK(!ce_call_repath(&call, "/inference.GRPCInferenceService/ModelInfer", ce_slice_of("m"),
                          ce_slice_of("")));
    CHECK(errno == ENOTSUP);
    CHECK(ce_call_read(grpc, "POST", "/inference.GRPCInferenceService/ModelReady", &call) == 0);
    CHECK(ce_call_read(grpc, "GET", "/inference.GRPCInferenceService/ModelInfer", &call) == 0);
}

static void a_request_of_numbers_is_what_a_client_sends(void)
{
    static const struct ce_feature features[] = {
        {"a", true}, {"b", true}, {"c", true}, {"d", true}};
    const struct ce_request_plan plan = {.protocol = ce_protocol_find("oip_grpc"),
                                         .model = "iris",
                                         .version = "",
                                         .features = features,
                                         .feature_count = CE_COUNT(features)};
    ce_autofree char *path = NULL, *body = NULL;
    size_t size;
    struct ce_error err;
    REQUIRE_OK(ce_request_path(&plan, &path, &err), err);
    CHECK_TEXT(path, "/inference.GRPCInferenceService/ModelInfer");
    const char *const cells[] = {"5.1", "3.5", "1.4", "0.2"};
    REQUIRE_OK(ce_request_body(&plan, cells, &body, &size, &err), err);
    struct ce_slice want = model_answers.grpc_typed_request;
    CHECK(ce_slice_same((struct ce_slice){body, size}, want));

    ce_autofree char *other = NULL;
    const char *const word[] = {"5.1", "3.5", "wide", "0.2"};
    CHECK(ce_request_body(&plan, word, &other, &size, &err) == -EINVAL);
    CHECK(strstr(err.message, "'c'") && strstr(err.message, "'wide'"));
    const char *const missing[] = {"5.1", NULL, "1.4", "0.2"};
    REQUIRE_OK(ce_request_body(&plan, missing, &other, &size, &err), err);
    struct ce_message message = message_of(other, size);
    VALUES values = {0};
    REQUIRE_OK(ce_message_inputs(&message, &values, &err), err);
    REQUIRE(values.count == 4);
    double number = 0;
    CHECK(ce_value_number(&values.values[1], &number) && isnan(number));
}

static void a_request_with_text_has_a_tensor_for_each_column(void)
{
    static const struct ce_feature features[] = {{"age", true}, {"city", false}, {"job", false}};
    const struct ce_request_plan plan = {.protocol = ce_protocol_find("oip_grpc"),
                                         .model = "churn",
                                         .version = "3",
                                         .features = features,
                                         .feature_count = CE_COUNT(features)};
    const char *const cells[] = {"41", "K\xc3\xb6ln", NULL};
    ce_autofree char *body = NULL;
    size_t size;
    struct ce_error err;
    REQUIRE_OK(ce_request_body(&plan, cells, &body, &size, &err), err);
    struct bytes want = {0}, age = tensor_of("age", "FP64", 2, 1, 1);
    struct bytes city = tensor_of("city", "BYTES", 2, 1, 1);
    struct bytes job = tensor_of("job", "BYTES", 2, 1, 1), contents[3] = {0};
    put_field(&contents[0], 7, &(double){41}, 8);
    put_text(&contents[1], 8, "K\xc3\xb6ln");
    put_text(&contents[2], 8, "");
    put_bytes(&age, 5, &contents[0]);
    put_bytes(&city, 5, &contents[1]);
    put_bytes(&job, 5, &contents[2]);
    put_text(&want, 1, "churn");
    put_text(&want, 2, "3");
    put_bytes(&want, 5, &age);
    put_bytes(&want, 5, &city);
    put_bytes(&want, 5, &job);
    CHECK(size == want.size && memcmp(body, want.data, size) == 0);
}

int main(void)
{
    TEST(varints_read_as_they_are_written);
    TEST(what_is_no_field_is_refused);
    TEST(integers_of_every_type_are_found);
    TEST(floats_are_found_packed_and_not);
    TEST(raw_contents_belong_to_the_outputs_in_their_order);
    TEST(fields_may_come_in_any_order);
    TEST(what_is_no_response_is_refused);
    TEST(a_message_that_ends_early_is_refused_or_has_less);
    TEST(answers_of_a_real_server_are_read);
    TEST(features_of_a_request_are_read);
    TEST(edits_of_the_same_size_change_those_bytes_only);
    TEST(longer_and_shorter_varints_move_every_length_around_them);
    TEST(a_growth_that_another_edit_undoes_leaves_the_lengths);
    TEST(texts_may_become_longer_and_shorter);
    TEST(the_last_row_goes_and_the_shape_says_so);
    TEST(rows_of_several_values_go_as_a_whole);
    TEST(shapes_that_are_not_packed_shrink_too);
    TEST(without_a_true_shape_no_row_can_go);
    TEST(models_are_renamed_where_they_are_named);
    TEST(calls_are_known_by_their_path);
    TEST(a_request_of_numbers_is_what_a_client_sends);
    TEST(a_request_with_text_has_a_tensor_for_each_column);
    return test_done();
}
