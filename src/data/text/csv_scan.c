/* SPDX-License-Identifier: MIT */
#include "data/text/csv_scan.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif
#ifdef __x86_64__
#include <immintrin.h>
#endif

enum { BLOCK = 64, WINDOW = 32 * BLOCK };

/* ---- special bytes ---- */

/* *ret_count: how many bits are set. */
#ifdef __SSE2__
static inline uint64_t special_bytes(const char *p, char delimiter, unsigned *ret_count)
{
    const __m128i quote = _mm_set1_epi8('"'), cr = _mm_set1_epi8('\r'), lf = _mm_set1_epi8('\n');
    const __m128i separator = _mm_set1_epi8(delimiter);
    __m128i counters = _mm_setzero_si128();
    uint64_t bits = 0;
    for (int i = 0; i < BLOCK / 16; i++) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)(p + 16 * i));
        __m128i found = _mm_or_si128(
            _mm_or_si128(_mm_cmpeq_epi8(bytes, separator), _mm_cmpeq_epi8(bytes, quote)),
            _mm_or_si128(_mm_cmpeq_epi8(bytes, cr), _mm_cmpeq_epi8(bytes, lf)));
        bits |= (uint64_t)(unsigned)_mm_movemask_epi8(found) << 16 * i;
        counters = _mm_sub_epi8(counters, found); /* what is found is -1 in its byte */
    }
    __m128i sums = _mm_sad_epu8(counters, _mm_setzero_si128());
    *ret_count =
        (unsigned)_mm_cvtsi128_si32(sums) + (unsigned)_mm_cvtsi128_si32(_mm_srli_si128(sums, 8));
    return bits;
}
#else
static inline uint64_t special_bytes(const char *p, char delimiter, unsigned *ret_count)
{
    uint64_t bits = 0;
    for (int i = 0; i < BLOCK; i++)
        bits |= (uint64_t)(p[i] == delimiter || p[i] == '"' || p[i] == '\r' || p[i] == '\n') << i;
    *ret_count = (unsigned)__builtin_popcountll(bits);
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

/* Appends where the bits lie: eight at a time, because nothing can predict how many there are. What
 * is too much is overwritten. */
static inline uint16_t *list_bits(uint16_t *to, uint64_t bits, unsigned count, size_t at)
{
    for (unsigned listed = 0; listed < count; listed += 8)
        for (unsigned i = 0; i < 8; i++, bits &= bits - 1)
            to[listed + i] = (uint16_t)(at + (unsigned)__builtin_ctzll(bits | UINT64_C(1) << 63));
    return to + count;
}

static uint16_t *list_last_block(const struct ce_text_scan *s, uint16_t *to, const char *p)
{
    char block[BLOCK] = {0};
    unsigned count;
    size_t left = (size_t)(s->end - p);
    memcpy(block, p, left);
    uint64_t bits = special_bytes(block, s->table->delimiter, &count);
    bits = (bits | (s->table->backslash ? backslashes(block) : 0)) & ((UINT64_C(1) << left) - 1);
    return list_bits(to, bits, (unsigned)__builtin_popcountll(bits), (size_t)(p - s->window));
}

/* Finds the special bytes from `window` on, with one of the functions that find those of a block.
 */
static inline __attribute__((always_inline)) void
list_window(struct ce_text_scan *s, const char *window,
            uint64_t (*find)(const char *p, char delimiter, unsigned *ret_count))
{
    char delimiter = s->table->delimiter;
    bool backslash = s->table->backslash;
    uint16_t *to = s->special;
    const char *p = window, *end = s->end - window < WINDOW ? s->end : window + WINDOW;
    s->window = window;
    s->window_end = end;
    for (; end - p >= BLOCK; p += BLOCK) {
        unsigned count;
        uint64_t bits = find(p, delimiter, &count);
        if (backslash) {
            bits |= backslashes(p);
            count = (unsigned)__builtin_popcountll(bits);
        }
        to = list_bits(to, bits, count, (size_t)(p - window));
    }
    if (p < end)
        to = list_last_block(s, to, p);
    s->special_next = s->special;
    s->special_end = to;
}

#ifdef __x86_64__
#define AVX2 __attribute__((target("avx2,bmi,popcnt")))

AVX2 static inline uint64_t special_half(const char *p, char delimiter)
{
    __m256i bytes = _mm256_loadu_si256((const __m256i *)(const void *)p);
    __m256i found =
        _mm256_or_si256(_mm256_or_si256(_mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(delimiter)),
                                        _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8('"'))),
                        _mm256_or_si256(_mm256_cmpeq_epi8(bytes, _mm256_set1_epi8('\r')),
                                        _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8('\n'))));
    return (uint32_t)_mm256_movemask_epi8(found);
}

