/*
 * A disk's first sectors: what a BIOS starts. It tests the BIOS calls that boot loaders use, real
 * mode, a way into protected mode and back, and then each way to reset a PC, counted in CMOS byte 60.
 * Results go to COM1 as TAP; the end is the exit port. Needs sectors from 16 on that are their own
 * numbers in decimal digits, with zeros before and a newline behind; writes sector 200.
 */
        .code16
        .text
        .globl  _start
        .set    SECTORS, 6              /* that this program fills */
        .set    BUF, 0x9000
        .set    ROUND, 0x60             /* CMOS: resets so far */

        .include "sector.inc"
        movw    $0x0200 + SECTORS - 1, %ax
        movw    $0x7e00, %bx
        movw    $2, %cx                 /* cylinder 0, sector 2 */
        xorb    %dh, %dh
        int     $0x13
        jnc     tests
        movw    $no_rest, %si
        call    puts
        jmp     finish_bad

/* --- output ---------------------------------------------------------------------------------- */

        .include "serial.inc"

/* %al: a number below 100 */
putn:   aam
        addw    $0x3030, %ax
        pushw   %ax
        movb    %ah, %al
        call    putc
        popw    %ax
        jmp     putc

count_put:
        movb    count, %al
        jmp     putn

        .include "tap.inc"

finish_bad:
        movl    $1, %eax
        jmp     leave
finish: movl    $0x31, %eax             /* exit status 99: all is well */
        cmpb    $0, bad
        jne     finish_bad
leave:  movw    $0xf4, %dx
        outl    %eax, %dx
1:      cli
        hlt
        jmp     1b

drive:  .byte   0
no_rest: .asciz "Bail out! the BIOS does not read the disk\n"

        .org    510
        .word   0xaa55

/* --- the rest -------------------------------------------------------------------------------- */

cmos_read:                              /* byte %al of the CMOS to %al */
        outb    %al, $0x70
        inb     $0x71, %al
        ret

tests:  movb    $ROUND, %al
        call    cmos_read
        testb   %al, %al
        jnz     next_round

/* Is the sector at BUF that of the three digits at %si? Carry: no. */
        .macro  SECTOR digits
        movw    $BUF, %di
        movb    $'0', %al
        movw    $508, %cx
        repe    scasb
        jne     8f
        cmpb    $(\digits / 100 + '0'), (%di)
        jne     8f
        cmpb    $(\digits / 10 % 10 + '0'), 1(%di)
        jne     8f
        cmpb    $(\digits % 10 + '0'), 2(%di)
        jne     8f
        cmpb    $'\n', 3(%di)
        je      9f
8:      stc
9:
        .endm

        movw    $packet, %si
        movb    $0x42, %ah
        movb    drive, %dl
        int     $0x13
        jc      1f
        SECTOR  100
1:      RESULT  "INT 13h 42h reads by LBA"

        movw    $0x0214, %ax            /* 20 sectors */
        movw    $BUF, %bx
        movw    $1, %cx
        movb    $1, %dh                 /* head 1 */
        movb    drive, %dl
        int     $0x13
        jc      1f
        SECTOR  63
1:      RESULT  "INT 13h 02h reads by cylinder, head and sector"

        movb    $8, %ah
        movb    drive, %dl
        int     $0x13
        pushw   $0
        popw    %es
        jc      1f
        cmpb    $15, %dh
        jne     2f
        andb    $63, %cl
        cmpb    $63, %cl
        je      1f
2:      stc
1:      RESULT  "INT 13h 08h: 16 heads, 63 sectors"

        movw    $BUF, %di
        movw    $512, %cx
        movb    $0x57, %al
        rep     stosb
        movw    $200, packet_lba
        movw    $packet, %si
        movw    $0x4300, %ax
        movb    drive, %dl
        int     $0x13
        jc      1f
        movb    $0, BUF
        movb    $0, BUF + 511
        movw    $packet, %si
        movb    $0x42, %ah
        movb    drive, %dl
        int     $0x13
        jc      1f
        cmpw    $0x5757, BUF
        jne     2f
        cmpw    $0x5757, BUF + 510
        je      1f
