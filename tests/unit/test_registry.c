/* SPDX-License-Identifier: MIT */
/* Every fault keeps the promises of its descriptor, and so does the template for new ones. */
#include <ctype.h>
#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/json.h"
#include "check.h"
#include "experiment/document.h"

#include "skeleton.c"

/* The faults of the list, then the template. NULL past the last one. */
static const struct ce_fault *fault_at(size_t i)
{
    return i == ce_fault_count() ? &ce_fault_lost_rows : ce_fault_at(i);
}

#define FOR_EACH_FAULT(fault)                                                                      \
    const struct ce_fault *fault;                                                                  \
    for (size_t i_ = 0; (fault = fault_at(i_)); i_++)

/* Like CHECK, and says which fault and parameter. */
#define CHECK_OF(fault, param, condition)                                                          \
    do {                                                                                           \
        if (!(condition))                                                                          \
            printf("# %s %s\n", (fault)->name, (param));                                           \
        CHECK(condition);                                                                          \
    } while (0)

static bool is_lower_snake_case(const char *name)
{
    if (!islower((unsigned char)name[0]) || name[strlen(name) - 1] == '_' || strstr(name, "__"))
        return false;
    return name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_")] == '\0';
}

/* A capital at the start, a full stop at the end, something in between, on one line. */
static bool is_sentence(const char *text)
{
    size_t n = text ? strlen(text) : 0;
    return n > 10 && (isupper((unsigned char)text[0]) || isdigit((unsigned char)text[0])) &&
           text[n - 1] == '.' && !strchr(text, '\n') && !strstr(text, "  ");
}

static void descriptors_are_complete(void)
{
    FOR_EACH_FAULT(fault)
    {
        REQUIRE(fault->name && fault->summary && fault->params && fault->example);
        CHECK_OF(fault, "", is_lower_snake_case(fault->name));
        CHECK_OF(fault, "",
                 strlen(fault->summary) > 10 && isupper((unsigned char)fault->summary[0]));
        CHECK_OF(fault, "", fault->summary[strlen(fault->summary) - 1] != '.');
        CHECK_OF(fault, "", fault->layer >= 0 && fault->layer < CE_LAYER_COUNT_);
        CHECK_OF(fault, "", fault->inject && fault->verify && fault->revert);
        CHECK_OF(fault, "", fault->example[0] == '{' && !strchr(fault->example, '\n'));
    }
}

static void names_are_unique_and_found(void)
{
    for (size_t i = 0; i < ce_fault_count(); i++) {
        CHECK(ce_fault_find(ce_fault_at(i)->name) == ce_fault_at(i));
        CHECK_TEXT(ce_fault_name(ce_fault_at(i)), ce_fault_at(i)->name);
        CHECK_TEXT(ce_fault_layer(ce_fault_at(i)), ce_layer_name(ce_fault_at(i)->layer));
    }
    CHECK(!ce_fault_at(ce_fault_count()));
    CHECK(!ce_fault_find("volcano") && !ce_fault_nearest("volcano"));
    CHECK_TEXT(ce_fault_nearest("slow_inferense"), "slow_inference");
}

static void check_row(const struct ce_fault *fault, const struct ce_param *param)
{
    CHECK_OF(fault, param->name, is_lower_snake_case(param->name));
    CHECK_OF(fault, param->name, is_sentence(param->doc));
    CHECK_OF(fault, param->name, ce_param_find(fault->params, param->name) == param);
    CHECK_OF(fault, param->name, param->type > CE_PARAM_END && param->type <= CE_PARAM_NAMES);
    CHECK_OF(fault, param->name, param->offset < fault->params_size);
    CHECK_OF(fault, param->name,
             isfinite(param->min) && isfinite(param->max) && param->min <= param->max);
    CHECK_OF(fault, param->name, (param->type == CE_PARAM_CHOICE) == (param->choices != NULL));
    for (const struct ce_choice *choice = param->choices; choice && choice->name; choice++) {
        CHECK_OF(fault, choice->name, is_lower_snake_case(choice->name));
        CHECK_OF(fault, choice->name, choice->later || (choice->doc && choice->doc[0] != '\0'));
    }
    bool optional = param->def && param->def[0] == '\0';
    CHECK_OF(fault, param->name,
             !optional || param->type == CE_PARAM_TEXT || param->type == CE_PARAM_NAMES ||
                 param->type == CE_PARAM_INTEGER);
}

