/* See space.h. */
#include "vmm/space.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest/abi.h"
#include "mm/counters.h"
#include "mm/reclaim.h"
#include "mm/swap.h"
#include "vmm/vm.h"

#define ALL_BYTES gpa_of(MM_GFNS)

/* --- life ------------------------------------------------------------------------------------ */

void space_init(struct vm *vm)
{
    vm->as = &vm->gmem;
    mm_set_regions_max(vm->gmem.mm, SPACE_REGIONS_MAX); /* and with it every space's */
    vm->spaces = (struct spaces){.at = {&vm->gmem}};
}

static void space_free(struct vm *vm, uint32_t id)
{
    struct gmem *g = vm->spaces.at[id];
    shadow_space_remove(vm->shadow, id);
    mm_destroy(g->mm);
    free(g);
    vm->spaces.at[id] = NULL;
    vm_trace_space(vm, TRACE_EXIT, id);
}

static void go_to(struct vm *vm, uint32_t id)
{
    struct spaces *s = &vm->spaces;
    vm_trace_space(vm, TRACE_SWITCH, id);
    s->cur = s->next = id;
    s->moved = true;
    vm->as = s->at[id];
    vm_watch_code(vm);
    shadow_space_switch(vm->shadow, id);
    vm->soft->ops->flush(vm->soft);
}

void space_destroy(struct vm *vm)
{
    struct spaces *s = &vm->spaces;
    if (s->cur != 0)
        go_to(vm, 0);
    for (uint32_t id = 1; id < SPACES_MAX; id++)
        if (s->at[id])
            space_free(vm, id);
    for (size_t i = 0; i < s->modules; i++) {
        if (s->module[i].obj)
            mm_object_close(s->module[i].obj);
        close(s->module[i].fd);
    }
    free(s->module);
    s->module = NULL;
    s->modules = 0;
}

/* --- modules --------------------------------------------------------------------------------- */

int space_add_module(struct vm *vm, const char *string, struct errmsg *err)
{
    struct spaces *s = &vm->spaces;
    const int len = (int)strcspn(string, " ");
    char path[4096];
    struct stat st;

    snprintf(path, sizeof path, "%.*s", len, string);
    struct space_module *more = realloc(s->module, (s->modules + 1) * sizeof *more);
    if (!more)
        return err_set(err, -ENOMEM, "out of memory");
    s->module = more;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0) {
        const int rc = -errno;
        if (fd >= 0)
            close(fd);
        return err_set(err, rc, "%s: %s", path, strerror(-rc));
    }
    s->module[s->modules++] = (struct space_module){.fd = fd, .bytes = (uint64_t)st.st_size};
    return 0;
}

/* A copy of the module that lives as long as the machine, so that nothing reaches the host's file
 * and nothing changes under the guest. */
static int module_copy(const struct space_module *m)
{
    const int fd = memfd_create("module", MFD_CLOEXEC);
    off_t at = 0;
    if (fd < 0)
        return -errno;
    while ((uint64_t)at < m->bytes) {
        const ssize_t n = sendfile(fd, m->fd, &at, (size_t)(m->bytes - (uint64_t)at));
        if (n <= 0) {
            const int rc = n < 0 ? -errno : -EIO; /* the file has shrunk */
            close(fd);
            return rc;
        }
    }
    return fd;
}

static int module_object(struct vm *vm, struct space_module *m)
{
    if (m->obj)
        return 0;
    if (m->bytes == 0)
        return -EINVAL;
    const int fd = module_copy(m);
    if (fd < 0)
        return fd;
    const int rc = mm_object_open_file(vm->pool, fd, 0, m->bytes, true, &m->obj);
    close(fd);
    return rc;
}

/* --- what is where --------------------------------------------------------------------------- */

bool space_rules(const struct vm *vm)
{
    return vm->spaces.managed && shadow_mode(vm->shadow)->fmt == GPAGING_OFF;
}

