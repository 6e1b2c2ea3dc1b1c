/* SPDX-License-Identifier: MIT */
/* Seams: places where the test build can crash a run, starve it, or keep a fault from taking
 * effect.
 *
 * In a release build all functions are empty and the compiler removes every call. In the test build
 * (-Dseams=true) they obey environment variables:
 *
 *   CHAOSEATER_SEAM_CRASH=N[:all]  raise SIGKILL on reaching the N-th step (":all": the guard too)
 *   CHAOSEATER_SEAM_COUNT=FILE     write the steps to FILE as they are reached; crash at none
 *   CHAOSEATER_SEAM_NO_EFFECT=1    mechanisms pretend to act: what verification must find out
 *   CHAOSEATER_SEAM_HURRY=1        the guard allows a run no time beyond what was planned
 *   CHAOSEATER_SEAM_WALL=FILE      schedules add the seconds that FILE holds to the wall clock
 */
#ifndef CE_BASE_SEAM_H
#define CE_BASE_SEAM_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef CE_SEAMS
/* One journal write or one change to the world has just been made, or is about to be. Controller
 * process only: children call ce_seam_leave() first. */
void ce_seam_step(const char *what);
/* True when the mechanism should not act although it reports that it did. */
bool ce_seam_no_effect(void);
/* True when the guard should allow a run no more time than was planned. */
bool ce_seam_hurry(void);
/* By how much the wall clock is to be taken for another, ns; and whether it ever may be. */
int64_t ce_seam_wall_shift(void);
bool ce_seam_shifts_wall(void);
/* A child of the controller (guard, pipeline) takes no part in the counting. */
void ce_seam_leave(void);
/* The guard's pid, for ":all". */
void ce_seam_guard(pid_t pid);
#else
static inline void ce_seam_step(const char *what)
{
}
static inline bool ce_seam_no_effect(void)
{
    return false;
}
static inline bool ce_seam_hurry(void)
{
    return false;
}
static inline int64_t ce_seam_wall_shift(void)
{
    return 0;
}
static inline bool ce_seam_shifts_wall(void)
{
    return false;
}
static inline void ce_seam_leave(void)
{
}
static inline void ce_seam_guard(pid_t pid)
{
}
#endif

#endif
