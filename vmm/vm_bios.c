/* See vm_bios.h. */
#include "vmm/vm_bios.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/kvm/kvm.h"
#include "vmm/vm.h"

#define BIOS_STEP   (64u << 10)
#define BIOS_MAX    (16u << 20)  /* from FF000000 on nothing else is there */
#define BIOS_LOW    (128u << 10) /* of it lie below 1 MiB */
#define VGABIOS_MAX (64u << 10)
#define FOUR_GIB    ((gpa_t)1 << 32)

/* --- files ----------------------------------------------------------------------------------- */

static int read_whole(const char *path, size_t max, uint8_t **out, size_t *len, struct errmsg *err)
{
    struct stat st;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    int rc = 0;

    if (fd < 0)
        return err_set(err, -errno, "firmware %s: %s%s", path, strerror(errno),
                       errno == ENOENT ? "; Debian's package seabios has one" : "");
    if (fstat(fd, &st) < 0)
        rc = err_set(err, -errno, "firmware %s: %s", path, strerror(errno));
    else if (!S_ISREG(st.st_mode) || st.st_size == 0 || (uint64_t)st.st_size > max)
        rc = err_set(err, -ENOEXEC, "firmware %s: not a file of 1 to %zu bytes", path, max);
    if (!rc && !(*out = malloc((size_t)st.st_size)))
        rc = err_set(err, -ENOMEM, "out of memory");
    if (!rc && read(fd, *out, (size_t)st.st_size) != st.st_size)
        rc = err_set(err, -EIO, "firmware %s: cannot be read", path);
    *len = (size_t)st.st_size;
    close(fd);
    return rc;
}

static int read_files(struct vm_bios *b, const struct vm_bios_opts *o, struct errmsg *err)
{
    int rc = read_whole(o->bios, BIOS_MAX, &b->bios, &b->bios_len, err);
    if (!rc && b->bios_len % BIOS_STEP)
        rc = err_set(err, -ENOEXEC, "firmware %s: %zu bytes are no multiple of 64 KiB", o->bios,
                     b->bios_len);
    if (rc || !o->vgabios)
        return rc;
    rc = read_whole(o->vgabios, VGABIOS_MAX, &b->vgabios, &b->vgabios_len, err);
    if (!rc && (b->vgabios_len < 3 || b->vgabios[0] != 0x55 || b->vgabios[1] != 0xaa))
        rc = err_set(err, -ENOEXEC, "video firmware %s: it does not begin with 55 AA", o->vgabios);
    return rc;
}

/* --- memory ---------------------------------------------------------------------------------- */

/* Put the firmware where it lies below 1 MiB: at the beginning, and again at each reset, since it
 * keeps its variables there. */
static int copy_low(struct vm *vm)
{
    const struct vm_bios *b = &vm->bios;
    const size_t len = b->bios_len < BIOS_LOW ? b->bios_len : BIOS_LOW;
    int rc = gmem_fill(&vm->gmem, ROM_FIRST, 0, ROM_LAST + 1 - ROM_FIRST);
    if (!rc)
        rc = gmem_write(&vm->gmem, ROM_LAST + 1 - len, b->bios + b->bios_len - len, len);
    if (!rc && b->vgabios) /* where the ROM of a video card is */
        rc = gmem_write(&vm->gmem, ROM_FIRST, b->vgabios, b->vgabios_len);
    return rc;
}

/* --- what the firmware is told --------------------------------------------------------------- */

/* Addresses as BIOS E820 has them; the firmware knows best what else it keeps for itself. */
static int tell_memory(struct vm *vm)
{
    uint8_t ram[20] = {0}; /* start and length in 64 bits, type in 32 */
    memcpy(ram + 8, &vm->opts.ram, sizeof vm->opts.ram);
    ram[16] = IMAGE_MEM_RAM;
    return fwcfg_add_file(&vm->bios.fwcfg, "etc/e820", ram, sizeof ram);
}

static int dma_read(void *ctx, uint64_t at, void *buf, size_t len)
{
    return gmem_read(ctx, at, buf, len);
}

static int dma_write(void *ctx, uint64_t at, const void *buf, size_t len)
{
    return gmem_write(ctx, at, buf, len);
}

int vm_bios_tell_size(struct vm *vm)
{
    static const uint16_t one = 1;
    struct fwcfg *f = &vm->bios.fwcfg;
    int rc = fwcfg_init(f, &vm->board.bus);
    if (!rc)
        rc = fwcfg_dma_init(&vm->bios.dma, f, &vm->board.bus, dma_read, dma_write, &vm->gmem);
    if (!rc)
        rc = fwcfg_add(f, FWCFG_RAM_SIZE, &vm->opts.ram, sizeof vm->opts.ram);
    if (!rc)
        rc = fwcfg_add(f, FWCFG_CPUS, &one, sizeof one);
    return rc ? rc : fwcfg_add(f, FWCFG_CPUS_MAX, &one, sizeof one);
}

