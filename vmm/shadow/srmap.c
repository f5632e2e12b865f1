/* See srmap.h. */
#include <assert.h>
#include <errno.h>
#include <sys/mman.h>

#include "vmm/shadow/srmap.h"

#define SRMAP_CHAIN 0x80000000u

static void *reserve(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                   -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

int srmap_create(struct srmap *r, uint32_t keys, uint32_t entries)
{
    *r = (struct srmap){.keys = keys, .nodes = entries};
    assert(entries < SRMAP_CHAIN);
    r->head = reserve(keys * sizeof *r->head);
    r->node = reserve(entries * sizeof *r->node);
    if (r->head && r->node)
        return 0;
    srmap_destroy(r);
    return -ENOMEM;
}

void srmap_destroy(struct srmap *r)
{
    if (r->head)
        munmap(r->head, r->keys * sizeof *r->head);
    if (r->node)
        munmap(r->node, r->nodes * sizeof *r->node);
    *r = (struct srmap){0};
}

static uint32_t node_new(struct srmap *r, uint32_t entry, uint32_t next)
{
    uint32_t n;
    if (r->free) {
        n = r->free - 1;
        r->free = r->node[n].next;
    } else {
        assert(r->grown < r->nodes);
        n = r->grown++;
    }
    r->node[n] = (struct srmap_node){.entry = entry, .next = next};
    return n;
}

static void node_free(struct srmap *r, uint32_t n)
{
    r->node[n].next = r->free;
    r->free = n + 1;
}

void srmap_add(struct srmap *r, gfn_t gfn, uint32_t entry)
{
    uint32_t *head = &r->head[gfn];
    r->count++;
    if (*head == 0) {
        *head = entry + 1;
        return;
    }
    const uint32_t rest =
        (*head & SRMAP_CHAIN) ? (*head & ~SRMAP_CHAIN) + 1 : node_new(r, *head - 1, 0) + 1;
    *head = SRMAP_CHAIN | node_new(r, entry, rest);
}

void srmap_remove(struct srmap *r, gfn_t gfn, uint32_t entry)
{
    uint32_t *head = &r->head[gfn];
    r->count--;
    if (!(*head & SRMAP_CHAIN)) {
        assert(*head == entry + 1);
        *head = 0;
        return;
    }
    uint32_t prev = 0, n = (*head & ~SRMAP_CHAIN) + 1;
    while (n && r->node[n - 1].entry != entry) {
        prev = n;
        n = r->node[n - 1].next;
    }
    assert(n);
    const uint32_t next = r->node[n - 1].next;
    node_free(r, n - 1);
    if (prev)
        r->node[prev - 1].next = next;
    else
        *head = next ? SRMAP_CHAIN | (next - 1) : 0;
}

uint32_t srmap_iter_next(const struct srmap *r, struct srmap_iter *it)
{
    if (!it->next)
        return SRMAP_END;
    const struct srmap_node *n = &r->node[it->next - 1];
    it->next = n->next;
    return n->entry;
}

uint32_t srmap_iter_first(const struct srmap *r, gfn_t gfn, struct srmap_iter *it)
{
    const uint32_t head = r->head[gfn];
    it->next = 0;
    if (!(head & SRMAP_CHAIN))
        return head ? head - 1 : SRMAP_END;
    it->next = (head & ~SRMAP_CHAIN) + 1;
    return srmap_iter_next(r, it);
}

uint32_t srmap_first(const struct srmap *r, gfn_t gfn)
{
    struct srmap_iter it;
    return srmap_iter_first(r, gfn, &it);
}

bool srmap_contains(const struct srmap *r, gfn_t gfn, uint32_t entry)
{
    struct srmap_iter it;
    uint32_t e = srmap_iter_first(r, gfn, &it);
    while (e != SRMAP_END && e != entry)
        e = srmap_iter_next(r, &it);
    return e == entry && entry != SRMAP_END;
}