2:      stc
1:      RESULT  "INT 13h 43h writes, and what was written is there"

        movl    $0x00ffffff, packet_lba
        movw    $packet, %si
        movb    $0x42, %ah
        movb    drive, %dl
        int     $0x13
        cmc
        RESULT  "INT 13h 42h behind the end of the disk fails"

        int     $0x12
        cmpw    $639, %ax
        je      1f
        stc
1:      RESULT  "INT 12h: 639 KiB"

        xorl    %ebx, %ebx              /* look for RAM from 1 MiB on */
1:      movl    $0xe820, %eax
        movl    $0x534d4150, %edx
        movl    $20, %ecx
        movw    $BUF, %di
        int     $0x15
        jc      2f
        cmpl    $0x534d4150, %eax
        jne     2f
        cmpl    $0x100000, BUF
        jne     3f
        cmpl    $1, BUF + 16
        je      4f
3:      testl   %ebx, %ebx
        jnz     1b
2:      stc
        jmp     5f
4:      clc
5:      RESULT  "INT 15h E820h: RAM from 1 MiB on"

        sti
        xorw    %ax, %ax
        int     $0x1a
        movw    %dx, %bx
        movl    $40000000, %ecx
1:      xorw    %ax, %ax
        int     $0x1a
        cmpw    %bx, %dx
        jne     2f
        decl    %ecx
        jnz     1b
        stc
        jmp     3f
2:      clc
3:      RESULT  "INT 1Ah: time goes on by interrupts"

/* Protected mode and back, with a data segment of 4 GiB kept. */
        cli
        lgdt    gdtr
        movl    %cr0, %eax
        orb     $1, %al
        movl    %eax, %cr0
        ljmp    $8, $1f
1:      movw    $16, %bx
        movw    %bx, %fs
        andb    $0xfe, %al
        movl    %eax, %cr0
        ljmp    $0, $1f
1:      movl    $0x200000, %esi
        movl    $0x12345678, %fs:(%esi)
        movl    $0x87654321, %fs:0x100000(%esi)
        cmpl    $0x12345678, %fs:(%esi)
        je      1f
        stc
1:      sti
        RESULT  "real mode reaches 2 MiB through a large segment"

        movb    $0x87, %ah              /* copy the dword back by INT 15h */
        movw    $2, %cx
        movw    $move_gdt, %si
        int     $0x15
        jc      1f
        cmpl    $0x12345678, BUF
        je      1f
        stc
1:      RESULT  "INT 15h 87h copies from above 1 MiB"
        xorb    %al, %al

/* --- resets: %al of them have been ------------------------------------------------------------ */

next_round:
        movb    %al, %bl
        testb   %al, %al
        jz      1f
        addb    $9, %al                 /* tests before the first */
        movb    %al, count
        clc
        RESULT  "the machine has started again"
1:      cmpb    $3, %bl
        je      done
        movb    $ROUND, %al
        outb    %al, $0x70
        movb    %bl, %al
        incb    %al
        outb    %al, $0x71
        movw    $resetting, %si
        call    puts
        cmpb    $1, %bl
        jb      port92
        je      kbd

        lidt    no_idt                  /* a triple fault */
        int3

port92: inb     $0x92, %al
        andb    $0xfe, %al
        outb    %al, $0x92
        orb     $1, %al
        outb    %al, $0x92
1:      hlt
        jmp     1b

kbd:    inb     $0x64, %al
        testb   $2, %al
        jnz     kbd
        movb    $0xfe, %al
        outb    %al, $0x64
1:      hlt
        jmp     1b

done:   movw    $plan, %si
        call    puts
        jmp     finish

resetting: .asciz "# resetting\n"
plan:   .asciz  "1..13\n"

        .align  4
packet: .byte   16, 0
        .word   1                       /* sectors */
        .word   BUF, 0
packet_lba:
        .long   100, 0

        .align  8
gdt:    .quad   0
        .quad   0x00009b000000ffff      /* 16-bit code, as real mode has it */
        .quad   0x00cf93000000ffff      /* all of 4 GiB */
gdtr:   .word   . - gdt - 1
        .long   gdt
no_idt: .word   0
        .long   0

        .align  8
move_gdt:
        .quad   0, 0
        .quad   0x000093200000ffff      /* from 2 MiB */
        .quad   0x000093000000ffff | (BUF << 16)
        .quad   0, 0
        .org    SECTORS * 512
