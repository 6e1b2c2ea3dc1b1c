/* SPDX-License-Identifier: MIT */
/* Every undo operation that a journal may name. One that is missing here could not be undone after
 * a crash. */
#include "controller/controller.h"
#include "faults/data/table_switch.h"
#include "host/freezer.h"
#include "host/memory_limit.h"
#include "host/process.h"
#include "journal/undo_files.h"
#include "pipeline/http/server.h"

const struct ce_undo_op *const ce_undo_ops[] = {
    &ce_undo_restore_file,         &ce_undo_remove_tree,
    &ce_undo_end_process,          &ce_undo_continue_process,
    &ce_undo_thaw_process,         &ce_undo_switch_table,
    &ce_undo_restore_table,        &ce_undo_end_server,
    &ce_undo_restore_memory_limit, NULL,
};
