/*
 * The cache of decoded blocks.
 *
 *  B1  A block is found by frame, EIP and mode: what its bytes are, what its instructions are
 * relative to, and all that decoding took from the processor's state. B2  Each byte of a block is
 * marked in its frame's code_frame. A store that touches a marked byte drops every block that holds
 * the byte, and no other. B3  A dropped block is never entered again: the hash has forgotten it,
 * and a new generation ends all links and jump entries, which know it is dead. If it is the running
 * one it stops behind the current instruction (s->brk). B4  Memory of blocks is reused only when
 * the arena is flushed, which happens between blocks.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "vmm/soft/soft_mem.h"

/* --- modes --------------------------------------------------------------------------------- */

static struct mode mode_now(struct soft *s)
{
    const struct cpu *c = CPU(s);
    const struct seg *cs = &c->seg[SEG_CS], *ss = &c->seg[SEG_SS];
    struct mode m = {.cs_base = cs->base, .cs_limit = cs->limit};

    if (cs->attr & SA_DB)
        m.flags |= MODE_CS32;
    if (cs->base == 0 && cs->limit == UINT32_MAX)
        m.flags |= MODE_CS_FLAT;
    if (c->cpl == 3)
        m.flags |= MODE_USER;
    if (s->ac_armed)
        return m;
    if (soft_seg_flat(ss) && (ss->attr & SA_DB))
        m.flags |= MODE_SS_FLAT;
    if (soft_seg_flat(&c->seg[SEG_DS]))
        m.flags |= MODE_DS_FLAT;
    return m;
}

static void update_breakpoints(struct soft *s)
{
    const uint32_t dr7 = CPU(s)->dr[7];
    bool data = s->stops.data;

    for (unsigned k = 0; k < 4; k++)
        data |= (dr7 >> (2 * k) & 3) && (dr7 >> (16 + 4 * k) & 1);
    s->bp_any = (dr7 & 0xff) != 0 || s->stops.n > 0;
    if (s->bp_data == data)
        return;
    s->bp_data = data;
    soft_tlb_refill(s);
}

void soft_mode_update(struct soft *s)
{
    const struct cpu *c = CPU(s);

    s->mode_dirty = false;
    s->ac_armed = c->cpl == 3 && (c->cr0 & CR0_AM) && (c->eflags & FL_AC);
    s->view = &s->tlb[c->cpl == 3];
    update_breakpoints(s);

    const struct mode m = mode_now(s);
    for (unsigned k = 0; k < s->n_modes; k++) {
        const struct mode *o = &s->modes[k];
        if (o->cs_base == m.cs_base && o->cs_limit == m.cs_limit && o->flags == m.flags) {
            if (s->mode != k)
                s->want = NULL;
            s->mode = (uint8_t)k;
            return;
        }
    }
    s->want = NULL;
    if (s->n_modes == BLOCK_MODES) {
        soft_blocks_flush(s);
        s->n_modes = 0;
    }
    s->mode = (uint8_t)s->n_modes;
    s->modes[s->n_modes++] = m;
}

void soft_mode_changed(struct soft *s)
{
    s->mode_dirty = true;
    s->brk = 1;
}

/* --- code frames --------------------------------------------------------------------------- */

static void mark(struct code_frame *cf, uint32_t off, uint32_t len)
{
    for (uint32_t k = off; k < off + len; k++)
        cf->bytes[k / 64] |= 1ull << k % 64;
}

static bool any_marked(const struct code_frame *cf, uint32_t off, uint32_t len)
{
    for (uint32_t k = off; k < off + len;) {
        const uint32_t bit = k % 64;
        const uint32_t n = off + len - k < 64 - bit ? off + len - k : 64 - bit;
        const uint64_t mask = (n == 64 ? ~0ull : (1ull << n) - 1) << bit;
        if (cf->bytes[k / 64] & mask)
            return true;
        k += n;
    }
    return false;
}

/* NULL: no memory. */
static struct code_frame *code_frame_get(struct soft *s, frame_t f, gpa_t gpa)
{
    struct code_frame *cf = s->frames[f];

    if (cf)
        return cf;
    cf = calloc(1, sizeof *cf);
    if (!cf)
        return NULL;
    cf->frame = f;
    cf->next = s->code_list;
    if (cf->next)
        cf->next->prev = cf;
    s->code_list = s->frames[f] = cf;
    soft_tlb_guard(s, f);
    if (s->core.env->code_frame)
        s->core.env->code_frame(s->core.env->ctx, f, gpa, true);
    return s->frames[f];
}

