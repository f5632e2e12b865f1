/* See vm_swap.h. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "mm/reclaim.h"
#include "mm/share.h"
#include "mm/swap.h"
#include "vmm/vm.h"

/* Frames between the low and the high watermark beyond mm's default: a fault's read-ahead is
 * allowed only well above low. */
#define AHEAD_ROOM 40u

/* Traps without a try after reclaim got nowhere, doubling: a machine that is about to run out of
 * memory is not to spend its time looking for what is not there. */
enum { PAUSE_FIRST = 16, PAUSE_LAST = 4096 };

int vm_swap_open(const struct vm_swap_opts *o, struct store **out, struct errmsg *err)
{
    const struct store_opts so = {.path = o->file, .zpool_bytes = o->zpool, .fail = o->fail};
    struct mm_err e = {{0}};
    const int rc = store_open(&so, out, &e);
    return rc < 0 ? err_set(err, rc, "%s", e.text) : 0;
}

static int set_watermarks(struct pool *p)
{
    const uint32_t frames = (uint32_t)(pool_bytes(p) >> PAGE_SHIFT), unit = frames / 64;
    uint32_t high = unit + 1 + AHEAD_ROOM;
    if (high > frames / 4)
        high = frames / 4;
    return pool_set_watermarks(p, unit / 2, unit < high ? unit : high, high);
}

int vm_swap_attach(struct vm *vm, struct errmsg *err)
{
    if (!vm->opts.store)
        return 0;
    if (pool_bytes(vm->pool) < VM_POOL_SWAP_MIN)
        return err_set(
            err, -EINVAL,
            "frame pool of %" PRIu64
            " bytes: with swap it needs %u at least, so that an instruction's pages fit; "
            "give more with --pool",
            pool_bytes(vm->pool), VM_POOL_SWAP_MIN);
    int rc = pool_swapon(vm->pool, vm->opts.store);
    if (!rc)
        rc = set_watermarks(vm->pool);
    return rc < 0 ? err_set(err, rc, "swap: %s", strerror(-rc)) : 0;
}

/* A page is merged when two passes have found it the same. A pass must take more traps than one
 * instruction can need for its pages (FAULTS_PER_STEP in vcpu.c), or pages of equal content would
 * be merged faster than a guest can get hold of them, and it would stand still. */
static uint32_t pages_to_look_at(const struct vm *vm)
{
    struct mm_stats m;
    mm_get_stats(vm->as->mm, &m);
    const uint64_t most = 1 + m.resident / 64;
    return most < vm->opts.share ? (uint32_t)most : vm->opts.share;
}

void vm_swap_balance(struct vm *vm)
{
    struct vm_swap *s = &vm->swap;
    if (vm->opts.share)
        pool_share_scan(vm->pool, pages_to_look_at(vm));
    if (!vm->opts.store)
        return;
    if (s->rest > 0) {
        s->rest--;
        return;
    }
    if (pool_balance(vm->pool)) {
        s->pause = 0;
        return;
    }
    s->pause = s->pause == 0 ? PAUSE_FIRST : s->pause < PAUSE_LAST ? 2 * s->pause : PAUSE_LAST;
    s->rest = s->pause;
}

/* --- in words -------------------------------------------------------------------------------- */

const char *vm_swap_word(enum store_where w)
{
    switch (w) {
    case STORE_SAME: return "same-filled";
    case STORE_ZPOOL: return "zpool";
    case STORE_WRITING: return "writing";
    case STORE_DISK: return "disk";
    case STORE_EMPTY: return "memory"; /* in the swap cache, not written (yet) */
    case STORE_BAD: return "bad";
    case STORE_FREE: break;
    }
    return "free";
}

const char *vm_swap_where(struct vm *vm, gfn_t gfn, char *buf, size_t len)
{
    const pte_t pte = mm_pte(vm->as->mm, gfn);
    if (!pte_is_swap(pte) || !vm->opts.store) {
        snprintf(buf, len, "its file gave an error");
        return buf;
    }
    struct store_stats s;
    store_get_stats(vm->opts.store, &s);
    snprintf(buf, len,
             "slot %u of area %u%s%s (%s); so far %" PRIu64 " reads failed and %" PRIu64
             " contents did not match their checksum",
             pte_swap_slot(pte), pte_swap_area(pte), vm->opts.swap_name ? ", " : "",
             vm->opts.swap_name ? vm->opts.swap_name : "",
             vm_swap_word(store_where(vm->opts.store, pte_swap_slot(pte))), s.read_errors, s.torn);
    return buf;
}
