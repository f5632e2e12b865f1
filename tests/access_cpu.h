/* The processor of an access case, and where what it uses lies: the same on each engine that is
 * held against the model (access_cases.h). Guest-physical memory below ACCESS_OURS. */
#ifndef UMBRA_TESTS_ACCESS_CPU_H
#define UMBRA_TESTS_ACCESS_CPU_H

#include <string.h>

#include "tests/access_cases.h"
#include "vmm/cpu/cpu.h"
#include "vmm/cpu/regs.h"

enum {
    TABLE = 0,     /* the page table of the identity map; PAE: two of them */
    CODE = 0x6000, /* the instructions that access */
    READ_AT = CODE,
    WRITE_AT = CODE + 0x10,
    STACK = 0x8000, /* top of ring 0's */
    SEL_KCODE = 8,
    SEL_KDATA = 0x10,
    SEL_UCODE = 0x1b,
    SEL_UDATA = 0x23,
    ENTRY_ALL = 0x67, /* P W U A D */
};

static inline void access_set_seg(struct seg *g, uint16_t sel, unsigned type, unsigned dpl)
{
    *g = (struct seg){.sel = sel,
                      .attr = (uint16_t)(SA_P | SA_S | SA_G | SA_DB | type | dpl << SA_DPL_SHIFT),
                      .limit = UINT32_MAX};
}

/* Flat segments of the case's ring, its mode and tables, and EIP at the instruction that accesses
 * ACCESS_LA. */
static inline void access_set_cpu(struct cpu *cpu, const struct access_case *c)
{
    const unsigned dpl = c->user ? 3 : 0;

    cpu_set_flat(cpu, 0);
    cpu->cpl = (uint8_t)dpl;
    for (int i = 0; i < SEG_COUNT; i++)
        access_set_seg(&cpu->seg[i], c->user ? SEL_UDATA : SEL_KDATA, SA_RW | SA_ACCESSED, dpl);
    access_set_seg(&cpu->seg[SEG_CS], c->user ? SEL_UCODE : SEL_KCODE,
                   SA_CODE | SA_RW | SA_ACCESSED, dpl);
    cpu->cr0 = c->cr0;
    cpu->cr4 = c->cr4;
    cpu->cr3 = c->pae ? ACCESS_PDPT : ACCESS_PD;
    cpu->efer = c->nxe ? EFER_NXE : 0;
    memset(cpu->pdpte, 0, sizeof cpu->pdpte);
    if (c->pae)
        cpu->pdpte[0] = ACCESS_PD | 1;
    cpu->gpr[R_ESI] = ACCESS_LA;
    cpu->gpr[R_ESP] = STACK - 0x800;
    cpu->eip = c->kind == REF_FETCH   ? (uint32_t)ACCESS_LA
               : c->kind == REF_WRITE ? (uint32_t)WRITE_AT
                                      : (uint32_t)READ_AT;
}

#endif
