/*
 * fuzz_mm: random events on a small world of address spaces, against a model that holds plain
 * copies (fuzz_mm_model.h). After every event the audit runs; what is read must be what the model
 * says. A run is a list of events made from a seed and lived in a child process, so that a crash is
 * a finding like any other; a failing list is shrunk by leaving events out for as long as it still
 * fails.
 *
 *   fuzz_mm [--seed N] [--events N] [--runs N] [--seconds N] [--no-shrink] [--stats]
 *
 * Without --runs or --seconds: one run. Exit 0: nothing found; 1: found, and printed; 2: usage.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "mm/area.h"
#include "mm/object.h"
#include "mm/reclaim.h"
#include "mm/share.h"
#include "mm/store_priv.h"
#include "mm/swap_int.h"
#include "tests/fuzz_mm_model.h"

enum op {
    OP_READ,
    OP_WRITE,
    OP_FORK,
    OP_EXIT,
    OP_MAP,
    OP_UNMAP,
    OP_PROTECT,
    OP_RECLAIM,
    OP_SWAPOFF,
    OP_SHARE,
    OP_IO_ERRORS,
    OP_TORN,
    OP_FAIL,
    OP_LIMIT,
    OP_PIN,
    OP_SYNC,
    OP_MARKS,
    OP_HOLD,
    OPS
};

static const char *const op_names[OPS] = {
    "read",  "write",     "fork", "exit", "map",   "unmap", "protect", "reclaim", "swapoff",
    "share", "io-errors", "torn", "fail", "limit", "pin",   "sync",    "marks",   "hold"};
/* how often each comes, in so many */
static const unsigned op_weight[OPS] = {30, 40, 3, 2, 5, 3, 4, 12, 1, 3, 2, 1, 3, 1, 2, 1, 1, 4};

struct event {
    uint8_t op;
    uint8_t mm;
    uint16_t page;
    uint32_t arg;
};

/* What a mapper would have: kept by the notifier, used without a fault. */
struct shadow {
    struct mapping {
        frame_t frame;
        bool there, writable, young;
    } at[MODEL_PAGES];
};

struct world {
    struct shadow shadow[MODEL_MMS];
    unsigned hold; /* so many events without an audit: it would wait for what is being written */
    struct pool *pool;
    struct store *st;
    struct mm *mm[MODEL_MMS];
    struct mm_object *file;
    int file_fd;
    struct failpoint fail;
    uint32_t frames;
    bool disk, errors, limited;
    _Atomic int fail_reads, fail_writes;
    frame_t pinned; /* one page at a time; FRAME_NONE */
    bool torn;
    struct model m;
    unsigned at; /* event number, for messages */
    bool verbose;
};

__attribute__((format(printf, 2, 3), noreturn)) static void found(struct world *w, const char *fmt,
                                                                  ...)
{
    va_list ap;
    va_start(ap, fmt);
    fprintf(stderr, "event %u: ", w->at);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
    _exit(1);
}

static uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

/* --- the mapper ---------------------------------------------------------------------------------
 */

static void shadow_invalidate(void *ctx, gfn_t gfn, uint32_t n)
{
    struct shadow *s = ctx;
    for (gfn_t g = gfn; g < MODEL_PAGES && g - gfn < n; g++)
        s->at[g].there = false;
}

static void shadow_protect(void *ctx, gfn_t gfn, uint32_t n)
{
    struct shadow *s = ctx;
    for (gfn_t g = gfn; g < MODEL_PAGES && g - gfn < n; g++)
        s->at[g].writable = false;
}

static bool shadow_young(void *ctx, gfn_t gfn)
{
    struct mapping *m = &((struct shadow *)ctx)->at[gfn];
    bool was = m->there && m->young;
    m->young = false;
    return was;
}

static void shadow_attach(struct world *w, int mm)
{
    struct mm_notifier n = {&w->shadow[mm], shadow_invalidate, shadow_protect, shadow_young};
    memset(&w->shadow[mm], 0, sizeof w->shadow[mm]);
    mm_set_notifier(w->mm[mm], &n);
}

/* Each mapping is of the frame that the mm has there now, and writable only where that is allowed.
 */
