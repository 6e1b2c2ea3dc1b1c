/* SPDX-License-Identifier: MIT */
/* How the gateway learns its model server's address: by the system's resolver, as any application.
 *
 * Either the name is looked up each time it is needed, and whoever asks waits, or in the
 * background: then what was found last holds for ever, and a new address is taken only once
 * something there takes a connection. A host that is an address is that address. */
#ifndef CE_PIPELINE_EMBEDDED_NAMES_H
#define CE_PIPELINE_EMBEDDED_NAMES_H

#include <netinet/in.h>
#include <stdbool.h>

#include "base/error.h"

struct ce_names;
/* Works until the process ends. In the background a first look-up is waited for, whatever comes of
 * it. `host` is borrowed. */
int ce_names_open(const char *host, int port, bool in_background, struct ce_names **ret_names,
                  struct ce_error *err);
/* -EADDRNOTAVAIL: the name stands for nothing, or nobody could tell. Any thread. */
int ce_names_resolve(struct ce_names *names, char ret_address[INET_ADDRSTRLEN]);

#endif
