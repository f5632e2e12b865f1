/* The text of QEMU's "info registers"; see lv.h. Needs no libvirt. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/libvirt/lv.h"

/* The hexadecimal value behind "NAME=", where a word begins. */
static int value_of(const char *text, const char *name, uint64_t *out)
{
    const size_t n = strlen(name);
    for (const char *p = text; (p = strstr(p, name)) != NULL; p += n) {
        char *end;
        if (p != text && p[-1] != ' ' && p[-1] != '\n' && p[-1] != '\r')
            continue;
        if (p[n] != '=')
            continue;
        errno = 0;
        *out = strtoull(p + n + 1, &end, 16);
        return end == p + n + 1 || errno ? -EINVAL : 0;
    }
    return -EINVAL;
}

int lv_registers_parse(const char *text, struct lv_regs *out)
{
    uint64_t cr0, cr3, cr4, efer;
    if (value_of(text, "CR0", &cr0) < 0 || value_of(text, "CR3", &cr3) < 0 ||
        value_of(text, "CR4", &cr4) < 0 || value_of(text, "EFER", &efer) < 0)
        return -EINVAL;
    if (cr0 > UINT32_MAX || cr3 > UINT32_MAX || cr4 > UINT32_MAX)
        return -EINVAL; /* a 64-bit guest */
    *out = (struct lv_regs){
        .cr0 = (uint32_t)cr0, .cr3 = (uint32_t)cr3, .cr4 = (uint32_t)cr4, .efer = efer};
    return 0;
}
