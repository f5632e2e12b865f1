/*
 * The slot map of a swap area (behaviours 19, 20): how often each slot is named, which are bad,
 * and which are free. It knows nothing of what a slot holds.
 *
 * A slot is named by counts (one for each entry that names it, the swap cache included if its owner
 * wants so) and by pins (I/O on its way). It becomes free when both are zero: whoever takes the
 * last one away is told so, drops what the slot holds, and calls slotmap_release. Until then nobody
 * is given the slot again. A count that reaches SLOT_COUNT_MAX stays there: the slot is never
 * freed.
 *
 * Slot 0 is the header: never given, always in use. Threads: any function from any thread.
 */
#ifndef UMBRA_MM_SLOTMAP_H
#define UMBRA_MM_SLOTMAP_H

#include "mm/types.h"

#define SLOT_COUNT_MAX 0x7fffu
#define SLOTS_MAX      (1u << 24) /* slot numbers must fit a PTE */
#define SLOT_CLUSTER   20u        /* slots that are given out side by side */

struct slotmap;

/* One who swaps out: its slots lie together. Start from all zero. */
struct slot_cluster {
    slot_t next;
    unsigned left;
};

struct slotmap_stats {
    uint32_t total; /* slots that can hold a page: header and bad ones not counted */
    uint32_t used;  /* given out and not yet free again */
    uint32_t bad;
    uint32_t saturated; /* of those used, how many will never be freed */
    uint64_t allocs, frees, clusters;
};

/* slots: header included, 2..SLOTS_MAX. 0, -EINVAL, -ENOMEM. */
int slotmap_create(uint32_t slots, struct slotmap **out);
void slotmap_destroy(struct slotmap *m);

/* Take a free slot with a count of 1, beside those that c was given before (c NULL: the map's own
 * cluster). 0 or -ENOSPC. c must not be used by two threads at once. */
int slotmap_alloc(struct slotmap *m, struct slot_cluster *c, slot_t *out);
/* One more name. 0, -ENOENT: the slot is free, bad or out of range (nothing has changed). */
int slotmap_dup(struct slotmap *m, slot_t s);
/* One name less. True: that was the last of counts and pins, the caller owes slotmap_release. */
bool slotmap_put(struct slotmap *m, slot_t s);
/* As dup and put, for I/O on its way. -EBUSY: far too many pins. */
int slotmap_pin(struct slotmap *m, slot_t s);
bool slotmap_unpin(struct slotmap *m, slot_t s);
/* Give the slot back: free, or for ever out of use when it was marked bad. */
void slotmap_release(struct slotmap *m, slot_t s);
/* Its medium failed: not to be given again. The names that it has stay. */
void slotmap_mark_bad(struct slotmap *m, slot_t s);

/* No slot is given out from now on (or again). */
void slotmap_freeze(struct slotmap *m, bool frozen);
unsigned slotmap_count(const struct slotmap *m, slot_t s); /* 0: free, or out of range */
unsigned slotmap_pins(const struct slotmap *m, slot_t s);
bool slotmap_bad(const struct slotmap *m, slot_t s);
uint32_t slotmap_slots(const struct slotmap *m);
bool slotmap_half_full(const struct slotmap *m); /* more than half in use */
/* The first slot >= from with a count, or 0. */
slot_t slotmap_next_used(const struct slotmap *m, slot_t from);
void slotmap_get_stats(const struct slotmap *m, struct slotmap_stats *out);
/* Do free bits, counts and sums agree? 0 or -EUCLEAN with the first that does not in msg. Only
 * while nobody else uses the map. */
int slotmap_audit(const struct slotmap *m, char *msg, size_t len);

#endif
