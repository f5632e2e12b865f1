/*
 * Entry is by IRETQ (CS, EFLAGS and ESP at once), the way back by a far jump to a small 64-bit stub
 * below 4 GiB. While the code runs RSP is not ours: the asm reaches its variables RIP-relative,
 * and signals arrive on an alternate stack. A handler never returns into the code: it notes the
 * state and leaves to the host's stack, which costs no sigreturn.
 */
#include "tests/native32.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <ucontext.h>

/* Shared with the asm below: offsets are checked there. */
struct n32_shared {
    uint32_t gpr[8];
    uint64_t rsp; /* 32: host's stack while the code runs */
    uint64_t eflags;
    uint64_t eip;                     /* 48 */
    uint16_t ds;                      /* 56 */
    uint16_t es;                      /* 58 */
    uint32_t mxcsr;                   /* 60: the host's */
    _Alignas(16) uint8_t fxsave[512]; /* 64 */
};
_Static_assert(offsetof(struct n32_shared, rsp) == 32, "asm");
_Static_assert(offsetof(struct n32_shared, eip) == 48, "asm");
_Static_assert(offsetof(struct n32_shared, fxsave) == 64, "asm");

__attribute__((used)) struct n32_shared n32_shared;

void n32_enter(void);
void n32_exit(void);
extern char n32_enter_end[];
_Noreturn void n32_leave(void);
void n32_on_signal_entry(int sig, siginfo_t *si, void *ctx);
void n32_on_signal(int sig, siginfo_t *si, void *ctx);

__asm__(".text\n"
        ".globl n32_enter\n"
        "n32_enter:\n"
        "  pushq %rbx; pushq %rbp; pushq %r12; pushq %r13; pushq %r14; pushq %r15\n"
        "  movq %rsp, 32+n32_shared(%rip)\n"
        "  stmxcsr 60+n32_shared(%rip)\n"
        "  fxrstor 64+n32_shared(%rip)\n"
        "  movl $0x2b, %eax; movl %eax, %ds; movl %eax, %es\n"
        "  movl 16+n32_shared(%rip), %eax\n"
        "  pushq $0x2b; pushq %rax\n"
        "  pushq 40+n32_shared(%rip); pushq $0x23; pushq 48+n32_shared(%rip)\n"
        "  movl 0+n32_shared(%rip), %eax\n"
        "  movl 4+n32_shared(%rip), %ecx\n"
        "  movl 8+n32_shared(%rip), %edx\n"
        "  movl 12+n32_shared(%rip), %ebx\n"
        "  movl 20+n32_shared(%rip), %ebp\n"
        "  movl 24+n32_shared(%rip), %esi\n"
        "  movl 28+n32_shared(%rip), %edi\n"
        "  iretq\n"
        ".globl n32_enter_end\n"
        "n32_enter_end:\n"

        ".globl n32_exit\n"
        "n32_exit:\n" /* 64-bit again, guest's registers; upper halves are undefined */
        "  movl %eax, 0+n32_shared(%rip)\n"
        "  movl %ecx, 4+n32_shared(%rip)\n"
        "  movl %edx, 8+n32_shared(%rip)\n"
        "  movl %ebx, 12+n32_shared(%rip)\n"
        "  movl %esp, 16+n32_shared(%rip)\n"
        "  movl %ebp, 20+n32_shared(%rip)\n"
        "  movl %esi, 24+n32_shared(%rip)\n"
        "  movl %edi, 28+n32_shared(%rip)\n"
        "  movq 32+n32_shared(%rip), %rsp\n"
        "  pushfq; popq 40+n32_shared(%rip)\n"
        "  fxsave 64+n32_shared(%rip)\n"
        ".globl n32_leave\n"
        "n32_leave:\n"
        "  movq 32+n32_shared(%rip), %rsp\n"
        "  pushq $0x202; popfq\n" /* no DF, AC, TF, NT of the guest's */
        "  movw %ds, 56+n32_shared(%rip); movw %es, 58+n32_shared(%rip)\n"
        "  movl $0x2b, %eax; movl %eax, %ss\n"
        "  xorl %eax, %eax; movl %eax, %ds; movl %eax, %es\n"
        "  fninit\n"
        "  ldmxcsr 60+n32_shared(%rip)\n"
        "  popq %r15; popq %r14; popq %r13; popq %r12; popq %rbp; popq %rbx\n"
        "  ret\n"

        /* The kernel leaves the code's AC flag set: C code must not run with it. */
        ".globl n32_on_signal_entry\n"
        "n32_on_signal_entry:\n"
        "  pushq $0x202; popfq\n"
        "  jmp n32_on_signal\n");

enum { ALT_STACK = 64 << 10, TRIAL_AT = 64, INT1_AT = 128 /* in the stub */ };
static const int n32_signals[] = {SIGSEGV, SIGILL, SIGFPE, SIGTRAP, SIGBUS, SIGALRM};
enum { N32_SIGNALS = sizeof n32_signals / sizeof *n32_signals };

