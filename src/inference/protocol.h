/* SPDX-License-Identifier: MIT */
/* What a protocol has to know, and what its file may build on. Internal to this room.
 *
 * A protocol fills in one of these tables and never allocates anything that outlives a call but
 * through the collectors below: values that were found, and patches that are to be made. */
#ifndef CE_INFERENCE_PROTOCOL_H
#define CE_INFERENCE_PROTOCOL_H

#include <stdio.h>

#include "inference/inference.h"

/* ---- values ---- */

/* More are refused: nobody's predictions, and their list would take 100 MB. */
#define CE_VALUES_MAX ((size_t)1 << 20)

/* Appends; the first one allocates. 0; -ENOMEM; -EINVAL when there are too many. */
int ce_values_append(struct ce_values *values, const struct ce_value *value, struct ce_error *err);
/* Appends a tensor's values at once: all like `first`, but that the index rises. Their texts are
 * for the caller to fill in. As above. */
int ce_values_append_all(struct ce_values *values, const struct ce_value *first, size_t count,
                         struct ce_error *err);

/* ---- patches ---- */

struct ce_patch {
    size_t at, size;   /* bytes of the body that are replaced */
    size_t text, made; /* where the new bytes are in `texts`, and how many */
};

/* What will be replaced in a message. All zero: nothing. For messages in which no length but those
 * that are patched encloses others. */
struct ce_patches {
    struct ce_patch *items;
    size_t count, capacity;
    char *texts;
    size_t texts_size, texts_capacity;
};
void ce_patches_done(struct ce_patches *patches);
/* `span` is in the message's body; the text is copied. Patches come in any order and do not
 * overlap. 0 or -ENOMEM. */
int ce_patches_add(struct ce_patches *patches, const struct ce_message *message,
                   struct ce_slice span, struct ce_slice text, struct ce_error *err);
int ce_patches_add_number(struct ce_patches *patches, const struct ce_message *message,
                          struct ce_slice span, uint64_t number, struct ce_error *err);
/* As between the quotes of JSON. */
int ce_patches_add_escaped(struct ce_patches *patches, const struct ce_message *message,
                           struct ce_slice span, struct ce_slice text, struct ce_error *err);
/* All edits, as they are. */
int ce_patches_add_edits(struct ce_patches *patches, const struct ce_message *message,
                         const struct ce_values *values, const struct ce_edit *edits, size_t count,
                         struct ce_error *err);
/* Makes them. ret->json_length is what the length of the JSON becomes when that was `json_size`. */
int ce_patches_make(struct ce_patches *patches, const struct ce_message *message, size_t json_size,
                    struct ce_remade *ret, struct ce_error *err);

/* ---- writing JSON ---- */

/* A string, with its quotes; what would stand between them. */
void ce_write_quoted(FILE *file, const char *text);
void ce_write_escaped(FILE *file, struct ce_slice text);
/* Whether JSON takes it as a number. */
bool ce_json_spells_number(const char *text);
/* A cell of that feature: a number as it is spelled if JSON allows, text in quotes, NULL as null.
 * -EINVAL: the column's cells are numbers, and this is none. */
int ce_write_cell(FILE *file, const struct ce_feature *feature, const char *cell,
                  struct ce_error *err);
/* {"a":1,"b":"x"}; [1,"x"] */
int ce_write_object(FILE *file, const struct ce_request_plan *plan, const char *const *cells,
                    struct ce_error *err);
int ce_write_array(FILE *file, const struct ce_request_plan *plan, const char *const *cells,
                   struct ce_error *err);
/* {"error":"..."} */
void ce_write_error(FILE *file, int status, const char *sentence);

/* ---- paths ---- */

/* Finds `mark` in *path and steps behind it. Servers behind a gateway have something before it. */
bool ce_path_enter(struct ce_slice *path, const char *mark);
/* Steps over `mark`, which has to stand here. */
bool ce_path_skip(struct ce_slice *path, const char *mark);
/* Takes what stands up to the first of these characters, or the end; it must not be empty. */
bool ce_path_take(struct ce_slice *path, const char *ends, struct ce_slice *ret_taken);
/* Writes a name so that it is one segment. */
void ce_path_write(FILE *file, struct ce_slice name);
/* Ends a stream of open_memstream(): its text, or NULL with errno ENOMEM when it is not complete.
 */
char *ce_text_take(FILE *file, char **text);

/* ---- the table ---- */

struct ce_protocol {
    const char *name;
    const char *content_type;  /* of requests and answers */
    const char *error_headers; /* the Content-Type line of an error answer, with its CRLF */
    bool by_path;              /* a path tells this protocol from the others */
    bool is_json;              /* bodies are JSON, so a template may stand for them */
    bool needs_model;          /* a request has to name one */

    /* Where requests go: path, model, version_mark, version, verb. version_mark is NULL where the
     * path names no model: then `path` is all of it. */
    const char *path, *version_mark, *verb;
    /* Reads the part of a POST's path before any '?'; fills model and version. */
    bool (*read_path)(struct ce_slice path, struct ce_call *call);

    /* As ce_message_outputs() and ce_message_inputs(). `values` are empty at first; what is added
     * to them is freed by the caller when the function fails. `frames` is one block from malloc(),
     * or NULL. */
    int (*outputs)(const struct ce_message *message, struct ce_values *values,
                   struct ce_error *err);
    int (*inputs)(const struct ce_message *message, struct ce_values *values, struct ce_error *err);

    /* May be NULL. */

    /* ce_values_apply(); NULL: no length encloses a value. */
    int (*apply)(const struct ce_message *message, const struct ce_values *values,
                 const struct ce_edit *edits, size_t count, struct ce_remade *ret,
                 struct ce_error *err);
    /* ce_message_shorten() */
    int (*shorten)(const struct ce_message *message, const struct ce_values *values,
                   struct ce_remade *ret, struct ce_error *err);
    /* ce_message_rename(); one of both names is not empty */
    int (*rename)(const struct ce_message *message, struct ce_slice model, struct ce_slice version,
                  struct ce_remade *ret, struct ce_error *err);
    /* ce_message_model(); both slices are empty at first */
    void (*model)(const struct ce_message *message, struct ce_slice *ret_model,
                  struct ce_slice *ret_version);

    /* Writes the body of an error answer, of a request about one row (never by a template). */
    void (*write_error)(FILE *file, int status, const char *sentence);
    int (*write_request)(FILE *file, const struct ce_request_plan *plan, const char *const *cells,
                         struct ce_error *err);
};

/* One for each file. */
extern const struct ce_protocol ce_protocol_oip;
extern const struct ce_protocol ce_protocol_oip_grpc;
extern const struct ce_protocol ce_protocol_kserve_v1;
extern const struct ce_protocol ce_protocol_mlflow;
extern const struct ce_protocol ce_protocol_torchserve;
extern const struct ce_protocol ce_protocol_json;

#endif
