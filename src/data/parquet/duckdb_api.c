/* SPDX-License-Identifier: MIT */
#include "data/parquet/duckdb_api.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"

#define LIBRARY "libduckdb.so"
#define MEMORY  "1GiB" /* DuckDB fails rather than take more; usual files need a tenth of it */

#ifdef __SANITIZE_THREAD__
/* DuckDB is not built for ThreadSanitizer, which therefore sees its threads but not its atomics. */
const char *__tsan_default_suppressions(void);
__attribute__((visibility("default"))) const char *__tsan_default_suppressions(void)
{
    return "race:" LIBRARY;
}
#endif

/* ---- finding the library ---- */

static const struct {
    const char *symbol;
    size_t at;
} functions[] = {
#define FUNCTION(result, name, arguments) {"duckdb_" #name, offsetof(struct ce_duckdb_api, name)},
    CE_DUCKDB_FUNCTIONS(FUNCTION)
#undef FUNCTION
};

/* Takes over `path`. NULL: not there, or not a library that this machine can load.
 *
 * NODELETE: DuckDB has threads and thread-local state of its own, which do not survive an
 * unloading. */
static void *load(char *path)
{
    void *library = path ? dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE) : NULL;
    free(path);
    return library;
}

/* Where it lies beside `file`: in a build folder, in an installation (program in bin/, library in
 * lib/ or lib/<machine>/). */
static void *load_beside(const char *file)
{
    static const char *const below[] = {"/../lib/chaoseater/" LIBRARY, "/../chaoseater/" LIBRARY,
                                        "/" LIBRARY};
    const char *slash = strrchr(file, '/');
    void *library = NULL;
    for (size_t i = 0; slash && !library && i < CE_COUNT(below); i++)
        library = load(ce_format("%.*s%s", (int)(slash - file), file, below[i]));
    return library;
}

static void *load_found(void)
{
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    self[n > 0 ? n : 0] = '\0';
    void *library = load_beside(self);

    Dl_info home; /* an interpreter that loaded us lies elsewhere */
    if (!library && dladdr(functions, &home) && home.dli_fname)
        library = load_beside(home.dli_fname);
    const char *build = getenv("CHAOSEATER_BUILD");
    if (!library && build && *build)
        library = load(ce_format("%s/" LIBRARY, build));
    return library ? library : load(strdup(LIBRARY));
}

static int api_load(struct ce_duckdb_api *ret_api, void **ret_library, struct ce_error *err)
{
    const char *named = getenv("CHAOSEATER_DUCKDB");
    bool is_named = named && *named;
    void *library = is_named ? load(strdup(named)) : load_found();
    if (!library && is_named)
        return ce_fail(err, ENOTSUP, "CHAOSEATER_DUCKDB is '%s', which cannot be loaded: %s", named,
                       dlerror());
    if (!library)
        return ce_fail(err, ENOTSUP,
                       "Parquet needs DuckDB's library, " LIBRARY
                       ": `tools/get-duckdb.sh build` fetches it, or CHAOSEATER_DUCKDB names it");
    for (size_t i = 0; i < CE_COUNT(functions); i++) {
        void *function = dlsym(library, functions[i].symbol);
        if (!function)
            return ce_fail(err, ENOTSUP,
                           "this " LIBRARY " has no %s; version 1.4 or a later 1.x is needed",
                           functions[i].symbol);
        memcpy((char *)ret_api + functions[i].at, &function, sizeof function);
    }
    *ret_library = library;
    return 0;
}

bool ce_duckdb_available(char *reason, size_t size)
{
    struct ce_duckdb_api api;
    struct ce_error err = {0};
    void *library;
    if (api_load(&api, &library, &err) < 0) {
        snprintf(reason, size, "%s", err.message);
        return false;
    }
    Dl_info home = {0};
    void *symbol = dlsym(library, functions[0].symbol);
    snprintf(reason, size, "DuckDB %s, %s", api.library_version(),
             dladdr(symbol, &home) && home.dli_fname ? home.dli_fname : LIBRARY);
    return true;
}

