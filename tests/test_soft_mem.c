/* Guest memory on the soft CPU: crossings, rights by privilege, devices, alignment, strings that
 * fault. */
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

TestSuite(soft_mem, .init = setup, .fini = teardown);

static uint32_t word(gpa_t gpa)
{
    uint32_t v;
    memcpy(&v, senv_at(e, gpa), 4);
    return v;
}

/* A user program as a kernel would have entered it; no IDT, so that an exception ends the machine.
 */
static void user(void)
{
    for (int k = 0; k < SEG_COUNT; k++) {
        e->cpu.seg[k].sel |= 3;
        e->cpu.seg[k].attr |= SA_DPL;
    }
    e->cpu.cpl = 3;
}

/* --- pages --------------------------------------------------------------------------------------
 */

Test(soft_mem, crossing_store_moves_no_byte_before_both_pages_are_there)
{
    SENV_CODE(e, 0x1000, 0x89, 0x03, 0xf4); /* mov [ebx], eax */
    senv_map(e, 0x4000, 0, 1, SENV_P | SENV_U);
    e->cpu.gpr[R_EAX] = 0x44332211;
    e->cpu.gpr[R_EBX] = 0x3ffe;
    cr_assert_eq(senv_run(e, 10), SOFT_EXIT_PF);
    cr_assert_eq(e->exit.la, 0x4000);
    cr_assert_eq(e->exit.access, SOFT_W);
    cr_assert_eq(word(0x3ffc), 0);
    senv_map(e, 0x4000, 9, 1, SENV_ALL);
    cr_assert_eq(senv_run(e, 10), SOFT_EXIT_HLT);
    cr_assert_eq(word(0x3ffc), 0x22110000);
    cr_assert_eq(word(0x9000), 0x4433);
}

Test(soft_mem, read_modify_write_asks_for_the_write_before_anything)
{
    SENV_CODE(e, 0x1000, 0xff, 0x03, 0xf4); /* inc dword [ebx] */
    senv_map(e, 0x4000, 4, 1, SENV_P | SENV_U | SENV_X);
    e->cpu.gpr[R_EBX] = 0x4000;
    cr_assert_eq(senv_run(e, 10), SOFT_EXIT_PF);
    cr_assert_eq(e->exit.access, SOFT_W);
    cr_assert_eq(word(0x4000), 0);
    cr_assert_eq(e->cpu.eflags & FL_ARITH, 0);
}

Test(soft_mem, exchange_that_faults_keeps_the_register)
{
    SENV_CODE(e, 0x1000, 0x87, 0x03, 0xf4); /* xchg [ebx], eax */
    senv_map(e, 0x4000, 4, 1, SENV_P | SENV_U);
    *senv_at(e, 0x4000) = 9;
    e->cpu.gpr[R_EAX] = 5;
    e->cpu.gpr[R_EBX] = 0x4000;
    cr_assert_eq(senv_run(e, 10), SOFT_EXIT_PF);
    cr_assert_eq(e->cpu.gpr[R_EAX], 5);
}

Test(soft_mem, user_sees_user_pages_only)
{
    SENV_CODE(e, 0x1000, 0x8b, 0x03, 0x8b, 0x01, 0xf4); /* mov eax,[ebx]; mov eax,[ecx] */
    senv_map(e, 0x5000, 5, 1, SENV_P | SENV_W | SENV_X);
    e->cpu.gpr[R_EBX] = 0x4000;
    e->cpu.gpr[R_ECX] = 0x5000;
    cr_assert_eq(senv_run(e, 2), SOFT_EXIT_BUDGET); /* the supervisor's view holds both now */
    user();
    e->cpu.eip = 0x1000;
    cr_assert_eq(senv_run(e, 10), SOFT_EXIT_PF);
    cr_assert_eq(e->cpu.eip, 0x1002);
    cr_assert_eq(e->exit.la, 0x5000);
    cr_assert(e->exit.user);
}

