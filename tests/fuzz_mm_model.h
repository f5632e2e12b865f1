/*
 * The model that the mm fuzzer holds mm/ against: address spaces as plain arrays of pages, each
 * with a plain copy of its bytes. No sharing, no frames, no swap: a fork copies everything.
 */
#ifndef UMBRA_TESTS_FUZZ_MM_MODEL_H
#define UMBRA_TESTS_FUZZ_MM_MODEL_H

#include <stdlib.h>
#include <string.h>

#include "mm/mm.h"

enum { MODEL_MMS = 6, MODEL_PAGES = 96, MODEL_SHARED = 256, MODEL_FILE = 16 };

struct model_bytes {
    uint8_t b[PAGE_SIZE];
};

/* Where the bytes of a page are: its own, or those of something shared. */
enum model_kind { MODEL_OWN, MODEL_SHM, MODEL_FILE_SHARED, MODEL_FILE_PRIVATE };

struct model_page {
    bool mapped;
    bool torn; /* its copy in the area was damaged: reading it may fail */
    uint8_t prot;
    uint8_t kind;
    uint16_t index;          /* of shm or file page */
    struct model_bytes *own; /* private bytes; NULL: zeros (or the file's) */
};

struct model {
    bool alive[MODEL_MMS];
    struct model_page page[MODEL_MMS][MODEL_PAGES];
    struct model_bytes shm[MODEL_SHARED];
    bool shm_torn[MODEL_SHARED];
    unsigned shms;
    struct model_bytes file[MODEL_FILE];
};

/* What a page reads as. */
static inline const uint8_t *model_read(const struct model *m, const struct model_page *p)
{
    static const uint8_t zeros[PAGE_SIZE];
    if (p->own)
        return p->own->b;
    switch ((enum model_kind)p->kind) {
    case MODEL_SHM: return m->shm[p->index].b;
    case MODEL_FILE_SHARED:
    case MODEL_FILE_PRIVATE: return m->file[p->index].b;
    case MODEL_OWN: break;
    }
    return zeros;
}

/* The bytes that a write to the page changes. */
static inline uint8_t *model_write(struct model *m, struct model_page *p)
{
    if (p->kind == MODEL_SHM)
        return m->shm[p->index].b;
    if (p->kind == MODEL_FILE_SHARED)
        return m->file[p->index].b;
    if (!p->own) {
        struct model_bytes *own = malloc(sizeof *own);
        memcpy(own->b, model_read(m, p), PAGE_SIZE);
        p->own = own;
    }
    return p->own->b;
}

static inline void model_drop(struct model_page *p)
{
    free(p->own);
    *p = (struct model_page){0};
}

static inline void model_fork(struct model *m, int from, int to)
{
    m->alive[to] = true;
    for (int i = 0; i < MODEL_PAGES; i++) {
        struct model_page *a = &m->page[from][i], *b = &m->page[to][i];
        *b = *a;
        if (a->own) {
            b->own = malloc(sizeof *b->own);
            *b->own = *a->own;
        }
    }
}

static inline void model_exit(struct model *m, int mm)
{
    m->alive[mm] = false;
    for (int i = 0; i < MODEL_PAGES; i++)
        model_drop(&m->page[mm][i]);
}

/* Is the range wholly unmapped, wholly mapped? */
static inline unsigned model_mapped(const struct model *m, int mm, unsigned at, unsigned n)
{
    unsigned mapped = 0;
    for (unsigned i = at; i < at + n; i++)
        mapped += m->page[mm][i].mapped;
    return mapped;
}

/* At most so many frames can be needed by what the model holds. */
static inline unsigned model_most_frames(const struct model *m)
{
    unsigned n = MODEL_FILE + m->shms;
    for (int mm = 0; mm < MODEL_MMS; mm++)
        for (int i = 0; i < MODEL_PAGES; i++)
            n += m->page[mm][i].own != NULL;
    return n;
}

#endif
