/* SPDX-License-Identifier: MIT */
/* The inference protocols: what the messages of model servers say, as spans of their bytes, so that
 * a fault edits only the bytes of the values that it means.
 *
 *     oip        Open Inference Protocol v2 (KServe, Triton, MLServer), REST, JSON and binary
 * tensors oip_grpc   the same as gRPC: GRPCInferenceService/ModelInfer kserve_v1  KServe v1 and
 * TensorFlow Serving, REST mlflow     /invocations torchserve /predictions/MODEL json       any
 * other JSON: the user names the path to the prediction
 *
 * One file for each. All functions are pure and may be called on any thread. Slices point into the
 * message. */
#ifndef CE_INFERENCE_INFERENCE_H
#define CE_INFERENCE_INFERENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/slice.h"

struct ce_protocol;

/* ---- which protocol ---- */

size_t ce_protocol_count(void);
const struct ce_protocol *ce_protocol_at(size_t i);           /* NULL past the last */
const struct ce_protocol *ce_protocol_find(const char *name); /* NULL: none is called that */
const char *ce_protocol_name(const struct ce_protocol *protocol);
/* Whether its requests say which model they are for, in the path or in the message. */
bool ce_protocol_names_models(const struct ce_protocol *protocol);
/* What a request asks for by its method and path ("/v2/models/churn/versions/2/infer?x=1"). */
struct ce_call {
    const struct ce_protocol *protocol;
    struct ce_slice model, version; /* empty where the path does not say; into `path` */
};
/* 1: it asks for a prediction in that protocol (NULL: in any of those that a path tells); 0: not.
 * json: every POST does. */
int ce_call_read(const struct ce_protocol *protocol, const char *method, const char *path,
                 struct ce_call *ret_call);
/* The path for another model or version (empty: as it was). NULL with errno ENOTSUP: the protocol
 * names no model in its path, or ENOMEM. Free with free(). */
char *ce_call_repath(const struct ce_call *call, const char *path, struct ce_slice model,
                     struct ce_slice version);

/* Whether a locator (ce_message.locator) can be read: 0, or -EINVAL, saying at which character not.
 * $ is the message; .name and ["name"] are members, [0] an element, [*] every element. */
int ce_locator_check(const char *locator, struct ce_error *err);

/* ---- a message ---- */

struct ce_message {
    const struct ce_protocol *protocol;
    const char *content_type;    /* "" when absent */
    struct ce_slice json_length; /* the value of Inference-Header-Content-Length; empty: none */
    const char *body;
    size_t size;
    const char *locator; /* json: where the predictions are ("$.result[*].score"); NULL: "$" */
};

/* How a value is spelled. */
enum ce_value_form {
    CE_VALUE_JSON,   /* a number, a quoted string, true, false or null */
    CE_VALUE_FIXED,  /* little-endian, of `type` */
    CE_VALUE_VARINT, /* protobuf */
    CE_VALUE_BYTES,  /* raw bytes behind a length */
};

struct ce_value {
    /* The tensor's, column's or output's name, as spelled, without quotes; empty: it has none. */
    struct ce_slice tensor;
    struct ce_slice class_name; /* whose score it is, as spelled; empty: the message does not say */
    struct ce_slice type; /* "FP64", "INT64", "BYTES", ...; empty: the protocol does not say */
    struct ce_slice text; /* its bytes, of `form` */
    enum ce_value_form form;
    size_t index;   /* position in its tensor, row-major */
    size_t ordinal; /* which tensor of the message, from 0 */
    size_t width;   /* values per row of its tensor: 1 for [n] and [n,1], k for [n,k]; 1 where rows
                       differ in length */
};

struct ce_values {
    struct ce_value *values; /* in the order of their bytes in the message */
    size_t count, room;
    size_t rows;         /* the largest leading dimension; 0 when it cannot be told */
    size_t without_data; /* tensors of which the message holds no values */
    void *frames;        /* what ce_values_apply() needs to keep lengths right; from malloc() */
};
void ce_values_done(struct ce_values *values); /* a zeroed one is fine */

/* The predictions of a response; the features of a request. 0; -ENOENT when the message has none
 * where the protocol has them (an error answer, another protocol); -EINVAL when it is malformed. */
int ce_message_outputs(const struct ce_message *message, struct ce_values *ret,
                       struct ce_error *err);
int ce_message_inputs(const struct ce_message *message, struct ce_values *ret,
                      struct ce_error *err);
/* Number of rows of a request's batch: of its largest leading dimension; 0 when it cannot be told.
 */
size_t ce_message_rows(const struct ce_message *message);

/* ---- a value ---- */

