/* The channel: registers, selection, interrupt line, resets, the data port. */
#include "vmm/dev/ide.h"

#include <string.h>

#include "vmm/dev/ide_int.h"

enum { /* offsets in the Command block */
       REG_DATA = 0,
       REG_ERROR_FEATURE = 1,
       REG_COUNT = 2,
       REG_LBA = 3,
       REG_DEVICE = 6,
       REG_STATUS_COMMAND = 7,
};
enum { CTL_NIEN = 2, CTL_SRST = 4, CTL_HOB = 0x80 };
enum { CMD_DIAGNOSTIC = 0x90 };

/* --- drives ---------------------------------------------------------------------------------- */

static bool present(const struct ide_drive *d)
{
    return d->disk != NULL;
}

static unsigned selected_number(const struct ide *ide)
{
    return (ide->drive[0].device & DEV_SELECT) != 0;
}

static struct ide_drive *selected(struct ide *ide)
{
    return &ide->drive[selected_number(ide)];
}

/* The drive whose registers the host reads: where one is absent, the other one's (9.16.1). */
static struct ide_drive *answering(struct ide *ide)
{
    struct ide_drive *d = selected(ide);
    return present(d) ? d : &ide->drive[!selected_number(ide)];
}

/* Only the selected drive drives INTRQ. */
static void settle_line(struct ide *ide)
{
    line_follow(&ide->irq, &ide->level, selected(ide)->intrq && !(ide->control & CTL_NIEN));
}

void ide_raise(struct ide_drive *d)
{
    d->intrq = true;
    settle_line(d->ide);
}

void ide_stop(struct ide_drive *d)
{
    d->at = d->len = 0;
    d->moved = NULL;
    d->left = 0;
    d->intrq = false;
}

void ide_done(struct ide_drive *d)
{
    d->at = d->len = 0;
    d->moved = NULL;
    d->status = ST_DRDY | ST_DSC;
    ide_raise(d);
}

void ide_fail(struct ide_drive *d, uint8_t error, uint8_t status)
{
    d->error = error;
    ide_done(d);
    d->status |= (uint8_t)(ST_ERR | status);
}

void ide_offer(struct ide_drive *d, uint32_t len, bool to_host, void (*moved)(struct ide_drive *d))
{
    d->at = 0;
    d->len = len;
    d->to_host = to_host;
    d->moved = moved;
    d->status = (uint8_t)(ST_DRDY | ST_DSC | ST_DRQ);
}

void ide_signature(struct ide_drive *d)
{
    memset(&d->before, 0, sizeof d->before);
    d->now = (struct ide_regs){.count = 1, .lba = {1, d->cd ? 0x14 : 0, d->cd ? 0xeb : 0}};
}

/* Software reset and EXECUTE DEVICE DIAGNOSTIC leave the same (9.10, 9.11). */
static void drive_reset(struct ide_drive *d)
{
    ide_stop(d);
    ide_signature(d);
    d->device = 0;
    d->error = 1; /* the diagnostic code: passed */
    d->status = d->cd ? 0 : ST_DRDY | ST_DSC;
    d->asleep = d->standby = false;
}

static void both_reset(struct ide *ide)
{
    drive_reset(&ide->drive[0]);
    drive_reset(&ide->drive[1]);
    settle_line(ide);
}

/* --- the data port --------------------------------------------------------------------------- */

/* How many of n bytes a block of this direction has. */
static uint32_t room(const struct ide_drive *d, uint32_t n, bool to_host)
{
    const uint32_t rest = d->len - d->at;
    if (!(d->status & ST_DRQ) || d->to_host != to_host)
        return 0;
    return n < rest ? n : rest;
}

static void moved(struct ide_drive *d, uint32_t n)
{
    d->at += n;
    if (d->at < d->len)
        return;
    if (d->moved)
        d->moved(d);
    else
        d->status &= (uint8_t)~ST_DRQ;
}

