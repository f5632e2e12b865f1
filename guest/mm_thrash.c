/* Memory of four times the pool: written, read and changed over and over, each word checked. */
#include "guest/rt/space.h"

TEST_NEEDS("m=4M pool=2M zpool=16M");

static uint32_t random_below(uint32_t n)
{
    static uint32_t x = 2463534242u;
    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    return x % n;
}

/* Two words are enough to tell a page, and keep a slow processor's run short. */
static void put(uint32_t la, uint32_t v)
{
    store32(la, la ^ v);
    store32(la + 4092, la + v);
}

static bool has(uint32_t la, uint32_t v)
{
    if (load32(la) == (la ^ v) && load32(la + 4092) == la + v)
        return true;
    tap_note("%08x: %08x %08x, due %08x %08x", la, load32(la), load32(la + 4092), la ^ v, la + v);
    return false;
}

static uint8_t version[1u << 16];

int main(void)
{
    uint32_t pages, bad = 0, resident;

    sp_init();
    pages = 4 * rt_pool_info()->ret[0];
    if (!sp_has_swap() || pages > sizeof version) {
        tap_ok(true, "all of it # SKIP %s", sp_has_swap() ? "the pool is too large" : "no swap");
        return tap_done();
    }
    tap_ok(sp_map(SP_TEST, pages, SP_RW, 0) == UMBRA_OK, "four times the pool is mapped");
    for (uint32_t i = 0; i < pages; i++)
        put(SP_TEST + i * PAGE_SIZE, 0);
    tap_ok(sp_info()->ret[6] > pages / 2, "and written: most of it is out");
    for (uint32_t i = 0; i < pages; i++)
        bad += !has(SP_TEST + i * PAGE_SIZE, 0);
    tap_ok(bad == 0, "a pass forwards: all of it is right");
    for (uint32_t i = pages; i > 0; i--)
        bad += !has(SP_TEST + (i - 1) * PAGE_SIZE, 0);
    tap_ok(bad == 0, "a pass backwards");
    for (uint32_t n = 0; n < 2 * pages; n++) {
        const uint32_t i = random_below(pages);
        bad += !has(SP_TEST + i * PAGE_SIZE, version[i]);
        if (n & 1)
            put(SP_TEST + i * PAGE_SIZE, ++version[i]);
    }
    tap_ok(bad == 0, "at random, every second page changed");
    for (uint32_t i = 0; i < pages; i++)
        bad += !has(SP_TEST + i * PAGE_SIZE, version[i]);
    tap_ok(bad == 0, "and once more");
    resident = sp_info()->ret[5];
    tap_ok(resident < rt_pool_info()->ret[0], "never more resident than there are frames");
    sp_unmap(SP_TEST, pages);
    tap_ok(sp_info()->ret[5] < resident, "unmapped: its frames are free");
    return tap_done();
}