static void shadow_check(struct world *w)
{
    for (int mm = 0; mm < MODEL_MMS; mm++)
        for (unsigned i = 0; i < MODEL_PAGES && w->mm[mm]; i++) {
            const struct mapping *m = &w->shadow[mm].at[i];
            pte_t pte = mm_pte(w->mm[mm], i);
            if (!m->there)
                continue;
            if (!pte_present(pte) || pte_frame(pte) != m->frame)
                found(w, "mm %d page %u: still mapped to frame %u, entry 0x%x", mm, i, m->frame,
                      pte.raw);
            if (m->writable && !(pte_writable(pte) && pte_dirty(pte)))
                found(w, "mm %d page %u: still mapped writable, entry 0x%x", mm, i, pte.raw);
        }
}

/* --- the world ----------------------------------------------------------------------------------
 */

static int io_hook(void *ctx, enum aio_point at, const struct aio_req *req)
{
    struct world *w = ctx;
    _Atomic int *n = req->op == AIO_READ ? &w->fail_reads : &w->fail_writes;
    if (at != AIO_AT_COMPLETE || atomic_load(n) <= 0)
        return 0;
    atomic_fetch_sub(n, 1);
    return -EIO;
}

static void store_make(struct world *w, uint64_t seed)
{
    struct store_opts o = {.slots = 24 + (uint32_t)(mix(seed) % 200)};
    unsigned kind = (unsigned)(mix(seed + 1) % 4);
    struct mm_err err = {""};
    w->disk = kind != 0;
    if (kind == 0 || kind == 3)
        o.zpool_bytes = kind == 0 ? 256 << 10 : 64 << 10;
    char path[] = "/tmp/fuzz-mm-XXXXXX";
    if (w->disk) {
        int fd = mkstemp(path);
        close(fd);
        if (area_format(path, (uint64_t)o.slots * PAGE_SIZE, &err) < 0)
            found(w, "%s", err.text);
        o.path = path;
        o.slots = 0;
        o.buffered = true;
        o.engine = kind == 1 ? AIO_THREAD : AIO_AUTO;
    }
    if (store_open(&o, &w->st, &err) < 0)
        found(w, "%s", err.text);
    if (w->disk) {
        unlink(path);
        store_set_io_hook(w->st, io_hook, w);
    }
    if (pool_swapon(w->pool, w->st) < 0)
        found(w, "swapon failed");
}

static void world_make(struct world *w, uint64_t seed)
{
    memset(w, 0, sizeof *w);
    w->pinned = FRAME_NONE;
    w->frames = 20 + (uint32_t)(mix(seed + 2) % 100);
    struct pool_opts o = {
        .bytes = (uint64_t)w->frames * PAGE_SIZE, .step = 16 * PAGE_SIZE, .fail = &w->fail};
    if (pool_create(&o, &w->pool) < 0 || mm_create(w->pool, "mm 0", &w->mm[0]) < 0)
        found(w, "no memory for the world");
    w->m.alive[0] = true;
    shadow_attach(w, 0);
    store_make(w, seed);
    w->file_fd = memfd_create("fuzz", 0);
    for (int i = 0; i < MODEL_FILE; i++) {
        for (unsigned k = 0; k < PAGE_SIZE; k++)
            w->m.file[i].b[k] = (uint8_t)((unsigned)i * 7 + k / 100);
        if (write(w->file_fd, w->m.file[i].b, PAGE_SIZE) != PAGE_SIZE)
            found(w, "no file");
    }
    if (mm_object_open_file(w->pool, w->file_fd, 0, (uint64_t)MODEL_FILE * PAGE_SIZE, true,
                            &w->file) < 0)
        found(w, "no file object");
}

static void world_audit(struct world *w)
{
    char msg[256] = "";
    if (mm_audit(w->pool, msg, sizeof msg) < 0)
        found(w, "audit: %s", msg);
}

