/* SPDX-License-Identifier: MIT */
/* Addresses as people write them, names, and sockets that are in the way. */
#include "net/endpoint.h"

#include <netinet/in.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "check.h"
#include "wire.h"

/* ---- text ---- */

static void addresses_are_read_as_they_are_written(void)
{
    static const struct {
        const char *text;
        int family; /* 0: a name */
        const char *shown;
    } cases[] = {
        {"127.0.0.1:8080", AF_INET, NULL},
        {"0.0.0.0:0", AF_INET, NULL},
        {"[::1]:80", AF_INET6, NULL},
        {"[0:0::1]:65535", AF_INET6, "[::1]:65535"},
        {"localhost:80", 0, NULL},
        {"model_1.example-net.:00080", 0, "model_1.example-net.:80"},
        {"unix:/run/a:b.sock", AF_UNIX, NULL},
        {"unix:relative", AF_UNIX, NULL},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        struct ce_endpoint endpoint;
        struct ce_error err = {0};
        REQUIRE_OK(ce_endpoint_parse(cases[i].text, &endpoint, &err), err);
        CHECK(endpoint.address.ss_family == cases[i].family);
        CHECK((endpoint.name[0] != '\0') == (cases[i].family == 0));
        char shown[300];
        ce_endpoint_text(&endpoint, shown, sizeof shown);
        CHECK_TEXT(shown, cases[i].shown ? cases[i].shown : cases[i].text);
        struct ce_endpoint again;
        REQUIRE_OK(ce_endpoint_parse(shown, &again, &err), err);
        CHECK(ce_endpoint_same(&endpoint, &again));
    }
}

static void what_is_no_address_is_told(void)
{
    char long_path[200] = "unix:/", long_name[300];
    memset(long_path + 6, 'x', 120);
    memset(long_name, 'x', 260);
    memcpy(long_name + 260, ":1", 3);
    const struct {
        const char *text, *part;
    } cases[] = {
        {"", "write host:port, [IPv6 address]:port or unix:/path"},
        {"localhost", "write host:port"},
        {":80", "write host:port"},
        {"[::1]", "write host:port"},
        {"[]:80", "write host:port"},
        {"[::1:80", "write host:port"},
        {"localhost:", "'' is no port, which is 0 to 65535"},
        {"localhost:65536", "'65536' is no port"},
        {"localhost:80a", "'80a' is no port"},
        {"localhost:-1", "'-1' is no port"},
        {"localhost:000080", "'000080' is no port"},
        {"::1:80", "'::1' is no host's name, and an IPv6 address stands in brackets"},
        {"[127.0.0.1]:80", "'127.0.0.1' is no IPv6 address"},
        {"[localhost]:80", "'localhost' is no IPv6 address"},
        {"http://localhost:80", "'http://localhost' is no host's name"},
        {"a b:80", "'a b' is no host's name"},
        {"unix:", "a socket's path has 1 to 107 bytes"},
        {long_path, "a socket's path has 1 to 107 bytes"},
        {long_name, "a host's name has at most 253 bytes"},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        struct ce_endpoint endpoint;
        struct ce_error err = {0};
        CHECK(ce_endpoint_parse(cases[i].text, &endpoint, &err) == -EINVAL);
        if (!strstr(err.message, cases[i].part) && strlen(cases[i].text) < 200)
            CHECK_TEXT(err.message, cases[i].part);
    }
}

static void endpoints_differ_in_whatever_leads_elsewhere(void)
{
    static const char *const texts[] = {"127.0.0.1:80", "127.0.0.1:81", "127.0.0.2:80",
                                        "[::1]:80",     "a:80",         "a:81",
                                        "b:80",         "unix:/a",      "unix:/b"};
    struct ce_endpoint endpoints[CE_COUNT(texts) + 1];
    for (size_t i = 0; i < CE_COUNT(texts); i++)
        REQUIRE(ce_endpoint_parse(texts[i], &endpoints[i], NULL) == 0);
    endpoints[CE_COUNT(texts)] = endpoints[0]; /* in another network namespace */
    endpoints[CE_COUNT(texts)].ctx = endpoints;
    for (size_t i = 0; i < CE_COUNT(endpoints); i++)
        for (size_t k = 0; k < CE_COUNT(endpoints); k++)
            CHECK(ce_endpoint_same(&endpoints[i], &endpoints[k]) == (i == k));
}

/* ---- names ---- */

