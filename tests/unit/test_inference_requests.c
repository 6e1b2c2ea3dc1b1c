/* SPDX-License-Identifier: MIT */
/* Requests that are written for those who drive a server, and errors as servers put them. */
#include "inference.h"

static const struct ce_feature numbers[] = {{"a", true}, {"b", true}};
static const struct ce_feature mixed[] = {{"age", true}, {"home town", false}};

static struct ce_request_plan plan_of(const char *protocol, const struct ce_feature *features)
{
    return (struct ce_request_plan){
        .protocol = ce_protocol_find(protocol),
        .model = "",
        .version = "",
        .features = features,
        .feature_count = 2,
    };
}

static void paths_name_the_model(void)
{
    static const struct {
        const char *protocol, *model, *version, *path; /* NULL: refused */
    } cases[] = {
        {"oip", "churn", "", "/v2/models/churn/infer"},
        {"oip", "churn", "2", "/v2/models/churn/versions/2/infer"},
        {"oip", "a/b", "", "/v2/models/a%2Fb/infer"},
        {"oip", "", "", NULL},
        {"oip_grpc", "churn", "2", "/inference.GRPCInferenceService/ModelInfer"},
        {"oip_grpc", "", "", NULL},
        {"kserve_v1", "iris", "3", "/v1/models/iris/versions/3:predict"},
        {"kserve_v1", "", "3", NULL},
        {"mlflow", "", "", "/invocations"},
        {"mlflow", "", "3", NULL},
        {"torchserve", "bert", "1.0", "/predictions/bert/1.0"},
        {"json", "", "", "/"},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        struct ce_request_plan plan = plan_of(cases[i].protocol, mixed);
        struct ce_error err = {0};
        ce_autofree char *path = NULL;
        plan.model = cases[i].model;
        plan.version = cases[i].version;
        int r = ce_request_path(&plan, &path, &err);
        if (!cases[i].path) {
            CHECK(r == -EINVAL && err.message[0]);
            continue;
        }
        REQUIRE_OK(r, err);
        CHECK_TEXT(path, cases[i].path);
        struct ce_call call;
        CHECK(ce_call_read(plan.protocol, "POST", path, &call) == 1);
    }
    struct ce_request_plan empty = plan_of("mlflow", mixed);
    char *path;
    empty.feature_count = 0;
    CHECK(ce_request_path(&empty, &path, NULL) == -EINVAL);
}

static void every_protocol_has_its_shape_of_requests(void)
{
    static const char *const two[] = {"1.50", "-2"}, *const row[] = {"41", "\"Rome\"\n"},
                             *const missing[] = {NULL, NULL};
    static const struct {
        const char *protocol;
        const struct ce_feature *features;
        const char *const *cells;
        const char *body;
    } cases[] = {
        {"oip", numbers, two,
         "{\"inputs\":[{\"name\":\"input-0\",\"shape\":[1,2],\"datatype\":\"FP64\",\"data\":[1.50,"
         "-2]}]}"},
        {"oip", mixed, row,
         "{\"inputs\":[{\"name\":\"age\",\"shape\":[1,1],\"datatype\":\"FP64\",\"data\":[41]},{"
         "\"name\":\"home town\",\"shape\":[1,1],\"datatype\":\"BYTES\",\"data\":[\"\\\"Rome\\\"\\n"
         "\"]}]}"},
        {"oip", mixed, missing,
         "{\"inputs\":[{\"name\":\"age\",\"shape\":[1,1],\"datatype\":\"FP64\",\"data\":[null]},{"
         "\"name\":\"home town\",\"shape\":[1,1],\"datatype\":\"BYTES\",\"data\":[null]}]}"},
        {"kserve_v1", numbers, two, "{\"instances\":[[1.50,-2]]}"},
        {"kserve_v1", mixed, row,
         "{\"instances\":[{\"age\":41,\"home town\":\"\\\"Rome\\\"\\n\"}]}"},
        {"mlflow", mixed, row,
         "{\"dataframe_split\":{\"columns\":[\"age\",\"home town\"],\"data\":[[41,\"\\\"Rome\\\""
         "\\n\"]]}}"},
        {"torchserve", numbers, two, "{\"a\":1.50,\"b\":-2}"},
        {"json", mixed, missing, "{\"age\":null,\"home town\":null}"},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        struct ce_request_plan plan = plan_of(cases[i].protocol, cases[i].features);
        struct ce_error err = {0};
        ce_autofree char *body = NULL;
        size_t size;
        REQUIRE_OK(ce_request_body(&plan, cases[i].cells, &body, &size, &err), err);
        CHECK(bytes_are(body, size, cases[i].body));
        struct ce_message message = message_of(cases[i].protocol, body);
        CHECK(ce_message_rows(&message) == 1);
    }
}

