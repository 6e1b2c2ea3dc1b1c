/* SPDX-License-Identifier: MIT */
/* Locators: where in a JSON message the predictions are, as the user says it.
 *
 *     $                   the message itself
 *     $.a.b               a member of a member; $["a"]['b'] when the name has odd characters
 *     $.a[0]              an element, counted from 0
 *     $.a[*].b            of every element: each is a row
 *
 * Names are compared as they are spelled in the message. */
#ifndef CE_INFERENCE_JSON_PATH_H
#define CE_INFERENCE_JSON_PATH_H

#include "inference/json_spans.h"

#define CE_LOCATOR_STEPS_MAX 32

enum ce_locator_kind {
    CE_LOCATOR_MEMBER = 0,
    CE_LOCATOR_ELEMENT,
    CE_LOCATOR_EVERY,
};

struct ce_locator_step {
    enum ce_locator_kind kind;
    struct ce_slice name; /* into the locator's text */
    size_t index;
};

struct ce_locator {
    struct ce_locator_step steps[CE_LOCATOR_STEPS_MAX];
    size_t count;
};
/* 0, or -EINVAL: the error says at which character. */
int ce_locator_parse(const char *text, struct ce_locator *ret, struct ce_error *err);
/* The first [*]; `count` when there is none. */
size_t ce_locator_every(const struct ce_locator *locator);
/* The last name that it holds; empty: none. */
struct ce_slice ce_locator_name(const struct ce_locator *locator);

typedef int ce_match_fn(void *ctx, uint32_t value, struct ce_error *err);
/* Calls `match` for every value that the first `count` steps lead to, in the order of the message.
 * 0; -EINVAL: a member on the way is there twice; or what `match` returned, when negative. */
int ce_locator_find(const struct ce_locator *locator, size_t count, const struct ce_spans *spans,
                    ce_match_fn *match, void *ctx, struct ce_error *err);

#endif
