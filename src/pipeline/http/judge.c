/* SPDX-License-Identifier: MIT */
#include "pipeline/http/judge.h"

#include <math.h>
#include <string.h>
#include <strings.h>

/* true and false are 1 and 0 where they meet numbers. */
static double number_of(const char *text, double number)
{
    if (!text || !isnan(number))
        return number;
    if (strcasecmp(text, "true") == 0)
        return 1;
    if (strcasecmp(text, "false") == 0)
        return 0;
    return ce_text_number(text, &number) == 0 ? number : NAN;
}

static bool same_class(const char *a, double a_number, const char *b, double b_number)
{
    return (a && b && strcmp(a, b) == 0) || number_of(a, a_number) == number_of(b, b_number);
}

/* Every label must be one of the classes that are named. */
static int check_labels(const struct ce_pipeline_spec *spec, const struct ce_labelled *labelled,
                        size_t row, struct ce_error *err)
{
    const struct ce_names *labels = &spec->labels;
    const char *label = labelled->rows[row].label;
    for (size_t i = 0; i < labels->count; i++)
        if (same_class(labels->names[i], NAN, label, labelled->rows[row].number))
            return 0;
    if (labels->count == 0)
        return 0;
    const char *near = ce_text_nearest(label, (const char *const *)labels->names, labels->count);
    return ce_fail(
        err, EINVAL, "labels: row %zu of '%.120s' has '%.40s', which is none of them%s%s%s",
        row + 1, spec->dataset, label, near ? "; is it '" : "", near ? near : "", near ? "'?" : "");
}

int ce_judge_init(struct ce_judge *judge, const struct ce_pipeline_spec *spec,
                  const struct ce_labelled *labelled, struct ce_error *err)
{
    *judge = (struct ce_judge){.spec = spec, .binary = true, .numbers = true};
    for (size_t i = 0; i < labelled->row_count; i++) {
        const struct ce_labelled_row *row = &labelled->rows[i];
        double number = number_of(row->label, row->number);
        judge->numbers = judge->numbers && !isnan(number);
        judge->binary = judge->binary && (number == 0 || number == 1);
        if (spec->task == CE_TASK_REGRESSION && isnan(row->number))
            return ce_fail(err, EINVAL,
                           "label: a regression needs numbers, and row %zu of '%.120s' has '%.40s'",
                           i + 1, spec->dataset, row->label);
        CE_TRY(check_labels(spec, labelled, i, err));
    }
    return 0;
}

/* ---- reading ---- */

int ce_judge_explain(const struct ce_judge *judge, const struct ce_reply *reply,
                     struct ce_prediction *ret_prediction, struct ce_error *err)
{
    struct ce_message message = {
        .protocol = judge->protocol,
        .content_type = reply->content_type,
        .json_length = reply->json_length,
        .body = reply->body,
        .size = reply->size,
        .locator = judge->spec->prediction,
    };
    return ce_message_prediction(&message, ret_prediction, err);
}

int ce_judge_read(const void *judge, const struct ce_reply *reply,
                  struct ce_prediction *ret_prediction)
{
    return ce_judge_explain(judge, reply, ret_prediction, NULL);
}

/* ---- comparing ---- */

static bool is_score(const struct ce_prediction *prediction)
{
    return !prediction->is_label && !isnan(prediction->number);
}

/* The class that the prediction stands for by `labels`; NULL: by itself. *ret_none: by nothing. */
static const char *named_class(const struct ce_judge *judge, const struct ce_prediction *prediction,
                               bool *ret_none)
{
    const struct ce_names *labels = &judge->spec->labels;
    double number = prediction->number;
    *ret_none = false;
    if (labels->count == 0 || isnan(number))
        return NULL;
    if (labels->count == 2 && is_score(prediction)) {
        *ret_none = !(number >= 0 && number <= 1);
        return labels->names[number >= judge->spec->threshold];
    }
    *ret_none = !(number >= 0 && number < (double)labels->count && floor(number) == number);
    return *ret_none ? NULL : labels->names[(size_t)number];
}

static bool is_right_class(const struct ce_judge *judge, const struct ce_prediction *prediction,
                           const struct ce_operation *operation)
{
    bool none;
    const char *class = named_class(judge, prediction, &none);
    if (none)
        return false;
    if (class)
        return same_class(class, NAN, operation->label_text, operation->label);
    if (!judge->binary || !is_score(prediction))
        return same_class(prediction->text, prediction->number, operation->label_text,
                          operation->label);
    if (!(prediction->number >= 0 && prediction->number <= 1))
        return false;
    return (prediction->number >= judge->spec->threshold) ==
           (number_of(operation->label_text, operation->label) == 1);
}

bool ce_judge_is_right(const void *ctx, const struct ce_prediction *prediction,
                       const struct ce_operation *operation)
{
    const struct ce_judge *judge = ctx;
    if (judge->spec->task == CE_TASK_CLASSIFICATION)
        return is_right_class(judge, prediction, operation);
    double y = operation->label;
    return fabs(prediction->number - y) <=
           judge->spec->tolerance * fmax(fabs(y), CE_REGRESSION_LEAST);
}

/* ---- whether they can be compared ---- */

int ce_judge_check(const struct ce_judge *judge, const struct ce_prediction *prediction,
                   const char *label, struct ce_error *err)
{
    const struct ce_pipeline_spec *spec = judge->spec;
    bool is_number = !isnan(number_of(prediction->text, prediction->number)), none;
    if (spec->task == CE_TASK_REGRESSION)
        return is_number ? 0
                         : ce_fail(err, EINVAL,
                                   "the server answers '%.40s', and a regression needs a number",
                                   prediction->text);
    if (spec->labels.count > 0) {
        (void)named_class(judge, prediction, &none);
        return none ? ce_fail(err, EINVAL,
                              "the server answers %.40s, which is the number of none of the %zu "
                              "classes of `labels`",
                              prediction->text, spec->labels.count)
                    : 0;
    }
    if (is_number && !judge->numbers)
        return ce_fail(err, EINVAL,
                       "the server answers with numbers such as %.40s, and the labels are texts "
                       "such as '%.40s': name the classes in the server's order by `labels`",
                       prediction->text, label);
    if (!is_number && judge->numbers)
        return ce_fail(err, EINVAL,
                       "the server answers with texts such as '%.40s', and the labels are numbers "
                       "such as %.40s",
                       prediction->text, label);
    if (is_score(prediction) && !judge->binary && floor(prediction->number) != prediction->number)
        return ce_fail(err, EINVAL,
                       "the server answers %.40s, which is no class of labels such as %.40s; is "
                       "the task a regression?",
                       prediction->text, label);
    return 0;
}
