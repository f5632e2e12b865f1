/* The compressed pool (behaviour 21): what goes in comes out, and it never holds more than its cap.
 */
#include "area_kit.h"

#include <pthread.h>

#include "mm/zpool.h"

static struct zpool *pool_of(uint64_t bytes)
{
    struct zpool *z = NULL;
    cr_assert_eq(zpool_create(bytes, &z), 0);
    return z;
}

static void sound(struct zpool *z)
{
    char msg[200] = "";
    cr_assert_eq(zpool_audit(z, msg, sizeof msg), 0, "%s", msg);
}

Test(zpool, b21_caps_of_nothing_and_too_much_are_refused)
{
    struct zpool *z;
    cr_assert_eq(zpool_create(0, &z), -EINVAL);
    cr_assert_eq(zpool_create(ZPOOL_MIN_BYTES - 1, &z), -EINVAL);
    cr_assert_eq(zpool_create(ZPOOL_MAX_BYTES + 1, &z), -EINVAL);
    cr_assert_eq(zpool_create(UINT64_MAX, &z), -EINVAL);
}

Test(zpool, b21_pages_of_every_compressibility_come_back)
{
    struct zpool *z = pool_of(4 << 20);
    static uint8_t in[PAGE_SIZE], out[PAGE_SIZE];
    zhandle_t h[8 * 16];
    unsigned kept = 0;
    for (unsigned noise = 0; noise < 8; noise++)
        for (unsigned i = 0; i < 16; i++) {
            kit_mixed(in, noise * 100 + i, noise);
            int e = zpool_store(z, in, noise * 100 + i, &h[noise * 16 + i]);
            cr_assert(e == 0 || (noise > 5 && e == -E2BIG), "noise %u: %d", noise, e);
            h[noise * 16 + i] = e ? 0 : h[noise * 16 + i];
            kept += e == 0;
        }
    cr_assert_geq(kept, 96);
    for (unsigned noise = 0; noise < 8; noise++)
        for (unsigned i = 0; i < 16; i++) {
            if (!h[noise * 16 + i])
                continue;
            kit_mixed(in, noise * 100 + i, noise);
            cr_assert_eq(zpool_load(z, h[noise * 16 + i], out), 0);
            cr_assert_arr_eq(in, out, PAGE_SIZE);
            zpool_free(z, h[noise * 16 + i]);
        }
    sound(z);
    zpool_destroy(z);
}

Test(zpool, b21_incompressible_is_rejected_and_takes_nothing)
{
    struct zpool *z = pool_of(1 << 20);
    static uint8_t page[PAGE_SIZE];
    struct zpool_stats before, after;
    zhandle_t h;
    zpool_get_stats(z, &before);
    for (unsigned i = 0; i < 100; i++) {
        kit_noise(page, i);
        cr_assert_eq(zpool_store(z, page, 0, &h), -E2BIG);
    }
    zpool_get_stats(z, &after);
    cr_assert_eq(after.rejects, 100);
    cr_assert_eq(after.bytes_held, before.bytes_held);
    zpool_destroy(z);
}

Test(zpool, b21_one_value_is_known_wherever_it_breaks)
{
    static KIT_PAGE uint64_t page[PAGE_SIZE / 8];
    for (unsigned v = 0; v < 3; v++) {
        uint64_t value = (uint64_t[]){0, UINT64_MAX, 0x0123456789abcdefull}[v], got = 1;
        zpool_fill(page, value);
        cr_assert(zpool_same_filled(page, &got));
        cr_assert_eq(got, value);
        for (unsigned i = 0; i < PAGE_SIZE / 8; i++) {
            page[i] ^= (uint64_t)1 << i % 64;
            cr_assert_not(zpool_same_filled(page, &got), "word %u", i);
            page[i] ^= (uint64_t)1 << i % 64;
        }
    }
}

/* Fill to the brim; returns how many went in. */
static unsigned fill(struct zpool *z, zhandle_t *h, unsigned max, unsigned noise)
{
    static uint8_t page[PAGE_SIZE];
    unsigned n = 0;
    for (; n < max; n++) {
        kit_mixed(page, n, noise);
        int e = zpool_store(z, page, n, &h[n]);
        if (e) {
            cr_assert_eq(e, -ENOSPC);
            break;
        }
    }
    return n;
}

Test(zpool, b21_the_cap_holds_tables_and_all)
{
    static zhandle_t h[20000];
    for (unsigned k = 0; k < 4; k++) {
        uint64_t cap = (uint64_t[]){ZPOOL_MIN_BYTES, 100000, 1 << 20, (4 << 20) + 12345}[k];
        for (unsigned noise = 0; noise < 6; noise += 2) {
            struct zpool *z = pool_of(cap);
            unsigned n = fill(z, h, 20000, noise);
            struct zpool_stats st;
            zpool_get_stats(z, &st);
            cr_assert(n < 20000 || noise == 0);
            cr_assert_gt(n, 0, "cap %llu noise %u", (unsigned long long)cap, noise);
            cr_assert_leq(st.bytes_held, cap);
            cr_assert_eq(st.entries, n);
            sound(z);
            for (unsigned i = 0; i < n; i++)
                zpool_free(z, h[i]);
            sound(z);
            zpool_get_stats(z, &st);
            cr_assert_eq(st.entries, 0);
            cr_assert_eq(st.bytes_data, 0);
            zpool_destroy(z);
        }
    }
}

