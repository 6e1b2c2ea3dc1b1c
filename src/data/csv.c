/* SPDX-License-Identifier: MIT */
/* The CSV reader: one window on the file, and a scan that hops from one special byte to the next.
 *
 * Special bytes are the delimiter, the quote, CR and LF. Blocks of 64 bytes are turned into a bit
 * mask of them, so the state machine runs once per special byte and not once per byte. A record
 * that does not end within the window is scanned again from its start once more of the file is
 * there; the window grows when a record fills it. Reading goes through read(2), not mmap(2): a file
 * that is cut short meanwhile is an error, not a SIGBUS. */
#include "data/csv.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "base/cleanup.h"
#include "data/csv_internal.h"

enum {
    WINDOW_DEFAULT = 256 * 1024,
    WINDOW_MAX = 32 * 1024 * 1024,
    BLOCK = 64,
    SNIFFED_RECORDS = 64,
};

struct ce_csv_reader {
    int fd;
    char *path;
    struct ce_sha256 *sha;
    char delimiter;

    char *window; /* `capacity` bytes and one block that is never looked at, only loaded */
    size_t capacity, begin, end; /* begin..end: read, and not yet handed out */
    uint64_t offset;             /* of window[0] in the file */
    uint64_t size_at_open;       /* 0 for what is no regular file */
    bool at_eof;
    size_t bom_size; /* at `begin`, until the header is read */

    size_t block;  /* position of the block that `bits` describes */
    uint64_t bits; /* its special bytes that the scan has not reached yet */
    bool stale;    /* the window has moved: `block` and `bits` are void */

    uint64_t line, row; /* of the next record */
    struct ce_csv_cell *cells;
    size_t cell_capacity;

    size_t head_size;
    char **names;
    size_t column_count;
};

CE_DEFINE_CLEANUP(struct ce_csv_reader, ce_csv_close);

void ce_csv_close(struct ce_csv_reader *reader)
{
    if (!reader)
        return;
    if (reader->fd >= 0)
        (void)close(reader->fd);
    for (size_t i = 0; i < reader->column_count; i++)
        free(reader->names[i]);
    free(reader->names);
    free(reader->cells);
    free(reader->window);
    free(reader->path);
    free(reader);
}

/* ---- special bytes ---- */

#ifdef __SSE2__
static uint64_t special_bytes(const char *p, char delimiter)
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
static uint64_t special_bytes(const char *p, char delimiter)
{
    uint64_t bits = 0;
    for (int i = 0; i < BLOCK; i++)
        bits |= (uint64_t)(p[i] == delimiter || p[i] == '"' || p[i] == '\r' || p[i] == '\n') << i;
    return bits;
}
#endif

static void scan_block(struct ce_csv_reader *r, size_t block)
{
    r->block = block;
    r->bits = special_bytes(r->window + block, r->delimiter);
    if (r->end - block < BLOCK)
        r->bits &= (UINT64_C(1) << (r->end - block)) - 1;
}

/* The next special byte that was not yet handed out, or the end of the window's bytes. */
static inline const char *next_special(struct ce_csv_reader *r)
{
    while (r->bits == 0) {
        if (r->end - r->block <= BLOCK)
            return r->window + r->end;
        scan_block(r, r->block + BLOCK);
    }
    const char *p = r->window + r->block + __builtin_ctzll(r->bits);
    r->bits &= r->bits - 1;
    return p;
}

/* ---- records ---- */

enum scan {
    SCAN_RECORD,
    SCAN_END,
    SCAN_MORE, /* the window ends before the record does */
    SCAN_UNCLOSED,
    SCAN_NO_MEMORY,
};

/* Where the line end at `p`, which next_special() has just given, is over; NULL when that is beyond
 * the window. */
static const char *after_line_end(struct ce_csv_reader *r, const char *p)
{
    const char *end = r->window + r->end;
    if (*p == '\n')
        return p + 1;
    if (p + 1 == end)
        return r->at_eof ? end : NULL;
    if (p[1] != '\n')
        return p + 1;
    (void)next_special(r);
    return p + 2;
}

/* Scans to the quote that closes the cell whose opening quote comes next, and counts the line ends
 * on the way. */
