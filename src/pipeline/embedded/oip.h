/* SPDX-License-Identifier: MIT */
/* The serving side of the Open Inference Protocol (v2, REST): requests read into customers, answers
 * written. */
#ifndef CE_PIPELINE_EMBEDDED_OIP_H
#define CE_PIPELINE_EMBEDDED_OIP_H

#include "pipeline/embedded/model.h"

enum { CE_OIP_ROWS_MAX = 1024 }; /* customers in one request */

struct ce_oip_request {
    char *id; /* NULL: none */
    struct ce_sample *samples;
    size_t count;
};
/* Strict about the protocol: -EINVAL with a sentence for the client. Lenient about values: what is
 * null or of the wrong type is NaN or CE_CATEGORY_UNKNOWN in the sample. `inputs_optional`: an
 * input that is missing is null throughout. */
int ce_oip_read(const char *body, size_t size, bool inputs_optional,
                struct ce_oip_request *ret_request, struct ce_error *err);
void ce_oip_request_done(struct ce_oip_request *request);

/* Which model a path means: "/v2/models/churn/versions/2/infer". */
struct ce_oip_path {
    int model;        /* enum ce_model_index; -1: no such model or version */
    bool is_model;    /* "/v2/models/..." at all */
    const char *verb; /* "", "ready", "infer", ...: what follows the model and the version; within
                         the path */
};
struct ce_oip_path ce_oip_path_parse(const char *path);

/* All of these: free with free(); NULL: no memory. */
char *ce_oip_answer(const struct ce_model *model, const struct ce_oip_request *request,
                    size_t *ret_size);
char *ce_oip_model_metadata(const struct ce_model *model);
char *ce_oip_server_metadata(void);
char *ce_oip_error(const char *sentence);

/* Reads the predictions of an answer: their number, at most `max`, or -EINVAL when it is no such
 * answer. */
int ce_oip_read_answer(const char *body, size_t size, double *predictions, size_t max);

#endif
