/*
 * CD-ROM: the PACKET command set of ATA/ATAPI-6 (9.8), with the packets of SFF-8020i and MMC that
 * hosts use to read data. One session, one data track, always a medium, a tray that stays shut.
 */
#include <errno.h>
#include <string.h>

#include "vmm/dev/ide_int.h"

enum { PACKET = 0xa0, IDENTIFY_PACKET = 0xa1, IDENTIFY = 0xec, SET_FEATURES = 0xef };
enum { READ = 0x20 };
enum { POWER_STANDBY_NOW = 0xe0, POWER_IDLE_NOW, POWER_STANDBY, POWER_IDLE };
enum { POWER_CHECK = 0xe5, POWER_SLEEP = 0xe6, FLUSH = 0xe7 };
enum { REASON_COMMAND = 1, REASON_TO_HOST = 2 }; /* Interrupt Reason, in the Count register */
enum { FEATURE_DMA = 1 };
enum { PACKET_BYTES = 12, FRAME = DISK_CD_SECTOR, FRAMES = IDE_BUFFER / DISK_CD_SECTOR };
enum { KEY_MEDIUM = 3, KEY_ILLEGAL = 5 };
enum { ASC_READ = 0x11, ASC_OPCODE = 0x20, ASC_RANGE = 0x21, ASC_FIELD = 0x24, ASC_LOCKED = 0x53 };
enum { LEAD_OUT = 0xaa };

enum { /* packets */
       P_TEST_UNIT_READY = 0x00,
       P_REQUEST_SENSE = 0x03,
       P_INQUIRY = 0x12,
       P_START_STOP = 0x1b,
       P_PREVENT_REMOVAL = 0x1e,
       P_READ_CAPACITY = 0x25,
       P_READ_10 = 0x28,
       P_SEEK = 0x2b,
       P_READ_TOC = 0x43,
       P_GET_CONFIGURATION = 0x46,
       P_EVENT_STATUS = 0x4a,
       P_DISC_INFORMATION = 0x51,
       P_MODE_SENSE = 0x5a,
       P_READ_12 = 0xa8,
       P_SET_SPEED = 0xbb,
       P_MECHANISM_STATUS = 0xbd,
       P_READ_CD = 0xbe,
};

/* --- numbers, with their highest byte first -------------------------------------------------- */

static uint32_t be16(const uint8_t *p)
{
    return (uint32_t)p[0] << 8 | p[1];
}

static uint32_t be32(const uint8_t *p)
{
    return be16(p) << 16 | be16(p + 2);
}

