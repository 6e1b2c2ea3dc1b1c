/* SPDX-License-Identifier: MIT */
/* A fault in a live database for a while: a faulted copy of a table stands in the table's place, or
 * its rows in the table itself, and then all is put back.
 *
 * The journal knows of everything before it is done, and the guard undoes it when this process
 * dies. What counts in the end is not that the undo said so but that the table gives the same bytes
 * as before. */
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/seam.h"
#include "controller/controller.h"
#include "faults/data/table_switch.h"
#include "journal/guard.h"
#include "journal/undo_files.h"
#include "orchestrator/dataset_internal.h"

/* How long the guard waits for what is not the hold itself: a while, and many times what it took to
 * copy the table. */
#define GUARD_MARGIN (60 * CE_SECOND)
#define COPY_FACTOR  20
/* How soon a guard that has gone is noticed. */
#define TICK (500 * CE_MILLISECOND)

struct switching {
    const struct ce_data_job *job;
    const char *address;
    const struct ce_data_switch_options *options;
    int64_t hold; /* ns */
    int64_t margin;
    char *name; /* what messages call the table */
    char *state_dir, *folder;
    char *before, *faulted, *image; /* files */
    struct ce_journal *journal;
    struct ce_guard *guard;
    int note;                   /* of the switch; 0: nothing was switched */
    char sha256[CE_SHA256_HEX]; /* of the table as it was */
    int64_t held_at, let_go_at; /* 0: it did not come so far */
    struct ce_sql_loaded loaded;
    char *kept; /* the table with rows that others wrote meanwhile; NULL: nobody did */
    json_t *result;
};

static void switching_done(struct switching *s)
{
    free(s->name);
    free(s->state_dir);
    free(s->folder);
    free(s->before);
    free(s->faulted);
    free(s->image);
    free(s->kept);
    ce_sql_loaded_done(&s->loaded);
    json_decref(s->result);
}

static bool interrupted(const struct switching *s)
{
    return s->options->signal && *s->options->signal;
}

/* ---- before ---- */

static int check(struct switching *s, struct ce_error *err)
{
    const char *hold = s->options->hold ? s->options->hold : "";
    if (!ce_sql_is(s->address))
        return ce_fail(err, EINVAL,
                       "'%s' is no address of a table; one looks like sqlite:PATH?table=NAME or "
                       "postgresql://HOST/DATABASE?table=NAME",
                       s->address);
    CE_TRY(ce_sql_check(s->address, err));
    if (ce_sql_has_password(s->address))
        return ce_fail(err, EINVAL,
                       "an address with a password would be written to the journal; leave it to "
                       "PGPASSFILE or PGSERVICE");
    if (ce_text_duration(hold, false, &s->hold) < 0 || s->hold == 0)
        return ce_fail(err, EINVAL, "'%s' is no time to hold a table for; 30s, 2m and 1.5h are",
                       hold);
    return 0;
}

/* Nothing is switched on a host on which something is still live. */
static int clear_leftovers(const struct switching *s, struct ce_error *err)
{
    struct ce_recovery recovery = {0};
    CE_TRY(ce_folder_make(s->state_dir, err));
    int r = ce_journal_recover(s->state_dir, ce_undo_ops, &recovery, err);
    if (r < 0 || recovery.failed > 0)
        return ce_fail_context(err, -EUCLEAN,
                               "an earlier run left something that could not be put back");
    return 0;
}

/* Journal, guard, and a folder that both know of. */
static int prepare(struct switching *s, struct ce_error *err)
{
    char id[64];
    ce_run_id_make(id);
    ce_autofree char *runs = ce_format("%s/run", s->state_dir);
    s->name = ce_sql_shown(s->address);
    s->folder = ce_format("%s/run/%s", s->state_dir, id);
    s->before = ce_format("%s/run/%s/before.csv", s->state_dir, id);
    s->faulted = ce_format("%s/run/%s/faulted.csv", s->state_dir, id);
    if (!runs || !s->name || !s->folder || !s->before || !s->faulted)
        return ce_fail_memory(err);
    CE_TRY(clear_leftovers(s, err));
    CE_TRY(ce_folder_make(runs, err));
    CE_TRY(ce_journal_create(s->state_dir, id, ce_undo_ops, &s->journal, err));
    CE_TRY(ce_guard_start(s->journal, &s->guard, err));
    CE_TRY(ce_undo_note_tree(s->journal, s->folder, err));
    return ce_folder_make(s->folder, err);
}

