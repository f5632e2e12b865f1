/* See vm_trace.h. */
#include "vmm/vm.h"

/* The kinds of a record that come from mm are enum mm_event, in its order. */
_Static_assert(TRACE_SWAP_OUT + MM_EV_PROTECTED == TRACE_PROTECTED &&
                   TRACE_SWAP_OUT + MM_EV_READ_AHEAD == TRACE_READ_AHEAD &&
                   MM_EVENTS == MM_EV_PROTECTED + 1,
               "one each");
_Static_assert(MM_TAG_NONE == TRACE_NO_SPACE && SPACES_MAX < TRACE_NO_SPACE, "tags are spaces");

static void on_mm_event(void *ctx, enum mm_event what, uint32_t tag, gfn_t gfn, uint32_t detail)
{
    const struct vm *vm = ctx;
    trace_ring_put(vm->tracing.ring, (struct trace_rec){.tsc = stats_now(),
                                                        .gfn = gfn,
                                                        .info = detail,
                                                        .kind = (uint8_t)(TRACE_SWAP_OUT + what),
                                                        .space = (uint8_t)tag});
}

/* Shadow entries go within nanoseconds of a fault's begin: another look at the clock would cost
 * more than it tells. */
static void on_restricted(void *ctx, uint32_t space, la_t la, unsigned level, gfn_t gfn, spte_t old,
                          spte_t now)
{
    const struct vm *vm = ctx;
    const bool same = spte_present(old) && spte_present(now) && spte_frame(old) == spte_frame(now);
    const uint64_t fault = vm->tracing.fault_tsc;
    trace_ring_put(vm->tracing.ring, (struct trace_rec){.tsc = fault ? fault : stats_now(),
                                                        .la = la,
                                                        .gfn = level == 1 ? gfn : 0,
                                                        .kind = level > 1 ? TRACE_SHADOW_TABLE
                                                                : same    ? TRACE_SHADOW_WP
                                                                          : TRACE_SHADOW_DROP,
                                                        .error = (uint8_t)level,
                                                        .space = (uint8_t)space});
}

/* The monitor's own accesses to guest memory bring pages in as well. */
static void on_monitor_fault(void *ctx, const struct gmem *g, gfn_t gfn, enum mm_access access,
                             const struct mm_fault *f)
{
    const struct vm *vm = ctx;
    trace_ring_put(vm->tracing.ring,
                   (struct trace_rec){.tsc = stats_now(),
                                      .gfn = gfn,
                                      .eip = vm->cpu.eip,
                                      .info = f->path,
                                      .kind = TRACE_MONITOR,
                                      .result = (uint8_t)f->result,
                                      .error = access == MM_ACCESS_WRITE ? PF_W : 0,
                                      .space = (uint8_t)mm_tag(g->mm)});
}

void vm_trace_sample(struct vm *vm)
{
    struct pool_stats p;
    struct mm_stats s;
    pool_get_stats(vm->pool, &p);
    mm_get_stats(vm->as->mm, &s);
    trace_ring_put(vm->tracing.ring,
                   (struct trace_rec){.tsc = stats_now(),
                                      .la = (uint32_t)s.resident,
                                      .gfn = (uint32_t)(p.frames_grown - p.frames_free),
                                      .info = (uint32_t)s.swapped,
                                      .kind = TRACE_SAMPLE,
                                      .space = (uint8_t)vm->spaces.cur});
    trace_ring_refresh(vm->tracing.ring);
}

void vm_trace_space(struct vm *vm, enum trace_kind kind, uint32_t other)
{
    if (vm->tracing.ring)
        trace_ring_put(vm->tracing.ring, (struct trace_rec){.tsc = stats_now(),
                                                            .info = other,
                                                            .kind = (uint8_t)kind,
                                                            .space = (uint8_t)vm->spaces.cur});
}

void vm_trace_begin(struct vm *vm)
{
    struct vm_trace *t = &vm->tracing;
    t->ring = vm->opts.ring;
    if (!t->ring)
        return;
    t->tracer = (struct mm_tracer){.ctx = vm, .event = on_mm_event};
    t->watch = (struct shadow_watch){.ctx = vm, .restricted = on_restricted};
    pool_set_tracer(vm->pool, &t->tracer);
    shadow_set_watch(vm->shadow, &t->watch);
    vm->gmem.faulted = on_monitor_fault;
}

void vm_trace_end(struct vm *vm)
{
    if (!vm->tracing.ring)
        return;
    vm_trace_sample(vm);
    pool_set_tracer(vm->pool, NULL);
    shadow_set_watch(vm->shadow, NULL);
    for (uint32_t i = 0; i < SPACES_MAX; i++)
        if (vm->spaces.at[i])
            vm->spaces.at[i]->faulted = NULL;
    vm->tracing.ring = NULL;
}