static void put_be16(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static void put_be32(uint8_t *p, uint32_t v)
{
    put_be16(p, v >> 16);
    put_be16(p + 2, v);
}

/* Frames that a 32-bit address reaches. */
static uint32_t frames_of(const struct ide_drive *d)
{
    const uint64_t n = disk_sectors(d->disk) / (FRAME / DISK_SECTOR);
    return n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
}

/* --- how a packet ends ----------------------------------------------------------------------- */

static void packet_done(struct ide_drive *d)
{
    d->now.count = REASON_TO_HOST | REASON_COMMAND;
    ide_done(d);
}

static void packet_fail(struct ide_drive *d, uint8_t key, uint8_t code, uint8_t qualifier)
{
    d->sense_key = key;
    d->sense_code = code;
    d->sense_qualifier = qualifier;
    d->now.count = REASON_TO_HOST | REASON_COMMAND;
    ide_fail(d, (uint8_t)(key << 4 | ERR_ABRT), 0);
}

/* --- data to the host ------------------------------------------------------------------------ */

static void fetch(struct ide_drive *d);

/* Offer what the buffer still holds from `at` on, no more than the host takes at a time. */
static void offer(struct ide_drive *d, uint32_t at);

static void offered_moved(struct ide_drive *d)
{
    if (d->at < d->reply)
        offer(d, d->at);
    else if (d->left > 0)
        fetch(d);
    else
        packet_done(d);
}

static void offer(struct ide_drive *d, uint32_t at)
{
    const uint32_t rest = d->reply - at, n = rest < d->limit ? rest : d->limit;
    ide_offer(d, at + n, true, offered_moved);
    d->at = at;
    d->now.count = REASON_TO_HOST;
    d->now.lba[1] = (uint8_t)n;
    d->now.lba[2] = (uint8_t)(n >> 8);
    ide_raise(d);
}

/* The answer is the buffer's first n bytes, cut to what the packet allowed. */
static void answer(struct ide_drive *d, uint32_t n, uint32_t allocated)
{
    d->reply = n < allocated ? n : allocated;
    d->left = 0;
    if (d->reply == 0) {
        packet_done(d);
        return;
    }
    /* An odd end: the host moves words, and gets a zero with the last byte. */
    d->buffer[d->reply] = 0;
    d->reply += d->reply & 1;
    offer(d, 0);
}

static void fetch(struct ide_drive *d)
{
    const uint32_t n = d->left < FRAMES ? d->left : FRAMES;
    const uint32_t sectors = n * (FRAME / DISK_SECTOR);
    if (disk_read(d->disk, d->sector, sectors, d->buffer) < 0) {
        packet_fail(d, KEY_MEDIUM, ASC_READ, 0);
        return;
    }
    d->sector += sectors;
    d->left -= n;
    d->reply = n * FRAME;
    offer(d, 0);
}

static void read_frames(struct ide_drive *d, uint32_t frame, uint32_t count)
{
    const uint32_t frames = frames_of(d);
    if (frame > frames || count > frames - frame) {
        packet_fail(d, KEY_ILLEGAL, ASC_RANGE, 0);
        return;
    }
    if (count == 0) {
        packet_done(d);
        return;
    }
    d->sector = (uint64_t)frame * (FRAME / DISK_SECTOR);
    d->left = count;
    fetch(d);
}

/* --- packets --------------------------------------------------------------------------------- */

static void request_sense(struct ide_drive *d, const uint8_t *p)
{
    uint8_t *b = memset(d->buffer, 0, 18);
    b[0] = 0x70;
    b[2] = d->sense_key;
    b[7] = 10;
    b[12] = d->sense_code;
    b[13] = d->sense_qualifier;
    d->sense_key = d->sense_code = d->sense_qualifier = 0;
    answer(d, 18, p[4]);
}

static void inquiry(struct ide_drive *d, const uint8_t *p)
{
    /* vendor, product, revision: padded with spaces, with no end */
    static const uint8_t names[8 + 16 + 4] = "UMBRA   CD-ROM          1.0 ";
    uint8_t *b = memset(d->buffer, 0, 36);
    if (p[1] & 1) { /* vital product data: there is none */
        packet_fail(d, KEY_ILLEGAL, ASC_FIELD, 0);
        return;
    }
    b[0] = 5;    /* CD-ROM */
    b[1] = 0x80; /* removable */
    b[3] = 0x21; /* ATAPI 2, format 1 */
    b[4] = 31;
    memcpy(b + 8, names, sizeof names);
    answer(d, 36, p[4]);
}

static void read_capacity(struct ide_drive *d)
{
    put_be32(d->buffer, frames_of(d) - 1);
    put_be32(d->buffer + 4, FRAME);
    answer(d, 8, 8);
}

/* Minute, second and frame, counted with the two seconds before the first. */
static void put_address(uint8_t *p, uint32_t frame, bool msf)
{
    if (!msf) {
        put_be32(p, frame);
        return;
    }
    const uint32_t at = frame > UINT32_MAX - 150 ? frame : frame + 150;
    p[0] = 0;
    p[1] = (uint8_t)(at / 75 / 60);
    p[2] = (uint8_t)(at / 75 % 60);
    p[3] = (uint8_t)(at % 75);
}

static uint8_t *put_track(uint8_t *p, unsigned track, uint32_t frame, bool msf)
{
    p[1] = 0x14; /* data, copying not allowed */
    p[2] = (uint8_t)track;
    put_address(p + 4, frame, msf);
    return p + 8;
}

static void read_toc(struct ide_drive *d, const uint8_t *p)
{
    const bool msf = p[1] & 2;
    const unsigned format = p[2] & 15 ? p[2] & 15 : p[9] >> 6, first = p[6];
    uint8_t *b = memset(d->buffer, 0, 64), *end = b + 4;

    b[2] = b[3] = 1; /* first and last track or session */
    if (format == 0 && (first <= 1 || first == LEAD_OUT)) {
        if (first <= 1)
            end = put_track(end, 1, 0, msf);
        end = put_track(end, LEAD_OUT, frames_of(d), msf);
    } else if (format == 1) {
        end = put_track(end, 1, 0, msf);
    } else {
        packet_fail(d, KEY_ILLEGAL, ASC_FIELD, 0);
        return;
    }
    put_be16(b, (uint32_t)(end - b) - 2);
    answer(d, (uint32_t)(end - b), be16(p + 7));
}

/* The page of capabilities is the one that there is. */
static void mode_sense(struct ide_drive *d, const uint8_t *p)
{
    const unsigned page = p[2] & 0x3f;
    uint8_t *b = memset(d->buffer, 0, 64), *c = b + 8;
    if ((page != 0x2a && page != 0x3f) || p[2] >> 6 == 3) {
        packet_fail(d, KEY_ILLEGAL, ASC_FIELD, 0);
        return;
    }
    put_be16(b, 8 + 20 - 2);
    b[2] = 1; /* 120 mm data disc */
    c[0] = 0x2a;
    c[1] = 18;
    c[4] = 0x60;          /* reads mode 2 */
    c[6] = 0x20;          /* tray */
    put_be16(c + 8, 706); /* speed, kB/s */
    put_be16(c + 12, 64); /* buffer, kB */
    put_be16(c + 14, 706);
    answer(d, 8 + 20, be16(p + 7));
}

/* One profile, CD-ROM, and no feature besides. */
static void get_configuration(struct ide_drive *d, const uint8_t *p)
{
    uint8_t *b = memset(d->buffer, 0, 16);
    put_be32(b, 12);
    put_be16(b + 6, 8); /* current profile */
    b[10] = 3;          /* feature 0, profile list: persistent, current */
    b[11] = 4;
    put_be16(b + 12, 8);
    b[14] = 1;
    answer(d, 16, be16(p + 7));
}

static void event_status(struct ide_drive *d, const uint8_t *p)
{
    uint8_t *b = memset(d->buffer, 0, 8);
    if (!(p[1] & 1)) { /* only polling */
        packet_fail(d, KEY_ILLEGAL, ASC_FIELD, 0);
        return;
    }
    b[3] = 0x10; /* media events are supported */
    if (!(p[4] & 0x10)) {
        put_be16(b, 2);
        b[2] = 0x80; /* none of those asked for */
        answer(d, 4, be16(p + 7));
        return;
    }
    put_be16(b, 6);
    b[2] = 4;
    b[5] = 2; /* no change; a medium is in */
    answer(d, 8, be16(p + 7));
}

static void disc_information(struct ide_drive *d, const uint8_t *p)
{
    uint8_t *b = memset(d->buffer, 0, 34);
    put_be16(b, 32);
    b[2] = 0x0e; /* complete, not to be written */
    b[3] = b[4] = b[5] = b[6] = 1;
    memset(b + 16, 0xff, 8); /* no lead-in, no lead-out to be written */
    answer(d, 34, be16(p + 7));
}

static void mechanism_status(struct ide_drive *d, const uint8_t *p)
{
    memset(d->buffer, 0, 8);
    d->buffer[5] = 1; /* one slot */
    answer(d, 8, be16(p + 8));
}

static void start_stop(struct ide_drive *d, const uint8_t *p)
{
    if ((p[4] & 3) == 2) /* eject: the medium stays */
        packet_fail(d, KEY_ILLEGAL, ASC_LOCKED, 2);
    else
        packet_done(d);
}

/* User data of frames, or nothing of them. */
static void read_cd(struct ide_drive *d, const uint8_t *p)
{
    const uint32_t frame = be32(p + 2), count = be32(p + 5) & 0xffffff;
    switch (p[9] & 0xf8) {
    case 0x00: packet_done(d); break;
    case 0x10: read_frames(d, frame, count); break;
    default: packet_fail(d, KEY_ILLEGAL, ASC_FIELD, 0); break;
    }
}

static void run_packet(struct ide_drive *d)
{
    uint8_t p[PACKET_BYTES]; /* a copy: the answer is made in the buffer */
    memcpy(p, d->buffer, sizeof p);
    if (p[0] != P_REQUEST_SENSE)
        d->sense_key = d->sense_code = d->sense_qualifier = 0;
    switch (p[0]) {
    case P_TEST_UNIT_READY:
    case P_PREVENT_REMOVAL:
    case P_SET_SPEED: packet_done(d); break;
    case P_REQUEST_SENSE: request_sense(d, p); break;
    case P_INQUIRY: inquiry(d, p); break;
    case P_START_STOP: start_stop(d, p); break;
    case P_READ_CAPACITY: read_capacity(d); break;
    case P_READ_10: read_frames(d, be32(p + 2), be16(p + 7)); break;
    case P_READ_12: read_frames(d, be32(p + 2), be32(p + 6)); break;
    case P_SEEK: read_frames(d, be32(p + 2), 0); break;
    case P_READ_TOC: read_toc(d, p); break;
    case P_GET_CONFIGURATION: get_configuration(d, p); break;
    case P_EVENT_STATUS: event_status(d, p); break;
    case P_DISC_INFORMATION: disc_information(d, p); break;
    case P_MODE_SENSE: mode_sense(d, p); break;
    case P_MECHANISM_STATUS: mechanism_status(d, p); break;
    case P_READ_CD: read_cd(d, p); break;
    default: packet_fail(d, KEY_ILLEGAL, ASC_OPCODE, 0); break;
    }
}

/* --- commands -------------------------------------------------------------------------------- */

/* Byte counts are even; 0 and 0xffff stand for the most (8.27.4). */
static uint32_t host_limit(const struct ide_drive *d)
{
    const uint32_t n = d->now.lba[1] | (uint32_t)d->now.lba[2] << 8;
    return n < 2 || n == 0xffff ? 0xfffe : n & ~1u;
}

static void packet(struct ide_drive *d)
{
    if (d->now.feature & FEATURE_DMA) {
        ide_fail(d, ERR_ABRT, 0);
        return;
    }
    d->limit = host_limit(d);
    ide_offer(d, PACKET_BYTES, false, run_packet); /* without an interrupt */
    d->now.count = REASON_COMMAND;
}

static void device_reset(struct ide_drive *d)
{
    ide_signature(d);
    d->error = 1;
    d->status = 0;
    d->asleep = d->standby = false;
    d->device &= DEV_SELECT;
}

void ide_cd_command(struct ide_drive *d, uint8_t command)
{
    switch (command) {
    case PACKET: packet(d); break;
    case IDENTIFY_PACKET:
        ide_identify_cd(d);
        ide_offer(d, DISK_SECTOR, true, NULL);
        ide_raise(d);
        break;
    case IDE_DEVICE_RESET: device_reset(d); break;
    case IDENTIFY: /* the host learns from these two that it is no disk */
    case READ:
        ide_signature(d);
        ide_fail(d, ERR_ABRT, 0);
        break;
    case SET_FEATURES:
        if (d->now.feature == 3 && (d->now.count <= 1 || (d->now.count & 0xf8) == 8))
            ide_done(d);
        else
            ide_fail(d, ERR_ABRT, 0);
        break;
    case POWER_SLEEP:
        d->asleep = true;
        ide_done(d);
        break;
    case POWER_CHECK:
        d->now.count = 0xff;
        ide_done(d);
        break;
    case POWER_STANDBY_NOW:
    case POWER_IDLE_NOW:
    case POWER_STANDBY:
    case POWER_IDLE:
    case FLUSH: ide_done(d); break;
    default: ide_fail(d, ERR_ABRT, 0); break;
    }
}
