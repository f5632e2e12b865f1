/*
 * The world of mm_kit.h with a swap store behind it: a compressed pool, or an area file through
 * either I/O engine.
 */
#ifndef UMBRA_TESTS_MM_SWAP_KIT_H
#define UMBRA_TESTS_MM_SWAP_KIT_H

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "mm/area.h"
#include "mm/reclaim_int.h"
#include "mm/swap_int.h"
#include "mm/unmap.h"
#include "tests/mm_kit.h"
#include "tests/rng.h"

#ifndef SWAP_KIT_DIR
#define SWAP_KIT_DIR "/tmp" /* where area files are made */
#endif

enum swap_mode { ON_ZPOOL, ON_DISK, ON_DISK_THREAD, SWAP_MODES };

struct swap_kit {
    struct kit k;
    struct store *st;
    char path[64];
    /* errors to give to disk transfers, by aio_hook */
    _Atomic int fail_reads, fail_writes; /* so many from now on; -1: all */
    _Atomic int nth_read, nth_write;     /* the n-th from now on alone; counts down */
    _Atomic int pass_every;              /* not 0: of so many writes one succeeds, the last */
    _Atomic int asked;                   /* ... and so many were seen */
};

static inline int swap_hook(void *ctx, enum aio_point at, const struct aio_req *req)
{
    struct swap_kit *s = ctx;
    _Atomic int *n = req->op == AIO_READ ? &s->fail_reads : &s->fail_writes;
    if (at != AIO_AT_COMPLETE)
        return 0;
    const int every = req->op == AIO_WRITE ? atomic_load(&s->pass_every) : 0;
    if (every > 0)
        return (atomic_fetch_add(&s->asked, 1) + 1) % every == 0 ? 0 : -EIO;
    _Atomic int *nth = req->op == AIO_READ ? &s->nth_read : &s->nth_write;
    if (atomic_load(nth) > 0 && atomic_fetch_sub(nth, 1) == 1)
        return -EIO;
    if (atomic_load(n) == 0)
        return 0;
    if (atomic_load(n) > 0)
        atomic_fetch_sub(n, 1);
    return -EIO;
}

/* A pool of `frames` frames, an mm with anonymous pages 0..1023, and `slots` slots. */
static inline void swap_open(struct swap_kit *s, enum swap_mode mode, uint32_t frames,
                             uint32_t slots)
{
    struct mm_err err = {""};
    struct store_opts o = {.slots = slots, .zpool_bytes = mode == ON_ZPOOL ? 1 << 20 : 0};
    memset(s, 0, sizeof *s);
    if (mode != ON_ZPOOL) {
        strcpy(s->path, SWAP_KIT_DIR "/umbra-swap-XXXXXX");
        int fd = mkstemp(s->path);
        cr_assert_geq(fd, 0);
        close(fd);
        cr_assert_eq(area_format(s->path, (uint64_t)slots * PAGE_SIZE, &err), 0, "%s", err.text);
        o.path = s->path;
        o.engine = mode == ON_DISK ? AIO_AUTO : AIO_THREAD;
        o.slots = 0;
    }
    cr_assert_eq(store_open(&o, &s->st, &err), 0, "%s", err.text);
    if (mode != ON_ZPOOL) {
        store_set_io_hook(s->st, swap_hook, s);
        unlink(s->path);
    }
    kit_open_pages(&s->k, frames);
    cr_assert_eq(mm_map_anon(s->k.mm, 0, 1024, RW, MM_ANON_PRIVATE), 0);
    cr_assert_eq(pool_swapon(s->k.pool, s->st), 0);
}

static inline uint32_t swap_used(struct swap_kit *s)
{
    struct store_stats st;
    store_get_stats(s->st, &st);
    return st.slots.used;
}

static inline uint32_t swap_bad(struct swap_kit *s)
{
    struct store_stats st;
    store_get_stats(s->st, &st);
    return st.slots.bad;
}

/* Everything goes; counts end at exactly zero (32). */
static inline void swap_close(struct swap_kit *s)
{
    kit_audit(&s->k);
    mm_destroy(s->k.mm);
    kit_audit(&s->k);
    cr_assert_eq(kit_frames_held(&s->k), 0, "%llu frames were not given back",
                 (unsigned long long)kit_frames_held(&s->k));
    cr_assert_eq(swap_used(s), 0, "%u slots were not given back", swap_used(s));
    pool_destroy(s->k.pool);
    store_close(s->st);
}

/* Send the page out, whatever it takes: it must not be in use by the second look. */
static inline void swap_out(struct swap_kit *s, struct mm *mm, gfn_t gfn)
{
    for (int i = 0; i < 4 && pte_present(mm_pte(mm, gfn)); i++) {
        frame_t f = pte_frame(mm_pte(mm, gfn));
        cr_assert(lru_isolate_one(s->k.pool, f));
        lock_take(&s->k.pool->scan_lock, LOCK_SCAN);
        evict_frame(s->k.pool, f);
        lock_drop(&s->k.pool->scan_lock, LOCK_SCAN);
        swap_drain(s->k.pool);
    }
    cr_assert(pte_is_swap(mm_pte(mm, gfn)), "gfn 0x%x did not go", gfn);
}

static inline struct mm_counters counters(struct swap_kit *s)
{
    struct mm_counters c;
    mm_get_counters(s->k.pool, &c);
    return c;
}

/* A page that LZ4 cannot shrink, and that is like no other. */
static inline void fill_noise(uint8_t *page, uint64_t seed)
{
    uint64_t x = seed * 0x9e3779b97f4a7c15u + 1;
    for (unsigned i = 0; i < PAGE_SIZE; i += 8) {
        rng_next(&x);
        memcpy(page + i, &x, 8);
    }
}

/* A page that shrinks, but is not one value. */
static inline void fill_text(uint8_t *page, uint32_t seed)
{
    memset(page, 0, PAGE_SIZE);
    for (unsigned i = 0; i < PAGE_SIZE; i += 64)
        memcpy(page + i, &(uint32_t){seed * 64 + i}, 4);
}

#endif
