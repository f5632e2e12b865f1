/* See trace_insn.h. An instruction's line is written when the next one comes: only then is it known
 * what it changed. */
#include "vmm/trace_insn.h"

#include <Zydis/Zydis.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { INSN_MAX = 15, TEXT_MAX = 96 };

struct trace_insn {
    struct trace_insn_opts o;
    ZydisFormatter formatter;
    struct cpu before;       /* of the pending instruction */
    uint8_t bytes[INSN_MAX]; /* its code */
    unsigned len;            /* 0: nothing is pending */
    bool flows;              /* it may set EIP by itself */
    bool undone;
    bool failed;
    char text[TEXT_MAX];
    uint64_t dumps_left;
};

int trace_insn_create(const struct trace_insn_opts *opts, struct trace_insn **out)
{
    struct trace_insn *t = calloc(1, sizeof *t);
    if (!t)
        return -ENOMEM;
    t->o = *opts;
    ZydisFormatterInit(&t->formatter, ZYDIS_FORMATTER_STYLE_INTEL);
    ZydisFormatterSetProperty(&t->formatter, ZYDIS_FORMATTER_PROP_HEX_UPPERCASE, ZYAN_FALSE);
    *out = t;
    return 0;
}

void trace_insn_destroy(struct trace_insn *t)
{
    free(t);
}

/* --- disassembly ----------------------------------------------------------------------------- */

static void decoder_for(const struct cpu *c, ZydisDecoder *d)
{
    if (cpu_protected(c) && !cpu_v86(c) && (c->seg[SEG_CS].attr & SA_DB))
        ZydisDecoderInit(d, ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32);
    else if (cpu_protected(c) && !cpu_v86(c))
        ZydisDecoderInit(d, ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16);
    else
        ZydisDecoderInit(d, ZYDIS_MACHINE_MODE_REAL_16, ZYDIS_STACK_WIDTH_16);
}

static bool may_flow(const ZydisDecodedInstruction *zi)
{
    return zi->meta.branch_type != ZYDIS_BRANCH_TYPE_NONE ||
           zi->meta.category == ZYDIS_CATEGORY_INTERRUPT ||
           zi->meta.category == ZYDIS_CATEGORY_RET || zi->meta.category == ZYDIS_CATEGORY_SYSRET ||
           zi->meta.category == ZYDIS_CATEGORY_SYSCALL ||
           zi->meta.category == ZYDIS_CATEGORY_CALL ||
           zi->meta.category == ZYDIS_CATEGORY_UNCOND_BR ||
           zi->meta.category == ZYDIS_CATEGORY_COND_BR;
}

/* Fills bytes, len, flows and text for the instruction at EIP. */
static void disassemble(struct trace_insn *t, const struct cpu *c)
{
    ZydisDecoder d;
    ZydisDecodedInstruction zi;
    ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
    const size_t n = t->o.read(t->o.ctx, c->seg[SEG_CS].base + c->eip, t->bytes, INSN_MAX);

    decoder_for(c, &d);
    t->flows = false;
    if (n && ZYAN_SUCCESS(ZydisDecoderDecodeFull(&d, t->bytes, n, &zi, ops))) {
        t->len = zi.length;
        t->flows = may_flow(&zi);
        if (ZYAN_SUCCESS(ZydisFormatterFormatInstruction(&t->formatter, &zi, ops,
                                                         zi.operand_count_visible, t->text,
                                                         sizeof t->text, c->eip, NULL)))
            return;
    } else {
        t->len = n ? 1 : 0; /* the soft CPU raises #UD for it, or cannot fetch it at all */
    }
    snprintf(t->text, sizeof t->text, n ? "(no instruction)" : "(no memory)");
}

/* Where what an instruction changed begins. */
enum { CHANGES_AT = 60 };

/* Returns the columns written. */
static int print_code(const struct trace_insn *t, uint32_t eip, FILE *out)
{
    char hex[2 * INSN_MAX + 1] = "";
    for (unsigned i = 0; i < t->len; i++)
        snprintf(hex + 2 * (size_t)i, 3, "%02x", t->bytes[i]);
    return fprintf(out, "%08" PRIx32 "  %-14s %s", eip, hex, t->text);
}

/* --- what has changed ------------------------------------------------------------------------ */

struct changes {
    FILE *out;
    int at; /* column; negative: past the first change */
};

static void separate(struct changes *c)
{
    if (c->at >= 0)
        fprintf(c->out, "%*s ;", c->at < CHANGES_AT ? CHANGES_AT - c->at : 0, "");
    c->at = -1;
}

static void changed(struct changes *c, const char *name, uint32_t old, uint32_t now, int digits)
{
    if (old == now)
        return;
    separate(c);
    fprintf(c->out, " %s=%0*" PRIx32, name, digits, now);
}

static void changed_table(struct changes *c, const char *name, const struct desc_table *old,
                          const struct desc_table *now)
{
    if (old->base == now->base && old->limit == now->limit)
        return;
    separate(c);
    fprintf(c->out, " %s=%08" PRIx32 "/%04x", name, now->base, now->limit);
}

/* n bytes as one number, the highest first. */
static void changed_wide(struct changes *c, const char *name, unsigned index, const uint8_t *old,
                         const uint8_t *now, size_t n)
{
    if (memcmp(old, now, n) == 0)
        return;
    separate(c);
    fprintf(c->out, " %s%u=", name, index);
    while (n-- > 0)
        fprintf(c->out, "%02x", now[n]);
}

static uint32_t word_at(const uint8_t *p, size_t n)
{
    uint32_t v = 0;
    memcpy(&v, p, n);
    return v;
}

