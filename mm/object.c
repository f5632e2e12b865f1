/* Objects: birth, pages, eviction, end (object.h). */
#include "mm/object.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mm/reclaim.h"
#include "mm/swap_int.h"

/* The mark that an evicted file page leaves: an area number that no swap area has, and the time. */
enum { MARK_AREA = 0x7e };

static pte_t mark_make(uint32_t now)
{
    return pte_make_swap(MARK_AREA, now & 0xffffff);
}

static bool page_is_mark(pte_t e)
{
    return pte_is_swap(e) && pte_swap_area(e) == MARK_AREA;
}

/* --- birth and end ------------------------------------------------------------------------------
 */

/* On the list, if the pool may have that many pages more. */
static bool object_enlist(struct pool *p, struct mm_object *o)
{
    lock_take(&p->mms_lock, LOCK_MMS);
    const bool room = o->n <= MM_OBJECT_PAGES_MAX - p->object_pages;
    if (room) {
        p->object_pages += o->n;
        o->next = p->objects;
        if (o->next)
            o->next->prev = o;
        p->objects = o;
    }
    lock_drop(&p->mms_lock, LOCK_MMS);
    return room;
}

static void object_delist(struct pool *p, struct mm_object *o)
{
    lock_take(&p->mms_lock, LOCK_MMS);
    p->object_pages -= o->n;
    if (o->prev)
        o->prev->next = o->next;
    else
        p->objects = o->next;
    if (o->next)
        o->next->prev = o->prev;
    lock_drop(&p->mms_lock, LOCK_MMS);
}

static int object_new(struct pool *p, uint32_t n, struct mm_object **out)
{
    struct mm_object *o = fail_now(p->fail, FAIL_HEAP) ? NULL : calloc(1, sizeof *o);
    if (!o)
        return -ENOMEM;
    void *m = fail_now(p->fail, FAIL_MAP)
                  ? MAP_FAILED
                  : mmap(NULL, n * sizeof(pte_t), PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (m == MAP_FAILED) {
        free(o);
        return -ENOMEM;
    }
    o->pool = p;
    atomic_init(&o->refs, 1);
    o->fd = -1;
    o->n = n;
    o->pages = m;
    if (!object_enlist(p, o)) {
        munmap(m, n * sizeof(pte_t));
        free(o);
        return -ENOMEM;
    }
    *out = o;
    return 0;
}

int mm_object_open_anon(struct pool *pool, uint32_t n, struct mm_object **out)
{
    return n == 0 || n > MM_GFNS ? -EINVAL : object_new(pool, n, out);
}

int mm_object_open_file(struct pool *pool, int fd, uint64_t offset, uint64_t bytes, bool writable,
                        struct mm_object **out)
{
    struct stat st;
    if (bytes == 0 || bytes > gpa_of(MM_GFNS) || (offset & PAGE_MASK))
        return -EINVAL;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode) || offset > (uint64_t)st.st_size ||
        bytes > (uint64_t)st.st_size - offset)
        return -EINVAL;
    int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (own < 0)
        return -errno;
    int err = object_new(pool, (uint32_t)((bytes + PAGE_MASK) >> PAGE_SHIFT), out);
    if (err) {
        close(own);
        return err;
    }
    (*out)->fd = own;
    (*out)->offset = offset;
    (*out)->bytes = bytes;
    (*out)->writable = writable;
    return 0;
}

bool object_next(struct mm_object *o, uint32_t *i)
{
    lock_take(&o->lock, LOCK_OBJECT);
    while (*i < o->n && pte_none(o->pages[*i]))
        ++*i;
    lock_drop(&o->lock, LOCK_OBJECT);
    return *i < o->n;
}

struct mm_object *objects_next(struct pool *p, struct mm_object *prev)
{
    lock_take(&p->mms_lock, LOCK_MMS);
    struct mm_object *o = prev ? prev->next : p->objects;
    for (; o; o = o->next) { /* one without refs is about to leave the list */
        uint32_t refs = atomic_load(&o->refs);
        while (refs > 0 && !atomic_compare_exchange_weak(&o->refs, &refs, refs + 1))
            ;
        if (refs > 0)
            break;
    }
    lock_drop(&p->mms_lock, LOCK_MMS);
    if (prev)
        object_put(prev);
    return o;
}

/* The last holder is gone, so nothing maps the pages any more; reclaim may still hold one for a
 * moment. */
