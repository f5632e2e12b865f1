/* See machine.h. */
#include <cpuid.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/cpu/cpuid.h"
#include "vmm/cpu/msr.h"
#include "vmm/kvm/machine.h"

extern const uint8_t kvm_stub_start[], kvm_stub_end[];

enum { SLOT_POOL, SLOT_ARENA, SLOT_MONITOR };

static uint64_t *mon_table(struct machine *m, unsigned page)
{
    return (uint64_t *)(void *)(m->mon + page * PAGE_SIZE);
}

/* --- the monitor's pages --------------------------------------------------------------------- */

static void build_idt(struct machine *m)
{
    uint64_t *idt = mon_table(m, MON_IDT);
    for (unsigned v = 0; v < 256; v++) {
        const uint64_t to = MON_LA + (v < 32 ? STUB_VECTORS + v * 16u : STUB_OTHER);
        /* 64-bit interrupt gate, DPL 0: INT n from CPL 3 traps instead of going through it */
        idt[2 * v] = (to & 0xffff) | ((uint64_t)SEL_STUB_CS << 16) | (0x8e00ull << 32) |
                     ((to >> 16 & 0xffff) << 48);
        idt[2 * v + 1] = to >> 32;
    }
}

static void build_tss(struct machine *m)
{
    uint8_t *tss = m->mon + MON_TSS * PAGE_SIZE;
    const uint64_t rsp0 = MON_STACK_TOP;
    const uint16_t io_map = 0x68; /* beyond the limit: no port is open to CPL 3 */
    memcpy(tss + 4, &rsp0, sizeof rsp0);
    memcpy(tss + 0x66, &io_map, sizeof io_map);
}

static void build_gdt(struct machine *m)
{
    uint64_t *gdt = mon_table(m, MON_GDT);
    const uint64_t tss = MON_PAGE_LA(MON_TSS);
    gdt[SEL_STUB_CS / 8] = 0x00209b0000000000; /* 64-bit code, DPL 0, accessed */
    gdt[SEL_STUB_TSS / 8] =
        0x67 | (tss & 0xffffff) << 16 | 0x8bull << 40 | (tss >> 24 & 0xff) << 56;
    gdt[SEL_STUB_TSS / 8 + 1] = tss >> 32;
}

/* The high half: the monitor's pages by 4 KiB, the window on the arena by 2 MiB; supervisor only
 * (I6). */
static void build_tables(struct machine *m, const struct arena *arena)
{
    const uint64_t bits = SPTE_P | SPTE_W | SPTE_A;
    uint64_t *pdpt = mon_table(m, MON_PDPT), *pd = mon_table(m, MON_PD);
    uint64_t *pt = mon_table(m, MON_PT), *win = mon_table(m, MON_WINPD);

    pdpt[0] = MON_PAGE_MPA(MON_PD) | bits;
    pdpt[1] = MON_PAGE_MPA(MON_WINPD) | bits;
    pd[0] = MON_PAGE_MPA(MON_PT) | bits;
    for (unsigned i = 0; i < MON_PAGES; i++)
        pt[i] = MON_PAGE_MPA(i) | bits | SPTE_D;
    for (uint64_t at = 0; at < arena_bytes(arena); at += 2u << 20)
        win[at >> 21] = (ARENA_MPA + at) | bits | SPTE_D | SPTE_PS;
}

static int build_monitor(struct machine *m, const struct arena *arena)
{
    m->mon = mmap(NULL, MON_PAGES * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                  -1, 0);
    if (m->mon == MAP_FAILED) {
        m->mon = NULL;
        return -ENOMEM;
    }
    // cppcheck-suppress comparePointers ; the linker's symbols, of one section
    memcpy(m->mon + MON_STUB * PAGE_SIZE, kvm_stub_start, (size_t)(kvm_stub_end - kvm_stub_start));
    build_idt(m);
    build_tss(m);
    build_gdt(m);
    build_tables(m, arena);
    return 0;
}

spte_t machine_monitor_half(void)
{
    return (spte_t){MON_PAGE_MPA(MON_PDPT) | SPTE_P | SPTE_W | SPTE_A};
}

/* --- descriptors ----------------------------------------------------------------------------- */

void machine_set_desc(struct machine *m, uint16_t sel, const struct seg *seg)
{
    uint64_t *table = mon_table(m, (sel & 4) ? MON_LDT : MON_GDT);
    const bool granular = seg->limit > 0xfffff;
    const uint64_t limit = granular ? seg->limit >> 12 : seg->limit;
    const uint64_t base = seg->base;
    /* the A bit is preset, and L never set: the guest must not find its way into 64-bit mode */
    const uint64_t attr =
        (seg->attr & (SA_TYPE | SA_S | SA_P | SA_AVL | SA_DB)) | SA_DPL | SA_ACCESSED;

    table[sel >> 3] = (limit & 0xffff) | (base & 0xffffff) << 16 | attr << 40 |
                      (limit >> 16 & 0xf) << 48 | (granular ? 1ull << 55 : 0) | (base >> 24) << 56;
}

