/* SPDX-License-Identifier: MIT */
#include "proxy/h2/fields.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

enum {
    FRAMING = 4,        /* ": " and CRLF */
    OWN_NAME_MAX = 128, /* of names that the proxy itself gives */
};

void ce_h2_fields_done(struct ce_h2_fields *fields)
{
    free(fields->text);
    free(fields->list);
    *fields = (struct ce_h2_fields){0};
}

/* Room for so many more bytes of text. */
static int make_room(struct ce_h2_fields *fields, size_t size)
{
    if (fields->room - fields->size >= size)
        return 0;
    size_t room = (fields->size + size) * 2;
    char *text = realloc(fields->text, room);
    if (!text)
        return -ENOMEM;
    fields->text = text;
    fields->room = room;
    return 0;
}

static int make_list_room(struct ce_h2_fields *fields)
{
    if (fields->count < fields->list_room)
        return 0;
    size_t room = fields->list_room ? fields->list_room * 2 : 16;
    struct ce_h2_field *list = realloc(fields->list, room * sizeof *list);
    if (!list)
        return -ENOMEM;
    fields->list = list;
    fields->list_room = room;
    return 0;
}

static void put(struct ce_h2_fields *fields, struct ce_slice slice)
{
    if (slice.size > 0)
        memcpy(fields->text + fields->size, slice.data, slice.size);
    fields->size += slice.size;
}

int ce_h2_fields_add(struct ce_h2_fields *fields, struct ce_slice name, struct ce_slice value,
                     bool sensitive)
{
    fields->cost += name.size + value.size + CE_H2_FIELD_COST;
    if (fields->cost > CE_H2_FIELDS_MAX)
        return -EMSGSIZE;
    CE_TRY(make_list_room(fields));
    CE_TRY(make_room(fields, name.size + value.size + FRAMING));
    fields->list[fields->count++] = (struct ce_h2_field){
        .at = (uint32_t)fields->size,
        .name_size = (uint32_t)name.size,
        .value_size = (uint32_t)value.size,
        .sensitive = sensitive,
    };
    put(fields, name);
    put(fields, ce_slice_of(": "));
    put(fields, value);
    put(fields, ce_slice_of("\r\n"));
    return 0;
}

int ce_h2_fields_add_text(struct ce_h2_fields *fields, const char *name, const char *value)
{
    return ce_h2_fields_add(fields, ce_slice_of(name), ce_slice_of(value), false);
}

static bool is_unknown(struct ce_slice name)
{
    static const char *const names[] = {"connection", "keep-alive",        "proxy-connection",
                                        "upgrade",    "transfer-encoding", "content-length"};
    for (size_t i = 0; i < CE_COUNT(names); i++)
        if (ce_slice_is(name, names[i]))
            return true;
    return false;
}

/* In lower case; false when it is too long. */
static bool lower(char to[OWN_NAME_MAX], struct ce_slice name)
{
    if (name.size > OWN_NAME_MAX)
        return false;
    for (size_t i = 0; i < name.size; i++)
        to[i] = (char)tolower((unsigned char)name.data[i]);
    return true;
}

int ce_h2_fields_add_lines(struct ce_h2_fields *fields, const char *lines, const char *except)
{
    for (const char *end; lines && (end = strstr(lines, "\r\n")); lines = end + 2) {
        char text[OWN_NAME_MAX];
        const char *colon = memchr(lines, ':', (size_t)(end - lines));
        struct ce_slice name = {lines, colon ? (size_t)(colon - lines) : 0};
        if (name.size == 0 || !lower(text, name))
            return -EINVAL;
        name.data = text;
        const char *value = colon + 1;
        while (value < end && *value == ' ')
            value++;
        if (is_unknown(name) || (except && ce_slice_is(name, except)))
            continue;
        CE_TRY(
            ce_h2_fields_add(fields, name, (struct ce_slice){value, (size_t)(end - value)}, false));
    }
    return 0;
}

struct ce_slice ce_h2_fields_name(const struct ce_h2_fields *fields, size_t i)
{
    const struct ce_h2_field *field = &fields->list[i];
    return (struct ce_slice){fields->text + field->at, field->name_size};
}

struct ce_slice ce_h2_fields_value(const struct ce_h2_fields *fields, size_t i)
{
    const struct ce_h2_field *field = &fields->list[i];
    return (struct ce_slice){fields->text + field->at + field->name_size + 2, field->value_size};
}

/* The place of the first field of that name, or `count`. */
static size_t find(const struct ce_h2_fields *fields, const char *name)
{
    size_t i = 0;
    while (i < fields->count && !ce_slice_is(ce_h2_fields_name(fields, i), name))
        i++;
    return i;
}

struct ce_slice ce_h2_fields_find(const struct ce_h2_fields *fields, const char *name)
{
    size_t i = find(fields, name);
    return i < fields->count ? ce_h2_fields_value(fields, i) : (struct ce_slice){0};
}

static int replace(struct ce_h2_fields *fields, size_t i, struct ce_slice value)
{
    struct ce_h2_field *field = &fields->list[i];
    CE_TRY(make_room(fields, value.size));
    char *at = fields->text + field->at + field->name_size + 2;
    const char *rest = at + field->value_size;
    size_t rest_size = (size_t)(fields->text + fields->size - rest);
    memmove(at + value.size, rest, rest_size);
    if (value.size > 0)
        memcpy(at, value.data, value.size);
    uint32_t grown = (uint32_t)value.size - field->value_size; /* wraps round when it shrinks */
    field->value_size = (uint32_t)value.size;
    fields->size = (size_t)(at - fields->text) + value.size + rest_size;
    for (size_t k = i + 1; k < fields->count; k++)
        fields->list[k].at += grown;
    return 0;
}

int ce_h2_fields_set(struct ce_h2_fields *fields, const char *name, struct ce_slice value)
{
    char text[OWN_NAME_MAX + 1] = "";
    struct ce_slice slice = ce_slice_of(name);
    if (!lower(text, slice))
        return -EINVAL;
    size_t i = find(fields, text);
    if (i < fields->count)
        return replace(fields, i, value);
    return ce_h2_fields_add(fields, (struct ce_slice){text, slice.size}, value, false);
}

struct ce_slice ce_h2_fields_lines(const struct ce_h2_fields *fields)
{
    size_t i = 0;
    while (i < fields->count && fields->text[fields->list[i].at] == ':')
        i++;
    size_t at = i < fields->count ? fields->list[i].at : fields->size;
    return (struct ce_slice){fields->text ? fields->text + at : "", fields->size - at};
}

nghttp2_nv *ce_h2_fields_list(const struct ce_h2_fields *fields)
{
    nghttp2_nv *list = calloc(fields->count + 1, sizeof *list);
    if (!list)
        return NULL;
    for (size_t i = 0; i < fields->count; i++) {
        struct ce_slice name = ce_h2_fields_name(fields, i), value = ce_h2_fields_value(fields, i);
        list[i] = (nghttp2_nv){
            .name = (uint8_t *)(uintptr_t)name.data,
            .namelen = name.size,
            .value = (uint8_t *)(uintptr_t)value.data,
            .valuelen = value.size,
            .flags = fields->list[i].sensitive ? NGHTTP2_NV_FLAG_NO_INDEX : NGHTTP2_NV_FLAG_NONE,
        };
    }
    return list;
}
