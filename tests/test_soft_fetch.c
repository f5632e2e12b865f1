/* Fetching and decoding on the soft CPU: prefixes, lengths, limits, undefined bytes. */
#include <criterion/criterion.h>
#include <string.h>

#include "tests/soft_env.h"

enum { IDT = 0x6000, GDT = 0x7000, HANDLERS = 0x5000, STACK = 0x9000 };

static struct senv *e;

/* Every gate leads to a HLT of its own in ring 0: EIP tells the vector, the stack what was pushed.
 */
static void setup(void)
{
    e = senv_new(64);
    const uint32_t gdt[6] = {0, 0, 0x0000ffff, 0x00cf9b00, 0x0000ffff, 0x00cf9300};
    memcpy(senv_at(e, GDT), gdt, sizeof gdt);
    for (uint32_t v = 0; v < 32; v++) {
        const uint32_t gate[2] = {8u << 16 | (HANDLERS + v), 0x8e00};
        memcpy(senv_at(e, IDT + 8 * v), gate, sizeof gate);
    }
    memset(senv_at(e, HANDLERS), 0xf4, 64);
}

static void teardown(void)
{
    senv_free(e);
}

TestSuite(soft_fetch, .init = setup, .fini = teardown);

static void start(uint32_t eip)
{
    cpu_set_flat(&e->cpu, eip);
    e->cpu.gdtr = (struct desc_table){GDT, 23};
    e->cpu.idtr = (struct desc_table){IDT, 255};
    e->cpu.gpr[R_ESP] = STACK;
}

/* -1: HLT in the code itself. */
static int vector(void)
{
    if (e->exit.kind != SOFT_EXIT_HLT)
        return -2;
    if (e->cpu.eip < HANDLERS || e->cpu.eip > HANDLERS + 32)
        return -1;
    return (int)(e->cpu.eip - 1 - HANDLERS);
}

static uint32_t pushed(unsigned k)
{
    uint32_t v;
    memcpy(&v, senv_at(e, e->cpu.gpr[R_ESP] + 4 * k), 4);
    return v;
}

Test(soft_fetch, fifteen_bytes_are_fine_and_sixteen_are_not)
{
    uint8_t code[20];
    memset(code, 0x3e, sizeof code);
    code[14] = 0x40;
    code[15] = 0xf4;
    senv_put(e, 0x1000, code, 16);
    start(0x1000);
    senv_run(e, 100);
    cr_assert_eq(vector(), -1);
    cr_assert_eq(e->cpu.gpr[R_EAX], 1);

    code[14] = 0x3e;
    code[15] = 0x40;
    senv_put(e, 0x1000, code, 16);
    start(0x1000);
    senv_run(e, 100);
    cr_assert_eq(vector(), VEC_GP);
    cr_assert_eq(pushed(0), 0);
    cr_assert_eq(pushed(1), 0x1000);
}

Test(soft_fetch, over_long_wins_over_the_page_behind_it)
{
    uint8_t code[16];
    memset(code, 0x66, sizeof code);
    senv_map(e, 0x2000, 0, 1, 0);
    senv_put(e, 0x1ff1, code, 15);
    start(0x1ff1);
    senv_run(e, 100);
    cr_assert_eq(vector(), VEC_GP);
}

Test(soft_fetch, limit_of_cs_ends_the_fetch)
{
    SENV_CODE(e, 0x1000, 0x40, 0xb8, 1, 2, 3, 4, 0xf4);
    for (uint32_t limit = 0x1000; limit <= 0x1006; limit++) {
        start(0x1000);
        e->cpu.seg[SEG_CS].limit = limit;
        /* The handler's segment is loaded anew, without this limit. */
        senv_run(e, 100);
        const bool reaches = limit >= 0x1006;
        cr_assert_eq(vector(), reaches ? -1 : VEC_GP, "limit %#x", limit);
        if (!reaches)
            cr_assert_eq(pushed(1), limit >= 0x1005 ? 0x1006 : 0x1001, "limit %#x", limit);
    }
}

Test(soft_fetch, segment_limit_and_missing_page_come_in_the_order_of_bytes)
{
    senv_map(e, 0x2000, 0, 1, 0);
    SENV_CODE(e, 0x1ffe, 0xb8, 0x01);
    start(0x1ffe);
    e->cpu.seg[SEG_CS].limit = 0x1fff;
    senv_run(e, 100);
    cr_assert_eq(vector(), VEC_GP);
    start(0x1ffe);
    e->cpu.seg[SEG_CS].limit = 0x2000;
    senv_run(e, 100);
    cr_assert_eq(e->exit.kind, SOFT_EXIT_PF);
    cr_assert_eq(e->exit.la, 0x2000);
}

