/* SPDX-License-Identifier: MIT */
/* Small files, and waiting: what tests of the outside world share. */
#ifndef CE_TESTS_FILES_H
#define CE_TESTS_FILES_H

#include <dirent.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "check.h"

static inline bool put_text(const char *path, const char *text)
{
    return ce_file_replace(path, text, strlen(text), NULL) == 0;
}

/* The file's text, "" when there is none. To be freed. */
static inline char *text_of(const char *path)
{
    char *text = NULL;
    size_t size;
    return ce_file_read(path, 1 << 20, &text, &size, NULL) < 0 ? strdup("") : text;
}
#define CHECK_FILE(path, want)                                                                     \
    do {                                                                                           \
        ce_autofree char *text_ = text_of(path);                                                   \
        CHECK_TEXT(text_, want);                                                                   \
    } while (0)

/* How many files and folders the folder holds; 0 when there is none. */
static inline size_t entries(const char *path)
{
    size_t count = 0;
    DIR *folder = opendir(path);
    if (!folder)
        return 0;
    for (const struct dirent *entry; (entry = readdir(folder));)
        count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    closedir(folder);
    return count;
}

/* Waits for something with a deadline; the condition is evaluated again and again. */
#define AWAIT(condition)                                                                           \
    do {                                                                                           \
        int64_t until_ = ce_now() + 10 * CE_SECOND;                                                \
        while (!(condition) && ce_now() < until_)                                                  \
            ce_sleep_until(ce_now() + CE_MILLISECOND / 2);                                         \
        CHECK(condition);                                                                          \
    } while (0)

#endif
