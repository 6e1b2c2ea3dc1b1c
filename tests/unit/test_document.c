/* SPDX-License-Identifier: MIT */
#include "experiment/document.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "check.h"

CE_DEFINE_CLEANUP(struct ce_document, ce_document_free);
#define AUTO_DOCUMENT CE_CLEANUP(ce_document_free_p) struct ce_document

#define A_MODEL                                                                                    \
    "experiments:\n"                                                                               \
    "  - name: slow\n"                                                                             \
    "    layer: model\n"                                                                           \
    "    fault_type: slow_inference\n"
#define A_DATA                                                                                     \
    "  - name: rot\n"                                                                              \
    "    layer: data\n"                                                                            \
    "    fault_type: data_corruption\n"

/* ---- starving: the n-th allocation fails, and blocks that stay are counted ---- */

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#if !defined(SANITIZED) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define STARVING 1
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);
void __libc_free(void *block);

static long allocations_left = -1, live_blocks; /* -1: never fails */

static bool starve(void)
{
    if (allocations_left < 0 || allocations_left-- > 0)
        return false;
    allocations_left = 0;
    errno = ENOMEM;
    return true;
}

/* Exported, or the shared libraries would not meet them. */
CE_API void *malloc(size_t size)
{
    void *block = starve() ? NULL : __libc_malloc(size);
    live_blocks += block != NULL;
    return block;
}

CE_API void *calloc(size_t count, size_t size)
{
    void *block = starve() ? NULL : __libc_calloc(count, size);
    live_blocks += block != NULL;
    return block;
}

CE_API void *realloc(void *old, size_t size)
{
    void *block = starve() ? NULL : __libc_realloc(old, size);
    live_blocks += block && !old;
    return block;
}

CE_API void free(void *block)
{
    live_blocks -= block != NULL;
    __libc_free(block);
}
#endif

/* ---- helpers ---- */

static int check_document(const char *text, size_t size, struct ce_document **ret_doc,
                          struct ce_error *err)
{
    AUTO_DOCUMENT *doc = NULL;
    CE_TRY(ce_document_parse(text, size, "plan.yaml", &doc, err));
    CE_TRY(ce_document_validate(doc, err));
    if (ret_doc)
        *ret_doc = ce_take(doc);
    return 0;
}

static int parse(const char *text, struct ce_document **ret_doc, struct ce_error *err)
{
    return ce_document_parse(text, strlen(text), "plan.yaml", ret_doc, err);
}

/* ---- what loads ---- */

static void the_mission_example_loads(void)
{
    static const char text[] = "experiments:\n"
                               "  - name: \"data_corruption_test\"\n"
                               "    layer: \"data\"\n"
                               "    fault_type: \"data_corruption\"\n"
                               "    duration: 60\n"
                               "    parameters:\n"
                               "      corruption_rate: 0.1\n"
                               "    rollback_strategy: \"auto\"\n"
                               "\n"
                               "  - name: \"slow_inference_test\"\n"
                               "    layer: \"model\"\n"
                               "    fault_type: \"slow_inference\"\n"
                               "    duration: 60\n"
                               "    parameters:\n"
                               "      latency_ms: 500\n"
                               "      variance: 0.2\n"
                               "prometheus:\n"
                               "  pushgateway_url: \"http://localhost:9091\"\n"
                               "  job_name: \"chaos_eater\"\n";
    AUTO_DOCUMENT *doc = NULL;
    struct ce_error err = {0};
    REQUIRE_OK(check_document(text, strlen(text), &doc, &err), err);
    REQUIRE(ce_document_experiment_count(doc) == 2 && !ce_document_experiment(doc, 2));

    const struct ce_experiment *first = ce_document_experiment(doc, 0),
                               *second = ce_document_experiment(doc, 1);
    CHECK_TEXT(first->name, "data_corruption_test");
    CHECK(first->layer == CE_LAYER_DATA && first->fault == ce_fault_find("data_corruption"));
    CHECK(first->duration == 60 * CE_SECOND && first->strategy == CE_STRATEGY_AUTO);
    CHECK(first->baseline == 3 * CE_SECOND && first->recovery_timeout == 30 * CE_SECOND);
    CHECK(!first->has_seed && first->repeat == 1 && first->tags.count == 0 && !first->left_out);
    ce_autojson json_t *values = ce_params_values(second->fault->params, second->params);
    CHECK(json_number_value(json_object_get(values, "latency_ms")) == 500);
    CHECK(json_number_value(json_object_get(values, "variance")) == 0.2);

    CHECK(ce_document_pipeline(doc)->kind == CE_PIPELINE_EMBEDDED);
    CHECK(ce_document_pipeline(doc)->profile == CE_PROFILE_NAIVE);
    uint64_t seed;
    CHECK(!ce_document_seed(doc, &seed));
    CHECK_TEXT(ce_document_prometheus(doc)->pushgateway_url, "http://localhost:9091");
    CHECK_TEXT(ce_document_prometheus(doc)->job_name, "chaos_eater");
    CHECK(!ce_document_notice(doc, 0));
}

