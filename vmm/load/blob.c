/* What a loader tells the image, built as one piece whose parts know their guest addresses. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/load/load.h"

uint32_t blob_add(struct blob *b, const void *data, size_t len, size_t align)
{
    size_t at = (b->used + align - 1) & ~(align - 1);

    if (b->data && len) {
        assert(at <= b->size && len <= b->size - at); /* fill() adds the same both times */
        memcpy(b->data + at, data, len);
    }
    b->used = at + len;
    return b->gpa + (uint32_t)at;
}

uint32_t blob_add_string(struct blob *b, const char *s)
{
    return blob_add(b, s, strlen(s) + 1, 1);
}

void blob_set(struct blob *b, uint32_t gpa, const void *data, size_t len)
{
    size_t at = gpa - b->gpa;

    if (!b->data)
        return;
    assert(at <= b->size && len <= b->size - at);
    memcpy(b->data + at, data, len);
}

/* Low memory is where kernels expect it least to be in their way; else wherever there is room. */
static bool find_place(const struct image *out, size_t size, uint64_t ram, gpa_t *at)
{
    return place_find(out, 0x10000, LOAD_LOW_END, size, PAGE_SIZE, at) ||
           place_find(out, 0x1000, ram, size, PAGE_SIZE, at);
}

int load_blob(struct loading *l, void (*fill)(struct blob *b, void *ctx), void *ctx, uint32_t *gpa)
{
    struct blob b = {0};
    gpa_t at;
    int ret;

    fill(&b, ctx);
    b.size = b.used;
    if (!find_place(l->out, b.size, l->g->bytes, &at))
        return load_refuse(l, -EINVAL,
                           "no room for the boot information (%zu bytes); give more RAM with -m",
                           b.size);
    ret = place_claim(l, at, b.size, "boot information");
    if (ret)
        return ret;
    b = (struct blob){.data = calloc(1, b.size), .size = b.size, .gpa = (uint32_t)at};
    if (!b.data)
        return load_refuse(l, -ENOMEM, "no memory for the boot information");
    fill(&b, ctx);
    *gpa = b.gpa;
    ret = gmem_write(l->g, at, b.data, b.size);
    free(b.data);
    return ret ? load_refuse(l, ret, "boot information cannot be written at %#x", *gpa) : 0;
}
