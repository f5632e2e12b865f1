/*
 * The sweep: one life of a small world (faults, fork, shared memory, eviction, return, protection,
 * exit), lived again and again with the n-th call that can fail failing, until none does. Whatever
 * the failure, the books are sound, the bytes that were accepted are there, and nothing is left
 * behind at the end.
 */
#define SWAP_KIT_DIR "/dev/shm" /* hundreds of areas are made, each with several syncs */
#include <sys/mman.h>

#include "mm/share.h"
#include "tests/mm_swap_kit.h"

enum { PAGES = 24, FILE_PAGES = 4, SHM_AT = 2000, FILE_AT = 3000, COPY_AT = 3100 };

struct life {
    struct swap_kit s;
    uint32_t want[PAGES]; /* what the parent wrote; 0: nothing yet */
    struct mm *child;
    uint32_t child_want[PAGES];
    int fd;                         /* of a file */
    struct mm_object *file;         /* ... mapped shared at FILE_AT and privately at COPY_AT */
    uint32_t file_want[FILE_PAGES]; /* what was written to its shared pages */
};

/* A store that may fail; the model follows only if it was accepted. */
static void store(struct life *l, struct mm *mm, uint32_t *want, gfn_t g, uint32_t v)
{
    struct mm_fault f = mm_fault(mm, g, MM_ACCESS_WRITE);
    if (f.result > MM_SPURIOUS) {
        /* MM_PROT: write permission could not be given back */
        cr_assert(f.result == MM_OOM || f.result == MM_IOERR || f.result == MM_PROT, "result %d",
                  f.result);
        return;
    }
    fill_text(kit_bytes(&l->s.k, f.frame), v);
    want[g] = v;
}

static void check(struct life *l, struct mm *mm, const uint32_t *want)
{
    uint8_t page[PAGE_SIZE];
    for (gfn_t g = 0; g < PAGES; g++) {
        struct mm_fault f = mm_fault(mm, g, MM_ACCESS_READ);
        cr_assert_leq(f.result, MM_SPURIOUS, "gfn %u: result %d", g, f.result);
        if (want[g])
            fill_text(page, want[g]);
        else
            memset(page, 0, sizeof page);
        cr_assert_eq(memcmp(page, kit_bytes(&l->s.k, f.frame), PAGE_SIZE), 0, "gfn %u", g);
    }
}

static void map_file(struct life *l)
{
    struct swap_kit *s = &l->s;
    if (mm_object_open_file(s->k.pool, l->fd, 0, FILE_PAGES * PAGE_SIZE, true, &l->file) < 0)
        l->file = NULL;
    else {
        mm_map_object(s->k.mm, FILE_AT, FILE_PAGES, RW, MM_FILE_SHARED, l->file, 0);
        mm_map_object(s->k.mm, COPY_AT, FILE_PAGES, RW, MM_FILE_PRIVATE, l->file, 0);
    }
}

/* Pages of the file are written, and copied by a write to the private region. */
static void use_file(struct life *l, uint32_t v)
{
    for (uint32_t i = 0; i < FILE_PAGES; i++) {
        struct mm_fault f = mm_fault(l->s.k.mm, FILE_AT + i, MM_ACCESS_WRITE);
        if (f.result <= MM_SPURIOUS) {
            fill_text(kit_bytes(&l->s.k, f.frame), v + i);
            l->file_want[i] = v + i;
        }
        mm_fault(l->s.k.mm, COPY_AT + i, i & 1 ? MM_ACCESS_WRITE : MM_ACCESS_READ);
    }
    if (l->file)
        mm_object_sync(l->file);
}

/* What was accepted is in the file. */
static void close_file(struct life *l)
{
    uint8_t want[PAGE_SIZE], is[PAGE_SIZE];
    if (l->file) {
        cr_assert_eq(mm_object_sync(l->file), 0);
        mm_object_close(l->file);
    }
    for (uint32_t i = 0; i < FILE_PAGES; i++) {
        if (l->file_want[i])
            fill_text(want, l->file_want[i]);
        else
            memset(want, 0, sizeof want);
        cr_assert_eq(pread(l->fd, is, PAGE_SIZE, (off_t)i * PAGE_SIZE), PAGE_SIZE);
        cr_assert_eq(memcmp(want, is, PAGE_SIZE), 0, "page %u of the file", i);
    }
    close(l->fd);
}

static void begin(struct life *l, enum swap_mode mode)
{
    memset(l, 0, sizeof *l);
    swap_open(&l->s, mode, 40, 256);
    l->fd = memfd_create("life", MFD_CLOEXEC);
    cr_assert_eq(ftruncate(l->fd, FILE_PAGES * PAGE_SIZE), 0);
}

