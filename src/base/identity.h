/* SPDX-License-Identifier: MIT */
/* Who is who: what makes a thing the same thing after a crash, so that undo never touches another.
 */
#ifndef CE_BASE_IDENTITY_H
#define CE_BASE_IDENTITY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

#define CE_BOOT_ID_SIZE 40

/* The kernel's boot id: a journal of another boot has nothing left to undo in processes. "" when
 * unknown. */
void ce_boot_id(char ret_id[CE_BOOT_ID_SIZE]);
/* Whether a note with that boot id is of another boot. Not if that cannot be told (no descriptor is
 * free, say): then what the note is about may still be there. */
bool ce_boot_is_another(const char *noted);

/* A process is its pid plus its start time (clock ticks since boot, field 22 of /proc/PID/stat). */
struct ce_process_id {
    pid_t pid;
    uint64_t start;
};
/* Returns 0, -ESRCH when there is no such process, or another negative errno when it cannot be
 * told.
 */
int ce_process_identify(pid_t pid, struct ce_process_id *ret_id);
/* Whether that very process still exists and is not a zombie. Where that cannot be told, a process
 * of its pid counts. */
bool ce_process_alive(const struct ce_process_id *id);
/* A pidfd of whoever has that pid now. -ESRCH: nobody has, or it is the id of a thread; or another
 * negative errno. */
int ce_process_open(pid_t pid);
/* Sends a signal to that very process and to no other that took its pid. 0, -ESRCH when it is gone,
 * or -errno. */
int ce_process_signal(const struct ce_process_id *id, int signal);
/* The state letter of /proc/PID/stat ('R', 'S', 'T', 'Z', ...), or 0 when it is gone. */
char ce_process_state(const struct ce_process_id *id);

#endif
