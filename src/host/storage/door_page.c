/* SPDX-License-Identifier: MIT */
#include "host/storage/door_page.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"

#define MAGIC UINT32_C(0xce9ad001)

static int map_file(int fd, struct ce_door_page **ret_page)
{
    void *page = mmap(NULL, sizeof(struct ce_door_page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (page == MAP_FAILED)
        return -errno;
    *ret_page = page;
    return 0;
}

int ce_door_page_map_file(const char *path, struct ce_door_page **ret_page, struct stat *ret_stat)
{
    ce_autofd int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    struct ce_door_page *page = NULL;
    if (fd < 0 || fstat(fd, ret_stat) < 0)
        return -errno;
    if (!S_ISREG(ret_stat->st_mode) || ret_stat->st_size != (off_t)sizeof *page)
        return -EPROTO;
    CE_TRY(map_file(fd, &page));
    if (page->magic != MAGIC) {
        ce_door_page_unmap(page);
        return -EPROTO;
    }
    *ret_page = page;
    return 0;
}

int ce_door_page_make(const char *folder, struct ce_error *err)
{
    struct ce_door_page *page = NULL;
    ce_autofree char *path = ce_format("%s/" CE_DOOR_PAGE, folder);
    if (!path)
        return ce_fail_memory(err);
    ce_autofd int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 && errno == EEXIST)
        return 0;
    int r = fd < 0 || ftruncate(fd, sizeof *page) < 0 ? -errno : map_file(fd, &page);
    if (r < 0)
        return ce_fail(err, -r, "cannot make '%s': %s", path, strerror(-r));
    ce_storage_gate_init_shared(&page->gate);
    page->magic = MAGIC;
    ce_door_page_unmap(page);
    return 0;
}

int ce_door_page_map(const char *folder, struct ce_door_page **ret_page, struct ce_error *err)
{
    struct stat st;
    ce_autofree char *path = ce_format("%s/" CE_DOOR_PAGE, folder);
    if (!path)
        return ce_fail_memory(err);
    int r = ce_door_page_map_file(path, ret_page, &st);
    return r < 0 ? ce_fail(err, -r, "cannot use '%s': %s", path, strerror(-r)) : 0;
}

void ce_door_page_unmap(struct ce_door_page *page)
{
    if (page)
        (void)munmap(page, sizeof *page);
}
