/*
 * The diskette controller's data commands, a sector at a time: by DMA all of them at once when the
 * command is due, by the processor each when the bytes of the one before have moved.
 */
#include <string.h>

#include "vmm/dev/fdc_int.h"

#define COMMAND_NS 50000u /* heads, and the disk's turning */
#define SECTOR_NS  5000u

static uint8_t code_of(const struct fdc *f)
{
    return f->command[0] & CMD_BITS;
}

static bool by_processor(const struct fdc *f)
{
    return f->specify[1] & 1;
}

static bool writes(const struct fdc *f)
{
    const uint8_t code = code_of(f);
    return code == CMD_WRITE || code == CMD_WRITE_DELETED || code == CMD_FORMAT;
}

/* --- the end --------------------------------------------------------------------------------- */

/* The seven bytes of result, and the interrupt. */
static void end(struct fdc *f, uint8_t st0)
{
    f->result[0] = (uint8_t)(st0 | fdc_head(f) << 2 | fdc_unit(f));
    f->result[1] = f->st1;
    f->result[2] = f->st2;
    f->result[3] = f->c;
    f->result[4] = f->h;
    f->result[5] = f->r;
    f->result[6] = code_of(f) == CMD_READ_ID ? 2 : f->command[P_N];
    fdc_answer(f, 7);
    f->intr = f->waits = true;
}

static void fail(struct fdc *f, uint8_t st1, uint8_t st2)
{
    f->st1 |= st1;
    f->st2 |= st2;
    end(f, ST0_ABNORMAL);
}

/* Go to the sector behind this one (data sheet, table 6-4). false: that was the last one that the
 * command may reach. */
static bool next_sector(struct fdc *f)
{
    const bool multi = f->command[0] & CMD_MT;
    if (f->r != f->command[P_EOT]) {
        f->r++;
        return true;
    }
    f->r = 1;
    if (multi && !(f->h & 1)) {
        f->h |= 1;
        f->command[P_UNIT] |= 4;
        return true;
    }
    if (multi)
        f->h &= 0xfe;
    f->c++;
    return false;
}

/* --- finding a sector ------------------------------------------------------------------------ */

/* Is there anything that can be read under the heads? */
static struct fdc_drive *track_under_heads(struct fdc *f)
{
    struct fdc_drive *d = fdc_drive_of(f, fdc_unit(f));
    if (!d || !(f->command[0] & CMD_MFM) || !(d->media.rates >> f->rate & 1) ||
        d->track >= d->media.tracks || fdc_head(f) >= d->media.heads) {
        fail(f, ST1_NO_MARK, 0);
        return NULL;
    }
    return d;
}

/* Where C, H, R lie in the file; -1, and the command has ended, where there is no such sector. */
static int64_t find(struct fdc *f, const struct fdc_drive *d)
{
    if (f->c != d->track) {
        fail(f, ST1_NO_DATA, ST2_WRONG_CYLINDER);
        return -1;
    }
    if (f->h != fdc_head(f) || f->r < 1 || f->r > d->media.sectors ||
        (code_of(f) != CMD_FORMAT && f->command[P_N] != 2)) {
        fail(f, ST1_NO_DATA, 0);
        return -1;
    }
    return ((int64_t)d->track * d->media.heads + f->h) * d->media.sectors + f->r - 1;
}

/* What the file does not reach reads as zeros, and cannot be written. */
static bool read_sector(struct fdc *f, const struct fdc_drive *d, int64_t at)
{
    if ((uint64_t)at >= disk_sectors(d->disk)) {
        memset(f->buffer, 0, sizeof f->buffer);
        return true;
    }
    if (disk_read(d->disk, (uint64_t)at, 1, f->buffer) == 0)
        return true;
    fail(f, ST1_DATA, ST2_DATA);
    return false;
}

static bool write_sector(struct fdc *f, const struct fdc_drive *d, int64_t at)
{
    if (disk_write(d->disk, (uint64_t)at, 1, f->buffer) == 0)
        return true;
    fail(f, ST1_DATA, ST2_DATA);
    return false;
}

/* --- one sector ------------------------------------------------------------------------------ */

/* This sector is through. false: the command has ended. */
static bool go_on(struct fdc *f, bool terminal)
{
    const bool more = next_sector(f);
    if (terminal) {
        end(f, 0);
        return false;
    }
    if (more)
        return true;
    /* Nobody said that it was enough. VERIFY has nobody to say so. */
    if (code_of(f) == CMD_VERIFY)
        end(f, 0);
    else
        fail(f, ST1_END, 0);
    return false;
}

/* false: the command has ended, or waits for the processor. */
static bool read_one(struct fdc *f, struct fdc_drive *d)
{
    const int64_t at = find(f, d);
    bool terminal = false;

    if (at < 0 || !read_sector(f, d, at))
        return false;
    if (code_of(f) == CMD_READ_DELETED)
        f->st2 |= ST2_CONTROL_MARK; /* the mark is not the one that was asked for: it goes on to
                                     * this sector's end and no farther */
    if (code_of(f) == CMD_VERIFY)
        return go_on(f, false);
    if (by_processor(f)) {
        f->phase = FDC_DATA;
        f->at = 0;
        f->filled = FDC_SECTOR;
        f->intr = true;
        return false;
    }
    const uint32_t n = dma_to_memory(f->dma, FDC_DMA, f->buffer, FDC_SECTOR, &terminal);
    if (n < FDC_SECTOR && !terminal) {
        fail(f, ST1_OVERRUN, 0);
        return false;
    }
    return go_on(f, terminal || code_of(f) == CMD_READ_DELETED);
}

