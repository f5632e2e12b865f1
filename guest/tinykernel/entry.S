/* Trap entries, the switch between two kernel stacks, and the copy from and to a process. */
        .altmacro
        .macro  ENTRY n
        .align  4
entry_\n:
        .if     !(\n == 8 || (\n >= 10 && \n <= 14) || \n == 17)
        pushl   $0
        .endif
        pushl   $\n
        jmp     common
        .pushsection .rodata
        .long   entry_\n
        .popsection
        .endm

        .section .rodata
        .align  4
        .globl  trap_entries
trap_entries:
        .text
        .set    n, 0
        .rept   48
        ENTRY   %n
        .set    n, n + 1
        .endr
        .globl  syscall_entry
syscall_entry:
        pushl   $0
        pushl   $0x80
common:
        pushal
        pushl   %ds
        pushl   %es
        cld
        movl    $0x10, %eax
        movl    %eax, %ds
        movl    %eax, %es
        pushl   %esp
        call    trap
        addl    $4, %esp
        .globl  trap_return
trap_return:
        popl    %es
        popl    %ds
        popal
        addl    $8, %esp
        iretl

/* void switch_stack(uint32_t *save_esp, uint32_t load_esp) */
        .globl  switch_stack
switch_stack:
        movl    4(%esp), %eax
        movl    8(%esp), %edx
        pushl   %ebp
        pushl   %ebx
        pushl   %esi
        pushl   %edi
        movl    %esp, (%eax)
        movl    %edx, %esp
        popl    %edi
        popl    %esi
        popl    %ebx
        popl    %ebp
        ret

/* bool user_copy(void *to, const void *from, uint32_t n): false if the process has no such memory. The
 * only place of the kernel that may fault on a process's addresses. */
        .globl  user_copy, user_copy_end, user_copy_failed
user_copy:
        pushl   %esi
        pushl   %edi
        movl    12(%esp), %edi
        movl    16(%esp), %esi
        movl    20(%esp), %ecx
        rep movsb
        movl    $1, %eax
        jmp     1f
user_copy_end:
user_copy_failed:
        xorl    %eax, %eax
1:      popl    %edi
        popl    %esi
        ret
        .section .note.GNU-stack, "", @progbits
