/* SPDX-License-Identifier: MIT */
/* Writes the report of what a JSON report on stdin tells: report_tool FORMAT. Its key "earlier" may
 * hold, for each run, a list of runs before it. */
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "report/report.h"

struct lists {
    struct ce_record *records;
    const struct ce_record **records_at;
    const json_t **earlier;
    size_t count;
};

static int read_runs(const json_t *report, struct lists *lists, struct ce_error *err)
{
    const json_t *runs = json_object_get(report, "runs");
    size_t count = json_array_size(runs);
    lists->records = calloc(count + 1, sizeof *lists->records);
    lists->records_at = calloc(count + 1, sizeof *lists->records_at);
    lists->earlier = calloc(count + 1, sizeof *lists->earlier);
    if (!lists->records || !lists->records_at || !lists->earlier)
        return ce_fail_memory(err);
    for (size_t i = 0; i < count; i++) {
        CE_TRY(ce_record_read(json_array_get(runs, i), &lists->records[i], err));
        lists->records_at[i] = &lists->records[i];
        lists->earlier[i] = json_array_get(json_object_get(report, "earlier"), i);
        lists->count++;
    }
    return 0;
}

static void lists_done(struct lists *lists)
{
    for (size_t i = 0; i < lists->count; i++)
        ce_record_done(&lists->records[i]);
    free(lists->records);
    free(lists->records_at);
    free(lists->earlier);
}

static void gate_of(const json_t *json, struct ce_report_gate *gate)
{
    *gate = (struct ce_report_gate){
        .passed = json_is_true(json_object_get(json, "passed")),
        .min_score = json_number_value(json_object_get(json, "min_score")),
        .on = "each",
        .failures = json_object_get(json, "failures"),
        .remarks = json_object_get(json, "remarks"),
    };
}

int main(int argc, char **argv)
{
    CE_CLEANUP(lists_done) struct lists lists = {0};
    struct ce_error err = {0};
    struct ce_report_gate gate;
    ce_autojson json_t *json = json_loadf(stdin, 0, NULL);
    ce_report_writer *write = argc == 2 ? ce_report_find(argv[1]) : NULL;
    if (!json || !write)
        return 2;
    const json_t *asked = json_object_get(json, "gate");
    gate_of(asked, &gate);
    int r = read_runs(json, &lists, &err);
    if (r == 0) {
        struct ce_report report = {
            .records = lists.records_at,
            .count = lists.count,
            .seed = (uint64_t)json_integer_value(json_object_get(json, "seed")),
            .gate = json_is_object(asked) ? &gate : NULL,
            .earlier = lists.earlier,
        };
        r = write(&report, stdout, false, &err);
    }
    if (r < 0)
        fprintf(stderr, "%s\n", err.message);
    return r < 0;
}
