/*
 * A 16550A serial port (National Semiconductor PC16550D data sheet), as a PC has four of them.
 * The line itself is a chardev: it has no speed, keeps its bytes until the receiver has room, and
 * is always connected (CTS, DSR and DCD are on).
 */
#ifndef UMBRA_VMM_DEV_UART_H
#define UMBRA_VMM_DEV_UART_H

#include "vmm/dev/bus.h"
#include "vmm/dev/chardev.h"
#include "vmm/dev/lines.h"

#define UART_COM1 0x3f8
#define UART_IRQ1 4
#define UART_FIFO 16

struct uart_fifo {
    uint8_t byte[UART_FIFO], flags[UART_FIFO]; /* flags: LSR's PE, FE, BI of that byte */
    uint8_t first, count;
};

struct uart {
    uint16_t base;
    struct chardev *line;
    struct line irq;
    uint64_t sent; /* bytes that the guest has given to the line */
    struct uart_fifo rx, tx;
    uint16_t divisor;
    uint8_t ier, fcr, lcr, mcr, lsr_errors, msr, scr;
    bool thre_pending; /* the transmitter-empty interrupt, until IIR is read or THR written */
    bool irq_level;
};

/* Claim base..base+7 on bus. line may be NULL (nothing connected). 0, or bus_claim's error. */
int uart_init(struct uart *u, struct bus *bus, uint16_t base, struct chardev *line, struct line irq,
              const char *name);

/* Move bytes between line and FIFOs and set the interrupt line: call when the line reports input,
 * and now and then while uart_busy(). */
void uart_poll(struct uart *u);

/* Are there bytes in the transmitter that the line had no room for? */
bool uart_busy(const struct uart *u);

#endif
