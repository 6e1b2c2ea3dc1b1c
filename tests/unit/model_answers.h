/* SPDX-License-Identifier: MIT */
/* What real model servers answered to two rows of iris measurements (gRPC: to the first), byte by
 * byte: MLflow 3.17.2's scoring server with a scikit-learn classifier, and KServe 0.21.0's Python
 * model server with the same. tests/e2e/test_real_servers.py asks them again. */
#ifndef CE_TESTS_MODEL_ANSWERS_H
#define CE_TESTS_MODEL_ANSWERS_H

#include "base/slice.h"

#define ANSWER(bytes)                                                                              \
    {                                                                                              \
        bytes, sizeof(bytes) - 1                                                                   \
    }

static const struct model_answers {
    struct ce_slice mlflow, mlflow_error;
    struct ce_slice v1, v1_scores, v1_error;
    struct ce_slice v2, v2_scores;
    struct ce_slice v2_binary, v2_binary_scores; /* KServe sends them without a Content-Type */
    struct ce_slice grpc_typed_request, grpc_raw_request;
    struct ce_slice grpc_typed, grpc_raw, grpc_typed_scores, grpc_raw_scores;
} model_answers = {
    .mlflow = ANSWER("{\"predictions\": [0, 2]}"),
    .mlflow_error =
        ANSWER("{\"error_code\": \"BAD_REQUEST\", \"message\": \"Invalid input. Provided "
               "dataframe_split field is not a valid dataframe representation in 'split' format. "
               "Error: '4 columns passed, passed data had 1 columns'\", \"sqlstate\": \"KAM00\", "
               "\"error_class\": \"INVALID_PARAMETER_VALUE\"}"),
    .v1 = ANSWER("{\"predictions\":[0,2]}"),
    .v1_scores =
        ANSWER("{\"predictions\":[[0.976272599028789,0.02372721423040181,1.8674080916256935e-7],"
               "[0.00013890734233641048,0.08522979910332036,0.9146312935543432]]}"),
    .v1_error = ANSWER("{\"error\":\"Model with name nope does not exist.\"}"),
    .v2 = ANSWER("{\"model_name\":\"iris\",\"model_version\":null,\"id\":\"iris\",\"parameters\":"
                 "null,\"outputs\":[{\"name\":\"species\",\"shape\":[2],\"datatype\":\"INT64\","
                 "\"parameters\":null,\"data\":[0,2]}]}"),
    .v2_scores =
        ANSWER("{\"model_name\":\"iris_scores\",\"model_version\":null,\"id\":\"iris_scores\","
               "\"parameters\":null,\"outputs\":[{\"name\":\"scores\",\"shape\":[2,3],\"datatype\":"
               "\"FP64\",\"parameters\":null,\"data\":[0.976272599028789,0.02372721423040181,"
               "1.8674080916256935e-7,0.00013890734233641048,0.08522979910332036,"
               "0.9146312935543432]}]}"),
    .v2_binary = ANSWER("{\"id\":\"iris\",\"model_name\":\"iris\",\"model_version\":null,"
                        "\"outputs\":[{\"name\":\"species\",\"shape\":[2],\"datatype\":\"INT64\","
                        "\"parameters\":{\"binary_data_size\":16}}]}"
                        "\0\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0"),
    .v2_binary_scores =
        ANSWER("{\"id\":\"iris_scores\",\"model_name\":\"iris_scores\",\"model_version\":null,"
               "\"outputs\":[{\"name\":\"scores\",\"shape\":[2,3],\"datatype\":\"FP64\","
               "\"parameters\":{\"binary_data_size\":48}}]}"
               "\x00\xe8\x99\x08\xa0\x3d\xef\x3f\x61\x3c\x94\x64\xf2\x4b\x98\x3f"
               "\xd2\x9a\x47\x87\x5d\x10\x89\x3e\x18\x29\x2a\xfc\xf4\x34\x22\x3f"
               "\xfd\x1c\xcb\xbf\x9e\xd1\xb5\x3f\xbe\xd9\xb6\xd8\xa8\x44\xed\x3f"),
    .grpc_typed_request =
        ANSWER("\x0a\x04iris*7\x0a\x07input-0\x12\x04"
               "FP64\x1a\x02\x01\x04*\":\x20\x66\x66\x66\x66\x66\x66\x14\x40\0\0\0\0\0\0\x0c\x40"
               "\x66\x66\x66\x66\x66\x66\xf6\x3f\x9a\x99\x99\x99\x99\x99\xc9\x3f"),
    .grpc_raw_request =
        ANSWER("\x0a\x04iris*\x13\x0a\x07input-0\x12\x04"
               "FP64\x1a\x02\x01\x04:\x20\x66\x66\x66\x66\x66\x66\x14\x40\0\0\0\0\0\0\x0c\x40"
               "\x66\x66\x66\x66\x66\x66\xf6\x3f\x9a\x99\x99\x99\x99\x99\xc9\x3f"),
    .grpc_typed = ANSWER("\x0a\x04iris\x1a\x04iris*\x18\x0a\x07species\x12\x05INT64\x1a\x01\x01*"
                         "\x03\x1a\x01\x00"),
    .grpc_raw = ANSWER("\x0a\x04iris\x1a\x04iris*+\x0a\x07species\x12\x05INT64\x1a\x01\x01\"\x16"
                       "\x0a\x10"
                       "binary_data_size\x12\x02\x10\x08"
                       "2\x08\0\0\0\0\0\0\0\0"),
    .grpc_typed_scores =
        ANSWER("\x0a\x0biris_scores\x1a\x0biris_scores*.\x0a\x06scores\x12\x04"
               "FP64\x1a\x02\x01\x03*\x1a:\x18\x00\xe8\x99\x08\xa0\x3d\xef\x3f\x61\x3c\x94\x64\xf2"
               "\x4b\x98\x3f\xd2\x9a\x47\x87\x5d\x10\x89\x3e"),
    .grpc_raw_scores =
        ANSWER("\x0a\x0biris_scores\x1a\x0biris_scores**\x0a\x06scores\x12\x04"
               "FP64\x1a\x02\x01\x03\"\x16\x0a\x10"
               "binary_data_size\x12\x02\x10\x18"
               "2\x18\x00\xe8\x99\x08\xa0\x3d\xef\x3f\x61\x3c\x94\x64\xf2\x4b\x98\x3f"
               "\xd2\x9a\x47\x87\x5d\x10\x89\x3e"),
};

#undef ANSWER
#endif
