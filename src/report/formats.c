/* SPDX-License-Identifier: MIT */
/* The formats that a report can be written in: a row each, in the order in which they are named. */
#include <string.h>

#include "report/report.h"

static const struct {
    const char *name;
    ce_report_writer *write;
} formats[] = {
    /* clang-format off */
    {"text", ce_report_write_text},
    {"json", ce_report_write_json},
    {"html", ce_report_write_html},
    {"junit", ce_report_write_junit},
    {"github", ce_report_write_github},
    {"markdown", ce_report_write_markdown},
    {"tap", ce_report_write_tap},
    {"csv", ce_report_write_csv},
    {"gitlab", ce_report_write_gitlab},
    {"chaostoolkit", ce_report_write_chaostoolkit},
    {"prometheus", ce_report_write_prometheus},
    /* clang-format on */
};

const char *ce_report_format_at(size_t i)
{
    return i < CE_COUNT(formats) ? formats[i].name : NULL;
}

ce_report_writer *ce_report_find(const char *format)
{
    for (size_t i = 0; i < CE_COUNT(formats); i++)
        if (strcmp(formats[i].name, format) == 0)
            return formats[i].write;
    return NULL;
}