Test(soft_fetch, prefixes_work_in_every_order)
{
    /* fs: and 66 and 67 before mov ax, [si] / mov ax, [esi]: offset 4 of fs is 0x2004 */
    static const uint8_t order[6][3] = {{0x64, 0x66, 0x67}, {0x64, 0x67, 0x66}, {0x66, 0x64, 0x67},
                                        {0x66, 0x67, 0x64}, {0x67, 0x64, 0x66}, {0x67, 0x66, 0x64}};
    SENV_CODE(e, 0x2004, 0x34, 0x12, 0x99, 0x99);
    for (int k = 0; k < 6; k++) {
        const uint8_t code[6] = {order[k][0], order[k][1], order[k][2], 0x8b, 0x04, 0xf4};
        senv_put(e, 0x1000, code, sizeof code);
        start(0x1000);
        e->cpu.seg[SEG_FS].base = 0x2000;
        e->cpu.gpr[R_ESI] = 0xffff0004;
        senv_run(e, 10);
        cr_assert_eq(vector(), -1);
        cr_assert_eq(e->cpu.gpr[R_EAX], 0x1234);
    }
}

Test(soft_fetch, last_segment_override_counts)
{
    SENV_CODE(e, 0x1000, 0x26, 0x64, 0x3e, 0x65, 0xa1, 4, 0, 0, 0, 0xf4);
    SENV_CODE(e, 0x3004, 0x78, 0x56, 0x34, 0x12);
    start(0x1000);
    e->cpu.seg[SEG_GS].base = 0x3000;
    senv_run(e, 10);
    cr_assert_eq(e->cpu.gpr[R_EAX], 0x12345678);
}

Test(soft_fetch, lock_is_for_memory_destinations_of_some)
{
    static const struct {
        uint8_t code[6];
        bool fine;
    } t[] = {
        {{0xf0, 0x01, 0x03, 0xf4}, true},        /* lock add [ebx], eax */
        {{0xf0, 0x01, 0xc3, 0xf4}, false},       /* lock add ebx, eax */
        {{0xf0, 0x03, 0x03, 0xf4}, false},       /* lock add eax, [ebx] */
        {{0xf0, 0x39, 0x03, 0xf4}, false},       /* lock cmp */
        {{0xf0, 0x83, 0x3b, 0x00, 0xf4}, false}, /* lock cmp imm */
        {{0xf0, 0xff, 0x03, 0xf4}, true},        /* lock inc */
        {{0xf0, 0xf7, 0x13, 0xf4}, true},        /* lock not */
        {{0xf0, 0x87, 0x03, 0xf4}, true},        /* lock xchg */
        {{0xf0, 0x89, 0x03, 0xf4}, false},       /* lock mov */
        {{0xf0, 0x90, 0xf4}, false},             /* lock nop */
        {{0xf0, 0x0f, 0xb1, 0x0b, 0xf4}, true},  /* lock cmpxchg */
        {{0xf0, 0x0f, 0xc7, 0x0b, 0xf4}, true},  /* lock cmpxchg8b */
        {{0xf0, 0x0f, 0xab, 0x03, 0xf4}, true},  /* lock bts */
        {{0xf0, 0x0f, 0xa3, 0x03, 0xf4}, false}, /* lock bt */
        {{0xf0, 0xd1, 0x23, 0xf4}, false},       /* lock shl */
        {{0xf0, 0x8d, 0x03, 0xf4}, false},       /* lock lea */
        {{0xf0, 0xa4, 0xf4}, false},             /* lock movsb */
    };
    for (size_t k = 0; k < sizeof t / sizeof *t; k++) {
        senv_put(e, 0x1000, t[k].code, 6);
        start(0x1000);
        e->cpu.gpr[R_EBX] = 0x3000;
        senv_run(e, 10);
        cr_assert_eq(vector(), t[k].fine ? -1 : VEC_UD, "case %zu: vector %d", k, vector());
    }
}

Test(soft_fetch, undefined_opcodes_raise_ud_at_their_own_address)
{
    static const uint8_t t[][5] = {
        {0x0f, 0x0b},             /* ud2 */
        {0x0f, 0xb9, 0xc0},       /* ud1 */
        {0x0f, 0xff, 0xc0},       /* ud0 */
        {0xfe, 0xd0},             /* group 4 /2 */
        {0xff, 0xf8},             /* group 5 /7 */
        {0xc6, 0xc8, 0x00},       /* group 11 /1 */
        {0x8f, 0xc8},             /* group 1A /1 */
        {0x8d, 0xc0},             /* lea with a register */
        {0x62, 0xc0},             /* bound with a register: EVEX */
        {0xc5, 0xf8, 0x28, 0xc0}, /* VEX */
        {0x0f, 0xc7, 0xc8},       /* cmpxchg8b with a register */
        {0x0f, 0xba, 0xc0, 0x01}, /* group 8 /0 */
        {0x0f, 0x04},
        {0x0f, 0x0a},
    };
    for (size_t k = 0; k < sizeof t / sizeof *t; k++) {
        senv_put(e, 0x1000, t[k], 5);
        start(0x1000);
        senv_run(e, 10);
        cr_assert_eq(vector(), VEC_UD, "case %zu: vector %d", k, vector());
        cr_assert_eq(pushed(0), 0x1000);
    }
}

Test(soft_fetch, execution_at_the_end_of_memory_does_not_wrap)
{
    senv_map(e, 0xfffff000, 10, 1, SENV_ALL);
    SENV_CODE(e, 10 * PAGE_SIZE + 0xfff, 0x90);
    start(0xffffffff);
    senv_run(e, 1);
    cr_assert_eq(e->cpu.eip, 0);
    cr_assert_eq(e->exit.insns, 1);
}
