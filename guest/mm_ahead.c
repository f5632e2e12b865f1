/* Read-ahead: reading forwards and backwards brings neighbours in before they are asked for; at
 * random it stops trying. Needs a swap file: the compressed pool needs no read-ahead. */
#include "guest/rt/space.h"

TEST_NEEDS("m=8M swap=16M");

enum { PAGES = 512 };

struct seen {
    uint32_t ahead, hits, bad;
};

/* Everything out, then read in the order given by step (or at random, step 0). */
static struct seen pass(uint32_t step)
{
    struct seen s = {0};
    uint32_t ahead, hits, at = step == PAGES - 1 ? PAGES - 1 : 0, x = 12345;
    const struct umbra_hc *q;

    sp_reclaim(SP_TEST, PAGES);
    q = sp_swap_info();
    ahead = q->ret[6];
    hits = q->ret[7];
    for (uint32_t i = 0; i < PAGES; i++) {
        s.bad += !sp_holds(SP_TEST + at * PAGE_SIZE, 5);
        x = x * 1664525 + 1013904223;
        at = step ? (at + step) % PAGES : x >> 16 & (PAGES - 1);
    }
    q = sp_swap_info();
    s.ahead = q->ret[6] - ahead;
    s.hits = q->ret[7] - hits;
    return s;
}

int main(void)
{
    struct seen s;

    sp_init();
    if (!sp_has_swap()) {
        tap_ok(true, "all of it # SKIP the machine has no swap");
        return tap_done();
    }
    sp_map(SP_TEST, PAGES, SP_RW, 0);
    for (uint32_t i = 0; i < PAGES; i++)
        sp_fill(SP_TEST + i * PAGE_SIZE, 5);
    s = pass(1);
    tap_ok(s.bad == 0, "forwards: all of it is right");
    if (!tap_ok(s.hits > PAGES / 2 && s.hits <= s.ahead, "most pages had been read ahead"))
        tap_note("%u read ahead, %u wanted", s.ahead, s.hits);
    s = pass(PAGES - 1);
    tap_ok(s.bad == 0, "backwards: all of it is right");
    if (!tap_ok(s.hits > PAGES / 2 && s.hits <= s.ahead, "most pages had been read ahead"))
        tap_note("%u read ahead, %u wanted", s.ahead, s.hits);
    s = pass(0);
    tap_ok(s.bad == 0, "at random: all of it is right");
    if (!tap_ok(s.ahead < 4 * PAGES && s.hits <= s.ahead, "read-ahead is bounded"))
        tap_note("%u read ahead, %u wanted", s.ahead, s.hits);
    return tap_done();
}
