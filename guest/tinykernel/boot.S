/*
 * From the loader to the higher half. Linked low: runs before paging, then jumps to rt_start with the
 * first 4 MiB mapped at 0 (until vm_init drops that) and at 0xC0000000, and the directory in its own
 * last entry.
 */
#define HIGH 0xc0000000

        .section .multiboot, "ax"
        .align  4
        .long   0x1badb002
        .long   3
        .long   -(0x1badb002 + 3)

        .globl  _start
_start:
        cli
        movl    %eax, %esi      /* loader's magic; EBX has the boot information */
        movl    $boot_table - HIGH, %edi
        movl    $0x3, %eax      /* present, writable */
        movl    $1024, %ecx
1:      movl    %eax, (%edi)
        addl    $4, %edi
        addl    $4096, %eax
        loop    1b
        movl    $boot_table - HIGH + 3, boot_directory - HIGH
        movl    $boot_table - HIGH + 3, boot_directory - HIGH + 768 * 4
        movl    $boot_directory - HIGH + 3, boot_directory - HIGH + 1023 * 4
        movl    $boot_directory - HIGH, %eax
        movl    %eax, %cr3
        movl    %cr0, %eax
        orl     $0x80010000, %eax       /* PG, WP */
        movl    %eax, %cr0
        movl    $high, %eax
        jmp     *%eax

        .text
high:
        movl    $boot_stack_top, %esp
        xorl    %ebp, %ebp
        pushl   %ebx
        pushl   %esi
        call    rt_start
        ud2

        .section .bss
        .align  4096
        .globl  boot_directory, boot_table
boot_directory: .skip 4096
boot_table:     .skip 4096
        .skip   8192
boot_stack_top:
        .section .note.GNU-stack, "", @progbits
