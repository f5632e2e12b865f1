/*
 * mmu_rights: who may do what to a page, by PDE, PTE, CR0.WP and ring, and what the error code
 * says. The same few pages are accessed in changing order, so that a right granted to one ring is
 * not found by the other.
 */
#include "guest/rt/paging.h"

#define LA PG_TEST(0)

static uint32_t pd, frame;

static void map(uint32_t pde_bits, uint32_t pte_bits)
{
    pg_map(pd, LA, frame, pte_bits);
    *pg_pde(pd, LA) = (*pg_pde(pd, LA) & PTE_ADDR) | pde_bits;
    invlpg(LA);
    trap_forget();
}

static bool refused(bool done, uint32_t error)
{
    return !done && trap_was_pf(error, LA);
}

static void supervisor_pages(void)
{
    uint32_t v;

    map(PTE_P | PTE_W | PTE_U, PTE_P | PTE_W);
    tap_ok(try_read(LA, &v) && try_write(LA, 7), "supervisor reads and writes its page");
    tap_ok(refused(user_read(LA, &v), PF_P | PF_U), "user may not read it");
    tap_ok(refused(user_write(LA, 1), PF_P | PF_U | PF_W), "user may not write it");
    store32(frame, TRY_FETCH_CODE);
    tap_ok(refused(user_fetch(LA), PF_P | PF_U), "user may not execute it");
    tap_ok(try_fetch(LA), "supervisor executes it");
    map(PTE_P | PTE_W, PTE_P | PTE_W | PTE_U);
    tap_ok(refused(user_read(LA, &v), PF_P | PF_U), "a supervisor PDE over a user PTE refuses");
    tap_ok(try_write(LA, 8), "supervisor writes there");
    tap_ok(refused(user_read(LA, &v), PF_P | PF_U), "and user still may not read");
}

static void user_pages(void)
{
    uint32_t v = 0;

    map(PTE_P | PTE_W | PTE_U, PTE_P | PTE_W | PTE_U);
    tap_ok(user_write(LA, TRY_FETCH_CODE) && user_read(LA, &v) && v == TRY_FETCH_CODE,
           "user writes and reads its page");
    tap_ok(user_fetch(LA), "user executes it");
    tap_ok(try_read(LA, &v) && try_write(LA, TRY_FETCH_CODE) && try_fetch(LA),
           "supervisor may do all of it too");
    map(PTE_P | PTE_U, PTE_P | PTE_W | PTE_U);
    tap_ok(refused(user_write(LA, 1), PF_P | PF_U | PF_W), "a read-only PDE refuses user's write");
    tap_ok(user_read(LA, &v), "but not the read");
    map(PTE_P | PTE_W | PTE_U, PTE_P | PTE_U);
    tap_ok(user_read(LA, &v) && refused(user_write(LA, 1), PF_P | PF_U | PF_W),
           "a read-only PTE refuses user's write after a read");
}

/* CR0.WP both ways, without any flush between: the bit is looked at in each access. */
static void write_protect(void)
{
    uint32_t v;

    map(PTE_P | PTE_W | PTE_U, PTE_P | PTE_U);
    pg_set_wp(true);
    tap_ok(refused(try_write(LA, 1), PF_P | PF_W), "WP: supervisor may not write a read-only page");
    pg_set_wp(false);
    tap_ok(try_write(LA, 0x1234) && load32(frame) == 0x1234, "WP off: it may, at once");
    tap_ok(*pg_pte(pd, LA) & PTE_D, "and the page is dirty");
    tap_ok(user_read(LA, &v) && v == 0x1234, "user reads what was written");
    tap_ok(refused(user_write(LA, 1), PF_P | PF_U | PF_W), "but may not write");
    tap_ok(try_write(LA, 0x1235), "supervisor writes once more");
    pg_set_wp(true);
    tap_ok(refused(try_write(LA, 2), PF_P | PF_W), "WP on again: refused, at once");
    tap_ok(load32(frame) == 0x1235, "nothing was written");
    for (unsigned i = 0; i < 100; i++) {
        pg_set_wp(i & 1);
        if (try_write(LA, i) == (i & 1)) {
            tap_ok(false, "toggle %u", i);
            return;
        }
    }
    tap_ok(true, "a hundred toggles, each one felt");
    pg_set_wp(true);
    map(PTE_P, PTE_P | PTE_W);
    tap_ok(refused(try_write(LA, 1), PF_P | PF_W), "WP heeds the PDE's W as well");
    pg_set_wp(false);
    tap_ok(try_write(LA, 1), "WP off: a read-only PDE does not matter");
    pg_set_wp(true);
}

static void absent_pages(void)
{
    uint32_t v;

    map(PTE_P | PTE_W | PTE_U, PTE_W | PTE_U);
    tap_ok(refused(try_read(LA, &v), 0), "absent PTE, supervisor read: error 0");
    tap_ok(refused(try_write(LA, 1), PF_W), "supervisor write: W");
    tap_ok(refused(user_read(LA, &v), PF_U), "user read: U");
    tap_ok(refused(user_write(LA, 1), PF_U | PF_W), "user write: U and W");
    tap_ok(refused(try_fetch(LA), 0), "supervisor fetch: error 0");
    tap_ok(refused(user_fetch(LA), PF_U), "user fetch: U");
    map(PTE_W | PTE_U, PTE_P | PTE_W | PTE_U);
    tap_ok(refused(try_read(LA, &v), 0) && refused(user_write(LA, 1), PF_U | PF_W),
           "absent PDE: the same");
    map(0, 0);
    *pg_pde(pd, LA) = 0xfffffffeu;
    flush_tlb();
    tap_ok(refused(try_write(LA, 1), PF_W), "whatever an absent PDE holds, P is clear, RSVD too");
}

static void system_accesses(void)
{
    uint32_t old = trap_tss()->esp0, v;

    /* The stack of ring 0 on a supervisor page: pushing a frame there is no user access. */
    map(PTE_P | PTE_W, PTE_P | PTE_W);
    trap_tss()->esp0 = LA + PAGE_SIZE;
    tap_ok(!user_read(LA, &v) && trap_was_pf(PF_P | PF_U, LA),
           "a trap from ring 3 pushes onto a supervisor page");
    trap_tss()->esp0 = old;
    tap_ok(load32(frame + PAGE_SIZE - 4) == SEL_UDATA, "and the frame is there");
}

int main(void)
{
    pd = pg_identity();
    frame = pg_alloc();
    pg_start(pd, true, 0);
    supervisor_pages();
    user_pages();
    write_protect();
    absent_pages();
    system_accesses();
    return tap_done();
}
