/* See trap.h. */
#include "guest/rt/trap.h"

#define GATE_INT32 0x8e00u
#define GATE_USER  0x6000u
#define GATE_TASK  0x8500u
#define TRAP_STACK 8192u

struct pointer {
    uint16_t limit;
    uint32_t base;
} __attribute__((packed));

extern const uint32_t trap_entries[256];
extern const uint32_t trap_fixups[][2], trap_fixups_end[];
extern char try_failed[], try_fetch_landing[];
extern char user_read_code[], user_write_code[], user_fetch_code[], user_fetch_landing[];
unsigned ring3_go(struct ring3 *r);
_Noreturn void ring3_leave(unsigned vector);
void trap_dispatch(struct trap_frame *f);

static uint32_t gdt[8][2] __attribute__((aligned(8)));
static uint32_t idt[256][2] __attribute__((aligned(8)));
static struct tss tss, df_tss;
static uint8_t trap_stack[TRAP_STACK] __attribute__((aligned(16)));
static uint8_t df_stack[TRAP_STACK] __attribute__((aligned(16)));
static trap_handler handlers[256];
static struct fault last;
static struct ring3 *excursion;

void trap_set_desc(unsigned sel, uint32_t low, uint32_t high)
{
    gdt[sel >> 3][0] = low;
    gdt[sel >> 3][1] = high;
}

void trap_set_gate(unsigned vector, uint32_t low, uint32_t high)
{
    idt[vector][0] = low;
    idt[vector][1] = high;
}

static void set_tss_desc(unsigned sel, const struct tss *t)
{
    const uint32_t base = (uint32_t)t;
    trap_set_desc(sel, base << 16 | (sizeof *t - 1),
                  (base & 0xff000000u) | 0x8900u | (base >> 16 & 0xff));
}

void trap_init(void)
{
    const struct pointer gdtr = {sizeof gdt - 1, (uint32_t)gdt};
    const struct pointer idtr = {sizeof idt - 1, (uint32_t)idt};

    trap_set_desc(SEL_KCODE, 0x0000ffff, 0x00cf9b00);
    trap_set_desc(SEL_KDATA, 0x0000ffff, 0x00cf9300);
    trap_set_desc(SEL_UCODE, 0x0000ffff, 0x00cffb00);
    trap_set_desc(SEL_UDATA, 0x0000ffff, 0x00cff300);
    tss = (struct tss){
        .esp0 = (uint32_t)trap_stack + TRAP_STACK, .ss0 = SEL_KDATA, .iomap = sizeof tss};
    set_tss_desc(SEL_TSS, &tss);
    for (unsigned i = 0; i < 256; i++)
        trap_set_gate(i, (uint32_t)SEL_KCODE << 16 | (trap_entries[i] & 0xffff),
                      (trap_entries[i] & 0xffff0000u) | GATE_INT32 |
                          (i == VEC_SYSCALL ? GATE_USER : 0));
    __asm__ volatile("lgdt %0\n\t"
                     "ljmp $0x08, $1f\n"
                     "1:\tmov %2, %%ds\n\tmov %2, %%es\n\tmov %2, %%fs\n\tmov %2, %%gs\n\t"
                     "mov %2, %%ss\n\t"
                     "lidt %1\n\t"
                     "ltr %w3"
                     :
                     : "m"(gdtr), "m"(idtr), "r"(SEL_KDATA), "r"(SEL_TSS)
                     : "memory");
}

struct tss *trap_tss(void)
{
    return &tss;
}

void trap_handle(unsigned vector, trap_handler h)
{
    handlers[vector] = h;
}

void trap_task_gate(unsigned vector, void (*fn)(void))
{
    df_tss = (struct tss){.cr3 = read_cr3(),
                          .eip = (uint32_t)fn,
                          .eflags = EFLAGS_ONE,
                          .esp = (uint32_t)df_stack + TRAP_STACK - 16,
                          .es = SEL_KDATA,
                          .cs = SEL_KCODE,
                          .ss = SEL_KDATA,
                          .ds = SEL_KDATA,
                          .iomap = sizeof df_tss};
    tss.cr3 = df_tss.cr3; /* a switch loads it and never saves it */
    set_tss_desc(SEL_DF_TSS, &df_tss);
    trap_set_gate(vector, SEL_DF_TSS << 16, GATE_TASK);
}

const struct fault *trap_last(void)
{
    return &last;
}

void trap_forget(void)
{
    last = (struct fault){0};
}

bool trap_was_pf(uint32_t error, uint32_t cr2)
{
    const struct trap_frame *f = &last.at;

    if (last.taken && f->vector == V_PF && f->error == error && last.cr2 == cr2)
        return true;
    if (!last.taken)
        tap_note("no fault where #PF(%x) at %08x was due", error, cr2);
    else
        tap_note("fault %u error %x at %08x, CR2 %08x; due was #PF(%x) at %08x", f->vector,
                 f->error, f->eip, last.cr2, error, cr2);
    return false;
}

static uint32_t fix_of(const struct trap_frame *f)
{
    for (const uint32_t(*p)[2] = trap_fixups; (const uint32_t *)p != (const void *)trap_fixups_end;
         p++)
        if ((*p)[0] == f->eip)
            return (*p)[1];
    /* A fetch by try_fetch faults at its target, which ECX still names. */
    if (f->edx == (uint32_t)try_fetch_landing && f->ecx == f->eip)
        return (uint32_t)try_failed;
    return 0;
}

static void end_excursion(const struct trap_frame *f)
{
    struct ring3 *r = excursion;

    *r = (struct ring3){f->eax, f->ecx, f->edx, f->ebx, f->esi,
                        f->edi, f->ebp, f->eip, f->esp, f->eflags};
    excursion = NULL;
    ring3_leave(f->vector);
}

void trap_dispatch(struct trap_frame *f)
{
    const uint32_t cr2 = f->vector == V_PF ? read_cr2() : 0;
    const bool user = (f->cs & 3) == 3;
    uint32_t fix;

    if (handlers[f->vector] && handlers[f->vector](f))
        return;
    last.taken = true;
    last.count++;
    last.cr2 = cr2;
    memcpy(&last.at, f, user ? sizeof *f : offsetof(struct trap_frame, esp));
    if (user && excursion)
        end_excursion(f);
    fix = user ? 0 : fix_of(f);
    if (!fix)
        rt_panic("trap %u error %x at %04x:%08x CR2 %08x eax %08x ecx %08x edx %08x esp %p",
                 f->vector, f->error, f->cs, f->eip, cr2, f->eax, f->ecx, f->edx, (void *)f);
    f->eip = fix;
}

unsigned ring3_run(struct ring3 *r)
{
    excursion = r;
    return ring3_go(r);
}

static bool user_access(const char *code, uint32_t la, uint32_t *v)
{
    struct ring3 r = {.eax = v ? *v : 0,
                      .ecx = la,
                      .edx = (uint32_t)user_fetch_landing,
                      .eip = (uint32_t)code,
                      .eflags = EFLAGS_ONE};

    if (ring3_run(&r) != VEC_SYSCALL)
        return false;
    last.taken = false;
    if (v)
        *v = r.eax;
    return true;
}

bool user_read(uint32_t la, uint32_t *v)
{
    return user_access(user_read_code, la, v);
}

bool user_write(uint32_t la, uint32_t v)
{
    return user_access(user_write_code, la, &v);
}

bool user_fetch(uint32_t la)
{
    return user_access(user_fetch_code, la, NULL);
}
