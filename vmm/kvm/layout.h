/*
 * What lies where in the part of the kvm engine's machine that no guest page reaches: the monitor's
 * own pages (stub, descriptor tables, TSS, stack, queue), as machine-physical addresses and as
 * linear addresses of the stub. Read by C and by the stub's assembler.
 *
 * Code in compatibility mode can name linear addresses below 4 GiB only; all of this lies in the
 * high half.
 */
#ifndef UMBRA_VMM_KVM_LAYOUT_H
#define UMBRA_VMM_KVM_LAYOUT_H

#define MON_MPA 0x100000000        /* slot of the monitor's pages */
#define MON_LA  0xffffff8000000000 /* PML4[511], PDPT[0] */
#define WIN_LA  0xffffff8040000000 /* PML4[511], PDPT[1]: window on the arena of shadow tables */

/* Pages of the monitor's slot. */
#define MON_STUB  0
#define MON_IDT   1
#define MON_TSS   2
#define MON_STACK 3
#define MON_QUEUE 4
#define MON_PDPT  5
#define MON_PD    6
#define MON_PT    7
#define MON_WINPD 8
#define MON_GDT   16 /* 64 KiB */
#define MON_LDT   32 /* 64 KiB */
#define MON_PAGES 48

#define MON_PAGE_MPA(page) (MON_MPA + (page)*4096ull)
#define MON_PAGE_LA(page)  (MON_LA + (page)*4096ull)

/* Every vector enters with this stack, so its frame always lies at the same place. */
#define MON_STACK_TOP (MON_PAGE_LA(MON_STACK) + 4096)

/* The stub's own selectors: the end of the descriptor table, where guests have nothing. */
#define SEL_STUB_CS  0xffe0
#define SEL_STUB_TSS 0xffe8 /* 16 bytes */

/* The stub leaves to the host by OUT to these ports. They mean something only when RIP is in the
 * stub: the guest's own use of the same ports is told apart by that. */
#define PORT_VECTOR  0x00 /* + vector, 0..31 */
#define PORT_DRAINED 0x40
#define PORT_OTHER   0x41 /* a vector above 31 */

/* Offsets in the stub page. */
#define STUB_VECTORS 0x000 /* 16 bytes for each of 32 vectors */
#define STUB_OTHER   0x200
#define STUB_RESUME  0x210
#define STUB_DRAIN   0x220
#define STUB_RESTORE                                                                               \
    0x280 /* within the drain: from here on it is done and the guest comes next                    \
           */

/* The queue page: shadow entries to store again. An entry is {linear address of the PTE in the
 * window, linear address to invalidate}; the value is what lies in the PTE when the stub reads it.
 */
#define QUEUE_COUNT   0
#define QUEUE_FLUSH   8  /* load CR3 as well */
#define QUEUE_RESUME  12 /* go on to the guest, not to the host */
#define QUEUE_RAX     16 /* the guest's, for that */
#define QUEUE_RCX     24
#define QUEUE_RDX     32
#define QUEUE_RDI     40
#define QUEUE_RSI     48
#define QUEUE_ENTRIES 64
#define QUEUE_MAX     250

#endif
