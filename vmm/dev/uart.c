/*
 * Chapter and table numbers are those of the PC16550D data sheet (June 1995).
 *
 * Not modelled, because the line has no time: baud rate and word length do not change what is sent,
 * and the FIFO's character time-out (8.4) is reported as soon as the line has no more to give.
 */
#include "vmm/dev/uart.h"

#include <string.h>

enum { /* registers, table II */
       REG_DATA = 0,
       REG_IER = 1,
       REG_IIR_FCR = 2,
       REG_LCR = 3,
       REG_MCR = 4,
       REG_LSR = 5,
       REG_MSR = 6,
       REG_SCR = 7,
};
enum { IER_RDA = 1, IER_THRE = 2, IER_LINE = 4, IER_MODEM = 8 };
enum { FCR_ENABLE = 1, FCR_CLEAR_RX = 2, FCR_CLEAR_TX = 4, FCR_DMA = 8, FCR_TRIGGER = 0xc0 };
enum { LCR_BREAK = 0x40, LCR_DLAB = 0x80 };
enum { MCR_DTR = 1, MCR_RTS = 2, MCR_OUT1 = 4, MCR_OUT2 = 8, MCR_LOOP = 0x10 };
enum { LSR_DR = 1, LSR_OE = 2, LSR_PE = 4, LSR_FE = 8, LSR_BI = 0x10, LSR_THRE = 0x20 };
enum { LSR_TEMT = 0x40, LSR_FIFO_ERROR = 0x80, LSR_BYTE = LSR_PE | LSR_FE | LSR_BI };
enum { MSR_CTS = 0x10, MSR_DSR = 0x20, MSR_RI = 0x40, MSR_DCD = 0x80, MSR_TERI = 4 };
enum { IIR_MODEM = 0, IIR_NONE = 1, IIR_THRE = 2, IIR_RDA = 4, IIR_LINE = 6, IIR_TIMEOUT = 12 };

static unsigned fifo_size(const struct uart *u)
{
    return u->fcr & FCR_ENABLE ? UART_FIFO : 1;
}

static void fifo_push(struct uart_fifo *f, uint8_t byte, uint8_t flags)
{
    unsigned at = (f->first + f->count) % UART_FIFO;
    f->byte[at] = byte;
    f->flags[at] = flags;
    f->count++;
}

static uint8_t fifo_pop(struct uart_fifo *f)
{
    uint8_t byte = f->byte[f->first];
    f->flags[f->first] = 0;
    f->first = (uint8_t)((f->first + 1) % UART_FIFO);
    f->count--;
    return byte;
}

/* A byte comes in over the wire that loops back: here the sender does not wait for the receiver,
 * and an overrun is real. In FIFO mode the new byte is lost, without FIFOs the old one (8.4, LSR
 * bit 1). */
static void receive_loop(struct uart *u, uint8_t byte, uint8_t flags)
{
    if (u->rx.count >= fifo_size(u)) {
        u->lsr_errors |= LSR_OE;
        if (u->fcr & FCR_ENABLE)
            return;
        fifo_pop(&u->rx);
    }
    fifo_push(&u->rx, byte, flags);
}

static void fill_rx(struct uart *u)
{
    if (u->mcr & MCR_LOOP)
        return; /* the serial input is disconnected (8.6, bit 4) */
    while (u->rx.count < fifo_size(u) && chardev_readable(u->line))
        fifo_push(&u->rx, (uint8_t)chardev_get(u->line), 0);
}

static void drain_tx(struct uart *u)
{
    while (u->tx.count > 0 && chardev_writable(u->line)) {
        chardev_put(u->line, fifo_pop(&u->tx));
        if (u->tx.count == 0)
            u->thre_pending = true;
    }
}

static bool rx_triggered(const struct uart *u)
{
    static const uint8_t trigger[] = {1, 4, 8, 14};
    unsigned level = u->fcr & FCR_ENABLE ? trigger[u->fcr >> 6] : 1;
    return u->rx.count >= level;
}

static uint8_t line_status(const struct uart *u)
{
    uint8_t lsr = u->lsr_errors;
    if (u->rx.count > 0)
        lsr |= LSR_DR | u->rx.flags[u->rx.first];
    if (u->tx.count == 0)
        lsr |= LSR_THRE | LSR_TEMT;
    for (unsigned i = 0; (u->fcr & FCR_ENABLE) && i < u->rx.count; i++)
        if (u->rx.flags[(u->rx.first + i) % UART_FIFO])
            lsr |= LSR_FIFO_ERROR;
    return lsr;
}

/* The interrupt of highest priority that is enabled and pending (table IV). */
static uint8_t interrupt_id(const struct uart *u)
{
    if ((u->ier & IER_LINE) && (line_status(u) & (LSR_OE | LSR_BYTE)))
        return IIR_LINE;
    if ((u->ier & IER_RDA) && rx_triggered(u))
        return IIR_RDA;
    if ((u->ier & IER_RDA) && u->rx.count > 0)
        return IIR_TIMEOUT;
    if ((u->ier & IER_THRE) && u->thre_pending)
        return IIR_THRE;
    if ((u->ier & IER_MODEM) && (u->msr & 0x0f))
        return IIR_MODEM;
    return IIR_NONE;
}

static void update_irq(struct uart *u)
{
    /* The AT's adapter had a gate here that OUT2 opened; boards since have done without, and there
     * are kernels that leave OUT2 alone and wait for interrupts. */
    line_follow(&u->irq, &u->irq_level, interrupt_id(u) != IIR_NONE);
}

