/* SPDX-License-Identifier: MIT */
/* Words and numbers of the HTML report. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "report/html.h"

void ce_html_text(FILE *out, const char *text)
{
    if (text)
        ce_put_escaped(out, CE_ESCAPE_XML, text);
}

void ce_html_number(FILE *out, double value, int digits)
{
    if (isfinite(value))
        fprintf(out, "%.*f", digits, value);
    else
        fputs("–", out);
}

void ce_html_exact(FILE *out, double value)
{
    if (isfinite(value))
        fprintf(out, "%.15g", value);
    else
        fputs("–", out);
}

void ce_html_value(FILE *out, const json_t *value)
{
    if (json_is_string(value)) {
        ce_html_text(out, json_string_value(value));
    } else if (json_is_integer(value)) {
        fprintf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    } else if (json_is_real(value)) {
        ce_html_exact(out, json_real_value(value));
    } else if (value && !json_is_null(value)) {
        ce_autofree char *text =
            json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(15));
        ce_html_text(out, text);
    } else {
        fputs("–", out);
    }
}

void ce_html_time(FILE *out, int64_t wall)
{
    char text[CE_TIMESTAMP_SIZE];
    if (wall == 0) {
        fputs("–", out);
        return;
    }
    ce_timestamp(wall, text);
    fprintf(out, "<time datetime=\"%s\">%.10s %.8s UTC</time>", text, text, text + 11);
}

void ce_html_badge(FILE *out, const struct ce_record *record)
{
    static const struct {
        const char *kind, *sign;
    } badges[] = {
        [CE_OUTCOME_PASSED] = {"good", "✓"},
        [CE_OUTCOME_FAILED] = {"warn", "▲"},
        [CE_OUTCOME_ERROR] = {"bad", "✕"},
        [CE_OUTCOME_SKIPPED] = {"quiet", "–"},
    };
    enum ce_outcome outcome = ce_record_outcome(record);
    fprintf(out, "<span class=\"badge %s\"><span aria-hidden=\"true\">%s</span> %s</span>",
            badges[outcome].kind, badges[outcome].sign, ce_record_ending(record));
}

void ce_html_element(FILE *out, const char *tag, const char *text)
{
    fprintf(out, "<%s>", tag);
    ce_html_text(out, text);
    fprintf(out, "</%s>", tag);
}

void ce_html_fact(FILE *out, const char *term, const char *text)
{
    fputs("<div>", out);
    ce_html_element(out, "dt", term);
    ce_html_element(out, "dd", text);
    fputs("</div>\n", out);
}

void ce_html_scroll_begin(FILE *out, const char *label)
{
    fputs("<div class=\"scroll\" role=\"group\" tabindex=\"0\" aria-label=\"", out);
    ce_html_text(out, label);
    fputs("\">", out);
}

void ce_html_scroll_end(FILE *out)
{
    fputs("</div>\n", out);
}