void machine_seg_to_kvm(const struct seg *seg, struct kvm_segment *k)
{
    const bool usable = (seg->attr & SA_P) != 0;
    *k = (struct kvm_segment){
        .base = seg->base,
        .limit = usable ? seg->limit : 0,
        .selector = seg->sel,
        .type = usable ? (seg->attr & SA_TYPE) | SA_ACCESSED : 0,
        .present = usable,
        .dpl = 3, /* guest code runs at CPL 3, IRETQ would take away anything more privileged */
        .db = (seg->attr & SA_DB) != 0,
        .s = 1,
        .g = usable && seg->limit > 0xfffff,
        .avl = (seg->attr & SA_AVL) != 0,
        .unusable = !usable,
    };
}

void machine_stub_segments(struct kvm_sregs *s)
{
    s->cs = (struct kvm_segment){.limit = UINT32_MAX,
                                 .selector = SEL_STUB_CS,
                                 .type = 11,
                                 .present = 1,
                                 .l = 1,
                                 .s = 1,
                                 .g = 1};
    s->ss = (struct kvm_segment){.unusable = 1};
}

/* --- the VM ---------------------------------------------------------------------------------- */

static int add_slot(struct machine *m, unsigned slot, uint64_t mpa, void *host, uint64_t bytes)
{
    struct kvm_userspace_memory_region r = {.slot = slot,
                                            .guest_phys_addr = mpa,
                                            .memory_size = bytes,
                                            .userspace_addr = (uintptr_t)host};
    return ioctl(m->vm_fd, KVM_SET_USER_MEMORY_REGION, &r) < 0 ? -errno : 0;
}

/* SDM vol. 4: bit 31 of the first says that CPUID can fault, bit 0 of the second makes it fault. */
#define MSR_PLATFORM_INFO 0xce
#define MSR_MISC_FEATURES 0x140

static bool set_msr(struct machine *m, uint32_t index, uint64_t data)
{
    _Alignas(struct kvm_msrs)
        uint8_t buf[sizeof(struct kvm_msrs) + sizeof(struct kvm_msr_entry)] = {0};
    struct kvm_msrs *msrs = (struct kvm_msrs *)(void *)buf;
    msrs->nmsrs = 1;
    msrs->entries[0] = (struct kvm_msr_entry){.index = index, .data = data};
    return ioctl(m->vcpu_fd, KVM_SET_MSRS, msrs) == 1;
}

/* The vCPU is told what the host supports; what the guest sees is the monitor's policy, because
 * CPUID at CPL 3 is made to fault where the host can. */
static int set_cpuid(const struct kvm_host *h, struct machine *m)
{
    const unsigned n = 256;
    struct kvm_cpuid2 *c = calloc(1, sizeof *c + n * sizeof c->entries[0]);
    if (!c)
        return -ENOMEM;
    c->nent = n;
    int rc = ioctl(h->fd, KVM_GET_SUPPORTED_CPUID, c) < 0 ? -errno : 0;
    if (!rc)
        rc = ioctl(m->vcpu_fd, KVM_SET_CPUID2, c) < 0 ? -errno : 0;
    free(c);

    if (!rc)
        m->cpuid_faults =
            set_msr(m, MSR_PLATFORM_INFO, 1ull << 31) && set_msr(m, MSR_MISC_FEATURES, 1);
    return rc;
}

static int set_sregs(const struct kvm_host *h, struct machine *m)
{
    struct kvm_sregs s;
    if (ioctl(m->vcpu_fd, KVM_GET_SREGS, &s) < 0)
        return -errno;
    machine_stub_segments(&s);
    const struct kvm_segment none = {.unusable = 1};
    s.ds = s.es = s.fs = s.gs = none;
    s.tr = (struct kvm_segment){.base = MON_PAGE_LA(MON_TSS),
                                .limit = 0x67,
                                .selector = SEL_STUB_TSS,
                                .type = 11,
                                .present = 1};
    s.ldt = (struct kvm_segment){
        .base = MON_PAGE_LA(MON_LDT), .limit = 0xffff, .type = 2, .present = 1};
    s.gdt = (struct kvm_dtable){.base = MON_PAGE_LA(MON_GDT), .limit = 0xffff};
    s.idt = (struct kvm_dtable){.base = MON_PAGE_LA(MON_IDT), .limit = 0xfff};
    s.cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_PG;
    s.cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT | (h->umip ? (unsigned)CR4_UMIP : 0);
    s.cr3 = ARENA_MPA; /* page 0: shadow_home() */
    s.efer = EFER_LME | EFER_LMA | (h->nx ? (unsigned)EFER_NXE : 0);
    if (ioctl(m->vcpu_fd, KVM_SET_SREGS, &s) < 0) {
        if (!h->umip)
            return -errno;
        s.cr4 &= ~(uint64_t)CR4_UMIP;
        if (ioctl(m->vcpu_fd, KVM_SET_SREGS, &s) < 0)
            return -errno;
    }
    m->umip = (s.cr4 & CR4_UMIP) != 0;
    // NOLINTNEXTLINE(clang-analyzer-core.NullDereference): a vCPU without its page is refused
    m->run->kvm_valid_regs = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS;
    m->run->s.regs.sregs = s;
    return 0;
}

