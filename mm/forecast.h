/*
 * What a fault would do, without doing it: for whoever explains a page to people.
 */
#ifndef UMBRA_MM_FORECAST_H
#define UMBRA_MM_FORECAST_H

#include "mm/mm.h"

struct mm_forecast {
    enum mm_result result; /* MM_MINOR, MM_MAJOR, MM_SPURIOUS, MM_BADADDR, MM_PROT */
    uint32_t path; /* enum mm_path bits, without those that depend on what else goes on: read-ahead,
                      reclaim, races */
    bool exact;    /* false: the page is a file's or shared memory's; where its content is now is
                      its object's to know, and only the last step is told */
};

/* What mm_fault(mm, gfn, access) would answer if nothing fails. Changes nothing. */
struct mm_forecast mm_forecast(struct mm *mm, gfn_t gfn, enum mm_access access);

#endif
