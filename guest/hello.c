/* hello: says that it runs, and what it was told at boot. exit=N: ends by the exit port with N. */
#include "guest/rt/rt.h"

static const char *type_name(uint32_t type)
{
    return type == 1 ? "RAM" : "reserved";
}

static void print_modules(void)
{
    struct rt_range at;
    const char *string;

    for (unsigned i = 0; rt_module(i, &at, &string); i++)
        rt_printf("module %u: %08x-%08x \"%s\"\n", i, at.start, at.end - 1, string);
}

int main(void)
{
    uint32_t start, last, type;

    rt_printf("Hello from an i386 guest.\n");
    rt_printf("command line: \"%s\"\n", rt_cmdline());
    for (unsigned i = 0; rt_memory_map(i, &start, &last, &type); i++)
        rt_printf("memory: %08x-%08x %s\n", start, last, type_name(type));
    print_modules();
    rt_printf("%u KiB of RAM are free to use.\n", (rt_free_ram().end - rt_free_ram().start) >> 10);
    rt_printf("hypercalls: %s\n", rt_monitor_present() ? "answered" : "nobody answers");
    return (int)rt_option("exit", 0);
}