static void every_key_is_understood(void)
{
    static const char text[] =
        "seed: 7\n"
        "pipeline: {profile: hardened}\n" A_MODEL "    duration: 1500ms\n"
        "    baseline: 500ms\n"
        "    recovery_timeout: 1m\n"
        "    rollback_strategy: immediate\n"
        "    seed: 9223372036854775807\n"
        "    repeat: 3\n"
        "    tags: [nightly, 2024]\n"
        "    parameters: {latency_ms: 0}\n" A_DATA "    tags: smoke\n"
        "    parameters:\n"
        "  - {name: node, layer: infra, fault_type: node_failure, tags: null, seed: ~}\n";
    AUTO_DOCUMENT *doc = NULL;
    struct ce_error err = {0};
    REQUIRE_OK(check_document(text, strlen(text), &doc, &err), err);
    const struct ce_experiment *slow = ce_document_experiment(doc, 0),
                               *rot = ce_document_experiment(doc, 1),
                               *node = ce_document_experiment(doc, 2);
    CHECK(slow->duration == 1500 * CE_MILLISECOND && slow->baseline == 500 * CE_MILLISECOND);
    CHECK(slow->recovery_timeout == 60 * CE_SECOND && slow->strategy == CE_STRATEGY_IMMEDIATE);
    CHECK(slow->has_seed && slow->seed == INT64_MAX && slow->repeat == 3);
    REQUIRE(slow->tags.count == 2 && rot->tags.count == 1 && node->tags.count == 0);
    CHECK_TEXT(slow->tags.names[1], "2024");
    CHECK(!rot->has_seed && !node->has_seed);
    uint64_t seed = 0;
    CHECK(ce_document_seed(doc, &seed) && seed == 7);
    CHECK(node->layer == CE_LAYER_INFRASTRUCTURE);
    CHECK(ce_document_pipeline(doc)->profile == CE_PROFILE_HARDENED);
    CHECK(!ce_document_notice(doc, 0));
}

static void strategies_have_names(void)
{
    CHECK_TEXT(ce_strategy_name(CE_STRATEGY_AUTO), "auto");
    CHECK_TEXT(ce_strategy_name(CE_STRATEGY_IMMEDIATE), "immediate");
}

static void aliases_are_copies(void)
{
    static const char text[] =
        "experiments:\n"
        "  - {name: a, layer: data, fault_type: data_corruption, tags: &tags [x, y]}\n"
        "  - {name: b, layer: model, fault_type: slow_inference, tags: *tags}\n";
    AUTO_DOCUMENT *doc = NULL;
    struct ce_error err = {0};
    REQUIRE_OK(check_document(text, strlen(text), &doc, &err), err);
    const struct ce_experiment *b = ce_document_experiment(doc, 1);
    REQUIRE(b->tags.count == 2);
    CHECK_TEXT(b->tags.names[1], "y");
}

static void a_byte_order_mark_and_crlf_are_fine(void)
{
    static const char text[] = "\xef\xbb\xbf"
                               "experiments:\r\n"
                               "  - name: caf\xc3\xa9\r\n"
                               "    layer: model\r\n"
                               "    fault_type: slow_inference\r\n";
    AUTO_DOCUMENT *doc = NULL;
    struct ce_error err = {0};
    REQUIRE_OK(check_document(text, strlen(text), &doc, &err), err);
    CHECK_TEXT(ce_document_experiment(doc, 0)->name, "caf\xc3\xa9");
}

static void the_demo_has_every_fault_once(void)
{
    AUTO_DOCUMENT *doc = NULL;
    struct ce_error err = {0};
    REQUIRE_OK(ce_document_demo(&doc, &err), err);
    REQUIRE_OK(ce_document_validate(doc, &err), err);
    REQUIRE(ce_document_experiment_count(doc) == ce_fault_count());
    for (size_t i = 0; i < ce_fault_count(); i++) {
        const struct ce_experiment *experiment = ce_document_experiment(doc, i);
        CHECK(experiment->fault == ce_fault_at(i));
        CHECK(experiment->duration <= 2 * CE_SECOND && experiment->baseline <= CE_SECOND);
        CHECK(!experiment->fault->is_control || !experiment->fault->is_control(experiment->params));
    }
}

/* ---- what is refused ---- */

struct refusal {
    const char *text, *where, *says;
};

static void check_refusals(const struct refusal *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct ce_error err = {0};
        int r = check_document(cases[i].text, strlen(cases[i].text), NULL, &err);
        CHECK(r < 0 && err.code == -r);
        CHECK_TEXT(err.where, cases[i].where);
        CHECK_TEXT(err.message, cases[i].says);
    }
}

