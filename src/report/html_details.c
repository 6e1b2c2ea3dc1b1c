/* SPDX-License-Identifier: MIT */
/* What the section of a run says besides score and charts: the proof that the fault was there, the
 * hypothesis, the rollback, the phases in numbers, and how to have the same run again. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/cleanup.h"
#include "report/html.h"

static void begin(FILE *out, const char *title)
{
    fprintf(out, "<section>\n<h3>%s</h3>\n", title);
}

/* A table of many columns takes the whole width. */
static void begin_wide(FILE *out, const char *title)
{
    fprintf(out, "<section class=\"wide\">\n<h3>%s</h3>\n", title);
}

static void end(FILE *out)
{
    fputs("</section>\n", out);
}

/* ---- proof ---- */

static void put_counts(FILE *out, const json_t *counts)
{
    static const struct {
        const char *key, *title;
    } rows[] = {
        {"eligible", "could have been hit"}, {"selected", "chosen"}, {"changed", "really changed"}};
    for (size_t i = 0; i < CE_COUNT(rows); i++) {
        const json_t *value = json_object_get(counts, rows[i].key);
        if (!json_is_number(value))
            continue;
        fprintf(out, "<div><dt>%s</dt><dd>", rows[i].title);
        ce_html_value(out, value);
        fputs("</dd></div>\n", out);
    }
    const char *reason;
    json_t *count;
    json_object_foreach(json_object_get(counts, "skipped"), reason, count)
    {
        fputs("<div><dt>skipped: ", out);
        ce_html_text(out, reason);
        fputs("</dt><dd>", out);
        ce_html_value(out, count);
        fputs("</dd></div>\n", out);
    }
}

static void put_fact(void *ctx, const char *word, const char *sentence)
{
    if (strcmp(word, "blast radius") == 0 || strcmp(word, "stopped by") == 0 ||
        strcmp(word, "duration") == 0)
        ce_html_fact(ctx, word, sentence);
}

void ce_html_proof(FILE *out, const struct ce_record *record)
{
    const char *verification = record->verification;
    begin(out, "What was hit");
    fputs("<p>", out);
    if (record->control)
        fputs("<b>Control run.</b> ", out);
    else
        fputs(record->verified ? "<b>Seen to take effect.</b> "
                               : "<b>Not seen to take effect.</b> ",
              out);
    ce_html_text(out, verification);
    fputs("</p>\n<dl>\n", out);
    ce_html_fact(out, "target", record->target ? record->target : "the pipeline");
    put_counts(out, record->fault_counts);
    (void)ce_record_facts(record, put_fact, out);
    if (record->isolation)
        ce_html_fact(out, "isolation of the pipeline", record->isolation);
    fputs("</dl>\n", out);
    end(out);
}

/* ---- hypothesis ---- */

static const char *state_of(const json_t *probe)
{
    const json_t *held = json_object_get(probe, "held");
    return json_is_true(held)    ? "✓ held"
           : json_is_false(held) ? "✕ did not hold"
                                 : "? could not be looked at";
}

void ce_html_hypothesis(FILE *out, const struct ce_record *record)
{
    static const char *const numbers[] = {"looks", "failures", "errors"};
    size_t i;
    json_t *probe;
    if (!record->steady_state)
        return;
    begin_wide(out, "Steady-state hypothesis");
    ce_html_scroll_begin(out, "Steady-state hypothesis");
    fputs("<table><thead><tr><th scope=\"col\">probe</th><th scope=\"col\">asked</th>"
          "<th scope=\"col\">outcome</th><th scope=\"col\" class=\"n\">looks</th>"
          "<th scope=\"col\" class=\"n\">failures</th><th scope=\"col\" class=\"n\">errors</th>"
          "<th scope=\"col\">detail</th></tr></thead><tbody>\n",
          out);
    json_array_foreach(record->steady_state, i, probe)
    {
        fputs("<tr><th scope=\"row\">", out);
        ce_html_value(out, json_object_get(probe, "name"));
        fputs("</th><td>", out);
        ce_html_value(out, json_object_get(probe, "mode"));
        fprintf(out, "</td><td>%s</td>", state_of(probe));
        for (size_t k = 0; k < CE_COUNT(numbers); k++) {
            fputs("<td class=\"n\">", out);
            ce_html_value(out, json_object_get(probe, numbers[k]));
            fputs("</td>", out);
        }
        fputs("<td class=\"text\">", out);
        ce_html_value(out, json_object_get(probe, "detail"));
        fputs("</td></tr>\n", out);
    }
    fputs("</tbody></table>", out);
    ce_html_scroll_end(out);
    end(out);
}

