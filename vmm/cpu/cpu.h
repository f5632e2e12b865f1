/*
 * The architectural state of one i386 processor, shared by every engine: between two runs of an
 * engine this struct is the truth, exact, whatever the engine keeps inside.
 */
#ifndef UMBRA_VMM_CPU_CPU_H
#define UMBRA_VMM_CPU_CPU_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "vmm/cpu/regs.h"

/* A segment register with its hidden part. limit is in bytes, granularity already applied. A
 * segment loaded with a NULL selector has SA_P clear in attr. */
struct seg {
    uint16_t sel;
    uint16_t attr; /* enum seg_attr */
    uint32_t base;
    uint32_t limit;
};

struct desc_table {
    uint32_t base; /* linear */
    uint16_t limit;
};

/* x87/MMX/SSE state in the layout of FXSAVE (SDM vol. 1, table 10-2). */
struct fpu_state {
    _Alignas(16) uint8_t fxsave[512];
};

struct cpu {
    uint32_t gpr[9]; /* by enum gpr; gpr[R_NONE] is always 0, so that an address needs no test */
    uint32_t eip;
    uint32_t eflags;
    struct seg seg[SEG_COUNT]; /* by enum segreg */
    struct seg ldtr, tr;
    struct desc_table gdtr, idtr;
    uint32_t cr0, cr2, cr3, cr4;
    uint32_t dr[8];
    uint64_t efer;
    uint64_t pdpte[4]; /* PAE: loaded with CR3 (SDM vol. 3, 4.4.1) */
    uint8_t cpl;       /* 0..3; 0 in real mode, 3 in virtual-8086 mode */
    bool int_shadow;  /* after STI, MOV SS, POP SS: no interrupt before the next instruction ends */
    bool db_shadow;   /* after MOV SS, POP SS: no debug trap either */
    bool halted;      /* in HLT */
    bool nmi_blocked; /* between an NMI and the next IRET */
    uint32_t sysenter_cs, sysenter_esp, sysenter_eip;
    uint64_t tsc_offset; /* guest TSC = host TSC (or instruction count) + this */
    uint64_t pat, misc_enable, apic_base, mtrr_def_type;
    struct fpu_state fpu;
};

/* What SDM vol. 3 table 9-1 has after RESET: real mode, CS:EIP = F000:FFF0, base 0xFFFF0000. */
void cpu_reset(struct cpu *cpu);
/* Flat 32-bit protected mode, paging off, as the Multiboot 1 specification (3.2) leaves it. CS
 * 0x08, data 0x10, limits 4 GiB, IF clear; GDTR/IDTR empty. */
void cpu_set_flat(struct cpu *cpu, uint32_t eip);
/* Registers as QEMU's "info registers" shows them. */
void cpu_dump(const struct cpu *cpu, FILE *out);

static inline bool cpu_protected(const struct cpu *c)
{
    return (c->cr0 & CR0_PE) != 0;
}
static inline bool cpu_v86(const struct cpu *c)
{
    return (c->eflags & FL_VM) != 0;
}
static inline bool cpu_paging(const struct cpu *c)
{
    return (c->cr0 & CR0_PG) != 0;
}

#endif