static void what_is_no_document_is_refused(void)
{
    static const struct refusal cases[] = {
        {"", "plan.yaml:1:1", "the document is empty; it needs the key 'experiments'"},
        {"# nothing but a comment\n", "plan.yaml:1:1",
         "the document is empty; it needs the key 'experiments'"},
        {"[]", "plan.yaml:1:1", "a document is a mapping with the key 'experiments', not a list"},
        {"hello", "plan.yaml:1:1", "a document is a mapping with the key 'experiments', not text"},
        {"seed: 1\n", "plan.yaml:1:1", "the key 'experiments' is missing: a list of experiments"},
        {"experiments: []\n", "plan.yaml:1:14",
         "experiments: is empty; it needs at least one experiment"},
        {"experiments:\n", "plan.yaml:1:13",
         "experiments: is empty; it needs at least one experiment"},
        {"experiments: {a: b}\n", "plan.yaml:1:14", "experiments: takes a list, not a mapping"},
        {"experiments: [5]\n", "plan.yaml:1:15",
         "an experiment is a mapping with name, layer and fault_type, not text"},
        {A_MODEL "---\n" A_MODEL, "plan.yaml:5:1",
         "a file holds one document; a second one begins here"},
        {"a: b: c\n", "plan.yaml:1:5",
         "malformed YAML: mapping values are not allowed in this context"},
        {"a: [1,\n", "plan.yaml:2:1",
         "malformed YAML: while parsing a flow node, did not find expected node content"},
        {"\xff\xfe"
         "e\n",
         "plan.yaml:1:1", "byte 0xff does not belong here: a document is UTF-8 text"},
        {"a: 1\nb: \xc3\n", "plan.yaml:2:4",
         "byte 0xc3 does not belong here: a document is UTF-8 text"},
        {"a: \xed\xa0\x80\n", "plan.yaml:1:4",
         "byte 0xed does not belong here: a document is UTF-8 text"},
        {"a: \xc0\xaf\n", "plan.yaml:1:4",
         "byte 0xc0 does not belong here: a document is UTF-8 text"},
        {"\x7f"
         "ELF\x02\x01",
         "plan.yaml:1:1", "byte 0x7f does not belong here: a document is UTF-8 text"},
        {"a: \"x\\0y\"\n", "plan.yaml:1:4", "a text must not contain a NUL character"},
        {"a: 1\na: 2\n", "plan.yaml:2:1", "duplicate key 'a'; it is first given at 1:1"},
        {"? [a]\n: b\n", "plan.yaml:1:3", "a key must be plain text"},
        {"a: !!python/object:os.system x\n", "plan.yaml:1:4",
         "the tag 'tag:yaml.org,2002:python/object:os.system' is not accepted; a document needs no "
         "tags"},
        {"a: *b\n", "plan.yaml:1:4", "the alias '*b' has no anchor '&b' before it"},
        {"a: &a [*a]\n", "plan.yaml:1:8", "the alias '*a' stands inside its own anchor"},
    };
    check_refusals(cases, CE_COUNT(cases));

    struct ce_error err = {0};
    CHECK(check_document("a: \0b\n", 7, NULL, &err) == -EINVAL);
    CHECK_TEXT(err.message, "byte 0x00 does not belong here: a document is UTF-8 text");
}

