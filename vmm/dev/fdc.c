/* Registers, and the commands that move no data. After Intel's 82077AA data sheet (290166). */
#include "vmm/dev/fdc.h"

#include <string.h>

#include "vmm/dev/fdc_int.h"

enum { REG_DOR = 2, REG_TDR = 3, REG_STATUS = 4, REG_DATA = 5, REG_DIR = 7 };
enum { DOR_RUN = 4, DOR_GATE = 8 }; /* not reset; interrupt and DMA request reach the bus */
enum { DSR_RESET = 0x80, RATE = 3 };
enum { MSR_READY = 0x80, MSR_TO_HOST = 0x40, MSR_BYTES = 0x20, MSR_BUSY = 0x10 };
enum { DIR_CHANGED = 0x80 };
enum { CONFIG_NO_FIFO = 0x20, CONFIG_NO_POLL = 0x10 };
enum { VERSION = 0x90 }; /* with a FIFO */
enum { TRACKS = 86 };    /* what a drive's heads reach */

#define RESET_NS 20000u
#define SEEK_NS  100000u

void fdc_settle(struct fdc *f)
{
    line_follow(&f->irq, &f->level, f->intr && (f->dor & DOR_GATE));
}

void fdc_answer(struct fdc *f, unsigned n)
{
    f->phase = FDC_RESULT;
    f->result_len = (uint8_t)n;
    f->result_at = 0;
}

/* --- commands -------------------------------------------------------------------------------- */

static const struct command {
    uint8_t code, bits, params; /* bits above CMD_BITS that may be set */
} commands[] = {
    {CMD_READ_TRACK, CMD_MFM, 8}, {CMD_SPECIFY, 0, 2},          {CMD_SENSE_DRIVE, 0, 1},
    {CMD_WRITE, 0xc0, 8},         {CMD_READ, 0xe0, 8},          {CMD_RECALIBRATE, 0, 1},
    {CMD_SENSE_INTERRUPT, 0, 0},  {CMD_WRITE_DELETED, 0xc0, 8}, {CMD_READ_ID, CMD_MFM, 1},
    {CMD_READ_DELETED, 0xe0, 8},  {CMD_FORMAT, CMD_MFM, 5},     {CMD_DUMPREG, 0, 0},
    {CMD_SEEK, 0xc0, 2},          {CMD_VERSION, 0, 0},          {CMD_PERPENDICULAR, 0, 1},
    {CMD_CONFIGURE, 0, 3},        {CMD_LOCK, 0x80, 0},          {CMD_VERIFY, 0xe0, 8},
};

static const struct command *command_of(uint8_t byte)
{
    for (unsigned i = 0; i < sizeof commands / sizeof *commands; i++)
        if (commands[i].code == (byte & CMD_BITS))
            return byte & ~CMD_BITS & ~commands[i].bits ? NULL : &commands[i];
    return NULL;
}

static void later(struct fdc *f, uint32_t ns)
{
    f->due = clock_now(&f->clock) + ns;
}

static void move_heads(struct fdc_drive *d, int steps)
{
    const int to = d->track + steps;
    if (steps)
        d->changed = false;
    d->track = (uint8_t)(to < 0 ? 0 : to >= TRACKS ? TRACKS - 1 : to);
}

static void seek(struct fdc *f)
{
    const unsigned unit = fdc_unit(f);
    const uint8_t was = f->pcn[unit], n = f->command[2];
    struct fdc_drive *d = fdc_drive_of(f, unit);

    if (f->command[0] & CMD_MT) /* relative: so many steps, inwards or outwards */
        f->pcn[unit] = (uint8_t)(f->command[0] & CMD_MFM ? was + n : was - n);
    else
        f->pcn[unit] = n;
    if (d)
        move_heads(d, f->pcn[unit] - was);
    f->st0[unit] = (uint8_t)(ST0_SEEK_END | fdc_head(f) << 2 | unit);
    f->seeking |= (uint8_t)(1u << unit);
    later(f, SEEK_NS);
}

