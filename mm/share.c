/*
 * Content sharing (behaviour 12). A page is considered when its content has not changed between two
 * passes; a table remembers one frame per content hash. Hash alone never merges: both pages are
 * write-protected, compared, and only then does the second page's entry change over to the first's
 * frame, which is marked FRAME_MERGED and from then on is never written in place.
 */
#include "mm/share.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "mm/swap_int.h"
#include "mm/trace_int.h"
#include "mm/unmap.h"

enum {
    SHARE_MAX_MAPS = 256, /* mappings of one merged frame: walks of its reverse map stay short */
    SHARE_BATCH = 64,     /* pages at a time in the background */
    SHARE_NOT = FRAME_OBJECT | FRAME_SWAPCACHE | FRAME_WRITEBACK,
};

struct candidate {
    uint64_t hash;
    frame_t frame; /* 0: none. Holds no ref: what it became meanwhile is found out when it is met */
};

struct sharing {
    struct pool *pool;
    struct candidate *table;
    size_t bytes;
    uint64_t mask;
    struct mm *mm; /* where the scan stands, with a ref; NULL: at the start */
    gfn_t gfn;
    pthread_t thread;
    bool running;
    uint32_t per_second;
    _Atomic bool stop;
};

/* A page may change while it is hashed; the hash is a hint and no more. */
__attribute__((no_sanitize("thread"))) static uint64_t page_hash(const uint8_t *page)
{
    const uint64_t *w = (const uint64_t *)page;
    uint64_t h[4] = {1, 2, 3, 4};
    for (unsigned i = 0; i < PAGE_SIZE / 8; i += 4)
        for (unsigned k = 0; k < 4; k++) {
            h[k] = (h[k] ^ w[i + k]) * 0x9e3779b97f4a7c15u;
            h[k] ^= h[k] >> 29;
        }
    uint64_t all =
        h[0] ^ (h[1] << 17 | h[1] >> 47) ^ (h[2] << 31 | h[2] >> 33) ^ (h[3] << 47 | h[3] >> 17);
    all *= 0xff51afd7ed558ccdu;
    return all ^ all >> 32;
}

/* A page that could be merged, with a ref of its frame. */
struct page {
    struct mm *mm;
    gfn_t gfn;
    frame_t frame;
};

/* The next page of the walk, in pg; false: every mm has been walked (once more). */
static bool share_next(struct sharing *s, struct page *pg)
{
    struct pool *p = s->pool;
    if (!s->mm) {
        s->mm = mms_next(p, NULL);
        s->gfn = 0;
    }
    for (; s->mm; s->mm = mms_next(p, s->mm), s->gfn = 0) {
        struct mm *mm = s->mm;
        mm_lock_ptl(mm);
        while (s->gfn < MM_GFNS) {
            gfn_t g = s->gfn++;
            if (!mm->root[g >> TABLE_SHIFT]) {
                s->gfn = (g | (TABLE_ENTRIES - 1)) + 1;
                continue;
            }
            pte_t pte = table_get(mm, g);
            if (!pte_present(pte) || pte_frame(pte) == POOL_ZERO_FRAME)
                continue;
            const struct region *r = region_find(mm, g);
            struct frame *fr = frame_of(p, pte_frame(pte));
            if (!r || !region_private(r) || frame_test(fr, SHARE_NOT))
                continue;
            frame_ref(fr);
            *pg = (struct page){mm, g, pte_frame(pte)};
            mm_unlock_ptl(mm);
            return true;
        }
        mm_unlock_ptl(mm);
    }
    return false;
}

/* Let the page's entry map `keep` instead. Both are locked, compared and cannot be written. */
static bool share_move(struct pool *p, const struct page *pg, frame_t keep)
{
    uint32_t node = slab_take(&p->nodes);
    if (!node)
        return false;
    struct mm *mm = pg->mm;
    mm_lock_ptl(mm);
    pte_t pte = table_get(mm, pg->gfn);
    bool ok = pte_present(pte) && pte_frame(pte) == pg->frame && !pte_writable(pte) &&
              atomic_load(&frame_of(p, pg->frame)->pins) == 0;
    if (ok) {
        mm_invalidate(mm, pg->gfn, 1);
        table_unmap_page(mm, pg->gfn, PTE_NONE);
        frame_drop(p, pg->frame, FRAME_REF | FRAME_MAP);
        frame_ref(frame_of(p, keep));
        node = table_map_page(mm, pg->gfn, keep, pte_make(keep, pte.raw & (PTE_U | PTE_A | PTE_D)),
                              node);
        mm_trace(p, MM_EV_MERGED, mm, pg->gfn, keep);
    }
    mm_unlock_ptl(mm);
    if (node)
        slab_give(&p->nodes, node);
    return ok;
}

/* Both frames are locked and held. */
static bool share_locked(struct pool *p, const struct page *pg, frame_t keep)
{
    struct frame *a = frame_of(p, pg->frame), *b = frame_of(p, keep);
    if (frame_test(a, SHARE_NOT | FRAME_MERGED) || frame_test(b, SHARE_NOT) || frame_maps(a) != 1 ||
        frame_maps(b) == 0 || frame_maps(b) >= SHARE_MAX_MAPS)
        return false;
    unmap_write_protect(p, pg->frame);
    unmap_write_protect(p, keep);
    /* pinned for writing before that? Later pins cannot write: our refs make every writer copy */
    if (atomic_load(&a->pins) > 0 || atomic_load(&b->pins) > 0)
        return false;
    if (memcmp(pool_ptr(p, pg->frame), pool_ptr(p, keep), PAGE_SIZE) != 0)
        return false;
    uint32_t was = frame_set(b, FRAME_MERGED);
    if (share_move(p, pg, keep))
        return true;
    if (!was)
        frame_clear(b, FRAME_MERGED);
    return false;
}

