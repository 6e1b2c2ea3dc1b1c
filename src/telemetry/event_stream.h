/* SPDX-License-Identifier: MIT */
/* The events of a suite as lines of JSON, for a file and for whoever watches.
 *
 * A watcher listens at a socket STATE/watch/NAME.sock (a unix stream); every suite of that state
 * folder connects to all of them, and looks for new ones once a second. Who comes later is told the
 * past first, without what was only passing. The other end knows the suite by its credentials.
 *
 * Nobody is ever waited for: a watcher that does not read is left, once CE_EVENT_STREAM_BEHIND of
 * its lines are waiting; a file or pipe that takes nothing loses lines, and that is said at the
 * end.
 *
 * One thread at a time. */
#ifndef CE_TELEMETRY_EVENT_STREAM_H
#define CE_TELEMETRY_EVENT_STREAM_H

#include <stdbool.h>

#include "base/json.h"

enum { CE_EVENT_STREAM_BEHIND = 1 << 20 };
#define CE_WATCH_FOLDER "watch"
#define CE_WATCH_SUFFIX ".sock"

struct ce_event_stream;
/* `path`: a file that lines are appended to, "-" for standard output, or NULL; `suite`: what every
 * line names. Fails when the file cannot be opened. */
int ce_event_stream_open(const char *path, const char *state_dir, const char *suite,
                         struct ce_event_stream **ret_stream, struct ce_error *err);
/* Adds the event's name, the time and the suite in front; takes over `event`, in every case (NULL:
 * nothing is said). `passes`: who comes later need not know. */
void ce_event_stream_say(struct ce_event_stream *stream, const char *name, json_t *event,
                         bool passes);
/* Looks for new watchers, and passes on what waits. To be called whenever there is time for it. */
void ce_event_stream_turn(struct ce_event_stream *stream);
/* Passes on what waits, for a second at most. *ret_problem: what of the file is missing, as a
 * sentence to be freed; untouched when nothing is. NULL is fine. */
void ce_event_stream_close(struct ce_event_stream *stream, char **ret_problem);

#endif
