/* SPDX-License-Identifier: MIT */
/* Queries and answers of the domain name system, on any bytes. The first byte says how the query is
 * to fail; the rest is the query, and an answer as well.
 *
 * Beside crashes: what is read as a question ends within the message and has a name that can be
 * asked for; the answer of every failure is read as an answer to its query and says what it should.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "host/names/dns_message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void demand(bool condition)
{
    if (!condition)
        abort();
}

static void check_failure(const uint8_t *query, size_t size, const struct ce_dns_question *question,
                          enum ce_dns_failure failure)
{
    static const struct ce_dns_address addresses[] = {{{192, 0, 2, 1}, 4}, {{0x20, 1}, 16}};
    for (size_t i = 0; i < 2; i++) {
        uint8_t answer[CE_DNS_ANSWER_MAX];
        struct ce_dns_reply reply;
        size_t written = ce_dns_write_failure(query, question, failure, &addresses[i], answer);
        demand(written <= sizeof answer);
        if (failure == CE_DNS_FAIL_TIMEOUT) {
            demand(written == 0);
            continue;
        }
        demand(ce_dns_read_reply(answer, written, query, size, &reply));
        demand((reply.code == CE_DNS_NXDOMAIN) == (failure == CE_DNS_FAIL_NXDOMAIN));
        demand((reply.code == CE_DNS_SERVFAIL) == (failure == CE_DNS_FAIL_SERVFAIL));
        bool told = failure == CE_DNS_FAIL_WRONG_ADDRESS &&
                    question->type == (i == 0 ? CE_DNS_A : CE_DNS_AAAA);
        demand(reply.address.size == (told ? addresses[i].size : 0));
        demand(memcmp(reply.address.bytes, addresses[i].bytes, reply.address.size) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ce_dns_question question;
    struct ce_dns_reply reply;
    if (size < 1)
        return 0;
    enum ce_dns_failure failure = (enum ce_dns_failure)(data[0] % 4);
    data++;
    size--;
    if (ce_dns_read_reply(data, size, data, size, &reply))
        demand(reply.address.size == 0 || reply.address.size == 4 || reply.address.size == 16);
    if (!ce_dns_read_question(data, size, &question))
        return 0;
    demand(question.end <= size && strlen(question.name) < sizeof question.name);
    demand(ce_dns_is_within(question.name, "") && ce_dns_is_within(question.name, question.name));
    check_failure(data, size, &question, failure);
    return 0;
}
