/* The slot map (behaviours 16, 19, 20): counts, clusters, bad slots, pins. */
#include "area_kit.h"

#include <pthread.h>

#include "mm/slotmap.h"

static struct slotmap *map_of(uint32_t slots)
{
    struct slotmap *m = NULL;
    cr_assert_eq(slotmap_create(slots, &m), 0);
    return m;
}

static slot_t take(struct slotmap *m, struct slot_cluster *c)
{
    slot_t s = 0;
    cr_assert_eq(slotmap_alloc(m, c, &s), 0);
    return s;
}

static void give(struct slotmap *m, slot_t s)
{
    cr_assert(slotmap_put(m, s));
    slotmap_release(m, s);
}

static void sound(struct slotmap *m)
{
    char msg[200] = "";
    cr_assert_eq(slotmap_audit(m, msg, sizeof msg), 0, "%s", msg);
}

Test(slots, b19_sizes_that_no_pte_can_name_are_refused)
{
    struct slotmap *m;
    cr_assert_eq(slotmap_create(0, &m), -EINVAL);
    cr_assert_eq(slotmap_create(1, &m), -EINVAL);
    cr_assert_eq(slotmap_create(SLOTS_MAX + 1, &m), -EINVAL);
    cr_assert_eq(slotmap_create(UINT32_MAX, &m), -EINVAL);
    cr_assert_eq(slotmap_create(SLOTS_MAX, &m), 0);
    cr_assert_eq(slotmap_slots(m), SLOTS_MAX);
    slotmap_destroy(m);
}

Test(slots, b19_header_is_never_given_and_each_slot_once)
{
    for (uint32_t n = 2; n < 200; n += 7) {
        struct slotmap *m = map_of(n);
        bool seen[200] = {true};
        for (uint32_t i = 1; i < n; i++) {
            slot_t s = take(m, NULL);
            cr_assert_lt(s, n);
            cr_assert_not(seen[s]);
            seen[s] = true;
        }
        slot_t s;
        cr_assert_eq(slotmap_alloc(m, NULL, &s), -ENOSPC);
        sound(m);
        for (s = 1; s < n; s++)
            give(m, s);
        sound(m);
        slotmap_destroy(m);
    }
}

Test(slots, b20_slots_of_one_cluster_lie_together)
{
    struct slotmap *m = map_of(1000);
    struct slot_cluster a = {0}, b = {0};
    slot_t la = 5000, lb = 5000, runs_a = 0, runs_b = 0;
    for (unsigned i = 0; i < 200; i++) {
        slot_t sa = take(m, &a), sb = take(m, &b);
        runs_a += sa != la + 1;
        runs_b += sb != lb + 1;
        la = sa;
        lb = sb;
    }
    /* Taken in turns, yet side by side: ten clusters of twenty each. */
    cr_assert_eq(runs_a, 10);
    cr_assert_eq(runs_b, 10);
    struct slotmap_stats n;
    slotmap_get_stats(m, &n);
    cr_assert_eq(n.clusters, 20);
    slotmap_destroy(m);
}

Test(slots, b20_a_cluster_whose_promise_was_taken_goes_elsewhere)
{
    struct slotmap *m = map_of(64);
    struct slot_cluster a = {0};
    slot_t first = take(m, &a);
    for (unsigned i = 0; i < 62; i++) { /* all others, its promised ones among them */
        slot_t s;
        cr_assert_eq(slotmap_alloc(m, NULL, &s), 0);
    }
    slot_t s;
    cr_assert_eq(slotmap_alloc(m, &a, &s), -ENOSPC);
    give(m, first);
    cr_assert_eq(take(m, &a), first);
    slotmap_destroy(m);
}

Test(slots, b20_without_a_run_single_slots_are_given_and_runs_come_back)
{
    struct slotmap *m = map_of(401);
    for (unsigned i = 1; i <= 400; i++)
        take(m, NULL);
    for (slot_t s = 2; s <= 400; s += 2)
        give(m, s);
    for (unsigned i = 0; i < 100; i++)
        cr_assert_eq(take(m, NULL) % 2, 0);
    for (slot_t s = 1; s <= 400; s += 2)
        give(m, s);
    slot_t last = 0;
    unsigned runs = 0;
    for (unsigned i = 0; i < 40; i++) {
        slot_t s = take(m, NULL);
        runs += s != last + 1;
        last = s;
    }
    cr_assert_leq(runs, 4, "%u runs", runs);
    sound(m);
    slotmap_destroy(m);
}

