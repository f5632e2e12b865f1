#include "vmm/cmd/nearest.h"

#include <string.h>

#define WORD_MAX 63u

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

unsigned word_distance(const char *a, const char *b)
{
    size_t la = strlen(a), lb = strlen(b);
    if (la > WORD_MAX || lb > WORD_MAX)
        return WORD_MAX;
    /* d[i][j]: distance of a's first i letters from b's first j; only the last three rows are kept.
     */
    unsigned d[3][WORD_MAX + 1];
    for (unsigned j = 0; j <= lb; j++)
        d[0][j] = j;
    for (unsigned i = 1; i <= la; i++) {
        unsigned *now = d[i % 3], *up = d[(i - 1) % 3], *upup = d[(i + 1) % 3];
        now[0] = i;
        for (unsigned j = 1; j <= lb; j++) {
            unsigned differ = a[i - 1] != b[j - 1];
            now[j] = least(least(up[j] + 1, now[j - 1] + 1), up[j - 1] + differ);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                now[j] = least(now[j], upup[j - 2] + 1);
        }
    }
    return d[la % 3][lb];
}

void nearest_try(struct nearest *n, const char *candidate)
{
    unsigned dist = word_distance(n->typed, candidate);
    if (dist > 2 || (size_t)dist * 2 >= strlen(candidate))
        return;
    if (!n->best || dist < n->distance) {
        n->best = candidate;
        n->distance = dist;
    }
}
