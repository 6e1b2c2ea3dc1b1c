/* SPDX-License-Identifier: MIT */
/* A witness for what is done to reads and writes: a process in the target's mount namespace that
 * reads or writes a file of its own in the target's folder, without knowing of any fault. The file
 * has no name, so it does not outlive the witness. */
#ifndef CE_HOST_STORAGE_STORAGE_PROBE_H
#define CE_HOST_STORAGE_STORAGE_PROBE_H

#include "host/subject.h"

enum { CE_STORAGE_PROBE_BLOCK = 4096 };

struct ce_storage_probe {
    unsigned kind;      /* CE_STORAGE_ bit; blocks of 4 KiB, past the kernel's memory of files */
    bool grow;          /* each write goes to the file's end; else all go to the same place */
    size_t warm, count; /* operations before and while it looks at the clock */
    int64_t patience;   /* ns, for all of it; at least two are done after those before */
    const char *group;  /* control group that it joins; NULL: none */
    const char
        *helpers; /* folder of helpers by whose door it goes in (host/storage/door.h); NULL: none */
};
struct ce_storage_seen {
    size_t done, failed; /* of `count`; failed ones are among those done */
    int error;           /* errno of those that failed, the last one's; also of making the file */
    size_t errors;       /* how many failed with that one */
    int64_t took;        /* ns, for those done */
    int64_t p50;         /* ns, of those that did not fail; 0: none */
    uint64_t free;       /* bytes, as statvfs() says for ordinary users */
};
int ce_storage_witness(const struct ce_subject *subject, const struct ce_storage_probe *probe,
                       struct ce_storage_seen *ret_seen, struct ce_error *err);

#endif
