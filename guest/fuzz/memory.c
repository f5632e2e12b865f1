/* See memory.h. */
#include "guest/fuzz/memory.h"

struct fuzz fuzz;

static const uint16_t where[] = {0,    1,    2,    511,  512,  513,  514,  1023, 1024, 1025, 1026,
                                 1535, 1536, 1537, 1538, 2047, 2048, 2049, 2559, 2560, 2561, 3071};
_Static_assert(sizeof where / sizeof *where == FUZZ_PAGES, "one place for each page");
static uint8_t number_of[FUZZ_SPAN]; /* + 1 */

/* --- chance ---------------------------------------------------------------------------------- */

uint64_t fuzz_mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

/* Xorshift: an event takes many, and a processor may be slow. */
uint32_t fuzz_rnd(uint32_t below)
{
    fuzz.rng ^= fuzz.rng << 13;
    fuzz.rng ^= fuzz.rng >> 17;
    fuzz.rng ^= fuzz.rng << 5;
    return (uint32_t)((uint64_t)fuzz.rng * below >> 32);
}

bool fuzz_often(unsigned percent)
{
    return fuzz_rnd(100) < percent;
}

/* --- memory ---------------------------------------------------------------------------------- */

bool fuzz_paging(void)
{
    return (fuzz.mmu.cr0 & CR0_PG) != 0;
}

bool fuzz_pae(void)
{
    return (fuzz.mmu.cr4 & CR4_PAE) != 0;
}

unsigned fuzz_entry_size(void)
{
    return fuzz_pae() ? 8 : 4;
}

uint32_t fuzz_gpa_of_page(unsigned page)
{
    return FUZZ_BASE + where[page] * PAGE_SIZE;
}

int fuzz_page_of(uint64_t gpa)
{
    const uint64_t at = gpa / PAGE_SIZE - FUZZ_BASE / PAGE_SIZE;
    return at < FUZZ_SPAN ? number_of[at] - 1 : -1;
}

bool fuzz_nothing_there(uint64_t gpa)
{
    return gpa / PAGE_SIZE >= fuzz.beyond;
}

uint32_t *fuzz_real(unsigned page)
{
    return (uint32_t *)(fuzz_paging() ? FUZZ_WINDOW + page * PAGE_SIZE : fuzz_gpa_of_page(page));
}

uint32_t fuzz_real_dword(unsigned page, uint32_t offset)
{
    return ((volatile uint32_t *)fuzz_real(page))[offset / 4];
}

/* What changes in the model while the outcome of an access is tried out. */
static struct {
    uint32_t *at, old;
} undo[16];
static unsigned undos;

void fuzz_undo_none(void)
{
    undos = 0;
}

static void put_model(unsigned page, uint32_t offset, uint32_t v)
{
    uint32_t *const at = &fuzz.model[page][offset / 4];
    if (*at == v)
        return;
    if (undos == sizeof undo / sizeof *undo)
        rt_panic("an access changes more than %u words", undos);
    undo[undos].at = at;
    undo[undos++].old = *at;
    *at = v;
}

void fuzz_roll_back(void)
{
    while (undos > 0) {
        undos--;
        *undo[undos].at = undo[undos].old;
    }
}

uint64_t fuzz_model_load(void *ctx, uint64_t gpa, unsigned size)
{
    const int page = fuzz_page_of(gpa);
    const uint32_t offset = (uint32_t)gpa & (PAGE_SIZE - 1);
    (void)ctx;
    if (page < 0) /* of the guest's own memory nothing is known, and no access goes there */
        return !fuzz_nothing_there(gpa) ? 0 : size == 8 ? ~(uint64_t)0 : UINT32_MAX;
    const uint64_t low = fuzz.model[page][offset / 4];
    return size == 8 ? low | (uint64_t)fuzz.model[page][offset / 4 + 1] << 32 : low;
}

static void model_store(void *ctx, uint64_t gpa, uint64_t v, unsigned size)
{
    const int page = fuzz_page_of(gpa);
    const uint32_t offset = (uint32_t)gpa & (PAGE_SIZE - 1);
    (void)ctx;
    if (page < 0)
        return;
    put_model((unsigned)page, offset, (uint32_t)v);
    if (size == 8)
        put_model((unsigned)page, offset + 4, (uint32_t)(v >> 32));
}

/* One, two or four bytes. */
void fuzz_write_model(uint64_t gpa, uint32_t v, unsigned size)
{
    const int page = fuzz_page_of(gpa);
    const unsigned shift = (gpa & 3) * 8;
    const uint32_t mask = (size == 4 ? UINT32_MAX : (1u << 8 * size) - 1) << shift;
    const uint32_t offset = (uint32_t)gpa & (PAGE_SIZE - 1);
    if (page >= 0)
        put_model((unsigned)page, offset,
                  (fuzz.model[page][offset / 4] & ~mask) | (v << shift & mask));
}

uint32_t fuzz_read_model(uint64_t gpa)
{
    return (uint32_t)fuzz_model_load(NULL, gpa & ~(uint64_t)3, 4);
}

/* In both, through the window. */
void fuzz_put(unsigned page, uint32_t offset, uint32_t v)
{
    fuzz_real(page)[offset / 4] = v;
    fuzz.model[page][offset / 4] = v;
    tlb_written(&fuzz.tlb, fuzz_gpa_of_page(page));
}

void fuzz_memory_init(void)
{
    for (unsigned i = 0; i < FUZZ_PAGES; i++)
        number_of[where[i]] = (uint8_t)(i + 1);
    fuzz.mmu = (struct refmmu){
        .mem = {NULL, fuzz_model_load, model_store}, .cr0 = CR0_PE, .maxphyaddr = 36};
}

/* --- failing --------------------------------------------------------------------------------- */

bool fuzz_wrong(const char *fmt, ...)
{
    va_list ap;
    rt_printf("# world %u, event %u: ", fuzz.world_now, fuzz.event_now);
    va_start(ap, fmt);
    rt_vprintf(fmt, ap);
    va_end(ap);
    rt_printf("\n# CR0 %08x CR3 %08x CR4 %03x NXE %u\n", fuzz.mmu.cr0, fuzz.mmu.cr3, fuzz.mmu.cr4,
              fuzz.mmu.nxe);
    return false;
}

bool fuzz_all_same(void)
{
    for (unsigned i = 0; i < FUZZ_PAGES; i++) {
        const volatile uint32_t *r = fuzz_real(i);
        for (unsigned k = 0; k < PAGE_SIZE / 4; k++)
            if (r[k] != fuzz.model[i][k])
                return fuzz_wrong("memory at %08x is %08x, and should be %08x",
                                  fuzz_gpa_of_page(i) + 4 * k, r[k], fuzz.model[i][k]);
    }
    return true;
}
