/* SPDX-License-Identifier: MIT */
/* The document: its keys, its activities, how it is to be run. */
#include <math.h>
#include <stdarg.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "toolkit/toolkit_internal.h"

/* ---- notices and keys ---- */

int ce_toolkit_note(struct ce_names *notices, struct ce_error *err, const char *fmt, ...)
{
    char text[400];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    char **names = realloc(notices->names, (notices->count + 1) * sizeof *names);
    if (!names)
        return ce_fail_memory(err);
    notices->names = names;
    names[notices->count] = strdup(text);
    return names[notices->count++] ? 0 : ce_fail_memory(err);
}

int ce_toolkit_check_keys(const struct ce_node *map, const char *const *known, const char *owner,
                          struct ce_names *notices, struct ce_error *err)
{
    size_t count = 0;
    while (known[count])
        count++;
    for (size_t i = 0; i < map->count; i++) {
        const struct ce_node *node = map->items[i];
        if (ce_text_is_among(node->key, known, count))
            continue;
        const char *near = ce_text_nearest(node->key, known, count);
        if (near)
            return ce_fail_place(err, &node->key_place, EINVAL,
                                 "unknown key '%.60s' of %s; did you mean '%s'?", node->key, owner,
                                 near);
        CE_TRY(ce_toolkit_note(notices, err, "'%.60s' of %s has no effect here", node->key, owner));
    }
    return 0;
}

bool ce_toolkit_is(const struct ce_node *root)
{
    return root && ce_node_get(root, "title") && ce_node_get(root, "method");
}

/* ---- activities ---- */

struct reader {
    const struct ce_node *root;
    struct ce_settings settings;
    struct ce_toolkit *toolkit;
};
enum place {
    IN_HYPOTHESIS,
    IN_METHOD,
    IN_ROLLBACKS,
};

static const char *scalar_at(const struct ce_node *map, const char *key)
{
    const struct ce_node *node = ce_node_get(map, key);
    return node && node->kind == CE_NODE_SCALAR ? node->text : NULL;
}

static const struct ce_node *probes_of(const struct ce_node *root)
{
    const struct ce_node *hypothesis = ce_node_get(root, "steady-state-hypothesis");
    return hypothesis ? ce_node_get(hypothesis, "probes") : NULL;
}

/* The activity of that name; NULL: there is none. */
static const struct ce_node *find_activity(const struct ce_node *root, const char *name)
{
    const struct ce_node *const lists[] = {probes_of(root), ce_node_get(root, "method"),
                                           ce_node_get(root, "rollbacks")};
    for (size_t l = 0; l < CE_COUNT(lists); l++)
        for (size_t i = 0; lists[l] && i < lists[l]->count; i++) {
            const char *text = scalar_at(lists[l]->items[i], "name");
            if (text && strcmp(text, name) == 0)
                return lists[l]->items[i];
        }
    return NULL;
}

static int read_pause(const struct reader *reader, const struct ce_node *pauses, const char *key,
                      int64_t *ret_pause, struct ce_error *err)
{
    const struct ce_node *node = pauses ? ce_node_get(pauses, key) : NULL;
    bool secret = false;
    if (!node || ce_node_is_null(node))
        return 0;
    ce_autojson json_t *written = ce_value_of(node);
    ce_autojson json_t *value =
        written ? ce_value_resolve(written, &reader->settings, &secret) : NULL;
    double seconds = json_is_number(value) ? json_number_value(value) : NAN;
    if (json_is_string(value) && ce_text_number(json_string_value(value), &seconds) < 0)
        seconds = NAN;
    if (!(seconds >= 0 && seconds < 1e9))
        return ce_fail_place(err, &node->place, EINVAL, "pauses: %s: expected a number of seconds",
                             key);
    *ret_pause = (int64_t)(seconds * (double)CE_SECOND);
    return 0;
}

