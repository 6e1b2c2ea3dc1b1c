/* SPDX-License-Identifier: MIT */
#include "target/find.h"

#include <ctype.h>
#include <dirent.h>
#include <fts.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"
#include "host/cgroup.h"
#include "host/process_tree.h"

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* ---- processes ---- */

enum { MATCHES_MAX = 1024, SHOWN_MAX = 8 };
struct matches {
    struct ce_process_id ids[MATCHES_MAX];
    size_t count;
};

/* "python3 /srv/serve.py --port 80" is called python3 and serve.py. */
static bool is_called(pid_t pid, const char *name)
{
    char path[40], text[4096];
    snprintf(path, sizeof path, "/proc/%d", (int)pid);
    if (ce_cgroup_read(path, "comm", text, sizeof text) == 0 && strcmp(text, name) == 0)
        return true;
    snprintf(path, sizeof path, "/proc/%d/exe", (int)pid);
    ssize_t n = readlink(path, text, sizeof text - 1);
    text[n > 0 ? n : 0] = '\0';
    if (strcmp(base_name(text), name) == 0)
        return true;
    ce_autofree char *line = NULL;
    size_t size;
    snprintf(path, sizeof path, "/proc/%d/cmdline", (int)pid);
    if (ce_file_read(path, 1 << 20, &line, &size, NULL) < 0 || size == 0)
        return false;
    const char *second = line + strlen(line) + 1;
    return strcmp(base_name(line), name) == 0 ||
           (second < line + size && *second != '-' && strcmp(base_name(second), name) == 0);
}

static int user_id(const char *user, uid_t *ret_uid, struct ce_error *err)
{
    int64_t number;
    const struct passwd *account = getpwnam(user);
    if (!account && (ce_text_integer(user, &number) < 0 || number < 0))
        return ce_fail(err, ENOENT, "no user is called '%s'", user);
    *ret_uid = account ? account->pw_uid : (uid_t)number;
    return 0;
}

static bool belongs_to(pid_t pid, uid_t uid)
{
    char path[40];
    struct stat info;
    snprintf(path, sizeof path, "/proc/%d", (int)pid);
    return stat(path, &info) == 0 && info.st_uid == uid;
}

static int collect(const char *name, const uid_t *uid, struct matches *ret, struct ce_error *err)
{
    DIR *proc = opendir("/proc");
    if (!proc)
        return ce_fail(err, errno, "cannot read /proc: %s", strerror(errno));
    for (const struct dirent *entry; (entry = readdir(proc)) && ret->count < MATCHES_MAX;) {
        pid_t pid = isdigit((unsigned char)entry->d_name[0]) ? atoi(entry->d_name) : 0;
        if (pid > 0 && pid != getpid() && (!uid || belongs_to(pid, *uid)) && is_called(pid, name) &&
            ce_process_identify(pid, &ret->ids[ret->count]) == 0 &&
            ce_process_alive(&ret->ids[ret->count]))
            ret->count++;
    }
    closedir(proc);
    return 0;
}

static bool list_has(const struct ce_process_list *list, pid_t pid)
{
    for (size_t i = 0; i < list->count; i++)
        if (list->items[i].pid == pid)
            return true;
    return false;
}

/* Whether all the others are below that one: a server with its workers is one target. */
static bool is_above_all(const struct matches *all, const struct ce_process_id *top)
{
    struct ce_process_list below = {0};
    bool all_below = ce_process_tree(top, &below, NULL) == 0;
    for (size_t i = 0; all_below && i < all->count; i++)
        all_below = list_has(&below, all->ids[i].pid);
    ce_process_list_done(&below);
    return all_below;
}

static int fail_several(struct ce_error *err, const char *name, const struct matches *all)
{
    char pids[128] = "";
    size_t used = 0;
    for (size_t i = 0; i < all->count && i < SHOWN_MAX; i++)
        used += (size_t)snprintf(pids + used, sizeof pids - used, "%s%d", i > 0 ? ", " : "",
                                 (int)all->ids[i].pid);
    return ce_fail(err, ENOTUNIQ, "%zu processes are called '%s' (%s%s); name one by its pid",
                   all->count, name, pids, all->count > SHOWN_MAX ? ", ..." : "");
}

/* "python3 -m http.server": a command line is shown with blanks for the ends of its words. */
static bool mentions(pid_t pid, const char *name, char *shown, size_t size)
{
    char path[40];
    ce_autofree char *line = NULL;
    size_t length;
    snprintf(path, sizeof path, "/proc/%d/cmdline", (int)pid);
    if (ce_file_read(path, 1 << 20, &line, &length, NULL) < 0 || length == 0)
        return false;
    for (size_t i = 0; i + 1 < length; i++)
        if (line[i] == '\0' || line[i] == '\n')
            line[i] = ' ';
    snprintf(shown, size, "%s", line);
    return strstr(line, name) != NULL;
}

