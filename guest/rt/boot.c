/* What the loader told us: command line, memory, modules (Multiboot 1, section 3.3). */
#include "guest/rt/rt.h"

enum { INFO_MEMORY = 1 << 0, INFO_CMDLINE = 1 << 2, INFO_MODS = 1 << 3, INFO_MMAP = 1 << 6 };

struct info {
    uint32_t flags, mem_lower, mem_upper, boot_device, cmdline, mods_count, mods_addr;
    uint32_t syms[4], mmap_length, mmap_addr;
};

struct mmap_entry {
    uint32_t size, base_lo, base_hi, len_lo, len_hi, type;
};

struct module {
    uint32_t start, end, string, reserved;
};

extern char rt_image_end[];
static const struct info *boot;

void rt_boot_init(uint32_t info)
{
    boot = (const struct info *)info;
}

const char *rt_cmdline(void)
{
    return (boot->flags & INFO_CMDLINE) ? (const char *)boot->cmdline : "";
}

bool rt_memory_map(unsigned n, uint32_t *start, uint32_t *last, uint32_t *type)
{
    uint32_t at = boot->mmap_addr, end = at + boot->mmap_length;

    if (!(boot->flags & INFO_MMAP))
        return false;
    while (at < end) {
        const struct mmap_entry *e = (const struct mmap_entry *)at;
        at += e->size + (uint32_t)sizeof e->size;
        if (e->base_hi || (!e->len_lo && !e->len_hi))
            continue; /* beyond what we can name, or nothing */
        if (n-- > 0)
            continue;
        *start = e->base_lo;
        *last = e->base_lo + e->len_lo - 1;
        if (e->len_hi || *last < *start)
            *last = UINT32_MAX;
        *type = e->type;
        return true;
    }
    return false;
}

uint32_t rt_ram_end(void)
{
    uint32_t start, last, type, end = 0;

    for (unsigned i = 0; rt_memory_map(i, &start, &last, &type); i++)
        if (type == 1 && last + 1 > end)
            end = last + 1;
    return end;
}

unsigned rt_module_count(void)
{
    return (boot->flags & INFO_MODS) ? boot->mods_count : 0;
}

bool rt_module(unsigned n, struct rt_range *at, const char **string)
{
    const struct module *m = (const struct module *)boot->mods_addr;

    if (n >= rt_module_count())
        return false;
    *at = (struct rt_range){m[n].start, m[n].end};
    *string = (const char *)m[n].string;
    return true;
}

static uint32_t page_up(uint32_t a)
{
    return (a + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1);
}

static void keep_above(struct rt_range *r, uint32_t end)
{
    if (end > r->start && end < r->end)
        r->start = page_up(end);
}

struct rt_range rt_free_ram(void)
{
    struct rt_range r = {(uint32_t)rt_image_end, 0}, m;
    uint32_t start, last, type;
    const char *s;

    for (unsigned i = 0; rt_memory_map(i, &start, &last, &type); i++)
        if (type == 1 && start <= r.start && last > r.start)
            r.end = (last == UINT32_MAX ? last : last + 1) & ~(PAGE_SIZE - 1);
    for (unsigned i = 0; rt_module(i, &m, &s); i++)
        keep_above(&r, m.end);
    keep_above(&r, (uint32_t)boot + (uint32_t)sizeof *boot);
    keep_above(&r, (uint32_t)rt_cmdline() + (uint32_t)strlen(rt_cmdline()) + 1);
    if (boot->flags & INFO_MMAP)
        keep_above(&r, boot->mmap_addr + boot->mmap_length);
    if (r.end < r.start)
        r.end = r.start;
    return r;
}

/* The text behind "name=" of the word that starts with it; behind "name" if the word is just that.
 */
static const char *find_option(const char *name)
{
    size_t n = strlen(name);

    for (const char *p = rt_cmdline(); *p; p++) {
        if (p != rt_cmdline() && p[-1] != ' ')
            continue;
        size_t i = 0;
        while (i < n && p[i] == name[i])
            i++;
        if (i < n)
            continue;
        if (p[n] == '=')
            return p + n + 1;
        if (p[n] == '\0' || p[n] == ' ')
            return p + n;
    }
    return NULL;
}

bool rt_option_is(const char *name, const char *value)
{
    const char *p = find_option(name);

    if (!p)
        return false;
    while (*value && *p == *value)
        p++, value++;
    return *value == '\0' && (*p == '\0' || *p == ' ');
}

static unsigned digit(char c)
{
    if (c >= '0' && c <= '9')
        return (unsigned)(c - '0');
    if (c >= 'a' && c <= 'f')
        return (unsigned)(c - 'a') + 10;
    return 99;
}

uint32_t rt_option(const char *name, uint32_t otherwise)
{
    const char *p = find_option(name);
    uint32_t v = 0;
    unsigned base = 10;

    if (!p || digit(*p) > 9)
        return otherwise;
    if (p[0] == '0' && p[1] == 'x') {
        base = 16;
        p += 2;
    }
    for (; digit(*p) < base; p++)
        v = v * base + digit(*p);
    return v;
}
