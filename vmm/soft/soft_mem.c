/*
 * Guest memory: segment checks (SDM vol. 3, 5.3), then by linear address through the TLB.
 *
 * An access that crosses a page is translated on both sides before a byte moves. A store into a
 * frame with decoded code drops exactly the blocks that it touches.
 */
#include "vmm/soft/soft_mem.h"

/* --- segments ------------------------------------------------------------------------------ */

static _Noreturn void seg_fault(struct soft *s, unsigned seg)
{
    soft_raise_err(s, seg == SEG_SS ? VEC_SS : VEC_GP, 0);
}

/* Within the limit? Expand-down segments run from limit + 1 to 64 KiB or 4 GiB by B. */
static bool in_limit(const struct seg *g, uint32_t off, unsigned len)
{
    const uint64_t last = (uint64_t)off + len - 1;

    if (soft_unlikely((g->attr & (SA_S | SA_CODE | SA_EC)) == (SA_S | SA_EC)))
        return off > g->limit && last <= ((g->attr & SA_DB) ? UINT32_MAX : 0xffff);
    return last <= g->limit;
}

static bool may_access(const struct cpu *c, const struct seg *g, enum soft_access acc)
{
    if (!cpu_protected(c) || cpu_v86(c))
        return true;
    if (!(g->attr & SA_P))
        return false;
    if (acc == SOFT_W)
        return (g->attr & (SA_CODE | SA_RW)) == SA_RW;
    return !(g->attr & SA_CODE) || (g->attr & SA_RW);
}

/* What #AC asks of an operand by its length, as measured (SDM vol. 3, table 6-7 leaves some open):
 * an 80-bit real 8, x87 environments and states as their words. It comes before #PF. */
static unsigned alignment(unsigned len)
{
    switch (len) {
    case 2:
    case 4:
    case 8:
    case 16: return len;
    case 10: return 8;
    case 28:
    case 108: return 4;
    case 14:
    case 94: return 2;
    default: return 1;
    }
}

la_t soft_seg_check(struct soft *s, unsigned seg, uint32_t off, unsigned len, enum soft_access acc)
{
    const struct seg *g = &CPU(s)->seg[seg];
    const la_t la = g->base + off;

    if (!may_access(CPU(s), g, acc) || !in_limit(g, off, len))
        seg_fault(s, seg);
    if (soft_unlikely(s->ac_armed) && (la & (alignment(len) - 1)))
        soft_raise_err(s, VEC_AC, 0);
    return la;
}

/* --- one page ------------------------------------------------------------------------------ */

/* DR0..DR3 that watch one of the n bytes at la (SDM vol. 3, 17.2.4 and 17.2.5). */
static void check_breakpoints(struct soft *s, la_t la, unsigned n, enum soft_access acc)
{
    const struct cpu *c = CPU(s);

    if (s->stops.n)
        soft_stop_data(s, la, n, acc);
    for (unsigned k = 0; k < 4; k++) {
        const uint32_t type = c->dr[7] >> (16 + 4 * k) & 3;
        const uint32_t code = c->dr[7] >> (18 + 4 * k) & 3;
        const uint32_t len = code == 2 ? 8 : code + 1;
        const la_t at = c->dr[k] & ~(len - 1);

        if (!(c->dr[7] >> (2 * k) & 3) || !(type == 3 || (type == 1 && acc == SOFT_W)))
            continue;
        if (la - at < len || at - la < n)
            s->core.db_pending |= 1u << k;
    }
}

static uint64_t get_le(const uint8_t *p, unsigned n)
{
    uint64_t v = 0;
    memcpy(&v, p, n);
    return v;
}