/* Steps outwards until the drive says that it is on track 0, 79 of them at most. */
static void recalibrate(struct fdc *f)
{
    const unsigned unit = fdc_unit(f);
    struct fdc_drive *d = fdc_drive_of(f, unit);

    f->st0[unit] = (uint8_t)(ST0_SEEK_END | unit);
    if (d)
        move_heads(d, d->track > 79 ? -79 : -d->track);
    if (!d || d->track)
        f->st0[unit] |= ST0_ABNORMAL | ST0_EC;
    f->pcn[unit] = 0;
    f->seeking |= (uint8_t)(1u << unit);
    later(f, SEEK_NS);
}

static void sense_interrupt(struct fdc *f)
{
    f->intr = false;
    fdc_settle(f);
    for (unsigned unit = 0; unit < 4; unit++)
        if (f->sense & 1u << unit) {
            f->sense &= (uint8_t) ~(1u << unit);
            f->result[0] = f->st0[unit];
            f->result[1] = f->pcn[unit];
            fdc_answer(f, 2);
            /* Of a reset's four only the first interrupts. */
            f->intr = f->sense && (f->result[0] & ST0_RESET) != ST0_RESET;
            return;
        }
    f->result[0] = ST0_INVALID;
    fdc_answer(f, 1);
}

static void sense_drive(struct fdc *f)
{
    const unsigned unit = fdc_unit(f);
    const struct fdc_drive *d = fdc_drive_of(f, unit);

    f->result[0] = (uint8_t)(0x28u | fdc_head(f) << 2 | unit);
    if (d && d->track == 0)
        f->result[0] |= 0x10;
    if (d && disk_readonly(d->disk))
        f->result[0] |= 0x40;
    fdc_answer(f, 1);
}

static void dump_registers(struct fdc *f)
{
    memcpy(f->result, f->pcn, 4);
    f->result[4] = f->specify[0];
    f->result[5] = f->specify[1];
    f->result[6] = f->command_len > P_EOT ? f->command[P_EOT] : 0;
    f->result[7] = (uint8_t)(f->lock << 7 | (f->perpendicular & 0x3f));
    f->result[8] = f->config[0];
    f->result[9] = f->config[1];
    fdc_answer(f, 10);
}

static void execute(struct fdc *f)
{
    f->phase = FDC_IDLE;
    switch (f->command[0] & CMD_BITS) {
    case CMD_SPECIFY:
        f->specify[0] = f->command[1];
        f->specify[1] = f->command[2];
        break;
    case CMD_SENSE_DRIVE: sense_drive(f); break;
    case CMD_RECALIBRATE: recalibrate(f); break;
    case CMD_SENSE_INTERRUPT: sense_interrupt(f); break;
    case CMD_DUMPREG: dump_registers(f); break;
    case CMD_SEEK: seek(f); break;
    case CMD_VERSION:
        f->result[0] = VERSION;
        fdc_answer(f, 1);
        break;
    case CMD_PERPENDICULAR: f->perpendicular = f->command[1] & 0x3f; break;
    case CMD_CONFIGURE:
        f->config[0] = f->command[2] & 0x7f;
        f->config[1] = f->command[3];
        break;
    case CMD_LOCK:
        f->lock = (f->command[0] & CMD_MT) != 0;
        f->result[0] = (uint8_t)(f->lock << 4);
        fdc_answer(f, 1);
        break;
    default: fdc_exec(f); break;
    }
}

