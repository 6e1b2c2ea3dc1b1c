/* SPDX-License-Identifier: MIT */
/* Bytes in and out: files, pipes, standard input and output, plain or compressed. An input is read
 * once, front to back; an output becomes visible under its name only when it is complete and
 * durable. Sizes, totals and hashes are those of the content, before compression. */
#ifndef CE_DATA_STREAM_STREAM_H
#define CE_DATA_STREAM_STREAM_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "base/hash.h"

enum ce_packing {
    CE_PACKING_PLAIN = 0,
    CE_PACKING_GZIP, /* several members in a row are one content, as gzip(1) has it */
    CE_PACKING_ZSTD, /* several frames as well */
};
/* What the name's ending asks for: .gz, .zst, or plain. */
enum ce_packing ce_packing_of_name(const char *path);

/* ---- in ---- */

struct ce_input;
/* Opens a file ("-": standard input) and looks at its first bytes: compressed content is unpacked.
 */
int ce_input_open(const char *path, struct ce_input **ret_input, struct ce_error *err);
void ce_input_close(struct ce_input *input); /* NULL is fine */
CE_DEFINE_CLEANUP(struct ce_input, ce_input_close);
/* Fills `data` as far as the content goes: less than `size` only at its end, 0 past it, or -errno:
 * cut-short or damaged compressed data, a regular file that shrank while it was read. */
ssize_t ce_input_read(struct ce_input *input, void *data, size_t size, struct ce_error *err);
/* A read that a signal interrupts while *stop is not zero ends with -EINTR: a pipe may never say
 * anything. */
void ce_input_stop(struct ce_input *input, const volatile sig_atomic_t *stop);
enum ce_packing ce_input_packing(const struct ce_input *input);
/* Whether it can be opened again and gives the same: a regular file. */
bool ce_input_repeatable(const struct ce_input *input);
mode_t ce_input_mode(const struct ce_input *input); /* of the file; 0600 when it is none */
/* How far reading has come, 0..1; negative when the size is not known. For progress alone. */
double ce_input_fraction(const struct ce_input *input);

/* ---- out ---- */

struct ce_output;
/* Makes a temporary file beside `path` ("-": writes to standard output at once). What an earlier,
 * killed process left under the temporary name is replaced. */
int ce_output_open(const char *path, mode_t mode, enum ce_packing packing,
                   struct ce_output **ret_output, struct ce_error *err);
void ce_output_free(struct ce_output *output); /* removes what was not published; NULL is fine */
CE_DEFINE_CLEANUP(struct ce_output, ce_output_free);
int ce_output_put(struct ce_output *output, const void *data, size_t size, struct ce_error *err);
uint64_t ce_output_total(const struct ce_output *output); /* bytes put so far */
const char *ce_output_path(const struct ce_output *output);
/* The descriptor of the file, for a program library that writes it itself: then nothing is put. */
int ce_output_fd(const struct ce_output *output);
/* From now on nothing is hashed: the caller knows the digest otherwise. */
void ce_output_unhashed(struct ce_output *output);
/* The SHA-256 of all that was put. A second call gives that of what was put since the first. */
int ce_output_digest(struct ce_output *output, char ret_hex[CE_SHA256_HEX], struct ce_error *err);
/* Ends the compressed stream and makes the bytes durable, still under the temporary name. */
int ce_output_sync(struct ce_output *output, struct ce_error *err);
/* Gives the file its name, replacing what had it, and makes that durable. */
int ce_output_publish(struct ce_output *output, struct ce_error *err);

/* Whether both names mean one file, also one that is yet to be made. */
bool ce_paths_meet(const char *a, const char *b);

#endif
