/*
 * mmu_split: instructions that fault in the middle. Registers are as before, what was stored before
 * the fault is what the manual lets be there, and once the page is mapped the same instruction runs
 * to its end.
 */
#include "guest/rt/paging.h"

#define LA    PG_TEST(0)
#define EDGE  (LA + PAGE_SIZE) /* the page at EDGE is the one that is absent or read-only */
#define ALL   (PTE_P | PTE_W | PTE_U)
#define STAMP 0x5a5a5a5au

static uint32_t pd, low, high;

/* Registers before an instruction; after it; at the fault. */
struct regs {
    uint32_t eax, ecx, edx, ebx, esp, ebp, esi, edi;
};

static bool mend; /* map EDGE writable at the fault and run the instruction again */
static struct regs at_fault;

static bool on_fault(struct trap_frame *f)
{
    at_fault = (struct regs){f->eax, f->ecx, f->edx, f->ebx, (uint32_t)(&f->eflags + 1),
                             f->ebp, f->esi, f->edi};
    if (!mend)
        return false;
    pg_remap(pd, EDGE, high, ALL);
    return true;
}

/* The page at EDGE with bits; both pages full of STAMP; ask for the fault to be mended or not. */
static void set(uint32_t bits, bool mended)
{
    for (uint32_t i = 0; i < PAGE_SIZE; i += 4) {
        store32(low + i, STAMP);
        store32(high + i, STAMP);
    }
    pg_remap(pd, LA, low, ALL);
    pg_remap(pd, EDGE, high, bits);
    mend = mended;
    trap_forget();
    at_fault = (struct regs){0};
}

static bool low_untouched(void)
{
    for (uint32_t i = 0; i < PAGE_SIZE; i += 4)
        if (load32(low + i) != STAMP)
            return false;
    return true;
}

static bool high_untouched(void)
{
    for (uint32_t i = 0; i < PAGE_SIZE; i += 4)
        if (load32(high + i) != STAMP)
            return false;
    return true;
}

static void plain_crossing(void)
{
    uint32_t v = 0;

    set(0, false);
    tap_ok(!try_write(EDGE - 2, 0) && trap_was_pf(PF_W, EDGE) && low_untouched(),
           "a store over the edge: CR2 is the edge, nothing stored");
    tap_ok(!try_write(EDGE - 1, 0) && trap_was_pf(PF_W, EDGE) && low_untouched(), "by one byte");
    tap_ok(!try_read(EDGE - 3, &v) && trap_was_pf(0, EDGE), "a load over the edge");
    tap_ok(try_read(EDGE - 4, &v) && try_write(EDGE - 4, STAMP), "up to the edge");
    set(PTE_P, false);
    tap_ok(!try_write(EDGE - 2, 0) && trap_was_pf(PF_P | PF_W, EDGE) && low_untouched(),
           "onto a read-only page: nothing stored");
    tap_ok(try_read(EDGE - 2, &v) && v == STAMP, "but read");
    set(0, true);
    tap_ok(try_write(EDGE - 2, 0x11223344) && load32(high) == (STAMP & 0xffff0000u) + 0x1122 &&
               load32(low + PAGE_SIZE - 4) == (0x33440000u | (STAMP & 0xffff)),
           "mended, the store is whole");
    pg_remap(pd, LA, low, 0);
    pg_remap(pd, EDGE, high, 0);
    mend = false;
    tap_ok(!try_read(EDGE - 2, &v) && trap_was_pf(0, EDGE - 2),
           "both absent: the first one is told");
}

static void read_modify_write(void)
{
    uint32_t a = EDGE - 2, n = 0x01010101;

    set(PTE_P, false);
    __asm__ volatile("1: addl %1, (%0)\n2:\n\t" TRAP_FIX("1b", "2b") : : "r"(a), "r"(n) : "memory");
    tap_ok(trap_was_pf(PF_P | PF_W, EDGE) && low_untouched(), "ADD to memory over the edge");
    trap_forget();
    __asm__ volatile("1: xchg %1, (%0)\n2:\n\t" TRAP_FIX("1b", "2b") : : "r"(a), "r"(n) : "memory");
    tap_ok(trap_was_pf(PF_P | PF_W, EDGE) && n == 0x01010101 && low_untouched(),
           "XCHG: register and memory as before");
    trap_forget();
    __asm__ volatile("1: lock xadd %1, (%0)\n2:\n\t" TRAP_FIX("1b", "2b")
                     :
                     : "r"(EDGE + 8), "r"(n)
                     : "memory");
    tap_ok(trap_was_pf(PF_P | PF_W, EDGE + 8) && n == 0x01010101 && high_untouched(), "LOCK XADD");
    trap_forget();
    __asm__ volatile("1: cmpxchg %1, (%0)\n2:\n\t" TRAP_FIX("1b", "2b")
                     :
                     : "r"(EDGE), "r"(n), "a"(1)
                     : "memory");
    tap_ok(trap_was_pf(PF_P | PF_W, EDGE) && trap_last()->at.eax == 1,
           "CMPXCHG that does not match needs the right to write all the same");
    set(0, true);
    n = 1;
    __asm__ volatile("1: lock xadd %1, (%0)" : : "r"(EDGE), "r"(n) : "memory");
    tap_ok(load32(high) == STAMP + 1 && at_fault.eax + at_fault.ecx + at_fault.edx != 0,
           "mended, the sum is there once");
}