static void command_byte(struct fdc *f, uint8_t val)
{
    if (f->phase == FDC_IDLE) {
        const struct command *c = command_of(val);
        if (!c) {
            f->result[0] = ST0_INVALID;
            fdc_answer(f, 1);
            return;
        }
        /* DUMPREG tells of the command before it. */
        if (c->code != CMD_DUMPREG)
            f->command_len = 1;
        f->command[0] = val;
        f->command_need = (uint8_t)(1 + c->params);
        f->phase = FDC_COMMAND;
        if (c->params == 0)
            execute(f);
        return;
    }
    f->command[f->command_len++] = val;
    if (f->command_len == f->command_need)
        execute(f);
}

/* --- time ------------------------------------------------------------------------------------ */

static bool resets(const struct fdc *f)
{
    return f->phase == FDC_IDLE && !f->seeking && f->due != CLOCK_NEVER;
}

void fdc_update(struct fdc *f)
{
    if (f->due == CLOCK_NEVER || clock_now(&f->clock) < f->due)
        return;
    const bool reset = resets(f);
    f->due = CLOCK_NEVER;
    if (reset) {
        for (unsigned unit = 0; unit < 4; unit++)
            f->st0[unit] = (uint8_t)(ST0_RESET | unit);
        f->sense = f->config[0] & CONFIG_NO_POLL ? 0 : 0xf;
        f->intr = f->sense != 0;
    } else if (f->seeking) {
        f->sense |= f->seeking;
        f->seeking = 0;
        f->intr = true;
    }
    if (f->phase == FDC_BUSY)
        fdc_exec_due(f);
    fdc_settle(f);
}

uint64_t fdc_deadline(const struct fdc *f)
{
    return f->due;
}

/* --- reset ----------------------------------------------------------------------------------- */

/* What SPECIFY has set stays, and what LOCK locks. */
static void quiet(struct fdc *f)
{
    f->phase = FDC_IDLE;
    f->intr = f->waits = false;
    f->sense = f->seeking = 0;
    f->command_len = 0;
    f->due = CLOCK_NEVER;
    memset(f->pcn, 0, sizeof f->pcn);
    if (f->lock) {
        f->config[0] &= 0x2f; /* FIFO and its threshold */
    } else {
        f->config[0] = CONFIG_NO_FIFO;
        f->config[1] = 0;
    }
    f->perpendicular &= 0x3c;
    fdc_settle(f);
}

static void start_again(struct fdc *f)
{
    quiet(f);
    later(f, RESET_NS);
}

static void write_dor(struct fdc *f, uint8_t val)
{
    const bool ran = f->dor & DOR_RUN;
    f->dor = val;
    if (!(val & DOR_RUN))
        quiet(f);
    else if (!ran)
        start_again(f);
    fdc_settle(f);
}

/* --- ports ----------------------------------------------------------------------------------- */

static uint8_t status(const struct fdc *f)
{
    if (!(f->dor & DOR_RUN) || resets(f))
        return 0;
    switch (f->phase) {
    case FDC_IDLE: return MSR_READY | f->seeking;
    case FDC_COMMAND: return MSR_READY | MSR_BUSY | f->seeking;
    case FDC_BUSY: return MSR_BUSY | f->seeking;
    case FDC_DATA: {
        const unsigned code = f->command[0] & CMD_BITS;
        const bool out = code == CMD_WRITE || code == CMD_WRITE_DELETED || code == CMD_FORMAT;
        return (uint8_t)(MSR_READY | MSR_BYTES | MSR_BUSY | (out ? 0 : MSR_TO_HOST) | f->seeking);
    }
    default: return MSR_READY | MSR_TO_HOST | MSR_BUSY | f->seeking;
    }
}

/* The processor moves a byte: the line falls with it, and rises for the next one. */
static void moved(struct fdc *f)
{
    f->intr = false;
    fdc_settle(f);
    f->intr = true;
    if (++f->at == f->filled)
        fdc_exec_moved(f);
    fdc_settle(f);
}

