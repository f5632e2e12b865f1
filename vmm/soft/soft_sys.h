/*
 * What the system part of the soft CPU (soft_seg.c, soft_far.c, soft_iret.c, soft_task.c,
 * soft_event.c, soft_io.c, soft_ctrl.c) shares inside: descriptors, stacks of another ring, and the
 * handlers that soft_sys.c gives to instructions.
 *
 * Error codes are built by sel_error(): bits 15..2 of the selector, and ext (EXT, bit 0) where the
 * check happens while an event is delivered (SDM vol. 3, 6.13).
 */
#ifndef UMBRA_VMM_SOFT_SOFT_SYS_H
#define UMBRA_VMM_SOFT_SOFT_SYS_H

#include "vmm/soft/soft_int.h"

/* --- descriptors (soft_seg.c) --- */

/* A descriptor as read from GDT or LDT. */
struct desc {
    uint32_t w[2];
    la_t la;       /* where it lies */
    uint16_t sel;  /* selector that named it */
    uint16_t attr; /* enum seg_attr */
};

static inline bool sel_null(uint16_t sel)
{
    return (sel & 0xfffc) == 0;
}

static inline uint32_t sel_error(uint16_t sel, uint32_t ext)
{
    return (sel & 0xfffcu) | ext;
}

static inline unsigned sel_rpl(uint16_t sel)
{
    return sel & 3u;
}

static inline bool sel_local(uint16_t sel)
{
    return (sel & 4) != 0;
}

static inline unsigned attr_dpl(uint16_t attr)
{
    return (attr & SA_DPL) >> SA_DPL_SHIFT;
}

static inline bool attr_code(uint16_t attr)
{
    return (attr & (SA_S | SA_CODE)) == (SA_S | SA_CODE);
}

static inline bool attr_conforming(uint16_t attr)
{
    return (attr & (SA_S | SA_CODE | SA_EC)) == (SA_S | SA_CODE | SA_EC);
}

static inline bool attr_writable_data(uint16_t attr)
{
    return (attr & (SA_S | SA_CODE | SA_RW)) == (SA_S | SA_RW);
}

static inline bool attr_readable(uint16_t attr)
{
    return (attr & SA_S) && (!(attr & SA_CODE) || (attr & SA_RW));
}

/* Type of a system descriptor (enum sys_type), -1 for code and data. */
static inline int attr_system(uint16_t attr)
{
    return (attr & SA_S) ? -1 : (int)(attr & SA_TYPE);
}

static inline bool tss_is32(uint16_t attr)
{
    return (attr & SA_TYPE & ~2) == ST_TSS32;
}

/* Read sel's descriptor from its table; outside the table or NULL: vector with sel's error code. */
void soft_desc_get(struct soft *s, uint16_t sel, uint8_t vector, uint32_t ext, struct desc *out);
/* As soft_desc_get(), but false instead of an exception. */
bool soft_desc_try(struct soft *s, uint16_t sel, struct desc *out);
static inline uint32_t soft_desc_limit(const struct desc *d)
{
    const uint32_t raw = (d->w[0] & 0xffff) | (d->w[1] & 0xf0000);
    return (d->attr & SA_G) ? (raw << 12) | 0xfff : raw;
}

static inline uint32_t soft_desc_base(const struct desc *d)
{
    return (d->w[0] >> 16) | (d->w[1] & 0xff) << 16 | (d->w[1] & 0xff000000u);
}

/* The register as loaded from d, with selector sel. Inline so that it is built where it will stay:
 * copied, its small fields would stall on their way through the store buffer. */
static inline struct seg soft_desc_seg(const struct desc *d, uint16_t sel)
{
    const uint16_t accessed = (d->attr & SA_S) ? SA_ACCESSED : 0;
    return (struct seg){.sel = sel,
                        .attr = d->attr | accessed,
                        .base = soft_desc_base(d),
                        .limit = soft_desc_limit(d)};
}

/* Setting the accessed bit in memory, as each load of a code or data segment does: the probe faults
 * as the write would, so that several loads can be made as one. */
void soft_accessed_probe(struct soft *s, const struct desc *d);
void soft_accessed_set(struct soft *s, const struct desc *d);

