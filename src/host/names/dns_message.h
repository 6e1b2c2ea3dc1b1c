/* SPDX-License-Identifier: MIT */
/* Messages of the domain name system, as far as they must be understood in order to answer some of
 * them amiss: the question of a query, and the ways in which an answer fails (RFC 1035). Nothing
 * here allocates or does I/O. */
#ifndef CE_HOST_NAMES_DNS_MESSAGE_H
#define CE_HOST_NAMES_DNS_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CE_DNS_MESSAGE_MAX = 65535,
    CE_DNS_NAME_SIZE = 256, /* of a name as text, with its NUL */
    CE_DNS_ANSWER_MAX = 12 + 255 + 4 + 28,
    CE_DNS_PORT = 53,
};
enum { CE_DNS_A = 1, CE_DNS_NS = 2, CE_DNS_AAAA = 28 };
enum { CE_DNS_NO_ERROR = 0, CE_DNS_SERVFAIL = 2, CE_DNS_NXDOMAIN = 3 };

/* How a query fails. */
enum ce_dns_failure {
    CE_DNS_FAIL_NXDOMAIN = 0,
    CE_DNS_FAIL_SERVFAIL,
    CE_DNS_FAIL_TIMEOUT,
    CE_DNS_FAIL_WRONG_ADDRESS,
};

/* What a query asks. */
struct ce_dns_question {
    char name[CE_DNS_NAME_SIZE]; /* lower case, without its last dot; what is no letter, digit, '-'
                                    or '_' in a label shows as '?'; "": the root */
    uint16_t type;
    size_t end; /* where it ends in the message */
};
/* False when the message is no ordinary query with one question in the Internet's class. */
bool ce_dns_read_question(const void *message, size_t size, struct ce_dns_question *ret_question);
/* Whether a name is `domain` or below it. */
bool ce_dns_is_within(const char *name, const char *domain);

/* An address as an answer has it: 4 or 16 bytes. */
struct ce_dns_address {
    uint8_t bytes[16];
    size_t size;
};

/* Writes the answer of that failure to a query whose question was read; returns its size, 0 for a
 * timeout. A wrong address is given to those who ask for an address of its kind; who asks for the
 * other kind hears that there is none. `ret_answer` has room for CE_DNS_ANSWER_MAX bytes. */
size_t ce_dns_write_failure(const void *query, const struct ce_dns_question *question,
                            enum ce_dns_failure failure, const struct ce_dns_address *address,
                            void *ret_answer);
/* Whether a query of that type can fail so: only addresses can be wrong. */
bool ce_dns_can_fail(uint16_t type, enum ce_dns_failure failure);

/* Writes a query; returns its size, 0 when the name is none. `ret_query` has room for
 * CE_DNS_ANSWER_MAX bytes. */
size_t ce_dns_write_query(uint16_t id, const char *name, uint16_t type, void *ret_query);

/* What an answer says, for who asked `query`. */
struct ce_dns_reply {
    unsigned code;                 /* CE_DNS_NO_ERROR, ... */
    struct ce_dns_address address; /* the first of its answers that is one; size 0: none */
};
/* False when the message is no answer to that query. */
bool ce_dns_read_reply(const void *message, size_t size, const void *query, size_t query_size,
                       struct ce_dns_reply *ret_reply);

#endif
