/*
 * An mm: an address space of the memory manager. It has regions (VMAs), a two-level table of
 * backing PTEs (pte.h) and, through the notifier, mappers. A VM's guest-physical memory is one mm.
 *
 * The model is Linux on i386; docs/mm.md numbers the behaviours, tests name them.
 */
#ifndef UMBRA_MM_MM_H
#define UMBRA_MM_MM_H

#include "mm/notify.h"
#include "mm/pool.h"
#include "mm/pte.h"
#include "mm/types.h"

struct mm;

enum mm_prot { MM_READ = 1, MM_WRITE = 2, MM_EXEC = 4 };

enum mm_region_kind { MM_ANON_PRIVATE, MM_ANON_SHARED, MM_FILE_PRIVATE, MM_FILE_SHARED };

enum mm_access { MM_ACCESS_READ, MM_ACCESS_WRITE };

/* Outcome of a fault (behaviour 3). The first three are success: frame and writable are valid. */
enum mm_result {
    MM_MINOR,    /* served without I/O */
    MM_MAJOR,    /* served with I/O */
    MM_SPURIOUS, /* the entry already allowed the access; only accessed/dirty were updated */
    MM_OOM,      /* no frame to be had; nothing has changed */
    MM_BADADDR,  /* outside every region */
    MM_PROT,     /* inside a region that forbids the access */
    MM_IOERR,    /* the page's content cannot be read; the entry stays */
    MM_RESULTS
};

/* The steps that a fault took, OR-ed together: its path. */
enum mm_path {
    MM_PATH_ZERO = 1u << 0,      /* the zero frame was mapped */
    MM_PATH_FRESH = 1u << 1,     /* a frame was taken and zeroed */
    MM_PATH_UNZERO = 1u << 2,    /* ... over the zero frame */
    MM_PATH_COPY = 1u << 3,      /* copy-on-write copied */
    MM_PATH_REUSE = 1u << 4,     /* copy-on-write found a sole owner */
    MM_PATH_FILE = 1u << 5,      /* content came from a file region */
    MM_PATH_CACHE = 1u << 6,     /* found in the swap or page cache */
    MM_PATH_ZPOOL = 1u << 7,     /* decompressed */
    MM_PATH_READ = 1u << 8,      /* read from the area or a file */
    MM_PATH_READAHEAD = 1u << 9, /* ... with read-ahead around it */
    MM_PATH_RACE = 1u << 10,     /* the entry changed meanwhile; given up in its favour */
    MM_PATH_RECLAIM = 1u << 11,  /* direct reclaim was needed first */
    MM_PATH_SAME = 1u << 12,     /* filled with the one value that it held when it went out */
};

struct mm_fault {
    enum mm_result result;
    uint32_t path; /* enum mm_path bits */
    frame_t frame; /* the frame that backs the page now */
    bool writable; /* may the mapper map it writable? (rule: only if the PTE is W and D) */
};

/* What is known of one page, for reports. */
struct mm_page_info {
    bool in_region;
    enum mm_region_kind kind;
    unsigned prot; /* enum mm_prot bits of its region */
    pte_t pte;
    frame_t frame;     /* FRAME_NONE if not present */
    uint32_t refs;     /* the frame's reference count; 0 for the zero frame */
    uint32_t maps;     /* how many backing PTEs map it */
    uint32_t mm_count; /* reserved: how many mms */
};

struct mm_stats {
    uint64_t resident; /* frames that this mm maps, zero frame not counted */
    uint64_t swapped;  /* entries that name a slot */
    uint64_t limit;    /* mm_set_limit */
    uint64_t regions;
    uint64_t faults[MM_RESULTS];
};

/* 0 or -ENOMEM. name is copied; it is used in reports ("ram of vm 1"). The pool must outlive the
 * mm. */
int mm_create(struct pool *pool, const char *name, struct mm **out);
/* Gives back every frame and slot (behaviour 32); calls invalidate first. */
void mm_destroy(struct mm *mm);
struct pool *mm_pool(const struct mm *mm);
const char *mm_name(const struct mm *mm);

/* One mapper per mm for now. NULL takes it away. The struct is copied. */
void mm_set_notifier(struct mm *mm, const struct mm_notifier *n);

/* Add an anonymous region of n pages at gfn. 0, -EINVAL (n = 0, end beyond MM_GFNS, bad prot),
 * -EEXIST (overlaps a region), -ENOMEM. */
int mm_map_anon(struct mm *mm, gfn_t gfn, uint32_t n, unsigned prot, enum mm_region_kind kind);
/* Remove whatever regions (or parts) lie in the range, with their pages. 0, -EINVAL, -ENOMEM (a
 * split found no memory: nothing has changed). */
int mm_unmap(struct mm *mm, gfn_t gfn, uint32_t n);