static void cmpxchg8b(void)
{
    uint32_t lo = STAMP, hi = STAMP;
    bool same = false;

    if (!(cpuid_edx(1) & CPUID1_CX8)) {
        tap_note("no CMPXCHG8B here");
        return;
    }
    set(PTE_P, false);
    __asm__ volatile("1: cmpxchg8b (%2)\n2:\n\t" TRAP_FIX("1b", "2b")
                     : "+a"(lo), "+d"(hi)
                     : "S"(EDGE - 4), "b"(1), "c"(2)
                     : "memory");
    tap_ok(trap_was_pf(PF_P | PF_W, EDGE) && low_untouched() && lo == STAMP && hi == STAMP,
           "CMPXCHG8B, second half read-only: nothing stored, EDX:EAX kept");
    set(0, false);
    __asm__ volatile("1: cmpxchg8b (%2)\n2:\n\t" TRAP_FIX("1b", "2b")
                     : "+a"(lo), "+d"(hi)
                     : "S"(EDGE - 4), "b"(1), "c"(2)
                     : "memory");
    tap_ok(trap_last()->taken && trap_last()->cr2 == EDGE && low_untouched() && lo == STAMP,
           "second half absent");
    set(0, true);
    __asm__ volatile("cmpxchg8b (%3)\n\tsetz %0"
                     : "=q"(same), "+a"(lo), "+d"(hi)
                     : "S"(EDGE - 4), "b"(1), "c"(2)
                     : "memory");
    tap_ok(same && load32(EDGE - 4) == 1 && load32(EDGE) == 2, "mended, both halves are exchanged");
    lo = 0;
    set(0, true);
    __asm__ volatile("cmpxchg8b (%3)\n\tsetz %0"
                     : "=q"(same), "+a"(lo), "+d"(hi)
                     : "S"(EDGE - 4), "b"(1), "c"(2)
                     : "memory");
    tap_ok(!same && lo == STAMP && hi == STAMP, "not equal: what was there is in EDX:EAX");
}

/* These fault on their own stack, so the trap must find another: ring 3 runs them. */
static unsigned user_insn(const void *code, unsigned n, struct ring3 *r)
{
    const uint32_t at = PG_TEST(1);

    memset((void *)at, 0xcd, 64); /* INT 0xcd: no gate for ring 3, #GP ends the excursion */
    memcpy((void *)at, code, n);
    r->eip = at;
    r->eflags = EFLAGS_ONE;
    return ring3_run(r);
}
#define USER_INSN(r, ...)                                                                          \
    user_insn((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}), r)

static bool kept(const struct ring3 *a, const struct ring3 *b)
{
    return a->eax == b->eax && a->ecx == b->ecx && a->edx == b->edx && a->ebx == b->ebx &&
           a->esp == b->esp && a->ebp == b->ebp && a->esi == b->esi && a->edi == b->edi;
}

static struct ring3 marked(uint32_t esp)
{
    return (struct ring3){.eax = 0xa0a0,
                          .ecx = 0xc0c0,
                          .edx = 0xd0d0,
                          .ebx = 0xb0b0,
                          .esi = 0x5151,
                          .edi = 0xd1d1,
                          .ebp = 0xbbbb,
                          .esp = esp};
}

