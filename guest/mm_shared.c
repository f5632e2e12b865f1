/* Memory that spaces share: anonymous, and a boot module's; and a module's private pages. */
#include "guest/rt/space.h"

TEST_NEEDS("m=8M zpool=4M module=20000");

enum { BYTES = 20000, PAGES = 5 };

/* What `umbra test` fills a module with. */
static uint8_t module_byte(uint32_t at)
{
    return (uint8_t)(at * 7 + (at >> 12) * 13 + 1);
}

static bool is_module(uint32_t la, uint32_t first, uint32_t pages)
{
    for (uint32_t i = 0; i < pages * PAGE_SIZE; i++) {
        const uint32_t at = first * PAGE_SIZE + i;
        const uint8_t want = at < BYTES ? module_byte(at) : 0;
        if (*(volatile uint8_t *)(la + i) != want) {
            tap_note("byte %x is %x, not %x", at, *(volatile uint8_t *)(la + i), want);
            return false;
        }
    }
    return true;
}

static void anonymous(uint32_t la)
{
    uint32_t child;

    sp_map(la, 4, SP_RW, UMBRA_MAP_SHARED);
    store32(la, 1);
    child = sp_spawn();
    if (child == 0) {
        sp_shared->word[0] = load32(la);
        store32(la, 2);
        store32(la + PAGE_SIZE, 3);
        sp_shared->word[1] = sp_frame(la + PAGE_SIZE);
        sp_go(0);
        sp_shared->word[2] = load32(la + 2 * PAGE_SIZE);
        sp_go(0);
    }
    sp_go(child);
    tap_ok(sp_shared->word[0] == 1, "shared: the child sees what the parent wrote");
    tap_ok(load32(la) == 2, "and the parent what the child did");
    tap_ok(load32(la + PAGE_SIZE) == 3 && sp_frame(la + PAGE_SIZE) == sp_shared->word[1],
           "also in a page first touched after the fork: one frame");
    store32(la + 2 * PAGE_SIZE, 9);
    sp_go(child);
    tap_ok(sp_shared->word[2] == 9, "and back");
    sp_exit(child);
    tap_ok(load32(la) == 2 && load32(la + PAGE_SIZE) == 3, "it outlives the child");
    if (sp_has_swap()) {
        sp_reclaim(la, 4);
        tap_ok(load32(la) == 2 && load32(la + 2 * PAGE_SIZE) == 9, "and being swapped out");
    } else {
        tap_ok(true, "swapped # SKIP the machine has no swap");
    }
    sp_unmap(la, 4);
}

static void private_module(uint32_t la)
{
    uint32_t v;

    tap_ok(sp_map_module(la, PAGES, SP_RW, 0, 0) == UMBRA_OK, "a module, privately");
    tap_ok(is_module(la, 0, PAGES), "reads as the file, zeros behind its end");
    store32(la + 8, 0xdeadbeef);
    tap_ok(load32(la + 8) == 0xdeadbeef && *(volatile uint8_t *)(la + 12) == module_byte(12),
           "a write copies the page");
    tap_ok(sp_map_module(la + 0x10000, 2, SP_RO, 0, 3) == UMBRA_OK, "once more, from page 3 on");
    tap_ok(is_module(la + 0x10000, 3, 2), "reads as the file there");
    tap_ok(!try_write(la + 0x10000, 1) && trap_was_pf(PF_P | PF_W, la + 0x10000),
           "a write to it: read-only");
    tap_ok(sp_map_module(la + 0x20000, 1, SP_RO, 0, 0) == UMBRA_OK && is_module(la + 0x20000, 0, 1),
           "another mapping does not see the private write");
    tap_ok(!try_read(la + PAGES * PAGE_SIZE, &v) && trap_was_pf(0, la + PAGES * PAGE_SIZE),
           "behind the mapping: #PF");
    sp_unmap(la, 0x40);
}

static void shared_module(uint32_t la)
{
    uint32_t child;

    tap_ok(sp_map_module(la, PAGES, SP_RW, UMBRA_MAP_SHARED, 0) == UMBRA_OK, "a module, shared");
    sp_map_module(la + 0x10000, 1, SP_RO, UMBRA_MAP_SHARED, 1);
    store32(la + PAGE_SIZE, 0x600df00d);
    tap_ok(load32(la + 0x10000) == 0x600df00d, "a write is seen through another mapping");
    child = sp_spawn();
    if (child == 0) {
        sp_shared->word[0] = load32(la + PAGE_SIZE);
        store32(la + PAGE_SIZE, 0x0badcafe);
        sp_go(0);
    }
    sp_go(child);
    tap_ok(sp_shared->word[0] == 0x600df00d && load32(la + 0x10000) == 0x0badcafe,
           "and through another space's, both ways");
    sp_exit(child);
    sp_unmap(la, 0x40);
    sp_map_module(la, PAGES, SP_RO, 0, 0);
    tap_ok(load32(la + PAGE_SIZE) == 0x0badcafe, "it is still there when all have unmapped it");
    sp_unmap(la, PAGES);
}

static void errors(uint32_t la)
{
    tap_ok(sp_map_module(la, PAGES + 1, SP_RO, 0, 0) == UMBRA_ERANGE, "more pages than it has");
    tap_ok(sp_map_module(la, 1, SP_RO, 0, PAGES) == UMBRA_ERANGE, "a page behind its end");
    tap_ok(sp_map_module(la, 2, SP_RO, 0, 0xffffffff) == UMBRA_ERANGE, "a first page that wraps");
}

int main(void)
{
    sp_init();
    anonymous(SP_TEST);
    if (sp_info()->ret[7] == 0) {
        tap_ok(true, "modules # SKIP the machine has none");
        return tap_done();
    }
    private_module(SP_TEST + 0x100000);
    shared_module(SP_TEST + 0x200000);
    errors(SP_TEST + 0x300000);
    return tap_done();
}
