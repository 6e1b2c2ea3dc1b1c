/* SPDX-License-Identifier: MIT */
/* Messages in the shapes that model servers publish. */
#include "inference.h"

/* ---- paths ---- */

static void a_path_tells_protocol_model_and_version(void)
{
    static const struct {
        const char *path, *protocol, *model, *version;
    } cases[] = {
        {"/v2/models/churn/infer", "oip", "churn", ""},
        {"/v2/models/churn/versions/2/infer?x=1", "oip", "churn", "2"},
        {"/serving/shop/churn/v2/models/churn/infer", "oip", "churn", ""},
        {"http://host:8080/v2/models/a%2Fb/infer", "oip", "a%2Fb", ""},
        {"/v1/models/iris:predict", "kserve_v1", "iris", ""},
        {"/v1/models/iris/versions/3:classify", "kserve_v1", "iris", "3"},
        {"/v1/models/iris/labels/stable:regress", "kserve_v1", "iris", "stable"},
        {"/invocations", "mlflow", "", ""},
        {"/predictions/bert", "torchserve", "bert", ""},
        {"/predictions/bert/1.0", "torchserve", "bert", "1.0"},
        {"/v2/models/churn", NULL, "", ""},
        {"/v2/models/churn/ready", NULL, "", ""},
        {"/v2/models//infer", NULL, "", ""},
        {"/v2/models/churn/versions//infer", NULL, "", ""},
        {"/v2/models/churn/versions/2/infer/x", NULL, "", ""},
        {"/v1/models/iris", NULL, "", ""},
        {"/v1/models/iris:explain", NULL, "", ""},
        {"/invocations/x", NULL, "", ""},
        {"/predictions/", NULL, "", ""},
        {"/predictions/a/1/x", NULL, "", ""},
        {"/?/invocations", NULL, "", ""},
        {"", NULL, "", ""},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        struct ce_call call = {0};
        int r = ce_call_read(NULL, "POST", cases[i].path, &call);
        CHECK(r == (cases[i].protocol != NULL));
        CHECK(ce_call_read(NULL, "GET", cases[i].path, &call) == 0);
        if (r != 1)
            continue;
        CHECK_TEXT(ce_protocol_name(call.protocol), cases[i].protocol);
        CHECK(ce_slice_is(call.model, cases[i].model));
        CHECK(ce_slice_is(call.version, cases[i].version));
    }
    struct ce_call call;
    CHECK(ce_call_read(ce_protocol_find("json"), "POST", "/score", &call) == 1);
    CHECK(ce_call_read(ce_protocol_find("mlflow"), "POST", "/v2/models/a/infer", &call) == 0);
    CHECK(ce_protocol_find("soap") == NULL);
    CHECK(ce_protocol_at(ce_protocol_count()) == NULL);
}

static void a_path_can_name_another_model(void)
{
    static const struct {
        const char *path, *model, *version, *want;
    } cases[] = {
        {"/v2/models/a/infer?x=1", "b", "", "/v2/models/b/infer?x=1"},
        {"/v2/models/a/infer", "", "2", "/v2/models/a/versions/2/infer"},
        {"/p/v2/models/a/versions/1/infer", "b", "2", "/p/v2/models/b/versions/2/infer"},
        {"/v2/models/a/versions/1/infer", "b/c d", "", "/v2/models/b%2Fc%20d/versions/1/infer"},
        {"/v1/models/a/labels/stable:predict", "", "7", "/v1/models/a/versions/7:predict"},
        {"/v1/models/a:predict", "b", "7", "/v1/models/b/versions/7:predict"},
        {"/predictions/a", "", "1.0", "/predictions/a/1.0"},
        {"/predictions/a/1.0?k=v", "b", "2.0", "/predictions/b/2.0?k=v"},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        struct ce_call call;
        REQUIRE(ce_call_read(NULL, "POST", cases[i].path, &call) == 1);
        ce_autofree char *path = ce_call_repath(&call, cases[i].path, ce_slice_of(cases[i].model),
                                                ce_slice_of(cases[i].version));
        CHECK_TEXT(path, cases[i].want);
    }
    struct ce_call call;
    REQUIRE(ce_call_read(NULL, "POST", "/invocations", &call) == 1);
    CHECK(ce_call_repath(&call, "/invocations", ce_slice_of("b"), ce_slice_of("")) == NULL);
    CHECK(errno == ENOTSUP);
}

