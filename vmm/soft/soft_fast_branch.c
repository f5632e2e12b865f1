/* Specialised: near transfers in flat 32-bit code, through links (known target) and the jump cache.
 */
#include "vmm/soft/soft_fast.h"

/* A relative target is fixed with the block: it waits in disp, which such an instruction does not
 * use. */
#define TARGET i->disp

#define JCC(n)                                                                                     \
    FAST(jcc_##n)                                                                                  \
    {                                                                                              \
        struct tail *t = soft_tail_of(i);                                                          \
        if (cc_test(s->core.cc, 0x##n))                                                            \
            SOFT_FOLLOW(t, 1, TARGET);                                                             \
        SOFT_FOLLOW(t, 0, t->eip);                                                                 \
    }
#define SIXTEEN(m) m(0) m(1) m(2) m(3) m(4) m(5) m(6) m(7) m(8) m(9) m(a) m(b) m(c) m(d) m(e) m(f)
SIXTEEN(JCC)
#define JCC_NAME(n) jcc_##n,
static const soft_run_fn jccs[16] = {SIXTEEN(JCC_NAME)};

FAST(jmp_rel)
{
    SOFT_FOLLOW(soft_tail_of(i), 1, TARGET);
}

FAST(call_rel)
{
    struct tail *t = soft_tail_of(i);
    const uint32_t sp = c->gpr[R_ESP] - 4;
    FAST_W(p, sp, 32, FAST_SLOW_END);
    host_put32(p, t->eip);
    c->gpr[R_ESP] = sp;
    SOFT_FOLLOW(t, 1, TARGET);
}

FAST(ret)
{
    const uint32_t sp = c->gpr[R_ESP];
    FAST_R(p, sp, 32, FAST_SLOW_END);
    c->gpr[R_ESP] = sp + 4;
    SOFT_JUMP(host_get32(p));
}

FAST(jmp_r)
{
    SOFT_JUMP(c->gpr[i->rm]);
}

FAST(jmp_m)
{
    FAST_R(p, EA_x, 32, FAST_SLOW_END);
    SOFT_JUMP(host_get32(p));
}

FAST(call_r)
{
    const uint32_t sp = c->gpr[R_ESP] - 4, to = c->gpr[i->rm];
    FAST_W(p, sp, 32, FAST_SLOW_END);
    host_put32(p, soft_tail_of(i)->eip);
    c->gpr[R_ESP] = sp;
    SOFT_JUMP(to);
}

FAST(call_m)
{
    const uint32_t sp = c->gpr[R_ESP] - 4;
    FAST_R(from, EA_x, 32, FAST_SLOW_END);
    const uint32_t to = host_get32(from);
    FAST_W(p, sp, 32, FAST_SLOW_END);
    host_put32(p, soft_tail_of(i)->eip);
    c->gpr[R_ESP] = sp;
    SOFT_JUMP(to);
}

static soft_run_fn pick_ff(const struct insn *i, uint32_t mode)
{
    const bool mem = (i->flags & INSN_MEM) != 0;

    if (mem && !fast_mem(i, mode))
        return NULL;
    if (i->reg == 4)
        return mem ? jmp_m : jmp_r;
    if (i->reg == 2 && (mode & MODE_SS_FLAT))
        return mem ? call_m : call_r;
    return NULL;
}

soft_run_fn soft_fast_branch(struct insn *i, uint32_t mode)
{
    const uint8_t o = i->opcode;

    if ((i->flags & INSN_OP16) || !(mode & MODE_CS_FLAT))
        return NULL;
    if (i->map == 1 && o >= 0x80 && o < 0x90) {
        TARGET = i->eip + i->len + i->imm;
        return jccs[o & 15];
    }
    if (i->map != 0)
        return NULL;
    if (o >= 0x70 && o < 0x80) {
        TARGET = i->eip + i->len + i->imm;
        return jccs[o & 15];
    }
    switch (o) {
    case 0xeb:
    case 0xe9: TARGET = i->eip + i->len + i->imm; return jmp_rel;
    case 0xe8: TARGET = i->eip + i->len + i->imm; return (mode & MODE_SS_FLAT) ? call_rel : NULL;
    case 0xc3: return (mode & MODE_SS_FLAT) ? ret : NULL;
    case 0xff: return pick_ff(i, mode);
    default: return NULL;
    }
}
