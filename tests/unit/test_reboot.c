/* SPDX-License-Identifier: MIT */
/* The machine has been started anew between a run and its recover, for every operation that undoes
 * something.
 *
 * The notes are made while the kernel gives another boot id than when they are undone. All that
 * they name is still there, so it stands for what has got the same number, name or inode by then:
 * it is touched by nobody. What outlives a reboot, files and tables, is put back, also when its
 * filesystem has got another number. */
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/spawn.h"
#include "controller/controller.h"
#include "faults/data/table_switch.h"
#include "files.h"
#include "host/group.h"
#include "host/group_internal.h"
#include "host/helper_page.h"
#include "host/place.h"
#include "host/process.h"
#include "host/process_tree.h"
#include "host/restart.h"
#include "host/standstill.h"
#include "host/storage/door_page.h"
#include "host/storage/fuse_mount.h"
#include "journal/undo_files.h"
#include "own_net.h"

static const char boot_file[] = "/proc/sys/kernel/random/boot_id", device[] = "ce-reboot",
                  chain[] = "ce-reboot-chain", source[] = "ce-reboot";

struct lab {
    char folder[64], state[80], disk[80];
    struct ce_journal *journal;
    struct ce_process_id stopped;
    struct ce_place place;
    bool has_device, has_chain, has_fuse;
};

static char *in(const char *folder, const char *name)
{
    char *path = ce_format("%s/%s", folder, name);
    if (!path)
        exit(99);
    return path;
}
#define IN(name, folder, file) ce_autofree char *name = in(folder, file)

static struct ce_process_id start_child(void)
{
    struct ce_process_id id = {.pid = fork()};
    if (id.pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;)
            (void)pause();
    }
    (void)ce_process_identify(id.pid, &id);
    return id;
}

/* ---- what outlives a reboot ---- */

static int query(const char *path, const char *sql)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *statement = NULL;
    int value = -1;
    if (sqlite3_open(path, &db) == SQLITE_OK) {
        if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) == SQLITE_OK &&
            sqlite3_step(statement) == SQLITE_ROW)
            value = sqlite3_column_int(statement, 0);
        (void)sqlite3_finalize(statement);
    }
    (void)sqlite3_close(db);
    return value;
}

static int note_table(struct lab *lab, bool edit, struct ce_error *err)
{
    IN(db, lab->folder, edit ? "edited.db" : "switched.db");
    IN(csv, lab->folder, "faulted.csv");
    IN(image, lab->folder, "image.csv");
    IN(copy, lab->folder, "copy.csv");
    ce_autofree char *address = ce_format("sqlite:%s?table=items", db);
    struct ce_sql_loaded loaded;
    char hex[CE_SHA256_HEX];
    sqlite3 *handle = NULL;
    bool made = sqlite3_open(db, &handle) == SQLITE_OK &&
                sqlite3_exec(handle,
                             "CREATE TABLE items(id INTEGER PRIMARY KEY, price REAL NOT NULL);"
                             "INSERT INTO items VALUES(1, 5), (2, 20)",
                             NULL, NULL, NULL) == SQLITE_OK;
    (void)sqlite3_close(handle);
    if (!made || !put_text(csv, "id,price\n1,99\n3,7\n"))
        return -EIO;
    if (!edit)
        return ce_table_switch(lab->journal, address, csv, &loaded, err);
    CE_TRY(ce_sql_export(address, copy, err));
    CE_TRY(ce_sha256_file(copy, hex, err));
    return ce_table_edit(lab->journal, address, csv, hex, image, err);
}

static int note_switched(struct lab *lab, struct ce_error *err)
{
    return note_table(lab, false, err);
}

static int note_edited(struct lab *lab, struct ce_error *err)
{
    return note_table(lab, true, err);
}

static bool has_its_rows(const struct lab *lab, const char *name)
{
    IN(db, lab->folder, name);
    return query(db, "SELECT sum(id * price) = 45 AND count(*) = 2 FROM items") == 1;
}

static bool switched_is_back(const struct lab *lab)
{
    return has_its_rows(lab, "switched.db");
}

static bool edited_is_back(const struct lab *lab)
{
    return has_its_rows(lab, "edited.db");
}

