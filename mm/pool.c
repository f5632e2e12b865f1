/* The frame pool: growth, the free list, references (pool.h, frame.h). */
#include "mm/pool_int.h"
#include "mm/reclaim.h"
#include "mm/runs.h"
#include "mm/share.h"
#include "mm/swap_int.h"
#include "mm/trace.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    HUGE_BYTES = 2 << 20,
    FIRST_STEP = (256 << 10) / PAGE_SIZE, /* without a step given: start small, double, */
    LAST_STEP = (8 << 20) / PAGE_SIZE, /* ... up to this, where a system call is lost in zeroing */
    MAX_TABLES = 1 << 18,
    MAX_NODES = 1 << 26,
    NODES_PER_FRAME = 256, /* as many mappings as a merged frame has; a node is 16 bytes */
    NODES_MORE = 1 << 16,  /* so that the smallest pools are not short of them */
};

/* Reserve the frames' address range, aligned so that the kernel can back it with huge pages. */
static int pool_map(struct pool *p)
{
    size_t len = p->view.bytes + HUGE_BYTES;
    if (fail_now(p->fail, FAIL_MAP))
        return -ENOMEM;
    uint8_t *m = mmap(NULL, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (m == MAP_FAILED)
        return -errno;
    uint8_t *base = (uint8_t *)(((uintptr_t)m + HUGE_BYTES - 1) & ~(uintptr_t)(HUGE_BYTES - 1));
    if (base > m)
        munmap(m, (size_t)(base - m));
    if (base + p->view.bytes < m + len)
        munmap(base + p->view.bytes, (size_t)(m + len - base) - p->view.bytes);
    void *r = fail_now(p->fail, FAIL_MAP) ? (errno = ENOMEM, MAP_FAILED)
                                          : mmap(base, p->view.bytes, PROT_READ | PROT_WRITE,
                                                 MAP_SHARED | MAP_NORESERVE | MAP_FIXED, p->fd, 0);
    if (r == MAP_FAILED) {
        int err = -errno;
        munmap(base, p->view.bytes);
        return err;
    }
    p->view.base = base;
    madvise(base, p->view.bytes, MADV_HUGEPAGE); /* a wish; refused on some kernels */
    return 0;
}

/* Make frames from..to-1 real, so that touching them never meets a host fault or SIGBUS. */
static int pool_populate(struct pool *p, uint32_t from, uint32_t to)
{
    if (fail_now(p->fail, FAIL_MAP))
        return -ENOMEM;
    uint8_t *at = p->view.base + ((size_t)from << PAGE_SHIFT);
    size_t len = (size_t)(to - from) << PAGE_SHIFT;
    if (madvise(at, len, MADV_POPULATE_WRITE) == 0)
        return 0;
    if (errno != EINVAL)
        return -ENOMEM;
    /* a kernel without it: at least the memory is set aside, the first touch maps it */
    return fallocate(p->fd, 0, (off_t)from << PAGE_SHIFT, (off_t)len) < 0 ? -ENOMEM : 0;
}

/* Under the lock, after free_count or fresh changed. */
static void pool_note_available(struct pool *p)
{
    atomic_store_explicit(&p->available, p->free_count + (p->run_low - p->fresh) + p->runs_left,
                          memory_order_relaxed);
}

/* What guests can make the reverse map grow to: about the pool's size once more. */
static uint32_t most_nodes(const struct pool *p)
{
    const uint64_t n = (uint64_t)p->frames_max * NODES_PER_FRAME + NODES_MORE;
    return n < MAX_NODES ? (uint32_t)n : MAX_NODES;
}

static int pool_setup(struct pool *p)
{
    if (fail_now(p->fail, FAIL_MAP))
        return -ENOMEM;
    p->fd = memfd_create("umbra-pool", MFD_CLOEXEC);
    if (p->fd < 0)
        return -errno;
    if (ftruncate(p->fd, (off_t)p->view.bytes) < 0)
        return -errno;
    int err = pool_map(p);
    if (err)
        return err;
    p->frames_bytes = (size_t)p->frames_max * sizeof(struct frame);
    void *t = fail_now(p->fail, FAIL_MAP)
                  ? MAP_FAILED
                  : mmap(NULL, p->frames_bytes, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (t == MAP_FAILED)
        return -ENOMEM;
    p->frames = t;
    err = slab_init(&p->nodes, sizeof(struct rmap_node), most_nodes(p), p->fail);
    if (!err)
        err = slab_init(&p->tables, PAGE_SIZE, MAX_TABLES, p->fail);
    if (!err)
        err = pool_populate(p, 0, 1); /* the zero frame */
    return err;
}

static void pool_release(struct pool *p)
{
    runs_fini(p);
    slab_fini(&p->tables);
    slab_fini(&p->nodes);
    if (p->frames)
        munmap(p->frames, p->frames_bytes);
    if (p->view.base)
        munmap(p->view.base, p->view.bytes);
    if (p->fd >= 0)
        close(p->fd);
    free(p);
}

int pool_create(const struct pool_opts *opts, struct pool **out)
{
    if (opts->bytes == 0 || opts->bytes > POOL_MAX_BYTES || (opts->bytes & PAGE_MASK) ||
        (opts->step & PAGE_MASK))
        return -EINVAL;
    struct pool *p = NULL;
    if (fail_now(opts->fail, FAIL_HEAP) || posix_memalign((void **)&p, 64, sizeof(*p)))
        return -ENOMEM;
    memset(p, 0, sizeof(*p));
    p->view.bytes = opts->bytes;
    p->frames_max = (uint32_t)(opts->bytes >> PAGE_SHIFT);
    p->step = opts->step >> PAGE_SHIFT;
    p->fail = opts->fail;
    p->fd = -1;
    p->free_first = FRAME_NONE;
    p->fresh = 1;
    p->grown = p->grown_to = 1;
    p->run_low = p->frames_max;
    for (int i = 0; i < LRU_LISTS; i++)
        p->lru[i] = (struct lru_list){FRAME_NONE, FRAME_NONE, 0};
    int err = pool_setup(p);
    if (!err && opts->runs)
        err = runs_init(p);
    pool_note_available(p);
    if (err) {
        pool_release(p);
        return err;
    }
    *out = p;
    return 0;
}

void pool_destroy(struct pool *p)
{
    if (!p)
        return;
    pool_reclaim_stop(p);
    pool_share_stop(p);
    swap_drain(p);
    swap_fini(p);
#ifdef MM_DEBUG
    assert(p->mms == NULL && "an mm outlives its pool");
    assert(p->objects == NULL && "an object outlives its pool");
    assert(p->free_count + 1 == p->fresh && p->runs_left == p->frames_max - p->run_low &&
           "a frame was not given back");
    assert(p->nodes.used == 0 && p->tables.used == 0);
#endif
    pool_release(p);
}

int pool_fd(const struct pool *p)
{
    return p->fd;
}

void pool_set_tracer(struct pool *p, const struct mm_tracer *t)
{
    p->tracer = t;
}

void pool_get_stats(const struct pool *cp, struct pool_stats *out)
{
    struct pool *p = (struct pool *)cp; /* only its lock is written */
    spin_take(&p->free_lock, LOCK_FREE);
    out->frames_max = p->frames_max;
    out->frames_grown = p->grown + p->runs_grown;
    out->frames_free = p->free_count + (p->grown - p->fresh) + p->runs_grown -
                       (p->frames_max - p->run_low - p->runs_left);
    out->runs_broken = p->runs_broken;
    out->allocs = p->allocs;
    out->frees = p->frees;
    out->grows = p->grows;
    spin_drop(&p->free_lock, LOCK_FREE);
}

/* How far the next step reaches, in frames. */
static uint32_t pool_next_step(const struct pool *p, uint32_t grown)
{
    uint64_t step = p->step;
    if (step == 0)
        step = grown < FIRST_STEP ? FIRST_STEP : grown < LAST_STEP ? grown : LAST_STEP;
    uint64_t to = grown == 1 ? step : grown + step; /* the zero frame is part of the first step */
    if (to <= grown)
        to = (uint64_t)grown + 1;
    return to > p->run_low ? p->run_low : (uint32_t)to;
}

/* Grow by a step, unless another thread just did. 0, or -ENOMEM: at the limit, or the host is. */
static int pool_grow(struct pool *p)
{
    lock_take(&p->grow_lock, LOCK_GROW);
    spin_take(&p->free_lock, LOCK_FREE);
    const uint32_t grown = p->grown;
    const bool room = p->free_count > 0 || p->fresh < grown;
    if (!room) /* said before the memory is there, so that no run is carved of it meanwhile */
        p->grown_to = pool_next_step(p, grown);
    const uint32_t to = p->grown_to;
    spin_drop(&p->free_lock, LOCK_FREE);
    int err = 0;
    if (!room) {
        err = to == grown ? -ENOMEM : pool_populate(p, grown, to);
        spin_take(&p->free_lock, LOCK_FREE);
        if (!err) {
            p->grown = to;
            p->grows++;
        }
        p->grown_to = p->grown;
        spin_drop(&p->free_lock, LOCK_FREE);
    }
    lock_drop(&p->grow_lock, LOCK_GROW);
    return err;
}

/* Memory for a piece of a run, unless another thread just saw to it. */
static int pool_grow_piece(struct pool *p, struct run_piece w)
{
    uint32_t from, to;
    int err = 0;
    lock_take(&p->grow_lock, LOCK_GROW);
    spin_take(&p->free_lock, LOCK_FREE);
    const bool real = runs_piece_real(p, w);
    spin_drop(&p->free_lock, LOCK_FREE);
    if (!real) {
        runs_piece_frames(p, w, &from, &to);
        err = pool_populate(p, from, to);
    }
    if (!real && !err) {
        spin_take(&p->free_lock, LOCK_FREE);
        runs_piece_grown(p, w);
        p->grows++;
        spin_drop(&p->free_lock, LOCK_FREE);
    }
    lock_drop(&p->grow_lock, LOCK_GROW);
    return err;
}

/* Returned frames first: they are warm, and the pool stays small. */
static frame_t pool_pop(struct pool *p, bool *zeroed)
{
    frame_t f = p->free_first;
    if (f != FRAME_NONE) {
        p->free_first = frame_of(p, f)->lru_next;
        p->free_count--;
        *zeroed = false;
    } else if (p->fresh < p->grown) {
        f = p->fresh++;
        *zeroed = true;
    } else {
        return runs_take_loose(p, zeroed);
    }
    p->allocs++;
    return f;
}

/* From a run, when all else is used up. */
static frame_t pool_take_last(struct pool *p, bool *zeroed)
{
    for (;;) {
        struct run_piece want = {0};
        spin_take(&p->free_lock, LOCK_FREE);
        const frame_t f = runs_take_last(p, zeroed, &want);
        pool_note_available(p);
        spin_drop(&p->free_lock, LOCK_FREE);
        if (f != FRAME_NONE || !want.run || pool_grow_piece(p, want) < 0)
            return f;
    }
}

static frame_t pool_take_any(struct pool *p, bool *zeroed)
{
    for (;;) {
        spin_take(&p->free_lock, LOCK_FREE);
        const frame_t f = pool_pop(p, zeroed);
        pool_note_available(p);
        spin_drop(&p->free_lock, LOCK_FREE);
        if (f != FRAME_NONE)
            return f;
        if (pool_grow(p) < 0)
            return pool_take_last(p, zeroed);
    }
}

/* At its place; FRAME_NONE: it cannot be. */
static frame_t pool_take_placed(struct pool *p, const struct place *at, bool *zeroed)
{
    for (;;) {
        struct run_piece want = {0};
        spin_take(&p->free_lock, LOCK_FREE);
        const frame_t f = runs_take_at(p, at, zeroed, &want);
        pool_note_available(p);
        spin_drop(&p->free_lock, LOCK_FREE);
        if (f != FRAME_NONE || !want.run || pool_grow_piece(p, want) < 0)
            return f;
    }
}

frame_t pool_take_at(struct pool *p, const struct place *at, bool *zeroed)
{
    frame_t f = FRAME_NONE;
    if (fail_now(p->fail, FAIL_FRAME))
        return FRAME_NONE;
    if (p->runs && at->mm)
        f = pool_take_placed(p, at, zeroed);
    if (f == FRAME_NONE)
        f = pool_take_any(p, zeroed);
    if (f != FRAME_NONE)
        atomic_store_explicit(&frame_of(p, f)->counts, FRAME_REF, memory_order_relaxed);
    return f;
}

frame_t pool_take(struct pool *p, bool *zeroed)
{
    return pool_take_at(p, &PLACE_ANY, zeroed);
}

static void pool_give(struct pool *p, frame_t f)
{
    struct frame *fr = frame_of(p, f);
    assert(f != POOL_ZERO_FRAME && fr->rmap_mm == NULL && fr->pins == 0);
    atomic_store_explicit(&fr->flags, 0, memory_order_relaxed);
    fr->obj = NULL;
    fr->swap = PTE_NONE;
    fr->hash = 0;
    spin_take(&p->free_lock, LOCK_FREE);
    if (!runs_give(p, f)) {
        fr->lru_next = p->free_first;
        p->free_first = f;
        p->free_count++;
    }
    p->frees++;
    pool_note_available(p);
    spin_drop(&p->free_lock, LOCK_FREE);
}

void frame_drop(struct pool *p, frame_t f, uint64_t what)
{
    if (f == POOL_ZERO_FRAME)
        return;
    struct frame *fr = frame_of(p, f);
    uint64_t was = atomic_fetch_sub_explicit(&fr->counts, what, memory_order_acq_rel);
    assert(frame_refs_of(was) >= frame_refs_of(what) && frame_maps_of(was) >= frame_maps_of(what));
    if (frame_refs_of(was) != frame_refs_of(what))
        return;
    lru_del(p, f);
    pool_give(p, f);
}
