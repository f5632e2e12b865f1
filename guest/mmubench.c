/*
 * mmubench: one kind of MMU work, done N times, to be timed from outside with the time of
 * test=empty subtracted. What it prints last is how often it was done.
 *
 *   test=pf     page faults whose handler maps the page (flushed by CR3 each 1024)
 *   test=cr3    a load of CR3, to and fro between two spaces, each time their set= pages touched
 * (16) test=invlpg a PTE changed, INVLPG, the page touched test=ad     A and D cleared, INVLPG, the
 * page written test=touch  first write to a page of RAM (4 MiB pages; as many as there are, at most
 * iters) test=reach  loads from pages all over set= MiB (64) of 4 MiB pages, in no order test=big
 * a 4 MiB page taken away and put back, INVLPG each time, and 64 of its pages read test=int    INT
 * n from ring 3 and back test=int0   INT n in ring 0 and back test=empty nothing
 *
 * iters=N (100000). Each test looks whether its work was done and panics if not.
 */
#include "guest/rt/paging.h"

#define LA    PG_TEST(0)
#define ALL   (PTE_P | PTE_W | PTE_U)
#define PAGES 1024u

static uint32_t pd, frames;
/* For the handler below. */
static uint32_t pf_table, pf_entry;
static uint32_t pf_count;

/* The shortest handler that does the work: entry of CR2's page made present. */
__attribute__((naked)) static void pf_handler(void)
{
    __asm__ volatile("pushl %%eax; pushl %%ecx\n\t"
                     "movl %%cr2, %%eax; shrl $12, %%eax; andl $1023, %%eax; shll $2, %%eax\n\t"
                     "addl %0, %%eax; movl %1, %%ecx; movl %%ecx, (%%eax); incl %2\n\t"
                     "popl %%ecx; popl %%eax; addl $4, %%esp; iretl"
                     :
                     : "m"(pf_table), "m"(pf_entry), "m"(pf_count));
}

__attribute__((naked)) static void int_handler(void)
{
    __asm__ volatile("iretl");
}

static void raw_gate(unsigned vector, void (*fn)(void), unsigned dpl)
{
    const uint32_t at = (uint32_t)fn;
    trap_set_gate(vector, (uint32_t)SEL_KCODE << 16 | (at & 0xffff),
                  (at & 0xffff0000u) | 0x8e00u | dpl << 13);
}

static uint32_t bench_pf(uint32_t n)
{
    pf_table = *pg_pde(pd, LA) & PTE_ADDR;
    pf_entry = frames | ALL;
    raw_gate(V_PF, pf_handler, 0);
    for (uint32_t i = 0; i < n; i++) {
        if (i % PAGES == 0) {
            memset((void *)pf_table, 0, PAGE_SIZE);
            flush_tlb();
        }
        store32(LA + (i % PAGES) * PAGE_SIZE, i);
    }
    if (pf_count != n)
        rt_panic("%u faults, not %u", pf_count, n);
    return n;
}

static uint32_t bench_cr3(uint32_t n)
{
    const uint32_t other = pg_alloc(), table = pg_alloc(), set = rt_option("set", 16) % (PAGES / 2);
    uint32_t roots[2] = {pd, other}, sum = 0;

    memcpy((void *)other, (void *)pd, PAGE_SIZE);
    *pg_pde(other, LA) = table | ALL;
    for (uint32_t i = 0; i < set; i++) {
        pg_map(pd, LA + i * PAGE_SIZE, frames + i * PAGE_SIZE, ALL);
        pg_map(other, LA + i * PAGE_SIZE, frames + (set + i) * PAGE_SIZE, ALL);
        store32(frames + i * PAGE_SIZE, 1);
        store32(frames + (set + i) * PAGE_SIZE, 2);
    }
    for (uint32_t i = 0; i < n; i++) {
        write_cr3(roots[i & 1]);
        for (uint32_t j = 0; j < set; j++)
            sum += load32(LA + j * PAGE_SIZE);
    }
    if (sum != (n / 2 * 3 + (n & 1)) * set)
        rt_panic("sum %u", sum);
    return n;
}

static uint32_t bench_invlpg(uint32_t n)
{
    uint32_t *pte = pg_pte(pd, LA), sum = 0;

    store32(frames, 1);
    store32(frames + PAGE_SIZE, 2);
    for (uint32_t i = 0; i < n; i++) {
        *(volatile uint32_t *)pte = (i & 1 ? frames + PAGE_SIZE : frames) | ALL;
        invlpg(LA);
        sum += load32(LA);
    }
    if (sum != n / 2 * 3 + (n & 1))
        rt_panic("sum %u", sum);
    return n;
}

static uint32_t bench_ad(uint32_t n)
{
    volatile uint32_t *pte = pg_pte(pd, LA);
    uint32_t set = 0;

    for (uint32_t i = 0; i < 64; i++)
        pg_map(pd, LA + i * PAGE_SIZE, frames + i * PAGE_SIZE, ALL);
    flush_tlb();
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t p = i % 64;
        pte[p] &= ~(PTE_A | PTE_D);
        invlpg(LA + p * PAGE_SIZE);
        store32(LA + p * PAGE_SIZE, i);
        set += (pte[p] & (PTE_A | PTE_D)) == (PTE_A | PTE_D);
    }
    if (set != n)
        rt_panic("%u of %u pages dirty", set, n);
    return n;
}

