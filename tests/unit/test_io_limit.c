/* SPDX-License-Identifier: MIT */
/* The kernel's limits on a disk: a loop device with a filesystem of the test's own, and a process
 * of the test's own as the target. */
#include "storage_world.h"

#include <sys/sysmacros.h>

#include "files.h"
#include "host/cgroup.h"
#include "host/storage/io_limit.h"

static const struct ce_storage_deed slow = {.operations = CE_STORAGE_ALL, .iops = 100, .seed = 1};
static const struct ce_storage_probe writes = {.kind = CE_STORAGE_WRITE, .warm = 40, .count = 150};
/* The kernel counts in tenths of a second: this takes thirty of them at 200 a second. */
static const struct ce_storage_probe many_writes = {
    .kind = CE_STORAGE_WRITE, .warm = 80, .count = 600};

/* A world whose disk is a disk, and whose target is a child that waits. */
static bool disk_make(struct world *w)
{
    if (world_make(w) < 0 || umount(w->disk) < 0)
        return false;
    ce_autofree char *command =
        ce_format("truncate -s 32M %s/image && mkfs.ext4 -q -F -O ^has_journal %s/image && "
                  "mount -o loop %s/image %s",
                  w->folder, w->folder, w->folder, w->disk);
    if (system(command) != 0)
        return false;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;)
            pause();
    }
    return ce_process_identify(pid, &w->subject.process) == 0;
}

static void disk_remove(struct world *w)
{
    if (w->subject.process.pid != getpid())
        (void)ce_process_end(&w->subject.process, patience, NULL);
    world_remove(w);
}
#define DISK(w)                                                                                    \
    CE_CLEANUP(disk_remove) struct world w;                                                        \
    if (!disk_make(&w))                                                                            \
    SKIP("no loop device with a filesystem can be made")

static char *group_of(const struct world *w)
{
    ce_autofree char *path = ce_format("/proc/%d/cgroup", (int)w->subject.process.pid);
    return text_of(path);
}

static void a_disk_is_limited_for_the_target_alone(void)
{
    DISK(w);
    ce_autofree char *before = group_of(&w);
    REQUIRE(world_begin(&w, "cgroup", &slow) == 0);
    ce_autofree char *meanwhile = group_of(&w);
    CHECK(strcmp(meanwhile, before) != 0);
    CHECK(sees_rate(&w, &writes, 100));
    struct ce_storage_probe reads = writes;
    reads.kind = CE_STORAGE_READ;
    CHECK(sees_rate(&w, &reads, 100));

    /* Who is not in the group is not limited. */
    struct ce_storage_seen seen = {0};
    struct ce_storage_probe outside = writes;
    outside.patience = patience;
    CHECK(ce_storage_witness(&w.subject, &outside, &seen, NULL) == 0 && rate(&seen) > 200);

    struct ce_error err = {0};
    struct ce_storage_deed other = ce_storage_deed_scaled(&slow, 0.5);
    REQUIRE_OK(ce_storage_adjust(w.storage, &other, &err), err);
    CHECK(sees_rate(&w, &many_writes, 200));
    other = ce_storage_deed_scaled(&slow, 0);
    REQUIRE_OK(ce_storage_adjust(w.storage, &other, &err), err);
    seen = watch(&w, &writes);
    CHECK(rate(&seen) > 400);

    CHECK(world_end(&w) == 0);
    CHECK(ce_undo_live(w.journal) == 0);
    ce_autofree char *after = group_of(&w);
    CHECK_TEXT(after, before);
}

static void bytes_per_second_are_limited(void)
{
    DISK(w);
    struct ce_storage_deed deed = {
        .operations = CE_STORAGE_WRITE, .bytes_per_second = 150 * 4096, .seed = 1};
    REQUIRE(world_begin(&w, "cgroup", &deed) == 0);
    CHECK(sees_rate(&w, &writes, 150));
    struct ce_storage_probe reads = writes;
    reads.kind = CE_STORAGE_READ;
    struct ce_storage_seen seen = watch(&w, &reads);
    CHECK(rate(&seen) > 300); /* not meant */
    CHECK(world_end(&w) == 0);
}

static void check_refused(struct world *w, const struct ce_storage_deed *deed, const char *says)
{
    struct ce_error err = {0};
    CHECK(ce_storage_begin(w->journal, &w->subject, deed, "cgroup", &w->storage, &err) == -ENOTSUP);
    if (!strstr(err.message, says))
        printf("# %s\n", err.message);
    CHECK(strstr(err.message, says) != NULL);
    CHECK(ce_undo_live(w->journal) == 0);
}

static void what_it_cannot_do_it_says(void)
{
    WORLD(w);
    struct ce_storage_deed deed = slow;
    check_refused(&w, &deed, "does not lie on a disk");
    deed.latency = 1;
    check_refused(&w, &deed, "nothing else");
    deed = (struct ce_storage_deed){.operations = CE_STORAGE_FSYNC, .iops = 10};
    check_refused(&w, &deed, "reads and writes only");
    w.subject.has = CE_SUBJECT_FOLDER;
    check_refused(&w, &slow, "is no process");
}

static void a_partition_is_limited_as_its_whole_disk(void)
{
    char disk[24];
    struct ce_error err = {0};
    CHECK(ce_io_disk_of(makedev(0, 42), disk, sizeof disk, &err) == -ENOTSUP);
    bool seen = false;
    DIR *all = opendir("/sys/dev/block");
    REQUIRE(all);
    for (const struct dirent *e; (e = readdir(all));) {
        unsigned major_number, minor_number;
        if (sscanf(e->d_name, "%u:%u", &major_number, &minor_number) != 2)
            continue;
        ce_autofree char *mark = ce_format("/sys/dev/block/%s/partition", e->d_name);
        bool is_part = access(mark, F_OK) == 0;
        CHECK(ce_io_disk_of(makedev(major_number, minor_number), disk, sizeof disk, &err) == 0);
        CHECK((strcmp(disk, e->d_name) == 0) == !is_part);
        seen = true;
    }
    closedir(all);
    CHECK(seen);
}

int main(void)
{
    char why[200];
    if (geteuid() != 0 || !ce_storage_by_cgroup.available(why, sizeof why) || !world_enter()) {
        printf("1..0 # SKIP %s\n", geteuid() != 0 ? "needs root" : why);
        return 0;
    }
    TEST(a_disk_is_limited_for_the_target_alone);
    TEST(bytes_per_second_are_limited);
    TEST(what_it_cannot_do_it_says);
    TEST(a_partition_is_limited_as_its_whole_disk);
    return test_done();
}