static void tables_end_and_every_row_is_documented(void)
{
    FOR_EACH_FAULT(fault)
    {
        size_t rows = 0;
        for (const struct ce_param *param = fault->params; param->name && rows < 64;
             param++, rows++)
            check_row(fault, param);
        CHECK_OF(fault, "", rows < 64);
    }
}

static void defaults_parse_and_pass_the_check(void)
{
    FOR_EACH_FAULT(fault)
    {
        struct ce_error err = {0};
        ce_autofree void *obj = calloc(1, fault->params_size + 1);
        bool required = false;
        REQUIRE(obj);
        REQUIRE_OK(ce_params_init(fault->params, obj, &err), err);
        for (const struct ce_param *param = fault->params; param->name; param++)
            required = required || !param->def;
        if (!required && fault->check)
            CHECK_OF(fault, err.message, fault->check(obj, &err) == 0);
        if (!required && fault->is_control)
            CHECK_OF(fault, "", !fault->is_control(obj));
        ce_params_done(fault->params, obj);
    }
}

static void examples_are_valid_documents(void)
{
    for (size_t i = 0; i < ce_fault_count(); i++) {
        const struct ce_fault *fault = ce_fault_at(i);
        struct ce_error err = {0};
        struct ce_document *doc = NULL;
        ce_autofree char *text =
            ce_format("experiments:\n"
                      "  - {name: example, layer: %s, fault_type: %s, parameters: %s}\n",
                      ce_fault_layer(fault), fault->name, fault->example);
        REQUIRE(text);
        REQUIRE_OK(ce_document_parse(text, strlen(text), fault->name, &doc, &err), err);
        int r = ce_document_validate(doc, &err);
        CHECK_OF(fault, err.message, r == 0);
        ce_document_free(doc);
    }
}

/* Whoever calls revert need not know how far inject came. */
static void reverting_what_was_never_injected_is_fine(void)
{
    FOR_EACH_FAULT(fault)
    {
        struct ce_error err = {0};
        struct ce_target target = {.name = "nothing", .run_folder = "/nonexistent"};
        ce_autofree void *params_of = calloc(1, fault->params_size + 1);
        ce_autofree void *state = calloc(1, fault->state_size + 1);
        REQUIRE(params_of && state);
        REQUIRE_OK(ce_params_init(fault->params, params_of, &err), err);
        struct ce_injection injection = {
            .fault = fault, .params = params_of, .state = state, .target = &target, .duration = 1};
        CHECK_OF(fault, err.message, fault->revert(&injection, &err) == 0);
        CHECK_OF(fault, err.message, fault->revert(&injection, &err) == 0);
        ce_params_done(fault->params, params_of);
    }
}

static void explain_and_json_name_every_parameter(void)
{
    ce_autofree char *all = ce_faults_json();
    struct ce_error err = {0};
    REQUIRE(all);
    ce_autojson json_t *list = ce_json_parse(all, strlen(all), "faults", &err);
    CHECK(json_array_size(list) == ce_fault_count());
    for (size_t i = 0; i < ce_fault_count(); i++) {
        const struct ce_fault *fault = ce_fault_at(i);
        char *text = NULL;
        size_t size = 0;
        FILE *out = open_memstream(&text, &size);
        REQUIRE(out);
        ce_fault_explain(fault, out);
        fclose(out);
        ce_autofree char *json = ce_fault_json(fault);
        for (const struct ce_param *param = fault->params; param->name; param++)
            CHECK_OF(fault, param->name,
                     json && strstr(text, param->name) && strstr(json, param->name));
        for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
            CHECK_OF(fault, line, strlen(line) <= 100);
        free(text);
    }
}

/* ---- the template at work ---- */

