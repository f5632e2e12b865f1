/*
 * The compressed pool's memory: chunks of 32 KiB, each cut into objects of one class.
 *
 * Invariants, under the pool's lock:
 *  1. A chunk in use belongs to one class and is on its partial list exactly if it has both a taken
 *     and a free object. One without taken objects is not in use.
 *  2. A taken object starts with the handle of an entry that names just this chunk and index.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "mm/zpool_priv.h"

/* Chunks whose memory is kept though unused, so that a pool at a boundary makes no system calls. */
#define ZIDLE_KEEP 4u

/* Objects in a chunk, per class: sizes that leave (almost) no rest and lie within an eighth or so
 * of each other. */
static const uint16_t per_chunk[ZCLASSES] = {512, 256, 170, 128, 102, 85, 73, 64, 51, 42, 36, 32,
                                             28,  24,  21,  18,  16,  15, 14, 13, 12, 11, 10, 9};

int zslab_init(struct zpool *z)
{
    uint64_t chunks = z->bytes_max / ZCHUNK;
    z->chunks_max = (uint32_t)chunks;
    for (unsigned c = 0; c < ZCLASSES; c++) {
        z->class[c].per_chunk = per_chunk[c];
        z->class[c].size = ZCHUNK / per_chunk[c] & ~15u;
    }
    assert(z->class[0].size == ZOBJ_MIN && z->class[ZCLASSES - 1].size == ZOBJ_MAX);
    z->chunk = calloc(chunks + 1, sizeof *z->chunk);
    if (!z->chunk)
        return -ENOMEM;
    void *p = mmap(NULL, chunks * ZCHUNK, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) {
        free(z->chunk);
        return -ENOMEM;
    }
    z->base = p;
    z->chunks_high = 1;
    return 0;
}

void zslab_fini(struct zpool *z)
{
    munmap(z->base, (uint64_t)z->chunks_max * ZCHUNK);
    free(z->chunk);
}

uint64_t zslab_held(const struct zpool *z)
{
    return ((uint64_t)z->in_use + z->nidle) * ZCHUNK +
           (uint64_t)z->chunks_high * sizeof(struct zchunk);
}

static uint8_t *obj_ptr(const struct zpool *z, uint32_t chunk, uint32_t idx)
{
    return z->base + (uint64_t)(chunk - 1) * ZCHUNK +
           (uint64_t)idx * z->class[z->chunk[chunk].class].size;
}

uint8_t *zslab_data(const struct zpool *z, zhandle_t h)
{
    return obj_ptr(z, z->ent[h].chunk, z->ent[h].idx) + ZOBJ_HEAD;
}

static void partial_add(struct zpool *z, uint32_t c)
{
    struct zclass *k = &z->class[z->chunk[c].class];
    z->chunk[c].prev = 0;
    z->chunk[c].next = k->partial;
    if (k->partial)
        z->chunk[k->partial].prev = c;
    k->partial = c;
}

static void partial_remove(struct zpool *z, uint32_t c)
{
    struct zchunk *ch = &z->chunk[c];
    if (ch->prev)
        z->chunk[ch->prev].next = ch->next;
    else
        z->class[ch->class].partial = ch->next;
    if (ch->next)
        z->chunk[ch->next].prev = ch->prev;
}

static uint32_t chunk_take(struct zpool *z)
{
    uint32_t c = z->idle;
    if (c) {
        z->idle = z->chunk[c].next;
        z->nidle--;
        return c;
    }
    if (zpool_held(z) + ZCHUNK + sizeof(struct zchunk) > z->bytes_max)
        return 0;
    c = z->gone;
    if (c)
        z->gone = z->chunk[c].next;
    else if (z->chunks_high <= z->chunks_max)
        c = z->chunks_high++;
    return c;
}

static void chunk_give(struct zpool *z, uint32_t c)
{
    bool keep = z->nidle < ZIDLE_KEEP;
    uint32_t *list = keep ? &z->idle : &z->gone;
    z->nidle += keep;
    z->in_use--;
    z->class[z->chunk[c].class].chunks--;
    z->chunk[c] = (struct zchunk){.next = *list};
    *list = c;
    if (!keep)
        madvise(z->base + (uint64_t)(c - 1) * ZCHUNK, ZCHUNK, MADV_DONTNEED);
}

static bool chunk_new(struct zpool *z, unsigned class)
{
    uint32_t c = chunk_take(z);
    if (!c)
        return false;
    z->chunk[c] = (struct zchunk){.class = (uint16_t) class, .in_use = true};
    z->class[class].chunks++;
    z->in_use++;
    partial_add(z, c);
    return true;
}

static uint32_t first_untaken(const struct zchunk *ch)
{
    uint32_t w = 0;
    while (ch->taken[w] == ~(uint64_t)0)
        w++;
    return w * 64 + (uint32_t)__builtin_ctzll(~ch->taken[w]);
}

/* Give a free object of chunk c (on its partial list) to entry h. */
static void obj_take(struct zpool *z, uint32_t c, zhandle_t h)
{
    struct zchunk *ch = &z->chunk[c];
    struct zclass *k = &z->class[ch->class];
    uint32_t idx = first_untaken(ch);
    assert(idx < k->per_chunk);
    ch->taken[idx / 64] |= (uint64_t)1 << idx % 64;
    k->used++;
    if (++ch->used == k->per_chunk)
        partial_remove(z, c);
    z->ent[h].chunk = c;
    z->ent[h].idx = (uint16_t)idx;
    memcpy(obj_ptr(z, c, idx), &h, sizeof h);
}

