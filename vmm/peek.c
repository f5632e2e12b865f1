/* See peek.h. */
#include <errno.h>
#include <string.h>

#include "vmm/peek.h"
#include "vmm/vm.h"

/* A swapped page, read without bringing it back. false: it must be done the usual way. */
static bool peek_swapped(struct vm *vm, pte_t pte, void *page)
{
    return vm->opts.store && store_read(vm->opts.store, pte_swap_slot(pte), page, NULL) == 0;
}

/* Part of one page. 0 or negative as gmem_read(). */
static int peek_part(struct vm *vm, gpa_t gpa, void *buf, uint32_t len)
{
    static _Thread_local _Alignas(PAGE_SIZE) uint8_t page[PAGE_SIZE];
    const uint32_t off = (uint32_t)gpa & PAGE_MASK;
    struct mm_page_info i;

    if (!space_has(vm, gpa))
        return -EFAULT;
    mm_page_info(vm->as->mm, gfn_of(gpa), &i);
    if (pte_present(i.pte)) {
        memcpy(buf, pool_ptr(vm->pool, i.frame) + off, len);
        return 0;
    }
    if (pte_none(i.pte) && i.in_region && i.kind == MM_ANON_PRIVATE) {
        memset(buf, 0, len);
        return 0;
    }
    if (pte_is_swap(i.pte) && peek_swapped(vm, i.pte, page)) {
        memcpy(buf, page + off, len);
        return 0;
    }
    return gmem_read(vm->as, gpa, buf, len);
}

int peek_physical(struct vm *vm, gpa_t gpa, void *buf, uint64_t len, uint64_t *done)
{
    uint64_t at = 0;
    int rc = 0;
    while (at < len && !rc) {
        const uint64_t room = PAGE_SIZE - ((gpa + at) & PAGE_MASK);
        const uint32_t n = (uint32_t)(len - at < room ? len - at : room);
        rc = gpa + at < gpa ? -EFAULT : peek_part(vm, gpa + at, (uint8_t *)buf + at, n);
        if (!rc)
            at += n;
    }
    if (done)
        *done = at;
    return rc;
}

static int read_table(void *ctx, gpa_t gpa, void *buf, uint32_t len)
{
    return peek_physical(ctx, gpa, buf, len, NULL);
}

void peek_tables(struct vm *vm, struct tables *out)
{
    tables_init(out, shadow_mode(vm->shadow), read_table, vm);
}

int peek_linear(struct vm *vm, uint32_t la, void *buf, uint64_t len, uint64_t *done)
{
    static _Thread_local struct tables t;
    struct tables_walk w;
    uint64_t at = 0;
    int rc = 0;

    peek_tables(vm, &t);
    while (at < len && !rc) {
        const uint64_t here = la + at, room = PAGE_SIZE - (here & PAGE_MASK);
        const uint64_t n = len - at < room ? len - at : room;
        if (here > UINT32_MAX) {
            rc = -EFAULT;
            break;
        }
        tables_walk(&t, (la_t)here, &w);
        rc = w.end == TABLES_MAPPED       ? peek_physical(vm, w.gpa, (uint8_t *)buf + at, n, NULL)
             : w.end == TABLES_UNREADABLE ? -EIO
                                          : -EFAULT;
        if (!rc)
            at += n;
    }
    if (done)
        *done = at;
    return rc;
}

int peek_mode(struct vm *vm, uint32_t cr3, struct gmode *out)
{
    struct cpu c = vm->cpu;
    int rc = 0;
    if (!cpu_paging(&c))
        return -ENOTSUP;
    if (c.cr4 & CR4_PAE && cr3 != c.cr3) /* those of the present CR3 are the processor's own */
        rc = peek_physical(vm, cr3 & ~31u, c.pdpte, sizeof c.pdpte, NULL);
    c.cr3 = cr3;
    gmode_of(&c, out);
    return rc;
}