/* Everything goes; what is left is a leak. */
static void world_end(struct world *w)
{
    struct store_stats st;
    struct pool_stats ps;
    if (w->pinned != FRAME_NONE)
        mm_unpin(w->pool, w->pinned);
    fail_arm(&w->fail, 0, 0, false);
    for (int i = 0; i < MODEL_MMS; i++) {
        mm_destroy(w->mm[i]);
        if (w->mm[i])
            model_exit(&w->m, i);
    }
    w->fail_reads = w->fail_writes = 0;
    mm_object_close(w->file);
    world_audit(w);
    store_get_stats(w->st, &st);
    pool_get_stats(w->pool, &ps);
    if (st.slots.used != 0 || ps.frames_free + 1 != ps.frames_grown)
        found(w, "left at the end: %u slots, %llu frames", st.slots.used,
              (unsigned long long)(ps.frames_grown - ps.frames_free - 1));
    for (int i = 0; i < MODEL_FILE; i++) { /* what was written to shared pages is on file */
        uint8_t page[PAGE_SIZE];
        if (pread(w->file_fd, page, PAGE_SIZE, (off_t)i * PAGE_SIZE) != PAGE_SIZE ||
            memcmp(page, w->m.file[i].b, PAGE_SIZE))
            found(w, "file page %d is not what was written", i);
    }
    pool_destroy(w->pool);
    store_close(w->st);
    close(w->file_fd);
}

/* --- events -------------------------------------------------------------------------------------
 */

static bool page_torn(const struct world *w, const struct model_page *p)
{
    return p->torn || (p->kind == MODEL_SHM && w->m.shm_torn[p->index]);
}

/* A fault, held against the model. True: it was served. */
static bool fault_checked(struct world *w, int mm, unsigned page, bool write, struct mm_fault *f,
                          bool pin)
{
    const struct model_page *p = &w->m.page[mm][page];
    enum mm_access access = write ? MM_ACCESS_WRITE : MM_ACCESS_READ;
    struct mapping *map = &w->shadow[mm].at[page];
    if (!pin && map->there && (map->writable || !write) && (w->at & 1)) { /* no fault is needed */
        if (memcmp(pool_ptr(w->pool, map->frame), model_read(&w->m, p), PAGE_SIZE))
            found(w,
                  "mm %d page %u (frame %u, through its mapping): not the bytes that were written",
                  mm, page, map->frame);
        map->young = true;
        *f = (struct mm_fault){.frame = map->frame, .writable = map->writable};
        return true;
    }
    *f = pin ? mm_pin(w->mm[mm], page, access) : mm_fault(w->mm[mm], page, access);
    bool may_oom = w->errors || w->limited || w->pinned != FRAME_NONE || w->torn ||
                   w->fail.left > 0 || model_most_frames(&w->m) + 3 >= w->frames ||
                   atomic_load(&w->fail.fired) > 0;
    if (!p->mapped) {
        if (f->result != MM_BADADDR)
            found(w, "mm %d page %u: not mapped, result %d", mm, page, f->result);
    } else if (write ? !(p->prot & MM_WRITE) : p->prot == 0) {
        if (f->result != MM_PROT)
            found(w, "mm %d page %u: forbidden, result %d", mm, page, f->result);
    } else if (f->result == MM_OOM) {
        if (!may_oom)
            found(w, "mm %d page %u: out of memory without need", mm, page);
    } else if (f->result == MM_IOERR) {
        if (!w->errors && !page_torn(w, p) && atomic_load(&w->fail.fired) == 0)
            found(w, "mm %d page %u: I/O error without one", mm, page);
    } else if (f->result > MM_SPURIOUS) {
        found(w, "mm %d page %u: result %d", mm, page, f->result);
    } else {
        if (memcmp(pool_ptr(w->pool, f->frame), model_read(&w->m, p), PAGE_SIZE))
            found(w, "mm %d page %u (frame %u, path 0x%x): not the bytes that were written", mm,
                  page, f->frame, f->path);
        if (write && !f->writable)
            found(w, "mm %d page %u: write served, not writable", mm, page);
        *map = (struct mapping){f->frame, true, f->writable, true};
        return true;
    }
    return false;
}

static void fill(uint8_t *b, uint32_t arg)
{
    uint64_t x = mix(arg >> 2);
    switch (arg & 3) {
    case 0: memset(b, (int)(x & 1), PAGE_SIZE); break; /* one value */
    case 1: /* compressible; few, so that pages are alike */
        memset(b, 0, PAGE_SIZE);
        for (unsigned i = 0; i < PAGE_SIZE; i += 128)
            b[i] = (uint8_t)(x % 2 + i / 128);
        break;
    case 2: /* noise */
        for (unsigned i = 0; i < PAGE_SIZE; i += 8) {
            x = mix(x);
            memcpy(b + i, &x, 8);
        }
        break;
    default: b[x % PAGE_SIZE] = (uint8_t)(x >> 32); break; /* one byte of what is there */
    }
}