static int note_file(struct lab *lab, struct ce_error *err)
{
    IN(path, lab->disk, "data.csv");
    int note = ce_undo_note_file(lab->journal, path, NULL, err);
    return note > 0 && !put_text(path, "faulted") ? -EIO : note;
}

static bool file_is_back(const struct lab *lab)
{
    IN(path, lab->disk, "data.csv");
    ce_autofree char *text = text_of(path);
    return strcmp(text, "as it was") == 0;
}

static int note_tree(struct lab *lab, struct ce_error *err)
{
    IN(path, lab->disk, "run");
    int note = ce_undo_note_tree(lab->journal, path, err);
    return note > 0 && mkdir(path, 0755) < 0 ? -EIO : note;
}

static bool tree_is_gone(const struct lab *lab)
{
    IN(path, lab->disk, "run");
    return access(path, F_OK) < 0;
}

static int note_helpers(struct lab *lab, struct ce_error *err)
{
    struct ce_helper_control *control;
    int note = 0;
    CE_TRY(ce_helper_control_open(lab->disk, &control, err));
    int r = ce_helper_arm_gpu(control, lab->journal, CE_GPU_LOST, &note, err);
    ce_helper_control_close(control);
    return r < 0 ? r : note;
}

static bool helpers_are_disarmed(const struct lab *lab)
{
    struct ce_helper_control *control;
    struct ce_error err;
    if (ce_helper_control_open(lab->disk, &control, &err) < 0)
        return false;
    bool disarmed = ce_helper_control_page(control)->gpu == CE_GPU_AS_IS;
    ce_helper_control_close(control);
    return disarmed;
}

static int note_door(struct lab *lab, struct ce_error *err)
{
    const struct ce_storage_deed deed = {.operations = 1, .iops = 1};
    struct ce_door_page *page;
    int note = 0;
    CE_TRY(ce_door_page_map(lab->disk, &page, err));
    int r = ce_door_arm(page, lab->disk, lab->disk, &deed, lab->journal, &note, err);
    ce_door_page_unmap(page);
    return r < 0 ? r : note;
}

static bool door_is_disarmed(const struct lab *lab)
{
    struct ce_door_page *page;
    struct ce_error err;
    if (ce_door_page_map(lab->disk, &page, &err) < 0)
        return false;
    bool disarmed = page->armed == 0;
    ce_door_page_unmap(page);
    return disarmed;
}

/* ---- processes ---- */

static int note_process(struct lab *lab, const char *op, struct ce_error *err)
{
    return ce_undo_note(lab->journal, op, ce_process_args(&lab->stopped), err);
}

static int note_end(struct lab *lab, struct ce_error *err)
{
    return note_process(lab, "end-process", err);
}

static int note_server(struct lab *lab, struct ce_error *err)
{
    return note_process(lab, "end-server", err);
}

static int note_end_of_activity(struct lab *lab, struct ce_error *err)
{
    return note_process(lab, "end-activity", err);
}

/* What a document asks to be done at its end is done in another boot, too. */
static int note_activity(struct lab *lab, struct ce_error *err)
{
    IN(done, lab->folder, "rolled-back");
    return ce_undo_note(lab->journal, "run-activity",
                        json_pack("{s:s, s:{s:s, s:[s, s]}}", "name", "put back", "provider",
                                  "type", "process", "argv", "/bin/touch", done),
                        err);
}

static bool activity_was_run(const struct lab *lab)
{
    IN(done, lab->folder, "rolled-back");
    return access(done, F_OK) == 0;
}

/* As of one that ran when it was noted. */
static int note_standstill(struct lab *lab, struct ce_error *err)
{
    struct ce_process_list list = {.items = &lab->stopped, .count = 1};
    (void)ce_process_signal(&lab->stopped, SIGCONT);
    (void)ce_process_await_stopped(&lab->stopped, false);
    int note = ce_undo_note_standstill(lab->journal, &list, err);
    (void)ce_process_signal(&lab->stopped, SIGSTOP);
    return ce_process_await_stopped(&lab->stopped, true) ? note : -EIO;
}

static bool is_stopped(const struct lab *lab)
{
    return ce_process_state(&lab->stopped) == 'T';
}

