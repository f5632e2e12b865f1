/* See lv_load.h. */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>

#include "vmm/libvirt/lv_load.h"

/* The functions by name; a library's own name stays the last word of what is missing. */
static struct lv_library library;
static struct errmsg missing;
static bool loaded;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void *open_library(const char *name)
{
    void *h = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (!h)
        err_set(&missing, -ENOTSUP, "libvirt: %s", dlerror());
    return h;
}

static bool find(void *h, const char *name, void *pointer)
{
    void *symbol = dlsym(h, name);
    *(void **)pointer = symbol;
    if (!symbol)
        err_set(&missing, -ENOTSUP, "libvirt: %s", dlerror());
    return symbol != NULL;
}

/* They stay loaded: libvirt keeps threads and handlers of its own. */
static void load(void)
{
    void *virt = open_library("libvirt.so.0");
    void *qemu = virt ? open_library("libvirt-qemu.so.0") : NULL;
    void *xml = qemu ? open_library("libxml2.so.2") : NULL;
    bool all = xml && find(xml, "xmlFree", &library.p_xmlFree);

#define FIND_VIRT(name) all = all && find(virt, #name, &library.p_##name);
#define FIND_QEMU(name) all = all && find(qemu, #name, &library.p_##name);
#define FIND_XML(name)  all = all && find(xml, #name, &library.p_##name);
    LV_VIRT(FIND_VIRT)
    LV_QEMU(FIND_QEMU)
    LV_XML(FIND_XML)
    loaded = all;
}

const struct lv_library *lv_load(struct errmsg *err)
{
    pthread_once(&once, load);
    if (loaded)
        return &library;
    if (err)
        *err = missing;
    return NULL;
}
