/* What the tests of vmm/load share: a machine's memory, files to load, and a small image to spoil.
 */
#ifndef UMBRA_TESTS_LOAD_WORLD_H
#define UMBRA_TESTS_LOAD_WORLD_H

#include "vmm/gmem.h"
#include "vmm/load/image.h"

#include <elf.h> /* last: its PF_W is a segment's, that of cpu/regs.h a page fault's */

struct world {
    struct pool *pool;
    struct gmem g;
    char dir[64];
    struct image img;
    struct errmsg err;
};

/* RAM and pool in bytes. */
void world_open(struct world *w, uint64_t ram, uint64_t pool);
void world_close(struct world *w);
/* Write a file; the path lives until the next call with the same name. */
const char *world_file(struct world *w, const char *name, const void *data, size_t len);
/* image_load of the file with these contents; result as image_load's. */
int world_load(struct world *w, const void *data, size_t len);
int world_load_opts(struct world *w, const struct image_opts *o);
uint32_t world_u32(struct world *w, gpa_t at);
/* Text in guest memory, at most size - 1 bytes. */
const char *world_text(struct world *w, gpa_t at, char *buf, size_t size);
/* Every range in RAM and none over another; entry inside one of them. */
bool world_sound(const struct world *w);

/* A sound ELF: text at 1 MiB (r-x), data at 2 MiB (rw-) with bss; room for a Multiboot header. */
#define SAMPLE_TEXT     0x100000u
#define SAMPLE_DATA     0x200000u
#define SAMPLE_TEXT_OFF 256u
#define SAMPLE_TEXT_LEN 512u
#define SAMPLE_DATA_OFF 1024u
#define SAMPLE_DATA_LEN 104u
#define SAMPLE_DATA_MEM 0x5000u
#define SAMPLE_ENTRY    (SAMPLE_TEXT + 0x80)
#define SAMPLE_SIZE     (SAMPLE_DATA_OFF + SAMPLE_DATA_LEN)
#define SAMPLE_MB_OFF   SAMPLE_TEXT_OFF
struct sample {
    _Alignas(8) uint8_t bytes[SAMPLE_SIZE];
};
void sample_elf(struct sample *s);
/* The same with a Multiboot header of these flags at SAMPLE_MB_OFF. */
void sample_multiboot(struct sample *s, uint32_t flags);
Elf32_Ehdr *sample_ehdr(struct sample *s);
Elf32_Phdr *sample_phdr(struct sample *s, unsigned n);
void put_u32(void *at, uint32_t v);

/* One attack on a field: len bytes (1, 2, 4) at off become value; then the image must be refused
 * with code and a message that contains says. */
struct attack {
    size_t off, len;
    uint32_t value;
    int code;
    const char *says;
};
/* Applies it to a copy of the image and checks; criterion's assertions name the attack. */
void check_attack(struct world *w, const void *image, size_t size, const struct attack *a);

#endif
