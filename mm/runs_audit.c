/* The runs' part of the audit: bitmaps, counts, lists and owners (runs.h). */
#include <errno.h>
#include <stdio.h>

#include "mm/mm_int.h"
#include "mm/runs.h"

struct runs_found {
    char *msg;
    size_t len;
    uint32_t left, grown;
};

#define SAYS(f, ...) (snprintf((f)->msg, (f)->len, __VA_ARGS__), -EUCLEAN)

static int check_run(const struct pool *p, uint32_t i, struct runs_found *f)
{
    const struct run *r = &p->runs[i];
    uint32_t n = 0;
    for (uint32_t k = 0; k < RUN_FRAMES; k++) {
        const frame_t frame = i * RUN_FRAMES + k;
        const bool is_free = r->free[k / 64] >> k % 64 & 1, real = r->real >> k / 64 & 1;
        if (is_free && frame >= p->frames_max)
            return SAYS(f, "run %u has frame %u, which the pool has not", i, frame);
        if (!is_free && frame < p->frames_max && !real)
            return SAYS(f, "run %u has handed out frame %u, which has no memory", i, frame);
        n += is_free;
        f->grown += real && frame < p->frames_max;
    }
    if (n != r->left)
        return SAYS(f, "run %u has %u free frames, counted %u", i, n, r->left);
    if (r->owner && r->owner->run[r->range] != i)
        return SAYS(f, "run %u is reserved for range %u of %s, which does not know it", i, r->range,
                    r->owner->name);
    f->left += n;
    return 0;
}

static int check_lists(const struct pool *p, struct runs_found *f)
{
    uint32_t met = 0;
    for (int k = 0; k < RUN_LISTS; k++)
        for (uint32_t i = p->run_heads[k].first, prev = 0; i; prev = i, i = p->runs[i].next) {
            const struct run *r = &p->runs[i];
            const int want = !r->left                ? RUN_USED_UP
                             : r->owner              ? RUN_OWNED
                             : r->left == RUN_FRAMES ? RUN_WHOLE
                                                     : RUN_LOOSE;
            if (r->list != k || want != k || r->prev != prev || i * RUN_FRAMES < p->run_low)
                return SAYS(f, "run %u is on list %d, should be on %d", i, k, want);
            met++;
        }
    const uint32_t runs = (p->frames_max - p->run_low + RUN_FRAMES - 1) / RUN_FRAMES;
    return met == runs ? 0 : SAYS(f, "%u runs are on lists, there are %u", met, runs);
}

int runs_audit(const struct pool *p, char *msg, size_t len)
{
    struct runs_found f = {.msg = msg, .len = len};
    int err = p->runs ? check_lists(p, &f) : 0;
    for (frame_t at = p->run_low; p->runs && at < p->frames_max && !err; at += RUN_FRAMES)
        err = check_run(p, at / RUN_FRAMES, &f);
    if (!err && (f.left != p->runs_left || f.grown != p->runs_grown))
        err = SAYS(&f, "runs have %u free frames of %u that exist, counted %u of %u", f.left,
                   f.grown, p->runs_left, p->runs_grown);
    return err;
}

bool runs_has_free(const struct pool *p, frame_t f)
{
    return p->runs && f >= p->run_low &&
           (p->runs[f / RUN_FRAMES].free[f % RUN_FRAMES / 64] >> f % 64 & 1);
}
