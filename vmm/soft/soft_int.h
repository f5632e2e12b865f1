/*
 * Inside of the soft CPU: the decoded instruction, guest memory access, flags, and how a handler
 * raises an exception. For files in vmm/soft/ only.
 *
 * Rules of a handler (struct insn.op):
 *  S1  cpu->eip is the address of the instruction; s->next_eip is preset to the one behind it and
 * is what a control transfer writes. (Handlers flagged INSN_FAST need not have eip in step.) S2
 * Guest memory may fault at any access: the access does not return (soft_raise or soft_miss longjmp
 * to the run loop). So a handler changes registers, flags and memory only when nothing can fault
 * any more; where it makes several stores it probes all of them first. An instruction that faults
 * has changed nothing. S3  Flags are read and written through soft_flags()/soft_set_flags(): they
 * may be lazy. S4  Handlers that change CS, CPL, paging, segment limits or IF are INSN_ENDS: the
 * block stops there.
 */
#ifndef UMBRA_VMM_SOFT_SOFT_INT_H
#define UMBRA_VMM_SOFT_SOFT_INT_H

#include <setjmp.h>
#include <stdatomic.h>

#include <Zydis/Zydis.h>

#include "vmm/soft/soft.h"

struct insn;
typedef void (*soft_op)(struct soft *s, const struct insn *i);
/* What the block executor calls: does the instruction, then goes on to the next one (soft_exec.h).
 */
typedef void (*soft_run_fn)(struct soft *s, const struct insn *i, struct cpu *c);

enum insn_flags {
    INSN_FAST = 1u << 0, /* integer instruction: needs no EIP in step, cannot change system state */
    INSN_ENDS = 1u << 1, /* the block ends behind it */
    INSN_REP = 1u << 2,  /* F3 (REP, REPE) */
    INSN_REPNE = 1u << 3,
    INSN_LOCK = 1u << 4,
    INSN_MEM =
        1u << 5, /* the ModRM operand is in memory: seg, base, index, scale, disp are valid */
    INSN_OP16 = 1u << 6, /* operand size 16 */
    INSN_AD16 = 1u << 7, /* address size 16 */
};

/* A decoded instruction. */
struct insn {
    soft_run_fn run;   /* set by the block cache */
    soft_op op;        /* set by whoever decodes it */
    uint16_t flags;    /* enum insn_flags */
    uint16_t mnemonic; /* ZydisMnemonic */
    uint8_t len;       /* bytes, 1..15 */
    uint8_t opcode;    /* last opcode byte */
    uint8_t modrm;     /* ModRM byte, 0 if none */
    uint8_t reg;       /* ModRM.reg, or the register in the opcode */
    uint8_t rm;        /* ModRM.rm where it names a register */
    uint8_t seg;       /* effective segment of the memory operand (enum segreg), override applied */
    uint8_t base;      /* enum gpr, R_NONE */
    uint8_t index;     /* enum gpr, R_NONE */
    uint8_t shift;     /* log2 of the scale */
    uint8_t map;       /* ZydisOpcodeMap: 0 one-byte, 1 0F, 2 0F38, 3 0F3A */
    uint8_t n_raw;     /* = len */
    uint8_t idx;       /* position in its block */
    uint32_t eip;      /* where it was decoded */
    uint32_t disp;     /* sign-extended; moffs and far-pointer forms: the offset */
    uint32_t imm;      /* first immediate, sign-extended to 32 bits where the manual does */
    uint32_t imm2;     /* ENTER's level; far pointer's selector */
    uint8_t raw[16];   /* the bytes as fetched */
};

/* A task switch behind its commit point whose segments are still to be loaded (soft_task.c). */
struct soft_task {
    bool loading;   /* soft_task_finish() must run before any instruction */
    bool by_event;  /* begun by the delivery of .event */
    bool trap;      /* the TSS's T bit */
    bool has_error; /* error is still to be pushed on the new stack */
    uint32_t error, ext;
    struct soft_event event;
};