/* All of RAM by 4 MiB pages, where it lies. */
static uint32_t big_pages(void)
{
    const uint32_t all = pg_alloc();

    write_cr4(read_cr4() | CR4_PSE);
    for (uint32_t i = 0; i < 1024; i++)
        store32(all + 4 * i, i << 22 | ALL | PTE_PS);
    write_cr3(all);
    return all;
}

static uint32_t bench_touch(uint32_t n)
{
    const uint32_t start = pg_free_start(), end = rt_free_ram().end;
    uint32_t done = 0;

    (void)big_pages();
    for (uint32_t a = start + PAGE_SIZE; a < end && done < n; a += PAGE_SIZE, done++)
        store32(a, a);
    for (uint32_t i = 0; i < done; i += 97)
        if (load32(start + (i + 1) * PAGE_SIZE) != start + (i + 1) * PAGE_SIZE)
            rt_panic("page %u lost its word", i);
    return done;
}

/* MiB of RAM behind what is in use, aligned to 4 MiB, each page with its own address in it. */
static uint32_t big_ram(uint32_t mib)
{
    const uint32_t start = (pg_free_start() + (4u << 20) - 1) & ~((4u << 20) - 1);

    if (start + (mib << 20) > rt_free_ram().end)
        rt_panic("%u MiB of free RAM are needed: more with -m", mib);
    for (uint32_t a = start; a < start + (mib << 20); a += PAGE_SIZE)
        store32(a, a);
    return start;
}

/* From ring 3: eax a number to begin with, ecx loads, ebx a mask of pages from edi on. */
__attribute__((naked)) static void reach_loop(void)
{
    __asm__ volatile("1: imull $1664525, %eax; addl $1013904223, %eax; movl %eax, %edx\n\t"
                     "shrl $8, %edx; andl %ebx, %edx; shll $12, %edx; addl %edi, %edx\n\t"
                     "cmpl %edx, (%edx); jne 2f; decl %ecx; jnz 1b\n\t"
                     "2: int $0x81");
}

static uint32_t bench_reach(uint32_t n)
{
    const uint32_t mib = rt_option("set", 64);

    if (mib & (mib - 1))
        rt_panic("set=%u: give a power of two", mib);
    (void)big_pages();
    struct ring3 r = {.eax = 1,
                      .ecx = n,
                      .ebx = (mib << 8) - 1,
                      .edi = big_ram(mib),
                      .eip = (uint32_t)reach_loop,
                      .eflags = EFLAGS_ONE};
    if (ring3_run(&r) != V_GP || r.ecx != 0)
        rt_panic("page %x has lost its word", r.edx);
    return n;
}

static uint32_t bench_big(uint32_t n)
{
    const uint32_t all = big_pages(), start = big_ram(4);
    const uint32_t pde = load32(all + (start >> 22) * 4);
    uint32_t bad = 0;

    for (uint32_t i = 0; i < n; i++) {
        store32(all + (start >> 22) * 4, 0);
        invlpg(start);
        store32(all + (start >> 22) * 4, pde);
        invlpg(start);
        for (uint32_t k = 0; k < 64; k++)
            bad += load32(start + k * 16 * PAGE_SIZE) != start + k * 16 * PAGE_SIZE;
    }
    if (bad)
        rt_panic("%u words lost", bad);
    return n;
}

static uint32_t bench_int(uint32_t n)
{
    /* int $0x80; dec %ecx; jnz .-3; int $0x81 */
    static const uint8_t code[] = {0xcd, 0x80, 0x49, 0x75, 0xfb, 0xcd, 0x81};
    struct ring3 r = {.ecx = n, .eip = LA, .eflags = EFLAGS_ONE};

    pg_remap(pd, LA, frames, ALL);
    memcpy((void *)LA, code, sizeof code);
    raw_gate(VEC_SYSCALL, int_handler, 3);
    if (ring3_run(&r) != V_GP || r.ecx != 0)
        rt_panic("%u left", r.ecx);
    return n;
}

static uint32_t bench_int0(uint32_t n)
{
    raw_gate(VEC_SYSCALL, int_handler, 0);
    for (uint32_t i = 0; i < n; i++)
        __asm__ volatile("int $0x80" : : : "memory");
    return n;
}

static uint32_t bench_empty(uint32_t n)
{
    (void)n;
    return 0;
}

static const struct {
    const char *name;
    uint32_t (*run)(uint32_t n);
} tests[] = {
    {"pf", bench_pf},       {"cr3", bench_cr3}, {"invlpg", bench_invlpg}, {"ad", bench_ad},
    {"touch", bench_touch}, {"int", bench_int}, {"int0", bench_int0},     {"empty", bench_empty},
    {"reach", bench_reach}, {"big", bench_big},
};

int main(void)
{
    const uint32_t n = rt_option("iters", 100000);

    for (unsigned i = 0; i < sizeof tests / sizeof *tests; i++) {
        if (!rt_option_is("test", tests[i].name))
            continue;
        pd = pg_identity();
        frames = pg_alloc_n(PAGES, PAGE_SIZE);
        (void)pg_pte(pd, LA);
        pg_start(pd, true, 0);
        rt_printf("%s: %u iterations\n", tests[i].name, tests[i].run(n));
        return 0;
    }
    rt_puts("say test=NAME:");
    for (unsigned i = 0; i < sizeof tests / sizeof *tests; i++)
        rt_printf(" %s", tests[i].name);
    rt_puts("\n");
    return UMBRA_EXITV_FAIL;
}
