/* BT BTS BTR BTC, BSF BSR, POPCNT LZCNT TZCNT, BSWAP, MOVBE. */
#include "vmm/soft/soft_ops.h"

/* --- bit tests ----------------------------------------------------------------------------- */

/* With a bit number in a register, memory operands are bit strings: the number's upper part moves
 * the address, signed. */
#define BIT_STRING(n)                                                                              \
    SOFT_INLINE uint32_t bit_string_ea##n(struct soft *s, const struct insn *i, int##n##_t bit)    \
    {                                                                                              \
        const uint32_t ea = soft_ea(s, i) + (uint32_t)((bit >> (n == 16 ? 4 : 5)) * (n / 8));      \
        return (i->flags & INSN_AD16) ? (ea & 0xffff) : ea;                                        \
    }
BIT_STRING(16)
BIT_STRING(32)

#define BIT_TEST(n)                                                                                \
    static void bt_rm_r##n(struct soft *s, const struct insn *i)                                   \
    {                                                                                              \
        const uint##n##_t bit = reg_get##n(CPU(s), i->reg);                                        \
        const uint##n##_t a =                                                                      \
            (i->flags & INSN_MEM)                                                                  \
                ? (uint##n##_t)soft_read##n(s, i->seg, bit_string_ea##n(s, i, (int##n##_t)bit))    \
                : reg_get##n(CPU(s), i->rm);                                                       \
        x_bt##n(a, bit, &s->core.cc);                                                              \
    }                                                                                              \
    static void bt_rm_i##n(struct soft *s, const struct insn *i)                                   \
    {                                                                                              \
        x_bt##n(rm_get##n(s, i), (uint##n##_t)i->imm, &s->core.cc);                                \
    }
#define BIT_CHANGE(name, n)                                                                        \
    static void name##_rm_r##n(struct soft *s, const struct insn *i)                               \
    {                                                                                              \
        const uint##n##_t bit = reg_get##n(CPU(s), i->reg);                                        \
        uint16_t cc = s->core.cc;                                                                  \
        if (!(i->flags & INSN_MEM)) {                                                              \
            rm_modify##n(s, i, x_##name##n, bit);                                                  \
            return;                                                                                \
        }                                                                                          \
        mem_modify##n(s, i->seg, bit_string_ea##n(s, i, (int##n##_t)bit), x_##name##n, bit, &cc);  \
        s->core.cc = cc;                                                                           \
    }                                                                                              \
    static void name##_rm_i##n(struct soft *s, const struct insn *i)                               \
    {                                                                                              \
        rm_modify##n(s, i, x_##name##n, (uint##n##_t)i->imm);                                      \
    }
BIT_TEST(16)
BIT_TEST(32)
BIT_CHANGE(bts, 16)
BIT_CHANGE(bts, 32)
BIT_CHANGE(btr, 16)
BIT_CHANGE(btr, 32)
BIT_CHANGE(btc, 16)
BIT_CHANGE(btc, 32)

/* --- scans and counts ---------------------------------------------------------------------- */

#define SCAN(name, n)                                                                              \
    static void name##n(struct soft *s, const struct insn *i)                                      \
    {                                                                                              \
        struct cpu *c = CPU(s);                                                                    \
        const uint##n##_t b = rm_get##n(s, i);                                                     \
        reg_set##n(c, i->reg, x_##name##n(reg_get##n(c, i->reg), b, &s->core.cc));                 \
    }
#define SCANS(name) SCAN(name, 16) SCAN(name, 32)
SCANS(bsf)
SCANS(bsr)
SCANS(popcnt)
SCANS(lzcnt)
SCANS(tzcnt)

/* --- byte order ---------------------------------------------------------------------------- */

static void bswap32(struct soft *s, const struct insn *i)
{
    CPU(s)->gpr[i->reg] = __builtin_bswap32(CPU(s)->gpr[i->reg]);
}

/* Undefined by the manual; what the silicon does to a whole register with an operand-size prefix.
 */
static void bswap16(struct soft *s, const struct insn *i)
{
    __asm__(".byte 0x66\n\tbswap %0" : "+a"(CPU(s)->gpr[i->reg]));
}

#define MOVBE(n)                                                                                   \
    static void movbe_r_m##n(struct soft *s, const struct insn *i)                                 \
    {                                                                                              \
        reg_set##n(CPU(s), i->reg, __builtin_bswap##n(rm_get##n(s, i)));                           \
    }                                                                                              \
    static void movbe_m_r##n(struct soft *s, const struct insn *i)                                 \
    {                                                                                              \
        rm_set##n(s, i, __builtin_bswap##n(reg_get##n(CPU(s), i->reg)));                           \
    }
MOVBE(16)
MOVBE(32)

/* --- decoding ------------------------------------------------------------------------------ */

#define BY_WIDTH(i, name) soft_by_width(i, name##16, name##32)

static bool decode_movbe(const struct soft *s, struct insn *i)
{
    if (!s->has_movbe || !(i->flags & INSN_MEM) || (i->flags & (INSN_REP | INSN_REPNE)))
        return false;
    if (i->opcode == 0xf0)
        return soft_take(i, BY_WIDTH(i, movbe_r_m));
    return i->opcode == 0xf1 && soft_take(i, BY_WIDTH(i, movbe_m_r));
}

static bool decode_ba(struct insn *i)
{
    switch (i->reg) {
    case 4: return soft_take(i, BY_WIDTH(i, bt_rm_i));
    case 5: return soft_take(i, BY_WIDTH(i, bts_rm_i));
    case 6: return soft_take(i, BY_WIDTH(i, btr_rm_i));
    case 7: return soft_take(i, BY_WIDTH(i, btc_rm_i));
    default: return false;
    }
}

bool soft_bits_decode(const struct soft *s, struct insn *i)
{
    const bool f3 = (i->flags & INSN_REP) != 0;

    if (i->map == 2)
        return decode_movbe(s, i);
    if (i->map != 1)
        return false;
    switch (i->opcode) {
    case 0xa3: return soft_take(i, BY_WIDTH(i, bt_rm_r));
    case 0xab: return soft_take(i, BY_WIDTH(i, bts_rm_r));
    case 0xb3: return soft_take(i, BY_WIDTH(i, btr_rm_r));
    case 0xbb: return soft_take(i, BY_WIDTH(i, btc_rm_r));
    case 0xba: return decode_ba(i);
    case 0xb8: return f3 && s->has_popcnt && soft_take(i, BY_WIDTH(i, popcnt));
    case 0xbc: return soft_take(i, f3 && s->has_bmi1 ? BY_WIDTH(i, tzcnt) : BY_WIDTH(i, bsf));
    case 0xbd: return soft_take(i, f3 && s->has_abm ? BY_WIDTH(i, lzcnt) : BY_WIDTH(i, bsr));
    case 0xc8:
    case 0xc9:
    case 0xca:
    case 0xcb:
    case 0xcc:
    case 0xcd:
    case 0xce:
    case 0xcf: return soft_take(i, BY_WIDTH(i, bswap));
    default: return false;
    }
}
