/* SPDX-License-Identifier: MIT */
/* A journal's replay, fed with whatever may lie on a disk: whole, and in two parts as a reader that
 * follows a writer gets it.
 *
 * Input that starts with '{' is taken as payloads, one a line, and framed first: no fuzzer guesses
 * a checksum. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

#include "journal/replay.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int condition)
{
    if (!condition)
        abort();
}

static int feed(struct ce_replay *replay, const char *data, size_t size)
{
    struct ce_error err = {0};
    int r = ce_replay_feed(replay, data, size, &err);
    require((r < 0) == (err.message[0] != '\0'));
    require(replay->end <= size);
    return r;
}

static void check(const char *text, size_t size)
{
    struct ce_replay whole = {0}, parts = {0};
    (void)feed(&whole, text, size);
    require(ce_replay_live(&whole) <= whole.count);
    for (size_t i = 0; i < whole.count; i++) {
        const struct ce_note *note = &whole.notes[i];
        require(note->op && note->noted_at && json_is_object(note->args));
        require(ce_replay_note(&whole, note->id) == note);
    }

    /* After damage, what looks like a record may lie inside another, and then it matters how much
     * is seen at once. */
    if (!whole.damaged) {
        (void)feed(&parts, text, size / 2);
        size_t taken = parts.end;
        require(ce_replay_feed(&parts, text + taken, size - taken, NULL) == 0);
        require(parts.count == whole.count && parts.end == whole.end &&
                parts.closed == whole.closed);
        require(ce_replay_live(&parts) == ce_replay_live(&whole));
    }
    ce_replay_done(&whole);
    ce_replay_done(&parts);
}

static void check_payloads(const char *text, size_t size)
{
    ce_autofree char *framed = malloc(1);
    size_t framed_size = 0;
    while (size > 0) {
        const char *end = memchr(text, '\n', size);
        size_t length = end ? (size_t)(end - text) : size;
        ce_autojson json_t *payload = json_loadb(text, length, 0, NULL);
        ce_autofree char *record = NULL;
        size_t record_size;
        if (payload && ce_record_encode(payload, &record, &record_size, NULL) == 0) {
            char *longer = realloc(framed, framed_size + record_size);
            require(longer != NULL);
            framed = longer;
            memcpy(framed + framed_size, record, record_size);
            framed_size += record_size;
        }
        text += end ? length + 1 : length;
        size -= end ? length + 1 : length;
    }
    check(framed, framed_size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    check(text, size);
    if (size > 0 && text[0] == '{')
        check_payloads(text, size);
    return 0;
}
