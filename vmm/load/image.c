/* The table of formats, and the way of one image through it. Flat binaries, which need no format.
 */
#include <errno.h>
#include <string.h>

#include "vmm/filekind.h"
#include "vmm/load/load.h"

/* In this order, from the most to the least particular: an image with a Multiboot header is an ELF
 * as well, and a kernel may answer to several protocols. */
static const struct loader *const loaders[] = {
    &load_bzimage, &load_multiboot1, &load_multiboot2, &load_vmlinux, &load_pvh, &load_elf, NULL,
};

int load_refuse(const struct loading *l, int code, const char *fmt, ...)
{
    char text[sizeof l->err->text];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return err_set(l->err, code, "%s: %.240s", l->file.name, text);
}

static bool probe_any(const struct loading *l)
{
    (void)l;
    return true;
}

static int load_flat_image(struct loading *l)
{
    gpa_t at = l->o->flat_addr;
    uint64_t size = l->file.size;
    int ret;

    if (l->o->append || l->o->module_count)
        return load_refuse(l, -EINVAL,
                           "a flat binary has no way to get a command line or modules; leave out "
                           "-append and -initrd");
    /* Anywhere, the BIOS area too: who asks for an address knows what is there. */
    if (!gmem_valid(l->g, at, size))
        return load_refuse(
            l, -EINVAL,
            "%#llx bytes at %#llx go beyond RAM (%#llx bytes); give more RAM with -m "
            "or a lower address",
            (unsigned long long)size, (unsigned long long)at, (unsigned long long)l->g->bytes);
    ret = load_file_copy(&l->file, 0, size, l->g, at, l->err);
    if (ret)
        return ret;
    l->out->ranges[l->out->range_count++] =
        (struct image_range){.start = at, .bytes = size, .name = "flat binary"};
    snprintf(l->out->kind, sizeof l->out->kind, "flat binary");
    l->out->entry = (uint32_t)at;
    cpu_set_flat(&l->out->cpu, l->out->entry);
    l->out->cpu.gpr[R_ESP] = (uint32_t)l->out->map[0].bytes & ~15u;
    return 0;
}

const struct loader load_flat = {"flat binary", probe_any, load_flat_image};

static const struct loader *recognise(const struct loading *l)
{
    if (l->o->flat)
        return &load_flat;
    for (const struct loader *const *f = loaders; *f; f++)
        if ((*f)->probe(l))
            return *f;
    return NULL;
}

/* No format that is loaded here: say what else it is, if that can be told. */
static int refuse_unknown(const struct loading *l)
{
    const struct filekind *k = filekind_of(l->file.fd);

    if (k)
        return load_refuse(l, -ENOEXEC, "not a kernel but %s; %s", k->what, k->remedy);
    return load_refuse(l, -ENOEXEC,
                       "not an image that is known here (Linux, Multiboot 1 and 2, PVH, ELF32); "
                       "a raw binary needs --flat");
}

int image_load(struct gmem *g, const struct image_opts *o, struct image *out, struct errmsg *err)
{
    struct loading l = {.g = g, .o = o, .out = out, .err = err};
    const struct loader *loader;
    int ret;

    memset(out, 0, sizeof *out);
    place_memory_map(out, g->bytes);
    ret = load_file_open(&l.file, o->path, LOAD_FILE_MAX, err);
    if (ret)
        goto out;
    if (o->append && strlen(o->append) >= IMAGE_STRING_MAX) {
        ret = load_refuse(&l, -EINVAL, "the command line is longer than %d bytes",
                          IMAGE_STRING_MAX - 1);
        goto out;
    }
    loader = recognise(&l);
    ret = loader ? loader->load(&l) : refuse_unknown(&l);
out:
    load_file_close(&l.file);
    return ret;
}
