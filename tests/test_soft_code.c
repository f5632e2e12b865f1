/* The soft CPU's code cache: never a stale instruction, whoever wrote it, and no thrashing beside
 * it. */
#include <criterion/criterion.h>
#include <string.h>

#include "tests/soft_env.h"

static struct senv *e;

static void setup(void)
{
    e = senv_new(64);
}

static void teardown(void)
{
    senv_free(e);
}

TestSuite(soft_code, .init = setup, .fini = teardown);

static void run_from(uint32_t eip, uint64_t budget)
{
    cpu_set_flat(&e->cpu, eip);
    senv_run(e, budget);
}

Test(soft_code, guest_store_into_another_block_is_seen)
{
    /* 1000: mov byte [2001], 0x22; jmp 2000    2000: mov al, 0x11; hlt */
    SENV_CODE(e, 0x1000, 0xc6, 0x05, 0x01, 0x20, 0, 0, 0x22, 0xe9, 0xf4, 0x0f, 0, 0);
    SENV_CODE(e, 0x2000, 0xb0, 0x11, 0xf4);
    run_from(0x2000, 100);
    cr_assert_eq(e->cpu.gpr[R_EAX], 0x11);
    run_from(0x1000, 100);
    cr_assert_eq(e->cpu.gpr[R_EAX], 0x22);
}

Test(soft_code, block_that_changes_itself_ahead_runs_the_new_bytes)
{
    /* mov byte [1008], 0x33; mov al, 0x11 (its operand becomes 0x33); hlt */
    SENV_CODE(e, 0x1000, 0xc6, 0x05, 0x08, 0x10, 0, 0, 0x33, 0xb0, 0x11, 0xf4);
    for (int k = 0; k < 3; k++) {
        SENV_CODE(e, 0x1008, 0x11);
        run_from(0x1000, 100);
        cr_assert_eq(e->cpu.gpr[R_EAX], 0x33);
        cr_assert_eq(e->exit.insns, 3);
    }
}

Test(soft_code, next_instruction_may_be_overwritten_by_the_one_before)
{
    /* mov dword [1007], 0xf4f4f4f4; inc eax; inc eax; inc eax; inc eax */
    SENV_CODE(e, 0x1000, 0xc7, 0x05, 0x0a, 0x10, 0, 0, 0xf4, 0xf4, 0xf4, 0xf4, 0x40, 0x40, 0x40,
              0x40);
    run_from(0x1000, 100);
    cr_assert_eq(e->exit.kind, SOFT_EXIT_HLT);
    cr_assert_eq(e->cpu.gpr[R_EAX], 0);
    cr_assert_eq(e->cpu.eip, 0x100b);
}

Test(soft_code, string_store_over_its_own_block_is_seen)
{
    /* mov edi,1010; mov al,f4; mov ecx,4; rep stosb; nops up to 1010: inc eax x4 */
    SENV_CODE(e, 0x1000, 0xbf, 0x10, 0x10, 0, 0, 0xb0, 0xf4, 0xb1, 0x04, 0xf3, 0xaa, 0x90, 0x90,
              0x90, 0x90, 0x90, 0x40, 0x40, 0x40, 0x40);
    run_from(0x1000, 100);
    cr_assert_eq(e->exit.kind, SOFT_EXIT_HLT);
    cr_assert_eq(e->cpu.gpr[R_EAX] & 0xff, 0xf4);
    cr_assert_eq(e->cpu.eip, 0x1011);
}

Test(soft_code, store_by_the_monitor_is_seen)
{
    SENV_CODE(e, 0x1000, 0xb0, 0x11, 0xf4);
    run_from(0x1000, 100);
    SENV_CODE(e, 0x1001, 0x44);
    run_from(0x1000, 100);
    cr_assert_eq(e->cpu.gpr[R_EAX], 0x44);
}

Test(soft_code, store_through_an_alias_is_seen)
{
    senv_map(e, 0x9000, 2, 1, SENV_ALL);
    SENV_CODE(e, 0x1000, 0xc6, 0x05, 0x01, 0x90, 0, 0, 0x22, 0xe9, 0xf4, 0x0f, 0, 0);
    SENV_CODE(e, 0x2000, 0xb0, 0x11, 0xf4);
    run_from(0x2000, 100);
    run_from(0x1000, 100);
    cr_assert_eq(e->cpu.gpr[R_EAX], 0x22);
}

Test(soft_code, remapped_page_runs_the_new_frame)
{
    /* 1000: call 2000; jmp 1000 */
    SENV_CODE(e, 0x1000, 0xe8, 0xfb, 0x0f, 0, 0, 0xeb, 0xf9);
    SENV_CODE(e, 0x2000, 0xb0, 0x11, 0xc3);
    SENV_CODE(e, 0x3000, 0xb0, 0x33, 0xc3);
    cpu_set_flat(&e->cpu, 0x1000);
    e->cpu.gpr[R_ESP] = 0x8000;
    senv_run(e, 400);
    cr_assert_eq(e->cpu.gpr[R_EAX], 0x11);
    senv_map(e, 0x2000, 3, 1, SENV_ALL);
    senv_run(e, 400);
    cr_assert_eq(e->cpu.gpr[R_EAX], 0x33);
    senv_map(e, 0x2000, 2, 1, SENV_ALL);
    senv_run(e, 400);
    cr_assert_eq(e->cpu.gpr[R_EAX], 0x11);
}

