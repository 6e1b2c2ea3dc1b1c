/* SPDX-License-Identifier: MIT */
/* The journal's file: locks, durable records, and undoing.
 *
 * Every record is one write and one fdatasync under CE_LOCK_WRITE. When the write fails, what it
 * left is cut off again, so the file always ends with a whole record unless a crash came in
 * between; and then replay ignores the rest. Space for the records that will end the live notes is
 * reserved with each note: a full disk must not keep an undo from being recorded. */
#include "journal/journal.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/seam.h"
#include "journal/journal_internal.h"

enum { END_RECORD_SIZE = 64 }; /* more than an "undone" record takes */

CE_DEFINE_CLEANUP(struct ce_journal, ce_journal_free);

/* ---- locks ---- */

static struct flock lock_range(enum ce_journal_lock lock, short type)
{
    return (struct flock){.l_type = type, .l_whence = SEEK_SET, .l_start = lock, .l_len = 1};
}

int ce_journal_lock(struct ce_journal *journal, enum ce_journal_lock lock, int64_t timeout)
{
    struct flock range = lock_range(lock, F_WRLCK);
    int64_t until = ce_now() + timeout;
    for (;;) {
        if (fcntl(journal->fd, timeout < 0 ? F_OFD_SETLKW : F_OFD_SETLK, &range) == 0)
            return 0;
        if (errno != EINTR && errno != EAGAIN && errno != EACCES)
            return -errno;
        int64_t now = ce_now();
        if (timeout >= 0 && now >= until)
            return -EAGAIN;
        /* No lock call takes a timeout without a signal, so the rare bounded wait polls. */
        if (timeout > 0)
            ce_sleep_until(now + CE_MILLISECOND);
    }
}

void ce_journal_unlock(struct ce_journal *journal, enum ce_journal_lock lock)
{
    struct flock range = lock_range(lock, F_UNLCK);
    (void)fcntl(journal->fd, F_OFD_SETLK, &range);
}

bool ce_journal_locked(const struct ce_journal *journal, enum ce_journal_lock lock)
{
    struct flock range = lock_range(lock, F_WRLCK);
    return fcntl(journal->fd, F_OFD_GETLK, &range) == 0 && range.l_type != F_UNLCK;
}

/* Holds CE_LOCK_WRITE until the end of the block. */
static void unlock_write(struct ce_journal **journal)
{
    if (*journal)
        ce_journal_unlock(*journal, CE_LOCK_WRITE);
}

static int lock_write(struct ce_journal *journal, struct ce_journal **ret_held,
                      struct ce_error *err)
{
    int r = ce_journal_lock(journal, CE_LOCK_WRITE, -1);
    if (r < 0)
        return ce_fail(err, -r, "cannot lock journal '%s': %s", journal->path, strerror(-r));
    *ret_held = journal;
    return ce_journal_refresh(journal, err);
}

/* ---- the file ---- */

