/* SPDX-License-Identifier: MIT */
/* One line per fault, in the order in which `chaoseater faults` prints them. */
CE_FAULT(data_corruption)
CE_FAULT(missing_data)
CE_FAULT(slow_inference)
CE_FAULT(prediction_corruption)
CE_FAULT(model_unavailable)
CE_FAULT(node_failure)
CE_FAULT(memory_pressure)
