/* Sleeping on the lock of a frame (frame.h): FRAME_LOCKED and FRAME_WAITED in its flags. */
#include "mm/frame.h"

#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "mm/lock.h"

void frame_lock(struct frame *f)
{
    lock_check_none_from(LOCK_PTL);
    while (!frame_trylock(f)) {
        uint32_t now = atomic_fetch_or_explicit(&f->flags, FRAME_WAITED, memory_order_acq_rel);
        if (now & FRAME_LOCKED) /* other flags may change meanwhile: then it just looks again */
            syscall(SYS_futex, &f->flags, FUTEX_WAIT_PRIVATE, now | FRAME_WAITED, NULL, NULL, 0);
    }
}

void frame_unlock(struct frame *f)
{
    if (frame_clear(f, FRAME_LOCKED | FRAME_WAITED) & FRAME_WAITED)
        syscall(SYS_futex, &f->flags, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}
