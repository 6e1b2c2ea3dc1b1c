/* SPDX-License-Identifier: MIT */
#include "host/subject.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"

static int add_process(struct ce_process_list *list, pid_t pid, struct ce_error *err)
{
    struct ce_process_id id;
    if (ce_process_identify(pid, &id) < 0 || !ce_process_alive(&id))
        return 0;
    for (size_t i = 0; i < list->count; i++)
        if (list->items[i].pid == id.pid)
            return 0;
    struct ce_process_id *items = realloc(list->items, (list->count + 1) * sizeof *items);
    if (!items)
        return ce_fail_memory(err);
    list->items = items;
    items[list->count++] = id;
    return 0;
}

/* The processes of one group. A threaded one tells their threads only, the first of which has the
 * process's number. */
static int add_members(struct ce_process_list *list, const char *folder, struct ce_error *err)
{
    static const char *const files[] = {"cgroup.procs", "cgroup.threads"};
    for (size_t i = 0; i < CE_COUNT(files); i++) {
        ce_autofree char *path = ce_format("%s/%s", folder, files[i]);
        ce_autofree char *text = NULL;
        size_t size;
        if (!path)
            return ce_fail_memory(err);
        if (ce_file_read(path, 1 << 22, &text, &size, NULL) < 0)
            continue;
        char *rest;
        for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
            CE_TRY(add_process(list, (pid_t)atoi(line), err));
        break;
    }
    return 0;
}

static int add_group(struct ce_process_list *list, const char *folder, struct ce_error *err)
{
    CE_TRY(add_members(list, folder, err));
    DIR *entries = opendir(folder);
    if (!entries)
        return 0; /* it has gone */
    int r = 0;
    for (const struct dirent *entry; r == 0 && (entry = readdir(entries));) {
        if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
            continue;
        ce_autofree char *below = ce_format("%s/%s", folder, entry->d_name);
        r = below ? add_group(list, below, err) : ce_fail_memory(err);
    }
    closedir(entries);
    return r;
}

int ce_subject_processes(const struct ce_subject *subject, struct ce_process_list *ret_list,
                         struct ce_error *err)
{
    if (!(subject->has & CE_SUBJECT_GROUP))
        return ce_process_tree(&subject->process, ret_list, err);
    struct ce_process_list list = {0};
    int r = add_group(&list, subject->group, err);
    if (r == 0 && list.count == 0)
        r = ce_fail(err, ESRCH, "%s has no process", subject->name);
    if (r < 0)
        ce_process_list_done(&list);
    else
        *ret_list = list;
    return r;
}
