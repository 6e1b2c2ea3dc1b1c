/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/spawn.h"
#include "files.h"
#include "journal/journal_internal.h"
#include "journal/undo_files.h"

/* An operation whose undo appends a letter to a file: the file tells what was undone, and in which
 * order. */
static int undo_letter(const json_t *args, struct ce_error *err)
{
    const char *path = json_string_value(json_object_get(args, "path"));
    const char *letter = json_string_value(json_object_get(args, "letter"));
    if (letter[0] == '!')
        return ce_fail(err, EIO, "this letter cannot be undone");
    if (letter[0] == '?')
        return CE_UNDO_FOREIGN;
    ce_autofd int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    return fd < 0 ? ce_fail(err, errno, "cannot open '%s'", path) : ce_write_all(fd, letter, 1);
}
static const struct ce_undo_op letter_op = {.name = "letter", .undo = undo_letter};
static const struct ce_undo_op *const ops[] = {&letter_op, &ce_undo_restore_file,
                                               &ce_undo_remove_tree, NULL};

CE_DEFINE_CLEANUP(struct ce_journal, ce_journal_close);
#define AUTOCLOSE CE_CLEANUP(ce_journal_close_p)

/* A world of its own for each test: a folder with a state folder and room for files. */
struct world {
    char folder[64], state[80], log[80], file[80];
};

static void world_name(struct world *w, const char *folder)
{
    snprintf(w->folder, sizeof w->folder, "%s", folder);
    snprintf(w->state, sizeof w->state, "%s/state", folder);
    snprintf(w->log, sizeof w->log, "%s/log", folder);
    snprintf(w->file, sizeof w->file, "%s/file", folder);
}

static struct world world_make(void)
{
    struct world w;
    char folder[] = "/tmp/chaoseater-journal-XXXXXX";
    if (!mkdtemp(folder))
        abort();
    world_name(&w, folder);
    return w;
}

static void world_remove(struct world *w)
{
    (void)ce_tree_remove(w->folder, NULL);
}
#define WORLD(w) CE_CLEANUP(world_remove) struct world w = world_make()

static char *path_in(const struct world *w, const char *name)
{
    return ce_format("%s/%s", w->folder, name);
}

static size_t journals(const struct world *w)
{
    ce_autofree char *folder = path_in(w, "state/journal");
    return entries(folder);
}

static int note_letter(struct ce_journal *journal, const struct world *w, const char *letter,
                       struct ce_error *err)
{
    return ce_undo_note(journal, "letter",
                        json_pack("{s:s, s:s}", "path", w->log, "letter", letter), err);
}

/* ---- notes ---- */

static void undo_is_newest_first_and_closing_leaves_nothing(void)
{
    WORLD(w);
    struct ce_error err = {0};
    struct ce_journal *journal = NULL;
    REQUIRE_OK(ce_journal_create(w.state, "run", ops, &journal, &err), err);
    CHECK(note_letter(journal, &w, "a", &err) == 1);
    CHECK(note_letter(journal, &w, "b", &err) == 2);
    CHECK(note_letter(journal, &w, "c", &err) == 3);
    CHECK(note_letter(journal, &w, "d", &err) == 4);
    CHECK(ce_undo_live(journal) == 4);
    CHECK(ce_undo_now(journal, 2, &err) == 0);
    CHECK(ce_undo_now(journal, 2, &err) == 0);
    CHECK(ce_undo_settled(journal, 3, &err) == 0);
    CHECK_FILE(w.log, "b");
    struct ce_recovery counts;
    CHECK(ce_undo_all(journal, &counts, &err) == 0);
    CHECK(counts.undone == 2 && counts.failed == 0 && counts.foreign == 0);
    CHECK_FILE(w.log, "bda");
    CHECK(ce_undo_live(journal) == 0);
    CHECK(journals(&w) == 1);
    ce_journal_close(journal);
    CHECK(journals(&w) == 0);
}

