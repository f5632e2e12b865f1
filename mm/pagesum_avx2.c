/* The same sum, compiled for AVX2: xxHash's header chooses its code by what the compiler may use.
 */
#include "mm/pagesum.h"
#include "mm/types.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t page_sum_avx2(const void *page)
{
    return XXH3_64bits(page, PAGE_SIZE);
}
