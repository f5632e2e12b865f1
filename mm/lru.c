/* The two reclaim lists, as lists. What is done with them stands in reclaim.c. */
#include "mm/pool_int.h"

static void list_push(struct pool *p, struct lru_list *l, frame_t f)
{
    struct frame *fr = frame_of(p, f);
    fr->lru_prev = FRAME_NONE;
    fr->lru_next = l->first;
    if (l->first != FRAME_NONE)
        frame_of(p, l->first)->lru_prev = f;
    else
        l->last = f;
    l->first = f;
    l->count++;
}

static void list_cut(struct pool *p, struct lru_list *l, frame_t f)
{
    struct frame *fr = frame_of(p, f);
    if (fr->lru_prev != FRAME_NONE)
        frame_of(p, fr->lru_prev)->lru_next = fr->lru_next;
    else
        l->first = fr->lru_next;
    if (fr->lru_next != FRAME_NONE)
        frame_of(p, fr->lru_next)->lru_prev = fr->lru_prev;
    else
        l->last = fr->lru_prev;
    l->count--;
}

void lru_add(struct pool *p, frame_t f)
{
    struct frame *fr = frame_of(p, f);
    spin_take(&p->lru_lock, LOCK_LRU);
    if (!frame_set(fr, FRAME_LRU))
        list_push(p, &p->lru[frame_test(fr, FRAME_ACTIVE) ? LRU_ACTIVE : LRU_INACTIVE], f);
    spin_drop(&p->lru_lock, LOCK_LRU);
}

void lru_del(struct pool *p, frame_t f)
{
    struct frame *fr = frame_of(p, f);
    if (!frame_test(fr, FRAME_LRU))
        return;
    spin_take(&p->lru_lock, LOCK_LRU);
    if (frame_clear(fr, FRAME_LRU))
        list_cut(p, &p->lru[frame_test(fr, FRAME_ACTIVE) ? LRU_ACTIVE : LRU_INACTIVE], f);
    spin_drop(&p->lru_lock, LOCK_LRU);
}

/* Under the lock. A frame on a list whose last ref is just going is left to whoever drops it. */
static bool ref_on_list(struct frame *fr)
{
    uint64_t c = atomic_load_explicit(&fr->counts, memory_order_relaxed);
    do {
        if (frame_refs_of(c) == 0)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&fr->counts, &c, c + FRAME_REF,
                                                    memory_order_acquire, memory_order_relaxed));
    return true;
}

bool lru_ref(struct pool *p, frame_t f)
{
    struct frame *fr = frame_of(p, f);
    spin_take(&p->lru_lock, LOCK_LRU);
    bool got = frame_test(fr, FRAME_LRU) && ref_on_list(fr);
    spin_drop(&p->lru_lock, LOCK_LRU);
    return got;
}

/* Under the lock. */
static bool isolate(struct pool *p, frame_t f)
{
    struct frame *fr = frame_of(p, f);
    if (!ref_on_list(fr))
        return false;
    list_cut(p, &p->lru[frame_test(fr, FRAME_ACTIVE) ? LRU_ACTIVE : LRU_INACTIVE], f);
    frame_clear(fr, FRAME_LRU);
    return true;
}

uint32_t lru_isolate(struct pool *p, enum lru_kind kind, frame_t *out, uint32_t n)
{
    uint32_t got = 0;
    spin_take(&p->lru_lock, LOCK_LRU);
    frame_t f = p->lru[kind].last;
    while (got < n && f != FRAME_NONE) {
        frame_t before = frame_of(p, f)->lru_prev;
        if (isolate(p, f))
            out[got++] = f;
        f = before;
    }
    spin_drop(&p->lru_lock, LOCK_LRU);
    return got;
}

bool lru_isolate_one(struct pool *p, frame_t f)
{
    bool got = false;
    spin_take(&p->lru_lock, LOCK_LRU);
    if (frame_test(frame_of(p, f), FRAME_LRU))
        got = isolate(p, f);
    spin_drop(&p->lru_lock, LOCK_LRU);
    return got;
}

uint32_t lru_count(struct pool *p, enum lru_kind kind)
{
    spin_take(&p->lru_lock, LOCK_LRU);
    uint32_t n = p->lru[kind].count;
    spin_drop(&p->lru_lock, LOCK_LRU);
    return n;
}
