/* SPDX-License-Identifier: MIT */
/* Debug messages, for whoever asked with ce_log_to(). Never the way to report an error. */
#ifndef CE_BASE_LOG_H
#define CE_BASE_LOG_H

#include "base/error.h"

void ce_log(const char *fmt, ...) CE_PRINTF(1, 2);

#endif
