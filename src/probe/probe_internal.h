/* SPDX-License-Identifier: MIT */
/* What the files of this room share: a question under way, and what came back. */
#ifndef CE_PROBE_PROBE_INTERNAL_H
#define CE_PROBE_PROBE_INTERNAL_H

#include <pthread.h>

#include "probe/probe.h"

/* Of an answer that is looked into; of a longer one only the status is known. */
#define CE_HEARD_MAX ((size_t)1 << 20)

/* A key of some kinds alone. */
struct ce_probe_key {
    const char *name;
    unsigned kinds, required; /* bits, 1 << kind */
    bool given;
};
enum { CE_PROBE_KEYS = 11 };
void ce_probe_list_keys(const struct ce_probe_spec *spec, struct ce_probe_key keys[CE_PROBE_KEYS]);

/* Lets another thread give a question up. */
struct ce_asking {
    pthread_mutex_t lock;
    int give_up; /* a descriptor that is readable once it is given up; -1: it never is */
    int64_t begun;
    int socket; /* a copy of the one that is waited at; -1: none */
    bool given_up;
};

/* What was heard; ended by ce_heard_done(). */
struct ce_heard {
    int64_t status; /* -1: it has none */
    char *text;     /* NUL-terminated; NULL: it has none */
    size_t size;
    bool cut; /* there was more than CE_HEARD_MAX */
};
void ce_heard_done(struct ce_heard *heard);

/* Fills the answer's result and its sentence, "PROBE: what is said here". */
void ce_probe_say(const struct ce_probe_spec *spec, enum ce_probe_result result,
                  struct ce_probe_answer *answer, const char *fmt, ...) CE_PRINTF(4, 5);

/* Whether the expectation can be held against what such a probe hears at all. */
int ce_expect_check(const struct ce_probe_spec *spec, const char **ret_key, struct ce_error *err);
/* Holds it against what was heard, or a number. `answer->took` is set. */
void ce_expect_judge(const struct ce_probe_spec *spec, const struct ce_heard *heard,
                     struct ce_probe_answer *answer);
void ce_expect_judge_number(const struct ce_probe_spec *spec, double value,
                            struct ce_probe_answer *answer);
/* Whether a content or a status is expected. */
bool ce_expect_has_content(const struct ce_expect *expect);

/* Each asks and says what came of it. */
void ce_probe_ask_http(const struct ce_probe_spec *spec, struct ce_asking *asking,
                       struct ce_probe_answer *answer);
void ce_probe_ask_prometheus(const struct ce_probe_spec *spec, struct ce_asking *asking,
                             struct ce_probe_answer *answer);
void ce_probe_ask_tcp(const struct ce_probe_spec *spec, struct ce_asking *asking,
                      struct ce_probe_answer *answer);
void ce_probe_ask_command(const struct ce_probe_spec *spec, struct ce_asking *asking,
                          struct ce_probe_answer *answer);
void ce_probe_ask_file(const struct ce_probe_spec *spec, struct ce_probe_answer *answer);
int ce_probe_check_http(const struct ce_probe_spec *spec, const char **ret_key,
                        struct ce_error *err);

int ce_probe_check_tcp(const struct ce_probe_spec *spec, const char **ret_key,
                       struct ce_error *err);
/* Whether that failure is this host's or this process's, and not that of whom it asked. */
bool ce_probe_is_ours(int r);

/* ce_probe_ask() that can be given up. */
void ce_probe_ask_until(const struct ce_probe_spec *spec, struct ce_asking *asking,
                        struct ce_probe_answer *ret_answer);

#endif