Test(slots, b16_freed_at_zero_and_not_before)
{
    struct slotmap *m = map_of(3);
    slot_t s = take(m, NULL), other = take(m, NULL), t;
    cr_assert_eq(slotmap_dup(m, s), 0);
    cr_assert_eq(slotmap_count(m, s), 2);
    cr_assert_not(slotmap_put(m, s));
    cr_assert_eq(slotmap_alloc(m, NULL, &t), -ENOSPC);
    cr_assert(slotmap_put(m, s));
    cr_assert_eq(slotmap_alloc(m, NULL, &t), -ENOSPC, "not before its content has gone");
    slotmap_release(m, s);
    cr_assert_eq(take(m, NULL), s);
    cr_assert_eq(slotmap_count(m, other), 1);
    slotmap_destroy(m);
}

Test(slots, b16_free_and_impossible_slots_cannot_be_named)
{
    struct slotmap *m = map_of(30);
    for (unsigned k = 0; k < 4; k++) {
        slot_t s = (slot_t[]){0, 5, 30, UINT32_MAX}[k];
        cr_assert_eq(slotmap_dup(m, s), -ENOENT);
        cr_assert_eq(slotmap_pin(m, s), -ENOENT);
        cr_assert_eq(slotmap_count(m, s), 0);
        cr_assert_eq(slotmap_pins(m, s), 0);
        cr_assert_not(slotmap_bad(m, s));
    }
    sound(m);
    slotmap_destroy(m);
}

Test(slots, b19_a_saturated_count_is_never_freed)
{
    struct slotmap *m = map_of(4);
    slot_t s = take(m, NULL), t;
    for (unsigned i = 1; i < SLOT_COUNT_MAX + 100; i++)
        cr_assert_eq(slotmap_dup(m, s), 0);
    cr_assert_eq(slotmap_count(m, s), SLOT_COUNT_MAX);
    struct slotmap_stats n;
    slotmap_get_stats(m, &n);
    cr_assert_eq(n.saturated, 1);
    for (unsigned i = 0; i < 2 * SLOT_COUNT_MAX; i++)
        cr_assert_not(slotmap_put(m, s));
    cr_assert_eq(slotmap_count(m, s), SLOT_COUNT_MAX);
    cr_assert_neq(take(m, NULL), s);
    cr_assert_neq(take(m, NULL), s);
    cr_assert_eq(slotmap_alloc(m, NULL, &t), -ENOSPC);
    sound(m);
    slotmap_destroy(m);
}

Test(slots, b19_one_below_saturation_is_freed)
{
    struct slotmap *m = map_of(4);
    slot_t s = take(m, NULL);
    for (unsigned i = 2; i < SLOT_COUNT_MAX; i++)
        cr_assert_eq(slotmap_dup(m, s), 0);
    for (unsigned i = 2; i < SLOT_COUNT_MAX; i++)
        cr_assert_not(slotmap_put(m, s));
    give(m, s);
    sound(m);
    slotmap_destroy(m);
}

Test(slots, b19_bad_slots_are_never_given)
{
    struct slotmap *m = map_of(50);
    slotmap_mark_bad(m, 10); /* free */
    slotmap_mark_bad(m, 10);
    slot_t s = take(m, NULL), t;
    slotmap_mark_bad(m, s); /* in use */
    cr_assert(slotmap_bad(m, s) && slotmap_count(m, s) == 1);
    give(m, s);
    slotmap_mark_bad(m, 0);
    slotmap_mark_bad(m, 50);
    struct slotmap_stats n;
    slotmap_get_stats(m, &n);
    cr_assert_eq(n.bad, 2);
    cr_assert_eq(n.total, 47);
    sound(m);
    for (unsigned i = 0; i < 47; i++) {
        t = take(m, NULL);
        cr_assert(t != 10 && t != s);
    }
    cr_assert_eq(slotmap_alloc(m, NULL, &t), -ENOSPC);
    cr_assert_eq(slotmap_dup(m, 10), -ENOENT);
    sound(m);
    slotmap_destroy(m);
}

Test(slots, b18_a_pin_keeps_a_slot_that_nobody_names)
{
    struct slotmap *m = map_of(2);
    slot_t s = take(m, NULL), t;
    cr_assert_eq(slotmap_pin(m, s), 0);
    cr_assert_eq(slotmap_pin(m, s), 0);
    cr_assert_not(slotmap_put(m, s));
    cr_assert_eq(slotmap_count(m, s), 0);
    cr_assert_eq(slotmap_pins(m, s), 2);
    cr_assert_eq(slotmap_dup(m, s), -ENOENT, "nobody can name it again");
    cr_assert_eq(slotmap_pin(m, s), -ENOENT);
    cr_assert_eq(slotmap_alloc(m, NULL, &t), -ENOSPC);
    cr_assert_not(slotmap_unpin(m, s));
    cr_assert(slotmap_unpin(m, s));
    slotmap_release(m, s);
    cr_assert_eq(take(m, NULL), s);
    slotmap_destroy(m);
}

