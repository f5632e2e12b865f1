/* See diff_value.h. */
#include "tests/diff_value.h"

#include <string.h>

uint32_t rnd_int(struct rnd *r)
{
    static const uint32_t edge[] = {0,          1,          0xff,       0x80,       0x7f,
                                    0xffff,     0x8000,     0x7fff,     0xffffffff, 0x80000000,
                                    0x7fffffff, 0xfffffffe, 0x10,       0x1f,       0x20,
                                    0x100,      0x10000,    0xffffff80, 0xffff8000, 9};
    switch (rnd_below(r, 4)) {
    case 0: return edge[rnd_below(r, sizeof edge / sizeof *edge)];
    case 1: return (uint32_t)rnd_next(r) >> rnd_below(r, 32);
    default: return (uint32_t)rnd_next(r);
    }
}

/* A floating-point number of the given exponent width and total mantissa bits, as raw bits. */
static uint64_t rnd_float(struct rnd *r, unsigned ebits, unsigned mbits)
{
    const uint64_t emax = (1u << ebits) - 1, bias = emax >> 1, mmask = (1ull << mbits) - 1;
    const uint64_t sign = (rnd_next(r) & 1) << (ebits + mbits);
    const uint64_t quiet = 1ull << (mbits - 1);
    uint64_t m = rnd_one_in(r, 2) ? rnd_next(r) & mmask : (rnd_next(r) & 7) << (mbits - 3);
    uint64_t e;
    switch (rnd_below(r, 16)) {
    case 0: e = 0, m = 0; break;                       /* zero */
    case 1: e = 0, m = m ? m : 1; break;               /* denormal */
    case 2: e = emax, m = 0; break;                    /* infinity */
    case 3: e = emax, m |= quiet; break;               /* quiet NaN */
    case 4: e = emax, m = (m & ~quiet) | 1; break;     /* signalling NaN */
    case 5: e = 1 + rnd_below(r, 3); break;            /* just normal */
    case 6: e = emax - 1 - rnd_below(r, 3); break;     /* just finite */
    case 7: e = bias + rnd_below(r, 70), m = 0; break; /* powers of two */
    case 8: e = bias + rnd_below(r, 70); break;        /* integers, nearly */
    case 9: e = bias + 30 + rnd_below(r, 4); break;    /* around the integers' limits */
    case 10: e = rnd_below(r, (uint32_t)emax); break;
    case 11: e = emax - 1, m = mmask; break;
    default: e = bias - 8 + rnd_below(r, 16); break;
    }
    return sign | e << mbits | m;
}

void rnd_f80(struct rnd *r, uint8_t out[10])
{
    uint64_t m = rnd_one_in(r, 2) ? rnd_next(r) : (rnd_next(r) & 15) << 60;
    uint16_t e = (uint16_t)rnd_next(r);
    switch (rnd_below(r, 14)) {
    case 0: e &= 0x8000, m = 0; break;
    case 1: e &= 0x8000; break;                  /* (pseudo-)denormal */
    case 2: e |= 0x7fff, m = 1ull << 63; break;  /* infinity */
    case 3: e |= 0x7fff, m |= 3ull << 62; break; /* quiet NaN */
    case 4:
        e |= 0x7fff, m = (m & (~0ull >> 2)) | 1ull << 63;
        break;     /* signalling NaN or infinity */
    case 5: break; /* perhaps an unnormal */
    case 6: e = (uint16_t)((e & 0x8000) | rnd_below(r, 3)), m |= 1ull << 63; break;
    case 7: e = (uint16_t)((e & 0x8000) | (0x7ffe - rnd_below(r, 3))), m |= 1ull << 63; break;
    case 8: /* around double's and single's limits */
        e = (uint16_t)((e & 0x8000) |
                       ((rnd_one_in(r, 2) ? 0x3fff + 1022 : 0x3fff - 1024) + rnd_below(r, 4)));
        m |= 1ull << 63;
        break;
    case 9:
        e = (uint16_t)((e & 0x8000) |
                       ((rnd_one_in(r, 2) ? 0x3fff + 126 : 0x3fff - 128) + rnd_below(r, 4)));
        m |= 1ull << 63;
        break;
    case 10: e = (uint16_t)((e & 0x8000) | (0x3fff + rnd_below(r, 68))), m |= 1ull << 63; break;
    default: e = (uint16_t)((e & 0x8000) | (0x3fff - 8 + rnd_below(r, 16))), m |= 1ull << 63; break;
    }
    memcpy(out, &m, 8);
    memcpy(out + 8, &e, 2);
}

