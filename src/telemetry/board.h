/* SPDX-License-Identifier: MIT */
/* What runs of this process have said last, for whoever asks: the public struct ce_metrics. */
#ifndef CE_TELEMETRY_BOARD_H
#define CE_TELEMETRY_BOARD_H

#include "observers/metrics.h"

/* Any thread. A board without memory for more stays as it is. */
void ce_metrics_live(struct ce_metrics *metrics, const struct ce_metric_live *live);
void ce_metrics_record(struct ce_metrics *metrics, const struct ce_record *record);

/* What the journals of a state folder and its lever say now. */
struct ce_metric_host ce_metrics_host(const char *state_dir);

#endif
