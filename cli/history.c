/* SPDX-License-Identifier: MIT */
/* What the commands of the history share: opening it, which runs are meant, and cells of tables. */
#include "cli.h"

#include <errno.h>
#include <string.h>

void cli_history_options(struct ce_suite_options *options, const struct cli_args *args)
{
    options->no_history = args->db && strcmp(args->db, "none") == 0;
    options->db = options->no_history ? NULL : args->db;
}

int cli_history_exit(int r)
{
    bool bad_input = r == -EINVAL || r == -ENOENT || r == -EBADMSG || r == -ENOTSUP ||
                     r == -EISDIR || r == -EFBIG;
    return bad_input ? CE_EXIT_USAGE : r < 0 ? CE_EXIT_FAILED : CE_EXIT_PASSED;
}

int cli_history_open(const struct cli_args *args, bool write, struct ce_history **ret_history,
                     struct ce_error *err)
{
    return cli_history_exit(ce_history_open(args->db, args->state_dir, write, ret_history, err));
}

struct ce_history_filter cli_history_filter(const struct cli_args *args)
{
    return (struct ce_history_filter){
        .layer = args->layer,
        .fault = args->fault,
        .status = args->status,
        .verdict = args->verdict,
        .profile = args->profile,
        .tag = args->tag,
        .name = args->name,
        .has_min_score = args->score_low >= 0,
        .has_max_score = args->score_high >= 0,
        .min_score = args->score_low,
        .max_score = args->score_high,
        .since = args->since,
        .until = args->until,
    };
}

/* Characters, not bytes: those that begin one. */
void cli_print_cell(FILE *out, const char *text, int width)
{
    int shown = 0;
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        bool begins = (c & 0xc0) != 0x80;
        if (begins && width > 0 && shown == width)
            break;
        shown += begins;
        /* Neither C0 controls nor those of C1, which begin with 0xc2. */
        bool control = c < 0x20 || c == 0x7f || (c == 0xc2 && (unsigned char)text[1] < 0xa0);
        if (c == 0xc2 && control)
            text++;
        (void)putc(control ? '?' : c, out);
    }
    if (width > 0)
        fprintf(out, "%*s", width - shown, "");
}

void cli_print_number(const json_t *value, int width, const char *format)
{
    char text[64] = "-";
    if (json_is_number(value))
        snprintf(text, sizeof text, format, json_number_value(value));
    printf(" %*s", width, text);
}
