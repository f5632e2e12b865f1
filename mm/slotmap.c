/*
 * Slot map: a word for each slot and a bitmap of free ones.
 *
 * Words change by compare-and-swap only; bitmap and cluster under `lock`. Invariants:
 *  1. A free bit is set only for a slot whose word has no count, no pin and is not bad.
 *  2. A word leaves "no count, no pin" only in alloc, after its free bit was taken. So dup and pin
 * on a free slot fail, and the one who sees both reach zero owns the slot until release.
 */
#include "mm/slotmap.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define W_COUNT SLOT_COUNT_MAX /* bits 14..0 */
#define W_BAD   0x8000u
#define W_PIN   0x10000u /* one pin; bits 30..16 */
#define W_PINS  0x7fff0000u
#define BITS    64u

struct slotmap {
    uint32_t slots;
    _Atomic uint32_t *word;
    uint64_t *free; /* one bit per slot, set: free */
    pthread_mutex_t lock;
    struct slot_cluster own;
    slot_t scan;          /* where the last cluster or lone slot ended */
    uint64_t retry_frees; /* no cluster is to be had before so many frees */
    bool frozen;
    uint32_t parked; /* bad and not in use */
    uint64_t allocs, frees, clusters;
    _Atomic uint32_t used, bad, saturated;
};

int slotmap_create(uint32_t slots, struct slotmap **out)
{
    if (slots < 2 || slots > SLOTS_MAX)
        return -EINVAL;
    struct slotmap *m = calloc(1, sizeof *m);
    if (!m)
        return -ENOMEM;
    m->slots = slots;
    m->scan = 1;
    m->word = calloc(slots, sizeof *m->word);
    m->free = calloc((slots + BITS - 1) / BITS, sizeof *m->free);
    if (!m->word || !m->free) {
        free((void *)m->word);
        free(m->free);
        free(m);
        return -ENOMEM;
    }
    for (slot_t s = 1; s < slots; s++)
        m->free[s / BITS] |= (uint64_t)1 << s % BITS;
    pthread_mutex_init(&m->lock, NULL);
    *out = m;
    return 0;
}

void slotmap_destroy(struct slotmap *m)
{
    if (!m)
        return;
    pthread_mutex_destroy(&m->lock);
    free((void *)m->word);
    free(m->free);
    free(m);
}

static bool valid(const struct slotmap *m, slot_t s)
{
    return s > 0 && s < m->slots;
}

static bool is_free(const struct slotmap *m, slot_t s)
{
    return m->free[s / BITS] >> s % BITS & 1;
}

/* First slot >= s whose free bit is `want`; m->slots if none. */
static slot_t find_bit(const struct slotmap *m, slot_t s, bool want)
{
    while (s < m->slots) {
        uint64_t w = want ? m->free[s / BITS] : ~m->free[s / BITS];
        w &= ~(uint64_t)0 << s % BITS;
        if (w) {
            slot_t hit = s / BITS * BITS + (slot_t)__builtin_ctzll(w);
            return hit < m->slots ? hit : m->slots;
        }
        s = s / BITS * BITS + BITS;
    }
    return m->slots;
}

/* First run of a whole cluster in from..to-1, or 0. */
static slot_t find_run(const struct slotmap *m, slot_t from, slot_t to)
{
    for (slot_t s = find_bit(m, from, true); s < to;) {
        slot_t end = find_bit(m, s, false);
        if (end - s >= SLOT_CLUSTER)
            return s;
        s = find_bit(m, end, true);
    }
    return 0;
}

static bool start_cluster(struct slotmap *m, struct slot_cluster *c)
{
    if (m->frees < m->retry_frees)
        return false; /* nothing has been freed that could make a run */
    slot_t s = find_run(m, m->scan, m->slots);
    if (!s)
        s = find_run(m, 1, m->scan);
    if (!s) {
        m->retry_frees = m->frees + SLOT_CLUSTER;
        return false;
    }
    *c = (struct slot_cluster){.next = s, .left = SLOT_CLUSTER};
    m->scan = s + SLOT_CLUSTER < m->slots ? s + SLOT_CLUSTER : 1;
    m->clusters++;
    return true;
}

