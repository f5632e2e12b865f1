/*
 * Names of the architecture's registers, bits and vectors (Intel SDM vol. 3, chapters 2, 3, 6).
 */
#ifndef UMBRA_VMM_CPU_REGS_H
#define UMBRA_VMM_CPU_REGS_H

#include <stdint.h>

/* i386 linear address, after segmentation. */
typedef uint32_t la_t;

enum gpr { R_EAX, R_ECX, R_EDX, R_EBX, R_ESP, R_EBP, R_ESI, R_EDI, R_NONE };

/* Order of the ModRM sreg field. */
enum segreg { SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS, SEG_COUNT };

enum eflags {
    FL_CF = 1u << 0,
    FL_ONE = 1u << 1, /* always set */
    FL_PF = 1u << 2,
    FL_AF = 1u << 4,
    FL_ZF = 1u << 6,
    FL_SF = 1u << 7,
    FL_TF = 1u << 8,
    FL_IF = 1u << 9,
    FL_DF = 1u << 10,
    FL_OF = 1u << 11,
    FL_IOPL = 3u << 12,
    FL_NT = 1u << 14,
    FL_RF = 1u << 16,
    FL_VM = 1u << 17,
    FL_AC = 1u << 18,
    FL_VIF = 1u << 19,
    FL_VIP = 1u << 20,
    FL_ID = 1u << 21,
};
#define FL_IOPL_SHIFT 12
#define FL_ARITH      (FL_CF | FL_PF | FL_AF | FL_ZF | FL_SF | FL_OF)

enum cr0_bits {
    CR0_PE = 1u << 0,
    CR0_MP = 1u << 1,
    CR0_EM = 1u << 2,
    CR0_TS = 1u << 3,
    CR0_ET = 1u << 4,
    CR0_NE = 1u << 5,
    CR0_WP = 1u << 16,
    CR0_AM = 1u << 18,
    CR0_NW = 1u << 29,
    CR0_CD = 1u << 30,
    CR0_PG = 1u << 31,
};

enum cr4_bits {
    CR4_VME = 1u << 0,
    CR4_PVI = 1u << 1,
    CR4_TSD = 1u << 2,
    CR4_DE = 1u << 3,
    CR4_PSE = 1u << 4,
    CR4_PAE = 1u << 5,
    CR4_MCE = 1u << 6,
    CR4_PGE = 1u << 7,
    CR4_PCE = 1u << 8,
    CR4_OSFXSR = 1u << 9,
    CR4_OSXMMEXCPT = 1u << 10,
    CR4_UMIP = 1u << 11,
};

/* SDM vol. 3, 17.2. */
enum dr6_bits { DR6_BD = 1u << 13, DR6_BS = 1u << 14, DR6_BT = 1u << 15, DR6_ONES = 0xffff0ff0 };
enum dr7_bits { DR7_LOCAL = 0x155, DR7_ENABLED = 0xff, DR7_ONE = 1u << 10, DR7_GD = 1u << 13 };

enum efer_bits { EFER_SCE = 1u << 0, EFER_LME = 1u << 8, EFER_LMA = 1u << 10, EFER_NXE = 1u << 11 };

enum vector {
    VEC_DE = 0,
    VEC_DB = 1,
    VEC_NMI = 2,
    VEC_BP = 3,
    VEC_OF = 4,
    VEC_BR = 5,
    VEC_UD = 6,
    VEC_NM = 7,
    VEC_DF = 8,
    VEC_TS = 10,
    VEC_NP = 11,
    VEC_SS = 12,
    VEC_GP = 13,
    VEC_PF = 14,
    VEC_MF = 16,
    VEC_AC = 17,
    VEC_MC = 18,
    VEC_XM = 19,
};

/* #PF error code bits (SDM vol. 3, 4.7). */
enum pf_error { PF_P = 1, PF_W = 2, PF_U = 4, PF_RSVD = 8, PF_I = 16 };

/* Attributes of a segment, packed as the descriptor's bytes 5 and 6 have them, without the
 * limit bits: bits 0-3 type, 4 S, 5-6 DPL, 7 P, 12 AVL, 13 L, 14 D/B, 15 G. */
enum seg_attr {
    SA_TYPE = 0xf,
    SA_ACCESSED = 1u << 0, /* code/data */
    SA_RW = 1u << 1,       /* data: writable; code: readable */
    SA_EC = 1u << 2,       /* data: expand-down; code: conforming */
    SA_CODE = 1u << 3,
    SA_S = 1u << 4,
    SA_DPL = 3u << 5,
    SA_P = 1u << 7,
    SA_AVL = 1u << 12,
    SA_L = 1u << 13,
    SA_DB = 1u << 14,
    SA_G = 1u << 15,
};
#define SA_DPL_SHIFT 5

/* System descriptor types (S = 0), SDM vol. 3 table 3-2. */
enum sys_type {
    ST_TSS16 = 1,
    ST_LDT = 2,
    ST_TSS16_BUSY = 3,
    ST_CALL16 = 4,
    ST_TASK = 5,
    ST_INT16 = 6,
    ST_TRAP16 = 7,
    ST_TSS32 = 9,
    ST_TSS32_BUSY = 11,
    ST_CALL32 = 12,
    ST_INT32 = 14,
    ST_TRAP32 = 15,
};

#endif
