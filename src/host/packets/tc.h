/* SPDX-License-Identifier: MIT */
/* Shapers: a queueing discipline of ours for some of the packets of a target.
 *
 * The discipline is the root of a device of ours (an ifb) in the target's network namespace. On the
 * target's interfaces a filter sends the packets that are meant through that device, from which
 * they go on as if nothing had been. So nobody's own queueing disciplines are touched: what an
 * interface gets is a clsact, where it has none, and one filter behind all others.
 *
 * A second shaper for the very same packets becomes one more layer below the first one's
 * discipline; shapers of different packets have devices of their own; one whose packets overlap
 * another's without being the same is refused, as it would be shadowed. */
#ifndef CE_HOST_PACKETS_TC_H
#define CE_HOST_PACKETS_TC_H

#include "host/packets/packets.h"
#include "host/packets/shaping.h"

struct ce_shaper {
    struct ce_place place;
    char device[IF_NAMESIZE];
    unsigned layer; /* of the device's disciplines: 0 is the root */
    int note;       /* 0: it does not exist */
};

/* `leaving`: which of the two directions; that of the filter is not looked at. Notes
 * "remove-shaper", then does it. -ENOTSUP: the kernel cannot, or other shapers are in the way.
 * After a failure nothing is left. */
int ce_shaper_begin(struct ce_journal *journal, const struct ce_place *place,
                    const struct ce_packet_filter *filter, bool leaving,
                    const struct ce_shaping *shaping, struct ce_shaper *ret_shaper,
                    struct ce_error *err);
/* The same kind of discipline with other numbers. */
int ce_shaper_change(const struct ce_shaper *shaper, const struct ce_shaping *shaping,
                     struct ce_error *err);
struct ce_shaper_count {
    uint64_t passed, dropped, waiting; /* packets */
    uint64_t delayed;                  /* how often a limit made one wait */
};
int ce_shaper_count(const struct ce_shaper *shaper, struct ce_shaper_count *ret_count,
                    struct ce_error *err);
/* Idempotent. */
int ce_shaper_end(struct ce_journal *journal, struct ce_shaper *shaper, struct ce_error *err);

/* The largest packet that an interface which the filter means lets through, in bytes. */
int ce_shaper_largest(const struct ce_place *place, const struct ce_packet_filter *filter,
                      size_t *ret_largest, struct ce_error *err);
/* Whether this host lets this user make a shaper of that kind, tried out in a network namespace of
 * a child's own. */
bool ce_shaper_available(const struct ce_shaping *shaping, char *reason, size_t size);

/* For filters with a tag (host/packets/clsact.h) that lead to no device: a tag that nothing else
 * has, and the note "remove-shaper" for them. Returns the note. */
void ce_filter_tag(char ret_tag[IF_NAMESIZE]);
int ce_undo_note_filters(struct ce_journal *journal, const struct ce_place *place, const char *tag,
                         struct ce_error *err);

extern const struct ce_undo_op ce_undo_remove_shaper;

#endif
