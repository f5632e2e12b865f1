/* Initial states and the register dump of a processor. */
#include <inttypes.h>
#include <string.h>

#include "vmm/cpu/cpu.h"

static void fpu_reset(struct fpu_state *f)
{
    memset(f, 0, sizeof *f);
    f->fxsave[0] = 0x7f; /* FCW = 037FH, as FNINIT leaves it (SDM vol. 1, 8.1.5) */
    f->fxsave[1] = 0x03;
    f->fxsave[24] = 0x80; /* MXCSR = 1F80H (SDM vol. 1, 10.2.3) */
    f->fxsave[25] = 0x1f;
}

static struct seg real_seg(uint16_t sel, uint32_t base, uint16_t type)
{
    return (struct seg){.sel = sel,
                        .attr = (uint16_t)(SA_P | SA_S | SA_ACCESSED | type),
                        .base = base,
                        .limit = 0xffff};
}

void cpu_reset(struct cpu *cpu)
{
    memset(cpu, 0, sizeof *cpu);
    cpu->eip = 0xfff0;
    cpu->eflags = FL_ONE;
    cpu->cr0 = CR0_ET | CR0_NW | CR0_CD;
    for (int i = 0; i < SEG_COUNT; i++)
        cpu->seg[i] = real_seg(0, 0, SA_RW);
    cpu->seg[SEG_CS] = real_seg(0xf000, 0xffff0000, SA_RW | SA_CODE);
    cpu->gdtr.limit = cpu->idtr.limit = 0xffff;
    cpu->ldtr = (struct seg){.attr = SA_P | ST_LDT, .limit = 0xffff};
    cpu->tr = (struct seg){.attr = SA_P | ST_TSS32_BUSY, .limit = 0xffff};
    cpu->dr[6] = 0xffff0ff0;
    cpu->dr[7] = 0x400;
    cpu->gpr[R_EDX] = 0x600; /* family 6 */
    cpu->pat = 0x0007040600070406;
    cpu->apic_base = 0xfee00900;
    cpu->misc_enable = 1; /* fast strings */
    fpu_reset(&cpu->fpu);
}

void cpu_set_flat(struct cpu *cpu, uint32_t eip)
{
    const struct seg data = {.sel = 0x10,
                             .attr = SA_P | SA_S | SA_RW | SA_ACCESSED | SA_DB | SA_G,
                             .base = 0,
                             .limit = UINT32_MAX};
    cpu_reset(cpu);
    cpu->cr0 = CR0_PE | CR0_ET;
    cpu->eip = eip;
    cpu->gpr[R_EDX] = 0;
    for (int i = 0; i < SEG_COUNT; i++)
        cpu->seg[i] = data;
    cpu->seg[SEG_CS].sel = 0x08;
    cpu->seg[SEG_CS].attr |= SA_CODE;
    cpu->gdtr.limit = cpu->idtr.limit = 0;
}

static void dump_seg(FILE *out, const char *name, const struct seg *s)
{
    fprintf(out, "%-3s=%04x %08" PRIx32 " %08" PRIx32 " %04x DPL=%d%s\n", name, s->sel, s->base,
            s->limit, s->attr, (s->attr & SA_DPL) >> SA_DPL_SHIFT,
            (s->attr & SA_P) ? "" : " (unusable)");
}

void cpu_dump(const struct cpu *c, FILE *out)
{
    static const char *const seg_names[SEG_COUNT] = {"ES", "CS", "SS", "DS", "FS", "GS"};
    static const char flag_letters[] = "CPAZSDO";
    static const uint32_t flag_bits[] = {FL_CF, FL_PF, FL_AF, FL_ZF, FL_SF, FL_DF, FL_OF};
    char flags[sizeof flag_letters];

    for (size_t i = 0; i < sizeof flag_bits / sizeof *flag_bits; i++)
        flags[6 - i] = (c->eflags & flag_bits[i]) ? flag_letters[i] : '-';
    flags[7] = '\0';

    fprintf(out,
            "EAX=%08" PRIx32 " EBX=%08" PRIx32 " ECX=%08" PRIx32 " EDX=%08" PRIx32
            "\nESI=%08" PRIx32 " EDI=%08" PRIx32 " EBP=%08" PRIx32 " ESP=%08" PRIx32
            "\nEIP=%08" PRIx32 " EFL=%08" PRIx32 " [%s] CPL=%d HLT=%d\n",
            c->gpr[R_EAX], c->gpr[R_EBX], c->gpr[R_ECX], c->gpr[R_EDX], c->gpr[R_ESI],
            c->gpr[R_EDI], c->gpr[R_EBP], c->gpr[R_ESP], c->eip, c->eflags, flags, c->cpl,
            c->halted);
    for (int i = 0; i < SEG_COUNT; i++)
        dump_seg(out, seg_names[i], &c->seg[i]);
    dump_seg(out, "LDT", &c->ldtr);
    dump_seg(out, "TR", &c->tr);
    fprintf(out, "GDT=     %08" PRIx32 " %08x\nIDT=     %08" PRIx32 " %08x\n", c->gdtr.base,
            c->gdtr.limit, c->idtr.base, c->idtr.limit);
    fprintf(out, "CR0=%08" PRIx32 " CR2=%08" PRIx32 " CR3=%08" PRIx32 " CR4=%08" PRIx32 "\n",
            c->cr0, c->cr2, c->cr3, c->cr4);
    fprintf(out,
            "DR0=%08" PRIx32 " DR1=%08" PRIx32 " DR2=%08" PRIx32 " DR3=%08" PRIx32 " DR6=%08" PRIx32
            " DR7=%08" PRIx32 "\nEFER=%016" PRIx64 "\n",
            c->dr[0], c->dr[1], c->dr[2], c->dr[3], c->dr[6], c->dr[7], c->efer);
}
