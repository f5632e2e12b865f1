/* Reading and writing the pages of a file object. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "mm/object.h"
#include "mm/unmap.h"

/* How many bytes of page i lie in the file. */
static size_t page_bytes(const struct mm_object *o, uint32_t i)
{
    uint64_t at = (uint64_t)i << PAGE_SHIFT;
    return o->bytes - at < PAGE_SIZE ? (size_t)(o->bytes - at) : PAGE_SIZE;
}

int object_read(struct mm_object *o, uint32_t i, frame_t f)
{
    uint8_t *to = pool_ptr(o->pool, f);
    size_t len = page_bytes(o, i), done = 0;
    if (fail_now(o->pool->fail, FAIL_READ))
        return -EIO;
    while (done < len) {
        ssize_t r = pread(o->fd, to + done, len - done,
                          (off_t)(o->offset + ((uint64_t)i << PAGE_SHIFT) + done));
        if (r < 0 && errno == EINTR)
            continue;
        if (r <= 0) /* 0: the file was cut off under us */
            return -EIO;
        done += (size_t)r;
    }
    pool_count(o->pool, CNT_file_reads);
    return 0;
}

int object_write(struct mm_object *o, uint32_t i, frame_t f)
{
    const uint8_t *from = pool_ptr(o->pool, f);
    size_t len = page_bytes(o, i), done = 0;
    if (!o->writable)
        return -EACCES;
    if (fail_now(o->pool->fail, FAIL_WRITE)) {
        pool_count(o->pool, CNT_write_errors);
        return -EIO;
    }
    while (done < len) {
        ssize_t r = pwrite(o->fd, from + done, len - done,
                           (off_t)(o->offset + ((uint64_t)i << PAGE_SHIFT) + done));
        if (r < 0 && errno == EINTR)
            continue;
        if (r <= 0) {
            pool_count(o->pool, CNT_write_errors);
            return r < 0 ? -errno : -EIO;
        }
        done += (size_t)r;
    }
    pool_count(o->pool, CNT_file_writes);
    return 0;
}

/* Page i, if it is in memory and changed. Write permissions go first, so that what is written is
 * whole and a later change is seen. */
static int sync_page(struct mm_object *o, uint32_t i)
{
    struct pool *p = o->pool;
    lock_take(&o->lock, LOCK_OBJECT);
    pte_t e = o->pages[i];
    if (pte_present(e))
        frame_ref(frame_of(p, pte_frame(e)));
    lock_drop(&o->lock, LOCK_OBJECT);
    if (!pte_present(e))
        return 0;
    struct frame *fr = frame_of(p, pte_frame(e));
    int err = 0;
    frame_lock(fr);
    if (frame_test(fr, FRAME_OBJECT) && fr->obj == o) {
        unmap_write_protect(p, pte_frame(e));
        if (frame_clear(fr, FRAME_DIRTY) && (err = object_write(o, i, pte_frame(e))) < 0)
            frame_set(fr, FRAME_DIRTY);
    }
    frame_unlock(fr);
    swap_drop(p, pte_frame(e), FRAME_REF);
    return err;
}

int mm_object_sync(struct mm_object *obj)
{
    int first = 0;
    if (obj->fd < 0)
        return 0;
    for (uint32_t i = 0; object_next(obj, &i); i++) {
        int err = sync_page(obj, i);
        if (err && !first)
            first = err;
    }
    return first;
}