/* ---- predictions ---- */

struct want {
    const char *tensor, *text;
    size_t index, width;
};

static void every_server_has_its_shape_of_predictions(void)
{
    static const struct {
        const char *protocol, *locator, *body;
        size_t rows;
        struct want want[6];
    } cases[] = {
        /* KServe, Triton, MLServer */
        {"oip",
         NULL,
         "{\"model_name\":\"churn\",\"id\":\"1\",\"outputs\":[{\"name\":\"p\",\"shape\":[2],"
         "\"datatype\":\"FP64\",\"data\":[0.25,null]}]}",
         2,
         {{"p", "0.25", 0, 1}, {"p", "null", 1, 1}}},
        {"oip",
         NULL,
         " {\"outputs\" : [{\"data\":[ [1, 0],\n[0.5 ,0.5] ],\"shape\":[2,2],\"name\":\"p\","
         "\"parameters\":{\"data\":[1]}},{\"name\":\"label\",\"datatype\":\"BYTES\",\"shape\":[2,"
         "1],\"data\":[\"a,]\",\"\\\"\\u00e9\"]}]}\n",
         2,
         {{"p", "1", 0, 2},
          {"p", "0", 1, 2},
          {"p", "0.5", 2, 2},
          {"p", "0.5", 3, 2},
          {"label", "\"a,]\"", 0, 1},
          {"label", "\"\\\"\\u00e9\"", 1, 1}}},
        /* KServe v1 (scikit-learn), TensorFlow Serving */
        {"kserve_v1", NULL, "{\"predictions\":[1,0]}", 2, {{"", "1", 0, 1}, {"", "0", 1, 1}}},
        {"kserve_v1",
         NULL,
         "{\n    \"predictions\": [[0.1, 0.9], [0.7, 0.3]\n    ]\n}",
         2,
         {{"", "0.1", 0, 2}, {"", "0.9", 1, 2}, {"", "0.7", 2, 2}, {"", "0.3", 3, 2}}},
        {"kserve_v1",
         NULL,
         "{\"predictions\":[{\"classes\":1,\"scores\":[0.2,0.8]},{\"scores\":[0.6,0.4],"
         "\"classes\":0}]}",
         2,
         {{"classes", "1", 0, 1},
          {"scores", "0.2", 0, 2},
          {"scores", "0.8", 1, 2},
          {"scores", "0.6", 2, 2},
          {"scores", "0.4", 3, 2},
          {"classes", "0", 1, 1}}},
        {"kserve_v1",
         NULL,
         "{\"outputs\":{\"class\":[\"a\",\"b\"],\"p\":[[0.9],[0.8]]}}",
         2,
         {{"class", "\"a\"", 0, 1},
          {"class", "\"b\"", 1, 1},
          {"p", "0.9", 0, 1},
          {"p", "0.8", 1, 1}}},
        {"kserve_v1", NULL, "{\"outputs\":[2.5,3.5]}", 2, {{"", "2.5", 0, 1}, {"", "3.5", 1, 1}}},
        {"kserve_v1",
         NULL,
         "{\"results\":[[[\"a\",0.9],[\"b\",0.1]],[[\"b\",0.8],[\"a\",0.2]]]}",
         2,
         {{"", "0.9", 0, 2}, {"", "0.1", 1, 2}, {"", "0.8", 2, 2}, {"", "0.2", 3, 2}}},
        {"kserve_v1", NULL, "{\"results\":[0.5,1.5]}", 2, {{"", "0.5", 0, 1}, {"", "1.5", 1, 1}}},
        {"kserve_v1",
         NULL,
         "{\"predictions\":[[1,2],[3],[4]]}",
         3,
         {{"", "1", 0, 1}, {"", "2", 1, 1}, {"", "3", 2, 1}, {"", "4", 3, 1}}},
        /* MLflow */
        {"mlflow",
         NULL,
         "{\"predictions\": [1.0, NaN]}",
         2,
         {{"", "1.0", 0, 1}, {"", "NaN", 1, 1}}},
        {"mlflow",
         NULL,
         "{\"predictions\": [{\"0\": 0.3, \"1\": 0.7}, {\"0\": 0.6, \"1\": 0.4}]}",
         2,
         {{"0", "0.3", 0, 1}, {"1", "0.7", 0, 1}, {"0", "0.6", 1, 1}, {"1", "0.4", 1, 1}}},
        {"mlflow",
         NULL,
         "{\"predictions\": {\"y\": [1, 2]}}",
         2,
         {{"y", "1", 0, 1}, {"y", "2", 1, 1}}},
        {"mlflow",
         NULL,
         "{\"predictions\": [{\"a\": 1}, {\"b\": 2}, {\"a\": 3}]}",
         3,
         {{"a", "1", 0, 1}, {"b", "2", 1, 1}, {"a", "3", 2, 1}}},
        /* TorchServe */
        {"torchserve",
         NULL,
         "{\n  \"tabby\": 0.46,\n  \"lynx\": 0.13\n}",
         1,
         {{"", "0.46", 0, 2}, {"", "0.13", 1, 2}}},
        {"torchserve",
         NULL,
         "[{\"label\":\"cat\",\"score\":0.9}]",
         1,
         {{"label", "\"cat\"", 0, 1}, {"score", "0.9", 0, 1}}},
        {"torchserve", NULL, "2.75", 1, {{"", "2.75", 0, 1}}},
        {"torchserve", NULL, "[0.5,0.25]", 2, {{"", "0.5", 0, 1}, {"", "0.25", 1, 1}}},
        /* BentoML, FastAPI */
        {"json", "$", "[[0.1,0.9]]", 1, {{"", "0.1", 0, 2}, {"", "0.9", 1, 2}}},
        {"json",
         "$.result[*].score",
         "{\"result\":[{\"score\":0.5,\"x\":1},{\"x\":2},{\"score\":0.75}]}",
         2,
         {{"score", "0.5", 0, 1}, {"score", "0.75", 1, 1}}},
        {"json",
         "$.r[*].p",
         "{\"r\":[{\"p\":[0.1,0.9]},{\"p\":[0.5,0.5]}]}",
         2,
         {{"p", "0.1", 0, 2}, {"p", "0.9", 1, 2}, {"p", "0.5", 2, 2}, {"p", "0.5", 3, 2}}},
        {"json",
         "$[\"a b\"][1]['c.d']",
         "{\"a b\":[0,{\"c.d\":\"yes\"}]}",
         1,
         {{"c.d", "\"yes\"", 0, 1}}},
        {"json",
         "$.p",
         "{\"p\":{\"cat\":0.9,\"dog\":0.1}}",
         1,
         {{"p", "0.9", 0, 2}, {"p", "0.1", 1, 2}}},
        {"json",
         "$.p",
         "{\"p\":{\"price\":10.5,\"tax\":1.5}}",
         1,
         {{"price", "10.5", 0, 1}, {"tax", "1.5", 0, 1}}},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        struct ce_message message = message_of(cases[i].protocol, cases[i].body);
        struct ce_values found;
        struct ce_error err = {0};
        size_t count = 0;
        message.locator = cases[i].locator;
        REQUIRE_OK(ce_message_outputs(&message, &found, &err), err);
        while (count < CE_COUNT(cases[i].want) && cases[i].want[count].text)
            count++;
        if (found.count != count || found.rows != cases[i].rows)
            printf("# %s: %zu values, %zu rows\n", cases[i].body, found.count, found.rows);
        CHECK(found.count == count && found.rows == cases[i].rows);
        for (size_t k = 0; k < count && k < found.count; k++) {
            const struct want *want = &cases[i].want[k];
            CHECK(value_is(&found.values[k], want->tensor, want->text, want->index, want->width));
        }
        ce_values_done(&found);
    }
}