AVX2 static inline uint64_t special_bytes_avx2(const char *p, char delimiter, unsigned *ret_count)
{
    uint64_t bits = special_half(p, delimiter) | special_half(p + 32, delimiter) << 32;
    *ret_count = (unsigned)__builtin_popcountll(bits);
    return bits;
}

AVX2 static void list_window_avx2(struct ce_text_scan *s, const char *window)
{
    list_window(s, window, special_bytes_avx2);
}
#endif

static void load_window(struct ce_text_scan *s, const char *window)
{
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
        __builtin_cpu_supports("popcnt")) {
        list_window_avx2(s, window);
        return;
    }
#endif
    list_window(s, window, special_bytes);
}

/* Makes `p` the next byte to be looked at; it is not before the ones that were. */
static inline void seek(struct ce_text_scan *s, const char *p)
{
    if (p >= s->window_end)
        load_window(s, p);
    while (s->special_next < s->special_end && s->window + *s->special_next < p)
        s->special_next++;
}

/* The next special byte, or the end. */
static inline const char *next_special(struct ce_text_scan *s)
{
    while (s->special_next == s->special_end) {
        if (s->window_end == s->end)
            return s->end;
        load_window(s, s->window_end);
    }
    return s->window + *s->special_next++;
}

/* ---- records ---- */

static inline bool is_line_end(char c)
{
    return c == '\n' || c == '\r';
}

/* The byte after the line end at `p`; NULL when it is not known yet whether a CR is all of it. */
static inline const char *after_line_end(const struct ce_text_scan *s, const char *p, bool closed)
{
    if (*p == '\n')
        return p + 1;
    if (p + 1 == s->end)
        return closed ? s->end : NULL;
    return p + 1 + (p[1] == '\n');
}

/* Passes the byte that the backslash at `p` escapes. */
static void skip_escaped(struct ce_text_scan *s, const char *p, uint64_t *lines)
{
    if (s->end - p < 2)
        return;
    *lines += p[1] == '\n' || (p[1] == '\r' && (s->end - p < 3 || p[2] != '\n'));
    seek(s, p + 2);
}

/* Goes behind the quote that closes the cell that opens at `p`, and counts the line ends within. */
static enum ce_csv_found skip_quoted(struct ce_text_scan *s, bool closed, uint64_t *lines)
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
        } else if (*p == '\\' && s->table->backslash) {
            skip_escaped(s, p, lines);
        } else {
            *lines += *p == '\n' || (*p == '\r' && p + 1 < end && p[1] != '\n');
        }
    }
}

static bool grow_cells(struct ce_text_scan *s)
{
    size_t capacity = 2 * s->cell_capacity + 64;
    struct ce_text_cell *larger = realloc(s->cells, capacity * sizeof *larger);
    if (!larger)
        return false;
    s->cells = larger;
    s->cell_capacity = capacity;
    return true;
}

/* Scans the cells of the record that starts at `start`. *ret_end: its line end, or the end of the
 * bytes; *lines: grows by the line ends within cells, but for CE_CSV_UNCLOSED only by those before
 * that cell. */
