/* SPDX-License-Identifier: MIT */
#include "pipeline/started/tail.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"

int ce_tail_read(const char *path, size_t most, char **ret_text, size_t *ret_size,
                 struct ce_error *err)
{
    struct stat st;
    ce_autofd int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return ce_fail(err, errno, "cannot read '%s': %s", path, strerror(errno));
    size_t size = (size_t)st.st_size < most ? (size_t)st.st_size : most, got = 0;
    ce_autofree char *text = malloc(size + 1);
    if (!text)
        return ce_fail_memory(err);
    while (got < size) {
        ssize_t n = pread(fd, text + got, size - got, st.st_size - (off_t)(size - got));
        if (n < 0 && errno != EINTR)
            return ce_fail(err, errno, "cannot read '%s': %s", path, strerror(errno));
        if (n == 0)
            break; /* it has become shorter */
        got += n > 0 ? (size_t)n : 0;
    }
    text[got] = '\0';
    *ret_text = ce_take(text);
    *ret_size = got;
    return 0;
}
