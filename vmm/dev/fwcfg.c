#include "vmm/dev/fwcfg.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { SELECTOR = 0x510, DATA = 0x511 };
enum {
    ENTRY = 64
}; /* bytes of a directory entry: size, key, 0, name; numbers highest byte first */

static int add(struct fwcfg *f, uint16_t key, const char *name, const void *data, size_t len,
               bool copy)
{
    struct fwcfg_item *i = &f->item[f->items];
    if (f->items == FWCFG_ITEMS)
        return -ENOSPC;
    const size_t name_len = strlen(name);
    if (name_len >= sizeof i->name)
        return -EINVAL;
    i->own = copy ? malloc(len ? len : 1) : NULL;
    if (copy && !i->own)
        return -ENOMEM;
    if (copy && len)
        memcpy(i->own, data, len);
    i->data = copy ? i->own : data;
    i->len = len;
    i->key = key;
    memcpy(i->name, name, name_len + 1);
    f->items++;
    return 0;
}

int fwcfg_add(struct fwcfg *f, uint16_t key, const void *data, size_t len)
{
    return add(f, key, "", data, len, true);
}

int fwcfg_lend(struct fwcfg *f, uint16_t key, const void *data, size_t len)
{
    return add(f, key, "", data, len, false);
}

int fwcfg_add_file(struct fwcfg *f, const char *name, const void *data, size_t len)
{
    const int rc = add(f, (uint16_t)(FWCFG_FIRST_FILE + f->files), name, data, len, true);
    f->files += rc == 0;
    return rc;
}

/* The n-th byte of the directory, which is made as it is read. */
static uint8_t directory(const struct fwcfg *f, size_t n)
{
    uint8_t e[ENTRY] = {0};
    unsigned file = 0;
    if (n < 4)
        return n == 3 ? (uint8_t)f->files : 0;
    n -= 4;
    for (unsigned k = 0; k < f->items; k++) {
        const struct fwcfg_item *i = &f->item[k];
        if (!i->name[0] || file++ != n / ENTRY)
            continue;
        for (unsigned b = 0; b < 4; b++)
            e[b] = (uint8_t)(i->len >> (24 - 8 * b));
        e[4] = (uint8_t)(i->key >> 8);
        e[5] = (uint8_t)i->key;
        memcpy(e + 8, i->name, sizeof i->name);
        return e[n % ENTRY];
    }
    return 0;
}

static const struct fwcfg_item *selected(const struct fwcfg *f)
{
    for (unsigned k = 0; k < f->items; k++)
        if (f->item[k].key == f->selected)
            return &f->item[k];
    return NULL;
}

void fwcfg_select(struct fwcfg *f, uint16_t key)
{
    f->selected = key;
    f->at = 0;
}

void fwcfg_skip(struct fwcfg *f, size_t len)
{
    f->at = len < SIZE_MAX - f->at ? f->at + len : SIZE_MAX;
}

void fwcfg_take(struct fwcfg *f, void *buf, size_t len)
{
    const struct fwcfg_item *i = selected(f);
    uint8_t *to = buf;
    if (f->selected == FWCFG_DIRECTORY) {
        for (size_t n = 0; n < len; n++, fwcfg_skip(f, 1))
            to[n] = directory(f, f->at);
        return;
    }
    memset(to, 0, len);
    if (i && f->at < i->len)
        memcpy(to, i->data + f->at, len < i->len - f->at ? len : i->len - f->at);
    fwcfg_skip(f, len);
}

static uint32_t data_in(void *ctx, uint16_t port, unsigned size)
{
    uint8_t byte = 0;
    (void)size;
    if (port == DATA)
        fwcfg_take(ctx, &byte, 1);
    return byte;
}

static void selector_out(void *ctx, uint16_t port, uint32_t val, unsigned size)
{
    if (port == SELECTOR && size == 2)
        fwcfg_select(ctx, (uint16_t)val);
}

int fwcfg_init(struct fwcfg *f, struct bus *bus)
{
    static const uint8_t id[4] = {FWCFG_ID_TRADITIONAL | FWCFG_ID_DMA};
    memset(f, 0, sizeof *f);
    int rc = fwcfg_add(f, FWCFG_SIGNATURE, "QEMU", 4);
    if (!rc)
        rc = fwcfg_add(f, FWCFG_ID, id, sizeof id);
    return rc ? rc
              : bus_claim(bus, &(struct bus_range){.name = "fw_cfg",
                                                   .first = SELECTOR,
                                                   .last = DATA,
                                                   .sizes = 1 | 2,
                                                   .in = data_in,
                                                   .out = selector_out,
                                                   .ctx = f});
}

void fwcfg_destroy(struct fwcfg *f)
{
    for (unsigned k = 0; k < f->items; k++)
        free(f->item[k].own);
    f->items = 0;
}
