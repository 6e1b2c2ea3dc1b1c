/* SPDX-License-Identifier: MIT */
/* Suites that are started and ended from the page. Only the documents that the server was told of
 * can be run: a document may name any command. */
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "journal/lever.h"
#include "web/web_internal.h"

enum { ARGUMENTS_MAX = 160, WHICH_MAX = 64 };

/* ---- what is asked for ---- */

struct plan {
    const char *document; /* as the request calls it */
    const char *argv[ARGUMENTS_MAX];
    size_t count;
    char seed[32], parallel[16];
};

static void put(struct plan *plan, const char *argument)
{
    plan->argv[plan->count++] = argument;
    plan->argv[plan->count] = NULL;
}

static void put_two(struct plan *plan, const char *option, const char *value)
{
    put(plan, option);
    put(plan, value);
}

/* The file that is run; NULL: the demo. */
static int find_document(const struct ce_server *web, const char *name, const char **ret_path,
                         struct ce_error *err)
{
    for (size_t i = 0; i < web->options->document_count; i++) {
        if (strcmp(web->options->documents[i], name) == 0) {
            *ret_path = name;
            return 0;
        }
    }
    *ret_path = NULL;
    if (strcmp(name, "demo") == 0)
        return 0;
    return ce_fail(err, ENOENT, "there is no document '%.80s' that may be run from here", name);
}

static int put_which(struct plan *plan, const char *option, const json_t *list,
                     struct ce_error *err)
{
    size_t i;
    json_t *which;
    if (!json_is_array(list) || json_array_size(list) > WHICH_MAX)
        return ce_fail(err, EINVAL, "%s: is no list of at most %d names", option + 2, WHICH_MAX);
    json_array_foreach(list, i, which)
    {
        if (!json_is_string(which))
            return ce_fail(err, EINVAL, "%s: has something that is no name", option + 2);
        put_two(plan, option, json_string_value(which));
    }
    return 0;
}

static int put_number(struct plan *plan, const char *option, const json_t *value, json_int_t least,
                      json_int_t most, char *text, size_t size, struct ce_error *err)
{
    json_int_t number = json_integer_value(value);
    if (!json_is_integer(value) || number < least || number > most)
        return ce_fail(err, EINVAL, "%s: is no whole number in %lld..%lld", option + 2,
                       (long long)least, (long long)most);
    snprintf(text, size, "%lld", (long long)number);
    put_two(plan, option, text);
    return 0;
}

static int put_wishes(struct plan *plan, const json_t *body, struct ce_error *err)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)body, key, value)
    {
        if (strcmp(key, "document") == 0)
            continue;
        if (strcmp(key, "only") == 0)
            CE_TRY(put_which(plan, "--only", value, err));
        else if (strcmp(key, "skip") == 0)
            CE_TRY(put_which(plan, "--skip", value, err));
        else if (strcmp(key, "seed") == 0)
            CE_TRY(put_number(plan, "--seed", value, 0, INT64_MAX, plan->seed, sizeof plan->seed,
                              err));
        else if (strcmp(key, "parallel") == 0)
            CE_TRY(put_number(plan, "--parallel", value, 1, 64, plan->parallel,
                              sizeof plan->parallel, err));
        else
            return ce_fail(err, EINVAL,
                           "unknown key '%.40s' (accepted: document, only, skip, seed, parallel)",
                           key);
    }
    return 0;
}

/* ---- start ---- */

static int start_locked(const struct ce_web_request *request, const struct plan *plan,
                        struct ce_error *err)
{
    const struct ce_launch_order order = {plan->document, plan->argv, request->connection};
    CE_TRY(ce_launch_start(request->web->launches, &order, request->launch, err));
    MHD_suspend_connection(request->connection);
    return 0;
}

static int start(const struct ce_web_request *request, struct ce_response *reply,
                 struct ce_error *err)
{
    struct ce_server *web = request->web;
    const char *name = json_string_value(json_object_get(request->body, "document")), *path;
    if (!name)
        return ce_fail(err, EINVAL, "document: has to be given, by its name");
    CE_TRY(find_document(web, name, &path, err));
    ce_autofree char *demo = ce_format("%s/demo", web->state_dir);
    ce_autofree char *program =
        web->options->program ? strdup(web->options->program) : realpath("/proc/self/exe", NULL);
    if (!demo || !program)
        return ce_fail_memory(err);
    struct plan plan = {.document = name};
    put(&plan, program);
    put(&plan, path ? "run" : "demo");
    if (!path)
        put_two(&plan, "--out", demo);
    put_two(&plan, "--state-dir", web->state_dir);
    if (web->options->db)
        put_two(&plan, "--db", web->options->db);
    CE_TRY(put_wishes(&plan, request->body, err));
    if (path) { /* whatever it is called, it is no option */
        put(&plan, "--");
        put(&plan, path);
    }
    (void)pthread_mutex_lock(&web->lock);
    int r = start_locked(request, &plan, err);
    (void)pthread_mutex_unlock(&web->lock);
    reply->waits = r >= 0;
    return r;
}

/* One that has ended before it began says why. */
static int fail_start(const struct ce_web_request *request, const struct ce_launch_outcome *outcome,
                      struct ce_error *err)
{
    const char *why = outcome->sentence[0] ? outcome->sentence : "it ended without a word";
    int code = outcome->exit_code == CE_EXIT_USAGE ? EINVAL : EIO;
    if (ce_lever_is_engaged(request->web->state_dir))
        code = ECANCELED;
    return ce_fail(err, code, "it was not started: %s", why);
}

static int tell_outcome(const struct ce_web_request *request, struct ce_response *reply,
                        struct ce_error *err)
{
    struct ce_launch_outcome outcome;
    (void)pthread_mutex_lock(&request->web->lock);
    ce_launch_take(request->web->launches, *request->launch, &outcome);
    (void)pthread_mutex_unlock(&request->web->lock);
    *request->launch = 0;
    if (outcome.ended && !outcome.suite[0])
        return fail_start(request, &outcome, err);
    reply->status = MHD_HTTP_ACCEPTED;
    return ce_response_json(reply,
                            json_pack("{s:i, s:s?}", "pid", outcome.pid, "suite",
                                      outcome.suite[0] ? outcome.suite : NULL),
                            err);
}

/* Called once more when the suite has begun, or has not. */
int ce_api_start(const struct ce_web_request *request, struct ce_response *reply,
                 struct ce_error *err)
{
    return *request->launch ? tell_outcome(request, reply, err) : start(request, reply, err);
}

/* ---- end ---- */

int ce_api_abort(const struct ce_web_request *request, struct ce_response *reply,
                 struct ce_error *err)
{
    struct ce_server *web = request->web;
    const char *suite = request->parts[0];
    (void)pthread_mutex_lock(&web->lock);
    int r = ce_watch_interrupt(web->watch, suite, err);
    (void)pthread_mutex_unlock(&web->lock);
    CE_TRY(r);
    reply->status = MHD_HTTP_ACCEPTED;
    return ce_response_json(reply, json_pack("{s:s}", "suite", suite), err);
}
