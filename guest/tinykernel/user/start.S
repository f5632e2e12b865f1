        .section .head, "a"
        .long   0x6b6e7974, start, data_start, image_end
        .text
        .globl  start
start:
        call    program
        movl    %eax, %ebx
        movl    $1, %eax        /* SYS_EXIT */
        int     $0x80
        ud2
        .section .note.GNU-stack, "", @progbits
