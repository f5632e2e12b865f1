/* See soft_engine.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "mm/pool.h"
#include "vmm/cpu/cpuid.h"
#include "vmm/shadow/shadow.h"
#include "vmm/soft_engine.h"

/* Instructions between two looks at what only the monitor sees. */
#define SLICE (1u << 24)

struct soft_engine {
    struct engine e;
    struct soft_engine_env env;
    struct soft_env soft_env;
    struct soft *soft;
    /* Of frames with decoded code: the page by which it was reached, a key, by frame; and for each
     * key whether there may be such a frame. The code is dropped when that page gets another frame,
     * which is before the frame can have another use. */
    uint32_t *owner;
    uint64_t *owned;
    uint64_t insns;
};

#define KEYS ((uint32_t)SHADOW_SPACES * MM_GFNS)

static size_t frames_of(const struct pool *p)
{
    return (size_t)(pool_bytes(p) >> PAGE_SHIFT);
}
static struct soft_engine *soft_of(struct engine *e)
{
    return (struct soft_engine *)(void *)e;
}

/* --- costs, where somebody wants to know ------------------------------------------------------ */

static uint64_t call_begin(const struct soft_engine *s)
{
    return s->env.costs ? stats_now() : 0;
}
static void call_end(const struct soft_engine *s, enum stats_call call, uint64_t start)
{
    if (s->env.costs)
        hist_add(&s->env.costs[call], stats_now() - start);
}

/* --- what the soft CPU asks ------------------------------------------------------------------ */

static int translate(void *ctx, la_t la, enum soft_access acc, bool user, struct soft_page *out)
{
    const struct soft_engine *s = ctx;
    const uint64_t start = call_begin(s);
    gfn_t gfn = 0;
    const spte_t e = shadow_lookup(s->e.env.shadow, la, user, &gfn);

    if (!shadow_entry_used(e) || (acc == SOFT_W && !spte_writable(e)) ||
        (acc == SOFT_X && spte_nx(e)))
        return -EFAULT;
    *out = (struct soft_page){.frame = FRAME_NONE,
                              .gpa = spte_addr(e),
                              .writable = spte_writable(e),
                              .executable = !spte_nx(e)};
    if (!spte_is_mmio(e)) {
        out->host = pool_ptr(s->e.env.pool, spte_frame(e));
        out->frame = spte_frame(e);
        out->gpa = gpa_of(gfn);
    }
    call_end(s, CALL_REFILL, start);
    return 0;
}

static uint32_t mmio_read(void *ctx, gpa_t gpa, unsigned size)
{
    const struct soft_engine *s = ctx;
    const uint64_t start = call_begin(s);
    const uint32_t val = s->env.mmio_read(s->env.ctx, gpa, size);
    call_end(s, CALL_MMIO, start);
    return val;
}

static void mmio_write(void *ctx, gpa_t gpa, uint32_t val, unsigned size)
{
    const struct soft_engine *s = ctx;
    const uint64_t start = call_begin(s);
    s->env.mmio_write(s->env.ctx, gpa, val, size);
    call_end(s, CALL_MMIO, start);
}

static uint32_t io_in(void *ctx, uint16_t port, unsigned size)
{
    struct soft_engine *s = ctx;
    const uint64_t start = call_begin(s);
    uint32_t val = 0;
    if (!s->e.env.io(s->e.env.ctx, port, size, true, 1, &val))
        soft_kick(s->soft);
    call_end(s, CALL_IN, start);
    return val;
}

static void io_out(void *ctx, uint16_t port, uint32_t val, unsigned size)
{
    struct soft_engine *s = ctx;
    const uint64_t start = call_begin(s);
    if (!s->e.env.io(s->e.env.ctx, port, size, false, 1, &val))
        soft_kick(s->soft);
    call_end(s, CALL_OUT, start);
}

static uint32_t io_many(void *ctx, uint16_t port, unsigned size, bool in, uint32_t count,
                        void *data)
{
    const struct soft_engine *s = ctx;
    const uint64_t start = call_begin(s);
    bool go_on = true;
    const uint32_t n = s->env.io_many(s->env.ctx, port, size, in, count, data, &go_on);
    if (!go_on)
        soft_kick(s->soft);
    call_end(s, CALL_STRING_IO, start);
    return n;
}

static void do_cpuid(void *ctx, uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
    const struct soft_engine *s = ctx;
    const uint64_t start = call_begin(s);
    cpuid_query(&s->env.cpuid, s->e.env.cpu, leaf, subleaf, out);
    call_end(s, CALL_CPUID, start);
}

