/* SPDX-License-Identifier: MIT */
/* chaoseater faults */
#include "cli.h"

#include <string.h>

static void print_fault(const struct ce_fault *fault)
{
    char reason[256];
    printf("  %-24s %s", ce_fault_name(fault), ce_fault_summary(fault));
    if (!ce_fault_available(fault, reason, sizeof reason))
        printf(" (not on this host: %s)", reason);
    putchar('\n');
}

static int faults(const struct cli_args *args, struct ce_error *err)
{
    if (args->json)
        return cli_print_json_text(ce_faults_json(), err);
    /* The library lists them layer by layer. */
    const char *layer = "";
    for (size_t i = 0; i < ce_fault_count(); i++) {
        const struct ce_fault *fault = ce_fault_at(i);
        if (strcmp(ce_fault_layer(fault), layer) != 0) {
            layer = ce_fault_layer(fault);
            printf("%s%s\n", i > 0 ? "\n" : "", layer);
        }
        print_fault(fault);
    }
    return CE_EXIT_PASSED;
}

static const struct cli_option options[] = {CLI_OPTION_JSON, CLI_OPTION_HELP, CLI_END_OPTIONS};

const struct cli_command cmd_faults = {
    .name = "faults",
    .summary = "every fault, by layer",
    .details = "Lists every fault by layer, and for one that this host cannot run, the reason.",
    .example = "chaoseater faults --json",
    .options = options,
    .run = faults,
};