void ce_journal_take_reserve(struct ce_journal *journal)
{
    for (size_t i = 0; i < CE_JOURNAL_RESERVE; i++)
        if (journal->reserve[i] < 0)
            journal->reserve[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

void ce_journal_release_reserve(struct ce_journal *journal)
{
    for (size_t i = 0; i < CE_JOURNAL_RESERVE; i++) {
        if (journal->reserve[i] >= 0)
            (void)close(journal->reserve[i]);
        journal->reserve[i] = -1;
    }
}

void ce_journal_free(struct ce_journal *journal)
{
    if (!journal)
        return;
    if (journal->fd >= 0)
        (void)close(journal->fd);
    ce_journal_release_reserve(journal);
    ce_replay_done(&journal->replay);
    free(journal->folder);
    free(journal->path);
    free(journal->images);
    free(journal);
}

/* An object without a file. Takes ownership of `path`. */
static struct ce_journal *journal_new(char *path, const struct ce_undo_op *const *ops)
{
    struct ce_journal *journal = calloc(1, sizeof *journal);
    char *slash = path ? strrchr(path, '/') : NULL;
    if (!journal || !slash) {
        free(path);
        free(journal);
        return NULL;
    }
    journal->fd = -1;
    memset(journal->reserve, 0xff, sizeof journal->reserve);
    journal->ops = ops;
    journal->path = path;
    journal->folder = ce_format("%.*s", (int)(slash - path), path);
    journal->images = ce_format("%.*s.images", (int)(strlen(path) - strlen(".cej")), path);
    if (!journal->folder || !journal->images) {
        ce_journal_free(journal);
        return NULL;
    }
    return journal;
}

bool ce_journal_gone(const struct ce_journal *journal)
{
    struct stat st;
    return fstat(journal->fd, &st) == 0 && st.st_nlink == 0;
}

int ce_journal_refresh(struct ce_journal *journal, struct ce_error *err)
{
    struct stat st;
    if (fstat(journal->fd, &st) < 0)
        return ce_fail(err, errno, "cannot read journal '%s': %s", journal->path, strerror(errno));
    size_t start = journal->replay.end;
    if ((size_t)st.st_size <= start)
        return 0;
    size_t size = (size_t)st.st_size - start, got = 0;
    ce_autofree char *data = malloc(size);
    if (!data)
        return ce_fail_memory(err);
    while (got < size) {
        ssize_t n = pread(journal->fd, data + got, size - got, (off_t)(start + got));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return ce_fail(err, errno, "cannot read journal '%s': %s", journal->path,
                           strerror(errno));
        if (n == 0)
            break;
        got += (size_t)n;
    }
    int r = ce_replay_feed(&journal->replay, data, got, err);
    return r == -EBADMSG ? 0 : r;
}

int ce_journal_open(const char *path, const struct ce_undo_op *const *ops,
                    struct ce_journal **ret_journal, struct ce_error *err)
{
    CE_CLEANUP(ce_journal_free_p) struct ce_journal *journal = journal_new(strdup(path), ops);
    if (!journal)
        return ce_fail_memory(err);
    journal->fd = open(path, O_RDWR | O_CLOEXEC);
    /* Whoever may only read can at least say what is live. */
    if (journal->fd < 0 && (errno == EACCES || errno == EROFS))
        journal->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (journal->fd < 0)
        return ce_fail(err, errno, "cannot open journal '%s': %s", path, strerror(errno));
    CE_TRY(ce_journal_refresh(journal, err));
    *ret_journal = ce_take(journal);
    return 0;
}

/* Cuts off whatever is behind the last whole record. Only when there is something: cutting also
 * gives up reserved space. */
static int cut_tail(const struct ce_journal *journal)
{
    off_t end = (off_t)journal->replay.end;
    struct stat st;
    if (fstat(journal->fd, &st) < 0 || (st.st_size > end && ftruncate(journal->fd, end) < 0))
        return -errno;
    return 0;
}

/* Adds one record. `reserve`: bytes beyond it that later records may count on. Takes ownership of
 * `payload`. */
static int append(struct ce_journal *journal, json_t *payload, size_t reserve, bool durable,
                  struct ce_error *err)
{
    ce_autojson json_t *owned = payload;
    ce_autofree char *bytes = NULL;
    size_t size;
    CE_TRY(ce_record_encode(owned, &bytes, &size, err));

    off_t end = (off_t)journal->replay.end;
    int r = cut_tail(journal);
    if (r == 0 && reserve > 0 &&
        fallocate(journal->fd, FALLOC_FL_KEEP_SIZE, end, (off_t)(size + reserve)) < 0 &&
        errno != EOPNOTSUPP)
        r = -errno;
    if (r == 0 && lseek(journal->fd, end, SEEK_SET) < 0)
        r = -errno;
    if (r == 0)
        r = ce_write_all(journal->fd, bytes, size);
    if (r == 0)
        ce_seam_step("journal: written, not yet synced");
    if (r == 0 && durable && fdatasync(journal->fd) < 0)
        r = -errno;
    if (r < 0) {
        (void)cut_tail(journal);
        return ce_fail(err, -r, "cannot write journal '%s': %s", journal->path, strerror(-r));
    }
    return ce_replay_feed(&journal->replay, bytes, size, err);
}

/* NULL: no memory. */
static json_t *opening(const char *run_id, json_t *more)
{
    struct ce_process_id self = {0};
    char boot[CE_BOOT_ID_SIZE], at[CE_TIMESTAMP_SIZE];
    ce_boot_id(boot);
    ce_timestamp(ce_wall_now(), at);
    (void)ce_process_identify(getpid(), &self);
    ce_autojson json_t *record = json_pack(
        "{s:s, s:i, s:s, s:s, s:i, s:I, s:s}", "type", "open", "version", CE_JOURNAL_VERSION, "run",
        run_id, "boot", boot, "pid", (int)self.pid, "start", (json_int_t)self.start, "at", at);
    return more && json_object_update(record, more) < 0 ? NULL : ce_take(record);
}

/* Makes the file and takes CE_LOCK_OWNER. Between the two, recover may find the file empty and
 * remove it: then again. */
static int create_file(struct ce_journal *journal, struct ce_error *err)
{
    for (;;) {
        journal->fd = open(journal->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (journal->fd < 0)
            return ce_fail(err, errno, "cannot create journal '%s': %s", journal->path,
                           strerror(errno));
        int r = ce_journal_lock(journal, CE_LOCK_OWNER, -1);
        if (r < 0) {
            (void)unlink(journal->path);
            return ce_fail(err, -r, "cannot lock journal '%s': %s", journal->path, strerror(-r));
        }
        if (!ce_journal_gone(journal))
            return 0;
        (void)close(ce_take_fd(journal->fd));
    }
}

int ce_journal_create(const char *state_dir, const char *run_id,
                      const struct ce_undo_op *const *ops, struct ce_journal **ret_journal,
                      struct ce_error *err)
{
    return ce_journal_create_with(state_dir, run_id, ops, NULL, ret_journal, err);
}

int ce_journal_create_with(const char *state_dir, const char *run_id,
                           const struct ce_undo_op *const *ops, json_t *more,
                           struct ce_journal **ret_journal, struct ce_error *err)
{
    if (run_id[0] == '\0' || run_id[0] == '.' || strchr(run_id, '/'))
        return ce_fail(err, EINVAL, "run id '%s' cannot name a file", run_id);
    ce_autofree char *folder = ce_format("%s/journal", state_dir);
    if (!folder)
        return ce_fail_memory(err);
    CE_TRY(ce_folder_make(folder, err));
    /* Notes name files under it, and whoever reads them may run in another folder. */
    ce_autofree char *absolute = realpath(folder, NULL);
    if (!absolute)
        return ce_fail(err, errno, "cannot resolve '%s': %s", folder, strerror(errno));
    ce_autojson json_t *as_text = json_string(absolute);
    if (!as_text)
        return ce_fail(err, EILSEQ, "the state folder's path is not UTF-8, as notes must be");

    CE_CLEANUP(ce_journal_free_p)
    struct ce_journal *journal = journal_new(ce_format("%s/%s.cej", absolute, run_id), ops);
    if (!journal)
        return ce_fail_memory(err);
    CE_TRY(create_file(journal, err));
    ce_seam_step("journal: created");
    int r = append(journal, opening(run_id, more), 0, true, err);
    if (r == 0)
        r = ce_folder_sync(absolute, err);
    if (r == 0)
        r = ce_folder_sync(state_dir, err);
    if (r < 0) {
        (void)unlink(journal->path);
        return r;
    }
    ce_journal_take_reserve(journal);
    ce_seam_step("journal: opened");
    *ret_journal = ce_take(journal);
    return 0;
}

void ce_journal_remove(struct ce_journal *journal)
{
    struct ce_error err = {0};
    if (ce_tree_remove(journal->images, &err) < 0)
        ce_log("journal: %s", err.message);
    ce_seam_step("journal: images removed");
    (void)unlink(journal->path);
    (void)ce_folder_sync(journal->folder, NULL);
}

void ce_journal_close(struct ce_journal *journal)
{
    if (!journal)
        return;
    CE_CLEANUP(unlock_write) struct ce_journal *held = NULL;
    if (lock_write(journal, &held, NULL) == 0 && ce_replay_live(&journal->replay) == 0 &&
        !journal->replay.damaged)
        ce_journal_remove(journal);
    held = NULL; /* closing the file frees its locks */
    ce_journal_free(journal);
}

/* ---- notes ---- */

const char *ce_journal_folder(const struct ce_journal *journal)
{
    return journal->folder;
}

size_t ce_undo_live(const struct ce_journal *journal)
{
    return ce_replay_live(&journal->replay);
}

int ce_undo_note(struct ce_journal *journal, const char *op, json_t *args, struct ce_error *err)
{
    ce_autojson json_t *owned = args;
    if (!owned)
        return ce_fail_memory(err);
    CE_CLEANUP(unlock_write) struct ce_journal *held = NULL;
    CE_TRY(lock_write(journal, &held, err));
    if (journal->replay.closed)
        return ce_fail(err, ECANCELED, "the guard has already undone this run: its time was up");

    const struct ce_replay *replay = &journal->replay;
    int id = replay->count > 0 ? replay->notes[replay->count - 1].id + 1 : 1;
    char at[CE_TIMESTAMP_SIZE], step[64];
    ce_timestamp(ce_wall_now(), at);
    json_t *record = json_pack("{s:s, s:i, s:s, s:s, s:O}", "type", "note", "id", id, "op", op,
                               "at", at, "args", owned);
    snprintf(step, sizeof step, "journal: note %s", op);
    ce_seam_step(step);
    size_t reserve = (ce_replay_live(replay) + 1) * END_RECORD_SIZE;
    CE_TRY(append(journal, record, reserve, true, err));
    snprintf(step, sizeof step, "journal: noted %s", op);
    ce_seam_step(step);
    return id;
}

int ce_journal_bar(struct ce_journal *journal, struct ce_error *err)
{
    if (journal->replay.closed)
        return 0;
    return append(journal, json_pack("{s:s}", "type", "closed"), 0, true, err);
}

/* A record that cannot be written is no failure: the note stays live on disk, and is undone once
 * more, harmlessly. */
static void note_end(struct ce_journal *journal, int id, enum ce_note_state state, bool durable)
{
    struct ce_error err = {0};
    json_t *record = json_pack("{s:s, s:i}", "type", ce_note_state_name(state), "id", id);
    if (append(journal, record, 0, durable, &err) < 0) {
        ce_log("journal: %s", err.message);
        ce_replay_note(&journal->replay, id)->state = state;
    }
}

static const struct ce_undo_op *find_op(const struct ce_journal *journal, const char *name)
{
    for (size_t i = 0; journal->ops[i]; i++)
        if (strcmp(journal->ops[i]->name, name) == 0)
            return journal->ops[i];
    return NULL;
}

/* 0, CE_UNDO_FOREIGN, or -errno. */
static int undo_one(const struct ce_journal *journal, const struct ce_note *note,
                    struct ce_error *err)
{
    const struct ce_undo_op *op = find_op(journal, note->op);
    char step[64];
    if (!op)
        return ce_fail(err, ENOTSUP,
                       "this version does not know how to undo '%s', as '%s' asks for", note->op,
                       journal->path);
    snprintf(step, sizeof step, "journal: undo %s", note->op);
    ce_seam_step(step);
    int r = op->undo(note->args, err);
    if (r < 0)
        return ce_fail_context(err, r, "undoing '%s'", note->op);
    snprintf(step, sizeof step, "journal: undone %s", note->op);
    ce_seam_step(step);
    return r;
}

static enum ce_note_state state_after(int r)
{
    return r == CE_UNDO_FOREIGN ? CE_NOTE_FOREIGN : CE_NOTE_UNDONE;
}

int ce_undo_now(struct ce_journal *journal, int note, struct ce_error *err)
{
    CE_CLEANUP(unlock_write) struct ce_journal *held = NULL;
    CE_TRY(lock_write(journal, &held, err));
    const struct ce_note *found = ce_replay_note(&journal->replay, note);
    if (!found || found->state != CE_NOTE_LIVE)
        return 0;
    bool had_reserve = journal->reserve[0] >= 0;
    ce_journal_release_reserve(journal);
    int r = undo_one(journal, found, err);
    if (had_reserve)
        ce_journal_take_reserve(journal);
    if (r < 0)
        return r;
    note_end(journal, note, state_after(r), true);
    return 0;
}

int ce_undo_settled(struct ce_journal *journal, int note, struct ce_error *err)
{
    CE_CLEANUP(unlock_write) struct ce_journal *held = NULL;
    CE_TRY(lock_write(journal, &held, err));
    const struct ce_note *found = ce_replay_note(&journal->replay, note);
    if (!found || found->state != CE_NOTE_LIVE)
        return 0;
    ce_seam_step("journal: settled");
    note_end(journal, note, CE_NOTE_SETTLED, true);
    return 0;
}

int ce_journal_undo_live(struct ce_journal *journal, bool final, struct ce_recovery *ret,
                         struct ce_error *err)
{
    int result = 0;
    ce_journal_release_reserve(journal); /* this is the end: what follows has it */
    for (size_t i = journal->replay.count; i-- > 0;) {
        const struct ce_note *note = &journal->replay.notes[i];
        if (note->state != CE_NOTE_LIVE)
            continue;
        struct ce_error why = {0};
        int r = undo_one(journal, note, &why);
        /* Synced once, at the end: until then the worst is an undo that is done twice. */
        if (r >= 0 && final)
            note_end(journal, note->id, state_after(r), false);
        ret->undone += r == 0;
        ret->foreign += r == CE_UNDO_FOREIGN;
        ret->failed += r < 0;
        if (r < 0 && result == 0) {
            result = r;
            if (err)
                *err = why;
        }
    }
    if (final)
        (void)fdatasync(journal->fd);
    return result;
}

int ce_undo_all(struct ce_journal *journal, struct ce_recovery *ret, struct ce_error *err)
{
    struct ce_recovery unwanted;
    if (!ret)
        ret = &unwanted;
    *ret = (struct ce_recovery){0};
    CE_CLEANUP(unlock_write) struct ce_journal *held = NULL;
    CE_TRY(lock_write(journal, &held, err));
    return ce_journal_undo_live(journal, true, ret, err);
}
