/* SPDX-License-Identifier: MIT */
/* One way in which a target's reads and writes are slowed down or fail; storage.c has the table of
 * all. */
#ifndef CE_HOST_STORAGE_STORAGE_MEANS_H
#define CE_HOST_STORAGE_STORAGE_MEANS_H

#include "host/storage/storage.h"

/* The first member of what begin() makes. */
struct ce_storage {
    const struct ce_storage_means *means;
    struct ce_journal *journal;
    struct ce_subject subject;
    struct ce_storage_deed deed; /* as it is now */
};

struct ce_storage_means {
    const char *name;
    size_t size; /* of its struct, whose first member is a struct ce_storage */
    /* Whether this host has it for this user; how, or why not. */
    bool (*available)(char *detail, size_t size);
    /* NULL: it can do that deed to that subject. Else why not, as a clause. */
    const char *(*unfit)(const struct ce_subject *subject, const struct ce_storage_deed *deed);
    /* 0, or why it does not stand. What it began before it failed it takes back. `storage` is
     * filled in and zeroed beyond. */
    int (*begin)(struct ce_storage *storage, struct ce_error *err);
    int (*adjust)(struct ce_storage *storage, const struct ce_storage_deed *deed,
                  struct ce_error *err);
    /* NULL: it does not count. */
    int (*count)(struct ce_storage *storage, struct ce_storage_counts *ret_counts,
                 struct ce_error *err);
    /* A control group that a witness must join to be treated like the target; NULL: none. */
    const char *(*group)(const struct ce_storage *storage);
    bool needs_door; /* a witness must go through the target's door to be treated like it */
    /* Takes everything back and frees what it owns, but not `storage` itself. */
    int (*end)(struct ce_storage *storage, struct ce_error *err);
    /* Looks whether all is back, after end(). NULL: end() has seen it. */
    int (*left)(const struct ce_storage *storage, struct ce_error *err);
};

/* What the folder is, as its own mount namespace has it. */
struct ce_storage_site {
    dev_t dev;
    ino_t ino;
    long type;            /* of the filesystem, as statfs() says it */
    bool is_root;         /* of the mount namespace */
    uint64_t total, free; /* bytes; free to ordinary users */
};
int ce_storage_look(const struct ce_subject *subject, struct ce_storage_site *ret_site,
                    struct ce_error *err);

extern const struct ce_storage_means ce_storage_by_ballast, ce_storage_by_cgroup,
    ce_storage_by_fuse, ce_storage_by_syscalls;

#endif