Test(soft_mem, translations_are_asked_for_once_until_they_are_dropped)
{
    SENV_CODE(e, 0x1000, 0x8b, 0x03, 0xeb, 0xfc); /* l: mov eax,[ebx]; jmp l */
    e->cpu.gpr[R_EBX] = 0x4000;
    senv_run(e, 1000);
    const unsigned n = e->n_translate;
    senv_run(e, 1000);
    cr_assert_eq(e->n_translate, n);
    soft_tlb_drop(e->soft, 0x4000);
    senv_run(e, 1000);
    cr_assert_eq(e->n_translate, n + 1);
    soft_tlb_flush(e->soft);
    senv_run(e, 1000);
    cr_assert_eq(e->n_translate, n + 3);
}

Test(soft_mem, operand_does_not_wrap_at_four_gib)
{
    SENV_CODE(e, 0x1000, 0x8b, 0x03, 0xf4);
    e->cpu.gpr[R_EBX] = 0xfffffffd;
    cr_assert_eq(senv_run(e, 10), SOFT_EXIT_SHUTDOWN); /* #GP with no IDT */
}

/* --- devices
 * -------------------------------------------------------------------------------------- */

Test(soft_mem, device_sees_each_access_once_with_its_size)
{
    /* mov al,[ebx]; mov ax,[ebx]; mov eax,[ebx]; mov [ebx],cl; mov [ebx],cx; mov [ebx],ecx; hlt */
    SENV_CODE(e, 0x1000, 0x8a, 0x03, 0x66, 0x8b, 0x03, 0x8b, 0x03, 0x88, 0x0b, 0x66, 0x89, 0x0b,
              0x89, 0x0b, 0xf4);
    static const struct senv_io want[] = {
        {0x40010, 0xffff, 1, true}, {0x40010, 0xffff, 2, true}, {0x40010, 0xffff, 4, true},
        {0x77, 0xffff, 1, false},   {0x6677, 0xffff, 2, false}, {0x44556677, 0xffff, 4, false},
    };
    senv_map(e, 0x7000, 0x40, 1, SENV_ALL | SENV_MMIO);
    e->cpu.gpr[R_EBX] = 0x7010;
    e->cpu.gpr[R_ECX] = 0x44556677;
    e->in_value = 0xaabbccdd;
    cr_assert_eq(senv_run(e, 10), SOFT_EXIT_HLT);
    cr_assert_eq(e->cpu.gpr[R_EAX], 0xaabbccdd);
    cr_assert_eq(e->n_io, 6);
    for (int k = 0; k < 6; k++) {
        cr_assert_eq(e->io[k].val, want[k].val, "access %d", k);
        cr_assert_eq(e->io[k].size, want[k].size, "access %d", k);
        cr_assert_eq(e->io[k].in, want[k].in, "access %d", k);
    }
}

Test(soft_mem, device_is_not_read_for_a_move_whose_store_faults)
{
    SENV_CODE(e, 0x1000, 0xa5, 0xf4); /* movsd */
    senv_map(e, 0x7000, 0x40, 1, SENV_ALL | SENV_MMIO);
    senv_map(e, 0x4000, 4, 1, SENV_P);
    e->cpu.gpr[R_ESI] = 0x7000;
    e->cpu.gpr[R_EDI] = 0x4000;
    cr_assert_eq(senv_run(e, 10), SOFT_EXIT_PF);
    cr_assert_eq(e->exit.la, 0x4000);
    cr_assert_eq(e->n_io, 0);
}

/* --- alignment
 * -------------------------------------------------------------------------------------- */

Test(soft_mem, alignment_is_checked_for_users_who_asked)
{
    static const struct {
        uint32_t cr0, eflags;
        bool user, fault;
    } t[] = {
        {CR0_AM, FL_AC, true, true},
        {0, FL_AC, true, false},
        {CR0_AM, 0, true, false},
        {CR0_AM, FL_AC, false, false},
    };
    for (int k = 0; k < 4; k++) {
        SENV_CODE(e, 0x1000, 0x8b, 0x03, 0x90, 0x90); /* mov eax, [ebx] */
        cpu_set_flat(&e->cpu, 0x1000);
        if (t[k].user)
            user();
        e->cpu.cr0 |= t[k].cr0;
        e->cpu.eflags |= t[k].eflags;
        e->cpu.gpr[R_EBX] = 0x4001;
        senv_run(e, 2);
        cr_assert_eq(e->exit.kind, t[k].fault ? SOFT_EXIT_SHUTDOWN : SOFT_EXIT_BUDGET, "case %d",
                     k);
    }
}