static void scores_know_their_class(void)
{
    struct ce_message message = message_of("torchserve", "{\"tabby\":0.46,\"lynx\":0.13}");
    struct ce_values found;
    struct ce_error err = {0};
    REQUIRE_OK(ce_message_outputs(&message, &found, &err), err);
    REQUIRE(found.count == 2);
    CHECK(ce_slice_is(found.values[0].class_name, "tabby"));
    CHECK(ce_slice_is(found.values[1].class_name, "lynx"));
    ce_values_done(&found);
    message = message_of("kserve_v1", "{\"results\":[[[\"a\",0.9],[\"b\",0.1]]]}");
    REQUIRE_OK(ce_message_outputs(&message, &found, &err), err);
    REQUIRE(found.count == 2);
    CHECK(ce_slice_is(found.values[1].class_name, "b"));
    ce_values_done(&found);
}

static void other_messages_hold_no_predictions(void)
{
    static const struct {
        const char *protocol, *body;
        int result;
    } cases[] = {
        {"oip", "{\"error\":\"no such model\"}", -ENOENT},
        {"oip", "{\"inputs\":[]}", -ENOENT},
        {"oip", "[]", -EINVAL},
        {"oip", "Service Unavailable", -EINVAL},
        {"oip", "", -EINVAL},
        {"oip", "{\"outputs\":{}}", -EINVAL},
        {"oip", "{\"outputs\":[1]}", -EINVAL},
        {"oip", "{\"outputs\":[{\"data\":1}]}", -EINVAL},
        {"oip", "{\"outputs\":[{\"data\":[{}]}]}", -EINVAL},
        {"oip", "{\"outputs\":[{\"name\":1}]}", -EINVAL},
        {"oip", "{\"outputs\":[],\"outputs\":[]}", -EINVAL},
        {"oip", "{\"outputs\":[{\"data\":[1],\"data\":[2]}]}", -EINVAL},
        {"oip", "{\"outputs\":[{\"shape\":[1,-1]}]}", -EINVAL},
        {"oip", "{\"outputs\":[{\"shape\":[1,4294967296,4294967296]}]}", -EINVAL},
        {"oip", "{\"outputs\":[{\"data\":[1],\"parameters\":{\"binary_data_size\":0}}]}", -EINVAL},
        {"oip", "{\"outputs\":[{\"parameters\":{\"binary_data_size\":8}}]}", -EINVAL},
        {"oip", "{\"outputs\":[{\"parameters\":{\"binary_data_size\":-1}}]}", -EINVAL},
        {"kserve_v1", "{\"error\":\"x\"}", -ENOENT},
        {"kserve_v1", "[1]", -EINVAL},
        {"kserve_v1", "{\"predictions\":[1", -EINVAL},
        {"kserve_v1", "{\"predictions\":[{\"a\":1,\"a\":2}]}", -EINVAL},
        {"kserve_v1", "{\"predictions\":[1],\"predictions\":[2]}", -EINVAL},
        {"mlflow", "{\"error_code\":\"BAD_REQUEST\",\"message\":\"x\"}", -ENOENT},
        {"mlflow", "\"Hello\"", -ENOENT},
        {"mlflow", "Hello", -EINVAL},
        {"torchserve", "{\"code\":503,\"type\":\"InternalServerException\",\"message\":\"x\"}",
         -ENOENT},
        {"torchserve", "cat", -EINVAL},
        {"json", "{\"error\":1}", -ENOENT},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        struct ce_message message = message_of(cases[i].protocol, cases[i].body);
        struct ce_values found = {0};
        struct ce_error err = {0};
        message.locator = "$.result";
        int r = ce_message_outputs(&message, &found, &err);
        if (r != cases[i].result)
            printf("# %s %s: %d, %s\n", cases[i].protocol, cases[i].body, r, err.message);
        CHECK(r == cases[i].result);
        CHECK(err.message[0] != '\0' && err.code == -r);
        CHECK(found.values == NULL && found.frames == NULL);
    }
}

