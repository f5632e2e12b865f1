/*
 * Images that say by address fields in their Multiboot header where they go (Multiboot 1, 3.1.3;
 * Multiboot 2, 3.1.5), whatever the file is otherwise.
 */
#include <errno.h>

#include "vmm/load/load.h"

/* What of the file is loaded: from, bytes. */
static int find_content(const struct loading *l, const struct load_kludge *k, uint32_t *from,
                        uint32_t *bytes)
{
    uint32_t before = k->header_addr - k->load_addr; /* bytes between load start and header */
    uint64_t rest;

    if (k->load_addr > k->header_addr || before > k->header_off)
        return load_refuse(l, -ENOEXEC,
                           "load_addr %#x and header_addr %#x do not agree with the header's place "
                           "in the file (%#x)",
                           k->load_addr, k->header_addr, k->header_off);
    *from = k->header_off - before;
    rest = l->file.size - *from;
    if (k->load_end_addr == 0) {
        if (rest > UINT32_MAX - k->load_addr)
            return load_refuse(l, -ENOEXEC, "load_addr %#x with the file's %#llx bytes wraps",
                               k->load_addr, (unsigned long long)rest);
        *bytes = (uint32_t)rest;
        return 0;
    }
    if (k->load_end_addr <= k->load_addr)
        return load_refuse(l, -ENOEXEC, "load_end_addr %#x is not above load_addr %#x",
                           k->load_end_addr, k->load_addr);
    *bytes = k->load_end_addr - k->load_addr;
    if (*bytes > rest)
        return load_refuse(l, -ENOEXEC,
                           "load_end_addr %#x asks for %#x bytes, the file has %#llx; is it "
                           "truncated?",
                           k->load_end_addr, *bytes, (unsigned long long)rest);
    return 0;
}

int load_by_addresses(struct loading *l, const struct load_kludge *k)
{
    uint32_t from = 0, bytes = 0, end, top;
    int ret = find_content(l, k, &from, &bytes);

    if (ret)
        return ret;
    end = k->load_addr + bytes;
    top = k->bss_end_addr ? k->bss_end_addr : end;
    if (top < end)
        return load_refuse(l, -ENOEXEC, "bss_end_addr %#x lies below the load end %#x",
                           k->bss_end_addr, end);
    if (k->entry_addr < k->load_addr || k->entry_addr >= end)
        return load_refuse(l, -ENOEXEC, "entry_addr %#x lies outside of what is loaded (%#x-%#x)",
                           k->entry_addr, k->load_addr, end);
    ret = place_claim(l, k->load_addr, top - k->load_addr, "image");
    if (!ret)
        ret = load_file_copy(&l->file, from, bytes, l->g, k->load_addr, l->err);
    if (ret)
        return ret;
    ret = gmem_fill(l->g, end, 0, top - end);
    return ret ? load_refuse(l, ret, "bss at %#x cannot be zeroed", end) : 0;
}
