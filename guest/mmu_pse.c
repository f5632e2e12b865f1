/*
 * mmu_pse: 4 MiB pages, over all of RAM and beyond, beside 4 KiB pages of the same memory, turned
 * into tables and back, and with CR4.PSE off, when PS means nothing.
 */
#include "guest/rt/paging.h"

#define LA  PG_TEST(0)
#define ALL (PTE_P | PTE_W | PTE_U)
#define BIG (4u << 20)

static uint32_t pd, base; /* base: 4 MiB of RAM, aligned */

static void set_pde(uint32_t la, uint32_t v)
{
    *pg_pde(pd, la) = v;
    flush_tlb();
    trap_forget();
}

/* Where the old entry maps 4 MiB, one INVLPG is enough. */
static void replace_big(uint32_t la, uint32_t v)
{
    *pg_pde(pd, la) = v;
    invlpg(la);
    trap_forget();
}

static void same_memory(void)
{
    const uint32_t small = PG_TEST(1);
    bool good = true;

    set_pde(LA, base | ALL | PTE_PS);
    for (uint32_t off = 0; off < BIG; off += PAGE_SIZE)
        store32(LA + off, off ^ 0x55aa);
    for (uint32_t off = 0; off < BIG; off += PAGE_SIZE)
        good = good && load32(base + off) == (off ^ 0x55aa);
    tap_ok(good, "what is written through a 4 MiB page is where it should be");
    store32(LA + BIG - 4, 0xfeed);
    tap_ok(load32(base + BIG - 4) == 0xfeed, "to its last word");
    for (uint32_t off = 0; off < BIG; off += PAGE_SIZE)
        pg_map(pd, small + off, base + BIG - PAGE_SIZE - off, ALL);
    good = true;
    for (uint32_t off = 0; off < BIG; off += PAGE_SIZE) {
        store32(small + off + 8, off);
        good = good && load32(LA + BIG - PAGE_SIZE - off + 8) == off;
    }
    tap_ok(good, "4 KiB pages of the same memory, in reverse order, show the same");
}

static void to_table_and_back(void)
{
    const uint32_t table = pg_alloc(), other = pg_alloc();
    uint32_t *t = (uint32_t *)table, v;

    set_pde(LA, base | ALL | PTE_PS);
    store32(LA + 0x5000, 0x1111);
    store32(other, 0x2222);
    for (unsigned i = 0; i < 1024; i++)
        t[i] = (base + i * PAGE_SIZE) | ALL;
    t[5] = other | ALL;
    replace_big(LA, table | ALL);
    tap_ok(load32(LA + 0x5000) == 0x2222, "a table in place of the 4 MiB page, INVLPG: its page is "
                                          "seen");
    tap_ok(t[5] & PTE_A, "and accessed");
    set_pde(LA, base | ALL | PTE_PS);
    tap_ok(load32(LA + 0x5000) == 0x1111, "the 4 MiB page again");
    t[5] = 0;
    set_pde(LA, table | ALL);
    tap_ok(!try_read(LA + 0x5000, &v) && trap_was_pf(0, LA + 0x5000), "the table, with a hole now");
    set_pde(LA, 0);
    tap_ok(!try_read(LA + 0x6000, &v) && trap_was_pf(0, LA + 0x6000), "nothing at all");
    set_pde(LA, base | ALL | PTE_PS);
    for (uint32_t off = 0; off < BIG; off += 64 * PAGE_SIZE)
        load32(LA + off);
    replace_big(LA, 0);
    v = 0;
    for (uint32_t off = 0; off < BIG; off += 64 * PAGE_SIZE)
        v += try_read(LA + off, &(uint32_t){0});
    tap_ok(v == 0, "one INVLPG takes all of a 4 MiB page away");
}

static void rights(void)
{
    uint32_t v;

    set_pde(LA, base | PTE_P | PTE_W | PTE_PS);
    tap_ok(!user_read(LA + 0x1234, &v) && trap_was_pf(PF_P | PF_U, LA + 0x1234),
           "a supervisor page refuses user");
    set_pde(LA, base | PTE_P | PTE_U | PTE_PS);
    tap_ok(user_read(LA + 0x1234, &v) && !user_write(LA + 0x2234, 1) &&
               trap_was_pf(PF_P | PF_U | PF_W, LA + 0x2234),
           "a read-only one refuses user's write");
    tap_ok(!try_write(LA + 0x3234, 1) && trap_was_pf(PF_P | PF_W, LA + 0x3234), "and supervisor's");
    pg_set_wp(false);
    tap_ok(try_write(LA + 0x3234, 1), "unless WP is off");
    pg_set_wp(true);
    tap_ok(!try_write(LA + 0x3234, 1) && trap_was_pf(PF_P | PF_W, LA + 0x3234), "back on");
}

