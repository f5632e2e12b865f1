/* Between zpool.c (entries, age, compression) and zpool_slab.c (where the bytes lie). */
#ifndef UMBRA_MM_ZPOOL_PRIV_H
#define UMBRA_MM_ZPOOL_PRIV_H

#include <pthread.h>

#include "mm/zpool.h"

#define ZCHUNK        32768u
#define ZCLASSES      24u
#define ZOBJ_MIN      64u   /* the smallest object, its header included */
#define ZOBJ_HEAD     4u    /* each object starts with the handle of its entry */
#define ZOBJ_MAX      3632u /* the largest: nine in a chunk */
#define ZOBJ_DATA_MAX (ZOBJ_MAX - ZOBJ_HEAD)

/* An entry: len is 0 when it is free, and next then links free ones. */
struct zent {
    uint32_t chunk; /* 1-based */
    uint16_t idx;   /* object in the chunk */
    uint16_t len;   /* compressed bytes */
    zhandle_t prev, next;
    uint32_t owner;
};

/* A chunk of one class. Lists are linked by 1-based numbers, 0 ends them. */
struct zchunk {
    uint32_t prev, next;
    uint16_t class, used;
    bool in_use;
    uint64_t taken[ZCHUNK / ZOBJ_MIN / 64];
};

struct zclass {
    uint32_t size, per_chunk;
    uint32_t partial; /* chunks with a free object */
    uint32_t chunks, used;
};

struct zpool {
    uint64_t bytes_max;
    pthread_mutex_t lock; /* all that follows */

    struct zent *ent;
    uint32_t ents_max, ents_high;
    zhandle_t ent_free, old, young;
    uint64_t entries, bytes_data, stores, loads, frees, rejects, full, moves;

    uint8_t *base; /* chunk c (1-based) at base + (c - 1) * ZCHUNK */
    struct zchunk *chunk;
    uint32_t chunks_max, chunks_high;
    uint32_t idle, nidle; /* unused, memory kept */
    uint32_t gone;        /* unused, memory given back to the host */
    uint32_t in_use;
    struct zclass class[ZCLASSES];
};

int zslab_init(struct zpool *z);
void zslab_fini(struct zpool *z);
/* Bytes held: chunks with memory, and their table. */
uint64_t zslab_held(const struct zpool *z);
uint64_t zpool_held(const struct zpool *z);
/* Find room for len bytes of entry h, moving others if need be. Sets its chunk and idx. */
bool zslab_alloc(struct zpool *z, zhandle_t h, uint32_t len);
void zslab_free(struct zpool *z, zhandle_t h);
uint8_t *zslab_data(const struct zpool *z, zhandle_t h);
int zslab_audit(const struct zpool *z, uint64_t *objects, char *msg, size_t len);

#endif
