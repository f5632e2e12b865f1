/* What a pool has done so far (counters.h). */
#include "mm/counters.h"

#include "mm/pool_int.h"

_Static_assert(sizeof(struct mm_counters) == MM_COUNTER_COUNT * sizeof(uint64_t), "one each");

void mm_get_counters(const struct pool *p, struct mm_counters *out)
{
    uint64_t *to = (uint64_t *)out;
    for (int i = 0; i < MM_COUNTER_COUNT; i++)
        to[i] = atomic_load_explicit(&p->counters[i], memory_order_relaxed);
}

static const struct {
    const char *name, *text;
} names[] = {
#define X(name, text) {#name, text},
    MM_COUNTERS(X)
#undef X
};

const char *mm_counter_name(enum mm_counter i)
{
    return i < MM_COUNTER_COUNT ? names[i].name : "?";
}

const char *mm_counter_text(enum mm_counter i)
{
    return i < MM_COUNTER_COUNT ? names[i].text : "?";
}
