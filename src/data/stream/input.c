/* SPDX-License-Identifier: MIT */
/* Reading content. Plain content goes from read(2) straight into the caller's buffer; packed
 * content comes through a buffer of its own. */
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "data/stream/pack.h"

enum { BUFFER = 256 * 1024 };

struct ce_input {
    int fd;
    bool own_fd;
    char *path; /* as messages call it */
    mode_t mode;
    bool regular, repeatable;
    const volatile sig_atomic_t *stop;
    uint64_t size, taken; /* bytes that the file has from where reading began, and those read */

    unsigned char head[CE_PACKING_MAGIC]; /* looked at, and not yet handed out */
    size_t head_size;

    enum ce_packing packing;
    struct ce_unpacker *unpacker; /* NULL: plain */
    char *buffer;
    const char *at, *end; /* packed bytes in the buffer */
    bool at_eof, complete;
};

void ce_input_close(struct ce_input *input)
{
    if (!input)
        return;
    if (input->own_fd && input->fd >= 0)
        (void)close(input->fd);
    ce_unpacker_free(input->unpacker);
    free(input->buffer);
    free(input->path);
    free(input);
}

/* Reads until `size` bytes are there or the file ends. */
static ssize_t read_fully(struct ce_input *input, void *data, size_t size, struct ce_error *err)
{
    size_t done = 0;
    while (done < size) {
        ssize_t n = read(input->fd, (char *)data + done, size - done);
        if (n < 0 && errno == EINTR && !(input->stop && *input->stop))
            continue;
        if (n < 0)
            return ce_fail(err, errno, "cannot read '%s': %s", input->path, strerror(errno));
        if (n == 0)
            break;
        done += (size_t)n;
    }
    input->taken += done;
    if (done < size && input->taken < input->size)
        return ce_fail(err, EIO,
                       "'%s' was cut short while it was read: %" PRIu64 " of %" PRIu64 " bytes",
                       input->path, input->taken, input->size);
    return (ssize_t)done;
}

/* ---- opening ---- */

static int open_file(struct ce_input *input, const char *path, struct ce_error *err)
{
    bool standard = strcmp(path, "-") == 0;
    input->path = strdup(standard ? "standard input" : path);
    if (!input->path)
        return ce_fail_memory(err);
    input->own_fd = !standard;
    input->fd = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (input->fd < 0 || fstat(input->fd, &st) < 0)
        return ce_fail(err, errno, "cannot open '%s': %s", input->path, strerror(errno));
    if (S_ISDIR(st.st_mode))
        return ce_fail(err, EISDIR, "'%s' is a folder; give a file that holds data", input->path);
    input->regular = S_ISREG(st.st_mode);
    input->repeatable = input->regular && !standard;
    input->mode = input->regular ? st.st_mode & 0777 : 0600;
    if (!input->regular)
        return 0;
    off_t start = lseek(input->fd, 0, SEEK_CUR);
    input->size = start >= 0 && start < st.st_size ? (uint64_t)(st.st_size - start) : 0;
    (void)posix_fadvise(input->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    return 0;
}

/* A file that was cut off within its first bytes is still known by its name. */
static int look_at_head(struct ce_input *input, const char *path, struct ce_error *err)
{
    ssize_t n = read_fully(input, input->head, sizeof input->head, err);
    if (n < 0)
        return (int)n;
    input->head_size = (size_t)n;
    input->packing = ce_packing_of_bytes(input->head, input->head_size);
    enum ce_packing named = ce_packing_of_name(path);
    if (ce_packing_cut_short(named, input->head, input->head_size))
        input->packing = named;
    /* Back to the start keeps the reads that follow aligned. */
    if (input->regular && lseek(input->fd, -(off_t)n, SEEK_CUR) >= 0) {
        input->head_size = 0;
        input->taken = 0;
    }
    return 0;
}

int ce_input_open(const char *path, struct ce_input **ret_input, struct ce_error *err)
{
    CE_CLEANUP(ce_input_close_p) struct ce_input *input = calloc(1, sizeof *input);
    if (!input)
        return ce_fail_memory(err);
    input->fd = -1;
    CE_TRY(open_file(input, path, err));
    CE_TRY(look_at_head(input, path, err));
    if (input->packing != CE_PACKING_PLAIN) {
        input->unpacker = ce_unpacker_new(input->packing);
        input->buffer = malloc(BUFFER);
        if (!input->unpacker || !input->buffer)
            return ce_fail_memory(err);
        memcpy(input->buffer, input->head, input->head_size);
        input->at = input->buffer;
        input->end = input->buffer + input->head_size;
    }
    *ret_input = ce_take(input);
    return 0;
}

/* ---- reading ---- */

static ssize_t read_plain(struct ce_input *input, char *data, size_t size, struct ce_error *err)
{
    size_t here = input->head_size < size ? input->head_size : size;
    memcpy(data, input->head, here);
    memmove(input->head, input->head + here, input->head_size - here);
    input->head_size -= here;
    ssize_t n = read_fully(input, data + here, size - here, err);
    return n < 0 ? n : n + (ssize_t)here;
}

static int fill_buffer(struct ce_input *input, struct ce_error *err)
{
    ssize_t n = read_fully(input, input->buffer, BUFFER, err);
    if (n < 0)
        return (int)n;
    input->at = input->buffer;
    input->end = input->buffer + n;
    input->at_eof = n == 0;
    return 0;
}

static int unpack_failed(struct ce_input *input, enum ce_unpacked how, struct ce_error *err)
{
    switch (how) {
    case CE_UNPACKED_NO_MEMORY:
        return ce_fail_memory(err);
    case CE_UNPACKED_TOO_WIDE:
        return ce_fail_at(err, input->path, EFBIG,
                          "unpacking needs more than 128 MiB of memory; pack it without --long");
    case CE_UNPACKED_DAMAGED:
        return ce_fail_at(err, input->path, EBADMSG, "the compressed data are damaged");
    default:
        return ce_fail_at(err, input->path, EBADMSG, "the compressed data end early");
    }
}

static ssize_t read_packed(struct ce_input *input, char *data, size_t size, struct ce_error *err)
{
    char *out = data;
    while (out < data + size && !input->complete) {
        if (input->at == input->end && !input->at_eof)
            CE_TRY(fill_buffer(input, err));
        const char *before = out;
        enum ce_unpacked how =
            ce_unpacker_step(input->unpacker, &input->at, input->end, &out, data + size);
        /* At the end of the file the unpacker may still hold content; else all must be over. */
        bool stuck = input->at_eof && out == before;
        if (how > CE_UNPACKED_END || (how == CE_UNPACKED_SOME && stuck))
            return unpack_failed(input, how, err);
        input->complete = how == CE_UNPACKED_END && stuck;
    }
    return out - data;
}

ssize_t ce_input_read(struct ce_input *input, void *data, size_t size, struct ce_error *err)
{
    return input->unpacker ? read_packed(input, data, size, err)
                           : read_plain(input, data, size, err);
}

/* ---- what callers ask ---- */

void ce_input_stop(struct ce_input *input, const volatile sig_atomic_t *stop)
{
    input->stop = stop;
}

enum ce_packing ce_input_packing(const struct ce_input *input)
{
    return input->packing;
}

bool ce_input_repeatable(const struct ce_input *input)
{
    return input->repeatable;
}

mode_t ce_input_mode(const struct ce_input *input)
{
    return input->mode;
}

double ce_input_fraction(const struct ce_input *input)
{
    if (!input->regular)
        return -1;
    if (input->taken >= input->size)
        return 1;
    return (double)input->taken / (double)input->size;
}