Test(zpool, b21_packs_well)
{
    static zhandle_t h[20000];
    struct zpool *z = pool_of(8 << 20);
    struct zpool_stats st;
    unsigned n = fill(z, h, 20000, 3);
    zpool_get_stats(z, &st);
    /* Size classes and tables may waste a fifth at most. */
    cr_assert_gt(st.bytes_data, st.bytes_max / 5 * 4, "%llu of %llu hold data, %u pages",
                 (unsigned long long)st.bytes_data, (unsigned long long)st.bytes_max, n);
    zpool_destroy(z);
}

Test(zpool, b21_holes_of_one_class_are_moved_together_for_another)
{
    static zhandle_t h[20000];
    static uint8_t in[PAGE_SIZE], out[PAGE_SIZE];
    struct zpool *z = pool_of(1 << 20);
    struct zpool_stats st;
    unsigned n = fill(z, h, 20000, 1);
    for (unsigned i = 0; i < n; i++)
        if (i % 4)
            zpool_free(z, h[i]);
    /* Every chunk still has objects of the small class: large ones need whole chunks. */
    unsigned big = 0;
    zhandle_t hb[400];
    for (; big < 400; big++) {
        kit_mixed(in, 100000 + big, 5);
        if (zpool_store(z, in, big, &hb[big]))
            break;
    }
    zpool_get_stats(z, &st);
    cr_assert_gt(st.moves, 0);
    cr_assert_gt(big, 150, "%u large pages fit into what was freed", big);
    sound(z);
    for (unsigned i = 0; i < n; i += 4) {
        kit_mixed(in, i, 1);
        cr_assert_eq(zpool_load(z, h[i], out), 0);
        cr_assert_arr_eq(in, out, PAGE_SIZE, "moved, not changed");
    }
    for (unsigned i = 0; i < big; i++) {
        kit_mixed(in, 100000 + i, 5);
        cr_assert_eq(zpool_load(z, hb[i], out), 0);
        cr_assert_arr_eq(in, out, PAGE_SIZE);
    }
    zpool_destroy(z);
}

Test(zpool, b21_oldest_first_and_each_once)
{
    struct zpool *z = pool_of(1 << 20);
    zhandle_t h[10], o;
    uint32_t owner;
    cr_assert_not(zpool_oldest(z, &o, &owner));
    static uint8_t page[PAGE_SIZE];
    for (unsigned i = 0; i < 10; i++) {
        kit_text(page, i);
        cr_assert_eq(zpool_store(z, page, 50 + i, &h[i]), 0);
    }
    zpool_free(z, h[0]);
    zpool_free(z, h[4]);
    zpool_free(z, h[9]);
    for (unsigned round = 0; round < 2; round++)
        for (unsigned i = 1; i < 9; i++) {
            if (i == 4)
                continue;
            cr_assert(zpool_oldest(z, &o, &owner));
            cr_assert_eq(o, h[i]);
            cr_assert_eq(owner, 50 + i);
        }
    sound(z);
    zpool_destroy(z);
}

Test(zpool, b21_random_calls_against_a_model)
{
    enum { N = 600 };
    static uint8_t in[PAGE_SIZE], out[PAGE_SIZE];
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct zpool *z = pool_of(256 << 10);
        zhandle_t h[N] = {0};
        uint64_t what[N], r = seed * 104729;
        for (unsigned i = 0; i < 6000; i++) {
            unsigned k = (unsigned)(kit_rand(&r) % N);
            if (h[k]) {
                kit_mixed(in, what[k], (unsigned)(what[k] % 7));
                cr_assert_eq(zpool_load(z, h[k], out), 0);
                cr_assert_arr_eq(in, out, PAGE_SIZE);
                if (kit_rand(&r) % 2) {
                    zpool_free(z, h[k]);
                    h[k] = 0;
                }
            } else {
                what[k] = kit_rand(&r);
                kit_mixed(in, what[k], (unsigned)(what[k] % 7));
                int e = zpool_store(z, in, k, &h[k]);
                cr_assert(e == 0 || e == -ENOSPC || e == -E2BIG);
                if (e)
                    h[k] = 0;
            }
            if (i % 32 == 0)
                sound(z);
        }
        for (unsigned k = 0; k < N; k++)
            if (h[k])
                zpool_free(z, h[k]);
        sound(z);
        zpool_destroy(z);
    }
}

static void *store_and_load(void *arg)
{
    struct zpool *z = arg;
    uint8_t in[PAGE_SIZE], out[PAGE_SIZE];
    uint64_t r = (uintptr_t)in;
    zhandle_t h[64] = {0};
    uint64_t what[64];
    for (unsigned i = 0; i < 2000; i++) {
        unsigned k = (unsigned)(kit_rand(&r) % 64);
        if (h[k]) {
            kit_mixed(in, what[k], (unsigned)(what[k] % 6));
            cr_assert_eq(zpool_load(z, h[k], out), 0);
            cr_assert_arr_eq(in, out, PAGE_SIZE);
            zpool_free(z, h[k]);
            h[k] = 0;
        } else {
            what[k] = kit_rand(&r);
            kit_mixed(in, what[k], (unsigned)(what[k] % 6));
            if (zpool_store(z, in, k, &h[k]))
                h[k] = 0;
        }
        uint32_t owner;
        zhandle_t o;
        zpool_oldest(z, &o, &owner);
    }
    for (unsigned k = 0; k < 64; k++)
        if (h[k])
            zpool_free(z, h[k]);
    return NULL;
}

Test(zpool, b21_threads_share_it)
{
    struct zpool *z = pool_of(192 << 10);
    pthread_t t[4];
    for (unsigned i = 0; i < 4; i++)
        cr_assert_eq(pthread_create(&t[i], NULL, store_and_load, z), 0);
    for (unsigned i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
    struct zpool_stats st;
    sound(z);
    zpool_get_stats(z, &st);
    cr_assert_eq(st.entries, 0);
    zpool_destroy(z);
}
