/*
 * wild_desc: tricks with descriptors and control registers, one a run (trick=NAME). Each takes the
 * ground from under the guest, so the machine must end with a report; a trick that the guest
 * survives is a failure.
 */
#include "guest/rt/rt.h"

struct __attribute__((packed)) table {
    uint16_t limit;
    uint32_t base;
};

static void lgdt_garbage(void)
{
    static const struct table t = {0xffff, 0xfffffff0};
    __asm__ volatile("lgdt %0\n\tmov %1, %%ds\n\tmovl 0x100000, %%eax"
                     :
                     : "m"(t), "r"(0x18)
                     : "eax", "memory");
}

static void lidt_garbage(void)
{
    static const struct table t = {0xffff, 0xfffffff0};
    __asm__ volatile("lidt %0\n\tint $0x40" : : "m"(t) : "memory");
}

/* A far jump through a pointer to selector sel. */
static void far_jump(uint16_t sel)
{
    struct __attribute__((packed)) {
        uint32_t off;
        uint16_t sel;
    } p = {0x100000, sel};
    __asm__ volatile("ljmp *%0" : : "m"(p) : "memory");
}

static void far_null(void)
{
    far_jump(0);
}

static void far_bad(void)
{
    far_jump(0xfff8);
}

static void far_ldt(void)
{
    far_jump(0x0c);
}

static void load_ss(void)
{
    __asm__ volatile("mov %0, %%ss\n\tpushl $0" : : "r"(0xfff8) : "memory");
}

static void load_tr(void)
{
    __asm__ volatile("ltr %w0" : : "r"(0xfff8) : "memory");
}

static void iret_ring3(void)
{
    __asm__ volatile("pushl $0x23\n\tpushl $0x1000\n\tpushl $0x3002\n\tpushl $0x1b\n\tpushl "
                     "$0x100000\n\tiret"
                     :
                     :
                     : "memory");
}

/* Paging on, with tables that are not there. */
static void paging(void)
{
    __asm__ volatile("mov %0, %%cr3\n\tmov %%cr0, %%eax\n\torl $0x80000000, %%eax\n\tmov %%eax, "
                     "%%cr0\n\tmovl 0x100000, %%eax"
                     :
                     : "r"(0xfffff000u)
                     : "eax", "memory");
}

/* The descriptor of 64-bit code, in a table of our own: a machine that is an i386 refuses it. */
static void long_mode(void)
{
    static const uint64_t gdt[] = {0, 0x00209b0000000000u, 0x00cf93000000ffffu};
    struct table t = {sizeof gdt - 1, (uint32_t)gdt};
    __asm__ volatile("lgdt %0" : : "m"(t) : "memory");
    __asm__ volatile("ljmp $0x08, $1f\n1:\tud2" : : : "memory");
}

static const struct {
    const char *name;
    void (*run)(void);
} tricks[] = {
    {"lgdt", lgdt_garbage}, {"lidt", lidt_garbage},   {"far-null", far_null}, {"far-bad", far_bad},
    {"far-ldt", far_ldt},   {"ss", load_ss},          {"ltr", load_tr},       {"iret", iret_ring3},
    {"paging", paging},     {"long-mode", long_mode},
};

int main(void)
{
    for (size_t i = 0; i < sizeof tricks / sizeof *tricks; i++) {
        if (!rt_option_is("trick", tricks[i].name))
            continue;
        rt_printf("trick: %s\n", tricks[i].name);
        tricks[i].run();
        rt_printf("survived %s\n", tricks[i].name);
        return UMBRA_EXITV_FAIL;
    }
    rt_printf("no such trick; known:");
    for (size_t i = 0; i < sizeof tricks / sizeof *tricks; i++)
        rt_printf(" trick=%s", tricks[i].name);
    rt_putc('\n');
    return UMBRA_EXITV_FAIL;
}
