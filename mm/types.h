/*
 * Words of the memory manager as types, so that two kinds of address never mix.
 * Users of mm/ need this header and mm.h; it depends on nothing else of ours.
 */
#ifndef UMBRA_MM_TYPES_H
#define UMBRA_MM_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGE_SHIFT 12
#define PAGE_SIZE  4096u
#define PAGE_MASK  4095u

/* A host page of the frame pool, by its index in the pool's memfd. */
typedef uint32_t frame_t;
#define FRAME_NONE UINT32_MAX

/* Guest-physical page number: gpa >> 12. An mm spans gfn 0 .. MM_GFNS-1 (4 GiB). */
typedef uint32_t gfn_t;
#define MM_GFNS (1u << 20)

/* Guest-physical address in bytes. 64 bits wide so that base + length never wraps. */
typedef uint64_t gpa_t;

/* Offset of a page's copy in the swap area, in pages; slot 0 is the area's header. */
typedef uint32_t slot_t;

static inline gfn_t gfn_of(gpa_t gpa)
{
    return (gfn_t)(gpa >> PAGE_SHIFT);
}

static inline gpa_t gpa_of(gfn_t gfn)
{
    return (gpa_t)gfn << PAGE_SHIFT;
}

#endif