static void do_write(struct world *w, int mm, unsigned page, uint32_t arg)
{
    struct mm_fault f;
    if (!fault_checked(w, mm, page, true, &f, false))
        return;
    struct model_page *p = &w->m.page[mm][page];
    fill(model_write(&w->m, p), arg);
    memcpy(pool_ptr(w->pool, f.frame), model_read(&w->m, p), PAGE_SIZE);
    p->torn = false;
    if (p->kind == MODEL_SHM)
        w->m.shm_torn[p->index] = false;
}

static void do_fork(struct world *w, int mm)
{
    int to = 0;
    while (to < MODEL_MMS && w->mm[to])
        to++;
    if (to == MODEL_MMS)
        return;
    char name[16];
    snprintf(name, sizeof name, "mm %d", to);
    int err = mm_fork(w->mm[mm], name, &w->mm[to]);
    if (err) {
        w->mm[to] = NULL;
        if (err != -ENOMEM || (atomic_load(&w->fail.fired) == 0 && w->pinned == FRAME_NONE))
            found(w, "fork: %d", err);
        return;
    }
    model_fork(&w->m, mm, to);
    shadow_attach(w, to);
}

static unsigned live_mms(const struct world *w)
{
    unsigned n = 0;
    for (int i = 0; i < MODEL_MMS; i++)
        n += w->mm[i] != NULL;
    return n;
}

static void do_exit(struct world *w, int mm)
{
    if (live_mms(w) == 1)
        return;
    mm_destroy(w->mm[mm]);
    w->mm[mm] = NULL;
    model_exit(&w->m, mm);
}

static int map_kind(struct world *w, struct mm *mm, unsigned page, unsigned n, unsigned prot,
                    enum model_kind kind, unsigned index)
{
    switch (kind) {
    case MODEL_SHM: return mm_map_anon(mm, page, n, prot, MM_ANON_SHARED);
    case MODEL_FILE_SHARED: return mm_map_object(mm, page, n, prot, MM_FILE_SHARED, w->file, index);
    case MODEL_FILE_PRIVATE:
        return mm_map_object(mm, page, n, prot, MM_FILE_PRIVATE, w->file, index);
    case MODEL_OWN: break;
    }
    return mm_map_anon(mm, page, n, prot, MM_ANON_PRIVATE);
}

static void do_map(struct world *w, int mm, unsigned page, uint32_t arg)
{
    unsigned n = 1 + (arg >> 8) % 24, prot = arg & 3 ? MM_READ | MM_WRITE : MM_READ, index = 0;
    enum model_kind kind = (arg >> 4) % 8 < 4 ? MODEL_OWN : (enum model_kind)((arg >> 4) % 4);
    n = n < MODEL_PAGES - page ? n : MODEL_PAGES - page;
    if (kind == MODEL_SHM && w->m.shms + n > MODEL_SHARED)
        kind = MODEL_OWN;
    if (kind == MODEL_SHM)
        index = w->m.shms;
    if (kind == MODEL_FILE_PRIVATE || kind == MODEL_FILE_SHARED) {
        index = (arg >> 16) % MODEL_FILE;
        n = n < MODEL_FILE - index ? n : MODEL_FILE - index;
    }
    bool hole = model_mapped(&w->m, mm, page, n) == 0;
    int err = map_kind(w, w->mm[mm], page, n, prot, kind, index);
    if (err == -ENOMEM && atomic_load(&w->fail.fired) > 0)
        return;
    if (err != (hole ? 0 : -EEXIST))
        found(w, "map mm %d page %u n %u: %d", mm, page, n, err);
    if (err)
        return;
    for (unsigned i = 0; i < n; i++)
        w->m.page[mm][page + i] =
            (struct model_page){.mapped = true,
                                .prot = (uint8_t)prot,
                                .kind = (uint8_t)kind,
                                .index = (uint16_t)(kind == MODEL_OWN ? 0 : index + i)};
    if (kind == MODEL_SHM)
        w->m.shms += n;
}

static void do_unmap(struct world *w, int mm, unsigned page, uint32_t arg)
{
    unsigned n = 1 + arg % 16;
    n = n < MODEL_PAGES - page ? n : MODEL_PAGES - page;
    int err = mm_unmap(w->mm[mm], page, n);
    if (err == -ENOMEM && atomic_load(&w->fail.fired) > 0)
        return;
    if (err)
        found(w, "unmap: %d", err);
    for (unsigned i = 0; i < n; i++)
        model_drop(&w->m.page[mm][page + i]);
}

