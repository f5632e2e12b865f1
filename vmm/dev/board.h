/*
 * The devices of a PC on its two buses, wired to each other: what a machine needs to hold of them.
 */
#ifndef UMBRA_VMM_DEV_BOARD_H
#define UMBRA_VMM_DEV_BOARD_H

#include "vmm/dev/a20.h"
#include "vmm/dev/apic.h"
#include "vmm/dev/bus.h"
#include "vmm/dev/chardev.h"
#include "vmm/dev/debugcon.h"
#include "vmm/dev/dma.h"
#include "vmm/dev/exitport.h"
#include "vmm/dev/fdc.h"
#include "vmm/dev/ferr.h"
#include "vmm/dev/ide.h"
#include "vmm/dev/kbd.h"
#include "vmm/dev/lines.h"
#include "vmm/dev/mmio.h"
#include "vmm/dev/pcihost.h"
#include "vmm/dev/pic.h"
#include "vmm/dev/pit.h"
#include "vmm/dev/poweroff.h"
#include "vmm/dev/rtc.h"
#include "vmm/dev/uart.h"
#include "vmm/dev/vga.h"

struct board {
    struct bus bus;
    struct mmio mmio;
    struct pic pic;
    struct apic apic;
    struct pit pit;
    struct rtc rtc;
    struct a20 a20;
    struct kbd kbd;
    struct pcihost pci;
    struct vga vga;
    struct dma dma;
    struct fdc fdc;
    struct ferr ferr;
    struct uart com1;
    struct exitport exitport;
    struct poweroff poweroff;
    struct debugcon debugcon;
    struct ide ide[IDE_CHANNELS];
    struct clock clock;
    struct line a20_line, reset_line;
    bool no_pci;
};

/* What hangs on an ATA channel: index 0 and 1 on the primary one, 2 and 3 on the secondary. */
#define BOARD_DRIVES (2 * IDE_CHANNELS)
struct board_drive {
    struct disk *disk; /* NULL: nothing. Stays the caller's */
    bool cd;
};

struct board_config {
    struct clock clock;
    struct chardev *com1;  /* NULL: nothing connected. Stays the caller's */
    struct line intr;      /* the processor's INTR pin */
    struct line nmi;       /* its NMI pin: an edge */
    bool no_apic;          /* neither local nor I/O APIC */
    struct line a20;       /* the gate moves (on at first) */
    struct line reset;     /* a pulse asks for a reset of the processor */
    struct line off;       /* a pulse asks for the machine to be switched off */
    struct vm_stop stop;   /* the exit port was written */
    uint64_t wall_seconds; /* calendar time at the machine's start, since 1970 */
    uint64_t ram_bytes;
    struct board_drive drive[BOARD_DRIVES];
    struct disk *floppy[FDC_DRIVES];           /* NULL: no such drive. Stay the caller's */
    struct dma_memory memory;                  /* what DMA reaches; none: nothing */
    bool no_pci;                               /* an ISA PC */
    void (*debugcon)(void *ctx, uint8_t byte); /* NULL: nobody listens */
    void *debugcon_ctx;
};

/* 0, or bus_claim's or mmio_claim's error. The board must stay where it is: its devices point at
 * each other. */
int board_init(struct board *b, const struct board_config *config);

/* The reset line of the buses. The clock goes on and keeps its CMOS; the screen keeps its picture.
 */
void board_reset(struct board *b);

/* Bring every device up to the present: after board_deadline() has passed, and when com1 has input.
 */
void board_update(struct board *b);

/* Guest time in ns at which board_update() is due, or CLOCK_NEVER. */
uint64_t board_deadline(const struct board *b);

#endif