static void tensors_elsewhere_are_counted(void)
{
    struct ce_message message = message_of(
        "oip", "{\"outputs\":[{\"name\":\"a\",\"shape\":[2],\"datatype\":\"FP32\",\"parameters\":{"
               "\"shared_memory_region\":\"r\"}},{\"name\":\"b\",\"data\":[7]}]}");
    struct ce_values found;
    struct ce_error err = {0};
    REQUIRE_OK(ce_message_outputs(&message, &found, &err), err);
    CHECK(found.without_data == 1 && found.count == 1 && found.rows == 2);
    CHECK(found.values[0].ordinal == 1);
    ce_values_done(&found);
}

static void more_values_than_anybody_predicts_are_refused(void)
{
    size_t count = ((size_t)1 << 20) + 1, size = 0;
    ce_autofree char *body = malloc(2 * count + 32);
    REQUIRE(body != NULL);
    size += (size_t)sprintf(body, "{\"predictions\":[1");
    for (size_t i = 1; i < count; i++, size += 2)
        memcpy(body + size, ",1", 2);
    size += (size_t)sprintf(body + size, "]}");
    struct ce_message message = message_of("mlflow", body);
    struct ce_values found = {0};
    struct ce_error err = {0};
    CHECK(message.size == size);
    CHECK(ce_message_outputs(&message, &found, &err) == -EINVAL);
    CHECK(strstr(err.message, "more than") != NULL);
}