static enum scan scan_quoted(struct ce_csv_reader *r, uint64_t *line)
{
    const char *end = r->window + r->end;
    (void)next_special(r);
    for (;;) {
        const char *p = next_special(r);
        if (p == end)
            return r->at_eof ? SCAN_UNCLOSED : SCAN_MORE;
        if (*p == '\n' || (*p == '\r' && (p + 1 == end || p[1] != '\n')))
            ++*line;
        if (*p != '"')
            continue;
        if (p + 1 == end)
            return r->at_eof ? SCAN_RECORD : SCAN_MORE;
        if (p[1] != '"')
            return SCAN_RECORD;
        (void)next_special(r);
    }
}

static struct ce_csv_cell *cell_at(struct ce_csv_reader *r, size_t i)
{
    if (i < r->cell_capacity)
        return &r->cells[i];
    size_t capacity = r->cell_capacity ? 2 * r->cell_capacity : 64;
    struct ce_csv_cell *larger = realloc(r->cells, capacity * sizeof *larger);
    if (!larger)
        return NULL;
    r->cells = larger;
    r->cell_capacity = capacity;
    return &r->cells[i];
}

/* Scans the cells of the record that starts at `p`. *ret_next: the byte after its line end. Text
 * after a closing quote belongs to the cell; a quote that is not the cell's first byte opens
 * nothing. */
static enum scan scan_cells(struct ce_csv_reader *r, const char *p, size_t *ret_count,
                            uint64_t *line, const char **ret_next)
{
    const char *end = r->window + r->end;
    for (size_t count = 0;;) {
        struct ce_csv_cell *cell = cell_at(r, count);
        if (!cell)
            return SCAN_NO_MEMORY;
        *cell = (struct ce_csv_cell){.raw = p, .quoted = p < end && *p == '"'};
        if (cell->quoted) {
            uint64_t opened = *line;
            enum scan scan = scan_quoted(r, line);
            if (scan == SCAN_UNCLOSED)
                *line = opened;
            if (scan != SCAN_RECORD)
                return scan;
        }
        do
            p = next_special(r);
        while (p < end && *p == '"');
        if (p == end && !r->at_eof)
            return SCAN_MORE;
        cell->raw_size = (size_t)(p - cell->raw);
        count++;
        if (p < end && *p == r->delimiter) {
            p++;
            continue;
        }
        *ret_count = count;
        *ret_next = p == end ? end : after_line_end(r, p);
        *line += p < end;
        return *ret_next ? SCAN_RECORD : SCAN_MORE;
    }
}

/* Scans blank lines and one record, without taking them from the window. *ret_line: the line after
 * it, or, for SCAN_UNCLOSED, the line where the cell was opened. */
static enum scan scan_record(struct ce_csv_reader *r, size_t from, struct ce_csv_record *rec,
                             uint64_t *ret_line)
{
    if (r->stale)
        scan_block(r, from);
    r->stale = false;
    const char *p = r->window + from, *end = r->window + r->end;
    *ret_line = r->line;
    while (p < end && (*p == '\n' || *p == '\r')) {
        p = after_line_end(r, next_special(r));
        if (!p)
            return SCAN_MORE;
        ++*ret_line;
    }
    if (p == end && !r->at_eof)
        return SCAN_MORE;
    *rec = (struct ce_csv_record){
        .row = r->row,
        .line = *ret_line,
        .offset = r->offset + (size_t)(p - r->window),
        .before = r->window + r->begin,
        .before_size = (size_t)(p - r->window) - r->begin,
        .bytes = p,
    };
    if (p == end)
        return SCAN_END;
    const char *next = NULL;
    enum scan scan = scan_cells(r, p, &rec->cell_count, ret_line, &next);
    if (scan == SCAN_RECORD) {
        rec->cells = r->cells;
        rec->size = (size_t)(next - p);
    }
    return scan;
}

/* ---- the window ---- */

static int fail_here(const struct ce_csv_reader *r, uint64_t line, int code, const char *message,
                     struct ce_error *err)
{
    char where[sizeof err->where];
    snprintf(where, sizeof where, "%.130s:%" PRIu64, r->path, line);
    return ce_fail_at(err, where, code, "%s", message);
}