static void a_failed_undo_does_not_keep_the_others_in_place(void)
{
    WORLD(w);
    struct ce_error err = {0};
    AUTOCLOSE struct ce_journal *journal = NULL;
    REQUIRE_OK(ce_journal_create(w.state, "run", ops, &journal, &err), err);
    CHECK(note_letter(journal, &w, "a", &err) > 0);
    CHECK(note_letter(journal, &w, "!", &err) > 0);
    CHECK(note_letter(journal, &w, "?", &err) > 0);
    CHECK(note_letter(journal, &w, "b", &err) > 0);
    CHECK(ce_undo_note(journal, "unheard-of", json_object(), &err) > 0);
    struct ce_recovery counts;
    CHECK(ce_undo_all(journal, &counts, &err) == -ENOTSUP);
    CHECK(strstr(err.message, "unheard-of"));
    CHECK(counts.undone == 2 && counts.failed == 2 && counts.foreign == 1);
    CHECK_FILE(w.log, "ba");
    CHECK(ce_undo_live(journal) == 2);
    ce_journal_close(ce_take(journal));
    CHECK(journals(&w) == 1);
    CHECK(ce_journal_recover(w.state, ops, &counts, &err) < 0);
    CHECK(counts.undone == 0 && counts.failed == 2 && counts.foreign == 0);
}

static void a_second_run_of_that_name_is_refused(void)
{
    WORLD(w);
    struct ce_error err = {0};
    AUTOCLOSE struct ce_journal *journal = NULL;
    struct ce_journal *second = NULL;
    REQUIRE_OK(ce_journal_create(w.state, "run", ops, &journal, &err), err);
    CHECK(ce_journal_create(w.state, "run", ops, &second, &err) == -EEXIST);
    CHECK(ce_journal_create(w.state, "../run", ops, &second, &err) == -EINVAL);
    CHECK(second == NULL);
}

/* ---- bytes ---- */

static void a_torn_tail_never_happened_whatever_its_length(void)
{
    WORLD(w);
    struct ce_error err = {0};
    struct ce_journal *journal = NULL;
    size_t ends[5];
    REQUIRE_OK(ce_journal_create(w.state, "run", ops, &journal, &err), err);
    ends[0] = journal->replay.end;
    for (int i = 1; i <= 3; i++) {
        CHECK(note_letter(journal, &w, "x", &err) == i);
        ends[i] = journal->replay.end;
    }
    CHECK(ce_undo_settled(journal, 2, &err) == 0);
    ends[4] = journal->replay.end;
    ce_autofree char *data = NULL;
    size_t size;
    REQUIRE_OK(ce_file_read(journal->path, 1 << 20, &data, &size, &err), err);
    CHECK(size == ends[4]);

    static const size_t live[] = {0, 1, 2, 3, 2};
    for (size_t length = 0; length <= size; length++) {
        size_t whole = 0;
        while (whole < 5 && ends[whole] <= length)
            whole++;
        struct ce_replay replay = {0};
        CHECK(ce_replay_feed(&replay, data, length, &err) == 0);
        CHECK(replay.end == (whole > 0 ? ends[whole - 1] : 0));
        CHECK(ce_replay_live(&replay) == (whole > 0 ? live[whole - 1] : 0));
        CHECK((replay.run != NULL) == (whole > 0));
        /* What comes later is taken in from there, as if nothing had been torn. */
        CHECK(ce_replay_feed(&replay, data + replay.end, size - replay.end, &err) == 0);
        CHECK(ce_replay_live(&replay) == 2);
        ce_replay_done(&replay);
    }
    CHECK(ce_undo_all(journal, NULL, &err) == 0);
    ce_journal_close(journal);
}