static void live(struct life *l)
{
    struct swap_kit *s = &l->s;
    struct mm *mm = s->k.mm;
    mm_map_anon(mm, SHM_AT, 8, RW, MM_ANON_SHARED);
    map_file(l);
    use_file(l, 1000);
    for (gfn_t g = 0; g < PAGES; g++)
        store(l, mm, l->want, g, g + 1);
    pool_reclaim(s->k.pool, 8);
    pool_reclaim(s->k.pool, 8);
    kit_audit(&s->k);
    if (mm_fork(mm, "child", &l->child) < 0)
        l->child = NULL;
    else
        memcpy(l->child_want, l->want, sizeof l->want);
    kit_audit(&s->k);
    for (gfn_t g = SHM_AT; g < SHM_AT + 8; g++)
        mm_fault(mm, g, MM_ACCESS_WRITE);
    for (gfn_t g = 0; g < PAGES; g += 3)
        store(l, mm, l->want, g, g + 100);
    for (gfn_t g = 1; g < PAGES && l->child; g += 3)
        store(l, l->child, l->child_want, g, g + 200);
    kit_audit(&s->k);
    pool_share_scan(s->k.pool, 100);
    pool_share_scan(s->k.pool, 100);
    pool_reclaim(s->k.pool, 30);
    use_file(l, 2000);
    mm_protect(mm, 4, 4, MM_READ);
    for (gfn_t g = 0; g < PAGES; g++)
        mm_fault(mm, g, MM_ACCESS_READ);
    mm_protect(mm, 4, 4, RW);
    kit_audit(&s->k);
    mm_unmap(mm, SHM_AT + 2, 3);
    for (gfn_t g = 2; g < PAGES; g += 3)
        store(l, mm, l->want, g, g + 300);
    kit_audit(&s->k);
}

/* All that was accepted is there, and nothing is left behind. */
static void end(struct life *l)
{
    swap_drain(l->s.k.pool);
    kit_audit(&l->s.k);
    /* a fault of the medium may have cost a slot, never a page */
    mm_protect(l->s.k.mm, 4, 4, RW);
    check(l, l->s.k.mm, l->want);
    if (l->child) {
        check(l, l->child, l->child_want);
        mm_destroy(l->child);
    }
    mm_unmap(l->s.k.mm, FILE_AT, FILE_PAGES);
    mm_unmap(l->s.k.mm, COPY_AT, FILE_PAGES);
    close_file(l);
    swap_close(&l->s);
}

/* One life with failure n; false: none was met. */
static bool live_with(enum swap_mode mode, uint32_t kinds, int64_t n, bool sticky)
{
    struct life l;
    begin(&l, mode);
    fail_arm(&l.s.k.fail, kinds, n, sticky);
    live(&l);
    bool fired = atomic_load(&l.s.k.fail.fired) > 0;
    fail_arm(&l.s.k.fail, 0, 0, false);
    end(&l);
    return fired;
}

static void sweep(enum swap_mode mode, uint32_t kinds, bool sticky, int64_t least)
{
    int64_t n = 1;
    while (live_with(mode, kinds, n, sticky))
        n++;
    cr_expect_geq(n, least, "only %lld calls could fail", (long long)n);
}

Test(mm_sweep, b07_b22_each_allocation_once)
{
    sweep(ON_ZPOOL, FAIL_HEAP | FAIL_MAP | FAIL_NODE | FAIL_FRAME | FAIL_SLOT, false, 100);
}

Test(mm_sweep, b07_b22_all_allocations_from_one_on)
{
    sweep(ON_ZPOOL, FAIL_HEAP | FAIL_MAP | FAIL_NODE | FAIL_FRAME | FAIL_SLOT, true, 100);
}

Test(mm_sweep, b17_b23_each_io_once_io_uring)
{
    sweep(ON_DISK, FAIL_READ | FAIL_WRITE | FAIL_SUBMIT, false, 30);
}

Test(mm_sweep, b17_b23_each_io_once_thread)
{
    sweep(ON_DISK_THREAD, FAIL_READ | FAIL_WRITE | FAIL_SUBMIT, false, 30);
}

/* The same below: errors that the medium gives when a transfer completes. */
static void sweep_medium(enum swap_mode mode, bool reads)
{
    for (int n = 1; n <= 40; n++) {
        struct life l;
        begin(&l, mode);
        (reads ? &l.s.fail_reads : &l.s.fail_writes)[0] = n;
        live(&l);
        l.s.fail_reads = 0;
        l.s.fail_writes = 0;
        end(&l);
    }
}

Test(mm_sweep, b23_the_first_n_writes_fail_when_they_complete)
{
    sweep_medium(ON_DISK, false);
    sweep_medium(ON_DISK_THREAD, false);
}

Test(mm_sweep, b17_the_first_n_reads_fail_when_they_complete)
{
    sweep_medium(ON_DISK, true);
    sweep_medium(ON_DISK_THREAD, true);
}

/* Each completion alone, until a life has none left that could fail. */
static void sweep_completions(enum swap_mode mode, bool reads, int least)
{
    for (int n = 1;; n++) {
        struct life l;
        begin(&l, mode);
        _Atomic int *left = reads ? &l.s.nth_read : &l.s.nth_write;
        *left = n;
        live(&l);
        const bool failed = *left == 0;
        *left = 0;
        end(&l);
        if (!failed) {
            cr_expect_geq(n, least, "only %d transfers could fail", n);
            return;
        }
    }
}

Test(mm_sweep, b23_each_write_fails_once_when_it_completes)
{
    sweep_completions(ON_DISK, false, 20);
    sweep_completions(ON_DISK_THREAD, false, 20);
}

Test(mm_sweep, b17_each_read_fails_once_when_it_completes)
{
    sweep_completions(ON_DISK, true, 10);
    sweep_completions(ON_DISK_THREAD, true, 10);
}
