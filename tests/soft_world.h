/*
 * A protected-mode machine for tests of the soft CPU's system part: GDT, LDT, IDT and TSSs in a
 * small RAM, every vector with a handler of its own, so that one step tells what an instruction
 * raised.
 *
 *   0x00000  real-mode vector table       0x05000  ring-0 stack (grows down from 0x6000)
 *   0x01000  code under test              0x06000  ring-0 stack of the TSS (from 0x7000)
 *   0x02000  GDT, 0x02800 LDT             0x07000  stack of the ring under test (from 0x8000)
 *   0x03000  TSS, 0x03800 second TSS      0x08000  handlers: vector v at 0x8000 + 16 v
 *   0x04000  IDT                          0x0a000  data
 */
#ifndef UMBRA_TESTS_SOFT_WORLD_H
#define UMBRA_TESTS_SOFT_WORLD_H

#include "tests/soft_env.h"

enum world_map {
    W_CODE = 0x1000,
    W_GDT = 0x2000,
    W_LDT = 0x2800,
    W_TSS = 0x3000,
    W_TSS2 = 0x3800,
    W_IDT = 0x4000,
    W_STACK0 = 0x6000,
    W_TSS_ESP0 = 0x7000,
    W_STACK = 0x8000,
    W_HANDLERS = 0x8000,
    W_DATA = 0xa000,
    W_TSS_ESP1 = 0xc000,
    W_TSS_ESP2 = 0xd000,
    W_FRAMES = 64,
};

/* Selectors of the GDT; Dn is the DPL. */
enum world_sel {
    S_CODE0 = 0x08,
    S_DATA0 = 0x10,
    S_CODE3 = 0x1b,
    S_DATA3 = 0x23,
    S_TSS = 0x28,
    S_LDT = 0x30,
    S_X = 0x38,     /* the test's own descriptor */
    S_Y = 0x40,     /* and a second */
    S_CONF0 = 0x48, /* conforming code */
    S_CONF3 = 0x50,
    S_CODE1 = 0x59,
    S_DATA1 = 0x61,
    S_CODE16 = 0x68, /* 16-bit, limit 0xffff */
    S_DATA16 = 0x70,
    S_TSS2 = 0x78, /* 32-bit, available */
    S_CODE2 = 0x82,
    S_DATA2 = 0x8a,
    S_RO0 = 0x90,   /* read-only data, DPL 0 */
    S_XO0 = 0x98,   /* execute-only code, DPL 0 */
    S_TSS16 = 0xa0, /* 16-bit TSS at W_TSS2, available */
    S_XLDT = 0x0c,  /* the LDT's second entry, DPL 0 data */
    W_GDT_LIMIT = 0xaf,
};

/* Attributes (enum seg_attr) of usual descriptors. */
enum world_attr {
    A_DPL0 = 0,
    A_DPL1 = 1 << 5,
    A_DPL2 = 2 << 5,
    A_DPL3 = 3 << 5,
    A_DATA = SA_P | SA_S | SA_RW | SA_ACCESSED | SA_DB | SA_G,
    A_CODE = A_DATA | SA_CODE,
    A_CONF = A_CODE | SA_EC,
    A_CALL32 = SA_P | ST_CALL32,
    A_CALL16 = SA_P | ST_CALL16,
    A_INT32 = SA_P | ST_INT32,
    A_INT16 = SA_P | ST_INT16,
    A_TRAP32 = SA_P | ST_TRAP32,
    A_TRAP16 = SA_P | ST_TRAP16,
    A_TASK = SA_P | ST_TASK,
    A_TSS32 = SA_P | ST_TSS32,
    A_TSS16 = SA_P | ST_TSS16,
};

struct world {
    struct senv *e;
    struct cpu *c; /* = &e->cpu */
    struct cpu before;
    uint8_t *ram_before;
};

/* What one instruction did. */
struct outcome {
    int vector; /* -1: no exception */
    uint32_t error, eip, cs, flags, esp, ss;
    bool inner; /* the handler came by a change of ring */
    enum soft_exit exit;
};

/* A world whose code at W_CODE runs at privilege cpl with IOPL 0 and flat segments of that ring. */
struct world *world_new(unsigned cpl);
void world_free(struct world *w);
/* The same, in real mode or virtual-8086 mode (CPL 3, IOPL given): CS 0, IP W_CODE, SS 0, SP
 * 0x7f00. */
struct world *world_real(void);
struct world *world_v86(unsigned iopl);

void world_code(struct world *w, const uint8_t *code, unsigned n);
void world_put32(struct world *w, uint32_t at, uint32_t v);
void world_put16(struct world *w, uint32_t at, uint16_t v);
uint32_t world_get32(struct world *w, uint32_t at);
uint16_t world_get16(struct world *w, uint32_t at);
/* limit counts bytes if attr lacks SA_G, else pages. */
void world_desc(struct world *w, uint16_t sel, uint32_t base, uint32_t limit, uint32_t attr);
uint32_t world_desc_hi(struct world *w, uint16_t sel);
void world_call_gate(struct world *w, uint16_t at, uint16_t sel, uint32_t off, uint32_t attr,
                     unsigned params);
void world_idt(struct world *w, unsigned vector, uint16_t sel, uint32_t off, uint32_t attr);
/* Load a segment register from the GDT with no check. */
void world_set_seg(struct world *w, unsigned seg, uint16_t sel);

/* One instruction. If it raised something whose handler is the standard one, that is decoded. */
struct outcome world_step(struct world *w);
/* What differs from before the last world_step() though the instruction faulted; NULL: nothing, as
 * it must be. Stacks that handlers push to are left out. */
const char *world_changed(struct world *w, const struct outcome *o);

#define WORLD_CODE(w, ...)                                                                         \
    do {                                                                                           \
        const uint8_t world_code_[] = {__VA_ARGS__};                                               \
        world_code((w), world_code_, sizeof world_code_);                                          \
    } while (0)

#endif