static struct {
    bool open;
    volatile bool running;
    bool cannot;        /* the entry itself faulted */
    bool int1_before;   /* INT1 leaves EIP at itself, not behind: see native32_open() */
    uint32_t run, seen; /* for the timeout: which run the last tick saw */
    int vector;
    uint32_t error, cr2;
    uint16_t ss;
    uint8_t *stub; /* below 4 GiB */
    void *alt;
    stack_t old_alt;
    struct sigaction old[N32_SIGNALS];
    char why[128];
} n32;

const char *native32_why(void)
{
    return n32.why;
}

static void n32_save(const ucontext_t *uc)
{
    static const int greg[8] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX,
                                REG_RSP, REG_RBP, REG_RSI, REG_RDI};
    for (int i = 0; i < 8; i++)
        n32_shared.gpr[i] = (uint32_t)uc->uc_mcontext.gregs[greg[i]];
    n32_shared.eip = (uint32_t)uc->uc_mcontext.gregs[REG_RIP];
    n32_shared.eflags = (uint32_t)uc->uc_mcontext.gregs[REG_EFL];
    n32.ss = (uint16_t)((uint64_t)uc->uc_mcontext.gregs[REG_CSGSFS] >> 48);
    memcpy(n32_shared.fxsave, uc->uc_mcontext.fpregs, 512);
    /* The kernel saves with 64-bit pointers: no selectors. */
    memset(n32_shared.fxsave + 12, 0, 4);
    memset(n32_shared.fxsave + 20, 0, 4);
}

/* Bytes of the INT1 at p, which the processor has just executed; 0: it is another instruction. */
static uint32_t n32_int1_len(const uint8_t *p)
{
    static const char prefixes[] = "\x26\x2e\x36\x3e\x64\x65\x66\x67\xf2\xf3";
    uint32_t n = 0;
    while (n < 14 && p[n] && strchr(prefixes, p[n]))
        n++;
    return p[n] == 0xf1 ? n + 1 : 0;
}

/* A trap leaves EIP behind its instruction, also where the host's own hypervisor says otherwise. */
static void n32_mend_int1(const siginfo_t *si)
{
    const uint8_t *at =
        (const uint8_t *)(uintptr_t)n32_shared.eip; // NOLINT(performance-no-int-to-ptr)
    if (n32.int1_before && n32.vector == 1 && si->si_code == TRAP_BRKPT)
        n32_shared.eip += n32_int1_len(at);
}

__attribute__((used)) void n32_on_signal(int sig, siginfo_t *si, void *ctx)
{
    const ucontext_t *uc = ctx;
    unsigned cs = (unsigned)uc->uc_mcontext.gregs[REG_CSGSFS] & 0xffff;
    uint64_t rip = (uint64_t)uc->uc_mcontext.gregs[REG_RIP];
    /* The code's own segment, or one of the LDT that a test has made. */
    const bool ours = cs == NATIVE32_CS || (cs & 4);
    bool entering =
        rip >= (uint64_t)(uintptr_t)n32_enter && rip < (uint64_t)(uintptr_t)n32_enter_end;
    if (sig == SIGALRM) {
        if (!n32.running || !ours || n32.seen != n32.run) {
            n32.seen = n32.run;
            return;
        }
        n32.vector = NATIVE32_TIMEOUT;
    } else if (n32.running && (ours || entering)) {
        n32.vector = (int)uc->uc_mcontext.gregs[REG_TRAPNO];
        n32.error = (uint32_t)uc->uc_mcontext.gregs[REG_ERR];
        n32.cr2 = (uint32_t)uc->uc_mcontext.gregs[REG_CR2];
        n32.cannot = entering;
    } else if (n32.running && (uint8_t *)(uintptr_t)rip == n32.stub && sig == SIGTRAP) {
        /* TF was set by the code's last instruction, and the far jump trapped: it had ended. */
        n32.vector = NATIVE32_END;
    } else {
        signal(sig, SIG_DFL); /* not ours: happens again, and kills */
        return;
    }
    n32_save(uc);
    if (cs == NATIVE32_CS)
        n32_mend_int1(si);
    n32_leave();
}

