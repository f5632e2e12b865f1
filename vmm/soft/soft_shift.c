/* Shifts and rotates (C0 C1 D0-D3), SHLD and SHRD. Counts are masked by the host as by the guest.
 */
#include "vmm/soft/soft_ops.h"

#define SHIFT(name, n)                                                                             \
    static void name##_imm##n(struct soft *s, const struct insn *i)                                \
    {                                                                                              \
        rm_modify##n(s, i, x_##name##n, (uint8_t)i->imm);                                          \
    }                                                                                              \
    static void name##_cl##n(struct soft *s, const struct insn *i)                                 \
    {                                                                                              \
        rm_modify##n(s, i, x_##name##n, (uint8_t)CPU(s)->gpr[R_ECX]);                              \
    }
#define SHIFTS(name) SHIFT(name, 8) SHIFT(name, 16) SHIFT(name, 32)
SHIFTS(rol)
SHIFTS(ror)
SHIFTS(rcl)
SHIFTS(rcr)
SHIFTS(shl)
SHIFTS(shr)
SHIFTS(sar)

#define ROW(name)                                                                                  \
    {                                                                                              \
        {name##_imm8, name##_imm16, name##_imm32},                                                 \
        {                                                                                          \
            name##_cl8, name##_cl16, name##_cl32                                                   \
        }                                                                                          \
    }
static const soft_op shift_ops[8][2][3] = {ROW(rol), ROW(ror), ROW(rcl), ROW(rcr),
                                           ROW(shl), ROW(shr), ROW(shl), ROW(sar)};

static bool take_shift(struct insn *i, bool by_cl)
{
    const soft_op *op = shift_ops[i->reg][by_cl];
    return soft_take(i, soft_by_size(i, op[0], op[1], op[2]));
}

/* --- double shifts ------------------------------------------------------------------------- */

#define DOUBLE(name, n)                                                                            \
    static void name##n(struct soft *s, const struct insn *i)                                      \
    {                                                                                              \
        struct cpu *c = CPU(s);                                                                    \
        const uint8_t count = (uint8_t)((i->opcode & 1) ? c->gpr[R_ECX] : i->imm);                 \
        const uint##n##_t b = reg_get##n(c, i->reg);                                               \
        uint16_t cc = s->core.cc;                                                                  \
        if (i->flags & INSN_MEM) {                                                                 \
            const uint32_t off = soft_ea(s, i);                                                    \
            soft_probe_write(s, i->seg, off, n / 8);                                               \
            const uint##n##_t a = (uint##n##_t)soft_read##n(s, i->seg, off);                       \
            soft_write##n(s, i->seg, off, x_##name##n(a, b, count, &cc));                          \
        } else {                                                                                   \
            reg_set##n(c, i->rm, x_##name##n(reg_get##n(c, i->rm), b, count, &cc));                \
        }                                                                                          \
        s->core.cc = cc;                                                                           \
    }
DOUBLE(shld, 16)
DOUBLE(shld, 32)
DOUBLE(shrd, 16)
DOUBLE(shrd, 32)

bool soft_shift_decode(struct insn *i)
{
    if (i->map == 1) {
        switch (i->opcode) {
        case 0xa4:
        case 0xa5: return soft_take(i, soft_by_width(i, shld16, shld32));
        case 0xac:
        case 0xad: return soft_take(i, soft_by_width(i, shrd16, shrd32));
        default: return false;
        }
    }
    if (i->map != 0)
        return false;
    switch (i->opcode) {
    case 0xc0:
    case 0xc1: return take_shift(i, false);
    case 0xd0:
    case 0xd1: i->imm = 1; return take_shift(i, false);
    case 0xd2:
    case 0xd3: return take_shift(i, true);
    default: return false;
    }
}
