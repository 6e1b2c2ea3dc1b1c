/* SPDX-License-Identifier: MIT */
/* How an experiment did in its last runs: a small line of scores, and the same as a table. */
#include <math.h>

#include "report/html.h"

enum { WIDTH = 480, HEIGHT = 72, MARGIN = 8, SHOWN = 30 };

static double score_of(const json_t *run)
{
    const json_t *score = json_object_get(run, "resilience_score");
    double value = json_is_number(score) ? json_number_value(score) : NAN;
    return value >= 0 && value <= 100 ? value : NAN;
}

/* One of the earlier runs; `count` stands for the one that the section is about. */
static double score_at(const json_t *earlier, size_t count, size_t i, const struct ce_record *now)
{
    return i < count ? score_of(json_array_get(earlier, json_array_size(earlier) - count + i))
                     : now->score;
}

static void put_line(FILE *out, const json_t *earlier, size_t count, const struct ce_record *now,
                     size_t run)
{
    fprintf(out,
            "<svg class=\"spark\" viewBox=\"0 0 %d %d\" role=\"img\" aria-labelledby=\"r%zu-e-t\">"
            "<title id=\"r%zu-e-t\">Resilience scores of the last runs, oldest first</title>"
            "<path class=\"grid\" d=\"M%d %dH%dM%d %dH%d\"/><path class=\"line line1\" d=\"",
            WIDTH, HEIGHT, run, run, MARGIN, MARGIN, WIDTH - MARGIN, MARGIN, HEIGHT - MARGIN,
            WIDTH - MARGIN);
    double x = 0, y = 0, step = (double)(WIDTH - 2 * MARGIN) / (double)count;
    bool any = false;
    for (size_t i = 0; i <= count; i++) {
        double score = score_at(earlier, count, i, now);
        if (isnan(score))
            continue;
        x = MARGIN + step * (double)i;
        y = HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * score / 100;
        fprintf(out, "%c%.1f %.1f", any ? 'L' : 'M', x, y);
        any = true;
    }
    fputs("\"/>", out);
    if (any)
        fprintf(out, "<circle class=\"last\" cx=\"%.1f\" cy=\"%.1f\" r=\"4\"/>", x, y);
    fputs("</svg>\n", out);
}

static void put_row(FILE *out, const char *when, double score, const char *verdict)
{
    fputs("<tr>", out);
    fputs("<th scope=\"row\">", out);
    ce_html_text(out, when);
    fputs("</th><td class=\"n\">", out);
    ce_html_number(out, score, 1);
    fputs("</td><td>", out);
    ce_html_text(out, verdict);
    fputs("</td></tr>\n", out);
}

void ce_html_earlier(FILE *out, const json_t *earlier, const struct ce_record *record, size_t run)
{
    size_t count = json_array_size(earlier), skipped = count > SHOWN ? count - SHOWN : 0;
    if (count == 0)
        return;
    fputs("<section>\n<h3>Compared with earlier runs</h3>\n", out);
    put_line(out, earlier, count - skipped, record, run);
    ce_html_scroll_begin(out, "Earlier runs");
    fputs("<table><thead><tr><th scope=\"col\">began</th><th scope=\"col\" class=\"n\">score</th>"
          "<th scope=\"col\">verdict</th></tr></thead><tbody>\n",
          out);
    put_row(out, "this run", record->score, ce_verdict_name(record->verdict));
    for (size_t i = count; i > skipped; i--) {
        const json_t *one = json_array_get(earlier, i - 1);
        put_row(out, json_string_value(json_object_get(one, "started_at")), score_of(one),
                json_string_value(json_object_get(one, "verdict")));
    }
    fputs("</tbody></table>", out);
    ce_html_scroll_end(out);
    fputs("</section>\n", out);
}