static void bad_experiments_are_refused(void)
{
    static const struct refusal cases[] = {
        {A_MODEL "    paramters: {}\n", "plan.yaml:5:5",
         "unknown key 'paramters'; did you mean 'parameters'? (accepted: name, layer, fault_type, "
         "duration, rollback_strategy, seed, baseline, recovery_timeout, tags, repeat, depends_on, "
         "parameters, target, schedule, steady_state, stop_when, rollback, blast_radius)"},
        {A_MODEL "paralel: 2\n", "plan.yaml:5:1",
         "unknown key 'paralel'; did you mean 'parallel'? (accepted: seed, parallel, order, "
         "fail_fast, experiments, pipeline, prometheus, opentelemetry, grafana, schedule)"},
        {"experiments:\n  - layer: data\n    fault_type: missing_data\n", "plan.yaml:2:5",
         "the key 'name' is missing (accepted: text)"},
        {"experiments:\n  - {name: a, fault_type: missing_data}\n", "plan.yaml:2:5",
         "the key 'layer' is missing (accepted: one of data, model, infrastructure, infra)"},
        {"experiments:\n  - {name: a, layer: date, fault_type: missing_data}\n", "plan.yaml:2:22",
         "layer: 'date' is not one of data, model, infrastructure, infra (did you mean 'data'?)"},
        {"experiments:\n  - {name: a, layer: data, fault_type: slow_inference}\n", "plan.yaml:2:40",
         "fault_type: 'slow_inference' belongs to layer model, not data"},
        {"experiments:\n  - {name: a, layer: data, fault_type: mising_data}\n", "plan.yaml:2:40",
         "fault_type: no fault is called 'mising_data'; did you mean 'missing_data'? (`chaoseater "
         "faults` lists all)"},
        {"experiments:\n  - {name: a, layer: data, fault_type: volcano}\n", "plan.yaml:2:40",
         "fault_type: no fault is called 'volcano' (`chaoseater faults` lists all)"},
        {A_MODEL "  - name: slow\n    layer: data\n    fault_type: missing_data\n",
         "plan.yaml:5:11", "name: 'slow' is already the name of the experiment at plan.yaml:2:11"},
        {"experiments: [{name: '', layer: data, fault_type: missing_data}]\n", "plan.yaml:1:22",
         "name: must not be empty"},
        {"experiments: [{name: \"a\\nb\", layer: data, fault_type: missing_data}]\n",
         "plan.yaml:1:22", "name: 'a?b' is not one line of at most 200 bytes"},
        {"experiments: [{name: , layer: data, fault_type: missing_data}]\n", "plan.yaml:1:22",
         "name: needs a value: text"},
        {A_MODEL "    duration: 3x\n", "plan.yaml:5:15",
         "duration: '3x' is not a number of seconds or a duration such as 250ms, 3s or 2m "
         "(1ms..24h)"},
        {A_MODEL "    duration: 0\n", "plan.yaml:5:15", "duration: 0 is outside 1ms..24h"},
        {A_MODEL "    duration: .nan\n", "plan.yaml:5:15",
         "duration: '.nan' is not a number of seconds or a duration such as 250ms, 3s or 2m "
         "(1ms..24h)"},
        {A_MODEL "    duration: 25h\n", "plan.yaml:5:15", "duration: 25h is outside 1ms..24h"},
        {A_MODEL "    duration: {s: 3}\n", "plan.yaml:5:15",
         "duration: a mapping is not a number of seconds or a duration such as 250ms, 3s or 2m "
         "(1ms..24h)"},
        {A_MODEL "    baseline: 100ms\n", "plan.yaml:5:15",
         "baseline: 100ms is outside 200ms..24h"},
        {A_MODEL "    repeat: 0\n", "plan.yaml:5:13", "repeat: 0 is outside 1..1000"},
        {A_MODEL "    seed: -1\n", "plan.yaml:5:11", "seed: -1 is outside 0..9223372036854775807"},
        {A_MODEL "    tags: [a, {b: c}]\n", "plan.yaml:5:15", "tags: a mapping is not a name"},
        {A_MODEL "    rollback_strategy: slow\n", "plan.yaml:5:24",
         "rollback_strategy: 'slow' is not one of auto, immediate, gradual, canary, blue_green, "
         "circuit_breaker"},
        {A_MODEL "    rollback: gradual\n", "plan.yaml:5:15",
         "rollback: takes a mapping such as {strategy: gradual}, not text"},
        {A_MODEL "    rollback: {strategy: gradual}\n    rollback_strategy: gradual\n",
         "plan.yaml:6:24",
         "rollback_strategy: is short for a `rollback` of one key, and there is a `rollback`; say "
         "`strategy` in that"},
        {A_MODEL "    rollback: {gradual_steps: 0}\n", "plan.yaml:5:31",
         "gradual_steps: 0 is outside 1..100"},
        {A_MODEL "    rollback: {standby: \"http://127.0.0.1:1\"}\n", "plan.yaml:5:25",
         "standby: only blue_green has one, and the strategy is auto"},
    };
    check_refusals(cases, CE_COUNT(cases));
}