/* The modem inputs as they are now, with a delta bit for each that moved (8.7). */
static void update_msr(struct uart *u)
{
    uint8_t now = MSR_CTS | MSR_DSR | MSR_DCD;
    if (u->mcr & MCR_LOOP)
        now = (uint8_t)((u->mcr & MCR_RTS ? MSR_CTS : 0) | (u->mcr & MCR_DTR ? MSR_DSR : 0) |
                        (u->mcr & MCR_OUT1 ? MSR_RI : 0) | (u->mcr & MCR_OUT2 ? MSR_DCD : 0));
    unsigned moved = (now ^ u->msr) & 0xf0u;
    if (now & MSR_RI)
        moved &= ~(unsigned)MSR_RI; /* RI's delta is for its trailing edge only */
    u->msr = (uint8_t)(now | (u->msr & 0x0f) | moved >> 4);
}

static void transmit(struct uart *u, uint8_t byte)
{
    u->thre_pending = false;
    update_irq(u); /* the line falls now, however soon it rises again: the PIC counts edges */
    if (u->mcr & MCR_LOOP) {
        receive_loop(u, byte, 0);
        u->thre_pending = true;
        return;
    }
    u->sent++;
    if (u->tx.count ==
        fifo_size(u)) /* a guest that does not look at THRE: let it wait, boundedly */
        chardev_put(u->line, fifo_pop(&u->tx));
    fifo_push(&u->tx, byte, 0);
    drain_tx(u);
}

static void write_fcr(struct uart *u, uint8_t val)
{
    if ((val ^ u->fcr) & FCR_ENABLE)
        val |= FCR_CLEAR_RX | FCR_CLEAR_TX; /* 8.5, bit 0: changing modes clears both FIFOs */
    if (val & FCR_CLEAR_RX)
        u->rx.count = 0;
    if (val & FCR_CLEAR_TX && u->tx.count > 0) {
        u->tx.count = 0;
        u->thre_pending = true;
    }
    /* The other bits are programmed only together with the enable bit. */
    u->fcr = val & FCR_ENABLE ? val & (FCR_ENABLE | FCR_DMA | FCR_TRIGGER) : 0;
}

static void write_lcr(struct uart *u, uint8_t val)
{
    bool brk = (val & ~u->lcr) & LCR_BREAK;
    u->lcr = val;
    if (brk && (u->mcr & MCR_LOOP))
        receive_loop(u, 0, LSR_BI);
}

static uint32_t uart_in(void *ctx, uint16_t port, unsigned size)
{
    (void)size;
    struct uart *u = ctx;
    uint8_t val = 0xff;
    drain_tx(u);
    fill_rx(u);
    switch (port - u->base) {
    case REG_DATA:
        if (u->lcr & LCR_DLAB)
            val = (uint8_t)u->divisor;
        else
            val = u->rx.count > 0 ? fifo_pop(&u->rx) : 0;
        break;
    case REG_IER: val = u->lcr & LCR_DLAB ? (uint8_t)(u->divisor >> 8) : u->ier; break;
    case REG_IIR_FCR:
        val = interrupt_id(u);
        if (val == IIR_THRE)
            u->thre_pending = false;
        if (u->fcr & FCR_ENABLE)
            val |= 0xc0;
        break;
    case REG_LCR: val = u->lcr; break;
    case REG_MCR: val = u->mcr; break;
    case REG_LSR:
        val = line_status(u);
        u->lsr_errors = 0;
        u->rx.flags[u->rx.first] = 0;
        break;
    case REG_MSR:
        val = u->msr;
        u->msr &= 0xf0;
        break;
    case REG_SCR: val = u->scr; break;
    default: break;
    }
    update_irq(u);
    return val;
}

static void uart_out(void *ctx, uint16_t port, uint32_t val32, unsigned size)
{
    (void)size;
    struct uart *u = ctx;
    uint8_t val = (uint8_t)val32;
    switch (port - u->base) {
    case REG_DATA:
        if (u->lcr & LCR_DLAB)
            u->divisor = (uint16_t)((u->divisor & 0xff00) | val);
        else
            transmit(u, val);
        break;
    case REG_IER:
        if (u->lcr & LCR_DLAB) {
            u->divisor = (uint16_t)((u->divisor & 0xff) | val << 8);
            break;
        }
        /* Enabling the interrupt while the transmitter is empty raises it at once. */
        if ((val & ~u->ier & IER_THRE) && u->tx.count == 0)
            u->thre_pending = true;
        u->ier = val & 0x0f;
        break;
    case REG_IIR_FCR: write_fcr(u, val); break;
    case REG_LCR: write_lcr(u, val); break;
    case REG_MCR:
        u->mcr = val & 0x1f;
        update_msr(u);
        break;
    case REG_SCR: u->scr = val; break;
    default: break; /* LSR and MSR: writes are for the maker's tests (table II, note) */
    }
    fill_rx(u);
    update_irq(u);
}

int uart_init(struct uart *u, struct bus *bus, uint16_t base, struct chardev *line, struct line irq,
              const char *name)
{
    memset(u, 0, sizeof *u);
    u->base = base;
    u->line = line;
    u->irq = irq;
    u->divisor = 12; /* 9600 baud: a master reset leaves it undefined */
    u->msr = MSR_CTS | MSR_DSR | MSR_DCD;
    return bus_claim(bus, &(struct bus_range){.name = name,
                                              .first = base,
                                              .last = (uint16_t)(base + 7),
                                              .sizes = 1,
                                              .in = uart_in,
                                              .out = uart_out,
                                              .ctx = u});
}

void uart_poll(struct uart *u)
{
    drain_tx(u);
    fill_rx(u);
    update_irq(u);
}

bool uart_busy(const struct uart *u)
{
    return u->tx.count > 0;
}
