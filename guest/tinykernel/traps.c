/* Descriptor tables, the interrupt controllers and the timer, and what is done about a trap. */
#include "guest/tinykernel/kernel.h"

enum { PIC1 = 0x20, PIC2 = 0xa0, PIT = 0x40, IRQ_BASE = 0x20, HZ = 200 };

struct pointer {
    uint16_t limit;
    uint32_t base;
} __attribute__((packed));

struct tss {
    uint32_t link, esp0, ss0, rest[22];
    uint16_t trap, iomap;
};

extern const uint32_t trap_entries[48];
extern char syscall_entry[], user_copy_end[], user_copy_failed[];
static uint32_t gdt[6][2] __attribute__((aligned(8)));
static uint32_t idt[0x81][2] __attribute__((aligned(8)));
static struct tss tss = {.ss0 = 0x10, .iomap = sizeof tss};
volatile uint32_t ticks;

static void set_gate(unsigned vector, uint32_t at, uint32_t dpl)
{
    idt[vector][0] = 0x80000u | (at & 0xffff);
    idt[vector][1] = (at & 0xffff0000u) | 0x8e00u | dpl << 13;
}

static void load_tables(void)
{
    static const uint32_t flat[6][2] = {
        {0, 0}, {0xffff, 0xcf9b00}, {0xffff, 0xcf9300}, {0xffff, 0xcffb00}, {0xffff, 0xcff300}};
    const struct pointer gdtr = {sizeof gdt - 1, (uint32_t)gdt},
                         idtr = {sizeof idt - 1, (uint32_t)idt};
    const uint32_t base = (uint32_t)&tss;

    memcpy(gdt, flat, sizeof gdt);
    gdt[5][0] = base << 16 | (sizeof tss - 1);
    gdt[5][1] = (base & 0xff000000u) | 0x8900u | (base >> 16 & 0xff);
    for (unsigned i = 0; i < 48; i++)
        set_gate(i, trap_entries[i], 0);
    set_gate(0x80, (uint32_t)syscall_entry, 3);
    __asm__ volatile("lgdt %0; ljmp $0x08, $1f\n"
                     "1: mov %2, %%ds; mov %2, %%es; mov %2, %%ss; lidt %1; ltr %w3"
                     :
                     : "m"(gdtr), "m"(idtr), "r"(0x10), "r"(0x28)
                     : "memory");
}

/* ICW1 to ICW4: cascade on line 2, vectors from IRQ_BASE; all lines masked but the timer's. */
static void start_timer(void)
{
    const uint32_t divisor = 1193182u / HZ;

    outb(PIC1, 0x11);
    outb(PIC2, 0x11);
    outb(PIC1 + 1, IRQ_BASE);
    outb(PIC2 + 1, IRQ_BASE + 8);
    outb(PIC1 + 1, 4);
    outb(PIC2 + 1, 2);
    outb(PIC1 + 1, 1);
    outb(PIC2 + 1, 1);
    outb(PIC1 + 1, 0xfe);
    outb(PIC2 + 1, 0xff);
    outb(PIT + 3, 0x34); /* channel 0, both bytes, mode 2 */
    outb(PIT, (uint8_t)divisor);
    outb(PIT, (uint8_t)(divisor >> 8));
}

void traps_init(void)
{
    load_tables();
    start_timer();
}

void traps_set_stack(uint32_t esp0)
{
    tss.esp0 = esp0;
}

static _Noreturn void unexpected(const struct frame *f, uint32_t cr2)
{
    rt_panic("trap %u error %x in the kernel at %08x, CR2 %08x, process %u", f->vector, f->error,
             f->eip, cr2, current ? current->pid : 0);
}

static void page_fault(struct frame *f, uint32_t cr2)
{
    const bool user = (f->cs & 3) == 3;
    const bool copying = f->eip >= (uint32_t)user_copy && f->eip < (uint32_t)user_copy_end;
    enum vm_result r = VM_BAD;

    if (user != ((f->error & PF_U) != 0))
        rt_panic("error code %x for an access from ring %u", f->error, f->cs & 3);
    if (!user && !copying)
        unexpected(f, cr2);
    if (cr2 < KBASE)
        r = vm_fault(current, cr2, f->error);
    if (r == VM_OK)
        return;
    if (copying)
        f->eip = (uint32_t)user_copy_failed;
    else
        proc_exit(TK_KILLED | (r == VM_NO_MEMORY ? TK_NO_MEMORY : TK_BY_FAULT));
}

static void timer(const struct frame *f)
{
    ticks++;
    outb(PIC1, 0x20);
    proc_tick();
    if ((f->cs & 3) != 3)
        return; /* the kernel was idle */
    current->preemptions++;
    proc_yield();
    if (current->killed)
        proc_exit(TK_KILLED | TK_BY_KILL);
}

void trap(struct frame *f)
{
    const uint32_t cr2 = f->vector == V_PF ? read_cr2() : 0;

    switch (f->vector) {
    case V_PF: page_fault(f, cr2); break;
    case IRQ_BASE: timer(f); break;
    case IRQ_BASE + 7: break; /* spurious */
    case 0x80: syscall(f); break;
    default:
        if ((f->cs & 3) != 3)
            unexpected(f, cr2);
        proc_exit(TK_KILLED | TK_BY_TRAP);
    }
}
