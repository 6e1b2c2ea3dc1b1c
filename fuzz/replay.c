/* SPDX-License-Identifier: MIT */
/* Replays a corpus through a fuzz target without libFuzzer: replay_X FOLDER_OR_FILE... */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *path)
{
    ce_autofree char *data = NULL;
    size_t size;
    struct ce_error err = {0};
    if (ce_file_read(path, SIZE_MAX / 2, &data, &size, &err) < 0) {
        fprintf(stderr, "%s\n", err.message);
        return -1;
    }
    /* A copy of the exact size, so that a sanitizer sees a read past the end. */
    ce_autofree uint8_t *exact = malloc(size > 0 ? size : 1);
    if (!exact)
        return -1;
    for (size_t i = 0; i < size; i++)
        exact[i] = (uint8_t)data[i];
    (void)LLVMFuzzerTestOneInput(exact, size);
    return 1;
}

int main(int argc, char **argv)
{
    int count = 0;
    for (int i = 1; i < argc; i++) {
        DIR *folder = opendir(argv[i]);
        if (!folder) {
            int r = replay_file(argv[i]);
            if (r < 0)
                return 1;
            count += r;
            continue;
        }
        for (const struct dirent *entry; (entry = readdir(folder));) {
            if (entry->d_name[0] == '.')
                continue;
            ce_autofree char *path = ce_format("%s/%s", argv[i], entry->d_name);
            int r = path ? replay_file(path) : -1;
            if (r < 0)
                return 1;
            count += r;
        }
        closedir(folder);
    }
    printf("%d inputs replayed\n", count);
    return count == 0;
}
