/*
 * The software TLB: what the mapper said of a page, until it takes that back.
 *
 *  T1  A fast entry's tag is a page address only where the access needs nothing but the host
 * pointer: RAM, right granted without asking again, no data breakpoint armed, nobody told of uses,
 * and for writes no decoded code in the frame. T2  A flush or drop also ends every block link
 * until it is renewed, since links skip the translation of the target; and the running block.
 */
#include <assert.h>
#include <string.h>

#include "vmm/soft/soft_state.h"

static unsigned slot(la_t la)
{
    return la >> PAGE_SHIFT & (TLB_N - 1);
}

static void set_fast(struct soft *s, struct tlb_fast *f, const struct tlb_page *p)
{
    const bool ram = p->page.host && !s->bp_data && !s->core.env->used;
    const bool code = p->page.frame < s->max_frames && s->frames[p->page.frame];

    f->r = ram ? p->tag : TLB_NO_TAG;
    f->w = ram && p->page.writable && !code ? p->tag : TLB_NO_TAG;
    f->add = (uintptr_t)p->page.host - p->tag;
}

_Noreturn void soft_miss(struct soft *s, la_t la, enum soft_access acc, bool user)
{
    struct soft_exit_info *x = s->core.exit;
    x->la = la;
    x->access = acc;
    x->user = user;
    longjmp(*s->core.jmp, JC_MISS);
}

static bool allows(const struct tlb_page *p, enum soft_access acc)
{
    return acc == SOFT_R || (acc == SOFT_W ? p->page.writable : p->page.executable);
}

static const struct tlb_page *lookup(struct soft *s, la_t la, enum soft_access acc, bool user)
{
    struct tlb *t = &s->tlb[user];
    struct tlb_page *p = &t->page[slot(la)];
    const uint32_t tag = la & ~PAGE_MASK;
    struct soft_page page = {.frame = FRAME_NONE};

    if (p->tag == tag && p->gen == s->tlb_gen && allows(p, acc)) {
        /* Writes may have left the hit path because of code that is gone by now. */
        if (acc == SOFT_W)
            set_fast(s, &t->fast[slot(la)], p);
        return p;
    }
    if (s->core.env->translate(s->core.env->ctx, la, acc, user, &page) != 0)
        soft_miss(s, la, acc, user);
    assert(!page.host || page.frame < s->max_frames);
    *p = (struct tlb_page){.tag = tag, .gen = s->tlb_gen, .page = page};
    t->filled = true;
    set_fast(s, &t->fast[slot(la)], p);
    return p;
}

static const struct tlb_page *lookup_watched(struct soft *s, la_t la, enum soft_access acc,
                                             bool user)
{
    const struct soft_env *env = s->core.env;

    env->used(env->ctx, la, acc, user, NULL);
    for (;;) {
        const struct tlb_page *p = lookup(s, la, acc, user);
        const uint32_t gen = s->gen;
        env->used(env->ctx, la, acc, user, &p->page);
        if (gen == s->gen) /* else it may have been taken back meanwhile */
            return p;
    }
}

const struct tlb_page *soft_tlb_page(struct soft *s, la_t la, enum soft_access acc, bool user)
{
    return s->core.env->used ? lookup_watched(s, la, acc, user) : lookup(s, la, acc, user);
}

void soft_tlb_refill(struct soft *s)
{
    for (int v = 0; v < 2; v++)
        for (unsigned i = 0; i < TLB_N; i++) {
            struct tlb *t = &s->tlb[v];
            if (t->page[i].gen == s->tlb_gen && t->page[i].tag != TLB_NO_TAG)
                set_fast(s, &t->fast[i], &t->page[i]);
        }
}

void soft_tlb_guard(struct soft *s, frame_t f)
{
    for (int v = 0; v < 2; v++)
        for (unsigned i = 0; i < TLB_N; i++)
            if (s->tlb[v].page[i].page.frame == f)
                s->tlb[v].fast[i].w = TLB_NO_TAG;
}

void soft_tlb_drop(struct soft *s, la_t la)
{
    for (int v = 0; v < 2; v++) {
        struct tlb *t = &s->tlb[v];
        struct tlb_page *p = &t->page[slot(la)];
        if (p->tag != (la & ~PAGE_MASK))
            continue;
        p->tag = TLB_NO_TAG;
        t->fast[slot(la)].r = t->fast[slot(la)].w = TLB_NO_TAG;
    }
    soft_links_end(s);
}

void soft_tlb_flush(struct soft *s)
{
    if (++s->tlb_gen == 0) { /* an entry of 2^32 flushes ago must not come back to life */
        for (int v = 0; v < 2; v++)
            for (unsigned i = 0; i < TLB_N; i++)
                s->tlb[v].page[i].tag = TLB_NO_TAG;
    }
    /* Kernels load CR3 many times in a row, and no user code runs in between. */
    for (int v = 0; v < 2; v++)
        if (s->tlb[v].filled) {
            memset(s->tlb[v].fast, 0xff, sizeof s->tlb[v].fast);
            s->tlb[v].filled = false;
        }
    soft_links_end(s);
}
