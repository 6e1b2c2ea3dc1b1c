/* SPDX-License-Identifier: MIT */
/* The files are TZif (RFC 9636): the changes of a zone's offset one by one, twice (with 32 and with
 * 64 bits), and after them a rule for all later ones. The first half is skipped. */
#include "schedule/zone.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/text.h"
#include "schedule/zone_rule.h"

#define ZONE_FOLDER "/usr/share/zoneinfo"

struct change {
    int64_t at, offset; /* from then on */
};

struct ce_zone {
    int64_t first_offset; /* before the first change */
    struct change *changes;
    size_t count;
    bool has_rule; /* after the last one */
    struct ce_zone_rule rule;
};

void ce_zone_free(struct ce_zone *zone)
{
    if (!zone)
        return;
    free(zone->changes);
    free(zone);
}

/* ---- the format ---- */

struct input {
    const unsigned char *data;
    size_t size;
};

struct header {
    uint32_t ut_flags, standard_flags, leaps, changes, types, letters;
};

enum { HEADER_SIZE = 44, TYPE_SIZE = 6, ENTRIES_MAX = 1 << 16 };

static uint64_t big_endian(const unsigned char *p, size_t size)
{
    uint64_t value = 0;
    for (size_t i = 0; i < size; i++)
        value = value << 8 | p[i];
    return value;
}

static bool take(struct input *input, size_t size, const unsigned char **ret_data)
{
    if (size > input->size)
        return false;
    *ret_data = input->data;
    input->data += size;
    input->size -= size;
    return true;
}

static bool take_header(struct input *input, struct header *ret_header)
{
    const unsigned char *p;
    uint32_t *counts[] = {&ret_header->ut_flags, &ret_header->standard_flags, &ret_header->leaps,
                          &ret_header->changes,  &ret_header->types,          &ret_header->letters};
    if (!take(input, HEADER_SIZE, &p) || memcmp(p, "TZif", 4) != 0 || p[4] < '2')
        return false;
    for (size_t i = 0; i < CE_COUNT(counts); i++) {
        *counts[i] = (uint32_t)big_endian(p + 20 + 4 * i, 4);
        if (*counts[i] > ENTRIES_MAX)
            return false;
    }
    return true;
}

static size_t tail_size(const struct header *header, size_t time_size)
{
    return header->letters + header->leaps * (time_size + 4) + header->standard_flags +
           header->ut_flags;
}

/* 0, -EINVAL or -ENOMEM. */
static int take_changes(struct input *input, const struct header *header, struct ce_zone *zone)
{
    const unsigned char *times, *kinds, *types, *tail;
    if (!take(input, (size_t)header->changes * 8, &times) ||
        !take(input, header->changes, &kinds) ||
        !take(input, (size_t)header->types * TYPE_SIZE, &types) ||
        !take(input, tail_size(header, 8), &tail) || header->types == 0 || header->leaps > 0)
        return -EINVAL;
    zone->changes = calloc(header->changes + 1, sizeof *zone->changes);
    if (!zone->changes)
        return -ENOMEM;
    zone->first_offset = (int32_t)big_endian(types, 4);
    for (size_t i = 0; i < header->changes; i++) {
        struct change *change = &zone->changes[i];
        if (kinds[i] >= header->types)
            return -EINVAL;
        *change = (struct change){(int64_t)big_endian(times + 8 * i, 8),
                                  (int32_t)big_endian(types + (size_t)kinds[i] * TYPE_SIZE, 4)};
        if (i > 0 && change->at <= change[-1].at)
            return -EINVAL;
    }
    zone->count = header->changes;
    return 0;
}

/* "\nRULE\n"; nothing between them: the last offset stays. */
static int take_rule(const struct input *input, struct ce_zone *zone)
{
    char text[128];
    const unsigned char *end =
        input->size > 1 ? memchr(input->data + 1, '\n', input->size - 1) : NULL;
    size_t size = end ? (size_t)(end - input->data) - 1 : 0;
    if (!end || input->data[0] != '\n' || size >= sizeof text)
        return -EINVAL;
    memcpy(text, input->data + 1, size);
    text[size] = '\0';
    zone->has_rule = size > 0;
    return size > 0 ? ce_zone_rule_parse(text, &zone->rule) : 0;
}

