/* SPDX-License-Identifier: MIT */
#include "data/text/csv_scan.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum { BLOCK = 64 };

/* ---- special bytes ---- */

#ifdef __SSE2__
static inline uint64_t special_bytes(const char *p, char delimiter)
{
    const __m128i quote = _mm_set1_epi8('"'), cr = _mm_set1_epi8('\r'), lf = _mm_set1_epi8('\n');
    const __m128i separator = _mm_set1_epi8(delimiter);
    uint64_t bits = 0;
    for (int i = 0; i < BLOCK / 16; i++) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)(p + 16 * i));
        __m128i found = _mm_or_si128(
            _mm_or_si128(_mm_cmpeq_epi8(bytes, separator), _mm_cmpeq_epi8(bytes, quote)),
            _mm_or_si128(_mm_cmpeq_epi8(bytes, cr), _mm_cmpeq_epi8(bytes, lf)));
        bits |= (uint64_t)(unsigned)_mm_movemask_epi8(found) << 16 * i;
    }
    return bits;
}
#else
static inline uint64_t special_bytes(const char *p, char delimiter)
{
    uint64_t bits = 0;
    for (int i = 0; i < BLOCK; i++)
        bits |= (uint64_t)(p[i] == delimiter || p[i] == '"' || p[i] == '\r' || p[i] == '\n') << i;
    return bits;
}
#endif

static uint64_t backslashes(const char *p)
{
    uint64_t bits = 0;
    for (int i = 0; i < BLOCK; i++)
        bits |= (uint64_t)(p[i] == '\\') << i;
    return bits;
}

/* Where a scan stands: a copy of the fields of struct ce_text_scan that the compiler may keep in
 * registers. */
struct place {
    const char *block, *end;
    uint64_t bits; /* the block's special bytes that were not handed out */
    char delimiter;
    bool backslash;
};

static uint64_t last_block_bits(const char *p, size_t left, char delimiter, bool backslash)
{
    char block[BLOCK] = {0};
    memcpy(block, p, left);
    uint64_t bits = special_bytes(block, delimiter) | (backslash ? backslashes(block) : 0);
    return bits & ((UINT64_C(1) << left) - 1);
}

static inline void load_block(struct place *s, const char *block)
{
    s->block = block;
    if (s->end - block < BLOCK) {
        s->bits = last_block_bits(block, (size_t)(s->end - block), s->delimiter, s->backslash);
        return;
    }
    s->bits = special_bytes(block, s->delimiter);
    if (s->backslash)
        s->bits |= backslashes(block);
}

/* Makes `p` the next byte to be looked at; it is not before the ones that were. */
static inline void seek(struct place *s, const char *p)
{
    if (p - s->block < BLOCK)
        s->bits &= ~UINT64_C(0) << (p - s->block);
    else
        load_block(s, p);
}

/* The next special byte, or the end. */
static inline const char *next_special(struct place *s)
{
    while (s->bits == 0) {
        if (s->end - s->block <= BLOCK)
            return s->end;
        load_block(s, s->block + BLOCK);
    }
    const char *p = s->block + __builtin_ctzll(s->bits);
    s->bits &= s->bits - 1;
    return p;
}

/* ---- records ---- */

static inline bool is_line_end(char c)
{
    return c == '\n' || c == '\r';
}

/* The byte after the line end at `p`; NULL when it is not known yet whether a CR is all of it. */
static inline const char *after_line_end(const struct place *s, const char *p, bool closed)
{
    if (*p == '\n')
        return p + 1;
    if (p + 1 == s->end)
        return closed ? s->end : NULL;
    return p + 1 + (p[1] == '\n');
}

/* Passes the byte that the backslash at `p` escapes. */
static void skip_escaped(struct place *s, const char *p, uint64_t *lines)
{
    if (s->end - p < 2)
        return;
    *lines += p[1] == '\n' || (p[1] == '\r' && (s->end - p < 3 || p[2] != '\n'));
    seek(s, p + 2);
}

