/*
 * touch: reads, then writes across RAM, and asks the monitor what backs each page.
 *
 * The free RAM is left in three states, so that a table of it shows them all: written, only read
 * (the last READ_ONLY pages but UNTOUCHED), and never touched (the last UNTOUCHED pages).
 * pages=N on the command line bounds the pages that are written. swap=1 says that the frame pool is
 * smaller than that: pages leave meanwhile, so frames come again and less is resident than was
 * written.
 */
#include "guest/rt/rt.h"

#define READ_ONLY 16u
#define UNTOUCHED 16u
#define STEP      512u /* bytes between two words of a page that carry the pattern */

enum { SHADOW_P = 1, SHADOW_W = 2, PTE_P = 1, PTE_W = 2, PTE_D = 0x40 };
enum { Q_GUEST, Q_BACKING, Q_PTE, Q_FRAME, Q_REFS, Q_MAPS, Q_SHADOW };
enum { P_MAX, P_GROWN, P_FREE, P_STEP, P_RESIDENT, P_RAM };

/* Frames seen, one bit each: no two pages may have the same. */
static uint32_t seen[(1u << 20) / 32];
static bool swapping;

struct span {
    uint32_t start, pages;
};

static uint32_t page(struct span s, uint32_t i)
{
    return s.start + i * PAGE_SIZE;
}

static uint32_t pattern(uint32_t la)
{
    return la * 2654435761u ^ 0x5aa5c33cu;
}

static uint32_t load(uint32_t la)
{
    return *(volatile uint32_t *)la;
}

static void store(uint32_t la, uint32_t v)
{
    *(volatile uint32_t *)la = v;
}

static void show(const char *what, uint32_t la, const struct umbra_hc *q)
{
    tap_note("%s at %08x: backing %u, PTE %08x, frame %x, refs %u, maps %u, shadow %08x", what, la,
             q->ret[Q_BACKING], q->ret[Q_PTE], q->ret[Q_FRAME], q->ret[Q_REFS], q->ret[Q_MAPS],
             q->ret[Q_SHADOW]);
}

/* Each of the following returns whether all pages of the span are as they should be, and shows the
 * first that is not. */

static bool all_untouched(struct span s)
{
    for (uint32_t i = 0; i < s.pages; i++) {
        const struct umbra_hc *q = rt_pte_query(page(s, i));
        if (q->ret[Q_BACKING] == UMBRA_BACKING_NONE && q->ret[Q_PTE] == 0 &&
            q->ret[Q_FRAME] == UMBRA_NO_FRAME && !(q->ret[Q_SHADOW] & SHADOW_P))
            continue;
        show("not untouched", page(s, i), q);
        return false;
    }
    return true;
}

static bool is_zero_frame(const struct umbra_hc *q)
{
    return q->ret[Q_BACKING] == UMBRA_BACKING_ZERO && (q->ret[Q_PTE] & PTE_P) &&
           !(q->ret[Q_PTE] & PTE_W) && q->ret[Q_REFS] == 0 && (q->ret[Q_SHADOW] & SHADOW_P) &&
           !(q->ret[Q_SHADOW] & SHADOW_W);
}

static bool reads_give_zero_frame(struct span s)
{
    uint32_t zero = UMBRA_NO_FRAME;

    for (uint32_t i = 0; i < s.pages; i++) {
        uint32_t value = load(page(s, i));
        const struct umbra_hc *q = rt_pte_query(page(s, i));
        if (i == 0)
            zero = q->ret[Q_FRAME];
        if (value == 0 && is_zero_frame(q) && q->ret[Q_FRAME] == zero)
            continue;
        tap_note("read %08x", value);
        show("not the zero frame", page(s, i), q);
        return false;
    }
    return true;
}

