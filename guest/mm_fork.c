/*
 * The three states of a page after a fork, left standing for whoever looks at the parent's table
 * of pages at the end (umbra run --pt 0x40000000+32k):
 *
 *   stop=fork     the parent has forked: two spaces map each frame, neither may write
 *   stop=child    ... and the child has written the first half: copies of its own
 *   (nothing)     ... and the parent two of each half: in place, and into copies
 */
#include "guest/rt/space.h"

TEST_NEEDS("m=8M");

enum { PAGES = 8, HALF = PAGES / 2 };

static uint32_t frame[PAGES]; /* as the parent had them before the fork */

static uint32_t page(uint32_t i)
{
    return SP_TEST + i * PAGE_SIZE;
}

/* How many of pages from..to-1 are backed by the frame from before the fork, mapped by `maps`. */
static uint32_t in_old_frame(uint32_t from, uint32_t to, uint32_t maps)
{
    uint32_t n = 0;

    for (uint32_t i = from; i < to; i++)
        n += sp_frame(page(i)) == frame[i] && rt_pte_query(page(i))->ret[Q_MAPS] == maps;
    return n;
}

static void parent_prepares(void)
{
    tap_ok(sp_map(SP_TEST, PAGES, SP_RW, 0) == UMBRA_OK, "eight pages are mapped");
    for (uint32_t i = 0; i < PAGES; i++) {
        sp_fill(page(i), i);
        frame[i] = sp_frame(page(i));
    }
}

static void child_writes(void)
{
    uint32_t holds = 0;

    for (uint32_t i = 0; i < HALF; i++)
        sp_fill(page(i), 100 + i);
    for (uint32_t i = 0; i < PAGES; i++)
        holds += sp_holds(page(i), i < HALF ? 100 + i : i);
    tap_ok(holds == PAGES, "child: holds what it wrote, and the parent's other half");
    tap_ok(in_old_frame(0, HALF, 1) == 0, "child: what it wrote is in frames of its own");
}

/* Two of each half, so that the table shows them beside those that stay as they are. */
static void parent_writes(void)
{
    uint32_t in_place = 0, copied = 0;

    for (uint32_t i = 0; i < PAGES; i++) {
        if (i % HALF >= 2)
            continue;
        sp_fill(page(i), 200 + i);
        if (i < HALF)
            in_place += in_old_frame(i, i + 1, 1);
        else
            copied += in_old_frame(i, i + 1, 1) == 0;
    }
    tap_ok(in_place == 2, "parent: writes in place where it was left alone");
    tap_ok(copied == 2, "parent: gets copies where it was not");
}

int main(void)
{
    uint32_t child;

    sp_init();
    parent_prepares();
    child = sp_spawn();
    if (child == 0) {
        child_writes();
        sp_go(0);
    }
    tap_ok(in_old_frame(0, PAGES, 2) == PAGES, "forked: two spaces map each frame");
    if (rt_option_is("stop", "fork"))
        return tap_done();
    sp_go(child);
    tap_ok(in_old_frame(0, HALF, 1) == HALF && in_old_frame(HALF, PAGES, 2) == HALF,
           "parent: has the first half alone now, the second still shared");
    if (rt_option_is("stop", "child"))
        return tap_done();
    parent_writes();
    return tap_done();
}
