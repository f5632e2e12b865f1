/* The processor's system instructions and bits, for guests that use paging (Intel SDM vol. 3, ch.
 * 2, 4). */
#ifndef UMBRA_GUEST_RT_CPU_H
#define UMBRA_GUEST_RT_CPU_H

#include <stdbool.h>
#include <stdint.h>

#define CR0_PE 0x1u
#define CR0_WP 0x10000u
#define CR0_PG 0x80000000u

#define CR4_PSE 0x10u
#define CR4_PAE 0x20u
#define CR4_PGE 0x80u

/* Bits of a paging entry. */
#define PTE_P    0x1u
#define PTE_W    0x2u
#define PTE_U    0x4u
#define PTE_A    0x20u
#define PTE_D    0x40u
#define PTE_PS   0x80u
#define PTE_G    0x100u
#define PTE_ADDR 0xfffff000u

/* Bits of a page fault's error code. */
#define PF_P    0x1u
#define PF_W    0x2u
#define PF_U    0x4u
#define PF_RSVD 0x8u
#define PF_I    0x10u

#define EFLAGS_ONE 0x2u
#define EFLAGS_IF  0x200u

#define MSR_EFER 0xc0000080u
#define EFER_NXE 0x800u

#define CPUID1_PSE   (1u << 3)
#define CPUID1_PAE   (1u << 6)
#define CPUID1_CX8   (1u << 8)
#define CPUID1_PGE   (1u << 13)
#define CPUID1_PSE36 (1u << 17)
#define CPUID81_NX   (1u << 20)

enum vector { V_DE = 0, V_UD = 6, V_DF = 8, V_TS = 10, V_NP = 11, V_SS = 12, V_GP = 13, V_PF = 14 };

#define CPU_CR(n)                                                                                  \
    static inline uint32_t read_cr##n(void)                                                        \
    {                                                                                              \
        uint32_t v;                                                                                \
        __asm__ volatile("mov %%cr" #n ", %0" : "=r"(v) : : "memory");                             \
        return v;                                                                                  \
    }                                                                                              \
    static inline void write_cr##n(uint32_t v)                                                     \
    {                                                                                              \
        __asm__ volatile("mov %0, %%cr" #n : : "r"(v) : "memory");                                 \
    }
CPU_CR(0)
CPU_CR(2)
CPU_CR(3)
CPU_CR(4)

static inline void invlpg(uint32_t la)
{
    __asm__ volatile("invlpg (%0)" : : "r"(la) : "memory");
}

static inline void cpuid(uint32_t leaf, uint32_t r[4])
{
    __asm__ volatile("cpuid" : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3]) : "a"(leaf), "c"(0));
}

static inline uint32_t cpuid_edx(uint32_t leaf)
{
    uint32_t r[4];

    cpuid(leaf & 0x80000000u, r);
    if (r[0] < leaf)
        return 0;
    cpuid(leaf, r);
    return r[3];
}

static inline uint64_t rdmsr(uint32_t msr)
{
    uint32_t lo, hi;
    __asm__ volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr));
    return (uint64_t)hi << 32 | lo;
}

static inline void wrmsr(uint32_t msr, uint64_t v)
{
    __asm__ volatile("wrmsr" : : "a"((uint32_t)v), "d"((uint32_t)(v >> 32)), "c"(msr) : "memory");
}

static inline void flush_tlb(void)
{
    write_cr3(read_cr3());
}

static inline uint32_t load32(uint32_t la)
{
    return *(volatile uint32_t *)la;
}

static inline void store32(uint32_t la, uint32_t v)
{
    *(volatile uint32_t *)la = v;
}

#endif
