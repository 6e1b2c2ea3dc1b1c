/* SPDX-License-Identifier: MIT */
/* Live progress on stderr. A finished run leaves one line; the run in progress is a line that is
 * drawn over. */
#include "cli.h"

#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static const char erase_line[] = "\r\033[K";

void cli_progress_start(struct cli_progress *progress, bool json)
{
    bool terminal = cli_is_terminal(stderr);
    *progress = (struct cli_progress){
        .live = terminal,
        .color = cli_wants_color(stderr),
        .quiet = json && !terminal,
    };
}

/* A line that wraps cannot be drawn over, so it ends before the terminal does. */
size_t cli_progress_columns(void)
{
    struct winsize window;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &window) < 0 || window.ws_col == 0)
        return 79;
    return window.ws_col <= CLI_COLUMNS_MAX ? window.ws_col - 1U : CLI_COLUMNS_MAX;
}

static void draw(struct cli_progress *progress, const char *text)
{
    char line[sizeof progress->drawn];
    snprintf(line, sizeof line, "%.*s", (int)cli_fitting(text, cli_progress_columns()), text);
    if (strcmp(line, progress->drawn) == 0)
        return;
    memcpy(progress->drawn, line, sizeof line);
    fprintf(stderr, "%s%s", erase_line, line);
    fflush(stderr);
}

/* What tells runs of one experiment apart: " #2 (naive)" */
static void tell_apart(const struct ce_progress *now, char text[CLI_APART_SIZE])
{
    char repeat[16] = "", profile[24] = "";
    if (now->repeat > 0)
        snprintf(repeat, sizeof repeat, " #%d", now->repeat);
    if (now->profile && now->profile[0] != '\0')
        snprintf(profile, sizeof profile, " (%.16s)", now->profile);
    snprintf(text, CLI_APART_SIZE, "%s%s", repeat, profile);
}

/* "[3/14] slow_inference_test #2 (naive)" in `most` columns at most, for which the name is
 * shortened, and in `least` or more where there is room. */
static void make_title(const struct ce_progress *now, size_t least, size_t most,
                       char title[CLI_LINE_SIZE])
{
    enum { NAME_LEAST = 8 };
    char count[48], apart[CLI_APART_SIZE], name[CLI_SHORT_SIZE];
    snprintf(count, sizeof count, "[%zu/%zu] ", now->run + 1, now->run_count);
    tell_apart(now, apart);
    size_t others = strlen(count) + strlen(apart);
    size_t room = most > others + NAME_LEAST ? most - others : NAME_LEAST;
    size_t columns = others + cli_shorten(now->experiment, room, name);
    least = least < most ? least : most;
    snprintf(title, CLI_LINE_SIZE, "%s%s%s%*s", count, name, apart,
             columns < least ? (int)(least - columns) : 0, "");
}

/* What is going on in that run now; a run that is not known yet gets the first free place. */
static struct cli_running *place_of(struct cli_progress *progress, const struct ce_progress *now)
{
    struct cli_running *vacant = NULL;
    for (size_t i = 0; i < CLI_LENGTH(progress->running); i++) {
        struct cli_running *place = &progress->running[i];
        if (place->name[0] != '\0' && place->run == now->run)
            return place;
        if (place->name[0] == '\0' && !vacant)
            vacant = place;
    }
    return vacant;
}

/* "[3/14] slow_inference_test (naive)    observing      ########........  50 %" */
static void show_one(struct cli_progress *progress, const struct ce_progress *now)
{
    enum { WIDTH = 16, TITLE_LEAST = 38, REST = sizeof " verifying_undo  100 %" + WIDTH };
    char title[CLI_LINE_SIZE], text[CLI_LINE_SIZE + REST + 32];
    size_t columns = cli_progress_columns();
    double fraction = now->fraction < 0 ? 0 : now->fraction > 1 ? 1 : now->fraction;
    int full = (int)(fraction * WIDTH);
    make_title(now, TITLE_LEAST, columns > REST ? columns - REST : 0, title);
    snprintf(text, sizeof text, "%s %-14.14s %.*s%.*s %3.0f %%", title, now->phase, full,
             "################", WIDTH - full, "................", fraction * 100);
    draw(progress, text);
}

