/* SPDX-License-Identifier: MIT */
/* Every undo operation that a journal may name. One that is missing here could not be undone after
 * a crash. */
#include "controller/controller.h"
#include "faults/data/table_switch.h"
#include "host/freezer.h"
#include "host/group.h"
#include "host/helper_page.h"
#include "host/memory_limit.h"
#include "host/names/resolver.h"
#include "host/packets/tc.h"
#include "host/packets/xtables.h"
#include "host/process.h"
#include "host/processor/cpu_quota.h"
#include "host/restart.h"
#include "host/standstill.h"
#include "host/storage/door_page.h"
#include "host/storage/fuse_mount.h"
#include "journal/undo_files.h"
#include "pipeline/started/started.h"
#include "toolkit/toolkit.h"

const struct ce_undo_op *const ce_undo_ops[] = {
    &ce_undo_restore_file,
    &ce_undo_remove_tree,
    &ce_undo_end_process,
    &ce_undo_thaw_group,
    &ce_undo_switch_table,
    &ce_undo_restore_table,
    &ce_undo_end_started,
    &ce_undo_restore_memory_limit,
    &ce_undo_leave_group,
    &ce_undo_disarm_helpers,
    &ce_undo_disarm_door,
    &ce_undo_remove_shaper,
    &ce_undo_remove_chains,
    &ce_undo_restore_cpu_quota,
    &ce_undo_continue_processes,
    &ce_undo_restart_program,
    &ce_undo_unmount,
    &ce_undo_unmount_file,
    &ce_undo_run_activity,
    &ce_undo_end_activity,
    NULL,
};