static void a_note_after_a_torn_tail_takes_its_place(void)
{
    WORLD(w);
    struct ce_error err = {0};
    struct ce_journal *journal = NULL;
    REQUIRE_OK(ce_journal_create(w.state, "run", ops, &journal, &err), err);
    CHECK(note_letter(journal, &w, "a", &err) == 1);
    /* Longer than the next record, so that what is not cut off would stay behind it. */
    char garbage[4096];
    memset(garbage, 0xCE, sizeof garbage);
    CHECK(pwrite(journal->fd, garbage, sizeof garbage, (off_t)journal->replay.end) ==
          sizeof garbage);
    CHECK(note_letter(journal, &w, "b", &err) == 2);
    struct stat st;
    CHECK(fstat(journal->fd, &st) == 0 && (size_t)st.st_size == journal->replay.end);
    ce_journal_free(journal);
    struct ce_recovery counts;
    REQUIRE_OK(ce_journal_recover(w.state, ops, &counts, &err), err);
    CHECK(counts.undone == 2);
    CHECK_FILE(w.log, "ba");
}

static void damage_in_the_middle_is_told_and_the_rest_is_undone(void)
{
    WORLD(w);
    struct ce_error err = {0};
    struct ce_journal *journal = NULL;
    REQUIRE_OK(ce_journal_create(w.state, "run", ops, &journal, &err), err);
    CHECK(note_letter(journal, &w, "a", &err) == 1);
    size_t second = journal->replay.end;
    CHECK(note_letter(journal, &w, "b", &err) == 2);
    CHECK(note_letter(journal, &w, "c", &err) == 3);
    CHECK(pwrite(journal->fd, "#", 1, (off_t)second + 20) == 1);
    ce_journal_free(journal);

    struct ce_recovery counts;
    CHECK(ce_journal_recover(w.state, ops, &counts, &err) == -EBADMSG);
    CHECK(strstr(err.message, "damaged") && strstr(err.message, "run.cej"));
    CHECK(counts.undone == 2 && counts.failed == 1);
    CHECK_FILE(w.log, "ca");
    ce_autofree char *aside = path_in(&w, "state/journal/run.cej.damaged");
    CHECK(access(aside, F_OK) == 0);
    CHECK(ce_journal_recover(w.state, ops, &counts, &err) == 0);
    CHECK(counts.undone == 0 && counts.failed == 0);
}

/* Every single byte of a journal, changed, either damages it visibly or only tears its last record.
 */
static void no_changed_byte_goes_unnoticed(void)
{
    WORLD(w);
    struct ce_error err = {0};
    AUTOCLOSE struct ce_journal *journal = NULL;
    REQUIRE_OK(ce_journal_create(w.state, "run", ops, &journal, &err), err);
    CHECK(note_letter(journal, &w, "a", &err) == 1);
    size_t last = journal->replay.end;
    CHECK(note_letter(journal, &w, "b", &err) == 2);
    ce_autofree char *data = NULL;
    size_t size;
    REQUIRE_OK(ce_file_read(journal->path, 1 << 20, &data, &size, &err), err);
    for (size_t i = 0; i < size; i++) {
        data[i] ^= 0x21;
        struct ce_replay replay = {0};
        int r = ce_replay_feed(&replay, data, size, &err);
        CHECK(i < last ? r == -EBADMSG && replay.damaged : r == 0 && ce_replay_live(&replay) == 1);
        ce_replay_done(&replay);
        data[i] ^= 0x21;
    }
    CHECK(ce_undo_all(journal, NULL, &err) == 0);
}

/* ---- a disk that takes no more ---- */

