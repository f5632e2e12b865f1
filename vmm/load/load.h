/*
 * Inside of vmm/load: what the loaders of the formats share. A loader first plans (checks every
 * field, claims ranges), then copies; so an image that is refused for its headers changes nothing.
 */
#ifndef UMBRA_VMM_LOAD_LOAD_H
#define UMBRA_VMM_LOAD_LOAD_H

#include "vmm/load/image.h"

#define LOAD_HEAD     32768u              /* start of a file, read once: all magics lie in it */
#define LOAD_FILE_MAX ((uint64_t)1 << 32) /* no file larger than all of an i386's memory */
#define LOAD_LOW_END  0x9fc00u            /* low RAM ends where a BIOS keeps its data area */
#define LOAD_HIGH     0x100000u           /* RAM goes on here */

/* An open image or module. size is what it had when opened; a file that shrinks is an error. */
struct load_file {
    char name[64]; /* for messages: the end of the path */
    int fd;
    uint64_t size;
    uint8_t *head; /* its first head_len bytes */
    uint32_t head_len;
};

struct loading {
    struct gmem *g;
    const struct image_opts *o;
    struct load_file file;
    struct image *out;
    struct errmsg *err;
};

/* A format. probe says whether the file is of it, or tries to be, and changes nothing; load does
 * the rest. */
struct loader {
    const char *name;
    bool (*probe)(const struct loading *l);
    int (*load)(struct loading *l);
};

extern const struct loader load_bzimage;
extern const struct loader load_vmlinux;
extern const struct loader load_multiboot1;
extern const struct loader load_multiboot2;
extern const struct loader load_pvh;
extern const struct loader load_elf;
extern const struct loader load_flat;

/* --- messages --- */
/* Fill l->err with "FILE: ..." and return code. */
__attribute__((format(printf, 3, 4))) int load_refuse(const struct loading *l, int code,
                                                      const char *fmt, ...);

/* --- files (file.c) --- */
/* Open a regular, non-empty file of at most max bytes. Close with load_file_close, also after an
 * error. */
int load_file_open(struct load_file *f, const char *path, uint64_t max, struct errmsg *err);
void load_file_close(struct load_file *f);
/* Read exactly len bytes at off; -ENOEXEC if the file has fewer. what names them in the message. */
int load_file_read(const struct load_file *f, uint64_t off, void *buf, uint64_t len,
                   const char *what, struct errmsg *err);
/* Copy len bytes at off to guest memory. */
int load_file_copy(const struct load_file *f, uint64_t off, uint64_t len, struct gmem *g, gpa_t to,
                   struct errmsg *err);

/* Little-endian fields of a buffer; the caller has checked its size. */
static inline uint16_t load_u16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static inline uint32_t load_u32(const uint8_t *p)
{
    return (uint32_t)load_u16(p) | (uint32_t)load_u16(p + 2) << 16;
}

static inline void load_put16(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}

static inline void load_put32(uint8_t *p, uint32_t v)
{
    load_put16(p, v & 0xffff);
    load_put16(p + 2, v >> 16);
}

/* --- places (place.c) --- */
/* Fill l->out->map for a machine of this size. */
void place_memory_map(struct image *out, uint64_t bytes);
/* Claim start .. start+bytes-1: inside one RAM range of the map and free, else -EINVAL with a
 * message. */
__attribute__((format(printf, 4, 5))) int place_claim(struct loading *l, gpa_t start,
                                                      uint64_t bytes, const char *fmt, ...);
/* Lowest free place in RAM at or above from that ends at or below end; aligned to align (a power of
 * two). Returns false if there is none. Claims nothing. */
bool place_find(const struct image *out, gpa_t from, gpa_t end, uint64_t bytes, uint64_t align,
                gpa_t *at);
/* The same from the other end: the highest free place. */
bool place_find_high(const struct image *out, gpa_t from, gpa_t end, uint64_t bytes, uint64_t align,
                     gpa_t *at);
/* First address above every claimed range, at least LOAD_HIGH. */
gpa_t place_above(const struct image *out);

/* --- blobs: what a loader tells the image, as one piece of guest memory (blob.c) --- */
struct blob {
    uint8_t *data; /* NULL while only the size is wanted */
    size_t size, used;
    uint32_t gpa;
};
/* Append len bytes, aligned to align (a power of two up to a page). Returns their guest address. */
uint32_t blob_add(struct blob *b, const void *data, size_t len, size_t align);
uint32_t blob_add_string(struct blob *b, const char *s);
/* Change what was added at an address before. */
void blob_set(struct blob *b, uint32_t gpa, const void *data, size_t len);
/*
 * Place a blob in low memory, or wherever there is room, and write it. fill is called twice: to
 * learn the size, then with the final address; it must add the same both times. *gpa: its start,
 * page-aligned.
 */
int load_blob(struct loading *l, void (*fill)(struct blob *b, void *ctx), void *ctx, uint32_t *gpa);

/* --- the screen as both Multiboots tell of it: the VGA's text mode 3 --- */
struct load_framebuffer {
    uint32_t addr_lo, addr_hi;
    uint32_t pitch, width, height; /* bytes; characters */
    uint8_t bpp, type;
    uint16_t rest; /* colours are told of other types only */
};
#define LOAD_TEXT_SCREEN                                                                           \
    ((struct load_framebuffer){                                                                    \
        .addr_lo = 0xb8000, .pitch = 160, .width = 80, .height = 25, .bpp = 16, .type = 2})

/* --- modules (module.c) --- */
struct load_module {
    gpa_t start;
    uint64_t bytes;
    const char *string; /* the whole "FILE ARGS"; the caller of image_load owns it */
};
/* Load every module of the options, page-aligned, above what is claimed so far. mods has room for
 * IMAGE_MODULES_MAX. */
int load_modules(struct loading *l, struct load_module *mods);
/* -EINVAL: this module finds no place below end. */
int load_no_room(const struct loading *l, const struct load_file *f, gpa_t end);
/* Load the only module, if there is one (else mod->bytes is 0), as high as possible below end. */
int load_initrd(struct loading *l, gpa_t end, struct load_module *mod);

/* --- images with address fields, shared by both Multiboots (kludge.c) --- */
struct load_kludge {
    uint32_t header_off; /* where in the file the header lies */
    uint32_t header_addr, load_addr, load_end_addr, bss_end_addr, entry_addr;
};
/* Check, claim, copy, zero the rest. */
int load_by_addresses(struct loading *l, const struct load_kludge *k);

/* --- ELF32, shared by several loaders (elf.c) --- */
#define LOAD_ELF_SEGMENTS 64
struct elf_segment {
    uint32_t off, filesz, paddr, memsz, vaddr;
    uint32_t flags;
};
struct elf_image {
    uint32_t entry; /* as loaded: physical */
    struct elf_segment seg[LOAD_ELF_SEGMENTS];
    unsigned segs;
};
bool elf_magic(const struct loading *l);
/* Does the content of a segment that is loaded hold this text? For telling kernels apart. */
bool elf_holds(const struct loading *l, const char *text);
/* Content of the note of this owner and type: at most size bytes to buf. Returns its full size, 0
 * if there is none. Notes that are malformed are passed over. */
size_t elf_note(const struct loading *l, const char *owner, uint32_t type, void *buf, size_t size);
/* Is addr, as loaded, in an executable segment's content? */
bool elf_executable(const struct elf_image *elf, uint32_t addr);
/* Check every header and claim the segments. */
int elf_plan(struct loading *l, struct elf_image *elf);
/* Copy the planned segments and zero the rest of each. */
int elf_copy(struct loading *l, const struct elf_image *elf);

#endif
