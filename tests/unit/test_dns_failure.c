/* SPDX-License-Identifier: MIT */
/* The fault dns_failure, against a place with a name server of its own. */
#include "dns_world.h"
#include "faults/fault.h"
#include "host/subject.h"
#include "params/params.h"

extern const struct ce_fault ce_fault_dns_failure;
static const struct ce_fault *const fault = &ce_fault_dns_failure;

struct run {
    struct world *world;
    struct ce_target target;
    struct ce_injection injection;
    struct ce_evidence evidence;
    const char *resolves; /* what the target is known to look up */
    unsigned has;
};

static int locate(void *located, const char *service, struct ce_subject *ret_subject,
                  struct ce_error *err)
{
    const struct run *run = located;
    *ret_subject =
        (struct ce_subject){.name = "the shop", .has = run->has, .process = run->world->inhabitant};
    ret_subject->place = run->world->place;
    snprintf(ret_subject->resolves, sizeof ret_subject->resolves, "%s", run->resolves);
    return 0;
}

/* `settings`: "name=value" texts, NULL-terminated. */
static int run_prepare(struct run *run, struct world *world, const char *const *settings,
                       struct ce_error *err)
{
    *run = (struct run){.world = world, .resolves = KNOWN, .has = CE_SUBJECT_NETWORK};
    void *params = calloc(1, fault->params_size);
    run->target = (struct ce_target){.name = "the shop", .locate = locate, .located = run};
    run->injection = (struct ce_injection){.fault = fault,
                                           .params = params,
                                           .state = calloc(1, fault->state_size),
                                           .target = &run->target,
                                           .journal = world->journal,
                                           .seed = 11};
    CE_TRY(ce_params_init(fault->params, params, err));
    for (; *settings; settings++) {
        char name[64] = "";
        const char *value = strchr(*settings, '=') + 1;
        memcpy(name, *settings, (size_t)(value - *settings - 1));
        CE_TRY(ce_param_set(ce_param_find(fault->params, name), params, value, err));
    }
    return fault->check(params, err);
}

static void run_end(struct run *run)
{
    ce_params_done(fault->params, (void *)run->injection.params);
    free((void *)run->injection.params);
    free(run->injection.state);
}
#define RUN(run, world, ...)                                                                       \
    CE_CLEANUP(run_end) struct run run;                                                            \
    struct ce_error err = {0};                                                                     \
    REQUIRE_OK(run_prepare(&run, &world, (const char *const[]){__VA_ARGS__, NULL}, &err), err)

static void every_mode_is_injected_witnessed_turned_down_and_reverted(void)
{
    static const char *const modes[] = {"mode=nxdomain", "mode=servfail", "mode=timeout",
                                        "mode=wrong_address"};
    static const char *const mechanisms[] = {"mechanism=auto", "mechanism=resolv_conf"};
    WORLD(w, OWN_NETWORK);
    for (size_t i = 0; i < CE_COUNT(modes) * CE_COUNT(mechanisms); i++) {
        RUN(run, w, modes[i / 2], "failure_rate=0.4", mechanisms[i % 2]);
        struct ce_fault_counts counts;
        REQUIRE_OK(fault->inject(&run.injection, &err), err);
        CHECK(fault->verify(&run.injection, &run.evidence, &err) == 1);
        CHECK(strstr(run.evidence.text, " of 200 queries for 'db.shop.test' to 127.0.0.5"));
        CHECK(strstr(run.evidence.text, i % 2 ? "by resolv_conf" : "by redirect"));
        fault->count(&run.injection, &counts);
        CHECK(counts.eligible == 0 && counts.changed == 0); /* the witness's are nobody's */
        CHECK(fault->adjust(&run.injection, 0, &err) == 0);
        CHECK_TEXT(resolve(&w, KNOWN).address, ADDRESS);
        CHECK(fault->verify(&run.injection, &run.evidence, &err) == 0);
        fault->count(&run.injection, &counts);
        CHECK(counts.eligible > 0 && counts.changed <= counts.eligible);
        CHECK(fault->adjust(&run.injection, 1, &err) == 0);
        CHECK(fault->verify(&run.injection, &run.evidence, &err) == 1);
        CHECK(fault->revert(&run.injection, &err) == 0);
        CHECK(fault->revert(&run.injection, &err) == 0);
        REQUIRE_OK(fault->verify_undo(&run.injection, &err), err);
        CHECK_TEXT(resolve(&w, KNOWN).address, ADDRESS);
        CHECK(ce_undo_live(w.journal) == 0);
    }
}

static void a_small_share_is_asked_for_more_often(void)
{
    WORLD(w, OWN_NETWORK);
    RUN(run, w, "failure_rate=0.02");
    REQUIRE_OK(fault->inject(&run.injection, &err), err);
    CHECK(fault->verify(&run.injection, &run.evidence, &err) == 1);
    CHECK(strstr(run.evidence.text, " of 1000 queries"));
    CHECK(fault->revert(&run.injection, &err) == 0);
}

