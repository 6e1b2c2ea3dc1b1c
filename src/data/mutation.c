/* SPDX-License-Identifier: MIT */
#include "data/mutation.h"

#include <string.h>

void ce_mutation_done(struct ce_mutation *mutation)
{
    if (mutation->free_ctx)
        mutation->free_ctx(mutation->ctx);
    *mutation = (struct ce_mutation){0};
}