static int tell_part(struct fwcfg *f, const struct real_part *p, uint16_t addr, uint16_t size,
                     uint16_t data)
{
    int rc = fwcfg_add(f, addr, &p->addr, sizeof p->addr);
    if (!rc)
        rc = fwcfg_add(f, size, &p->len, sizeof p->len);
    return rc ? rc : fwcfg_lend(f, data, p->bytes, p->len);
}

/* An image in real mode, with the ROM that starts it: the first that is tried. */
static int tell_real(struct fwcfg *f, const struct real_image *r)
{
    static const char order[] = "/rom@genroms/image.rom\n";
    uint8_t rom[REAL_ROM_SIZE];
    int rc;

    real_rom(rom);
    if ((rc = tell_part(f, &r->kernel, FWCFG_KERNEL_ADDR, FWCFG_KERNEL_SIZE, FWCFG_KERNEL_DATA)) ||
        (rc = tell_part(f, &r->initrd, FWCFG_INITRD_ADDR, FWCFG_INITRD_SIZE, FWCFG_INITRD_DATA)) ||
        (rc = tell_part(f, &r->cmdline, FWCFG_CMDLINE_ADDR, FWCFG_CMDLINE_SIZE,
                        FWCFG_CMDLINE_DATA)) ||
        (rc = tell_part(f, &r->setup, FWCFG_SETUP_ADDR, FWCFG_SETUP_SIZE, FWCFG_SETUP_DATA)) ||
        (rc = fwcfg_add_file(f, "genroms/image.rom", rom, sizeof rom)))
        return rc;
    return fwcfg_add_file(f, "bootorder", order, sizeof order);
}

static int tell(struct vm *vm, const struct vm_bios_opts *o)
{
    static const uint16_t port = UART_COM1;
    struct vm_bios *b = &vm->bios;
    struct fwcfg *f = &b->fwcfg;
    int rc;

    if ((rc = vm_bios_tell_size(vm)) != 0 ||
        /* The timer is at the I/O APIC's input 2. */
        (rc = fwcfg_add(f, FWCFG_IRQ0_OVERRIDE, &(uint32_t){1}, 4)) != 0 ||
        (rc = tell_memory(vm)) != 0)
        return rc;
    /* Nobody is asked for a drive: -boot has said it, and waiting takes seconds. */
    rc = fwcfg_add_file(f, "etc/show-boot-menu", &(uint8_t){0}, 1);
    if (!rc && b->vgabios)
        rc = fwcfg_add_file(f, "vgaroms/vgabios.bin", b->vgabios, b->vgabios_len);
    if (!rc && o->real)
        rc = tell_real(f, o->real);
    if (!rc && o->serial_text)
        rc = fwcfg_add_file(f, "etc/sercon-port", &port, sizeof port);
    return rc;
}

int vm_bios_install(struct vm *vm, const struct vm_bios_opts *o, struct errmsg *err)
{
    struct vm_bios *b = &vm->bios;
    int rc = read_files(b, o, err);
    if (!rc)
        rc = vm_rom_back(vm, ROM_FIRST, ROM_LAST + 1 - ROM_FIRST, err);
    if (!rc)
        rc = vm_rom_add(vm, FOUR_GIB - b->bios_len, b->bios, b->bios_len, err);
    if (rc < 0)
        return rc;
    vm_rom_lock(vm, ROM_FIRST, ROM_LAST + 1 - ROM_FIRST, false);
    rc = copy_low(vm);
    if (rc < 0)
        return err_set(err, rc, "memory for firmware: %s", strerror(-rc));
    rc = tell(vm, o);
    if (rc < 0)
        return err_set(err, rc, "what firmware is told: %s", strerror(-rc));
    rtc_set_boot_order(&vm->board.rtc, o->order);
    cpu_reset(&vm->cpu);
    shadow_load_mode(vm->shadow, &vm->cpu);
    return 0;
}

void vm_bios_destroy(struct vm *vm)
{
    fwcfg_destroy(&vm->bios.fwcfg);
    free(vm->bios.bios);
    free(vm->bios.vgabios);
}

/* --- reset ----------------------------------------------------------------------------------- */

bool vm_bios_restarts(const struct vm *vm)
{
    /* What address spaces the guest has made, firmware would not know. */
    return vm->bios.bios && !vm->opts.no_reboot && !vm->spaces.managed;
}

void vm_bios_reset(struct vm *vm)
{
    vm->reset_due = false;
    if (vm->kvm && kvm_engine_fpu_fetch(vm->kvm) < 0) {
        vm_finish(vm, VM_END_HOST, "kvm: reading the FPU state before a reset");
        return;
    }
    cpu_reset(&vm->cpu);
    shadow_load_mode(vm->shadow, &vm->cpu);
    vm->soft->ops->flush(vm->soft);
    board_reset(&vm->board);
    const int rc = copy_low(vm);
    if (rc < 0)
        fault_no_page(vm, rc, "for firmware, guest page", ROM_FIRST);
    vm->stats.resets++;
}
