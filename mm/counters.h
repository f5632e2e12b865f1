/*
 * What a pool has done so far, for reports and tests. One list of names serves the counters, their
 * texts and their readers.
 */
#ifndef UMBRA_MM_COUNTERS_H
#define UMBRA_MM_COUNTERS_H

#include <stdint.h>

struct pool;

/* X(name, meaning) */
#define MM_COUNTERS(X)                                                                             \
    X(copies, "copy-on-write copied")                                                              \
    X(reuses, "copy-on-write found a sole owner")                                                  \
    X(swap_outs, "pages written out")                                                              \
    X(swap_ins, "pages read back")                                                                 \
    X(cache_hits, "faults served from the swap cache")                                             \
    X(dropped, "clean pages dropped without I/O")                                                  \
    X(write_errors, "pages that could not be written out")                                         \
    X(read_errors, "pages that could not be read back")                                            \
    X(no_slot, "evictions given up for want of a slot or room")                                    \
    X(put_back, "entries put back after an eviction was given up")                                 \
    X(ahead_reads, "pages read ahead")                                                             \
    X(ahead_hits, "pages read ahead that were wanted")                                             \
    X(scanned, "frames looked at by reclaim")                                                      \
    X(young, "frames spared for having been used")                                                 \
    X(busy, "frames skipped: pinned, locked or being written")                                     \
    X(freed, "frames freed by reclaim")                                                            \
    X(refaults, "evicted pages wanted again")                                                      \
    X(refaults_soon, "... soon enough to go to the active list")                                   \
    X(direct, "times that a faulting thread had to reclaim")                                       \
    X(gave_up, "times that reclaim gave up, as next to nothing could leave")                       \
    X(background, "rounds of background reclaim")                                                  \
    X(limit, "times that an mm met its limit")                                                     \
    X(file_reads, "pages read from files")                                                         \
    X(file_writes, "pages written back to files")                                                  \
    X(merged, "pages merged for identical content")                                                \
    X(share_scanned, "pages looked at by the sharing scanner")

struct mm_counters {
#define X(name, text) uint64_t name;
    MM_COUNTERS(X)
#undef X
};

enum mm_counter {
#define X(name, text) CNT_##name,
    MM_COUNTERS(X)
#undef X
        MM_COUNTER_COUNT
};

void mm_get_counters(const struct pool *p, struct mm_counters *out);
/* Of counter i (0 .. MM_COUNTER_COUNT-1): its name and what it counts. */
const char *mm_counter_name(enum mm_counter i);
const char *mm_counter_text(enum mm_counter i);

#endif
