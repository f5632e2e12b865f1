/*
 * Who asks for frames back, and when: the faulting thread below min, the background thread between
 * low and high, an mm at its limit (behaviours 27, 29 to 32). What becomes of one frame stands in
 * evict.c.
 */
#include "mm/reclaim.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "mm/reclaim_int.h"
#include "mm/swap_int.h"
#include "mm/unmap.h"

enum {
    BATCH = 32,        /* frames that one round looks at, or frees */
    DIRECT_TRIES = 16, /* rounds that one allocation waits for */
    PATIENCE = 1024, /* failed writes that one allocation forgives, beyond each frame's two tries */
    LOOK = 4096,  /* frames that a round looks at which need not succeed, beyond twice its want */
    GIVE_UP = 16, /* direct rounds in a row of which next to nothing came */
    NAP_MS = 20,  /* the background thread's rest when it got nowhere */
};

struct reclaim {
    struct pool *pool;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stop;           /* under lock */
    _Atomic bool wanted; /* someone saw too few frames */
};

/* --- two lists ----------------------------------------------------------------------------------
 */

/* Move frames that were not used lately from the active list to the inactive one. How many were
 * asked. */
static uint32_t age_active(struct pool *p)
{
    frame_t f[BATCH];
    uint32_t n = lru_isolate(p, LRU_ACTIVE, f, BATCH);
    for (uint32_t i = 0; i < n; i++) {
        if (!unmap_test_young(p, f[i]))
            frame_clear(frame_of(p, f[i]), FRAME_ACTIVE);
        lru_add(p, f[i]);
        swap_drop(p, f[i], FRAME_REF);
    }
    return n;
}

/* Looks at one batch of the inactive list. *coming: frames that were freed or will be. */
static uint32_t shrink_inactive(struct pool *p, uint32_t want, uint32_t *coming)
{
    frame_t f[BATCH];
    uint32_t n = lru_isolate(p, LRU_INACTIVE, f, BATCH);
    for (uint32_t i = 0; i < n; i++) {
        if (*coming >= want) { /* enough: the rest goes back */
            lru_add(p, f[i]);
            swap_drop(p, f[i], FRAME_REF);
        } else if (evict_frame(p, f[i]) != EVICT_KEPT) {
            ++*coming;
        }
    }
    return n;
}

static uint64_t count_of(struct pool *p, enum mm_counter c)
{
    return atomic_load(&p->counters[c]);
}

/* Reap what was written; wait for it as long as nothing has been freed since. */
static void reap(struct pool *p, uint64_t freed_before)
{
    struct swap *sw = swap_use(p);
    if (!sw)
        return;
    swap_poll(sw, false);
    while (count_of(p, CNT_freed) == freed_before && atomic_load(&sw->in_flight) > 0)
        swap_poll(sw, true);
    swap_leave(sw);
}

/*
 * LOCK_SCAN held. With `must`, a round whose writes all failed is followed by another, so that a
 * medium that fails most of them is not taken for one that is full; without, it is left at that.
 */
static uint32_t reclaim_some(struct pool *p, uint32_t want, bool must)
{
    const uint64_t freed = count_of(p, CNT_freed), errors = count_of(p, CNT_write_errors);
    /* each frame is met twice at most: once to lose its accessed bit, once to go */
    int64_t budget = 2 * ((int64_t)lru_count(p, LRU_ACTIVE) + lru_count(p, LRU_INACTIVE)) + BATCH;
    if (!must && budget > LOOK + 2 * (int64_t)want)
        budget = LOOK + 2 * (int64_t)want;
    uint64_t forgiven = 0;
    bool again = true;
    while (again) {
        uint32_t coming = 0;
        while (coming < want && budget > 0) {
            uint32_t seen = 0;
            if (lru_count(p, LRU_INACTIVE) < lru_count(p, LRU_ACTIVE))
                seen += age_active(p);
            seen += shrink_inactive(p, want, &coming);
            if (seen == 0)
                break;
            budget -= seen;
        }
        reap(p, freed);
        const uint64_t failed = count_of(p, CNT_write_errors) - errors;
        const uint64_t more = failed < PATIENCE ? failed : PATIENCE;
        budget += (int64_t)(more - forgiven);
        again = must && budget > 0 && count_of(p, CNT_freed) == freed &&
                (coming > 0 || more > forgiven);
        forgiven = more;
    }
    return (uint32_t)(count_of(p, CNT_freed) - freed);
}

static uint32_t reclaim_round(struct pool *p, uint32_t n, bool must)
{
    lock_take(&p->scan_lock, LOCK_SCAN);
    uint32_t freed = reclaim_some(p, n, must);
    lock_drop(&p->scan_lock, LOCK_SCAN);
    return freed;
}

uint32_t pool_reclaim(struct pool *p, uint32_t n)
{
    return reclaim_round(p, n, false);
}

