/* SPDX-License-Identifier: MIT */
#include "pipeline/started/tree.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/spawn.h"

struct process {
    pid_t pid, parent;
};
struct processes {
    struct process *list;
    size_t count, capacity;
};

/* The fourth field of /proc/PID/stat; the second may hold anything, so it is found from behind. */
static pid_t parent_of(pid_t pid)
{
    char path[40], text[512], state;
    int parent;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    ce_autofd int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
    if (size < 0)
        return 0;
    text[size] = '\0';
    const char *rest = strrchr(text, ')');
    return rest && sscanf(rest + 1, " %c %d", &state, &parent) == 2 ? parent : 0;
}

static bool add(struct processes *all, pid_t pid, pid_t parent)
{
    if (all->count == all->capacity) {
        size_t capacity = 2 * all->capacity + 64;
        struct process *list = realloc(all->list, capacity * sizeof *list);
        if (!list)
            return false;
        all->list = list;
        all->capacity = capacity;
    }
    all->list[all->count++] = (struct process){pid, parent};
    return true;
}

static struct processes list_all(void)
{
    struct processes all = {0};
    DIR *proc = opendir("/proc");
    if (!proc)
        return all;
    for (const struct dirent *entry; (entry = readdir(proc));) {
        pid_t pid = isdigit((unsigned char)entry->d_name[0]) ? atoi(entry->d_name) : 0;
        pid_t parent = pid > 0 ? parent_of(pid) : 0;
        if (parent > 0 && !add(&all, pid, parent))
            break;
    }
    closedir(proc);
    return all;
}

/* How many steps it is from there up to `root`; 0: it is not below. */
static size_t depth_below(const struct processes *all, pid_t pid, pid_t root)
{
    for (size_t depth = 0; depth < all->count; depth++) {
        if (pid == root)
            return depth;
        size_t i = 0;
        while (i < all->count && all->list[i].pid != pid)
            i++;
        if (i == all->count)
            return 0;
        pid = all->list[i].parent;
    }
    return 0;
}

int ce_tree_signal_children(int signal)
{
    struct processes all = list_all();
    int count = 0;
    for (size_t i = 0; i < all.count; i++)
        if (all.list[i].parent == getpid()) {
            (void)kill(all.list[i].pid, signal);
            count++;
        }
    free(all.list);
    return count;
}

void ce_tree_signal_below(pid_t root, int signal)
{
    struct processes all = list_all();
    for (size_t i = 0; i < all.count; i++)
        if (depth_below(&all, all.list[i].pid, root) > 0)
            (void)kill(all.list[i].pid, signal);
    free(all.list);
}

int ce_tree_end(const struct ce_process_id *root, int64_t timeout, struct ce_error *err)
{
    ce_tree_signal_below(root->pid, SIGKILL);
    return ce_process_end(root, timeout, err);
}

/* ---- who listens ---- */

enum { INODES_MAX = 16 };
struct inodes {
    uint64_t list[INODES_MAX];
    size_t count;
};

/* Adds the sockets that listen at that port: lines of /proc/net/tcp in state 0A. */
static void add_listeners(const char *path, int port, struct inodes *inodes)
{
    enum { LISTENING = 0x0a };
    ce_autofile FILE *file = fopen(path, "re");
    char line[512];
    while (file && inodes->count < INODES_MAX && fgets(line, sizeof line, file)) {
        unsigned at, state;
        uint64_t inode;
        if (sscanf(line, " %*[0-9]: %*[0-9A-F]:%x %*s %x %*s %*s %*s %*s %*s %" SCNu64, &at, &state,
                   &inode) == 3 &&
            (int)at == port && state == LISTENING)
            inodes->list[inodes->count++] = inode;
    }
}

static bool holds(pid_t pid, const struct inodes *inodes)
{
    char path[40];
    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    DIR *fds = opendir(path);
    if (!fds)
        return false;
    bool found = false;
    for (const struct dirent *entry; !found && (entry = readdir(fds));) {
        char target[64];
        uint64_t inode;
        ssize_t size = readlinkat(dirfd(fds), entry->d_name, target, sizeof target - 1);
        target[size > 0 ? size : 0] = '\0';
        if (sscanf(target, "socket:[%" SCNu64 "]", &inode) != 1)
            continue;
        for (size_t i = 0; i < inodes->count; i++)
            found = found || inodes->list[i] == inode;
    }
    closedir(fds);
    return found;
}

pid_t ce_tree_listener(pid_t root, int port)
{
    struct inodes inodes = {0};
    add_listeners("/proc/net/tcp", port, &inodes);
    add_listeners("/proc/net/tcp6", port, &inodes);
    if (inodes.count == 0)
        return 0;
    struct processes all = list_all();
    pid_t found = 0;
    size_t nearest = SIZE_MAX;
    for (size_t i = 0; i < all.count; i++) {
        size_t depth = depth_below(&all, all.list[i].pid, root);
        if (depth > 0 && depth < nearest && holds(all.list[i].pid, &inodes)) {
            nearest = depth;
            found = all.list[i].pid;
        }
    }
    free(all.list);
    return found;
}
