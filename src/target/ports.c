/* SPDX-License-Identifier: MIT */
/* At which ports a process and those below it are to be reached. */
#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "host/process_tree.h"
#include "target/find.h"

enum { SOCKETS_MAX = 4096 };
struct sockets {
    uint64_t inodes[SOCKETS_MAX];
    size_t count;
};

static void add_sockets(pid_t pid, struct sockets *sockets)
{
    char path[40];
    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    DIR *fds = opendir(path);
    if (!fds)
        return;
    for (const struct dirent *entry; (entry = readdir(fds)) && sockets->count < SOCKETS_MAX;) {
        char target[64];
        ssize_t size = readlinkat(dirfd(fds), entry->d_name, target, sizeof target - 1);
        target[size > 0 ? size : 0] = '\0';
        if (sscanf(target, "socket:[%" SCNu64 "]", &sockets->inodes[sockets->count]) == 1)
            sockets->count++;
    }
    closedir(fds);
}

static bool is_among(const struct sockets *sockets, uint64_t inode)
{
    for (size_t i = 0; i < sockets->count; i++)
        if (sockets->inodes[i] == inode)
            return true;
    return false;
}

static size_t add_port(uint16_t port, uint16_t *ports, size_t count, size_t max)
{
    for (size_t i = 0; i < count && i < max; i++)
        if (ports[i] == port)
            return count;
    if (count < max)
        ports[count] = port;
    return count + 1;
}

size_t ce_find_ports(const struct ce_process_id *root, uint16_t *ret_ports, size_t max)
{
    /* Listening TCP sockets are in state 0A; UDP sockets that take datagrams from anybody in 07. */
    static const struct {
        const char *file;
        unsigned state;
    } tables[] = {{"tcp", 0x0a}, {"tcp6", 0x0a}, {"udp", 0x07}, {"udp6", 0x07}};
    struct ce_process_list tree = {0};
    ce_autofree struct sockets *sockets = calloc(1, sizeof *sockets);
    size_t count = 0;
    if (!sockets || ce_process_tree(root, &tree, NULL) < 0)
        return 0;
    for (size_t i = 0; i < tree.count; i++)
        add_sockets(tree.items[i].pid, sockets);
    ce_process_list_done(&tree);
    for (size_t i = 0; i < CE_COUNT(tables); i++) {
        char path[40], line[512];
        snprintf(path, sizeof path, "/proc/%d/net/%s", (int)root->pid, tables[i].file);
        ce_autofile FILE *file = fopen(path, "re");
        while (file && fgets(line, sizeof line, file)) {
            unsigned port, state;
            uint64_t inode;
            if (sscanf(line, " %*[0-9]: %*[0-9A-F]:%x %*s %x %*s %*s %*s %*s %*s %" SCNu64, &port,
                       &state, &inode) == 3 &&
                state == tables[i].state && is_among(sockets, inode))
                count = add_port((uint16_t)port, ret_ports, count, max);
        }
    }
    return count;
}
