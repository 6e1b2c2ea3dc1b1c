/* SPDX-License-Identifier: MIT */
/* What can be done to a target's reads and writes, whatever it is done with.
 *
 * A fault says what becomes of them (struct ce_storage_deed). storage.c tries the means in their
 * order (storage_means.h) until one stands. */
#ifndef CE_HOST_STORAGE_STORAGE_H
#define CE_HOST_STORAGE_STORAGE_H

#include "host/storage/storage_deed.h"
#include "host/subject.h"
#include "journal/journal.h"

struct ce_storage;

/* Begins it there. `means`: the name of the one to use; NULL: the first that stands. Everything is
 * noted before it is done. -ENOTSUP: none does; the error says why not, of each. */
int ce_storage_begin(struct ce_journal *journal, const struct ce_subject *subject,
                     const struct ce_storage_deed *deed, const char *means,
                     struct ce_storage **ret_storage, struct ce_error *err);
/* The same with other numbers, while it lasts. What waits is let go. */
int ce_storage_adjust(struct ce_storage *storage, const struct ce_storage_deed *deed,
                      struct ce_error *err);
const char *ce_storage_means_name(const struct ce_storage *storage); /* "fuse" */
/* -ENOTSUP: these means do not count. */
int ce_storage_count(struct ce_storage *storage, struct ce_storage_counts *ret_counts,
                     struct ce_error *err);
/* A control group that a witness must join to be treated like the target; NULL: none. */
const char *ce_storage_group(const struct ce_storage *storage);
/* The folder of helpers by whose door a witness must go in to be treated like the target
 * (host/storage/door.h); NULL: it need not. */
const char *ce_storage_helpers(const struct ce_storage *storage);
/* Ends it, looks whether all is back, and frees `storage`, in every case. After a failure notes are
 * still live. NULL is fine. */
int ce_storage_end(struct ce_storage *storage, struct ce_error *err);

/* Whether any of the means that fit such a deed is there for this user; `text`: each in the order
 * in which they are tried, and why it is not, if so. */
bool ce_storage_available(const struct ce_storage_deed *deed, char *text, size_t size);
/* Whether what is started for such a deed should go through a door (host/storage/door.h), in case
 * that no other means stand: they may all refuse, for this user or on this host. */
bool ce_storage_wants_door(void);

#endif
