/* See diff_known.h. */
#include "tests/diff_known.h"

#include <string.h>

static bool host_runs(const struct kvm_findings *host, const char *what)
{
    for (unsigned i = 0; i < host->rows; i++)
        if (!strcmp(host->row[i].what, what))
            return host->row[i].native;
    return false;
}

void known_init(struct known *k, unsigned ring, bool all_wanted, const struct kvm_findings *host)
{
    *k = (struct known){.ring = ring,
                        .all_wanted = all_wanted,
                        .emulates = !host_runs(host, "decimal adjust (AAA, DAS)"),
                        .sees_descs = host_runs(host, "LAR, VERR")};
}

/* --- by instruction ----------------------------------------------------------------------------
 */

static bool names_segment(const ZydisDecodedInstruction *zi, const ZydisDecodedOperand *op)
{
    for (unsigned i = 0; i < zi->operand_count_visible; i++)
        if (op[i].type == ZYDIS_OPERAND_TYPE_REGISTER && op[i].reg.value >= ZYDIS_REGISTER_ES &&
            op[i].reg.value <= ZYDIS_REGISTER_GS)
            return true;
    return false;
}

/* Guest ring 0 at CPL 3: what kernel code can see of it. */
static bool known_in_ring0(const ZydisDecodedInstruction *zi, const ZydisDecodedOperand *op)
{
    switch (zi->mnemonic) {
    case ZYDIS_MNEMONIC_PUSHF: /* IOPL 3 shows; a load of IOPL is lost */
    case ZYDIS_MNEMONIC_PUSHFD:
    case ZYDIS_MNEMONIC_POPF:
    case ZYDIS_MNEMONIC_POPFD:
    case ZYDIS_MNEMONIC_LDS: /* selectors of CS and SS have RPL 3 and may be loaded */
    case ZYDIS_MNEMONIC_LES:
    case ZYDIS_MNEMONIC_LSS: return true;
    default: return names_segment(zi, op);
    }
}

static bool has_rep(const ZydisDecodedInstruction *zi)
{
    for (unsigned i = 0; i < zi->raw.prefix_count; i++)
        if (zi->raw.prefixes[i].value == 0xf2 || zi->raw.prefixes[i].value == 0xf3)
            return true;
    return false;
}

/* A KVM that emulates, and what it does in its own way. */
static bool known_emulated(const ZydisDecodedInstruction *zi, const ZydisDecodedOperand *op)
{
    switch (zi->mnemonic) {
    case ZYDIS_MNEMONIC_AAD: /* flags */
    case ZYDIS_MNEMONIC_AAM:
    case ZYDIS_MNEMONIC_DAS: return true;
    case ZYDIS_MNEMONIC_PUSH: /* of a segment register: two bytes only */
    case ZYDIS_MNEMONIC_POP: return names_segment(zi, op);
    case ZYDIS_MNEMONIC_ENTER: return true; /* does not try the new top of the stack */
    case ZYDIS_MNEMONIC_NOP: return zi->address_width == 16; /* length */
    case ZYDIS_MNEMONIC_LOOPE:                               /* heeds REP prefixes */
    case ZYDIS_MNEMONIC_LOOPNE: return has_rep(zi);
    case ZYDIS_MNEMONIC_FXRSTOR: return true;                  /* reads 288 bytes of 512 */
    case ZYDIS_MNEMONIC_INT: return op[0].imm.value.u == 0x1a; /* is CPUID */
    default: return false;
    }
}

static bool known_insn(const struct known *k, const uint8_t *code, unsigned len)
{
    ZydisDecoder dec;
    ZydisDecodedInstruction zi;
    ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];

    ZydisDecoderInit(&dec, ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32);
    if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&dec, code, len, &zi, op)))
        return k->emulates && !k->all_wanted; /* takes MOVNTI and the like with any prefix */
    if (zi.mnemonic == ZYDIS_MNEMONIC_RDMSR)  /* may be the time */
        return true;
    if (k->all_wanted)
        return false;
    switch (zi.mnemonic) {
    case ZYDIS_MNEMONIC_LAR:
    case ZYDIS_MNEMONIC_LSL:
    case ZYDIS_MNEMONIC_VERR:
    case ZYDIS_MNEMONIC_VERW:
        if (k->sees_descs)
            return true;
        break;
    case ZYDIS_MNEMONIC_FNSAVE: /* the pointers, which vCPUs do not keep; MXCSR_MASK */
    case ZYDIS_MNEMONIC_FNSTENV:
    case ZYDIS_MNEMONIC_FXSAVE: return true;
    default: break;
    }
    return (k->emulates && known_emulated(&zi, op)) || (k->ring == 0 && known_in_ring0(&zi, op));
}