/* One that is gone, and that nothing has started again. */
static int note_restart(struct lab *lab, struct ce_error *err)
{
    ce_autojson json_t *program = NULL;
    ce_autofree char *command = ce_format("touch %s/restarted", lab->folder);
    struct ce_process_id child = start_child();
    int r = ce_program_of(&child, &program, err);
    (void)ce_process_end(&child, CE_SECOND, NULL);
    return r < 0 ? r : ce_undo_note_restart(lab->journal, program, command, err);
}

static bool nothing_was_started(const struct lab *lab)
{
    IN(path, lab->folder, "restarted");
    return access(path, F_OK) < 0;
}

/* ---- control groups: a folder with such files is one, for who only reads and writes them ---- */

static int note_group(struct lab *lab, const char *op, const char *file, json_t *more,
                      struct ce_error *err)
{
    struct stat st;
    ce_autojson json_t *owned = more;
    IN(group, lab->folder, op);
    IN(path, group, file);
    if (mkdir(group, 0755) < 0 || stat(group, &st) < 0 || !put_text(path, "another's"))
        return -EIO;
    json_t *args = ce_undo_file_args(&st);
    (void)json_object_set_new(args, "folder", json_string(group));
    (void)json_object_update(args, owned);
    return ce_undo_note(lab->journal, op, args, err);
}

static bool group_is_as_it_was(const struct lab *lab, const char *op, const char *file)
{
    IN(group, lab->folder, op);
    IN(path, group, file);
    ce_autofree char *text = text_of(path);
    return strcmp(text, "another's") == 0;
}

static int note_freezer(struct lab *lab, struct ce_error *err)
{
    return note_group(lab, "thaw-group", "freezer.state", json_pack("{s:s}", "kind", "v1"), err);
}

static bool freezer_is_as_it_was(const struct lab *lab)
{
    return group_is_as_it_was(lab, "thaw-group", "freezer.state");
}

static int note_memory(struct lab *lab, struct ce_error *err)
{
    return note_group(lab, "restore-memory-limit", "memory.max",
                      json_pack("{s:s, s:b, s:s}", "file", "memory.max", "v1", 0, "limit", "max"),
                      err);
}

static bool memory_is_as_it_was(const struct lab *lab)
{
    return group_is_as_it_was(lab, "restore-memory-limit", "memory.max");
}

static int note_quota(struct lab *lab, struct ce_error *err)
{
    return note_group(lab, "restore-cpu-quota", "cpu.max",
                      json_pack("{s:s, s:s}", "kind", "v2", "quota", "max 100000"), err);
}

static bool quota_is_as_it_was(const struct lab *lab)
{
    return group_is_as_it_was(lab, "restore-cpu-quota", "cpu.max");
}

static int note_leave(struct lab *lab, struct ce_error *err)
{
    char boot[CE_BOOT_ID_SIZE];
    IN(group, lab->folder, CE_GROUP_PREFIX "1");
    ce_boot_id(boot);
    if (mkdir(group, 0755) < 0)
        return -EIO;
    return ce_undo_note(lab->journal, "leave-group",
                        json_pack("{s:s, s:s, s:s, s:s}", "boot", boot, "folder", group, "home",
                                  lab->folder, "top", lab->folder),
                        err);
}

static bool group_is_there(const struct lab *lab)
{
    IN(group, lab->folder, CE_GROUP_PREFIX "1");
    return access(group, F_OK) == 0;
}

/* ---- namespaces: those of this process ---- */

static int note_shaper(struct lab *lab, struct ce_error *err)
{
    lab->has_device = system("ip link add ce-reboot type veth >/dev/null 2>&1") == 0;
    return ce_undo_note(lab->journal, "remove-shaper",
                        json_pack("{s:o, s:s, s:i, s:s}", "place", ce_place_args(&lab->place),
                                  "device", device, "layer", 0, "kind", "tbf"),
                        err);
}

static bool device_is_there(const struct lab *lab)
{
    return !lab->has_device || if_nametoindex(device) > 0;
}

static int note_chains(struct lab *lab, struct ce_error *err)
{
    lab->has_chain = system("iptables-legacy -N ce-reboot-chain >/dev/null 2>&1") == 0;
    return ce_undo_note(lab->journal, "remove-chains",
                        json_pack("{s:o, s:s, s:s}", "place", ce_place_args(&lab->place), "variant",
                                  "-legacy", "chain", chain),
                        err);
}

