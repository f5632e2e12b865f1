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

static uint32_t seed_of(uint32_t i)
{
    return (i << 8 ^ (uint32_t)generation[i]) | 1;
}

/* A page is its kind's pattern; of random and text, every STAMP_EVERY-th word is the page's own. */
#define STAMP_EVERY 32u
#define STAMP_FIRST 7u

static uint32_t pattern[2][WORDS]; /* of RANDOM and TEXT */

static void make_patterns(void)
{
    uint32_t x = 0x5eed;

    for (uint32_t w = 0; w < WORDS; w++) {
        x = x * 1664525u + 1013904223u;
        pattern[RANDOM][w] = x ^ x >> 15;
        pattern[TEXT][w] = 0x20746f6eu + (w & 15);
    }
}

static uint32_t word_of(enum kind k, uint32_t seed, uint32_t w)
{
    if (k == ZERO)
        return 0;
    return k == SAME || w % STAMP_EVERY == STAMP_FIRST ? seed : pattern[k][w];
}

/* By string instructions: one instruction a page is quick on every engine. */
static void copy_words(volatile uint32_t *to, const uint32_t *from)
{
    uint32_t n = WORDS;
    __asm__ volatile("cld; rep movsl" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
}

static void fill_words(volatile uint32_t *to, uint32_t v)
{
    uint32_t n = WORDS;
    __asm__ volatile("cld; rep stosl" : "+D"(to), "+c"(n) : "a"(v) : "memory");
}

static void write_page(uint32_t i)
{
    const enum kind k = kind_of(i);
    volatile uint32_t *p = page_at(i);

    generation[i]++;
    const uint32_t seed = seed_of(i);
    if (k == SAME || k == ZERO) {
        fill_words(p, k == SAME ? seed : 0);
        return;
    }
    copy_words(p, pattern[k]);
    for (uint32_t w = STAMP_FIRST; w < WORDS; w += STAMP_EVERY)
        p[w] = seed;
}

static bool check_word(uint32_t i, uint32_t w)
{
    const enum kind k = kind_of(i);
    const uint32_t is = page_at(i)[w], want = word_of(k, seed_of(i), w);

    if (is != want)
        tap_note("page %u (%s), word %u at %08x holds %08x, not %08x", i, kind_names[k], w,
                 start + i * PAGE_SIZE + 4 * w, is, want);
    return is == want;
}

/* Whichever words are looked at, a stamp is among them. */
static bool check_page(uint32_t i)
{
    if (!check_word(i, STAMP_FIRST))
        return false;
    for (uint32_t w = i % step; w < WORDS; w += step)
        if (!check_word(i, w))
            return false;
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
    make_patterns();
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
