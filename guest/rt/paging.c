/* See paging.h. */
#include "guest/rt/paging.h"

extern char rt_user_start[], rt_user_end[];

static struct rt_range pool;

uint32_t pg_alloc_n(uint32_t n, uint32_t align)
{
    uint32_t at;

    if (!pool.end) {
        pool = rt_free_ram();
        if (pool.end > PG_IDENTITY)
            pool.end = PG_IDENTITY;
    }
    at = (pool.start + align - 1) & ~(align - 1);
    if (at > pool.end || n > (pool.end - at) / PAGE_SIZE)
        rt_panic("out of pages: %u wanted, RAM ends at %08x", n, pool.end);
    pool.start = at + n * PAGE_SIZE;
    memset((void *)at, 0, n * PAGE_SIZE);
    return at;
}

uint32_t pg_alloc(void)
{
    return pg_alloc_n(1, PAGE_SIZE);
}

uint32_t pg_free_start(void)
{
    return pool.start;
}

uint32_t *pg_pde(uint32_t pd, uint32_t la)
{
    return (uint32_t *)pd + (la >> 22);
}

uint32_t *pg_pte(uint32_t pd, uint32_t la)
{
    uint32_t *pde = pg_pde(pd, la);

    if (!(*pde & PTE_P))
        *pde = pg_alloc() | PTE_P | PTE_W | PTE_U;
    return (uint32_t *)(*pde & PTE_ADDR) + (la >> 12 & 1023);
}

void pg_map(uint32_t pd, uint32_t la, uint32_t gpa, uint32_t bits)
{
    *pg_pte(pd, la) = (gpa & PTE_ADDR) | bits;
}

void pg_remap(uint32_t pd, uint32_t la, uint32_t gpa, uint32_t bits)
{
    pg_map(pd, la, gpa, bits);
    invlpg(la);
}

uint32_t pg_identity(void)
{
    const uint32_t pd = pg_alloc(), user = (uint32_t)rt_user_start,
                   user_end = (uint32_t)rt_user_end;
    uint32_t end = rt_ram_end();

    if (end > PG_IDENTITY || end == 0)
        end = PG_IDENTITY;
    for (uint32_t a = 0; a < end; a += PAGE_SIZE)
        pg_map(pd, a, a, PTE_P | PTE_W | (a >= user && a < user_end ? PTE_U : 0));
    return pd;
}

void pg_start(uint32_t pd, bool wp, uint32_t cr4)
{
    trap_init();
    write_cr4(cr4);
    write_cr3(pd);
    write_cr0((read_cr0() & ~CR0_WP) | CR0_PG | (wp ? CR0_WP : 0));
}

void pg_set_wp(bool on)
{
    write_cr0((read_cr0() & ~CR0_WP) | (on ? CR0_WP : 0));
}
