/* SPDX-License-Identifier: MIT */
#include "journal/replay.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/hash.h"

static const unsigned char mark[4] = {0xCE, 'J', 'R', '1'};

const char *ce_note_state_name(enum ce_note_state state)
{
    static const char *const names[] = {"note", "undone", "foreign", "settled"};
    return names[state];
}

static void put32(char *p, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        p[i] = (char)(value >> 8 * i);
}

static uint32_t get32(const char *p)
{
    uint32_t value = 0;
    for (int i = 0; i < 4; i++)
        value |= (uint32_t)(unsigned char)p[i] << 8 * i;
    return value;
}

int ce_record_encode(const json_t *payload, char **ret_bytes, size_t *ret_size,
                     struct ce_error *err)
{
    ce_autofree char *text = payload ? json_dumps(payload, JSON_COMPACT) : NULL;
    if (!text)
        return ce_fail_memory(err);
    size_t size = strlen(text);
    if (size > CE_RECORD_MAX)
        return ce_fail(err, E2BIG, "a journal record of %zu bytes is longer than %d", size,
                       CE_RECORD_MAX);
    ce_autofree char *bytes = malloc(CE_RECORD_HEAD + size);
    if (!bytes)
        return ce_fail_memory(err);
    memcpy(bytes, mark, sizeof mark);
    put32(bytes + 8, (uint32_t)size);
    memcpy(bytes + CE_RECORD_HEAD, text, size);
    put32(bytes + 4, ce_crc32c(bytes + 8, 4 + size));
    *ret_size = CE_RECORD_HEAD + size;
    *ret_bytes = ce_take(bytes);
    return 0;
}

/* The length of the whole record that starts at `data`, or 0 when there is none. */
static size_t record_length(const char *data, size_t size)
{
    if (size < CE_RECORD_HEAD || memcmp(data, mark, sizeof mark) != 0)
        return 0;
    size_t length = get32(data + 8);
    if (length > CE_RECORD_MAX || length > size - CE_RECORD_HEAD ||
        ce_crc32c(data + 8, 4 + length) != get32(data + 4))
        return 0;
    return CE_RECORD_HEAD + length;
}

/* Where the next whole record starts, or `size`. */
static size_t find_record(const char *data, size_t size, size_t from)
{
    while (from < size) {
        const char *p = memmem(data + from, size - from, mark, sizeof mark);
        if (!p)
            break;
        from = (size_t)(p - data);
        if (record_length(p, size - from) > 0)
            return from;
        from++;
    }
    return size;
}

static void note_done(struct ce_note *note)
{
    free(note->op);
    free(note->noted_at);
    json_decref(note->args);
}

void ce_replay_done(struct ce_replay *replay)
{
    for (size_t i = 0; i < replay->count; i++)
        note_done(&replay->notes[i]);
    free(replay->notes);
    free(replay->run);
    free(replay->experiment);
    free(replay->fault);
    json_decref(replay->claims);
    *replay = (struct ce_replay){0};
}

struct ce_note *ce_replay_note(const struct ce_replay *replay, int id)
{
    for (size_t i = 0; i < replay->count; i++)
        if (replay->notes[i].id == id)
            return &replay->notes[i];
    return NULL;
}

size_t ce_replay_live(const struct ce_replay *replay)
{
    size_t live = 0;
    for (size_t i = 0; i < replay->count; i++)
        live += replay->notes[i].state == CE_NOTE_LIVE;
    return live;
}

/* The functions below take in one payload: 0, -ENOMEM, or -EBADMSG when it makes no sense. */