/* ---- the database ---- */

int ce_duckdb_fail(struct ce_error *err, int code, const char *message)
{
    char line[sizeof err->message];
    const char *text = message ? message : "DuckDB did not say why";
    const char *kind = strstr(text, "Error: ");
    if (kind && kind - text < 32)
        text = kind + strlen("Error: ");
    size_t size = 0;
    for (; size < sizeof line - 1 && text[size] && !strchr("\r\n", text[size]); size++)
        line[size] = text[size];
    while (size > 0 && strchr(" .:", line[size - 1]))
        size--;
    line[size] = '\0';
    for (char *c = line; *c; c++) /* it may quote bytes of a damaged file */
        if ((unsigned char)*c < ' ' || *c == 127)
            *c = '?';
    return ce_fail(err, code, "%s", line);
}

static int configure(const struct ce_duckdb_api *api, struct duckdb_config *config,
                     unsigned threads, struct ce_error *err)
{
    char count[16];
    snprintf(count, sizeof count, "%u", threads);
    const char *const settings[][2] = {
        {"threads", count},
        {"memory_limit", MEMORY},
        {"temp_directory", ""}, /* never a file in the user's folder */
        {"autoinstall_known_extensions", "false"},
        {"autoload_known_extensions", "false"},
        {"enable_external_file_cache", "false"}, /* a copy of what is read once */
    };
    for (size_t i = 0; i < CE_COUNT(settings); i++)
        if (api->set_config(config, settings[i][0], settings[i][1]) != CE_DUCKDB_SUCCESS)
            return ce_fail(err, ENOTSUP, "DuckDB does not take the setting %s = '%s'",
                           settings[i][0], settings[i][1]);
    return 0;
}

static int database_open(struct ce_duckdb *duck, unsigned threads, struct ce_error *err)
{
    const struct ce_duckdb_api *api = &duck->api;
    struct duckdb_config *config = NULL;
    if (api->create_config(&config) != CE_DUCKDB_SUCCESS)
        return ce_fail_memory(err);
    int r = configure(api, config, threads, err);
    char *message = NULL;
    if (r == 0 && api->open_ext(NULL, &duck->database, config, &message) != CE_DUCKDB_SUCCESS) {
        r = ce_duckdb_fail(err, EIO, message);
        api->free(message);
    }
    api->destroy_config(&config);
    return r;
}

/* Adds the path to a list of SQL texts. DuckDB compares where names lead to, not the names. */
static int list_path(FILE *list, int fd, struct ce_error *err)
{
    char name[CE_DUCKDB_FILE_SIZE], path[PATH_MAX];
    ce_duckdb_file(fd, name);
    ssize_t n = readlink(name, path, sizeof path);
    if (n < 0)
        return ce_fail(err, errno, "cannot read %s: %s", name, strerror(errno));
    fputs("'", list);
    for (ssize_t i = 0; i < n; i++)
        fprintf(list, path[i] == '\'' ? "''" : "%c", path[i]);
    fputs("',", list);
    return 0;
}

/* Settings that no later statement can take back. Times are told in UTC everywhere. */
static int database_fence(struct ce_duckdb *duck, const int *fds, size_t fd_count,
                          struct ce_error *err)
{
    ce_autofree char *sql = NULL;
    size_t size;
    FILE *text = open_memstream(&sql, &size);
    if (!text)
        return ce_fail_memory(err);
    fputs("SET GLOBAL TimeZone = 'UTC'; SET allowed_paths = [", text);
    int r = 0;
    for (size_t i = 0; i < fd_count && r == 0; i++)
        r = list_path(text, fds[i], err);
    fputs("]; SET enable_external_access = false; SET lock_configuration = true", text);
    if (fclose(text) != 0 && r == 0)
        r = ce_fail_memory(err);

