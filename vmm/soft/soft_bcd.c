/*
 * AAA AAS DAA DAS AAM AAD (SDM vol. 2). They do not exist in 64-bit mode, so the host cannot be
 * asked: flags that the manual leaves undefined are as measured on AMD processors in compatibility
 * mode.
 */
#include "vmm/soft/soft_ops.h"

/* SF ZF PF of v, the rest as given. */
static uint16_t with_result(uint8_t v, bool cf, bool af, bool of)
{
    uint16_t cc;
    x_or8(v, 0, &cc);
    cc &= CC_SF | CC_ZF | CC_PF;
    return (uint16_t)(cc | (cf ? CC_CF : 0) | (af ? CC_AF : 0) | (of ? CC_OF : 0));
}

static void daa_das(struct soft *s, bool sub)
{
    struct cpu *c = CPU(s);
    const uint8_t old = reg_get8(c, R_EAX);
    const bool low = (old & 15) > 9 || (s->core.cc & CC_AF);
    const bool high = old > 0x99 || (s->core.cc & CC_CF);
    const uint8_t fix = (uint8_t)((low ? 6 : 0) + (high ? 0x60 : 0));
    uint8_t v = sub ? (uint8_t)(old - fix) : (uint8_t)(old + fix);
    bool cf = high;

    /* A borrow out of the low digit's correction counts too. */
    if (sub && low && old < 6)
        cf = true;
    reg_set8(c, R_EAX, v);
    s->core.cc = with_result(v, cf, low, false);
}

static void daa(struct soft *s, const struct insn *i)
{
    (void)i;
    daa_das(s, false);
}

static void das(struct soft *s, const struct insn *i)
{
    (void)i;
    daa_das(s, true);
}

static void aaa_aas(struct soft *s, bool sub)
{
    struct cpu *c = CPU(s);
    const uint16_t ax = reg_get16(c, R_EAX);
    const bool fix = (ax & 15) > 9 || (s->core.cc & CC_AF);
    uint16_t v = ax;

    if (fix)
        v = sub ? (uint16_t)(ax - 0x106) : (uint16_t)(ax + 0x106);
    v &= 0xff0f;
    reg_set16(c, R_EAX, v);
    s->core.cc = with_result((uint8_t)v, fix, fix, false);
}

static void aaa(struct soft *s, const struct insn *i)
{
    (void)i;
    aaa_aas(s, false);
}

static void aas(struct soft *s, const struct insn *i)
{
    (void)i;
    aaa_aas(s, true);
}

static void aam(struct soft *s, const struct insn *i)
{
    struct cpu *c = CPU(s);
    const uint8_t al = reg_get8(c, R_EAX), by = (uint8_t)i->imm;

    if (by == 0)
        soft_raise(s, VEC_DE);
    reg_set16(c, R_EAX, (uint16_t)(al / by << 8 | al % by));
    s->core.cc = with_result((uint8_t)(al % by), false, false, false);
}

static void aad(struct soft *s, const struct insn *i)
{
    struct cpu *c = CPU(s);
    const uint8_t v = (uint8_t)(reg_get8(c, R_EAX) + reg_get8(c, 4) * (uint8_t)i->imm);

    reg_set16(c, R_EAX, v);
    s->core.cc = with_result(v, false, false, false);
}

bool soft_bcd_decode(struct insn *i)
{
    if (i->map != 0)
        return false;
    switch (i->opcode) {
    case 0x27: return soft_take(i, daa);
    case 0x2f: return soft_take(i, das);
    case 0x37: return soft_take(i, aaa);
    case 0x3f: return soft_take(i, aas);
    case 0xd4: return soft_take(i, aam);
    case 0xd5: return soft_take(i, aad);
    default: return false;
    }
}
