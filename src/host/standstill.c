/* SPDX-License-Identifier: MIT */
#include "host/standstill.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/seam.h"
#include "host/process.h"

enum { ROUNDS_MAX = 100 };

static bool is_stopped(const struct ce_process_id *id)
{
    return ce_process_state(id) == 'T';
}

int ce_undo_note_standstill(struct ce_journal *journal, const struct ce_process_list *processes,
                            struct ce_error *err)
{
    char boot[CE_BOOT_ID_SIZE];
    ce_boot_id(boot);
    ce_autojson json_t *list = json_array();
    for (size_t i = 0; i < processes->count; i++) {
        const struct ce_process_id *id = &processes->items[i];
        if (json_array_append_new(list,
                                  json_pack("{s:i, s:I, s:b}", "pid", (int)id->pid, "start",
                                            (json_int_t)id->start, "stopped", is_stopped(id))) < 0)
            return ce_fail_memory(err);
    }
    json_t *args = json_pack("{s:s, s:O}", "boot", boot, "processes", list);
    return args ? ce_undo_note(journal, "continue-processes", args, err) : ce_fail_memory(err);
}

/* ---- stopping ---- */

/* Those of them that are not stopped yet; returns how many it stopped. */
static int stop_listed(const struct ce_process_list *list, size_t from, struct ce_error *err)
{
    int stopped = 0;
    for (size_t i = from; i < list->count; i++) {
        const struct ce_process_id *id = &list->items[i];
        if (is_stopped(id) || !ce_process_alive(id))
            continue;
        int r = ce_process_signal(id, SIGSTOP);
        ce_seam_step("standstill: stopped");
        if (r < 0 && r != -ESRCH)
            return ce_fail(err, -r, "cannot stop process %d: %s", (int)id->pid, strerror(-r));
        stopped += r == 0;
    }
    for (size_t i = from; i < list->count; i++)
        if (!ce_process_await_stopped(&list->items[i], true) && ce_process_alive(&list->items[i]))
            return ce_fail(err, EBUSY, "process %d did not stop", (int)list->items[i].pid);
    return stopped;
}

int ce_standstill_begin(struct ce_journal *journal, struct ce_process_list *processes,
                        int *ret_note, struct ce_error *err)
{
    if (processes->count == 0 || !ce_process_alive(&processes->items[0]))
        return ce_fail(err, ESRCH, "process %d is gone",
                       processes->count > 0 ? (int)processes->items[0].pid : 0);
    if (is_stopped(&processes->items[0]))
        return ce_fail(err, EBUSY, "process %d is stopped already, by somebody else",
                       (int)processes->items[0].pid);
    int note = ce_undo_note_standstill(journal, processes, err);
    if (note < 0)
        return note;
    *ret_note = note;
    if (ce_seam_no_effect())
        return 0;
    /* Who is stopped forks no more: whoever is found after that was born before. */
    size_t from = 0;
    for (int rounds = 0, added = 1; added > 0 && rounds < ROUNDS_MAX; rounds++) {
        CE_TRY(stop_listed(processes, from, err));
        from = processes->count;
        added = ce_process_list_grow(processes, err);
        CE_TRY(added);
    }
    return 0;
}

/* ---- undo ---- */

/* Those that were noted come first in `ret_list`, then those that are below them by now. */
static int noted_processes(const json_t *args, struct ce_process_list *ret_list,
                           struct ce_error *err)
{
    const json_t *processes = json_object_get(args, "processes"), *process;
    size_t i;
    ret_list->items = calloc(json_array_size(processes) + 1, sizeof *ret_list->items);
    if (!ret_list->items)
        return ce_fail_memory(err);
    json_array_foreach(processes, i, process)
    {
        int pid, stopped;
        json_int_t start;
        if (json_unpack((json_t *)process, "{s:i, s:I, s:b}", "pid", &pid, "start", &start,
                        "stopped", &stopped) < 0)
            return ce_fail(err, EINVAL, "the note does not say which processes are meant");
        if (!stopped)
            ret_list->items[ret_list->count++] =
                (struct ce_process_id){.pid = pid, .start = (uint64_t)start};
    }
    return ce_process_list_grow(ret_list, err);
}

/* Of processes below the noted ones it cannot be told who stopped them. Somebody else's were noted
 * with all others before the deed, so the rest is ours. */
static bool was_stopped_before(const json_t *args, const struct ce_process_id *id)
{
    const json_t *process;
    size_t i;
    json_array_foreach(json_object_get(args, "processes"), i, process)
    {
        if (json_integer_value(json_object_get(process, "pid")) == id->pid)
            return json_is_true(json_object_get(process, "stopped"));
    }
    return false;
}

static int continue_processes(const json_t *args, struct ce_error *err)
{
    const char *noted = json_string_value(json_object_get(args, "boot"));
    if (!noted || !json_is_array(json_object_get(args, "processes")))
        return ce_fail(err, EINVAL, "the note does not say which processes are meant");
    if (ce_boot_is_another(noted))
        return 0;
    struct ce_process_list list = {0};
    int r = noted_processes(args, &list, err);
    if (r > 0)
        r = 0;
    /* To those who run as well: it takes back a SIGSTOP that has not reached its process yet. */
    for (size_t i = 0; i < list.count; i++) {
        const struct ce_process_id *id = &list.items[i];
        if (was_stopped_before(args, id))
            continue;
        int r2 = ce_process_signal(id, SIGCONT);
        ce_seam_step("standstill: continued");
        if (r2 < 0 && r2 != -ESRCH && r == 0)
            r = ce_fail(err, -r2, "cannot continue process %d: %s", (int)id->pid, strerror(-r2));
    }
    for (size_t i = 0; r == 0 && i < list.count; i++)
        if (!was_stopped_before(args, &list.items[i]) &&
            !ce_process_await_stopped(&list.items[i], false))
            r = ce_fail(err, EBUSY, "process %d is still stopped", (int)list.items[i].pid);
    ce_process_list_done(&list);
    return r;
}

const struct ce_undo_op ce_undo_continue_processes = {.name = "continue-processes",
                                                      .undo = continue_processes};
