/* What the x87's two ways of executing share: soft_fpu.c (whole state) and soft_x87_fast.c. */
#ifndef UMBRA_VMM_SOFT_SOFT_X87_H
#define UMBRA_VMM_SOFT_SOFT_X87_H

#include "vmm/soft/soft_fpu.h"

/*
 * Each x87 instruction followed by RET, X87_THUNK_BYTES apart: [0..511] register forms by (opcode &
 * 7) * 64 + (modrm & 63), [512..575] memory forms by (opcode & 7) * 8 + reg, their operand at RSI.
 */
extern const uint8_t x87_thunks[] __asm__("x87_thunks");
enum { X87_THUNK_BYTES = 4, X87_MEM_THUNKS = 512 };

static inline unsigned x87_reg_thunk(const struct insn *i)
{
    return (i->opcode & 7u) * 64 + (i->modrm & 63);
}
static inline unsigned x87_mem_thunk(const struct insn *i)
{
    return X87_MEM_THUNKS + (i->opcode & 7u) * 8 + i->reg;
}

/* Bytes of the memory operand; 0: none of these. */
unsigned x87_mem_size(const struct insn *i);

/* Note the instruction and its operand for a handler of its exception (SDM vol. 1, 8.1.8
 * and 8.1.9). */
static inline void x87_note_insn(struct soft *s, const struct insn *i)
{
    uint8_t *fx = fpu_image(s);
    fx_put16(fx, FX_FOP, (i->opcode & 7u) << 8 | i->modrm);
    fx_put32(fx, FX_FIP, CPU(s)->eip);
    fx_put32(fx, FX_FCS, CPU(s)->seg[SEG_CS].sel);
}
static inline void x87_note_data(struct soft *s, const struct insn *i, uint32_t off)
{
    uint8_t *fx = fpu_image(s);
    fx_put32(fx, FX_FDP, off);
    fx_put32(fx, FX_FDS, CPU(s)->seg[i->seg].sel);
}

/* Handlers that move the whole state. */
void x87_whole_load(struct soft *s, const struct insn *i);
/* ... with the operand, read from off, in buf. */
void x87_whole_loaded(struct soft *s, const struct insn *i, uint32_t off, void *buf);
void x87_whole_store(struct soft *s, const struct insn *i);
void x87_whole_reg(struct soft *s, const struct insn *i);
void x87_whole_reg_flags(struct soft *s, const struct insn *i);

/* The handler of soft_x87_fast.c, NULL: has none. */
soft_op x87_fast_op(const struct insn *i);

#endif