/* 16 bytes of some kind of number. */
void rnd_16(struct rnd *r, uint8_t out[16])
{
    uint64_t v[2] = {rnd_next(r), rnd_next(r)};
    memcpy(out, v, 16);
    switch (rnd_below(r, 6)) {
    case 0:
        for (int i = 0; i < 4; i++) {
            const uint32_t f = (uint32_t)rnd_float(r, 8, 23);
            memcpy(out + 4 * i, &f, 4);
        }
        break;
    case 1:
        for (int i = 0; i < 2; i++) {
            const uint64_t f = rnd_float(r, 11, 52);
            memcpy(out + 8 * i, &f, 8);
        }
        break;
    case 2: rnd_f80(r, out); break;
    case 3:
        for (int i = 0; i < 4; i++) {
            const uint32_t n = rnd_int(r);
            memcpy(out + 4 * i, &n, 4);
        }
        break;
    case 4: /* packed decimal */
        for (int i = 0; i < 9; i++)
            out[i] = (uint8_t)(rnd_below(r, 10) << 4 | rnd_below(r, 10));
        out[9] = (uint8_t)(rnd_next(r) & 0x80);
        break;
    default: break;
    }
}

uint16_t rnd_fcw(struct rnd *r)
{
    if (rnd_one_in(r, 2))
        return 0x37f;
    static const uint16_t pc[] = {0, 0x200, 0x300, 0x100};
    return (uint16_t)(0x40 | (rnd_one_in(r, 2) ? 0x3f : rnd_below(r, 64)) |
                      pc[rnd_below(r, rnd_one_in(r, 8) ? 4 : 3)] | rnd_below(r, 4) << 10);
}

uint16_t rnd_fsw(struct rnd *r, uint16_t fcw, bool may_pend)
{
    uint16_t fsw = (uint16_t)(rnd_next(r) & 0x7f7f);
    if (rnd_one_in(r, 2))
        fsw &= 0x7f00;
    if (may_pend && rnd_one_in(r, 10)) {
        if (fsw & ~fcw & 0x3f)
            fsw |= 0x8080;
        else
            fsw &= 0x7fff & ~0x80u;
        return fsw;
    }
    return (uint16_t)(fsw & (0x7f40 | (fcw & 0x3f)));
}

void rnd_fxsave(struct rnd *r, uint8_t fx[512])
{
    memset(fx, 0, 512);
    const uint16_t fcw = rnd_fcw(r);
    rnd_put16(fx, fcw);
    rnd_put16(fx + 2, rnd_fsw(r, fcw, true));
    fx[4] = (uint8_t)(rnd_one_in(r, 3) ? 0xff : rnd_one_in(r, 2) ? 0 : rnd_next(r));
    rnd_put16(fx + 6, rnd_below(r, 0x800));
    const uint32_t fip = rnd_int(r), fdp = rnd_int(r);
    memcpy(fx + 8, &fip, 4);
    memcpy(fx + 16, &fdp, 4);
    rnd_put16(fx + 12, 0x23);
    rnd_put16(fx + 20, 0x2b);
    uint32_t mxcsr = 0x1f80;
    if (rnd_one_in(r, 2))
        mxcsr = (uint32_t)rnd_next(r) & (rnd_one_in(r, 2) ? 0xffff : 0x7fff) &
                ~(rnd_one_in(r, 2) ? 0x3fu : 0u);
    if (rnd_one_in(r, 2))
        mxcsr |= 0x1f80;
    memcpy(fx + 24, &mxcsr, 4);
    for (int i = 0; i < 8; i++) {
        rnd_f80(r, fx + 32 + 16 * i);
        if (rnd_one_in(r, 4))
            memcpy(fx + 32 + 16 * i, (uint64_t[]){rnd_next(r)}, 8);
    }
    for (int i = 0; i < 8; i++)
        rnd_16(r, fx + 160 + 16 * i);
}