/* --- one mm at its limit ------------------------------------------------------------------------
 */

/* The next frame of its own that the mm's clock comes by, with a ref; FRAME_NONE: it maps none. */
static frame_t own_next(struct mm *mm)
{
    frame_t f = FRAME_NONE;
    mm_lock_ptl(mm);
    for (uint32_t seen = 0; seen < 2 * MM_GFNS && mm->resident > 0 && f == FRAME_NONE;) {
        gfn_t g = mm->clock_hand;
        if (!mm->root[g >> TABLE_SHIFT]) {
            gfn_t next = ((g | (TABLE_ENTRIES - 1)) + 1) & (MM_GFNS - 1);
            seen += (next - g) & (MM_GFNS - 1) ? (next - g) & (MM_GFNS - 1) : TABLE_ENTRIES;
            mm->clock_hand = next;
            continue;
        }
        pte_t pte = table_get(mm, g);
        if (pte_present(pte) && pte_frame(pte) != POOL_ZERO_FRAME) {
            f = pte_frame(pte);
            frame_ref(frame_of(mm->pool, f));
        }
        mm->clock_hand = (g + 1) & (MM_GFNS - 1);
        seen++;
    }
    mm_unlock_ptl(mm);
    return f;
}

bool reclaim_own(struct mm *mm)
{
    struct pool *p = mm->pool;
    struct swap *sw = swap_use(p);
    uint64_t steps = 2 * mm->resident + 2;
    while (mm->resident >= mm->limit && steps-- > 0) {
        frame_t f = own_next(mm);
        if (f == FRAME_NONE)
            break;
        bool isolated = lru_isolate_one(p, f);
        swap_drop(p, f, FRAME_REF);
        if (isolated)
            evict_frame(p, f);
    }
    if (sw) {
        swap_poll(sw, false);
        swap_leave(sw);
    }
    return mm->resident < mm->limit;
}

/* --- taking a frame -----------------------------------------------------------------------------
 */

static void reclaim_wake(struct pool *p)
{
    struct reclaim *r = atomic_load_explicit(&p->reclaim, memory_order_acquire);
    if (!r || atomic_exchange(&r->wanted, true))
        return;
    pthread_mutex_lock(&r->lock);
    pthread_cond_signal(&r->wake);
    pthread_mutex_unlock(&r->lock);
}

/*
 * Where the last few pages that can leave are those in use (the code that fills the rest), they go
 * and come for ever, and all of the pool is looked through each time. After some rounds of which so
 * little came, that counts as nothing.
 */
static bool hopeless(struct pool *p, uint32_t freed, uint64_t refused)
{
    if (refused / 256 <= freed)
        atomic_store(&p->hopeless, 0);
    else if (atomic_load(&p->hopeless) < GIVE_UP)
        atomic_fetch_add(&p->hopeless, 1);
    return atomic_load(&p->hopeless) >= GIVE_UP;
}

/* `last`: there is no frame left; else the caller would rather not take one of the last. */
static frame_t take_hard(struct pool *p, const struct place *at, bool last, bool *zeroed,
                         uint32_t *path)
{
    if (!last && atomic_load(&p->hopeless) >= GIVE_UP)
        return FRAME_NONE;
    *path |= MM_PATH_RECLAIM;
    pool_count(p, CNT_direct);
    for (int i = 0; i < DIRECT_TRIES; i++) {
        const uint64_t refused = count_of(p, CNT_no_slot);
        const uint32_t freed = reclaim_round(p, BATCH, true);
        if (hopeless(p, freed, count_of(p, CNT_no_slot) - refused)) {
            pool_count(p, CNT_gave_up);
            return FRAME_NONE;
        }
        frame_t f = pool_take_at(p, at, zeroed);
        if (f != FRAME_NONE || freed == 0)
            return f;
    }
    return FRAME_NONE;
}

/* A frame that will be one more of the mm's: room for it within the limit. */
static bool within_limit(struct mm *mm, uint32_t *path)
{
    if (__builtin_expect(mm->limit == 0, 1) || mm->resident < mm->limit)
        return true;
    *path |= MM_PATH_RECLAIM;
    pool_count(mm->pool, CNT_limit);
    lock_take(&mm->pool->scan_lock, LOCK_SCAN);
    bool ok = reclaim_own(mm);
    lock_drop(&mm->pool->scan_lock, LOCK_SCAN);
    return ok;
}

frame_t mm_take_frame(struct pool *p, struct mm *mm, const struct place *at, bool *zeroed,
                      uint32_t *path)
{
    uint32_t available = pool_available(p);
    lock_check_none_from(LOCK_SCAN);
    if (mm && !within_limit(mm, path))
        return FRAME_NONE;
    if (__builtin_expect(available < atomic_load_explicit(&p->wm_low, memory_order_relaxed), 0)) {
        reclaim_wake(p);
        if (available <= atomic_load_explicit(&p->wm_min, memory_order_relaxed)) {
            frame_t f = take_hard(p, at, false, zeroed, path);
            if (f != FRAME_NONE)
                return f;
        }
    }
    frame_t f = pool_take_at(p, at, zeroed);
    return f != FRAME_NONE ? f : take_hard(p, at, true, zeroed, path);
}

