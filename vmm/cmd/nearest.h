/*
 * "Did you mean ...?": the known word nearest to one that was mistyped.
 */
#ifndef UMBRA_VMM_CMD_NEAREST_H
#define UMBRA_VMM_CMD_NEAREST_H

/* Number of letters to insert, drop, replace or swap with a neighbour to make a of b. Words over 63
 * bytes count as far away. */
unsigned word_distance(const char *a, const char *b);

/* A search over many candidates. Start with {.typed = word}; best stays NULL when none is near
 * enough to be what was meant (two edits, and under half of the word). */
struct nearest {
    const char *typed;
    const char *best;
    unsigned distance;
};

void nearest_try(struct nearest *n, const char *candidate);

#endif