/* The page that runs is exchanged by what it does, in the middle of a loop that never leaves it. */
static void exchange_page(void *ctx, gpa_t gpa, uint32_t val, unsigned size)
{
    struct senv *env = ctx;
    (void)gpa, (void)size;
    if (val == 7)
        senv_map(env, 0x1000, 3, 1, SENV_ALL);
}

Test(soft_code, loop_within_a_page_that_is_remapped_under_it)
{
    /* inc eax; mov [9000], eax; jmp 1000; in the new frame, behind the store: hlt */
    SENV_CODE(e, 0x1000, 0x40, 0xa3, 0x00, 0x90, 0, 0, 0xeb, 0xf8);
    SENV_CODE(e, 0x3006, 0xf4);
    senv_map(e, 0x9000, 60, 1, SENV_ALL | SENV_MMIO);
    e->env.mmio_write = exchange_page;
    run_from(0x1000, 1000);
    cr_assert_eq(e->exit.kind, SOFT_EXIT_HLT);
    cr_assert_eq(e->cpu.gpr[R_EAX], 7);
}

/* What it does drops translations again and again: links are looked at anew, nothing else. */
static void drop_and_flush(void *ctx, gpa_t gpa, uint32_t val, unsigned size)
{
    struct senv *env = ctx;
    (void)gpa, (void)size;
    soft_tlb_drop(env->soft, 0x5000);
    if (val % 16 == 0)
        soft_tlb_flush(env->soft);
}

Test(soft_code, links_survive_what_does_not_concern_them)
{
    /* inc eax; mov [9000], eax; call 2000; cmp eax, 1000; jb 1000; hlt    2000: inc ebx; ret */
    SENV_CODE(e, 0x1000, 0x40, 0xa3, 0x00, 0x90, 0, 0, 0xe8, 0xf5, 0x0f, 0, 0, 0x3d, 0xe8, 0x03, 0,
              0, 0x72, 0xee, 0xf4);
    SENV_CODE(e, 0x2000, 0x43, 0xc3);
    senv_map(e, 0x9000, 60, 1, SENV_ALL | SENV_MMIO);
    e->env.mmio_write = drop_and_flush;
    cpu_set_flat(&e->cpu, 0x1000);
    e->cpu.gpr[R_ESP] = 0x8000;
    senv_run(e, 100000);
    cr_assert_eq(e->exit.kind, SOFT_EXIT_HLT);
    cr_assert_eq(e->cpu.gpr[R_EAX], 1000);
    cr_assert_eq(e->cpu.gpr[R_EBX], 1000);
    cr_assert_eq(e->exit.insns, 7001);
}

Test(soft_code, revoked_execute_right_is_noticed_in_a_linked_loop)
{
    SENV_CODE(e, 0x1000, 0xe9, 0xfb, 0x0f, 0, 0);       /* jmp 2000 */
    SENV_CODE(e, 0x2000, 0xe9, 0xfb, 0xef, 0xff, 0xff); /* jmp 1000 */
    run_from(0x1000, 1000);
    cr_assert_eq(e->exit.kind, SOFT_EXIT_BUDGET);
    senv_map(e, 0x2000, 2, 1, SENV_P | SENV_W | SENV_U);
    run_from(0x1000, 1000);
    cr_assert_eq(e->exit.kind, SOFT_EXIT_PF);
    cr_assert_eq(e->exit.la, 0x2000);
    cr_assert_eq(e->exit.access, SOFT_X);
    cr_assert_eq(e->cpu.eip, 0x2000);
}

Test(soft_code, instruction_across_pages_follows_both_of_them)
{
    /* mov eax, imm32 with three bytes on the second page; then hlt */
    SENV_CODE(e, 0x1ffe, 0xb8, 0x01, 0x02, 0x03, 0x04, 0xf4);
    SENV_CODE(e, 0x3000, 0x12, 0x13, 0x14, 0xf4);
    run_from(0x1ffe, 100);
    cr_assert_eq(e->cpu.gpr[R_EAX], 0x04030201);
    SENV_CODE(e, 0x2001, 0x55); /* second part written */
    run_from(0x1ffe, 100);
    cr_assert_eq(e->cpu.gpr[R_EAX], 0x04550201);
    senv_map(e, 0x2000, 3, 1, SENV_ALL); /* second page another */
    run_from(0x1ffe, 100);
    cr_assert_eq(e->cpu.gpr[R_EAX], 0x14131201);
    SENV_CODE(e, 0x1fff, 0x66); /* first part written */
    run_from(0x1ffe, 100);
    cr_assert_eq(e->cpu.gpr[R_EAX], 0x14131266);
}