/* A KVM that emulates steps over a whole REP at once, and over a fence or a NOP together with what
 * follows. */
static bool no_single_step(const struct diff_case *c, unsigned i)
{
    switch (diff_mnemonic(c, i)) {
    case ZYDIS_MNEMONIC_LFENCE:
    case ZYDIS_MNEMONIC_MFENCE:
    case ZYDIS_MNEMONIC_SFENCE:
    case ZYDIS_MNEMONIC_NOP: return true;
    default: return memchr(c->code[i], 0xf2, c->len[i]) || memchr(c->code[i], 0xf3, c->len[i]);
    }
}

bool known_case(const struct known *k, const struct diff_case *c)
{
    if (diff_vendor_flags(c) != 0 && !k->all_wanted) /* the vCPU is of another vendor */
        return true;
    if (k->emulates && !k->all_wanted && (c->in.eflags & FL_TF))
        for (unsigned i = 0; i < c->n; i++)
            if (no_single_step(c, i))
                return true;
    for (unsigned i = 0; i < c->n; i++)
        if (known_insn(k, c->code[i], c->len[i]))
            return true;
    return false;
}

/* --- by outcome --------------------------------------------------------------------------------
 */

static bool emulated(const struct known *k)
{
    return k->emulates && !k->all_wanted;
}

static bool emulated_page_fault(const struct known *k, const struct diff_machine *soft)
{
    return emulated(k) && diff_machine_vector(soft) == VEC_PF;
}

/* A KVM that emulates reads an operand before it looks whether the segment may be written, and does
 * not see that one wraps at 4 GiB: the page fault comes first, or the page has been touched. */
bool known_order(const struct known *k, const struct diff_machine *soft,
                 const struct diff_machine *kvm)
{
    const int a = diff_machine_vector(soft), b = diff_machine_vector(kvm);
    return emulated(k) && (a == VEC_GP || a == VEC_SS) && (a == b || b == VEC_PF) &&
           diff_machine_fault_eip(soft) == diff_machine_fault_eip(kvm);
}

bool known_outcome(const struct known *k, const struct diff_case *c,
                   const struct diff_machine *soft)
{
    /* After a shutdown nobody knows which fault began it. */
    if (emulated(k) && soft->vm->end == VM_END_WILD)
        return true;
    if (diff_machine_vector(soft) != VEC_PF || k->all_wanted)
        return false;
    switch (diff_mnemonic_at(c, diff_machine_fault_eip(soft))) {
    /* Many words: silicon has done a part of them, in an order of its own. */
    case ZYDIS_MNEMONIC_ENTER:
    case ZYDIS_MNEMONIC_PUSHA:
    case ZYDIS_MNEMONIC_PUSHAD:
    case ZYDIS_MNEMONIC_POPA:
    case ZYDIS_MNEMONIC_POPAD:
    case ZYDIS_MNEMONIC_FLDENV:
    case ZYDIS_MNEMONIC_FRSTOR:
    case ZYDIS_MNEMONIC_FXRSTOR: return true;
    /* A KVM that emulates leaves the flags of some earlier iteration. */
    case ZYDIS_MNEMONIC_SCASB:
    case ZYDIS_MNEMONIC_SCASW:
    case ZYDIS_MNEMONIC_SCASD:
    case ZYDIS_MNEMONIC_CMPSB:
    case ZYDIS_MNEMONIC_CMPSW:
    case ZYDIS_MNEMONIC_CMPSD: return k->emulates;
    default: return false;
    }
}

/* A KVM that emulates touches the x87 state before it finds that an MMX operand faults. */
bool known_fpu(const struct known *k, const struct diff_machine *soft)
{
    const int v = diff_machine_vector(soft);
    return emulated(k) && (v == VEC_PF || v == VEC_GP || v == VEC_SS);
}

/* A KVM that emulates stores the part of an operand that lies before the page that faults. */
bool known_byte(const struct known *k, const struct diff_machine *soft, la_t la)
{
    const la_t page = soft->vm->cpu.cr2 & ~(la_t)PAGE_MASK;
    return emulated_page_fault(k, soft) && la < page && page - la < 16;
}

/* Of an operand on two pages of which the second faults, the first may or may not be dirty already.
 */
bool known_tables(const struct known *k, const struct diff_machine *soft)
{
    return emulated_page_fault(k, soft);
}