/* Goes behind the quote that closes the cell that opens at `p`, and counts the line ends within. */
static enum ce_csv_found skip_quoted(struct place *s, bool closed, uint64_t *lines)
{
    const char *end = s->end;
    for (;;) {
        const char *p = next_special(s);
        if (p == end)
            return closed ? CE_CSV_UNCLOSED : CE_CSV_MORE;
        if (*p == '"') {
            if (p + 1 == end)
                return closed ? CE_CSV_RECORD : CE_CSV_MORE;
            if (p[1] != '"')
                return CE_CSV_RECORD;
            (void)next_special(s);
        } else if (*p == '\\' && s->backslash) {
            skip_escaped(s, p, lines);
        } else {
            *lines += *p == '\n' || (*p == '\r' && p + 1 < end && p[1] != '\n');
        }
    }
}

static bool grow_cells(struct ce_text_scan *scan)
{
    size_t capacity = 2 * scan->cell_capacity + 64;
    struct ce_text_cell *larger = realloc(scan->cells, capacity * sizeof *larger);
    if (!larger)
        return false;
    scan->cells = larger;
    scan->cell_capacity = capacity;
    return true;
}

/* Scans the cells of the record that starts at `start`. *ret_end: its line end, or the end of the
 * bytes; *lines: grows by the line ends within cells, but for CE_CSV_UNCLOSED only by those before
 * that cell. */
static enum ce_csv_found scan_cells(struct ce_text_scan *scan, struct place *s, const char *start,
                                    bool closed, size_t *ret_count, const char **ret_end,
                                    uint64_t *lines)
{
    /* A copy that no one else sees stays in registers. */
    struct place here = *s;
    const char *end = s->end;
    struct ce_text_cell *cells = scan->cells;
    size_t count = 0, capacity = scan->cell_capacity;
    bool quoted = false;
    for (;;) {
        /* Most of what follows in a block are cells without quotes. */
        uint64_t bits = here.bits;
        while (bits != 0 && count < capacity) {
            const char *ends = here.block + __builtin_ctzll(bits);
            if (*ends != here.delimiter)
                break;
            bits &= bits - 1;
            cells[count].raw = start;
            cells[count].raw_size = (size_t)(ends - start);
            cells[count++].quoted = quoted;
            quoted = false;
            start = ends + 1;
        }
        here.bits = bits;
        const char *p = next_special(&here);
        char c = p < end ? *p : '\n';
        if (c == '"') {
            if (p != start)
                continue;
            quoted = true;
            uint64_t within = 0;
            *s = here;
            enum ce_csv_found found = skip_quoted(s, closed, &within);
            if (found != CE_CSV_RECORD)
                return found;
            here = *s;
            *lines += within;
            continue;
        }
        if (c == '\\' && here.backslash) {
            *s = here;
            skip_escaped(s, p, lines);
            here = *s;
            continue;
        }
        if (count == capacity) {
            if (!grow_cells(scan))
                return CE_CSV_NO_MEMORY;
            cells = scan->cells;
            capacity = scan->cell_capacity;
        }
        cells[count++] = (struct ce_text_cell){start, (size_t)(p - start), quoted};
        if (c != here.delimiter) {
            *s = here;
            *ret_count = count;
            *ret_end = p;
            return CE_CSV_RECORD;
        }
        quoted = false;
        start = p + 1;
    }
}

/* Goes behind the blank lines and comments at `p`; NULL: more bytes are needed to tell. */
static const char *skip_blank(struct place *s, const char *p, char comment, bool closed,
                              uint64_t *lines)
{
    while (p < s->end) {
        if (is_line_end(*p)) {
            p = after_line_end(s, p, closed);
        } else if (comment != '\0' && *p == comment) {
            while (p < s->end && !is_line_end(*p))
                p++;
            if (p == s->end)
                break;
            p = after_line_end(s, p, closed);
        } else {
            break;
        }
        if (!p)
            return NULL;
        ++*lines;
    }
    seek(s, p);
    return p == s->end && !closed ? NULL : p;
}