static void what_is_left_is_found_out(void)
{
    WORLD(w, OWN_NETWORK);
    RUN(run, w, "failure_rate=1");
    REQUIRE_OK(fault->inject(&run.injection, &err), err);
    CHECK(fault->verify(&run.injection, &run.evidence, &err) == 1);
    CHECK(fault->verify_undo(&run.injection, &err) == -EBUSY);
    CHECK(strstr(err.message, "20 of 20 queries for 'db.shop.test' still fail"));
    CHECK(fault->revert(&run.injection, &err) == 0);
}

#ifdef CE_SEAMS
static void a_fault_without_effect_is_found_out(void)
{
    WORLD(w, OWN_NETWORK);
    RUN(run, w, "failure_rate=0.5");
    (void)setenv("CHAOSEATER_SEAM_NO_EFFECT", "1", 1);
    int r = fault->inject(&run.injection, &err);
    CHECK(r == 0 && fault->verify(&run.injection, &run.evidence, &err) == 0);
    CHECK(strstr(run.evidence.text, "0 of 200 queries"));
    (void)unsetenv("CHAOSEATER_SEAM_NO_EFFECT");
    CHECK(fault->revert(&run.injection, &err) == 0);
}
#endif

static void a_name_that_tells_something_is_chosen(void)
{
    WORLD(w, OWN_NETWORK);
    {
        RUN(run, w, "names=" KNOWN); /* one that is meant */
        run.resolves = UNKNOWN;
        REQUIRE_OK(fault->inject(&run.injection, &err), err);
        CHECK(fault->verify(&run.injection, &run.evidence, &err) == 1);
        CHECK(strstr(run.evidence.text, "'" KNOWN "'"));
        CHECK(fault->revert(&run.injection, &err) == 0);
    }
    {
        RUN(run, w, "mode=nxdomain"); /* else one that everybody knows */
        run.resolves = UNKNOWN;
        REQUIRE_OK(fault->inject(&run.injection, &err), err);
        CHECK(fault->verify(&run.injection, &run.evidence, &err) == 1);
        CHECK(strstr(run.evidence.text, "'localhost'"));
        CHECK(fault->revert(&run.injection, &err) == 0);
    }
    RUN(run, w, "names=" UNKNOWN);
    CHECK(fault->inject(&run.injection, &err) == -ENODATA);
    CHECK(strstr(err.message, "answers 'nxdomain' as it is"));
    CHECK(fault->revert(&run.injection, &err) == 0 && ce_undo_live(w.journal) == 0);
}

static void what_cannot_be_done_is_refused(void)
{
    WORLD(w, OWN_NETWORK);
    static const struct {
        const char *setting, *says;
    } cases[] = {
        {"address=1.2.3", "address: '1.2.3' is no IPv4 or IPv6 address"},
        {"address=", "address: '' is no IPv4 or IPv6 address"},
        {"names=a..b", "names: 'a..b' is no name such as example.com"},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        CE_CLEANUP(run_end) struct run run;
        struct ce_error err = {0};
        CHECK(run_prepare(&run, &w, (const char *const[]){cases[i].setting, NULL}, &err) ==
              -EINVAL);
        CHECK_TEXT(err.message, cases[i].says);
    }
    RUN(run, w, "mode=nxdomain");
    run.has = CE_SUBJECT_FOLDER;
    CHECK(fault->inject(&run.injection, &err) == -ENOTSUP);
    run.has = CE_SUBJECT_NETWORK;
    (void)ce_process_end(&w.inhabitant, patience, NULL);
    CHECK(fault->inject(&run.injection, &err) == -ESRCH);
    CHECK(strstr(err.message, "nothing leads to the target's"));
    run.target.locate = NULL;
    CHECK(fault->inject(&run.injection, &err) == -ENOTSUP);
    CHECK(fault->revert(&run.injection, &err) == 0 && ce_undo_live(w.journal) == 0);
}

static void a_rate_of_zero_is_a_control(void)
{
    WORLD(w, OWN_NETWORK);
    RUN(run, w, "failure_rate=0");
    CHECK(fault->is_control(run.injection.params));
    CHECK(fault->inject(&run.injection, &err) == 0 && ce_undo_live(w.journal) == 0);
    CHECK(fault->adjust(&run.injection, 1, &err) == 0);
    CHECK(fault->revert(&run.injection, &err) == 0);
    CHECK(fault->verify_undo(&run.injection, &err) == 0);
}

int main(void)
{
    TEST(every_mode_is_injected_witnessed_turned_down_and_reverted);
    TEST(a_small_share_is_asked_for_more_often);
    TEST(what_is_left_is_found_out);
#ifdef CE_SEAMS
    TEST(a_fault_without_effect_is_found_out);
#endif
    TEST(a_name_that_tells_something_is_chosen);
    TEST(what_cannot_be_done_is_refused);
    TEST(a_rate_of_zero_is_a_control);
    return test_done();
}