static uint64_t tsc(void *ctx)
{
    const struct soft_engine *s = ctx;
    const uint64_t start = call_begin(s);
    const uint64_t val = s->env.tsc(s->env.ctx);
    call_end(s, CALL_TSC, start);
    return val;
}

static bool cr_written(void *ctx, int reg, uint32_t old)
{
    const struct soft_engine *s = ctx;
    const uint64_t start = call_begin(s);
    const bool taken = s->env.cr_written(s->env.ctx, reg, old);
    call_end(s, reg == 0 ? CALL_CR0 : reg == 3 ? CALL_CR3 : CALL_CR4, start);
    return taken;
}

static void invlpg(void *ctx, la_t la)
{
    const struct soft_engine *s = ctx;
    const uint64_t start = call_begin(s);
    s->env.invlpg(s->env.ctx, la);
    call_end(s, CALL_INVLPG, start);
}

static void apic_base(void *ctx)
{
    const struct soft_engine *s = ctx;
    if (s->env.apic_base)
        s->env.apic_base(s->env.ctx);
}

static void used(void *ctx, la_t la, enum soft_access acc, bool user, const struct soft_page *page)
{
    const struct soft_engine *s = ctx;
    s->env.used(s->env.ctx, la, acc, user, page);
}

static int intr_ack(void *ctx)
{
    const struct soft_engine *s = ctx;
    const uint64_t start = call_begin(s);
    const int vector = s->env.intr_ack(s->env.ctx);
    call_end(s, CALL_INTR, start);
    return vector;
}

static void code_frame(void *ctx, frame_t f, gpa_t gpa, bool cached)
{
    struct soft_engine *s = ctx;
    if (cached) {
        const uint32_t key = shadow_space(s->e.env.shadow) * MM_GFNS + gfn_of(gpa);
        s->owner[f] = key;
        s->owned[key / 64] |= 1ull << key % 64;
    }
    if (s->env.code_frame)
        s->env.code_frame(s->env.ctx, f, s->owner[f] % MM_GFNS, cached);
}

static bool ferr(void *ctx, bool level)
{
    const struct soft_engine *s = ctx;
    return s->env.ferr && s->env.ferr(s->env.ctx, level);
}

static void fpu_use(void *ctx)
{
    const struct soft_engine *s = ctx;
    if (s->env.fpu_use)
        s->env.fpu_use(s->env.ctx);
}

/* --- engine operations ----------------------------------------------------------------------- */

static void trap_of(struct soft_engine *s, const struct soft_exit_info *x, struct trap *t)
{
    s->insns += x->insns;
    switch (x->kind) {
    case SOFT_EXIT_BUDGET: t->kind = TRAP_BUDGET; break;
    case SOFT_EXIT_PF:
        t->kind = TRAP_PF;
        t->la = x->la;
        t->error = (x->access == SOFT_W ? PF_W : 0u) | (x->access == SOFT_X ? PF_I : 0u) |
                   (x->user ? PF_U : 0u);
        break;
    case SOFT_EXIT_HLT: t->kind = TRAP_HLT; break;
    case SOFT_EXIT_ATTENTION: t->kind = TRAP_KICK; break;
    case SOFT_EXIT_SHUTDOWN:
    case SOFT_EXIT_UNSUPPORTED:
        t->kind = TRAP_SHUTDOWN;
        memcpy(t->why, x->why, sizeof t->why);
        break;
    }
}

static void run_engine(struct engine *e, struct trap *t)
{
    struct soft_engine *s = soft_of(e);
    struct soft_exit_info x = {0};
    const uint64_t most = s->env.budget ? s->env.budget(s->env.ctx) : SLICE;
    soft_run(s->soft, most < SLICE ? most : SLICE, &x);
    trap_of(s, &x, t);
}

void soft_engine_step(struct engine *e, struct trap *t)
{
    struct soft_engine *s = soft_of(e);
    struct soft_exit_info x = {0};
    soft_step(s->soft, &x);
    trap_of(s, &x, t);
}

void soft_engine_deliver(struct engine *e, const struct soft_event *ev, struct trap *t)
{
    struct soft_engine *s = soft_of(e);
    struct soft_exit_info x = {0};
    soft_deliver(s->soft, ev, &x);
    trap_of(s, &x, t);
}

static bool can_run(struct engine *e)
{
    (void)e;
    return true;
}

