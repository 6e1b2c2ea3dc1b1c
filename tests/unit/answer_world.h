/* SPDX-License-Identifier: MIT */
/* Answers of any protocol, put straight to the hook that a fault has armed: no socket between, so
 * that thousands of them take no time, binary ones are no matter, and several threads may come at
 * once. */
#ifndef CE_TESTS_ANSWER_WORLD_H
#define CE_TESTS_ANSWER_WORLD_H

#include <math.h>

#include "inference/protobuf.h"
#include "model_world.h"

#define OIP_PATH    PATH
#define KSERVE_PATH "/v1/models/churn:predict"
#define TORCH_PATH  "/predictions/churn"
#define GRPC_PATH   "/inference.GRPCInferenceService/ModelInfer"

/* ---- messages ---- */

/* One output in JSON, and something behind it. */
#define ANSWER(type, shape, data)                                                                  \
    "{\"outputs\":[{\"name\":\"y\",\"datatype\":\"" type "\",\"shape\":" shape ",\"data\":" data   \
    "}], \"x\": 1.50}"

struct sent {
    const char *path, *content_type;
    char head[96]; /* of the response, as far as it matters */
    size_t json_size;
    char body[8192];
    size_t size;
};

static inline void put(struct sent *sent, const void *bytes, size_t size)
{
    if (sent->size + size > sizeof sent->body)
        exit(99);
    memcpy(sent->body + sent->size, bytes, size);
    sent->size += size;
}

static inline struct sent sent_json(const char *path, const char *text)
{
    struct sent sent = {.path = path, .content_type = "application/json"};
    put(&sent, text, strlen(text));
    return sent;
}

/* One output "y" of that shape ("4" or "4,2") in the binary extension. */
static inline struct sent sent_binary(const char *datatype, const char *shape, const void *raw,
                                      size_t size)
{
    struct sent sent = {.path = OIP_PATH, .content_type = "application/octet-stream"};
    char json[256];
    int n = snprintf(json, sizeof json,
                     "{\"outputs\":[{\"name\":\"y\",\"datatype\":\"%s\",\"shape\":[%s],"
                     "\"parameters\":{\"binary_data_size\":%zu}}]}",
                     datatype, shape, size);
    put(&sent, json, (size_t)n);
    put(&sent, raw, size);
    sent.json_size = (size_t)n;
    snprintf(sent.head, sizeof sent.head, "Inference-Header-Content-Length: %d\r\n", n);
    return sent;
}

static inline void put_varint(struct sent *sent, uint64_t number)
{
    char bytes[CE_PB_VARINT_SIZE];
    put(sent, bytes, ce_pb_varint_write(bytes, number));
}

static inline void put_field(struct sent *sent, unsigned number, const void *bytes, size_t size)
{
    put_varint(sent, number << 3 | CE_PB_BYTES);
    put_varint(sent, size);
    put(sent, bytes, size);
}

/* One output "y" of shape [rows] or [rows, width], its values in field `contents` of its contents
 * (packed), or in raw_output_contents (0). */
static inline struct sent sent_grpc(const char *datatype, unsigned rows, unsigned width,
                                    unsigned contents, const void *values, size_t size)
{
    struct sent sent = {.path = GRPC_PATH, .content_type = "application/grpc"},
                tensor = {.size = 0}, inner = {.size = 0}, shape = {.size = 0};
    put_varint(&shape, rows);
    if (width > 0)
        put_varint(&shape, width);
    put_field(&tensor, 1, "y", 1);
    put_field(&tensor, 2, datatype, strlen(datatype));
    put_field(&tensor, 3, shape.body, shape.size);
    if (contents > 0) {
        put_field(&inner, contents, values, size);
        put_field(&tensor, 5, inner.body, inner.size);
    }
    put_field(&sent, 1, "churn", 5);
    put_field(&sent, 5, tensor.body, tensor.size);
    if (contents == 0)
        put_field(&sent, 6, values, size);
    return sent;
}

/* ---- what becomes of them ---- */

/* An answer after the fault; `body` is of its own. */
struct got {
    char *body;
    size_t size, json_size;
    bool changed;
};

static inline void got_done(struct got *got)
{
    free(got->body);
}

static inline struct got falsify(const struct world *world, const struct sent *sent, const char *id)
{
    struct ce_traffic *traffic = world->injection.state;
    struct ce_exchange exchange = {
        .id = id,
        .number = 1,
        .connection = 1,
        .method = "POST",
        .path = sent->path,
        .is_probe = strncmp(id, CE_PROBE_PREFIX, strlen(CE_PROBE_PREFIX)) == 0,
        .head = ce_slice_of(sent->head),
        .body = sent->body,
        .body_size = sent->size,
        .content_type = sent->content_type,
        .status = 200,
    };
    struct ce_action action = {.kind = CE_ACT_PASS};
    traffic->hook.on_response(traffic, &exchange, &action);
    struct got got = {.body = action.body, .size = action.body_size, .changed = action.acted};
    got.json_size = action.set_name ? strtoul(action.set_value, NULL, 10) : sent->json_size;
    if (!got.body) {
        got.body = malloc(sent->size + 1);
        got.size = sent->size;
        memcpy(got.body, sent->body, sent->size);
    }
    return got;
}

/* As text, for answers in JSON. */
static inline char *falsify_text(const struct world *world, const struct sent *sent, const char *id)
{
    CE_CLEANUP(got_done) struct got got = falsify(world, sent, id);
    return strndup(got.body, got.size);
}

/* The values that an answer holds; `json_length` is where the length of its JSON is kept. */
static inline int read_values(const struct sent *sent, const struct got *got, char json_length[24],
                              struct ce_values *ret_values)
{
    struct ce_call call;
    if (ce_call_read(NULL, "POST", sent->path, &call) != 1)
        return -ENOENT;
    snprintf(json_length, 24, "%zu", got->json_size);
    struct ce_message message = {
        .protocol = call.protocol,
        .content_type = sent->content_type,
        .json_length = {json_length, sent->json_size > 0 ? strlen(json_length) : 0},
        .body = got->body,
        .size = got->size,
    };
    return ce_message_outputs(&message, ret_values, NULL);
}

/* Its numbers, NaN for what is none. How many; 0 when it cannot be read. */
static inline size_t read_numbers(const struct sent *sent, const struct got *got, double *numbers,
                                  size_t max)
{
    struct ce_values values = {0};
    char json_length[24];
    size_t n = 0;
    if (read_values(sent, got, json_length, &values) < 0)
        return 0;
    for (; n < values.count && n < max; n++)
        if (!ce_value_number(&values.values[n], &numbers[n]))
            numbers[n] = NAN;
    ce_values_done(&values);
    return n;
}

/* What the fault makes of an answer's numbers for that request. */
static inline size_t falsify_numbers(const struct world *world, const struct sent *sent,
                                     const char *id, double *numbers, size_t max)
{
    CE_CLEANUP(got_done) struct got got = falsify(world, sent, id);
    return read_numbers(sent, &got, numbers, max);
}

#endif
