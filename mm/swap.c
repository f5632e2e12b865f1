/* The swap cache: which frame holds the content of which slot (swap_int.h). */
#include "mm/swap_int.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

int pool_swapon(struct pool *p, struct store *st)
{
    struct swap *sw = pool_swap(p);
    if (sw)
        return -EBUSY;
    struct store_stats s;
    store_get_stats(st, &s);
    uint32_t slots = s.slots.total + s.slots.bad + 1;
    if (slots > SLOTS_MAX)
        return -EINVAL;
    if (fail_now(p->fail, FAIL_HEAP) || !(sw = calloc(1, sizeof *sw)))
        return -ENOMEM;
    sw->pool = p;
    sw->store = st;
    sw->slots = slots;
    sw->bytes = (size_t)slots * sizeof(uint32_t);
    void *m = fail_now(p->fail, FAIL_MAP)
                  ? MAP_FAILED
                  : mmap(NULL, 2 * sw->bytes, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (m == MAP_FAILED) {
        free(sw);
        return -ENOMEM;
    }
    sw->cache = m;
    sw->evicted = sw->cache + slots;
    for (int i = 0; i < SWAP_IOS; i++) {
        sw->ios[i].sw = sw;
        sw->ios[i].next = sw->free_ios;
        sw->free_ios = &sw->ios[i];
    }
    struct swap *none = NULL;
    if (!atomic_compare_exchange_strong(&p->swap, &none, sw)) {
        munmap(m, 2 * sw->bytes);
        free(sw);
        return -EBUSY;
    }
    return 0;
}

void swap_retire(struct pool *p, struct swap *sw)
{
    sw->retired = p->retired_swaps;
    p->retired_swaps = sw;
    atomic_store(&p->swap, NULL);
}

void swap_fini(struct pool *p)
{
    struct swap *sw = pool_swap(p);
    if (sw)
        swap_retire(p, sw);
    while ((sw = p->retired_swaps)) {
        p->retired_swaps = sw->retired;
        munmap(sw->cache, 2 * sw->bytes);
        free(sw);
    }
}

void pool_swap_info(const struct pool *cp, struct pool_swap_info *out)
{
    struct pool *p = (struct pool *)cp; /* only its locks are written */
    struct swap *sw = swap_use(p);
    struct store_stats s;
    *out = (struct pool_swap_info){0};
    if (!sw)
        return;
    store_get_stats(sw->store, &s);
    out->attached = true;
    out->slots = s.slots.total;
    out->used = s.slots.used;
    lock_take(&sw->lock, LOCK_CACHE);
    out->cached = sw->cached;
    lock_drop(&sw->lock, LOCK_CACHE);
    out->in_flight = atomic_load(&sw->in_flight);
    swap_leave(sw);
}

struct swap *swap_use(struct pool *p)
{
    struct swap *sw = pool_swap(p);
    if (!sw)
        return NULL;
    atomic_fetch_add(&sw->users, 1);
    if (!atomic_load(&sw->detached))
        return sw;
    swap_leave(sw);
    return NULL;
}

void swap_leave(struct swap *sw)
{
    atomic_fetch_sub(&sw->users, 1);
}

frame_t swap_lookup(struct swap *sw, pte_t entry)
{
    slot_t s = pte_swap_slot(entry);
    if (s == 0 || s >= sw->slots)
        return FRAME_NONE;
    lock_take(&sw->lock, LOCK_CACHE);
    frame_t f = sw->cache[s];
    if (f)
        frame_ref(frame_of(sw->pool, f));
    lock_drop(&sw->lock, LOCK_CACHE);
    return f ? f : FRAME_NONE;
}

bool swap_cached(struct swap *sw, pte_t entry)
{
    slot_t s = pte_swap_slot(entry);
    lock_take(&sw->lock, LOCK_CACHE);
    bool cached = s < sw->slots && sw->cache[s] != 0;
    lock_drop(&sw->lock, LOCK_CACHE);
    return cached;
}

/* Under LOCK_CACHE. The cache's count of the slot is the caller's until now. */
static void cache_put_in(struct swap *sw, frame_t f, slot_t s)
{
    struct frame *fr = frame_of(sw->pool, f);
    frame_ref(fr);
    fr->swap = pte_make_swap(SWAP_AREA, s);
    frame_set(fr, FRAME_SWAPCACHE);
    sw->cache[s] = f;
    sw->cached++;
}

/* Under LOCK_CACHE. The cache's ref and its count of the slot are the caller's from now on. */
static slot_t cache_cut(struct swap *sw, frame_t f)
{
    struct frame *fr = frame_of(sw->pool, f);
    slot_t s = pte_swap_slot(fr->swap);
    assert(sw->cache[s] == f);
    sw->cache[s] = 0;
    sw->cached--;
    fr->swap = PTE_NONE;
    frame_clear(fr, FRAME_SWAPCACHE | FRAME_STUCK | FRAME_AHEAD);
    return s;
}

pte_t swap_entry_of(struct swap *sw, frame_t f)
{
    struct frame *fr = frame_of(sw->pool, f);
    lock_take(&sw->lock, LOCK_CACHE);
    pte_t entry = frame_test(fr, FRAME_SWAPCACHE) ? fr->swap : PTE_NONE;
    lock_drop(&sw->lock, LOCK_CACHE);
    return entry;
}

int swap_add(struct swap *sw, frame_t f, pte_t entry)
{
    slot_t s = pte_swap_slot(entry);
    if (s == 0 || s >= sw->slots)
        return -ENOENT;
    lock_take(&sw->lock, LOCK_CACHE);
    int err = sw->cache[s] ? -EEXIST : store_dup(sw->store, s);
    if (!err)
        cache_put_in(sw, f, s);
    lock_drop(&sw->lock, LOCK_CACHE);
    return err;
}

int swap_add_new(struct swap *sw, frame_t f, pte_t *entry)
{
    slot_t s;
    if (fail_now(sw->pool->fail, FAIL_SLOT))
        return -ENOSPC;
    lock_take(&sw->lock, LOCK_CACHE);
    int err = store_alloc(sw->store, &sw->cluster, &s);
    if (!err) {
        frame_set(frame_of(sw->pool, f), FRAME_DIRTY | FRAME_UPTODATE);
        cache_put_in(sw, f, s);
        sw->evicted[s] = 0; /* of another page */
        *entry = pte_make_swap(SWAP_AREA, s);
    }
    lock_drop(&sw->lock, LOCK_CACHE);
    return err;
}

bool swap_take_out(struct pool *p, frame_t f, uint32_t others)
{
    struct swap *sw = pool_swap(p);
    struct frame *fr = frame_of(p, f);
    bool out = false;
    slot_t s = 0;
    lock_take(&sw->lock, LOCK_CACHE);
    if (frame_test(fr, FRAME_SWAPCACHE) && !frame_test(fr, FRAME_WRITEBACK) &&
        store_count(sw->store, pte_swap_slot(fr->swap)) == 1 &&
        (others == 0 || frame_refs(fr) == others + 1)) {
        s = cache_cut(sw, f);
        store_put(sw->store, s);
        out = true;
    }
    lock_drop(&sw->lock, LOCK_CACHE);
    if (out)
        frame_put(p, f);
    return out;
}

bool swap_evict(struct pool *p, frame_t f)
{
    struct swap *sw = pool_swap(p);
    struct frame *fr = frame_of(p, f);
    bool out = false;
    lock_take(&sw->lock, LOCK_CACHE);
    uint64_t c = atomic_load_explicit(&fr->counts, memory_order_acquire);
    if (frame_test(fr, FRAME_SWAPCACHE) && frame_refs_of(c) == 2 && frame_maps_of(c) == 0 &&
        (!frame_test(fr, FRAME_DIRTY) || store_count(sw->store, pte_swap_slot(fr->swap)) == 1)) {
        slot_t s = cache_cut(sw, f);
        uint32_t now = atomic_fetch_add(&p->evictions, 1) + 1;
        sw->evicted[s] = now ? now : 1;
        store_put(sw->store, s);
        out = true;
    }
    lock_drop(&sw->lock, LOCK_CACHE);
    if (out)
        frame_put(p, f);
    return out;
}

void swap_unread(struct pool *p, frame_t f)
{
    struct swap *sw = pool_swap(p);
    lock_take(&sw->lock, LOCK_CACHE);
    store_put(sw->store, cache_cut(sw, f));
    lock_drop(&sw->lock, LOCK_CACHE);
    frame_put(p, f);
}

/* If only the cache holds what is under slot s, and no entry names it: out with it. */
static void cache_drop_orphan(struct swap *sw, slot_t s)
{
    frame_t f = FRAME_NONE;
    lock_take(&sw->lock, LOCK_CACHE);
    if (sw->cache[s] && store_count(sw->store, s) == 1 &&
        frame_refs(frame_of(sw->pool, sw->cache[s])) == 1) {
        f = sw->cache[s];
        cache_cut(sw, f);
        store_put(sw->store, s);
    }
    lock_drop(&sw->lock, LOCK_CACHE);
    if (f != FRAME_NONE)
        frame_put(sw->pool, f);
}

void swap_drop(struct pool *p, frame_t f, uint64_t what)
{
    struct frame *fr = frame_of(p, f);
    struct swap *sw = frame_test(fr, FRAME_SWAPCACHE) ? pool_swap(p) : NULL;
    if (!sw) {
        frame_drop(p, f, what);
        return;
    }
    lock_take(&sw->lock, LOCK_CACHE); /* under it the entry stands still */
    slot_t s = frame_test(fr, FRAME_SWAPCACHE) ? pte_swap_slot(fr->swap) : 0;
    lock_drop(&sw->lock, LOCK_CACHE);
    frame_drop(p, f, what);
    if (s)
        cache_drop_orphan(sw, s);
}

void swap_forget(struct pool *p, pte_t entry)
{
    struct swap *sw = pool_swap(p);
    slot_t s = pte_swap_slot(entry);
    store_put(sw->store, s);
    cache_drop_orphan(sw, s);
}

void swap_name(struct pool *p, pte_t entry)
{
    int err = store_dup(pool_swap(p)->store, pte_swap_slot(entry));
    assert(err == 0 && "an entry names a free slot");
    (void)err;
}

bool swap_refault_soon(struct swap *sw, pte_t entry)
{
    struct pool *p = sw->pool;
    lock_take(&sw->lock, LOCK_CACHE);
    uint32_t then = sw->evicted[pte_swap_slot(entry)];
    sw->evicted[pte_swap_slot(entry)] = 0;
    lock_drop(&sw->lock, LOCK_CACHE);
    if (then == 0)
        return false;
    pool_count(p, CNT_refaults);
    /* So many pages left since. Had the inactive list been longer by them, it would have stayed;
     * what could have been given to it is what the active list holds and, in part, the list itself.
     */
    uint32_t distance = atomic_load(&p->evictions) - then;
    bool soon = distance <= lru_count(p, LRU_ACTIVE) + lru_count(p, LRU_INACTIVE) / 2;
    if (soon)
        pool_count(p, CNT_refaults_soon);
    return soon;
}
