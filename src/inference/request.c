/* SPDX-License-Identifier: MIT */
/* Writing requests about rows of a dataset, in a protocol's own shape or by the user's template.
 *
 * A template is JSON with {{column}} in it. Outside of quotes the cell is written as a JSON value;
 * within quotes its text, escaped. It is checked once with stand-ins for the values that take just
 * as much room, so that a problem has its place in the template. */
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "inference/json_spans.h"
#include "inference/protocol.h"
#include "inference/types.h"

/* ---- JSON ---- */

void ce_write_escaped(FILE *file, struct ce_slice text)
{
    char buffer[8];
    for (size_t i = 0; i < text.size; i++) {
        const char *escape = ce_json_escape(text.data[i], buffer);
        if (escape)
            fputs(escape, file);
        else
            putc(text.data[i], file);
    }
}

void ce_write_quoted(FILE *file, const char *text)
{
    putc('"', file);
    ce_write_escaped(file, ce_slice_of(text));
    putc('"', file);
}

void ce_write_error(FILE *file, int status, const char *sentence)
{
    (void)status;
    fputs("{\"error\":", file);
    ce_write_quoted(file, sentence);
    putc('}', file);
}

bool ce_json_spells_number(const char *text)
{
    const char *p = text + (*text == '-');
    size_t digits = strspn(p, "0123456789");
    if (digits == 0 || (digits > 1 && *p == '0'))
        return false;
    p += digits;
    if (*p == '.') {
        digits = strspn(++p, "0123456789");
        p += digits;
    }
    if (digits > 0 && (*p == 'e' || *p == 'E')) {
        p += 1 + (p[1] == '+' || p[1] == '-');
        digits = strspn(p, "0123456789");
        p += digits;
    }
    return digits > 0 && *p == '\0';
}

static int write_number(FILE *file, const struct ce_feature *feature, const char *cell,
                        struct ce_error *err)
{
    const struct ce_value any = {.text = {"0", 1}, .form = CE_VALUE_JSON};
    struct ce_edit edit;
    char shown[CE_TEXT_SHOWN_SIZE];
    double number;
    if (ce_json_spells_number(cell)) {
        fputs(cell, file);
        return 0;
    }
    if (ce_text_number(cell, &number) < 0 || ce_edit_number(&edit, &any, number, -1) < 0) {
        ce_text_show(cell, shown);
        return ce_fail(err, EINVAL, "column '%s' holds numbers, but '%s' is none", feature->name,
                       shown);
    }
    fwrite(edit.text, 1, edit.size, file);
    return 0;
}

int ce_write_cell(FILE *file, const struct ce_feature *feature, const char *cell,
                  struct ce_error *err)
{
    if (!cell)
        fputs("null", file);
    else if (feature->is_number)
        return write_number(file, feature, cell, err);
    else
        ce_write_quoted(file, cell);
    return 0;
}

int ce_write_array(FILE *file, const struct ce_request_plan *plan, const char *const *cells,
                   struct ce_error *err)
{
    putc('[', file);
    for (size_t i = 0; i < plan->feature_count; i++) {
        fputs(i > 0 ? "," : "", file);
        CE_TRY(ce_write_cell(file, &plan->features[i], cells[i], err));
    }
    putc(']', file);
    return 0;
}

int ce_write_object(FILE *file, const struct ce_request_plan *plan, const char *const *cells,
                    struct ce_error *err)
{
    putc('{', file);
    for (size_t i = 0; i < plan->feature_count; i++) {
        fputs(i > 0 ? "," : "", file);
        ce_write_quoted(file, plan->features[i].name);
        putc(':', file);
        CE_TRY(ce_write_cell(file, &plan->features[i], cells[i], err));
    }
    putc('}', file);
    return 0;
}

/* ---- templates ---- */

static int fail_template(struct ce_error *err, const char *template, const char *at,
                         const char *problem)
{
    char where[64];
    int line = 1, column = 1;
    for (const char *p = template; p < at; p++) {
        column = *p == '\n' ? 1 : column + 1;
        line += *p == '\n';
    }
    snprintf(where, sizeof where, "template:%d:%d", line, column);
    return ce_fail_at(err, where, EINVAL, "%s", problem);
}

/* What stands between {{ and }}, without blanks around it. */
static struct ce_slice trim(const char *from, const char *end)
{
    while (from < end && *from == ' ')
        from++;
    while (end > from && end[-1] == ' ')
        end--;
    return (struct ce_slice){from, (size_t)(end - from)};
}

/* Which feature is meant at `at`, and where the placeholder ends. */
static int read_placeholder(const struct ce_request_plan *plan, const char *at, size_t *ret_feature,
                            const char **ret_end, struct ce_error *err)
{
    const char *end = strstr(at, "}}");
    char problem[160];
    if (!end)
        return fail_template(err, plan->template, at, "'{{' without '}}'");
    struct ce_slice name = trim(at + 2, end);
    for (size_t i = 0; i < plan->feature_count; i++) {
        if (!ce_slice_is(name, plan->features[i].name))
            continue;
        *ret_feature = i;
        *ret_end = end + 2;
        return 0;
    }
    snprintf(problem, sizeof problem, "the dataset has no feature column '%.*s'",
             (int)(name.size < 80 ? name.size : 80), name.data);
    return fail_template(err, plan->template, at, problem);
}