Test(soft_mem, alignment_is_checked_before_the_page)
{
    SENV_CODE(e, 0x1000, 0x8b, 0x03, 0x90, 0x90);
    senv_map(e, 0x4000, 0, 1, 0);
    user();
    e->cpu.cr0 |= CR0_AM;
    e->cpu.eflags |= FL_AC;
    e->cpu.gpr[R_EBX] = 0x4001;
    senv_run(e, 2);
    cr_assert_eq(e->exit.kind, SOFT_EXIT_SHUTDOWN);
}

/* --- strings
 * ------------------------------------------------------------------------------------------ */

Test(soft_mem, rep_that_faults_goes_on_where_it_stopped)
{
    /* rep movsd; the destination's second page is missing */
    SENV_CODE(e, 0x1000, 0xf3, 0xa5, 0xf4);
    for (uint32_t k = 0; k < 0x800; k++)
        memcpy(senv_at(e, 0x5000 + 4 * k), &k, 4);
    senv_map(e, 0x9000, 0, 1, 0);
    e->cpu.gpr[R_ESI] = 0x5000;
    e->cpu.gpr[R_EDI] = 0x8800;
    e->cpu.gpr[R_ECX] = 0x700;
    cr_assert_eq(senv_run(e, 10), SOFT_EXIT_PF);
    cr_assert_eq(e->exit.la, 0x9000);
    cr_assert_eq(e->cpu.eip, 0x1000);
    cr_assert_eq(e->cpu.gpr[R_ECX], 0x500);
    cr_assert_eq(e->cpu.gpr[R_ESI], 0x5800);
    cr_assert_eq(e->cpu.gpr[R_EDI], 0x9000);
    senv_map(e, 0x9000, 20, 1, SENV_ALL);
    cr_assert_eq(senv_run(e, 10), SOFT_EXIT_HLT);
    for (uint32_t k = 0; k < 0x700; k++) {
        const uint32_t to = 0x8800 + 4 * k;
        const gpa_t at = to >> PAGE_SHIFT == 9 ? 20 * PAGE_SIZE + (to & PAGE_MASK) : to;
        cr_assert_eq(word(at), k);
    }
}

Test(soft_mem, rep_element_across_two_pages)
{
    SENV_CODE(e, 0x1000, 0xf3, 0xab, 0xf4); /* rep stosd */
    e->cpu.gpr[R_EAX] = 0x04030201;
    e->cpu.gpr[R_EDI] = 0x4ff9;
    e->cpu.gpr[R_ECX] = 4;
    cr_assert_eq(senv_run(e, 10), SOFT_EXIT_HLT);
    for (uint32_t k = 0; k < 16; k++)
        cr_assert_eq(*senv_at(e, 0x4ff9 + k), 1 + k % 4);
    cr_assert_eq(*senv_at(e, 0x4ff8), 0);
    cr_assert_eq(*senv_at(e, 0x5009), 0);
}

Test(soft_mem, moves_that_overlap_upwards_repeat_the_pattern)
{
    SENV_CODE(e, 0x1000, 0xf3, 0xa4, 0xf4);
    memcpy(senv_at(e, 0x4000), "abc", 3);
    e->cpu.gpr[R_ESI] = 0x4000;
    e->cpu.gpr[R_EDI] = 0x4003;
    e->cpu.gpr[R_ECX] = 3000;
    cr_assert_eq(senv_run(e, 10), SOFT_EXIT_HLT);
    for (uint32_t k = 0; k < 3003; k++)
        cr_assert_eq(*senv_at(e, 0x4000 + k), "abc"[k % 3]);
}

Test(soft_mem, moves_go_down_with_the_direction_flag)
{
    SENV_CODE(e, 0x1000, 0xfd, 0xf3, 0xa4, 0xf4); /* std; rep movsb */
    memcpy(senv_at(e, 0x4000), "abcdef", 6);
    e->cpu.gpr[R_ESI] = 0x4005;
    e->cpu.gpr[R_EDI] = 0x4006;
    e->cpu.gpr[R_ECX] = 6;
    cr_assert_eq(senv_run(e, 10), SOFT_EXIT_HLT);
    cr_assert_arr_eq(senv_at(e, 0x4000), "aabcdef", 7);
    cr_assert_eq(e->cpu.gpr[R_ESI], 0x3fff);
}

