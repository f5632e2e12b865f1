#include "vmm/dev/board.h"

#include <stdlib.h>
#include <string.h>

enum { IRQ_PIT = 0, IRQ_KBD = 1, IRQ_RTC = 8, IRQ_MOUSE = 12 };

/* How often a transmitter that its line holds up is looked at again. */
#define TX_RETRY_NS 1000000u

static struct line irq(struct board *b, unsigned n)
{
    return (struct line){apic_irq, &b->apic, n};
}

static int init_serial_and_exit(struct board *b, const struct board_config *c)
{
    int err = uart_init(&b->com1, &b->bus, UART_COM1, c->com1, irq(b, UART_IRQ1), "com1");
    if (!err)
        err = poweroff_init(&b->poweroff, &b->bus, c->off);
    return err ? err : exitport_init(&b->exitport, &b->bus, c->stop);
}

/* Of 16 heads and 63 sectors; 0: that is no disk. */
static uint64_t disk_cylinders(const struct board_drive *d)
{
    if (!d->disk || d->cd)
        return 0;
    const uint64_t n = disk_sectors(d->disk) / (16u * 63u);
    return n ? n : 1;
}

static int init_ide(struct board *b, const struct board_config *c)
{
    static const struct {
        uint16_t base, control;
        unsigned irq;
    } place[IDE_CHANNELS] = {{0x1f0, 0x3f6, 14}, {0x170, 0x376, 15}};

    for (unsigned i = 0; i < IDE_CHANNELS; i++) {
        const struct board_drive *d = &c->drive[2 * i];
        const int err = ide_init(&b->ide[i], &b->bus,
                                 &(struct ide_config){.base = place[i].base,
                                                      .control_port = place[i].control,
                                                      .irq = irq(b, place[i].irq),
                                                      .first = 2 * i,
                                                      .disk = {d[0].disk, d[1].disk},
                                                      .cd = {d[0].cd, d[1].cd}});
        if (err)
            return err;
    }
    for (unsigned n = 0; n < BOARD_DRIVES; n++) {
        const uint64_t cylinders = disk_cylinders(&c->drive[n]);
        if (cylinders)
            rtc_set_disk(&b->rtc, n, cylinders > 16383 ? 16383 : (unsigned)cylinders);
    }
    return 0;
}

static int init_floppies(struct board *b, const struct board_config *c)
{
    struct fdc_config f = {.clock = c->clock, .irq = irq(b, FDC_IRQ), .dma = &b->dma};
    memcpy(f.disk, c->floppy, sizeof f.disk);
    const int err = fdc_init(&b->fdc, &b->bus, &f);
    rtc_set_floppies(&b->rtc, fdc_cmos_types(&b->fdc));
    return err;
}

int board_init(struct board *b, const struct board_config *c)
{
    int err;
    bus_init(&b->bus);
    mmio_init(&b->mmio);
    b->clock = c->clock;
    b->a20_line = c->a20;
    b->reset_line = c->reset;
    if ((err = pic_init(&b->pic, &b->bus, (struct line){apic_pic_intr, &b->apic, 0})) != 0 ||
        (err = apic_init(&b->apic, &b->bus, &b->mmio, c->clock, &b->pic, c->intr, c->nmi,
                         !c->no_apic)) != 0 ||
        (err = pit_init(&b->pit, &b->bus, c->clock, irq(b, IRQ_PIT))) != 0 ||
        (err = rtc_init(&b->rtc, &b->bus, c->clock, irq(b, IRQ_RTC), c->wall_seconds,
                        c->ram_bytes)) != 0 ||
        (err = a20_init(&b->a20, &b->bus, c->a20, c->reset)) != 0 ||
        (err = kbd_init(&b->kbd, &b->bus, &b->a20, irq(b, IRQ_KBD), irq(b, IRQ_MOUSE))) != 0 ||
        (err = pcihost_init(&b->pci, &b->bus, c->reset)) != 0 ||
        (err = ferr_init(&b->ferr, &b->bus, irq(b, FERR_IRQ))) != 0 ||
        (err = dma_init(&b->dma, &b->bus, c->memory)) != 0 ||
        (err = vga_init(&b->vga, &b->bus, &b->mmio, c->clock)) != 0 ||
        (err = init_ide(b, c)) != 0 || (err = init_floppies(b, c)) != 0)
        return err;
    b->pci.absent = b->no_pci = c->no_pci;
    if ((err = debugcon_init(&b->debugcon, &b->bus, c->debugcon, c->debugcon_ctx)) != 0)
        return err;
    return init_serial_and_exit(b, c);
}

void board_reset(struct board *b)
{
    /* A bus for the devices to claim their ports on once more; those that they have stay theirs. */
    struct bus *again = malloc(sizeof *again);
    if (!again)
        return; /* then they stay as they are, for the firmware to set up */
    bus_init(again);
    rtc_reset(&b->rtc);
    pic_init(&b->pic, again, b->pic.intr);
    apic_reset(&b->apic);
    pit_init(&b->pit, again, b->clock, irq(b, IRQ_PIT));
    a20_init(&b->a20, again, b->a20_line, b->reset_line);
    kbd_init(&b->kbd, again, &b->a20, irq(b, IRQ_KBD), irq(b, IRQ_MOUSE));
    pcihost_init(&b->pci, again, b->reset_line);
    b->pci.absent = b->no_pci;
    for (unsigned i = 0; i < IDE_CHANNELS; i++)
        ide_reset(&b->ide[i]);
    ferr_reset(&b->ferr);
    dma_reset(&b->dma);
    fdc_reset(&b->fdc);
    for (uint16_t reg = 4; reg > 0;
         reg--) /* modem control, line control, interrupts; data goes on */
        if (reg != 2)
            bus_out(&b->bus, (uint16_t)(UART_COM1 + reg), 0, 1);
    free(again);
}

void board_update(struct board *b)
{
    pit_update(&b->pit);
    apic_update(&b->apic);
    rtc_update(&b->rtc);
    fdc_update(&b->fdc);
    uart_poll(&b->com1);
}

uint64_t board_deadline(const struct board *b)
{
    uint64_t due = pit_deadline(&b->pit), rtc = rtc_deadline(&b->rtc);
    const uint64_t apic = apic_deadline(&b->apic);
    due = rtc < due ? rtc : due;
    due = apic < due ? apic : due;
    due = fdc_deadline(&b->fdc) < due ? fdc_deadline(&b->fdc) : due;
    if (uart_busy(&b->com1)) {
        uint64_t retry = clock_now(&b->clock) + TX_RETRY_NS;
        due = retry < due ? retry : due;
    }
    return due;
}
