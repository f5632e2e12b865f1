/* Physical pages: a reference count each, a stack of those that are free. */
#include "guest/tinykernel/kernel.h"

#define MOST    16384u /* 64 MiB */
#define SLOT(n) (KBASE + 0x3fe000u + (n)*PAGE_SIZE)

static uint16_t refs[MOST], stack[MOST];
static uint32_t top, total;

void frames_init(struct rt_range ram)
{
    const uint32_t end = ram.end / PAGE_SIZE < MOST ? ram.end / PAGE_SIZE : MOST;

    for (uint32_t f = end; f-- > ram.start / PAGE_SIZE;)
        stack[top++] = (uint16_t)f;
    total = top;
}

uint32_t frame_alloc(void)
{
    uint32_t f;

    if (!top)
        return 0;
    f = stack[--top];
    if (refs[f])
        rt_panic("frame %x is free and has %u references", f, refs[f]);
    refs[f] = 1;
    return f * PAGE_SIZE;
}

void frame_get(uint32_t frame)
{
    refs[frame / PAGE_SIZE]++;
}

void frame_put(uint32_t frame)
{
    const uint32_t f = frame / PAGE_SIZE;

    if (!refs[f])
        rt_panic("frame %x is put once too often", f);
    if (!--refs[f])
        stack[top++] = (uint16_t)f;
}

uint32_t frame_refs(uint32_t frame)
{
    return refs[frame / PAGE_SIZE];
}

uint32_t frames_free(void)
{
    return top;
}

uint32_t frames_total(void)
{
    return total;
}

void *frame_at(unsigned slot, uint32_t frame)
{
    PTE_OF(SLOT(slot)) = frame | PTE_P | PTE_W;
    invlpg(SLOT(slot));
    return (void *)SLOT(slot);
}
