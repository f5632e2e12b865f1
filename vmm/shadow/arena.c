/* See arena.h. */
#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "vmm/shadow/arena.h"

int arena_create(struct arena *a, uint32_t quota)
{
    *a = (struct arena){0};
    if (quota == 0 || quota > (1u << 18)) /* 1 GiB: what one page directory of the stub can map */
        return -EINVAL;
    a->quota = quota;
    a->pages = (quota + 511) & ~511u;
    size_t links = (size_t)a->pages * sizeof *a->next;
    void *base = mmap(NULL, arena_bytes(a), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED)
        return -ENOMEM;
    void *next = mmap(NULL, links, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (next == MAP_FAILED) {
        munmap(base, arena_bytes(a));
        return -ENOMEM;
    }
    a->base = base;
    a->next = next;
    return 0;
}

void arena_destroy(struct arena *a)
{
    if (!a->base)
        return;
    munmap(a->base, arena_bytes(a));
    munmap(a->next, (size_t)a->pages * sizeof *a->next);
    *a = (struct arena){0};
}

uint32_t arena_alloc(struct arena *a)
{
    uint32_t page;
    if (a->free) {
        page = a->free - 1;
        a->free = a->next[page];
        memset(arena_table(a, page), 0, PAGE_SIZE);
    } else if (a->grown < a->quota) {
        page = a->grown++; /* fresh from mmap: zero already */
    } else {
        return ARENA_NONE;
    }
    a->used++;
    return page;
}

void arena_free(struct arena *a, uint32_t page)
{
    assert(page < a->grown && a->used > 0);
    a->next[page] = a->free;
    a->free = page + 1;
    a->used--;
}
