/* Entry of every vector, way back, and the way to ring 3 and home. See trap.h. */
        .altmacro
        .macro  ENTRY n
        .align  4
trap_entry_\n:
        .if     !(\n == 8 || (\n >= 10 && \n <= 14) || \n == 17)
        pushl   $0
        .endif
        pushl   $\n
        jmp     trap_common
        .pushsection .rodata
        .long   trap_entry_\n
        .popsection
        .endm

        .section .rodata
        .align  4
        .globl  trap_entries
trap_entries:
        .text
        .set    n, 0
        .rept   256
        ENTRY   %n
        .set    n, n + 1
        .endr

trap_common:
        pushal
        cld
        pushl   %esp
        call    trap_dispatch
        addl    $4, %esp
        .globl  trap_return
trap_return:
        popal
        addl    $8, %esp
        iretl

/* unsigned ring3_go(struct ring3 *): see ring3_run. */
        .globl  ring3_go
ring3_go:
        pushl   %ebp
        pushl   %ebx
        pushl   %esi
        pushl   %edi
        movl    %esp, ring3_home
        movl    20(%esp), %eax
        pushl   $0x23
        pushl   32(%eax)        /* esp */
        pushl   36(%eax)        /* eflags */
        pushl   $0x1b
        pushl   28(%eax)        /* eip */
        movl    $0x23, %ecx
        movl    %ecx, %ds
        movl    %ecx, %es
        movl    4(%eax), %ecx
        movl    8(%eax), %edx
        movl    12(%eax), %ebx
        movl    16(%eax), %esi
        movl    20(%eax), %edi
        movl    24(%eax), %ebp
        movl    (%eax), %eax
        iretl

/* void ring3_leave(unsigned): come back from ring3_go with that. */
        .globl  ring3_leave
ring3_leave:
        movl    4(%esp), %eax
        movl    ring3_home, %esp
        movl    $0x10, %ecx
        movl    %ecx, %ds
        movl    %ecx, %es
        popl    %edi
        popl    %esi
        popl    %ebx
        popl    %ebp
        ret

/* Accesses that may fault: eax value, ecx address. The result is whether they did not. */
        .macro  TRY name
        .globl  \name
\name:  movl    4(%esp), %ecx
        movl    8(%esp), %edx
        .endm

        TRY     try_read
1:      movl    (%ecx), %eax
        movl    %eax, (%edx)
        movl    $1, %eax
        ret
        TRY     try_write
1001:   movl    %edx, (%ecx)
        movl    $1, %eax
        ret
        .globl  try_failed
try_failed:
        xorl    %eax, %eax
        ret
        TRY     try_fetch
        movl    $2f, %edx
        .globl  try_fetch_jump
try_fetch_jump:
        jmp     *%ecx
2:      movl    $1, %eax
        ret

        .section .fixups, "a"
        .long   1b, try_failed, 1001b, try_failed
        /* A fetch faults at its target: trap_dispatch sees to it, by this value of EDX. */
        .globl  try_fetch_landing
        .set    try_fetch_landing, 2b

/* The same in ring 3: ends with INT 0x80. */
        .section .user, "ax"
        .globl  user_read_code, user_write_code, user_fetch_code
user_read_code:
        movl    (%ecx), %eax
        int     $0x80
user_write_code:
        movl    %eax, (%ecx)
        int     $0x80
user_fetch_code:
        jmp     *%ecx
        .globl  user_fetch_landing
user_fetch_landing:
        int     $0x80

        .section .bss
        .align  4
ring3_home:
        .skip   4
        .section .note.GNU-stack, "", @progbits
