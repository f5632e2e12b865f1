/* Code that the soft engine has decoded, while its page comes and goes: kept as long as the frame
 * is that page's, never run when the frame has become another one's. */
#include "tests/shadow_kit.h"
#include "vmm/soft_engine.h"

enum { RAM = 4 << 20, CODE = 0x40, AT = CODE << PAGE_SHIFT };

/* mov eax, value; jmp to itself */
static void put_code(uint32_t value)
{
    const uint8_t code[] = {0xb8, (uint8_t)value, 0, 0, 0, 0xeb, 0xfe};
    cr_assert_eq(gmem_write(&vm->gmem, AT, code, sizeof code), 0);
}

static void setup(void)
{
    static struct errmsg err;
    const struct vm_opts o = {.ram = RAM, .shadow_quota = 64, .engine = VM_ENGINE_SOFT};
    cr_assert_eq(vm_create(&o, &vm, &err), 0, "%s", err.text);
    put_code(1);
}

static void teardown(void)
{
    sound();
    vm_destroy(vm);
}

TestSuite(code_frames, .init = setup, .fini = teardown);

/* n instructions, by blocks. */
static void run(uint64_t n)
{
    struct soft *s = soft_engine_cpu(vm->soft);
    vm->cpu.eip = AT;
    vm->cpu.gpr[R_EAX] = 0;
    for (int tries = 0; tries < 8; tries++) {
        struct soft_exit_info x;
        if (soft_run(s, n, &x) != SOFT_EXIT_PF)
            return;
        cr_assert_eq(
            fault_handle(vm, x.la,
                         (x.access == SOFT_W ? PF_W : 0u) | (x.access == SOFT_X ? PF_I : 0u)),
            FAULT_RETRY);
    }
    cr_assert_fail("it does not get on");
}

static frame_t frame_now(void)
{
    return pte_frame(mm_pte(vm->mm, CODE));
}

struct look {
    frame_t frame;
    bool *kept;
};

static bool look(const void *ctx, frame_t f)
{
    const struct look *l = ctx;
    *l->kept |= l->frame == f;
    return false;
}

/* Is code of the frame kept decoded? */
static bool kept(frame_t f)
{
    bool yes = false;
    soft_code_forget(soft_engine_cpu(vm->soft), look, &(struct look){f, &yes});
    return yes;
}

Test(code_frames, code_stays_while_nothing_maps_it)
{
    run(10);
    cr_assert_eq(vm->cpu.gpr[R_EAX], 1);
    const frame_t f = frame_now();
    cr_assert(kept(f));
    shadow_zap(vm->shadow, CODE, 1);
    cr_assert(kept(f), "as when a process ends whose code others will run");
    run(10);
    cr_assert_eq(vm->cpu.gpr[R_EAX], 1);
    cr_assert_eq(frame_now(), f);
}

Test(code_frames, code_written_while_nothing_maps_it_is_seen)
{
    run(10);
    shadow_zap(vm->shadow, CODE, 1);
    put_code(2);
    run(10);
    cr_assert_eq(vm->cpu.gpr[R_EAX], 2);
}

/* The same page, the same frame, other content that no store has made: zeroed by the memory
 * manager. */
Test(code_frames, code_goes_with_its_page)
{
    for (int mapped = 0; mapped < 2; mapped++) {
        put_code(1);
        run(10);
        const frame_t f = frame_now();
        if (!mapped)
            shadow_zap(vm->shadow, CODE, 1);
        cr_assert(kept(f));
        cr_assert_eq(mm_unmap(vm->mm, CODE, 1), 0);
        cr_assert(!kept(f));
        cr_assert_eq(mm_map_anon(vm->mm, CODE, 1, MM_READ | MM_WRITE, MM_ANON_PRIVATE), 0);
        cr_assert_leq(mm_fault(vm->mm, CODE, MM_ACCESS_WRITE).result, MM_SPURIOUS);
        cr_assert_eq(frame_now(), f, "else this test says little");
        vm->cpu.gpr[R_EAX] = 0;
        run(1);
        cr_assert_eq(vm->cpu.eip, AT + 2, "add [eax], al: its bytes are zeros");
    }
}

/* A neighbour's going does not concern it. */
Test(code_frames, code_stays_when_another_page_goes)
{
    run(10);
    const frame_t f = frame_now();
    cr_assert_eq(mm_unmap(vm->mm, CODE + 1, 1), 0);
    cr_assert_eq(mm_unmap(vm->mm, CODE - 1, 1), 0);
    cr_assert(kept(f));
    cr_assert_eq(mm_unmap(vm->mm, CODE - 8, 64), 0);
    cr_assert(!kept(f));
}