static void do_protect(struct world *w, int mm, unsigned page, uint32_t arg)
{
    static const uint8_t prots[4] = {MM_READ | MM_WRITE, MM_READ, 0, MM_READ | MM_WRITE};
    unsigned n = 1 + (arg >> 4) % 16, prot = prots[arg & 3];
    n = n < MODEL_PAGES - page ? n : MODEL_PAGES - page;
    bool whole = model_mapped(&w->m, mm, page, n) == n;
    int err = mm_protect(w->mm[mm], page, n, prot);
    if (err == -ENOMEM && atomic_load(&w->fail.fired) > 0)
        return;
    if (err != (whole ? 0 : -EFAULT))
        found(w, "protect mm %d page %u n %u: %d", mm, page, n, err);
    for (unsigned i = 0; i < n && !err; i++)
        w->m.page[mm][page + i].prot = (uint8_t)prot;
}

static void do_swapoff(struct world *w, uint32_t arg)
{
    struct mm_err err = {""};
    int r = pool_swapoff(w->pool, &err);
    if (r == -EIO && !w->errors && !w->torn && atomic_load(&w->fail.fired) == 0)
        found(w, "swapoff: %s", err.text);
    if (r == -ENOMEM || r == -EIO)
        return;
    if (r)
        found(w, "swapoff: %d %s", r, err.text);
    world_audit(w);
    store_close(w->st);
    w->torn = false;
    for (int i = 0; i < MODEL_MMS; i++)
        for (int k = 0; k < MODEL_PAGES; k++)
            w->m.page[i][k].torn = false;
    memset(w->m.shm_torn, 0, sizeof w->m.shm_torn);
    fail_arm(&w->fail, 0, 0, false);
    w->errors = false;
    w->fail_reads = w->fail_writes = 0;
    store_make(w, arg);
}

/* Every model page that names the slot may fail from now on. */
/* Does the page have a frame that reclaim may drop again, because the slot has it too? */
static bool cached_as(const struct world *w, pte_t pte, pte_t entry)
{
    if (!pte_present(pte) || pte_frame(pte) == POOL_ZERO_FRAME)
        return false;
    const struct frame *f = frame_of(w->pool, pte_frame(pte));
    return frame_test(f, FRAME_SWAPCACHE) && pte_same(f->swap, entry);
}

static void mark_torn(struct world *w, pte_t entry)
{
    for (int i = 0; i < MODEL_MMS; i++)
        for (unsigned k = 0; k < MODEL_PAGES && w->mm[i]; k++) {
            struct model_page *p = &w->m.page[i][k];
            const pte_t pte = mm_pte(w->mm[i], k);
            if (pte_same(pte, entry) || cached_as(w, pte, entry))
                p->torn = true;
        }
}

static void do_torn(struct world *w, int mm, unsigned page, uint32_t arg)
{
    static uint8_t buf[PAGE_SIZE] __attribute__((aligned(4096)));
    pte_t e = mm_pte(w->mm[mm], page);
    swap_drain(w->pool);
    if (!w->disk || !pte_is_swap(e) || store_where(w->st, pte_swap_slot(e)) != STORE_DISK)
        return;
    int fails = atomic_exchange(&w->fail_reads, 0), failw = atomic_exchange(&w->fail_writes, 0);
    if (area_read(w->st->area, pte_swap_slot(e), buf) < 0)
        found(w, "area_read");
    buf[arg % PAGE_SIZE] ^= (uint8_t)(1 + (arg >> 16) % 255);
    if (area_write(w->st->area, pte_swap_slot(e), buf) < 0)
        found(w, "area_write");
    w->fail_reads = fails;
    w->fail_writes = failw;
    w->torn = true;
    mark_torn(w, e);
}

static void do_pin(struct world *w, int mm, unsigned page)
{
    struct mm_fault f;
    if (w->pinned != FRAME_NONE) {
        mm_unpin(w->pool, w->pinned);
        w->pinned = FRAME_NONE;
    } else if (fault_checked(w, mm, page, false, &f, true)) {
        w->pinned = f.frame;
    }
}