static void a_full_disk_refuses_the_note_and_keeps_the_journal_whole(void)
{
    WORLD(w);
    struct ce_error err = {0};
    struct ce_journal *journal = NULL;
    REQUIRE_OK(ce_journal_create(w.state, "run", ops, &journal, &err), err);
    CHECK(note_letter(journal, &w, "a", &err) == 1);
    size_t end = journal->replay.end;

    struct rlimit before, small;
    REQUIRE(getrlimit(RLIMIT_FSIZE, &before) == 0);
    void (*old)(int) = signal(SIGXFSZ, SIG_IGN);
    small = (struct rlimit){.rlim_cur = end + 30, .rlim_max = before.rlim_max};
    REQUIRE(setrlimit(RLIMIT_FSIZE, &small) == 0);
    int refused = note_letter(journal, &w, "b", &err);
    REQUIRE(setrlimit(RLIMIT_FSIZE, &before) == 0);
    signal(SIGXFSZ, old);

    CHECK(refused == -EFBIG);
    CHECK(strstr(err.message, journal->path) && strstr(err.message, strerror(EFBIG)));
    struct stat st;
    CHECK(fstat(journal->fd, &st) == 0 && (size_t)st.st_size == end);
    CHECK(note_letter(journal, &w, "c", &err) == 2);
    CHECK(ce_undo_all(journal, NULL, &err) == 0);
    CHECK_FILE(w.log, "ca");
    ce_journal_close(journal);
    CHECK(journals(&w) == 0);
}

static void an_undo_that_cannot_be_recorded_is_still_an_undo(void)
{
    WORLD(w);
    struct ce_error err = {0};
    struct ce_journal *journal = NULL;
    REQUIRE_OK(ce_journal_create(w.state, "run", ops, &journal, &err), err);
    CHECK(note_letter(journal, &w, "a", &err) == 1);

    struct rlimit before, small;
    REQUIRE(getrlimit(RLIMIT_FSIZE, &before) == 0);
    void (*old)(int) = signal(SIGXFSZ, SIG_IGN);
    small = (struct rlimit){.rlim_cur = journal->replay.end, .rlim_max = before.rlim_max};
    REQUIRE(setrlimit(RLIMIT_FSIZE, &small) == 0);
    int r = ce_undo_now(journal, 1, &err);
    REQUIRE(setrlimit(RLIMIT_FSIZE, &before) == 0);
    signal(SIGXFSZ, old);

    CHECK(r == 0);
    CHECK(ce_undo_live(journal) == 0);
    CHECK_FILE(w.log, "a");
    ce_journal_close(journal);
    CHECK(journals(&w) == 0);
}

struct mounted {
    const struct world *world;
    unsigned long flags;
    const char *options;
    void (*check)(const struct world *world);
};
enum { MOUNT_REFUSED = 77 };

static int check_mounted(void *ctx)
{
    const struct mounted *how = ctx;
    if (mount("none", how->world->state, "tmpfs", how->flags, how->options) < 0)
        return MOUNT_REFUSED;
    how->check(how->world);
    fflush(stdout);
    return check_failures > 0;
}

/* Runs a check in a child whose state folder is a tmpfs of its own; its failures count here. False
 * when this user may not mount one. */
static bool with_tmpfs(const struct world *world, unsigned long flags, const char *options,
                       void (*check)(const struct world *))
{
    CHECK(mkdir(world->state, 0700) == 0);
    struct mounted how = {world, flags, options, check};
    struct ce_spawn spawn = {
        .function = check_mounted,
        .ctx = &how,
        .fds = {{STDOUT_FILENO, STDOUT_FILENO}, {STDERR_FILENO, STDERR_FILENO}},
        .fd_count = 2,
        .namespaces = CLONE_NEWUSER | CLONE_NEWNS,
    };
    struct ce_process_id id;
    int gate, status = -1;
    fflush(stdout);
    if (ce_spawn(&spawn, &id, &gate, NULL) < 0)
        return false;
    CHECK(ce_spawn_go(gate, NULL) == 0);
    CHECK(ce_process_reap(&id, 20 * CE_SECOND, &status) == 0 && WIFEXITED(status));
    if (WEXITSTATUS(status) == MOUNT_REFUSED)
        return false;
    CHECK(WEXITSTATUS(status) == 0);
    return true;
}

static void create_is_refused_here(const struct world *w)
{
    struct ce_error err = {0};
    struct ce_journal *journal = NULL;
    CHECK(ce_journal_create(w->state, "run", ops, &journal, &err) == -EROFS);
    CHECK(strstr(err.message, w->state) && strstr(err.message, strerror(EROFS)));
}

