/* SPDX-License-Identifier: MIT */
/* The token that actions need. It stays the same as long as the state folder, so that a page that
 * is open goes on working when the server is started anew. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "base/file.h"
#include "web/web_internal.h"

#define TOKEN_FILE "serve.token"

static bool is_token(const char *text, size_t size)
{
    if (size == CE_TOKEN_SIZE && text[size - 1] == '\n')
        size--;
    return size == CE_TOKEN_SIZE - 1 && strspn(text, "0123456789abcdef") == size;
}

/* Of two servers that start at once one makes it, and the other reads it. */
static int make(const char *path, char ret_token[CE_TOKEN_SIZE], struct ce_error *err)
{
    unsigned char random[(CE_TOKEN_SIZE - 1) / 2];
    char line[CE_TOKEN_SIZE + 1];
    if (getrandom(random, sizeof random, 0) != sizeof random)
        return ce_fail(err, EIO, "there are no random numbers for a token");
    for (size_t i = 0; i < sizeof random; i++)
        snprintf(line + 2 * i, 3, "%02x", random[i]);
    line[CE_TOKEN_SIZE - 1] = '\n';
    ce_autofd int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    int r = fd < 0 ? -errno : ce_write_all(fd, line, CE_TOKEN_SIZE);
    if (r < 0)
        return ce_fail(err, -r, "cannot write '%s': %s", path, strerror(-r));
    memcpy(ret_token, line, CE_TOKEN_SIZE - 1);
    ret_token[CE_TOKEN_SIZE - 1] = '\0';
    return 0;
}

int ce_token_get(const char *state_dir, char ret_token[CE_TOKEN_SIZE], struct ce_error *err)
{
    ce_autofree char *path = ce_format("%s/%s", state_dir, TOKEN_FILE);
    ce_autofree char *text = NULL;
    size_t size;
    struct stat st;
    if (!path)
        return ce_fail_memory(err);
    if (stat(path, &st) < 0 && errno == ENOENT) {
        int r = make(path, ret_token, err);
        if (r != -EEXIST)
            return r;
    }
    CE_TRY(ce_file_read(path, 4096, &text, &size, err));
    if (!is_token(text, size))
        return ce_fail(err, EINVAL, "'%s' holds no token; without it a new one is made", path);
    if (stat(path, &st) == 0 && (st.st_mode & 077))
        return ce_fail(err, EPERM, "'%s' can be read by others: chmod 600, or remove it", path);
    memcpy(ret_token, text, CE_TOKEN_SIZE - 1);
    ret_token[CE_TOKEN_SIZE - 1] = '\0';
    return 0;
}
