/*
 * Descriptor tables, exceptions in C, faults that are expected, excursions to ring 3.
 *
 * An instruction that may fault on purpose is marked with TRAP_FIX: when it faults, the fault is
 * recorded (trap_last) and execution goes on at the fix-up. Any other fault that no handler takes
 * ends the guest with a report.
 */
#ifndef UMBRA_GUEST_RT_TRAP_H
#define UMBRA_GUEST_RT_TRAP_H

#include "guest/rt/cpu.h"
#include "guest/rt/rt.h"

enum { SEL_KCODE = 0x08, SEL_KDATA = 0x10, SEL_UCODE = 0x1b, SEL_UDATA = 0x23 };
enum { SEL_TSS = 0x28, SEL_DF_TSS = 0x30, SEL_FREE = 0x38 };
enum { VEC_SYSCALL = 0x80 };

/* What trap.S builds; esp and ss are there only when the trap came from ring 3. */
struct trap_frame {
    uint32_t edi, esi, ebp, esp_here, ebx, edx, ecx, eax;
    uint32_t vector, error, eip, cs, eflags;
    uint32_t esp, ss;
};

struct tss {
    uint32_t link, esp0, ss0, esp1, ss1, esp2, ss2, cr3, eip, eflags;
    uint32_t eax, ecx, edx, ebx, esp, ebp, esi, edi;
    uint32_t es, cs, ss, ds, fs, gs, ldt;
    uint16_t trap, iomap;
};

/* Load GDT, IDT and TSS. Interrupts stay off. Paging may be on or off; all lies in the image. */
void trap_init(void);
/* A handler says whether it has dealt with the trap, so that execution goes on as the frame says.
 */
typedef bool (*trap_handler)(struct trap_frame *f);
void trap_handle(unsigned vector, trap_handler h);
/* Make vector a task gate to a task that runs fn on a stack of its own; fn must not return. */
void trap_task_gate(unsigned vector, void (*fn)(void));
/* The TSS that ring 0's stack comes from. */
struct tss *trap_tss(void);
/* A raw descriptor, at SEL_FREE for instance, and a raw gate. */
void trap_set_desc(unsigned sel, uint32_t low, uint32_t high);
void trap_set_gate(unsigned vector, uint32_t low, uint32_t high);

/* The last fault that a fix-up or an excursion's end has taken. */
struct fault {
    bool taken; /* since trap_forget() */
    unsigned count;
    uint32_t cr2;
    struct trap_frame at;
};
const struct fault *trap_last(void);
void trap_forget(void);
/* Was the last fault just that? Says what it was if not. */
bool trap_was_pf(uint32_t error, uint32_t cr2);

#define TRAP_FIX(insn, fix)                                                                        \
    ".pushsection .fixups, \"a\"\n\t.long " insn ", " fix "\n\t.popsection\n\t"

/* One access of a dword by one instruction: false if it faulted. */
bool try_read(uint32_t la, uint32_t *v);
bool try_write(uint32_t la, uint32_t v);
/* Execute at la, where TRY_FETCH_CODE must lie. */
bool try_fetch(uint32_t la);
#define TRY_FETCH_CODE 0x9090e2ffu /* jmp *%edx */

/* --- ring 3 --- */
struct ring3 {
    uint32_t eax, ecx, edx, ebx, esi, edi, ebp, eip, esp, eflags;
};
/* Run in ring 3 from the registers given until a trap that no handler takes; registers as they were
 * then come back. The trap's vector is returned, trap_last() has the rest. */
unsigned ring3_run(struct ring3 *r);
/* The accesses above made from ring 3. Needs the image's user section mapped (pg_identity does). */
bool user_read(uint32_t la, uint32_t *v);
bool user_write(uint32_t la, uint32_t v);
bool user_fetch(uint32_t la);

#endif
