/* SPDX-License-Identifier: MIT */
/* Messages between the pipeline's processes: one line of text each, over a pair of SOCK_SEQPACKET
 * sockets, so that a message is complete or absent. A message may carry a descriptor, and who it is
 * about. */
#ifndef CE_PIPELINE_CHANNEL_H
#define CE_PIPELINE_CHANNEL_H

#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

#define CE_CHANNEL_TEXT 768 /* an error's sentence and place fit */

struct ce_channel_message {
    char text[CE_CHANNEL_TEXT];
    int fd;    /* that came along, owned by the receiver; -1: none */
    pid_t pid; /* whom the message is about, as numbered in the receiver's pid namespace; 0: unknown
                */
};

/* Both ends are CLOEXEC. */
int ce_channel_pair(int ret_ends[2], struct ce_error *err);
/* From now on what this end receives says whom it is about. */
int ce_channel_want_pids(int channel, struct ce_error *err);

/* Sends without waiting. `fd` goes along unless it is -1. `about` (0: this process) is numbered in
 * the sender's pid namespace; the kernel translates it for the receiver. Another process than this
 * one may only be named with CAP_SYS_ADMIN. 0 or -errno. */
int ce_channel_send(int channel, const char *text, int fd, pid_t about);
/* Waits until ce_now() >= `until` (0: not at all). 1, 0 when the other end is gone, -ETIMEDOUT, or
 * another -errno. */
int ce_channel_receive(int channel, int64_t until, struct ce_channel_message *ret_message);

#endif
