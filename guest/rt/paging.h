/*
 * Two-level page tables for guests: pages of RAM, an identity map to live in, and the entry of any
 * address. Tables are used where they lie (identity), never through a window.
 */
#ifndef UMBRA_GUEST_RT_PAGING_H
#define UMBRA_GUEST_RT_PAGING_H

#include "guest/rt/trap.h"

/* A zeroed page of free RAM, by its guest-physical address. Panics when there is none. */
uint32_t pg_alloc(void);
/* n pages in a row, the first a multiple of align (a power of two). */
uint32_t pg_alloc_n(uint32_t n, uint32_t align);
/* First byte behind everything that pg_alloc has given. */
uint32_t pg_free_start(void);

/* A new page directory with RAM (at most PG_IDENTITY of it) mapped one to one: supervisor,
 * writable, by 4 KiB pages; the image's user section for ring 3. Returns its guest-physical
 * address. */
#define PG_IDENTITY 0x2000000u
uint32_t pg_identity(void);
/* The entries that decide about la. pg_pte makes the table if there is none; its PDE has all
 * rights. */
uint32_t *pg_pde(uint32_t pd, uint32_t la);
uint32_t *pg_pte(uint32_t pd, uint32_t la);
/* Map the page of la to gpa with the bits given (PTE_P included or not). No flush. */
void pg_map(uint32_t pd, uint32_t la, uint32_t gpa, uint32_t bits);
/* The same, with INVLPG. */
void pg_remap(uint32_t pd, uint32_t la, uint32_t gpa, uint32_t bits);

/* trap_init(), paging on with pd; CR0.WP and CR4 as given. */
void pg_start(uint32_t pd, bool wp, uint32_t cr4);
void pg_set_wp(bool on);

/* A range of linear addresses that no identity map has: 4 MiB each, free for tests. */
#define PG_TEST(n) (0x40000000u + (n)*0x400000u)

#endif
