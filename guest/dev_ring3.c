/*
 * What kernels other than Linux build on: port I/O in ring 3 by IOPL and by the TSS's bitmap,
 * segments with a base and a limit, hardware task switches. Paging stays off.
 */
#include "guest/rt/trap.h"

#define CR0_TS 0x8u

/* --- ports in ring 3 --- */

__asm__(".pushsection .user, \"ax\"\n"
        "user_in8: inb %dx, %al\n\tint $0x80\n"
        "user_in16: inw %dx, %ax\n\tint $0x80\n"
        "user_in32: inl %dx, %eax\n\tint $0x80\n"
        "user_out8: outb %al, %dx\n\tint $0x80\n"
        "user_ins8: insb\n\tint $0x80\n"
        "user_cli: cli\n\tsti\n\tint $0x80\n"
        ".popsection");
extern char user_in8[], user_in16[], user_in32[], user_out8[], user_ins8[], user_cli[];

#define MAP_BYTES 8192u
static struct {
    struct tss tss;
    uint8_t map[MAP_BYTES + 1]; /* the last byte is all ones, as the manual asks */
} io_tss;

static uint8_t in_buffer[4];

static bool ring3(const char *code, uint16_t port, unsigned iopl)
{
    struct ring3 r = {.edx = port,
                      .edi = (uint32_t)in_buffer,
                      .eip = (uint32_t)code,
                      .eflags = EFLAGS_ONE | iopl << 12};
    const unsigned vector = ring3_run(&r);
    const struct trap_frame *f = &trap_last()->at;

    if (vector == VEC_SYSCALL)
        return true;
    if (vector != V_GP || f->error || f->eip != (uint32_t)code)
        tap_note("vector %u error %x at %08x, due was #GP(0) at %p", vector, f->error, f->eip,
                 code);
    return false;
}

static void allow(unsigned port, bool yes)
{
    const uint8_t bit = (uint8_t)(1u << (port & 7));
    io_tss.map[port / 8] =
        (uint8_t)(yes ? io_tss.map[port / 8] & ~bit : io_tss.map[port / 8] | bit);
}

static void use_map(uint32_t limit)
{
    const uint32_t base = (uint32_t)&io_tss;

    trap_set_desc(SEL_FREE, base << 16 | (limit & 0xffff),
                  (base & 0xff000000u) | 0x8900u | (base >> 16 & 0xff));
    __asm__ volatile("ltr %w0" : : "r"(SEL_FREE) : "memory");
}

static void ports(void)
{
    tap_ok(!ring3(user_in8, 0x61, 0) && !ring3(user_out8, 0x80, 0), "no IOPL, no bitmap: no port");
    tap_ok(ring3(user_in8, 0x61, 3) && ring3(user_out8, 0x80, 3) && ring3(user_ins8, 0x61, 3),
           "IOPL 3: every port");
    tap_ok(ring3(user_cli, 0, 3) && !ring3(user_cli, 0, 0), "and CLI and STI with it");

    io_tss.tss = *trap_tss();
    io_tss.tss.iomap = sizeof io_tss.tss;
    memset(io_tss.map, 0xff, sizeof io_tss.map);
    use_map(sizeof io_tss - 1);
    tap_ok(!ring3(user_in8, 0x61, 0), "a bitmap that allows nothing");
    allow(0x61, true);
    allow(0x80, true);
    tap_ok(ring3(user_in8, 0x61, 0) && ring3(user_out8, 0x80, 0) && ring3(user_ins8, 0x61, 0) &&
               !ring3(user_in8, 0x60, 0) && !ring3(user_in8, 0x62, 0),
           "its ports and no others");
    tap_ok(!ring3(user_in16, 0x80, 0), "a word needs two bits");
    allow(0x81, true);
    tap_ok(ring3(user_in16, 0x80, 0) && !ring3(user_in32, 0x80, 0), "and is allowed with them");
    for (unsigned p = 0x4d6; p < 0x4da; p++)
        allow(p, true);
    tap_ok(ring3(user_in32, 0x4d6, 0) && !ring3(user_in32, 0x4d7, 0) && !ring3(user_in32, 0x4d5, 0),
           "a dword whose bits lie in two bytes");
    allow(0xffff, true);
    tap_ok(ring3(user_in8, 0xffff, 0), "the last port");
    use_map(sizeof io_tss.tss + 0x61 / 8);
    tap_ok(!ring3(user_in8, 0x61, 0), "a map that ends within the two bytes that are read");
    use_map(sizeof io_tss.tss + 0x61 / 8 + 1);
    tap_ok(ring3(user_in8, 0x61, 0) && !ring3(user_in8, 0x80, 0), "a short map");
}