/* The block's next bytes to the host; returns how many there were. */
static uint32_t give(struct ide_drive *d, void *data, uint32_t n)
{
    n = room(d, n, true);
    memcpy(data, d->buffer + d->at, n);
    if (n)
        moved(d, n);
    return n;
}

static uint32_t take(struct ide_drive *d, const void *data, uint32_t n)
{
    n = room(d, n, false);
    memcpy(d->buffer + d->at, data, n);
    if (n)
        moved(d, n);
    return n;
}

/* The host moves words; a byte access takes a word's lower half. A double word is two words, which
 * a block's end may part. */
static uint32_t data_in(struct ide_drive *d, unsigned size)
{
    uint32_t val = 0;
    const uint32_t want = size == 4 ? 4 : 2;
    if (give(d, &val, want) == 2 && want == 4)
        give(d, (uint8_t *)&val + 2, 2);
    return val;
}

static void data_out(struct ide_drive *d, uint32_t val, unsigned size)
{
    const uint32_t want = size == 4 ? 4 : 2;
    if (take(d, &val, want) == 2 && want == 4)
        take(d, (uint8_t *)&val + 2, 2);
}

/* --- registers ------------------------------------------------------------------------------- */

static uint8_t status_in(struct ide *ide, bool clears)
{
    struct ide_drive *d = selected(ide);
    if (ide->control & CTL_SRST)
        return ST_BSY;
    if (!present(d))
        return 0;
    if (clears) {
        d->intrq = false;
        settle_line(ide);
    }
    return d->status;
}

static uint8_t reg_in(struct ide *ide, unsigned reg)
{
    const struct ide_drive *d = answering(ide);
    const struct ide_regs *r = ide->control & CTL_HOB ? &d->before : &d->now;

    switch (reg) {
    case REG_ERROR_FEATURE: return d->error;
    case REG_COUNT: return r->count;
    case REG_DEVICE: return (uint8_t)(d->device | DEV_OBSOLETE);
    case REG_STATUS_COMMAND: return status_in(ide, true);
    default: return r->lba[reg - REG_LBA];
    }
}

static void shift_in(uint8_t *now, uint8_t *before, uint8_t val)
{
    *before = *now;
    *now = val;
}

/* Both drives take what is written to the Command block. */
static void reg_out(struct ide_drive *d, unsigned reg, uint8_t val)
{
    switch (reg) {
    case REG_ERROR_FEATURE: shift_in(&d->now.feature, &d->before.feature, val); break;
    case REG_COUNT: shift_in(&d->now.count, &d->before.count, val); break;
    case REG_DEVICE: d->device = val; break;
    default: shift_in(&d->now.lba[reg - REG_LBA], &d->before.lba[reg - REG_LBA], val); break;
    }
}

static void command_out(struct ide *ide, uint8_t command)
{
    struct ide_drive *d = selected(ide);

    if (command == CMD_DIAGNOSTIC) { /* both do it, and the master answers for both */
        both_reset(ide);
        if (present(&ide->drive[0]))
            ide_raise(&ide->drive[0]);
        return;
    }
    /* Asleep it hears nothing but a reset (6.9). */
    if (!present(d) || (d->asleep && !(d->cd && command == IDE_DEVICE_RESET)))
        return;
    /* A command in the middle of a transfer, which no host may give, ends it. */
    ide_stop(d);
    settle_line(ide);
    d->error = 0;
    d->status = ST_DRDY | ST_DSC;
    if (d->cd)
        ide_cd_command(d, command);
    else
        ide_ata_command(d, command);
}

static void control_out(struct ide *ide, uint8_t val)
{
    const uint8_t old = ide->control;
    ide->control = val;
    if ((val & CTL_SRST) && !(old & CTL_SRST))
        both_reset(ide);
    settle_line(ide);
}

/* --- ports ----------------------------------------------------------------------------------- */