/* The slot to give, or 0 when none is free. */
static slot_t choose(struct slotmap *m, struct slot_cluster *c)
{
    /* What a cluster was promised may have gone to others meanwhile: skip it. */
    while (c->left && !(valid(m, c->next) && is_free(m, c->next))) {
        c->next++;
        c->left--;
    }
    if (c->left || start_cluster(m, c)) {
        c->left--;
        return c->next++;
    }
    slot_t s = find_bit(m, m->scan, true);
    if (s == m->slots)
        s = find_bit(m, 1, true);
    if (s == m->slots)
        return 0;
    m->scan = s;
    return s;
}

int slotmap_alloc(struct slotmap *m, struct slot_cluster *c, slot_t *out)
{
    pthread_mutex_lock(&m->lock);
    slot_t s = m->frozen ? 0 : choose(m, c ? c : &m->own);
    if (s) {
        assert(is_free(m, s));
        m->free[s / BITS] &= ~((uint64_t)1 << s % BITS);
        m->allocs++;
        atomic_fetch_add(&m->used, 1);
        atomic_store(&m->word[s], 1);
        *out = s;
    }
    pthread_mutex_unlock(&m->lock);
    return s ? 0 : -ENOSPC;
}

int slotmap_dup(struct slotmap *m, slot_t s)
{
    if (!valid(m, s))
        return -ENOENT;
    uint32_t w = atomic_load(&m->word[s]);
    do {
        if ((w & W_COUNT) == 0)
            return -ENOENT;
        if ((w & W_COUNT) == SLOT_COUNT_MAX)
            return 0;
    } while (!atomic_compare_exchange_weak(&m->word[s], &w, w + 1));
    if (((w + 1) & W_COUNT) == SLOT_COUNT_MAX)
        atomic_fetch_add(&m->saturated, 1);
    return 0;
}

bool slotmap_put(struct slotmap *m, slot_t s)
{
    assert(valid(m, s));
    uint32_t w = atomic_load(&m->word[s]);
    do {
        assert((w & W_COUNT) > 0);
        if ((w & W_COUNT) == SLOT_COUNT_MAX)
            return false;
    } while (!atomic_compare_exchange_weak(&m->word[s], &w, w - 1));
    return ((w - 1) & (W_COUNT | W_PINS)) == 0;
}

int slotmap_pin(struct slotmap *m, slot_t s)
{
    if (!valid(m, s))
        return -ENOENT;
    uint32_t w = atomic_load(&m->word[s]);
    do {
        if ((w & W_COUNT) == 0)
            return -ENOENT;
        if ((w & W_PINS) == W_PINS)
            return -EBUSY;
    } while (!atomic_compare_exchange_weak(&m->word[s], &w, w + W_PIN));
    return 0;
}

bool slotmap_unpin(struct slotmap *m, slot_t s)
{
    assert(valid(m, s));
    uint32_t w = atomic_fetch_sub(&m->word[s], W_PIN);
    assert((w & W_PINS) != 0);
    return ((w - W_PIN) & (W_COUNT | W_PINS)) == 0;
}

void slotmap_release(struct slotmap *m, slot_t s)
{
    pthread_mutex_lock(&m->lock);
    uint32_t w = atomic_load(&m->word[s]);
    assert(valid(m, s) && (w & (W_COUNT | W_PINS)) == 0 && !is_free(m, s));
    if (w & W_BAD)
        m->parked++;
    else
        m->free[s / BITS] |= (uint64_t)1 << s % BITS;
    m->frees++;
    atomic_fetch_sub(&m->used, 1);
    pthread_mutex_unlock(&m->lock);
}

