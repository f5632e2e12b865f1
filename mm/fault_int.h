/* What the handlers of one fault share (fault.c, cow.c, fault_object.c, swapin.c). */
#ifndef UMBRA_MM_FAULT_INT_H
#define UMBRA_MM_FAULT_INT_H

#include "mm/mm_int.h"

struct fault {
    struct mm *mm;
    gfn_t gfn;
    bool write;
    bool major;           /* a read from area or file was made on the way */
    uint32_t node;        /* a reverse-map node in reserve, or 0 */
    struct region region; /* a copy: the list may be replaced while ptl is dropped */
    pte_t pte;            /* as found */
    struct mm_fault out;
};

/*
 * A handler is entered with ptl held and leaves with it dropped: done, or asking to start over.
 * What it did without the lock (taking a frame, reading) counts only if region and entry are still
 * as they were when the lock is back: fault_unchanged().
 */
enum step { STEP_DONE, STEP_AGAIN };

/* Ends the fault with an error. ptl held; dropped here. */
enum step fault_fails(struct fault *f, enum mm_result result);
/* Ends it with the entry `pte` standing. ptl held; dropped here. */
enum step fault_served(struct fault *f, pte_t pte);
/* ptl was dropped and is back: may the fault go on as if it had been held all the time? */
bool fault_unchanged(struct fault *f);
/* Gives up what was done without the lock in favour of another: ptl held; dropped here. */
enum step fault_lost(struct fault *f);
/* ptl not held. False: no memory for a node. */
bool fault_reserve_node(struct fault *f);
/* Where a frame for the fault's page would best lie. A run is only for a range that one region of
 * private anonymous memory holds whole. */
struct place fault_place(const struct fault *f);
/* Maps the fault's own new frame, writable and dirty. ptl held. */
void fault_install(struct fault *f, frame_t frame);

enum step fault_fresh(struct fault *f);           /* fault.c: zeroed frame, behaviours 5 to 7 */
enum step fault_write_protected(struct fault *f); /* cow.c: behaviours 8, 9, 12 */
enum step fault_object(struct fault *f);          /* fault_object.c */
enum step fault_swapped(struct fault *f);         /* swapin.c: behaviours 13 to 18 */

#endif