static void object_drop_page(struct mm_object *o, uint32_t i)
{
    lock_take(&o->lock, LOCK_OBJECT);
    pte_t e = o->pages[i];
    if (pte_present(e))
        frame_ref(frame_of(o->pool, pte_frame(e)));
    else
        o->pages[i] = PTE_NONE;
    lock_drop(&o->lock, LOCK_OBJECT);
    if (pte_is_swap(e) && !page_is_mark(e)) {
        swap_forget(o->pool, e);
        count_add(&o->swapped, -1);
    }
    if (!pte_present(e))
        return;
    frame_t f = pte_frame(e);
    struct frame *fr = frame_of(o->pool, f);
    frame_lock(fr);
    lock_take(&o->lock, LOCK_OBJECT);
    bool still = pte_same(o->pages[i], e);
    if (still) {
        o->pages[i] = PTE_NONE;
        fr->obj = NULL;
        frame_clear(fr, FRAME_OBJECT);
    }
    lock_drop(&o->lock, LOCK_OBJECT);
    frame_unlock(fr);
    frame_drop(o->pool, f, FRAME_REF);
    if (still)
        frame_put(o->pool, f);
    else
        object_drop_page(o, i); /* reclaim sent it out in between */
}

void object_put(struct mm_object *o)
{
    if (atomic_fetch_sub_explicit(&o->refs, 1, memory_order_acq_rel) != 1)
        return;
    struct pool *p = o->pool;
    if (o->fd >= 0 && o->writable)
        mm_object_sync(o);
    /* off the list first: whoever walks it meets only objects that somebody holds */
    object_delist(p, o);
    for (uint32_t i = 0; object_next(o, &i); i++)
        object_drop_page(o, i);
    munmap(o->pages, o->n * sizeof(pte_t));
    if (o->fd >= 0)
        close(o->fd);
    free(o);
}

void mm_object_close(struct mm_object *obj)
{
    object_put(obj);
}

/* --- a page -------------------------------------------------------------------------------------
 */

/* The frame that stands for page i; waits until its content is there. False: it did not come. */
static bool page_wait(struct mm_object *o, uint32_t i, frame_t f)
{
    struct frame *fr = frame_of(o->pool, f);
    if (frame_test(fr, FRAME_UPTODATE))
        return true;
    frame_lock(fr);
    bool ok = frame_test(fr, FRAME_UPTODATE) && frame_test(fr, FRAME_OBJECT) && fr->obj == o &&
              fr->index == i;
    frame_unlock(fr);
    return ok;
}

/* Make a locked frame page i, if that is still `was`. The object takes a ref of its own. */
static bool page_put_in(struct mm_object *o, uint32_t i, pte_t was, frame_t f)
{
    struct frame *fr = frame_of(o->pool, f);
    lock_take(&o->lock, LOCK_OBJECT);
    bool same = pte_same(o->pages[i], was);
    if (same) {
        frame_ref(fr);
        fr->obj = o;
        fr->index = i;
        frame_set(fr, FRAME_OBJECT);
        o->pages[i] = pte_make(f, 0);
        if (pte_is_swap(was) && !page_is_mark(was))
            count_add(&o->swapped, -1);
    }
    lock_drop(&o->lock, LOCK_OBJECT);
    return same;
}

static void page_take_out(struct mm_object *o, uint32_t i, frame_t f, pte_t becomes)
{
    struct frame *fr = frame_of(o->pool, f);
    lock_take(&o->lock, LOCK_OBJECT);
    o->pages[i] = becomes;
    fr->obj = NULL;
    frame_clear(fr, FRAME_OBJECT);
    lock_drop(&o->lock, LOCK_OBJECT);
    frame_put(o->pool, f);
}

/* Was the page evicted so recently that more memory would have kept it? */
static bool mark_is_recent(struct pool *p, pte_t mark)
{
    uint32_t distance = (atomic_load(&p->evictions) - pte_swap_slot(mark)) & 0xffffff;
    pool_count(p, CNT_refaults);
    if (distance > lru_count(p, LRU_ACTIVE) + lru_count(p, LRU_INACTIVE) / 2)
        return false;
    pool_count(p, CNT_refaults_soon);
    return true;
}

/* A page that is nowhere but (perhaps) on file. 0, -EAGAIN, -ENOMEM, -EIO. */
static int page_make(struct mm_object *o, uint32_t i, struct mm *mm, pte_t was,
                     struct object_page *out)
{
    struct pool *p = o->pool;
    bool zeroed;
    frame_t f = mm_take_frame(p, mm, &PLACE_ANY, &zeroed, &out->path);
    if (f == FRAME_NONE)
        return -ENOMEM;
    struct frame *fr = frame_of(p, f);
    if (!zeroed)
        memset(pool_ptr(p, f), 0, PAGE_SIZE);
    frame_set(fr, FRAME_LOCKED | (page_is_mark(was) && mark_is_recent(p, was) ? FRAME_ACTIVE : 0u));
    if (!page_put_in(o, i, was, f)) {
        frame_unlock(fr);
        frame_put(p, f);
        return -EAGAIN;
    }
    int err = o->fd >= 0 ? object_read(o, i, f) : 0;
    if (err) {
        page_take_out(o, i, f, PTE_NONE);
        frame_unlock(fr);
        frame_put(p, f);
        return -EIO;
    }
    frame_set(fr, FRAME_UPTODATE);
    lru_add(p, f);
    frame_unlock(fr);
    out->frame = f;
    out->major = o->fd >= 0;
    out->path |= o->fd >= 0 ? MM_PATH_READ : MM_PATH_FRESH;
    return 0;
}

