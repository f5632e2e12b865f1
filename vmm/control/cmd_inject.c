/*
 * inject: what a test of faults wants to happen to a running machine: pages that go to the swap
 * area, frames that are shared, rights and shadows that are lost, I/O that fails.
 */
#include <errno.h>
#include <string.h>

#include "mm/failpoint.h"
#include "mm/reclaim.h"
#include "vmm/control/control_int.h"
#include "vmm/peek.h"

enum what { SWAP_OUT, FORK, UNFORK, WRITE_PROTECT, DROP_SHADOW, FAIL };
static const char *const whats[] = {"swap-out",    "fork", "unfork", "write-protect",
                                    "drop-shadow", "fail", NULL};

struct job {
    struct control *c;
    int what;
    bool linear, all;
    uint64_t at, size;
    uint32_t kinds; /* FAIL: enum fail_kind bits */
    uint64_t count;
    bool sticky;
    uint64_t pages; /* done to so many */
    int rc;
};

/* Do it to n guest pages that follow one another. */
static void do_pages(struct vm *vm, struct job *j, gfn_t gfn, uint32_t n)
{
    struct mm_page_info i;
    switch (j->what) {
    case SWAP_OUT:
        j->rc = mm_pageout(vm->as->mm, gfn, n);
        for (uint32_t k = 0; k < n; k++) {
            mm_page_info(vm->as->mm, gfn + k, &i);
            j->pages += pte_is_swap(i.pte);
        }
        return;
    case WRITE_PROTECT: shadow_write_protect(vm->shadow, gfn, n); break;
    default: shadow_zap(vm->shadow, gfn, n); break;
    }
    j->pages += n;
}

/* Guest-physical, cut to what there is. */
static void do_physical(struct vm *vm, struct job *j)
{
    const uint64_t end = vm->as->bytes >> PAGE_SHIFT, from = j->at >> PAGE_SHIFT;
    const uint64_t to = (j->at + j->size - 1) >> PAGE_SHIFT;
    if (from >= end)
        j->rc = -EFAULT;
    else
        do_pages(vm, j, (gfn_t)from, (uint32_t)((to < end ? to + 1 : end) - from));
}

/* Page by page through the guest's tables; what maps nothing is passed over. */
static void do_linear(struct vm *vm, struct job *j)
{
    static struct tables t; /* of this one thread */
    const uint64_t last = j->at + j->size - 1;
    struct tables_walk w;
    peek_tables(vm, &t);
    for (uint64_t la = j->at & ~(uint64_t)PAGE_MASK; la <= last && !j->rc; la = w.next) {
        tables_walk(&t, (la_t)la, &w);
        if (w.end != TABLES_MAPPED)
            continue;
        w.next = la + PAGE_SIZE; /* large pages too */
        if (space_has(vm, w.gpa))
            do_pages(vm, j, gfn_of(w.gpa), 1);
    }
}

static void do_fork(struct vm *vm, struct job *j)
{
    struct mm **child = j->c->child;
    for (int i = 0; i < CONTROL_FORKS; i++) {
        if (child[i])
            continue;
        j->rc = mm_fork(vm->as->mm, "forked by request", &child[i]);
        return;
    }
    j->rc = -ENOSPC;
}

void control_unfork(struct control *c)
{
    for (int i = 0; i < CONTROL_FORKS; i++) {
        mm_destroy(c->child[i]);
        c->child[i] = NULL;
    }
}

static void look_inject(struct vm *vm, void *ctx)
{
    struct job *j = ctx;
    switch (j->what) {
    case FORK: do_fork(vm, j); break;
    case UNFORK: control_unfork(j->c); break;
    case FAIL:
        if (vm->opts.fail)
            fail_arm(vm->opts.fail, j->kinds, (int64_t)j->count, j->sticky);
        else
            j->rc = -ENOTSUP;
        break;
    default:
        if (j->what == SWAP_OUT && !vm->opts.store)
            j->rc = -ENODEV;
        else if (j->all)
            shadow_zap_all(vm->shadow);
        else if (j->linear)
            do_linear(vm, j);
        else
            do_physical(vm, j);
    }
}

static int inject_error(struct request *r, int rc)
{
    switch (rc) {
    case -ENODEV: return err_set(&r->err, rc, "the machine has no swap (--swap, --zpool)");
    case -ENOSPC: return err_set(&r->err, rc, "%d forks are held already", CONTROL_FORKS);
    case -EFAULT: return err_set(&r->err, rc, "no RAM is there");
    default: return err_set(&r->err, rc, "%s", strerror(-rc));
    }
}

static int take_range(struct request *r, struct job *j)
{
    static const char *const spaces[] = {"linear", "physical", NULL};
    int space = 0;
    j->size = 1;
    j->all = j->what == DROP_SHADOW && !json_object_get(r->args, "address");
    int rc = j->all ? 0 : arg_need(r, "address");
    if (!rc)
        rc = arg_word(r, "space", spaces, &space);
    if (!rc)
        rc = arg_u64(r, "address", 0, UINT32_MAX, &j->at);
    if (!rc)
        rc = arg_u64(r, "size", 1, (uint64_t)UINT32_MAX + 1 - j->at, &j->size);
    j->linear = space == 0;
    return rc;
}

static int take_fail(struct request *r, struct job *j)
{
    static const char *const words[] = {"none", "read", "write", "io", "frame", NULL};
    static const uint32_t kinds[] = {0, FAIL_READ, FAIL_WRITE, FAIL_READ | FAIL_WRITE, FAIL_FRAME};
    int kind = 0;
    j->count = 1;
    int rc = arg_need(r, "kind");
    if (!rc)
        rc = arg_word(r, "kind", words, &kind);
    if (!rc)
        rc = arg_u64(r, "count", 1, INT64_MAX, &j->count);
    if (!rc)
        rc = arg_bool(r, "sticky", &j->sticky);
    j->kinds = kinds[kind];
    j->count = kind ? j->count : 0;
    return rc;
}

static int run_inject(struct control *c, struct client *cl, struct request *r)
{
    struct job j = {.c = c};
    (void)cl;
    int rc = arg_need(r, "what");
    if (!rc)
        rc = arg_word(r, "what", whats, &j.what);
    if (!rc && j.what == FAIL)
        rc = take_fail(r, &j);
    else if (!rc && j.what != FORK && j.what != UNFORK)
        rc = take_range(r, &j);
    if (!rc)
        rc = control_call(c, r, look_inject, &j);
    if (rc < 0)
        return rc;
    if (j.rc < 0)
        return inject_error(r, j.rc);
    r->ret = json_pack("{s:I}", "pages", (json_int_t)j.pages);
    return r->ret ? CMD_DONE : err_set(&r->err, -ENOMEM, "out of memory");
}

static const char *const inject_args[] = {"what", "address", "size",   "space",
                                          "kind", "count",   "sticky", NULL};

const struct command commands_inject[] = {
    {"inject", inject_args, run_inject},
    {NULL, NULL, NULL},
};
