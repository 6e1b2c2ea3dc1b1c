/* SPDX-License-Identifier: MIT */
#include "host/packets/xtables.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/seam.h"

static const char lock_file[] = "/run/xtables.lock";

/* ---- a call ---- */

static void run_program(const struct ce_xtables *xtables, bool named, const int in[2],
                        const int out[2], const int complaints[2])
{
    char program[48];
    const char *argv[8] = {program};
    int argc = 1;
    snprintf(program, sizeof program, "%s-%s", xtables->program, xtables->tool);
    if (strcmp(xtables->tool, "restore") == 0) {
        argv[argc++] = "--noflush";
        argv[argc++] = "--wait";
        argv[argc++] = "5";
    }
    if (xtables->counters)
        argv[argc++] = "-c";
    if (named) {
        argv[argc++] = "-t";
        argv[argc++] = "filter";
    }
    if (dup2(in[0], STDIN_FILENO) < 0 || dup2(out[1], STDOUT_FILENO) < 0 ||
        dup2(complaints[1], STDERR_FILENO) < 0)
        _exit(126);
    (void)setenv("PATH", "/usr/sbin:/sbin:/usr/bin:/bin", 1);
    /* The lock is root's. Whoever may change rules without being root has a network namespace that
     * nobody else knows. */
    int lock = open(lock_file, O_RDONLY | O_CREAT | O_CLOEXEC, 0600);
    if (lock < 0)
        (void)setenv("XTABLES_LOCKFILE", "/dev/null", 1);
    execvp(program, (char *const *)argv);
    _exit(127);
}

/* Lines that name the chain, as many as there is room for. */
static int read_lines(FILE *file, const char *chain, char *text)
{
    char line[1024];
    size_t used = 0;
    bool starts = true;
    text[0] = '\0';
    while (fgets(line, sizeof line, file)) {
        size_t size = strlen(line);
        bool whole = starts;
        starts = size > 0 && line[size - 1] == '\n';
        if (!whole || !strstr(line, chain))
            continue;
        if (used + size >= CE_XTABLES_TEXT)
            return -E2BIG;
        memcpy(text + used, line, size + 1);
        used += size;
    }
    return 0;
}

static int run_once(struct ce_xtables *xtables, bool named, struct ce_error *err)
{
    int in[2], out[2], complaints[2];
    if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0 || pipe2(complaints, O_CLOEXEC) < 0)
        return ce_fail(err, errno, "cannot make a pipe: %s", strerror(errno));
    bool restores = strcmp(xtables->tool, "restore") == 0;
    pid_t pid = fork();
    if (pid < 0)
        return ce_fail(err, errno, "cannot start a process: %s", strerror(errno));
    if (pid == 0)
        run_program(xtables, named, in, out, complaints);
    (void)close(in[0]);
    (void)close(out[1]);
    (void)close(complaints[1]);
    /* All of it fits into the pipe. */
    if (restores)
        (void)ce_write_all(in[1], xtables->text, strlen(xtables->text));
    (void)close(in[1]);
    ce_autofile FILE *answer = fdopen(out[0], "r");
    ce_autofile FILE *complaint = fdopen(complaints[0], "r");
    char words[160] = "";
    int r = answer && complaint ? 0 : -ENOMEM;
    if (r == 0 && !restores)
        r = read_lines(answer, xtables->chain, xtables->text);
    if (complaint && fgets(words, sizeof words, complaint))
        words[strcspn(words, "\n")] = '\0';
    int status = -1;
    if (waitpid(pid, &status, 0) != pid || r < 0)
        return ce_fail(err, r < 0 ? -r : ECHILD, "cannot read what %s says", xtables->program);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
        return ce_fail(err, ENOENT, "there is no program %s-%s", xtables->program, xtables->tool);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return ce_fail(err, ENOTSUP, "%s", words[0] ? words : "the iptables program failed");
    return 0;
}

/* A table that is named comes into being; but in a user namespace the list of those that are there
 * may not be read. */
static int run(struct ce_xtables *xtables, struct ce_error *err)
{
    int r = run_once(xtables, false, err);
    return r == -ENOTSUP && strcmp(xtables->tool, "save") == 0 ? run_once(xtables, true, err) : r;
}

