/*
 * Compressed pool: entries, their order of age, and compression. Where the bytes lie is
 * zpool_slab.c's concern.
 *
 * Compression and decompression run outside the lock; under it, compressed bytes are only copied.
 */
#include "mm/zpool.h"

#include <assert.h>
#include <errno.h>
#include <lz4.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "mm/zpool_priv.h"

int zpool_create(uint64_t bytes, struct zpool **out)
{
    if (bytes < ZPOOL_MIN_BYTES || bytes > ZPOOL_MAX_BYTES)
        return -EINVAL;
    struct zpool *z = calloc(1, sizeof *z);
    if (!z)
        return -ENOMEM;
    z->bytes_max = bytes;
    /* More entries than this would not leave room for even the smallest objects. */
    uint64_t most = bytes / (sizeof(struct zent) + ZOBJ_MIN) + 1;
    z->ents_max = most < UINT32_MAX ? (uint32_t)most : UINT32_MAX;
    int err = zslab_init(z);
    if (!err) {
        void *p = mmap(NULL, z->ents_max * sizeof *z->ent, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        z->ent = p == MAP_FAILED ? NULL : p;
        if (!z->ent) {
            err = -ENOMEM;
            zslab_fini(z);
        }
    }
    if (err) {
        free(z);
        return err;
    }
    z->ents_high = 1; /* handle 0 names nothing */
    pthread_mutex_init(&z->lock, NULL);
    *out = z;
    return 0;
}

void zpool_destroy(struct zpool *z)
{
    if (!z)
        return;
    pthread_mutex_destroy(&z->lock);
    munmap(z->ent, z->ents_max * sizeof *z->ent);
    zslab_fini(z);
    free(z);
}

bool zpool_same_filled(const void *page, uint64_t *value)
{
    const uint64_t *w = page;
    /* Most pages differ at once, or in the last word where the first ones do not tell. */
    if (w[0] != w[PAGE_SIZE / 8 - 1])
        return false;
    for (unsigned i = 1; i < PAGE_SIZE / 8; i++)
        if (w[i] != w[0])
            return false;
    *value = w[0];
    return true;
}

void zpool_fill(void *page, uint64_t value)
{
    uint64_t *w = page;
    if (value == 0) {
        memset(page, 0, PAGE_SIZE);
        return;
    }
    for (unsigned i = 0; i < PAGE_SIZE / 8; i++)
        w[i] = value;
}

uint64_t zpool_held(const struct zpool *z)
{
    return zslab_held(z) + (uint64_t)z->ents_high * sizeof(struct zent);
}

static zhandle_t ent_take(struct zpool *z)
{
    zhandle_t h = z->ent_free;
    if (h) {
        z->ent_free = z->ent[h].next;
    } else if (z->ents_high < z->ents_max && zpool_held(z) + sizeof(struct zent) <= z->bytes_max) {
        h = z->ents_high++;
    }
    return h;
}

static void ent_give(struct zpool *z, zhandle_t h)
{
    z->ent[h] = (struct zent){.next = z->ent_free};
    z->ent_free = h;
}

/* The young end is z->young; each entry's next is the one stored after it. */
static void age_append(struct zpool *z, zhandle_t h)
{
    struct zent *e = &z->ent[h];
    e->prev = z->young;
    e->next = 0;
    if (z->young)
        z->ent[z->young].next = h;
    else
        z->old = h;
    z->young = h;
}

static void age_remove(struct zpool *z, zhandle_t h)
{
    struct zent *e = &z->ent[h];
    if (e->prev)
        z->ent[e->prev].next = e->next;
    else
        z->old = e->next;
    if (e->next)
        z->ent[e->next].prev = e->prev;
    else
        z->young = e->prev;
}

static int insert(struct zpool *z, const char *data, uint16_t len, uint32_t owner, zhandle_t *out)
{
    zhandle_t h = ent_take(z);
    if (!h)
        return -ENOSPC;
    z->ent[h].len = len; /* live from here on: zslab may move it */
    if (!zslab_alloc(z, h, len)) {
        ent_give(z, h);
        return -ENOSPC;
    }
    memcpy(zslab_data(z, h), data, len);
    z->ent[h].owner = owner;
    age_append(z, h);
    z->entries++;
    z->bytes_data += len;
    z->stores++;
    *out = h;
    return 0;
}

int zpool_store(struct zpool *z, const void *page, uint32_t owner, zhandle_t *out)
{
    char data[ZOBJ_DATA_MAX];
    int len = LZ4_compress_default(page, data, (int)PAGE_SIZE, (int)sizeof data);
    pthread_mutex_lock(&z->lock);
    int err = -E2BIG;
    if (len > 0)
        err = insert(z, data, (uint16_t)len, owner, out);
    z->rejects += err == -E2BIG;
    z->full += err == -ENOSPC;
    pthread_mutex_unlock(&z->lock);
    return err;
}

static bool live(const struct zpool *z, zhandle_t h)
{
    return h && h < z->ents_high && z->ent[h].len;
}

int zpool_load(struct zpool *z, zhandle_t h, void *page)
{
    char data[ZOBJ_DATA_MAX];
    pthread_mutex_lock(&z->lock);
    assert(live(z, h));
    int len = z->ent[h].len;
    memcpy(data, zslab_data(z, h), (size_t)len);
    z->loads++;
    pthread_mutex_unlock(&z->lock);
    int got = LZ4_decompress_safe(data, page, len, (int)PAGE_SIZE);
    return got == (int)PAGE_SIZE ? 0 : -EUCLEAN;
}

void zpool_free(struct zpool *z, zhandle_t h)
{
    pthread_mutex_lock(&z->lock);
    assert(live(z, h));
    age_remove(z, h);
    z->entries--;
    z->bytes_data -= z->ent[h].len;
    z->frees++;
    zslab_free(z, h);
    ent_give(z, h);
    pthread_mutex_unlock(&z->lock);
}

bool zpool_oldest(struct zpool *z, zhandle_t *h, uint32_t *owner)
{
    pthread_mutex_lock(&z->lock);
    zhandle_t o = z->old;
    if (o) {
        age_remove(z, o);
        age_append(z, o);
        *h = o;
        *owner = z->ent[o].owner;
    }
    pthread_mutex_unlock(&z->lock);
    return o != 0;
}

void zpool_get_stats(struct zpool *z, struct zpool_stats *out)
{
    pthread_mutex_lock(&z->lock);
    *out = (struct zpool_stats){
        .bytes_max = z->bytes_max,
        .bytes_held = zpool_held(z),
        .bytes_data = z->bytes_data,
        .entries = z->entries,
        .stores = z->stores,
        .loads = z->loads,
        .frees = z->frees,
        .rejects = z->rejects,
        .full = z->full,
        .moves = z->moves,
    };
    pthread_mutex_unlock(&z->lock);
}

static int audit_locked(struct zpool *z, char *msg, size_t len)
{
    uint64_t n = 0, bytes = 0, objects = 0;
    zhandle_t prev = 0;
    for (zhandle_t h = z->old; h; prev = h, h = z->ent[h].next) {
        if (!live(z, h) || z->ent[h].prev != prev || ++n > z->entries) {
            snprintf(msg, len, "compressed pool: entry %u is out of order in the age list", h);
            return -EUCLEAN;
        }
        bytes += z->ent[h].len;
    }
    int err = zslab_audit(z, &objects, msg, len);
    if (err)
        return err;
    if (n != z->entries || objects != n || bytes != z->bytes_data || prev != z->young ||
        zpool_held(z) > z->bytes_max || z->stores - z->frees != n) {
        snprintf(msg, len,
                 "compressed pool: %llu entries, %llu in the age list, %llu objects; %llu bytes, "
                 "%llu counted; %llu held of %llu",
                 (unsigned long long)z->entries, (unsigned long long)n, (unsigned long long)objects,
                 (unsigned long long)z->bytes_data, (unsigned long long)bytes,
                 (unsigned long long)zpool_held(z), (unsigned long long)z->bytes_max);
        return -EUCLEAN;
    }
    return 0;
}

int zpool_audit(struct zpool *z, char *msg, size_t len)
{
    pthread_mutex_lock(&z->lock);
    int err = audit_locked(z, msg, len);
    pthread_mutex_unlock(&z->lock);
    return err;
}