bool space_has(const struct vm *vm, gpa_t gpa)
{
    struct mm_page_info i;
    if (!gmem_valid(vm->as, gpa, 1) || gpa >= vm->as->bytes)
        return false;
    if (!vm->spaces.managed && gpa > ROM_LAST)
        return true;
    mm_page_info(vm->as->mm, gfn_of(gpa), &i);
    return i.in_region;
}

bool space_writable(const struct vm *vm, gpa_t gpa, uint64_t len)
{
    if (!gmem_valid(vm->as, gpa, len))
        return false;
    for (gfn_t g = gfn_of(gpa); len > 0 && g <= gfn_of(gpa + len - 1); g++) {
        struct mm_page_info i;
        mm_page_info(vm->as->mm, g, &i);
        if (!i.in_region || !(i.prot & MM_WRITE))
            return false;
    }
    return true;
}

uint32_t space_guest_pte(const struct vm *vm, gfn_t gfn)
{
    struct mm_page_info i;
    mm_page_info(vm->as->mm, gfn, &i);
    if (pte_present(i.pte) && i.prot == 0)
        return (i.pte.raw & ~(uint32_t)PTE_P) | UMBRA_PTE_PROTNONE;
    return i.pte.raw;
}

uint32_t space_window_read(const struct vm *vm, gpa_t gpa, unsigned size)
{
    uint32_t val = 0;
    for (unsigned i = 0; i < size; i++) {
        const uint32_t off = (uint32_t)(gpa + i - SPACE_WINDOW);
        const uint32_t pte = off / 4 < MM_GFNS ? space_guest_pte(vm, off / 4) : 0;
        val |= (pte >> off % 4 * 8 & 0xff) << 8 * i;
    }
    return val;
}

/* --- checks ---------------------------------------------------------------------------------- */

static int32_t status_of(int rc)
{
    switch (rc) {
    case 0: return UMBRA_OK;
    case -EEXIST: return UMBRA_EEXIST;
    case -ENOMEM: return UMBRA_ENOMEM;
    case -EFAULT: return UMBRA_ENOENT; /* part of the range lies in no region */
    case -EINVAL:
    case -EACCES: return UMBRA_EINVAL;
    default: return UMBRA_EIO;
    }
}

/* arg[0], arg[1]: address and pages of a range that ends below the window. */
static int32_t take_range(const struct umbra_hc *hc, gfn_t *gfn, uint32_t *n)
{
    *gfn = hc->arg[0] >> PAGE_SHIFT;
    *n = hc->arg[1];
    if ((hc->arg[0] & PAGE_MASK) || *n == 0)
        return UMBRA_EINVAL;
    if (*gfn >= SPACE_WINDOW_GFN || *n > SPACE_WINDOW_GFN - *gfn)
        return UMBRA_ERANGE;
    return UMBRA_OK;
}

/* Nothing, reading, or reading and writing: what a PTE can say. */
static bool prot_ok(uint32_t prot)
{
    return prot == 0 || prot == UMBRA_PROT_READ || prot == (UMBRA_PROT_READ | UMBRA_PROT_WRITE);
}

static unsigned prot_of(uint32_t prot)
{
    return (prot & UMBRA_PROT_READ ? MM_READ | MM_EXEC : 0u) |
           (prot & UMBRA_PROT_WRITE ? MM_WRITE : 0u);
}

static bool other_space(const struct vm *vm, uint32_t id)
{
    return id < SPACES_MAX && vm->spaces.at[id];
}

/* --- the calls ------------------------------------------------------------------------------- */

static int32_t call_info(struct vm *vm, struct umbra_hc *hc)
{
    struct mm_stats s;
    mm_get_stats(vm->as->mm, &s);
    hc->ret[0] = vm->spaces.cur;
    for (uint32_t i = 0; i < SPACES_MAX; i++)
        hc->ret[1] += vm->spaces.at[i] != NULL;
    hc->ret[2] = SPACES_MAX;
    hc->ret[3] = (uint32_t)s.regions;
    hc->ret[4] = SPACE_REGIONS_MAX;
    hc->ret[5] = (uint32_t)s.resident;
    hc->ret[6] = (uint32_t)s.swapped;
    hc->ret[7] = (uint32_t)vm->spaces.modules;
    return UMBRA_OK;
}

