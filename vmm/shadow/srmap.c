/* See srmap.h. */
#include <assert.h>
#include <errno.h>
#include <sys/mman.h>

#include "vmm/shadow/srmap.h"

static void *reserve(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                   -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

int srmap_create(struct srmap *r, uint32_t keys, uint32_t entries)
{
    *r = (struct srmap){.keys = keys, .entries = entries};
    r->head = reserve(keys * sizeof *r->head);
    r->link = reserve(entries * sizeof *r->link);
    if (r->head && r->link)
        return 0;
    srmap_destroy(r);
    return -ENOMEM;
}

void srmap_destroy(struct srmap *r)
{
    if (r->head)
        munmap(r->head, r->keys * sizeof *r->head);
    if (r->link)
        munmap(r->link, r->entries * sizeof *r->link);
    *r = (struct srmap){0};
}

void srmap_add(struct srmap *r, uint32_t key, uint32_t entry)
{
    const uint32_t first = r->head[key];
    r->link[entry] = (struct srmap_link){.next = first};
    if (first)
        r->link[first - 1].prev = entry + 1;
    r->head[key] = entry + 1;
    r->count++;
}

void srmap_remove(struct srmap *r, uint32_t key, uint32_t entry)
{
    const struct srmap_link l = r->link[entry];
    if (l.prev) {
        r->link[l.prev - 1].next = l.next;
    } else {
        assert(r->head[key] == entry + 1);
        r->head[key] = l.next;
    }
    if (l.next)
        r->link[l.next - 1].prev = l.prev;
    r->count--;
}

uint32_t srmap_iter_next(const struct srmap *r, struct srmap_iter *it)
{
    if (!it->next)
        return SRMAP_END;
    const uint32_t entry = it->next - 1;
    it->next = r->link[entry].next;
    return entry;
}

uint32_t srmap_iter_first(const struct srmap *r, uint32_t key, struct srmap_iter *it)
{
    it->next = r->head[key];
    return srmap_iter_next(r, it);
}

bool srmap_contains(const struct srmap *r, uint32_t key, uint32_t entry)
{
    struct srmap_iter it;
    uint32_t e = srmap_iter_first(r, key, &it);
    while (e != SRMAP_END && e != entry)
        e = srmap_iter_next(r, &it);
    return e == entry;
}