static uint32_t ide_in(void *ctx, uint16_t port, unsigned size)
{
    struct ide *ide = ctx;
    const unsigned reg = port - ide->base;
    uint32_t val = 0;

    if (reg == REG_DATA)
        return data_in(selected(ide), size);
    for (unsigned i = 0; i < size; i++) /* no other register is wider than a byte */
        val |= (uint32_t)reg_in(ide, reg + i) << 8 * i;
    return val;
}

static void ide_out(void *ctx, uint16_t port, uint32_t val, unsigned size)
{
    struct ide *ide = ctx;
    const unsigned reg = port - ide->base;

    if (reg == REG_DATA) {
        data_out(selected(ide), val, size);
        return;
    }
    for (unsigned i = 0; i < size; i++, val >>= 8) {
        if (ide->control & CTL_SRST)
            return;
        ide->control &= (uint8_t)~CTL_HOB;
        if (reg + i == REG_STATUS_COMMAND) {
            command_out(ide, (uint8_t)val);
            continue;
        }
        reg_out(&ide->drive[0], reg + i, (uint8_t)val);
        reg_out(&ide->drive[1], reg + i, (uint8_t)val);
        settle_line(ide); /* another drive may be selected now */
    }
}

/* Whole elements of a data block; the bytes at a block's end that are none go one by one. */
static uint32_t ide_in_many(void *ctx, uint16_t port, unsigned size, uint32_t count, void *data)
{
    struct ide *ide = ctx;
    struct ide_drive *d = selected(ide);
    const uint32_t whole = (d->len - d->at) / size, n = count < whole ? count : whole;

    if (port != ide->base || size == 1 || n == 0)
        return 0;
    return give(d, data, n * size) / size;
}

static uint32_t ide_out_many(void *ctx, uint16_t port, unsigned size, uint32_t count,
                             const void *data)
{
    struct ide *ide = ctx;
    struct ide_drive *d = selected(ide);
    const uint32_t whole = (d->len - d->at) / size, n = count < whole ? count : whole;

    if (port != ide->base || size == 1 || n == 0)
        return 0;
    return take(d, data, n * size) / size;
}

static uint32_t alternate_in(void *ctx, uint16_t port, unsigned size)
{
    (void)port;
    (void)size;
    return status_in(ctx, false);
}

static void alternate_out(void *ctx, uint16_t port, uint32_t val, unsigned size)
{
    (void)port;
    (void)size;
    control_out(ctx, (uint8_t)val);
}

void ide_reset(struct ide *ide)
{
    for (int i = 0; i < 2; i++)
        ide_ata_defaults(&ide->drive[i]);
    ide->control = 0;
    both_reset(ide);
}

int ide_init(struct ide *ide, struct bus *bus, const struct ide_config *c)
{
    memset(ide, 0, sizeof *ide);
    ide->irq = c->irq;
    ide->base = c->base;
    for (unsigned i = 0; i < 2; i++) {
        struct ide_drive *d = &ide->drive[i];
        d->ide = ide;
        d->disk = c->disk[i];
        d->cd = c->cd[i];
        d->number = c->first + i;
    }
    ide_reset(ide);
    if (!c->disk[0] && !c->disk[1])
        return 0;
    int err = bus_claim(bus, &(struct bus_range){.name = "ide",
                                                 .first = c->base,
                                                 .last = (uint16_t)(c->base + 7),
                                                 .sizes = 1 | 2 | 4,
                                                 .in = ide_in,
                                                 .out = ide_out,
                                                 .in_many = ide_in_many,
                                                 .out_many = ide_out_many,
                                                 .ctx = ide});
    return err ? err
               : bus_claim(bus, &(struct bus_range){.name = "ide control",
                                                    .first = c->control_port,
                                                    .last = c->control_port,
                                                    .in = alternate_in,
                                                    .out = alternate_out,
                                                    .ctx = ide});
}
