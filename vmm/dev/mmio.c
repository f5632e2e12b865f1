#include "vmm/dev/mmio.h"

#include <errno.h>
#include <string.h>

#define TOP ((gpa_t)UINT32_MAX)

void mmio_init(struct mmio *m)
{
    memset(m, 0, sizeof *m);
}

int mmio_claim(struct mmio *m, const struct mmio_range *r)
{
    if (r->first > r->last || r->last > TOP || (r->sizes & ~7u) != 0)
        return -EINVAL;
    for (unsigned i = 0; i < m->ranges; i++)
        if (r->first <= m->range[i].last && m->range[i].first <= r->last)
            return -EEXIST;
    if (m->ranges == MMIO_RANGES_MAX)
        return -ENOSPC;
    m->range[m->ranges] = *r;
    if (!r->sizes)
        m->range[m->ranges].sizes = 1;
    return (int)m->ranges++;
}

int mmio_move(struct mmio *m, int index, gpa_t first)
{
    struct mmio_range *r = &m->range[index];
    const gpa_t length = r->last - r->first;
    if (first > TOP || length > TOP - first)
        return -EINVAL;
    r->first = first;
    r->last = first + length;
    return 0;
}

const struct mmio_range *mmio_find(const struct mmio *m, gpa_t gpa)
{
    for (unsigned i = m->ranges; i-- > 0;)
        if (gpa >= m->range[i].first && gpa <= m->range[i].last)
            return &m->range[i];
    return NULL;
}

/* The range that takes an access of this size whole, or NULL. */
static const struct mmio_range *taker(const struct mmio *m, gpa_t gpa, unsigned size)
{
    const struct mmio_range *r = mmio_find(m, gpa);
    if (!r || !(r->sizes & size) || gpa % size || gpa + size - 1 > r->last)
        return NULL;
    return r;
}

uint32_t mmio_read(const struct mmio *m, gpa_t gpa, unsigned size)
{
    const struct mmio_range *r = taker(m, gpa, size);
    if (r && r->read) {
        const uint32_t val = r->read(r->ctx, (uint32_t)(gpa - r->first), size);
        return size == 4 ? val : val & ((1u << 8 * size) - 1);
    }
    if (size == 1)
        return 0xff;
    const unsigned half = size / 2;
    const uint32_t low = mmio_read(m, gpa, half);
    return low | mmio_read(m, gpa + half, half) << 8 * half;
}

void mmio_write(const struct mmio *m, gpa_t gpa, uint32_t val, unsigned size)
{
    const struct mmio_range *r = taker(m, gpa, size);
    if (r) {
        if (r->write)
            r->write(r->ctx, (uint32_t)(gpa - r->first),
                     size == 4 ? val : val & ((1u << 8 * size) - 1), size);
        return;
    }
    if (size == 1)
        return;
    const unsigned half = size / 2;
    mmio_write(m, gpa, val, half);
    mmio_write(m, gpa + half, val >> 8 * half, half);
}
