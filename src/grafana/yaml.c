/* SPDX-License-Identifier: MIT */
/* JSON as YAML, in blocks. Texts stay in the quotes of JSON, which YAML reads the same way, so that
 * none of them is taken for something else. */
#include <stdlib.h>

#include "base/cleanup.h"
#include "grafana/grafana.h"

static void write_value(const json_t *json, int indent, FILE *out);

static void write_scalar(const json_t *json, FILE *out)
{
    (void)json_dumpf(json, out, JSON_ENCODE_ANY);
    fputc('\n', out);
}

/* What stands behind "key:". */
static void write_member(const json_t *json, int indent, FILE *out)
{
    bool empty = json_object_size(json) + json_array_size(json) == 0;
    if (empty || (!json_is_object(json) && !json_is_array(json))) {
        fputc(' ', out);
        write_scalar(json, out);
        return;
    }
    fprintf(out, "\n%*s", indent + 2, "");
    write_value(json, indent + 2, out);
}

/* The first line is indented already. */
static void write_value(const json_t *json, int indent, FILE *out)
{
    const char *key, *between = "";
    json_t *value;
    size_t i;
    if (json_is_object(json) && json_object_size(json) > 0) {
        json_object_foreach((json_t *)json, key, value)
        {
            fprintf(out, "%*s%s:", between[0] ? indent : 0, "", key);
            write_member(value, indent, out);
            between = "\n";
        }
    } else if (json_is_array(json) && json_array_size(json) > 0) {
        json_array_foreach(json, i, value)
        {
            fprintf(out, "%*s- ", i > 0 ? indent : 0, "");
            write_value(value, indent + 2, out);
        }
    } else {
        write_scalar(json, out);
    }
}

char *ce_grafana_yaml(const json_t *json)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return NULL;
    write_value(json, 0, out);
    bool failed = ferror(out);
    if (fclose(out) != 0 || failed)
        free(ce_take(text));
    return text;
}
