/* SPDX-License-Identifier: MIT */
#include "orchestrator/agenda.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "orchestrator/claims.h"

static int add(struct ce_agenda *agenda, size_t index, int profile, int repeat,
               struct ce_error *err)
{
    struct ce_item *items = realloc(agenda->items, (agenda->count + 1) * sizeof *items);
    if (!items)
        return ce_fail_memory(err);
    agenda->items = items;
    items[agenda->count++] = (struct ce_item){
        .experiment = ce_document_experiment(agenda->doc, index),
        .index = index,
        .profile = profile,
        .repeat = repeat,
    };
    return 0;
}

static int add_profile(struct ce_agenda *agenda, const size_t *order, int profile,
                       struct ce_error *err)
{
    for (size_t i = 0; i < ce_document_experiment_count(agenda->doc); i++) {
        const struct ce_experiment *x = ce_document_experiment(agenda->doc, order[i]);
        bool runs = !x->left_out && (!agenda->chosen || agenda->chosen[order[i]]);
        for (int64_t k = 1; runs && k <= x->repeat; k++)
            CE_TRY(add(agenda, order[i], profile, x->repeat > 1 ? (int)k : 0, err));
    }
    return 0;
}

int ce_agenda_make(const struct ce_document *doc, const bool *chosen, bool both_profiles,
                   uint64_t seed, struct ce_agenda *ret_agenda, struct ce_error *err)
{
    ce_autofree size_t *order = calloc(ce_document_experiment_count(doc), sizeof *order);
    if (!order)
        return ce_fail_memory(err);
    ce_document_order(doc, seed, order);
    struct ce_agenda agenda = {.doc = doc, .chosen = chosen};
    int profile = both_profiles ? CE_PROFILE_NAIVE : ce_document_pipeline(doc)->profile;
    int r = add_profile(&agenda, order, profile, err);
    if (r >= 0 && both_profiles)
        r = add_profile(&agenda, order, CE_PROFILE_HARDENED, err);
    if (r < 0)
        ce_agenda_done(&agenda);
    else
        *ret_agenda = agenda;
    return r;
}

void ce_agenda_done(struct ce_agenda *agenda)
{
    for (size_t i = 0; i < agenda->count; i++) {
        ce_names_done(&agenda->items[i].claims);
        if (agenda->items[i].state == CE_ITEM_ENDED)
            ce_record_done(&agenda->items[i].record);
    }
    free(agenda->items);
    *agenda = (struct ce_agenda){0};
}

static bool depends(const struct ce_agenda *agenda, const struct ce_item *later,
                    const struct ce_item *earlier)
{
    return later->profile == earlier->profile &&
           ce_document_depends(agenda->doc, later->index, earlier->index);
}

static bool is_held_up(const struct ce_agenda *agenda, const struct ce_item *item)
{
    for (const struct ce_item *other = agenda->items; other < agenda->items + agenda->count;
         other++) {
        if (other->state != CE_ITEM_ENDED && depends(agenda, item, other))
            return true;
        if (other->state == CE_ITEM_RUNNING && ce_claims_meet(&item->claims, &other->claims))
            return true;
    }
    return false;
}

struct ce_item *ce_agenda_next(const struct ce_agenda *agenda)
{
    for (struct ce_item *item = agenda->items; item < agenda->items + agenda->count; item++)
        if (item->state == CE_ITEM_WAITING && !is_held_up(agenda, item))
            return item;
    return NULL;
}

const struct ce_item *ce_agenda_unmet(const struct ce_agenda *agenda, const struct ce_item *item)
{
    for (const struct ce_item *other = agenda->items; other < agenda->items + agenda->count;
         other++)
        if (other->state == CE_ITEM_ENDED && depends(agenda, item, other) &&
            !(other->record.status == CE_STATUS_COMPLETED &&
              other->record.verdict == CE_VERDICT_PASSED))
            return other;
    return NULL;
}

void ce_agenda_begin(struct ce_agenda *agenda, struct ce_item *item)
{
    item->state = CE_ITEM_RUNNING;
    agenda->running++;
}

void ce_agenda_end(struct ce_agenda *agenda, struct ce_item *item, const struct ce_record *record)
{
    agenda->running -= item->state == CE_ITEM_RUNNING;
    agenda->ended++;
    item->state = CE_ITEM_ENDED;
    item->record = *record;
}
