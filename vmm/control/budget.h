/*
 * What the control socket's clients take of the guest's time, and when they must rest: requests
 * without end must not stop a guest without end. A machine that somebody holds loses nothing by a
 * request, and a pause is what somebody wants; but one that is over at once is a request like
 * others, and its whole length counts.
 *
 * Times are microseconds of one monotonic clock. Not thread-safe: the server's thread has it.
 */
#ifndef UMBRA_VMM_CONTROL_BUDGET_H
#define UMBRA_VMM_CONTROL_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

enum {
    BUDGET_SHARE = 3,         /* of a running guest's time clients may take one part in so many, */
    BUDGET_BURST_US = 500000, /* ... once this much has been used up */
    BUDGET_SHORT_PAUSE_US = 100000, /* a pause up to here counts */
};

struct budget {
    uint64_t used;      /* less what has been earned since */
    uint64_t paused_at; /* when a client made the running machine stand; 0: none has */
};

/* A request has kept the running guest for that long. */
void budget_charge(struct budget *b, uint64_t us);
/* A client has asked the running machine at `at` to stand still; it goes on at `at`. */
void budget_pause(struct budget *b, uint64_t at);
void budget_resume(struct budget *b, uint64_t at);
/* So much time has gone by. Must clients rest? Not while the machine stands. */
bool budget_over(struct budget *b, uint64_t passed, bool held);

#endif
