/* Regions with an object: files, private and shared, and shared anonymous memory. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "mm/object.h"
#include "mm/reclaim.h"
#include "tests/mm_kit.h"

enum { FILE_PAGES = 6, TAIL = 100 };

/* A file of five whole pages and 100 bytes; each byte names its page. */
static int file_open(void)
{
    char name[] = "/tmp/umbra-object-XXXXXX";
    int fd = mkstemp(name);
    cr_assert_geq(fd, 0);
    unlink(name);
    uint8_t page[PAGE_SIZE];
    for (int i = 0; i < FILE_PAGES; i++) {
        memset(page, 'a' + i, sizeof page);
        size_t n = i == FILE_PAGES - 1 ? TAIL : PAGE_SIZE;
        cr_assert_eq(write(fd, page, n), (ssize_t)n);
    }
    return fd;
}

static const uint64_t file_bytes = (FILE_PAGES - 1) * PAGE_SIZE + TAIL;

struct file_kit {
    struct kit k;
    int fd;
    struct mm_object *obj;
};

static void file_kit_open(struct file_kit *f, bool writable)
{
    kit_open(&f->k);
    f->fd = file_open();
    cr_assert_eq(mm_object_open_file(f->k.pool, f->fd, 0, file_bytes, writable, &f->obj), 0);
}

static void file_kit_close(struct file_kit *f)
{
    mm_object_close(f->obj);
    kit_close(&f->k);
    close(f->fd);
}

static uint8_t byte_at(struct kit *k, struct mm *mm, gfn_t g, unsigned off)
{
    struct mm_fault f = kit_fault(k, mm, g, MM_ACCESS_READ);
    return kit_bytes(k, f.frame)[off];
}

static uint8_t byte_on_file(int fd, off_t at)
{
    uint8_t b = 0;
    cr_assert_eq(pread(fd, &b, 1, at), 1);
    return b;
}

Test(mm_object, b01_private_file_reads_on_demand_and_caches)
{
    struct file_kit f;
    file_kit_open(&f, false);
    struct kit *k = &f.k;
    cr_assert_eq(mm_map_object(k->mm, 5000, FILE_PAGES, RW, MM_FILE_PRIVATE, f.obj, 0), 0);
    struct mm_fault r = kit_fault(k, k->mm, 5002, MM_ACCESS_READ);
    cr_expect_eq(r.result, MM_MAJOR);
    cr_expect_eq(r.path, MM_PATH_FILE | MM_PATH_READ);
    cr_expect_not(r.writable);
    cr_expect_eq(kit_bytes(k, r.frame)[4095], 'c');
    cr_assert_eq(mm_map_object(k->mm, 6000, 2, MM_READ, MM_FILE_PRIVATE, f.obj, 2), 0);
    struct mm_fault again = kit_fault(k, k->mm, 6000, MM_ACCESS_READ);
    cr_expect_eq(again.result, MM_MINOR);
    cr_expect_eq(again.path, MM_PATH_FILE | MM_PATH_CACHE);
    cr_expect_eq(again.frame, r.frame, "one frame for all who map it");
    cr_expect_eq(byte_at(k, k->mm, 5005, TAIL - 1), 'f');
    cr_expect_eq(byte_at(k, k->mm, 5005, TAIL), 0, "beyond the end: zeros");
    file_kit_close(&f);
}

Test(mm_object, b09_private_write_copies_and_leaves_the_file)
{
    struct file_kit f;
    file_kit_open(&f, true);
    struct kit *k = &f.k;
    cr_assert_eq(mm_map_object(k->mm, 5000, FILE_PAGES, RW, MM_FILE_PRIVATE, f.obj, 0), 0);
    struct mm_fault w = kit_fault(k, k->mm, 5001, MM_ACCESS_WRITE); /* at once */
    cr_expect_eq(w.path, MM_PATH_FILE | MM_PATH_READ | MM_PATH_COPY);
    kit_bytes(k, w.frame)[0] = 'X';
    kit_fault(k, k->mm, 5002, MM_ACCESS_READ); /* over the read-only mapping */
    w = kit_fault(k, k->mm, 5002, MM_ACCESS_WRITE);
    cr_expect_eq(w.result, MM_MINOR);
    cr_expect_eq(w.path, MM_PATH_COPY);
    kit_bytes(k, w.frame)[0] = 'Y';
    cr_expect_eq(mm_object_sync(f.obj), 0);
    cr_expect_eq(byte_on_file(f.fd, PAGE_SIZE), 'b');
    cr_expect_eq(byte_on_file(f.fd, 2 * PAGE_SIZE), 'c');
    cr_expect_eq(byte_at(k, k->mm, 5001, 0), 'X');
    cr_expect_eq(byte_at(k, k->mm, 5002, 0), 'Y');
    file_kit_close(&f);
}