static void pusha_popa(void)
{
    const struct ring3 before = marked(EDGE + 16);
    struct ring3 r = before, got;
    bool good = true;

    /* The stack grows down from the upper page into the lower, so the lower is the absent one. */
    for (unsigned in_low = 0; in_low <= 8; in_low++) {
        set(ALL, false);
        pg_remap(pd, LA, low, 0);
        r = marked(EDGE + 4 * (8 - in_low));
        got = r;
        (void)USER_INSN(&got, 0x60); /* PUSHA */
        if (in_low)
            good = good && trap_last()->at.vector == V_PF && kept(&r, &got) &&
                   trap_last()->at.error == (PF_U | PF_W) && trap_last()->cr2 >= LA &&
                   trap_last()->cr2 < EDGE;
        else
            good = good && trap_last()->at.vector == V_GP && got.esp == r.esp - 32;
    }
    tap_ok(good, "PUSHA with 0 to 8 registers behind the edge: all registers kept at the fault");
    set(ALL, false);
    pg_remap(pd, LA, low, ALL);
    got = before;
    (void)USER_INSN(&got, 0x60);
    tap_ok(got.esp == before.esp - 32 && load32(EDGE + 12) == 0xa0a0 &&
               load32(EDGE - 16) == 0xd1d1 && load32(EDGE - 4) == before.esp,
           "with both pages there it is whole");
    set(0, false);
    r = marked(EDGE - 16);
    got = r;
    (void)USER_INSN(&got, 0x61); /* POPA */
    /* Some emulators have loaded the first few already, which running it again repairs. */
    tap_ok(trap_was_pf(PF_U, EDGE) && (rt_monitor_present() ? kept(&r, &got) : got.esp == r.esp),
           "POPA half across: all registers kept");
    set(0, true);
    store32(EDGE - 16, 0x12345678);
    store32(high + 12, 0x87654321);
    got = r;
    (void)USER_INSN(&got, 0x61);
    tap_ok(got.esp == EDGE + 16 && got.edi == 0x12345678 && got.eax == 0x87654321,
           "mended, it pops all");
}

static void stack_instructions(void)
{
    struct ring3 r, got;

    set(ALL, false);
    pg_remap(pd, LA, low, 0);
    r = got = marked(EDGE);
    (void)USER_INSN(&got, 0xe8, 0, 0, 0, 0); /* CALL */
    tap_ok(trap_was_pf(PF_U | PF_W, EDGE - 4) && kept(&r, &got) && got.eip == PG_TEST(1),
           "CALL with no stack: EIP and ESP kept");
    got = r;
    (void)USER_INSN(&got, 0xc8, 8, 0, 0); /* ENTER 8, 0 */
    tap_ok(trap_was_pf(PF_U | PF_W, EDGE - 4) && kept(&r, &got), "ENTER: EBP and ESP kept");
    got = r;
    (void)USER_INSN(&got, 0x9c); /* PUSHF */
    tap_ok(trap_was_pf(PF_U | PF_W, EDGE - 4) && kept(&r, &got), "PUSHF");
    set(0, false);
    r = got = marked(EDGE);
    (void)USER_INSN(&got, 0xc3); /* RET */
    tap_ok(trap_was_pf(PF_U, EDGE) && kept(&r, &got) && got.eip == PG_TEST(1), "RET");
    got = r;
    got.esp = LA + 16;
    got.esi = EDGE;
    r = got;
    (void)USER_INSN(&got, 0x8f, 0x06); /* POP (%esi) */
    tap_ok(trap_was_pf(PF_U | PF_W, EDGE) && kept(&r, &got),
           "POP to a page that is absent: ESP kept");
    got = r;
    (void)USER_INSN(&got, 0xff, 0x36); /* PUSH (%esi) */
    tap_ok(trap_was_pf(PF_U, EDGE) && kept(&r, &got), "PUSH from it: ESP kept");
    got = r;
    got.ebp = EDGE;
    r = got;
    (void)USER_INSN(&got, 0xc9); /* LEAVE */
    tap_ok(trap_was_pf(PF_U, EDGE) && kept(&r, &got), "LEAVE: EBP and ESP kept");
}

