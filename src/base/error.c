/* SPDX-License-Identifier: MIT */
#include "base/error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void fill(struct ce_error *err, const char *where, int code, const char *fmt, va_list args)
{
    if (!err)
        return;
    err->code = code;
    snprintf(err->where, sizeof err->where, "%s", where);
    vsnprintf(err->message, sizeof err->message, fmt, args);
}

int ce_fail(struct ce_error *err, int code, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    fill(err, "", code, fmt, args);
    va_end(args);
    return -code;
}

int ce_fail_at(struct ce_error *err, const char *where, int code, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    fill(err, where, code, fmt, args);
    va_end(args);
    return -code;
}

int ce_fail_context(struct ce_error *err, int r, const char *fmt, ...)
{
    if (!err)
        return r;
    char context[sizeof err->message];
    char whole[2 * sizeof err->message + 4];
    va_list args;
    va_start(args, fmt);
    vsnprintf(context, sizeof context, fmt, args);
    va_end(args);
    snprintf(whole, sizeof whole, "%s: %s", context, err->message);
    memcpy(err->message, whole, sizeof err->message - 1); /* what does not fit is cut at the end */
    return r;
}

int ce_fail_memory(struct ce_error *err)
{
    return ce_fail(err, ENOMEM, "out of memory");
}

const char *ce_version(void)
{
    return CE_VERSION;
}

void ce_string_free(char *text)
{
    free(text);
}
