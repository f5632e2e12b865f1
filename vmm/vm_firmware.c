/* See vm_firmware.h. Layouts: MultiProcessor Specification 1.4, chapter 4; IBM PS/2 and PC BIOS
 * Interface Technical Reference, "BIOS data area". */
#include "vmm/vm_firmware.h"

#include <string.h>

#include "vmm/cpu/cpuid.h"
#include "vmm/vm.h"

#define ROM_PAGE  0xff000u
#define MP_FLOAT  (ROM_PAGE + 0x000) /* must be a multiple of 16 */
#define MP_TABLE  (ROM_PAGE + 0x010)
#define REBOOT    (ROM_PAGE + 0xe00)
#define ROM_ENTRY (ROM_PAGE + 0xff0)
#define ROM_DATE  (ROM_PAGE + 0xff5)
#define ROM_MODEL (ROM_PAGE + 0xffe)

#define BDA      0x400u
#define BDA_SIZE 0x100u
#define LOW_KIB  639 /* RAM that is free below the extended data area */
#define EBDA_SEG 0x9fc0

/* --- little-endian bytes --------------------------------------------------------------------- */

struct bytes {
    uint8_t *at;
    size_t len;
};

static void add(struct bytes *b, uint32_t v, unsigned n)
{
    for (; n > 0; n--, v >>= 8)
        b->at[b->len++] = (uint8_t)v;
}

static void add_text(struct bytes *b, const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        b->at[b->len++] = *s ? (uint8_t)*s++ : ' ';
}

static uint8_t checksum(const uint8_t *p, size_t n)
{
    uint8_t sum = 0;
    for (size_t i = 0; i < n; i++)
        sum = (uint8_t)(sum + p[i]);
    return (uint8_t)(0u - sum);
}

/* --- MultiProcessor tables ------------------------------------------------------------------- */

enum { MP_PROCESSOR, MP_BUS, MP_IOAPIC, MP_IO_INT, MP_LOCAL_INT };
enum { MP_INT = 0, MP_NMI = 1, MP_EXTINT = 3 };
enum { MP_ENABLED = 1, MP_BOOT = 2, MP_ALL = 0xff };
enum { HEADER_LENGTH = 4, HEADER_CHECKSUM = 7, HEADER_ENTRIES = 34, FLOAT_CHECKSUM = 10 };

/* Sources and inputs as they are wired in dev/apic.c. Polarity and trigger: the bus's. */
static void add_interrupt(struct bytes *b, unsigned entry, unsigned type, unsigned irq,
                          unsigned apic, unsigned input)
{
    add(b, entry, 1);
    add(b, type, 1);
    add(b, 0, 2);
    add(b, 0, 1); /* the ISA bus */
    add(b, irq, 1);
    add(b, apic, 1);
    add(b, input, 1);
}

static unsigned add_entries(struct bytes *b, const struct cpu *cpu)
{
    const struct cpuid_policy policy = {.pae = true, .nx = true, .apic = true};
    uint32_t id[4];
    unsigned n = 3;

    cpuid_query(&policy, cpu, 1, 0, id);
    add(b, MP_PROCESSOR, 1);
    add(b, 0, 1);    /* its local APIC's ID ... */
    add(b, 0x14, 1); /* ... and version */
    add(b, MP_ENABLED | MP_BOOT, 1);
    add(b, id[0], 4);
    add(b, id[3], 4);
    add(b, 0, 4);
    add(b, 0, 4);
    add(b, MP_BUS, 1);
    add(b, 0, 1);
    add_text(b, "ISA", 6);
    add(b, MP_IOAPIC, 1);
    add(b, IOAPIC_ID, 1);
    add(b, 0x11, 1);
    add(b, MP_ENABLED, 1);
    add(b, IOAPIC_BASE, 4);
    for (unsigned irq = 0; irq < 16; irq++)
        if (irq != 2) {
            add_interrupt(b, MP_IO_INT, MP_INT, irq, IOAPIC_ID, irq ? irq : 2);
            n++;
        }
    add_interrupt(b, MP_LOCAL_INT, MP_EXTINT, 0, MP_ALL, 0);
    add_interrupt(b, MP_LOCAL_INT, MP_NMI, 0, MP_ALL, 1);
    return n + 2;
}

