/* SPDX-License-Identifier: MIT */
/* Small files in a folder of their own, for the tests of the data room and its faults. */
#ifndef CE_TESTS_DATA_FILES_H
#define CE_TESTS_DATA_FILES_H

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "check.h"

struct folder {
    char path[64];
    char *given[32]; /* paths that folder_file() gave */
};

static inline void folder_make(struct folder *folder)
{
    snprintf(folder->path, sizeof folder->path, "/tmp/ce-test-XXXXXX");
    if (!mkdtemp(folder->path)) {
        perror("mkdtemp");
        exit(99);
    }
}

static inline void folder_remove(struct folder *folder)
{
    (void)ce_tree_remove(folder->path, NULL);
    for (size_t i = 0; i < CE_COUNT(folder->given); i++)
        free(folder->given[i]);
}
#define FOLDER(name)                                                                               \
    CE_CLEANUP(folder_remove) struct folder name = {0};                                            \
    folder_make(&name)

/* The path of a file in the folder, which lives as long as the folder. */
static inline const char *folder_file(struct folder *folder, const char *name)
{
    char *path = ce_format("%s/%s", folder->path, name);
    for (size_t i = 0; path && i < CE_COUNT(folder->given); i++) {
        if (!folder->given[i])
            return folder->given[i] = path;
        if (strcmp(folder->given[i], path) == 0) {
            free(path);
            return folder->given[i];
        }
    }
    exit(99); /* no memory, or more names than a test should have */
}

static inline const char *folder_write(struct folder *folder, const char *name, const void *data,
                                       size_t size)
{
    const char *path = folder_file(folder, name);
    if (ce_file_replace(path, data, size, NULL) < 0) {
        perror(path);
        exit(99);
    }
    return path;
}

static inline size_t folder_count(const struct folder *folder)
{
    size_t count = 0;
    DIR *dir = opendir(folder->path);
    while (dir && readdir(dir))
        count++;
    if (dir)
        closedir(dir);
    return count - 2; /* . and .. */
}

static inline bool same_bytes(const char *path, const void *data, size_t size)
{
    ce_autofree char *text = NULL;
    size_t found;
    return ce_file_read(path, SIZE_MAX / 2, &text, &found, NULL) == 0 && found == size &&
           memcmp(text, data, size) == 0;
}

static inline bool same_files(const char *a, const char *b)
{
    ce_autofree char *text = NULL;
    size_t size;
    return ce_file_read(a, SIZE_MAX / 2, &text, &size, NULL) == 0 && same_bytes(b, text, size);
}

#endif
