/*
 * The option ROM that starts an image in real mode (real.h): a boot entry for the BIOS (Plug and Play
 * BIOS Specification 1.0A, "Expansion header"), which copies what fw_cfg has (QEMU's
 * docs/specs/fw_cfg, the DMA interface) to where fw_cfg says, and enters the setup code. Sum bytes
 * are filled in by real_rom().
 */
        .section .rodata
        .globl  real_rom_start
        .code16
        .set    SELECT, 0x510
        .set    DATA, 0x511
        .set    DMA_HIGH, 0x514
        .set    DMA_LOW, 0x518

real_rom_start:
        .byte   0x55, 0xaa, 1           /* one unit of 512 bytes */
        lretw                           /* nothing to initialize */
        .org    0x1a
        .word   pnp - real_rom_start
        .balign 16

pnp:    .ascii  "$PnP"
        .byte   1, 2                    /* revision; units of 16 bytes */
        .word   0                       /* no further header */
        .byte   0, 0                    /* the checksum is the second */
        .long   0                       /* no device's */
        .word   maker - real_rom_start
        .word   product - real_rom_start
        .byte   0, 0, 0                 /* class */
        .byte   0                       /* what it can do */
        .word   0, 0                    /* no connection, disconnection */
        .word   boot - real_rom_start
        .word   0, 0                    /* reserved; no resources */

maker:  .asciz  "Umbra"
product:.asciz  "the image of the command line"

/* Keys of address, size and content. */
parts:  .word   0x07, 0x08, 0x11        /* kernel */
        .word   0x0a, 0x0b, 0x12        /* initrd */
        .word   0x13, 0x14, 0x15        /* command line */
        .word   0x16, 0x17, 0x18        /* setup code */
        .set    PARTS, 4

/* item ax -> eax: the number that an item holds */
item:   movw    $SELECT, %dx
        outw    %ax, %dx
        incw    %dx
        movw    $4, %bx
1:      inb     %dx, %al
        rorl    $8, %eax
        decw    %bx
        jnz     1b
        ret

boot:   cli
        cld
        movw    %cs, %ax
        movw    %ax, %ds
        movw    $(parts - real_rom_start), %si
        movw    $PARTS, %cx
next:   lodsw
        call    item
        movl    %eax, %edi              /* where to */
        lodsw
        call    item
        movl    %eax, %ebp              /* how much */
        lodsw
        testl   %ebp, %ebp
        jz      2f
        /* What to do, on the stack, highest bytes first. */
        shll    $16, %eax
        movw    $0x000a, %ax            /* select, read */
        bswap   %eax
        bswap   %ebp
        bswap   %edi
        pushl   %edi
        pushl   $0
        pushl   %ebp
        pushl   %eax
        xorl    %eax, %eax
        movw    $DMA_HIGH, %dx
        outl    %eax, %dx
        movw    %ss, %ax
        shll    $4, %eax
        movzwl  %sp, %ebx
        addl    %ebx, %eax
        bswap   %eax
        movw    $DMA_LOW, %dx
        outl    %eax, %dx
        movw    %sp, %bp
1:      movl    (%bp), %eax
        bswap   %eax
        testl   $1, %eax
        jnz     failed
        testl   %eax, %eax
        jnz     1b
        addw    $16, %sp
2:      loop    next

        movw    $0x13, %ax
        call    item
        movl    %eax, %edi
        movw    $0x16, %ax
        call    item
        subl    %eax, %edi
        subw    $16, %di                /* the stack, below the command line */
        shrl    $4, %eax
        movw    %ax, %ds
        movw    %ax, %es
        movw    %ax, %fs
        movw    %ax, %gs
        movw    %ax, %ss
        movw    %di, %sp
        addw    $0x20, %ax
        pushw   %ax
        pushw   $0
        lretw

failed: addw    $16, %sp
        sti
        int     $0x18                   /* the next one, please */
        .org    512
        .section .note.GNU-stack, "", @progbits
