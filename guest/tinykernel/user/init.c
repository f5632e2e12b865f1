/* The first process: tests its kernel, and by it the MMU beneath. */
#include "guest/tinykernel/user/user.h"

static uint32_t data_word = 0x1234;
static uint32_t bss[64 * 1024]; /* 64 pages */

/* Run fn in a child; its status. */
static uint32_t in_child(int (*fn)(void))
{
    uint32_t status = 0xffff;
    const int32_t pid = fork();

    if (pid == 0)
        leave((uint32_t)fn());
    if (pid < 0 || wait(&status) != pid)
        return 0xffff;
    return status;
}

static int say_seven(void)
{
    return 7;
}

static int change_and_end(void)
{
    const uint32_t before = data_word;

    data_word = 0x9999;
    for (unsigned i = 0; i < 64; i++)
        bss[i * 1024] = i + 1;
    return before == 0x1234 ? 3 : 4;
}

static void basics(void)
{
    uint32_t status = 0;

    ok(getpid() == 1, "the first process has pid 1");
    ok(in_child(say_seven) == 7, "fork, exit and wait: the status comes back");
    ok(in_child(change_and_end) == 3 && data_word == 0x1234, "a child's writes are its own");
    ok(sys(SYS_WAIT, (uint32_t)&status, 0, 0) == TK_ECHILD, "nobody left to wait for");
    ok(sys(99, 0, 0, 0) == TK_ENOSYS, "no such call");
    ok(sys(SYS_WRITE, 1, (uint32_t) "# written by init\n", 18) == 18, "write");
    data_word = 0x1234;
}

static void demand_zero(void)
{
    const uint32_t at = TK_MAP_AREA, pages = 200;
    int32_t before, after;
    bool good = true;

    ok(sys(SYS_MAP, at, pages * PAGE, 1) == 0, "map 200 pages");
    before = stat(TK_FREE_FRAMES);
    for (uint32_t i = 0; i < pages; i++)
        good = good && *word(at + i * PAGE + 4 * i) == 0;
    after = stat(TK_FREE_FRAMES);
    ok(good && before - after == 1, "read, they are zeros and cost a page table only");
    for (uint32_t i = 0; i < pages; i += 2)
        *word(at + i * PAGE) = i + 1;
    ok(after - stat(TK_FREE_FRAMES) == 100, "every second one written costs a frame each");
    for (uint32_t i = 0; i < pages; i++)
        good = good && *word(at + i * PAGE) == (i & 1 ? 0 : i + 1) && *word(at + i * PAGE + 8) == 0;
    ok(good, "and holds what was written, the others zeros still");
    ok(sys(SYS_UNMAP, at, 0, 0) == 0 && stat(TK_FREE_FRAMES) == before - 1,
       "unmapped, all come back");
}

static int check_and_mark(uint32_t id)
{
    for (unsigned i = 0; i < 64; i++) {
        if (bss[i * 1024] != 1000 + i)
            return 1;
        bss[i * 1024] = id * 100 + i;
    }
    (void)sys(SYS_YIELD, 0, 0, 0);
    for (unsigned i = 0; i < 64; i++)
        if (bss[i * 1024] != id * 100 + i || bss[i * 1024 + 5] != 0)
            return 2;
    return 0;
}

static void copy_on_write(void)
{
    uint32_t status, bad = 0;
    int32_t free_before, copies, reuses;

    for (unsigned i = 0; i < 64; i++)
        bss[i * 1024] = 1000 + i;
    free_before = stat(TK_FREE_FRAMES);
    for (uint32_t c = 1; c <= 4; c++)
        if (fork() == 0)
            leave((uint32_t)check_and_mark(c));
    for (uint32_t c = 0; c < 4; c++)
        bad += wait(&status) < 0 || status != 0;
    ok(bad == 0, "four children each see the parent's 64 pages and write their own");
    for (unsigned i = 0; i < 64; i++)
        bad += bss[i * 1024] != 1000 + i;
    ok(bad == 0, "the parent's are as they were");
    copies = stat(TK_COPIES);
    reuses = stat(TK_REUSES);
    for (unsigned i = 0; i < 64; i++)
        bss[i * 1024] = 2000 + i;
    ok(stat(TK_COPIES) == copies && stat(TK_REUSES) - reuses == 64,
       "the last owner writes in place, one fault each");
    ok(stat(TK_FREE_FRAMES) == free_before, "no frame is lost");
}

