/* See soft_world.h. */
#include <stdlib.h>
#include <string.h>

#include "tests/soft_world.h"

void world_put32(struct world *w, uint32_t at, uint32_t v)
{
    senv_put(w->e, at, &v, 4);
}

void world_put16(struct world *w, uint32_t at, uint16_t v)
{
    senv_put(w->e, at, &v, 2);
}

uint32_t world_get32(struct world *w, uint32_t at)
{
    uint32_t v;
    memcpy(&v, senv_at(w->e, at), 4);
    return v;
}

uint16_t world_get16(struct world *w, uint32_t at)
{
    uint16_t v;
    memcpy(&v, senv_at(w->e, at), 2);
    return v;
}

static uint32_t table_of(uint16_t sel)
{
    return ((sel & 4) ? W_LDT : W_GDT) + (sel & 0xfff8u);
}

void world_desc(struct world *w, uint16_t sel, uint32_t base, uint32_t limit, uint32_t attr)
{
    world_put32(w, table_of(sel), (limit & 0xffff) | base << 16);
    world_put32(w, table_of(sel) + 4,
                (base >> 16 & 0xff) | attr << 8 | (limit & 0xf0000) | (base & 0xff000000u));
}

uint32_t world_desc_hi(struct world *w, uint16_t sel)
{
    return world_get32(w, table_of(sel) + 4);
}

void world_call_gate(struct world *w, uint16_t at, uint16_t sel, uint32_t off, uint32_t attr,
                     unsigned params)
{
    world_put32(w, table_of(at), (off & 0xffff) | (uint32_t)sel << 16);
    world_put32(w, table_of(at) + 4, (off & 0xffff0000u) | attr << 8 | params);
}

void world_idt(struct world *w, unsigned vector, uint16_t sel, uint32_t off, uint32_t attr)
{
    world_put32(w, W_IDT + 8 * vector, (off & 0xffff) | (uint32_t)sel << 16);
    world_put32(w, W_IDT + 8 * vector + 4, (off & 0xffff0000u) | attr << 8);
}

void world_set_seg(struct world *w, unsigned seg, uint16_t sel)
{
    const uint32_t lo = world_get32(w, table_of(sel)), hi = world_get32(w, table_of(sel) + 4);
    const uint32_t limit = (lo & 0xffff) | (hi & 0xf0000);
    w->c->seg[seg] = (struct seg){.sel = sel,
                                  .attr = hi >> 8 & 0xf0ff,
                                  .base = lo >> 16 | (hi & 0xff) << 16 | (hi & 0xff000000u),
                                  .limit = (hi & 1u << 23) ? limit << 12 | 0xfff : limit};
}

void world_code(struct world *w, const uint8_t *code, unsigned n)
{
    senv_put(w->e, W_CODE, code, n);
}

static void fill_gdt(struct world *w)
{
    world_desc(w, S_CODE0, 0, 0xfffff, A_CODE);
    world_desc(w, S_DATA0, 0, 0xfffff, A_DATA);
    world_desc(w, S_CODE1, 0, 0xfffff, A_CODE | A_DPL1);
    world_desc(w, S_DATA1, 0, 0xfffff, A_DATA | A_DPL1);
    world_desc(w, S_CODE2, 0, 0xfffff, A_CODE | A_DPL2);
    world_desc(w, S_DATA2, 0, 0xfffff, A_DATA | A_DPL2);
    world_desc(w, S_CODE3, 0, 0xfffff, A_CODE | A_DPL3);
    world_desc(w, S_DATA3, 0, 0xfffff, A_DATA | A_DPL3);
    world_desc(w, S_CONF0, 0, 0xfffff, A_CONF);
    world_desc(w, S_CONF3, 0, 0xfffff, A_CONF | A_DPL3);
    world_desc(w, S_CODE16, 0, 0xffff, A_CODE & ~(SA_DB | SA_G));
    world_desc(w, S_DATA16, 0, 0xffff, A_DATA & ~(SA_DB | SA_G));
    world_desc(w, S_RO0, 0, 0xfffff, A_DATA & ~SA_RW);
    world_desc(w, S_XO0, 0, 0xfffff, A_CODE & ~SA_RW);
    world_desc(w, S_TSS, W_TSS, 0x67, SA_P | ST_TSS32_BUSY);
    world_desc(w, S_TSS2, W_TSS2, 0x67, A_TSS32);
    world_desc(w, S_TSS16, W_TSS2, 0x2b, A_TSS16);
    world_desc(w, S_LDT, W_LDT, 0x7f, SA_P | ST_LDT);
    world_desc(w, S_XLDT, 0, 0xfffff, A_DATA);
}