static void bad_parameters_are_refused(void)
{
    static const struct refusal cases[] = {
        {A_MODEL "    parameters: 5\n", "plan.yaml:5:17", "parameters: takes a mapping, not text"},
        {A_MODEL "    parameters: {variance: 1.5}\n", "plan.yaml:5:28",
         "variance: 1.5 is outside 0..1"},
        {A_MODEL "    parameters: {variance: .nan}\n", "plan.yaml:5:28",
         "variance: '.nan' is not a number in 0..1"},
        {A_MODEL "    parameters: {variance: 1e999}\n", "plan.yaml:5:28",
         "variance: '1e999' is not a number in 0..1"},
        {A_MODEL "    parameters: {variance: \"0.5\"}\n", "plan.yaml:5:28",
         "variance: \"0.5\" is text because of its quotes; write it without"},
        {A_MODEL "    parameters: {variance: [0.5]}\n", "plan.yaml:5:28",
         "variance: a list is not a number in 0..1"},
        {A_MODEL "pipeline: {profile: hardend}\n", "plan.yaml:5:21",
         "profile: 'hardend' is not one of naive, hardened (did you mean 'hardened'?)"},
        {A_MODEL "pipeline: hardened\n", "plan.yaml:5:11", "pipeline: takes a mapping, not text"},
        {A_MODEL "prometheus: {job: x}\n", "plan.yaml:5:14",
         "unknown key 'job' of prometheus (accepted: pushgateway_url, job_name)"},
        {A_MODEL "prometheus: {pushgateway_url: \"ftp://me:secret@h\"}\n", "plan.yaml:5:31",
         "pushgateway_url: 'ftp://h' is none of http://host:port/prefix, https://, h2c:// (HTTP/2 "
         "without TLS), unix:/path and host:port"},
        {A_MODEL "opentelemetry: {}\n", "plan.yaml:5:16",
         "the key 'endpoint' of opentelemetry is missing (accepted: text)"},
        {A_MODEL "grafana: {url: \"http://h\", token: x}\n", "plan.yaml:5:28",
         "unknown key 'token' of grafana (accepted: url, token_env, dashboard)"},
        {A_MODEL "grafana: {url: \"ftp://me:secret@h\"}\n", "plan.yaml:5:16",
         "url: 'ftp://h' is none of http://host:port/prefix, https://, h2c:// (HTTP/2 without "
         "TLS), "
         "unix:/path and host:port"},
        {A_MODEL "prometheus: {pushgateway_url: \"http://h\", job_name: \"\"}\n", "plan.yaml:5:53",
         "job_name: is empty; it is the job label of what is pushed"},
    };
    check_refusals(cases, CE_COUNT(cases));

    struct ce_error err = {0};
    static const char unknown[] = A_MODEL "    parameters: {latency: 3}\n";
    CHECK(check_document(unknown, strlen(unknown), NULL, &err) == -EINVAL);
    CHECK(strstr(err.message,
                 "unknown parameter 'latency' of slow_inference; did you mean 'latency_ms'?"));
    CHECK_TEXT(err.where, "plan.yaml:5:18");
}

/* ---- attacks ---- */

static void bombs_are_refused(void)
{
    char text[1024] = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
    for (int i = 1; i <= 8; i++) {
        size_t n = strlen(text);
        snprintf(text + n, sizeof text - n, "a%d: &a%d [", i, i);
        for (int j = 0; j < 10; j++) {
            n = strlen(text);
            snprintf(text + n, sizeof text - n, "*a%d%s", i - 1, j < 9 ? ", " : "]\n");
        }
    }
    struct ce_error err = {0};
    CHECK(check_document(text, strlen(text), NULL, &err) == -E2BIG);
    CHECK_TEXT(err.message, "the document has more than 100000 values, aliases expanded");
    CHECK(strncmp(err.where, "plan.yaml:5:", 12) == 0);
}

static void deep_nesting_is_refused(void)
{
    char text[20000];
    struct ce_error err = {0};
    memset(text, '[', sizeof text);
    CHECK(check_document(text, sizeof text, NULL, &err) == -E2BIG);
    CHECK_TEXT(err.where, "plan.yaml:1:65");
    CHECK_TEXT(err.message, "nested more than 64 levels deep");
    for (size_t i = 0; i + 1 < sizeof text; i += 2)
        memcpy(text + i, "- ", 2);
    CHECK(check_document(text, sizeof text, NULL, &err) == -E2BIG);
    /* By way of an alias, too. */
    static const char start[] = "a: &a ";
    size_t n = strlen(start);
    memcpy(text, start, n);
    memset(text + n, '[', 40);
    memset(text + n + 40, ']', 40);
    strcpy(text + n + 80, "\nb: [[[[[[[[[[[[[[[[[[[[[[[[[*a]]]]]]]]]]]]]]]]]]]]]]]]]\n");
    CHECK(check_document(text, strlen(text), NULL, &err) == -E2BIG);
    CHECK_TEXT(err.message, "nested more than 64 levels deep");
}

static void wide_documents_are_refused(void)
{
    enum { SIZE = 2 << 20 };
    ce_autofree char *text = malloc(SIZE);
    struct ce_error err = {0};
    REQUIRE(text);
    size_t n = 0;
    for (int i = 0; i < 1001; i++)
        n += (size_t)snprintf(text + n, SIZE - n, "k%d: 1\n", i);
    CHECK(check_document(text, n, NULL, &err) == -E2BIG);
    CHECK_TEXT(err.message, "a mapping has more than 1000 keys");
    n = 0;
    for (int i = 0; i < 1001; i++)
        n += (size_t)snprintf(text + n, SIZE - n, "- &n%d x\n", i);
    CHECK(check_document(text, n, NULL, &err) == -E2BIG);
    CHECK_TEXT(err.message, "the document has more than 1000 anchors");
    n = 0;
    for (int i = 0; i < 100001; i++)
        n += (size_t)snprintf(text + n, SIZE - n, "- x\n");
    CHECK(check_document(text, n, NULL, &err) == -E2BIG);
    CHECK_TEXT(err.message, "the document has more than 100000 values, aliases expanded");
}

