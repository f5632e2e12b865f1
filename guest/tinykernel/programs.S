/* The programs, as flat images. */
        .section .rodata
        .align  4096
init:   .incbin "tk_init.bin"
init_end:
        .align  4096
execed: .incbin "tk_execed.bin"
execed_end:
        .align  4
        .globl  programs
programs:
        .long   init, init_end - init
        .long   execed, execed_end - execed
        .section .note.GNU-stack, "", @progbits
