/* SPDX-License-Identifier: MIT */
#include "faults/model/last_answers.h"

#include <stdlib.h>

void ce_last_answers_init(struct ce_last_answers *last)
{
    last->lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
}

void ce_last_answer_done(struct ce_last_answer *answer)
{
    free(answer->memory);
    *answer = (struct ce_last_answer){0};
}

void ce_last_answers_done(struct ce_last_answers *last)
{
    for (size_t i = 0; i < CE_LAST_ANSWERS_MAX; i++)
        ce_last_answer_done(&last->answers[i]);
}

/* One block: content type, body, length of the JSON. */
static int copy(const struct ce_message *message, struct ce_last_answer *ret)
{
    size_t type = strlen(message->content_type) + 1;
    char *at = malloc(type + message->size + message->json_length.size + 1);
    if (!at)
        return -ENOMEM;
    ret->memory = at;
    ret->message = *message;
    ret->message.content_type = memcpy(at, message->content_type, type);
    ret->message.body = memcpy(at + type, message->body, message->size);
    at += type + message->size;
    if (message->json_length.size > 0)
        ret->message.json_length.data =
            memcpy(at, message->json_length.data, message->json_length.size);
    return 0;
}

/* The place of that path; a free one, or that of another when all are taken. */
static struct ce_last_answer *find(struct ce_last_answers *last, uint64_t path)
{
    for (size_t i = 0; i < CE_LAST_ANSWERS_MAX; i++)
        if (!last->answers[i].memory || last->answers[i].path == path)
            return &last->answers[i];
    return &last->answers[path % CE_LAST_ANSWERS_MAX];
}

int ce_last_answers_swap(struct ce_last_answers *last, const struct ce_exchange *exchange,
                         const struct ce_message *message, struct ce_last_answer *ret)
{
    struct ce_last_answer now = {.path = ce_hash_name(exchange->path, strlen(exchange->path)) +
                                         exchange->is_probe};
    *ret = (struct ce_last_answer){0};
    if (copy(message, &now) < 0)
        return -ENOMEM;
    pthread_mutex_lock(&last->lock);
    struct ce_last_answer *place = find(last, now.path);
    struct ce_last_answer before = *place;
    *place = now;
    pthread_mutex_unlock(&last->lock);
    if (before.path == now.path)
        *ret = before;
    else
        ce_last_answer_done(&before);
    return 0;
}
