/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "base/file.h"
#include "data/sql/sql_internal.h"

static const struct {
    const char *prefix;
    const struct ce_sql_engine *engine;
} kinds[] = {
    {"sqlite:", &ce_sql_sqlite},
    {"postgresql://", &ce_sql_postgres},
    {"postgres://", &ce_sql_postgres},
};

static const struct ce_sql_engine *engine_of(const char *address, size_t *ret_prefix)
{
    for (size_t i = 0; i < CE_COUNT(kinds); i++) {
        *ret_prefix = strlen(kinds[i].prefix);
        if (strncmp(address, kinds[i].prefix, *ret_prefix) == 0)
            return kinds[i].engine;
    }
    return NULL;
}

bool ce_sql_is(const char *address)
{
    size_t prefix;
    return engine_of(address, &prefix) != NULL;
}

static int digit(char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *at = c ? strchr(digits, c >= 'A' && c <= 'F' ? c + ('a' - 'A') : c) : NULL;
    return at ? (int)(at - digits) : -1;
}

/* With %XX undone. NULL: no memory. */
static char *decode(const char *text, size_t size)
{
    char *decoded = malloc(size + 1), *at = decoded;
    if (!decoded)
        return NULL;
    for (size_t i = 0; i < size; i++) {
        bool escaped =
            text[i] == '%' && i + 2 < size && digit(text[i + 1]) >= 0 && digit(text[i + 2]) >= 0;
        *at++ = escaped ? (char)(digit(text[i + 1]) << 4 | digit(text[i + 2])) : text[i];
        i += escaped ? 2 : 0;
    }
    *at = '\0';
    return decoded;
}

/* The value of table=... in the query, and the query without it in ret_others (may be empty). */
static const char *find_table(const char *query, size_t *ret_size, char *ret_others)
{
    const char *table = NULL;
    char *others = ret_others;
    while (*query) {
        size_t size = strcspn(query, "&");
        if (!table && strncmp(query, "table=", 6) == 0) {
            table = query + 6;
            *ret_size = size - 6;
        } else {
            others += sprintf(others, "%s%.*s", others > ret_others ? "&" : "", (int)size, query);
        }
        query += size + (query[size] == '&');
    }
    *others = '\0';
    return table;
}

static int fail_address(struct ce_error *err, const char *address)
{
    return ce_fail(err, EINVAL,
                   "this %s names no table; it looks like sqlite:PATH?table=NAME or "
                   "postgresql://HOST/DATABASE?table=NAME",
                   strncmp(address, "sqlite", 6) == 0 ? "SQLite address" : "PostgreSQL address");
}

int ce_sql_address_parse(const char *address, struct ce_sql_address *ret_address,
                         struct ce_error *err)
{
    size_t prefix, table_size = 0;
    const struct ce_sql_engine *engine = engine_of(address, &prefix);
    const char *query = strchr(address, '?');
    ce_autofree char *others = malloc(strlen(address) + 1);
    if (!others)
        return ce_fail_memory(err);
    const char *table = query ? find_table(query + 1, &table_size, others) : NULL;
    if (!engine || !table || table_size == 0)
        return fail_address(err, address);
    bool sqlite = engine == &ce_sql_sqlite;
    if (sqlite && others[0])
        return ce_fail(err, EINVAL, "an SQLite address knows `table` and nothing else, not '%s'",
                       others);

    CE_CLEANUP(ce_sql_address_done) struct ce_sql_address parsed = {.engine = engine};
    const char *dot = sqlite ? NULL : memchr(table, '.', table_size);
    const char *name = dot ? dot + 1 : table;
    size_t database_size = (size_t)(query - address);
    parsed.table = decode(name, table_size - (size_t)(name - table));
    parsed.database =
        sqlite ? decode(address + prefix, database_size - prefix)
               : ce_format("%.*s%s%s", (int)database_size, address, others[0] ? "?" : "", others);
    if (dot)
        parsed.schema = decode(table, (size_t)(dot - table));
    if (!parsed.table || !parsed.database || (dot && !parsed.schema))
        return ce_fail_memory(err);
    if (!parsed.table[0] || !parsed.database[0] || (dot && !parsed.schema[0]))
        return fail_address(err, address);
    *ret_address = parsed;
    parsed = (struct ce_sql_address){0};
    return 0;
}