/* ---- features ---- */

static void every_server_has_its_shape_of_features(void)
{
    static const struct {
        const char *protocol, *body;
        size_t rows;
        struct want want[4];
    } cases[] = {
        {"oip",
         "{\"inputs\":[{\"name\":\"age\",\"shape\":[1,1],\"datatype\":\"INT64\",\"data\":[41]},{"
         "\"name\":\"city\",\"shape\":[1,1],\"datatype\":\"BYTES\",\"data\":[\"Rome\"]}]}",
         1,
         {{"age", "41", 0, 1}, {"city", "\"Rome\"", 0, 1}}},
        {"kserve_v1",
         "{\"instances\":[[6.8,2.8],[6.0,3.4]]}",
         2,
         {{"", "6.8", 0, 2}, {"", "2.8", 1, 2}, {"", "6.0", 2, 2}, {"", "3.4", 3, 2}}},
        {"kserve_v1",
         "{\"signature_name\":\"s\",\"inputs\":{\"age\":[1,2],\"city\":[\"a\",\"b\"]}}",
         2,
         {{"age", "1", 0, 1},
          {"age", "2", 1, 1},
          {"city", "\"a\"", 0, 1},
          {"city", "\"b\"", 1, 1}}},
        {"mlflow",
         "{\"dataframe_split\":{\"columns\":[\"a\",\"b\"],\"data\":[[1,2],[3,4]]}}",
         2,
         {{"a", "1", 0, 1}, {"b", "2", 0, 1}, {"a", "3", 1, 1}, {"b", "4", 1, 1}}},
        {"mlflow",
         "{\"dataframe_split\":{\"data\":[[1,2]],\"index\":[0]}}",
         1,
         {{"", "1", 0, 2}, {"", "2", 1, 2}}},
        {"mlflow",
         "{\"dataframe_records\":[{\"a\":1,\"b\":\"x\"}],\"params\":{\"k\":1}}",
         1,
         {{"a", "1", 0, 1}, {"b", "\"x\"", 0, 1}}},
        {"mlflow", "{\"inputs\":{\"a\":[1],\"b\":[2]}}", 1, {{"a", "1", 0, 1}, {"b", "2", 0, 1}}},
        {"torchserve", "{\"instances\":[{\"data\":[0.5]}]}", 1, {{"data", "0.5", 0, 1}}},
        {"json",
         "{\"age\":41,\"tags\":{\"city\":\"Rome\"}}",
         1,
         {{"age", "41", 0, 1}, {"city", "\"Rome\"", 0, 1}}},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        struct ce_message message = message_of(cases[i].protocol, cases[i].body);
        struct ce_values found;
        struct ce_error err = {0};
        REQUIRE_OK(ce_message_inputs(&message, &found, &err), err);
        for (size_t k = 0; k < CE_COUNT(cases[i].want) && cases[i].want[k].text; k++) {
            const struct want *want = &cases[i].want[k];
            REQUIRE(k < found.count);
            CHECK(value_is(&found.values[k], want->tensor, want->text, want->index, want->width));
        }
        CHECK(ce_message_rows(&message) == cases[i].rows);
        ce_values_done(&found);
    }
}

static void requests_without_features_say_so(void)
{
    struct ce_values found = {0};
    struct ce_error err = {0};
    struct ce_message message = message_of("mlflow", "a,b\n1,2\n");
    message.content_type = "text/csv";
    CHECK(ce_message_inputs(&message, &found, &err) == -ENOENT);
    CHECK(ce_message_rows(&message) == 0);
    message = message_of("mlflow", "{\"messages\":[]}");
    CHECK(ce_message_inputs(&message, &found, &err) == -ENOENT);
    message = message_of("mlflow", "{\"dataframe_split\":{\"columns\":[\"a\"]}}");
    CHECK(ce_message_inputs(&message, &found, &err) == -EINVAL);
    message = message_of("mlflow", "{\"dataframe_split\":{\"data\":[1]}}");
    CHECK(ce_message_inputs(&message, &found, &err) == -EINVAL);
}

/* ---- the class or number that is predicted ---- */