static void files_beyond_the_limit_are_not_read_whole(void)
{
    char path[] = "/tmp/ce-document-XXXXXX";
    ce_autofd int fd = mkostemp(path, O_CLOEXEC);
    struct ce_error err = {0};
    struct ce_document *doc = NULL;
    REQUIRE(fd >= 0);
    CHECK(ftruncate(fd, INT64_C(1) << 40) == 0); /* sparse: reading it whole would take for ever */
    CHECK(ce_document_load(path, &doc, &err) == -EFBIG);
    CHECK(strstr(err.message, "is larger than 16 MiB"));
    CHECK(ftruncate(fd, 0) == 0 &&
          pwrite(fd, A_MODEL, strlen(A_MODEL), 0) == (ssize_t)strlen(A_MODEL));
    CHECK(ce_document_load(path, &doc, &err) == 0);
    ce_document_free(doc);
    (void)unlink(path);
    CHECK(ce_document_load(path, &doc, &err) == -ENOENT);
    CHECK(ce_document_load("/tmp", &doc, &err) == -EISDIR);
}

static void long_names_keep_their_line_numbers(void)
{
    char name[400];
    struct ce_error err = {0};
    struct ce_document *doc = NULL;
    memset(name, 'd', sizeof name);
    strcpy(name + sizeof name - 11, "/plan.yaml");
    CHECK(ce_document_parse("a: b: c", 7, name, &doc, &err) == -EINVAL);
    CHECK(strncmp(err.where, "...d", 4) == 0);
    CHECK_TEXT(err.where + strlen(err.where) - 14, "/plan.yaml:1:5");
}

/* ---- --set and --only ---- */

static void assignments_reach_every_experiment_that_has_the_key(void)
{
    AUTO_DOCUMENT *doc = NULL;
    struct ce_error err = {0};
    static const char *const sets[] = {"duration=3s",
                                       "corruption_rate=0.5",
                                       "parameters.variance=0",
                                       "columns=[age, income]",
                                       "pipeline.profile=hardened",
                                       "seed=5",
                                       "tags=[a]",
                                       "prometheus.job_name=here"};
    REQUIRE_OK(
        parse(A_MODEL "    seed: 1\n" A_DATA "    parameters: {corruption_rate: 7}\n", &doc, &err),
        err);
    for (size_t i = 0; i < CE_COUNT(sets); i++)
        REQUIRE_OK(ce_document_set(doc, sets[i], &err), err);
    REQUIRE_OK(ce_document_validate(doc, &err), err);
    const struct ce_experiment *slow = ce_document_experiment(doc, 0),
                               *rot = ce_document_experiment(doc, 1);
    CHECK(slow->duration == 3 * CE_SECOND && rot->duration == 3 * CE_SECOND);
    uint64_t seed = 0;
    CHECK(slow->seed == 5 && rot->has_seed && rot->seed == 5 && ce_document_seed(doc, &seed) &&
          seed == 5);
    CHECK(slow->tags.count == 1 && rot->tags.count == 1);
    CHECK(ce_document_pipeline(doc)->profile == CE_PROFILE_HARDENED);
    ce_autojson json_t *values = ce_params_values(rot->fault->params, rot->params);
    CHECK(json_number_value(json_object_get(values, "corruption_rate")) == 0.5);
    CHECK(json_array_size(json_object_get(values, "columns")) == 2);
    ce_autojson json_t *others = ce_params_values(slow->fault->params, slow->params);
    CHECK(json_number_value(json_object_get(others, "variance")) == 0);
}

static void bad_assignments_are_refused(void)
{
    static const struct {
        const char *set, *where, *says;
    } cases[] = {
        {"duration=3x", "--set duration=3x",
         "duration: '3x' is not a number of seconds or a duration such as 250ms, 3s or 2m "
         "(1ms..24h)"},
        {"variance=2", "--set variance=2", "variance: 2 is outside 0..1"},
        {"latencyms=3", "--set latencyms=3",
         "no experiment has a key or parameter 'latencyms'; did you mean 'latency_ms'?"},
        {"corruption_rate=0.1", "--set corruption_rate=0.1",
         "no experiment has a key or parameter 'corruption_rate'"},
        {"parameters.duration=3", "--set parameters.duration=3",
         "no experiment has a parameter 'duration'"},
        {"duration", "--set duration", "an assignment is KEY=VALUE, such as duration=3s"},
        {"=3", "--set =3", "an assignment is KEY=VALUE, such as duration=3s"},
        {"tags=[a", "--set tags=[a",
         "malformed YAML: while parsing a flow sequence, did not find expected ',' or ']'"},
        {"pipeline.profile=x", "--set pipeline.profile=x",
         "profile: 'x' is not one of naive, hardened"},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        AUTO_DOCUMENT *doc = NULL;
        struct ce_error err = {0};
        REQUIRE_OK(parse(A_MODEL, &doc, &err), err);
        int r = ce_document_set(doc, cases[i].set, &err);
        if (r == 0)
            r = ce_document_validate(doc, &err);
        CHECK(r < 0);
        CHECK_TEXT(err.where, cases[i].where);
        CHECK_TEXT(err.message, cases[i].says);
    }
}