/* ---- rollback ---- */

static void put_steps(FILE *out, const struct ce_record *record)
{
    ce_html_scroll_begin(out, "Steps of the rollback");
    fputs("<table><thead><tr><th scope=\"col\" class=\"n\">at, s</th><th scope=\"col\" "
          "class=\"n\">intensity left</th><th scope=\"col\">pipeline</th><th "
          "scope=\"col\">event</th></tr></thead><tbody>\n",
          out);
    for (size_t i = 0; i < record->step_count; i++) {
        const struct ce_rollback_step *step = &record->steps[i];
        fputs("<tr><td class=\"n\">", out);
        ce_html_number(out, step->at, 2);
        fputs("</td><td class=\"n\">", out);
        ce_html_number(out, step->intensity * 100, 0);
        fprintf(out, " %%</td><td>%s</td><td>%s</td></tr>\n",
                step->healthy ? "✓ healthy" : "✕ not healthy", step->event ? step->event : "–");
    }
    fputs("</tbody></table>", out);
    ce_html_scroll_end(out);
}

void ce_html_rollback(FILE *out, const struct ce_record *record)
{
    bool any = record->step_count > 0;
    begin(out, "Rollback");
    fputs("<p>", out);
    if (any)
        fputs(record->rollback_verified ? "<b>Everything was put back</b>, and seen to be."
                                        : "<b>Not seen to be put back.</b>",
              out);
    else
        fputs("Nothing had to be put back.", out);
    fputs("</p>\n<dl>\n", out);
    ce_html_fact(out, "strategy",
                 record->rolled_back_by ? record->rolled_back_by : record->strategy);
    if (any) {
        fputs("<div><dt>took</dt><dd>", out);
        ce_html_number(out, record->rollback_seconds, 3);
        fputs(" s</dd></div>\n", out);
    }
    if (record->rollback_reason)
        ce_html_fact(out, "why", record->rollback_reason);
    fputs("</dl>\n", out);
    if (any)
        put_steps(out, record);
    end(out);
}

/* ---- phases ---- */

static void put_phase(FILE *out, const char *name, const struct ce_phase_summary *phase)
{
    double latencies[] = {phase->p50_ms, phase->p90_ms, phase->p99_ms, phase->max_ms};
    fprintf(out,
            "<tr><th scope=\"row\">%s</th><td class=\"n\">%" PRIu64 "</td><td class=\"n\">%" PRIu64
            "</td><td class=\"n\">%" PRIu64 "</td>",
            name, phase->operations, phase->errors, phase->right);
    for (size_t k = 0; k < CE_COUNT(latencies); k++) {
        fputs("<td class=\"n\">", out);
        ce_html_number(out, phase->operations > 0 ? latencies[k] : NAN, 1);
        fputs("</td>", out);
    }
    fputs("</tr>\n", out);
}

static void put_custom(FILE *out, const json_t *custom)
{
    const char *const *phases = ce_record_phase_names;
    const char *name;
    json_t *means;
    if (!custom)
        return;
    ce_html_scroll_begin(out, "Measured besides");
    fputs("<table><thead><tr><th scope=\"col\">measured besides, mean</th>", out);
    for (size_t k = 0; k < CE_RECORD_PHASES; k++)
        fprintf(out, "<th scope=\"col\" class=\"n\">%s</th>", phases[k]);
    fputs("</tr></thead><tbody>\n", out);
    json_object_foreach((json_t *)custom, name, means)
    {
        fputs("<tr><th scope=\"row\">", out);
        ce_html_text(out, name);
        fputs("</th>", out);
        for (size_t k = 0; k < CE_RECORD_PHASES; k++) {
            fputs("<td class=\"n\">", out);
            ce_html_value(out, json_object_get(means, phases[k]));
            fputs("</td>", out);
        }
        fputs("</tr>\n", out);
    }
    fputs("</tbody></table>", out);
    ce_html_scroll_end(out);
}

