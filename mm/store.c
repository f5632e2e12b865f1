/*
 * The swap store: opening, slots, reports, audit.
 */
#include "mm/store.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "mm/store_priv.h"

/* Slots of a store without a disk: eight pages in the room of one is more than LZ4 gives,
 * same-filled ones aside. */
static int slots_without_disk(const struct store_opts *o, uint32_t *slots, struct mm_err *err)
{
    if (o->slots == 1 || o->slots > SLOTS_MAX)
        return mm_err_set(err, -EINVAL, "compressed pool: %" PRIu32 " slots; give 2 to %u",
                          o->slots, SLOTS_MAX);
    uint64_t n = o->slots ? o->slots : o->zpool_bytes / PAGE_SIZE * 8 + 1;
    *slots = n < SLOTS_MAX ? (uint32_t)n : SLOTS_MAX;
    return 0;
}

static int check_opts(const struct store_opts *o, struct mm_err *err)
{
    if (!o->path && !o->zpool_bytes)
        return mm_err_set(err, -EINVAL,
                          "swap: neither an area nor a compressed pool; give --swap FILE or "
                          "--zpool SIZE");
    if (o->zpool_bytes && (o->zpool_bytes < ZPOOL_MIN_BYTES || o->zpool_bytes > ZPOOL_MAX_BYTES))
        return mm_err_set(err, -EINVAL,
                          "compressed pool: size is %" PRIu64 " bytes; give %" PRIu64
                          " to %" PRIu64,
                          o->zpool_bytes, ZPOOL_MIN_BYTES, ZPOOL_MAX_BYTES);
    return 0;
}

static int open_parts(struct store *st, const struct store_opts *o, struct mm_err *err)
{
    uint32_t slots = 0;
    int e;
    if (o->path) {
        const struct area_opts ao = {.engine = o->engine, .buffered = o->buffered};
        struct area_info info;
        if ((e = area_open(o->path, &ao, &st->area, err)))
            return e;
        area_get_info(st->area, &info);
        slots = info.slots;
        if ((e = store_wb_init(st, o, err)))
            return e;
    } else if ((e = slots_without_disk(o, &slots, err))) {
        return e;
    }
    e = slotmap_create(slots, &st->map);
    if (!e && o->zpool_bytes)
        e = zpool_create(o->zpool_bytes, &st->zp);
    if (!e && !(st->loc = calloc(slots, sizeof *st->loc)))
        e = -ENOMEM;
    return e ? mm_err_set(err, e,
                          "swap: no memory for %" PRIu32 " slots and %" PRIu64
                          " bytes of compressed pool",
                          slots, o->zpool_bytes)
             : 0;
}

static void store_free(struct store *st)
{
    store_wb_fini(st);
    area_close(st->area);
    zpool_destroy(st->zp);
    slotmap_destroy(st->map);
    free(st->loc);
    for (unsigned i = 0; i < STORE_STRIPES; i++)
        pthread_mutex_destroy(&st->stripe[i]);
    pthread_mutex_destroy(&st->wb_lock);
    free(st);
}

int store_open(const struct store_opts *opts, struct store **out, struct mm_err *err)
{
    int e = check_opts(opts, err);
    if (e)
        return e;
    struct store *st = calloc(1, sizeof *st);
    if (!st)
        return mm_err_set(err, -ENOMEM, "swap: out of memory");
    for (unsigned i = 0; i < STORE_STRIPES; i++)
        pthread_mutex_init(&st->stripe[i], NULL);
    pthread_mutex_init(&st->wb_lock, NULL);
    e = open_parts(st, opts, err);
    if (e) {
        store_free(st);
        return e;
    }
    st->fail = opts->fail;
    store_set_io_hook(st, NULL, NULL);
    *out = st;
    return 0;
}

void store_close(struct store *st)
{
    if (!st)
        return;
    store_drain(st);
    store_free(st);
}

int store_alloc(struct store *st, struct slot_cluster *c, slot_t *out)
{
    if (fail_now(st->fail, FAIL_SLOT))
        return -ENOSPC;
    return slotmap_alloc(st->map, c, out);
}

int store_dup(struct store *st, slot_t s)
{
    return slotmap_dup(st->map, s);
}

void store_drop(struct store *st, slot_t s)
{
    struct loc *l = &st->loc[s];
    if (l->zh)
        zpool_free(st->zp, l->zh);
    l->zh = 0;
    l->where = STORE_EMPTY;
}

static void release(struct store *st, slot_t s)
{
    pthread_mutex_lock(store_stripe(st, s));
    store_drop(st, s);
    pthread_mutex_unlock(store_stripe(st, s));
    slotmap_release(st->map, s);
}

void store_put(struct store *st, slot_t s)
{
    if (slotmap_put(st->map, s))
        release(st, s);
}

void store_unpin(struct store *st, slot_t s)
{
    if (slotmap_unpin(st->map, s))
        release(st, s);
}

unsigned store_count(const struct store *st, slot_t s)
{
    return slotmap_count(st->map, s);
}

bool store_half_full(const struct store *st)
{
    return slotmap_half_full(st->map);
}

enum store_where store_where(struct store *st, slot_t s)
{
    if (slotmap_count(st->map, s) == 0)
        return slotmap_bad(st->map, s) ? STORE_BAD : STORE_FREE;
    pthread_mutex_lock(store_stripe(st, s));
    enum store_where w = st->loc[s].where;
    pthread_mutex_unlock(store_stripe(st, s));
    return w == STORE_FREE ? STORE_EMPTY : w;
}