static void the_first_row_says_what_is_predicted(void)
{
    static const struct {
        const char *protocol, *body;
        bool is_label;
        const char *text;
    } cases[] = {
        {"kserve_v1", "{\"predictions\":[1,0]}", true, "1"},
        {"kserve_v1", "{\"predictions\":[0.83]}", false, "0.83"},
        {"kserve_v1", "{\"predictions\":[[0.1,0.2,0.7],[1.0,0.0,0.0]]}", true, "2"},
        {"kserve_v1", "{\"predictions\":[[3.5,4.25]]}", false, "3.5"},
        {"kserve_v1", "{\"results\":[[[\"low\",0.2],[\"h\\u00f6h\",0.8]]]}", true, "h\xc3\xb6h"},
        {"mlflow", "{\"predictions\":[\"churn\"]}", true, "churn"},
        {"torchserve", "{\"tabby\":0.46,\"lynx\":0.13}", true, "tabby"},
        {"oip",
         "{\"outputs\":[{\"name\":\"p\",\"shape\":[1,2],\"datatype\":\"FP32\",\"data\":[0.4,0.6]},"
         "{\"name\":\"label\",\"shape\":[1],\"datatype\":\"INT64\",\"data\":[5]}]}",
         true, "5"},
        {"oip", "{\"outputs\":[{\"name\":\"y\",\"shape\":[1],\"datatype\":\"FP64\",\"data\":[1]}]}",
         false, "1"},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        struct ce_message message = message_of(cases[i].protocol, cases[i].body);
        struct ce_prediction prediction;
        struct ce_error err = {0};
        REQUIRE_OK(ce_message_prediction(&message, &prediction, &err), err);
        CHECK(prediction.is_label == cases[i].is_label);
        CHECK_TEXT(prediction.text, cases[i].text);
    }
    struct ce_message empty = message_of("kserve_v1", "{\"predictions\":[]}");
    struct ce_prediction prediction;
    CHECK(ce_message_prediction(&empty, &prediction, NULL) == -ENOENT);
}

/* ---- remaking ---- */

static void edits_keep_every_other_byte(void)
{
    static const char body[] = "{\"b\" :[\"\\u0041\", 1.50 ],\"outputs\":[ {\"name\":\"p\" "
                               ",\"data\":[0.1, 0.2,0.30]}],\"z\":{} }\n";
    static const char want[] = "{\"b\" :[\"\\u0041\", 1.50 ],\"outputs\":[ {\"name\":\"p\" "
                               ",\"data\":[123456, 0.2,-1e9]}],\"z\":{} }\n";
    struct ce_message message = message_of("oip", body);
    struct ce_values found;
    struct ce_error err = {0};
    REQUIRE_OK(ce_message_outputs(&message, &found, &err), err);
    REQUIRE(found.count == 3);
    struct ce_edit edits[] = {{.value = 0, .text = "123456", .size = 6},
                              {.value = 2, .text = "-1e9", .size = 4}};
    struct ce_remade remade, back;
    REQUIRE_OK(ce_values_apply(&message, &found, edits, 2, &remade, &err), err);
    CHECK(bytes_are(remade.body, remade.size, want));
    ce_values_done(&found);

    message.body = remade.body;
    message.size = remade.size;
    REQUIRE_OK(ce_message_outputs(&message, &found, &err), err);
    struct ce_edit undo[] = {{.value = 0, .text = "0.1", .size = 3},
                             {.value = 2, .text = "0.30", .size = 4}};
    REQUIRE_OK(ce_values_apply(&message, &found, undo, 2, &back, &err), err);
    CHECK(bytes_are(back.body, back.size, body));
    ce_values_done(&found);
    free(remade.body);
    free(back.body);
}

