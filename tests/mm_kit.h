/*
 * What the tests of mm/ share: a small world of a pool and one mm, an audit that stops the test
 * with its message, frames counted before and after, and a hook that runs the other side of a race.
 */
#ifndef UMBRA_TESTS_MM_KIT_H
#define UMBRA_TESTS_MM_KIT_H

#ifdef TESTS_WITHOUT_CRITERION
#include "tests/plain_assert.h"
#else
#include <criterion/criterion.h>
#endif
#include <errno.h>
#include <string.h>

#include "mm/mm_int.h"

#define RW (MM_READ | MM_WRITE)

struct kit {
    struct pool *pool;
    struct mm *mm;
    struct failpoint fail;
    struct mm_sync_hook hook;
    /* the other side of a race: called once, at this point */
    enum mm_sync race_at;
    void (*race)(struct kit *k, struct mm *mm, gfn_t gfn);
    int raced;
    bool in_race; /* the interrupted side holds things: no audit now */
};

static inline void kit_audit(struct kit *k)
{
    char msg[256] = "";
    if (!k->in_race)
        cr_assert_eq(mm_audit(k->pool, msg, sizeof msg), 0, "audit: %s", msg);
}

static inline void kit_at(void *ctx, enum mm_sync where, struct mm *mm, gfn_t gfn)
{
    struct kit *k = ctx;
    if (!k->race || where != k->race_at)
        return;
    void (*race)(struct kit *, struct mm *, gfn_t) = k->race;
    k->race = NULL;
    k->raced++;
    k->in_race = true;
    race(k, mm, gfn);
    k->in_race = false;
}

/* Create a pool with each call failing in turn, -ENOMEM each time; returns which call came first
 * that did not fail. */
static inline int kit_fail_creation(struct pool_opts o)
{
    struct failpoint fail = {0};
    struct pool *p;
    o.fail = &fail;
    for (int n = 1;; n++) {
        fail_arm(&fail, FAIL_ANY, n, false);
        const int err = pool_create(&o, &p);
        if (!err) {
            pool_destroy(p);
            return n;
        }
        cr_expect_eq(err, -ENOMEM);
    }
}

static inline void kit_open_pages(struct kit *k, uint32_t frames)
{
    memset(k, 0, sizeof *k);
    struct pool_opts o = {
        .bytes = (uint64_t)frames * PAGE_SIZE, .step = 16 * PAGE_SIZE, .fail = &k->fail};
    cr_assert_eq(pool_create(&o, &k->pool), 0);
    k->hook = (struct mm_sync_hook){kit_at, k};
    k->pool->hook = &k->hook;
    cr_assert_eq(mm_create(k->pool, "a", &k->mm), 0);
}

/* A pool of 64 frames, an mm with anonymous pages 16..1039 and a read-only page 2000. */
static inline void kit_open(struct kit *k)
{
    kit_open_pages(k, 64);
    cr_assert_eq(mm_map_anon(k->mm, 16, 1024, RW, MM_ANON_PRIVATE), 0);
    cr_assert_eq(mm_map_anon(k->mm, 2000, 1, MM_READ, MM_ANON_PRIVATE), 0);
}

static inline uint64_t kit_frames_held(struct kit *k)
{
    struct pool_stats s;
    pool_get_stats(k->pool, &s);
    return s.frames_grown - s.frames_free - 1;
}

static inline void kit_race(struct kit *k, enum mm_sync at,
                            void (*race)(struct kit *, struct mm *, gfn_t))
{
    k->race_at = at;
    k->race = race;
    k->raced = 0;
}

/* Everything goes, and nothing may be left. */
static inline void kit_close(struct kit *k)
{
    kit_audit(k);
    mm_destroy(k->mm);
    k->mm = NULL;
    kit_audit(k);
    cr_assert_eq(kit_frames_held(k), 0, "%llu frames were not given back",
                 (unsigned long long)kit_frames_held(k));
    pool_destroy(k->pool);
}

static inline uint8_t *kit_bytes(struct kit *k, frame_t f)
{
    return pool_ptr(k->pool, f);
}

/* A fault that must succeed; audits. */
static inline struct mm_fault kit_fault(struct kit *k, struct mm *mm, gfn_t gfn,
                                        enum mm_access access)
{
    struct mm_fault f = mm_fault(mm, gfn, access);
    cr_assert_leq(f.result, MM_SPURIOUS, "gfn 0x%x: result %d", gfn, f.result);
    cr_assert_eq(f.frame, pte_frame(mm_pte(mm, gfn)));
    if (access == MM_ACCESS_WRITE)
        cr_assert(f.writable);
    kit_audit(k);
    return f;
}

/* Write a word as a guest would: fault, then store. */
static inline void kit_store(struct kit *k, struct mm *mm, gfn_t gfn, uint32_t word)
{
    struct mm_fault f = kit_fault(k, mm, gfn, MM_ACCESS_WRITE);
    memcpy(kit_bytes(k, f.frame), &word, 4);
}

static inline uint32_t kit_load(struct kit *k, struct mm *mm, gfn_t gfn)
{
    struct mm_fault f = kit_fault(k, mm, gfn, MM_ACCESS_READ);
    uint32_t word;
    memcpy(&word, kit_bytes(k, f.frame), 4);
    return word;
}

#endif