void ce_html_phases(FILE *out, const struct ce_record *record)
{
    begin_wide(out, "Phase by phase");
    ce_html_scroll_begin(out, "Measurements of each phase");
    fputs("<table><thead><tr><th scope=\"col\">phase</th>"
          "<th scope=\"col\" class=\"n\">operations</th><th scope=\"col\" class=\"n\">failed</th>"
          "<th scope=\"col\" class=\"n\">right</th><th scope=\"col\" class=\"n\">p50, ms</th>"
          "<th scope=\"col\" class=\"n\">p90, ms</th><th scope=\"col\" class=\"n\">p99, ms</th>"
          "<th scope=\"col\" class=\"n\">max, ms</th></tr></thead><tbody>\n",
          out);
    for (size_t i = 0; i < CE_RECORD_PHASES; i++)
        put_phase(out, ce_record_phase_names[i], &record->phases[i]);
    fputs("</tbody></table>", out);
    ce_html_scroll_end(out);
    put_custom(out, record->custom_metrics);
    end(out);
}

/* ---- recipe ---- */

/* For a shell: in quotes where it needs them. */
static void put_word(FILE *out, const char *word)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";
    if (word[0] != '\0' && word[strspn(word, plain)] == '\0') {
        fputs(word, out);
        return;
    }
    fputs("'", out);
    for (; *word != '\0'; word++)
        if (*word == '\'')
            fputs("'\\''", out);
        else
            (void)putc(*word, out);
    fputs("'", out);
}

static int put_command(FILE *out, const struct ce_record *record)
{
    ce_autofree char *command = NULL;
    size_t size;
    FILE *text = open_memstream(&command, &size);
    if (!text)
        return -ENOMEM;
    fputs("chaoseater run DOCUMENT --only ", text);
    put_word(text, record->name);
    fprintf(text, " --seed %" PRIu64, record->seed);
    if (record->profile) {
        fputs(" --set pipeline.profile=", text);
        put_word(text, record->profile);
    }
    if (fclose(text) != 0)
        return -ENOMEM;
    fputs("<p>To have the same run again, with the document that it came from:</p>\n"
          "<pre tabindex=\"0\"><code>",
          out);
    ce_html_text(out, command);
    fputs("</code></pre>\n", out);
    return 0;
}

static void put_parameters(FILE *out, json_t *parameters)
{
    const char *key;
    json_t *value;
    if (json_object_size(parameters) == 0)
        return;
    ce_html_scroll_begin(out, "Parameters");
    fputs("<table><thead><tr><th scope=\"col\">parameter</th><th scope=\"col\">value</th></tr>"
          "</thead><tbody>\n",
          out);
    json_object_foreach(parameters, key, value)
    {
        fputs("<tr><th scope=\"row\">", out);
        ce_html_text(out, key);
        fputs("</th><td class=\"text\">", out);
        ce_html_value(out, value);
        fputs("</td></tr>\n", out);
    }
    fputs("</tbody></table>", out);
    ce_html_scroll_end(out);
}

static void put_time(FILE *out, const char *term, int64_t wall)
{
    fprintf(out, "<div><dt>%s</dt><dd>", term);
    ce_html_time(out, wall);
    fputs("</dd></div>\n", out);
}

int ce_html_recipe(FILE *out, const struct ce_record *record)
{
    begin(out, "Recipe");
    fprintf(out, "<dl>\n<div><dt>seed</dt><dd>%" PRIu64 "</dd></div>\n", record->seed);
    fprintf(out, "<div><dt>duration of the fault</dt><dd>%g s</dd></div>\n", record->duration);
    ce_html_fact(out, "pipeline", record->pipeline);
    if (record->url)
        ce_html_fact(out, "address", record->url);
    if (record->command)
        ce_html_fact(out, "command", record->command);
    put_time(out, "began", record->started_at);
    put_time(out, "ended", record->ended_at);
    ce_html_fact(out, "run", record->id);
    fputs("</dl>\n", out);
    put_parameters(out, record->parameters);
    int r = put_command(out, record);
    end(out);
    return r;
}
