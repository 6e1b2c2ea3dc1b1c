/* SPDX-License-Identifier: MIT */
/* Arbitrary text as an address: it is refused with a sentence, or shown as something that is read
 * as the same again. */
#include "net/endpoint.h"

#include <stdlib.h>
#include <string.h>

static void expect(bool held)
{
    if (!held)
        __builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = strndup((const char *)data, size);
    struct ce_endpoint endpoint, again;
    struct ce_error err = {0};
    if (!text)
        return 0;
    int r = ce_endpoint_parse(text, &endpoint, &err);
    expect((r < 0) == (err.message[0] != '\0'));
    if (r == 0) {
        char shown[CE_NAME_MAX + 16], shown_again[sizeof shown];
        ce_endpoint_text(&endpoint, shown, sizeof shown);
        expect(ce_endpoint_parse(shown, &again, NULL) == 0);
        ce_endpoint_text(&again, shown_again, sizeof shown_again);
        expect(strcmp(shown, shown_again) == 0);
    }
    free(text);
    return 0;
}
