/* SPDX-License-Identifier: MIT */
#include "host/process_tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"

struct entry {
    struct ce_process_id id;
    pid_t parent;
};
struct table {
    struct entry *entries;
    size_t count, room;
};

/* False when it is gone, or a zombie: that has neither children nor anything to act on. */
static bool read_entry(pid_t pid, struct entry *ret_entry)
{
    char path[40], text[1024], state;
    int parent;
    uint64_t start;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    ce_autofd int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (n <= 0)
        return false;
    text[n] = '\0';
    /* The name in field 2 may hold anything: the fields are counted from the last ')'. */
    const char *p = strrchr(text, ')');
    if (!p ||
        sscanf(p,
               ") %c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d "
               "%" SCNu64,
               &state, &parent, &start) != 3 ||
        state == 'Z' || state == 'X')
        return false;
    *ret_entry = (struct entry){.id = {.pid = pid, .start = start}, .parent = parent};
    return true;
}

static int read_table(struct table *table, struct ce_error *err)
{
    DIR *proc = opendir("/proc");
    if (!proc)
        return ce_fail(err, errno, "cannot read /proc: %s", strerror(errno));
    int r = 0;
    for (const struct dirent *name; r == 0 && (name = readdir(proc));) {
        struct entry entry;
        if (name->d_name[0] < '1' || name->d_name[0] > '9' ||
            !read_entry(atoi(name->d_name), &entry))
            continue;
        if (table->count == table->room) {
            size_t room = table->room ? 2 * table->room : 256;
            struct entry *entries = realloc(table->entries, room * sizeof *entries);
            if (!entries) {
                r = ce_fail_memory(err);
                break;
            }
            table->entries = entries;
            table->room = room;
        }
        table->entries[table->count++] = entry;
    }
    closedir(proc);
    return r;
}

/* Puts the processes that are in the list last, so that each is added once; returns how many others
 * there are. */
static size_t set_apart(struct table *table, const struct ce_process_list *list)
{
    size_t others = table->count;
    for (size_t i = 0; i < list->count; i++)
        for (size_t j = 0; j < others; j++)
            if (table->entries[j].id.pid == list->items[i].pid) {
                struct entry listed = table->entries[j];
                table->entries[j] = table->entries[--others];
                table->entries[others] = listed;
                break;
            }
    return others;
}

/* Whether that very process is in the table. */
static bool is_there(const struct table *table, const struct ce_process_id *id)
{
    for (size_t i = 0; i < table->count; i++)
        if (table->entries[i].id.pid == id->pid)
            return table->entries[i].id.start == id->start;
    return false;
}

int ce_process_list_grow(struct ce_process_list *list, struct ce_error *err)
{
    struct table table = {0};
    int r = read_table(&table, err);
    ce_autofree struct entry *entries = table.entries;
    CE_TRY(r);
    size_t others = set_apart(&table, list), added = 0;
    struct ce_process_id *items = realloc(list->items, (list->count + others + 1) * sizeof *items);
    if (!items)
        return ce_fail_memory(err);
    list->items = items;
    for (size_t i = 0; i < list->count; i++) {
        if (!is_there(&table, &items[i]))
            continue;
        for (size_t j = 0; j < others;) {
            if (entries[j].parent != items[i].pid) {
                j++;
                continue;
            }
            struct entry child = entries[j];
            items[list->count++] = child.id;
            entries[j] = entries[--others];
            entries[others] = child;
            added++;
        }
    }
    return (int)added;
}

int ce_process_tree(const struct ce_process_id *root, struct ce_process_list *ret_list,
                    struct ce_error *err)
{
    struct ce_process_list list = {.items = malloc(sizeof *list.items), .count = 1};
    if (!list.items)
        return ce_fail_memory(err);
    list.items[0] = *root;
    int r = ce_process_list_grow(&list, err);
    if (r >= 0 && !ce_process_alive(root))
        r = ce_fail(err, ESRCH, "process %d is gone", (int)root->pid);
    if (r < 0) {
        ce_process_list_done(&list);
        return r;
    }
    *ret_list = list;
    return 0;
}

void ce_process_list_done(struct ce_process_list *list)
{
    free(ce_take(list->items));
    list->count = 0;
}

pid_t ce_process_parent(const struct ce_process_id *id)
{
    struct entry entry;
    return read_entry(id->pid, &entry) && entry.id.start == id->start ? entry.parent : 0;
}
