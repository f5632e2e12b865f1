/* See pagesum.h. */
#include "mm/pagesum.h"

#include "mm/types.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t page_sum_plain(const void *page)
{
    return XXH3_64bits(page, PAGE_SIZE);
}

bool page_sum_has_avx2(void)
{
    return __builtin_cpu_supports("avx2") != 0;
}

uint64_t page_sum(const void *page)
{
    return page_sum_has_avx2() ? page_sum_avx2(page) : page_sum_plain(page);
}
