/* SPDX-License-Identifier: MIT */
/* What the commands that put faults into a table share: which faults, and what became of them. */
#include "cli.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- what was asked for ---- */

/* An option that every fault which knows it takes as a parameter. */
static int set_all(struct ce_data_job *job, const char *name, const char *value,
                   struct ce_error *err)
{
    size_t size = strlen(name) + strlen(value) + 2;
    char *assignment = malloc(size);
    if (!assignment)
        return cli_fail_memory(err);
    snprintf(assignment, size, "%s=%s", name, value);
    int r = ce_data_job_set_all(job, assignment, err);
    free(assignment);
    return r < 0 ? CE_EXIT_USAGE : CE_EXIT_PASSED;
}

int cli_job_fill(struct ce_data_job *job, const struct cli_args *args, struct ce_error *err)
{
    const struct {
        const char *name, *value;
    } shared[] = {
        {"columns", args->columns},
        {"where", args->where},
        {"mechanism", args->mechanism},
        {"exact", args->exact ? "true" : NULL},
        {"nested", args->nested ? "true" : NULL},
    };
    for (size_t i = 0; i < args->faults.count; i++) {
        const struct cli_fault *fault = &args->faults.items[i];
        if (ce_data_job_add(job, fault->name, err) < 0)
            return CE_EXIT_USAGE;
        for (size_t k = 0; k < fault->params.count; k++)
            if (ce_data_job_set(job, fault->params.items[k], err) < 0)
                return CE_EXIT_USAGE;
    }
    for (size_t i = 0; i < CLI_LENGTH(shared); i++) {
        int exit_code =
            shared[i].value ? set_all(job, shared[i].name, shared[i].value, err) : CE_EXIT_PASSED;
        if (exit_code != CE_EXIT_PASSED)
            return exit_code;
    }
    return CE_EXIT_PASSED;
}

/* ---- what was done ---- */

static json_int_t number_of(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

static void print_fault(FILE *out, const json_t *fault)
{
    fprintf(out, "%-22s %12" PRId64 " %12" PRId64 " %12" PRId64,
            json_string_value(json_object_get(fault, "name")),
            (int64_t)number_of(fault, "eligible"), (int64_t)number_of(fault, "selected"),
            (int64_t)number_of(fault, "changed"));
    const char *reason, *before = "  skipped: ";
    json_t *count;
    json_object_foreach(json_object_get(fault, "skipped"), reason, count)
    {
        fprintf(out, "%s%" PRId64 " %s", before, (int64_t)json_integer_value(count), reason);
        before = ", ";
    }
    fputc('\n', out);
}

void cli_print_data_name(FILE *out, const char *name)
{
    char *shown = ce_data_shown_name(name);
    fputs(shown ? shown : "(no memory)", out);
    ce_string_free(shown);
}

void cli_job_print(FILE *out, const char *name, const json_t *result)
{
    const json_t *statistics = json_object_get(result, "statistics");
    size_t i;
    json_t *fault;
    cli_print_data_name(out, name);
    fprintf(out, ": %" PRId64 " rows in, %" PRId64 " rows out, seed %" PRId64 "\n",
            (int64_t)number_of(result, "rows"), (int64_t)number_of(result, "rows_out"),
            (int64_t)number_of(result, "seed"));
    if (json_array_size(json_object_get(result, "faults")) > 0)
        fprintf(out, "%-22s %12s %12s %12s\n", "FAULT", "ELIGIBLE", "SELECTED", "CHANGED");
    json_array_foreach(json_object_get(result, "faults"), i, fault) print_fault(out, fault);
    const char *before = "columns that became text: ";
    json_t *column;
    json_array_foreach(json_object_get(result, "as_text"), i, column)
    {
        fprintf(out, "%s%s", before, json_string_value(column));
        before = ", ";
    }
    if (json_array_size(json_object_get(result, "as_text")) > 0)
        fputc('\n', out);
    if (json_is_false(json_object_get(result, "revertible")))
        fputs("the database writes some of the new values in another way: the key fits the rows "
              "that were\nwritten, and `data revert` will refuse the table\n",
              out);
    const char *lost = json_string_value(json_object_get(result, "not_kept"));
    if (lost)
        fprintf(out, "not kept by the format: %s\n", lost);
    if (json_is_true(json_object_get(statistics, "prefix_only")))
        fprintf(out,
                "statistics are those of the first %" PRId64
                " rows: the input can be read only once (see --stats)\n",
                (int64_t)number_of(statistics, "rows"));
}