Test(mm_object, fork_of_a_private_file_region)
{
    struct file_kit f;
    struct mm *c;
    file_kit_open(&f, false);
    struct kit *k = &f.k;
    cr_assert_eq(mm_map_object(k->mm, 5000, FILE_PAGES, RW, MM_FILE_PRIVATE, f.obj, 0), 0);
    kit_store(k, k->mm, 5000, 77);
    kit_load(k, k->mm, 5001);
    cr_assert_eq(mm_fork(k->mm, "c", &c), 0);
    kit_audit(k);
    cr_expect_eq(kit_load(k, c, 5000), 77);
    kit_store(k, c, 5000, 78);
    cr_expect_eq(kit_load(k, k->mm, 5000), 77);
    cr_expect_eq(byte_at(k, c, 5001, 0), 'b');
    mm_destroy(c);
    file_kit_close(&f);
}

Test(mm_object, shared_file_is_one_memory_and_reaches_the_file)
{
    struct file_kit f;
    struct mm *c;
    file_kit_open(&f, true);
    struct kit *k = &f.k;
    cr_assert_eq(mm_map_object(k->mm, 5000, FILE_PAGES, RW, MM_FILE_SHARED, f.obj, 0), 0);
    cr_assert_eq(mm_fork(k->mm, "c", &c), 0);
    kit_store(k, k->mm, 5003, 0x31313131);
    cr_expect_eq(kit_load(k, c, 5003), 0x31313131);
    kit_store(k, c, 5003, 0x32323232);
    cr_expect_eq(kit_load(k, k->mm, 5003), 0x32323232);
    cr_expect_eq(byte_on_file(f.fd, 3 * PAGE_SIZE), 'd');
    cr_expect_eq(mm_object_sync(f.obj), 0);
    kit_audit(k);
    cr_expect_eq(byte_on_file(f.fd, 3 * PAGE_SIZE), 0x32);
    kit_store(k, c, 5003, 0x33333333); /* seen again after a sync */
    mm_destroy(c);
    cr_expect_eq(mm_object_sync(f.obj), 0);
    cr_expect_eq(byte_on_file(f.fd, 3 * PAGE_SIZE), 0x33);
    kit_store(k, k->mm, 5005,
              0x34343434); /* written when the last holder goes; no byte beyond the end */
    mm_unmap(k->mm, 5000, FILE_PAGES);
    file_kit_close(&f);
}

Test(mm_object, last_close_writes_back_within_the_files_length)
{
    struct file_kit f;
    file_kit_open(&f, true);
    struct kit *k = &f.k;
    int fd = dup(f.fd);
    cr_assert_eq(mm_map_object(k->mm, 5000, FILE_PAGES, RW, MM_FILE_SHARED, f.obj, 0), 0);
    struct mm_fault w = kit_fault(k, k->mm, 5005, MM_ACCESS_WRITE);
    memset(kit_bytes(k, w.frame), 'Z', PAGE_SIZE);
    file_kit_close(&f);
    cr_expect_eq(byte_on_file(fd, 5 * PAGE_SIZE + TAIL - 1), 'Z');
    cr_expect_eq(lseek(fd, 0, SEEK_END), (off_t)file_bytes);
}

Test(mm_object, clean_file_pages_are_reclaimed_and_read_again)
{
    struct file_kit f;
    file_kit_open(&f, true);
    struct kit *k = &f.k;
    cr_assert_eq(mm_map_object(k->mm, 5000, FILE_PAGES, RW, MM_FILE_SHARED, f.obj, 0), 0);
    for (gfn_t g = 5000; g < 5000 + FILE_PAGES; g++)
        kit_load(k, k->mm, g);
    kit_store(k, k->mm, 5001, 0x41414141);
    cr_expect_geq(pool_reclaim(k->pool, 100), FILE_PAGES);
    kit_audit(k);
    cr_expect_eq(kit_frames_held(k), 0);
    cr_expect_eq(byte_on_file(f.fd, PAGE_SIZE), 0x41, "dirty pages were written first");
    struct mm_fault r = kit_fault(k, k->mm, 5001, MM_ACCESS_READ);
    cr_expect_eq(r.result, MM_MAJOR);
    cr_expect_eq(kit_load(k, k->mm, 5001), 0x41414141);
    file_kit_close(&f);
}

