/*
 * Who gets which part of guest memory. Invariant: claimed ranges lie in RAM and never overlap.
 */
#include <errno.h>

#include "vmm/load/load.h"

static void add_mem(struct image *out, gpa_t start, gpa_t end, enum image_mem_type type)
{
    if (start < end)
        out->map[out->map_count++] = (struct image_mem){start, end - start, type};
}

static gpa_t min_gpa(gpa_t a, gpa_t b)
{
    return a < b ? a : b;
}

/* As a PC's BIOS tells it: low RAM, its data area, nothing where VGA is, its ROM, the rest. */
void place_memory_map(struct image *out, uint64_t bytes)
{
    out->map_count = 0;
    add_mem(out, 0, min_gpa(bytes, LOAD_LOW_END), IMAGE_MEM_RAM);
    add_mem(out, LOAD_LOW_END, 0xa0000, IMAGE_MEM_RESERVED);
    add_mem(out, 0xf0000, LOAD_HIGH, IMAGE_MEM_RESERVED);
    add_mem(out, LOAD_HIGH, bytes, IMAGE_MEM_RAM);
}

static bool overlap(gpa_t a, uint64_t a_len, gpa_t b, uint64_t b_len)
{
    return a < b + b_len && b < a + a_len;
}

static bool in_ram(const struct image *out, gpa_t start, uint64_t bytes)
{
    for (unsigned i = 0; i < out->map_count; i++) {
        const struct image_mem *m = &out->map[i];
        if (m->type == IMAGE_MEM_RAM && start >= m->start && start - m->start <= m->bytes &&
            bytes <= m->bytes - (start - m->start))
            return true;
    }
    return false;
}

int place_claim(struct loading *l, gpa_t start, uint64_t bytes, const char *fmt, ...)
{
    struct image *out = l->out;
    struct image_range r = {.start = start, .bytes = bytes};
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(r.name, sizeof r.name, fmt, ap);
    va_end(ap);
    if (bytes == 0)
        return 0;
    if (!in_ram(out, start, bytes))
        return load_refuse(l, -EINVAL,
                           "%s at %#llx, %#llx bytes, does not lie in RAM (0-%#x and %#x-%#llx); "
                           "give more RAM with -m or link it elsewhere",
                           r.name, (unsigned long long)start, (unsigned long long)bytes,
                           LOAD_LOW_END, LOAD_HIGH, (unsigned long long)l->g->bytes);
    for (unsigned i = 0; i < out->range_count; i++)
        if (overlap(start, bytes, out->ranges[i].start, out->ranges[i].bytes))
            return load_refuse(l, -ENOEXEC, "%s at %#llx, %#llx bytes, overlaps %s at %#llx, %#llx",
                               r.name, (unsigned long long)start, (unsigned long long)bytes,
                               out->ranges[i].name, (unsigned long long)out->ranges[i].start,
                               (unsigned long long)out->ranges[i].bytes);
    if (out->range_count == IMAGE_RANGES_MAX)
        return load_refuse(l, -EINVAL, "more than %d parts to load", IMAGE_RANGES_MAX);
    out->ranges[out->range_count++] = r;
    return 0;
}

/* The claimed range that is in the way of at .. at+bytes-1, or NULL. */
static const struct image_range *blocker(const struct image *out, gpa_t at, uint64_t bytes)
{
    for (unsigned i = 0; i < out->range_count; i++)
        if (overlap(at, bytes, out->ranges[i].start, out->ranges[i].bytes))
            return &out->ranges[i];
    return NULL;
}

bool place_find(const struct image *out, gpa_t from, gpa_t end, uint64_t bytes, uint64_t align,
                gpa_t *at)
{
    for (unsigned i = 0; i < out->map_count; i++) {
        const struct image_mem *m = &out->map[i];
        gpa_t top = min_gpa(m->start + m->bytes, end);
        gpa_t p = from > m->start ? from : m->start;

        if (m->type != IMAGE_MEM_RAM)
            continue;
        for (;;) {
            const struct image_range *b;
            p = (p + align - 1) & ~(align - 1);
            if (p > top || bytes > top - p)
                break;
            b = blocker(out, p, bytes);
            if (!b) {
                *at = p;
                return true;
            }
            p = b->start + b->bytes;
        }
    }
    return false;
}

bool place_find_high(const struct image *out, gpa_t from, gpa_t end, uint64_t bytes, uint64_t align,
                     gpa_t *at)
{
    for (unsigned i = out->map_count; i-- > 0;) {
        const struct image_mem *m = &out->map[i];
        gpa_t top = min_gpa(m->start + m->bytes, end);
        gpa_t low = from > m->start ? from : m->start;

        if (m->type != IMAGE_MEM_RAM)
            continue;
        while (top >= low && bytes <= top - low) {
            gpa_t p = (top - bytes) & ~(align - 1);
            const struct image_range *b = blocker(out, p, bytes);
            if (p < low)
                break;
            if (!b) {
                *at = p;
                return true;
            }
            top = b->start;
        }
    }
    return false;
}

gpa_t place_above(const struct image *out)
{
    gpa_t top = LOAD_HIGH;

    for (unsigned i = 0; i < out->range_count; i++)
        if (out->ranges[i].start + out->ranges[i].bytes > top)
            top = out->ranges[i].start + out->ranges[i].bytes;
    return top;
}