static int32_t map_module(struct vm *vm, const struct umbra_hc *hc, gfn_t gfn, uint32_t n)
{
    const bool shared = (hc->arg[3] & UMBRA_MAP_SHARED) != 0;
    if (hc->arg[4] >= vm->spaces.modules)
        return UMBRA_ENOENT;
    struct space_module *m = &vm->spaces.module[hc->arg[4]];
    const uint64_t pages = (m->bytes + PAGE_MASK) >> PAGE_SHIFT;
    if (hc->arg[5] >= pages || n > pages - hc->arg[5])
        return UMBRA_ERANGE;
    int rc = module_object(vm, m);
    if (!rc)
        rc = mm_map_object(vm->as->mm, gfn, n, prot_of(hc->arg[2]),
                           shared ? MM_FILE_SHARED : MM_FILE_PRIVATE, m->obj, hc->arg[5]);
    return status_of(rc);
}

static int32_t call_map(struct vm *vm, struct umbra_hc *hc)
{
    gfn_t gfn;
    uint32_t n;
    const int32_t bad = take_range(hc, &gfn, &n);
    if (bad)
        return bad;
    if (!prot_ok(hc->arg[2]) || (hc->arg[3] & ~(UMBRA_MAP_SHARED | UMBRA_MAP_MODULE)))
        return UMBRA_EINVAL;
    if (hc->arg[3] & UMBRA_MAP_MODULE)
        return map_module(vm, hc, gfn, n);
    if (hc->arg[4] || hc->arg[5])
        return UMBRA_EINVAL;
    return status_of(mm_map_anon(vm->as->mm, gfn, n, prot_of(hc->arg[2]),
                                 hc->arg[3] & UMBRA_MAP_SHARED ? MM_ANON_SHARED : MM_ANON_PRIVATE));
}

static int32_t call_unmap(struct vm *vm, struct umbra_hc *hc)
{
    gfn_t gfn;
    uint32_t n;
    const int32_t bad = take_range(hc, &gfn, &n);
    if (bad)
        return bad;
    return status_of(mm_unmap(vm->as->mm, gfn, n));
}

static int32_t call_protect(struct vm *vm, struct umbra_hc *hc)
{
    gfn_t gfn;
    uint32_t n;
    const int32_t bad = take_range(hc, &gfn, &n);
    if (bad)
        return bad;
    if (!prot_ok(hc->arg[2]))
        return UMBRA_EINVAL;
    return status_of(mm_protect(vm->as->mm, gfn, n, prot_of(hc->arg[2])));
}

static int32_t call_fork(struct vm *vm, struct umbra_hc *hc)
{
    struct spaces *s = &vm->spaces;
    char name[32];
    uint32_t id = 1;

    while (id < SPACES_MAX && s->at[id])
        id++;
    if (id == SPACES_MAX)
        return UMBRA_ENOMEM;
    struct gmem *g = malloc(sizeof *g);
    if (!g)
        return UMBRA_ENOMEM;
    *g = *vm->as;
    snprintf(name, sizeof name, "space %u", id);
    const int rc = mm_fork(vm->as->mm, name, &g->mm);
    if (rc < 0) {
        free(g);
        return status_of(rc);
    }
    mm_set_tag(g->mm, id);
    vm_trace_space(vm, TRACE_FORK, id);
    s->at[id] = g;
    shadow_space_add(vm->shadow, id, g);
    hc->ret[0] = id;
    return UMBRA_OK;
}

static int32_t call_switch(struct vm *vm, struct umbra_hc *hc)
{
    if (!other_space(vm, hc->arg[0]))
        return UMBRA_ENOENT;
    vm->spaces.next = hc->arg[0];
    return UMBRA_OK;
}

static int32_t call_exit(struct vm *vm, struct umbra_hc *hc)
{
    const uint32_t id = hc->arg[0];
    if (!other_space(vm, id))
        return UMBRA_ENOENT;
    if (id == 0 || id == vm->spaces.cur)
        return UMBRA_EINVAL;
    space_free(vm, id);
    return UMBRA_OK;
}