static void strings(void)
{
    uint32_t si, di, n;

    set(0, false);
    si = low + 0x800;
    di = EDGE - 40;
    n = 100;
    __asm__ volatile("1: rep movsl\n2:\n\t" TRAP_FIX("1b", "2b")
                     : "+S"(si), "+D"(di), "+c"(n)
                     :
                     : "memory");
    tap_ok(trap_was_pf(PF_W, EDGE) && n == 90 && si == low + 0x800 + 40 && di == EDGE,
           "REP MOVSD: ten done at the fault, the registers say so");
    set(0, true);
    for (uint32_t i = 0; i < 100; i++)
        store32(low + 0x400 + 4 * i, i);
    si = low + 0x400;
    di = EDGE - 40;
    n = 100;
    __asm__ volatile("rep movsl" : "+S"(si), "+D"(di), "+c"(n) : : "memory");
    tap_ok(n == 0 && di == EDGE + 360 && load32(EDGE - 40) == 0 && load32(EDGE) == 10 &&
               load32(EDGE + 356) == 99 && at_fault.ecx == 90,
           "mended, it goes on where it was");
    set(0, false);
    si = EDGE - 8;
    di = low + 0x800;
    n = 6;
    __asm__ volatile("1: rep movsw\n2:\n\t" TRAP_FIX("1b", "2b")
                     : "+S"(si), "+D"(di), "+c"(n)
                     :
                     : "memory");
    tap_ok(trap_was_pf(0, EDGE) && n == 2 && si == EDGE, "REP MOVSW: the source faults");
    trap_forget();
    si = EDGE + 3;
    di = EDGE - 0x1000 + 5;
    n = 9;
    __asm__ volatile("std; 1: rep movsb; 2: cld\n\t" TRAP_FIX("1b", "2b")
                     : "+S"(si), "+D"(di), "+c"(n)
                     :
                     : "memory");
    tap_ok(trap_was_pf(0, EDGE + 3) && n == 9, "downwards: at the first");
    trap_forget();
    di = EDGE - 5;
    n = 20;
    __asm__ volatile("1: repne scasb\n2:\n\t" TRAP_FIX("1b", "2b")
                     : "+D"(di), "+c"(n)
                     : "a"(1)
                     : "memory");
    tap_ok(trap_was_pf(0, EDGE) && n == 15 && di == EDGE, "REPNE SCASB");
    trap_forget();
    si = EDGE - 6;
    di = low + PAGE_SIZE - 6;
    n = 20;
    __asm__ volatile("1: repe cmpsb\n2:\n\t" TRAP_FIX("1b", "2b")
                     : "+S"(si), "+D"(di), "+c"(n)
                     :
                     : "memory");
    tap_ok(trap_was_pf(0, EDGE) && n == 14, "REPE CMPSB");
    trap_forget();
    di = EDGE - 3;
    n = 4;
    __asm__ volatile("1: rep stosl\n2:\n\t" TRAP_FIX("1b", "2b")
                     : "+D"(di), "+c"(n)
                     : "a"(0)
                     : "memory");
    tap_ok(trap_was_pf(PF_W, EDGE) && n == 4 && di == EDGE - 3 && low_untouched(),
           "REP STOSD whose first element crosses: not a byte of it");
    trap_forget();
    si = EDGE;
    di = EDGE + 64;
    n = 1;
    __asm__ volatile("1: rep movsl\n2:\n\t" TRAP_FIX("1b", "2b")
                     : "+S"(si), "+D"(di), "+c"(n)
                     :
                     : "memory");
    tap_ok(trap_was_pf(0, EDGE), "MOVS with both absent: the source is told");
    n = 0;
    si = di = EDGE;
    trap_forget();
    __asm__ volatile("rep movsl" : "+S"(si), "+D"(di), "+c"(n) : : "memory");
    tap_ok(!trap_last()->taken, "REP with ECX 0 touches nothing");
}

/* An instruction whose bytes lie on both pages: mov $0x12345678, %eax ; jmp *%edx. */
static void fetch_over_the_edge(void)
{
    static const uint8_t code[] = {0xb8, 0x78, 0x56, 0x34, 0x12, 0xff, 0xe2};
    bool good = true;

    for (uint32_t first = 1; first < sizeof code; first++) {
        set(0, false);
        for (uint32_t i = 0; i < sizeof code; i++)
            *(volatile uint8_t *)(i < first ? low + PAGE_SIZE - first + i : high + i - first) =
                code[i];
        struct ring3 r = {.edx = PG_TEST(1), .eip = EDGE - first, .eflags = EFLAGS_ONE};
        memset((void *)PG_TEST(1), 0xcd, 16);
        (void)ring3_run(&r);
        good = good && trap_was_pf(PF_U, EDGE) &&
               r.eip == (first == 5   ? EDGE
                         : first == 6 ? EDGE - 1
                                      : EDGE - first);
        r = (struct ring3){.edx = PG_TEST(1), .eip = EDGE - first, .eflags = EFLAGS_ONE};
        mend = true;
        good = good && ring3_run(&r) == V_GP && r.eax == 0x12345678 && r.eip == PG_TEST(1);
    }
    tap_ok(good, "an instruction across the edge, at each byte: CR2 is the edge, EIP its start");
}

int main(void)
{
    pd = pg_identity();
    low = pg_alloc();
    high = pg_alloc();
    pg_map(pd, PG_TEST(1), pg_alloc(), ALL);
    (void)pg_pte(pd, LA);
    pg_start(pd, true, 0);
    trap_handle(V_PF, on_fault);
    plain_crossing();
    read_modify_write();
    cmpxchg8b();
    pusha_popa();
    stack_instructions();
    strings();
    fetch_over_the_edge();
    return tap_done();
}
