/* SPDX-License-Identifier: MIT */
/* Metrics in the text format of Prometheus, as the textfile collector of a node exporter reads
 * them. Of runs of one experiment the last one speaks. */
#include "observers/metrics.h"
#include "report/report.h"

int ce_report_write_prometheus(const struct ce_report *report, FILE *out, bool color,
                               struct ce_error *err)
{
    (void)color;
    struct ce_metric_set *metrics = ce_metric_set_new();
    int r = metrics ? ce_metric_add_build(metrics) : -ENOMEM;
    for (size_t i = 0; i < report->count && r >= 0; i++)
        r = ce_metric_add_record(metrics, report->records[i]);
    r = r < 0 ? ce_fail_memory(err) : ce_metric_write(metrics, CE_METRIC_TEXT, out, err);
    ce_metric_set_free(metrics);
    return r;
}
