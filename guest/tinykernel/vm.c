/* Address spaces: demand paging, copy-on-write, fork. */
#include "guest/tinykernel/kernel.h"

#define USER_PDES 768u
#define MY_BITS   (PTE_P | PTE_W | PTE_U)

struct head {
    uint32_t magic, entry, data, end; /* end: of data and bss */
};

extern char boot_table[];
static uint32_t zero_frame;

void vm_init(void)
{
    PDE_OF(0) = 0; /* the lower half is the processes' from now on */
    flush_tlb();
    zero_frame = frame_alloc();
    memset(frame_at(0, zero_frame), 0, PAGE_SIZE);
}

uint32_t vm_zero_frame(void)
{
    return zero_frame;
}

uint32_t vm_new_space(void)
{
    const uint32_t d = frame_alloc();
    uint32_t *e;

    if (!d)
        return 0;
    e = frame_at(0, d);
    memset(e, 0, PAGE_SIZE);
    e[KBASE >> 22] = ((uint32_t)boot_table - KBASE) | PTE_P | PTE_W;
    e[1023] = d | PTE_P | PTE_W;
    return d;
}

void vm_drop_pages(uint32_t start, uint32_t end)
{
    for (uint32_t la = start; la < end; la += PAGE_SIZE) {
        const uint32_t e = PDE_OF(la) & PTE_P ? PTE_OF(la) : 0;
        if (!e)
            continue;
        PTE_OF(la) = 0;
        invlpg(la);
        frame_put(e & PTE_ADDR);
    }
}

void vm_clear(struct proc *p)
{
    for (uint32_t i = 0; i < USER_PDES; i++) {
        const uint32_t la = i << 22, table = PDE_OF(la);
        if (!(table & PTE_P))
            continue;
        for (uint32_t j = 0; j < 1024; j++) {
            const uint32_t e = PTE_OF(la + j * PAGE_SIZE);
            if (e & PTE_P)
                frame_put(e & PTE_ADDR);
        }
        PDE_OF(la) = 0;
        frame_put(table & PTE_ADDR);
    }
    flush_tlb();
    memset(p->region, 0, sizeof p->region);
}

struct region *vm_add(struct proc *p, uint32_t start, uint32_t bytes, bool writable)
{
    const uint32_t end = start + ((bytes + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1));
    struct region *free = NULL;

    if ((start & (PAGE_SIZE - 1)) || end <= start || end > KBASE)
        return NULL;
    for (struct region *r = p->region; r < p->region + REGIONS; r++) {
        if (!r->end)
            free = r;
        else if (start < r->end && r->start < end)
            return NULL;
    }
    if (free)
        *free = (struct region){.start = start, .end = end, .writable = writable};
    return free;
}

bool vm_load(struct proc *p, unsigned program, uint32_t *entry)
{
    const struct program *prog = &programs[program];
    const struct head *h = (const struct head *)prog->bytes;
    struct region *r;

    if (h->magic != TK_MAGIC)
        return false;
    r = vm_add(p, TK_IMAGE, h->data - TK_IMAGE, false);
    r->image = 1;
    r = vm_add(p, h->data, h->end - h->data, true);
    r->image = h->data - TK_IMAGE + 1;
    (void)vm_add(p, TK_STACK_TOP - TK_STACK, TK_STACK, true);
    p->heap_start = p->heap_end = r->end + 16 * PAGE_SIZE;
    *entry = h->entry;
    return true;
}

/* A table for la, if there is none. */
static bool have_table(uint32_t la)
{
    const uint32_t t = PDE_OF(la) & PTE_P ? 0 : frame_alloc();

    if (PDE_OF(la) & PTE_P)
        return true;
    if (!t)
        return false;
    PDE_OF(la) = t | MY_BITS;
    invlpg((uint32_t)&PTE_OF(la & 0xffc00000u));
    memset((void *)&PTE_OF(la & 0xffc00000u), 0, PAGE_SIZE);
    return true;
}

/* A frame with what the page at la begins with. */
static uint32_t first_content(const struct proc *p, const struct region *r, uint32_t la)
{
    const uint32_t f = frame_alloc(), off = r->image - 1 + (la - r->start);
    uint8_t *to;

    if (!f)
        return 0;
    to = frame_at(0, f);
    memset(to, 0, PAGE_SIZE);
    if (r->image) {
        const struct program *prog = &programs[p->program];
        if (off < prog->size)
            memcpy(to, prog->bytes + off,
                   prog->size - off < PAGE_SIZE ? prog->size - off : PAGE_SIZE);
    }
    return f;
}

static enum vm_result absent(const struct proc *p, const struct region *r, uint32_t la, bool write)
{
    uint32_t f = zero_frame;

