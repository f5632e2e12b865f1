#include "vmm/dev/fwcfg.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { SELECTOR = 0x510, DATA = 0x511 };
enum { ID_TRADITIONAL = 1 };
enum {
    ENTRY = 64
}; /* bytes of a directory entry: size, key, 0, name; numbers highest byte first */

static int add(struct fwcfg *f, uint16_t key, const char *name, const void *data, size_t len)
{
    struct fwcfg_item *i = &f->item[f->items];
    if (f->items == FWCFG_ITEMS)
        return -ENOSPC;
    const size_t name_len = strlen(name);
    if (name_len >= sizeof i->name)
        return -EINVAL;
    i->data = malloc(len ? len : 1);
    if (!i->data)
        return -ENOMEM;
    if (len)
        memcpy(i->data, data, len);
    i->len = len;
    i->key = key;
    memcpy(i->name, name, name_len + 1);
    f->items++;
    return 0;
}

int fwcfg_add(struct fwcfg *f, uint16_t key, const void *data, size_t len)
{
    return add(f, key, "", data, len);
}

int fwcfg_add_file(struct fwcfg *f, const char *name, const void *data, size_t len)
{
    const int rc = add(f, (uint16_t)(FWCFG_FIRST_FILE + f->files), name, data, len);
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

/* Behind an item's end, and of one that is not there, come zeros. */
static uint8_t next_byte(struct fwcfg *f)
{
    const size_t at = f->at;
    if (f->at < SIZE_MAX)
        f->at++;
    if (f->selected == FWCFG_DIRECTORY)
        return directory(f, at);
    for (unsigned k = 0; k < f->items; k++)
        if (f->item[k].key == f->selected)
            return at < f->item[k].len ? f->item[k].data[at] : 0;
    return 0;
}

static uint32_t data_in(void *ctx, uint16_t port, unsigned size)
{
    (void)size;
    return port == DATA ? next_byte(ctx) : 0;
}

static void selector_out(void *ctx, uint16_t port, uint32_t val, unsigned size)
{
    struct fwcfg *f = ctx;
    if (port != SELECTOR || size != 2)
        return;
    f->selected = (uint16_t)val;
    f->at = 0;
}

int fwcfg_init(struct fwcfg *f, struct bus *bus)
{
    static const uint8_t id[4] = {ID_TRADITIONAL};
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
        free(f->item[k].data);
    f->items = 0;
}