static bool chain_is_there(const struct lab *lab)
{
    return !lab->has_chain || system("iptables-legacy -S ce-reboot-chain >/dev/null 2>&1") == 0;
}

/* Nobody serves it: it is only looked at in the list of mounts. */
static int note_fuse(struct lab *lab, struct ce_error *err)
{
    char options[96];
    IN(point, lab->folder, "fuse");
    int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=0,group_id=0", fd);
    lab->has_fuse =
        fd >= 0 && mkdir(point, 0755) == 0 && mount(source, point, CE_FUSE_TYPE, 0, options) == 0;
    return ce_undo_note_fuse(lab->journal, &lab->place, source, &lab->stopped, err);
}

static bool fuse_is_there(const struct lab *lab)
{
    return !lab->has_fuse || ce_fuse_is_mounted(source);
}

static int note_cover(struct lab *lab, struct ce_error *err)
{
    struct stat st;
    IN(below, lab->folder, "below");
    IN(above, lab->disk, "above");
    if (!put_text(below, "below") || !put_text(above, "above") || stat(above, &st) < 0 ||
        mount(above, below, NULL, MS_BIND, NULL) < 0)
        return -EIO;
    json_t *args = ce_place_args(&lab->place);
    (void)json_object_set_new(args, "path", json_string(below));
    (void)json_object_set_new(args, "device", json_integer((json_int_t)st.st_dev));
    return ce_undo_note(lab->journal, "unmount-file", args, err);
}

static bool cover_is_there(const struct lab *lab)
{
    IN(below, lab->folder, "below");
    ce_autofree char *text = text_of(below);
    return strcmp(text, "above") == 0;
}

/* ---- the table ---- */

static const struct {
    const char *op;
    int (*note)(struct lab *lab, struct ce_error *err); /* and the deed; returns the note */
    bool (*is_right)(const struct lab *lab);            /* after recover */
} cases[] = {
    {"restore-file", note_file, file_is_back},
    {"remove-tree", note_tree, tree_is_gone},
    {"switch-table", note_switched, switched_is_back},
    {"restore-table", note_edited, edited_is_back},
    {"disarm-helpers", note_helpers, helpers_are_disarmed},
    {"disarm-door", note_door, door_is_disarmed},
    {"continue-processes", note_standstill, is_stopped},
    {"end-process", note_end, is_stopped},
    {"end-server", note_server, is_stopped},
    {"end-activity", note_end_of_activity, is_stopped},
    {"run-activity", note_activity, activity_was_run},
    {"restart-program", note_restart, nothing_was_started},
    {"thaw-group", note_freezer, freezer_is_as_it_was},
    {"restore-memory-limit", note_memory, memory_is_as_it_was},
    {"restore-cpu-quota", note_quota, quota_is_as_it_was},
    {"leave-group", note_leave, group_is_there},
    {"remove-shaper", note_shaper, device_is_there},
    {"remove-chains", note_chains, chain_is_there},
    {"unmount", note_fuse, fuse_is_there},
    {"unmount-file", note_cover, cover_is_there},
};

static void every_operation_has_a_case(void)
{
    for (size_t i = 0; ce_undo_ops[i]; i++) {
        size_t found = 0;
        for (size_t j = 0; j < CE_COUNT(cases); j++)
            found += strcmp(cases[j].op, ce_undo_ops[i]->name) == 0;
        if (found != 1)
            printf("# %s has %zu cases\n", ce_undo_ops[i]->name, found);
        CHECK(found == 1);
    }
}

/* ---- the reboot ---- */

/* Filled in the same order, two filesystems give the same inodes. */
static bool fill_disk(const char *disk)
{
    IN(data, disk, "data.csv");
    return mkdir(disk, 0755) == 0 && mount("tmpfs", disk, "tmpfs", 0, NULL) == 0 &&
           put_text(data, "as it was") && ce_helper_page_make(disk, NULL) == 0 &&
           ce_door_page_make(disk, NULL) == 0;
}

static bool copy_onto(const char *from_folder, const char *to_folder, const char *name)
{
    ce_autofree char *bytes = NULL;
    size_t size;
    IN(from, from_folder, name);
    IN(to, to_folder, name);
    ce_autofd int fd = open(to, O_WRONLY | O_TRUNC | O_CLOEXEC);
    return fd >= 0 && ce_file_read(from, 1 << 20, &bytes, &size, NULL) == 0 &&
           ce_write_all(fd, bytes, size) == 0;
}

