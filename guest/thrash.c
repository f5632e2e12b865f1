/*
 * thrash: writes to many pages, of several kinds, and holds them against what was written:
 * forwards, backwards and in random order, rewriting some on the way. With more pages than the
 * frame pool has frames, every pass brings each page back from swap and sends another out. What it
 * prints does not depend on how much of that happens.
 *
 * On the command line:
 *   pages=N   so many pages, not all of free RAM
 *   mix=K     random (does not compress), text (does), same (one word over and over), zero, or all
 *   rounds=N  repeat the passes
 *   step=N    look at every N-th word only (a page is always written whole)
 *   pause=1   before the first pass, wait for a byte on the console
 */
#include "guest/rt/rt.h"

#define WORDS     (PAGE_SIZE / 4)
#define PAGES_MAX (1u << 18)
#define UART_LSR  (UMBRA_COM1_PORT + 5)

enum kind { RANDOM, TEXT, SAME, ZERO, KINDS };

static const char *const kind_names[KINDS] = {"random", "text", "same", "zero"};

static uint8_t generation[PAGES_MAX]; /* how often each page has been written */
static uint32_t start, pages, step, mix;

static volatile uint32_t *page_at(uint32_t i)
{
    return (volatile uint32_t *)(start + i * PAGE_SIZE);
}

static enum kind kind_of(uint32_t i)
{
    return mix < KINDS ? (enum kind)mix : (enum kind)((i * 2654435761u >> 28) % KINDS);
}

static inline uint32_t scramble(uint32_t x)
{
    x = (x ^ x >> 16) * 0x7feb352du;
    x = (x ^ x >> 15) * 0x846ca68bu;
    return x ^ x >> 16;
}

/* Word w of page i as it was last written. */
static inline uint32_t word_of(enum kind k, uint32_t seed, uint32_t w)
{
    switch (k) {
    case RANDOM: return scramble(seed + w);
    case TEXT: return seed + (w & 15);
    case SAME: return seed | 1;
    default: return 0;
    }
}

static uint32_t seed_of(uint32_t i)
{
    return i << 12 ^ (uint32_t)generation[i] << 24;
}

static void write_page(uint32_t i)
{
    const enum kind k = kind_of(i);
    volatile uint32_t *p = page_at(i);

    generation[i]++;
    const uint32_t seed = seed_of(i);
    for (uint32_t w = 0; w < WORDS; w++)
        p[w] = word_of(k, seed, w);
}

static bool check_page(uint32_t i)
{
    const enum kind k = kind_of(i);
    const uint32_t seed = seed_of(i);
    const volatile uint32_t *p = page_at(i);

    for (uint32_t w = 0; w < WORDS; w += step) {
        const uint32_t is = p[w], want = word_of(k, seed, w);
        if (is == want)
            continue;
        tap_note("page %u (%s), word %u at %08x holds %08x, not %08x", i, kind_names[k], w,
                 start + i * PAGE_SIZE + 4 * w, is, want);
        return false;
    }
    return true;
}

/* --- orders: the n-th page of a pass -------------------------------------------------------- */

static uint32_t forwards(uint32_t n)
{
    return n;
}

static uint32_t backwards(uint32_t n)
{
    return pages - 1 - n;
}

/* Each page once, in an order without neighbours: a full-period generator modulo the next power of
 * two, what lies beyond the pages left out. */
static uint32_t randomly(uint32_t n)
{
    static uint32_t x;
    uint32_t size = 1;

    while (size < pages)
        size *= 2;
    if (n == 0)
        x = 0;
    do
        x = (x * 1664525u + 1013904223u) & (size - 1);
    while (x >= pages);
    return x;
}

/* Check every page in that order; each `every`-th is then written anew (0: none). */
static bool pass(uint32_t (*order)(uint32_t), uint32_t every)
{
    for (uint32_t n = 0; n < pages; n++) {
        const uint32_t i = order(n);
        if (!check_page(i))
            return false;
        if (every && n % every == 0)
            write_page(i);
    }
    return true;
}

static void wait_for_byte(void)
{
    rt_printf("# waiting for a byte\n");
    while (!(inb(UART_LSR) & 1))
        ;
    (void)inb(UMBRA_COM1_PORT);
}

static uint32_t mix_option(void)
{
    for (uint32_t k = 0; k < KINDS; k++)
        if (rt_option_is("mix", kind_names[k]))
            return k;
    return KINDS;
}

int main(void)
{
    const struct rt_range ram = rt_free_ram();
    const uint32_t room = (ram.end - ram.start) / PAGE_SIZE, want = rt_option("pages", room);
    const uint32_t rounds = rt_option("rounds", 1);

    start = ram.start;
    pages = want < room ? want : room;
    if (pages > PAGES_MAX)
        pages = PAGES_MAX;
    step = rt_option("step", 1);
    mix = mix_option();
    if (pages == 0 || step == 0)
        rt_panic("pages and step must not be 0");
    tap_note("%u pages, %s", pages, mix < KINDS ? kind_names[mix] : "all kinds");

    for (uint32_t i = 0; i < pages; i++)
        write_page(i);
    if (rt_option("pause", 0))
        wait_for_byte();
    for (uint32_t r = 1; r <= rounds; r++) {
        tap_ok(pass(forwards, 0), "round %u: forwards, every page holds what was written", r);
        tap_ok(pass(backwards, 3), "round %u: backwards, a third written anew", r);
        tap_ok(pass(randomly, 5), "round %u: in random order, a fifth written anew", r);
        tap_ok(pass(forwards, 0), "round %u: forwards again", r);
    }
    return tap_done();
}