static int run_call(void *ctx, struct ce_error *err)
{
    return run(ctx, err);
}

int ce_xtables_run_there(const struct ce_place *place, struct ce_xtables *xtables,
                         struct ce_error *err)
{
    return ce_place_call(place, CE_PLACE_NETWORK, run_call, xtables, sizeof *xtables, err);
}

/* ---- taking it back ---- */

int ce_undo_note_chains(struct ce_journal *journal, const struct ce_place *place,
                        const char *variant, const char *chain, struct ce_error *err)
{
    json_t *args = json_pack("{s:o*, s:s, s:s}", "place", ce_place_args(place), "variant", variant,
                             "chain", chain);
    return args ? ce_undo_note(journal, "remove-chains", args, err) : ce_fail_memory(err);
}

/* From what "save" says of our chains: first the jumps from elsewhere, then the chains, emptied
 * before any is removed. false: there is nothing. */
static bool removal_of(const char *saved, const char *chain, char *text)
{
    size_t used = (size_t)snprintf(text, CE_XTABLES_TEXT, "*filter\n");
    bool any = false;
    for (int pass = 0; pass < 3; pass++) {
        for (const char *line = saved; *line;) {
            size_t size = strcspn(line, "\n");
            size_t left = CE_XTABLES_TEXT - used, name = strcspn(line, " ");
            bool declares = line[0] == ':' && strncmp(line + 1, chain, strlen(chain)) == 0;
            bool jumps =
                strncmp(line, "-A ", 3) == 0 && strncmp(line + 3, chain, strlen(chain)) != 0;
            int n = 0;
            if (pass == 0 && jumps)
                n = snprintf(text + used, left, "-D%.*s\n", (int)size - 2, line + 2);
            else if (pass > 0 && declares)
                n = snprintf(text + used, left, "-%c %.*s\n", pass == 1 ? 'F' : 'X', (int)name - 1,
                             line + 1);
            any = any || n > 0;
            used += (size_t)n;
            if (used >= CE_XTABLES_TEXT - 16)
                return any;
            line += size + (line[size] == '\n');
        }
    }
    (void)snprintf(text + used, CE_XTABLES_TEXT - used, "COMMIT\n");
    return any;
}

static int remove_from(const struct ce_place *place, const char *program, const char *chain,
                       struct ce_error *err)
{
    struct ce_xtables save = {.program = program, .tool = "save", .chain = chain};
    struct ce_xtables restore = {.program = program, .tool = "restore"};
    int r = ce_xtables_run_there(place, &save, err);
    if (r == -ENOENT) /* then it has not made any, either */
        return 0;
    CE_TRY(r);
    if (!removal_of(save.text, chain, restore.text))
        return 0;
    CE_TRY(ce_xtables_run_there(place, &restore, err));
    ce_seam_step("iptables: chains removed");
    CE_TRY(ce_xtables_run_there(place, &save, err));
    return save.text[0] ? ce_fail(err, EBUSY, "%s still has chain %s", program, chain) : 0;
}

static int remove_chains(const json_t *args, struct ce_error *err)
{
    json_t *noted;
    const char *variant, *chain;
    struct ce_place place;
    static const char *const families[] = {"iptables", "ip6tables"};
    if (json_unpack((json_t *)args, "{s:o, s:s, s:s}", "place", &noted, "variant", &variant,
                    "chain", &chain) < 0 ||
        strlen(chain) < 8 || strlen(chain) >= CE_CHAIN_SIZE || strlen(variant) > 8)
        return ce_fail(err, EINVAL, "the note does not say which chains are meant");
    int r = ce_place_from_args(noted, CE_PLACE_NETWORK, &place, err);
    if (r != 0)
        return r == CE_PLACE_GONE ? 0 : r;
    for (size_t i = 0; i < CE_COUNT(families); i++) {
        char program[32];
        snprintf(program, sizeof program, "%s%s", families[i], variant);
        r = remove_from(&place, program, chain, err);
        if (r == -ESRCH)
            return 0; /* the namespace has ended in between, and all that was in it */
        if (r < 0)
            return r;
    }
    return 0;
}

const struct ce_undo_op ce_undo_remove_chains = {.name = "remove-chains", .undo = remove_chains};