static void fill_tss(struct world *w)
{
    world_put32(w, W_TSS + 4, W_TSS_ESP0);
    world_put32(w, W_TSS + 8, S_DATA0);
    world_put32(w, W_TSS + 12, W_TSS_ESP1);
    world_put32(w, W_TSS + 16, S_DATA1);
    world_put32(w, W_TSS + 20, W_TSS_ESP2);
    world_put32(w, W_TSS + 24, S_DATA2);
    world_put16(w, W_TSS + 102, 0x68); /* no bitmap */
}

static struct world *world_base(void)
{
    struct world *w = calloc(1, sizeof *w);
    if (!w)
        abort();
    w->e = senv_new(W_FRAMES);
    w->c = &w->e->cpu;
    w->ram_before = malloc(W_FRAMES * PAGE_SIZE);
    if (!w->ram_before)
        abort();
    fill_gdt(w);
    fill_tss(w);
    for (unsigned v = 0; v < 256; v++) {
        const uint8_t hlt[] = {0xf4, 0x90, 0x90, 0x90};
        world_idt(w, v, S_CODE0, W_HANDLERS + 16 * v, A_INT32 | A_DPL3);
        world_put32(w, 4 * v, W_HANDLERS + 16 * v); /* 0000:8000 + 16 v */
        senv_put(w->e, W_HANDLERS + 16 * v, hlt, sizeof hlt);
    }
    w->c->gdtr = (struct desc_table){W_GDT, W_GDT_LIMIT};
    w->c->idtr = (struct desc_table){W_IDT, 0x7ff};
    w->c->tr =
        (struct seg){.sel = S_TSS, .attr = SA_P | ST_TSS32_BUSY, .base = W_TSS, .limit = 0x67};
    w->c->ldtr = (struct seg){.sel = S_LDT, .attr = SA_P | ST_LDT, .base = W_LDT, .limit = 0x7f};
    w->c->eip = W_CODE;
    return w;
}

struct world *world_new(unsigned cpl)
{
    static const uint16_t code[] = {S_CODE0, S_CODE1, S_CODE2, S_CODE3};
    static const uint16_t data[] = {S_DATA0, S_DATA1, S_DATA2, S_DATA3};
    struct world *w = world_base();

    for (unsigned r = 0; r < SEG_COUNT; r++)
        world_set_seg(w, r, r == SEG_CS ? code[cpl] : data[cpl]);
    w->c->cpl = (uint8_t)cpl;
    w->c->gpr[R_ESP] = cpl ? W_STACK - 0x100 : W_STACK0 - 0x100;
    return w;
}

struct world *world_real(void)
{
    struct world *w = world_base();

    w->c->cr0 &= ~(uint32_t)CR0_PE;
    for (unsigned r = 0; r < SEG_COUNT; r++)
        w->c->seg[r] = (struct seg){.attr = SA_P | SA_S | SA_RW | SA_ACCESSED, .limit = 0xffff};
    w->c->idtr = (struct desc_table){0, 0x3ff};
    w->c->gpr[R_ESP] = 0x7f00;
    return w;
}

struct world *world_v86(unsigned iopl)
{
    struct world *w = world_base();

    for (unsigned r = 0; r < SEG_COUNT; r++)
        w->c->seg[r] =
            (struct seg){.attr = SA_P | SA_S | SA_RW | SA_ACCESSED | SA_DPL, .limit = 0xffff};
    w->c->eflags |= FL_VM | iopl << FL_IOPL_SHIFT;
    w->c->cpl = 3;
    w->c->gpr[R_ESP] = 0x7f00;
    return w;
}

void world_free(struct world *w)
{
    senv_free(w->e);
    free(w->ram_before);
    free(w);
}