void ce_sql_address_done(struct ce_sql_address *address)
{
    free(address->database);
    free(address->schema);
    free(address->table);
    *address = (struct ce_sql_address){0};
}

int ce_sql_check(const char *address, struct ce_error *err)
{
    CE_CLEANUP(ce_sql_address_done) struct ce_sql_address parsed = {0};
    return ce_sql_address_parse(address, &parsed, err);
}

char *ce_sql_table(const char *address)
{
    CE_CLEANUP(ce_sql_address_done) struct ce_sql_address parsed = {0};
    return ce_sql_address_parse(address, &parsed, NULL) < 0 ? NULL : ce_take(parsed.table);
}

/* Everything but letters, digits and what no address gives a meaning to. */
static char *encode(const char *text)
{
    char *encoded = malloc(3 * strlen(text) + 1), *at = encoded;
    if (!encoded)
        return NULL;
    for (; *text; text++) {
        bool plain = (*text >= '0' && *text <= '9') || (*text >= 'A' && *text <= 'Z') ||
                     (*text >= 'a' && *text <= 'z') || strchr("_-~/", *text);
        at += sprintf(at, plain ? "%c" : "%%%02X", (unsigned char)*text);
    }
    *at = '\0';
    return encoded;
}

char *ce_sql_sibling(const char *address, const char *table)
{
    CE_CLEANUP(ce_sql_address_done) struct ce_sql_address parsed = {0};
    if (ce_sql_address_parse(address, &parsed, NULL) < 0)
        return NULL;
    ce_autofree char *name = encode(table);
    ce_autofree char *schema = parsed.schema ? encode(parsed.schema) : NULL;
    bool sqlite = parsed.engine == &ce_sql_sqlite;
    ce_autofree char *real = sqlite ? realpath(parsed.database, NULL) : NULL;
    ce_autofree char *path = sqlite ? encode(real ? real : parsed.database) : NULL;
    if (!name || (sqlite && !path) || (parsed.schema && !schema))
        return NULL;
    if (sqlite)
        return ce_format("sqlite:%s?table=%s", path, name);
    return ce_format("%s%stable=%s%s%s", parsed.database, strchr(parsed.database, '?') ? "&" : "?",
                     schema ? schema : "", schema ? "." : "", name);
}

/* Whether a "name=value" of a query is a secret: password=, sslpassword=, however it is escaped. */
static bool is_secret(const char *pair, size_t size)
{
    const char *equals = memchr(pair, '=', size);
    ce_autofree char *name = decode(pair, equals ? (size_t)(equals - pair) : size);
    return !name || strstr(name, "password");
}

/* "//USER:PASSWORD@", or parameters. */
char *ce_sql_shown(const char *address)
{
    size_t prefix;
    if (engine_of(address, &prefix) != &ce_sql_postgres)
        return strdup(address);
    const char *authority = address + prefix;
    size_t size = strcspn(authority, "/?");
    const char *at = memrchr(authority, '@', size);
    const char *colon = at ? memchr(authority, ':', (size_t)(at - authority)) : NULL;
    const char *rest = colon ? at : authority;
    const char *query = rest + strcspn(rest, "?");
    char *shown = malloc(strlen(address) + 1);
    if (!shown)
        return NULL;
    char *end = mempcpy(shown, address, (size_t)((colon ? colon : authority) - address));
    end = mempcpy(end, rest, (size_t)(query - rest));
    char before = '?';
    while (*query) {
        size_t pair = strcspn(++query, "&");
        if (!is_secret(query, pair)) {
            *end++ = before;
            end = mempcpy(end, query, pair);
            before = '&';
        }
        query += pair;
    }
    *end = '\0';
    return shown;
}

bool ce_sql_has_password(const char *address)
{
    ce_autofree char *shown = ce_sql_shown(address);
    return !shown || strcmp(shown, address) != 0;
}

char *ce_sql_quoted(const char *name)
{
    char *quoted = malloc(2 * strlen(name) + 3), *at = quoted;
    if (!quoted)
        return NULL;
    *at++ = '"';
    for (; *name; name++) {
        *at++ = *name;
        if (*name == '"')
            *at++ = '"';
    }
    *at++ = '"';
    *at = '\0';
    return quoted;
}