static void code_frame_free(struct soft *s, struct code_frame *cf)
{
    const frame_t f = cf->frame;

    if (cf->next)
        cf->next->prev = cf->prev;
    *(cf->prev ? &cf->prev->next : &s->code_list) = cf->next;
    s->frames[f] = NULL;
    free(cf);
    if (s->core.env->code_frame)
        s->core.env->code_frame(s->core.env->ctx, f, 0, false);
}

/* --- blocks -------------------------------------------------------------------------------- */

static struct block **hash_slot(struct soft *s, frame_t f, uint32_t eip, uint8_t mode)
{
    uint32_t h = (f * 0x9e3779b1u) ^ (eip * 0x85ebca6bu) ^ mode;
    return &s->hash[(h ^ h >> 15) & ((1u << BLOCK_HASH_BITS) - 1)];
}

/* Which of the block's two frame lists is that of frame f. */
static unsigned side(const struct block *b, frame_t f)
{
    return b->frame == f ? 0 : 1;
}

/* The bytes of b in frame f. A block whose two pages are the same frame has two parts there. */
static uint32_t bytes_in_first(const struct block *b)
{
    const uint32_t room = PAGE_SIZE - b->off;
    return b->bytes < room ? b->bytes : room;
}

static bool overlaps(const struct block *b, frame_t f, uint32_t off, uint32_t len)
{
    const uint32_t first = bytes_in_first(b);

    if (b->frame == f && off < b->off + first && b->off < off + len)
        return true;
    return b->frame2 == f && off < b->bytes - first;
}

static void mark_block(struct code_frame *cf, const struct block *b)
{
    const uint32_t first = bytes_in_first(b);

    if (b->frame == cf->frame)
        mark(cf, b->off, first);
    if (b->frame2 == cf->frame)
        mark(cf, 0, b->bytes - first);
}

static void unlink_frame(struct soft *s, struct block *b, frame_t f)
{
    struct code_frame *cf = s->frames[f];
    struct block **p = &cf->blocks;

    while (*p != b)
        p = &(*p)->frame_next[side(*p, f)];
    *p = b->frame_next[side(b, f)];
}

static void remark(struct code_frame *cf)
{
    memset(cf->bytes, 0, sizeof cf->bytes);
    for (struct block *b = cf->blocks; b; b = b->frame_next[side(b, cf->frame)])
        mark_block(cf, b);
}

/* After blocks were taken off its list. */
static void settle(struct soft *s, frame_t f)
{
    struct code_frame *cf = s->frames[f];
    if (cf->blocks)
        remark(cf);
    else
        code_frame_free(s, cf);
}

static void drop(struct soft *s, struct block *b)
{
    struct block **p = hash_slot(s, b->frame, b->eip, b->mode);

    while (*p != b)
        p = &(*p)->hash_next;
    *p = b->hash_next;
    b->dead = true;
    unlink_frame(s, b, b->frame);
    if (b->frame2 != FRAME_NONE && b->frame2 != b->frame)
        unlink_frame(s, b, b->frame2);
    soft_links_end(s);
}

void soft_code_store(struct soft *s, struct code_frame *cf, uint32_t off, uint32_t len)
{
    const frame_t f = cf->frame;
    bool dropped = false;

    if (soft_likely(!any_marked(cf, off, len)))
        return;
    for (struct block *b = cf->blocks, *next; b; b = next) {
        next = b->frame_next[side(b, f)];
        if (!overlaps(b, f, off, len))
            continue;
        const frame_t other = b->frame == f ? b->frame2 : b->frame;
        drop(s, b);
        if (other != FRAME_NONE && other != f)
            settle(s, other);
        dropped = true;
    }
    if (dropped)
        settle(s, f);
}

void soft_code_written(struct soft *s, frame_t f, uint32_t off, uint32_t len)
{
    if (f >= s->max_frames || !s->frames[f] || off >= PAGE_SIZE)
        return;
    soft_code_store(s, s->frames[f], off, len < PAGE_SIZE - off ? len : PAGE_SIZE - off);
}