/* How many columns each name may have, so that what goes on fits the terminal. */
static size_t name_room(const struct cli_progress *progress, size_t taken)
{
    enum { NAME_LEAST = 8, ABOUT = sizeof ",   100 %" - 1 };
    size_t columns = cli_progress_columns(), count = 0;
    for (size_t i = 0; i < CLI_LENGTH(progress->running); i++) {
        const struct cli_running *place = &progress->running[i];
        if (place->name[0] == '\0')
            continue;
        taken += ABOUT + strlen(place->apart) + strlen(place->phase);
        count++;
    }
    size_t room = columns > taken && count > 0 ? (columns - taken) / count : 0;
    return room > NAME_LEAST ? room : NAME_LEAST;
}

/* "3/14 ended; slow_inference_test #2 (naive) observing 50 %, ..." */
static void show_several(struct cli_progress *progress, const struct ce_progress *now)
{
    char text[CLI_LENGTH(progress->running) * CLI_LINE_SIZE], name[CLI_SHORT_SIZE];
    size_t n = (size_t)snprintf(text, sizeof text, "%zu/%zu ended", now->ended, now->run_count);
    size_t room = name_room(progress, n);
    const char *between = "; ";
    for (size_t i = 0; i < CLI_LENGTH(progress->running); i++) {
        const struct cli_running *place = &progress->running[i];
        if (place->name[0] == '\0')
            continue;
        (void)cli_shorten(place->name, room, name);
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%s%s %s %.0f %%", between, name,
                              place->apart, place->phase, place->fraction * 100);
        between = ", ";
    }
    draw(progress, text);
}

static void show_running(struct cli_progress *progress, const struct ce_progress *now)
{
    struct cli_running *place = place_of(progress, now);
    size_t going_on = 0;
    if (place) {
        place->run = now->run;
        place->fraction = now->fraction < 0 ? 0 : now->fraction > 1 ? 1 : now->fraction;
        snprintf(place->phase, sizeof place->phase, "%s", now->phase);
        tell_apart(now, place->apart);
        (void)cli_shorten(now->experiment, CLI_COLUMNS_MAX, place->name);
    }
    for (size_t i = 0; i < CLI_LENGTH(progress->running); i++)
        going_on += progress->running[i].name[0] != '\0';
    if (going_on > 1)
        show_several(progress, now);
    else
        show_one(progress, now);
}

static void show_ended(struct cli_progress *progress, const struct ce_progress *now)
{
    enum { TITLE_LEAST = 42, REST = sizeof " inconclusive score 100.0" - 1 };
    char title[CLI_LINE_SIZE], score[32] = "no score";
    bool completed = strcmp(now->status, "completed") == 0;
    const char *ending = completed ? now->verdict : now->status;
    const char *color = strcmp(ending, "passed") == 0     ? "\033[32m"
                        : strcmp(ending, "deviated") == 0 ? "\033[33m"
                                                          : "\033[31m";
    size_t columns = progress->live ? cli_progress_columns() : CLI_COLUMNS_MAX;
    make_title(now, TITLE_LEAST, columns > REST ? columns - REST : 0, title);
    if (now->score >= 0)
        snprintf(score, sizeof score, "score %.1f", now->score);
    fprintf(stderr, "%s%s %s%-12s%s %s\n", progress->live ? erase_line : "", title,
            progress->color ? color : "", ending, progress->color ? "\033[0m" : "", score);
    progress->drawn[0] = '\0';
}

void cli_progress_show(void *ctx, const struct ce_progress *now)
{
    struct cli_progress *progress = ctx;
    if (now->status[0] != '\0') {
        struct cli_running *place = place_of(progress, now);
        if (place)
            *place = (struct cli_running){0};
        if (!progress->quiet)
            show_ended(progress, now);
    } else if (progress->live) {
        show_running(progress, now);
    }
}

void cli_progress_share(void *ctx, double fraction)
{
    struct cli_progress *progress = ctx;
    char text[32] = "working";
    if (!progress->live)
        return;
    if (fraction >= 0)
        snprintf(text, sizeof text, "%3.0f %%", fraction * 100);
    draw(progress, text);
}

void cli_progress_end(struct cli_progress *progress)
{
    if (progress->drawn[0] != '\0')
        fputs(erase_line, stderr);
    progress->drawn[0] = '\0';
}
