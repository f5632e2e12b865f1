/*
 * Stand-ins for the parts of the soft CPU that are not there yet: each leaves the run with
 * SOFT_EXIT_UNSUPPORTED and its name. They vanish as soon as the file with the real ones exists.
 */
#include "vmm/soft/soft_int.h"

#define WEAK    __attribute__((weak))
#define NOT_YET soft_leave(s, SOFT_EXIT_UNSUPPORTED, "%s is not supported yet", __func__)

#if !__has_include("vmm/soft/soft_seg.c")
WEAK void soft_load_seg(struct soft *s, unsigned seg, uint16_t sel)
{
    (void)seg, (void)sel;
    NOT_YET;
}

WEAK bool soft_read_desc(struct soft *s, uint16_t sel, uint32_t desc[2], la_t *la)
{
    (void)sel, (void)desc, (void)la;
    NOT_YET;
}

WEAK void soft_desc_to_seg(uint16_t sel, const uint32_t desc[2], struct seg *out)
{
    *out = (struct seg){.sel = sel,
                        .attr = (uint16_t)((desc[1] >> 8) & 0xf0ff),
                        .base = desc[0] >> 16 | (desc[1] & 0xff) << 16 | (desc[1] & 0xff000000),
                        .limit = (desc[0] & 0xffff) | (desc[1] & 0xf0000)};
    if (out->attr & SA_G)
        out->limit = out->limit << 12 | 0xfff;
}

WEAK void soft_load_seg_real(struct soft *s, unsigned seg, uint16_t sel)
{
    (void)seg, (void)sel;
    NOT_YET;
}
#endif

#if !__has_include("vmm/soft/soft_far.c")
WEAK void soft_far_jmp(struct soft *s, uint16_t sel, uint32_t off, bool op32)
{
    (void)sel, (void)off, (void)op32;
    NOT_YET;
}

WEAK void soft_far_call(struct soft *s, uint16_t sel, uint32_t off, bool op32)
{
    (void)sel, (void)off, (void)op32;
    NOT_YET;
}

WEAK void soft_far_ret(struct soft *s, uint16_t imm, bool op32)
{
    (void)imm, (void)op32;
    NOT_YET;
}

WEAK void soft_iret(struct soft *s, bool op32)
{
    (void)op32;
    NOT_YET;
}
#endif

#if !__has_include("vmm/soft/soft_task.c")
WEAK void soft_task_switch(struct soft *s, uint16_t tss_sel, enum task_why why, bool has_err,
                           uint32_t err)
{
    (void)tss_sel, (void)why, (void)has_err, (void)err;
    NOT_YET;
}
#endif

#if !__has_include("vmm/soft/soft_event.c")
WEAK void soft_deliver_event(struct soft *s, const struct soft_event *ev)
{
    soft_leave(s, SOFT_EXIT_UNSUPPORTED, "delivery of vector %u is not supported yet", ev->vector);
}

WEAK void soft_check_debug(struct soft *s)
{
    (void)s;
}
#endif

#if !__has_include("vmm/soft/soft_io.c")
WEAK void soft_check_io(struct soft *s, uint16_t port, unsigned size)
{
    (void)s, (void)port, (void)size;
}
#endif

#if !__has_include("vmm/soft/soft_sys.c")
WEAK bool soft_sys_decode(const ZydisDecodedInstruction *zi, struct insn *i)
{
    (void)zi, (void)i;
    return false;
}
#endif

#if !__has_include("vmm/soft/soft_fpu.c")
WEAK bool soft_fpu_decode(const ZydisDecodedInstruction *zi, struct insn *i)
{
    (void)zi, (void)i;
    return false;
}
#endif
