/*
 * Runs: aligned groups of 512 frames (2 MiB), kept so that pages which lie together in an mm lie
 * together in the pool and can be mapped by one large entry. It is done by reservation: the first
 * page of an aligned 2 MiB range of an mm gets a run for the range, and each further page of the
 * range the frame at its own offset. Nothing is handed out that was not asked for. What is left of
 * a run counts as free, and when other frames are used up it is handed out like any other: the
 * oldest reservation is broken first. So nothing but frame numbers tells that there are runs.
 *
 * Runs come from the top of the pool, the frames of nobody's run from the bottom. A frame of a run
 * that is given back is free in its run. Of a run memory becomes real by pieces of 64 frames.
 *
 * Each run is on the list that its state says: owned (an mm's, with frames left), loose (no one's,
 * and not whole), whole (no one's, all 512 frames free), or none (all handed out). All under the
 * pool's free_lock.
 */
#include <assert.h>
#include <errno.h>
#include <sys/mman.h>

#include "mm/mm_int.h"
#include "mm/runs.h"

#define PIECE      64u /* frames: one word of the bitmaps */
#define PIECE_BITS 0xffffffffffffffffu

static uint32_t first_frame(const struct pool *p, const struct run *r)
{
    return (uint32_t)(r - p->runs) * RUN_FRAMES;
}

/* --- lists --------------------------------------------------------------------------------------
 */

static enum run_list list_for(const struct run *r)
{
    if (r->left == 0)
        return RUN_USED_UP;
    return r->owner ? RUN_OWNED : r->left == RUN_FRAMES ? RUN_WHOLE : RUN_LOOSE;
}

static void unlist(struct pool *p, struct run *r)
{
    struct run_head *h = &p->run_heads[r->list];
    *(r->prev ? &p->runs[r->prev].next : &h->first) = r->next;
    *(r->next ? &p->runs[r->next].prev : &h->last) = r->prev;
    r->prev = r->next = 0;
}

/* Run 0 holds the zero frame and is never one of these: index 0 ends a list. */
static void enlist(struct pool *p, struct run *r, enum run_list list)
{
    struct run_head *h = &p->run_heads[list];
    const uint32_t i = (uint32_t)(r - p->runs);
    r->list = (uint8_t)list;
    r->prev = h->last;
    *(h->last ? &p->runs[h->last].next : &h->first) = i;
    h->last = i;
}

/* After left or owner changed. */
static void relist(struct pool *p, struct run *r)
{
    const enum run_list list = list_for(r);
    if (list == r->list)
        return;
    unlist(p, r);
    enlist(p, r, list);
}

/* --- life ---------------------------------------------------------------------------------------
 */

/* Give a run its frames: those of the pool, if it ends in the middle. */
static void run_open(struct pool *p, struct run *r, uint32_t frames)
{
    for (uint32_t i = 0; i < frames; i++)
        r->free[i / PIECE] |= (uint64_t)1 << i % PIECE;
    r->left = (uint16_t)frames;
    p->runs_left += frames;
    enlist(p, r, list_for(r));
}