/* Some emulators leave P clear beside RSVD; only our own monitor is held to the manual there. */
static bool reserved(bool done, uint32_t error, uint32_t la)
{
    const struct fault *f = trap_last();

    if (done || (!rt_monitor_present() && f->at.error == (error & ~PF_P) && f->cr2 == la))
        return !done;
    return trap_was_pf(error, la);
}

static void reserved_bits(void)
{
    const bool all = rt_monitor_present();
    uint32_t v;

    for (unsigned bit = 13; bit <= 21; bit++) {
        if (bit < 21 && !all)
            continue; /* an address bit where there is PSE-36, offered or not */
        set_pde(LA, ((base | ALL | PTE_PS) & ~0x3fe000u) | 1u << bit);
        tap_ok(reserved(try_read(LA, &v), PF_RSVD | PF_P, LA), "reserved bit %u: read", bit);
        tap_ok(reserved(user_write(LA + 4, 1), PF_RSVD | PF_P | PF_U | PF_W, LA + 4),
               "reserved bit %u: user write", bit);
        set_pde(LA, *pg_pde(pd, LA) & ~PTE_P);
        tap_ok(!try_read(LA, &v) && trap_was_pf(0, LA), "reserved bit %u without P: just absent",
               bit);
    }
}

/* CR4.PSE off: the entry is a table's. The PS bit stays set all the while. */
static void pse_off(void)
{
    const uint32_t big = base | ALL | PTE_PS, page = pg_alloc();
    uint32_t *table = (uint32_t *)base;

    store32(page, 0xc0ffee);
    memset(table, 0, PAGE_SIZE);
    table[7] = page | ALL;
    store32(base + 0x7000, 0xbeef);
    set_pde(LA, big);
    tap_ok(load32(LA + 0x7000) == 0xbeef, "PSE on: a 4 MiB page");
    write_cr4(read_cr4() & ~CR4_PSE);
    tap_ok(load32(LA + 0x7000) == 0xc0ffee, "PSE off: the same entry names a table");
    store32(LA + 0x7004, 1);
    tap_ok((table[7] & (PTE_A | PTE_D)) == (PTE_A | PTE_D), "whose entry gets A and D");
    write_cr4(read_cr4() | CR4_PSE);
    tap_ok(load32(LA + 0x7000) == 0xbeef && load32(LA + 0x1c) == (page | ALL | PTE_A | PTE_D),
           "PSE on again: the memory of the table is data");
    store32(LA + 0x1c, 0);
    write_cr4(read_cr4() & ~CR4_PSE);
    tap_ok(!try_read(LA + 0x7000, &(uint32_t){0}) && trap_was_pf(0, LA + 0x7000),
           "written through the page, it has no such entry any more");
    write_cr4(read_cr4() | CR4_PSE);
}

/* Everything by 4 MiB pages: code, stack, tables. */
static void over_everything(void)
{
    const uint32_t all = pg_alloc();
    uint32_t *e = (uint32_t *)all, v;

    for (uint32_t i = 0; i < 1024; i++)
        e[i] = i << 22 | ALL | PTE_PS;
    write_cr3(all);
    tap_ok(true, "all 4 GiB one to one by 4 MiB pages, and alive");
    store32(base, 77);
    tap_ok(load32(base) == 77 && (e[base >> 22] & PTE_D), "memory is there, dirty is told");
    tap_ok(user_read(base, &v) && v == 77 && user_write(base, 78), "ring 3 as well");
    e[base >> 22] &= ~PTE_W;
    invlpg(base);
    tap_ok(!try_write(base + 0x100, 1) && trap_was_pf(PF_P | PF_W, base + 0x100) &&
               load32(base) == 78,
           "4 MiB of RAM write-protected");
    tap_ok(!(e[1023 - 100] & PTE_A), "4 MiB where no RAM is: never accessed");
    write_cr3(pd);
    tap_ok(load32(base) == 78, "back in the small pages");
}

int main(void)
{
    if (!(cpuid_edx(1) & CPUID1_PSE)) {
        rt_puts("1..0 # SKIP the processor has no 4 MiB pages\n");
        return 0;
    }
    pd = pg_identity();
    base = pg_alloc_n(1024, BIG);
    pg_start(pd, true, CR4_PSE);
    same_memory();
    to_table_and_back();
    rights();
    reserved_bits();
    pse_off();
    over_everything();
    return tap_done();
}
