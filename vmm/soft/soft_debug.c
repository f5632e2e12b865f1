/* Debug events after an instruction: single step, data and I/O breakpoints (SDM vol.
 * 3, 17.2, 17.3). */
#include "vmm/soft/soft_sys.h"

enum rw { RW_EXEC, RW_WRITE, RW_IO, RW_ACCESS };

static unsigned dr7_rw(uint32_t dr7, unsigned n)
{
    return dr7 >> (16 + 4 * n) & 3;
}

/* LEN: 0 1 byte, 1 2, 3 4; 2 is 8 bytes on 64-bit processors only. */
static uint32_t dr7_len(uint32_t dr7, unsigned n)
{
    static const uint8_t len[] = {1, 2, 8, 4};
    return len[dr7 >> (18 + 4 * n) & 3];
}

static bool dr7_enabled(uint32_t dr7, unsigned n)
{
    return (dr7 >> 2 * n & 3) != 0;
}

void soft_debug_io(struct soft *s, uint16_t port, unsigned size)
{
    struct soft_core *core = soft_core(s);
    const struct cpu *c = core->cpu;

    if (!(c->cr4 & CR4_DE) || !(c->dr[7] & DR7_ENABLED))
        return;
    for (unsigned n = 0; n < 4; n++) {
        const uint32_t len = dr7_len(c->dr[7], n);
        const uint32_t from = c->dr[n] & ~(len - 1);
        if (dr7_enabled(c->dr[7], n) && dr7_rw(c->dr[7], n) == RW_IO && from < port + size &&
            port < from + len)
            core->db_pending |= 1u << n;
    }
}

void soft_check_debug(struct soft *s)
{
    struct soft_core *core = soft_core(s);
    struct cpu *c = core->cpu;

    /* Behind MOV SS a single-step trap is lost and a breakpoint waits (SDM vol. 3, 6.8.3). */
    if (c->db_shadow) {
        core->stepped = false;
        return;
    }
    const uint32_t bits = core->db_pending | (core->stepped ? DR6_BS : 0);
    core->db_pending = 0;
    core->stepped = false;
    if (bits == 0)
        return;
    c->dr[6] |= bits;
    soft_raise_trap(s, VEC_DB);
}

void soft_check_code_breakpoint(struct soft *s)
{
    struct cpu *c = CPU(s);
    const la_t la = c->seg[SEG_CS].base + c->eip;
    uint32_t hit = 0;

    if ((soft_flags(s) & FL_RF) || c->db_shadow)
        return;
    for (unsigned n = 0; n < 4; n++)
        if (dr7_enabled(c->dr[7], n) && dr7_rw(c->dr[7], n) == RW_EXEC && c->dr[n] == la)
            hit |= 1u << n;
    if (hit) {
        c->dr[6] |= hit;
        soft_raise(s, VEC_DB);
    }
}
