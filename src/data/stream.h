/* SPDX-License-Identifier: MIT */
/* Byte streams from and to files, for what is too large to be held: a source is read once, front to
 * back; a sink becomes visible under its name only when it is complete. */
#ifndef CE_DATA_STREAM_H
#define CE_DATA_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "base/hash.h"

struct ce_sink {
    int fd;
    char *path, *temporary;
    bool published;
    char *buffer;
    size_t used;
    uint64_t total; /* bytes put so far */
    struct ce_sha256 *sha;
};

/* Makes the temporary file beside `path`. Free with ce_sink_free(), which removes what was not
 * published. */
int ce_sink_open(const char *path, mode_t mode, struct ce_sink **ret_sink, struct ce_error *err);
void ce_sink_free(struct ce_sink *sink);
CE_DEFINE_CLEANUP(struct ce_sink, ce_sink_free);
int ce_sink_put(struct ce_sink *sink, const void *data, size_t size, struct ce_error *err);
/* The SHA-256 of all that was put. A second call gives that of what was put since the first. */
int ce_sink_digest(struct ce_sink *sink, char ret_hex[CE_SHA256_HEX], struct ce_error *err);
/* Makes the bytes durable, still under the temporary name. */
int ce_sink_sync(struct ce_sink *sink, struct ce_error *err);
/* Gives the file its name, replacing what had it. */
int ce_sink_publish(struct ce_sink *sink, struct ce_error *err);

struct ce_source {
    int fd;
    char *path;
    char *buffer;
    size_t begin, end;
    uint64_t left;         /* bytes that may still be read */
    struct ce_sha256 *sha; /* NULL, or set by the caller: every byte that is read is added */
};

/* Reads `path` from its first byte; at most `limit` bytes of it. */
int ce_source_open(const char *path, uint64_t limit, struct ce_source **ret_source,
                   struct ce_error *err);
void ce_source_free(struct ce_source *source);
CE_DEFINE_CLEANUP(struct ce_source, ce_source_free);
/* Whether the limit was reached. */
bool ce_source_ended(const struct ce_source *source);
/* The next byte, -ENODATA at the end, or another negative errno with its sentence in `err`. */
int ce_source_byte(struct ce_source *source, struct ce_error *err);
/* Moves the next `size` bytes to the sink (NULL: nowhere). 0, or -ENODATA (without a sentence) when
 * the source ends before. */
int ce_source_copy(struct ce_source *source, uint64_t size, struct ce_sink *sink,
                   struct ce_error *err);
/* Moves all that is left. */
int ce_source_drain(struct ce_source *source, struct ce_sink *sink, struct ce_error *err);

#endif