static bool holds_frame(const struct vm *vm, gfn_t gfn)
{
    const pte_t pte = mm_pte(vm->as->mm, gfn);
    return pte_present(pte) && pte_frame(pte) != POOL_ZERO_FRAME;
}

/* Compressing and writing takes its time, in which nobody looks at the clock: so many at once. */
static int32_t call_reclaim(struct vm *vm, struct umbra_hc *hc)
{
    gfn_t gfn, end;
    uint32_t n;
    const int32_t bad = take_range(hc, &gfn, &n);
    if (bad)
        return bad;
    uint32_t tried = 0;
    for (end = gfn; end < gfn + n && tried < UMBRA_RECLAIM_MAX; end++)
        tried += holds_frame(vm, end);
    const int rc = mm_pageout(vm->as->mm, gfn, end - gfn);
    for (gfn_t g = gfn; !rc && g < gfn + n; g++) {
        hc->ret[0] += pte_is_swap(mm_pte(vm->as->mm, g));
        hc->ret[1] += holds_frame(vm, g);
    }
    return status_of(rc);
}

static int32_t call_swap_info(struct vm *vm, struct umbra_hc *hc)
{
    struct pool_swap_info s;
    struct mm_counters c;
    pool_swap_info(vm->pool, &s);
    mm_get_counters(vm->pool, &c);
    hc->ret[0] = s.attached ? s.slots : 0;
    hc->ret[1] = s.used;
    hc->ret[2] = s.cached;
    hc->ret[3] = (uint32_t)c.swap_outs;
    hc->ret[4] = (uint32_t)c.swap_ins;
    hc->ret[5] = (uint32_t)c.cache_hits;
    hc->ret[6] = (uint32_t)c.ahead_reads;
    hc->ret[7] = (uint32_t)c.ahead_hits;
    return UMBRA_OK;
}

static const struct {
    uint32_t number;
    int args;
    int32_t (*call)(struct vm *, struct umbra_hc *);
} calls[] = {
    {UMBRA_HC_SPACE_INFO, 0, call_info},           {UMBRA_HC_SPACE_MAP, 6, call_map},
    {UMBRA_HC_SPACE_UNMAP, 2, call_unmap},         {UMBRA_HC_SPACE_PROTECT, 3, call_protect},
    {UMBRA_HC_SPACE_FORK, 0, call_fork},           {UMBRA_HC_SPACE_SWITCH, 1, call_switch},
    {UMBRA_HC_SPACE_EXIT, 1, call_exit},           {UMBRA_HC_SPACE_RECLAIM, 2, call_reclaim},
    {UMBRA_HC_SPACE_SWAP_INFO, 0, call_swap_info},
};

#define CALLS (sizeof calls / sizeof *calls)

int space_call_args(uint32_t number)
{
    for (size_t i = 0; i < CALLS; i++)
        if (calls[i].number == number)
            return calls[i].args;
    return -1;
}

/* From now on regions decide, not where RAM ends; what was an I/O hole may become something else.
 */
static void manage(struct vm *vm)
{
    vm->spaces.managed = true;
    vm->gmem.bytes = ALL_BYTES;
    shadow_zap_all(vm->shadow);
}

int32_t space_call(struct vm *vm, struct umbra_hc *hc)
{
    int32_t status = UMBRA_ENOCALL;
    for (size_t i = 0; i < CALLS; i++)
        if (calls[i].number == hc->number)
            status = calls[i].call(vm, hc);
    if (status != UMBRA_OK)
        return status;
    if (!vm->spaces.managed)
        manage(vm);
    /* With paging on there may be I/O holes where there is memory now; no reverse map has them. */
    else if (hc->number == UMBRA_HC_SPACE_MAP && !space_rules(vm))
        shadow_zap_all(vm->shadow);
    return UMBRA_OK;
}

void space_settle(struct vm *vm)
{
    if (vm->spaces.next != vm->spaces.cur)
        go_to(vm, vm->spaces.next);
}

bool space_moved(struct vm *vm)
{
    const bool moved = vm->spaces.moved;
    vm->spaces.moved = false;
    return moved;
}
