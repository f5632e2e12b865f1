/*
 * Loading what a person wants to run: finds out by content what a file is, puts it into guest
 * memory, and says with which registers the machine starts. Users of vmm/load need this header
 * only.
 *
 * Every byte of an image or a module is taken for an attacker's. An image that breaks a rule of its
 * format is refused with a message that names file, field, value and remedy.
 */
#ifndef UMBRA_VMM_LOAD_IMAGE_H
#define UMBRA_VMM_LOAD_IMAGE_H

#include "vmm/cpu/cpu.h"
#include "vmm/errmsg.h"
#include "vmm/gmem.h"

#define IMAGE_MODULES_MAX  64
#define IMAGE_RANGES_MAX   160
#define IMAGE_MEMMAP_MAX   8
#define IMAGE_STRING_MAX   4096 /* bytes of a command line or module string, terminator included */
#define IMAGE_FLAT_DEFAULT 0x100000u

struct image_opts {
    const char *path;
    const char *append;         /* command line; NULL: none */
    const char *const *modules; /* each "FILE" or "FILE ARGS", split at the first space */
    size_t module_count;
    bool flat;       /* take the file as it is, whatever it looks like, ... */
    gpa_t flat_addr; /* ... load it here and enter it at its first byte */
};

/* Part of guest memory that is taken, for reports; at most IMAGE_RANGES_MAX. */
struct image_range {
    gpa_t start;
    uint64_t bytes;
    char name[48];
};

/* Types as BIOS E820 has them. */
enum image_mem_type { IMAGE_MEM_RAM = 1, IMAGE_MEM_RESERVED = 2 };

struct image_mem {
    gpa_t start;
    uint64_t bytes;
    enum image_mem_type type;
};

struct image {
    char kind[48];  /* "Multiboot 1 (ELF32)" */
    uint32_t entry; /* where the first instruction is: linear, paging off */
    struct cpu cpu; /* state to start from */
    struct image_mem map[IMAGE_MEMMAP_MAX];
    unsigned map_count;
    struct image_range ranges[IMAGE_RANGES_MAX];
    unsigned range_count;
};

/*
 * Load o->path into g, whose memory must not be running. 0, or a negative errno with err (may be
 * NULL) filled:
 *   -ENOEXEC  not an image, or one that breaks its format
 *   -EINVAL   sound, but not for this machine or with these options (does not fit, no modules, ...)
 *   -EFBIG, -EISDIR, -ENOENT, -EACCES, ... the file itself
 *   -ENOMEM   the frame pool is too small for it
 *   -EIO      a file could not be read
 * After an error guest memory may hold parts of the image; *out says nothing then.
 * Images without a protocol of their own (ELF32, flat) start with ESP at the end of low RAM.
 */
int image_load(struct gmem *g, const struct image_opts *o, struct image *out, struct errmsg *err);

#endif
