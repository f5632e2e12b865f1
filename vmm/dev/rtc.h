/*
 * The MC146818 real-time clock with its CMOS memory, as a PC has it behind ports 0x70 and 0x71.
 * Like the PIT it does nothing between two accesses: rtc_deadline() says when rtc_update() is due.
 */
#ifndef UMBRA_VMM_DEV_RTC_H
#define UMBRA_VMM_DEV_RTC_H

#include "vmm/dev/bus.h"
#include "vmm/dev/lines.h"

struct rtc {
    uint8_t reg[128];
    uint8_t index;
    struct clock clock;
    struct line irq8;
    uint64_t zero_ns;  /* guest time at which a second began */
    uint64_t offset_s; /* calendar second (since 1970) that began then */
    uint64_t second;   /* last calendar second that was looked at */
    uint64_t periods;  /* periodic ticks that were looked at */
    bool irq_level;
};

/* Claim ports 0x70 and 0x71. The calendar starts at seconds since 1970 (UTC); the CMOS says how
 * much RAM there is, as a firmware would have written it. 0, or bus_claim's error. */
int rtc_init(struct rtc *r, struct bus *bus, struct clock clock, struct line irq8, uint64_t seconds,
             uint64_t ram_bytes);

/* What the setup of a PC's firmware would have stored: which drives it starts from, one after the
 * other. order: letters as an option -boot has them, a (diskette), c (disk) and d (CD-ROM); at most
 * three count. */
void rtc_set_boot_order(struct rtc *r, const char *order);

/* ... and which diskette drives there are: a type for drive 0 in the upper half, for drive 1 in the
 * lower one; 0: none. */
void rtc_set_floppies(struct rtc *r, uint8_t types);
/* The equipment byte as it is now: among others how many floppy drives there are, which the BIOS's
 * data area says by the same bits. */
enum { EQUIPMENT_FLOPPIES = 0xc1 };
uint8_t rtc_equipment(const struct rtc *r);

/* ... and that IDE drive n (0..3) is a disk with so many cylinders of 16 heads and 63 sectors: its
 * type, its geometry (of the first two), and whether the firmware is to tell another one, as disks
 * beyond 1024 cylinders need. */
void rtc_set_disk(struct rtc *r, unsigned n, unsigned cylinders);

/* Its RESET pin: no interrupts. Time and CMOS stay. */
void rtc_reset(struct rtc *r);

/* Bring flags and IRQ 8 up to the present. */
void rtc_update(struct rtc *r);

/* Guest time in ns at which rtc_update() has something to do, or CLOCK_NEVER. */
uint64_t rtc_deadline(const struct rtc *r);

#endif