int ce_zone_parse(const void *data, size_t size, const char *name, struct ce_zone **ret_zone,
                  struct ce_error *err)
{
    struct input input = {data, size};
    struct header header;
    const unsigned char *skipped;
    CE_CLEANUP(ce_zone_free_p) struct ce_zone *zone = calloc(1, sizeof *zone);
    if (!zone)
        return ce_fail_memory(err);
    int r = -EINVAL;
    if (take_header(&input, &header) &&
        take(&input,
             (size_t)header.changes * 5 + (size_t)header.types * TYPE_SIZE + tail_size(&header, 4),
             &skipped) &&
        take_header(&input, &header)) {
        r = take_changes(&input, &header, zone);
        if (r == 0)
            r = take_rule(&input, zone);
    }
    if (r == -ENOMEM)
        return ce_fail_memory(err);
    if (r < 0)
        return ce_fail(err, EINVAL,
                       "the time zone '%s' is not in a file of the form TZif, version 2 or later, "
                       "without leap seconds",
                       name);
    *ret_zone = ce_take(zone);
    return 0;
}

/* ---- finding it ---- */

static bool is_safe_name(const char *name)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                  "0123456789_+-/";
    return name[0] != '/' && name[0] != '\0' && name[strspn(name, letters)] == '\0' &&
           strlen(name) < 128;
}

static int load_file(const char *path, const char *name, struct ce_zone **ret_zone,
                     struct ce_error *err)
{
    ce_autofree char *data = NULL;
    size_t size;
    CE_TRY(ce_file_read(path, (size_t)1 << 20, &data, &size, err));
    return ce_zone_parse(data, size, name, ret_zone, err);
}

static int load_rule(const char *text, struct ce_zone **ret_zone, struct ce_error *err)
{
    struct ce_zone_rule rule;
    if (ce_zone_rule_parse(text, &rule) < 0)
        return -EINVAL;
    struct ce_zone *zone = calloc(1, sizeof *zone);
    if (!zone)
        return ce_fail_memory(err);
    zone->has_rule = true;
    zone->rule = rule;
    *ret_zone = zone;
    return 0;
}

static int load_named(const char *name, struct ce_zone **ret_zone, struct ce_error *err)
{
    char shown[CE_TEXT_SHOWN_SIZE];
    struct stat info;
    if (is_safe_name(name)) {
        ce_autofree char *path = ce_format(ZONE_FOLDER "/%s", name);
        if (!path)
            return ce_fail_memory(err);
        if (stat(path, &info) == 0 && S_ISREG(info.st_mode))
            return load_file(path, name, ret_zone, err);
    }
    /* UTC needs no files. */
    int r = load_rule(strcmp(name, "UTC") == 0 ? "UTC0" : name, ret_zone, err);
    if (r != -EINVAL)
        return r;
    ce_text_show(name, shown);
    return ce_fail(err, EINVAL,
                   "'%s' is no time zone: " ZONE_FOLDER
                   " has none of that name, and it is no rule such as CET-1CEST,M3.5.0,M10.5.0/3",
                   shown);
}

static int load_default(struct ce_zone **ret_zone, struct ce_error *err)
{
    const char *name = getenv("TZ");
    if (name && name[0] == ':')
        name++;
    if (name && name[0] == '/')
        return load_file(name, name, ret_zone, err);
    if (name) {
        int r = load_named(name[0] != '\0' ? name : "UTC", ret_zone, err);
        return r < 0 ? ce_fail_context(err, r, "the environment's TZ") : 0;
    }
    if (access("/etc/localtime", F_OK) < 0)
        return load_named("UTC", ret_zone, err);
    return load_file("/etc/localtime", "/etc/localtime", ret_zone, err);
}

int ce_zone_load(const char *name, struct ce_zone **ret_zone, struct ce_error *err)
{
    return name ? load_named(name, ret_zone, err) : load_default(ret_zone, err);
}

/* ---- asking it ---- */

void ce_zone_stretch(const struct ce_zone *zone, int64_t at, int64_t *ret_offset, int64_t *ret_end)
{
    size_t low = 0, high = zone->count; /* changes before `low` are not after `at` */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (zone->changes[middle].at <= at)
            low = middle + 1;
        else
            high = middle;
    }
    *ret_offset = low > 0 ? zone->changes[low - 1].offset : zone->first_offset;
    *ret_end = low < zone->count ? zone->changes[low].at : INT64_MAX;
    if (low == zone->count && zone->has_rule)
        ce_zone_rule_stretch(&zone->rule, at, ret_offset, ret_end);
}