/* Load CS with d (checked before, accessed bit set here) at privilege cpl. */
void soft_set_cs(struct soft *s, const struct desc *d, unsigned cpl);
/* Is eip within the segment's limit? */
void soft_check_eip(struct soft *s, uint32_t eip, uint32_t limit, uint32_t ext);
/* The checks of a load of SS for privilege cpl with the given vector (#GP for MOV and IRET, #TS for
 * a stack from the TSS), and of presence (#SS). SDM vol. 3, 5.7. */
void soft_check_ss(struct soft *s, uint16_t sel, unsigned cpl, uint8_t vector, uint32_t ext,
                   struct desc *out);
/* ES, DS, FS, GS that privilege cpl may not keep become NULL (SDM vol. 2, RET and IRET). */
void soft_drop_segs(struct soft *s, unsigned cpl);
/* Segment registers as virtual-8086 mode has them. */
struct seg soft_v86_seg(uint16_t sel);
void soft_end_of_seg_load(struct soft *s, unsigned seg);

/* --- stacks (soft_stack.c) --- */

/* A stack that is pushed to before it is the current one. */
struct stack {
    struct seg ss;
    uint32_t esp;
    bool user;      /* access with CPL-3 rights */
    uint32_t error; /* error code of #SS */
};

static inline uint32_t stack_mask(const struct seg *ss)
{
    return (ss->attr & SA_DB) ? UINT32_MAX : 0xffffu;
}

static inline uint32_t stack_pointer(const struct seg *ss, uint32_t old, uint32_t val)
{
    const uint32_t m = stack_mask(ss);
    return (old & ~m) | (val & m);
}

struct stack soft_stack_now(struct soft *s, uint32_t error);
/* Would n pushes of size bytes succeed? #SS(st->error) or #PF as they would. */
void soft_stack_probe(struct soft *s, const struct stack *st, unsigned n, unsigned size);
/* Push v[0] first. Returns the new stack pointer. Probe first. */
uint32_t soft_stack_push(struct soft *s, const struct stack *st, const uint32_t *v, unsigned n,
                         unsigned size);
/* The k-th word or dword (size 2, 4) above the current stack's top, plus off bytes. */
uint32_t soft_stack_peek(struct soft *s, unsigned k, uint32_t off, unsigned size);
/* ESP or SP of the current stack moves by n bytes. */
void soft_stack_move(struct soft *s, uint32_t n);
/* The stack that the TSS holds for privilege dpl, all checks made (SDM vol. 3, 5.8.5 and 6.12.1):
 * #TS, #SS. */
void soft_inner_stack(struct soft *s, unsigned dpl, uint32_t ext, struct stack *st,
                      struct desc *ssd);

/* --- task switch --- */

struct task_args {
    uint16_t sel; /* of the new TSS; its descriptor is checked for type and presence already */
    enum task_why why;
    const struct soft_event *event; /* TASK_INT: whose error code is pushed */
    uint32_t ext;
    uint32_t saved_eip;
    uint32_t saved_flags; /* OR-ed into the EFLAGS image of the old task (RF) */
};
void soft_task_switch_to(struct soft *s, const struct task_args *a);
/* Its first part, up to where soft_task_finish() takes over. */
void soft_task_commit(struct soft *s, const struct task_args *a);

/* --- debug --- */

/* A port was accessed: DR6 bits of I/O breakpoints that match (SDM vol. 3, 17.2.4). */
void soft_debug_io(struct soft *s, uint16_t port, unsigned size);

/* Features of the guest's CPUID that decide over CR4 and EFER bits, and over IA32_TSC_ADJUST. */
uint32_t soft_cr4_allowed(struct soft *s);
uint64_t soft_efer_allowed(struct soft *s);
bool soft_tsc_adjusts(struct soft *s);

/* #GP(0) unless CPL is 0. */
static inline void soft_need_cpl0(struct soft *s)
{
    if (CPU(s)->cpl != 0)
        soft_raise_err(s, VEC_GP, 0);
}

