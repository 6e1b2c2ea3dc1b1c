/* SPDX-License-Identifier: MIT */
#include "inference/protocol.h"

#include <ctype.h>
#include <stdlib.h>

#include "base/cleanup.h"

/* In the order in which users see them, and in which a path is asked. */
static const struct ce_protocol *const protocols[] = {
    &ce_protocol_oip,    &ce_protocol_oip_grpc,   &ce_protocol_kserve_v1,
    &ce_protocol_mlflow, &ce_protocol_torchserve, &ce_protocol_json,
};

size_t ce_protocol_count(void)
{
    return CE_COUNT(protocols);
}

const struct ce_protocol *ce_protocol_at(size_t i)
{
    return i < CE_COUNT(protocols) ? protocols[i] : NULL;
}

const struct ce_protocol *ce_protocol_find(const char *name)
{
    for (size_t i = 0; i < CE_COUNT(protocols); i++)
        if (strcmp(protocols[i]->name, name) == 0)
            return protocols[i];
    return NULL;
}

const char *ce_protocol_name(const struct ce_protocol *protocol)
{
    return protocol->name;
}

bool ce_protocol_names_models(const struct ce_protocol *protocol)
{
    return protocol->version_mark || protocol->rename;
}

const char *ce_request_content_type(const struct ce_protocol *protocol)
{
    return protocol->content_type;
}

/* ---- paths ---- */

bool ce_path_enter(struct ce_slice *path, const char *mark)
{
    const char *at = memmem(path->data, path->size, mark, strlen(mark));
    if (!at)
        return false;
    path->size -= (size_t)(at - path->data);
    path->data = at;
    return ce_path_skip(path, mark);
}

bool ce_path_skip(struct ce_slice *path, const char *mark)
{
    size_t size = strlen(mark);
    if (path->size < size || memcmp(path->data, mark, size) != 0)
        return false;
    path->data += size;
    path->size -= size;
    return true;
}

bool ce_path_take(struct ce_slice *path, const char *ends, struct ce_slice *ret_taken)
{
    size_t size = 0;
    while (size < path->size && !strchr(ends, path->data[size]))
        size++;
    *ret_taken = (struct ce_slice){path->data, size};
    path->data += size;
    path->size -= size;
    return size > 0;
}

/* ---- calls ---- */

static int read_call(const struct ce_protocol *protocol, struct ce_slice path,
                     struct ce_call *ret_call)
{
    struct ce_call call = {.protocol = protocol, .model = {"", 0}, .version = {"", 0}};
    if (!protocol->read_path(path, &call))
        return 0;
    *ret_call = call;
    return 1;
}

int ce_call_read(const struct ce_protocol *protocol, const char *method, const char *path,
                 struct ce_call *ret_call)
{
    struct ce_slice slice = {path, strcspn(path, "?#")};
    if (strcmp(method, "POST") != 0)
        return 0;
    if (protocol)
        return read_call(protocol, slice, ret_call);
    for (size_t i = 0; i < CE_COUNT(protocols); i++)
        if (protocols[i]->by_path && read_call(protocols[i], slice, ret_call))
            return 1;
    return 0;
}

void ce_path_write(FILE *file, struct ce_slice name)
{
    for (size_t i = 0; i < name.size; i++) {
        unsigned char c = (unsigned char)name.data[i];
        if (isalnum(c) || (c && strchr("-._~:@!$&'()*+,;=", c)))
            putc(c, file);
        else
            fprintf(file, "%%%02X", c);
    }
}

char *ce_text_take(FILE *file, char **text)
{
    bool complete = !ferror(file);
    if (fclose(file) == 0 && complete)
        return *text;
    free(*text);
    errno = ENOMEM;
    return NULL;
}

char *ce_call_repath(const struct ce_call *call, const char *path, struct ce_slice model,
                     struct ce_slice version)
{
    const struct ce_protocol *protocol = call->protocol;
    struct ce_call here;
    char *text = NULL;
    size_t size;
    if (!protocol->version_mark || !ce_call_read(protocol, "POST", path, &here)) {
        errno = ENOTSUP;
        return NULL;
    }
    FILE *file = open_memstream(&text, &size);
    if (!file)
        return NULL;
    const char *behind = here.model.data + here.model.size;
    fwrite(path, 1, (size_t)(here.model.data - path), file);
    if (model.size > 0)
        ce_path_write(file, model);
    else
        fwrite(here.model.data, 1, here.model.size, file);
    if (version.size > 0) {
        fputs(protocol->version_mark, file);
        ce_path_write(file, version);
        if (here.version.size > 0)
            behind = here.version.data + here.version.size;
    }
    fputs(behind, file);
    return ce_text_take(file, &text);
}

/* ---- messages ---- */

typedef int read_fn(const struct ce_message *message, struct ce_values *values,
                    struct ce_error *err);

static int read_values(read_fn *read, const struct ce_message *message, struct ce_values *ret,
                       struct ce_error *err)
{
    struct ce_values values = {0};
    int r = read(message, &values, err);
    if (r < 0)
        ce_values_done(&values);
    else
        *ret = values;
    return r;
}

int ce_message_outputs(const struct ce_message *message, struct ce_values *ret,
                       struct ce_error *err)
{
    return read_values(message->protocol->outputs, message, ret, err);
}

int ce_message_inputs(const struct ce_message *message, struct ce_values *ret, struct ce_error *err)
{
    return read_values(message->protocol->inputs, message, ret, err);
}

size_t ce_message_rows(const struct ce_message *message)
{
    CE_CLEANUP(ce_values_done) struct ce_values values = {0};
    return ce_message_inputs(message, &values, NULL) == 0 ? values.rows : 0;
}

void ce_message_model(const struct ce_message *message, struct ce_slice *ret_model,
                      struct ce_slice *ret_version)
{
    *ret_model = *ret_version = (struct ce_slice){"", 0};
    if (message->protocol->model)
        message->protocol->model(message, ret_model, ret_version);
}

char *ce_protocol_error(const struct ce_protocol *protocol, int status, const char *sentence,
                        size_t *ret_size, const char **ret_headers)
{
    char *text = NULL;
    FILE *file = open_memstream(&text, ret_size);
    if (!file)
        return NULL;
    *ret_headers = protocol->error_headers;
    protocol->write_error(file, status, sentence);
    return ce_text_take(file, &text);
}
