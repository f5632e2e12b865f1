/* Modules: files that the image finds in memory beside it ("-initrd FILE ARGS"). */
#include <errno.h>
#include <string.h>

#include "vmm/load/load.h"

/* Open the file that a module's string names. */
static int open_module(struct loading *l, unsigned n, const char *string, struct load_file *f)
{
    char path[IMAGE_STRING_MAX];
    size_t len = strcspn(string, " ");
    int ret;

    if (strlen(string) >= IMAGE_STRING_MAX)
        return load_refuse(l, -EINVAL, "string of module %u is longer than %d bytes", n,
                           IMAGE_STRING_MAX - 1);
    if (len == 0)
        return load_refuse(l, -EINVAL, "module %u names no file", n);
    memcpy(path, string, len);
    path[len] = '\0';
    ret = load_file_open(f, path, LOAD_FILE_MAX, l->err); /* what fits is put_module's question */
    if (ret == -ENOENT && strchr(path, ','))
        return err_set(l->err, ret,
                       "%.200s: no such file; if it is a list, give each module an -initrd of its "
                       "own",
                       path);
    return ret;
}

int load_no_room(const struct loading *l, const struct load_file *f, gpa_t end)
{
    return err_set(l->err, -EINVAL,
                   "%s: module of %#llx bytes does not fit below %#llx beside what is loaded; "
                   "give more RAM with -m",
                   f->name, (unsigned long long)f->size, (unsigned long long)end);
}

/* Load an open module to a place below end. */
static int put_module(struct loading *l, unsigned n, const struct load_file *f, gpa_t end,
                      bool high, struct load_module *mod)
{
    int ret;

    mod->bytes = f->size;
    if (!(high ? place_find_high(l->out, LOAD_HIGH, end, f->size, PAGE_SIZE, &mod->start)
               : place_find(l->out, place_above(l->out), end, f->size, PAGE_SIZE, &mod->start)) &&
        !place_find(l->out, LOAD_HIGH, end, f->size, PAGE_SIZE, &mod->start))
        return load_no_room(l, f, end);
    ret = place_claim(l, mod->start, f->size, "module %u (%.30s)", n, f->name);
    return ret ? ret : load_file_copy(f, 0, f->size, l->g, mod->start, l->err);
}

static int load_module(struct loading *l, unsigned n, gpa_t end, bool high, struct load_module *mod)
{
    struct load_file f = {.fd = -1};
    int ret;

    mod->string = l->o->modules[n];
    ret = open_module(l, n, mod->string, &f);
    if (!ret)
        ret = put_module(l, n, &f, end, high, mod);
    load_file_close(&f);
    return ret;
}

int load_modules(struct loading *l, struct load_module *mods)
{
    if (l->o->module_count > IMAGE_MODULES_MAX)
        return load_refuse(l, -EINVAL, "%zu modules given, at most %d can be loaded",
                           l->o->module_count, IMAGE_MODULES_MAX);
    for (unsigned i = 0; i < l->o->module_count; i++) {
        int ret = load_module(l, i, l->g->bytes, false, &mods[i]);
        if (ret)
            return ret;
    }
    return 0;
}

int load_initrd(struct loading *l, gpa_t end, struct load_module *mod)
{
    memset(mod, 0, sizeof *mod);
    if (l->o->module_count == 0)
        return 0;
    if (l->o->module_count > 1)
        return load_refuse(
            l, -EINVAL, "a Linux kernel takes one -initrd, %zu are given; join them into one file",
            l->o->module_count);
    if (strchr(l->o->modules[0], ' '))
        return load_refuse(l, -EINVAL,
                           "a Linux initrd takes no arguments (\"%.60s\"); give them with -append",
                           l->o->modules[0]);
    return load_module(l, 0, end < l->g->bytes ? end : l->g->bytes, true, mod);
}