/* A pipeline as far as the template needs one: it "trains" by taking the dataset's hash. */
struct trainer {
    const char *dataset;
    char trained_on[CE_SHA256_HEX];
    int reloads;
};

static int trainer_reload(void *pipeline, struct ce_error *err)
{
    struct trainer *trainer = pipeline;
    trainer->reloads++;
    return ce_sha256_file(trainer->dataset, trainer->trained_on, err);
}

static int trainer_trained_on(void *pipeline, char ret_hex[65], struct ce_error *err)
{
    const struct trainer *trainer = pipeline;
    memcpy(ret_hex, trainer->trained_on, sizeof trainer->trained_on);
    return 0;
}

static const struct ce_undo_op *const undo_ops[] = {&ce_undo_restore_file, &ce_undo_remove_tree,
                                                    NULL};

/* A folder with a dataset of `rows` rows, a journal, a trainer, and the fault with its parameters.
 */
struct lab {
    char folder[64];
    char *dataset;
    struct trainer trainer;
    struct ce_target target;
    struct lost_rows params;
    struct state state;
    struct ce_injection injection;
};

static int lab_open(struct lab *lab, int rows, struct lost_rows parameters, struct ce_error *err)
{
    *lab = (struct lab){.folder = "/tmp/ce-registry-XXXXXX", .params = parameters};
    if (!mkdtemp(lab->folder) || !(lab->dataset = ce_format("%s/data.csv", lab->folder)))
        return ce_fail_memory(err);
    FILE *file = fopen(lab->dataset, "we");
    if (!file)
        return ce_fail(err, errno, "cannot write the dataset");
    fprintf(file, "age,note\n");
    for (int i = 1; i <= rows; i++)
        fprintf(file, "%d,\"two\nlines\"\n", i);
    fclose(file);
    lab->trainer.dataset = lab->dataset;
    lab->target = (struct ce_target){.name = "trainer",
                                     .run_folder = lab->folder,
                                     .dataset = lab->dataset,
                                     .pipeline = &lab->trainer,
                                     .reload = trainer_reload,
                                     .trained_on = trainer_trained_on};
    lab->injection = (struct ce_injection){.fault = &ce_fault_lost_rows,
                                           .params = &lab->params,
                                           .state = &lab->state,
                                           .target = &lab->target,
                                           .seed = 1,
                                           .duration = 1};
    CE_TRY(trainer_reload(&lab->trainer, err));
    return ce_journal_create(lab->folder, "registry", undo_ops, &lab->injection.journal, err);
}

static void lab_close(struct lab *lab)
{
    ce_journal_close(lab->injection.journal);
    CHECK(ce_tree_remove(lab->folder, NULL) == 0);
    free(lab->dataset);
}

static uint64_t rows_of(const char *path)
{
    struct span span = {0};
    return find_rows(path, 0, 0, &span, NULL) < 0 ? UINT64_MAX : span.rows;
}

static void the_template_does_what_its_comments_say(void)
{
    const struct ce_fault *fault = &ce_fault_lost_rows;
    struct lab lab;
    struct ce_error err = {0};
    struct ce_evidence evidence = {""};
    struct ce_fault_counts counts;
    char before[CE_SHA256_HEX], after[CE_SHA256_HEX];
    REQUIRE_OK(lab_open(&lab, 50, (struct lost_rows){11, 30}, &err), err);
    REQUIRE_OK(ce_sha256_file(lab.dataset, before, &err), err);

    REQUIRE_OK(fault->inject(&lab.injection, &err), err);
    CHECK(rows_of(lab.dataset) == 30 && ce_undo_live(lab.injection.journal) == 1);
    CHECK(fault->verify(&lab.injection, &evidence, &err) == 1);
    CHECK_TEXT(evidence.text,
               "the dataset has 30 rows, 50 before; the model in service was trained on it");
    REQUIRE_OK(fault->adjust(&lab.injection, 0.5, &err), err);
    CHECK(rows_of(lab.dataset) == 40);
    REQUIRE_OK(fault->adjust(&lab.injection, 1, &err), err);
    fault->count(&lab.injection, &counts);
    CHECK(counts.eligible == 50 && counts.selected == 20 && counts.changed == 20);
    CHECK(fault->verify_undo(&lab.injection, &err) < 0);

    REQUIRE_OK(fault->revert(&lab.injection, &err), err);
    REQUIRE_OK(fault->verify_undo(&lab.injection, &err), err);
    REQUIRE_OK(fault->revert(&lab.injection, &err), err);
    REQUIRE_OK(ce_sha256_file(lab.dataset, after, &err), err);
    CHECK_TEXT(after, before);
    CHECK(ce_undo_live(lab.injection.journal) == 0 && lab.trainer.reloads == 5);
    lab_close(&lab);
}