Test(soft_code, instruction_whose_two_pages_are_one_frame)
{
    senv_map(e, 0x5000, 4, 1, SENV_ALL);
    senv_map(e, 0x6000, 4, 1, SENV_ALL);
    SENV_CODE(e, 0x4ffe, 0xb8, 0x01);
    SENV_CODE(e, 0x4000, 0x02, 0x03, 0x04, 0xf4);
    run_from(0x5ffe, 100);
    cr_assert_eq(e->cpu.gpr[R_EAX], 0x04030201);
    SENV_CODE(e, 0x4000, 0x77);
    run_from(0x5ffe, 100);
    cr_assert_eq(e->cpu.gpr[R_EAX], 0x04037701);
    SENV_CODE(e, 0x4fff, 0x88);
    run_from(0x5ffe, 100);
    cr_assert_eq(e->cpu.gpr[R_EAX] & 0xff, 0x88);
}

Test(soft_code, data_beside_code_costs_no_decoding)
{
    /* l: inc dword [1040]; dec ecx; jnz l; hlt, its data in the same page */
    SENV_CODE(e, 0x1000, 0xff, 0x05, 0x40, 0x10, 0, 0, 0x49, 0x75, 0xf7, 0xf4);
    cpu_set_flat(&e->cpu, 0x1000);
    e->cpu.gpr[R_ECX] = 10000;
    senv_run(e, 100000);
    cr_assert_eq(e->exit.kind, SOFT_EXIT_HLT);
    uint32_t n;
    memcpy(&n, senv_at(e, 0x1040), 4);
    cr_assert_eq(n, 10000);
    cr_assert_eq(e->n_code_on, 1);
    cr_assert_eq(e->n_code_off, 0);
}

Test(soft_code, owner_hears_of_frames_with_code_and_when_they_are_free_again)
{
    SENV_CODE(e, 0x1000, 0xb0, 0x11, 0xf4);
    run_from(0x1000, 100);
    cr_assert_eq(e->n_code_on, 1);
    soft_code_written(e->soft, 1, 0x800, 4);
    cr_assert_eq(e->n_code_off, 0);
    soft_code_written(e->soft, 1, 0, PAGE_SIZE);
    cr_assert_eq(e->n_code_off, 1);
    run_from(0x1000, 100);
    cr_assert_eq(e->n_code_on, 2);
}

Test(soft_code, code_in_a_read_only_frame)
{
    senv_map(e, 0x1000, 1, 1, SENV_P | SENV_X | SENV_U);
    SENV_CODE(e, 0x1000, 0x40, 0xa2, 0x00, 0x10, 0, 0, 0xf4); /* inc eax; mov [1000], al */
    run_from(0x1000, 100);
    cr_assert_eq(e->exit.kind, SOFT_EXIT_PF);
    cr_assert_eq(e->exit.la, 0x1000);
    cr_assert_eq(e->exit.access, SOFT_W);
    cr_assert_eq(e->cpu.eip, 0x1001);
}

Test(soft_code, code_in_device_memory_is_read_each_time)
{
    senv_map(e, 0x7000, 60, 1, SENV_ALL | SENV_MMIO);
    e->in_value = 0x40; /* inc eax, whatever is read */
    run_from(0x7000, 5);
    cr_assert_eq(e->exit.kind, SOFT_EXIT_BUDGET);
    cr_assert_eq(e->cpu.gpr[R_EAX], 5);
    e->in_value = 0x48;
    senv_run(e, 5);
    cr_assert_eq(e->cpu.gpr[R_EAX], 0);
    cr_assert_eq(e->n_code_on, 0);
}

/* Many distinct blocks, far more than the arena holds: flushed as a whole, still right. */
Test(soft_code, arena_overflow_is_survived)
{
    uint8_t page[PAGE_SIZE];
    memset(page, 0x90, sizeof page);
    for (uint32_t k = 0; k < PAGE_SIZE; k += 2)
        page[k] = 0x40; /* inc eax; nop ... */
    for (uint32_t f = 8; f < 56; f++)
        senv_put(e, f * PAGE_SIZE, page, sizeof page);
    SENV_CODE(e, 56 * PAGE_SIZE, 0xf4);
    for (int round = 0; round < 2; round++)
        for (uint32_t start = 0; start < 64; start++) {
            run_from(8 * PAGE_SIZE + start, 1000000);
            cr_assert_eq(e->exit.kind, SOFT_EXIT_HLT);
            cr_assert_eq(e->cpu.gpr[R_EAX], 48 * PAGE_SIZE / 2 - (start + 1) / 2);
        }
}

/* The same bytes at the same place mean another instruction in 16-bit code. */
Test(soft_code, mode_is_part_of_what_a_block_is)
{
    SENV_CODE(e, 0x1000, 0xb8, 0x34, 0x12, 0x40, 0x40, 0xf4, 0xf4);
    run_from(0x1000, 100);
    cr_assert_eq(e->cpu.gpr[R_EAX], 0x40401234);
    cpu_set_flat(&e->cpu, 0x1000);
    e->cpu.seg[SEG_CS].attr &= (uint16_t)~SA_DB;
    senv_run(e, 100);
    cr_assert_eq(e->cpu.gpr[R_EAX], 0x1236);
    run_from(0x1000, 100);
    cr_assert_eq(e->cpu.gpr[R_EAX], 0x40401234);
}
