/* Which instructions are the system part's, and who handles each. */
#include "vmm/soft/soft_sys.h"

/* An opcode of the one-byte or 0F map; ext: ModRM.reg, or ANY. */
struct entry {
    uint8_t opcode;
    uint8_t ext;
    bool ends; /* the block ends behind it (rule S4) */
    soft_op op;
};

enum { ANY = 8 };

static void op_undefined(struct soft *s, const struct insn *i)
{
    (void)i;
    soft_raise(s, VEC_UD);
}

static const struct entry one_byte[] = {
    {0x06, ANY, false, soft_op_push_seg},
    {0x07, ANY, true, soft_op_pop_seg},
    {0x0e, ANY, false, soft_op_push_seg},
    {0x16, ANY, false, soft_op_push_seg},
    {0x17, ANY, true, soft_op_pop_seg},
    {0x1e, ANY, false, soft_op_push_seg},
    {0x1f, ANY, true, soft_op_pop_seg},
    {0x63, ANY, false, soft_op_arpl},
    {0x6c, ANY, true, soft_op_ins},
    {0x6d, ANY, true, soft_op_ins},
    {0x6e, ANY, true, soft_op_outs},
    {0x6f, ANY, true, soft_op_outs},
    {0x8c, ANY, false, soft_op_mov_from_seg},
    {0x8e, ANY, true, soft_op_mov_to_seg},
    {0x9a, ANY, true, soft_op_call_far_imm},
    {0x9c, ANY, false, soft_op_pushf},
    {0x9d, ANY, true, soft_op_popf},
    {0xc4, ANY, true, soft_op_load_far_ptr},
    {0xc5, ANY, true, soft_op_load_far_ptr},
    {0xca, ANY, true, soft_op_ret_far},
    {0xcb, ANY, true, soft_op_ret_far},
    {0xcc, ANY, true, soft_op_int3},
    {0xcd, ANY, true, soft_op_int},
    {0xce, ANY, true, soft_op_into},
    {0xcf, ANY, true, soft_op_iret},
    {0xe4, ANY, true, soft_op_in},
    {0xe5, ANY, true, soft_op_in},
    {0xe6, ANY, true, soft_op_out},
    {0xe7, ANY, true, soft_op_out},
    {0xea, ANY, true, soft_op_jmp_far_imm},
    {0xec, ANY, true, soft_op_in},
    {0xed, ANY, true, soft_op_in},
    {0xee, ANY, true, soft_op_out},
    {0xef, ANY, true, soft_op_out},
    {0xf1, ANY, true, soft_op_int1},
    {0xf4, ANY, true, soft_op_hlt},
    {0xfa, ANY, false, soft_op_cli},
    {0xfb, ANY, true, soft_op_sti},
    {0xff, 3, true, soft_op_call_far_mem},
    {0xff, 5, true, soft_op_jmp_far_mem},
};

static const struct entry two_byte[] = {
    {0x00, 0, false, soft_op_sldt},          {0x00, 1, false, soft_op_str},
    {0x00, 2, true, soft_op_lldt},           {0x00, 3, true, soft_op_ltr},
    {0x00, 4, false, soft_op_verr},          {0x00, 5, false, soft_op_verw},
    {0x01, 0, false, soft_op_sgdt},          {0x01, 1, false, soft_op_sidt},
    {0x01, 2, true, soft_op_lgdt},           {0x01, 3, true, soft_op_lidt},
    {0x01, 4, false, soft_op_smsw},          {0x01, 6, true, soft_op_lmsw},
    {0x01, 7, true, soft_op_invlpg},         {0x02, ANY, false, soft_op_lar},
    {0x03, ANY, false, soft_op_lsl},         {0x06, ANY, true, soft_op_clts},
    {0x08, ANY, true, soft_op_cache},        {0x09, ANY, true, soft_op_cache},
    {0x20, ANY, false, soft_op_mov_from_cr}, {0x21, ANY, true, soft_op_mov_from_dr},
    {0x22, ANY, true, soft_op_mov_to_cr},    {0x23, ANY, true, soft_op_mov_to_dr},
    {0x30, ANY, true, soft_op_wrmsr},        {0x31, ANY, false, soft_op_rdtsc},
    {0x32, ANY, true, soft_op_rdmsr},        {0x33, ANY, true, soft_op_rdpmc},
    {0x34, ANY, true, soft_op_sysenter},     {0x35, ANY, true, soft_op_sysexit},
    {0xa0, ANY, false, soft_op_push_seg},    {0xa1, ANY, true, soft_op_pop_seg},
    {0xa2, ANY, true, soft_op_cpuid},        {0xa8, ANY, false, soft_op_push_seg},
    {0xa9, ANY, true, soft_op_pop_seg},      {0xaa, ANY, true, op_undefined}, /* RSM outside SMM */
    {0xb2, ANY, true, soft_op_load_far_ptr}, {0xb4, ANY, true, soft_op_load_far_ptr},
    {0xb5, ANY, true, soft_op_load_far_ptr},
};

/* 0F 01 with a register operand is SMSW, LMSW, or one of many instructions that are not offered. */
static bool offered(const struct insn *i)
{
    const unsigned reg = (i->modrm >> 3) & 7;
    return i->map != 1 || i->opcode != 0x01 || (i->flags & INSN_MEM) || reg == 4 || reg == 6;
}

bool soft_sys_decode(const ZydisDecodedInstruction *zi, struct insn *i)
{
    const struct entry *table = i->map == 0 ? one_byte : two_byte;
    const size_t n =
        i->map == 0 ? sizeof one_byte / sizeof *one_byte : sizeof two_byte / sizeof *two_byte;
    const unsigned ext = (i->modrm >> 3) & 7;

    if (i->map > 1 || zi->encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY)
        return false;
    for (size_t k = 0; k < n; k++) {
        if (table[k].opcode != i->opcode || (table[k].ext != ANY && table[k].ext != ext))
            continue;
        i->op = offered(i) ? table[k].op : op_undefined;
        if (table[k].ends || !offered(i))
            i->flags |= INSN_ENDS;
        return true;
    }
    return false;
}