static int n32_handlers(void)
{
    n32.alt = mmap(NULL, ALT_STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (n32.alt == MAP_FAILED)
        return -errno;
    stack_t alt = {.ss_sp = n32.alt, .ss_size = ALT_STACK};
    if (sigaltstack(&alt, &n32.old_alt) < 0)
        return -errno;
    for (int i = 0; i < N32_SIGNALS; i++) {
        struct sigaction sa = {.sa_sigaction = n32_on_signal_entry,
                               .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER | SA_RESTART};
        sigemptyset(&sa.sa_mask);
        if (sigaction(n32_signals[i], &sa, &n32.old[i]) < 0)
            return -errno;
    }
    const struct itimerval it = {{0, 50000}, {0, 50000}};
    return setitimer(ITIMER_REAL, &it, NULL) < 0 ? -errno : 0;
}

static int n32_stub(void)
{
    n32.stub =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    if (n32.stub == MAP_FAILED)
        return -errno;
    /* jmp *2(%rip): the pointer is aligned, for AC may be set */
    static const uint8_t jmp_rip[6] = {0xff, 0x25, 2, 0, 0, 0};
    const uint64_t to = (uint64_t)(uintptr_t)n32_exit;
    memcpy(n32.stub, jmp_rip, 6);
    memcpy(n32.stub + 8, &to, 8);
    /* Behind it the code of the trial run. */
    static const uint8_t trial[] = {0xb8, 0x78, 0x56, 0x34, 0x12}; /* mov $0x12345678,%eax */
    memcpy(n32.stub + TRIAL_AT, trial, sizeof trial);
    native32_put_end(n32.stub + TRIAL_AT + sizeof trial);
    n32.stub[INT1_AT] = 0xf1;
    return mprotect(n32.stub, 4096, PROT_READ | PROT_EXEC) < 0 ? -errno : 0;
}

int native32_open(void)
{
    if (n32.open)
        return 0;
    memset(&n32, 0, sizeof n32);
    int err = n32_handlers();
    if (!err)
        err = n32_stub();
    if (err) {
        snprintf(n32.why, sizeof n32.why, "setting up native 32-bit code: %s", strerror(-err));
        return err;
    }
    n32.open = true;
    struct native32_state st = {.eip = (uint32_t)(uintptr_t)n32.stub + TRIAL_AT, .eflags = 0x202};
    st.fxsave[0] = 0x7f;
    st.fxsave[1] = 0x03;
    st.fxsave[24] = 0x80;
    st.fxsave[25] = 0x1f;
    struct native32_result res;
    native32_run(&st, &res);
    if (n32.cannot || res.vector != NATIVE32_END || st.gpr[0] != 0x12345678) {
        char why[sizeof n32.why];
        snprintf(why, sizeof why, "this host does not run 32-bit code (exception %d on entry)",
                 res.vector);
        native32_close();
        memcpy(n32.why, why, sizeof why);
        return -ENOTSUP;
    }
    /* INT1 is a trap (SDM 3A, 6.15, #DB), but some hypervisors hand it on as a fault. */
    st.eip = (uint32_t)(uintptr_t)n32.stub + INT1_AT;
    native32_run(&st, &res);
    n32.int1_before = res.vector == 1 && st.eip == (uint32_t)(uintptr_t)n32.stub + INT1_AT;
    return 0;
}

void native32_close(void)
{
    if (!n32.open)
        return;
    const struct itimerval off = {{0, 0}, {0, 0}};
    setitimer(ITIMER_REAL, &off, NULL);
    for (int i = 0; i < N32_SIGNALS; i++)
        sigaction(n32_signals[i], &n32.old[i], NULL);
    sigaltstack(&n32.old_alt, NULL);
    munmap(n32.alt, ALT_STACK);
    munmap(n32.stub, 4096);
    n32.open = false;
}

int native32_map(uint32_t addr, uint32_t len, int prot)
{
    void *want = (void *)(uintptr_t)addr; // NOLINT(performance-no-int-to-ptr)
    void *got = mmap(want, len, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (got == MAP_FAILED)
        return -errno;
    if (got != want) {
        munmap(got, len);
        return -EEXIST;
    }
    return 0;
}

void native32_put_end(uint8_t *p)
{
    const uint32_t to = (uint32_t)(uintptr_t)n32.stub;
    p[0] = 0xea;
    memcpy(p + 1, &to, 4);
    p[5] = 0x33;
    p[6] = 0;
}

void native32_run(struct native32_state *st, struct native32_result *res)
{
    memcpy(n32_shared.gpr, st->gpr, sizeof st->gpr);
    memcpy(n32_shared.fxsave, st->fxsave, 512);
    n32_shared.eip = st->eip;
    n32_shared.eflags = st->eflags;
    n32.vector = NATIVE32_END;
    n32.error = n32.cr2 = 0;
    n32.ss = NATIVE32_DS;
    n32.run++;
    n32.running = true;
    n32_enter();
    n32.running = false;
    memcpy(st->gpr, n32_shared.gpr, sizeof st->gpr);
    memcpy(st->fxsave, n32_shared.fxsave, 512);
    st->eip = (uint32_t)n32_shared.eip;
    st->eflags = (uint32_t)n32_shared.eflags;
    st->ds = n32_shared.ds;
    st->es = n32_shared.es;
    st->ss = n32.ss;
    *res = (struct native32_result){n32.vector, n32.error, n32.cr2};
}
