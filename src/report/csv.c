/* SPDX-License-Identifier: MIT */
/* A row for each run, with the columns of the history's view `runs`. What was not measured is an
 * empty cell; tags are separated by commas. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "report/words.h"

static void put_text(FILE *out, const char *text)
{
    ce_put_escaped(out, CE_ESCAPE_CSV, text ? text : "");
    (void)putc(',', out);
}

static void put_number(FILE *out, double value)
{
    if (!isnan(value))
        fprintf(out, "%.15g", value);
    (void)putc(',', out);
}

static void put_time(FILE *out, int64_t wall)
{
    char text[CE_TIMESTAMP_SIZE] = "";
    if (wall != 0)
        ce_timestamp(wall, text);
    put_text(out, text);
}

static void put_tags(FILE *out, const json_t *tags)
{
    char joined[1024] = "";
    size_t i, used = 0;
    json_t *tag;
    json_array_foreach(tags, i, tag)
    {
        if (used < sizeof joined)
            used += (size_t)snprintf(joined + used, sizeof joined - used, "%s%s", i > 0 ? "," : "",
                                     json_string_value(tag));
    }
    ce_put_escaped(out, CE_ESCAPE_CSV, joined);
}

static void put_run(FILE *out, const struct ce_record *record)
{
    put_text(out, record->id);
    put_text(out, record->name);
    put_text(out, record->layer);
    put_text(out, record->fault_type);
    put_text(out, ce_status_name(record->status));
    put_text(out, ce_verdict_name(record->verdict));
    put_number(out, record->score);
    put_number(out, record->recovery_time);
    put_number(out, record->accuracy_degradation);
    put_number(out, record->pipeline_downtime);
    if (record->measured)
        fprintf(out, "%" PRIu64, record->error_count);
    (void)putc(',', out);
    put_number(out, record->total_seconds);
    put_time(out, record->started_at);
    put_time(out, record->ended_at);
    fprintf(out, "%" PRId64 ",", (int64_t)record->seed);
    put_tags(out, record->tags);
    (void)putc('\n', out);
}

int ce_report_write_csv(const struct ce_report *report, FILE *out, bool color, struct ce_error *err)
{
    (void)color;
    fputs("id,name,layer,fault_type,status,verdict,resilience_score,recovery_time,"
          "accuracy_degradation,pipeline_downtime,error_count,duration,started_at,ended_at,seed,"
          "tags\n",
          out);
    for (size_t i = 0; i < report->count; i++)
        put_run(out, report->records[i]);
    return ce_report_end(out, err);
}
