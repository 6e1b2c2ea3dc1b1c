/* SPDX-License-Identifier: MIT */
#include "web/feed.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"

enum { BLOCK = 64 << 10 };
#define KEEP_ALIVE_EVERY (15 * CE_SECOND)

struct event {
    char *text; /* as it is sent */
    size_t size;
};

struct client {
    struct ce_feed *feed;
    struct MHD_Connection *connection;
    struct client *next, *before;
    uint64_t event; /* the one that it gets, or waits for */
    size_t sent;    /* of its text */
    char greeting[96];
    size_t greeting_size, greeted;
    int64_t told; /* when it was sent anything */
    bool waits;
};

struct ce_feed {
    pthread_mutex_t lock;
    struct event ring[CE_FEED_EVENTS];
    uint64_t first, next; /* events first..next-1 are there, the first of all is 1 */
    size_t bytes;
    struct client *clients;
    size_t client_count;
    bool ended;
};

struct ce_feed *ce_feed_new(void)
{
    struct ce_feed *feed = calloc(1, sizeof *feed);
    if (!feed)
        return NULL;
    (void)pthread_mutex_init(&feed->lock, NULL);
    feed->first = feed->next = 1;
    return feed;
}

static struct event *event_at(struct ce_feed *feed, uint64_t id)
{
    return &feed->ring[id % CE_FEED_EVENTS];
}

static void forget_first(struct ce_feed *feed)
{
    struct event *event = event_at(feed, feed->first++);
    feed->bytes -= event->size;
    free(event->text);
    *event = (struct event){0};
}

void ce_feed_free(struct ce_feed *feed)
{
    if (!feed)
        return;
    while (feed->first < feed->next)
        forget_first(feed);
    (void)pthread_mutex_destroy(&feed->lock);
    free(feed);
}

static void wake(struct client *client)
{
    if (!client->waits)
        return;
    client->waits = false;
    MHD_resume_connection(client->connection);
}

static void wake_all(struct ce_feed *feed)
{
    for (struct client *client = feed->clients; client; client = client->next)
        wake(client);
}

/* ---- what is added ---- */

void ce_feed_add(struct ce_feed *feed, const char *name, const char *line, size_t size)
{
    (void)pthread_mutex_lock(&feed->lock);
    char *text = ce_format("id: %llu\nevent: %s\ndata: %.*s\n\n", (unsigned long long)feed->next,
                           name, (int)size, line);
    if (text) {
        if (feed->next - feed->first == CE_FEED_EVENTS)
            forget_first(feed);
        struct event *event = event_at(feed, feed->next++);
        *event = (struct event){text, strlen(text)};
        feed->bytes += event->size;
        while (feed->bytes > CE_FEED_BYTES && feed->next - feed->first > 1)
            forget_first(feed);
        wake_all(feed);
    }
    (void)pthread_mutex_unlock(&feed->lock);
}

void ce_feed_turn(struct ce_feed *feed)
{
    int64_t now = ce_now();
    (void)pthread_mutex_lock(&feed->lock);
    for (struct client *client = feed->clients; client; client = client->next)
        if (now >= client->told + KEEP_ALIVE_EVERY)
            wake(client);
    (void)pthread_mutex_unlock(&feed->lock);
}

void ce_feed_end(struct ce_feed *feed)
{
    (void)pthread_mutex_lock(&feed->lock);
    feed->ended = true;
    wake_all(feed);
    (void)pthread_mutex_unlock(&feed->lock);
}

/* ---- a client ---- */

static size_t piece_of(const char *text, size_t size, size_t *sent, char *buffer, size_t room)
{
    size_t n = size - *sent < room ? size - *sent : room;
    memcpy(buffer, text + *sent, n);
    *sent += n;
    return n;
}

/* As many events as fit. 0: there is nothing to send. */
static size_t fill(struct client *client, char *buffer, size_t room)
{
    struct ce_feed *feed = client->feed;
    size_t n = piece_of(client->greeting, client->greeting_size, &client->greeted, buffer, room);
    while (n < room && client->event < feed->next) {
        const struct event *event = event_at(feed, client->event);
        n += piece_of(event->text, event->size, &client->sent, buffer + n, room - n);
        if (client->sent == event->size) {
            client->event++;
            client->sent = 0;
        }
    }
    return n;
}

static ssize_t read_locked(struct client *client, char *buffer, size_t room)
{
    static const char keep_alive[] = ": keep-alive\n\n";
    int64_t now = ce_now();
    if (client->feed->ended || client->event < client->feed->first)
        return MHD_CONTENT_READER_END_OF_STREAM;
    size_t n = fill(client, buffer, room);
    if (n == 0 && now >= client->told + KEEP_ALIVE_EVERY && room >= sizeof keep_alive) {
        n = sizeof keep_alive - 1;
        memcpy(buffer, keep_alive, n);
    }
    if (n > 0) {
        client->told = now;
        return (ssize_t)n;
    }
    client->waits = true;
    MHD_suspend_connection(client->connection);
    return 0;
}

static ssize_t on_read(void *ctx, uint64_t position, char *buffer, size_t room)
{
    struct client *client = ctx;
    struct ce_feed *feed = client->feed;
    (void)pthread_mutex_lock(&feed->lock);
    ssize_t n = read_locked(client, buffer, room);
    (void)pthread_mutex_unlock(&feed->lock);
    return n;
}

static void on_gone(void *ctx)
{
    struct client *client = ctx;
    struct ce_feed *feed = client->feed;
    (void)pthread_mutex_lock(&feed->lock);
    if (client->before)
        client->before->next = client->next;
    else
        feed->clients = client->next;
    if (client->next)
        client->next->before = client->before;
    feed->client_count--;
    (void)pthread_mutex_unlock(&feed->lock);
    free(client);
}

/* Behind the last one that it has, if that is not too long ago; else from now on. It is told where
 * it stands, so that it has an id to come back with. */
static void join(struct ce_feed *feed, struct client *client, const char *last)
{
    int64_t had = -1;
    bool knows = last && ce_text_integer(last, &had) == 0 && had >= 0 &&
                 (uint64_t)had + 1 >= feed->first && (uint64_t)had < feed->next;
    client->event = knows ? (uint64_t)had + 1 : feed->next;
    unsigned long long at = client->event - 1;
    client->greeting_size =
        (size_t)snprintf(client->greeting, sizeof client->greeting,
                         "retry: 1000\nid: %llu\nevent: hello\ndata: {\"id\":%llu}\n\n", at, at);
    client->told = ce_now();
    client->next = feed->clients;
    if (feed->clients)
        feed->clients->before = client;
    feed->clients = client;
    feed->client_count++;
}

struct MHD_Response *ce_feed_open(struct ce_feed *feed, struct MHD_Connection *connection,
                                  const char *last)
{
    struct client *client = calloc(1, sizeof *client);
    if (!client)
        return NULL;
    client->feed = feed;
    client->connection = connection;
    (void)pthread_mutex_lock(&feed->lock);
    bool room = feed->client_count < CE_FEED_CLIENTS_MAX && !feed->ended;
    if (room)
        join(feed, client, last);
    (void)pthread_mutex_unlock(&feed->lock);
    if (!room) {
        free(client);
        return NULL;
    }
    struct MHD_Response *response =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK, on_read, client, on_gone);
    if (!response)
        on_gone(client);
    return response;
}
