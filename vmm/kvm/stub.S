/*
 * The stub: all the code that runs at CPL 0 in the kvm engine's machine. It takes every exception of
 * the guest and leaves to the host with one OUT; it returns to the guest with one IRETQ; and it applies
 * restricting changes to shadow tables, since on a host that shadows our tables only a store by the
 * vCPU itself is sure to be seen (docs/kvm.md).
 *
 * Each exception finds all registers untouched: the host reads and writes them in struct kvm_run and
 * sets RIP to what is to happen next, so no register is ever saved here.
 */
#include "vmm/kvm/layout.h"

        .section .rodata
        .balign 4096
        .globl  kvm_stub_start, kvm_stub_end
        .hidden kvm_stub_start, kvm_stub_end
kvm_stub_start:
        /* one entry for each exception */
        .set    vector, 0
        .rept   32
        .org    kvm_stub_start + STUB_VECTORS + vector * 16
        outb    %al, $(PORT_VECTOR + vector)
        ud2                             /* the host never lets it go on here */
        .set    vector, vector + 1
        .endr

        .org    kvm_stub_start + STUB_OTHER
        outb    %al, $PORT_OTHER
        ud2

        .org    kvm_stub_start + STUB_RESUME
        iretq

        /* RSI: queue. Store each entry's value again by the vCPU's own hand, invalidate what it
         * translates; then, if asked for, everything by a load of CR3. Then to the host, or with the
         * guest's registers, which lie in the queue page, straight to the guest. */
        .org    kvm_stub_start + STUB_DRAIN
        movq    QUEUE_COUNT(%rsi), %rcx
        leaq    QUEUE_ENTRIES(%rsi), %rdi
        jrcxz   2f
1:      movq    (%rdi), %rax
        movq    (%rax), %rdx
        movq    %rdx, (%rax)
        movq    8(%rdi), %rdx
        invlpg  (%rdx)
        addq    $16, %rdi
        loop    1b
2:      cmpl    $0, QUEUE_FLUSH(%rsi)
        je      3f
        movq    %cr3, %rax
        movq    %rax, %cr3
3:      cmpl    $0, QUEUE_RESUME(%rsi)
        jne     4f
        outb    %al, $PORT_DRAINED
        ud2
        .org    kvm_stub_start + STUB_RESTORE
4:      movq    QUEUE_RAX(%rsi), %rax
        movq    QUEUE_RCX(%rsi), %rcx
        movq    QUEUE_RDX(%rsi), %rdx
        movq    QUEUE_RDI(%rsi), %rdi
        movq    QUEUE_RSI(%rsi), %rsi
        iretq
kvm_stub_end:
        .section .note.GNU-stack,"",@progbits
