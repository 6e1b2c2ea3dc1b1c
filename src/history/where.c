/* SPDX-License-Identifier: MIT */
/* A filter as the conditions of a statement. What users gave is bound, never written into it. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/text.h"
#include "history/history_internal.h"

#define DAY (86400 * CE_SECOND)

/* `after` closes what `before` opens: the value stands between them. */
static void add(struct ce_history_where *where, const char *before, const char *after,
                const char *text, double number)
{
    size_t used = strlen(where->sql);
    snprintf(where->sql + used, sizeof where->sql - used, "%s%s :w%zu%s",
             used > 0 ? " AND " : " WHERE ", before, where->count, after);
    where->bound[where->count].text = text;
    where->bound[where->count++].number = number;
}

static void add_text(struct ce_history_where *where, const char *before, const char *after,
                     const char *text)
{
    if (text)
        add(where, before, after, text, 0);
}

/* ---- words ---- */

static const char *const layers[] = {"data", "model", "infrastructure"};
static const char *const statuses[] = {"completed", "aborted", "interrupted",
                                       "failed",    "skipped", "dirty"};
static const char *const verdicts[] = {"passed", "deviated", "inconclusive", "invalid"};

/* A word that no run can have is a mistake, and not a list of no runs. */
static int check_word(const char *what, const char *word, const char *const *words, size_t count,
                      struct ce_error *err)
{
    char known[128] = "", shown[CE_TEXT_SHOWN_SIZE];
    if (!word || ce_text_is_among(word, words, count))
        return 0;
    for (size_t i = 0, used = 0; i < count; i++)
        used += (size_t)snprintf(known + used, sizeof known - used, "%s%s", i > 0 ? ", " : "",
                                 words[i]);
    ce_text_show(word, shown);
    return ce_fail(err, EINVAL, "%s '%s' is not one of %s", what, shown, known);
}

static int check_words(const struct ce_history_filter *filter, struct ce_error *err)
{
    CE_TRY(check_word("layer", filter->layer, layers, CE_COUNT(layers), err));
    CE_TRY(check_word("status", filter->status, statuses, CE_COUNT(statuses), err));
    return check_word("verdict", filter->verdict, verdicts, CE_COUNT(verdicts), err);
}

/* ---- times ---- */

/* "7d", "24h": so long ago. */
static bool read_ago(const char *text, int64_t *ret_wall)
{
    char digits[32];
    int64_t ago;
    double days;
    size_t size = strlen(text);
    if (size >= 2 && size < sizeof digits && text[size - 1] == 'd') {
        memcpy(digits, text, size - 1);
        digits[size - 1] = '\0';
        if (ce_text_number(digits, &days) < 0 || days < 0 || days > 100000)
            return false;
        ago = (int64_t)(days * (double)DAY);
    } else if (ce_text_duration(text, false, &ago) < 0) {
        return false;
    }
    *ret_wall = ce_wall_now() - ago;
    return true;
}

/* "2026-11-22", "2026-11-22T10:00:00Z", with a fraction or an offset. */
static bool read_date(const char *text, bool end_of_day, int64_t *ret_wall)
{
    struct tm tm = {0};
    int hours, minutes;
    char sign, rest;
    const char *end = strptime(text, "%Y-%m-%d", &tm);
    if (end && *end == '\0') {
        *ret_wall = (int64_t)timegm(&tm) * CE_SECOND + (end_of_day ? DAY : 0);
        return true;
    }
    if (!end || (*end != 'T' && *end != ' ') || !(end = strptime(end + 1, "%H:%M:%S", &tm)))
        return false;
    int64_t wall = (int64_t)timegm(&tm) * CE_SECOND;
    if (*end == '.') {
        int64_t unit = CE_SECOND / 10;
        for (end++; *end >= '0' && *end <= '9'; end++, unit /= 10)
            wall += (*end - '0') * unit;
    }
    if (sscanf(end, "%c%2d:%2d%c", &sign, &hours, &minutes, &rest) == 3 &&
        (sign == '+' || sign == '-'))
        wall += (sign == '+' ? -1 : 1) * (hours * 60 + minutes) * 60 * CE_SECOND;
    else if (*end != '\0' && strcmp(end, "Z") != 0)
        return false;
    *ret_wall = wall;
    return true;
}

static int read_time(const char *what, const char *text, bool end_of_day,
                     char ret_text[CE_TIMESTAMP_SIZE], struct ce_error *err)
{
    char shown[CE_TEXT_SHOWN_SIZE];
    int64_t wall;
    if (!read_ago(text, &wall) && !read_date(text, end_of_day, &wall)) {
        ce_text_show(text, shown);
        return ce_fail(err, EINVAL,
                       "%s '%s' is no time such as 2026-11-22, 2026-11-22T10:00:00Z, 7d or 12h",
                       what, shown);
    }
    /* What is stored has a year of four digits. */
    if (wall < 0)
        wall = 0;
    ce_timestamp(wall, ret_text);
    return 0;
}

/* ---- all of it ---- */

static int add_times(const struct ce_history_filter *filter, struct ce_history_where *where,
                     struct ce_error *err)
{
    if (filter->since) {
        CE_TRY(read_time("since", filter->since, false, where->since, err));
        add(where, "r.started_at >=", "", where->since, 0);
    }
    if (filter->until) {
        CE_TRY(read_time("until", filter->until, true, where->until, err));
        add(where, "r.started_at <", "", where->until, 0);
    }
    return 0;
}

int ce_history_where_make(const struct ce_history_filter *filter,
                          struct ce_history_where *ret_where, struct ce_error *err)
{
    *ret_where = (struct ce_history_where){0};
    CE_TRY(check_words(filter, err));
    bool pattern = filter->name && filter->name[strcspn(filter->name, "*?[")] != '\0';
    add_text(ret_where, pattern ? "r.name GLOB" : "r.name =", "", filter->name);
    add_text(ret_where, "r.layer =", "", filter->layer);
    add_text(ret_where, "r.fault_type =", "", filter->fault);
    add_text(ret_where, "r.status =", "", filter->status);
    add_text(ret_where, "r.verdict =", "", filter->verdict);
    add_text(ret_where, "r.profile =", "", filter->profile);
    add_text(ret_where, "r.n IN (SELECT run FROM tag WHERE tag =", ")", filter->tag);
    if (filter->has_min_score)
        add(ret_where, "r.resilience_score >=", "", NULL, filter->min_score);
    if (filter->has_max_score)
        add(ret_where, "r.resilience_score <=", "", NULL, filter->max_score);
    return add_times(filter, ret_where, err);
}

void ce_history_where_name(struct ce_history_where *where, const char *name)
{
    add_text(where, "r.name =", "", name);
}

void ce_history_where_bind(const struct ce_history_where *where, sqlite3_stmt *statement)
{
    for (size_t i = 0; i < where->count; i++) {
        char name[32];
        snprintf(name, sizeof name, ":w%zu", i);
        int place = sqlite3_bind_parameter_index(statement, name);
        if (where->bound[i].text)
            (void)sqlite3_bind_text(statement, place, where->bound[i].text, -1, SQLITE_TRANSIENT);
        else
            ce_history_bind_number(statement, place, where->bound[i].number);
    }
}