static void the_last_row_can_be_left_out(void)
{
    static const struct {
        const char *protocol, *locator, *body, *want;
    } cases[] = {
        {"oip", NULL, "{\"outputs\":[{\"shape\":[ 2 ,2],\"data\":[1, 2, 3, 4 ]}]}",
         "{\"outputs\":[{\"shape\":[ 1 ,2],\"data\":[1, 2]}]}"},
        {"oip", NULL,
         "{\"outputs\":[{\"data\":[[1,2],[3,4]],\"shape\":[2,2]},{\"shape\":[2],\"data\":[5,6]}]}",
         "{\"outputs\":[{\"data\":[[1,2]],\"shape\":[1,2]},{\"shape\":[1],\"data\":[5]}]}"},
        {"oip", NULL, "{\"outputs\":[{\"shape\":[1],\"data\":[ 1 ]}]}",
         "{\"outputs\":[{\"shape\":[0],\"data\":[]}]}"},
        {"kserve_v1", NULL, "{\"predictions\":[[1,2],[3,4]]}", "{\"predictions\":[[1,2]]}"},
        {"kserve_v1", NULL, "{\"outputs\":{\"a\":[1,2],\"b\":[[3],[4]]}}",
         "{\"outputs\":{\"a\":[1],\"b\":[[3]]}}"},
        {"mlflow", NULL, "{\"predictions\": [1]}", "{\"predictions\": []}"},
        {"torchserve", NULL, "[1,2]", "[1]"},
        {"json", "$.r[*].p", "{\"r\":[{\"p\":1},{\"p\":2}]}", "{\"r\":[{\"p\":1}]}"},
        {"json", "$.r", "{\"r\":[1,2]}", "{\"r\":[1]}"},
        {"oip", NULL, "{\"outputs\":[{\"shape\":[0],\"data\":[]}]}", NULL},
        {"oip", NULL, "{\"outputs\":[{\"shape\":[],\"data\":[1]}]}", NULL},
        {"mlflow", NULL, "{\"predictions\": []}", NULL},
        {"torchserve", NULL, "0.5", NULL},
        {"torchserve", NULL, "{\"a\":0.5,\"b\":0.5}", NULL},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        struct ce_message message = message_of(cases[i].protocol, cases[i].body);
        struct ce_values found;
        struct ce_error err = {0};
        struct ce_remade remade = {0};
        message.locator = cases[i].locator;
        REQUIRE_OK(ce_message_outputs(&message, &found, &err), err);
        int r = ce_message_shorten(&message, &found, &remade, &err);
        if (cases[i].want) {
            REQUIRE_OK(r, err);
            CHECK(bytes_are(remade.body, remade.size, cases[i].want));
        } else {
            CHECK(r == -ENOTSUP);
        }
        free(remade.body);
        ce_values_done(&found);
    }
}

static void a_body_can_name_another_model(void)
{
    struct ce_message message =
        message_of("json", "{\"model\": \"gpt\", \"input\": {\"model\": 1}}");
    struct ce_slice model, version;
    struct ce_remade remade;
    struct ce_error err = {0};
    ce_message_model(&message, &model, &version);
    CHECK(ce_slice_is(model, "gpt") && version.size == 0);
    REQUIRE_OK(ce_message_rename(&message, ce_slice_of("a\"b"), ce_slice_of(""), &remade, &err),
               err);
    CHECK(
        bytes_are(remade.body, remade.size, "{\"model\": \"a\\\"b\", \"input\": {\"model\": 1}}"));
    free(remade.body);
    CHECK(ce_message_rename(&message, ce_slice_of(""), ce_slice_of("2"), &remade, &err) ==
          -ENOTSUP);

    message = message_of("oip", "{\"model_name\":\"a\",\"model_version\":\"1\",\"outputs\":[]}");
    REQUIRE_OK(ce_message_rename(&message, ce_slice_of("b"), ce_slice_of("2"), &remade, &err), err);
    CHECK(bytes_are(remade.body, remade.size,
                    "{\"model_name\":\"b\",\"model_version\":\"2\",\"outputs\":[]}"));
    free(remade.body);
    message = message_of("oip", "{\"inputs\":[]}");
    CHECK(ce_message_rename(&message, ce_slice_of("b"), ce_slice_of(""), &remade, &err) ==
          -ENOTSUP);
    message = message_of("mlflow", "{}");
    CHECK(ce_message_rename(&message, ce_slice_of("b"), ce_slice_of(""), &remade, &err) ==
          -ENOTSUP);
}

int main(void)
{
    TEST(a_path_tells_protocol_model_and_version);
    TEST(a_path_can_name_another_model);
    TEST(every_server_has_its_shape_of_predictions);
    TEST(scores_know_their_class);
    TEST(other_messages_hold_no_predictions);
    TEST(tensors_elsewhere_are_counted);
    TEST(more_values_than_anybody_predicts_are_refused);
    TEST(every_server_has_its_shape_of_features);
    TEST(requests_without_features_say_so);
    TEST(the_first_row_says_what_is_predicted);
    TEST(edits_keep_every_other_byte);
    TEST(the_last_row_can_be_left_out);
    TEST(a_body_can_name_another_model);
    return test_done();
}
