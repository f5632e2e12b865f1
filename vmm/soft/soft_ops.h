/*
 * Operands of integer instructions: registers by size, r/m, and read-modify-write that probes
 * before it computes. For the handlers that are exact but not specialised (struct insn.op).
 */
#ifndef UMBRA_VMM_SOFT_SOFT_OPS_H
#define UMBRA_VMM_SOFT_SOFT_OPS_H

#include "vmm/soft/soft_flags.h"
#include "vmm/soft/soft_mem.h"

/* AL CL DL BL AH CH DH BH. The host is little-endian, as the guest. */
SOFT_INLINE uint8_t *soft_reg8(struct cpu *c, unsigned r)
{
    return (uint8_t *)&c->gpr[r & 3] + (r >> 2 & 1);
}

SOFT_INLINE uint8_t reg_get8(struct cpu *c, unsigned r)
{
    return *soft_reg8(c, r);
}
SOFT_INLINE uint16_t reg_get16(struct cpu *c, unsigned r)
{
    return (uint16_t)c->gpr[r];
}
SOFT_INLINE uint32_t reg_get32(struct cpu *c, unsigned r)
{
    return c->gpr[r];
}

SOFT_INLINE void reg_set8(struct cpu *c, unsigned r, uint8_t v)
{
    *soft_reg8(c, r) = v;
}
SOFT_INLINE void reg_set16(struct cpu *c, unsigned r, uint16_t v)
{
    c->gpr[r] = (c->gpr[r] & 0xffff0000) | v;
}
SOFT_INLINE void reg_set32(struct cpu *c, unsigned r, uint32_t v)
{
    c->gpr[r] = v;
}

#define SOFT_OPERANDS(n)                                                                           \
    /* a op b by f, with flags. */                                                                 \
    typedef uint##n##_t (*soft_fn##n)(uint##n##_t a, uint##n##_t b, uint16_t * cc);                \
    SOFT_INLINE uint##n##_t rm_get##n(struct soft *s, const struct insn *i)                        \
    {                                                                                              \
        if (i->flags & INSN_MEM)                                                                   \
            return (uint##n##_t)soft_read##n(s, i->seg, soft_ea(s, i));                            \
        return reg_get##n(CPU(s), i->rm);                                                          \
    }                                                                                              \
    SOFT_INLINE void rm_set##n(struct soft *s, const struct insn *i, uint##n##_t v)                \
    {                                                                                              \
        if (i->flags & INSN_MEM)                                                                   \
            soft_write##n(s, i->seg, soft_ea(s, i), v);                                            \
        else                                                                                       \
            reg_set##n(CPU(s), i->rm, v);                                                          \
    }                                                                                              \
    /* The operand at seg:off becomes f(it, b). */                                                 \
    SOFT_INLINE uint##n##_t mem_modify##n(struct soft *s, unsigned seg, uint32_t off,              \
                                          soft_fn##n f, uint##n##_t b, uint16_t *cc)               \
    {                                                                                              \
        const bool user = soft_user(s);                                                            \
        const la_t la = soft_seg_la(s, seg, off, n / 8, SOFT_W);                                   \
        uint8_t *p = soft_hit_w(&s->tlb[user], la, n / 8);                                         \
        uint##n##_t old, v;                                                                        \
        if (soft_likely(p != NULL)) {                                                              \
            memcpy(&old, p, n / 8);                                                                \
            v = f(old, b, cc);                                                                     \
            memcpy(p, &v, n / 8);                                                                  \
            return old;                                                                            \
        }                                                                                          \
        soft_la_probe_write(s, la, n / 8, user);                                                   \
        old = (uint##n##_t)soft_la_read##n(s, la, user);                                           \
        soft_la_write##n(s, la, f(old, b, cc), user);                                              \
        return old;                                                                                \
    }                                                                                              \
    SOFT_INLINE void rm_modify##n(struct soft *s, const struct insn *i, soft_fn##n f,              \
                                  uint##n##_t b)                                                   \
    {                                                                                              \
        struct cpu *c = CPU(s);                                                                    \
        uint16_t cc = s->core.cc;                                                                  \
        if (i->flags & INSN_MEM)                                                                   \
            mem_modify##n(s, i->seg, soft_ea(s, i), f, b, &cc);                                    \
        else                                                                                       \
            reg_set##n(c, i->rm, f(reg_get##n(c, i->rm), b, &cc));                                 \
        s->core.cc = cc;                                                                           \
    }
SOFT_OPERANDS(8)
SOFT_OPERANDS(16)
SOFT_OPERANDS(32)

/* Pick by operand size: opcodes come in pairs, even ones are for bytes. */
SOFT_INLINE soft_op soft_by_size(const struct insn *i, soft_op op8, soft_op op16, soft_op op32)
{
    if (!(i->opcode & 1))
        return op8;
    return (i->flags & INSN_OP16) ? op16 : op32;
}

SOFT_INLINE soft_op soft_by_width(const struct insn *i, soft_op op16, soft_op op32)
{
    return (i->flags & INSN_OP16) ? op16 : op32;
}

/* Take an instruction as one of the integer set. */
SOFT_INLINE bool soft_take(struct insn *i, soft_op op)
{
    i->op = op;
    i->flags |= INSN_FAST;
    return true;
}

SOFT_INLINE bool soft_take_end(struct insn *i, soft_op op)
{
    i->flags |= INSN_ENDS;
    return soft_take(i, op);
}

#endif