/* Whether it names a class: an integer, a boolean or text, rather than a score. */
bool ce_value_is_label(const struct ce_value *value);
/* false: it is no number (text, null). NaN and infinities are. */
bool ce_value_number(const struct ce_value *value, double *ret_number);
/* Whether both say the same, whatever their forms. */
bool ce_value_same(const struct ce_value *a, const struct ce_value *b);

/* ---- edits ---- */

/* A replacement of one value's bytes. */
struct ce_edit {
    size_t value; /* index into ce_values.values; edits are in that order, at most one for each */
    char text[64];
    size_t size;
};
/* Spells a number as that value is spelled: its form and type (rounded for an integer type; the
 * shortest digits that read back the same in JSON, or at most `decimals` digits behind the point
 * unless that is negative; NaN and infinities as Python's json module spells them). 0; -ERANGE: the
 * type cannot hold it; -ENOTSUP: no number can stand there. Fills text and size. */
int ce_edit_number(struct ce_edit *edit, const struct ce_value *value, double number, int decimals);
/* The bytes of another value in the place of this one. -ENOTSUP: they are spelled differently;
 * -ENOBUFS: too long. */
int ce_edit_copy(struct ce_edit *edit, const struct ce_value *value, const struct ce_value *other);
/* Text (UTF-8, without quotes) that a user wrote: a number, a word. As above. */
int ce_edit_text(struct ce_edit *edit, const struct ce_value *value, const char *text);
/* Digits behind the point, as the server chose to write them; -1: with an exponent, or not in
 * decimal. */
int ce_value_decimals(const struct ce_value *value);

/* What replaces a message. */
struct ce_remade {
    char *body; /* free with free() */
    size_t size;
    size_t json_length; /* what Inference-Header-Content-Length has to say now, if it was there */
};
/* The message with the edits made; all other bytes as they were, but for lengths that enclose them.
 * 0 or -ENOMEM. */
int ce_values_apply(const struct ce_message *message, const struct ce_values *values,
                    const struct ce_edit *edits, size_t count, struct ce_remade *ret,
                    struct ce_error *err);
/* The response with its last row of predictions left out, its shape saying so: valid, and not what
 * was asked for. -ENOTSUP: not in this protocol or form. */
int ce_message_shorten(const struct ce_message *message, const struct ce_values *values,
                       struct ce_remade *ret, struct ce_error *err);
/* The message with another model name and version (empty: as it was) in its body. -ENOTSUP: the
 * protocol has none there. */
int ce_message_rename(const struct ce_message *message, struct ce_slice model,
                      struct ce_slice version, struct ce_remade *ret, struct ce_error *err);
/* The model that a request's body names; empty slices where it names none. */
void ce_message_model(const struct ce_message *message, struct ce_slice *ret_model,
                      struct ce_slice *ret_version);

/* An error answer in the protocol's own shape ("{\"error\": ...}"); *ret_headers: its Content-Type
 * line, a constant. NULL: no memory. Free with free(). */
char *ce_protocol_error(const struct ce_protocol *protocol, int status, const char *sentence,
                        size_t *ret_size, const char **ret_headers);

/* ---- writing requests, reading predictions: for those who drive a server ---- */

/* Of one column of a labelled dataset. */
struct ce_feature {
    const char *name;
    bool is_number; /* of every row: it is sent as FP64, else as text */
};
struct ce_request_plan {
    const struct ce_protocol *protocol;
    const char *model, *version; /* "": none */
    const struct ce_feature *features;
    size_t feature_count;
    const char *template; /* json: a body with {{column}} where values go; for the other protocols
                             NULL, or a template that is used instead of the protocol's own shape */
};
/* Checks the plan and what it lacks: -EINVAL (no model, a template that does not parse as JSON once
 * filled, or names a column that there is not, with its place). *ret_path: where requests go; free
 * with free(). */
int ce_request_path(const struct ce_request_plan *plan, char **ret_path, struct ce_error *err);
/* The body of a request about one row: `cells` are its columns' texts (NULL: missing, sent as
 * null). Several inputs of one column each (oip: one tensor [1,1] for each column if any is text,
 * else one tensor [1,k] named "input-0"). Free with free(). */
int ce_request_body(const struct ce_request_plan *plan, const char *const *cells, char **ret_body,
                    size_t *ret_size, struct ce_error *err);
const char *ce_request_content_type(const struct ce_protocol *protocol);

/* The prediction of a response's first row: a class (`label` is set), or a number. Several scores
 * that make up a distribution: the class is the number of the largest. */
struct ce_prediction {
    bool is_label;
    char text[64]; /* the class, without quotes; of a number its spelling */
    double number; /* NaN when it is none */
};
int ce_message_prediction(const struct ce_message *message, struct ce_prediction *ret,
                          struct ce_error *err);

#endif