static int read_kind(const struct ce_node *node, enum place place, struct ce_activity *activity,
                     struct ce_error *err)
{
    const char *type = scalar_at(node, "type"), *background = scalar_at(node, "background");
    if (!type || (strcmp(type, "probe") != 0 && strcmp(type, "action") != 0))
        return ce_fail_place(err, &node->place, EINVAL,
                             "an activity's type has to be probe or action");
    activity->is_action = strcmp(type, "action") == 0;
    if (place == IN_HYPOTHESIS && activity->is_action)
        return ce_fail_place(err, &node->place, EINVAL,
                             "an action changes something: a hypothesis consists of probes");
    if (!scalar_at(node, "name") || !*scalar_at(node, "name"))
        return ce_fail_place(err, &node->place, EINVAL, "an activity needs a name");
    if (background && strcmp(background, "true") != 0 && strcmp(background, "false") != 0)
        return ce_fail_place(err, &ce_node_get(node, "background")->place, EINVAL,
                             "background: expected true or false");
    activity->background = background && strcmp(background, "true") == 0;
    if (ce_node_get(node, "dry"))
        return ce_fail_place(err, &ce_node_get(node, "dry")->place, ENOTSUP,
                             "dry: single activities are not left out; `run --dry-run` touches "
                             "nothing at all");
    return 0;
}

/* An exit code, or the negative number of the signal that ended the process. */
static bool may_be_status(const json_t *status, bool is_http)
{
    double number = json_number_value(status);
    return json_is_number(status) && number >= (is_http ? 100 : -64) &&
           number <= (is_http ? 599 : 255);
}

static int check_statuses(const json_t *statuses, bool is_http, struct ce_error *err)
{
    json_t *status;
    size_t i;
    if (!statuses)
        return 0;
    json_array_foreach(statuses, i, status)
    {
        if (may_be_status(status, is_http))
            return 0;
    }
    return ce_fail(err, EINVAL, "this tolerance never holds: %s",
                   is_http ? "the status of an answer is in 100..599"
                           : "an exit code is in 0..255, or the negative number of a signal");
}

static int read_tolerance(const struct reader *reader, const struct ce_node *node,
                          struct ce_activity *activity, struct ce_error *err)
{
    const struct ce_node *tolerance = ce_node_get(node, "tolerance");
    const char *type = json_string_value(json_object_get(activity->provider, "type"));
    if (!tolerance)
        return ce_fail_place(err, &node->place, EINVAL,
                             "a probe of the hypothesis needs a tolerance");
    bool is_http = strcmp(type, "http") == 0;
    CE_TRY(ce_tolerance_read(tolerance, is_http ? ce_http_members : ce_process_members,
                             &reader->settings, &activity->tolerance, err));
    return ce_fail_put_place(err, check_statuses(activity->tolerance.statuses, is_http, err),
                             &tolerance->place);
}

static const char *const activity_keys[] = {
    "type",       "name",     "provider",   "tolerance",     "pauses",
    "background", "controls", "secrets",    "configuration", "dry",
    "ref",        "timeout",  "extensions", "contributions", NULL};

