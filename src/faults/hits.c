/* SPDX-License-Identifier: MIT */
#include "faults/hits.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "data/text/json_string.h"

struct line {
    char *text;
    size_t size;
};

struct ce_hits {
    pthread_mutex_t lock;
    struct line kept[CE_HITS_KEPT]; /* the n-th hit is at n modulo their number */
    uint64_t count;
    int fd; /* -1: no file */
    char *file;
    uint64_t lost; /* from the file, or for want of memory */
    int problem;   /* why the first of them is: a positive errno */
};
CE_DEFINE_CLEANUP(struct ce_hits, ce_hits_free);

int ce_hits_new(const char *file, struct ce_hits **ret_hits, struct ce_error *err)
{
    CE_CLEANUP(ce_hits_free_p) struct ce_hits *hits = calloc(1, sizeof *hits);
    if (!hits)
        return ce_fail_memory(err);
    hits->fd = -1;
    pthread_mutex_init(&hits->lock, NULL);
    if (file) {
        hits->file = strdup(file);
        if (!hits->file)
            return ce_fail_memory(err);
        hits->fd = open(file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
        if (hits->fd < 0)
            return ce_fail(err, errno, "cannot write hits to '%s': %s", file, strerror(errno));
    }
    *ret_hits = ce_take(hits);
    return 0;
}

void ce_hits_free(struct ce_hits *hits)
{
    if (!hits)
        return;
    for (size_t i = 0; i < CE_HITS_KEPT; i++)
        free(hits->kept[i].text);
    if (hits->fd >= 0)
        (void)close(hits->fd);
    free(hits->file);
    pthread_mutex_destroy(&hits->lock);
    free(hits);
}

/* ---- lines ---- */

static bool put_text(struct ce_buffer *line, const char *key, const char *text)
{
    return ce_buffer_put(line, key, strlen(key)) &&
           ce_json_put_string(text, strlen(text), false, line);
}

static bool put_number(struct ce_buffer *line, const char *key, uint64_t number)
{
    char text[64];
    int n = snprintf(text, sizeof text, "%s%llu", key, (unsigned long long)number);
    return ce_buffer_put(line, text, (size_t)n);
}

/* Ends in a newline. false: no memory. */
static bool write_line(struct ce_buffer *line, const struct ce_hit *hit)
{
    char at[CE_TIMESTAMP_SIZE];
    ce_timestamp(ce_wall_now(), at);
    return put_number(line, "{\"n\": ", hit->number) && put_text(line, ", \"id\": ", hit->id) &&
           (hit->rule ? put_text(line, ", \"rule\": ", hit->rule)
                      : ce_buffer_put(line, ", \"rule\": null", 14)) &&
           put_text(line, ", \"fault\": ", hit->fault) && put_text(line, ", \"at\": ", at) &&
           put_number(line, ", \"connection\": ", hit->connection) &&
           put_text(line, ", \"path\": ", hit->path) &&
           put_text(line, ", \"action\": ", hit->action) &&
           (!hit->run || put_text(line, ", \"run\": ", hit->run)) && ce_buffer_put(line, "}\n", 2);
}

/* Whoever watches wants to know at once, not when it ends. */
static void lose(struct ce_hits *hits, int code)
{
    if (hits->lost++ > 0)
        return;
    hits->problem = code;
    ce_log("hits go missing in %s: %s", hits->file ? hits->file : "the log", strerror(code));
}

void ce_hits_note(struct ce_hits *hits, const struct ce_hit *hit)
{
    struct ce_buffer line = {0};
    bool made = write_line(&line, hit);
    pthread_mutex_lock(&hits->lock);
    if (!made) {
        lose(hits, ENOMEM);
    } else {
        int r = hits->fd < 0 ? 0 : ce_write_all(hits->fd, line.data, line.size);
        if (r < 0)
            lose(hits, -r);
        struct line *place = &hits->kept[hits->count++ % CE_HITS_KEPT];
        struct line oldest = *place;
        *place = (struct line){line.data, line.size};
        line = (struct ce_buffer){.data = oldest.text};
    }
    pthread_mutex_unlock(&hits->lock);
    ce_buffer_done(&line);
}

/* ---- reading ---- */

uint64_t ce_hits_count(struct ce_hits *hits)
{
    pthread_mutex_lock(&hits->lock);
    uint64_t count = hits->count;
    pthread_mutex_unlock(&hits->lock);
    return count;
}

char *ce_hits_text(struct ce_hits *hits, size_t count, size_t *ret_size)
{
    struct ce_buffer text = {0};
    pthread_mutex_lock(&hits->lock);
    uint64_t kept = hits->count < CE_HITS_KEPT ? hits->count : CE_HITS_KEPT;
    uint64_t wanted = count == 0 || count > kept ? kept : count;
    bool whole = true;
    for (uint64_t n = hits->count - wanted; whole && n < hits->count; n++) {
        const struct line *line = &hits->kept[n % CE_HITS_KEPT];
        whole = ce_buffer_put(&text, line->text, line->size);
    }
    pthread_mutex_unlock(&hits->lock);
    *ret_size = text.size;
    if (!whole || !ce_buffer_put(&text, "", 1))
        ce_buffer_done(&text);
    return text.data;
}

int ce_hits_problem(struct ce_hits *hits, struct ce_error *err)
{
    pthread_mutex_lock(&hits->lock);
    uint64_t lost = hits->lost;
    int code = hits->problem;
    pthread_mutex_unlock(&hits->lock);
    if (lost == 0)
        return 0;
    return ce_fail(err, code, "%llu hits are missing in %s: %s", (unsigned long long)lost,
                   hits->file ? hits->file : "the log", strerror(code));
}
