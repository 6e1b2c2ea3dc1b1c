/* SPDX-License-Identifier: MIT */
#include "pipeline/leak_helper.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "pipeline/beside.h"

int ce_leak_helper_init(const char *preload, const char *folder, struct ce_leak_helper *ret,
                        struct ce_error *err)
{
    ce_autofree char *library = NULL;
    CE_TRY(ce_beside_find("libchaoseater-leak.so", &library, err));
    const char *others = getenv("LD_PRELOAD");
    struct ce_leak_helper helper = {{
        ce_format("%s=%s%s%s", preload, library, others && *others ? ":" : "",
                  others ? others : ""),
        ce_format("CHAOSEATER_LEAK=%s", folder),
    }};
    if (!helper.variables[0] || !helper.variables[1]) {
        ce_leak_helper_done(&helper);
        return ce_fail_memory(err);
    }
    *ret = helper;
    return 0;
}

void ce_leak_helper_done(struct ce_leak_helper *helper)
{
    free(helper->variables[0]);
    free(helper->variables[1]);
    *helper = (struct ce_leak_helper){0};
}