Test(mm_object, b17_a_page_that_cannot_be_read_is_an_io_error)
{
    struct file_kit f;
    file_kit_open(&f, false);
    struct kit *k = &f.k;
    cr_assert_eq(mm_map_object(k->mm, 5000, FILE_PAGES, RW, MM_FILE_PRIVATE, f.obj, 0), 0);
    fail_arm(&k->fail, FAIL_READ, 1, false);
    cr_expect_eq(mm_fault(k->mm, 5001, MM_ACCESS_READ).result, MM_IOERR);
    cr_expect(pte_none(mm_pte(k->mm, 5001)));
    kit_audit(k);
    cr_expect_eq(byte_at(k, k->mm, 5001, 0), 'b', "and works when the medium does again");
    cr_assert_eq(ftruncate(f.fd, 2 * PAGE_SIZE), 0);
    cr_expect_eq(mm_fault(k->mm, 5003, MM_ACCESS_WRITE).result, MM_IOERR, "cut off under us");
    cr_expect_eq(mm_fault(k->mm, 5001, MM_ACCESS_READ).result, MM_SPURIOUS, "others unaffected");
    file_kit_close(&f);
}

Test(mm_object, b23_a_page_that_cannot_be_written_stays)
{
    struct file_kit f;
    file_kit_open(&f, true);
    struct kit *k = &f.k;
    cr_assert_eq(mm_map_object(k->mm, 5000, FILE_PAGES, RW, MM_FILE_SHARED, f.obj, 0), 0);
    kit_store(k, k->mm, 5001, 0x41414141);
    fail_arm(&k->fail, FAIL_WRITE, 1, true);
    cr_expect_eq(pool_reclaim(k->pool, 100), 0);
    cr_expect_eq(mm_object_sync(f.obj), -EIO);
    fail_arm(&k->fail, 0, 0, false);
    kit_audit(k);
    cr_expect_eq(kit_load(k, k->mm, 5001), 0x41414141);
    cr_expect_eq(mm_object_sync(f.obj), 0);
    cr_expect_eq(byte_on_file(f.fd, PAGE_SIZE), 0x41);
    file_kit_close(&f);
}

Test(mm_object, shared_anonymous_is_one_memory_across_forks)
{
    struct kit k;
    struct mm *c;
    kit_open(&k);
    cr_assert_eq(mm_map_anon(k.mm, 7000, 16, RW, MM_ANON_SHARED), 0);
    kit_store(&k, k.mm, 7001, 1);
    cr_assert_eq(mm_fork(k.mm, "c", &c), 0);
    cr_expect_eq(kit_load(&k, c, 7001), 1);
    kit_store(&k, c, 7002, 2); /* first touched after the fork */
    cr_expect_eq(kit_load(&k, k.mm, 7002), 2);
    kit_store(&k, k.mm, 7001, 3);
    cr_expect_eq(kit_load(&k, c, 7001), 3);
    cr_expect_eq(kit_load(&k, c, 7003), 0);
    mm_destroy(c);
    cr_expect_eq(kit_load(&k, k.mm, 7002), 2);
    cr_assert_eq(mm_unmap(k.mm, 7000, 8), 0);
    kit_close(&k);
}

Test(mm_object, splits_keep_their_pages_of_the_object)
{
    struct file_kit f;
    file_kit_open(&f, false);
    struct kit *k = &f.k;
    cr_assert_eq(mm_map_object(k->mm, 5000, FILE_PAGES, MM_READ, MM_FILE_PRIVATE, f.obj, 0), 0);
    cr_assert_eq(mm_unmap(k->mm, 5001, 2), 0);
    cr_assert_eq(mm_protect(k->mm, 5004, 1, RW), 0);
    cr_expect_eq(byte_at(k, k->mm, 5000, 0), 'a');
    cr_expect_eq(byte_at(k, k->mm, 5003, 0), 'd');
    cr_expect_eq(byte_at(k, k->mm, 5004, 0), 'e');
    cr_expect_eq(byte_at(k, k->mm, 5005, 0), 'f');
    file_kit_close(&f);
}