    struct duckdb_connection *connection = NULL;
    if (r == 0)
        r = ce_duckdb_connect(duck, &connection, err);
    if (r == 0)
        r = ce_duckdb_run(duck, connection, sql, NULL, NULL, err);
    if (connection)
        duck->api.disconnect(&connection);
    return r;
}

int ce_duckdb_open(unsigned threads, const int *fds, size_t fd_count, struct ce_duckdb **ret_duck,
                   struct ce_error *err)
{
    if (threads == 0) {
        long processors = sysconf(_SC_NPROCESSORS_ONLN);
        threads = processors < 1 ? 1 : (unsigned)processors;
    }
    if (threads > CE_DUCKDB_THREADS_MAX)
        threads = CE_DUCKDB_THREADS_MAX;

    CE_CLEANUP(ce_duckdb_close_p) struct ce_duckdb *duck = calloc(1, sizeof *duck);
    if (!duck)
        return ce_fail_memory(err);
    void *library;
    CE_TRY(api_load(&duck->api, &library, err));
    CE_TRY(database_open(duck, threads, err));
    CE_TRY(database_fence(duck, fds, fd_count, err));
    *ret_duck = ce_take(duck);
    return 0;
}

void ce_duckdb_close(struct ce_duckdb *duck)
{
    if (!duck)
        return;
    if (duck->database)
        duck->api.close(&duck->database);
    free(duck);
}

void ce_duckdb_file(int fd, char ret_name[CE_DUCKDB_FILE_SIZE])
{
    snprintf(ret_name, CE_DUCKDB_FILE_SIZE, "/proc/self/fd/%d", fd);
}

void ce_duckdb_rename(int fd, const char *path, struct ce_error *error)
{
    char name[CE_DUCKDB_FILE_SIZE];
    ce_duckdb_file(fd, name);
    const struct ce_error told = *error;
    const char *at = strstr(told.message, name);
    if (at)
        snprintf(error->message, sizeof error->message, "%.*s%s%s", (int)(at - told.message),
                 told.message, path, at + strlen(name));
}

int ce_duckdb_connect(struct ce_duckdb *duck, struct duckdb_connection **ret_connection,
                      struct ce_error *err)
{
    if (duck->api.connect(duck->database, ret_connection) != CE_DUCKDB_SUCCESS)
        return ce_fail_memory(err);
    return 0;
}

/* ---- statements ---- */

static int chunk_rows(const struct ce_duckdb_api *api, struct duckdb_chunk *chunk,
                      ce_duckdb_row row, void *ctx, struct ce_error *err)
{
    uint64_t columns = api->data_chunk_get_column_count(chunk);
    ce_autofree const struct duckdb_string **cells = calloc(columns + 1, sizeof *cells);
    if (!cells)
        return ce_fail_memory(err);
    for (uint64_t i = 0; i < api->data_chunk_get_size(chunk); i++) {
        for (uint64_t c = 0; c < columns; c++) {
            struct duckdb_vector *vector = api->data_chunk_get_vector(chunk, c);
            const uint64_t *valid = api->vector_get_validity(vector);
            const struct duckdb_string *strings = api->vector_get_data(vector);
            cells[c] = !valid || valid[i / 64] >> i % 64 & 1 ? &strings[i] : NULL;
        }
        CE_TRY(row(ctx, cells, err));
    }
    return 0;
}

int ce_duckdb_run(struct ce_duckdb *duck, struct duckdb_connection *connection, const char *sql,
                  ce_duckdb_row row, void *ctx, struct ce_error *err)
{
    const struct ce_duckdb_api *api = &duck->api;
    struct duckdb_result result;
    int r = 0;
    if (api->query(connection, sql, &result) != CE_DUCKDB_SUCCESS)
        r = ce_duckdb_fail(err, EIO, api->result_error(&result));
    for (struct duckdb_chunk *chunk; r == 0 && row && (chunk = api->fetch_chunk(result));) {
        r = chunk_rows(api, chunk, row, ctx, err);
        api->destroy_data_chunk(&chunk);
    }
    api->destroy_result(&result);
    return r;
}
