/*
 * What the unit tests of the shadow share: one machine on the soft engine, guest table entries put
 * and read by frame number, and the shadow looked at as an engine's CPU would: from the root's
 * machine-physical address down, through the arena's memory.
 */
#ifndef UMBRA_TESTS_SHADOW_KIT_H
#define UMBRA_TESTS_SHADOW_KIT_H

#include <criterion/criterion.h>

#include "vmm/shadow/arena.h"
#include "vmm/vm.h"

static struct vm *vm;

static inline void put(uint32_t gfn, uint32_t index, uint32_t entry)
{
    cr_assert_eq(gmem_write(&vm->gmem, (gpa_t)gfn * PAGE_SIZE + index * 4, &entry, 4), 0);
}

static inline uint32_t get(uint32_t gfn, uint32_t index)
{
    uint32_t e = 0;
    cr_assert_eq(gmem_read(&vm->gmem, (gpa_t)gfn * PAGE_SIZE + index * 4, &e, 4), 0);
    return e;
}

static inline void load_cr3(uint32_t gfn)
{
    vm->cpu.cr3 = gfn << PAGE_SHIFT;
    shadow_load_mode(vm->shadow, &vm->cpu);
}

/* Both audits. */
static inline void sound(void)
{
    char msg[200] = "";
    cr_expect_eq(shadow_audit(vm->shadow, msg, sizeof msg), 0, "%s", msg);
    cr_expect_eq(mm_audit(vm->pool, msg, sizeof msg), 0, "%s", msg);
}

/* The entry that the CPU ends at for la: of level 1, of level 2 if that is large, or one that is
 * not present. */
static inline spte_t cpu_finds(la_t la, bool user)
{
    const struct arena *a = shadow_arena(vm->shadow);
    mpa_t table = shadow_root(vm->shadow, user);
    for (unsigned level = 4;; level--) {
        const uint64_t index = (uint64_t)la >> (PAGE_SHIFT + 9 * (level - 1)) & 511;
        const spte_t e = arena_table(a, arena_page_of(table))[index];
        if (level == 1 || !spte_present(e) || spte_large(e))
            return e;
        table = spte_addr(e);
    }
}

#endif