/* n bytes that lie in p's page, at la. Device memory is read in naturally sized pieces. */
static void page_read(struct soft *s, const struct tlb_page *p, la_t la, uint8_t *buf, unsigned n)
{
    const gpa_t gpa = p->page.gpa + (la & PAGE_MASK);

    if (soft_unlikely(s->bp_data))
        check_breakpoints(s, la, n, SOFT_R);
    if (soft_likely(p->page.host != NULL)) {
        memcpy(buf, p->page.host + (la & PAGE_MASK), n);
        return;
    }
    for (unsigned k = 0; k < n;) {
        const unsigned part = n - k >= 4 ? 4 : n - k >= 2 ? 2 : 1;
        const uint32_t v = s->core.env->mmio_read(s->core.env->ctx, gpa + k, part);
        memcpy(buf + k, &v, part);
        k += part;
    }
}

static void page_write(struct soft *s, const struct tlb_page *p, la_t la, const uint8_t *buf,
                       unsigned n)
{
    const gpa_t gpa = p->page.gpa + (la & PAGE_MASK);
    const frame_t f = p->page.frame;

    if (soft_unlikely(s->bp_data))
        check_breakpoints(s, la, n, SOFT_W);
    if (soft_likely(p->page.host != NULL)) {
        memcpy(p->page.host + (la & PAGE_MASK), buf, n);
        if (s->frames[f])
            soft_code_store(s, s->frames[f], la & PAGE_MASK, n);
        return;
    }
    for (unsigned k = 0; k < n;) {
        const unsigned part = n - k >= 4 ? 4 : n - k >= 2 ? 2 : 1;
        s->core.env->mmio_write(s->core.env->ctx, gpa + k, (uint32_t)get_le(buf + k, part), part);
        k += part;
    }
}

/* --- by linear address --------------------------------------------------------------------- */

/* Both pages of a crossing access. The mapper may have taken the first back while it translated the
 * second: then once more. */
static void two_pages(struct soft *s, la_t la, unsigned first, enum soft_access acc, bool user,
                      struct tlb_page out[2])
{
    for (int tries = 0; tries < 3; tries++) {
        const uint32_t gen = s->gen;
        out[0] = *soft_tlb_page(s, la, acc, user);
        out[1] = *soft_tlb_page(s, la + first, acc, user);
        if (gen == s->gen)
            return;
    }
}

/* len at most a page. */
static void la_read(struct soft *s, la_t la, uint8_t *buf, unsigned len, bool user)
{
    const unsigned first = PAGE_SIZE - (la & PAGE_MASK);
    struct tlb_page p[2];

    if (soft_likely(len <= first)) {
        p[0] = *soft_tlb_page(s, la, SOFT_R, user);
        page_read(s, &p[0], la, buf, len);
        return;
    }
    two_pages(s, la, first, SOFT_R, user, p);
    page_read(s, &p[0], la, buf, first);
    page_read(s, &p[1], la + first, buf + first, len - first);
}

static void la_write(struct soft *s, la_t la, const uint8_t *buf, unsigned len, bool user)
{
    const unsigned first = PAGE_SIZE - (la & PAGE_MASK);
    struct tlb_page p[2];

    if (soft_likely(len <= first)) {
        p[0] = *soft_tlb_page(s, la, SOFT_W, user);
        page_write(s, &p[0], la, buf, len);
        return;
    }
    two_pages(s, la, first, SOFT_W, user, p);
    page_write(s, &p[0], la, buf, first);
    page_write(s, &p[1], la + first, buf + first, len - first);
}

#define LA_ACCESS(n, T)                                                                            \
    static inline T read##n(struct soft *s, la_t la, bool user)                                    \
    {                                                                                              \
        uint##n##_t v;                                                                             \
        const uint8_t *p = soft_hit_r(&s->tlb[user], la, n / 8);                                   \
        if (soft_likely(p != NULL))                                                                \
            memcpy(&v, p, n / 8);                                                                  \
        else                                                                                       \
            la_read(s, la, (uint8_t *)&v, n / 8, user);                                            \
        return v;                                                                                  \
    }                                                                                              \
    static inline void write##n(struct soft *s, la_t la, T val, bool user)                         \
    {                                                                                              \
        const uint##n##_t v = (uint##n##_t)val;                                                    \
        uint8_t *p = soft_hit_w(&s->tlb[user], la, n / 8);                                         \
        if (soft_likely(p != NULL))                                                                \
            memcpy(p, &v, n / 8);                                                                  \
        else                                                                                       \
            la_write(s, la, (const uint8_t *)&v, n / 8, user);                                     \
    }                                                                                              \
    T soft_read##n(struct soft *s, unsigned seg, uint32_t off)                                     \
    {                                                                                              \
        return read##n(s, soft_seg_la(s, seg, off, n / 8, SOFT_R), soft_user(s));                  \
    }                                                                                              \
    void soft_write##n(struct soft *s, unsigned seg, uint32_t off, T v)                            \
    {                                                                                              \
        write##n(s, soft_seg_la(s, seg, off, n / 8, SOFT_W), v, soft_user(s));                     \
    }
