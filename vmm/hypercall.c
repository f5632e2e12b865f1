/*
 * Hypercalls: guest/abi.h is the contract. The argument block is fetched once, checked, and worked
 * on as a copy; only status and results go back.
 */
#include <errno.h>
#include <string.h>

#include "guest/abi.h"
#include "vmm/vm.h"

_Static_assert(UMBRA_HC_ALIGN >= 4, "the block's words are read as words");

static uint32_t backing_of(const struct mm_page_info *i)
{
    if (pte_none(i->pte))
        return UMBRA_BACKING_NONE;
    if (pte_is_swap(i->pte))
        return UMBRA_BACKING_SWAP;
    return i->frame == POOL_ZERO_FRAME ? UMBRA_BACKING_ZERO : UMBRA_BACKING_FRAME;
}

static int32_t call_pte_query(struct vm *vm, struct umbra_hc *hc)
{
    const la_t la = hc->arg[0];
    const struct walk_access look = {0};
    struct mm_page_info i;
    struct walk w;

    walk_guest(vm->as, shadow_mode(vm->shadow), la, look, false, &w);
    if (w.status == WALK_NOMEM)
        return UMBRA_ENOMEM;
    if (w.status == WALK_IOERR)
        return UMBRA_EIO;
    hc->ret[0] = (uint32_t)(w.large ? w.pde.raw : w.pte.raw); /* 0 if paging is off */
    if (space_rules(vm))
        hc->ret[0] = space_guest_pte(vm, la >> PAGE_SHIFT);
    hc->ret[3] = UMBRA_NO_FRAME;
    if (w.status == WALK_FAULT)
        return UMBRA_OK;
    if (!space_has(vm, w.gpa))
        return cpu_paging(&vm->cpu) ? UMBRA_OK : UMBRA_ERANGE;
    mm_page_info(vm->as->mm, gfn_of(w.gpa), &i);
    const spte_t s = shadow_lookup(vm->shadow, la, false, NULL);
    const uint64_t shadow = spte_present(s) ? s.raw : 0;
    hc->ret[1] = backing_of(&i);
    hc->ret[2] = i.pte.raw;
    hc->ret[3] = i.frame == FRAME_NONE ? UMBRA_NO_FRAME : i.frame;
    hc->ret[4] = i.refs;
    hc->ret[5] = i.maps;
    hc->ret[6] = (uint32_t)shadow;
    hc->ret[7] = (uint32_t)(shadow >> 32);
    return UMBRA_OK;
}

static int32_t call_pool_info(struct vm *vm, struct umbra_hc *hc)
{
    struct pool_stats p;
    struct mm_stats m;
    pool_get_stats(vm->pool, &p);
    mm_get_stats(vm->mm, &m);
    hc->ret[0] = (uint32_t)p.frames_max;
    hc->ret[1] = (uint32_t)p.frames_grown;
    hc->ret[2] = (uint32_t)p.frames_free;
    hc->ret[3] = VM_POOL_STEP >> PAGE_SHIFT;
    hc->ret[4] = (uint32_t)m.resident;
    hc->ret[5] = (uint32_t)(vm->opts.ram >> PAGE_SHIFT);
    return UMBRA_OK;
}

static int32_t call_version(struct vm *vm, struct umbra_hc *hc)
{
    (void)vm;
    hc->ret[0] = UMBRA_ABI_VERSION;
    return UMBRA_OK;
}

static const struct {
    uint32_t number;
    unsigned args; /* how many it names; the others must be 0 */
    int32_t (*call)(struct vm *, struct umbra_hc *);
} calls[] = {
    {UMBRA_HC_VERSION, 0, call_version},
    {UMBRA_HC_PTE_QUERY, 1, call_pte_query},
    {UMBRA_HC_POOL_INFO, 0, call_pool_info},
};

static bool args_unused(const struct umbra_hc *hc, unsigned from)
{
    for (unsigned i = from; i < sizeof hc->arg / sizeof *hc->arg; i++)
        if (hc->arg[i])
            return false;
    return hc->flags == 0;
}

static int32_t dispatch(struct vm *vm, struct umbra_hc *hc)
{
    const bool version_ok =
        (hc->version >> 16) == UMBRA_ABI_MAJOR && (hc->version & 0xffff) <= UMBRA_ABI_MINOR;
    if (!version_ok && hc->number != UMBRA_HC_VERSION)
        return UMBRA_EVERSION;
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        if (calls[i].number == hc->number)
            return args_unused(hc, calls[i].args) ? calls[i].call(vm, hc) : UMBRA_EINVAL;
    const int args = space_call_args(hc->number);
    if (args < 0)
        return UMBRA_ENOCALL;
    return args_unused(hc, (unsigned)args) ? space_call(vm, hc) : UMBRA_EINVAL;
}

/* Serve the block at gpa; the status is also what IN from the port gives. */
static int32_t serve(struct vm *vm, gpa_t gpa)
{
    struct umbra_hc hc;
    if (gpa % UMBRA_HC_ALIGN)
        return UMBRA_EALIGN;
    if (!space_writable(vm, gpa, sizeof hc) || gmem_read(vm->as, gpa, &hc, sizeof hc) < 0)
        return UMBRA_EFAULT;
    if (hc.magic != UMBRA_HC_MAGIC)
        return UMBRA_EMAGIC;
    memset(hc.ret, 0, sizeof hc.ret);
    hc.status = dispatch(vm, &hc);
    if (hc.status != UMBRA_OK)
        memset(hc.ret, 0, sizeof hc.ret);
    const size_t at = offsetof(struct umbra_hc, status);
    int rc = gmem_write(vm->as, gpa + at, &hc.status, sizeof hc - at);
    if (rc == -EFAULT) /* the call has taken the block's own memory away: only the port answers */
        rc = 0;
    space_settle(vm);
    if (rc == -ENOMEM) {
        vm_finish(vm, VM_END_OOM, "no frame to answer a hypercall: the frame pool is used up");
        return UMBRA_ENOMEM;
    }
    return rc < 0 ? UMBRA_EIO : hc.status;
}

static uint32_t port_in(void *ctx, uint16_t port, unsigned size)
{
    struct vm *vm = ctx;
    if (port != UMBRA_HC_PORT || size != 4)
        vm->hc_status = UMBRA_EINVAL;
    return (uint32_t)vm->hc_status & (UINT32_MAX >> (32 - 8 * size));
}

static void port_out(void *ctx, uint16_t port, uint32_t val, unsigned size)
{
    struct vm *vm = ctx;
    vm->stats.hypercalls++;
    vm->hc_status = port == UMBRA_HC_PORT && size == 4 ? serve(vm, val) : UMBRA_EINVAL;
}

int hypercall_init(struct vm *vm)
{
    const struct bus_range r = {.name = "hypercall",
                                .first = UMBRA_HC_PORT,
                                .last = UMBRA_HC_PORT + 3,
                                .sizes = 1 | 2 | 4,
                                .in = port_in,
                                .out = port_out,
                                .ctx = vm};
    return bus_claim(&vm->board.bus, &r);
}