static uint32_t tree(unsigned depth)
{
    uint32_t nodes = 1, status;

    if (depth == 0)
        return 1;
    for (unsigned i = 0; i < 2; i++) {
        const int32_t pid = fork();
        if (pid == 0)
            leave(tree(depth - 1));
        if (pid < 0)
            return 0;
    }
    for (unsigned i = 0; i < 2; i++) {
        if (wait(&status) < 0 || (status & TK_KILLED))
            return 0;
        nodes += status;
    }
    return nodes;
}

static void forks_of_forks(void)
{
    const int32_t before = stat(TK_FREE_FRAMES);

    ok(tree(3) == 15, "a tree of fifteen processes");
    ok(stat(TK_FREE_FRAMES) == before && stat(TK_AUDIT) == 0, "leaves nothing behind");
}

static void heap(void)
{
    const uint32_t start = (uint32_t)sys(SYS_BRK, 0, 0, 0);
    int32_t before;
    bool good = true;

    ok(sys(SYS_BRK, start + 50 * PAGE, 0, 0) == (int32_t)(start + 50 * PAGE), "brk grows the heap");
    before = stat(TK_FREE_FRAMES);
    for (uint32_t i = 0; i < 50; i++)
        *word(start + i * PAGE) = i;
    for (uint32_t i = 0; i < 50; i++)
        good = good && *word(start + i * PAGE) == i;
    ok(good, "fifty pages of it hold what is written");
    (void)sys(SYS_BRK, start + PAGE, 0, 0);
    ok(before - stat(TK_FREE_FRAMES) <= 2, "shrunk, its frames come back");
    (void)sys(SYS_BRK, start + 50 * PAGE, 0, 0);
    ok(*word(start + 7 * PAGE) == 0 && *word(start) == 0,
       "grown again, it is zeros where it was gone");
    (void)sys(SYS_BRK, start, 0, 0);
}

static uint32_t deep(uint32_t n)
{
    volatile uint8_t here[3000];

    here[0] = (uint8_t)n;
    here[2999] = (uint8_t)(n >> 8);
    return n == 0 ? 0 : deep(n - 1) + 1 + (here[0] != (uint8_t)n);
}

static int overflow(void)
{
    return (int)deep(100000);
}

static void stack(void)
{
    ok(deep(200) == 200, "a stack that grows to 150 pages");
    ok(in_child(overflow) == (TK_KILLED | TK_BY_FAULT),
       "and one that grows without end is stopped");
}

static int write_text(void)
{
    *(volatile uint32_t *)(uint32_t)say_seven = 0;
    return 0;
}
static int read_kernel(void)
{
    return (int)*word(0xc0100000);
}
static int write_kernel(void)
{
    *word(0xc0100000) = 1;
    return 0;
}
static int read_tables(void)
{
    return (int)*word(0xffc00000);
}
static int jump_to_nothing(void)
{
    ((void (*)(void))0x10)();
    return 0;
}
static int jump_to_kernel(void)
{
    ((void (*)(void))0xc0101000)();
    return 0;
}
static int read_null(void)
{
    return (int)*word(0);
}
static int privileged(void)
{
    __asm__ volatile("cli");
    return 0;
}
static int load_cr3(void)
{
    __asm__ volatile("mov %0, %%cr3" : : "r"(0));
    return 0;
}
static int divide(void)
{
    __asm__ volatile("divl %1" : : "a"(1), "r"(0), "d"(0) : "cc");
    return 0;
}
static int port(void)
{
    __asm__ volatile("outb %%al, $0xf4" : : "a"(0));
    return 0;
}