static void do_event(struct world *w, const struct event *e)
{
    int mm = e->mm % MODEL_MMS;
    unsigned page = e->page % MODEL_PAGES;
    struct mm_fault f;
    while (!w->mm[mm])
        mm = (mm + 1) % MODEL_MMS;
    if (w->verbose)
        fprintf(stderr, "%u: %s mm %d page %u arg 0x%x\n", w->at, op_names[e->op], mm, page,
                e->arg);
    switch ((enum op)e->op) {
    case OP_READ: fault_checked(w, mm, page, false, &f, false); break;
    case OP_WRITE: do_write(w, mm, page, e->arg); break;
    case OP_FORK: do_fork(w, mm); break;
    case OP_EXIT: do_exit(w, mm); break;
    case OP_MAP: do_map(w, mm, page, e->arg); break;
    case OP_UNMAP: do_unmap(w, mm, page, e->arg); break;
    case OP_PROTECT: do_protect(w, mm, page, e->arg); break;
    case OP_RECLAIM: pool_reclaim(w->pool, 1 + e->arg % 24); break;
    case OP_SWAPOFF: do_swapoff(w, e->arg); break;
    case OP_SHARE: /* a page must be met twice unchanged */
        for (int i = 0; i < 3; i++)
            pool_share_scan(w->pool, 1 + e->arg % 400);
        break;
    case OP_IO_ERRORS:
        w->fail_reads = e->arg & 1 ? (int)(e->arg >> 4) % 4 : 0;
        w->fail_writes = e->arg & 2 ? (int)(e->arg >> 8) % 4 : 0;
        w->errors = w->errors || (e->arg & 3);
        break;
    case OP_TORN: do_torn(w, mm, page, e->arg); break;
    case OP_FAIL:
        fail_arm(&w->fail, e->arg & 1 ? FAIL_ANY : 0, 1 + (e->arg >> 8) % 12, false);
        break;
    case OP_LIMIT:
        mm_set_limit(w->mm[mm], e->arg & 1 ? 4 + (e->arg >> 4) % 16 : 0);
        w->limited = w->limited || (e->arg & 1);
        break;
    case OP_PIN: do_pin(w, mm, page); break;
    case OP_SYNC: mm_object_sync(w->file); break;
    case OP_MARKS: pool_set_watermarks(w->pool, e->arg % 5, e->arg % 5, e->arg % 5); break;
    case OP_HOLD: w->hold = e->arg % 12; break;
    case OPS: break;
    }
}

/* What was reached, over all runs, in memory that the children share. */
static uint64_t *stats;

static void count_paths(struct world *w)
{
    struct mm_counters c;
    mm_get_counters(w->pool, &c);
    for (int i = 0; i < MM_COUNTER_COUNT; i++)
        stats[i] += ((const uint64_t *)&c)[i];
}

static void print_paths(void)
{
    for (enum mm_counter i = 0; i < MM_COUNTER_COUNT; i++)
        printf("%12llu  %s\n", (unsigned long long)stats[i], mm_counter_text(i));
}

static void live(uint64_t seed, const struct event *e, const bool *in, unsigned n, bool verbose)
{
    static struct world w;
    world_make(&w, seed);
    w.verbose = verbose;
    for (unsigned i = 0; i < n; i++) {
        if (!in[i])
            continue;
        w.at = i;
        do_event(&w, &e[i]);
        shadow_check(&w);
        if (w.hold > 0)
            w.hold--;
        else
            world_audit(&w);
    }
    if (stats)
        count_paths(&w);
    world_end(&w);
}

/* --- runs and shrinking
 * --------------------------------------------------------------------------- */

/* In a child. 0: nothing found. */
static int run(uint64_t seed, const struct event *e, const bool *in, unsigned n, bool quiet,
               bool verbose)
{
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        if (quiet) {
            int null = open("/dev/null", O_WRONLY);
            dup2(null, 2);
        }
        alarm(60 + n / 500);
        live(seed, e, in, n, verbose);
        _exit(0);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    return status;
}