/* Not the one that looks, nor the shell or sudo that it was started from: they have the name in
 * their command lines because it was typed there. */
static bool is_above_us(pid_t pid)
{
    struct ce_process_id id;
    struct ce_process_list below = {0};
    bool above = ce_process_identify(pid, &id) == 0 && ce_process_tree(&id, &below, NULL) == 0 &&
                 list_has(&below, getpid());
    ce_process_list_done(&below);
    return above;
}

/* Nothing is called so; but what runs a module of that name, say, can be named by its pid. */
static int fail_none(struct ce_error *err, const char *name, const char *user, const uid_t *uid)
{
    char shown[CE_TEXT_SHOWN_SIZE], first[CE_TEXT_SHOWN_SIZE] = "", line[256];
    size_t count = 0;
    pid_t first_pid = 0;
    DIR *proc = opendir("/proc");
    for (const struct dirent *entry; proc && (entry = readdir(proc));) {
        pid_t pid = isdigit((unsigned char)entry->d_name[0]) ? atoi(entry->d_name) : 0;
        if (pid <= 0 || (uid && !belongs_to(pid, *uid)) ||
            !mentions(pid, name, line, sizeof line) || is_above_us(pid))
            continue;
        if (count++ > 0)
            continue;
        first_pid = pid;
        ce_text_show(line, first);
    }
    if (proc)
        closedir(proc);
    ce_text_show(name, shown);
    if (count == 0)
        return ce_fail(err, ESRCH, "no process%s%s is called '%s'", user ? " of user " : "",
                       user ? user : "", shown);
    return ce_fail(err, ESRCH,
                   "no process%s%s is called '%s'; %zu ha%s it in %s command line: pid %d (%s)%s; "
                   "target.pid names one",
                   user ? " of user " : "", user ? user : "", shown, count, count == 1 ? "s" : "ve",
                   count == 1 ? "its" : "their", (int)first_pid, first,
                   count == 1 ? "" : " and others");
}

static int find_all(const char *name, const char *user, struct matches *all, struct ce_error *err)
{
    uid_t uid = 0;
    if (user)
        CE_TRY(user_id(user, &uid, err));
    CE_TRY(collect(name, user ? &uid : NULL, all, err));
    return all->count > 0 ? 0 : fail_none(err, name, user, user ? &uid : NULL);
}

int ce_find_process(const char *name, const char *user, struct ce_process_id *ret_id,
                    struct ce_error *err)
{
    struct matches all = {0};
    CE_TRY(find_all(name, user, &all, err));
    for (size_t i = 0; i < all.count; i++)
        if (all.count == 1 || is_above_all(&all, &all.ids[i])) {
            *ret_id = all.ids[i];
            return 0;
        }
    return fail_several(err, name, &all);
}

static int compare_pids(const void *a, const void *b)
{
    const struct ce_process_id *x = a, *y = b;
    return (x->pid > y->pid) - (x->pid < y->pid);
}

static bool is_below_another(const struct ce_process_list *list, struct ce_process_id id)
{
    for (pid_t parent; (parent = ce_process_parent(&id)) > 0;)
        if (list_has(list, parent) || ce_process_identify(parent, &id) < 0)
            return list_has(list, parent);
    return false;
}

void ce_find_topmost(struct ce_process_list *list)
{
    struct ce_process_list top = {list->items, 0};
    qsort(list->items, list->count, sizeof *list->items, compare_pids);
    /* Those that are below another come last, so that none is lost that a third may be below. */
    for (size_t i = 0; i < list->count; i++) {
        if (is_below_another(list, list->items[i]))
            continue;
        struct ce_process_id id = list->items[i];
        memmove(&list->items[top.count + 1], &list->items[top.count],
                (i - top.count) * sizeof *list->items);
        list->items[top.count++] = id;
    }
    list->count = top.count;
}

int ce_find_processes(const char *name, const char *user, struct ce_process_list *ret_list,
                      struct ce_error *err)
{
    struct matches all = {0};
    CE_TRY(find_all(name, user, &all, err));
    if (all.count == MATCHES_MAX)
        return ce_fail(err, E2BIG, "%d processes or more are called '%s': too many to choose among",
                       MATCHES_MAX, name);
    struct ce_process_list list = {calloc(all.count, sizeof *list.items), all.count};
    if (!list.items)
        return ce_fail_memory(err);
    memcpy(list.items, all.ids, all.count * sizeof *list.items);
    ce_find_topmost(&list);
    *ret_list = list;
    return 0;
}