static int read_activity(struct reader *reader, const struct ce_node *node, enum place place,
                         struct ce_activity *activity, struct ce_error *err)
{
    const char *ref = scalar_at(node, "ref");
    const struct ce_node *found = ref ? find_activity(reader->root, ref) : node, *provider, *pauses;
    struct ce_names *notices = &reader->toolkit->notices;
    if (!found || found->kind != CE_NODE_MAP)
        return ce_fail_place(err, &node->place, EINVAL,
                             ref ? "there is no activity '%.80s' to refer to"
                                 : "an activity has to be a mapping%s",
                             ref ? ref : "");
    CE_TRY(ce_toolkit_check_keys(found, activity_keys, "an activity", notices, err));
    CE_TRY(read_kind(found, place, activity, err));
    if (ce_node_get(found, "controls"))
        CE_TRY(ce_toolkit_note(notices, err, "controls of '%.60s' are Python code, and not called",
                               scalar_at(found, "name")));
    provider = ce_node_get(found, "provider");
    if (!provider)
        return ce_fail_place(err, &found->place, EINVAL, "an activity needs a provider");
    CE_TRY(ce_provider_read(provider, &reader->settings, notices, &activity->provider,
                            &activity->secret, err));
    pauses = ce_node_get(found, "pauses");
    CE_TRY(read_pause(reader, pauses, "before", &activity->pause_before, err));
    CE_TRY(read_pause(reader, pauses, "after", &activity->pause_after, err));
    if (place == IN_HYPOTHESIS)
        CE_TRY(read_tolerance(reader, found, activity, err));
    activity->written = ce_value_of(found);
    if (!activity->written)
        return ce_fail_memory(err);
    activity->name = json_string_value(json_object_get(activity->written, "name"));
    if (!activity->name)
        return ce_fail_place(err, &found->place, EINVAL, "an activity's name has to be text");
    return 0;
}

static int read_activities(struct reader *reader, const struct ce_node *list, enum place place,
                           struct ce_activities *activities, struct ce_error *err)
{
    if (!list || ce_node_is_null(list))
        return 0;
    if (list->kind != CE_NODE_LIST)
        return ce_fail_place(err, &list->place, EINVAL, "%s: expected a list, found %s", list->key,
                             ce_node_kind_text(list));
    activities->items = calloc(list->count + 1, sizeof *activities->items);
    if (!activities->items)
        return ce_fail_memory(err);
    for (size_t i = 0; i < list->count; i++) {
        activities->count++;
        CE_TRY(read_activity(reader, list->items[i], place, &activities->items[i], err));
    }
    return 0;
}

/* ---- strategies ---- */

const char *const ce_rollbacks_names[] = {"default", "always", "never", "deviated", NULL};

static const struct {
    const char *name;
    unsigned looks;
} strategies[] = {
    {"default", CE_LOOK_BEFORE | CE_LOOK_AFTER},
    {"before-method-only", CE_LOOK_BEFORE},
    {"after-method-only", CE_LOOK_AFTER},
    {"during-method-only", CE_LOOK_DURING},
    {"continuously", CE_LOOK_BEFORE | CE_LOOK_DURING | CE_LOOK_AFTER},
    {"skip", 0},
};

static const struct ce_node *strategy_of(const struct ce_node *section)
{
    return section ? ce_node_get(section, "strategy") : NULL;
}

static int read_frequency(const struct ce_node *hypothesis, int64_t *ret_frequency,
                          struct ce_error *err)
{
    const struct ce_node *node = hypothesis ? ce_node_get(hypothesis, "frequency") : NULL;
    double seconds = 1;
    if (node && (node->kind != CE_NODE_SCALAR || ce_text_number(node->text, &seconds) < 0 ||
                 !(seconds > 0 && seconds < 1e6)))
        return ce_fail_place(err, &node->place, EINVAL,
                             "frequency: expected a number of seconds above 0");
    *ret_frequency = (int64_t)(seconds * (double)CE_SECOND);
    return 0;
}

static int read_runtime(struct reader *reader, struct ce_error *err)
{
    const struct ce_node *runtime = ce_node_get(reader->root, "runtime");
    const struct ce_node *hypothesis = runtime ? ce_node_get(runtime, "hypothesis") : NULL;
    const struct ce_node *look = strategy_of(hypothesis);
    const struct ce_node *back = strategy_of(runtime ? ce_node_get(runtime, "rollbacks") : NULL);
    struct ce_toolkit *toolkit = reader->toolkit;
    const char *name = look && look->text ? look->text : look ? "" : "default";
    size_t i = 0;
    while (i < CE_COUNT(strategies) && strcmp(strategies[i].name, name) != 0)
        i++;
    if (i == CE_COUNT(strategies))
        return ce_fail_place(err, &look->place, EINVAL,
                             "strategy '%.40s' is not one of default, before-method-only, "
                             "after-method-only, during-method-only, continuously or skip",
                             name);
    toolkit->looks = strategies[i].looks;
    name = back && back->text ? back->text : back ? "" : "default";
    for (i = 0; ce_rollbacks_names[i] && strcmp(ce_rollbacks_names[i], name) != 0;)
        i++;
    if (!ce_rollbacks_names[i])
        return ce_fail_place(err, &back->place, EINVAL,
                             "strategy '%.40s' is not one of default, always, never or deviated",
                             name);
    toolkit->strategy = (enum ce_rollbacks)i;
    return read_frequency(hypothesis, &toolkit->frequency, err);
}