static void a_read_only_filesystem_is_named(void)
{
    WORLD(w);
    if (!with_tmpfs(&w, MS_RDONLY, NULL, create_is_refused_here))
        SKIP("this user may not mount");
}

static void the_disk_fills_up_here(const struct world *w)
{
    struct ce_error err = {0};
    struct ce_journal *journal = NULL;
    REQUIRE_OK(ce_journal_create(w->state, "run", ops, &journal, &err), err);
    int live = 0, r;
    while ((r = note_letter(journal, w, "a", &err)) > 0)
        live++;
    CHECK(r == -ENOSPC);
    CHECK(strstr(err.message, journal->path) && strstr(err.message, strerror(ENOSPC)));
    CHECK(live > 10);
    ce_autofree char *ballast = path_in(w, "state/ballast");
    ce_autofd int fd = open(ballast, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    static const char zeros[512];
    while (write(fd, zeros, sizeof zeros) > 0)
        ;
    /* Not a byte is left, and yet every undo is recorded. */
    struct ce_recovery counts;
    CHECK(ce_undo_all(journal, &counts, &err) == 0 && (int)counts.undone == live);
    struct ce_journal *again = NULL;
    REQUIRE_OK(ce_journal_open(journal->path, ops, &again, &err), err);
    CHECK((int)again->replay.count == live && ce_undo_live(again) == 0);
    ce_journal_free(again);
    ce_journal_close(journal);
    CHECK(journals(w) == 0);
}

static void space_for_recording_undo_is_set_aside(void)
{
    WORLD(w);
    if (!with_tmpfs(&w, 0, "size=32k", the_disk_fills_up_here))
        SKIP("this user may not mount");
}

static void a_state_folder_that_cannot_be_written_is_named(void)
{
    WORLD(w);
    struct ce_error err = {0};
    struct ce_journal *journal = NULL;
    /* A plain file in its place refuses root too. */
    CHECK(put_text(w.state, "not a folder"));
    CHECK(ce_journal_create(w.state, "run", ops, &journal, &err) == -ENOTDIR);
    CHECK(strstr(err.message, w.state));
    if (geteuid() == 0)
        SKIP("root may write a read-only folder");
    CHECK(unlink(w.state) == 0 && mkdir(w.state, 0500) == 0);
    CHECK(ce_journal_create(w.state, "run", ops, &journal, &err) == -EACCES);
    CHECK(strstr(err.message, w.state) && strstr(err.message, strerror(EACCES)));
}

static void a_state_folder_that_notes_could_not_name_is_refused(void)
{
    WORLD(w);
    struct ce_error err = {0};
    struct ce_journal *journal = NULL;
    ce_autofree char *state = path_in(&w, "state\xff");
    CHECK(ce_journal_create(state, "run", ops, &journal, &err) == -EILSEQ);
    CHECK(strstr(err.message, "UTF-8"));
}

/* ---- files and folders ---- */

static void a_file_is_restored_with_its_bytes_and_mode(void)
{
    WORLD(w);
    struct ce_error err = {0};
    struct ce_journal *journal = NULL;
    CHECK(put_text(w.file, "before"));
    CHECK(chmod(w.file, 0640) == 0);
    REQUIRE_OK(ce_journal_create(w.state, "run", ops, &journal, &err), err);
    ce_autofree char *image = NULL;
    int note = ce_undo_note_file(journal, w.file, &image, &err);
    REQUIRE_OK(note, err);
    CHECK_FILE(image, "before");
    CHECK(put_text(w.file, "after, and longer"));
    CHECK(chmod(w.file, 0600) == 0);
    REQUIRE_OK(ce_undo_now(journal, note, &err), err);
    struct stat st;
    CHECK_FILE(w.file, "before");
    CHECK(stat(w.file, &st) == 0 && (st.st_mode & 07777) == 0640);
    /* Removed altogether: also restored. */
    note = ce_undo_note_file(journal, w.file, NULL, &err);
    REQUIRE_OK(note, err);
    CHECK(unlink(w.file) == 0);
    REQUIRE_OK(ce_undo_now(journal, note, &err), err);
    CHECK_FILE(w.file, "before");
    ce_journal_close(journal);
    CHECK(journals(&w) == 0);
    CHECK(entries(w.folder) == 2);
}

static void a_link_stays_a_link(void)
{
    WORLD(w);
    struct ce_error err = {0};
    AUTOCLOSE struct ce_journal *journal = NULL;
    ce_autofree char *link = path_in(&w, "link");
    CHECK(put_text(w.file, "before") && symlink("file", link) == 0);
    REQUIRE_OK(ce_journal_create(w.state, "run", ops, &journal, &err), err);
    REQUIRE_OK(ce_undo_note_file(journal, link, NULL, &err), err);
    CHECK(put_text(w.file, "after"));
    REQUIRE_OK(ce_undo_all(journal, NULL, &err), err);
    struct stat st;
    CHECK(lstat(link, &st) == 0 && S_ISLNK(st.st_mode));
    CHECK_FILE(w.file, "before");
}

static void another_folder_of_that_name_is_left_alone(void)
{
    WORLD(w);
    struct ce_error err = {0};
    AUTOCLOSE struct ce_journal *journal = NULL;
    ce_autofree char *folder = path_in(&w, "data");
    ce_autofree char *moved = path_in(&w, "moved");
    ce_autofree char *file = path_in(&w, "data/file");
    ce_autofree char *tree = path_in(&w, "data/tree");
    CHECK(mkdir(folder, 0700) == 0 && put_text(file, "before"));
    REQUIRE_OK(ce_journal_create(w.state, "run", ops, &journal, &err), err);
    REQUIRE_OK(ce_undo_note_file(journal, file, NULL, &err), err);
    REQUIRE_OK(ce_undo_note_tree(journal, tree, &err), err);
    CHECK(rename(folder, moved) == 0 && mkdir(folder, 0700) == 0 && mkdir(tree, 0700) == 0 &&
          put_text(file, "mine"));
    struct ce_recovery counts;
    CHECK(ce_undo_all(journal, &counts, &err) == 0);
    CHECK(counts.foreign == 2 && counts.undone == 0);
    CHECK_FILE(file, "mine");
    char sha256[CE_SHA256_HEX];
    REQUIRE_OK(ce_sha256_data("before", 6, sha256, &err), err);
    ce_autofree char *kept = ce_format("%s/journal/kept/file.%.12s", w.state, sha256);
    ce_journal_close(ce_take(journal));
    CHECK_FILE(kept, "before");
    CHECK(access(tree, F_OK) == 0);
}

static void a_before_image_that_was_changed_is_not_used(void)
{
    WORLD(w);
    struct ce_error err = {0};
    AUTOCLOSE struct ce_journal *journal = NULL;
    CHECK(put_text(w.file, "before"));
    REQUIRE_OK(ce_journal_create(w.state, "run", ops, &journal, &err), err);
    ce_autofree char *image = NULL;
    REQUIRE_OK(ce_undo_note_file(journal, w.file, &image, &err), err);
    CHECK(put_text(w.file, "after") && put_text(image, "spoilt"));
    CHECK(ce_undo_all(journal, NULL, &err) == -EBADMSG);
    CHECK(strstr(err.message, "before-image"));
    CHECK_FILE(w.file, "after");
    /* Putting the file back by hand is good enough. */
    CHECK(put_text(w.file, "before"));
    CHECK(ce_undo_all(journal, NULL, &err) == 0);
}

static void a_tree_is_removed_whether_or_not_it_was_made(void)
{
    WORLD(w);
    struct ce_error err = {0};
    AUTOCLOSE struct ce_journal *journal = NULL;
    ce_autofree char *tree = path_in(&w, "tree");
    ce_autofree char *deep = path_in(&w, "tree/a/b");
    REQUIRE_OK(ce_journal_create(w.state, "run", ops, &journal, &err), err);
    REQUIRE_OK(ce_undo_note_tree(journal, tree, &err), err);
    CHECK(ce_undo_all(journal, NULL, &err) == 0);
    REQUIRE_OK(ce_undo_note_tree(journal, tree, &err), err);
    REQUIRE_OK(ce_folder_make(deep, &err), err);
    CHECK(ce_undo_note_tree(journal, tree, &err) == -EEXIST);
    CHECK(ce_undo_all(journal, NULL, &err) == 0);
    CHECK(access(tree, F_OK) < 0);
}

/* ---- recover and status ---- */

static void no_state_folder_has_no_leftovers(void)
{
    WORLD(w);
    struct ce_error err = {0};
    struct ce_recovery counts = {.undone = 7};
    ce_autojson json_t *list = json_array();
    CHECK(ce_journal_recover(w.state, ops, &counts, &err) == 0 && counts.undone == 0);
    CHECK(ce_journal_list(w.state, list, &err) == 0 && json_array_size(list) == 0);
    CHECK(access(w.state, F_OK) < 0);
}

static void a_live_owner_is_left_alone_and_listed(void)
{
    WORLD(w);
    struct ce_error err = {0};
    AUTOCLOSE struct ce_journal *journal = NULL;
    REQUIRE_OK(ce_journal_create(w.state, "run-7", ops, &journal, &err), err);
    CHECK(note_letter(journal, &w, "a", &err) == 1);
    struct ce_recovery counts;
    CHECK(ce_journal_recover(w.state, ops, &counts, &err) == 0 && counts.undone == 0);
    ce_autojson json_t *list = json_array();
    CHECK(ce_journal_list(w.state, list, &err) == 0 && json_array_size(list) == 1);
    const json_t *item = json_array_get(list, 0);
    CHECK_TEXT(json_string_value(json_object_get(item, "run")), "run-7");
    CHECK_TEXT(json_string_value(json_object_get(item, "op")), "letter");
    CHECK(json_is_object(json_object_get(item, "args")) &&
          json_is_string(json_object_get(item, "noted_at")));
    CHECK(json_is_true(json_object_get(item, "owner_alive")));

    ce_journal_free(ce_take(journal));
    json_array_clear(list);
    CHECK(ce_journal_list(w.state, list, &err) == 0 && json_array_size(list) == 1);
    CHECK(json_is_false(json_object_get(json_array_get(list, 0), "owner_alive")));
    CHECK(ce_journal_recover(w.state, ops, &counts, &err) == 0 && counts.undone == 1);
    CHECK_FILE(w.log, "a");
    CHECK(ce_journal_recover(w.state, ops, &counts, &err) == 0 && counts.undone == 0);
    CHECK_FILE(w.log, "a");
    CHECK(journals(&w) == 0);
}

static void an_empty_journal_of_a_dead_owner_is_removed(void)
{
    WORLD(w);
    struct ce_error err = {0};
    ce_autofree char *folder = path_in(&w, "state/journal");
    ce_autofree char *file = path_in(&w, "state/journal/run.cej");
    REQUIRE_OK(ce_folder_make(folder, &err), err);
    CHECK(put_text(file, ""));
    struct ce_recovery counts;
    CHECK(ce_journal_recover(w.state, ops, &counts, &err) == 0);
    CHECK(journals(&w) == 0);
}

/* ---- crash sweep ---- */

/* A small run: changes a file, makes a folder, and takes both back at the end. It is executed anew,
 * in the folder that it is given, because seams count the steps of a process. */
static int small_run(const char *folder)
{
    struct ce_error err = {0};
    struct world world, *w = &world;
    world_name(w, folder);
    struct ce_journal *journal = NULL;
    ce_autofree char *tree = path_in(w, "tree");
    CE_TRY(ce_journal_create(w->state, "run", ops, &journal, &err));
    CE_TRY(ce_undo_note_tree(journal, tree, &err));
    CE_TRY(ce_folder_make(tree, &err));
    int note = ce_undo_note_file(journal, w->file, NULL, &err);
    CE_TRY(note);
    CE_TRY(put_text(w->file, "after") ? 0 : -EIO);
    CE_TRY(ce_undo_now(journal, note, &err));
    CE_TRY(ce_undo_note_file(journal, w->file, NULL, &err));
    CE_TRY(put_text(w->file, "after again") ? 0 : -EIO);
    CE_TRY(ce_undo_all(journal, NULL, &err));
    ce_journal_close(journal);
    return 0;
}

static void a_crash_at_any_step_is_recovered(void)
{
#ifndef CE_SEAMS
    SKIP("needs a build with -Dseams=true");
#endif
    for (int step = 1;; step++) {
        WORLD(w);
        struct ce_error err = {0};
        CHECK(put_text(w.file, "before"));
        pid_t pid = fork();
        if (pid == 0) {
            char text[16];
            snprintf(text, sizeof text, "%d", step);
            setenv("CHAOSEATER_SEAM_CRASH", text, 1);
            execl("/proc/self/exe", "test_journal", w.folder, (char *)NULL);
            _exit(127);
        }
        int status = -1;
        REQUIRE(waitpid(pid, &status, 0) == pid);
        struct ce_recovery counts;
        REQUIRE_OK(ce_journal_recover(w.state, ops, &counts, &err), err);
        CHECK(counts.failed == 0 && counts.foreign == 0);
        CHECK_FILE(w.file, "before");
        CHECK(journals(&w) == 0);
        CHECK(entries(w.folder) == 2); /* the file and the state folder */
        REQUIRE_OK(ce_journal_recover(w.state, ops, &counts, &err), err);
        CHECK(counts.undone == 0);
        CHECK_FILE(w.file, "before");
        if (!WIFSIGNALED(status)) {
            CHECK(WEXITSTATUS(status) == 0);
            printf("# %d steps\n", step - 1);
            CHECK(step > 20);
            return;
        }
        CHECK(WTERMSIG(status) == SIGKILL);
    }
}

int main(int argc, char **argv)
{
    if (argc > 1)
        return small_run(argv[1]) < 0;
    TEST(undo_is_newest_first_and_closing_leaves_nothing);
    TEST(a_failed_undo_does_not_keep_the_others_in_place);
    TEST(a_second_run_of_that_name_is_refused);
    TEST(a_torn_tail_never_happened_whatever_its_length);
    TEST(a_note_after_a_torn_tail_takes_its_place);
    TEST(damage_in_the_middle_is_told_and_the_rest_is_undone);
    TEST(no_changed_byte_goes_unnoticed);
    TEST(a_full_disk_refuses_the_note_and_keeps_the_journal_whole);
    TEST(an_undo_that_cannot_be_recorded_is_still_an_undo);
    TEST(space_for_recording_undo_is_set_aside);
    TEST(a_read_only_filesystem_is_named);
    TEST(a_state_folder_that_cannot_be_written_is_named);
    TEST(a_state_folder_that_notes_could_not_name_is_refused);
    TEST(a_file_is_restored_with_its_bytes_and_mode);
    TEST(a_link_stays_a_link);
    TEST(another_folder_of_that_name_is_left_alone);
    TEST(a_before_image_that_was_changed_is_not_used);
    TEST(a_tree_is_removed_whether_or_not_it_was_made);
    TEST(no_state_folder_has_no_leftovers);
    TEST(a_live_owner_is_left_alone_and_listed);
    TEST(an_empty_journal_of_a_dead_owner_is_removed);
    TEST(a_crash_at_any_step_is_recovered);
    return test_done();
}
