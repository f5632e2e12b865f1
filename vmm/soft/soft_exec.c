/* The block executor's handlers that fit every instruction: they call its exact one (struct
 * insn.op). */
#include "vmm/soft/soft_exec.h"
#include "vmm/soft/soft_flags.h"

void soft_exec_uncount(struct soft *s, const struct insn *i, unsigned skip)
{
    s->left += soft_block_of(i)->n - (i->idx + skip);
}

SOFT_INLINE void call_op(struct soft *s, const struct insn *i, struct cpu *c)
{
    c->eip = i->eip;
    s->cur = i;
    s->core.next_eip = i->eip + i->len;
    i->op(s, i);
}

/* Instructions of the system and the FPU part may look at EFLAGS as a whole and change them. */
SOFT_INLINE void call_foreign(struct soft *s, const struct insn *i, struct cpu *c)
{
    c->eflags = soft_flags(s);
    call_op(s, i, c);
    s->core.cc = cc_of_flags(c->eflags);
}

#define NEXT_OR_BREAK                                                                              \
    do {                                                                                           \
        if (soft_unlikely(s->brk)) {                                                               \
            c->eip = s->core.next_eip;                                                             \
            soft_exec_uncount(s, i, 1);                                                            \
            SOFT_LEAVE;                                                                            \
        }                                                                                          \
        SOFT_GO(i + 1);                                                                            \
    } while (0)

void soft_exec_plain(struct soft *s, const struct insn *i, struct cpu *c)
{
    call_op(s, i, c);
    NEXT_OR_BREAK;
}

static void exec_foreign(struct soft *s, const struct insn *i, struct cpu *c)
{
    call_foreign(s, i, c);
    NEXT_OR_BREAK;
}

void soft_exec_end(struct soft *s, const struct insn *i, struct cpu *c)
{
    call_op(s, i, c);
    if (soft_unlikely(s->brk)) {
        c->eip = s->core.next_eip;
        SOFT_LEAVE;
    }
    SOFT_JUMP(s->core.next_eip);
}

static void exec_foreign_end(struct soft *s, const struct insn *i, struct cpu *c)
{
    call_foreign(s, i, c);
    c->eip = s->core.next_eip;
    s->mode_dirty = true;
    SOFT_LEAVE;
}

void soft_exec_tail(struct soft *s, const struct insn *i, struct cpu *c)
{
    struct tail *t = (struct tail *)(uintptr_t)i;
    SOFT_FOLLOW(t, 0, t->eip);
}

soft_run_fn soft_exec_pick(const struct insn *i)
{
    if (i->flags & INSN_FAST)
        return (i->flags & INSN_ENDS) ? soft_exec_end : soft_exec_plain;
    return (i->flags & INSN_ENDS) ? exec_foreign_end : exec_foreign;
}

void soft_exec_block(struct soft *s, struct block *b)
{
    s->brk = 0;
    s->left -= b->n;
#if SOFT_THREADED
    b->entry(s, b->insn, CPU(s));
#else
    for (s->ip = b->insn; s->ip;) {
        const struct insn *i = s->ip;
        /* The tail has no idx; it is no block's first. */
        if (i->run != soft_exec_tail && i->idx == 0)
            soft_block_of(i)->entry(s, i, CPU(s));
        else
            i->run(s, i, CPU(s));
    }
#endif
}
