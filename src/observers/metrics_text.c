/* SPDX-License-Identifier: MIT */
/* A set in the text format of Prometheus (0.0.4) and in OpenMetrics 1.0.
 *
 * They differ in little: OpenMetrics names units, has a type for what is always 1, whose family is
 * named without `_info`, escapes quotes in help, too, and says where it ends. Families that have no
 * sample are left out. There are no timestamps: a Pushgateway refuses them. */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/slice.h"
#include "observers/metrics_internal.h"

/* ---- texts and numbers ---- */

/* Writes it with \ and newlines escaped, and quotes where they are, too; returns its length. */
static size_t escape(const char *text, bool quotes, char *ret)
{
    size_t size = 0;
    for (const char *p = text; *p != '\0'; p++) {
        if (*p == '\\' || *p == '\n' || (quotes && *p == '"'))
            ret[size++] = '\\';
        ret[size++] = *p == '\n' ? 'n' : *p;
    }
    ret[size] = '\0';
    return size;
}

/* Control characters, and all beyond ASCII of what is no UTF-8, become question marks: a reader
 * refuses the latter, and a terminal obeys the former. */
static void clean(char *text)
{
    ce_autojson json_t *valid = json_string(text);
    for (unsigned char *p = (unsigned char *)text; *p != '\0'; p++)
        if ((*p < ' ' && *p != '\n') || *p == 0x7f || (*p >= 0x80 && !valid))
            *p = '?';
}

char *ce_metric_escape(const char *value)
{
    ce_autofree char *plain = strdup(value);
    char *text = plain ? malloc(2 * strlen(plain) + 1) : NULL;
    if (!text)
        return NULL;
    clean(plain);
    (void)escape(plain, true, text);
    return text;
}

void ce_metric_number(double value, char text[CE_METRIC_NUMBER_SIZE])
{
    for (int digits = 15; digits <= 17; digits++) {
        (void)snprintf(text, CE_METRIC_NUMBER_SIZE, "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    if (!strpbrk(text, ".e"))
        strcat(text, ".0");
}

/* ---- writing ---- */

static bool has_samples(const struct ce_metric_set *metrics, size_t family)
{
    for (size_t i = 0; i < metrics->count; i++)
        if (metrics->samples[i].family == family)
            return true;
    return false;
}

static const char *type_name(const struct ce_metric_family *family, bool open)
{
    if (family->type == CE_METRIC_HISTOGRAM)
        return "histogram";
    return family->type == CE_METRIC_INFO && open ? "info" : "gauge";
}

static void write_head(const struct ce_metric_family *family, bool open, FILE *out)
{
    char help[512];
    size_t size = strlen(family->name);
    if (open && family->type == CE_METRIC_INFO)
        size -= strlen("_info");
    (void)escape(family->help, open, help);
    fprintf(out, "# HELP %.*s %s\n# TYPE %.*s %s\n", (int)size, family->name, help, (int)size,
            family->name, type_name(family, open));
    if (open && family->unit[0])
        fprintf(out, "# UNIT %s %s\n", family->name, family->unit);
}

static void write_sample(const struct ce_metric_family *family,
                         const struct ce_metric_sample *sample, FILE *out)
{
    char value[CE_METRIC_NUMBER_SIZE];
    bool labelled = sample->labels[0];
    ce_metric_number(sample->value, value);
    fprintf(out, "%s%s%s%s%s %s\n", family->name, sample->suffix, labelled ? "{" : "",
            sample->labels, labelled ? "}" : "", value);
}

int ce_metric_write(const struct ce_metric_set *metrics, enum ce_metric_format format, FILE *out,
                    struct ce_error *err)
{
    bool open = format == CE_METRIC_OPEN;
    for (size_t f = 0; f < ce_metric_family_count; f++) {
        if (!has_samples(metrics, f))
            continue;
        write_head(&ce_metric_families[f], open, out);
        for (size_t i = 0; i < metrics->count; i++)
            if (metrics->samples[i].family == f)
                write_sample(&ce_metric_families[f], &metrics->samples[i], out);
    }
    if (open)
        fputs("# EOF\n", out);
    if (fflush(out) == EOF || ferror(out))
        return ce_fail(err, errno ? errno : EIO, "cannot write metrics: %s",
                       strerror(errno ? errno : EIO));
    return 0;
}

char *ce_metric_text(const struct ce_metric_set *metrics, enum ce_metric_format format)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    int r = out ? ce_metric_write(metrics, format, out, NULL) : -ENOMEM;
    if (out && fclose(out) != 0)
        r = -ENOMEM;
    if (r < 0)
        free(ce_take(text));
    return text;
}

/* ---- negotiation ---- */

const char *ce_metric_content_type(enum ce_metric_format format)
{
    return format == CE_METRIC_OPEN ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                                    : "text/plain; version=0.0.4; charset=utf-8";
}

static struct ce_slice trim(const char *data, size_t size)
{
    while (size > 0 && (*data == ' ' || *data == '\t')) {
        data++;
        size--;
    }
    while (size > 0 && (data[size - 1] == ' ' || data[size - 1] == '\t'))
        size--;
    return (struct ce_slice){data, size};
}

/* Takes what stands before the next `separator`; false at the end. */
static bool next_part(struct ce_slice *rest, char separator, struct ce_slice *ret_part)
{
    if (!rest->data)
        return false;
    const char *end = memchr(rest->data, separator, rest->size);
    size_t size = end ? (size_t)(end - rest->data) : rest->size;
    *ret_part = trim(rest->data, size);
    *rest = end ? (struct ce_slice){end + 1, rest->size - size - 1} : (struct ce_slice){0};
    return true;
}

static bool is(struct ce_slice part, const char *text)
{
    return part.size == strlen(text) && strncasecmp(part.data, text, part.size) == 0;
}

/* The weight of one of the types that are accepted, of which `range` is one: 0 if it is of no use.
 */
static double weight_of(struct ce_slice range, enum ce_metric_format format)
{
    struct ce_slice part = {0};
    double weight = 1;
    bool open = format == CE_METRIC_OPEN;
    if (!next_part(&range, ';', &part) ||
        !(is(part, open ? "application/openmetrics-text" : "text/plain") ||
          (!open && (is(part, "*/*") || is(part, "text/*")))))
        return 0;
    while (next_part(&range, ';', &part)) {
        char value[16] = "";
        if (part.size > 2 && part.size < sizeof value && strncasecmp(part.data, "q=", 2) == 0) {
            memcpy(value, part.data + 2, part.size - 2);
            weight = strtod(value, NULL);
        }
        if (open && part.size > 8 && strncasecmp(part.data, "version=", 8) == 0 &&
            !is(part, "version=1.0.0"))
            return 0;
    }
    return weight > 0 ? weight : 0;
}

enum ce_metric_format ce_metric_accepted(const char *accept, size_t size)
{
    struct ce_slice rest = {accept, size}, range;
    double best[2] = {0, 0};
    while (next_part(&rest, ',', &range))
        for (int format = CE_METRIC_TEXT; format <= CE_METRIC_OPEN; format++) {
            double weight = weight_of(range, (enum ce_metric_format)format);
            best[format] = weight > best[format] ? weight : best[format];
        }
    return best[CE_METRIC_OPEN] > 0 && best[CE_METRIC_OPEN] >= best[CE_METRIC_TEXT]
               ? CE_METRIC_OPEN
               : CE_METRIC_TEXT;
}
