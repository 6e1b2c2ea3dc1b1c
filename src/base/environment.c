/* SPDX-License-Identifier: MIT */
#include "base/environment.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool is_replaced(const char *const *more, size_t count, const char *variable)
{
    size_t name = strcspn(variable, "=") + 1;
    for (size_t i = 0; i < count; i++)
        if (strncmp(more[i], variable, name) == 0)
            return true;
    return false;
}

const char **ce_environment_with(const char *const *more, size_t count)
{
    size_t size = 0;
    while (environ[size])
        size++;
    const char **all = calloc(size + count + 1, sizeof *all);
    if (!all)
        return NULL;
    size = 0;
    for (char **variable = environ; *variable; variable++)
        if (!is_replaced(more, count, *variable))
            all[size++] = *variable;
    for (size_t i = 0; i < count; i++)
        all[size++] = more[i];
    return all;
}