void slotmap_mark_bad(struct slotmap *m, slot_t s)
{
    if (!valid(m, s))
        return;
    pthread_mutex_lock(&m->lock);
    if (!(atomic_fetch_or(&m->word[s], W_BAD) & W_BAD)) {
        atomic_fetch_add(&m->bad, 1);
        if (is_free(m, s)) {
            m->free[s / BITS] &= ~((uint64_t)1 << s % BITS);
            m->parked++;
        }
    }
    pthread_mutex_unlock(&m->lock);
}

void slotmap_freeze(struct slotmap *m, bool frozen)
{
    pthread_mutex_lock(&m->lock);
    m->frozen = frozen;
    pthread_mutex_unlock(&m->lock);
}

unsigned slotmap_count(const struct slotmap *m, slot_t s)
{
    return valid(m, s) ? atomic_load(&m->word[s]) & W_COUNT : 0;
}

unsigned slotmap_pins(const struct slotmap *m, slot_t s)
{
    return valid(m, s) ? (atomic_load(&m->word[s]) & W_PINS) / W_PIN : 0;
}

bool slotmap_bad(const struct slotmap *m, slot_t s)
{
    return valid(m, s) && (atomic_load(&m->word[s]) & W_BAD) != 0;
}

uint32_t slotmap_slots(const struct slotmap *m)
{
    return m->slots;
}

static uint32_t total(const struct slotmap *m)
{
    return m->slots - 1 - atomic_load(&m->bad);
}

bool slotmap_half_full(const struct slotmap *m)
{
    return (uint64_t)atomic_load(&m->used) * 2 > total(m);
}

slot_t slotmap_next_used(const struct slotmap *m, slot_t from)
{
    for (slot_t s = from ? from : 1; s < m->slots; s++)
        if (atomic_load(&m->word[s]) & W_COUNT)
            return s;
    return 0;
}

void slotmap_get_stats(const struct slotmap *m, struct slotmap_stats *out)
{
    pthread_mutex_t *lock = (pthread_mutex_t *)&m->lock;
    pthread_mutex_lock(lock);
    *out = (struct slotmap_stats){
        .total = total(m),
        .used = atomic_load(&m->used),
        .bad = atomic_load(&m->bad),
        .saturated = atomic_load(&m->saturated),
        .allocs = m->allocs,
        .frees = m->frees,
        .clusters = m->clusters,
    };
    pthread_mutex_unlock(lock);
}

int slotmap_audit(const struct slotmap *m, char *msg, size_t len)
{
    uint32_t used = 0, bad = 0, sat = 0, nfree = 0, parked = 0;
    for (slot_t s = 1; s < m->slots; s++) {
        uint32_t w = atomic_load(&m->word[s]);
        bool named = (w & (W_COUNT | W_PINS)) != 0;
        bad += (w & W_BAD) != 0;
        sat += (w & W_COUNT) == SLOT_COUNT_MAX;
        used += named;
        nfree += is_free(m, s);
        parked += (w & W_BAD) && !named;
        if (is_free(m, s) == (named || (w & W_BAD))) {
            snprintf(msg, len, "slot %u: free bit %d, count %u, pins %u, bad %d", s, is_free(m, s),
                     w & W_COUNT, (w & W_PINS) / W_PIN, (w & W_BAD) != 0);
            return -EUCLEAN;
        }
    }
    if (used != m->used || bad != m->bad || sat != m->saturated || parked != m->parked ||
        m->allocs - m->frees != used || is_free(m, 0)) {
        snprintf(msg, len,
                 "slot map sums: used %u (counted %u), bad %u (%u), saturated %u (%u), "
                 "free %u, allocs - frees %lld",
                 m->used, used, m->bad, bad, m->saturated, sat, nfree,
                 (long long)(m->allocs - m->frees));
        return -EUCLEAN;
    }
    return 0;
}