int runs_init(struct pool *p)
{
    const uint32_t n = p->frames_max / RUN_FRAMES, tail = p->frames_max % RUN_FRAMES;
    if (n == 0)
        return 0; /* too small for any */
    p->runs_bytes = (n + 1) * sizeof *p->runs;
    void *m = fail_now(p->fail, FAIL_MAP)
                  ? MAP_FAILED
                  : mmap(NULL, p->runs_bytes, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (m == MAP_FAILED)
        return -ENOMEM;
    p->runs = m;
    p->run_low = n * RUN_FRAMES;
    if (tail)
        run_open(p, &p->runs[n], tail);
    return 0;
}

void runs_fini(struct pool *p)
{
    if (p->runs)
        munmap(p->runs, p->runs_bytes);
}

/* One more run, from what has not grown yet. */
static struct run *run_carve(struct pool *p)
{
    if (p->run_low < p->grown_to + RUN_FRAMES)
        return NULL;
    p->run_low -= RUN_FRAMES;
    struct run *r = &p->runs[p->run_low / RUN_FRAMES];
    run_open(p, r, RUN_FRAMES);
    return r;
}

static void disown(struct pool *p, struct run *r)
{
    r->owner->run[r->range] = 0;
    r->owner = NULL;
    relist(p, r);
}

void runs_disown(struct mm *mm)
{
    struct pool *p = mm->pool;
    if (!p->runs)
        return;
    spin_take(&p->free_lock, LOCK_FREE);
    for (uint32_t i = 0; i < MM_GFNS / RUN_FRAMES; i++)
        if (mm->run[i])
            disown(p, &p->runs[mm->run[i]]);
    spin_drop(&p->free_lock, LOCK_FREE);
}

/* --- frames -------------------------------------------------------------------------------------
 */

static bool piece_real(const struct run *r, uint32_t piece)
{
    return r->real >> piece & 1;
}

static frame_t hand_out(struct pool *p, struct run *r, uint32_t i, bool *zeroed)
{
    const uint64_t bit = (uint64_t)1 << i % PIECE;
    r->free[i / PIECE] &= ~bit;
    *zeroed = !(r->used[i / PIECE] & bit);
    r->used[i / PIECE] |= bit;
    r->left--;
    p->runs_left--;
    p->allocs++;
    relist(p, r);
    return first_frame(p, r) + i;
}

/* The run of the place's range, reserved for it now if need be and wanted; NULL: none. */
static struct run *run_at(struct pool *p, const struct place *at)
{
    uint16_t *const has = &at->mm->run[at->gfn / RUN_FRAMES];
    if (*has || !at->reserve)
        return *has ? &p->runs[*has] : NULL;
    const uint32_t whole = p->run_heads[RUN_WHOLE].first;
    struct run *r = whole ? &p->runs[whole] : run_carve(p);
    if (!r)
        return NULL;
    r->owner = at->mm;
    r->range = at->gfn / RUN_FRAMES;
    *has = (uint16_t)(r - p->runs);
    relist(p, r);
    return r;
}

frame_t runs_take_at(struct pool *p, const struct place *at, bool *zeroed, struct run_piece *want)
{
    const uint32_t i = at->gfn % RUN_FRAMES;
    struct run *r = p->runs && at->mm ? run_at(p, at) : NULL;
    if (!r || !(r->free[i / PIECE] >> i % PIECE & 1))
        return FRAME_NONE;
    if (piece_real(r, i / PIECE))
        return hand_out(p, r, i, zeroed);
    *want = (struct run_piece){(uint32_t)(r - p->runs), i / PIECE};
    return FRAME_NONE;
}

/* Any frame of the run that is real; else *want is a piece that would have one. */
static frame_t take_any(struct pool *p, struct run *r, bool *zeroed, struct run_piece *want)
{
    for (uint32_t k = 0; k < RUN_FRAMES / PIECE; k++) {
        if (!r->free[k])
            continue;
        if (piece_real(r, k))
            return hand_out(p, r, k * PIECE + (uint32_t)__builtin_ctzll(r->free[k]), zeroed);
        *want = (struct run_piece){(uint32_t)(r - p->runs), k};
    }
    return FRAME_NONE;
}

frame_t runs_take_loose(struct pool *p, bool *zeroed)
{
    const uint32_t loose = p->runs ? p->run_heads[RUN_LOOSE].first : 0;
    struct run_piece want;
    return loose ? take_any(p, &p->runs[loose], zeroed, &want) : FRAME_NONE;
}

frame_t runs_take_last(struct pool *p, bool *zeroed, struct run_piece *want)
{
    static const enum run_list order[] = {RUN_LOOSE, RUN_WHOLE, RUN_OWNED};
    for (unsigned i = 0; p->runs && i < sizeof order / sizeof *order; i++) {
        const uint32_t first = p->run_heads[order[i]].first;
        if (!first)
            continue;
        struct run *r = &p->runs[first];
        if (r->owner) {
            disown(p, r);
            p->runs_broken++;
        }
        return take_any(p, r, zeroed, want);
    }
    return FRAME_NONE;
}

bool runs_give(struct pool *p, frame_t f)
{
    if (!p->runs || f < p->run_low)
        return false;
    struct run *r = &p->runs[f / RUN_FRAMES];
    const uint32_t i = f % RUN_FRAMES;
    r->free[i / PIECE] |= (uint64_t)1 << i % PIECE;
    r->left++;
    p->runs_left++;
    relist(p, r);
    return true;
}

void runs_piece_frames(const struct pool *p, struct run_piece w, uint32_t *from, uint32_t *to)
{
    *from = w.run * RUN_FRAMES + w.piece * PIECE;
    *to = *from + PIECE < p->frames_max ? *from + PIECE : p->frames_max;
}

bool runs_piece_real(const struct pool *p, struct run_piece w)
{
    return piece_real(&p->runs[w.run], w.piece);
}

void runs_piece_grown(struct pool *p, struct run_piece w)
{
    uint32_t from, to;
    runs_piece_frames(p, w, &from, &to);
    p->runs[w.run].real |= (uint8_t)(1u << w.piece);
    p->runs_grown += to - from;
}
