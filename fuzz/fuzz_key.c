/* SPDX-License-Identifier: MIT */
/* Arbitrary bytes as an answer key, first as they are, then sealed, so that what lies under the
 * seal is reached too: a key is refused with a sentence or read to its end, and reverting by it
 * writes a file that has the hash which the key promises, or none. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "data/answer_key.h"
#include "data/text/text_internal.h"

CE_DEFINE_CLEANUP(struct ce_key, ce_key_close);

/* What the keys are tried on. */
static const char changed[] = "a,b\n1,2\n3,4\n5,6\n";

static void expect(bool held)
{
    if (!held)
        __builtin_trap();
}

static void read_key(const char *path)
{
    CE_CLEANUP(ce_key_close_p) struct ce_key *key = NULL;
    struct ce_error err = {0};
    int r = ce_key_open(path, &key, &err);
    expect((r < 0) == (err.message[0] != '\0'));
    if (r < 0)
        return;
    expect(json_is_object(ce_key_header(key)) && json_is_object(ce_key_trailer(key)));
    struct ce_key_change change;
    int got;
    while ((got = ce_key_next(key, &change, &err)) > 0) {
        char old[64];
        uint64_t size = 0;
        ssize_t n = 0;
        if (change.old_size % 2 == 0) /* the others are passed over */
            while ((n = ce_key_old(key, old, sizeof old, &err)) > 0)
                size += (uint64_t)n;
        expect(n < 0 || change.old_size % 2 != 0 || size == change.old_size);
    }
    expect((got < 0) == (err.message[0] != '\0'));
}

/* Files for the key and for what it is tried on. */
static int make_file(const char *name, const void *data, size_t size, char ret_path[64])
{
    int fd = memfd_create(name, MFD_CLOEXEC);
    if (fd >= 0 && ce_write_all(fd, data, size) == 0)
        snprintf(ret_path, 64, "/proc/self/fd/%d", fd);
    return fd;
}

static void revert_by(const char *key_path)
{
    char path[64] = "", back[] = "/tmp/ce-fuzz-XXXXXX";
    ce_autofd int fd = make_file("changed.csv", changed, sizeof changed - 1, path);
    ce_autofd int made = mkstemp(back);
    if (fd < 0 || made < 0)
        return;
    struct ce_error err = {0};
    int r = ce_text_revert(path, key_path, back, &err);
    expect((r < 0) == (err.message[0] != '\0'));
    (void)unlink(back);
}

/* The bytes as changes of a key that fits the file. */
static void seal(const uint8_t *data, size_t size)
{
    char folder[] = "/tmp/ce-fuzz-XXXXXX", sha[CE_SHA256_HEX];
    if (!mkdtemp(folder))
        return;
    ce_autofree char *path = ce_format("%s/key", folder);
    CE_CLEANUP(ce_output_free_p) struct ce_output *key = NULL;
    expect(path && ce_sha256_data(changed, sizeof changed - 1, sha, NULL) == 0);
    if (ce_key_begin(path, 0600, json_pack("{s:s}", "kind", "bytes"), &key, NULL) == 0 &&
        ce_output_put(key, data, size, NULL) == 0 &&
        ce_key_end(key, json_pack("{s:s, s:s}", "sha256_in", sha, "sha256_out", sha), NULL) == 0 &&
        ce_output_sync(key, NULL) == 0 && ce_output_publish(key, NULL) == 0) {
        read_key(path);
        revert_by(path);
    }
    (void)ce_tree_remove(folder, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64] = "";
    ce_autofd int fd = make_file("key", data, size, path);
    if (fd < 0)
        return 0;
    read_key(path);
    seal(data, size);
    return 0;
}
