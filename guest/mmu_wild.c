/*
 * mmu_wild: tables that point at themselves, beyond RAM, into the hole below 1 MiB, at devices, and
 * tables full of noise. What is read there is the machine's affair; what is asserted is that the
 * guest goes on, that memory nobody mapped keeps its content, and that good entries beside bad ones
 * work.
 */
#include "guest/rt/paging.h"

#define LA     PG_TEST(0)
#define ALL    (PTE_P | PTE_W | PTE_U)
#define CANARY 0xca11ab1eu
#define GUARD  64u

static uint32_t pd, frame, guard;

static void check_guard(const char *after)
{
    bool good = true;

    for (uint32_t i = 0; i < GUARD * PAGE_SIZE; i += 4)
        good = good && load32(guard + i) == CANARY + i;
    trap_forget();
    tap_ok(good, "%s: alive, and memory that is not mapped there is as it was", after);
}

static void set_pde(uint32_t v)
{
    *pg_pde(pd, LA) = v;
    flush_tlb();
    trap_forget();
}

/* Touch some pages below LA in every way. */
static void poke(void)
{
    uint32_t v, faults = 0;

    for (uint32_t i = 0; i < 1024; i += 93) {
        faults += !try_read(LA + i * PAGE_SIZE, &v);
        faults += !user_read(LA + i * PAGE_SIZE + 8, &v);
    }
    tap_note("%u of 24 reads faulted", faults);
}

static void beyond_ram(void)
{
    const uint32_t end = rt_ram_end();
    const uint32_t places[] = {end, end + 0x100000, 0x7ffff000, 0xc0000000, 0xe0000000};
    uint32_t v;

    for (unsigned i = 0; i < sizeof places / sizeof *places; i++) {
        set_pde(places[i] | ALL);
        poke();
        check_guard("a table beyond RAM");
    }
    set_pde(0);
    (void)pg_pte(pd, LA);
    for (unsigned i = 0; i < sizeof places / sizeof *places; i++) {
        pg_remap(pd, LA, places[i], ALL);
        if (try_read(LA, &v) && try_write(LA + 4, 1))
            tap_note("page at %08x: reads %08x", places[i], v);
        else
            tap_note("page at %08x: vector %u error %x", places[i], trap_last()->at.vector,
                     trap_last()->at.error);
        pg_map(pd, LA + PAGE_SIZE, frame, ALL);
        tap_ok(load32(LA + PAGE_SIZE) == 0x1234, "the page beside it is good");
    }
    check_guard("pages beyond RAM");
}

static void at_itself(void)
{
    const uint32_t table = pg_alloc();
    uint32_t *t = (uint32_t *)table;
    bool good = true;

    for (uint32_t i = 0; i < 1024; i++)
        t[i] = table | ALL;
    set_pde(table | ALL);
    for (uint32_t i = 0; i < 1024; i++)
        good = good && (load32(LA + i * PAGE_SIZE + 4 * i) & ~(PTE_A | PTE_D)) == (table | ALL);
    tap_ok(good, "a table of which every entry names itself");
    store32(LA + 77 * PAGE_SIZE + 4 * 5, frame | ALL);
    invlpg(LA + 5 * PAGE_SIZE);
    tap_ok(load32(LA + 5 * PAGE_SIZE) == 0x1234, "one of them turned elsewhere by way of another");
    set_pde(pd | ALL);
    tap_ok((load32(LA + ((LA >> 22) << 12) + (LA >> 20 & 0xffc)) & PTE_ADDR) == pd,
           "a directory that names itself in the middle");
    set_pde(0);
    check_guard("tables that point at themselves");
}

/* Only on our own monitor: an emulator was seen to lock up over a page table in device memory. */
static void devices(void)
{
    const uint32_t places[] = {0xa0000, 0xb8000, 0xc8000, 0xf0000, 0xfec00000, 0xfee00000};

    for (unsigned i = 0; i < sizeof places / sizeof *places; i++) {
        set_pde(places[i] | ALL);
        poke();
    }
    check_guard("tables where devices and ROMs are");
    set_pde(0);
}

/* A 4 MiB page half in RAM, half not, and one where nothing is. */
static void big_pages(void)
{
    uint32_t v;

    if (!(cpuid_edx(1) & CPUID1_PSE))
        return;
    write_cr4(read_cr4() | CR4_PSE);
    set_pde(((guard & 0xffc00000u)) | PTE_P | PTE_U | PTE_PS);
    tap_ok(try_read(LA + (guard & 0x3fffff), &v) && v == CANARY, "a 4 MiB page that holds RAM");
    set_pde(0x7fc00000u | ALL | PTE_PS);
    poke();
    set_pde(0);
    check_guard("4 MiB pages beyond RAM");
}

/* Noise as a table. Entries that would name the guard or the kernel are made read-only or
 * supervisor's by reading only. */
static void noise(void)
{
    const uint32_t table = pg_alloc();
    uint32_t x = 12345, faults = 0, v;

    for (unsigned round = 0; round < 20; round++) {
        for (uint32_t i = 0; i < 1024; i++) {
            x = x * 1664525u + 1013904223u;
            store32(table + 4 * i, x >> 3 | x << 29);
        }
        set_pde(table | ALL);
        for (uint32_t i = 0; i < 1024; i += 7)
            faults += (uint32_t)!try_read(LA + i * PAGE_SIZE, &v) +
                      (uint32_t)!user_read(LA + i * PAGE_SIZE + 16, &v);
    }
    set_pde(0);
    tap_note("%u of 5880 reads faulted", faults);
    tap_ok(faults > 2000 && faults < 5880, "twenty tables of noise: some entries hold, some fault");
    check_guard("noise");
}

int main(void)
{
    pd = pg_identity();
    frame = pg_alloc();
    store32(frame, 0x1234);
    guard = pg_alloc_n(GUARD, PAGE_SIZE);
    for (uint32_t i = 0; i < GUARD * PAGE_SIZE; i += 4)
        store32(guard + i, CANARY + i);
    pg_start(pd, true, 0);
    beyond_ram();
    at_itself();
    if (rt_monitor_present())
        devices();
    big_pages();
    noise();
    return tap_done();
}