static void region_replaced(struct kit *k, struct mm *mm, gfn_t gfn)
{
    (void)k;
    cr_assert_eq(mm_unmap(mm, gfn, 1), 0);
    cr_assert_eq(mm_map_anon(mm, gfn, 1, RW, MM_ANON_PRIVATE), 0);
}

Test(mm_object, race_another_region_took_its_place)
{
    struct file_kit f;
    file_kit_open(&f, false);
    struct kit *k = &f.k;
    cr_assert_eq(mm_map_object(k->mm, 5000, FILE_PAGES, RW, MM_FILE_PRIVATE, f.obj, 0), 0);
    kit_race(k, MM_SYNC_OBJECT_TAKEN, region_replaced);
    struct mm_fault r = mm_fault(k->mm, 5001, MM_ACCESS_READ);
    cr_expect_eq(k->raced, 1);
    cr_expect_eq(r.frame, POOL_ZERO_FRAME, "the new region's page, not the file's");
    cr_expect(r.path & MM_PATH_RACE);
    file_kit_close(&f);
}

/* The tables of objects are host memory outside the pool, and made page by page as the objects are
 * used. */
Test(mm_object, all_objects_of_a_pool_together_are_bounded)
{
    struct kit k;
    struct mm_object *o[MM_OBJECT_PAGES_MAX / MM_GFNS + 1];
    unsigned n = 0;
    int err;
    kit_open(&k);
    while ((err = mm_object_open_anon(k.pool, MM_GFNS, &o[n])) == 0)
        n++;
    cr_expect_eq(err, -ENOMEM);
    cr_expect_eq(n, MM_OBJECT_PAGES_MAX / MM_GFNS);
    cr_expect_eq(mm_map_anon(k.mm, 5000, 1, RW, MM_ANON_SHARED), -ENOMEM);
    kit_audit(&k);
    mm_object_close(o[--n]);
    cr_expect_eq(mm_map_anon(k.mm, 5000, 1, RW, MM_ANON_SHARED), 0, "and there is room again");
    while (n > 0)
        mm_object_close(o[--n]);
    kit_close(&k);
}

Test(mm_object, refuses_what_is_no_object)
{
    struct file_kit f;
    struct mm_object *o;
    file_kit_open(&f, false);
    struct kit *k = &f.k;
    cr_expect_eq(mm_object_open_file(k->pool, f.fd, 0, 0, false, &o), -EINVAL);
    cr_expect_eq(mm_object_open_file(k->pool, f.fd, 1, 10, false, &o), -EINVAL);
    cr_expect_eq(mm_object_open_file(k->pool, f.fd, 0, file_bytes + 1, false, &o), -EINVAL);
    cr_expect_eq(
        mm_object_open_file(k->pool, f.fd, UINT64_MAX & ~(uint64_t)PAGE_MASK, 10, false, &o),
        -EINVAL);
    cr_expect_eq(mm_object_open_file(k->pool, f.fd, 0, UINT64_MAX, false, &o), -EINVAL);
    cr_expect_eq(mm_object_open_file(k->pool, -1, 0, 10, false, &o), -EBADF);
    cr_expect_eq(mm_object_open_anon(k->pool, 0, &o), -EINVAL);
    cr_expect_eq(mm_object_open_anon(k->pool, MM_GFNS + 1, &o), -EINVAL);
    cr_expect_eq(mm_map_object(k->mm, 5000, 7, RW, MM_FILE_PRIVATE, f.obj, 0), -EINVAL);
    cr_expect_eq(mm_map_object(k->mm, 5000, 1, RW, MM_FILE_PRIVATE, f.obj, 6), -EINVAL);
    cr_expect_eq(mm_map_object(k->mm, 5000, 2, RW, MM_FILE_PRIVATE, f.obj, UINT32_MAX), -EINVAL);
    cr_expect_eq(mm_map_object(k->mm, 5000, 1, RW, MM_ANON_SHARED, f.obj, 0), -EINVAL);
    cr_expect_eq(mm_map_object(k->mm, 5000, 1, RW, MM_FILE_SHARED, f.obj, 0), -EACCES);
    cr_expect_eq(mm_map_object(k->mm, 5000, 1, MM_READ, MM_FILE_SHARED, f.obj, 0), 0);
    cr_expect_eq(mm_protect(k->mm, 5000, 1, RW), -EACCES);
    file_kit_close(&f);
}