/* The sector's bytes are in the buffer. Deleted data is data: a file has no room for the mark. */
static bool store(struct fdc *f, struct fdc_drive *d, bool terminal)
{
    const int64_t at = find(f, d);
    return at >= 0 && write_sector(f, d, at) && go_on(f, terminal);
}

/* Take bytes for the buffer: n of them, and zeros behind. false: as above. */
static bool collect(struct fdc *f, uint32_t n, bool *terminal)
{
    *terminal = false;
    memset(f->buffer, 0, sizeof f->buffer);
    if (by_processor(f)) {
        f->phase = FDC_DATA;
        f->at = 0;
        f->filled = (uint16_t)n;
        f->intr = true;
        return false;
    }
    if (dma_from_memory(f->dma, FDC_DMA, f->buffer, n, terminal) < n && !*terminal) {
        fail(f, ST1_OVERRUN, 0);
        return false;
    }
    return true;
}

static bool write_one(struct fdc *f, struct fdc_drive *d)
{
    bool terminal;
    return find(f, d) >= 0 && collect(f, FDC_SECTOR, &terminal) && store(f, d, terminal);
}

/* --- FORMAT ---------------------------------------------------------------------------------- */

/* The buffer begins with a sector's C, H, R and N. Diskettes keep their layout: other sectors than
 * its own cannot be made. */
static bool format_sector(struct fdc *f, struct fdc_drive *d)
{
    const uint8_t n = f->buffer[3];
    f->c = f->buffer[0];
    f->h = f->buffer[1];
    f->r = f->buffer[2];
    const int64_t at = n == 2 ? find(f, d) : -1;
    if (n != 2)
        fail(f, ST1_NO_DATA, 0);
    memset(f->buffer, f->command[F_FILLER], sizeof f->buffer);
    if (at < 0 || !write_sector(f, d, at))
        return false;
    if (--f->left_to_format)
        return true;
    end(f, 0);
    return false;
}

static bool format_one(struct fdc *f, struct fdc_drive *d)
{
    bool terminal;
    return collect(f, 4, &terminal) && format_sector(f, d);
}

/* --- the commands ---------------------------------------------------------------------------- */

static void read_id(struct fdc *f)
{
    const struct fdc_drive *d = track_under_heads(f);
    if (!d)
        return;
    f->c = d->track;
    f->h = (uint8_t)fdc_head(f);
    f->r = (uint8_t)(f->r % d->media.sectors + 1); /* the one that comes by */
    end(f, 0);
}

/* Go on until the command has ended or the processor has to move bytes. */
static void work(struct fdc *f)
{
    struct fdc_drive *d = track_under_heads(f);
    bool (*one)(struct fdc *, struct fdc_drive *) = code_of(f) == CMD_FORMAT ? format_one
                                                    : writes(f)              ? write_one
                                                                             : read_one;
    while (d && one(f, d))
        if (!(d = track_under_heads(f)))
            return;
}

void fdc_exec_due(struct fdc *f)
{
    const struct fdc_drive *d = fdc_drive_of(f, fdc_unit(f));
    if (code_of(f) == CMD_READ_ID)
        read_id(f);
    else if (writes(f) && d && disk_readonly(d->disk))
        fail(f, ST1_PROTECTED, 0);
    else
        work(f);
}

void fdc_exec_moved(struct fdc *f)
{
    struct fdc_drive *d = fdc_drive_of(f, fdc_unit(f));
    f->phase = FDC_BUSY;
    f->intr = false;
    const bool more = code_of(f) == CMD_FORMAT ? format_sector(f, d)
                      : writes(f)              ? store(f, d, false)
                                               : go_on(f, code_of(f) == CMD_READ_DELETED);
    if (more)
        f->due = clock_now(&f->clock) + SECTOR_NS;
}

static void implied_seek(struct fdc *f)
{
    struct fdc_drive *d = fdc_drive_of(f, fdc_unit(f));
    if (!(f->config[0] & CONFIG_IMPLIED_SEEK) || !d)
        return;
    d->changed = d->changed && d->track == f->c;
    d->track = f->pcn[fdc_unit(f)] = f->c;
}

void fdc_exec(struct fdc *f)
{
    const uint8_t code = code_of(f);

    f->st1 = f->st2 = 0;
    f->phase = FDC_BUSY;
    f->due = clock_now(&f->clock) + COMMAND_NS;
    if (code == CMD_READ_ID)
        return;
    if (code == CMD_FORMAT) {
        const struct fdc_drive *d = fdc_drive_of(f, fdc_unit(f));
        f->c = d ? d->track : 0;
        f->left_to_format = f->command[F_SECTORS];
        return;
    }
    f->c = f->command[P_C];
    f->h = f->command[P_H];
    f->r = code == CMD_READ_TRACK ? 1 : f->command[P_R];
    implied_seek(f);
    f->due += (uint64_t)SECTOR_NS * f->command[P_EOT];
}
