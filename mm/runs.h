/*
 * Runs of frames: aligned groups of 512, so that what lies together in an mm lies together in the
 * pool. runs.c says how. For the pool and the audit only; all but runs_init, runs_fini and
 * runs_disown under the pool's free_lock.
 */
#ifndef UMBRA_MM_RUNS_H
#define UMBRA_MM_RUNS_H

#include "mm/pool_int.h"

#define RUN_FRAMES 512u

struct run {
    struct mm *owner; /* whose range it is reserved for; NULL: no one's */
    uint32_t range;   /* of the owner: gfn / RUN_FRAMES */
    uint32_t prev, next;
    uint16_t left;    /* frames not handed out */
    uint8_t list;     /* enum run_list */
    uint8_t real;     /* by piece: is there memory? */
    uint64_t free[8]; /* by frame: not handed out */
    uint64_t used[8]; /* by frame: was handed out before, so that it may hold anything */
};

/* 64 frames of a run, which become real together. */
struct run_piece {
    uint32_t run, piece;
};

/* A pool of less than one run has none, and all works as without. 0, -ENOMEM. */
int runs_init(struct pool *p);
void runs_fini(struct pool *p);

/* The frame for a page that says where it would best lie. FRAME_NONE: any other is as good, or,
 * with want->run not 0, memory is needed for that piece first. */
frame_t runs_take_at(struct pool *p, const struct place *at, bool *zeroed, struct run_piece *want);
/* A frame that lies ready in a run of no one's. */
frame_t runs_take_loose(struct pool *p, bool *zeroed);
/* A frame of any run, reservations and all; *want as above. */
frame_t runs_take_last(struct pool *p, bool *zeroed, struct run_piece *want);
/* false: the frame belongs to no run. */
bool runs_give(struct pool *p, frame_t f);

/* The frames of a piece, from .. to - 1; whether it has memory; and that it has now. */
void runs_piece_frames(const struct pool *p, struct run_piece w, uint32_t *from, uint32_t *to);
bool runs_piece_real(const struct pool *p, struct run_piece w);
void runs_piece_grown(struct pool *p, struct run_piece w);

/* Do bitmaps, counts, lists and owners add up? 0, or -EUCLEAN with the first fault in msg. */
int runs_audit(const struct pool *p, char *msg, size_t len);
/* Is this frame of a run there to be handed out? */
bool runs_has_free(const struct pool *p, frame_t f);

/* The mm is going: its runs are no one's. */
void runs_disown(struct mm *mm);

#endif
