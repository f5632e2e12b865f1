/* See diff_case.h. */
#include "tests/diff_case.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "vmm/cpu/regs.h"

ZydisMnemonic diff_mnemonic(const struct diff_case *c, unsigned k)
{
    ZydisDecoder dec;
    ZydisDecodedInstruction zi;
    ZydisDecoderInit(&dec, ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32);
    return ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&dec, NULL, c->code[k], c->len[k], &zi))
               ? zi.mnemonic
               : ZYDIS_MNEMONIC_INVALID;
}

bool diff_has_mnemonic(const struct diff_case *c, ZydisMnemonic m)
{
    for (unsigned k = 0; k < c->n; k++)
        if (diff_mnemonic(c, k) == m)
            return true;
    return false;
}

ZydisMnemonic diff_mnemonic_at(const struct diff_case *c, uint32_t la)
{
    uint32_t at = c->start;
    for (unsigned k = 0; k < c->n; at += c->len[k++])
        if (at == la)
            return diff_mnemonic(c, k);
    return ZYDIS_MNEMONIC_INVALID;
}

struct shrinker {
    struct diff_case *c;
    bool (*still)(void *ctx, const struct diff_case *c);
    void *ctx;
};

static void try_with(struct shrinker *s, const struct diff_case *smaller)
{
    if (s->still(s->ctx, smaller))
        *s->c = *smaller;
}

void diff_shrink(struct diff_case *c, bool (*still)(void *ctx, const struct diff_case *c),
                 void *ctx)
{
    struct shrinker s = {c, still, ctx};
    struct diff_case t;
    for (unsigned k = 0; k < c->n; k++) { /* NOPs instead, so that addresses stay */
        t = *c;
        memset(t.code[k], 0x90, t.len[k]);
        try_with(&s, &t);
    }
    for (unsigned k = c->n_patch; k-- > 0;) {
        t = *c;
        t.patch[k] = t.patch[--t.n_patch];
        try_with(&s, &t);
    }
    for (int i = 0; i < 8; i++) {
        t = *c;
        t.in.gpr[i] = 0;
        try_with(&s, &t);
    }
    t = *c;
    t.in.eflags = FL_ONE | FL_IF;
    try_with(&s, &t);
    for (unsigned i = 0; i < 288; i += i < 32 ? 2 : 16) {
        t = *c;
        memset(t.in.fxsave + i, 0, i < 32 ? 2 : 16);
        if (i == 0) {
            t.in.fxsave[0] = 0x7f, t.in.fxsave[1] = 3;
            t.in.fxsave[2] &= 0x7f, t.in.fxsave[3] &= 0x7f; /* nothing is pending then */
        }
        if (i == 24)
            t.in.fxsave[24] = 0x80, t.in.fxsave[25] = 0x1f;
        try_with(&s, &t);
    }
}

void diff_show(const struct diff_case *c)
{
    uint32_t at = c->start;
    for (unsigned k = 0; k < c->n; at += c->len[k++]) {
        ZydisDisassembledInstruction di;
        printf("  %08x ", at);
        for (unsigned i = 0; i < c->len[k]; i++)
            printf(" %02x", c->code[k][i]);
        if (ZYAN_SUCCESS(ZydisDisassembleIntel(ZYDIS_MACHINE_MODE_LEGACY_32, at, c->code[k],
                                               c->len[k], &di)))
            printf("  %s", di.text);
        printf("\n");
    }
    const uint32_t *r = c->in.gpr;
    printf(
        "  in: eax %08x ecx %08x edx %08x ebx %08x esp %08x ebp %08x esi %08x edi %08x fl %08x\n",
        r[0], r[1], r[2], r[3], r[4], r[5], r[6], r[7], c->in.eflags);
    if (c->cls >= DIFF_FPU) {
        const uint8_t *f = c->in.fxsave;
        uint32_t mxcsr;
        memcpy(&mxcsr, f + 24, 4);
        printf("  fcw %02x%02x fsw %02x%02x ftw %02x mxcsr %05x\n", f[1], f[0], f[3], f[2], f[4],
               mxcsr);
        for (int i = 0; i < 8; i++) {
            uint64_t st[2] = {0}, x[2];
            memcpy(st, f + 32 + 16 * i, 10);
            memcpy(x, f + 160 + 16 * i, 16);
            printf("  st%d %04x %016" PRIx64 "   xmm%d %016" PRIx64 " %016" PRIx64 "\n", i,
                   (unsigned)st[1], st[0], i, x[1], x[0]);
        }
    }
    for (unsigned i = 0; i < c->n_patch; i++) {
        printf("  mem %08x:", c->patch[i].la);
        for (unsigned j = 0; j < c->patch[i].len; j++)
            printf(" %02x", c->patch[i].bytes[j]);
        printf("\n");
    }
}
