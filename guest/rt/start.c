/* From the first C code of a guest to its end. */
#include "guest/rt/rt.h"

#define MB_LOADER_MAGIC 0x2badb002u

/* exit=qemu on the command line: HLT does not end the machine there, so the clean end goes to the
 * exit port too, with a value that no failure has. Looked up early: later the text may not be
 * mapped. */
static bool on_qemu;

_Noreturn void rt_start(uint32_t magic, uint32_t info);

_Noreturn void rt_start(uint32_t magic, uint32_t info)
{
    rt_console_init();
    if (magic != MB_LOADER_MAGIC)
        rt_panic("not booted by Multiboot 1: EAX %08x", magic);
    rt_boot_init(info);
    on_qemu = rt_option_is("exit", "qemu");
    rt_exit((unsigned)main());
}

_Noreturn void rt_exit(unsigned v)
{
    if (!v && on_qemu)
        v = UMBRA_EXITV_CLEAN;
    if (v)
        outl(UMBRA_EXIT_PORT, v);
    for (;;)
        __asm__ volatile("cli; hlt" : : : "memory");
}

_Noreturn void rt_panic(const char *fmt, ...)
{
    va_list ap;

    rt_puts("panic: ");
    va_start(ap, fmt);
    rt_vprintf(fmt, ap);
    va_end(ap);
    rt_putc('\n');
    rt_exit(UMBRA_EXITV_PANIC);
}