/* SDM vol. 1, table 10-2: where things lie in the FXSAVE image. */
enum {
    FX_FCW = 0,
    FX_FSW = 2,
    FX_FTW = 4,
    FX_MXCSR = 24,
    FX_ST = 32,
    FX_XMM = 160,
    FSW_TOP = 0x3800
};

static void changed_fpu(struct changes *c, const uint8_t *old, const uint8_t *now)
{
    if (memcmp(old, now, FX_XMM + 8 * 16) == 0)
        return;
    const uint32_t was = word_at(old + FX_FSW, 2), is = word_at(now + FX_FSW, 2);
    const unsigned shown = ((was ^ is) & FSW_TOP) ? 1 : 8;
    changed(c, "fcw", word_at(old + FX_FCW, 2), word_at(now + FX_FCW, 2), 4);
    changed(c, "fsw", was, is, 4);
    changed(c, "ftw", old[FX_FTW], now[FX_FTW], 2);
    changed(c, "mxcsr", word_at(old + FX_MXCSR, 4), word_at(now + FX_MXCSR, 4), 8);
    for (unsigned i = 0; i < shown; i++)
        changed_wide(c, "st", i, old + FX_ST + 16 * (size_t)i, now + FX_ST + 16 * (size_t)i, 10);
    for (unsigned i = 0; i < 8; i++)
        changed_wide(c, "xmm", i, old + FX_XMM + 16 * (size_t)i, now + FX_XMM + 16 * (size_t)i, 16);
}

static void changed_system(struct changes *c, const struct cpu *old, const struct cpu *now)
{
    static const char *const dr[8] = {"dr0", "dr1", "dr2", "dr3", "", "", "dr6", "dr7"};
    changed(c, "cpl", old->cpl, now->cpl, 1);
    changed(c, "cr0", old->cr0, now->cr0, 8);
    changed(c, "cr2", old->cr2, now->cr2, 8);
    changed(c, "cr3", old->cr3, now->cr3, 8);
    changed(c, "cr4", old->cr4, now->cr4, 8);
    changed_table(c, "gdt", &old->gdtr, &now->gdtr);
    changed_table(c, "idt", &old->idtr, &now->idtr);
    changed(c, "ldt", old->ldtr.sel, now->ldtr.sel, 4);
    changed(c, "tr", old->tr.sel, now->tr.sel, 4);
    for (int i = 0; i < 8; i++)
        if (*dr[i])
            changed(c, dr[i], old->dr[i], now->dr[i], 8);
}

static void print_changes(const struct trace_insn *t, const struct cpu *now, int at)
{
    static const char *const gpr[8] = {"eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi"};
    static const char *const seg[SEG_COUNT] = {"es", "cs", "ss", "ds", "fs", "gs"};
    const struct cpu *old = &t->before;
    struct changes c = {t->o.lines, at};

    if (!t->flows && now->eip != old->eip + t->len && now->eip != old->eip) {
        separate(&c);
        fprintf(c.out, " -> %08" PRIx32, now->eip);
    }
    for (int i = 0; i < 8; i++)
        changed(&c, gpr[i], old->gpr[i], now->gpr[i], 8);
    changed(&c, "efl", old->eflags, now->eflags, 8);
    for (int i = 0; i < SEG_COUNT; i++)
        changed(&c, seg[i], old->seg[i].sel, now->seg[i].sel, 4);
    changed_system(&c, old, now);
    changed_fpu(&c, old->fpu.fxsave, now->fpu.fxsave);
}

/* The pending instruction is over and has left the CPU like this. */
static void finish(struct trace_insn *t, const struct cpu *now)
{
    FILE *out = t->o.lines;
    if (!t->len || !out || t->failed)
        return;
    const int at = print_code(t, t->before.eip, out);
    if (t->undone)
        fputs(" ; not completed", out);
    else
        print_changes(t, now, at);
    if (putc('\n', out) == EOF || ferror(out)) {
        t->failed = true;
        t->o.failed(t->o.ctx, errno ? errno : EIO);
    }
}

/* --- breakpoints ----------------------------------------------------------------------------- */

static void check_breaks(struct trace_insn *t, const struct cpu *c)
{
    for (unsigned i = 0; i < t->o.n_breaks; i++) {
        const struct trace_break *b = &t->o.breaks[i];
        if (b->eip != c->eip)
            continue;
        fprintf(t->o.dumps, "break at %08" PRIx32 "\n", c->eip);
        if (t->dumps_left < b->follow + 1)
            t->dumps_left = b->follow + 1;
    }
    if (!t->dumps_left)
        return;
    t->dumps_left--;
    cpu_dump(c, t->o.dumps);
    print_code(t, c->eip, t->o.dumps);
    fputs("\n\n", t->o.dumps);
}

/* --- called from outside --------------------------------------------------------------------- */

void trace_insn_hook(void *ctx, const struct cpu *cpu)
{
    struct trace_insn *t = ctx;
    const bool again = t->undone && t->len && cpu->eip == t->before.eip &&
                       cpu->seg[SEG_CS].base == t->before.seg[SEG_CS].base;
    if (again) {
        t->undone = false; /* a string instruction goes on from where it stood: still one line */
        return;
    }
    finish(t, cpu);
    t->undone = false;
    t->before = *cpu;
    disassemble(t, cpu);
    check_breaks(t, cpu);
}

void trace_insn_undone(struct trace_insn *t)
{
    t->undone = true;
}

void trace_insn_end(struct trace_insn *t, const struct cpu *cpu)
{
    finish(t, cpu);
    t->len = 0;
}