static int window_make_room(struct ce_csv_reader *r, struct ce_error *err)
{
    size_t kept = r->end - r->begin;
    memmove(r->window, r->window + r->begin, kept);
    r->offset += r->begin;
    r->begin = 0;
    r->end = kept;
    if (kept < r->capacity)
        return 0;
    if (r->capacity >= WINDOW_MAX)
        return fail_here(r, r->line, EFBIG,
                         "a row is longer than 32 MiB: is a quoted cell not closed?", err);
    char *larger = realloc(r->window, 2 * r->capacity + BLOCK);
    if (!larger)
        return ce_fail_memory(err);
    r->window = larger;
    r->capacity *= 2;
    return 0;
}

/* Fills the window up. */
static int window_fill(struct ce_csv_reader *r, struct ce_error *err)
{
    CE_TRY(window_make_room(r, err));
    r->stale = true;
    while (r->end < r->capacity) {
        ssize_t n = read(r->fd, r->window + r->end, r->capacity - r->end);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return ce_fail(err, errno, "cannot read '%s': %s", r->path, strerror(errno));
        if (n == 0) {
            r->at_eof = true;
            if (r->offset + r->end < r->size_at_open)
                return ce_fail(err, EIO,
                               "'%s' was cut short while it was read: %" PRIu64 " of %" PRIu64
                               " bytes",
                               r->path, r->offset + r->end, r->size_at_open);
            return 0;
        }
        if (r->sha)
            ce_sha256_add(r->sha, r->window + r->end, (size_t)n);
        r->end += (size_t)n;
    }
    return 0;
}

/* Finds and takes the next record. */
static int take_record(struct ce_csv_reader *r, struct ce_csv_record *ret_record,
                       struct ce_error *err)
{
    for (;;) {
        struct ce_csv_record record;
        uint64_t line;
        switch (scan_record(r, r->begin + r->bom_size, &record, &line)) {
        case SCAN_RECORD:
        case SCAN_END:
            r->begin = (size_t)(record.bytes + record.size - r->window);
            r->line = line;
            *ret_record = record;
            return record.cell_count > 0;
        case SCAN_MORE:
            CE_TRY(window_fill(r, err));
            break;
        case SCAN_UNCLOSED:
            return fail_here(r, line, EINVAL, "a quoted cell is not closed", err);
        default:
            return ce_fail_memory(err);
        }
    }
}

/* ---- opening ---- */

/* How well a delimiter suits the window's first records. */
struct fit {
    size_t columns;           /* 0: not even the header ends within the window */
    size_t records, agreeing; /* agreeing: with as many cells as the header, itself included */
};

static struct fit try_delimiter(struct ce_csv_reader *r, char delimiter)
{
    struct fit fit = {0};
    struct ce_csv_record record;
    uint64_t line;
    r->delimiter = delimiter;
    r->stale = true;
    for (size_t from = r->begin + r->bom_size; fit.records < SNIFFED_RECORDS;) {
        if (scan_record(r, from, &record, &line) != SCAN_RECORD)
            break;
        if (fit.columns == 0)
            fit.columns = record.cell_count;
        fit.records++;
        fit.agreeing += record.cell_count == fit.columns;
        from = (size_t)(record.bytes + record.size - r->window);
    }
    r->stale = true;
    return fit;
}

/* The delimiter that gives most rows the header's number of cells, then the most cells. It has to
 * divide the header, and at least half of the rows alike; if none does, it is the comma. */
static int sniff_delimiter(struct ce_csv_reader *r, struct ce_error *err)
{
    static const char candidates[] = {',', ';', '\t', '|'};
    for (;;) {
        struct fit best = {0};
        char chosen = candidates[0];
        bool complete = false;
        for (size_t i = 0; i < sizeof candidates; i++) {
            struct fit fit = try_delimiter(r, candidates[i]);
            size_t mine = fit.agreeing * best.records, others = best.agreeing * fit.records;
            complete = complete || fit.columns > 0;
            if (fit.columns < 2 || 2 * fit.agreeing < fit.records)
                continue;
            if (best.columns == 0 || mine > others ||
                (mine == others && fit.columns > best.columns)) {
                chosen = candidates[i];
                best = fit;
            }
        }
        r->delimiter = chosen;
        if (complete || r->at_eof)
            return 0;
        CE_TRY(window_fill(r, err));
    }
}