/* ---- the whole ---- */

/* The journal repeats the document: what it says in its secrets stays out of that. */
static void hide(json_t *secrets)
{
    const char *key;
    json_t *value;
    void *next;
    json_object_foreach_safe(secrets, next, key, value)
    {
        const char *type = json_string_value(json_object_get(value, "type"));
        if (!json_is_object(value))
            json_object_set_new(secrets, key, json_string("***"));
        else if (!type || strcmp(type, "env") != 0)
            hide(value);
    }
}

/* A title may be anything, several lines of YAML for instance; what runs are called is one line, as
 * names are. Empty when nothing of it can be seen. */
static void make_name(const char *title, char name[CE_TOOLKIT_NAME_SIZE])
{
    size_t n = 0;
    for (const unsigned char *p = (const unsigned char *)title; *p != '\0'; p++) {
        bool c1 = p[0] == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0; /* control characters of Latin-1 */
        bool blank = *p <= 0x20 || *p == 0x7f || c1;
        size_t size = blank || *p < 0x80 ? 1 : *p < 0xe0 ? 2 : *p < 0xf0 ? 3 : 4;
        if (n + size >= CE_TOOLKIT_NAME_SIZE)
            break;
        if (!blank)
            memcpy(name + n, p, size);
        else if (n == 0 || name[n - 1] == ' ')
            size = 0;
        else
            name[n] = ' ';
        n += size;
        p += c1 ? 1 : blank ? 0 : size - 1;
    }
    name[n > 0 && name[n - 1] == ' ' ? n - 1 : n] = '\0';
}

static int read_title(struct reader *reader, struct ce_error *err)
{
    struct ce_toolkit *toolkit = reader->toolkit;
    const struct ce_node *node = ce_node_get(reader->root, "title");
    bool secret = false;
    toolkit->experiment = ce_value_of(reader->root);
    json_t *title = json_object_get(toolkit->experiment, "title");
    title = title ? ce_value_resolve(title, &reader->settings, &secret) : NULL;
    if (!title || json_object_set_new(toolkit->experiment, "title", title) < 0)
        return ce_fail_memory(err);
    if (json_is_string(title))
        make_name(json_string_value(title), toolkit->name);
    if (toolkit->name[0] == '\0' || secret)
        return ce_fail_place(err, &node->place, EINVAL, "title: expected text%s",
                             secret ? " without a secret" : "");
    hide(json_object_get(toolkit->experiment, "secrets"));
    return 0;
}

static const char *const document_keys[] = {"version",
                                            "title",
                                            "description",
                                            "tags",
                                            "configuration",
                                            "secrets",
                                            "controls",
                                            "runtime",
                                            "steady-state-hypothesis",
                                            "method",
                                            "rollbacks",
                                            "extensions",
                                            "contributions",
                                            "dry",
                                            "experiment-hash",
                                            NULL};

