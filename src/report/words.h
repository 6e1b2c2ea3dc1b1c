/* SPDX-License-Identifier: MIT */
/* What reports say about a run, and how each format writes somebody else's text.
 *
 * Names and sentences come from documents and from the outside world. Whatever a format cannot hold
 * (control characters, bytes that are no UTF-8) becomes U+FFFD in all of them; the rest is escaped
 * as each format asks. */
#ifndef CE_REPORT_WORDS_H
#define CE_REPORT_WORDS_H

#include <stdio.h>

#include "report/report.h"

/* ---- about a run ---- */

enum ce_outcome {
    CE_OUTCOME_PASSED = 0,
    CE_OUTCOME_FAILED,  /* the pipeline did not do what it should */
    CE_OUTCOME_ERROR,   /* the run did not do what it should: nothing can be said of the pipeline */
    CE_OUTCOME_SKIPPED, /* it did not come to it */
};
enum ce_outcome ce_record_outcome(const struct ce_record *record);
/* How it ended, in a word: the verdict, unless it did not come to one. */
const char *ce_record_ending(const struct ce_record *record);
/* "spikes #2, naive". NULL: no memory. Free with free(). */
char *ce_record_title(const struct ce_record *record);
/* Why it ended so; "" when there is nothing to say. */
const char *ce_record_why(const struct ce_record *record);

/* Whether it ran on a pipeline. What documents of the Chaos Toolkit act on is known to them alone:
 * nothing of it is measured, and there is no score. */
bool ce_record_has_pipeline(const struct ce_record *record);

/* One line each about what the document asked besides: steady state, stop condition, blast radius,
 * rollback by other than one step. `put` gets a word and a sentence. 0 or -ENOMEM. */
typedef void ce_put_fact(void *ctx, const char *word, const char *sentence);
int ce_record_facts(const struct ce_record *record, ce_put_fact *put, void *ctx);

/* ---- texts ---- */

enum ce_escape {
    CE_ESCAPE_XML,             /* text and attribute values of XML 1.0 */
    CE_ESCAPE_MARKDOWN,        /* one line of GitHub's and GitLab's Markdown, in tables too */
    CE_ESCAPE_GITHUB_MESSAGE,  /* of a workflow command */
    CE_ESCAPE_GITHUB_PROPERTY, /* the same, of a value before the `::` */
    CE_ESCAPE_TAP,             /* one line's description */
    CE_ESCAPE_CSV,             /* a cell, in quotes where it needs them */
    CE_ESCAPE_PLAIN,           /* one line of text */
};
void ce_put_escaped(FILE *out, enum ce_escape how, const char *text);
/* The same, as a JSON string in quotes. */
void ce_put_quoted(FILE *out, const char *text);

/* Valid UTF-8 without control characters. NULL: no memory. Free with free(). */
char *ce_text_clean(const char *text);
/* 0, or what went wrong with the stream. */
int ce_report_end(FILE *out, struct ce_error *err);

#endif
