/*
 * An image that is entered in real mode, as Linux by its 16-bit boot protocol: it looks at what the
 * loader left, at command line and initrd, calls the BIOS, and tells by COM1 as TAP; the end is the
 * exit port. Protocol 2.07, loaded high, without a 32-bit entry. tests/real_boot.sh makes older ones
 * of it. Wants the command line "real mode" and an initrd that begins with "initrd ".
 */
        .code16
        .text
        .globl  _start
        .set    SECTS, 4
        .set    BUF, 0x2000             /* in this segment, behind the code */
        .set    OLD_KERNEL, 0x1000      /* segment of one that was not loaded high */

_start:
        .org    0x1f1
        .byte   SECTS
        .word   0
        .long   (end - kernel + 15) / 16
        .word   0, 0, 0
        .word   0xaa55
        .byte   0xeb, 0x46              /* jmp behind the header */
        .ascii  "HdrS"
version: .word  0x0207
        .long   0                       /* no hook */
        .word   0, 0                    /* start_sys, no version string */
loader: .byte   0
loadflags: .byte 1
        .word   0
        .long   0                       /* code32_start: none */
ramdisk: .long  0
ramdisk_size: .long 0
        .long   0
heap_end: .word 0
        .word   0
cmd_line_ptr: .long 0
        .long   0x37ffffff              /* initrd_addr_max */
        .long   0
        .byte   0, 0
        .word   0
        .long   63                      /* cmdline_size */
        .org    0x248
        jmp     entry
        .org    0x290

/* --- output ---------------------------------------------------------------------------------- */

        .include "serial.inc"

count_put:
        movb    count, %al
        addb    $'0', %al
        jmp     putc

        .include "tap.inc"

plan:   .asciz  "1..9\n"

/* 64 bytes from the physical address %eax to BUF, by the BIOS. Carry: it could not. */
fetch:  movl    %eax, from
        movb    $0x93, from + 3         /* bits 24 to 31 go elsewhere */
        shrl    $24, %eax
        movb    %al, from_high
        xorl    %eax, %eax
        movw    %ds, %ax
        shll    $4, %eax
        addl    $BUF, %eax
        movl    %eax, to
        movb    $0x93, to + 3
        movw    $table, %si
        movw    $32, %cx
        movb    $0x87, %ah
        int     $0x15
        ret
        .balign 8
table:  .quad   0, 0
        .word   0xffff
from:   .long   0
        .byte   0
from_high: .byte 0
        .word   0xffff
to:     .long   0
        .byte   0, 0
        .quad   0, 0

/* Does %es:%di begin with the %cx bytes at %si? Carry: no. */
same:   repe    cmpsb
        clc
        je      1f
        stc
1:      ret

/* --- tests ----------------------------------------------------------------------------------- */

entry:  pushfw
        movw    %cs, %ax                /* offsets are those of the image from here on */
        pushw   %ds
        pushw   $1f
        lretw
1:      cld
        subw    $0x20, %ax
        movw    %ds, %bx
        cmpw    %ax, %bx
        jne     2f
        movw    %es, %ax
        cmpw    %ax, %bx
        jne     2f
        movw    %ss, %ax
        cmpw    %ax, %bx
        jne     2f
        movw    %fs, %ax
        cmpw    %ax, %bx
        jne     2f
        movw    %gs, %ax
        cmpw    %ax, %bx
        je      1f
2:      stc
1:      RESULT  "entered at offset 0x200 of the segments that start with the image"

        popw    %ax
        testw   $0x200, %ax
        jz      1f
        stc
1:      RESULT  "with interrupts off"

        cmpw    $0x9000, %sp
        RESULT  "with a stack of some size"

        sti
        int     $0x12
        cmpw    $600, %ax
        RESULT  "INT 12h tells low memory"

        movw    $0x0e52, %ax
        movw    $7, %bx
        int     $0x10
        movb    $3, %ah
        xorb    %bh, %bh
        int     $0x10
        cmpb    $1, %dl                 /* the cursor has gone on */
        RESULT  "INT 10h shows a letter"

        /* The protected-mode part. */
        testb   $1, loadflags
        jnz     1f
        cmpl    $0x53726448, version - 4
        je      2f
2:      pushw   %es
        pushw   $OLD_KERNEL
        popw    %es
        xorw    %di, %di
        movw    $mark, %si
        movw    $MARK, %cx
        call    same
        popw    %es
        jmp     2f
1:      movl    $0x100000, %eax
        call    fetch
        jc      2f
        movw    $BUF, %di
        movw    $mark, %si
        movw    $MARK, %cx
        call    same
2:      RESULT  "the kernel is where it belongs"

        /* The command line. */
        pushw   %es
        cmpl    $0x53726448, version - 4
        jne     1f
        cmpw    $0x202, version
        jb      1f
        movl    cmd_line_ptr, %eax
        movw    %ax, %di
        andw    $15, %di
        shrl    $4, %eax
        movw    %ax, %es
        jmp     2f
1:      cmpw    $0xa33f, 0x20
        stc
        jne     3f
        movw    0x22, %di
2:      movw    $words, %si
        movw    $WORDS, %cx
        call    same
3:      popw    %es
        RESULT  "the command line is there"

        /* What else a loader fills in, where the protocol has it. */
        cmpl    $0x53726448, version - 4
        clc
        jne     4f
        cmpb    $1, loader              /* carry: 0 */
        jc      1f
        cmpw    $0x201, version
        cmc
        jnc     1f
        testb   $0x80, loadflags
        stc
        jz      1f
        cmpw    $0x2000, heap_end
1:      RESULT  "the loader has said who it is, and where the heap ends"

        cmpl    $7, ramdisk_size
        jb      1f
        movl    ramdisk, %eax
        call    fetch
        jc      1f
        movw    $BUF, %di
        movw    $initrd, %si
        movw    $INITRD, %cx
        call    same
1:      RESULT  "the initrd is there"
        jmp     5f
4:      RESULT  "before 2.00 a loader has nothing to say"
        RESULT  "and no initrd"

5:      movw    $plan, %si
        call    puts
        movl    $0x31, %eax             /* exit status 99: all is well */
        cmpb    $0, bad
        je      1f
        movl    $1, %eax
1:      movw    $0xf4, %dx
        outl    %eax, %dx
2:      cli
        hlt
        jmp     2b

words:  .asciz  "real mode"
        .set    WORDS, . - words
initrd: .ascii  "initrd "
        .set    INITRD, . - initrd
mark:   .ascii  "the protected-mode part"
        .set    MARK, . - mark

        .org    (SECTS + 1) * 512
kernel: .ascii  "the protected-mode part"
        .fill   1000, 1, 0x90
end:
