/* SPDX-License-Identifier: MIT */
/* A proxy whose upstream speaks HTTP/2, and a gRPC call that goes through it. */
#ifndef CE_TESTS_H2_WORLD_H
#define CE_TESTS_H2_WORLD_H

#include "base/clock.h"
#include "h2_wire.h"
#include "proxy_spy.h"

static inline int h2_world_open(struct world *world, bool http2, int64_t timeout_ns)
{
    struct ce_error err = {0};
    *world = (struct world){.upstream = ce_endpoint_loopback(0)};
    world->listener = wire_listen(&world->upstream);
    if (world->listener < 0 || ce_proxy_start(1, &world->proxy, &err) < 0)
        return -1;
    struct ce_route_config config = {
        .name = "model",
        .listen = ce_endpoint_loopback(0),
        .upstream = world->upstream,
        .id_header = "X-Request-Id",
        .upstream_timeout_ns = timeout_ns,
        .http2 = http2,
        .mark = true,
    };
    return ce_proxy_add_route(world->proxy, &config, &world->route, &err);
}
#define H2_WORLD(name)                                                                             \
    CE_CLEANUP(world_close) struct world name;                                                     \
    REQUIRE(h2_world_open(&name, true, 0) == 0)

#define CLIENT(name, world)                                                                        \
    CE_CLEANUP(peer_close) struct peer name;                                                       \
    peer_open(&name, client_open(&(world)), false, 0, 0)

/* Accepts the proxy's connection. */
#define SERVER(name, world)                                                                        \
    CE_CLEANUP(peer_close) struct peer name;                                                       \
    peer_open(&name, wire_accept((world).listener), true, 0, 0)

static const char *const call[] = {":method",
                                   "POST",
                                   ":scheme",
                                   "http",
                                   ":path",
                                   "/inference.GRPCInferenceService/ModelInfer",
                                   ":authority",
                                   "model",
                                   "content-type",
                                   "application/grpc",
                                   "te",
                                   "trailers",
                                   "x-request-id",
                                   "seven",
                                   NULL};
static const char call_lines[] = ":method: POST\n:scheme: http\n"
                                 ":path: /inference.GRPCInferenceService/ModelInfer\n"
                                 ":authority: model\ncontent-type: application/grpc\n"
                                 "te: trailers\nx-request-id: seven\n";
static const char *const reply_head[] = {
    ":status", "200", "content-type", "application/grpc", "x-b", "2", "x-a", "1", NULL};
static const char reply_lines[] = ":status: 200\ncontent-type: application/grpc\nx-b: 2\nx-a: 1\n";
static const char *const all_well[] = {"grpc-status", "0", "x-after", "yes", NULL};
static const char hello[] = "\0\0\0\0\5hello", world_said[] = "\0\0\0\0\5world";
enum { HELLO = 10 };

static inline bool has_data(const struct peer_stream *stream, const char *data, size_t size)
{
    return stream && stream->size == size && (size == 0 || memcmp(stream->data, data, size) == 0);
}

/* The next request at the upstream, whole. */
static inline struct peer_stream *arrives(struct peer *server, size_t n)
{
    while ((server->count < n || !server->streams[n - 1].ended) && peer_step(server))
        ;
    CHECK(server->count >= n && server->streams[n - 1].ended);
    return server->count >= n ? &server->streams[n - 1] : NULL;
}

/* One whole call; the proxy's connection is there already. */
static inline struct peer_stream *whole_call(struct peer *client, struct peer *server)
{
    size_t n = server->count + 1;
    int32_t id = peer_ask(client, call, hello, HELLO, false);
    struct peer_stream *request = arrives(server, n);
    if (request)
        peer_answer(server, request->id, reply_head, world_said, HELLO, all_well, false);
    PEER_UNTIL(client, peer_find(client, id)->closed);
    return peer_find(client, id);
}

/* An upstream on a thread of its own: answers every call with its own message. */
static inline void *echo(void *arg)
{
    const struct world *world = arg;
    struct peer server;
    peer_open(&server, wire_accept(world->listener), true, 0, 0);
    while (peer_step(&server))
        for (size_t i = 0; i < server.count; i++) {
            struct peer_stream *stream = &server.streams[i];
            if (stream->ended && !stream->out && !stream->closed)
                peer_answer(&server, stream->id, reply_head, stream->data, stream->size, all_well,
                            false);
        }
    peer_close(&server);
    return NULL;
}

#endif