void soft_code_forget(struct soft *s, bool (*gone)(const void *ctx, frame_t f), const void *ctx)
{
    struct code_frame *cf = s->code_list;

    while (cf)
        if (gone(ctx, cf->frame)) {
            soft_code_store(s, cf, 0, PAGE_SIZE);
            cf = s->code_list; /* others may have gone with it */
        } else {
            cf = cf->next;
        }
}

void soft_blocks_flush(struct soft *s)
{
    memset(s->hash, 0, sizeof s->hash);
    memset(s->jump, 0, sizeof s->jump);
    s->arena_used = 0;
    soft_links_end(s);
    s->want = NULL;
    s->cur = NULL;
    while (s->code_list)
        // NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the head of a list has no prev
        code_frame_free(s, s->code_list);
}

/* --- finding and making -------------------------------------------------------------------- */

static void insert(struct soft *s, struct block *b, const struct soft_fetch *at)
{
    struct block **p = hash_slot(s, b->frame, b->eip, b->mode);
    struct code_frame *cf = s->frames[b->frame];

    b->hash_next = *p;
    *p = b;
    b->frame_next[0] = cf->blocks;
    cf->blocks = b;
    mark_block(cf, b);
    if (at->frame2 == FRAME_NONE || at->frame2 == b->frame)
        return;
    cf = s->frames[at->frame2];
    b->frame_next[1] = cf->blocks;
    cf->blocks = b;
    mark_block(cf, b);
}

/* Decode from EIP on to s->build; *n instructions. */
static void decode_run(struct soft *s, struct soft_fetch *at, unsigned *n, uint32_t *bytes)
{
    uint32_t eip = CPU(s)->eip;
    const la_t page = (CPU(s)->seg[SEG_CS].base + eip) & ~PAGE_MASK;
    struct soft_fetch more;

    soft_decode(s, eip, &s->build[0], at, true);
    for (*n = 1, *bytes = s->build[0].len;; (*n)++) {
        const struct insn *last = &s->build[*n - 1];
        eip = last->eip + last->len;
        if ((last->flags & INSN_ENDS) || at->frame2 != FRAME_NONE || *n == BLOCK_INSNS ||
            ((CPU(s)->seg[SEG_CS].base + eip) & ~PAGE_MASK) != page || eip < last->eip)
            return;
        if (!soft_decode(s, eip, &s->build[*n], &more, false) || more.frame != at->frame)
            return;
        *bytes += s->build[*n].len;
    }
}

static struct block *make(struct soft *s)
{
    const uint32_t flags = s->modes[s->mode].flags;
    struct soft_fetch at;
    unsigned n;
    uint32_t bytes;

    decode_run(s, &at, &n, &bytes);
    if (at.frame == FRAME_NONE)
        return NULL;
    const size_t size = (n + 2) * (size_t)BLOCK_LINE;
    if (s->arena_used + size > BLOCK_ARENA)
        soft_blocks_flush(s);
    if (!code_frame_get(s, at.frame, at.gpa) ||
        (at.frame2 != FRAME_NONE && !code_frame_get(s, at.frame2, at.gpa2)))
        return NULL;

    struct block *b = (struct block *)(void *)(s->arena + s->arena_used);
    struct tail *t = (struct tail *)(void *)&b->insn[n];
    s->arena_used += size;
    *b = (struct block){.frame = at.frame,
                        .frame2 = at.frame2,
                        .eip = CPU(s)->eip,
                        .bytes = (uint16_t)bytes,
                        .n = (uint8_t)n,
                        .mode = s->mode,
                        .off = (uint16_t)((CPU(s)->seg[SEG_CS].base + CPU(s)->eip) & PAGE_MASK)};
    memcpy(b->insn, s->build, n * sizeof *b->insn);
    for (unsigned k = 0; k < n; k++) {
        struct insn *i = &b->insn[k];
        i->idx = (uint8_t)k;
        i->run = soft_fast_pick(i, flags);
        if (!i->run)
            i->run = soft_exec_pick(i);
    }
    *t = (struct tail){.run = soft_exec_tail,
                       .block = b,
                       .eip = b->insn[n - 1].eip + b->insn[n - 1].len,
                       .link = {{.gen = s->gen - 1}, {.gen = s->gen - 1}}}; /* leading nowhere */
    b->entry = b->insn[0].run;
    insert(s, b, &at);
    return b;
}