void mm_set_limit(struct mm *mm, uint64_t frames)
{
    atomic_store(&mm->limit, frames);
}

/* --- the background thread ----------------------------------------------------------------------
 */

int pool_set_watermarks(struct pool *p, uint32_t min, uint32_t low, uint32_t high)
{
    if (min == 0 && low == 0 && high == 0) {
        uint32_t unit = p->frames_max / 64;
        min = unit / 2;
        low = unit + 1;
        high = unit + unit / 2 + 2;
    }
    if (min > low || low > high || high >= p->frames_max)
        return -EINVAL;
    atomic_store(&p->wm_min, min);
    atomic_store(&p->wm_low, low);
    atomic_store(&p->wm_high, high);
    return 0;
}

/* Sleep until wanted, or for `ms` if that is not 0. False: stop. */
static bool reclaim_sleep(struct reclaim *r, unsigned ms)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += (long)ms * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&r->lock);
    if (ms && !r->stop)
        pthread_cond_timedwait(&r->wake, &r->lock, &until);
    while (!ms && !r->stop && !atomic_load(&r->wanted))
        pthread_cond_wait(&r->wake, &r->lock);
    bool go = !r->stop;
    pthread_mutex_unlock(&r->lock);
    return go;
}

/* Room in the compressed pool is made here, not in a fault. */
static void background_writeback(struct pool *p)
{
    struct swap *sw = swap_use(p);
    if (!sw)
        return;
    while (store_wants_writeback(sw->store) && store_writeback(sw->store, BATCH) > 0)
        ;
    swap_leave(sw);
}

static void *reclaim_thread(void *arg)
{
    struct reclaim *r = arg;
    struct pool *p = r->pool;
    unsigned nap = 0;
    while (reclaim_sleep(r, nap)) {
        atomic_store(&r->wanted, false);
        nap = 0;
        while (pool_available(p) < atomic_load(&p->wm_high) && !nap) {
            pool_count(p, CNT_background);
            nap = pool_reclaim(p, BATCH) == 0 ? NAP_MS : 0;
            background_writeback(p);
        }
        if (nap && pool_available(p) >= atomic_load(&p->wm_low))
            nap = 0; /* not what it wanted, but nobody is in need */
    }
    return NULL;
}

/* Frames that are available or will be when what is being written has been. */
static uint32_t pool_coming(const struct pool *p)
{
    const struct swap *sw = pool_swap(p);
    return pool_available(p) + (sw ? atomic_load(&sw->in_flight) : 0);
}

bool pool_balance(struct pool *p)
{
    const uint32_t low = atomic_load_explicit(&p->wm_low, memory_order_relaxed);
    struct swap *sw = pool_swap(p);
    if (sw && atomic_load_explicit(&sw->in_flight, memory_order_relaxed) > 0 && swap_use(p)) {
        swap_poll(sw, false);
        swap_leave(sw);
    }
    if (pool_available(p) >= low || pool_coming(p) >= atomic_load(&p->wm_high))
        return true;
    for (uint32_t have; (have = pool_coming(p)) < atomic_load(&p->wm_high);) {
        const uint32_t lack = atomic_load(&p->wm_high) - have;
        pool_count(p, CNT_background);
        if (pool_reclaim(p, lack < BATCH ? lack : BATCH) == 0)
            break;
    }
    background_writeback(p);
    return pool_coming(p) >= low;
}

int pool_reclaim_start(struct pool *p)
{
    if (atomic_load(&p->reclaim))
        return -EBUSY;
    if (p->wm_high == 0) {
        int err = pool_set_watermarks(p, 0, 0, 0);
        if (err)
            return err;
    }
    struct reclaim *r = fail_now(p->fail, FAIL_HEAP) ? NULL : calloc(1, sizeof *r);
    if (!r)
        return -ENOMEM;
    r->pool = p;
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->wake, NULL);
    int err = pthread_create(&r->thread, NULL, reclaim_thread, r);
    if (err) {
        free(r);
        return -err;
    }
    atomic_store(&p->reclaim, r);
    return 0;
}

void pool_reclaim_stop(struct pool *p)
{
    struct reclaim *r = atomic_load(&p->reclaim);
    if (!r)
        return;
    pthread_mutex_lock(&r->lock);
    r->stop = true;
    pthread_cond_signal(&r->wake);
    pthread_mutex_unlock(&r->lock);
    pthread_join(r->thread, NULL);
    atomic_store(&p->reclaim, NULL);
    pthread_cond_destroy(&r->wake);
    pthread_mutex_destroy(&r->lock);
    free(r);
}