/* ---- control groups by name ---- */

typedef bool fits_fn(const char *folder_name, const char *wanted);

static bool is_unit(const char *name, const char *unit)
{
    size_t n = strlen(unit);
    return strncmp(name, unit, n) == 0 && (name[n] == '\0' || strcmp(name + n, ".service") == 0);
}

/* "docker-0123abcd....scope", "cri-containerd-0123....scope", "0123abcd...": 64 digits, of which 12
 * or more are given. */
static bool is_container(const char *name, const char *id)
{
    const char *dash = strrchr(name, '-');
    return strncmp(dash ? dash + 1 : name, id, strlen(id)) == 0;
}

struct group_match {
    char *folder;
    size_t count;
};

/* All folders below `top` that fit; a group below one that fits is a part of it. */
static int search(const char *top, fits_fn *fits, const char *wanted, struct group_match *match,
                  struct ce_error *err)
{
    char *const roots[] = {(char *)top, NULL};
    FTS *tree = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR | FTS_XDEV, NULL);
    int r = tree ? 0 : -errno;
    for (FTSENT *entry; r == 0 && (entry = fts_read(tree));) {
        if (entry->fts_info != FTS_D || entry->fts_level == 0 || !fits(entry->fts_name, wanted))
            continue;
        match->count++;
        if (!match->folder && !(match->folder = strdup(entry->fts_path)))
            r = -ENOMEM;
        (void)fts_set(tree, entry, FTS_SKIP);
    }
    if (tree)
        (void)fts_close(tree);
    return r < 0 ? ce_fail(err, -r, "cannot look for control groups in '%s': %s", top, strerror(-r))
                 : 0;
}

static int find_group(const char *what, fits_fn *fits, const char *wanted, char **ret_folder,
                      struct ce_error *err)
{
    static const char *const hierarchies[] = {NULL, "name=systemd", "memory"};
    struct group_match match = {0};
    for (size_t i = 0; i < CE_COUNT(hierarchies) && match.count == 0; i++) {
        ce_autofree char *top = NULL;
        if (ce_cgroup_locate(hierarchies[i], "/", &top, NULL) < 0)
            continue;
        int r = search(top, fits, wanted, &match, err);
        if (r < 0) {
            free(match.folder);
            return r;
        }
    }
    if (match.count == 0)
        return ce_fail(err, ENOENT, "no control group belongs to %s '%s'", what, wanted);
    if (match.count > 1) {
        free(match.folder);
        return ce_fail(err, ENOTUNIQ, "%zu control groups belong to %s '%s'; name one by cgroup",
                       match.count, what, wanted);
    }
    *ret_folder = match.folder;
    return 0;
}

int ce_find_unit(const char *unit, char **ret_folder, struct ce_error *err)
{
    return find_group("unit", is_unit, unit, ret_folder, err);
}

int ce_find_container(const char *id, char **ret_folder, struct ce_error *err)
{
    enum { DIGITS_MIN = 12 };
    if (strspn(id, "0123456789abcdef") != strlen(id) || strlen(id) < DIGITS_MIN)
        return ce_fail(err, EINVAL, "container: '%s' is not %d or more hexadecimal digits of an id",
                       id, DIGITS_MIN);
    return find_group("container", is_container, id, ret_folder, err);
}

int ce_find_first_in_group(const char *folder, struct ce_process_id *ret_id, struct ce_error *err)
{
    ce_autofree char *procs = ce_format("%s/cgroup.procs", folder);
    ce_autofile FILE *file = procs ? fopen(procs, "re") : NULL;
    struct matches all = {0};
    int pid;
    if (!file)
        return ce_fail(err, procs ? errno : ENOMEM, "cannot read the processes of '%s': %s", folder,
                       strerror(errno));
    while (all.count < MATCHES_MAX && fscanf(file, "%d", &pid) == 1)
        if (ce_process_identify(pid, &all.ids[all.count]) == 0)
            all.count++;
    for (size_t i = 0; i < all.count; i++)
        if (is_above_all(&all, &all.ids[i])) {
            *ret_id = all.ids[i];
            return 0;
        }
    if (all.count == 0)
        return ce_fail(err, ESRCH, "no process is in control group '%s'", folder);
    *ret_id = all.ids[0]; /* several trees; the group as a whole is the target */
    return 0;
}