/* The same filesystem under another number: all that is in it is what was in the first. */
static bool renumber_disk(const struct lab *lab)
{
    struct stat before, after;
    IN(anew, lab->folder, "anew");
    IN(tree, anew, "run");
    bool same = fill_disk(anew) && copy_onto(lab->disk, anew, "data.csv") &&
                copy_onto(lab->disk, anew, CE_HELPER_PAGE) &&
                copy_onto(lab->disk, anew, CE_DOOR_PAGE) && mkdir(tree, 0755) == 0 &&
                stat(lab->disk, &before) == 0 && stat(anew, &after) == 0 &&
                before.st_ino == after.st_ino && before.st_dev != after.st_dev;
    return same && umount2(lab->disk, MNT_DETACH) == 0 &&
           mount(anew, lab->disk, NULL, MS_MOVE, NULL) == 0;
}

static bool lab_make(struct lab *lab)
{
    *lab = (struct lab){.folder = "/tmp/ce-test-XXXXXX"};
    struct ce_error err;
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        !mkdtemp(lab->folder))
        return false;
    snprintf(lab->state, sizeof lab->state, "%s/state", lab->folder);
    snprintf(lab->disk, sizeof lab->disk, "%s/disk", lab->folder);
    lab->stopped = start_child();
    (void)ce_process_signal(&lab->stopped, SIGSTOP);
    IN(boot, lab->folder, "boot");
    return ce_process_await_stopped(&lab->stopped, true) && fill_disk(lab->disk) &&
           ce_place_here(&lab->place, &err) == 0 && put_text(boot, "the-boot-before\n") &&
           mount(boot, boot_file, NULL, MS_BIND, NULL) == 0;
}

static void lab_done(struct lab *lab)
{
    static const char *const points[] = {"fuse", "below", "disk", "anew"};
    ce_journal_close(lab->journal);
    (void)ce_process_end(&lab->stopped, CE_SECOND, NULL);
    for (size_t i = 0; i < CE_COUNT(points); i++) {
        IN(point, lab->folder, points[i]);
        (void)umount2(point, MNT_DETACH);
    }
    (void)ce_tree_remove(lab->folder, NULL);
}

static void check_recovered(struct lab *lab)
{
    struct ce_error err = {0};
    struct ce_recovery counts = {0};
    REQUIRE_OK(ce_journal_create(lab->state, "run", ce_undo_ops, &lab->journal, &err), err);
    for (size_t i = 0; i < CE_COUNT(cases); i++)
        REQUIRE_OK(cases[i].note(lab, &err), err);
    CHECK(!has_its_rows(lab, "switched.db") && !has_its_rows(lab, "edited.db"));
    CHECK(!file_is_back(lab) && !tree_is_gone(lab));
    CHECK(!helpers_are_disarmed(lab) && !door_is_disarmed(lab));
    ce_journal_close(ce_take(lab->journal));
    REQUIRE(renumber_disk(lab) && umount2(boot_file, MNT_DETACH) == 0);
    CHECK(ce_journal_recover(lab->state, ce_undo_ops, &counts, &err) == 0);
    CHECK_TEXT(err.message, "");
    CHECK(counts.undone == CE_COUNT(cases) && counts.foreign == 0 && counts.failed == 0);
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        bool right = cases[i].is_right(lab);
        if (!right)
            printf("# %s\n", cases[i].op);
        CHECK(right);
    }
    if (!lab->has_device || !lab->has_chain || !lab->has_fuse)
        printf("# without%s%s%s\n", lab->has_device ? "" : " a device",
               lab->has_chain ? "" : " a chain", lab->has_fuse ? "" : " a mount");
}

static void recover_there(void)
{
    struct lab lab;
    if (lab_make(&lab))
        check_recovered(&lab);
    else
        SKIP("this user may not mount over the kernel's boot id");
    lab_done(&lab);
}

static void after_a_reboot_files_are_put_back_and_all_else_is_left_alone(void)
{
    own_net(recover_there);
}

int main(void)
{
    TEST(every_operation_has_a_case);
    TEST(after_a_reboot_files_are_put_back_and_all_else_is_left_alone);
    return test_done();
}
