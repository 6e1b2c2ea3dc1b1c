/* SPDX-License-Identifier: MIT */
/* Extended attributes, access control lists among them. */
#include <stdlib.h>
#include <sys/xattr.h>

#include "base/cleanup.h"
#include "host/storage/fuse_tree.h"

static struct ce_fuse_fd_name name_of(fuse_req_t req, fuse_ino_t ino)
{
    return ce_fuse_fd_name(ce_fuse_inode_of(req, ino)->fd);
}

void ce_fuse_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value,
                      size_t size, int flags)
{
    fuse_reply_err(req, setxattr(name_of(req, ino).text, name, value, size, flags) < 0 ? errno : 0);
}

void ce_fuse_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
    fuse_reply_err(req, removexattr(name_of(req, ino).text, name) < 0 ? errno : 0);
}

/* `size` 0 asks how large it is. `n` and `error`: what the kernel below said. */
static void reply_value(fuse_req_t req, size_t size, const char *value, ssize_t n, int error)
{
    if (n < 0)
        fuse_reply_err(req, error);
    else if (size == 0)
        fuse_reply_xattr(req, (size_t)n);
    else
        fuse_reply_buf(req, value, (size_t)n);
}

void ce_fuse_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
    ce_autofree char *value = malloc(size + 1);
    ssize_t n = value ? getxattr(name_of(req, ino).text, name, value, size) : -1;
    reply_value(req, size, value, n, errno);
}

void ce_fuse_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
    ce_autofree char *names = malloc(size + 1);
    ssize_t n = names ? listxattr(name_of(req, ino).text, names, size) : -1;
    reply_value(req, size, names, n, errno);
}
