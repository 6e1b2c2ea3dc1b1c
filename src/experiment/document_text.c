/* SPDX-License-Identifier: MIT */
/* A document as YAML again, with what --set put into it: what is kept of a run must be enough to
 * run it again. */
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/error.h"
#include "experiment/document.h"
#include "experiment/node.h"

static int keep(void *out, unsigned char *bytes, size_t size)
{
    return fwrite(bytes, 1, size, out) == size;
}

static bool emit(yaml_emitter_t *emitter, yaml_event_t *event, int made)
{
    return made && yaml_emitter_emit(emitter, event); /* which deletes the event in every case */
}

static bool put_text(yaml_emitter_t *emitter, const char *text, bool quoted)
{
    yaml_event_t event;
    yaml_scalar_style_t style = quoted ? YAML_DOUBLE_QUOTED_SCALAR_STYLE : YAML_PLAIN_SCALAR_STYLE;
    return emit(emitter, &event,
                yaml_scalar_event_initialize(&event, NULL, NULL, (const yaml_char_t *)text,
                                             (int)strlen(text), 1, 1, style));
}

static bool put_node(yaml_emitter_t *emitter, const struct ce_node *node)
{
    yaml_event_t event;
    bool map = node->kind == CE_NODE_MAP;
    if (node->kind == CE_NODE_SCALAR)
        return put_text(emitter, node->text ? node->text : "", node->quoted);
    int begun =
        map ? yaml_mapping_start_event_initialize(&event, NULL, NULL, 1, YAML_BLOCK_MAPPING_STYLE)
            : yaml_sequence_start_event_initialize(&event, NULL, NULL, 1,
                                                   YAML_BLOCK_SEQUENCE_STYLE);
    if (!emit(emitter, &event, begun))
        return false;
    for (size_t i = 0; i < node->count; i++)
        if ((map && !put_text(emitter, node->items[i]->key, false)) ||
            !put_node(emitter, node->items[i]))
            return false;
    return emit(emitter, &event,
                map ? yaml_mapping_end_event_initialize(&event)
                    : yaml_sequence_end_event_initialize(&event));
}

static bool put_document(yaml_emitter_t *emitter, const struct ce_node *root)
{
    yaml_event_t event;
    return emit(emitter, &event, yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING)) &&
           emit(emitter, &event,
                yaml_document_start_event_initialize(&event, NULL, NULL, NULL, 1)) &&
           put_node(emitter, root) &&
           emit(emitter, &event, yaml_document_end_event_initialize(&event, 1)) &&
           emit(emitter, &event, yaml_stream_end_event_initialize(&event));
}

char *ce_document_text(const struct ce_document *doc)
{
    char *text = NULL;
    size_t size;
    yaml_emitter_t emitter;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return NULL;
    bool done = yaml_emitter_initialize(&emitter);
    if (done) {
        yaml_emitter_set_output(&emitter, keep, out);
        yaml_emitter_set_unicode(&emitter, 1);
        yaml_emitter_set_width(&emitter, -1);
        done = put_document(&emitter, ce_document_root(doc));
        yaml_emitter_delete(&emitter);
    }
    done = fclose(out) == 0 && done;
    if (done)
        return text;
    free(text);
    return NULL;
}