static void mp_tables(uint8_t *page, const struct cpu *cpu)
{
    struct bytes f = {page + (MP_FLOAT - ROM_PAGE), 0}, t = {page + (MP_TABLE - ROM_PAGE), 0};

    add_text(&t, "PCMP", 4);
    add(&t, 0, 2); /* length */
    add(&t, 4, 1); /* 1.4 */
    add(&t, 0, 1); /* checksum */
    add_text(&t, "UMBRA", 8);
    add_text(&t, "PC", 12);
    add(&t, 0, 4); /* no OEM table */
    add(&t, 0, 2);
    add(&t, 0, 2); /* entries */
    add(&t, LAPIC_BASE, 4);
    add(&t, 0, 4); /* no extended table */
    t.at[HEADER_ENTRIES] = (uint8_t)add_entries(&t, cpu);
    t.at[HEADER_LENGTH] = (uint8_t)t.len;
    t.at[HEADER_LENGTH + 1] = (uint8_t)(t.len >> 8);
    t.at[HEADER_CHECKSUM] = checksum(t.at, t.len);

    add_text(&f, "_MP_", 4);
    add(&f, MP_TABLE, 4);
    add(&f, 1, 1); /* paragraphs */
    add(&f, 4, 1);
    add(&f, 0, 1); /* checksum */
    add(&f, 0, 1); /* there is a table */
    add(&f, 0, 4); /* virtual wire mode: the IMCR need not be touched */
    f.at[FLOAT_CHECKSUM] = checksum(f.at, f.len);
}

/* --- the ROM's end --------------------------------------------------------------------------- */

static void rom_end(uint8_t *page)
{
    /* Real mode's way to a new start: jmp f000:fe00, where port 92 resets the machine. */
    static const uint8_t entry[] = {0xea, 0x00, 0xfe, 0x00, 0xf0};
    static const uint8_t reboot[] = {0xb0, 0x01, 0xe6, 0x92, 0xf4}; /* mov al, 1; out 92, al; hlt */
    static const uint8_t date[8] = {'0', '1', '/', '0', '1', '/', '9', '9'};

    memcpy(page + (ROM_ENTRY - ROM_PAGE), entry, sizeof entry);
    memcpy(page + (REBOOT - ROM_PAGE), reboot, sizeof reboot);
    memcpy(page + (ROM_DATE - ROM_PAGE), date, sizeof date);
    page[ROM_MODEL - ROM_PAGE] = 0xfc; /* an AT */
}

/* --- BIOS data area -------------------------------------------------------------------------- */

static void put16(uint8_t *p, unsigned v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}

static void data_area(uint8_t *b, uint8_t floppies, unsigned disks)
{
    put16(b + 0x00, UART_COM1);
    put16(b + 0x0e, EBDA_SEG);
    /* Equipment: one serial port, 80 x 25 in colour, mouse, FPU, diskette drives. */
    put16(b + 0x10, 0x0226u | floppies);
    put16(b + 0x13, LOW_KIB);
    put16(b + 0x1a, 0x1e); /* the keyboard's buffer is empty */
    put16(b + 0x1c, 0x1e);
    b[0x49] = 3; /* video mode */
    put16(b + 0x4a, 80);
    put16(b + 0x4c, 80 * 25 * 2 + 96); /* a page's bytes, rounded up */
    put16(b + 0x60, 0x0d0e);           /* the cursor's lines */
    put16(b + 0x63, 0x3d4);
    b[0x75] = (uint8_t)disks;
    put16(b + 0x80, 0x1e); /* the keyboard's buffer, from and to */
    put16(b + 0x82, 0x3e);
    b[0x84] = 24; /* the last row */
    put16(b + 0x85, 16);
    b[0x87] = 0x60; /* 256 KiB of display memory */
    b[0x89] = 0x11; /* VGA, 400 lines */
    b[0x96] = 0x10; /* a keyboard with 101 keys */
}

static unsigned disks_of(const struct vm *vm)
{
    unsigned n = 0;
    for (unsigned i = 0; i < BOARD_DRIVES; i++)
        n += vm->opts.drive[i].disk && !vm->opts.drive[i].cd;
    return n;
}

int vm_firmware_leave(struct vm *vm, struct errmsg *err)
{
    uint8_t page[PAGE_SIZE] = {0}, bda[BDA_SIZE] = {0};
    int rc;

    if (vm->board.apic.present)
        mp_tables(page, NULL);
    rom_end(page);
    data_area(bda, rtc_equipment(&vm->board.rtc) & EQUIPMENT_FLOPPIES, disks_of(vm));
    rc = vm_rom_back(vm, 0xf0000, ROM_PAGE - 0xf0000, err);
    if (!rc)
        rc = vm_rom_add(vm, ROM_PAGE, page, sizeof page, err);
    if (rc)
        return rc;
    rc = vm_bios_tell_size(vm);
    if (rc)
        return err_set(err, rc, "what images are told: %s", strerror(-rc));
    rc = gmem_write(&vm->gmem, BDA, bda, sizeof bda);
    return rc ? err_set(err, rc, "no room in the frame pool for a BIOS's data: %s", strerror(-rc))
              : 0;
}