static inline enum ce_csv_found scan_cells(struct ce_text_scan *s, const char *start, bool closed,
                                           size_t *ret_count, const char **ret_end, uint64_t *lines)
{
    const char *end = s->end;
    char delimiter = s->table->delimiter;
    struct ce_text_cell *cells = s->cells;
    size_t count = 0, capacity = s->cell_capacity;
    bool quoted = false;
    for (;;) {
        /* Most of what follows are cells without quotes. */
        const uint16_t *next = s->special_next, *stop = s->special_end;
        const char *window = s->window;
        if ((size_t)(stop - next) > capacity - count)
            stop = next + (capacity - count);
        for (; next < stop && window[*next] == delimiter; next++) {
            const char *ends = window + *next;
            cells[count].raw = start;
            cells[count].raw_size = (size_t)(ends - start);
            cells[count++].quoted = quoted;
            quoted = false;
            start = ends + 1;
        }
        s->special_next = next;
        const char *p = next_special(s);
        char c = p < end ? *p : '\n';
        if (c == '"') {
            if (p != start)
                continue;
            quoted = true;
            uint64_t within = 0;
            enum ce_csv_found found = skip_quoted(s, closed, &within);
            if (found != CE_CSV_RECORD)
                return found;
            *lines += within;
            continue;
        }
        if (c == '\\' && s->table->backslash) {
            skip_escaped(s, p, lines);
            continue;
        }
        if (count == capacity) {
            if (!grow_cells(s))
                return CE_CSV_NO_MEMORY;
            cells = s->cells;
            capacity = s->cell_capacity;
        }
        cells[count++] = (struct ce_text_cell){start, (size_t)(p - start), quoted};
        if (c != delimiter) {
            *ret_count = count;
            *ret_end = p;
            return CE_CSV_RECORD;
        }
        quoted = false;
        start = p + 1;
    }
}

/* Goes behind the blank lines and comments at `p`; NULL: more bytes are needed to tell. */
static const char *skip_blank(struct ce_text_scan *s, const char *p, char comment, bool closed,
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

static enum ce_csv_found scan_record(struct ce_text_scan *s, bool closed,
                                     struct ce_text_record *ret_record)
{
    const char *p = s->at, *end = s->end;
    uint64_t line = s->line;
    if (p == end || is_line_end(*p) || *p == s->table->comment)
        p = skip_blank(s, p, s->table->comment, closed, &line);
    if (!p)
        return CE_CSV_MORE;
    *ret_record = (struct ce_text_record){
        .row = s->row,
        .line = line,
        .before = s->at,
        .before_size = (size_t)(p - s->at),
        .bytes = p,
    };
    enum ce_csv_found found = CE_CSV_END;
    if (p < end) {
        const char *text_end = NULL;
        found = scan_cells(s, p, closed, &ret_record->cell_count, &text_end, &line);
        if (found == CE_CSV_UNCLOSED)
            ret_record->line = line;
        if (found != CE_CSV_RECORD)
            return found;
        const char *next = text_end == end ? end : after_line_end(s, text_end, closed);
        if (!next || (text_end == end && !closed))
            return CE_CSV_MORE;
        line += text_end < end;
        ret_record->cells = s->cells;
        ret_record->size = (size_t)(next - p);
        ret_record->end_size = (size_t)(next - text_end);
        if (ret_record->end_size > 1)
            seek(s, next);
        s->row++;
        p = next;
    }
    s->at = p;
    s->line = line;
    return found;
}

enum ce_csv_found ce_csv_scan(struct ce_text_scan *scan, bool closed,
                              struct ce_text_record *ret_record)
{
    if (!scan->special)
        scan->special = malloc((WINDOW + BLOCK) * sizeof *scan->special);
    if (!scan->special)
        return CE_CSV_NO_MEMORY;
    if (!scan->window)
        load_window(scan, scan->at);
    enum ce_csv_found found = scan_record(scan, closed, ret_record);
    if (found != CE_CSV_RECORD && found != CE_CSV_END)
        scan->window = NULL; /* what it looked at, it looks at again */
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