/* A page of an anonymous object that is out. */
static int page_swap_in(struct mm_object *o, uint32_t i, struct mm *mm, pte_t entry,
                        struct object_page *out)
{
    struct pool *p = o->pool;
    struct swap *sw = swap_use(p);
    struct swap_in in;
    if (!sw)
        return -EAGAIN; /* taken away: the page is back */
    int err = swap_in(p, mm, &PLACE_ANY, entry, &in);
    if (err) {
        swap_leave(sw);
        return err;
    }
    struct frame *fr = frame_of(p, in.frame);
    if (frame_test(fr,
                   FRAME_WRITEBACK)) { /* written by all who map it: wait until it is out (18) */
        frame_unlock(fr);
        while (frame_test(fr, FRAME_WRITEBACK))
            swap_poll(sw, true);
        swap_drop(p, in.frame, FRAME_REF);
        swap_leave(sw);
        return -EAGAIN;
    }
    bool same = page_put_in(o, i, entry, in.frame);
    if (same) {
        store_put(sw->store, pte_swap_slot(entry));
        swap_take_out(p, in.frame, 0);
    }
    frame_unlock(fr);
    out->path |= in.path;
    out->major = in.major;
    out->frame = in.frame;
    if (!same)
        swap_drop(p, in.frame, FRAME_REF);
    swap_leave(sw);
    return same ? 0 : -EAGAIN;
}

int object_page(struct mm_object *o, uint32_t i, struct mm *mm, struct object_page *out)
{
    *out = (struct object_page){.frame = FRAME_NONE};
    for (;;) {
        lock_take(&o->lock, LOCK_OBJECT);
        pte_t e = o->pages[i];
        if (pte_present(e))
            frame_ref(frame_of(o->pool, pte_frame(e)));
        lock_drop(&o->lock, LOCK_OBJECT);
        int err = -EAGAIN;
        if (pte_present(e)) {
            if (page_wait(o, i, pte_frame(e))) {
                out->frame = pte_frame(e);
                out->path |= out->path & (MM_PATH_READ | MM_PATH_FRESH) ? 0u : MM_PATH_CACHE;
                return 0;
            }
            frame_put(o->pool, pte_frame(e));
        } else if (pte_none(e) || page_is_mark(e)) {
            err = page_make(o, i, mm, e, out);
        } else {
            err = page_swap_in(o, i, mm, e, out);
        }
        if (err != -EAGAIN)
            return err;
    }
}

/* --- eviction -----------------------------------------------------------------------------------
 */

/* Under LOCK_OBJECT: only the object and the caller hold it. */
static bool page_alone(const struct frame *fr)
{
    uint64_t c = atomic_load_explicit(&fr->counts, memory_order_acquire);
    return frame_refs_of(c) == 2 && frame_maps_of(c) == 0;
}

static enum object_evicted evict_file(struct mm_object *o, frame_t f)
{
    struct pool *p = o->pool;
    struct frame *fr = frame_of(p, f);
    if (frame_clear(fr, FRAME_DIRTY)) {
        if (object_write(o, fr->index, f) < 0) {
            frame_set(fr, FRAME_DIRTY);
            return OBJECT_KEPT;
        }
    }
    lock_take(&o->lock, LOCK_OBJECT);
    bool out = page_alone(fr) && !frame_test(fr, FRAME_DIRTY);
    if (out) {
        o->pages[fr->index] = mark_make(atomic_fetch_add(&p->evictions, 1) + 1);
        fr->obj = NULL;
        frame_clear(fr, FRAME_OBJECT);
    }
    lock_drop(&o->lock, LOCK_OBJECT);
    if (!out)
        return OBJECT_KEPT;
    frame_put(p, f);
    return OBJECT_FREED;
}

static enum object_evicted evict_to_swap(struct mm_object *o, frame_t f)
{
    struct pool *p = o->pool;
    struct frame *fr = frame_of(p, f);
    pte_t entry;
    if (!swap_usable(p))
        return OBJECT_KEPT;
    lock_take(&o->lock, LOCK_OBJECT);
    bool out = page_alone(fr) && swap_add_new(pool_swap(p), f, &entry) == 0;
    if (out) {
        swap_name(p, entry);
        o->pages[fr->index] = entry;
        count_add(&o->swapped, 1);
        fr->obj = NULL;
        frame_clear(fr, FRAME_OBJECT);
    }
    lock_drop(&o->lock, LOCK_OBJECT);
    if (!out)
        return OBJECT_KEPT;
    frame_put(p, f);
    return OBJECT_TO_SWAP;
}

enum object_evicted object_evict(struct pool *p, frame_t f)
{
    struct mm_object *o = frame_of(p, f)->obj;
    return o->fd >= 0 ? evict_file(o, f) : evict_to_swap(o, f);
}