/* --- segments --- */

static uint32_t words[4] = {0x11111111, 0x22222222, 0x33333333, 0x44444444};

static void set_segment(uint32_t base, uint32_t limit, uint32_t flags)
{
    trap_set_desc(SEL_FREE, base << 16 | (limit & 0xffff),
                  (base & 0xff000000u) | (limit & 0xf0000) | flags | (base >> 16 & 0xff));
    __asm__ volatile("mov %0, %%fs" : : "r"(SEL_FREE) : "memory");
}

static __attribute__((noinline)) bool fs_read(uint32_t off, uint32_t *v)
{
    uint32_t ok = 0;
    trap_forget();
    __asm__ volatile(TRAP_FIX("10f", "11f") "10: movl %%fs:(%2), %0\n\tmovl $1, %1\n11:"
                     : "=&r"(*v), "+&r"(ok)
                     : "r"(off)
                     : "memory");
    return ok;
}

static __attribute__((noinline)) bool fs_write(uint32_t off, uint32_t v)
{
    uint32_t ok = 0;
    trap_forget();
    __asm__ volatile(TRAP_FIX("20f", "21f") "20: movl %2, %%fs:(%1)\n\tmovl $1, %0\n21:"
                     : "+&r"(ok)
                     : "r"(off), "r"(v)
                     : "memory");
    return ok;
}

static bool was_gp(void)
{
    return trap_last()->taken && trap_last()->at.vector == V_GP && trap_last()->at.error == 0;
}

static void bases(void)
{
    const uint32_t at = (uint32_t)words;
    uint32_t v = 0;

    set_segment(at, 15, 0x409200);
    tap_ok(fs_read(12, &v) && v == 0x44444444, "a base, and the last dword within the limit");
    tap_ok(fs_write(4, 0x55555555) && words[1] == 0x55555555, "writes go there as well");
    set_segment(0xc0000000, 0xfffff, 0xc09200);
    tap_ok(fs_read(0x40000000 + at, &v) && v == 0x11111111, "a base of 3 GiB: addresses wrap");
    __asm__ volatile("mov %0, %%fs" : : "r"(SEL_KDATA) : "memory");
}

static void limits(void)
{
    const uint32_t at = (uint32_t)words;
    uint32_t v = 0;

    set_segment(at, 15, 0x409200);
    tap_ok(!fs_read(13, &v) && was_gp(), "one byte beyond the limit");
    tap_ok(!fs_write(16, 1) && was_gp() && !fs_read(0xfffffffe, &v) && was_gp(), "far beyond it");
    set_segment(at, 15, 0x409000);
    tap_ok(fs_read(0, &v) && !fs_write(0, 1) && was_gp(), "read-only");
    set_segment(at - 0x100, 0xff, 0x409600);
    tap_ok(fs_read(0x100, &v) && v == 0x11111111 && !fs_read(0xff, &v) && was_gp() &&
               !fs_read(0, &v) && was_gp(),
           "expand-down: above the limit, not below");
    set_segment(0x00100000, 0x00fff, 0xc09200); /* 4 KiB units: 16 MiB */
    tap_ok(fs_read(at - 0x100000, &v) && v == 0x11111111 && !fs_read(0x1000000, &v) && was_gp(),
           "a limit in pages");
    __asm__ volatile("mov %0, %%fs" : : "r"(SEL_KDATA) : "memory");
}