static bool share_pages(struct pool *p, const struct page *pg, frame_t keep)
{
    struct frame *a = frame_of(p, pg->frame), *b = frame_of(p, keep);
    bool ok = false;
    if (frame_trylock(a)) {
        if (frame_trylock(b)) {
            mm_sync(p, MM_SYNC_SHARE_HASHED, pg->mm, pg->gfn);
            ok = share_locked(p, pg, keep);
            frame_unlock(b);
        }
        frame_unlock(a);
    }
    return ok;
}

static bool share_page(struct sharing *s, const struct page *pg)
{
    struct pool *p = s->pool;
    struct frame *fr = frame_of(p, pg->frame);
    uint64_t hash = page_hash(pool_ptr(p, pg->frame));
    uint32_t brief = (uint32_t)hash | 1; /* 0: never hashed */
    bool still = fr->hash == brief;
    pool_count(p, CNT_share_scanned);
    fr->hash = brief;
    if (!still)
        return false;
    struct candidate *c = &s->table[hash & s->mask];
    if (c->frame == pg->frame)
        return false;
    bool merged = false;
    if (c->frame && c->hash == hash && lru_ref(p, c->frame)) {
        frame_t keep = c->frame;
        merged = share_pages(p, pg, keep);
        bool full = frame_maps(frame_of(p, keep)) >= SHARE_MAX_MAPS;
        swap_drop(p, keep, FRAME_REF);
        if (merged)
            pool_count(p, CNT_merged);
        else if (!full)
            return false;
        if (merged && !full)
            return true;
    }
    *c = (struct candidate){hash, merged ? 0 : pg->frame};
    return merged;
}

/* LOCK_SCAN held. */
static uint32_t share_some(struct sharing *s, uint32_t n)
{
    uint32_t merged = 0;
    struct page pg;
    for (uint32_t i = 0; i < n; i++) {
        if (!share_next(s, &pg))
            break;
        merged += share_page(s, &pg);
        swap_drop(s->pool, pg.frame, FRAME_REF);
    }
    return merged;
}

static struct sharing *sharing_get(struct pool *p)
{
    struct sharing *s = atomic_load(&p->sharing);
    if (s)
        return s;
    s = fail_now(p->fail, FAIL_HEAP) ? NULL : calloc(1, sizeof *s);
    if (!s)
        return NULL;
    uint64_t n = 4096; /* one place per hash: keep it sparse */
    while (n < 2 * (uint64_t)p->frames_max)
        n *= 2;
    s->bytes = n * sizeof(struct candidate);
    void *m = fail_now(p->fail, FAIL_MAP)
                  ? MAP_FAILED
                  : mmap(NULL, s->bytes, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (m == MAP_FAILED) {
        free(s);
        return NULL;
    }
    s->pool = p;
    s->table = m;
    s->mask = n - 1;
    atomic_store(&p->sharing, s);
    return s;
}

uint32_t pool_share_scan(struct pool *p, uint32_t n)
{
    uint32_t merged = 0;
    lock_take(&p->scan_lock, LOCK_SCAN);
    struct sharing *s = sharing_get(p);
    if (s)
        merged = share_some(s, n);
    lock_drop(&p->scan_lock, LOCK_SCAN);
    return merged;
}

static void *share_thread(void *arg)
{
    struct sharing *s = arg;
    /* a nap for each batch; a small one where few pages are allowed, so that stopping is quick */
    uint32_t batch = s->per_second / 20 < SHARE_BATCH ? s->per_second / 20 + 1 : SHARE_BATCH;
    uint64_t ns = (uint64_t)batch * 1000000000 / s->per_second;
    struct timespec nap = {(time_t)(ns / 1000000000), (long)(ns % 1000000000)};
    while (!atomic_load(&s->stop)) {
        pool_share_scan(s->pool, batch);
        nanosleep(&nap, NULL);
    }
    return NULL;
}

int pool_share_start(struct pool *p, uint32_t pages_per_second)
{
    if (pages_per_second == 0 || pages_per_second > 10000000)
        return -EINVAL;
    lock_take(&p->scan_lock, LOCK_SCAN);
    struct sharing *s = sharing_get(p);
    lock_drop(&p->scan_lock, LOCK_SCAN);
    if (!s)
        return -ENOMEM;
    if (s->running)
        return -EBUSY;
    s->per_second = pages_per_second;
    atomic_store(&s->stop, false);
    int err = pthread_create(&s->thread, NULL, share_thread, s);
    s->running = err == 0;
    return -err;
}

void pool_share_stop(struct pool *p)
{
    struct sharing *s = atomic_load(&p->sharing);
    if (!s)
        return;
    if (s->running) {
        atomic_store(&s->stop, true);
        pthread_join(s->thread, NULL);
    }
    if (s->mm)
        mm_put(s->mm);
    munmap(s->table, s->bytes);
    atomic_store(&p->sharing, NULL);
    free(s);
}
