/* SPDX-License-Identifier: MIT */
#include "host/names/resolv_conf.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"

static bool read_address(const char *text, struct sockaddr_storage *ret_address)
{
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(CE_DNS_PORT)};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(CE_DNS_PORT)};
    memset(ret_address, 0, sizeof *ret_address);
    if (inet_pton(AF_INET, text, &four.sin_addr) == 1)
        memcpy(ret_address, &four, sizeof four);
    else if (inet_pton(AF_INET6, text, &six.sin6_addr) == 1)
        memcpy(ret_address, &six, sizeof six);
    return ret_address->ss_family != 0;
}

void ce_resolv_conf_parse(struct ce_resolv_conf *conf)
{
    conf->count = 0;
    for (const char *line = conf->text; line && conf->count < CE_DNS_SERVERS_MAX;) {
        char server[64];
        if (sscanf(line, "nameserver%*[ \t]%63[^ \t\r\n]", server) == 1 &&
            read_address(server, &conf->servers[conf->count]))
            conf->count++;
        line = strchr(line, '\n');
        line += line != NULL;
    }
    if (conf->count == 0)
        (void)read_address("127.0.0.1", &conf->servers[conf->count++]);
}

/* What is left of a call in the target's namespaces. */
struct reading {
    char path[PATH_MAX];
    char text[CE_RESOLV_CONF_MAX];
};

static int read_there(void *ctx, struct ce_error *err)
{
    struct reading *reading = ctx;
    ce_autofree char *text = NULL;
    size_t size;
    int r = ce_file_read(reading->path, sizeof reading->text - 1, &text, &size, err);
    if (r == 0)
        memcpy(reading->text, text, size);
    return r;
}

static int read_file(const struct ce_place *place, const char *path, struct ce_resolv_conf *conf,
                     struct ce_error *err)
{
    ce_autofree struct reading *reading = calloc(1, sizeof *reading);
    if (!reading)
        return ce_fail_memory(err);
    snprintf(reading->path, sizeof reading->path, "%s", path);
    CE_TRY(ce_place_call(place, CE_PLACE_MOUNTS, read_there, reading, sizeof *reading, err));
    memcpy(conf->text, reading->text, sizeof conf->text);
    return 0;
}

int ce_resolv_conf_read(const struct ce_place *place, struct ce_resolv_conf *ret_conf,
                        struct ce_error *err)
{
    int r = -ENOENT;
    memset(ret_conf, 0, sizeof *ret_conf);
    const char *name = strrchr(place->file, '/');
    if (name && place->mounts == 0) {
        ce_autofree char *path = ce_format("/etc/netns%s/resolv.conf", name);
        if (!path)
            return ce_fail_memory(err);
        r = read_file(place, path, ret_conf, err);
    }
    if (r == -ENOENT)
        r = read_file(place, "/etc/resolv.conf", ret_conf, err);
    if (r < 0 && r != -ENOENT)
        return r;
    ce_resolv_conf_parse(ret_conf);
    return 0;
}
