/* SPDX-License-Identifier: MIT */
/* Unit tests, one program a room, in the Test Anything Protocol.
 *
 *     static void durations_need_a_unit(void) { CHECK(...); }
 *     int main(void) { TEST(durations_need_a_unit); return test_done(); }
 *
 * CHECK goes on after a failure; REQUIRE leaves the test function. SKIP(reason) ends the test as
 * skipped, visibly. */
#ifndef CE_TESTS_CHECK_H
#define CE_TESTS_CHECK_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int check_tests, check_failed_tests, check_failures;
static const char *check_skip_reason;

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            check_failures++;                                                                      \
            printf("# %s:%d: %s\n", __FILE__, __LINE__, #condition);                               \
        }                                                                                          \
    } while (0)
#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            check_failures++;                                                                      \
            printf("# %s:%d: %s\n", __FILE__, __LINE__, #condition);                               \
            return;                                                                                \
        }                                                                                          \
    } while (0)
#define CHECK_TEXT(got, want)                                                                      \
    do {                                                                                           \
        const char *got_ = (got), *want_ = (want);                                                 \
        if (!got_ || strcmp(got_, want_) != 0) {                                                   \
            check_failures++;                                                                      \
            printf("# %s:%d: %s is \"%s\", not \"%s\"\n", __FILE__, __LINE__, #got,                \
                   got_ ? got_ : "(null)", want_);                                                 \
        }                                                                                          \
    } while (0)
/* The operation succeeded; else its sentence is shown. `err` is a struct ce_error. */
#define REQUIRE_OK(expression, err)                                                                \
    do {                                                                                           \
        int r_ = (expression);                                                                     \
        if (r_ < 0) {                                                                              \
            check_failures++;                                                                      \
            printf("# %s:%d: %s = %d: %s %s\n", __FILE__, __LINE__, #expression, r_, (err).where,  \
                   (err).message);                                                                 \
            return;                                                                                \
        }                                                                                          \
    } while (0)
#define SKIP(reason)                                                                               \
    do {                                                                                           \
        check_skip_reason = (reason);                                                              \
        return;                                                                                    \
    } while (0)
#define TEST(function) check_run(#function, function)

/* A line at a time: ThreadSanitizer's _exit() writes what is buffered, and a child that ends may be
 * one whose writes nobody answers. */
static void __attribute__((constructor)) check_begin(void)
{
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
}

static void check_run(const char *name, void (*function)(void))
{
    check_failures = 0;
    check_skip_reason = NULL;
    function();
    check_tests++;
    if (check_failures > 0)
        check_failed_tests++;
    printf("%s %d - %s%s%s\n", check_failures > 0 ? "not ok" : "ok", check_tests, name,
           check_skip_reason && check_failures == 0 ? " # SKIP " : "",
           check_skip_reason && check_failures == 0 ? check_skip_reason : "");
}

static int test_done(void)
{
    printf("1..%d\n", check_tests);
    return check_failed_tests > 0;
}

#endif