static void restricted(struct engine *e, uint32_t off, la_t la, spte_t old, spte_t now)
{
    (void)off, (void)old, (void)now;
    soft_tlb_drop(soft_of(e)->soft, la);
}

struct keys {
    const struct soft_engine *s;
    uint32_t first, end;
};

static bool owned_by(const void *ctx, frame_t f)
{
    const struct keys *k = ctx;
    return k->s->owner[f] >= k->first && k->s->owner[f] < k->end;
}

/* Forgets that some of the keys owned code; true: one did. */
static bool disown(struct soft_engine *s, uint32_t first, uint32_t end)
{
    bool any = false;
    for (uint32_t k = first; k < end;) {
        const uint32_t bit = k % 64, n = end - k < 64 - bit ? end - k : 64 - bit;
        const uint64_t mask = (n == 64 ? ~0ull : (1ull << n) - 1) << bit;
        if (s->owned[k / 64] & mask) {
            s->owned[k / 64] &= ~mask;
            any = true;
        }
        k += n;
    }
    return any;
}

static void left(struct engine *e, uint32_t space, gfn_t gfn, uint32_t n)
{
    struct soft_engine *s = soft_of(e);
    const uint32_t first = space * MM_GFNS + gfn;
    const struct keys k = {s, first, first + n};
    if (disown(s, k.first, k.end))
        soft_code_forget(s->soft, owned_by, &k);
}

static void flush(struct engine *e)
{
    soft_tlb_flush(soft_of(e)->soft);
}
static void sync_engine(struct engine *e)
{
    (void)e;
}
/* The soft CPU takes interrupts by itself. */
static void intr_window(struct engine *e, bool wanted)
{
    (void)e;
    (void)wanted;
}
static void kick(struct engine *e)
{
    soft_kick(soft_of(e)->soft);
}

/* Memory that is only there once it is written to. NULL: none. */
static void *reserve(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                   -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

static void free_owners(struct soft_engine *s)
{
    if (s->owner)
        munmap(s->owner, frames_of(s->e.env.pool) * sizeof *s->owner);
    if (s->owned)
        munmap(s->owned, KEYS / 8);
}

static void destroy(struct engine *e)
{
    struct soft_engine *s = soft_of(e);
    shadow_detach(e->env.shadow, e);
    soft_destroy(s->soft);
    free_owners(s);
    free(s);
}

static const struct engine_ops soft_ops = {
    .name = "soft",
    .run = run_engine,
    .can_run = can_run,
    .restricted = restricted,
    .left = left,
    .flush = flush,
    .sync = sync_engine,
    .kick = kick,
    .intr_window = intr_window,
    .destroy = destroy,
};

int soft_engine_create(const struct engine_env *env, const struct soft_engine_env *senv,
                       struct engine **out)
{
    struct soft_engine *s = calloc(1, sizeof *s);
    if (!s)
        return -ENOMEM;
    const size_t frames = frames_of(env->pool);
    s->owner = reserve(frames * sizeof *s->owner);
    s->owned = reserve(KEYS / 8);
    s->e = (struct engine){.ops = &soft_ops, .env = *env};
    if (!s->owner || !s->owned) {
        free_owners(s);
        free(s);
        return -ENOMEM;
    }
    s->env = *senv;
    s->soft_env = (struct soft_env){.ctx = s,
                                    .translate = translate,
                                    .used = senv->used ? used : NULL,
                                    .mmio_read = mmio_read,
                                    .mmio_write = mmio_write,
                                    .io_in = io_in,
                                    .io_out = io_out,
                                    .io_many = senv->io_many ? io_many : NULL,
                                    .cpuid = do_cpuid,
                                    .tsc = tsc,
                                    .cr_written = cr_written,
                                    .invlpg = invlpg,
                                    .apic_base = apic_base,
                                    .intr_ack = intr_ack,
                                    .code_frame = code_frame,
                                    .ferr = ferr,
                                    .fpu_use = fpu_use};
    const int rc = soft_create(env->cpu, &s->soft_env, (uint32_t)frames, &s->soft);
    if (rc < 0) {
        free_owners(s);
        free(s);
        return rc;
    }
    shadow_attach(env->shadow, &s->e);
    *out = &s->e;
    return 0;
}

uint64_t soft_engine_insns(const struct engine *e)
{
    return ((const struct soft_engine *)(const void *)e)->insns;
}

struct soft *soft_engine_cpu(struct engine *e)
{
    return soft_of(e)->soft;
}
