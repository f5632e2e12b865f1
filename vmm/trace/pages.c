/* See pages.h. */
#include "vmm/trace/pages.h"

#include <errno.h>
#include <stdlib.h>

#include "mm/mm.h"

/* --- the table ------------------------------------------------------------------------------- */

static uint32_t key_of(uint32_t space, uint32_t number)
{
    return space << 20 | number;
}

/* Where a key is, or would be put. */
static uint32_t *place(const struct trace_pages *t, uint32_t key)
{
    uint32_t i = (key * 2654435761u) & (t->slots - 1);
    while (t->slot[i] && t->page[t->slot[i] - 1].key != key)
        i = (i + 1) & (t->slots - 1);
    return &t->slot[i];
}

static int grow(struct trace_pages *t)
{
    const uint32_t room = t->room ? 2 * t->room : 1024;
    struct trace_page *page = realloc(t->page, room * sizeof *page);
    if (!page)
        return -ENOMEM;
    t->page = page;
    uint32_t *slot = calloc(2 * (size_t)room, sizeof *slot);
    if (!slot)
        return -ENOMEM;
    free(t->slot);
    t->slot = slot;
    t->slots = 2 * room;
    t->room = room;
    for (uint32_t i = 0; i < t->n; i++)
        *place(t, t->page[i].key) = i + 1;
    return 0;
}

struct trace_page *trace_pages_get(struct trace_pages *t, uint32_t space, uint32_t number)
{
    const uint32_t key = key_of(space, number);
    if (t->n == t->room && grow(t) < 0)
        return NULL;
    uint32_t *at = place(t, key);
    if (!*at) {
        t->page[t->n] = (struct trace_page){.key = key};
        *at = ++t->n;
    }
    return &t->page[*at - 1];
}

struct trace_page *trace_pages_find(const struct trace_pages *t, uint32_t space, uint32_t number)
{
    const uint32_t at = t->slots ? *place(t, key_of(space, number)) : 0;
    return at ? &t->page[at - 1] : NULL;
}

void trace_pages_free(struct trace_pages *t)
{
    free(t->page);
    free(t->slot);
    *t = (struct trace_pages){0};
}

/* --- states ---------------------------------------------------------------------------------- */

static void state_of_fault(struct trace_page *p, const struct trace_rec *rec)
{
    const uint32_t path = rec->info;
    const bool write = (rec->error & PF_W) != 0;
    if (rec->result > MM_SPURIOUS)
        return;
    if (path & (MM_PATH_COPY | MM_PATH_FRESH | MM_PATH_REUSE))
        p->state = STATE_OWN;
    else if (path & MM_PATH_ZERO)
        p->state = STATE_ZERO;
    else if (path & (MM_PATH_FILE | MM_PATH_CACHE | MM_PATH_ZPOOL | MM_PATH_SAME | MM_PATH_READ))
        p->state = write ? STATE_OWN : STATE_READ_ONLY;
    else if (p->state == STATE_UNSEEN) /* mapped before the trace begins */
        p->state = write ? STATE_OWN : STATE_READ_ONLY;
    p->copies += (path & MM_PATH_COPY) != 0;
    p->swap_ins += (path & (MM_PATH_CACHE | MM_PATH_ZPOOL | MM_PATH_SAME | MM_PATH_READ)) &&
                   !(path & MM_PATH_FILE);
}

static void state_of_event(struct trace_page *p, const struct trace_rec *rec)
{
    switch (rec->kind) {
    case TRACE_SWAP_OUT:
        p->state = STATE_SWAPPED;
        p->swap_outs++;
        break;
    case TRACE_EVICTED: p->state = STATE_EVICTED; break;
    case TRACE_PUT_BACK: p->state = STATE_OWN; break;
    case TRACE_MERGED: p->state = STATE_MERGED; break;
    case TRACE_WRITE_PROTECT:
        if (p->state == STATE_OWN)
            p->state = STATE_READ_ONLY;
        break;
    case TRACE_UNMAPPED: p->state = STATE_GONE; break;
    default: break;
    }
    p->events++;
}

/* Every page of the range that the trace has spoken of. */
static void apply_range(struct trace_pages *t, const struct trace_rec *rec)
{
    const uint32_t n = rec->info;
    if (n < t->n) {
        for (uint32_t i = 0; i < n; i++) {
            struct trace_page *p = trace_pages_find(t, rec->space, rec->gfn + i);
            if (p)
                state_of_event(p, rec);
        }
        return;
    }
    for (uint32_t i = 0; i < t->n; i++) {
        struct trace_page *p = &t->page[i];
        const uint32_t at = trace_page_number(p);
        if (trace_page_space(p) == rec->space && at >= rec->gfn && at - rec->gfn < n)
            state_of_event(p, rec);
    }
}

static int apply_fork(struct trace_pages *t, const struct trace_rec *rec)
{
    const uint32_t n = t->n; /* by index: the table may move */
    for (uint32_t i = 0; i < n; i++) {
        if (trace_page_space(&t->page[i]) != rec->space)
            continue;
        const uint8_t state = t->page[i].state;
        struct trace_page *p = trace_pages_get(t, rec->info, trace_page_number(&t->page[i]));
        if (!p)
            return -ENOMEM;
        p->state = state == STATE_OWN ? STATE_READ_ONLY : state;
    }
    return 0;
}

static int apply_linear(struct trace_pages *t, const struct trace_rec *rec)
{
    struct trace_page *p = trace_pages_get(t, PAGES_LINEAR, rec->la >> PAGE_SHIFT);
    if (!p)
        return -ENOMEM;
    p->events++;
    if (trace_is_fault(rec)) {
        p->faults++;
        p->state = (uint8_t)(trace_class_of(rec) + 1);
    }
    return 0;
}

int trace_pages_apply(struct trace_pages *t, const struct trace_rec *rec)
{
    if (trace_is_fault(rec) && apply_linear(t, rec) < 0)
        return -ENOMEM;
    struct trace_page *p;
    switch (rec->kind) {
    case TRACE_FAULT:
    case TRACE_MONITOR:
        if (!(p = trace_pages_get(t, rec->space, rec->gfn)))
            return -ENOMEM;
        p->faults += rec->kind == TRACE_FAULT;
        p->events++;
        state_of_fault(p, rec);
        return 0;
    case TRACE_WRITE_PROTECT:
    case TRACE_UNMAPPED: apply_range(t, rec); return 0;
    case TRACE_FORK: return apply_fork(t, rec);
    case TRACE_SHADOW_DROP:
    case TRACE_SHADOW_WP:
    case TRACE_SWAP_OUT:
    case TRACE_EVICTED:
    case TRACE_PUT_BACK:
    case TRACE_MERGED:
        if (rec->space == TRACE_NO_SPACE)
            return 0;
        if (!(p = trace_pages_get(t, rec->space, rec->gfn)))
            return -ENOMEM;
        state_of_event(p, rec);
        return 0;
    default: return 0;
    }
}