static int read_keys(struct reader *reader, struct ce_error *err)
{
    const struct ce_node *root = reader->root;
    const struct ce_node *hypothesis = ce_node_get(root, "steady-state-hypothesis");
    struct ce_names *notices = &reader->toolkit->notices;
    CE_TRY(ce_toolkit_check_keys(root, document_keys, "the document", notices, err));
    if (ce_node_get(root, "dry"))
        return ce_fail_place(err, &ce_node_get(root, "dry")->place, ENOTSUP,
                             "dry: single activities are not left out; `run --dry-run` touches "
                             "nothing at all");
    if (hypothesis && !ce_node_is_null(hypothesis) && !scalar_at(hypothesis, "title"))
        return ce_fail_place(err, &hypothesis->place, EINVAL,
                             "steady-state-hypothesis: needs a title");
    if (ce_node_get(root, "controls"))
        CE_TRY(ce_toolkit_note(notices, err, "controls are Python code, and not called"));
    return 0;
}

/* A secret is not written to disk, so nobody can do such a rollback for a process that has died. */
static int note_secrets(struct ce_toolkit *toolkit, struct ce_error *err)
{
    for (size_t i = 0; i < toolkit->rollbacks.count; i++)
        if (toolkit->rollbacks.items[i].secret && toolkit->strategy != CE_ROLLBACKS_NEVER)
            CE_TRY(ce_toolkit_note(&toolkit->notices, err,
                                   "rollback '%.60s' holds a secret, which is not written to disk: "
                                   "it is not done for a run that is killed",
                                   toolkit->rollbacks.items[i].name));
    return 0;
}

static int read_all(struct reader *reader, const char *const *vars, size_t var_count,
                    struct ce_error *err)
{
    struct ce_toolkit *toolkit = reader->toolkit;
    const struct ce_node *root = reader->root;
    CE_TRY(ce_settings_read(root, vars, var_count, &reader->settings, err));
    CE_TRY(read_keys(reader, err));
    CE_TRY(read_title(reader, err));
    CE_TRY(read_runtime(reader, err));
    CE_TRY(read_activities(reader, probes_of(root), IN_HYPOTHESIS, &toolkit->hypothesis, err));
    CE_TRY(read_activities(reader, ce_node_get(root, "method"), IN_METHOD, &toolkit->method, err));
    CE_TRY(read_activities(reader, ce_node_get(root, "rollbacks"), IN_ROLLBACKS,
                           &toolkit->rollbacks, err));
    return note_secrets(toolkit, err);
}

int ce_toolkit_parse(const struct ce_node *root, const char *const *vars, size_t var_count,
                     struct ce_toolkit **ret_toolkit, struct ce_error *err)
{
    CE_CLEANUP(ce_toolkit_free_p) struct ce_toolkit *toolkit = calloc(1, sizeof *toolkit);
    if (!toolkit)
        return ce_fail_memory(err);
    struct reader reader = {.root = root, .toolkit = toolkit};
    int r = read_all(&reader, vars, var_count, err);
    ce_settings_done(&reader.settings);
    if (r == 0)
        *ret_toolkit = ce_take(toolkit);
    return r;
}

static void activities_done(struct ce_activities *activities)
{
    for (size_t i = 0; i < activities->count; i++) {
        struct ce_activity *activity = &activities->items[i];
        json_decref(activity->written);
        json_decref(activity->provider);
        ce_tolerance_done(&activity->tolerance);
    }
    free(activities->items);
}

void ce_toolkit_free(struct ce_toolkit *toolkit)
{
    if (!toolkit)
        return;
    activities_done(&toolkit->hypothesis);
    activities_done(&toolkit->method);
    activities_done(&toolkit->rollbacks);
    json_decref(toolkit->experiment);
    ce_names_done(&toolkit->notices);
    free(toolkit);
}

const char *ce_toolkit_title(const struct ce_toolkit *toolkit)
{
    return toolkit->name;
}

size_t ce_toolkit_activity_count(const struct ce_toolkit *toolkit)
{
    return toolkit->hypothesis.count + toolkit->method.count + toolkit->rollbacks.count;
}

const char *ce_toolkit_notice(const struct ce_toolkit *toolkit, size_t i)
{
    return i < toolkit->notices.count ? toolkit->notices.names[i] : NULL;
}