static bool own_frame(const struct umbra_hc *q)
{
    uint32_t f = q->ret[Q_FRAME], bit = 1u << (f & 31);

    if (q->ret[Q_BACKING] != UMBRA_BACKING_FRAME || f >= 1u << 20 ||
        (!swapping && (seen[f / 32] & bit)))
        return false;
    seen[f / 32] |= bit;
    return (q->ret[Q_PTE] & (PTE_P | PTE_W | PTE_D)) == (PTE_P | PTE_W | PTE_D) &&
           q->ret[Q_REFS] >= 1 && q->ret[Q_MAPS] == 1 &&
           (q->ret[Q_SHADOW] & (SHADOW_P | SHADOW_W)) == (SHADOW_P | SHADOW_W);
}

static bool writes_give_own_frame(struct span s)
{
    for (uint32_t i = 0; i < s.pages; i++) {
        const struct umbra_hc *q;
        for (uint32_t off = 0; off < PAGE_SIZE; off += STEP)
            store(page(s, i) + off, pattern(page(s, i) + off));
        q = rt_pte_query(page(s, i));
        if (own_frame(q))
            continue;
        show("no frame of its own", page(s, i), q);
        return false;
    }
    return true;
}

/* The pattern where it was written, zeros between. */
static bool pattern_holds(struct span s)
{
    for (uint32_t i = 0; i < s.pages; i++)
        for (uint32_t off = 0; off < PAGE_SIZE; off += STEP / 2) {
            uint32_t la = page(s, i) + off, want = off % STEP ? 0 : pattern(la);
            if (load(la) == want)
                continue;
            tap_note("%08x holds %08x, not %08x", la, load(la), want);
            return false;
        }
    return true;
}

static uint32_t resident(void)
{
    return rt_pool_info()->ret[P_RESIDENT];
}

static void check_growth(struct span written)
{
    const struct umbra_hc *p = rt_pool_info();
    uint32_t step = p->ret[P_STEP], grown = p->ret[P_GROWN];

    if (written.pages > step)
        tap_ok(grown > step, "the pool has grown beyond its first step (%u of %u frames, step %u)",
               grown, p->ret[P_MAX], step);
    else
        tap_note("RAM is not larger than the pool's first step (%u frames): growth not seen", step);
}

int main(void)
{
    struct rt_range ram = rt_free_ram();
    uint32_t pages = (ram.end - ram.start) / PAGE_SIZE, bound = rt_option("pages", UINT32_MAX);
    struct span written, read, untouched;
    uint32_t before, after;

    swapping = rt_option("swap", 0) != 0;
    if (!rt_monitor_present())
        rt_panic("no monitor answers hypercalls");
    if (pages < 4 * (READ_ONLY + UNTOUCHED))
        rt_panic("%u pages of free RAM are too few", pages);
    pages -= READ_ONLY + UNTOUCHED;
    written = (struct span){ram.start, pages < bound ? pages : bound};
    read = (struct span){page(written, pages), READ_ONLY};
    untouched = (struct span){page(read, READ_ONLY), UNTOUCHED};
    tap_note("%u pages from %08x, %u only read, %u untouched", written.pages, written.start,
             read.pages, untouched.pages);
    memset(seen, 0, sizeof seen); /* its frames are not to be counted below */

    tap_ok(all_untouched(written), "nothing backs a page before its first touch");
    before = resident();
    tap_ok(reads_give_zero_frame(written), "a page first read is the zero frame, read-only");
    after = resident();
    tap_ok(after == before, "reading takes no frame (resident %u, then %u)", before, after);
    tap_ok(writes_give_own_frame(written), "a page written has a frame of its own, writable");
    after = resident();
    if (swapping) {
        tap_ok(after < before + written.pages, "less is resident (%u) than was written", after);
    } else {
        tap_ok(after == before + written.pages,
               "writing takes one frame a page (resident %u, then %u)", before, after);
        check_growth(written);
    }
    tap_ok(pattern_holds(written), "the pattern holds on a second pass");
    tap_ok(reads_give_zero_frame(read), "pages only read stay with the zero frame");
    tap_ok(all_untouched(untouched), "pages never touched have nothing behind them");
    return tap_done();
}
