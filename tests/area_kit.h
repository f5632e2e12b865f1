/* What the tests of the swap back end share: scratch files, and pages whose content tells who they
 * are. */
#ifndef UMBRA_TESTS_AREA_KIT_H
#define UMBRA_TESTS_AREA_KIT_H

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mm/area.h"
#include "mm/store.h"
#include "tests/rng.h"

#define KIT_PAGE __attribute__((aligned(4096)))

static inline uint64_t kit_rand(uint64_t *s)
{
    return rng_next(s) * 0x2545f4914f6cdd1dull;
}

/* A page that does not compress. */
static inline void kit_noise(void *page, uint64_t seed)
{
    uint64_t s = seed * 0x9e3779b97f4a7c15ull + 1, *w = page;
    for (unsigned i = 0; i < PAGE_SIZE / 8; i++)
        w[i] = kit_rand(&s);
}

/* A page that compresses to about `noise` eighths of its size. */
static inline void kit_mixed(void *page, uint64_t seed, unsigned noise)
{
    uint64_t s = seed * 0x9e3779b97f4a7c15ull + 1, *w = page;
    for (unsigned i = 0; i < PAGE_SIZE / 8; i++)
        w[i] = i % 8 < noise || i == 0 ? kit_rand(&s) : seed;
}

static inline void kit_text(void *page, uint64_t seed)
{
    kit_mixed(page, seed, 2);
}

static inline char *kit_path_in(const char *dir)
{
    char *p = NULL;
    cr_assert_gt(asprintf(&p, "%s/umbra-area-XXXXXX", dir), 0);
    int fd = mkstemp(p);
    cr_assert_geq(fd, 0, "mkstemp %s", p);
    close(fd);
    unlink(p);
    return p;
}

/* A file name of our own that does not exist yet; freed with kit_remove. */
static inline char *kit_path(void)
{
    const char *dir = getenv("TMPDIR");
    return kit_path_in(dir ? dir : "/tmp");
}

/* The same in memory where the host has such a place, for tests that do little else than make
 * files. */
static inline char *kit_quick_path(void)
{
    return access("/dev/shm", W_OK) == 0 ? kit_path_in("/dev/shm") : kit_path();
}

static inline void kit_remove(char *path)
{
    unlink(path);
    free(path);
}

/* A formatted area with so many slots, header included. */
static inline char *kit_area(uint32_t slots)
{
    char *p = kit_path();
    struct mm_err err = {""};
    cr_assert_eq(area_format(p, (uint64_t)slots * PAGE_SIZE, &err), 0, "%s", err.text);
    return p;
}

static inline struct store *kit_store(const char *path, uint64_t zpool, enum aio_engine engine)
{
    struct store *st = NULL;
    struct mm_err err = {""};
    const struct store_opts o = {.path = path, .zpool_bytes = zpool, .engine = engine};
    cr_assert_eq(store_open(&o, &st, &err), 0, "%s", err.text);
    return st;
}

static inline slot_t kit_alloc(struct store *st)
{
    slot_t s = 0;
    cr_assert_eq(store_alloc(st, NULL, &s), 0);
    cr_assert_neq(s, 0);
    return s;
}

static inline void kit_audit(struct store *st)
{
    char msg[200] = "";
    cr_assert_eq(store_audit(st, msg, sizeof msg), 0, "%s", msg);
}

/* Nothing is left: no slot in use, no entry in the pool. */
static inline void kit_empty(struct store *st)
{
    struct store_stats n;
    kit_audit(st);
    store_get_stats(st, &n);
    cr_assert_eq(n.slots.used, n.slots.saturated);
    cr_assert_eq(n.zpool_entries, 0);
    cr_assert_eq(n.zpool_data, 0);
}

/* Engines that this build and host have; tests run once for each. */
static inline unsigned kit_engines(enum aio_engine out[2])
{
    unsigned n = 0;
    struct aio *a;
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (aio_create(fd, 1, AIO_URING, &a) == 0) {
        aio_destroy(a);
        out[n++] = AIO_URING;
    }
    close(fd);
    out[n++] = AIO_THREAD;
    return n;
}

static inline struct store_stats stats_of(struct store *st)
{
    struct store_stats n;
    store_get_stats(st, &n);
    return n;
}

/* The page is there, and there. */
static inline void expect(struct store *st, slot_t s, const void *page, enum store_where where)
{
    static KIT_PAGE uint8_t out[PAGE_SIZE];
    enum store_where from = STORE_FREE;
    cr_assert_eq(store_where(st, s), where);
    memset(out, 0xee, sizeof out);
    cr_assert_eq(store_read(st, s, out, &from), 0);
    cr_assert_eq(from, where);
    cr_assert_arr_eq(page, out, PAGE_SIZE);
}

/* A hook: every write ends with the error at ctx. */
static inline int fail_write(void *ctx, enum aio_point at, const struct aio_req *req)
{
    return at == AIO_AT_COMPLETE && req->op == AIO_WRITE ? *(int *)ctx : 0;
}

#define FOR_EACH_ENGINE(e)                                                                         \
    enum aio_engine kit_es[2];                                                                     \
    unsigned kit_n = kit_engines(kit_es);                                                          \
    for (enum aio_engine *kit_e = kit_es, e = *kit_e; kit_e < kit_es + kit_n;                      \
         kit_e++, e = kit_e < kit_es + kit_n ? *kit_e : e)

#endif