static void bad_processes(void)
{
    static const struct {
        int (*fn)(void);
        uint32_t status;
        const char *text;
    } bad[] = {
        {write_text, TK_KILLED | TK_BY_FAULT, "writing its text ends a process"},
        {read_kernel, TK_KILLED | TK_BY_FAULT, "reading the kernel does"},
        {write_kernel, TK_KILLED | TK_BY_FAULT, "writing it"},
        {read_tables, TK_KILLED | TK_BY_FAULT, "reading the page tables' window"},
        {jump_to_nothing, TK_KILLED | TK_BY_FAULT, "jumping to nothing"},
        {jump_to_kernel, TK_KILLED | TK_BY_FAULT, "jumping into the kernel"},
        {read_null, TK_KILLED | TK_BY_FAULT, "reading address 0"},
        {privileged, TK_KILLED | TK_BY_TRAP, "CLI"},
        {load_cr3, TK_KILLED | TK_BY_TRAP, "a load of CR3"},
        {divide, TK_KILLED | TK_BY_TRAP, "dividing by zero"},
        {port, TK_KILLED | TK_BY_TRAP, "an OUT"},
    };

    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++)
        ok(in_child(bad[i].fn) == bad[i].status, bad[i].text);
}

static void bad_pointers(void)
{
    ok(sys(SYS_WRITE, 1, 0xc0100000, 4) == TK_EFAULT, "write from the kernel's memory is refused");
    ok(sys(SYS_WRITE, 1, 0xbfffffff, 2) == TK_EFAULT, "write across its border");
    ok(sys(SYS_WRITE, 1, 0x10, 4) == TK_EFAULT, "write from nowhere");
    ok(sys(SYS_WRITE, 1, 0xfffffff0, 0x20) == TK_EFAULT, "write that wraps around");
    if (fork() == 0)
        leave(5);
    ok(sys(SYS_WAIT, (uint32_t)say_seven, 0, 0) == TK_EFAULT,
       "wait into read-only text is refused");
    ok(*(uint8_t *)(uint32_t)say_seven != 5, "and nothing was written");
    if (fork() == 0)
        leave(6);
    ok(sys(SYS_WAIT, (uint32_t)&bss[40 * 1024], 0, 0) > 0 && bss[40 * 1024] == 6,
       "wait into a page that is still to be copied works: the kernel's write faults as ours");
}

static int write_protected_page(void)
{
    *word(TK_MAP_AREA + PAGE) = 1;
    return 0;
}

static void protection(void)
{
    const uint32_t at = TK_MAP_AREA;

    (void)sys(SYS_MAP, at, 4 * PAGE, 1);
    *word(at + PAGE) = 77;
    (void)sys(SYS_PROTECT, at, 0, 0);
    ok(in_child(write_protected_page) == (TK_KILLED | TK_BY_FAULT),
       "a mapping made read-only refuses");
    ok(*word(at + PAGE) == 77, "but is read");
    (void)sys(SYS_PROTECT, at, 1, 0);
    ok(in_child(write_protected_page) == 0 && *word(at + PAGE) == 77, "writable again, in a child");
    *word(at + PAGE) = 78;
    ok(*word(at + PAGE) == 78, "and here");
    (void)sys(SYS_UNMAP, at, 0, 0);
}

/* Accessed and dirty, as the processor sets them in the PTE that the kernel shows. */
static void bits(void)
{
    const uint32_t at = TK_MAP_AREA;
    uint32_t e;

    (void)sys(SYS_MAP, at, PAGE, 1);
    *word(at) = 1;
    e = (uint32_t)sys(SYS_STAT, TK_PAGE, at, 0);
    ok((e & 0x67) == 0x67, "a page written is present, writable, user's, accessed and dirty");
    (void)in_child(say_seven);
    e = (uint32_t)sys(SYS_STAT, TK_PAGE, at, 0);
    ok((e & 7) == 5, "after a fork it is read-only");
    *word(at) = 2;
    e = (uint32_t)sys(SYS_STAT, TK_PAGE, at, 0);
    ok((e & 0x67) == 0x67, "and written once more, writable in place");
    (void)sys(SYS_UNMAP, at, 0, 0);
}

static _Noreturn void spin(void)
{
    for (;;)
        __asm__ volatile("");
}