static void obj_drop(struct zpool *z, uint32_t c, uint32_t idx)
{
    struct zchunk *ch = &z->chunk[c];
    struct zclass *k = &z->class[ch->class];
    assert(ch->taken[idx / 64] >> idx % 64 & 1);
    ch->taken[idx / 64] &= ~((uint64_t)1 << idx % 64);
    k->used--;
    if (ch->used-- == k->per_chunk)
        partial_add(z, c);
    if (ch->used == 0) {
        partial_remove(z, c);
        chunk_give(z, c);
    }
}

void zslab_free(struct zpool *z, zhandle_t h)
{
    obj_drop(z, z->ent[h].chunk, z->ent[h].idx);
}

/* The chunk of class k with fewest objects; they all fit into its other chunks. */
static uint32_t emptiest(const struct zpool *z, const struct zclass *k)
{
    uint32_t best = k->partial;
    for (uint32_t c = best; c; c = z->chunk[c].next)
        if (z->chunk[c].used < z->chunk[best].used)
            best = c;
    return best;
}

static void evacuate(struct zpool *z, uint32_t victim)
{
    struct zchunk *ch = &z->chunk[victim];
    struct zclass *k = &z->class[ch->class];
    /* Off the list while it empties, so that nothing moves into it. */
    partial_remove(z, victim);
    for (uint32_t i = 0; i < k->per_chunk && ch->used; i++) {
        if (!(ch->taken[i / 64] >> i % 64 & 1))
            continue;
        zhandle_t h;
        const uint8_t *src = obj_ptr(z, victim, i);
        memcpy(&h, src, sizeof h);
        obj_take(z, k->partial, h);
        memcpy(zslab_data(z, h), src + ZOBJ_HEAD, z->ent[h].len);
        ch->taken[i / 64] &= ~((uint64_t)1 << i % 64);
        ch->used--;
        k->used--;
        z->moves++;
    }
    chunk_give(z, victim);
}

/* Free a chunk by moving objects together in some class that has a chunk's worth of holes. */
static bool compact(struct zpool *z)
{
    for (unsigned c = 0; c < ZCLASSES; c++) {
        struct zclass *k = &z->class[c];
        if (k->chunks > 1 && k->chunks * k->per_chunk - k->used >= k->per_chunk) {
            evacuate(z, emptiest(z, k));
            return true;
        }
    }
    return false;
}

bool zslab_alloc(struct zpool *z, zhandle_t h, uint32_t len)
{
    unsigned class = 0;
    while (z->class[class].size < len + ZOBJ_HEAD)
        class ++;
    if (!z->class[class].partial && !chunk_new(z, class) && !(compact(z) && chunk_new(z, class)))
        while (class < ZCLASSES && !z->class[class].partial)
            class ++; /* a hole that is too large is better than none */
    if (class == ZCLASSES)
        return false;
    obj_take(z, z->class[class].partial, h);
    return true;
}

static int audit_chunk(const struct zpool *z, uint32_t c, uint64_t *objects, char *msg, size_t len)
{
    const struct zchunk *ch = &z->chunk[c];
    uint32_t used = 0;
    for (uint32_t i = 0; i < z->class[ch->class].per_chunk; i++) {
        if (!(ch->taken[i / 64] >> i % 64 & 1))
            continue;
        used++;
        zhandle_t h;
        memcpy(&h, obj_ptr(z, c, i), sizeof h);
        if (h == 0 || h >= z->ents_high || !z->ent[h].len || z->ent[h].chunk != c ||
            z->ent[h].idx != i || z->ent[h].len + ZOBJ_HEAD > z->class[ch->class].size) {
            snprintf(msg, len, "compressed pool: chunk %u object %u names entry %u, not its own", c,
                     i, h);
            return -EUCLEAN;
        }
    }
    *objects += used;
    if (used != ch->used || used == 0) {
        snprintf(msg, len, "compressed pool: chunk %u counts %u objects, has %u", c, ch->used,
                 used);
        return -EUCLEAN;
    }
    return 0;
}

static int audit_partials(const struct zpool *z, char *msg, size_t len)
{
    for (unsigned c = 0; c < ZCLASSES; c++) {
        uint32_t listed = 0, want = 0, prev = 0;
        const struct zclass *k = &z->class[c];
        for (uint32_t i = 1; i < z->chunks_high; i++)
            want += z->chunk[i].in_use && z->chunk[i].class == c && z->chunk[i].used < k->per_chunk;
        for (uint32_t i = k->partial; i && listed <= want; prev = i, i = z->chunk[i].next) {
            listed++;
            if (z->chunk[i].prev != prev || z->chunk[i].class != c)
                listed = UINT32_MAX - 1;
        }
        if (listed != want) {
            snprintf(msg, len, "compressed pool: class %u lists %u chunks with room, has %u",
                     k->size, listed, want);
            return -EUCLEAN;
        }
    }
    return 0;
}

int zslab_audit(const struct zpool *z, uint64_t *objects, char *msg, size_t len)
{
    uint32_t in_use = 0;
    for (uint32_t c = 1; c < z->chunks_high; c++) {
        if (!z->chunk[c].in_use)
            continue;
        in_use++;
        int err = audit_chunk(z, c, objects, msg, len);
        if (err)
            return err;
    }
    if (in_use != z->in_use) {
        snprintf(msg, len, "compressed pool: %u chunks in use, counted %u", z->in_use, in_use);
        return -EUCLEAN;
    }
    return audit_partials(z, msg, len);
}