/* The part of struct soft that all files share; soft.c's own fields follow it in struct soft. */
struct soft_core {
    struct cpu *cpu;
    const struct soft_env *env;
    jmp_buf *jmp;      /* where raise and miss land */
    uint32_t next_eip; /* S1 */
    uint16_t cc;       /* the arithmetic flags while the soft CPU runs, owned by soft_flags.h */
    _Atomic uint32_t attention; /* bits of enum soft_attention: checked between blocks */
    /* the exception being raised, for the run loop */
    struct soft_event event;
    bool in_delivery;    /* inside delivery of an event: a fault now is a double fault candidate */
    uint32_t db_pending; /* DR6 bits of data breakpoints hit by the current instruction */
    struct soft_exit_info *exit;
    bool stepped; /* EFLAGS.TF was set when the current instruction began */
    struct soft_task task;
    bool ferr; /* FERR# as it was told last */
    bool once; /* the event being raised will not come again when its instruction is restarted */
};

enum soft_attention { SOFT_ATT_KICK = 1, SOFT_ATT_INTR = 2, SOFT_ATT_SINGLE = 4 };

/* struct soft starts with struct soft_core: use soft_core(s) or s->... within soft.c. */
static inline struct soft_core *soft_core(struct soft *s)
{
    return (struct soft_core *)(void *)s;
}
#define CPU(s) (soft_core(s)->cpu)

/* --- exceptions (soft.c) ------------------------------------------------------------------- */