/* As long as the placeholder. "-0" does not become a number with digits next to it. */
static void write_stand_in(FILE *file, bool is_number, bool quoted, size_t size)
{
    if (!quoted)
        fputs(is_number ? "-0" : "\"\"", file);
    for (size_t i = quoted ? 0 : 2; i < size; i++)
        putc(quoted ? 'x' : ' ', file);
}

static int write_filled(FILE *file, const struct ce_feature *feature, const char *cell, bool quoted,
                        struct ce_error *err)
{
    if (!quoted)
        return ce_write_cell(file, feature, cell, err);
    if (cell)
        ce_write_escaped(file, ce_slice_of(cell));
    return 0;
}

/* cells NULL: with stand-ins. */
static int fill(FILE *file, const struct ce_request_plan *plan, const char *const *cells,
                struct ce_error *err)
{
    bool quoted = false;
    for (const char *at = plan->template; *at;) {
        if (at[0] == '{' && at[1] == '{') {
            size_t i = 0;
            const char *end = at;
            CE_TRY(read_placeholder(plan, at, &i, &end, err));
            if (cells)
                CE_TRY(write_filled(file, &plan->features[i], cells[i], quoted, err));
            else
                write_stand_in(file, plan->features[i].is_number, quoted, (size_t)(end - at));
            at = end;
            continue;
        }
        if (quoted && at[0] == '\\' && at[1])
            putc(*at++, file);
        else if (*at == '"')
            quoted = !quoted;
        putc(*at++, file);
    }
    return 0;
}

static int check_template(const struct ce_request_plan *plan, struct ce_error *err)
{
    ce_autofree char *text = NULL;
    size_t size = 0;
    struct ce_error why = {0};
    FILE *file = open_memstream(&text, &size);
    if (!file)
        return ce_fail_memory(err);
    int r = fill(file, plan, NULL, err);
    if (fclose(file) != 0 && r == 0)
        r = ce_fail_memory(err);
    if (r < 0)
        return r;
    CE_CLEANUP(ce_spans_done) struct ce_spans spans;
    r = ce_spans_scan(&spans, text, size, &why);
    if (r != -EINVAL)
        return r < 0 ? ce_fail_memory(err) : 0;
    const char *problem = strstr(why.message, ": ");
    return fail_template(err, plan->template, plan->template + spans.failed_at,
                         problem ? problem + 2 : why.message);
}

/* ---- requests ---- */

static int check_plan(const struct ce_request_plan *plan, struct ce_error *err)
{
    const struct ce_protocol *protocol = plan->protocol;
    if (protocol->needs_model && !plan->model[0])
        return ce_fail(err, EINVAL, "a request of protocol %s has to name a model", protocol->name);
    if (!protocol->needs_model && plan->version[0])
        return ce_fail(err, EINVAL, "protocol %s names no version, so '%s' cannot be asked for",
                       protocol->name, plan->version);
    if (plan->template && !protocol->is_json)
        return ce_fail(err, EINVAL, "protocol %s is no JSON, so it takes no template",
                       protocol->name);
    if (plan->template)
        return check_template(plan, err);
    return plan->feature_count > 0 ? 0 : ce_fail(err, EINVAL, "the dataset has no feature columns");
}

int ce_request_path(const struct ce_request_plan *plan, char **ret_path, struct ce_error *err)
{
    const struct ce_protocol *protocol = plan->protocol;
    char *text = NULL;
    size_t size;
    CE_TRY(check_plan(plan, err));
    FILE *file = open_memstream(&text, &size);
    if (!file)
        return ce_fail_memory(err);
    fputs(protocol->path, file);
    if (protocol->version_mark) {
        ce_path_write(file, ce_slice_of(plan->model));
        if (plan->version[0]) {
            fputs(protocol->version_mark, file);
            ce_path_write(file, ce_slice_of(plan->version));
        }
        fputs(protocol->verb, file);
    }
    char *path = ce_text_take(file, &text);
    if (!path)
        return ce_fail_memory(err);
    *ret_path = path;
    return 0;
}

int ce_request_body(const struct ce_request_plan *plan, const char *const *cells, char **ret_body,
                    size_t *ret_size, struct ce_error *err)
{
    char *text = NULL;
    size_t size;
    FILE *file = open_memstream(&text, &size);
    if (!file)
        return ce_fail_memory(err);
    int r = plan->template ? fill(file, plan, cells, err)
                           : plan->protocol->write_request(file, plan, cells, err);
    char *body = ce_text_take(file, &text);
    if (r < 0) {
        free(body);
        return r;
    }
    if (!body)
        return ce_fail_memory(err);
    *ret_body = body;
    *ret_size = size;
    return 0;
}