/* #UD in real and virtual-8086 mode. */
static inline void soft_need_protected(struct soft *s)
{
    if (!cpu_protected(CPU(s)) || cpu_v86(CPU(s)))
        soft_raise(s, VEC_UD);
}

static inline bool insn_op16(const struct insn *i)
{
    return (i->flags & INSN_OP16) != 0;
}

static inline unsigned insn_opsize(const struct insn *i)
{
    return insn_op16(i) ? 2 : 4;
}

static inline void gpr_set(struct cpu *c, unsigned r, uint32_t v, bool op16)
{
    c->gpr[r] = op16 ? (c->gpr[r] & 0xffff0000u) | (v & 0xffff) : v;
}

/* r/m16 as a source; a register's low half. */
uint16_t soft_rm16(struct soft *s, const struct insn *i);
/* A 16-bit system value to r/m: memory gets 16 bits, a 32-bit register the value zero-extended. */
void soft_store_rm16(struct soft *s, const struct insn *i, uint32_t v);

/* --- handlers --- */

#define SOFT_HANDLER(name) void name(struct soft *s, const struct insn *i)
/* soft_segop.c */
SOFT_HANDLER(soft_op_mov_to_seg);
SOFT_HANDLER(soft_op_mov_from_seg);
SOFT_HANDLER(soft_op_push_seg);
SOFT_HANDLER(soft_op_pop_seg);
SOFT_HANDLER(soft_op_load_far_ptr);
SOFT_HANDLER(soft_op_lar);
SOFT_HANDLER(soft_op_lsl);
SOFT_HANDLER(soft_op_verr);
SOFT_HANDLER(soft_op_verw);
SOFT_HANDLER(soft_op_arpl);
SOFT_HANDLER(soft_op_lldt);
SOFT_HANDLER(soft_op_sldt);
SOFT_HANDLER(soft_op_ltr);
SOFT_HANDLER(soft_op_str);
/* soft_far.c, soft_iret.c */
SOFT_HANDLER(soft_op_jmp_far_imm);
SOFT_HANDLER(soft_op_call_far_imm);
SOFT_HANDLER(soft_op_jmp_far_mem);
SOFT_HANDLER(soft_op_call_far_mem);
SOFT_HANDLER(soft_op_ret_far);
SOFT_HANDLER(soft_op_iret);
SOFT_HANDLER(soft_op_sysenter);
SOFT_HANDLER(soft_op_sysexit);
/* soft_io.c */
SOFT_HANDLER(soft_op_in);
SOFT_HANDLER(soft_op_out);
SOFT_HANDLER(soft_op_ins);
SOFT_HANDLER(soft_op_outs);
/* soft_flagop.c */
SOFT_HANDLER(soft_op_cli);
SOFT_HANDLER(soft_op_sti);
SOFT_HANDLER(soft_op_pushf);
SOFT_HANDLER(soft_op_popf);
SOFT_HANDLER(soft_op_int);
SOFT_HANDLER(soft_op_int1);
SOFT_HANDLER(soft_op_int3);
SOFT_HANDLER(soft_op_into);
/* soft_ctrl.c */
SOFT_HANDLER(soft_op_mov_from_cr);
SOFT_HANDLER(soft_op_mov_to_cr);
SOFT_HANDLER(soft_op_mov_from_dr);
SOFT_HANDLER(soft_op_mov_to_dr);
SOFT_HANDLER(soft_op_lmsw);
SOFT_HANDLER(soft_op_smsw);
SOFT_HANDLER(soft_op_clts);
SOFT_HANDLER(soft_op_lgdt);
SOFT_HANDLER(soft_op_lidt);
SOFT_HANDLER(soft_op_sgdt);
SOFT_HANDLER(soft_op_sidt);
SOFT_HANDLER(soft_op_invlpg);
SOFT_HANDLER(soft_op_hlt);
SOFT_HANDLER(soft_op_cache);
/* soft_msr.c */
SOFT_HANDLER(soft_op_rdmsr);
SOFT_HANDLER(soft_op_wrmsr);
SOFT_HANDLER(soft_op_rdtsc);
SOFT_HANDLER(soft_op_rdpmc);
SOFT_HANDLER(soft_op_cpuid);
#undef SOFT_HANDLER

#endif