/* Raise a fault at the current instruction; does not return. */
_Noreturn void soft_raise(struct soft *s, uint8_t vector); /* no error code */
_Noreturn void soft_raise_err(struct soft *s, uint8_t vector, uint32_t error);
/* A trap: the instruction has ended, the saved EIP is next_eip. */
_Noreturn void soft_raise_trap(struct soft *s, uint8_t vector);
/* INT n, INT3, INTO, INT1 by instruction. */
_Noreturn void soft_raise_softint(struct soft *s, uint8_t vector);
/* End soft_run() with an exit that is not an exception (UNSUPPORTED, SHUTDOWN); fmt as printf. */
_Noreturn void soft_leave(struct soft *s, enum soft_exit kind, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* --- memory (soft_mem.c; inline fast paths in soft_mem.h) ---------------------------------- */

/* Through a segment register: checks type, limit, NULL (#GP(0), #SS(0) for SS), then linear. */
uint32_t soft_read8(struct soft *s, unsigned seg, uint32_t off);
uint32_t soft_read16(struct soft *s, unsigned seg, uint32_t off);
uint32_t soft_read32(struct soft *s, unsigned seg, uint32_t off);
uint64_t soft_read64(struct soft *s, unsigned seg, uint32_t off);
void soft_write8(struct soft *s, unsigned seg, uint32_t off, uint32_t v);
void soft_write16(struct soft *s, unsigned seg, uint32_t off, uint32_t v);
void soft_write32(struct soft *s, unsigned seg, uint32_t off, uint32_t v);
void soft_write64(struct soft *s, unsigned seg, uint32_t off, uint64_t v);
/* Any length up to 512 bytes; one segment check, each page translated before a byte moves. */
void soft_read_block(struct soft *s, unsigned seg, uint32_t off, void *buf, unsigned len);
void soft_write_block(struct soft *s, unsigned seg, uint32_t off, const void *buf, unsigned len);
/* Would a write of len bytes succeed? Faults as the write would. */
void soft_probe_write(struct soft *s, unsigned seg, uint32_t off, unsigned len);
/* seg:off -> la with all checks for an access of len bytes. */
la_t soft_seg_check(struct soft *s, unsigned seg, uint32_t off, unsigned len, enum soft_access acc);

/* By linear address. user: with CPL-3 rights; false: an implicit supervisor access (descriptor
 * tables, TSS, stack of an inner ring). Faults are #PF only. */
uint32_t soft_la_read8(struct soft *s, la_t la, bool user);
uint32_t soft_la_read16(struct soft *s, la_t la, bool user);
uint32_t soft_la_read32(struct soft *s, la_t la, bool user);
void soft_la_write8(struct soft *s, la_t la, uint32_t v, bool user);
void soft_la_write16(struct soft *s, la_t la, uint32_t v, bool user);
void soft_la_write32(struct soft *s, la_t la, uint32_t v, bool user);
void soft_la_probe_write(struct soft *s, la_t la, unsigned len, bool user);
void soft_la_probe_read(struct soft *s, la_t la, unsigned len, bool user);

/* Effective offset of the memory operand (address size applied, no segment base). */
static inline uint32_t soft_ea(const struct soft *s, const struct insn *i)
{
    const struct cpu *c = ((const struct soft_core *)(const void *)s)->cpu;
    uint32_t a = i->disp + c->gpr[i->base] + (c->gpr[i->index] << i->shift);
    return (i->flags & INSN_AD16) ? (a & 0xffff) : a;
}

/* --- flags (soft_flags.c) ------------------------------------------------------------------ */
uint32_t soft_flags(struct soft *s); /* EFLAGS, exact */
void soft_set_flags(struct soft *s, uint32_t mask,
                    uint32_t bits); /* EFLAGS = (old & ~mask) | bits */

/* --- system part: segments, transfers, events, tasks --------------------------------------- */

/* soft_seg.c: load a segment register as MOV/POP/LDS do in the current mode, with all checks. */
void soft_load_seg(struct soft *s, unsigned seg, uint16_t sel);
/* Read a descriptor; false: beyond the table's limit or NULL. *la: where it lies. */
bool soft_read_desc(struct soft *s, uint16_t sel, uint32_t desc[2], la_t *la);
void soft_desc_to_seg(uint16_t sel, const uint32_t desc[2], struct seg *out);
/* Real and virtual-8086 mode. */
void soft_load_seg_real(struct soft *s, unsigned seg, uint16_t sel);

/* soft_far.c */
void soft_far_jmp(struct soft *s, uint16_t sel, uint32_t off, bool op32);
void soft_far_call(struct soft *s, uint16_t sel, uint32_t off, bool op32);
void soft_far_ret(struct soft *s, uint16_t imm, bool op32);
void soft_iret(struct soft *s, bool op32);

/* soft_task.c: SDM vol. 3, 7.3. err_code is pushed on the new stack if has_err. */
enum task_why { TASK_JMP, TASK_CALL, TASK_IRET, TASK_INT };
void soft_task_switch(struct soft *s, uint16_t tss_sel, enum task_why why, bool has_err,
                      uint32_t err);

/* Load what a task switch has left to load: the run loop calls it while soft_core.task.loading,
 * before it fetches anything. Faults are those of the new task; a miss leaves it to be called
 * again. */
void soft_task_finish(struct soft *s);

/* soft_event.c: one delivery through the IDT or IVT; may raise (soft.c turns a fault during a
 * delivery into #DF or shutdown by SDM vol. 3 table 6-5). */
void soft_deliver_event(struct soft *s, const struct soft_event *ev);
/* Debug: called by the run loop after an instruction (cpu->eip and next_eip are behind it) that
 * began with EFLAGS.TF set, soft_core.stepped saying so, or left db_pending. Raises #DB as a trap
 * if there is one to take. The shadow of MOV SS is honoured: the run loop clears it before each
 * instruction. */
void soft_check_debug(struct soft *s);
/* Called before an instruction when code breakpoints are armed: #DB as a fault, unless RF. */
void soft_check_code_breakpoint(struct soft *s);

/* soft_io.c: #GP(0) unless CPL <= IOPL or the TSS bitmap allows it (SDM vol. 1, 18.5). */
void soft_check_io(struct soft *s, uint16_t port, unsigned size);

/* The instruction at hand goes on when it is met again (a REP with more to do), and counts then. */
void soft_uncount(struct soft *s);

/* After CPL, CR0, segments or such changed under the run loop's feet: forget derived state. */
void soft_mode_changed(struct soft *s);

/* --- who handles an instruction ------------------------------------------------------------ */

/* soft_sys.c (system and segment instructions) and soft_fpu.c (x87, MMX, SSE) each are asked at
 * decode time: set i->op and INSN_ENDS and return true if the instruction is theirs. */
bool soft_sys_decode(const ZydisDecodedInstruction *zi, struct insn *i);
bool soft_fpu_decode(const ZydisDecodedInstruction *zi, struct insn *i);

#endif
