/* See gdb_regs.h. */
#include <string.h>

#include "vmm/gdb/gdb_regs.h"
#include "vmm/soft/soft.h"

enum {
    CORE = 10,       /* EAX..EDI, EIP, EFLAGS */
    SEGS = CORE + 6, /* CS SS DS ES FS GS */
    X87 = SEGS + 8,  /* ST0..ST7 */
    X87_CTRL = X87 + 8,
    XMM = X87_CTRL + 8,
    MXCSR = XMM,
    SYSTEM,
    REGS = SYSTEM + 18
};

/* FXSAVE's layout (SDM vol. 1, table 10-2). */
enum { FX_MXCSR = 24, FX_ST = 32, FX_XMM = 160 };

#define REG32(name, type) "<reg name=\"" name "\" bitsize=\"32\" type=\"" type "\"/>"
#define FLOATS(name)      "<reg name=\"" name "\" bitsize=\"80\" type=\"i387_ext\"/>"
#define FLOATC(name)      "<reg name=\"" name "\" bitsize=\"32\" type=\"int\" group=\"float\"/>"
#define XMMREG(name)      "<reg name=\"" name "\" bitsize=\"128\" type=\"vec128\" group=\"vector\"/>"
#define FLAG(name, bit)   "<field name=\"" name "\" start=\"" #bit "\" end=\"" #bit "\"/>"
#define SYS(name)         "<reg name=\"" name "\" bitsize=\"32\" type=\"uint32\" group=\"system\"/>"

/* clang-format off */
const char gdb_target_xml[] =
    "<?xml version=\"1.0\"?><!DOCTYPE target SYSTEM \"gdb-target.dtd\">"
    "<target version=\"1.0\"><architecture>i386</architecture>"
    "<feature name=\"org.gnu.gdb.i386.core\">"
    "<flags id=\"i386_eflags\" size=\"4\">"
    FLAG("CF", 0) FLAG("", 1) FLAG("PF", 2) FLAG("AF", 4) FLAG("ZF", 6) FLAG("SF", 7)
    FLAG("TF", 8) FLAG("IF", 9) FLAG("DF", 10) FLAG("OF", 11) FLAG("NT", 14) FLAG("RF", 16)
    FLAG("VM", 17) FLAG("AC", 18) FLAG("VIF", 19) FLAG("VIP", 20) FLAG("ID", 21)
    "</flags>"
    REG32("eax", "int32") REG32("ecx", "int32") REG32("edx", "int32") REG32("ebx", "int32")
    REG32("esp", "data_ptr") REG32("ebp", "data_ptr") REG32("esi", "int32") REG32("edi", "int32")
    REG32("eip", "code_ptr") REG32("eflags", "i386_eflags")
    REG32("cs", "int32") REG32("ss", "int32") REG32("ds", "int32") REG32("es", "int32")
    REG32("fs", "int32") REG32("gs", "int32")
    FLOATS("st0") FLOATS("st1") FLOATS("st2") FLOATS("st3")
    FLOATS("st4") FLOATS("st5") FLOATS("st6") FLOATS("st7")
    FLOATC("fctrl") FLOATC("fstat") FLOATC("ftag") FLOATC("fiseg")
    FLOATC("fioff") FLOATC("foseg") FLOATC("fooff") FLOATC("fop")
    "</feature><feature name=\"org.gnu.gdb.i386.sse\">"
    "<vector id=\"v4f\" type=\"ieee_single\" count=\"4\"/>"
    "<vector id=\"v2d\" type=\"ieee_double\" count=\"2\"/>"
    "<vector id=\"v16i8\" type=\"int8\" count=\"16\"/>"
    "<vector id=\"v8i16\" type=\"int16\" count=\"8\"/>"
    "<vector id=\"v4i32\" type=\"int32\" count=\"4\"/>"
    "<vector id=\"v2i64\" type=\"int64\" count=\"2\"/>"
    "<union id=\"vec128\">"
    "<field name=\"v4_float\" type=\"v4f\"/><field name=\"v2_double\" type=\"v2d\"/>"
    "<field name=\"v16_int8\" type=\"v16i8\"/><field name=\"v8_int16\" type=\"v8i16\"/>"
    "<field name=\"v4_int32\" type=\"v4i32\"/><field name=\"v2_int64\" type=\"v2i64\"/>"
    "<field name=\"uint128\" type=\"uint128\"/></union>"
    XMMREG("xmm0") XMMREG("xmm1") XMMREG("xmm2") XMMREG("xmm3")
    XMMREG("xmm4") XMMREG("xmm5") XMMREG("xmm6") XMMREG("xmm7")
    "<reg name=\"mxcsr\" bitsize=\"32\" type=\"int\" group=\"vector\"/>"
    "</feature><feature name=\"org.umbra.i386.system\">"
    SYS("cr0") SYS("cr2") SYS("cr3") SYS("cr4") SYS("efer")
    SYS("cs_base") SYS("ss_base") SYS("ds_base") SYS("es_base") SYS("fs_base") SYS("gs_base")
    SYS("gdt_base") SYS("gdt_limit") SYS("idt_base") SYS("idt_limit")
    SYS("tr") SYS("ldtr") SYS("cpl")
    "</feature></target>";
