/* SPDX-License-Identifier: MIT */
#include "faults/model/labels.h"

#include <stdatomic.h>

void ce_labels_init(struct ce_labels *labels, const struct ce_names *named, bool drawn)
{
    labels->named = named;
    labels->learns = drawn && named->count == 0;
    labels->lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
}

bool ce_edit_is_none(const struct ce_edit *edit, const struct ce_value *value)
{
    struct ce_value then = *value;
    then.text = (struct ce_slice){edit->text, edit->size};
    return ce_value_same(&then, value);
}

static uint64_t tensor_of(const struct ce_value *value)
{
    return ce_hash_name(value->tensor.data, value->tensor.size);
}

/* ---- learning ---- */

/* Entries never change once they are counted. */
static bool is_known(const struct ce_labels *labels, const struct ce_value *value, uint64_t tensor)
{
    size_t count = atomic_load(&labels->count);
    for (size_t i = 0; i < count; i++) {
        const struct ce_known_label *known = &labels->known[i];
        if (known->tensor == tensor && known->value.form == value->form &&
            ce_slice_same(known->value.text, value->text))
            return true;
    }
    return false;
}

static struct ce_slice kept(struct ce_slice slice, char *bytes)
{
    if (slice.size > 0)
        memcpy(bytes, slice.data, slice.size);
    return (struct ce_slice){bytes, slice.size};
}

static void add(struct ce_labels *labels, const struct ce_value *value, uint64_t tensor)
{
    size_t count = atomic_load(&labels->count);
    if (count == CE_LABELS_MAX)
        return;
    struct ce_known_label *known = &labels->known[count];
    known->tensor = tensor;
    known->value = *value;
    known->value.tensor = (struct ce_slice){known->type, 0};
    known->value.type = kept(value->type, known->type);
    known->value.text = kept(value->text, known->text);
    known->value.class_name = known->value.tensor;
    atomic_store(&labels->count, count + 1);
}

static void learn(struct ce_labels *labels, const struct ce_value *value, uint64_t tensor)
{
    if (value->text.size > sizeof labels->known->text ||
        value->type.size > sizeof labels->known->type || is_known(labels, value, tensor))
        return;
    pthread_mutex_lock(&labels->lock);
    if (!is_known(labels, value, tensor))
        add(labels, value, tensor);
    pthread_mutex_unlock(&labels->lock);
}

void ce_labels_learn(struct ce_labels *labels, const struct ce_values *values)
{
    uint64_t tensor = 0;
    if (!labels->learns || atomic_load(&labels->answers) >= CE_LABELS_ANSWERS)
        return;
    atomic_fetch_add(&labels->answers, 1);
    for (size_t i = 0; i < values->count; i++) {
        const struct ce_value *value = &values->values[i];
        if (i == 0 || !ce_slice_same(value->tensor, value[-1].tensor))
            tensor = tensor_of(value);
        if (ce_value_is_label(value))
            learn(labels, value, tensor);
    }
}

/* ---- drawing ---- */

struct draw {
    const struct ce_visit *visit;
    uint64_t unit;
    const struct ce_value *value;
    bool another, found;
    struct ce_edit best;
    uint64_t rank;
};

static void consider(struct draw *draw, const struct ce_edit *label)
{
    uint64_t words[2];
    if (draw->another && ce_edit_is_none(label, draw->value))
        return;
    ce_visit_random(draw->visit, draw->unit, ce_hash_name(label->text, label->size), words);
    if (draw->found && words[0] <= draw->rank)
        return;
    draw->found = true;
    draw->best = *label;
    draw->rank = words[0];
}

static void consider_named(struct draw *draw, const struct ce_names *named)
{
    struct ce_edit edit = draw->best;
    for (size_t i = 0; i < named->count; i++)
        if (ce_edit_text(&edit, draw->value, named->names[i]) == 0)
            consider(draw, &edit);
}

static void consider_known(struct draw *draw, const struct ce_labels *labels)
{
    struct ce_edit edit = draw->best;
    uint64_t tensor = tensor_of(draw->value);
    size_t count = atomic_load(&labels->count);
    for (size_t i = 0; i < count; i++)
        if (labels->known[i].tensor == tensor &&
            ce_edit_copy(&edit, draw->value, &labels->known[i].value) == 0)
            consider(draw, &edit);
}

/* Whatever has been seen, a number or a truth value has 0 and 1, or false and true, at its side. A
 * value that is one of the two is taken for binary: another than it has can only be the other. */
static void consider_binary(struct draw *draw, bool *ret_decided)
{
    struct ce_edit pair[2] = {draw->best, draw->best};
    double number;
    *ret_decided = false;
    if (!ce_value_number(draw->value, &number))
        return;
    for (int i = 0; i < 2; i++) {
        if (ce_edit_number(&pair[i], draw->value, i, -1) < 0)
            return;
        consider(draw, &pair[i]);
    }
    *ret_decided = draw->another && (number == 0 || number == 1);
}

const char *ce_labels_draw(const struct ce_labels *labels, const struct ce_visit *visit,
                           uint64_t unit, const struct ce_value *value, bool another,
                           struct ce_edit *ret_edit)
{
    struct draw draw = {.visit = visit, .unit = unit, .value = value, .another = another};
    bool decided = false;
    draw.best.value = ret_edit->value;
    if (labels->named->count > 0)
        consider_named(&draw, labels->named);
    else
        consider_binary(&draw, &decided);
    if (labels->named->count == 0 && !decided)
        consider_known(&draw, labels);
    if (!draw.found || ce_edit_is_none(&draw.best, value))
        return "no change";
    *ret_edit = draw.best;
    return NULL;
}