/* Registers with patterns, looked at again and again. */
static bool registers_hold(uint32_t times)
{
    uint32_t wrong = 0;

    for (uint32_t i = 0; i < times && !wrong; i++)
        __asm__ volatile("mov $0x11111111, %%eax; mov $0x22222222, %%ecx; mov $0x33333333, %%edx;"
                         "mov $0x44444444, %%esi; mov $0x55555555, %%edi; nop; nop;"
                         "cmp $0x11111111, %%eax; jne 1f; cmp $0x22222222, %%ecx; jne 1f;"
                         "cmp $0x33333333, %%edx; jne 1f; cmp $0x44444444, %%esi; jne 1f;"
                         "cmp $0x55555555, %%edi; je 2f; 1: mov $1, %0; 2:"
                         : "+r"(wrong)
                         :
                         : "eax", "ecx", "edx", "esi", "edi", "cc");
    return !wrong;
}

/* Until the timer has taken the processor away five times, however fast that is. */
static int keep_registers(void)
{
    while (stat(TK_PREEMPTIONS) < 5)
        if (!registers_hold(5000))
            return 1;
    return 0;
}

static void preemption(void)
{
    uint32_t status = 0, before, bad = 0;
    int32_t pid = fork();

    if (pid == 0)
        spin();
    before = (uint32_t)sys(SYS_TICKS, 0, 0, 0);
    (void)sys(SYS_SLEEP, 5, 0, 0);
    ok((uint32_t)sys(SYS_TICKS, 0, 0, 0) - before >= 5, "we sleep five ticks while a child spins");
    ok(sys(SYS_KILL, (uint32_t)pid, 0, 0) == 0 && wait(&status) == pid &&
           status == (TK_KILLED | TK_BY_KILL),
       "it is preempted and can be ended");
    for (unsigned i = 0; i < 3; i++)
        if (fork() == 0)
            leave((uint32_t)keep_registers());
    for (unsigned i = 0; i < 3; i++)
        bad += wait(&status) < 0 || status != 0;
    ok(bad == 0,
       "three children compute, are preempted, and find their registers as they left them");
}

static int become_another(void)
{
    data_word = 0;
    return (int)sys(SYS_EXEC, PROG_EXECED, 0, 0);
}

static void exec(void)
{
    const int32_t before = stat(TK_FREE_FRAMES);

    ok(in_child(become_another) == 42,
       "exec: another program, its data fresh, at the same addresses");
    ok(in_child(become_another) == 42, "and again");
    ok(stat(TK_FREE_FRAMES) == before, "with nothing left behind");
}

static int eat_everything(void)
{
    const uint32_t at = TK_MAP_AREA;

    if (sys(SYS_MAP, at, 0x10000000, 1) != 0)
        return 1;
    for (uint32_t i = 0;; i++)
        *word(at + i * PAGE) = i;
}

static void exhaustion(void)
{
    const int32_t before = stat(TK_FREE_FRAMES);
    uint32_t status, made = 0;
    int32_t pid;

    ok(in_child(eat_everything) == (TK_KILLED | TK_NO_MEMORY),
       "a process that eats all memory is ended");
    ok(stat(TK_FREE_FRAMES) == before && stat(TK_AUDIT) == 0, "and its memory is there again");
    while ((pid = fork()) > 0)
        made++;
    if (pid == 0) {
        (void)sys(SYS_SLEEP, 3, 0, 0);
        leave(0);
    }
    ok(pid == TK_EAGAIN && made > 10, "forks until there is no slot: refused");
    while (wait(&status) > 0)
        made--;
    ok(made == 0 && stat(TK_FREE_FRAMES) == before, "all of them ended, nothing is lost");
}

int program(void)
{
    const int32_t before = (basics(), stat(TK_FREE_FRAMES));

    demand_zero();
    copy_on_write();
    forks_of_forks();
    heap();
    stack();
    bad_processes();
    bad_pointers();
    protection();
    bits();
    preemption();
    exec();
    exhaustion();
    ok(before - stat(TK_FREE_FRAMES) < 300, "what init itself has touched is all that is gone");
    return 0;
}