static void a_set_on_a_broken_document_leaves_the_word_to_validation(void)
{
    static const char *const broken[] = {"[]", "experiments: 5\n", "experiments: [5]\n",
                                         A_MODEL "    parameters: 5\n"};
    static const char *const sets[] = {"duration=3s", "variance=0.1", "pipeline.profile=naive"};
    for (size_t i = 0; i < CE_COUNT(broken); i++) {
        AUTO_DOCUMENT *doc = NULL;
        struct ce_error err = {0};
        REQUIRE_OK(parse(broken[i], &doc, &err), err);
        for (size_t j = 0; j < CE_COUNT(sets); j++)
            (void)ce_document_set(doc, sets[j], NULL);
        CHECK(ce_document_validate(doc, &err) == -EINVAL);
        CHECK(strncmp(err.where, "plan.yaml:", 10) == 0);
    }
}

static void only_keeps_the_named_experiments(void)
{
    AUTO_DOCUMENT *doc = NULL;
    struct ce_error err = {0};
    REQUIRE_OK(parse(A_MODEL A_DATA, &doc, &err), err);
    CHECK(ce_document_only(doc, "rott", &err) == -ENOENT);
    CHECK_TEXT(err.message,
               "no experiment is called 'rott'; did you mean 'rot'? (there are: slow, rot)");
    REQUIRE_OK(ce_document_only(doc, "rot", &err), err);
    REQUIRE_OK(ce_document_validate(doc, &err), err);
    CHECK(ce_document_experiment(doc, 0)->left_out && !ce_document_experiment(doc, 1)->left_out);
}

static void a_validated_document_is_frozen(void)
{
    AUTO_DOCUMENT *doc = NULL;
    struct ce_error err = {0};
    REQUIRE_OK(parse(A_MODEL, &doc, &err), err);
    REQUIRE_OK(ce_document_validate(doc, &err), err);
    REQUIRE_OK(ce_document_validate(doc, &err), err);
    CHECK(ce_document_set(doc, "duration=1s", &err) == -EINVAL);
    CHECK(ce_document_only(doc, "slow", &err) == -EINVAL);
    CHECK(ce_document_experiment(doc, 0)->duration == 60 * CE_SECOND);
}

static void a_refused_document_may_be_mended(void)
{
    AUTO_DOCUMENT *doc = NULL;
    struct ce_error err = {0};
    REQUIRE_OK(parse("experiments:\n" A_DATA "    parameters: {corruption_rate: 7}\n", &doc, &err),
               err);
    CHECK(ce_document_validate(doc, &err) == -ERANGE);
    CHECK(ce_document_experiment_count(doc) == 0);
    REQUIRE_OK(ce_document_set(doc, "corruption_rate=0.5", &err), err);
    REQUIRE_OK(ce_document_validate(doc, &err), err);
    CHECK(ce_document_experiment_count(doc) == 1);
}

/* ---- the schema ---- */

static void the_schema_has_every_fault(void)
{
    struct ce_error err = {0};
    ce_autofree char *text = ce_document_schema();
    REQUIRE(text);
    ce_autojson json_t *schema = ce_json_parse(text, strlen(text), "schema", &err);
    REQUIRE(schema);
    json_t *items = json_object_get(
        json_object_get(json_object_get(schema, "properties"), "experiments"), "items");
    json_t *rules = json_object_get(items, "allOf");
    CHECK(json_array_size(rules) == ce_fault_count());
    for (size_t i = 0; i < ce_fault_count(); i++) {
        json_t *then =
            json_object_get(json_object_get(json_array_get(rules, i), "then"), "properties");
        json_t *parameters = json_object_get(json_object_get(then, "parameters"), "properties");
        size_t rows = 0;
        while (ce_fault_at(i)->params[rows].name)
            rows++;
        CHECK(json_object_size(parameters) == rows);
    }
}

/* What programs that read no YAML are told; nobody's fault is live for longer than the environment
 * allows. */