static int copy_and_inject(struct switching *s, struct ce_error *err)
{
    struct ce_data_job_options how = {
        .has_seed = s->options->has_seed,
        .seed = s->options->seed,
        .signal = s->options->signal,
    };
    int64_t begun = ce_now();
    CE_TRY(ce_sql_export(s->address, s->before, err));
    CE_TRY(ce_sha256_file(s->before, s->sha256, err));
    CE_TRY(ce_job_run_file(s->job, s->before, s->name, s->faulted, &how, &s->result, err));
    s->margin = ce_seam_hurry() ? 0 : GUARD_MARGIN + COPY_FACTOR * (ce_now() - begun);
    return interrupted(s) ? ce_fail(err, EINTR, "interrupted") : 0;
}

/* ---- the fault ---- */

/* What was written to the table since it was copied is in the original, which nobody can write to
 * by its name now. */
static int switch_over(struct switching *s, struct ce_error *err)
{
    s->note = ce_table_switch(s->journal, s->address, s->faulted, &s->loaded, err);
    if (s->note < 0)
        return s->note;
    ce_autofree char *table = ce_sql_table(s->address);
    ce_autofree char *name = table ? ce_format("%s" CE_SQL_ORIGINAL, table) : NULL;
    ce_autofree char *original = name ? ce_sql_sibling(s->address, name) : NULL;
    if (!original)
        return ce_fail_memory(err);
    (void)unlink(s->before);
    CE_TRY(ce_sql_export(original, s->before, err));
    return ce_sha256_file(s->before, s->sha256, err);
}

static int edit(struct switching *s, struct ce_error *err)
{
    CE_TRY(ce_undo_image_path(s->journal, &s->image, err));
    s->note = ce_table_edit(s->journal, s->address, s->faulted, s->sha256, s->image, err);
    return s->note < 0 ? s->note : 0;
}

static int put(struct switching *s, struct ce_error *err)
{
    CE_TRY(ce_guard_deadline(s->guard, ce_now() + s->hold + s->margin, err));
    CE_TRY(s->options->in_place ? edit(s, err) : switch_over(s, err));
    CE_TRY(ce_guard_deadline(s->guard, ce_now() + s->hold + s->margin, err));
    s->held_at = ce_now();
    if (s->options->held)
        s->options->held(s->options->held_ctx);
    return 0;
}