LA_ACCESS(8, uint32_t)
LA_ACCESS(16, uint32_t)
LA_ACCESS(32, uint32_t)
LA_ACCESS(64, uint64_t)

#define LA_PUBLIC(n)                                                                               \
    uint32_t soft_la_read##n(struct soft *s, la_t la, bool user)                                   \
    {                                                                                              \
        return read##n(s, la, user);                                                               \
    }                                                                                              \
    void soft_la_write##n(struct soft *s, la_t la, uint32_t v, bool user)                          \
    {                                                                                              \
        write##n(s, la, v, user);                                                                  \
    }
LA_PUBLIC(8)
LA_PUBLIC(16)
LA_PUBLIC(32)

void soft_read_block(struct soft *s, unsigned seg, uint32_t off, void *buf, unsigned len)
{
    la_read(s, soft_seg_la(s, seg, off, len, SOFT_R), buf, len, soft_user(s));
}

void soft_write_block(struct soft *s, unsigned seg, uint32_t off, const void *buf, unsigned len)
{
    la_write(s, soft_seg_la(s, seg, off, len, SOFT_W), buf, len, soft_user(s));
}

static void la_probe(struct soft *s, la_t la, unsigned len, enum soft_access acc, bool user)
{
    const unsigned first = PAGE_SIZE - (la & PAGE_MASK);

    soft_tlb_page(s, la, acc, user);
    if (soft_unlikely(len > first))
        soft_tlb_page(s, la + first, acc, user);
}

void soft_la_probe_write(struct soft *s, la_t la, unsigned len, bool user)
{
    if (!soft_hit_w(&s->tlb[user], la, len))
        la_probe(s, la, len, SOFT_W, user);
}

void soft_la_probe_read(struct soft *s, la_t la, unsigned len, bool user)
{
    if (!soft_hit_r(&s->tlb[user], la, len))
        la_probe(s, la, len, SOFT_R, user);
}

void soft_probe_write(struct soft *s, unsigned seg, uint32_t off, unsigned len)
{
    soft_la_probe_write(s, soft_seg_la(s, seg, off, len, SOFT_W), len, soft_user(s));
}

uint32_t soft_run_at(struct soft *s, const struct soft_run *r, uint32_t n, uint8_t **p)
{
    const struct seg *g = &CPU(s)->seg[r->seg];
    const la_t la = g->base + r->off;
    const struct tlb *v = &s->tlb[soft_user(s)];
    uint64_t room;

    if (s->ac_armed || (g->attr & (SA_P | SA_S | SA_CODE | SA_EC | SA_RW)) != (SA_P | SA_S | SA_RW))
        return 0;
    *p = r->write ? soft_hit_w(v, la, r->size) : soft_hit_r(v, la, r->size);
    if (!*p)
        return 0;
    room = PAGE_SIZE - (la & PAGE_MASK);
    if (r->off > g->limit)
        return 0;
    if (room > (uint64_t)g->limit - r->off + 1)
        room = (uint64_t)g->limit - r->off + 1;
    if (room > (uint64_t)r->mask - r->off + 1)
        room = (uint64_t)r->mask - r->off + 1;
    room /= r->size;
    return room < n ? (uint32_t)room : n;
}
