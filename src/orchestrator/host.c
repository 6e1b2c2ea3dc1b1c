/* SPDX-License-Identifier: MIT */
/* The host as a whole: where state lies, what is live on it, what it can do. */
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "controller/controller.h"
#include "data/parquet/duckdb_api.h"
#include "faults/fault.h"
#include "host/host.h"
#include "journal/journal.h"
#include "journal/lever.h"
#include "pipeline/helpers.h"
#include "pipeline/pipeline.h"

char *ce_state_dir(void)
{
    const char *own = getenv("CHAOSEATER_STATE_DIR");
    if (own && *own)
        return strdup(own);
    if (geteuid() == 0)
        return strdup("/var/lib/chaoseater");
    const char *xdg = getenv("XDG_STATE_HOME");
    if (xdg && *xdg)
        return ce_format("%s/chaoseater", xdg);
    const char *home = getenv("HOME");
    const struct passwd *account = home && *home ? NULL : getpwuid(geteuid());
    return ce_format("%s/.local/state/chaoseater", account ? account->pw_dir : home ? home : "");
}

int ce_recover(const char *state_dir, struct ce_recovery *ret_recovery, struct ce_error *err)
{
    ce_autofree char *folder = state_dir ? strdup(state_dir) : ce_state_dir();
    if (!folder)
        return ce_fail_memory(err);
    return ce_journal_recover(folder, ce_undo_ops, ret_recovery, err);
}

int ce_stop(const char *state_dir, bool release, struct ce_error *err)
{
    ce_autofree char *folder = state_dir ? strdup(state_dir) : ce_state_dir();
    if (!folder)
        return ce_fail_memory(err);
    return release ? ce_lever_release(folder, err) : ce_lever_engage(folder, err);
}

/* {"experiment", "fault", "target"} of the run that the note belongs to, if that is known. */
static void add_about(const char *folder, json_t *note)
{
    const char *run = json_string_value(json_object_get(note, "run"));
    ce_autofree char *path = run ? ce_format("%s/run/%s/%s", folder, run, CE_RUN_ABOUT) : NULL;
    ce_autojson json_t *about = path ? json_load_file(path, 0, NULL) : NULL;
    static const char *const keys[] = {"experiment", "fault", "target"};
    for (size_t i = 0; i < CE_COUNT(keys); i++) {
        json_t *value = json_object_get(about, keys[i]);
        json_object_set(note, keys[i], json_is_string(value) ? value : json_null());
    }
}

int ce_status_json(const char *state_dir, char **ret_json, struct ce_error *err)
{
    ce_autofree char *folder = state_dir ? strdup(state_dir) : ce_state_dir();
    ce_autojson json_t *live = json_array();
    if (!folder || !live)
        return ce_fail_memory(err);
    CE_TRY(ce_journal_list(folder, live, err));
    size_t i;
    json_t *note;
    json_array_foreach(live, i, note) add_about(folder, note);
    ce_autojson json_t *json =
        json_pack("{s:O, s:b}", "live", live, "stopped", ce_lever_is_engaged(folder));
    char *text = json ? ce_json_text(json) : NULL;
    if (!text)
        return ce_fail_memory(err);
    *ret_json = text;
    return 0;
}

/* ---- doctor ---- */

static void add_check(json_t *checks, const char *name, bool ok, const char *detail,
                      const char *needed_by)
{
    json_array_append_new(checks, json_pack("{s:s, s:b, s:s, s:s}", "name", name, "ok", ok,
                                            "detail", detail, "needed_by", needed_by));
}

/* Looks without making it: the folder itself, or the parent in which it would be made. */
static void check_state_dir(json_t *checks)
{
    char detail[512];
    ce_autofree char *folder = ce_state_dir();
    ce_autofree char *existing = folder ? strdup(folder) : NULL;
    if (!existing)
        return;
    while (access(existing, F_OK) < 0 && strchr(existing + 1, '/'))
        *strrchr(existing, '/') = '\0';
    bool ok = access(existing, W_OK) == 0;
    snprintf(detail, sizeof detail, ok ? "%s" : "%s cannot be written; set CHAOSEATER_STATE_DIR",
             folder);
    add_check(checks, "state_folder", ok, detail, "every run (journal)");
}

static void check_isolation(json_t *checks)
{
    char detail[512] = "";
    bool ok = ce_pipeline_isolation_available(detail, sizeof detail);
    add_check(checks, "namespaces", ok, detail,
              "embedded pipeline (works without, as plain processes)");
}

static void check_duckdb(json_t *checks)
{
    char detail[512] = "";
    bool ok = ce_duckdb_available(detail, sizeof detail);
    add_check(checks, "duckdb", ok, ok ? "DuckDB's library is there" : detail, "Parquet files");
}

static void check_helpers(json_t *checks)
{
    static const struct {
        const char *name;
        unsigned which;
        const char *needed_by;
    } helpers[] = {
        {"leak_helper", CE_HELPER_LEAK, "memory_leak"},
        {"gpu_helper", CE_HELPER_GPU, "gpu_unavailable (works without, by control groups)"},
        {"clock_helper", CE_HELPER_CLOCK, "clock_skew"},
        {"syscalls_helper", CE_HELPER_SYSCALLS,
         "storage_bottleneck and disk_full (work without, by other mechanisms)"},
    };
    for (size_t i = 0; i < CE_COUNT(helpers); i++) {
        char detail[512];
        bool ok = ce_helpers_available(helpers[i].which, detail, sizeof detail);
        add_check(checks, helpers[i].name, ok, detail, helpers[i].needed_by);
    }
}

static void check_faults(json_t *checks)
{
    const struct ce_fault *fault;
    for (size_t i = 0; (fault = ce_fault_at(i)); i++) {
        char reason[512] = "";
        bool ok = ce_fault_available(fault, reason, sizeof reason);
        add_check(checks, fault->name, ok, reason[0] ? reason : "available", "the fault itself");
    }
}

char *ce_doctor_json(void)
{
    ce_autojson json_t *checks = json_array();
    if (!checks)
        return NULL;
    check_state_dir(checks);
    check_isolation(checks);
    if (ce_host_checks(checks, NULL) < 0)
        return NULL;
    check_duckdb(checks);
    check_helpers(checks);
    check_faults(checks);
    ce_autojson json_t *json = json_pack("{s:O}", "checks", checks);
    return json ? ce_json_text(json) : NULL;
}
