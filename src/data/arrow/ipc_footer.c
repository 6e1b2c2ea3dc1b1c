/* SPDX-License-Identifier: MIT */
/* The footer of an Arrow file: schema, metadata, and where the messages lie. It says more than the
 * front of the file does: some writers (polars) leave the schema's message away, and write
 * dictionaries last. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "data/arrow/ipc_internal.h"

enum { FOOTER_MAX = 256 << 20, TAIL = 4 + CE_IPC_MAGIC_SIZE, BLOCK_SIZE = 24 };

void ce_ipc_footer_done(struct ce_ipc_footer *footer)
{
    free(footer->bytes);
    free(footer->offsets);
    if (footer->fd >= 0)
        (void)close(footer->fd);
    *footer = (struct ce_ipc_footer){.fd = -1};
}

/* Where messages begin: first those of dictionaries, then those of batches. */
static int list_blocks(struct ce_ipc_footer *footer, struct ce_error *err)
{
    struct ce_flat_vector lists[] = {ce_flat_vector(&footer->table, 2, BLOCK_SIZE),
                                     ce_flat_vector(&footer->table, 3, BLOCK_SIZE)};
    footer->offsets = calloc((size_t)lists[0].count + lists[1].count + 1, sizeof *footer->offsets);
    if (!footer->offsets)
        return ce_fail_memory(err);
    for (size_t k = 0; k < CE_COUNT(lists); k++)
        for (uint32_t i = 0; i < lists[k].count; i++)
            footer->offsets[footer->count++] =
                ce_flat_load(&footer->flat, lists[k].at + BLOCK_SIZE * (size_t)i, 8);
    return 0;
}

static int parse(struct ce_ipc_footer *footer, const char *path, struct ce_error *err)
{
    footer->flat = (struct ce_flat){.data = footer->bytes, .size = footer->size};
    if (!ce_flat_root(&footer->flat, &footer->table))
        return ce_fail(err, EINVAL, "'%s' is damaged: its footer cannot be read", path);
    CE_TRY(list_blocks(footer, err));
    return footer->flat.bad
               ? ce_fail(err, EINVAL, "'%s' is damaged: its footer cannot be read", path)
               : 0;
}

/* 1, or 0: there is none. */
static int load(int fd, const char *path, struct ce_ipc_footer *footer, struct ce_error *err)
{
    char tail[TAIL];
    struct stat st;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size < TAIL ||
        pread(fd, tail, TAIL, st.st_size - TAIL) != TAIL ||
        memcmp(tail + 4, CE_IPC_MAGIC, CE_IPC_MAGIC_SIZE) != 0)
        return 0;
    int64_t size = ce_load_i32(tail, 0);
    if (size <= 0 || size > FOOTER_MAX || size > st.st_size - TAIL)
        return ce_fail(err, EINVAL, "'%s' is damaged: its footer cannot be read", path);
    footer->size = (size_t)size;
    footer->bytes = malloc(footer->size);
    if (!footer->bytes)
        return ce_fail_memory(err);
    return pread(fd, footer->bytes, footer->size, st.st_size - TAIL - size) == size;
}

int ce_ipc_footer_find(const char *path, struct ce_ipc_footer *ret_footer, struct ce_error *err)
{
    ce_autofd int fd = open(path, O_RDONLY | O_CLOEXEC);
    *ret_footer = (struct ce_ipc_footer){.fd = -1};
    int r = fd < 0 ? 0 : load(fd, path, ret_footer, err);
    if (r > 0) {
        int parsed = parse(ret_footer, path, err);
        r = parsed < 0 ? parsed : 1;
    }
    if (r <= 0)
        ce_ipc_footer_done(ret_footer);
    else
        ret_footer->fd = ce_take_fd(fd);
    return r;
}
