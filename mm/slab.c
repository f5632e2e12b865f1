/* Slabs (slab.h). */
#include "mm/slab.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

enum { STEP_BYTES = 256 * 1024 };

int slab_init(struct slab *s, size_t item, uint32_t max, struct failpoint *fail)
{
    memset(s, 0, sizeof(*s));
    if (fail_now(fail, FAIL_MAP))
        return -ENOMEM;
    void *m = mmap(NULL, item * max, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (m == MAP_FAILED)
        return -ENOMEM;
    s->base = m;
    s->item = item;
    s->max = max;
    s->step = (uint32_t)(STEP_BYTES / item);
    s->fail = fail;
    s->next = 1;
    s->grown = 1;
    return 0;
}

void slab_fini(struct slab *s)
{
    if (s->base)
        munmap(s->base, s->item * s->max);
    s->base = NULL;
}

/* Make one more step real, unless another thread just did. */
static int slab_grow(struct slab *s)
{
    lock_take(&s->grow_lock, LOCK_GROW);
    spin_take(&s->lock, LOCK_SLAB);
    uint32_t grown = s->grown;
    bool room = s->free || s->next < grown;
    spin_drop(&s->lock, LOCK_SLAB);
    int err = 0;
    if (!room) {
        uint32_t to = s->max - grown < s->step ? s->max : grown + s->step;
        uintptr_t from_b = ((uintptr_t)slab_ptr(s, grown)) & ~(uintptr_t)4095;
        uintptr_t to_b = ((uintptr_t)slab_ptr(s, to) + 4095) & ~(uintptr_t)4095;
        if (to == grown || fail_now(s->fail, FAIL_MAP))
            err = -ENOMEM;
        else if (madvise((void *)from_b, to_b - from_b, MADV_POPULATE_WRITE) < 0 && errno != EINVAL)
            err = -ENOMEM; /* EINVAL: a kernel without it; the first touch populates then */
        if (!err) {
            spin_take(&s->lock, LOCK_SLAB);
            s->grown = to;
            spin_drop(&s->lock, LOCK_SLAB);
        }
    }
    lock_drop(&s->grow_lock, LOCK_GROW);
    return err;
}

/* With the lock held: an item or 0. */
static inline uint32_t slab_pop(struct slab *s)
{
    uint32_t i = s->free;
    if (i) {
        uint32_t *first = slab_ptr(s, i);
        s->free = *first;
        *first = 0;
    } else if (s->next < s->grown) {
        i = s->next++;
    } else {
        return 0;
    }
    s->used++;
    return i;
}

uint32_t slab_take(struct slab *s)
{
    if (fail_now(s->fail, FAIL_NODE))
        return 0;
    for (;;) {
        spin_take(&s->lock, LOCK_SLAB);
        uint32_t i = slab_pop(s);
        spin_drop(&s->lock, LOCK_SLAB);
        if (i)
            return i;
        if (slab_grow(s) < 0)
            return 0;
    }
}

int slab_take_many(struct slab *s, uint32_t *out, uint32_t n)
{
    if (fail_now(s->fail, FAIL_NODE))
        return -ENOMEM;
    uint32_t have = 0;
    for (;;) {
        spin_take(&s->lock, LOCK_SLAB);
        while (have < n) {
            uint32_t i = slab_pop(s);
            if (!i)
                break;
            out[have++] = i;
        }
        spin_drop(&s->lock, LOCK_SLAB);
        if (have == n)
            return 0;
        if (slab_grow(s) < 0)
            break;
    }
    while (have > 0)
        slab_give(s, out[--have]);
    return -ENOMEM;
}

void slab_give(struct slab *s, uint32_t i)
{
    spin_take(&s->lock, LOCK_SLAB);
    assert(i > 0 && i < s->next && s->used > 0);
    *(uint32_t *)slab_ptr(s, i) = s->free;
    s->free = i;
    s->used--;
    spin_drop(&s->lock, LOCK_SLAB);
}

uint32_t slab_used(struct slab *s)
{
    spin_take(&s->lock, LOCK_SLAB);
    uint32_t n = s->used;
    spin_drop(&s->lock, LOCK_SLAB);
    return n;
}