static int take_open(struct ce_replay *replay, const json_t *payload)
{
    int version, pid;
    json_int_t start;
    const char *run, *boot, *experiment = NULL, *fault = NULL;
    json_t *claims = NULL;
    if (replay->run ||
        json_unpack((json_t *)payload, "{s:i, s:s, s:s, s:i, s:I, s?s, s?s, s?o}", "version",
                    &version, "run", &run, "boot", &boot, "pid", &pid, "start", &start,
                    "experiment", &experiment, "fault", &fault, "claims", &claims) < 0)
        return -EBADMSG;
    if (version != CE_JOURNAL_VERSION || strlen(boot) >= sizeof replay->boot)
        return -EBADMSG;
    replay->run = strdup(run);
    replay->experiment = experiment ? strdup(experiment) : NULL;
    replay->fault = fault ? strdup(fault) : NULL;
    if (!replay->run || (experiment && !replay->experiment) || (fault && !replay->fault))
        return -ENOMEM;
    replay->claims = json_incref(claims);
    memcpy(replay->boot, boot, strlen(boot) + 1);
    replay->owner = (struct ce_process_id){.pid = pid, .start = (uint64_t)start};
    return 0;
}

static int take_note(struct ce_replay *replay, const json_t *payload)
{
    int id;
    const char *op, *at;
    json_t *args;
    if (json_unpack((json_t *)payload, "{s:i, s:s, s:s, s:o}", "id", &id, "op", &op, "at", &at,
                    "args", &args) < 0 ||
        !json_is_object(args) ||
        id <= (replay->count > 0 ? replay->notes[replay->count - 1].id : 0))
        return -EBADMSG;
    struct ce_note *notes = reallocarray(replay->notes, replay->count + 1, sizeof *notes);
    if (!notes)
        return -ENOMEM;
    replay->notes = notes;
    struct ce_note note = {
        .id = id, .op = strdup(op), .noted_at = strdup(at), .args = json_incref(args)};
    if (!note.op || !note.noted_at) {
        note_done(&note);
        return -ENOMEM;
    }
    notes[replay->count++] = note;
    return 0;
}

static int take_end(struct ce_replay *replay, const json_t *payload, const char *type)
{
    for (enum ce_note_state state = CE_NOTE_UNDONE; state <= CE_NOTE_SETTLED; state++) {
        if (strcmp(type, ce_note_state_name(state)) != 0)
            continue;
        int id;
        struct ce_note *note = NULL;
        if (json_unpack((json_t *)payload, "{s:i}", "id", &id) == 0)
            note = ce_replay_note(replay, id);
        if (!note)
            return -EBADMSG;
        note->state = state;
        return 0;
    }
    return -EBADMSG;
}

static int take_record(struct ce_replay *replay, const char *data, size_t length)
{
    ce_autojson json_t *payload =
        json_loadb(data + CE_RECORD_HEAD, length - CE_RECORD_HEAD, JSON_REJECT_DUPLICATES, NULL);
    const char *type = json_string_value(json_object_get(payload, "type"));
    if (!type)
        return -EBADMSG;
    if (strcmp(type, "open") == 0)
        return take_open(replay, payload);
    int r = 0;
    if (strcmp(type, "note") == 0)
        r = take_note(replay, payload);
    else if (strcmp(type, "closed") == 0)
        replay->closed = true;
    else
        r = take_end(replay, payload, type);
    /* Without its first record the journal is damaged, but its notes are still worth undoing. */
    return r == 0 && !replay->run ? -EBADMSG : r;
}

int ce_replay_feed(struct ce_replay *replay, const char *data, size_t size, struct ce_error *err)
{
    size_t base = replay->end, at = 0;
    int result = 0;
    while (at < size) {
        size_t length = record_length(data + at, size - at), next = at + length;
        if (length == 0)
            next = find_record(data, size, at + 1);
        if (length == 0 && next == size)
            break; /* the torn tail of a write that a crash cut short */
        int r = length > 0 ? take_record(replay, data + at, length) : -EBADMSG;
        if (r == -ENOMEM)
            return ce_fail_memory(err);
        if (r < 0 && result == 0)
            result = ce_fail(err, EBADMSG, "damaged at byte %zu", base + at);
        at = next;
        replay->end = base + at;
    }
    if (result < 0)
        replay->damaged = true;
    return result;
}
