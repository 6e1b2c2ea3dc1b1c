/* SPDX-License-Identifier: MIT */
/* The tables for people, 100 columns wide: what `explain` prints. */
#include "params/params.h"

#include <string.h>

#include "params/params_internal.h"

enum { WIDTH = 100, NAME_WIDTH_MAX = 24 };

/* Prints text in lines of WIDTH columns. `column` is where the cursor is; later lines begin at
 * `indent`. */
static void print_wrapped(const char *text, int column, int indent, FILE *out)
{
    bool first = true;
    while (*text != '\0') {
        int word = (int)strcspn(text, " ");
        if (!first && column + 1 + word > WIDTH) {
            fprintf(out, "\n%*s", indent, "");
            column = indent;
        } else if (!first) {
            fputc(' ', out);
            column++;
        }
        fprintf(out, "%.*s", word, text);
        column += word;
        text += word;
        text += strspn(text, " ");
        first = false;
    }
    fputc('\n', out);
}

void ce_params_print_wrapped(const char *text, int indent, FILE *out)
{
    print_wrapped(text, 0, indent, out);
}

static void print_choices(const struct ce_param *param, int indent, FILE *out)
{
    for (const struct ce_choice *choice = param->choices; choice && choice->name; choice++) {
        if (choice->later || !choice->doc)
            continue;
        int n = fprintf(out, "%*s%s: ", indent + 2, "", choice->name);
        print_wrapped(choice->doc, n, indent + 4, out);
    }
}

static void print_row(const struct ce_param *param, int name_width, FILE *out)
{
    char accepts[CE_PARAM_ACCEPTS_SIZE], facts[512];
    int indent = name_width + 4;
    ce_param_accepts(param, accepts, sizeof accepts);
    if (!param->def)
        snprintf(facts, sizeof facts, "%s; required", accepts);
    else if (param->def[0] == '\0')
        snprintf(facts, sizeof facts, "%s; optional", accepts);
    else
        snprintf(facts, sizeof facts, "%s; default %s", accepts, param->def);

    int n = fprintf(out, "  %-*s  ", name_width, param->name);
    print_wrapped(facts, n, indent, out);
    fprintf(out, "%*s", indent, "");
    print_wrapped(param->doc, indent, indent, out);
    print_choices(param, indent, out);
}

void ce_params_print(const struct ce_param *table, FILE *out)
{
    int name_width = 0;
    for (const struct ce_param *param = table; param->name; param++) {
        int n = (int)strlen(param->name);
        if (n > name_width && n <= NAME_WIDTH_MAX)
            name_width = n;
    }
    if (!table->name)
        fprintf(out, "  none\n");
    for (const struct ce_param *param = table; param->name; param++)
        print_row(param, name_width, out);
}
