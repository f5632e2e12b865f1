/* The host CPU as oracle: 32-bit code runs, ends, and faults with exact registers. */
#include <criterion/criterion.h>
#include <string.h>
#include <sys/mman.h>

#include "tests/native32.h"

enum { CODE = 0x20000000, DATA = 0x20010000, HOLE = 0x20020000 };

static struct native32_state st;
static struct native32_result res;

static void setup(void)
{
    if (native32_open() < 0)
        cr_skip_test("%s", native32_why());
    cr_assert_eq(native32_map(CODE, 4096, PROT_READ | PROT_WRITE | PROT_EXEC), 0);
    cr_assert_eq(native32_map(DATA, 8192, PROT_READ | PROT_WRITE), 0);
}

static void run(const char *code, size_t len)
{
    uint8_t *p = (uint8_t *)(uintptr_t)CODE;
    memcpy(p, code, len);
    native32_put_end(p + len);
    st.eip = CODE;
    st.eflags = 0x202;
    st.gpr[4] = DATA + 4096;
    const uint16_t fcw = 0x37f;
    const uint32_t mxcsr = 0x1f80;
    memcpy(st.fxsave, &fcw, 2);
    memcpy(st.fxsave + 24, &mxcsr, 4);
    native32_run(&st, &res);
}
#define RUN(code) run(code, sizeof(code) - 1)

Test(native32, code_runs_and_returns_registers, .init = setup)
{
    st.gpr[1] = 0xffffffff;
    RUN("\x83\xc1\x01\x60\x61"); /* add $1,%ecx; pusha; popa */
    cr_assert_eq(res.vector, NATIVE32_END);
    cr_assert_eq(st.gpr[1], 0);
    cr_assert_eq(st.eflags & 0x8d5, 0x55);
    cr_assert_eq(st.gpr[4], DATA + 4096);
    cr_assert_eq(st.ss, NATIVE32_DS);
    cr_assert_eq(st.ds, NATIVE32_DS);
}

Test(native32, page_fault_is_exact, .init = setup)
{
    st.gpr[0] = 0x1234;
    st.gpr[3] = HOLE + 5;
    RUN("\x40\x89\x03"); /* inc %eax; mov %eax,(%ebx) */
    cr_assert_eq(res.vector, 14);
    cr_assert_eq(res.cr2, HOLE + 5);
    cr_assert_eq(res.error & 6, 6);
    cr_assert_eq(st.eip, CODE + 1);
    cr_assert_eq(st.gpr[0], 0x1235);
}

Test(native32, other_faults, .init = setup)
{
    RUN("\x0f\x0b"); /* ud2 */
    cr_assert_eq(res.vector, 6);
    RUN("\xcd\x42"); /* int $0x42 */
    cr_assert_eq(res.vector, 13);
    cr_assert_eq(res.error, 0x42 * 8 + 2);
    RUN("\xf4"); /* hlt */
    cr_assert_eq(res.vector, 13);
    cr_assert_eq(res.error, 0);
    RUN("\x31\xc9\xf7\xf1"); /* div by zero */
    cr_assert_eq(res.vector, 0);
    cr_assert_eq(st.eip, CODE + 2);
    RUN("\xcc");
    cr_assert_eq(res.vector, 3);
    cr_assert_eq(st.eip, CODE + 1);
    RUN("\x64\xa1\0\0\0\0"); /* mov %fs:0,%eax: NULL selector */
    cr_assert_eq(res.vector, 13);
}

Test(native32, endless_code_is_stopped, .init = setup)
{
    RUN("\xeb\xfe");
    cr_assert_eq(res.vector, NATIVE32_TIMEOUT);
    cr_assert_eq(st.eip, CODE);
}

Test(native32, fpu_state_goes_in_and_out, .init = setup)
{
    RUN("\xd9\xe8\xd9\xeb\xde\xc1"); /* fld1; fldpi; faddp */
    cr_assert_eq(res.vector, NATIVE32_END);
    long double v;
    memcpy(&v, st.fxsave + 32, 10);
    cr_assert(v > 4.14L && v < 4.15L);
    /* An unmasked exception is reported by the next waiting instruction, with the state before it.
     */
    const char code[] =
        "\xd9\x2d\x00\x00\x01\x20\xd9\xee\xd8\xf0\x9b"; /* fldcw; fldz; fdiv; fwait */
    const uint16_t fcw = 0x340;
    memcpy((void *)(uintptr_t)DATA, &fcw, 2);
    memset(st.fxsave, 0, 32);
    run(code, sizeof code - 1);
    cr_assert_eq(res.vector, 16);
    cr_assert_eq(st.eip, CODE + 10);
}