static void make_events(uint64_t seed, struct event *e, unsigned n)
{
    unsigned total = 0;
    for (int i = 0; i < OPS; i++)
        total += op_weight[i];
    for (unsigned i = 0; i < n; i++) {
        uint64_t r = mix(seed * 1000003 + i);
        unsigned pick = (unsigned)(r % total), op = 0;
        while (pick >= op_weight[op])
            pick -= op_weight[op++];
        /* places cluster, so that events meet */
        uint16_t page = (uint16_t)((r >> 16) % (r >> 60 < 10 ? 24 : MODEL_PAGES));
        e[i] = (struct event){(uint8_t)op, (uint8_t)(r >> 40), page, (uint32_t)mix(r)};
    }
    if (n > 0) /* begin with something to fault on */
        e[0] = (struct event){OP_MAP, 0, 0, 23u << 8 | 1};
}

static unsigned shrink(uint64_t seed, const struct event *e, bool *in, unsigned n)
{
    unsigned left = n;
    bool *was = calloc(n, sizeof *was);
    if (!was)
        return n;
    for (unsigned chunk = n / 2; chunk >= 1; chunk /= 2) {
        for (unsigned at = 0; at < n; at += chunk) {
            unsigned off = 0;
            for (unsigned i = at; i < at + chunk && i < n; i++) {
                was[i - at] = in[i];
                off += in[i];
                in[i] = false;
            }
            if (off == 0)
                continue;
            if (run(seed, e, in, n, true, false) != 0) {
                left -= off;
                continue;
            }
            for (unsigned i = at; i < at + chunk && i < n; i++)
                in[i] = was[i - at];
        }
    }
    free(was);
    return left;
}

static void report(uint64_t seed, const struct event *e, bool *in, unsigned n, bool shrinking)
{
    printf("FOUND: seed %llu, %u events\n", (unsigned long long)seed, n);
    if (shrinking)
        printf("shrunk to %u events:\n", shrink(seed, e, in, n));
    fflush(stdout);
    int status = run(seed, e, in, n, false, shrinking);
    if (WIFSIGNALED(status))
        printf("ended by signal %d (%s)\n", WTERMSIG(status), strsignal(WTERMSIG(status)));
}

struct options {
    uint64_t seed;
    unsigned events, runs, seconds;
    bool shrink, stats;
};

static int usage(void)
{
    fputs(
        "usage: fuzz_mm [--seed N] [--events N] [--runs N] [--seconds N] [--no-shrink] [--stats]\n",
        stderr);
    return 2;
}

static bool parse(int argc, char **argv, struct options *o)
{
    for (int i = 1; i < argc; i++) {
        char *end = NULL;
        if (!strcmp(argv[i], "--stats")) {
            o->stats = true;
            continue;
        }
        if (!strcmp(argv[i], "--no-shrink")) {
            o->shrink = false;
            continue;
        }
        if (i + 1 == argc)
            return false;
        unsigned long long v = strtoull(argv[i + 1], &end, 0);
        if (*end || end == argv[i + 1])
            return false;
        if (!strcmp(argv[i], "--seed"))
            o->seed = v;
        else if (!strcmp(argv[i], "--events") && v > 0 && v <= 10000000)
            o->events = (unsigned)v;
        else if (!strcmp(argv[i], "--runs"))
            o->runs = (unsigned)v;
        else if (!strcmp(argv[i], "--seconds"))
            o->seconds = (unsigned)v;
        else
            return false;
        i++;
    }
    return true;
}

int main(int argc, char **argv)
{
    struct options o = {.seed = 1, .events = 2000, .runs = 1, .shrink = true};
    if (!parse(argc, argv, &o))
        return usage();
    if (o.seconds)
        o.runs = UINT32_MAX;
    struct event *e = calloc(o.events, sizeof *e);
    bool *in = malloc(o.events);
    if (!e || !in)
        return 2;
    if (o.stats)
        stats = mmap(NULL, sizeof(struct mm_counters), PROT_READ | PROT_WRITE,
                     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    time_t start = time(NULL);
    unsigned long long done = 0;
    for (unsigned r = 0; r < o.runs; r++) {
        if (o.seconds && time(NULL) - start >= (time_t)o.seconds)
            break;
        make_events(o.seed + r, e, o.events);
        memset(in, 1, o.events);
        if (run(o.seed + r, e, in, o.events, true, false) != 0) {
            report(o.seed + r, e, in, o.events, o.shrink);
            return 1;
        }
        done += o.events;
    }
    if (stats)
        print_paths();
    printf("%llu events, nothing found\n", done);
    free(e);
    free(in);
    return 0;
}
