/* Modules: files that the image finds in memory beside it ("-initrd FILE ARGS"). */
#include <errno.h>
#include <string.h>

#include "vmm/load/load.h"

static int load_module(struct loading *l, unsigned n, const char *string, struct load_module *mod)
{
    char path[IMAGE_STRING_MAX];
    size_t len = strcspn(string, " ");
    struct load_file f;
    int ret;

    if (strlen(string) >= IMAGE_STRING_MAX)
        return load_refuse(l, -EINVAL, "string of module %u is longer than %d bytes", n,
                           IMAGE_STRING_MAX - 1);
    if (len == 0)
        return load_refuse(l, -EINVAL, "module %u names no file", n);
    memcpy(path, string, len);
    path[len] = '\0';

    ret = load_file_open(&f, path, l->g->bytes, l->err);
    if (ret)
        goto out;
    mod->bytes = f.size;
    mod->string = string;
    if (!place_find(l->out, place_above(l->out), l->g->bytes, f.size, PAGE_SIZE, &mod->start) &&
        !place_find(l->out, LOAD_HIGH, l->g->bytes, f.size, PAGE_SIZE, &mod->start)) {
        ret = err_set(l->err, -EINVAL,
                      "%s: module of %#llx bytes does not fit beside what is loaded; give more RAM "
                      "with -m",
                      f.name, (unsigned long long)f.size);
        goto out;
    }
    ret = place_claim(l, mod->start, f.size, "module %u (%.30s)", n, f.name);
    if (!ret)
        ret = load_file_copy(&f, 0, f.size, l->g, mod->start, l->err);
out:
    load_file_close(&f);
    return ret;
}

int load_modules(struct loading *l, struct load_module *mods)
{
    if (l->o->module_count > IMAGE_MODULES_MAX)
        return load_refuse(l, -EINVAL, "%zu modules given, at most %d can be loaded",
                           l->o->module_count, IMAGE_MODULES_MAX);
    for (unsigned i = 0; i < l->o->module_count; i++) {
        int ret = load_module(l, i, l->o->modules[i], &mods[i]);
        if (ret)
            return ret;
    }
    return 0;
}
