#include "tests/load_world.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void world_open(struct world *w, uint64_t ram, uint64_t pool)
{
    struct mm *mm;

    memset(w, 0, sizeof *w);
    cr_assert_eq(pool_create(&(struct pool_opts){.bytes = pool}, &w->pool), 0);
    cr_assert_eq(mm_create(w->pool, "ram", &mm), 0);
    cr_assert_eq(mm_map_anon(mm, 0, (uint32_t)(ram >> PAGE_SHIFT), MM_READ | MM_WRITE | MM_EXEC,
                             MM_ANON_PRIVATE),
                 0);
    w->g = (struct gmem){.mm = mm, .bytes = ram};
    strcpy(w->dir, "/tmp/umbra-load-XXXXXX");
    cr_assert_not_null(mkdtemp(w->dir));
}

void world_close(struct world *w)
{
    char cmd[128];

    mm_destroy(w->g.mm);
    pool_destroy(w->pool);
    snprintf(cmd, sizeof cmd, "rm -r %s", w->dir);
    cr_assert_eq(system(cmd), 0);
}

const char *world_file(struct world *w, const char *name, const void *data, size_t len)
{
    static char path[4][128];
    static unsigned next;
    char *p = path[next++ % 4];
    int fd;

    snprintf(p, sizeof path[0], "%s/%s", w->dir, name);
    fd = open(p, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, data, len), (ssize_t)len);
    close(fd);
    return p;
}

int world_load_opts(struct world *w, const struct image_opts *o)
{
    w->err.text[0] = '\0';
    return image_load(&w->g, o, &w->img, &w->err);
}

int world_load(struct world *w, const void *data, size_t len)
{
    return world_load_opts(w, &(struct image_opts){.path = world_file(w, "image", data, len)});
}

uint32_t world_u32(struct world *w, gpa_t at)
{
    uint32_t v;

    cr_assert_eq(gmem_read(&w->g, at, &v, sizeof v), 0);
    return v;
}

const char *world_text(struct world *w, gpa_t at, char *buf, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        cr_assert_eq(gmem_read(&w->g, at + i, buf + i, 1), 0);
        if (!buf[i])
            return buf;
    }
    buf[size - 1] = '\0';
    return buf;
}

static bool within(gpa_t start, uint64_t len, gpa_t outer, uint64_t outer_len)
{
    return start >= outer && start + len <= outer + outer_len;
}

bool world_sound(const struct world *w)
{
    bool entry = false;

    for (unsigned i = 0; i < w->img.range_count; i++) {
        const struct image_range *r = &w->img.ranges[i];
        bool ram = false;
        for (unsigned j = 0; j < w->img.map_count; j++)
            ram |= w->img.map[j].type == IMAGE_MEM_RAM &&
                   within(r->start, r->bytes, w->img.map[j].start, w->img.map[j].bytes);
        if (!ram || r->start + r->bytes > w->g.bytes)
            return false;
        for (unsigned j = 0; j < i; j++)
            if (r->start < w->img.ranges[j].start + w->img.ranges[j].bytes &&
                w->img.ranges[j].start < r->start + r->bytes)
                return false;
        entry |= within(w->img.entry, 1, r->start, r->bytes);
    }
    return entry && w->img.cpu.eip == w->img.entry;
}

Elf32_Ehdr *sample_ehdr(struct sample *s)
{
    return (Elf32_Ehdr *)s->bytes;
}

Elf32_Phdr *sample_phdr(struct sample *s, unsigned n)
{
    return (Elf32_Phdr *)(s->bytes + sizeof(Elf32_Ehdr)) + n;
}

void put_u32(void *at, uint32_t v)
{
    memcpy(at, &v, sizeof v);
}

void sample_elf(struct sample *s)
{
    memset(s, 0, sizeof *s);
    *sample_ehdr(s) = (Elf32_Ehdr){
        .e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS32, ELFDATA2LSB, EV_CURRENT},
        .e_type = ET_EXEC,
        .e_machine = EM_386,
        .e_version = EV_CURRENT,
        .e_entry = SAMPLE_ENTRY,
        .e_phoff = sizeof(Elf32_Ehdr),
        .e_ehsize = sizeof(Elf32_Ehdr),
        .e_phentsize = sizeof(Elf32_Phdr),
        .e_phnum = 2,
    };
    *sample_phdr(s, 0) = (Elf32_Phdr){PT_LOAD,         SAMPLE_TEXT_OFF, SAMPLE_TEXT, SAMPLE_TEXT,
                                      SAMPLE_TEXT_LEN, SAMPLE_TEXT_LEN, PF_R | PF_X, 256};
    *sample_phdr(s, 1) = (Elf32_Phdr){PT_LOAD,         SAMPLE_DATA_OFF, SAMPLE_DATA, SAMPLE_DATA,
                                      SAMPLE_DATA_LEN, SAMPLE_DATA_MEM, PF_R | PF_W, 256};
    for (unsigned i = 0; i < SAMPLE_TEXT_LEN; i++)
        s->bytes[SAMPLE_TEXT_OFF + i] = (uint8_t)(i * 7 + 1);
    for (unsigned i = 0; i < SAMPLE_DATA_LEN; i++)
        s->bytes[SAMPLE_DATA_OFF + i] = (uint8_t)(i * 5 + 3);
}

void sample_multiboot(struct sample *s, uint32_t flags)
{
    sample_elf(s);
    put_u32(s->bytes + SAMPLE_MB_OFF, 0x1badb002);
    put_u32(s->bytes + SAMPLE_MB_OFF + 4, flags);
    put_u32(s->bytes + SAMPLE_MB_OFF + 8, 0u - 0x1badb002u - flags);
}

void check_attack(struct world *w, const void *image, size_t size, const struct attack *a)
{
    uint8_t copy[8192];
    int ret;

    cr_assert_leq(size, sizeof copy);
    memcpy(copy, image, size);
    memcpy(copy + a->off, &a->value, a->len);
    ret = world_load(w, copy, size);
    cr_expect_eq(ret, a->code, "offset %zu value %#x (%s): %d, not %d: %s", a->off, a->value,
                 a->says, ret, a->code, w->err.text);
    if (ret)
        cr_expect(strstr(w->err.text, "image: ") && strstr(w->err.text, a->says),
                  "offset %zu value %#x: \"%s\" says nothing of \"%s\"", a->off, a->value,
                  w->err.text, a->says);
}