static void numbers_become_json(void)
{
    static const struct {
        const char *cell, *written; /* NULL: refused */
    } cases[] = {
        {"1.50", "1.50"}, {"-0", "-0"},    {"1e5", "1e5"}, {"+5", "5"},   {".5", "0.5"},
        {"5.", "5"},      {"007", "7"},    {"", NULL},     {"abc", NULL}, {"NaN", NULL},
        {"0x10", NULL},   {"1.5.2", NULL}, {"1,5", NULL},  {"1e", NULL},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        struct ce_request_plan plan = plan_of("json", numbers);
        const char *cells[] = {"1", cases[i].cell};
        struct ce_error err = {0};
        ce_autofree char *body = NULL;
        size_t size;
        int r = ce_request_body(&plan, cells, &body, &size, &err);
        if (!cases[i].written) {
            CHECK(r == -EINVAL && strstr(err.message, "column 'b'") != NULL && !body);
            continue;
        }
        char want[64];
        REQUIRE_OK(r, err);
        snprintf(want, sizeof want, "{\"a\":1,\"b\":%s}", cases[i].written);
        CHECK_TEXT(body, want);
    }
}

static void templates_are_filled(void)
{
    static const struct {
        const char *template, *age, *town, *body;
    } cases[] = {
        {"{\"x\":{{age}},\"t\":{{ home town }}}", "41", "a\"b", "{\"x\":41,\"t\":\"a\\\"b\"}"},
        {"[\"{{age}} from {{home town}}\"]", "41", "a\"b\\", "[\"41 from a\\\"b\\\\\"]"},
        {"[{{age}},{{home town}},\"<{{home town}}>\"]", NULL, NULL, "[null,null,\"<>\"]"},
        {"{\"\\\"{{age}}\":{\"a\":{\"b\":1}}}", "4", "", "{\"\\\"4\":{\"a\":{\"b\":1}}}"},
        {"[1]", "4", "", "[1]"},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        struct ce_request_plan plan = plan_of("json", mixed);
        const char *cells[] = {cases[i].age, cases[i].town};
        struct ce_error err = {0};
        ce_autofree char *body = NULL, *path = NULL;
        size_t size;
        plan.template = cases[i].template;
        REQUIRE_OK(ce_request_path(&plan, &path, &err), err);
        REQUIRE_OK(ce_request_body(&plan, cells, &body, &size, &err), err);
        CHECK(bytes_are(body, size, cases[i].body));
    }
}

static void bad_templates_are_refused_with_their_place(void)
{
    static const struct {
        const char *template, *where, *says;
    } cases[] = {
        {"{\"x\":\n  {{agee}}}", "template:2:3", "no feature column 'agee'"},
        {"{\"x\": {{age}", "template:1:7", "'{{' without '}}'"},
        {"{\"x\": {{age}} {{age}}}", "template:1:15", "comma"},
        {"{\"x\": 1{{age}}}", "template:1:8", "comma"},
        {"{\"x\": -{{age}}}", "template:1:8", "digit"},
        {"{\"x\":\n{{age}},\n}", "template:3:1", "expected a string"},
        {"{{{age}}:1}", "template:1:1", "no feature column '{age'"},
        {"", "template:1:1", "empty"},
        {"age={{age}}", "template:1:1", "expected a value"},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        struct ce_request_plan plan = plan_of("json", mixed);
        struct ce_error err = {0};
        char *path = NULL;
        plan.template = cases[i].template;
        CHECK(ce_request_path(&plan, &path, &err) == -EINVAL);
        CHECK_TEXT(err.where, cases[i].where);
        if (!strstr(err.message, cases[i].says))
            printf("# %s: %s\n", cases[i].template, err.message);
        CHECK(strstr(err.message, cases[i].says) != NULL);
    }
    struct ce_request_plan plan = plan_of("oip_grpc", mixed);
    char *path = NULL;
    plan.model = "m";
    plan.template = "{}";
    CHECK(ce_request_path(&plan, &path, NULL) == -EINVAL);
}

static void errors_have_the_shape_of_the_protocol(void)
{
    static const struct {
        const char *protocol;
        int status;
        const char *body;
    } cases[] = {
        {"oip", 503, "{\"error\":\"no \\\"luck\\\"\"}"},
        {"kserve_v1", 500, "{\"error\":\"no \\\"luck\\\"\"}"},
        {"mlflow", 503,
         "{\"error_code\":\"TEMPORARILY_UNAVAILABLE\",\"message\":\"no \\\"luck\\\"\"}"},
        {"mlflow", 418, "{\"error_code\":\"INTERNAL_ERROR\",\"message\":\"no \\\"luck\\\"\"}"},
        {"torchserve", 503,
         "{\"code\":503,\"type\":\"ServiceUnavailableException\",\"message\":\"no \\\"luck\\\"\"}"},
        {"json", 500, "{\"error\":\"no \\\"luck\\\"\"}"},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        const struct ce_protocol *protocol = ce_protocol_find(cases[i].protocol);
        const char *headers;
        size_t size;
        ce_autofree char *body =
            ce_protocol_error(protocol, cases[i].status, "no \"luck\"", &size, &headers);
        REQUIRE(body != NULL);
        CHECK(bytes_are(body, size, cases[i].body));
        CHECK_TEXT(headers, "Content-Type: application/json\r\n");
        struct ce_message message = message_of(cases[i].protocol, body);
        struct ce_values found = {0};
        message.locator = "$.score";
        CHECK(ce_message_outputs(&message, &found, NULL) == -ENOENT);
    }
}

int main(void)
{
    TEST(paths_name_the_model);
    TEST(every_protocol_has_its_shape_of_requests);
    TEST(numbers_become_json);
    TEST(templates_are_filled);
    TEST(bad_templates_are_refused_with_their_place);
    TEST(errors_have_the_shape_of_the_protocol);
    return test_done();
}
