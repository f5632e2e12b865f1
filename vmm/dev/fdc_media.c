/* The layouts of diskettes that PCs had, by their size. */
#include "vmm/dev/fdc.h"

/* Data rates: 0 is 500 kbit/s, 1 300, 2 250, 3 1000. Diskettes of 5.25 inches and double density
 * are read at 250 in drives of their own and at 300 in those for high density. */
static const struct fdc_media layouts[] = {
    {40, 1, 8, 1 << 1 | 1 << 2, 1}, /* 160 KB */
    {40, 1, 9, 1 << 1 | 1 << 2, 1}, /* 180 KB */
    {40, 2, 8, 1 << 1 | 1 << 2, 1}, /* 320 KB */
    {40, 2, 9, 1 << 1 | 1 << 2, 1}, /* 360 KB */
    {80, 2, 9, 1 << 2, 3},          /* 720 KB */
    {80, 2, 15, 1 << 0, 2},         /* 1.2 MB */
    {80, 2, 18, 1 << 0, 4},         /* 1.44 MB */
    {80, 2, 20, 1 << 0, 4},         /* 1.6 MB */
    {80, 2, 21, 1 << 0, 4},         /* 1.68 MB */
    {82, 2, 21, 1 << 0, 4},         /* 1.72 MB */
    {83, 2, 21, 1 << 0, 4},         /* 1.74 MB */
    {80, 2, 36, 1 << 3, 5},         /* 2.88 MB */
};
enum { LAYOUTS = sizeof layouts / sizeof *layouts, USUAL = 6 };

static uint64_t bytes_of(const struct fdc_media *m)
{
    return (uint64_t)m->tracks * m->heads * m->sectors * FDC_SECTOR;
}

bool fdc_media_of(uint64_t bytes, struct fdc_media *out)
{
    for (unsigned i = 0; i < LAYOUTS; i++)
        if (bytes_of(&layouts[i]) == bytes) {
            *out = layouts[i];
            return true;
        }
    /* The image of a diskette's beginning: a boot sector, a kernel behind it. */
    for (unsigned i = USUAL; i < LAYOUTS; i++)
        if (bytes_of(&layouts[i]) >= bytes) {
            *out = layouts[i];
            return true;
        }
    return false;
}
