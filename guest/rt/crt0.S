/* First code of a guest: the Multiboot 1 header, a stack, and on to C. Flat segments as the loader left them. */
#define MB_MAGIC 0x1badb002
#define MB_FLAGS 0x3 /* modules page-aligned, memory information */

        .section .multiboot, "a"
        .align  4
        .long   MB_MAGIC
        .long   MB_FLAGS
        .long   -(MB_MAGIC + MB_FLAGS)

        .text
        .globl  _start
        .type   _start, @function
_start:
        movl    $rt_stack_top, %esp
        xorl    %ebp, %ebp
        subl    $8, %esp        /* so that the call finds the stack as the ABI wants it */
        pushl   %ebx            /* boot information */
        pushl   %eax            /* loader's magic */
        call    rt_start
        ud2                     /* rt_start does not return */
        .size   _start, . - _start

        .section .bss
        .align  16
        .skip   16384
rt_stack_top:

        .section .note.GNU-stack, "", @progbits
