/* See setup_header.h. */
#include "vmm/load/setup_header.h"

#include <errno.h>

uint32_t setup_bytes(const uint8_t *h)
{
    return ((h[SETUP_SECTS] ? h[SETUP_SECTS] : 4u) + 1) * 512;
}

gpa_t setup_initrd_end(const uint8_t *h, uint32_t version)
{
    return (gpa_t)(version >= 0x203 ? load_u32(h + SETUP_INITRD_MAX) : SETUP_OLD_INITRD_MAX) + 1;
}

uint32_t setup_cmdline_max(const uint8_t *h, uint32_t version)
{
    return version >= 0x206 ? load_u32(h + SETUP_CMDLINE_SIZE) : SETUP_OLD_CMDLINE;
}

int setup_check_size(const struct loading *l, const uint8_t *h)
{
    if (setup_bytes(h) < l->file.size)
        return 0;
    return load_refuse(l, -ENOEXEC,
                       "setup_sects %u leaves no kernel in %#llx bytes; is it truncated?",
                       h[SETUP_SECTS], (unsigned long long)l->file.size);
}

int setup_check_i386(const struct loading *l, const uint8_t *h, uint32_t version)
{
    if (version < 0x20c || !(load_u16(h + SETUP_XLOADFLAGS) & SETUP_KERNEL_64))
        return 0;
    return load_refuse(l, -ENOEXEC,
                       "xloadflags %#x: a 64-bit kernel, but the machine is an i386; take a "
                       "kernel for i386 (686)",
                       load_u16(h + SETUP_XLOADFLAGS));
}
