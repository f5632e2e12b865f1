/* The two reclaim lists, as lists. What is done with them stands in reclaim.c. */
#include "mm/pool_int.h"

#include <assert.h>

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