    if (!r->image && !write) {
        frame_get(f);
        PTE_OF(la) = f | PTE_P | PTE_U;
        return VM_OK;
    }
    f = first_content(p, r, la);
    if (!f)
        return VM_NO_MEMORY;
    PTE_OF(la) = f | PTE_P | PTE_U | (r->writable ? PTE_W : 0);
    return VM_OK;
}

static enum vm_result write_protected(struct proc *p, uint32_t la)
{
    const uint32_t old = PTE_OF(la) & PTE_ADDR;
    uint32_t f;

    if (old != zero_frame && frame_refs(old) == 1) {
        PTE_OF(la) |= PTE_W;
        invlpg(la);
        p->reuses++;
        return VM_OK;
    }
    f = frame_alloc();
    if (!f)
        return VM_NO_MEMORY;
    if (old == zero_frame)
        memset(frame_at(0, f), 0, PAGE_SIZE);
    else
        memcpy(frame_at(0, f), frame_at(1, old), PAGE_SIZE);
    PTE_OF(la) = f | MY_BITS;
    invlpg(la);
    frame_put(old);
    p->copies++;
    return VM_OK;
}

enum vm_result vm_fault(struct proc *p, uint32_t la, uint32_t error)
{
    const struct region *r = NULL;
    const bool write = error & PF_W;

    la &= PTE_ADDR;
    p->faults++;
    for (const struct region *i = p->region; i < p->region + REGIONS; i++)
        if (la >= i->start && la < i->end)
            r = i;
    if (!r || (write && !r->writable))
        return VM_BAD;
    if (!have_table(la))
        return VM_NO_MEMORY;
    /* The error code must be what the tables say. */
    if (((PTE_OF(la) & PTE_P) != 0) != ((error & PF_P) != 0) || (error & PF_RSVD))
        rt_panic("error code %x at %08x, whose PTE is %08x", error, la, PTE_OF(la));
    if (!(error & PF_P))
        return absent(p, r, la, write);
    if (!write || (PTE_OF(la) & PTE_W))
        rt_panic("error code %x at %08x for nothing: PTE %08x", error, la, PTE_OF(la));
    return write_protected(p, la);
}

static void undo_fork(uint32_t upto)
{
    for (uint32_t i = 0; i < upto; i++) {
        const uint32_t la = i << 22, table = OTHER_PDE_OF(la);
        if (!(table & PTE_P))
            continue;
        for (uint32_t j = 0; j < 1024; j++)
            if (OTHER_PTE_OF(la + j * PAGE_SIZE) & PTE_P)
                frame_put(OTHER_PTE_OF(la + j * PAGE_SIZE) & PTE_ADDR);
        OTHER_PDE_OF(la) = 0;
        frame_put(table & PTE_ADDR);
    }
}

static void share_table(uint32_t la)
{
    for (uint32_t end = la + 0x400000; la != end; la += PAGE_SIZE) {
        uint32_t e = PTE_OF(la);
        if (!(e & PTE_P)) {
            OTHER_PTE_OF(la) = 0;
            continue;
        }
        if (e & PTE_W) {
            e &= ~PTE_W;
            PTE_OF(la) = e;
        }
        OTHER_PTE_OF(la) = e & ~(PTE_A | PTE_D);
        frame_get(e & PTE_ADDR);
    }
}

bool vm_fork(uint32_t directory)
{
    bool good = true;

    PDE_OF(OTHER) = directory | PTE_P | PTE_W;
    flush_tlb();
    for (uint32_t i = 0; i < USER_PDES && good; i++) {
        const uint32_t la = i << 22;
        uint32_t table;
        if (!(PDE_OF(la) & PTE_P))
            continue;
        table = frame_alloc();
        if (table) {
            OTHER_PDE_OF(la) = table | MY_BITS;
            share_table(la);
        } else {
            undo_fork(i);
            good = false;
        }
    }
    PDE_OF(OTHER) = 0;
    flush_tlb(); /* our own pages have become read-only, and the window is gone */
    return good;
}

void vm_protect(struct region *r, bool writable)
{
    r->writable = writable;
    if (writable)
        return; /* each page becomes writable when it is written, copied where it is shared */
    for (uint32_t la = r->start; la < r->end; la += PAGE_SIZE) {
        if (!(PDE_OF(la) & PTE_P) || !(PTE_OF(la) & PTE_W))
            continue;
        PTE_OF(la) &= ~PTE_W;
        invlpg(la);
    }
}

void vm_count(uint32_t directory, uint16_t *count)
{
    const uint32_t *d = frame_at(0, directory);

    count[directory / PAGE_SIZE]++;
    for (uint32_t i = 0; i < USER_PDES; i++) {
        const uint32_t *t;
        if (!(d[i] & PTE_P))
            continue;
        count[d[i] / PAGE_SIZE]++;
        t = frame_at(1, d[i] & PTE_ADDR);
        for (uint32_t j = 0; j < 1024; j++)
            if (t[j] & PTE_P)
                count[t[j] / PAGE_SIZE]++;
    }
}
