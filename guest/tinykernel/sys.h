/* System calls: what tinykernel and its programs agree on. INT 0x80, number in EAX, arguments in
 * EBX, ECX, EDX, result in EAX: negative for an error. */
#ifndef UMBRA_GUEST_TINYKERNEL_SYS_H
#define UMBRA_GUEST_TINYKERNEL_SYS_H

enum {
    SYS_EXIT = 1, /* code (0..127) */
    SYS_FORK,     /* -> 0 in the child, its pid in the parent */
    SYS_WRITE,    /* 1, buffer, bytes */
    SYS_WAIT,     /* &status -> pid of a child that has ended */
    SYS_GETPID,
    SYS_BRK,     /* new end of the heap, 0 to ask -> the end */
    SYS_MAP,     /* address, bytes, writable: anonymous memory */
    SYS_UNMAP,   /* address of a mapping's start */
    SYS_PROTECT, /* address of a mapping's start, writable */
    SYS_YIELD,
    SYS_SLEEP, /* timer ticks */
    SYS_TICKS,
    SYS_KILL,   /* pid */
    SYS_EXEC,   /* program's number */
    SYS_REPORT, /* passed?, text: a line of TAP */
    SYS_STAT,   /* enum tk_stat */
};

enum tk_stat {
    TK_FREE_FRAMES,
    TK_FAULTS,      /* page faults of this process */
    TK_COPIES,      /* pages copied on write */
    TK_REUSES,      /* made writable in place, the last owner writing */
    TK_PREEMPTIONS, /* of this process */
    TK_AUDIT,       /* walk everything; 0 if it adds up */
    TK_PAGE,        /* (second argument) PTE of an address of this process, 0 if there is none */
};

/* Status of a process that was ended: TK_KILLED | why. */
#define TK_KILLED 0x80
enum { TK_BY_FAULT = 1, TK_BY_TRAP, TK_BY_KILL, TK_NO_MEMORY };

enum {
    TK_EFAULT = -1,
    TK_EAGAIN = -2,
    TK_ENOMEM = -3,
    TK_EINVAL = -4,
    TK_ECHILD = -5,
    TK_ENOSYS = -6
};

/* The programs, by number. */
enum { PROG_INIT, PROG_EXECED, PROG_COUNT };

/* Head of a program's image; it is linked at TK_IMAGE. */
#define TK_IMAGE     0x00400000u
#define TK_STACK_TOP 0xb0000000u
#define TK_STACK     (256u * 4096) /* what it may grow to */
#define TK_MAP_AREA  0x40000000u
#define TK_MAGIC     0x6b6e7974u

#endif
