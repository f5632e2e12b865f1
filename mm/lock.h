/*
 * The locks of mm/, and their order.
 *
 * A thread takes locks only in the order of enum lock_rank, low to high; debug builds check it at
 * every take. What each one protects:
 *
 *   LOCK_SCAN    held by a background pass (reclaim, sharing) while it works; the audit takes it to
 *                find them at rest
 *   LOCK_MAP     mm->map_lock: structural changes of one mm (map, unmap, protect, fork, exit)
 * follow one another LOCK_MAP2    the same of a child that is being born FRAME_LOCKED not one of
 * these: a flag of a frame (frame.h) that threads sleep on. Ranks here: it may be waited for with
 * LOCK_MAP held, never with any lock below this line LOCK_PTL     mm->ptl: the regions and every
 * backing PTE of one mm, its resident and swapped counts. Notifier callbacks are made under it
 *   LOCK_PTL2    the same of a child that is being born
 *   LOCK_OBJECT  object->lock: what backs each page of a file or of shared anonymous memory
 *   LOCK_CACHE   the swap cache and, with it, every change of a slot's count
 *   LOCK_AREA    whatever the area and the compressed pool lock inside themselves
 *   (rmap)       the lock bit in frame->counts: one frame's reverse map. Takes nothing but
 * LOCK_SLAB LOCK_MMS     pool->mms: the list of mms LOCK_GROW    growing a pool or slab by a step
 * (held over the system call) LOCK_SLAB    a slab's free list LOCK_LRU     the reclaim lists and
 * the link fields of the frames on them LOCK_FREE    the free frames
 */
#ifndef UMBRA_MM_LOCK_H
#define UMBRA_MM_LOCK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum lock_rank {
    LOCK_SCAN = 1,
    LOCK_MAP,
    LOCK_PTL,
    LOCK_PTL2,
    LOCK_OBJECT,
    LOCK_CACHE,
    LOCK_AREA,
    LOCK_MMS,
    LOCK_GROW,
    LOCK_SLAB,
    LOCK_LRU,
    LOCK_FREE,
    LOCK_RANKS
};

/* Sleeps after a short spin. 0 free, 1 held, 2 held and waited for. */
struct mm_lock {
    _Atomic uint32_t v;
};

/* For a few instructions at the end of the order. Spins, then yields. */
struct mm_spin {
    _Atomic uint32_t v;
};

void lock_wait(struct mm_lock *l);
void lock_wake(struct mm_lock *l);
void spin_wait(struct mm_spin *l);

#ifdef MM_DEBUG
void lock_check_take(enum lock_rank r);
void lock_check_drop(enum lock_rank r);
void lock_check_none_from(enum lock_rank r); /* asserts: none of rank >= r is held */
#else
static inline void lock_check_take(enum lock_rank r)
{
    (void)r;
}
static inline void lock_check_drop(enum lock_rank r)
{
    (void)r;
}
static inline void lock_check_none_from(enum lock_rank r)
{
    (void)r;
}
#endif

static inline void lock_take(struct mm_lock *l, enum lock_rank r)
{
    lock_check_take(r);
    uint32_t free = 0;
    if (__builtin_expect(!atomic_compare_exchange_strong_explicit(
                             &l->v, &free, 1, memory_order_acquire, memory_order_relaxed),
                         0))
        lock_wait(l);
}

static inline void lock_drop(struct mm_lock *l, enum lock_rank r)
{
    lock_check_drop(r);
    if (__builtin_expect(atomic_exchange_explicit(&l->v, 0, memory_order_release) == 2, 0))
        lock_wake(l);
}

static inline void spin_take(struct mm_spin *l, enum lock_rank r)
{
    lock_check_take(r);
    if (__builtin_expect(atomic_exchange_explicit(&l->v, 1, memory_order_acquire) != 0, 0))
        spin_wait(l);
}

static inline void spin_drop(struct mm_spin *l, enum lock_rank r)
{
    lock_check_drop(r);
    atomic_store_explicit(&l->v, 0, memory_order_release);
}

#endif