bool store_has_disk(const struct store *st)
{
    return st->area != NULL;
}

void store_freeze(struct store *st, bool frozen)
{
    slotmap_freeze(st->map, frozen);
}

slot_t store_next_used(const struct store *st, slot_t from)
{
    return slotmap_next_used(st->map, from);
}

void store_kick(struct store *st)
{
    if (st->area)
        aio_kick(area_aio(st->area));
}

unsigned store_poll(struct store *st)
{
    return st->area ? aio_poll(area_aio(st->area)) : 0;
}

unsigned store_wait(struct store *st)
{
    return st->area ? aio_wait(area_aio(st->area)) : 0;
}

void store_drain(struct store *st)
{
    if (st->area)
        aio_drain(area_aio(st->area));
}

/* The test's hook first, then its failpoint. */
static int io_hook(void *ctx, enum aio_point at, const struct aio_req *req)
{
    struct store *st = ctx;
    int h = st->hook ? st->hook(st->hook_ctx, at, req) : 0;
    if (h)
        return h;
    enum fail_kind kind = at == AIO_AT_SUBMIT    ? FAIL_SUBMIT
                          : req->op == AIO_WRITE ? FAIL_WRITE
                                                 : FAIL_READ;
    return fail_now(st->fail, kind) ? -EIO : 0;
}

void store_set_io_hook(struct store *st, aio_hook *hook, void *ctx)
{
    st->hook = hook;
    st->hook_ctx = ctx;
    if (st->area) {
        aio_hook *ours = hook || st->fail ? io_hook : NULL;
        aio_set_hook(area_aio(st->area), ours, st);
        aio_set_hook(st->wb_aio, ours, st);
    }
}

void store_get_stats(struct store *st, struct store_stats *out)
{
    *out = (struct store_stats){
        .writes_same = st->n.writes_same,
        .writes_zpool = st->n.writes_zpool,
        .writes_disk = st->n.writes_disk,
        .reads_same = st->n.reads_same,
        .reads_zpool = st->n.reads_zpool,
        .reads_disk = st->n.reads_disk,
        .bypassed = st->n.bypassed,
        .written_back = st->n.written_back,
        .write_errors = st->n.write_errors,
        .read_errors = st->n.read_errors,
        .torn = st->n.torn,
        .full = st->n.full,
    };
    slotmap_get_stats(st->map, &out->slots);
    if (st->zp) {
        struct zpool_stats z;
        zpool_get_stats(st->zp, &z);
        out->zpool_held = z.bytes_held;
        out->zpool_max = z.bytes_max;
        out->zpool_data = z.bytes_data;
        out->zpool_entries = z.entries;
    }
}

void store_describe(const struct store *st, char *buf, size_t len)
{
    char pool[48] = "";
    if (st->zp) {
        struct zpool_stats z;
        zpool_get_stats(st->zp, &z);
        snprintf(pool, sizeof pool, "%" PRIu64 " KiB compressed", z.bytes_max >> 10);
    }
    if (!st->area) {
        snprintf(buf, len, "%s (%" PRIu32 " slots, no area)", pool, slotmap_slots(st->map) - 1);
        return;
    }
    struct area_info i;
    area_get_info(st->area, &i);
    snprintf(buf, len, "area %s (%" PRIu32 " slots, %s, %s, generation %" PRIu64 ")%s%s",
             area_path(st->area), i.slots - 1, i.direct ? "O_DIRECT" : "buffered",
             aio_engine_name(i.engine), i.generation, *pool ? " behind " : "", pool);
}

static int audit_slot(struct store *st, slot_t s, uint64_t *pooled, char *msg, size_t len)
{
    pthread_mutex_lock(store_stripe(st, s));
    struct loc l = st->loc[s];
    pthread_mutex_unlock(store_stripe(st, s));
    bool named = slotmap_count(st->map, s) || slotmap_pins(st->map, s);
    bool holds = l.where != STORE_FREE && l.where != STORE_EMPTY;
    *pooled += l.where == STORE_ZPOOL;
    const char *wrong = NULL;
    if (!named && holds)
        wrong = "holds content though nobody names it";
    else if ((l.where == STORE_ZPOOL) != (l.zh != 0))
        wrong = "and its compressed entry disagree";
    else if (l.wb && (l.where != STORE_ZPOOL || !slotmap_pins(st->map, s)))
        wrong = "is being written back but not pinned in the pool";
    else if (l.where == STORE_WRITING && !slotmap_pins(st->map, s))
        wrong = "is being written but not pinned";
    if (!wrong)
        return 0;
    snprintf(msg, len, "slot %u %s (state %u, count %u, pins %u, entry %u)", s, wrong, l.where,
             slotmap_count(st->map, s), slotmap_pins(st->map, s), l.zh);
    return -EUCLEAN;
}

int store_audit(struct store *st, char *msg, size_t len)
{
    uint64_t pooled = 0;
    int e = slotmap_audit(st->map, msg, len);
    for (slot_t s = 1; !e && s < slotmap_slots(st->map); s++)
        e = audit_slot(st, s, &pooled, msg, len);
    if (!e && st->zp) {
        struct zpool_stats z;
        zpool_get_stats(st->zp, &z);
        e = zpool_audit(st->zp, msg, len);
        if (!e && z.entries != pooled) {
            snprintf(msg, len, "compressed pool has %" PRIu64 " entries, slots name %" PRIu64,
                     z.entries, pooled);
            e = -EUCLEAN;
        }
    }
    return e;
}
