/*
 * Random i386 code with random state for differential tests: one instruction or a short sequence,
 * its memory operands steered into a small window of pages (with read-only pages and holes, so that
 * faults happen), its branches to its own instructions. The same seed gives the same case.
 */
#ifndef UMBRA_TESTS_DIFF_GEN_H
#define UMBRA_TESTS_DIFF_GEN_H

#include <stdbool.h>

#include "tests/native32.h"

enum diff_class { DIFF_INT, DIFF_STRING, DIFF_FPU, DIFF_MMX, DIFF_SSE, DIFF_CLASSES };
extern const char *const diff_class_name[DIFF_CLASSES];

/* The window: pages by linear address, rights as PROT_*. */
struct diff_page {
    uint32_t la;
    int prot;
};
enum {
    DIFF_CODE = 0x20000000, /* two pages of code, then a hole */
    DIFF_DATA = 0x20010000,
    DIFF_MAX_INSN = 8,
    DIFF_MAX_PATCH = 24,
    DIFF_END_ROOM = 8, /* bytes kept free behind the code for what ends the run */
};
extern const struct diff_page diff_pages[];
extern const unsigned diff_n_pages;

/* Bytes put into the window before the run; all of them in one page. */
struct diff_patch {
    uint32_t la;
    uint16_t len;
    uint8_t bytes[64];
};

struct diff_case {
    uint64_t seed;
    enum diff_class cls;
    uint32_t start; /* la of the first instruction */
    unsigned n;     /* instructions */
    uint8_t len[DIFF_MAX_INSN];
    uint8_t code[DIFF_MAX_INSN][16];
    struct native32_state in;
    unsigned n_patch;
    struct diff_patch patch[DIFF_MAX_PATCH];
};

void diff_generate(struct diff_case *c, uint64_t seed, enum diff_class cls);
/* Index of the window's page that holds la, -1: none. */
int diff_page_of(uint32_t la);

#endif
