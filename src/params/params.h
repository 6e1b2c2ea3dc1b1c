/* SPDX-License-Identifier: MIT */
/* Typed parameter tables: say it once.
 *
 * One row says a parameter's name, type, range, unit, default and sentence of documentation.
 * Validation, `--set`, `explain`, the JSON Schema and the stored values of a run are all made from
 * that row. Defaults are text and go through the same parser as what a user types, so the
 * documented default is the real one. The same tables describe the keys of an experiment and of a
 * pipeline. */
#ifndef CE_PARAMS_PARAMS_H
#define CE_PARAMS_PARAMS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"
#include "base/text.h"

enum ce_param_type {
    CE_PARAM_END = 0,
    CE_PARAM_RATE,     /* double in 0..1 */
    CE_PARAM_NUMBER,   /* double; `unit` says of what */
    CE_PARAM_INTEGER,  /* int64_t */
    CE_PARAM_BOOL,     /* bool: true or false */
    CE_PARAM_DURATION, /* int64_t nanoseconds: "250ms"; min and max are in nanoseconds */
    CE_PARAM_SECONDS,  /* the same, but a bare number counts as seconds (`duration: 60`) */
    CE_PARAM_CHOICE,   /* int: the value of one of `choices` */
    CE_PARAM_TEXT,     /* char *, owned; NULL when the default is "" and nothing was set */
    CE_PARAM_NAMES,    /* struct ce_names, owned: a list, or one name */
};

struct ce_choice {
    const char *name; /* NULL ends the list */
    int value;
    const char *doc;
    bool later; /* a word of a later version: refused by name, shown nowhere */
};

struct ce_param {
    const char *name;
    enum ce_param_type type;
    size_t offset;    /* of the field in the fault's parameter struct */
    double min, max;  /* inclusive; both 0: no bounds (rates are always 0..1) */
    const char *def;  /* NULL: required. "": optional without a value (TEXT, NAMES, INTEGER) */
    const char *unit; /* "ms", "MiB", ...; NULL when the type says it */
    const struct ce_choice *choices;
    const char *doc; /* one sentence */
};

/* Rows. The field's type must be the one that the parser will store, or the build fails. */
#define CE_PARAM_FIELD_(s, field, type)                                                            \
    (offsetof(s, field) +                                                                          \
     0 * sizeof(char[__builtin_types_compatible_p(__typeof__(((s *)0)->field), type) ? 1 : -1]))
#define CE_RATE(s, field, ...)                                                                     \
    {                                                                                              \
        .name = #field, .type = CE_PARAM_RATE, .offset = CE_PARAM_FIELD_(s, field, double),        \
        .min = 0, .max = 1, __VA_ARGS__                                                            \
    }
#define CE_NUMBER(s, field, ...)                                                                   \
    {                                                                                              \
        .name = #field, .type = CE_PARAM_NUMBER, .offset = CE_PARAM_FIELD_(s, field, double),      \
        __VA_ARGS__                                                                                \
    }
#define CE_INTEGER(s, field, ...)                                                                  \
    {                                                                                              \
        .name = #field, .type = CE_PARAM_INTEGER, .offset = CE_PARAM_FIELD_(s, field, int64_t),    \
        __VA_ARGS__                                                                                \
    }
#define CE_BOOL(s, field, ...)                                                                     \
    {                                                                                              \
        .name = #field, .type = CE_PARAM_BOOL, .offset = CE_PARAM_FIELD_(s, field, bool),          \
        __VA_ARGS__                                                                                \
    }
#define CE_DURATION(s, field, ...)                                                                 \
    {                                                                                              \
        .name = #field, .type = CE_PARAM_DURATION, .offset = CE_PARAM_FIELD_(s, field, int64_t),   \
        __VA_ARGS__                                                                                \
    }
#define CE_SECONDS(s, field, ...)                                                                  \
    {                                                                                              \
        .name = #field, .type = CE_PARAM_SECONDS, .offset = CE_PARAM_FIELD_(s, field, int64_t),    \
        __VA_ARGS__                                                                                \
    }
#define CE_CHOICE(s, field, ...)                                                                   \
    {                                                                                              \
        .name = #field, .type = CE_PARAM_CHOICE, .offset = CE_PARAM_FIELD_(s, field, int),         \
        __VA_ARGS__                                                                                \
    }
#define CE_TEXT(s, field, ...)                                                                     \
    {                                                                                              \
        .name = #field, .type = CE_PARAM_TEXT, .offset = CE_PARAM_FIELD_(s, field, char *),        \
        __VA_ARGS__                                                                                \
    }
#define CE_NAMES(s, field, ...)                                                                    \
    {                                                                                              \
        .name = #field, .type = CE_PARAM_NAMES,                                                    \
        .offset = CE_PARAM_FIELD_(s, field, struct ce_names), __VA_ARGS__                          \
    }
#define CE_END_PARAMS                                                                              \
    {                                                                                              \
        .name = NULL                                                                               \
    }

/* Fills a zeroed struct with the defaults. Required fields stay zero. Ended by ce_params_done(). */
int ce_params_init(const struct ce_param *table, void *obj, struct ce_error *err);
/* Frees what the fields own and zeroes them; a zeroed struct is fine. */
void ce_params_done(const struct ce_param *table, void *obj);

/* NULL when there is none. */
const struct ce_param *ce_param_find(const struct ce_param *table, const char *name);
/* The name that was probably meant; NULL when none is near. */
const char *ce_param_nearest(const struct ce_param *table, const char *name);

/* Parses, checks and stores one value; a refused one leaves the field alone. Errors are -EINVAL
 * (not of that type), -ERANGE or -ENOMEM, and the sentence starts with the parameter's name and
 * says what would be accepted: "corruption_rate: 1.5 is outside 0..1" "jitter: '250' needs a unit:
 * us, ms, s, m or h" "mode: 'eror' is not one of error, reset, hang (did you mean 'error'?)" */
int ce_param_set(const struct ce_param *param, void *obj, const char *text, struct ce_error *err);
/* The same for a list (NAMES only; other types refuse it). */
int ce_param_set_list(const struct ce_param *param, void *obj, const char *const *items,
                      size_t count, struct ce_error *err);

/* What it accepts, as one phrase: "a number in 0..1", "a duration such as 250ms, 3s or 2m
 * (1ms..24h)". */
#define CE_PARAM_ACCEPTS_SIZE 320
void ce_param_accepts(const struct ce_param *param, char *text, size_t size);

/* {name: value}: the resolved values, defaults included; durations in seconds. */
json_t *ce_params_values(const struct ce_param *table, const void *obj);
/* [{"name", "type", "default", "min", "max", "unit", "choices", "doc", "required"}]: absent facts
 * are null. */
json_t *ce_params_describe(const struct ce_param *table);
/* {"type": "object", "properties": {...}, "required": [...], "additionalProperties": false} (JSON
 * Schema 2020-12). */
json_t *ce_params_schema(const struct ce_param *table);
/* A line of 100 columns at most; what does not fit goes on in lines that are indented so far. */
void ce_params_print_wrapped(const char *text, int indent, FILE *out);
/* The table as people read it, 100 columns. */
void ce_params_print(const struct ce_param *table, FILE *out);

#endif