/* Does the TLB hold, now, that la's page is code of frame f? It is not asked to find out. */
static bool leads_to(const struct soft *s, la_t la, frame_t f)
{
    const struct tlb_page *p = &s->view->page[la >> PAGE_SHIFT & (TLB_N - 1)];
    return p->tag == (la & ~PAGE_MASK) && p->gen == s->tlb_gen && p->page.executable &&
           p->page.host && p->page.frame == f;
}

/* Of a block that lies in one page: the EIP at which that begins. */
static uint32_t page_eip(const struct block *b)
{
    return b->eip - b->off;
}

static bool may_renew(const struct block *b)
{
    return b && !b->dead && b->frame2 == FRAME_NONE;
}

bool soft_link_renew(const struct soft *s, const struct block *from, struct link *l)
{
    const struct block *to = l->to;

    if (!may_renew(to))
        return false;
    /* Within a page: had its translation gone since the block was entered, that would have ended it
     * (T2, B3). */
    const bool near =
        from->frame2 == FRAME_NONE && page_eip(from) == page_eip(to) && from->frame == to->frame;
    if (!near && !leads_to(s, s->modes[to->mode].cs_base + to->eip, to->frame))
        return false;
    l->gen = s->gen;
    return true;
}

bool soft_jump_renew(const struct soft *s, struct jump *j, uint32_t eip)
{
    const struct block *to = j->to;

    if (j->eip != eip || !may_renew(to) ||
        !leads_to(s, s->modes[to->mode].cs_base + eip, to->frame))
        return false;
    j->gen = s->gen;
    return true;
}

static struct block *find(struct soft *s, la_t la, frame_t f)
{
    const uint32_t eip = CPU(s)->eip;
    struct block *b = *hash_slot(s, f, eip, s->mode);

    for (; b; b = b->hash_next) {
        if (b->frame != f || b->eip != eip || b->mode != s->mode)
            continue;
        if (b->frame2 == FRAME_NONE)
            return b;
        const la_t second = (la & ~PAGE_MASK) + PAGE_SIZE;
        if (soft_tlb_page(s, second, SOFT_X, soft_user(s))->page.frame == b->frame2)
            return b;
    }
    return NULL;
}

/* What the link that led here, or the jump entry, had before: the hash's lists are mostly far from
 * any cache. f: the frame that EIP's page is now. */
static struct block *remembered(const struct soft *s, const struct jump *j, frame_t f)
{
    struct block *const known[2] = {s->want ? s->want->to : NULL, j->to};

    for (int k = 0; k < 2; k++) {
        struct block *b = known[k];
        if (may_renew(b) && b->eip == s->core.cpu->eip && b->mode == s->mode && b->frame == f)
            return b;
    }
    return NULL;
}

struct block *soft_block_find(struct soft *s)
{
    const struct cpu *c = CPU(s);
    const la_t la = c->seg[SEG_CS].base + c->eip;
    struct jump *j = soft_jump_slot(s, c->eip);

    if (soft_jump_holds(s, j, c->eip))
        return j->to;
    if (c->eip > c->seg[SEG_CS].limit)
        soft_raise_err(s, VEC_GP, 0);
    const struct tlb_page *p = soft_tlb_page(s, la, SOFT_X, soft_user(s));
    if (!p->page.host)
        return NULL;
    struct block *b = remembered(s, j, p->page.frame);
    if (!b)
        b = find(s, la, p->page.frame);
    if (!b)
        b = make(s);
    if (b && !s->core.env->used)
        *j = (struct jump){.eip = c->eip, .gen = s->gen, .to = b};
    return b;
}

int soft_blocks_init(struct soft *s)
{
    s->frames = calloc(s->max_frames ? s->max_frames : 1, sizeof(struct code_frame *));
    s->arena = mmap(NULL, BLOCK_ARENA, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (s->arena == MAP_FAILED)
        s->arena = NULL;
    else /* a kernel's code fills much of it; where the host has no large pages, so be it */
        (void)madvise(s->arena, BLOCK_ARENA, MADV_HUGEPAGE);
    return s->frames && s->arena ? 0 : -ENOMEM;
}

void soft_blocks_destroy(struct soft *s)
{
    while (s->frames && s->code_list)
        // NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the head of a list has no prev
        code_frame_free(s, s->code_list);
    free(s->frames);
    if (s->arena)
        munmap(s->arena, BLOCK_ARENA);
}