/* A code segment with a base: called far, as a kernel linked at its base's offset would be. */
__asm__("based: movl $0x1234, %eax\n\tcall 1f\n\tlret\n1: addl $1, %eax\n\tret\n");
extern char based[];

static void code_segment(void)
{
    const uint32_t base = (uint32_t)based & ~0xffu;
    struct {
        uint32_t off;
        uint16_t sel;
    } __attribute__((packed)) to = {(uint32_t)based - base, SEL_FREE};
    uint32_t v;

    trap_set_desc(SEL_FREE, base << 16 | 0x0fff,
                  (base & 0xff000000u) | 0x409a00u | (base >> 16 & 0xff));
    __asm__ volatile("lcall *%1" : "=a"(v) : "m"(to) : "memory", "cc");
    tap_ok(v == 0x1235, "a code segment with a base of its own");
}

/* --- tasks --- */

static volatile uint32_t runs, seen_link, seen_flags;
static struct tss other;
static uint8_t other_stack[4096] __attribute__((aligned(16)));
void task_note(uint32_t flags);

void task_note(uint32_t flags)
{
    runs++;
    seen_link = other.link & 0xffff;
    seen_flags = flags;
}

/* Jumps back the first time, then is called and returns. */
__asm__("other_task:\n\tpushfl\n\tcall task_note\n\taddl $4, %esp\n\tmovl $0x0bad0bad, %ebx\n\t"
        "movl %ebx, %esi\n\tljmp $0x28, $0\n"
        "1:\tpushfl\n\tcall task_note\n\taddl $4, %esp\n\tiret\n\tjmp 1b\n");
extern char other_task[];

static void tasks(void)
{
    const uint32_t base = (uint32_t)&other;
    uint32_t b = 0x600df00d, si = 0x51515151;

    trap_tss()->cr3 = read_cr3();
    other = (struct tss){.cr3 = read_cr3(),
                         .eip = (uint32_t)other_task,
                         .eflags = EFLAGS_ONE,
                         .esp = (uint32_t)other_stack + sizeof other_stack - 16,
                         .es = SEL_KDATA,
                         .cs = SEL_KCODE,
                         .ss = SEL_KDATA,
                         .ds = SEL_KDATA,
                         .iomap = sizeof other};
    trap_set_desc(SEL_DF_TSS, base << 16 | (sizeof other - 1),
                  (base & 0xff000000u) | 0x8900u | (base >> 16 & 0xff));
    write_cr0(read_cr0() & ~CR0_TS);
    __asm__ volatile("ljmp $0x30, $0" : "+b"(b), "+S"(si) : : "memory", "cc");
    tap_ok(runs == 1 && b == 0x600df00d && si == 0x51515151, "a jump to a task and back");
    tap_ok(read_cr0() & CR0_TS, "which sets CR0.TS");
    tap_ok(other.ebx == 0x0bad0bad, "its registers are in its TSS");
    __asm__ volatile("clts");
    tap_ok(!(read_cr0() & CR0_TS), "CLTS clears it");
    for (unsigned i = 0; i < 3; i++)
        __asm__ volatile("lcall $0x30, $0" : "+b"(b), "+S"(si) : : "memory", "cc");
    tap_ok(runs == 4 && b == 0x600df00d && si == 0x51515151, "calls of a task, which IRET ends");
    tap_ok(seen_link == SEL_TSS && (seen_flags & 0x4000), "with NT and a link");
    __asm__ volatile("clts");
}

int main(void)
{
    trap_init();
    bases();
    if (rt_monitor_present()) /* QEMU checks no limits */
        limits();
    code_segment();
    tasks();
    ports();
    return tap_done();
}