static void names_are_looked_up_when_they_are_used(void)
{
    struct ce_endpoint server;
    struct ce_error err = {0};
    REQUIRE_OK(ce_endpoint_parse("localhost:0", &server, &err), err);
    ce_autofd int listener = wire_listen(&server);
    CHECK(listener >= 0 && server.name[0] == '\0');
    int port = ntohs(((struct sockaddr_in *)&server.address)->sin_port); /* of IPv6 likewise */

    struct ce_endpoint client;
    char text[64];
    snprintf(text, sizeof text, "localhost:%d", port);
    REQUIRE_OK(ce_endpoint_parse(text, &client, &err), err);
    struct ce_addresses addresses;
    REQUIRE_OK(ce_endpoint_resolve(&client, &addresses, &err), err);
    CHECK(addresses.count >= 1);
    ce_autofd int fd = ce_endpoint_connect(&client, &err);
    CHECK(fd >= 0);
    ce_autofd int accepted = wire_accept(listener);
    CHECK(accepted >= 0);
}

/* A label of 64 bytes is one too many, so no server is asked. */
static void a_name_that_nobody_has_is_told(void)
{
    char text[80], want[128];
    memset(text, 'x', 64);
    memcpy(text + 64, ":80", 4);
    struct ce_endpoint endpoint;
    struct ce_error err = {0};
    REQUIRE_OK(ce_endpoint_parse(text, &endpoint, &err), err);
    CHECK(ce_endpoint_connect(&endpoint, &err) == -EHOSTUNREACH);
    snprintf(want, sizeof want, "cannot find the host '%.64s': ", text);
    CHECK(strncmp(err.message, want, strlen(want)) == 0);
    CHECK(ce_endpoint_listen(&endpoint, &err) == -EHOSTUNREACH);
}

static int find_none(void *ctx, const char *name, uint16_t port, struct ce_addresses *addresses,
                     struct ce_error *err)
{
    (void)err;
    *(uint16_t *)ctx = port;
    addresses->count = 0;
    return name[0] == 'x' ? 0 : -EINVAL;
}

static void others_may_look_names_up(void)
{
    struct ce_endpoint endpoint;
    struct ce_addresses addresses;
    struct ce_error err = {0};
    uint16_t port = 0;
    REQUIRE_OK(ce_endpoint_parse("x:80", &endpoint, &err), err);
    endpoint.look_up = find_none;
    endpoint.ctx = &port;
    CHECK(ce_endpoint_resolve(&endpoint, &addresses, &err) == -EHOSTUNREACH && port == 80);
    CHECK_TEXT(err.message, "the host 'x' has no address");
}

/* ---- sockets in the way ---- */

static void ports_in_use_are_told(void)
{
    struct ce_endpoint first = ce_endpoint_loopback(0);
    struct ce_error err = {0};
    ce_autofd int listener = wire_listen(&first);
    REQUIRE(listener >= 0);
    struct ce_endpoint second = first;
    CHECK(ce_endpoint_listen(&second, &err) == -EADDRINUSE);
    char text[64], want[128];
    ce_endpoint_text(&first, text, sizeof text);
    snprintf(want, sizeof want, "cannot listen on %s: Address already in use", text);
    CHECK_TEXT(err.message, want);
}

static void stale_socket_files_are_replaced_and_live_ones_are_not(void)
{
    char folder[] = "/tmp/ce-endpoint-XXXXXX", text[128];
    REQUIRE(mkdtemp(folder));
    snprintf(text, sizeof text, "unix:%s/s", folder);
    struct ce_endpoint endpoint;
    struct ce_error err = {0};
    REQUIRE_OK(ce_endpoint_parse(text, &endpoint, &err), err);
    int live = ce_endpoint_listen(&endpoint, &err);
    CHECK(live >= 0);
    CHECK(ce_endpoint_listen(&endpoint, &err) == -EADDRINUSE);
    close(live); /* the file stays, and nobody listens */
    ce_autofd int next = ce_endpoint_listen(&endpoint, &err);
    CHECK(next >= 0);
    ce_autofd int client = wire_connect(&endpoint);
    CHECK(client >= 0);

    snprintf(text, sizeof text, "unix:%s/file", folder);
    REQUIRE_OK(ce_endpoint_parse(text, &endpoint, &err), err);
    FILE *file = fopen(text + 5, "w"); /* what is no socket is left alone */
    REQUIRE(file);
    fclose(file);
    CHECK(ce_endpoint_listen(&endpoint, &err) == -EADDRINUSE);
    struct stat st;
    CHECK(stat(text + 5, &st) == 0 && S_ISREG(st.st_mode));
    CHECK(ce_tree_remove(folder, &err) == 0);
}

int main(void)
{
    TEST(addresses_are_read_as_they_are_written);
    TEST(what_is_no_address_is_told);
    TEST(endpoints_differ_in_whatever_leads_elsewhere);
    TEST(names_are_looked_up_when_they_are_used);
    TEST(a_name_that_nobody_has_is_told);
    TEST(others_may_look_names_up);
    TEST(ports_in_use_are_told);
    TEST(stale_socket_files_are_replaced_and_live_ones_are_not);
    return test_done();
}
