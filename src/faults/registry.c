/* SPDX-License-Identifier: MIT */
/* The list of all faults, and what can be said about one without running it. */
#include "faults/fault.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/text.h"

#define CE_FAULT(id) extern const struct ce_fault ce_fault_##id;
#include "faults/faults.list.h"
#undef CE_FAULT

static const struct ce_fault *const all[] = {
#define CE_FAULT(id) &ce_fault_##id,
#include "faults/faults.list.h"
#undef CE_FAULT
};

const char *ce_layer_name(enum ce_layer layer)
{
    static const char *const names[] = {"data", "model", "infrastructure"};
    return names[layer];
}

size_t ce_fault_count(void)
{
    return CE_COUNT(all);
}

const struct ce_fault *ce_fault_at(size_t i)
{
    return i < CE_COUNT(all) ? all[i] : NULL;
}

const struct ce_fault *ce_fault_find(const char *name)
{
    for (size_t i = 0; i < CE_COUNT(all); i++)
        if (strcmp(all[i]->name, name) == 0)
            return all[i];
    return NULL;
}

const char *ce_fault_nearest(const char *name)
{
    const char *names[CE_COUNT(all)];
    for (size_t i = 0; i < CE_COUNT(all); i++)
        names[i] = all[i]->name;
    return ce_text_nearest(name, names, CE_COUNT(names));
}

const char *ce_fault_name(const struct ce_fault *fault)
{
    return fault->name;
}

const char *ce_fault_layer(const struct ce_fault *fault)
{
    return ce_layer_name(fault->layer);
}

const char *ce_fault_summary(const struct ce_fault *fault)
{
    return fault->summary;
}

bool ce_fault_available(const struct ce_fault *fault, char *reason, size_t size)
{
    char unwanted[8];
    if (!reason) {
        reason = unwanted;
        size = sizeof unwanted;
    }
    reason[0] = '\0';
    return !fault->available || fault->available(reason, size);
}

static const char *need_text(unsigned need)
{
    switch (need) {
    case CE_NEEDS_DATASET:
        return "a dataset that the pipeline trains on";
    case CE_NEEDS_REQUEST_ROUTE:
        return "live requests to the pipeline";
    case CE_NEEDS_MODEL_ROUTE:
        return "predictions between model server and caller";
    case CE_NEEDS_BATCHES:
        return "predictions between model server and caller, or a batch job";
    case CE_NEEDS_COLUMNS:
        return "a dataset with the columns of the requests";
    case CE_NEEDS_NETWORK:
        return "packets that enter the target";
    case CE_NEEDS_FOLDER:
        return "a folder or a block device of the target's";
    case CE_NEEDS_TREE:
        return "a process or a control group";
    case CE_NEEDS_LEAK_HELPER:
    case CE_NEEDS_GPU_HELPER:
    case CE_NEEDS_CLOCK_HELPER:
    case CE_NEEDS_SYSCALL_HELPER:
        return "a server that ChaosEater starts: the embedded pipeline's, or pipeline.command";
    default:
        return "a serving process";
    }
}

void ce_fault_explain(const struct ce_fault *fault, FILE *out)
{
    char reason[512], line[640];
    fprintf(out, "%s (%s): %s\n\nParameters:\n", fault->name, ce_fault_layer(fault),
            fault->summary);
    ce_params_print(fault->params, out);
    for (unsigned need = 1; need <= CE_NEEDS_BATCHES; need <<= 1)
        if (fault->needs & need)
            fprintf(out, "\nNeeds%s: %s", fault->needs_of ? " by default" : "", need_text(need));
    bool available = ce_fault_available(fault, reason, sizeof reason);
    snprintf(line, sizeof line, "This host: %s%s", available ? "available" : "not available: ",
             available ? "" : reason);
    fputc('\n', out);
    ce_params_print_wrapped(line, 2, out);
    fprintf(out,
            "\nExample:\n"
            "  experiments:\n"
            "    - name: %s_test\n"
            "      layer: %s\n"
            "      fault_type: %s\n"
            "      duration: 10s\n"
            "      parameters: %s\n",
            fault->name, ce_fault_layer(fault), fault->name, fault->example);
}

static json_t *describe(const struct ce_fault *fault)
{
    char reason[256];
    bool available = ce_fault_available(fault, reason, sizeof reason);
    return json_pack("{s:s, s:s, s:s, s:b, s:o, s:o}", "name", fault->name, "layer",
                     ce_fault_layer(fault), "summary", fault->summary, "available", available,
                     "reason", available ? json_null() : json_string(reason), "parameters",
                     ce_params_describe(fault->params));
}

char *ce_fault_json(const struct ce_fault *fault)
{
    ce_autojson json_t *json = describe(fault);
    return json ? ce_json_text(json) : NULL;
}

char *ce_faults_json(void)
{
    ce_autojson json_t *list = json_array();
    for (size_t i = 0; i < CE_COUNT(all); i++)
        if (json_array_append_new(list, describe(all[i])) < 0)
            return NULL;
    return ce_json_text(list);
}
