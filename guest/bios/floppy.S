/*
 * A diskette's boot sector: it asks INT 13h for the diskette's size, prints it, prints what the second
 * cylinder's first head's second sector and the last sector hold (numbers in decimal digits), and writes the
 * last sector. Ends by the exit port with status 33.
 */
        .code16
        .text
        .globl  _start
        .set    BUF, 0x9000

        .include "sector.inc"
        movb    $8, %ah                 /* size */
        int     $0x13
        pushw   $0
        popw    %es
        jc      bad
        movb    %ch, last
        movb    %dh, last_head
        movb    %cl, last_sector
        movzbw  %ch, %ax
        incw    %ax
        call    putn
        movw    $cylinders, %si
        call    puts
        movzbw  last_head, %ax
        incw    %ax
        call    putn
        movw    $heads, %si
        call    puts
        movzbw  last_sector, %ax
        call    putn
        movw    $sectors, %si
        call    puts
        movw    $0x0102, %cx            /* cylinder 1, sector 2 */
        xorb    %dh, %dh
        call    show
        movb    last, %ch
        movb    last_sector, %cl
        movb    last_head, %dh
        call    show
        movw    $BUF, %di
        movw    $128, %cx
1:      movl    $0x544f4f42, %eax       /* BOOT */
        stosl
        loop    1b
        movb    last, %ch
        movb    last_sector, %cl
        movb    last_head, %dh
        movb    drive, %dl
        movw    $BUF, %bx
        movw    $0x0301, %ax
        int     $0x13
        jc      bad
        movw    $written, %si
        call    puts
        movl    $16, %eax
        jmp     leave
bad:    movl    $1, %eax
leave:  movw    $0xf4, %dx
        outl    %eax, %dx
1:      cli
        hlt
        jmp     1b

/* Read one sector at %ch, %cl, %dh and print its last nine bytes. */
show:   movb    drive, %dl
        movw    $BUF, %bx
        movw    $0x0201, %ax
        int     $0x13
        jc      bad
        movw    $BUF + 503, %si
        movw    $9, %cx
1:      lodsb
        call    putc
        loop    1b
        ret

        .include "serial.inc"

/* %ax: a number below 100 */
putn:   aam
        addw    $0x3030, %ax
        pushw   %ax
        cmpb    $'0', %ah
        je      1f
        movb    %ah, %al
        call    putc
1:      popw    %ax
        jmp     putc

drive:  .byte   0
last:   .byte   0
last_head: .byte 0
last_sector: .byte 0
cylinders: .asciz " cylinders, "
heads:  .asciz  " heads, "
sectors: .asciz " sectors\n"
written: .asciz "written\n"

        .org    510
        .word   0xaa55