static void read_tsc(struct machine *m)
{
    const int khz = ioctl(m->vcpu_fd, KVM_GET_TSC_KHZ);
    uint32_t a, b, c, d = 0;
    const bool steady = __get_cpuid(0x80000007u, &a, &b, &c, &d) && (d & CPUID_87_EDX_INVARIANT);
    m->tsc_khz = khz > 0 && steady ? (uint32_t)khz : 0;
    _Alignas(struct kvm_msrs)
        uint8_t buf[sizeof(struct kvm_msrs) + sizeof(struct kvm_msr_entry)] = {0};
    struct kvm_msrs *msrs = (struct kvm_msrs *)(void *)buf;
    msrs->nmsrs = 1;
    msrs->entries[0].index = MSR_TSC;
    const uint64_t before = __builtin_ia32_rdtsc();
    if (ioctl(m->vcpu_fd, KVM_GET_MSRS, msrs) == 1)
        m->tsc_offset = msrs->entries[0].data - (before + __builtin_ia32_rdtsc()) / 2;
}

static int create_vcpu(const struct kvm_host *h, struct machine *m)
{
    m->vcpu_fd = ioctl(m->vm_fd, KVM_CREATE_VCPU, 0);
    if (m->vcpu_fd < 0)
        return -errno;
    const int size = ioctl(h->fd, KVM_GET_VCPU_MMAP_SIZE, 0);
    if (size < (int)sizeof *m->run)
        return size < 0 ? -errno : -EINVAL;
    m->run_size = (size_t)size;
    m->run = mmap(NULL, m->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, m->vcpu_fd, 0);
    if (m->run == MAP_FAILED) {
        m->run = NULL;
        return -errno;
    }
    read_tsc(m);
    return set_cpuid(h, m);
}

int machine_create(const struct kvm_host *h, struct pool *pool, struct arena *arena,
                   struct machine *m, struct errmsg *err)
{
    const char *what = "create a VM";
    *m = (struct machine){.vm_fd = -1, .vcpu_fd = -1};
    do /* takes long enough for signals to come in between */
        m->vm_fd = ioctl(h->fd, KVM_CREATE_VM, 0);
    while (m->vm_fd < 0 && errno == EINTR);
    int rc = m->vm_fd < 0 ? -errno : 0;
    if (!rc) {
        what = "build the monitor's pages";
        rc = build_monitor(m, arena);
    }
    if (!rc) {
        what = "give it the frame pool";
        rc = add_slot(m, SLOT_POOL, 0, pool_base(pool), pool_bytes(pool));
    }
    if (!rc) {
        what = "give it the table arena";
        rc = add_slot(m, SLOT_ARENA, ARENA_MPA, arena->base, arena_bytes(arena));
    }
    if (!rc) {
        what = "give it the monitor's pages";
        rc = add_slot(m, SLOT_MONITOR, MON_MPA, m->mon, MON_PAGES * PAGE_SIZE);
    }
    if (!rc) {
        what = "create its vCPU";
        rc = create_vcpu(h, m);
    }
    if (!rc) {
        what = "bring its vCPU into long mode";
        rc = set_sregs(h, m);
    }
    if (!rc)
        return 0;
    machine_destroy(m);
    return err_set(err, rc, "kvm: cannot %s: %s; use --engine soft", what, strerror(-rc));
}

void machine_destroy(struct machine *m)
{
    if (m->run)
        munmap(m->run, m->run_size);
    if (m->vcpu_fd >= 0)
        close(m->vcpu_fd);
    if (m->vm_fd >= 0)
        close(m->vm_fd);
    if (m->mon)
        munmap(m->mon, MON_PAGES * PAGE_SIZE);
    *m = (struct machine){.vm_fd = -1, .vcpu_fd = -1};
}
