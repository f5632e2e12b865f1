/* See vm_rom.h. */
#include "vmm/vm_rom.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/vm.h"

#define LOW_END   0xa0000u /* RAM ends here, display memory begins */
#define HIGH      0x100000u
#define ROM_PAGES ((ROM_LAST + 1 - ROM_FIRST) >> PAGE_SHIFT)
_Static_assert(ROM_PAGES <= 64, "a bit for each page");

/* --- RAM ------------------------------------------------------------------------------------- */

static int map(struct vm *vm, gpa_t first, gpa_t end)
{
    if (first >= end)
        return 0;
    return mm_map_anon(vm->mm, gfn_of(first), gfn_of(end - first), MM_READ | MM_WRITE | MM_EXEC,
                       MM_ANON_PRIVATE);
}

int vm_rom_map_ram(struct vm *vm)
{
    const int rc = map(vm, 0, LOW_END);
    return rc ? rc : map(vm, HIGH, vm->opts.ram);
}

/* --- memory for firmware --------------------------------------------------------------------- */

/* The bits of the pages of first .. first+len-1; 0 where any lies outside. */
static uint64_t bits_of(gpa_t first, size_t len)
{
    if (first < ROM_FIRST || len == 0 || first > ROM_LAST || len - 1 > ROM_LAST - first)
        return 0;
    uint64_t bits = 0;
    for (gfn_t g = gfn_of(first); g <= gfn_of(first + len - 1); g++)
        bits |= (uint64_t)1 << (g - (ROM_FIRST >> PAGE_SHIFT));
    return bits;
}

/* Entries that were made by what was there before must go: those of the MMIO bus are in no reverse
 * map. */
static void forget_mappings(struct vm *vm)
{
    shadow_zap_all(vm->shadow);
    if (vm->soft)
        vm->soft->ops->flush(vm->soft);
}

int vm_rom_back(struct vm *vm, gpa_t first, size_t len, struct errmsg *err)
{
    const uint64_t bits = bits_of(first, len);
    if (!bits)
        return err_set(err, -EINVAL, "no firmware can lie at %#llx, %#zx bytes",
                       (unsigned long long)first, len);
    for (unsigned p = 0; p < ROM_PAGES; p++) {
        const uint64_t bit = (uint64_t)1 << p;
        const gpa_t at = ROM_FIRST + ((gpa_t)p << PAGE_SHIFT);
        if (!(bits & bit) || (vm->rom.there & bit))
            continue;
        const int rc = map(vm, at, at + PAGE_SIZE);
        if (rc)
            return err_set(err, rc, "memory for firmware: %s", strerror(-rc));
        vm->rom.there |= bit;
    }
    vm->rom.locked |= bits;
    forget_mappings(vm);
    return 0;
}

void vm_rom_lock(struct vm *vm, gpa_t first, size_t len, bool locked)
{
    const uint64_t bits = bits_of(first, len) & vm->rom.there;
    const uint64_t now = locked ? vm->rom.locked | bits : vm->rom.locked & ~bits;
    if (now == vm->rom.locked)
        return;
    vm->rom.locked = now;
    forget_mappings(vm);
}

bool vm_rom_locked(const struct vm *vm, gpa_t gpa)
{
    /* A guest that has its memory managed has all of it. */
    if (!vm->rom.locked || gpa < ROM_FIRST || gpa > ROM_LAST || vm->spaces.managed)
        return false;
    return vm->rom.locked >> ((gpa - ROM_FIRST) >> PAGE_SHIFT) & 1;
}

/* --- ROMs elsewhere -------------------------------------------------------------------------- */

static uint32_t bank_read(void *ctx, uint32_t off, unsigned size)
{
    const struct rom_bank *b = ctx;
    uint32_t v = UINT32_MAX;
    for (unsigned i = 0; i < size && off + i < b->len; i++)
        memcpy((uint8_t *)&v + i, b->bytes + off + i, 1);
    return v;
}

static int add_bank(struct vm *vm, gpa_t first, const void *bytes, size_t len, struct errmsg *err)
{
    struct rom_bank *b = &vm->rom.bank[vm->rom.banks];
    if (first < vm->opts.ram || first % PAGE_SIZE)
        return err_set(err, -EINVAL, "a ROM at %#llx, %#zx bytes, is not beyond RAM",
                       (unsigned long long)first, len);
    if (vm->rom.banks == ROM_BANKS)
        return err_set(err, -ENOSPC, "more than %d ROMs", ROM_BANKS);
    b->bytes = malloc(len);
    if (!b->bytes)
        return err_set(err, -ENOMEM, "out of memory");
    memcpy(b->bytes, bytes, len);
    b->len = len;
    const int rc = mmio_claim(&vm->board.mmio, &(struct mmio_range){.name = "ROM",
                                                                    .first = first,
                                                                    .last = first + len - 1,
                                                                    .sizes = 7,
                                                                    .code = true,
                                                                    .read = bank_read,
                                                                    .ctx = b});
    if (rc < 0) {
        free(b->bytes);
        return err_set(err, rc, "a ROM at %#llx, %#zx bytes: %s", (unsigned long long)first, len,
                       strerror(-rc));
    }
    vm->rom.banks++;
    return 0;
}

int vm_rom_add(struct vm *vm, gpa_t first, const void *bytes, size_t len, struct errmsg *err)
{
    if (len == 0)
        return err_set(err, -EINVAL, "an empty ROM");
    if (!bits_of(first, len))
        return add_bank(vm, first, bytes, len, err);
    int rc = vm_rom_back(vm, first, len, err);
    if (rc)
        return rc;
    rc = gmem_write(&vm->gmem, first, bytes, len);
    return rc ? err_set(err, rc, "a ROM at %#llx, %#zx bytes: %s", (unsigned long long)first, len,
                        strerror(-rc))
              : 0;
}

void vm_rom_destroy(struct vm *vm)
{
    for (unsigned i = 0; i < vm->rom.banks; i++)
        free(vm->rom.bank[i].bytes);
    vm->rom.banks = 0;
}