Test(soft_mem, sixteen_bit_strings_wrap_within_64_kib)
{
    SENV_CODE(e, 0x1000, 0x67, 0xf3, 0xaa, 0xf4); /* rep stosb by DI, CX */
    senv_map(e, 0xf000, 20, 1, SENV_ALL);
    senv_map(e, 0x0000, 21, 1, SENV_ALL);
    senv_map(e, 0x10000, 0, 1, 0);
    e->cpu.gpr[R_EAX] = 0x5a;
    e->cpu.gpr[R_EDI] = 0xabcdfffe;
    e->cpu.gpr[R_ECX] = 0x12340004;
    cr_assert_eq(senv_run(e, 10), SOFT_EXIT_HLT);
    cr_assert_eq(e->cpu.gpr[R_EDI], 0xabcd0002);
    cr_assert_eq(e->cpu.gpr[R_ECX], 0x12340000);
    cr_assert_eq(word(20 * PAGE_SIZE + 0xffc), 0x5a5a0000);
    cr_assert_eq(word(21 * PAGE_SIZE), 0x5a5a);
}

Test(soft_mem, long_rep_is_interrupted_by_a_kick_and_resumed)
{
    SENV_CODE(e, 0x1000, 0xf3, 0xac, 0xf4); /* rep lodsb over device memory: slow */
    senv_map(e, 0x7000, 0x40, 1, SENV_ALL | SENV_MMIO);
    e->cpu.gpr[R_ESI] = 0x7000;
    e->cpu.gpr[R_ECX] = 4000;
    senv_run(e, 1);
    soft_kick(e->soft);
    cr_assert_eq(senv_run(e, 100), SOFT_EXIT_ATTENTION);
    cr_assert_eq(senv_run(e, 100), SOFT_EXIT_HLT);
    cr_assert_eq(e->cpu.gpr[R_ECX], 0);
    cr_assert_eq(e->n_io, 4000);
}

/* --- stacks
 * --------------------------------------------------------------------------------------------- */

Test(soft_mem, enter_copies_the_display_even_over_itself)
{
    SENV_CODE(e, 0x1000, 0xc8, 0x10, 0x00, 0x03, 0xf4); /* enter 16, 3 */
    e->cpu.gpr[R_ESP] = 0x5000;
    e->cpu.gpr[R_EBP] = 0x5000; /* the display it copies is what it pushes */
    cr_assert_eq(senv_run(e, 10), SOFT_EXIT_HLT);
    cr_assert_eq(word(0x4ffc), 0x5000);
    cr_assert_eq(word(0x4ff8), 0x5000); /* [ebp-4], just pushed */
    cr_assert_eq(word(0x4ff4), 0x5000);
    cr_assert_eq(word(0x4ff0), 0x4ffc);
    cr_assert_eq(e->cpu.gpr[R_EBP], 0x4ffc);
    cr_assert_eq(e->cpu.gpr[R_ESP], 0x4ff0 - 16);
}

Test(soft_mem, pusha_that_faults_has_pushed_nothing)
{
    SENV_CODE(e, 0x1000, 0x60, 0xf4);
    senv_map(e, 0x4000, 0, 1, 0);
    e->cpu.gpr[R_EAX] = 0x11111111;
    e->cpu.gpr[R_ESP] = 0x5010;
    cr_assert_eq(senv_run(e, 10), SOFT_EXIT_PF);
    cr_assert_eq(e->exit.la, 0x4ffc);
    cr_assert_eq(word(0x500c), 0);
    cr_assert_eq(e->cpu.gpr[R_ESP], 0x5010);
}

Test(soft_mem, pop_to_memory_by_esp_uses_the_new_one)
{
    SENV_CODE(e, 0x1000, 0x8f, 0x44, 0x24, 0x08, 0xf4); /* pop [esp+8] */
    SENV_CODE(e, 0x5000, 0x78, 0x56, 0x34, 0x12);
    e->cpu.gpr[R_ESP] = 0x5000;
    cr_assert_eq(senv_run(e, 10), SOFT_EXIT_HLT);
    cr_assert_eq(word(0x500c), 0x12345678);
}
