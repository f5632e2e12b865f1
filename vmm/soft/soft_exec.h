/*
 * How handlers of a block go from one instruction to the next.
 *
 * Optimised builds thread them: a handler ends in a tail call of the next one's. Elsewhere, where
 * the compiler may not turn that into a jump, it returns to a loop in soft_exec.c, so that the C
 * stack cannot grow. The handlers are the same source.
 */
#ifndef UMBRA_VMM_SOFT_SOFT_EXEC_H
#define UMBRA_VMM_SOFT_SOFT_EXEC_H

#include "vmm/soft/soft_state.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SOFT_SANITIZED 1
#endif
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SOFT_SANITIZED 1
#endif
#if defined(__OPTIMIZE__) && !defined(SOFT_SANITIZED)
#define SOFT_THREADED 1
#else
#define SOFT_THREADED 0
#endif

#if SOFT_THREADED
#define SOFT_LEAVE      return
#define SOFT_GO(next)   return (next)->run(s, (next), c)
#define SOFT_START(blk) return (blk)->entry(s, (blk)->insn, c)
#else
#define SOFT_LEAVE                                                                                 \
    do {                                                                                           \
        s->ip = NULL;                                                                              \
        return;                                                                                    \
    } while (0)
#define SOFT_GO(next)                                                                              \
    do {                                                                                           \
        s->ip = (next);                                                                            \
        return;                                                                                    \
    } while (0)
#define SOFT_START(blk) SOFT_GO((blk)->insn)
#endif

SOFT_INLINE struct block *soft_block_of(const struct insn *i)
{
    return (struct block *)((uintptr_t)(i - i->idx) - offsetof(struct block, insn));
}

/* Behind the last instruction of a block. */
SOFT_INLINE struct tail *soft_tail_of(const struct insn *last)
{
    return (struct tail *)(uintptr_t)(last + 1);
}

/* Go on with block b, unless somebody wants the run loop's attention or the budget does not reach
 * to its end. */
#define SOFT_ENTER(b)                                                                              \
    do {                                                                                           \
        struct block *to_ = (b);                                                                   \
        if (soft_unlikely(atomic_load_explicit(&s->core.attention, memory_order_relaxed) != 0) ||  \
            soft_unlikely(s->left < to_->n)) {                                                     \
            c->eip = to_->eip;                                                                     \
            SOFT_LEAVE;                                                                            \
        }                                                                                          \
        s->left -= to_->n;                                                                         \
        SOFT_START(to_);                                                                           \
    } while (0)

/* Leave the block by link k (0: falling through, 1: taken) to eip. */
#define SOFT_FOLLOW(tail, k, to_eip)                                                               \
    do {                                                                                           \
        struct link *link_ = &(tail)->link[k];                                                     \
        if (soft_likely(link_->gen == s->gen) || soft_link_renew(s, (tail)->block, link_))         \
            SOFT_ENTER(link_->to);                                                                 \
        c->eip = (to_eip);                                                                         \
        s->want = link_;                                                                           \
        SOFT_LEAVE;                                                                                \
    } while (0)

/* ... to an address that is known only now. */
#define SOFT_JUMP(to_eip)                                                                          \
    do {                                                                                           \
        const uint32_t eip_ = (to_eip);                                                            \
        struct jump *jump_ = soft_jump_slot(s, eip_);                                              \
        if (soft_jump_holds(s, jump_, eip_))                                                       \
            SOFT_ENTER(jump_->to);                                                                 \
        c->eip = eip_;                                                                             \
        SOFT_LEAVE;                                                                                \
    } while (0)

#endif