static void a_document_can_be_read_as_json(void)
{
    AUTO_DOCUMENT *doc = NULL;
    struct ce_error err = {0};
    ce_autofree char *text = NULL;
    REQUIRE_OK(
        parse(A_MODEL A_DATA "    duration: 1s\npipeline: {profile: hardened}\n", &doc, &err), err);
    CHECK(ce_document_json(doc, &text, &err) == -EINVAL);
    (void)setenv("CHAOSEATER_MAX_DURATION", "1.5", 1);
    REQUIRE_OK(ce_document_validate(doc, &err), err);
    (void)unsetenv("CHAOSEATER_MAX_DURATION");
    CHECK_TEXT(ce_document_notice(doc, 0),
               "CHAOSEATER_MAX_DURATION=1.5: the duration of 1 experiment is cut to it");
    REQUIRE_OK(ce_document_json(doc, &text, &err), err);
    ce_autojson json_t *json = ce_json_parse(text, strlen(text), "document", &err);
    REQUIRE(json);
    const char *name, *layer, *profile;
    double duration, asked, other;
    json_t *parameters, *last, *prometheus, *seed;
    REQUIRE(json_unpack(json, "{s:[{s:s, s:s, s:f, s:f, s:o, s:o}, {s:f, s:o}], s:{s:s}, s:o}",
                        "experiments", "name", &name, "layer", &layer, "duration", &duration,
                        "asked_duration", &asked, "parameters", &parameters, "seed", &seed,
                        "duration", &other, "parameters", &last, "pipeline", "profile", &profile,
                        "prometheus", &prometheus) == 0);
    CHECK_TEXT(name, "slow");
    CHECK_TEXT(layer, "model");
    CHECK_TEXT(profile, "hardened");
    CHECK(duration == 1.5 && asked == 60 && other == 1);
    CHECK(json_number_value(json_object_get(parameters, "latency_ms")) == 500);
    CHECK(json_is_null(prometheus) && json_is_null(seed));
    CHECK(!json_object_get(json_array_get(json_object_get(json, "experiments"), 1),
                           "asked_duration"));
}

static void a_cap_that_is_no_time_is_refused(void)
{
    for (const char *const *text = (const char *const[]){"abc", "0", "-1", "5 parsecs", NULL};
         *text; text++) {
        AUTO_DOCUMENT *doc = NULL;
        struct ce_error err = {0};
        REQUIRE_OK(parse(A_MODEL, &doc, &err), err);
        (void)setenv("CHAOSEATER_MAX_DURATION", *text, 1);
        CHECK(ce_document_validate(doc, &err) == -EINVAL);
        CHECK(strstr(err.message, "CHAOSEATER_MAX_DURATION is '"));
    }
    (void)unsetenv("CHAOSEATER_MAX_DURATION");
}

/* ---- out of memory ---- */

#ifdef STARVING
static int load_change_and_validate(struct ce_error *err)
{
    AUTO_DOCUMENT *doc = NULL;
    CE_TRY(parse(A_MODEL "    tags: &t [a, b]\n" A_DATA "    tags: *t\nprometheus: {job_name: x}\n",
                 &doc, err));
    CE_TRY(ce_document_set(doc, "columns=[age, income]", err));
    CE_TRY(ce_document_set(doc, "pipeline.profile=hardened", err));
    CE_TRY(ce_document_only(doc, "rot", err));
    return ce_document_validate(doc, err);
}
#endif

static void every_allocation_may_fail(void)
{
#ifdef STARVING
    int r = -ENOMEM;
    long n = 0;
    for (; r < 0 && n < 100000; n++) {
        struct ce_error err = {0};
        long before = live_blocks;
        allocations_left = n;
        r = load_change_and_validate(&err);
        allocations_left = -1;
        long after = live_blocks;
        CHECK(after == before);
        CHECK(r == 0 || (r == -ENOMEM && strcmp(err.message, "out of memory") == 0));
    }
    CHECK(r == 0 && n > 50);

    char *schema = NULL;
    for (n = 0; !schema && n < 100000; n++) {
        long before = live_blocks;
        allocations_left = n;
        schema = ce_document_schema();
        allocations_left = -1;
        CHECK(schema || live_blocks == before);
    }
    CHECK(schema && n > 50);
    free(schema);
#else
    SKIP("a sanitizer has the allocator");
#endif
}

int main(void)
{
    TEST(the_mission_example_loads);
    TEST(every_key_is_understood);
    TEST(strategies_have_names);
    TEST(aliases_are_copies);
    TEST(a_byte_order_mark_and_crlf_are_fine);
    TEST(the_demo_has_every_fault_once);
    TEST(what_is_no_document_is_refused);
    TEST(bad_experiments_are_refused);
    TEST(bad_parameters_are_refused);
    TEST(bombs_are_refused);
    TEST(deep_nesting_is_refused);
    TEST(wide_documents_are_refused);
    TEST(files_beyond_the_limit_are_not_read_whole);
    TEST(long_names_keep_their_line_numbers);
    TEST(assignments_reach_every_experiment_that_has_the_key);
    TEST(bad_assignments_are_refused);
    TEST(a_set_on_a_broken_document_leaves_the_word_to_validation);
    TEST(only_keeps_the_named_experiments);
    TEST(a_validated_document_is_frozen);
    TEST(a_refused_document_may_be_mended);
    TEST(the_schema_has_every_fault);
    TEST(a_document_can_be_read_as_json);
    TEST(a_cap_that_is_no_time_is_refused);
    TEST(every_allocation_may_fail);
    return test_done();
}
