/*
 * The checksum of a page that leaves: XXH3, 64 bits. It is made once on the way out and once on the
 * way in, so it is a good part of what a compressed page costs; where the host has AVX2 it takes an
 * eighth of the time. The sum is the same either way.
 */
#ifndef UMBRA_MM_PAGESUM_H
#define UMBRA_MM_PAGESUM_H

#include <stdbool.h>
#include <stdint.h>

/* Of PAGE_SIZE bytes, aligned as anything may be. */
uint64_t page_sum(const void *page);

/* The two that page_sum chooses from. page_sum_avx2 only where page_sum_has_avx2(). */
uint64_t page_sum_plain(const void *page);
uint64_t page_sum_avx2(const void *page);
bool page_sum_has_avx2(void);

#endif
