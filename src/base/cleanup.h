/* SPDX-License-Identifier: MIT */
/* Locals that own something say so at their declaration, and give it up with ce_take(). */
#ifndef CE_BASE_CLEANUP_H
#define CE_BASE_CLEANUP_H

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CE_CLEANUP(fn) __attribute__((cleanup(fn)))

/* Defines `name_p`, which CE_CLEANUP() takes, from a `void name(type *)`. */
#define CE_DEFINE_CLEANUP(type, name)                                                              \
    static inline void name##_p(type **p)                                                          \
    {                                                                                              \
        if (*p)                                                                                    \
            name(*p);                                                                              \
    }                                                                                              \
    struct ce_swallow_semicolon_

/* The value, and NULL in its place: ownership moves to whoever takes it. */
#define ce_take(p)                                                                                 \
    __extension__({                                                                                \
        __typeof__(p) taken_ = (p);                                                                \
        (p) = NULL;                                                                                \
        taken_;                                                                                    \
    })
#define ce_take_fd(fd)                                                                             \
    __extension__({                                                                                \
        int taken_ = (fd);                                                                         \
        (fd) = -1;                                                                                 \
        taken_;                                                                                    \
    })

static inline void ce_autofree_(void *p)
{
    free(*(void **)p);
}
static inline void ce_autofd_(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
}
static inline void ce_autofile_(FILE **f)
{
    if (*f)
        (void)fclose(*f);
}
static inline void ce_autojson_(json_t **json)
{
    json_decref(*json);
}
#define ce_autofree CE_CLEANUP(ce_autofree_)
#define ce_autofd   CE_CLEANUP(ce_autofd_)
#define ce_autofile CE_CLEANUP(ce_autofile_)
#define ce_autojson CE_CLEANUP(ce_autojson_)

#endif
