/*
 * A small world around a soft CPU for tests: RAM, a page map with rights in place of shadow tables,
 * a log of port accesses, and counters of what the soft CPU told its surroundings.
 */
#ifndef UMBRA_TESTS_SOFT_ENV_H
#define UMBRA_TESTS_SOFT_ENV_H

#include "vmm/soft/soft.h"

/* Rights of a linear page in senv.map, beside the frame's number in bits 12..31. */
enum senv_bits {
    SENV_P = 1,
    SENV_W = 2, /* writable, by supervisor and user alike */
    SENV_U = 4, /* user may touch it */
    SENV_X = 8,
    SENV_MMIO = 16,
    SENV_ALL = SENV_P | SENV_W | SENV_U | SENV_X,
};

struct senv_io {
    uint32_t val;
    uint16_t port;
    uint8_t size;
    bool in;
};

enum { SENV_IO_LOG = 256 };

struct senv {
    struct cpu cpu;
    struct soft *soft;
    struct soft_env env; /* a test may replace callbacks before the first run */
    struct soft_exit_info exit;
    uint8_t *ram; /* frame f is at ram + f * PAGE_SIZE; an unmapped page follows the last */
    uint32_t frames;
    uint32_t *map; /* by linear page number: frame << 12 | enum senv_bits */

    struct senv_io io[SENV_IO_LOG]; /* ports and, with port 0xffff, MMIO accesses */
    unsigned n_io;
    uint32_t in_value; /* what io_in and mmio_read give */
    int intr_vector;   /* what intr_ack gives; -1 afterwards */
    unsigned n_translate, n_invlpg, n_cr_written, n_code_on, n_code_off;
    uint64_t tsc;
    void *user; /* a test's own, for callbacks that it replaces */
};

/* frames pages of RAM, mapped one to one with all rights, the CPU flat in ring 0 at EIP 0x1000. */
struct senv *senv_new(uint32_t frames);
void senv_free(struct senv *e);
/* Map n pages from la on to frames from frame on. Drops what the soft CPU remembers of them. */
void senv_map(struct senv *e, la_t la, frame_t frame, uint32_t n, unsigned bits);
/* Host address of a gpa, and copying to it behind the CPU's back (reported as soft_code_written).
 */
uint8_t *senv_at(struct senv *e, gpa_t gpa);
void senv_put(struct senv *e, gpa_t gpa, const void *bytes, uint32_t n);
/* Run at most budget instructions, e->exit is filled. */
enum soft_exit senv_run(struct senv *e, uint64_t budget);

#define SENV_CODE(e, gpa, ...)                                                                     \
    do {                                                                                           \
        const uint8_t senv_code_[] = {__VA_ARGS__};                                                \
        senv_put((e), (gpa), senv_code_, sizeof senv_code_);                                       \
    } while (0)

#endif
