/*
 * Swap, as users of mm/ see it: attach a store to a pool, and take it away again.
 */
#ifndef UMBRA_MM_SWAP_H
#define UMBRA_MM_SWAP_H

#include "mm/err.h"
#include "mm/pool.h"
#include "mm/store.h"

/*
 * From now on pages of the pool may go to the store. It stays the caller's, who closes it after
 * pool_swapoff, or after every mm and the pool are gone. 0, -EBUSY: one is attached; -EINVAL: more
 * slots than a PTE can name; -ENOMEM.
 */
int pool_swapon(struct pool *p, struct store *st);

/*
 * Bring every page back and detach the store (behaviour 25). 0; -ENOENT: none is attached; -ENOMEM:
 * there is not room for all of it (err says how much is short), -EIO: a page cannot be read back
 * (err says which). On an error the store stays attached and in use, and nothing is lost.
 */
int pool_swapoff(struct pool *p, struct mm_err *err);

/* What of the pool is out: pages in slots, frames in the swap cache. */
struct pool_swap_info {
    bool attached;
    uint32_t slots, used, cached, in_flight;
};
void pool_swap_info(const struct pool *p, struct pool_swap_info *out);

#endif