/* clang-format on */

unsigned gdb_reg_count(void)
{
    return REGS;
}

unsigned gdb_reg_general(void)
{
    return X87_CTRL;
}

static const uint8_t seg_order[] = {SEG_CS, SEG_SS, SEG_DS, SEG_ES, SEG_FS, SEG_GS};

static uint32_t fx_word(const struct cpu *c, unsigned off)
{
    return (uint32_t)(c->fpu.fxsave[off] | c->fpu.fxsave[off + 1] << 8);
}

static uint32_t fx_long(const struct cpu *c, unsigned off)
{
    return fx_word(c, off) | fx_word(c, off + 2) << 16;
}

/* fctrl fstat ftag fiseg fioff foseg fooff fop */
static uint32_t x87_ctrl(const struct cpu *c, unsigned n)
{
    switch (n) {
    case 0: return fx_word(c, 0);
    case 1: return fx_word(c, 2);
    case 2: return soft_fpu_tags(c->fpu.fxsave);
    case 3: return fx_word(c, 12);
    case 4: return fx_long(c, 8);
    case 5: return fx_word(c, 20);
    case 6: return fx_long(c, 16);
    default: return fx_word(c, 6) & 0x7ff;
    }
}

static uint32_t system_reg(const struct cpu *c, unsigned n)
{
    switch (n) {
    case 0: return c->cr0;
    case 1: return c->cr2;
    case 2: return c->cr3;
    case 3: return c->cr4;
    case 4: return (uint32_t)c->efer;
    case 11: return c->gdtr.base;
    case 12: return c->gdtr.limit;
    case 13: return c->idtr.base;
    case 14: return c->idtr.limit;
    case 15: return c->tr.sel;
    case 16: return c->ldtr.sel;
    case 17: return c->cpl;
    default: return c->seg[seg_order[n - 5]].base;
    }
}

static uint32_t word_of(const struct cpu *c, unsigned n)
{
    if (n < 8)
        return c->gpr[n];
    if (n < CORE)
        return n == 8 ? c->eip : c->eflags;
    if (n < SEGS)
        return c->seg[seg_order[n - CORE]].sel;
    if (n < X87_CTRL)
        return x87_ctrl(c, n - X87);
    return n == MXCSR ? fx_long(c, FX_MXCSR) : system_reg(c, n - SYSTEM);
}

size_t gdb_reg_get(const struct cpu *cpu, unsigned n, void *out)
{
    if (n >= REGS)
        return 0;
    if (n >= SEGS && n < X87) {
        memcpy(out, cpu->fpu.fxsave + FX_ST + (n - SEGS) * 16, 10);
        return 10;
    }
    if (n >= X87_CTRL && n < XMM) {
        memcpy(out, cpu->fpu.fxsave + FX_XMM + (n - X87_CTRL) * 16, 16);
        return 16;
    }
    const uint32_t v = word_of(cpu, n);
    memcpy(out, &v, 4);
    return 4;
}

/* What POPF at CPL 0 could set; VM and RF only change with more than a register. */
#define FLAGS_SETTABLE (FL_ARITH | FL_TF | FL_IF | FL_DF | FL_IOPL | FL_NT | FL_AC | FL_ID)

size_t gdb_reg_set(struct cpu *cpu, unsigned n, const void *in, size_t len)
{
    uint8_t now[GDB_REG_MAX];
    const size_t size = gdb_reg_get(cpu, n, now);
    uint32_t v;

    if (!size || len < size)
        return 0;
    if (memcmp(now, in, size) == 0)
        return size;
    if (n >= SEGS && n < X87) {
        memcpy(cpu->fpu.fxsave + FX_ST + (n - SEGS) * 16, in, 10);
        return size;
    }
    if (n >= X87_CTRL && n < XMM) {
        memcpy(cpu->fpu.fxsave + FX_XMM + (n - X87_CTRL) * 16, in, 16);
        return size;
    }
    memcpy(&v, in, 4);
    if (n < 8) {
        cpu->gpr[n] = v;
    } else if (n == 8) {
        cpu->eip = v;
        cpu->halted = false;
    } else if (n == 9) {
        cpu->eflags = (cpu->eflags & ~(uint32_t)FLAGS_SETTABLE) | (v & FLAGS_SETTABLE);
    } else {
        return 0;
    }
    return size;
}
