/*
 * Address spaces that the monitor manages (guest/abi.h): calls, the window, and a guest that forks.
 *
 * A fork copies everything that is not shared, this runtime's stack and variables too. sp_spawn()
 * returns twice, as fork(2) does, but there is one processor: the child's return comes when
 * somebody goes there with sp_go(). What spaces tell each other goes through sp_shared.
 */
#ifndef UMBRA_GUEST_RT_SPACE_H
#define UMBRA_GUEST_RT_SPACE_H

#include "guest/rt/trap.h"

#define SP_RO   UMBRA_PROT_READ
#define SP_RW   (UMBRA_PROT_READ | UMBRA_PROT_WRITE)
#define SP_TEST 0x40000000u /* free for tests, up to 0x80000000 */

/* A page that all spaces share. */
struct sp_shared {
    struct tap_counts tap;
    uint32_t word[64];
};
#define sp_shared ((volatile struct sp_shared *)0x3ffff000u)

/* Traps, a managed machine, sp_shared. */
void sp_init(void);

/* Results are enum umbra_status. */
int32_t sp_map(uint32_t la, uint32_t pages, uint32_t prot, uint32_t flags);
int32_t sp_map_module(uint32_t la, uint32_t pages, uint32_t prot, uint32_t flags, uint32_t first);
int32_t sp_unmap(uint32_t la, uint32_t pages);
int32_t sp_protect(uint32_t la, uint32_t pages, uint32_t prot);
int32_t sp_exit(uint32_t id);
/* Any call, for those that try what is not allowed. */
int32_t sp_call(uint32_t number, uint32_t a0, uint32_t a1, uint32_t a2, uint32_t a3);
/* How many pages of the range are out now. Panics on an error. */
uint32_t sp_reclaim(uint32_t la, uint32_t pages);
/* The results lie in the returned block until the next call. */
const struct umbra_hc *sp_info(void);
const struct umbra_hc *sp_swap_info(void);

/* The number of the child, or 0 in it. */
uint32_t sp_spawn(void);
/* Go on in another space where it left off; returns when somebody comes back here. */
void sp_go(uint32_t id);

/* The window's entry of a page. */
static inline uint32_t sp_pte(uint32_t la)
{
    return load32(UMBRA_WINDOW + (la >> 12) * 4);
}

/* Results of rt_pte_query(). */
enum { Q_GUEST, Q_BACKING, Q_PTE, Q_FRAME, Q_REFS, Q_MAPS, Q_SHADOW };

/* Does the query say so? Notes what it says if not. */
bool sp_is(uint32_t la, uint32_t backing, uint32_t maps);
/* Are the low bits (P W A D) of the window's entry these? Notes what they are if not. */
bool sp_bits(uint32_t la, uint32_t bits);
uint32_t sp_frame(uint32_t la);

/* Words of a page that depend on page, place and seed. */
void sp_fill(uint32_t la, uint32_t seed);
bool sp_holds(uint32_t la, uint32_t seed);

/* Set when there is swap; else the rest of a test that needs some is skipped. */
bool sp_has_swap(void);

#endif
