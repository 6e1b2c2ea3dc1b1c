/* SPDX-License-Identifier: MIT */
/* The fields of an HTTP/2 message, or its trailers, in their order: one text of "name: value" lines
 * that end in CRLF, as hooks are shown it, and where they stand in it. */
#ifndef CE_PROXY_H2_FIELDS_H
#define CE_PROXY_H2_FIELDS_H

#include <nghttp2/nghttp2.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

enum {
    CE_H2_FIELD_COST = 32,        /* beside its bytes (RFC 9113, 6.5.2) */
    CE_H2_FIELDS_MAX = 64 * 1024, /* bytes, counted so */
};

struct ce_h2_field {
    uint32_t at, name_size, value_size; /* `at`: in the text */
    bool sensitive;                     /* not to be kept in tables of compression */
};

struct ce_h2_fields {
    char *text;
    size_t size, room;
    struct ce_h2_field *list;
    size_t count, list_room;
    size_t cost;
};

void ce_h2_fields_done(struct ce_h2_fields *fields);
/* 0, -ENOMEM, or -EMSGSIZE: more than CE_H2_FIELDS_MAX. */
int ce_h2_fields_add(struct ce_h2_fields *fields, struct ce_slice name, struct ce_slice value,
                     bool sensitive);
int ce_h2_fields_add_text(struct ce_h2_fields *fields, const char *name, const char *value);
/* Adds lines that end in CRLF, with names in any case, except what HTTP/2 does not know, and except
 * the field of that name (NULL: none). */
int ce_h2_fields_add_lines(struct ce_h2_fields *fields, const char *lines, const char *except);
struct ce_slice ce_h2_fields_name(const struct ce_h2_fields *fields, size_t i);
struct ce_slice ce_h2_fields_value(const struct ce_h2_fields *fields, size_t i);
/* The first one's value; `data` is NULL when there is none. Names are lower case. */
struct ce_slice ce_h2_fields_find(const struct ce_h2_fields *fields, const char *name);
/* Gives the first field of that name another value, or adds one; `name` in any case. */
int ce_h2_fields_set(struct ce_h2_fields *fields, const char *name, struct ce_slice value);
/* The lines of the ordinary fields, without those that start with a colon. */
struct ce_slice ce_h2_fields_lines(const struct ce_h2_fields *fields);
/* As nghttp2 takes them; free() it. NULL: no memory. Its slices point into `fields`. */
nghttp2_nv *ce_h2_fields_list(const struct ce_h2_fields *fields);

#endif
