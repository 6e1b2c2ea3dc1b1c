/* SPDX-License-Identifier: MIT */
/* A program that uses the library with a metric of its own: observer_tool FILE PARALLEL STATE.
 * Prints what `run --json` does. The metric counts how often it was asked for; another is never
 * known. */
#include <math.h>
#include <stdlib.h>

#include "chaoseater.h"

static double count(void *ctx)
{
    return ++*(double *)ctx;
}

static double unknown(void *ctx)
{
    (void)ctx;
    return NAN;
}

int main(int argc, char **argv)
{
    struct ce_error err = {0};
    struct ce_document *doc = NULL;
    struct ce_results *results = NULL;
    double asked = 0;
    const struct ce_observer observers[] = {{"asked", count, &asked}, {"unknown", unknown, NULL}};
    if (argc != 4)
        return 2;
    struct ce_suite_options options = {
        .state_dir = argv[3],
        .parallel = (unsigned)atoi(argv[2]),
        .observers = observers,
        .observer_count = 2,
        .events = "events.jsonl",
    };
    int r = ce_document_load(argv[1], &doc, &err);
    if (r == 0)
        r = ce_document_validate(doc, &err);
    if (r == 0)
        r = ce_suite_run(doc, &options, &results, &err);
    if (r == 0)
        r = ce_results_write(results, "json", stdout, false, &err);
    if (r < 0)
        fprintf(stderr, "%s %s\n", err.where, err.message);
    ce_results_free(results);
    ce_document_free(doc);
    return r < 0;
}
