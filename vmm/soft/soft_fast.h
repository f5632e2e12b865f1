/*
 * Tools for specialised handlers of the block executor (soft_fast_*.c).
 *
 *  F1  A fast handler does the common case of one form: 32-bit code, flat segments (the block's
 * mode says so), TLB hit. Anything else it hands to the exact handler before it has changed
 * anything. F2  It needs neither EIP in step nor room for a fault.
 */
#ifndef UMBRA_VMM_SOFT_SOFT_FAST_H
#define UMBRA_VMM_SOFT_SOFT_FAST_H

#include "vmm/soft/soft_exec.h"
#include "vmm/soft/soft_ops.h"

/* c is unused in some, where handlers do not hand it on (soft_exec.h). */
#define FAST(name)                                                                                 \
    static void name(struct soft *s, const struct insn *i, __attribute__((unused)) struct cpu *c)

/* Hand over to the exact handler. */
#define FAST_SLOW                                                                                  \
    do {                                                                                           \
        soft_exec_plain(s, i, c);                                                                  \
        return;                                                                                    \
    } while (0)
#define FAST_SLOW_END                                                                              \
    do {                                                                                           \
        soft_exec_end(s, i, c);                                                                    \
        return;                                                                                    \
    } while (0)

/* Two kinds of effective address: base + displacement, and the whole of it. */
#define EA_b (i->disp + c->gpr[i->base])
#define EA_x (i->disp + c->gpr[i->base] + (c->gpr[i->index] << i->shift))

/* Host pointer for n bits at la, or the slow way. */
#define FAST_HIT(p, T, right, la, n, slow)                                                         \
    const uint32_t p##_la = (la);                                                                  \
    const struct tlb_fast *p##_f = &s->view->fast[p##_la >> PAGE_SHIFT & (TLB_N - 1)];             \
    if (soft_unlikely(p##_f->right != ((p##_la + (n) / 8 - 1) & ~PAGE_MASK)))                      \
        slow;                                                                                      \
    T *p = (T *)(p##_f->add + p##_la)
#define FAST_R(p, la, n, slow) FAST_HIT(p, const uint8_t, r, la, n, slow)
#define FAST_W(p, la, n, slow) FAST_HIT(p, uint8_t, w, la, n, slow)

SOFT_INLINE uint8_t host_get8(const uint8_t *p)
{
    return *p;
}
SOFT_INLINE void host_put8(uint8_t *p, uint8_t v)
{
    *p = v;
}
SOFT_INLINE uint16_t host_get16(const uint8_t *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return v;
}
SOFT_INLINE void host_put16(uint8_t *p, uint16_t v)
{
    memcpy(p, &v, sizeof v);
}
SOFT_INLINE uint32_t host_get32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}
SOFT_INLINE void host_put32(uint8_t *p, uint32_t v)
{
    memcpy(p, &v, sizeof v);
}

/* In an instruction without memory operand base and index are free: destination and source
 * register, whichever way round the opcode has them. */
#define DST i->base
#define SRC i->index

/* The memory operand's address can be taken by EA_b or EA_x: its segment is flat in this mode. */
SOFT_INLINE bool fast_mem(const struct insn *i, uint32_t mode)
{
    if (i->flags & INSN_AD16)
        return false;
    return (i->seg == SEG_DS && (mode & MODE_DS_FLAT)) ||
           (i->seg == SEG_SS && (mode & MODE_SS_FLAT));
}

/* 0: base and displacement, 1: with index. */
SOFT_INLINE unsigned fast_ea(const struct insn *i)
{
    return i->index != R_NONE;
}

soft_run_fn soft_fast_alu(struct insn *i, uint32_t mode);
soft_run_fn soft_fast_move(struct insn *i, uint32_t mode);
soft_run_fn soft_fast_branch(struct insn *i, uint32_t mode);

#endif