enum ce_csv_found ce_csv_scan(struct ce_text_scan *scan, bool closed,
                              struct ce_text_record *ret_record)
{
    const struct ce_text_table *table = scan->table;
    struct place s = {
        .block = scan->block,
        .end = scan->end,
        .bits = scan->bits,
        .delimiter = table->delimiter,
        .backslash = table->backslash,
    };
    if (!scan->block)
        load_block(&s, scan->at);
    const char *p = scan->at;
    uint64_t line = scan->line;
    if (p == s.end || is_line_end(*p) || *p == table->comment)
        p = skip_blank(&s, p, table->comment, closed, &line);
    if (!p)
        return CE_CSV_MORE;
    struct ce_text_record record = {
        .row = scan->row,
        .line = line,
        .before = scan->at,
        .before_size = (size_t)(p - scan->at),
        .bytes = p,
    };
    enum ce_csv_found found = CE_CSV_END;
    if (p < s.end) {
        const char *end = NULL;
        found = scan_cells(scan, &s, p, closed, &record.cell_count, &end, &line);
        if (found == CE_CSV_UNCLOSED)
            ret_record->line = line;
        if (found != CE_CSV_RECORD)
            return found;
        const char *next = end == s.end ? end : after_line_end(&s, end, closed);
        if (!next || (end == s.end && !closed))
            return CE_CSV_MORE;
        line += end < s.end;
        record.cells = scan->cells;
        record.size = (size_t)(next - p);
        record.end_size = (size_t)(next - end);
        if (record.end_size > 1)
            seek(&s, next);
        scan->row++;
        p = next;
    }
    scan->at = p;
    scan->line = line;
    scan->block = s.block;
    scan->bits = s.bits;
    *ret_record = record;
    return found;
}

/* ---- counting ---- */

struct tally {
    uint64_t records, lines;
    bool quotes;
    char before; /* the byte before the next one */
};

static void tally_bytes(struct tally *t, const char *p, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        bool ends = is_line_end(p[i]), follows_end = is_line_end(t->before);
        t->records += ends && !follows_end;
        t->lines += ends && !(p[i] == '\n' && t->before == '\r');
        t->quotes |= p[i] == '"';
        t->before = p[i];
    }
}

#ifdef __SSE2__
enum { STRIDE = 16, STRIDES = 255 /* that a counter of 8 bits counts */ };

static uint64_t sum_bytes(__m128i counters)
{
    __m128i sums = _mm_sad_epu8(counters, _mm_setzero_si128());
    return (uint64_t)_mm_cvtsi128_si64(sums) + (uint64_t)_mm_cvtsi128_si64(_mm_srli_si128(sums, 8));
}

/* p[-1] is readable. */
static void tally_strides(struct tally *t, const char *p, size_t strides)
{
    const __m128i quote = _mm_set1_epi8('"'), cr = _mm_set1_epi8('\r'), lf = _mm_set1_epi8('\n');
    __m128i records = _mm_setzero_si128(), lines = records, quotes = records;
    for (; strides > 0; strides--, p += STRIDE) {
        __m128i now = _mm_loadu_si128((const __m128i *)(const void *)p);
        __m128i before = _mm_loadu_si128((const __m128i *)(const void *)(p - 1));
        __m128i is_lf = _mm_cmpeq_epi8(now, lf), after_cr = _mm_cmpeq_epi8(before, cr);
        __m128i ends = _mm_or_si128(is_lf, _mm_cmpeq_epi8(now, cr));
        __m128i follows_end = _mm_or_si128(after_cr, _mm_cmpeq_epi8(before, lf));
        /* What is found is -1 in its byte. */
        records = _mm_sub_epi8(records, _mm_andnot_si128(follows_end, ends));
        lines = _mm_sub_epi8(lines, _mm_andnot_si128(_mm_and_si128(is_lf, after_cr), ends));
        quotes = _mm_or_si128(quotes, _mm_cmpeq_epi8(now, quote));
    }
    t->records += sum_bytes(records);
    t->lines += sum_bytes(lines);
    t->quotes |= _mm_movemask_epi8(quotes) != 0;
    t->before = p[-1];
}

static size_t tally_quickly(struct tally *t, const char *data, size_t size)
{
    size_t at = 0;
    while (!t->quotes && size - at >= STRIDE) {
        size_t strides = (size - at) / STRIDE < STRIDES ? (size - at) / STRIDE : STRIDES;
        tally_strides(t, data + at, strides);
        at += strides * STRIDE;
    }
    return at;
}
#else
static size_t tally_quickly(struct tally *t, const char *data, size_t size)
{
    return 0;
}
#endif

bool ce_csv_tally(const char *data, size_t size, uint64_t *ret_records, uint64_t *ret_lines)
{
    struct tally t = {.before = '\n'};
    size_t at = size > 0;
    tally_bytes(&t, data, at);
    at += tally_quickly(&t, data + at, size - at);
    if (!t.quotes)
        tally_bytes(&t, data + at, size - at);
    *ret_records = t.records;
    *ret_lines = t.lines;
    return !t.quotes;
}
