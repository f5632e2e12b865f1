/* The page table report of a monitor that is wrong: what cannot happen is told as such. */
#include <criterion/criterion.h>

#include "vmm/pt_print.h"

static struct vm *vm;

static void setup(void)
{
    const struct vm_opts o = {
        .ram = 4u << 20, .shadow_quota = 256, .engine = VM_ENGINE_SOFT, .insn_ns = 1};
    struct errmsg err;
    cr_assert_eq(vm_create(&o, &vm, &err), 0, "%s", err.text);
}

static void teardown(void)
{
    vm_destroy(vm);
}

TestSuite(pt, .init = setup, .fini = teardown);

static frame_t back(gfn_t gfn)
{
    const struct mm_fault f = mm_fault(vm->mm, gfn, MM_ACCESS_WRITE);
    cr_assert_eq(f.result, MM_MINOR);
    return f.frame;
}

static enum pt_verdict map(la_t la, frame_t frame)
{
    const struct walk w = {.gpa = la, .writable = true, .user = true, .dirty = true};
    struct pt_row r;
    cr_assert_eq(shadow_map(vm->shadow, la, false, &w, frame, true), 0);
    pt_page(vm, la, &r);
    return r.verdict;
}

Test(pt, a_shadow_entry_of_what_backs_the_page_is_in_step)
{
    cr_assert_eq(map(0x5000, back(5)), PT_IN_STEP);
}

Test(pt, a_shadow_entry_of_another_frame_is_stale)
{
    const frame_t other = back(6);
    back(5);
    cr_assert_eq(map(0x5000, other), PT_STALE);
}

Test(pt, a_shadow_entry_of_what_nothing_backs_is_stale)
{
    cr_assert_eq(map(0x5000, back(6)), PT_STALE);
}

Test(pt, rows_come_in_order_and_cover_all)
{
    struct pt_iter it;
    struct pt_row r;
    la_t next = 0;
    map(0x5000, back(5));
    for (pt_begin(&it, vm, 0, UINT32_MAX); pt_next(&it, &r);) {
        cr_assert_eq(r.la, next);
        next = r.la + r.pages * PAGE_SIZE;
    }
    cr_assert_eq(next, 0, "up to 4 GiB");
    pt_begin(&it, vm, 0x5000, 0x5fff);
    cr_assert(pt_next(&it, &r));
    cr_assert_eq(r.pages, 1);
    cr_assert(!pt_next(&it, &r));
}