/*
 * Change what may be done with the pages of a range. 0, -EINVAL, -EFAULT (part of the range lies in
 * no region), -EACCES (writing to a shared file that was opened for reading), -ENOMEM; on an error
 * nothing has changed. Pages keep their content, also while prot is 0.
 */
int mm_protect(struct mm *mm, gfn_t gfn, uint32_t n, unsigned prot);

/*
 * A copy of an address space: every private page is shared until one side writes (behaviours 9,
 * 10), every shared region is the same memory. The child has no notifier yet. 0 or -ENOMEM (no
 * child; the parent is as it was, though it may meet a few more write faults).
 */
int mm_fork(struct mm *parent, const char *name, struct mm **out);

/* At most n regions, so that a guest that makes them cannot make the host's lists long: a change
 * that would make more is -ENOMEM and changes nothing. Children by fork inherit it. n >= 1. */
void mm_set_regions_max(struct mm *mm, uint32_t n);
/* At most this many frames may be mapped by the mm at a time; beyond, its own pages are evicted
 * first, and a fault that cannot be served within it ends in MM_OOM. 0: no limit but the pool's. */
void mm_set_limit(struct mm *mm, uint64_t frames);

/*
 * Memory that is not private to one mm: a file (or a part of one), or shared anonymous memory.
 * Regions map pages of it. An object lives as long as a region or its opener holds it.
 */
struct mm_object;

/* Pages of all objects of a pool together: their tables are host memory outside the pool, 64 MiB.
 */
#define MM_OBJECT_PAGES_MAX (16u << 20)

/*
 * Make an object of bytes offset .. offset+bytes-1 of a file (fd stays the caller's, a duplicate is
 * kept; offset a multiple of PAGE_SIZE). The last page is filled up with zeros. With `writable` the
 * pages of shared regions are written back to the file when evicted, by mm_object_sync, and at the
 * end. 0, -EINVAL (no bytes, more than 4 GiB, offset, or the range is not in the file), -ENOMEM
 * (also: MM_OBJECT_PAGES_MAX), or an errno of the file.
 */
int mm_object_open_file(struct pool *pool, int fd, uint64_t offset, uint64_t bytes, bool writable,
                        struct mm_object **out);
/* Shared anonymous memory of n pages, all zero. 0, -EINVAL, -ENOMEM (also: MM_OBJECT_PAGES_MAX). */
int mm_object_open_anon(struct pool *pool, uint32_t n, struct mm_object **out);
/* The opener lets go. */
void mm_object_close(struct mm_object *obj);
/* Write every changed page back to the file. 0, or the first error; pages that failed stay dirty.
 * Pages that are mapped writable are seen as changed each time. */
int mm_object_sync(struct mm_object *obj);

/* Map n pages of an object from its page pgoff on. kind: MM_FILE_PRIVATE (changes stay in the mm),
 * MM_FILE_SHARED, MM_ANON_SHARED. As mm_map_anon; and -EINVAL: not that kind of object, or the
 * range lies beyond its end; -EACCES: shared, MM_WRITE, and the object is not writable. */
int mm_map_object(struct mm *mm, gfn_t gfn, uint32_t n, unsigned prot, enum mm_region_kind kind,
                  struct mm_object *obj, uint32_t pgoff);

/*
 * As mm_fault, and on success the frame stays where it is, with this content's address, until
 * mm_unpin: for whoever reads or writes it through pool_ptr. Keep pins short. A fork copies pinned
 * pages at once.
 */
struct mm_fault mm_pin(struct mm *mm, gfn_t gfn, enum mm_access access);
void mm_unpin(struct pool *pool, frame_t frame);

/*
 * Resolve an access to a page: the one entry point of every fault.
 * Makes no system call and touches no heap on a minor path, pool growth aside.
 */
struct mm_fault mm_fault(struct mm *mm, gfn_t gfn, enum mm_access access);

/* The backing PTE of a page as it stands; PTE_NONE outside regions. Never faults. */
pte_t mm_pte(const struct mm *mm, gfn_t gfn);
void mm_page_info(const struct mm *mm, gfn_t gfn, struct mm_page_info *out);
void mm_get_stats(const struct mm *mm, struct mm_stats *out);

/* Who holds what, for people: written when memory runs out (behaviours 7, 31). */
struct mm_holder {
    const char *name;
    uint64_t resident, swapped;
};
/* Fills up to max holders (every mm of the pool), returns how many there are. */
size_t mm_holders(const struct pool *pool, struct mm_holder *out, size_t max);

/*
 * Walk everything the pool and its mms keep (PTEs, reverse maps, counts, free lists) and report
 * the first thing that does not add up into msg (NUL-terminated, with names). 0 if sound, -EUCLEAN.
 */
int mm_audit(const struct pool *pool, char *msg, size_t len);

#endif
