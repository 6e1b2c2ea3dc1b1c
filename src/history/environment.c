/* SPDX-License-Identifier: MIT */
/* A repository is found as git finds it: `.git` in the folder or the nearest above it, a folder, or
 * a file that says where it is (a work tree, a submodule). HEAD is a commit, or names a branch,
 * which is a file or a line of packed-refs. */
#include "history/environment.h"

#include <ctype.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"

enum { LINE_SIZE = 4096, COMMIT_DIGITS = 40, COMMIT_DIGITS_LONG = 64 };

/* The first line of a file, without its end. */
static bool read_line(const char *folder, const char *name, char line[LINE_SIZE])
{
    ce_autofree char *path = name[0] == '/' ? strdup(name) : ce_format("%s/%s", folder, name);
    ce_autofile FILE *file = path ? fopen(path, "re") : NULL;
    if (!file || !fgets(line, LINE_SIZE, file))
        return false;
    line[strcspn(line, "\r\n")] = '\0';
    return true;
}

static bool take_commit(const char *text, char ret_commit[65])
{
    size_t digits = strspn(text, "0123456789abcdef");
    if (digits != COMMIT_DIGITS && digits != COMMIT_DIGITS_LONG)
        return false;
    memcpy(ret_commit, text, digits);
    ret_commit[digits] = '\0';
    return true;
}

/* A line is "COMMIT REF"; others are comments and what tags point to. */
static bool find_packed(const char *git, const char *ref, char ret_commit[65])
{
    char line[LINE_SIZE];
    ce_autofree char *path = ce_format("%s/packed-refs", git);
    ce_autofile FILE *file = path ? fopen(path, "re") : NULL;
    while (file && fgets(line, sizeof line, file)) {
        line[strcspn(line, "\r\n")] = '\0';
        const char *name = strchr(line, ' ');
        if (name && strcmp(name + 1, ref) == 0)
            return take_commit(line, ret_commit);
    }
    return false;
}

/* `common`: where the branches of all work trees are. */
static bool find_ref(const char *git, const char *common, const char *ref, char ret_commit[65])
{
    char line[LINE_SIZE];
    const char *const places[] = {git, common};
    for (size_t i = 0; i < 2; i++)
        if ((read_line(places[i], ref, line) && take_commit(line, ret_commit)) ||
            find_packed(places[i], ref, ret_commit))
            return true;
    return false;
}

static char *join(const char *folder, const char *name)
{
    return name[0] == '/' ? strdup(name) : ce_format("%s/%s", folder, name);
}

static void read_head(const char *git, char ret_commit[65])
{
    char head[LINE_SIZE], common[LINE_SIZE] = ".";
    if (!read_line(git, "HEAD", head))
        return;
    (void)read_line(git, "commondir", common);
    ce_autofree char *shared = join(git, common);
    if (shared && strncmp(head, "ref: ", 5) == 0)
        (void)find_ref(git, shared, head + 5, ret_commit);
    else
        (void)take_commit(head, ret_commit);
}

void ce_git_commit(const char *folder, char ret_commit[65])
{
    char path[PATH_MAX], line[LINE_SIZE];
    ret_commit[0] = '\0';
    if (!realpath(folder, path))
        return;
    for (;;) {
        ce_autofree char *git = ce_format("%s/.git", path);
        if (git && access(git, F_OK) == 0) {
            bool points = read_line(path, ".git", line) && strncmp(line, "gitdir: ", 8) == 0;
            ce_autofree char *target = points ? join(path, line + 8) : NULL;
            read_head(target ? target : git, ret_commit);
            return;
        }
        char *slash = strrchr(path, '/');
        if (!slash || path[1] == '\0')
            return;
        slash[slash == path ? 1 : 0] = '\0';
    }
}

void ce_surroundings_look(struct ce_surroundings *ret_surroundings)
{
    *ret_surroundings = (struct ce_surroundings){.processors = sysconf(_SC_NPROCESSORS_ONLN)};
    (void)uname(&ret_surroundings->system);
    ce_git_commit(".", ret_surroundings->commit);
}