static int check_encoding(struct ce_csv_reader *r, struct ce_error *err)
{
    const char *p = r->window;
    if (r->end >= 2 && (memcmp(p, "\xff\xfe", 2) == 0 || memcmp(p, "\xfe\xff", 2) == 0))
        return fail_here(r, 1, EINVAL,
                         "this is UTF-16; only UTF-8 and other single-byte text can be read", err);
    if (r->end >= 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0)
        r->bom_size = 3;
    return 0;
}

static int read_header(struct ce_csv_reader *r, struct ce_error *err)
{
    struct ce_csv_record header = {0};
    int got = take_record(r, &header, err);
    if (got < 0)
        return got;
    if (got == 0)
        return ce_fail(err, EINVAL, "'%s' is empty: the first line must name the columns", r->path);
    if (memchr(header.bytes, '\0', header.size))
        return fail_here(r, header.line, EINVAL,
                         "a NUL byte in the header: this is UTF-16 or no text at all", err);
    r->head_size = header.before_size + header.size;
    r->bom_size = 0;
    r->names = calloc(header.cell_count, sizeof *r->names);
    if (!r->names)
        return ce_fail_memory(err);
    for (size_t i = 0; i < header.cell_count; i++) {
        size_t size = ce_csv_value(&header.cells[i], NULL, 0) + 1;
        r->names[i] = malloc(size);
        if (!r->names[i])
            return ce_fail_memory(err);
        r->column_count++;
        (void)ce_csv_value(&header.cells[i], r->names[i], size);
    }
    return 0;
}

int ce_csv_open_window(const char *path, size_t window, struct ce_sha256 *sha,
                       struct ce_csv_reader **ret_reader, struct ce_error *err)
{
    CE_CLEANUP(ce_csv_close_p) struct ce_csv_reader *r = calloc(1, sizeof *r);
    if (!r)
        return ce_fail_memory(err);
    r->fd = -1;
    r->sha = sha;
    r->line = 1;
    r->stale = true;
    r->capacity = window == 0 ? WINDOW_DEFAULT : window < BLOCK ? BLOCK : window;
    r->window = malloc(r->capacity + BLOCK);
    r->path = strdup(path);
    if (!r->window || !r->path)
        return ce_fail_memory(err);

    r->fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (r->fd < 0 || fstat(r->fd, &st) < 0)
        return ce_fail(err, errno, "cannot open '%s': %s", path, strerror(errno));
    r->size_at_open = S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
    CE_TRY(window_fill(r, err));
    CE_TRY(check_encoding(r, err));
    CE_TRY(sniff_delimiter(r, err));
    CE_TRY(read_header(r, err));
    *ret_reader = ce_take(r);
    return 0;
}

int ce_csv_open(const char *path, struct ce_csv_reader **ret_reader, struct ce_error *err)
{
    return ce_csv_open_window(path, 0, NULL, ret_reader, err);
}

/* ---- what callers ask ---- */

size_t ce_csv_column_count(const struct ce_csv_reader *reader)
{
    return reader->column_count;
}

const char *ce_csv_column_name(const struct ce_csv_reader *reader, size_t column)
{
    return column < reader->column_count ? reader->names[column] : NULL;
}

int ce_csv_column(const struct ce_csv_reader *reader, const char *name)
{
    for (size_t i = 0; i < reader->column_count; i++)
        if (strcmp(reader->names[i], name) == 0)
            return (int)i;
    return -1;
}

const char *ce_csv_head(const struct ce_csv_reader *reader, size_t *ret_size)
{
    *ret_size = reader->head_size;
    return reader->window;
}

int ce_csv_next(struct ce_csv_reader *reader, struct ce_csv_record *ret_record,
                struct ce_error *err)
{
    int got = take_record(reader, ret_record, err);
    if (got > 0)
        reader->row++;
    return got;
}