/* Returns at once when a signal comes: it is let in only while this waits. */
static void sleep_for(const struct switching *s, int64_t duration)
{
    struct timespec time = {.tv_sec = duration / CE_SECOND, .tv_nsec = duration % CE_SECOND};
    sigset_t both, before;
    sigemptyset(&both);
    sigaddset(&both, SIGINT);
    sigaddset(&both, SIGTERM);
    (void)pthread_sigmask(SIG_BLOCK, &both, &before);
    if (!interrupted(s))
        (void)ppoll(NULL, 0, &time, &before);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static int hold(struct switching *s, struct ce_error *err)
{
    int64_t left;
    while ((left = s->held_at + s->hold - ce_now()) > 0 && !interrupted(s)) {
        if (ce_guard_fired(s->guard))
            break;
        if (!ce_guard_alive(s->guard))
            return ce_fail(err, ECHILD,
                           "the guard has gone: nothing would put the table back after a crash");
        sleep_for(s, left < TICK ? left : TICK);
    }
    s->let_go_at = ce_now();
    return ce_guard_fired(s->guard)
               ? ce_fail(err, ETIMEDOUT, "it took too long: the guard has put the table back")
               : 0;
}

static int run(struct switching *s, struct ce_error *err)
{
    CE_TRY(check(s, err));
    s->state_dir = s->options->state_dir ? strdup(s->options->state_dir) : ce_state_dir();
    if (!s->state_dir)
        return ce_fail_memory(err);
    CE_TRY(prepare(s, err));
    CE_TRY(copy_and_inject(s, err));
    CE_TRY(put(s, err));
    return hold(s, err);
}

/* ---- after ---- */

/* Where the rows are now, if anywhere: a sentence's end. */
static void find_rows(const struct switching *s, char *text, size_t size)
{
    bool there = false;
    ce_autofree char *table = ce_sql_table(s->address);
    ce_autofree char *name = table ? ce_format("%s" CE_SQL_ORIGINAL, table) : NULL;
    ce_autofree char *original = name ? ce_sql_sibling(s->address, name) : NULL;
    ce_autofree char *folder = ce_format("%s/journal/kept", s->state_dir);
    ce_autofree char *kept = ce_table_kept_image(s->state_dir, s->address, s->sha256);
    if (original && ce_sql_exists(original, &there, NULL) == 0 && there)
        snprintf(text, size, "; they are in table '%s'", name);
    else if (folder && kept &&
             (access(kept, F_OK) == 0 || (ce_folder_make(folder, NULL) == 0 &&
                                          rename(s->image ? s->image : s->before, kept) == 0)))
        snprintf(text, size, "; they are kept in '%s'", kept);
}

static int verify(const struct switching *s, struct ce_error *err)
{
    char hex[CE_SHA256_HEX] = "", where[256] = "";
    struct ce_error why = {0};
    ce_autofree char *after = ce_format("%s/after.csv", s->folder);
    if (!after)
        return ce_fail_memory(err);
    CE_TRY(ce_folder_make(s->folder, err)); /* a guard that has undone the run took it along */
    if (ce_sql_export(s->address, after, &why) == 0)
        CE_TRY(ce_sha256_file(after, hex, err));
    if (strcmp(hex, s->sha256) == 0)
        return 0;
    find_rows(s, where, sizeof where);
    return ce_fail(err, EUCLEAN, "%s does not give the rows that it held before%s%s%s", s->name,
                   where, why.message[0] ? ": " : "", why.message);
}

/* What is only busy is tried a second time. */
static int undo(struct switching *s, struct ce_error *err)
{
    int r = ce_undo_now(s->journal, s->note, err);
    return r < 0 ? ce_undo_now(s->journal, s->note, err) : r;
}

/* There was no table of that name before. */
static void find_kept(struct switching *s)
{
    bool there;
    ce_autofree char *table = ce_sql_table(s->address);
    ce_autofree char *name = table ? ce_format("%s" CE_SQL_KEPT, table) : NULL;
    ce_autofree char *kept = name ? ce_sql_sibling(s->address, name) : NULL;
    if (kept && ce_sql_exists(kept, &there, NULL) == 0 && there)
        s->kept = ce_take(name);
}

static int put_back(struct switching *s, struct ce_error *err)
{
    if (s->note > 0) {
        CE_TRY(undo(s, err));
        CE_TRY(verify(s, err));
        find_kept(s);
    }
    return ce_undo_all(s->journal, NULL, err);
}

/* Undoes everything, whatever came before; that something is left outranks all else. */
static int end(struct switching *s, int r, struct ce_error *err)
{
    struct ce_error why = {0};
    int undone = s->journal ? put_back(s, &why) : 0;
    if (undone < 0)
        (void)ce_undo_all(s->journal, NULL, NULL); /* what there is besides */
    bool live = s->journal && ce_undo_live(s->journal) > 0;
    /* The guard goes last: until then it takes care of whatever is left. */
    ce_journal_close(s->journal);
    ce_guard_stop(s->guard);
    return undone < 0 ? ce_fail(err, EUCLEAN, "the table could not be put back: %s%s", why.message,
                                live ? "; `chaoseater recover` tries again" : "")
           : r < 0 && s->kept
               ? ce_fail_context(err, r, "rows that others wrote meanwhile are in table '%s'",
                                 s->kept)
               : r;
}

static int describe(struct switching *s, char **ret_json, struct ce_error *err)
{
    double seconds = (double)(s->let_go_at - s->held_at) / (double)CE_SECOND;
    CE_TRY(ce_table_add_loaded(s->result, &s->loaded, err));
    (void)json_object_del(s->result, "key");
    ce_autojson json_t *how =
        json_pack("{s:s, s:b, s:f, s:b, s:b, s:s?}", "table", s->name, "in_place",
                  s->options->in_place, "held_seconds", round(seconds * 1000) / 1000, "interrupted",
                  interrupted(s), "put_back", 1, "kept", s->kept);
    if (!how || json_object_update(s->result, how) < 0)
        return ce_fail_memory(err);
    char *text = ce_json_text(s->result);
    if (!text)
        return ce_fail_memory(err);
    *ret_json = text;
    return 0;
}

int ce_data_job_switch(const struct ce_data_job *job, const char *address,
                       const struct ce_data_switch_options *options, char **ret_json,
                       struct ce_error *err)
{
    CE_CLEANUP(switching_done)
    struct switching s = {.job = job, .address = address, .options = options};
    int r = run(&s, err);
    r = end(&s, r, err);
    if (r < 0 || !ret_json)
        return r;
    return describe(&s, ret_json, err);
}
