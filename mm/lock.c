/* The slow halves of the locks (lock.h), and the check of their order in debug builds. */
#include "mm/lock.h"

#include <assert.h>
#include <linux/futex.h>
#include <sched.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { SPINS = 100 };

static inline void cpu_relax(void)
{
    __builtin_ia32_pause();
}

void lock_wait(struct mm_lock *l)
{
    for (int i = 0; i < SPINS; i++) {
        uint32_t free = 0;
        if (atomic_compare_exchange_weak_explicit(&l->v, &free, 1, memory_order_acquire,
                                                  memory_order_relaxed))
            return;
        cpu_relax();
    }
    while (atomic_exchange_explicit(&l->v, 2, memory_order_acquire) != 0)
        syscall(SYS_futex, &l->v, FUTEX_WAIT_PRIVATE, 2, NULL, NULL, 0);
}

void lock_wake(struct mm_lock *l)
{
    syscall(SYS_futex, &l->v, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

void spin_wait(struct mm_spin *l)
{
    int spins = 0;
    while (atomic_exchange_explicit(&l->v, 1, memory_order_acquire) != 0) {
        while (atomic_load_explicit(&l->v, memory_order_relaxed) != 0) {
            if (++spins < SPINS)
                cpu_relax();
            else
                sched_yield(); /* the holder may need this very CPU */
        }
    }
}

#ifdef MM_DEBUG
/* How many locks of each rank this thread holds. A thread's own bookkeeping, shared with nobody. */
static _Thread_local uint8_t held[LOCK_RANKS];

void lock_check_none_from(enum lock_rank r)
{
    for (int i = (int)r; i < LOCK_RANKS; i++)
        assert(held[i] == 0 && "lock order");
}

void lock_check_take(enum lock_rank r)
{
    lock_check_none_from(r);
    held[r]++;
}

void lock_check_drop(enum lock_rank r)
{
    assert(held[r] == 1 && "lock not held");
    held[r]--;
}
#endif
