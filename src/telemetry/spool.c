/* SPDX-License-Identifier: MIT */
#include "telemetry/spool.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"

enum { TEXT_MAX = 16 << 20 };
#define SEND_TIMEOUT      (1500 * CE_MILLISECOND)
#define SEND_KEPT_TIMEOUT (60 * CE_SECOND)

static char *folder_of(const char *state_dir)
{
    return ce_format("%s/metrics", state_dir);
}

static char *file_of(const char *state_dir, const char *gateway, const char *group)
{
    char hex[CE_SHA256_HEX];
    ce_autofree char *key = ce_format("%s\n%s", gateway, group);
    if (!key || ce_sha256_data(key, strlen(key), hex, NULL) < 0)
        return NULL;
    return ce_format("%s/metrics/%.32s.json", state_dir, hex);
}

/* ---- the files ---- */

static int is_kept(const struct dirent *entry)
{
    size_t size = strlen(entry->d_name);
    return size > 5 && entry->d_name[0] != '.' && strcmp(entry->d_name + size - 5, ".json") == 0;
}

static void list_done(struct dirent **list, int count)
{
    for (int i = 0; i < count; i++)
        free(list[i]);
    free(list);
}

/* The one that was written longest ago; NULL: no memory. */
static char *oldest_of(const char *folder, struct dirent *const *list, int count)
{
    char *oldest = NULL;
    struct timespec when = {0};
    for (int i = 0; i < count; i++) {
        struct stat info;
        ce_autofree char *path = ce_format("%s/%s", folder, list[i]->d_name);
        if (!path || stat(path, &info) < 0)
            continue;
        bool older = info.st_mtim.tv_sec != when.tv_sec ? info.st_mtim.tv_sec < when.tv_sec
                                                        : info.st_mtim.tv_nsec < when.tv_nsec;
        if (oldest && !older)
            continue;
        free(oldest);
        oldest = ce_take(path);
        when = info.st_mtim;
    }
    return oldest;
}

/* Gives up the oldest until the rest is few enough. */
static void make_room(const char *folder)
{
    struct dirent **list;
    int count;
    while ((count = scandir(folder, &list, is_kept, NULL)) >= 0) {
        ce_autofree char *oldest = count > CE_SPOOL_MAX ? oldest_of(folder, list, count) : NULL;
        list_done(list, count);
        if (!oldest || unlink(oldest) < 0)
            return;
    }
}

int ce_spool_keep(const char *state_dir, const char *gateway, const char *group, const char *text,
                  struct ce_error *err)
{
    ce_autofree char *folder = folder_of(state_dir), *path = file_of(state_dir, gateway, group);
    ce_autojson json_t *json =
        json_pack("{s:s, s:s, s:s}", "gateway", gateway, "group", group, "text", text);
    ce_autofree char *content = json ? ce_json_text(json) : NULL;
    if (!folder || !path || !content)
        return ce_fail_memory(err);
    CE_TRY(ce_folder_make(folder, err));
    CE_TRY(ce_file_replace(path, content, strlen(content), err));
    make_room(folder);
    return 0;
}

void ce_spool_forget(const char *state_dir, const char *gateway, const char *group)
{
    ce_autofree char *path = file_of(state_dir, gateway, group);
    if (path)
        (void)unlink(path);
}

/* ---- sending ---- */

/* Unless another process has put something newer in its place meanwhile. */
static void remove_sent(const char *path, const struct stat *sent)
{
    struct stat info;
    if (stat(path, &info) == 0 && info.st_ino == sent->st_ino &&
        info.st_mtim.tv_nsec == sent->st_mtim.tv_nsec)
        (void)unlink(path);
}

/* 1: taken; 0: it is for another gateway, or of no use. */
static int send_file(const char *path, const struct ce_gateway *gateway, int64_t until,
                     struct ce_error *err)
{
    ce_autofree char *content = NULL;
    size_t size;
    struct stat info;
    if (stat(path, &info) < 0 || ce_file_read(path, TEXT_MAX, &content, &size, NULL) < 0)
        return 0; /* another process has sent it, or given it up */
    ce_autojson json_t *json = ce_json_parse(content, size, path, NULL);
    const char *to = json_string_value(json_object_get(json, "gateway"));
    const char *group = json_string_value(json_object_get(json, "group"));
    const char *text = json_string_value(json_object_get(json, "text"));
    if (!to || !group || !text)
        return 0;
    if (strcmp(to, gateway->shown) != 0)
        return 0;
    int64_t left = until - ce_now();
    if (left < CE_MILLISECOND)
        return ce_fail(err, ETIMEDOUT, "'%.80s' was not done in time", gateway->shown);
    struct ce_gateway of_its_kind = *gateway;
    of_its_kind.kind = strchr(group, '#') ? CE_GATEWAY_JSON : CE_GATEWAY_METRICS;
    int r =
        ce_gateway_put(&of_its_kind, group, text, left < SEND_TIMEOUT ? left : SEND_TIMEOUT, err);
    if (r < 0 && r != -EBADMSG)
        return r;
    remove_sent(path, &info); /* also what nobody will ever take */
    return r == 0;
}

static int send_all(const char *folder, struct dirent *const *list, int count,
                    const struct ce_gateway *gateway, int64_t until, size_t *left,
                    struct ce_error *err)
{
    int sent = 0, failed = 0;
    bool answers = true; /* once it does not, it is not asked again */
    for (int i = 0; i < count; i++) {
        ce_autofree char *path = ce_format("%s/%s", folder, list[i]->d_name);
        if (!path)
            return ce_fail_memory(err);
        struct ce_error why = {0};
        int r = send_file(path, gateway, answers ? until : 0, &why);
        answers = answers && (r >= 0 || r == -EREMOTEIO);
        if (r < 0 && failed == 0 && err)
            *err = why;
        failed = failed == 0 && r < 0 ? r : failed;
        *left += r < 0;
        sent += r > 0;
    }
    return failed < 0 ? failed : sent;
}

int ce_spool_send(const char *state_dir, const struct ce_gateway *gateway, int64_t until,
                  size_t *ret_left, struct ce_error *err)
{
    ce_autofree char *folder = folder_of(state_dir);
    struct dirent **list;
    size_t left = 0;
    if (!folder)
        return ce_fail_memory(err);
    ce_autofd int lock = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int count =
        lock < 0 || flock(lock, LOCK_EX | LOCK_NB) < 0 ? -1 : scandir(folder, &list, is_kept, NULL);
    if (count < 0)
        return 0;
    int r = send_all(folder, list, count, gateway, until, &left, err);
    list_done(list, count);
    if (ret_left)
        *ret_left = left;
    return r;
}

int ce_metrics_send_kept(const char *gateway, const char *state_dir, size_t *ret_left,
                         struct ce_error *err)
{
    CE_CLEANUP(ce_gateway_done) struct ce_gateway where = {0};
    CE_TRY(ce_gateway_parse(gateway, &where, err));
    return ce_spool_send(state_dir, &where, ce_now() + SEND_KEPT_TIMEOUT, ret_left, err);
}
