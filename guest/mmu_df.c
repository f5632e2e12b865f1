/*
 * mmu_df: a trap that finds no stack. Its page fault faults again, which is a double fault (Intel
 * SDM vol. 3, table 6-5); a task gate brings that onto a stack of its own, and the interrupted task
 * is found in its TSS as it was.
 */
#include "guest/rt/paging.h"

#define LA  PG_TEST(0)
#define ALL (PTE_P | PTE_W | PTE_U)

static uint32_t pd, frame;

/* Seen by the double fault's task. */
static volatile unsigned df_count;
static volatile uint32_t df_error, df_cr2;
static struct tss seen; /* the interrupted task */
/* Where the interrupted task goes on. */
static volatile uint32_t resume_eip, resume_esp;

void df_in_c(uint32_t error);

/* The error code lies on the new stack; IRET goes back to the task that was left, and the next
 * double fault comes in behind it. */
__attribute__((naked)) static void df_task(void)
{
    __asm__ volatile("1: call df_in_c; addl $4, %esp; iretl; jmp 1b");
}

void df_in_c(uint32_t error)
{
    struct tss *t = trap_tss();

    df_count++;
    df_error = error;
    df_cr2 = read_cr2();
    seen = *t;
    t->cs = SEL_KCODE;
    t->ss = t->ds = t->es = t->fs = t->gs = SEL_KDATA;
    t->eip = resume_eip;
    t->esp = resume_esp;
    t->eflags = EFLAGS_ONE;
}

/* Run insn with ESP = sp until the double fault brings us behind it. */
#define DIE(insn, sp, addr)                                                                        \
    __asm__ volatile("pushal\n\tmovl %%esp, %0\n\tmovl $2f, %1\n\tmovl %2, %%esp\n"                \
                     "1:\t" insn "\n2:\tpopal"                                                     \
                     : "=m"(resume_esp), "=m"(resume_eip)                                          \
                     : "r"(sp), "a"(addr)                                                          \
                     : "memory")

static bool taken_once(unsigned before, uint32_t esp, uint32_t cr2)
{
    if (df_count == before + 1 && df_error == 0 && seen.esp == esp && df_cr2 == cr2)
        return true;
    tap_note("%u double faults, error %x, ESP %08x not %08x, CR2 %08x not %08x", df_count - before,
             df_error, seen.esp, esp, df_cr2, cr2);
    return false;
}

static void ring0(void)
{
    unsigned n = df_count;

    /* A push onto nothing: #PF, whose frame has no place either. */
    DIE("pushl %%eax", LA + PAGE_SIZE, 0);
    tap_ok(taken_once(n, LA + PAGE_SIZE, LA + PAGE_SIZE - 4),
           "a kernel stack that is absent: #DF, error 0, by its task gate");
    tap_ok(seen.cs == SEL_KCODE && seen.ss == SEL_KDATA && seen.cr3 == pd, "the task's TSS has it");
    n = df_count;
    DIE("movl (%%eax), %%eax", LA + PAGE_SIZE, LA + 0x3000);
    tap_ok(taken_once(n, LA + PAGE_SIZE, LA + PAGE_SIZE - 4) && seen.eax == LA + 0x3000,
           "#PF elsewhere with such a stack: CR2 is the push's");
    n = df_count;
    DIE("ud2", LA + PAGE_SIZE, 0);
    tap_ok(taken_once(n, LA + PAGE_SIZE, LA + PAGE_SIZE - 4),
           "#UD with such a stack: #PF comes first, then #DF");
    n = df_count;
    DIE("int $0x80", LA + PAGE_SIZE, 0);
    tap_ok(taken_once(n, LA + PAGE_SIZE, LA + PAGE_SIZE - 4), "INT likewise");
    pg_remap(pd, LA, frame, PTE_P);
    n = df_count;
    DIE("pushl %%eax", LA + PAGE_SIZE, 0);
    tap_ok(taken_once(n, LA + PAGE_SIZE, LA + PAGE_SIZE - 4), "a stack that is read-only");
    pg_remap(pd, LA, frame, PTE_P | PTE_W);
    n = df_count;
    DIE("ud2", LA + 8, 0);
    tap_ok(taken_once(n, LA + 8, LA - 4), "a stack that ends half-way through the frame");
    pg_remap(pd, LA, 0, 0);
}

static void ring3(void)
{
    const uint32_t old = trap_tss()->esp0;
    unsigned n = df_count;
    struct ring3 r = {.eip = LA + PAGE_SIZE * 2, .esp = 0x1234, .eflags = EFLAGS_ONE};

    /* The way back is to the task's ring 0 here. */
    *(volatile uint8_t *)r.eip = 0xcd; /* int $0x80 */
    *(volatile uint8_t *)(r.eip + 1) = 0x80;
    trap_tss()->esp0 = LA + PAGE_SIZE;
    __asm__ volatile("pushal\n\tmovl %%esp, %0\n\tmovl $2f, %1\n\tpushl %2\n\tcall ring3_run\n"
                     "2:\tpopal"
                     : "=m"(resume_esp), "=m"(resume_eip)
                     : "r"(&r)
                     : "memory", "cc");
    tap_ok(taken_once(n, 0x1234, LA + PAGE_SIZE - 4),
           "ring 3 traps, ring 0's stack is absent: #DF");
    tap_ok(seen.cs == SEL_UCODE && seen.ss == SEL_UDATA, "the TSS has ring 3's registers");
    tap_ok(seen.eip == r.eip, "and EIP at the INT");
    trap_tss()->esp0 = old;
    tap_ok(ring3_run(&r) == VEC_SYSCALL && df_count == n + 1, "with a stack it is a plain call");
}

static void goes_on(void)
{
    uint32_t v;

    trap_forget();
    tap_ok(!try_read(LA, &v) && trap_was_pf(0, LA), "page faults work as before");
    for (unsigned i = 0; i < 20; i++)
        DIE("pushl %%eax", LA + PAGE_SIZE, 0);
    tap_ok(df_count == 27, "twenty more double faults");
}

int main(void)
{
    pd = pg_identity();
    frame = pg_alloc();
    pg_map(pd, LA + 2 * PAGE_SIZE, pg_alloc(), ALL);
    pg_start(pd, true, 0);
    trap_task_gate(V_DF, df_task);
    ring0();
    ring3();
    goes_on();
    return tap_done();
}