static bool has_error_code(int v)
{
    return v == VEC_DF || (v >= VEC_TS && v <= VEC_PF) || v == VEC_AC;
}

static void decode_frame(struct world *w, struct outcome *o)
{
    uint32_t at = w->c->gpr[R_ESP];

    if (!(w->c->seg[SEG_SS].attr & SA_DB))
        at &= 0xffff;
    if (!cpu_protected(w->c)) {
        o->eip = world_get16(w, at);
        o->cs = world_get16(w, at + 2);
        o->flags = world_get16(w, at + 4);
        o->esp = at + 6;
        return;
    }
    if (has_error_code(o->vector)) {
        o->error = world_get32(w, at);
        at += 4;
    }
    o->eip = world_get32(w, at);
    o->cs = world_get32(w, at + 4);
    o->flags = world_get32(w, at + 8);
    o->esp = at + 12;
    o->ss = w->c->seg[SEG_SS].sel;
    o->inner = w->before.cpl != 0;
    if (o->inner) {
        o->esp = world_get32(w, at + 12);
        o->ss = world_get32(w, at + 16);
    }
}

struct outcome world_step(struct world *w)
{
    struct outcome o = {.vector = -1};

    w->before = *w->c;
    memcpy(w->ram_before, w->e->ram, W_FRAMES * PAGE_SIZE);
    o.exit = senv_run(w->e, 1);
    const uint32_t at = w->c->eip - W_HANDLERS;
    const bool standard = w->c->seg[SEG_CS].sel == (cpu_protected(w->c) ? S_CODE0 : 0);
    if (standard && at < 256 * 16 && (at & 15) <= 1) {
        o.vector = (int)(at / 16);
        decode_frame(w, &o);
    }
    return o;
}

static bool handler_stack(uint32_t at)
{
    return at >= W_STACK0 - 0x200 && at < W_TSS_ESP0;
}

static const char *ram_changed(struct world *w)
{
    static char text[80];

    for (uint32_t at = 0; at < W_FRAMES * PAGE_SIZE; at++) {
        /* Real mode pushes to the stack that the code has. */
        if (handler_stack(at) || (!cpu_protected(&w->before) && at >= 0x7e00 && at < 0x7f00))
            continue;
        if (w->e->ram[at] != w->ram_before[at]) {
            snprintf(text, sizeof text, "byte at %#x: %02x -> %02x", at, w->ram_before[at],
                     w->e->ram[at]);
            return text;
        }
    }
    return NULL;
}

const char *world_changed(struct world *w, const struct outcome *o)
{
    const struct cpu *a = &w->before, *b = w->c;
    const bool v86 = cpu_v86(a);

    for (unsigned r = 0; r < 8; r++)
        if (r != R_ESP && a->gpr[r] != b->gpr[r])
            return "a register";
    for (unsigned r = 0; r < SEG_COUNT && !v86; r++)
        if (r != SEG_CS && r != SEG_SS && memcmp(&a->seg[r], &b->seg[r], sizeof a->seg[r]))
            return "a segment register";
    if (o->eip != a->eip || (uint16_t)o->cs != a->seg[SEG_CS].sel)
        return "saved CS:EIP";
    if (o->esp != a->gpr[R_ESP] || (cpu_protected(a) && (uint16_t)o->ss != a->seg[SEG_SS].sel))
        return "saved SS:ESP";
    const uint32_t flags_mask = cpu_protected(a) ? ~(uint32_t)FL_RF : 0xffffu;
    if ((o->flags ^ a->eflags) & flags_mask)
        return "saved EFLAGS";
    if (memcmp(&a->gdtr, &b->gdtr, sizeof a->gdtr) || memcmp(&a->idtr, &b->idtr, sizeof a->idtr) ||
        memcmp(&a->ldtr, &b->ldtr, sizeof a->ldtr) || memcmp(&a->tr, &b->tr, sizeof a->tr))
        return "GDTR, IDTR, LDTR or TR";
    if (a->cr0 != b->cr0 || a->cr3 != b->cr3 || a->cr4 != b->cr4)
        return "a control register";
    return ram_changed(w);
}
