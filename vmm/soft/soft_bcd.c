/*
 * AAA AAS DAA DAS AAM AAD (SDM vol. 2). They do not exist in 64-bit mode, so the host cannot be
 * asked: flags that the manual leaves undefined are as measured on AMD processors in compatibility
 * mode.
 */
#include "vmm/soft/soft_ops.h"

/* The flags of the addition inside, but for these two. */
static uint16_t with_carries(uint16_t cc, bool cf, bool af)
{
    cc &= (uint16_t) ~(CC_CF | CC_AF);
    return (uint16_t)(cc | (cf ? CC_CF : 0) | (af ? CC_AF : 0));
}

static void daa_das(struct soft *s, bool sub)
{
    struct cpu *c = CPU(s);
    const uint8_t old = reg_get8(c, R_EAX);
    const bool low = (old & 15) > 9 || (s->core.cc & CC_AF);
    const bool high = old > 0x99 || (s->core.cc & CC_CF);
    const uint8_t fix = (uint8_t)((low ? 6 : 0) + (high ? 0x60 : 0));
    /* A borrow out of the low digit's correction counts too. */
    const bool borrow = sub && low && old < 6;
    uint16_t cc;

    reg_set8(c, R_EAX, sub ? x_sub8(old, fix, &cc) : x_add8(old, fix, &cc));
    s->core.cc = with_carries(cc, high || borrow, low);
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

/* SF ZF PF OF are those of all 16 bits before the upper digit of AL is cleared. */
static void aaa_aas(struct soft *s, bool sub)
{
    struct cpu *c = CPU(s);
    const uint16_t ax = reg_get16(c, R_EAX);
    const bool adjust = (ax & 15) > 9 || (s->core.cc & CC_AF);
    const uint16_t fix = adjust ? 0x106 : 0;
    uint16_t cc;
    const uint16_t v = sub ? x_sub16(ax, fix, &cc) : x_add16(ax, fix, &cc);

    reg_set16(c, R_EAX, v & 0xff0f);
    s->core.cc = with_carries(cc, adjust, adjust);
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
    x_or8((uint8_t)(al % by), 0, &s->core.cc);
}

static void aad(struct soft *s, const struct insn *i)
{
    struct cpu *c = CPU(s);
    const uint8_t high = (uint8_t)(reg_get8(c, 4) * (uint8_t)i->imm);

    reg_set16(c, R_EAX, x_add8(reg_get8(c, R_EAX), high, &s->core.cc));
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