Test(slots, b25_frozen_gives_nothing_and_the_rest_can_be_walked)
{
    struct slotmap *m = map_of(100);
    slot_t got[5], t;
    for (unsigned i = 0; i < 5; i++)
        got[i] = take(m, NULL);
    give(m, got[2]);
    slotmap_freeze(m, true);
    cr_assert_eq(slotmap_alloc(m, NULL, &t), -ENOSPC);
    unsigned n = 0;
    for (slot_t s = slotmap_next_used(m, 0); s; s = slotmap_next_used(m, s + 1))
        n++;
    cr_assert_eq(n, 4);
    slotmap_freeze(m, false);
    take(m, NULL);
    slotmap_destroy(m);
}

Test(slots, b16_half_full_is_more_than_half)
{
    struct slotmap *m = map_of(11);
    slot_t last = 0;
    for (unsigned i = 0; i < 5; i++)
        last = take(m, NULL);
    cr_assert_not(slotmap_half_full(m));
    slot_t more = take(m, NULL);
    cr_assert(slotmap_half_full(m));
    give(m, more);
    cr_assert_not(slotmap_half_full(m));
    slotmap_mark_bad(m, last == 10 ? 9 : 10); /* five of nine */
    cr_assert(slotmap_half_full(m));
    slotmap_destroy(m);
}

/* Random calls against plain counters. */
Test(slots, b19_random_calls_against_a_model)
{
    enum { N = 150 };
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct slotmap *m = map_of(N);
        struct slot_cluster c[3] = {{0}};
        unsigned count[N] = {0}, pins[N] = {0};
        bool bad[N] = {false};
        uint64_t r = seed * 7919;
        for (unsigned i = 0; i < 5000; i++) {
            slot_t s = (slot_t)(kit_rand(&r) % N);
            switch (kit_rand(&r) % 9) {
            case 0:
            case 1:
            case 2: {
                slot_t t = 0;
                int e = slotmap_alloc(m, &c[kit_rand(&r) % 3], &t);
                unsigned left = 0;
                for (slot_t k = 1; k < N; k++)
                    left += !count[k] && !pins[k] && !bad[k];
                cr_assert_eq(e, left ? 0 : -ENOSPC);
                if (e == 0) {
                    cr_assert(t && !count[t] && !pins[t] && !bad[t]);
                    count[t] = 1;
                }
                break;
            }
            case 3:
                cr_assert_eq(slotmap_dup(m, s), count[s] ? 0 : -ENOENT);
                count[s] += count[s] != 0;
                break;
            case 4:
                cr_assert_eq(slotmap_pin(m, s), count[s] ? 0 : -ENOENT);
                pins[s] += count[s] != 0;
                break;
            case 5:
            case 6:
                if (count[s]) {
                    bool last = slotmap_put(m, s);
                    cr_assert_eq(last, --count[s] == 0 && pins[s] == 0);
                    if (last)
                        slotmap_release(m, s);
                }
                break;
            case 7:
                if (pins[s]) {
                    bool last = slotmap_unpin(m, s);
                    cr_assert_eq(last, --pins[s] == 0 && count[s] == 0);
                    if (last)
                        slotmap_release(m, s);
                }
                break;
            default:
                if (s && kit_rand(&r) % 40 == 0) {
                    slotmap_mark_bad(m, s);
                    bad[s] = true;
                }
            }
            if (i % 16 == 0)
                sound(m);
        }
        slotmap_destroy(m);
    }
}

struct shared {
    struct slotmap *m;
    _Atomic unsigned owner[512]; /* who has the slot; two at once would be a bug */
};

static void *alloc_and_free(void *arg)
{
    struct shared *sh = arg;
    struct slot_cluster c = {0};
    slot_t held[32];
    for (unsigned round = 0; round < 300; round++) {
        unsigned n = 0;
        while (n < 32 && slotmap_alloc(sh->m, &c, &held[n]) == 0)
            cr_assert_eq(sh->owner[held[n++]]++, 0);
        for (unsigned i = 0; i < n; i++) {
            cr_assert_eq(slotmap_dup(sh->m, held[i]), 0);
            cr_assert_eq(slotmap_pin(sh->m, held[i]), 0);
            cr_assert_not(slotmap_put(sh->m, held[i]));
            cr_assert_not(slotmap_put(sh->m, held[i]));
            cr_assert_eq(sh->owner[held[i]]--, 1);
            cr_assert(slotmap_unpin(sh->m, held[i]));
            slotmap_release(sh->m, held[i]);
        }
    }
    return NULL;
}

Test(slots, b32_threads_never_share_a_slot_and_all_come_back)
{
    static struct shared sh;
    pthread_t t[4];
    sh.m = map_of(100);
    for (unsigned i = 0; i < 4; i++)
        cr_assert_eq(pthread_create(&t[i], NULL, alloc_and_free, &sh), 0);
    for (unsigned i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
    sound(sh.m);
    cr_assert_eq(slotmap_next_used(sh.m, 0), 0);
    slotmap_destroy(sh.m);
}
