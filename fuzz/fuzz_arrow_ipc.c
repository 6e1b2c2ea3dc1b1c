/* SPDX-License-Identifier: MIT */
/* Arbitrary bytes as an Arrow IPC file or stream: an error always says why, and what is read can be
 * looked at to the last value, written, and read again as the same table. */
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "data/arrow/arrow.h"
#include "data/arrow/ipc.h"

enum { ROWS_MAX = 1 << 20 }; /* columns without buffers may claim any number */

static void expect(bool held)
{
    if (!held)
        __builtin_trap();
}

static int open_bytes(const char *path, struct ce_ipc_style *style,
                      struct ArrowArrayStream *ret_stream, struct ce_error *err)
{
    struct ce_input *input;
    CE_TRY(ce_input_open(path, &input, err));
    return ce_ipc_read(input, path, style, ret_stream, err);
}

/* Whether the batches are few enough to be walked through. */
static bool is_small(const char *path)
{
    struct ArrowArrayStream stream;
    struct ArrowArray batch;
    int64_t rows = 0;
    if (open_bytes(path, NULL, &stream, NULL) < 0)
        return true;
    while (rows <= ROWS_MAX && stream.get_next(&stream, &batch) == 0 && batch.release) {
        rows += batch.length;
        for (int64_t i = 0; i < batch.n_children; i++)
            if (batch.children[i]->n_children > 0 && batch.children[i]->children[0]->length > rows)
                rows += batch.children[i]->children[0]->length;
        batch.release(&batch);
    }
    stream.release(&stream);
    return rows <= ROWS_MAX;
}

static int digest(const char *path, char hex[CE_SHA256_HEX])
{
    CE_CLEANUP(ce_ipc_style_done) struct ce_ipc_style style = {0};
    struct ArrowArrayStream stream;
    struct ce_error err = {0};
    int r = open_bytes(path, &style, &stream, &err);
    if (r == 0)
        r = ce_arrow_digest(&stream, hex, &err);
    expect((r < 0) == (err.message[0] != '\0'));
    return r;
}

static int write_again(const char *path, const char *again)
{
    CE_CLEANUP(ce_ipc_style_done) struct ce_ipc_style style = {0};
    CE_CLEANUP(ce_output_free_p) struct ce_output *output = NULL;
    struct ArrowArrayStream stream;
    struct ce_error err = {0};
    CE_TRY(ce_output_open(again, 0600, CE_PACKING_PLAIN, &output, &err));
    CE_TRY(open_bytes(path, &style, &stream, &err));
    CE_TRY(ce_ipc_write(&stream, &style, output, &err));
    return ce_output_publish(output, &err);
}

static void profile(const char *path)
{
    struct ArrowArrayStream stream;
    struct ce_profile found = {0};
    struct ce_error err = {0};
    if (open_bytes(path, NULL, &stream, &err) < 0)
        return;
    int r = ce_arrow_profile(&stream, path, CE_STAT_ALL, &found, &err);
    expect((r < 0) == (err.message[0] != '\0'));
    if (r == 0)
        ce_profile_done(&found);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ce_autofd int fd = memfd_create("data.arrow", MFD_CLOEXEC);
    ce_autofree char *path = ce_format("/proc/self/fd/%d", fd);
    char folder[] = "/tmp/ce-fuzz-XXXXXX", hex[CE_SHA256_HEX], same[CE_SHA256_HEX];
    if (fd < 0 || !path || ce_write_all(fd, data, size) < 0 || !is_small(path))
        return 0;
    profile(path);
    if (digest(path, hex) < 0 || !mkdtemp(folder))
        return 0;
    ce_autofree char *again = ce_format("%s/again.arrow", folder);
    if (again && write_again(path, again) == 0)
        expect(digest(again, same) == 0 && strcmp(hex, same) == 0);
    (void)ce_tree_remove(folder, NULL);
    return 0;
}
