/* Display memory as the processor sees it: the sequencer picks planes, the graphics controller
 * works on the data (Video Subsystem, "Programming considerations"). */
#include "vmm/dev/vga.h"

enum {
    GC_SET = 0,
    GC_SET_ENABLE,
    GC_COMPARE,
    GC_ROTATE,
    GC_READ_PLANE,
    GC_MODE,
    GC_MISC,
    GC_CARE,
    GC_MASK
};
enum { MODE_WRITE = 3, MODE_READ_COMPARE = 8, MODE_ODD_EVEN = 0x10 };
enum { SEQ_MAP = 2, SEQ_MEMORY = 4 };
enum { MEMORY_SEQUENTIAL = 4, MEMORY_CHAIN4 = 8 };
enum { MISC_RAM = 2 };
enum { ROTATE_COUNT = 7, ROTATE_FUNCTION = 3 };

/* Where an access goes: an offset in the planes, and the planes that the address names. */
struct place {
    uint32_t at;
    unsigned planes; /* bits */
};

/* false: the window does not reach there now. */
static bool place_of(const struct vga *v, uint32_t off, struct place *p)
{
    static const struct {
        uint32_t first, bytes;
    } windows[] = {{0, 0x20000}, {0, 0x10000}, {0x10000, 0x8000}, {0x18000, 0x8000}};
    const unsigned w = v->gc[GC_MISC] >> 2 & 3;
    const uint32_t a = off - windows[w].first;

    if (off < windows[w].first || a >= windows[w].bytes || !(v->misc & MISC_RAM))
        return false;
    if (v->seq[SEQ_MEMORY] & MEMORY_CHAIN4)
        *p = (struct place){a & 0xfffc, 1u << (a & 3)};
    else if (!(v->seq[SEQ_MEMORY] & MEMORY_SEQUENTIAL))
        *p = (struct place){a & 0xfffe, (a & 1) ? 0xa : 0x5};
    else
        *p = (struct place){a & 0xffff, 0xf};
    return true;
}

static uint8_t compare(const struct vga *v)
{
    uint8_t differs = 0;
    for (unsigned p = 0; p < 4; p++)
        if (v->gc[GC_CARE] >> p & 1)
            differs |= v->latch[p] ^ ((v->gc[GC_COMPARE] >> p & 1) ? 0xff : 0);
    return (uint8_t)~differs;
}

uint32_t vga_mem_read(struct vga *v, uint32_t off)
{
    struct place p;
    unsigned plane = v->gc[GC_READ_PLANE];

    if (!place_of(v, off, &p))
        return 0xff;
    for (unsigned i = 0; i < 4; i++)
        v->latch[i] = v->vram[4 * p.at + i];
    if (v->gc[GC_MODE] & MODE_READ_COMPARE)
        return compare(v);
    if (v->seq[SEQ_MEMORY] & MEMORY_CHAIN4)
        plane = off & 3;
    else if (v->gc[GC_MODE] & MODE_ODD_EVEN)
        plane = (plane & 2) | (off & 1);
    return v->latch[plane];
}

static uint8_t rotate(const struct vga *v, uint8_t val)
{
    const unsigned n = v->gc[GC_ROTATE] & ROTATE_COUNT;
    return (uint8_t)(val >> n | val << (8 - n));
}

/* The logical function of data and latch. */
static uint8_t combine(const struct vga *v, unsigned plane, uint8_t data)
{
    switch (v->gc[GC_ROTATE] >> 3 & ROTATE_FUNCTION) {
    case 1: return data & v->latch[plane];
    case 2: return data | v->latch[plane];
    case 3: return data ^ v->latch[plane];
    default: return data;
    }
}

static uint8_t all_of(unsigned bits, unsigned plane)
{
    return (bits >> plane & 1) ? 0xff : 0;
}

/* What becomes of one plane's byte. */
static uint8_t written(const struct vga *v, unsigned plane, uint8_t val)
{
    const bool set = v->gc[GC_SET_ENABLE] >> plane & 1;
    uint8_t mask = v->gc[GC_MASK], data;

    switch (v->gc[GC_MODE] & MODE_WRITE) {
    case 1: return v->latch[plane];
    case 0: data = set ? all_of(v->gc[GC_SET], plane) : rotate(v, val); break;
    case 2: data = all_of(val, plane); break;
    default:
        mask &= rotate(v, val);
        data = all_of(v->gc[GC_SET], plane);
        break;
    }
    data = combine(v, plane, data);
    return (uint8_t)((data & mask) | (v->latch[plane] & ~mask));
}

void vga_mem_write(struct vga *v, uint32_t off, uint8_t val)
{
    struct place p;

    if (!place_of(v, off, &p))
        return;
    v->changes++;
    for (unsigned i = 0; i < 4; i++)
        if (p.planes & v->seq[SEQ_MAP] & 1u << i)
            v->vram[4 * p.at + i] = written(v, i, val);
}