static void the_template_knows_when_there_is_nothing_to_hit(void)
{
    const struct ce_fault *fault = &ce_fault_lost_rows;
    struct lab lab;
    struct ce_error err = {0};
    REQUIRE_OK(lab_open(&lab, 5, (struct lost_rows){11, 30}, &err), err);
    CHECK(fault->inject(&lab.injection, &err) == -ENODATA);
    CHECK(fault->revert(&lab.injection, &err) == 0 && rows_of(lab.dataset) == 5);
    lab_close(&lab);
    CHECK(fault->check(&(struct lost_rows){7, 3}, &err) == -EINVAL);
    CHECK_TEXT(err.message, "last_row: 3 is before first_row: 7");
    CHECK(fault->is_control(&(struct lost_rows){1, 0}));
}

/* What a run that was killed leaves to whoever comes next. */
static void the_template_is_undone_by_its_journal_alone(void)
{
    struct lab lab;
    struct ce_error err = {0};
    char before[CE_SHA256_HEX], after[CE_SHA256_HEX];
    REQUIRE_OK(lab_open(&lab, 50, (struct lost_rows){1, 50}, &err), err);
    REQUIRE_OK(ce_sha256_file(lab.dataset, before, &err), err);
    REQUIRE_OK(ce_fault_lost_rows.inject(&lab.injection, &err), err);
    CHECK(rows_of(lab.dataset) == 0);
    REQUIRE_OK(ce_undo_all(lab.injection.journal, NULL, &err), err);
    REQUIRE_OK(ce_sha256_file(lab.dataset, after, &err), err);
    CHECK_TEXT(after, before);
    free(lab.state.image);
    lab_close(&lab);
}

#ifdef CE_SEAMS
static void the_template_without_effect_is_found_out(void)
{
    const struct ce_fault *fault = &ce_fault_lost_rows;
    struct lab lab;
    struct ce_error err = {0};
    struct ce_evidence evidence = {""};
    REQUIRE_OK(lab_open(&lab, 50, (struct lost_rows){11, 30}, &err), err);
    setenv("CHAOSEATER_SEAM_NO_EFFECT", "1", 1);
    CHECK(fault->inject(&lab.injection, &err) == 0);
    CHECK(fault->verify(&lab.injection, &evidence, &err) == 0);
    CHECK_TEXT(evidence.text,
               "the dataset has 50 rows, 50 before; the model in service was not trained on it");
    unsetenv("CHAOSEATER_SEAM_NO_EFFECT");
    CHECK(fault->revert(&lab.injection, &err) == 0);
    lab_close(&lab);
}
#else
static void the_template_without_effect_is_found_out(void)
{
    SKIP("this build has no seams");
}
#endif

int main(void)
{
    TEST(descriptors_are_complete);
    TEST(names_are_unique_and_found);
    TEST(tables_end_and_every_row_is_documented);
    TEST(defaults_parse_and_pass_the_check);
    TEST(examples_are_valid_documents);
    TEST(reverting_what_was_never_injected_is_fine);
    TEST(explain_and_json_name_every_parameter);
    TEST(the_template_does_what_its_comments_say);
    TEST(the_template_knows_when_there_is_nothing_to_hit);
    TEST(the_template_is_undone_by_its_journal_alone);
    TEST(the_template_without_effect_is_found_out);
    return test_done();
}