static uint8_t read_data(struct fdc *f)
{
    const uint8_t st = status(f);
    uint8_t val = 0xff;

    if ((st & (MSR_READY | MSR_TO_HOST)) != (MSR_READY | MSR_TO_HOST))
        return val;
    if (f->phase == FDC_DATA) {
        val = f->buffer[f->at];
        moved(f);
        return val;
    }
    if (f->waits) {
        f->waits = f->intr = false;
        fdc_settle(f);
    }
    val = f->result[f->result_at++];
    if (f->result_at == f->result_len)
        f->phase = FDC_IDLE;
    return val;
}

static void write_data(struct fdc *f, uint8_t val)
{
    const uint8_t st = status(f);

    if ((st & (MSR_READY | MSR_TO_HOST)) != MSR_READY)
        return;
    if (f->phase == FDC_DATA) {
        f->buffer[f->at] = val;
        moved(f);
    } else {
        command_byte(f, val);
        fdc_settle(f);
    }
}

/* Of the drive that the DOR selects, while its motor turns (data sheet, 2.1.7). Bits 0 to 6 are a
 * hard disk's. */
static uint8_t changed(const struct fdc *f)
{
    const unsigned unit = f->dor & 3;
    if (!(f->dor & 0x10u << unit) || unit >= FDC_DRIVES)
        return 0;
    return !f->drive[unit].disk || f->drive[unit].changed ? DIR_CHANGED : 0;
}

static uint32_t fdc_in(void *ctx, uint16_t port, unsigned size)
{
    struct fdc *f = ctx;
    (void)size;
    fdc_update(f);
    switch (port & 7) {
    case REG_DOR: return f->dor;
    case REG_TDR: return f->tdr | 0xfcu;
    case REG_STATUS: return status(f);
    case REG_DATA: return read_data(f);
    case REG_DIR: return changed(f);
    default: return 0xff; /* 3F0 and 3F1 are a PS/2's */
    }
}

static void fdc_out(void *ctx, uint16_t port, uint32_t val32, unsigned size)
{
    struct fdc *f = ctx;
    const uint8_t val = (uint8_t)val32;
    (void)size;
    fdc_update(f);
    switch (port & 7) {
    case REG_DOR: write_dor(f, val); break;
    case REG_TDR: f->tdr = val & 3; break;
    case REG_STATUS: /* the data rate select register */
        f->rate = val & RATE;
        if ((val & DSR_RESET) && (f->dor & DOR_RUN))
            start_again(f);
        break;
    case REG_DATA: write_data(f, val); break;
    case REG_DIR: f->rate = val & RATE; break;
    default: break;
    }
}

/* --- life ------------------------------------------------------------------------------------ */

void fdc_reset(struct fdc *f)
{
    f->dor = 0;
    f->rate = 2;
    f->lock = false;
    quiet(f);
    for (unsigned i = 0; i < FDC_DRIVES; i++)
        f->drive[i].changed = true;
}

uint8_t fdc_cmos_types(const struct fdc *f)
{
    return (uint8_t)(f->drive[0].media.drive << 4 | f->drive[1].media.drive);
}

int fdc_init(struct fdc *f, struct bus *bus, const struct fdc_config *c)
{
    bool any = false;

    *f = (struct fdc){.clock = c->clock, .irq = c->irq, .dma = c->dma, .due = CLOCK_NEVER};
    for (unsigned i = 0; i < FDC_DRIVES; i++)
        if (c->disk[i] &&
            fdc_media_of(disk_sectors(c->disk[i]) * DISK_SECTOR, &f->drive[i].media)) {
            f->drive[i].disk = c->disk[i];
            any = true;
        }
    fdc_reset(f);
    if (!any)
        return 0;
    struct bus_range r = {.name = "fdc",
                          .first = FDC_BASE,
                          .last = FDC_BASE + REG_DATA,
                          .in = fdc_in,
                          .out = fdc_out,
                          .ctx = f};
    const int err = bus_claim(bus, &r);
    r.first = r.last = FDC_BASE + REG_DIR;
    return err ? err : bus_claim(bus, &r);
}
